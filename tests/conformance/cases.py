"""What a conformance vector is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import snnir
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Exact, Example, Expected, Model, Producer, Tolerance
from snnir.ir.tensor import Tensor
from snnir.ir.types import NUMPY, DType, Timing
from snnir.ops import registry
from snnir.ops.schema import Arity, OpDef

Array = npt.NDArray[Any]
Given = Mapping[str, Any]

RATIONAL = "the formula, element by element, in exact rational arithmetic"
HAND = "a table worked out by hand"
DECIMAL = "the formula in decimal arithmetic of 60 digits, rounded to float32"

PRODUCER = Producer("snnir conformance vectors", "1")
"""Not this library's version: a release does not change the vectors."""

NODE = "node"


@dataclass(frozen=True)
class Case:
    """One vector.

    Attributes:
        group: Operator (``"snn.IF"``), or ``"system.<what>"``.
        name: Its name in the group.
        model: A model with one example.
    """

    group: str
    name: str
    model: Model

    @property
    def path(self) -> str:
        """Where it is stored."""
        domain, _, operator = self.group.partition(".")
        return f"{domain}/{operator}/{self.name}.snnir"


def also(first: str, second: str) -> str:
    """The origin of values that two sources agree on."""
    return f"{first}; equal to {second}"


def same(found: npt.ArrayLike, expected: npt.ArrayLike, what: str) -> None:
    """Two origins must agree exactly.

    Raises:
        ValueError: If they do not.
    """
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape or not np.array_equal(a, b):
        raise ValueError(f"{what}: origins disagree:\n{a}\n{b}")


def near(found: npt.ArrayLike, expected: npt.ArrayLike, what: str, bound: float = 1e-5) -> None:
    """Two origins must agree but for the rounding of one of them.

    Raises:
        ValueError: If they do not.
    """
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape or not np.allclose(a, b, rtol=bound, atol=bound):
        raise ValueError(f"{what}: origins disagree:\n{a}\n{b}")


def stored(values: npt.ArrayLike) -> Tensor:
    """A tensor of numbers that must not change on their way to float32; integers stay."""
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        return Tensor.from_array(array)
    narrow = array.astype(np.float32)
    if not np.array_equal(narrow.astype(np.float64), array.astype(np.float64)):
        raise ValueError("expected values that are no float32")
    return Tensor.from_array(narrow)


def argument(opdef: OpDef, name: str, value: Any) -> Any:
    """A parameter as a float32 tensor (integers as they are); an attribute as it is."""
    parameter = opdef.parameter(name)
    if value is None or parameter is None or isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and not parameter.dtypes[0].is_float:
        return value
    return stored(np.asarray(value, np.float64)) if parameter.dtypes[0].is_float else value


def finish(
    group: str,
    name: str,
    what: str,
    model: Model,
    inputs: Given,
    expected: Given,
    *,
    steps: int,
    origin: str,
    tolerance: Tolerance | Mapping[str, Tolerance] | None = None,
) -> Case:
    """The vector of a model, an input and what must come out.

    Raises:
        ValueError: If the model has any finding, or what must come out is not exact.
    """
    model.producer = PRODUCER
    model.metadata = {"case": f"{group}/{name}", "what": what}
    by_name = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(expected, tolerance)
    model.examples = {
        "example": Example(
            inputs={
                entry.name: Tensor.from_array(np.asarray(inputs[entry.name]), entry.type.dtype)
                for entry in model.graph.inputs
            },
            steps=steps,
            expected={
                key: Expected(stored(value), by_name.get(key) or Exact())
                for key, value in expected.items()
            },
            origin=origin,
        )
    }
    if findings := snnir.check(model):
        raise ValueError(f"{group}/{name}: " + "\n".join(map(str, findings)))
    return Case(group, name, model)


def single(
    op: str,
    name: str,
    what: str,
    inputs: Given,
    expected: Given,
    *,
    origin: str,
    timing: Timing | None = None,
    steps: int | None = None,
    tolerance: Tolerance | Mapping[str, Tolerance] | None = None,
    feature: Sequence[int | str] | None = None,
    **arguments: Any,
) -> Case:
    """A vector with one node, called ``node``, between graph inputs and outputs.

    Args:
        op: The operator.
        name: Name of the case.
        what: What it pins down, in a line.
        inputs: Array for each port, samples first, then steps if the port changes over time; a
            list of arrays for a port that takes several.
        expected: Array for each output port, or state, by name.
        origin: Where the expected values come from.
        timing: Timing of the inputs of an operator that takes any; by default per step in
            domain ``snn`` and static in others.
        steps: Presentation length, where no input tells.
        tolerance: By default exact.
        feature: Declared shape of the inputs, where it has symbols.
        arguments: Attributes and parameters.
    """
    opdef = registry.find(op)
    if opdef is None:
        raise ValueError(f"no operator {op}")
    wanted = opdef.input_timing() or timing
    if wanted is None:
        wanted = Timing.PER_STEP if opdef.domain == "snn" else Timing.STATIC
    lead = 2 if wanted is Timing.PER_STEP else 1
    arrays: dict[str, Array] = {}
    kinds: dict[str, DType] = {}
    bound: dict[str, list[str]] = {}
    for port in opdef.inputs:
        given = inputs[port.name]
        several = isinstance(given, list) and port.arity is not Arity.ONE
        for number, array in enumerate(given if several else [given]):
            key = f"{port.name}{number}" if several else port.name
            kinds[key] = port.dtype
            arrays[key] = np.asarray(array, NUMPY[port.dtype])
            bound.setdefault(port.name, []).append(key)
    length = steps or (next(iter(arrays.values())).shape[1] if lead == 2 else 1)
    builder = GraphBuilder(steps=length)
    values = {
        key: builder.input(key, feature or array.shape[lead:], timing=wanted, dtype=kinds[key])
        for key, array in arrays.items()
    }
    builder.add(
        op,
        name=NODE,
        **{port: [values[key] for key in keys] for port, keys in bound.items()},
        **{key: argument(opdef, key, value) for key, value in arguments.items()},
    )
    model = builder.build()
    node = model.graph.nodes[NODE]
    for port in opdef.outputs:
        builder.output(port.name, Value(node.value(port.name)))
    states = {state.name for state in opdef.state}
    full = {(f"{NODE}:{k}" if k in states else k): v for k, v in expected.items()}
    kept = (
        {(f"{NODE}:{k}" if k in states else k): v for k, v in tolerance.items()}
        if isinstance(tolerance, Mapping)
        else tolerance
    )
    return finish(op, name, what, model, arrays, full, steps=length, origin=origin, tolerance=kept)


def shared(
    operator: str,
    name: str,
    what: str,
    x: Any,
    y: Any,
    *,
    origin: str,
    domains: Sequence[str] = ("ann", "snn"),
    tolerance: Tolerance | None = None,
    **arguments: Any,
) -> Iterator[Case]:
    """A vector of an operator that several domains have.

    Args:
        operator: Its name.
        name: Name of the case.
        what: What it pins down.
        x: The input, samples first (or a list of them): the samples of a static input in domain
            ``ann``; in ``snn`` the steps of one sample, and backwards those of another.
        y: What must come out.
        origin: Where that comes from.
        domains: The domains.
        tolerance: By default exact.
        arguments: Attributes and parameters.
    """
    for domain in domains:

        def lead(array: Any, steps: bool = domain == "snn") -> Array:
            given = np.asarray(array, np.float32)
            return np.stack([given, given[::-1]]) if steps else given

        yield single(
            f"{domain}.{operator}",
            name,
            what,
            {"x": [lead(array) for array in x] if isinstance(x, list) else lead(x)},
            {"y": lead(y)},
            origin=origin,
            tolerance=tolerance,
            **arguments,
        )
