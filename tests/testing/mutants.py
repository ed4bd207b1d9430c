"""Ways of getting an operator wrong, for tests that the conformance vectors notice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnir.ops import registry
from snnir.ops.schema import Attribute, Bound, Flow, OpDef, Parameter, State

Array = npt.NDArray[Any]
Mutation = Callable[[OpDef], OpDef]
Step = Callable[[Bound, Mapping[str, Any], dict[str, Array]], tuple[Array, ...]]
Around = Callable[[Step, Bound, Mapping[str, Any], dict[str, Array]], tuple[Array, ...]]

INERT = {
    ("ann.Dropout", "rate"),  # for the record
    ("ann.Reshape", "shape"),  # what counts is the inferred shape of the output
    ("snn.Reshape", "shape"),
    ("snn.Sparse", "outputs"),
    ("loihi2.Reshape", "shape"),
    ("loihi2.Dense", "num_weight_bits"),  # says which weights are allowed
}
"""Settings that no run depends on."""

EQUIVALENT = {
    ("snn.FinalPotential", "start ignored"),  # the last step of a window does not depend on it
    ("snn.FinalPotential", "start one more"),
}
"""Mutations that change nothing."""

OVERWRITTEN = {"snn.FewSpikeEncoder", "snn.FinalPotential"}
"""Operators whose state is overwritten before it is read, so that a reset changes nothing."""


def definitions() -> Iterator[OpDef]:
    """All operators of the built-in domains."""
    for name in registry.BUILTIN_DOMAINS:
        yield from registry.domain(name) or ()


def install(monkeypatch: pytest.MonkeyPatch, op: str, mutation: Mutation) -> None:
    """Replace an operator's definition until the test ends."""
    definition = registry.find(op)
    domain = registry.domain(op.rpartition(".")[0])
    assert definition is not None and domain is not None
    monkeypatch.setitem(domain._versions, definition.name, [mutation(definition)])


# How a definition is changed -----------------------------------------------------------------


def bound_by(change: Callable[[Bound], Bound]) -> Mutation:
    """All of the operator's code sees a changed :class:`Bound`."""

    def mutate(opdef: OpDef) -> OpDef:
        def wrapped(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
            if function is None:
                return None
            return lambda bound, *rest: function(change(bound), *rest)

        states = tuple(replace(state, create=wrapped(state.create)) for state in opdef.state)
        return replace(
            opdef,
            step=wrapped(opdef.step),
            prepare=wrapped(opdef.prepare),
            finish=wrapped(opdef.finish),
            state=states,
        )

    return mutate


def attribute(name: str, function: Callable[[Any], Any]) -> Mutation:
    """An attribute with another value."""

    def change(bound: Bound) -> Bound:
        return replace(
            bound, attributes={**bound.attributes, name: function(bound.attributes[name])}
        )

    return bound_by(change)


def parameter(name: str, function: Callable[[Array], Array | None]) -> Mutation:
    """A parameter with another value, or without one, wherever it is there."""

    def change(bound: Bound) -> Bound:
        if name not in bound.parameters:
            return bound
        value = function(bound.parameters[name])
        rest = {key: array for key, array in bound.parameters.items() if key != name}
        if value is not None:
            rest[name] = value
        return replace(bound, parameters=rest)

    return bound_by(change)


def around(wrapper: Around) -> Mutation:
    """A step that does something before and after the true one."""

    def mutate(opdef: OpDef) -> OpDef:
        return replace(
            opdef,
            step=lambda bound, inputs, state: wrapper(opdef.step, bound, inputs, state),
        )

    return mutate


def output(function: Callable[[Bound, Array, Mapping[str, Any]], Array]) -> Mutation:
    """The only output, changed; also that of a decoder."""

    def mutate(opdef: OpDef) -> OpDef:
        if opdef.finish is not None:
            finish = opdef.finish
            return replace(
                opdef,
                finish=lambda bound, state: (function(bound, finish(bound, state)[0], {}),),
            )
        return replace(
            opdef,
            step=lambda bound, inputs, state: (
                function(bound, opdef.step(bound, inputs, state)[0], inputs),
            ),
        )

    return mutate


def one_step_late(opdef: OpDef) -> OpDef:
    """What comes out does so a step later."""

    def step(bound: Bound, inputs: Mapping[str, Any], state: dict[str, Array]) -> tuple[Array, ...]:
        (y,) = opdef.step(bound, inputs, state)
        before = state.get("late", np.zeros_like(y))
        state["late"] = y.copy()
        return (before,)

    return replace(opdef, step=step)


def fed_one_step_late(opdef: OpDef) -> OpDef:
    """What arrives does so a step later."""

    def step(bound: Bound, inputs: Mapping[str, Any], state: dict[str, Array]) -> tuple[Array, ...]:
        late = {}
        for port, given in inputs.items():
            now = given if isinstance(given, list) else [given]
            before = state.get(f"late {port}", [np.zeros_like(array) for array in now])
            state[f"late {port}"] = [array.copy() for array in now]
            late[port] = before if isinstance(given, list) else before[0]
        return opdef.step(bound, late, state)

    return replace(opdef, step=step)


def only_first_sample(bound: Bound, y: Array, inputs: Mapping[str, Any]) -> Array:
    """Every sample gets the answer of the first."""
    return np.repeat(y[:1], len(y), axis=0)


# What can be said of every operator ----------------------------------------------------------


def taken_for(value: str, wrong: str) -> Callable[[Any], Any]:
    """Takes one choice for another."""
    return lambda given: wrong if given == value else given


def backwards(value: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if value is None else value[::-1]


def of_attribute(opdef: OpDef, setting: Attribute) -> Iterator[tuple[str, Mutation]]:
    """Ways of getting an attribute wrong."""
    name = setting.name
    if setting.choices:
        for value, wrong in itertools.permutations(setting.choices, 2):
            if {value, wrong} != {"explicit", "valid"}:  # the pads say which it is
                yield f"{name} {value} taken for {wrong}", attribute(name, taken_for(value, wrong))
    elif setting.kind == "bool":
        yield f"{name} always true", attribute(name, lambda value: True)
        yield f"{name} always false", attribute(name, lambda value: False)
    elif setting.kind == "ints" and opdef.name.endswith("2D"):
        yield f"{name} backwards", attribute(name, backwards)
    elif setting.kind != "ints":
        if not setting.required:
            yield f"{name} ignored", attribute(name, lambda value: setting.default)
        if setting.kind == "int":
            more = attribute(name, lambda value: None if value is None else value + 1)
            yield f"{name} one more", more


def first_everywhere(value: Array) -> Array:
    return np.full_like(value, value.flat[0]) if value.size else value


def of_parameter(quantity: Parameter) -> Iterator[tuple[str, Mutation]]:
    """Ways of getting a parameter wrong."""
    name, default = quantity.name, quantity.default
    if not quantity.required:
        yield (
            f"{name} ignored",
            parameter(
                name, lambda value: None if default is None else np.asarray(default, value.dtype)
            ),
        )
    yield f"{name} the same for all", parameter(name, first_everywhere)
    if quantity.dtypes[0].is_float:
        yield f"{name} doubled", parameter(name, lambda value: value + value)
    elif name == "delay_steps":
        yield f"{name} one more", parameter(name, lambda value: value.astype(np.int64) + 1)
        less = parameter(name, lambda value: np.maximum(value.astype(np.int64) - 1, 0))
        yield f"{name} one less", less


def of_every_operator(opdef: OpDef) -> Iterator[tuple[str, Mutation]]:
    """Ways of getting any operator wrong, by what its definition declares."""
    for setting in opdef.attributes:
        if (opdef.op, setting.name) not in INERT:
            yield from of_attribute(opdef, setting)
    for quantity in opdef.parameters:
        yield from of_parameter(quantity)
    yield "only the first sample", output(only_first_sample)
    if opdef.flow in (Flow.PER_STEP, Flow.ENCODE) or (
        opdef.flow is Flow.SAME and opdef.domain == "snn"
    ):
        yield "one step late", one_step_late
    if opdef.flow in (Flow.PER_STEP, Flow.DECODE):
        yield "fed one step late", fed_one_step_late


# State that outlives a sample ----------------------------------------------------------------


class Leak:
    """State that one sample leaves for the next, where samples run one after the other."""

    def __init__(self) -> None:
        self.left: dict[tuple[str, str], Array] = {}

    def __call__(self, opdef: OpDef) -> OpDef:
        """The operator without a reset."""

        def kept(state: State) -> Callable[[Bound], Array]:
            def create(bound: Bound) -> Array:
                found = self.left.get((bound.node.name, state.name))
                return state.create(bound) if found is None else found.copy()

            return create

        def step(
            bound: Bound, inputs: Mapping[str, Any], state: dict[str, Array]
        ) -> tuple[Array, ...]:
            found = opdef.step(bound, inputs, state)
            if bound.t == bound.steps - 1:
                for name, array in state.items():
                    self.left[bound.node.name, name] = array.copy()
            return found

        return replace(
            opdef,
            step=step,
            state=tuple(replace(state, create=kept(state)) for state in opdef.state),
        )
