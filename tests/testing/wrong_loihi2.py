"""Mistakes in the integer arithmetic of Loihi 2: what other implementations do or did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.ops.schema import Bound, OpDef
from tests.testing.mutants import Mutation, Step, around, parameter

Array = npt.NDArray[Any]
Inputs = Mapping[str, Any]
State = dict[str, Array]
Outputs = tuple[Array, ...]

TOP = (1 << 23) - 1


def toward_zero(x: Array, decay: Array) -> Array:
    return np.trunc(x.astype(np.float64) * (4096 - decay) / 4096).astype(np.int64)


def to_floor(x: Array, decay: Array) -> Array:
    return x.astype(np.int64) * (4096 - decay) >> 12


def to_nearest(x: Array, decay: Array) -> Array:
    return np.rint(x.astype(np.float64) * (4096 - decay) / 4096).astype(np.int64)


def wrap(x: Array) -> Array:
    return np.where(x > TOP + 1, x - (1 << 24), np.where(x <= -TOP - 1, x + (1 << 24), x))


def modulo(x: Array) -> Array:
    return (x + TOP + 1) % (1 << 24) - TOP - 1


def saturate(x: Array) -> Array:
    return np.clip(x, -TOP, TOP)


def cuba(
    current: Callable[[Array, Array], Array] = toward_zero,
    potential: Callable[[Array, Array], Array] = toward_zero,
    keep_current: Callable[[Array], Array] = wrap,
    keep_potential: Callable[[Array], Array] = saturate,
    fires: Callable[[Array, Array], Array] = np.greater,
    reset: Callable[[Array, Array], Array] = lambda v, theta: np.zeros_like(v),
    reset_current: bool = False,
    late: bool = False,
) -> Mutation:
    """CubaLIF (or CubaLI) with a detail of its own; without any it is right."""

    def step(bound: Bound, inputs: Inputs, state: State) -> Outputs:
        p = bound.parameters
        before = state["u"]
        u = keep_current(current(before, p["i_decay"]) + inputs["a_in"].astype(np.int64) * 64)
        drive = before if late else u
        v = (
            potential(state["v"], p["v_decay"])
            + drive
            + p["bias"] * 2 ** bound.attributes["bias_exp"]
        )
        v = keep_potential(v)
        if "threshold" not in p:
            state["u"], state["v"] = u.astype(np.int32), v.astype(np.int32)
            return (state["v"],)
        theta = np.broadcast_to(p["threshold"] * 64, v.shape)
        spikes = fires(v, theta)
        state["v"] = np.where(spikes, reset(v, theta), v).astype(np.int32)
        state["u"] = (np.where(spikes, 0, u) if reset_current else u).astype(np.int32)
        return (spikes.astype(np.int32),)

    return lambda opdef: replace(opdef, step=step)


CUBA: list[tuple[str, Mutation]] = [
    ("the current is rounded down", cuba(current=to_floor)),
    ("the current is rounded to nearest", cuba(current=to_nearest)),
    ("the potential is rounded down", cuba(potential=to_floor)),
    ("the potential is rounded to nearest", cuba(potential=to_nearest)),
    ("the current saturates", cuba(keep_current=saturate)),
    ("the current wraps at 2**23", cuba(keep_current=modulo)),
    ("the current has 32 bits", cuba(keep_current=lambda x: x)),
    ("the potential wraps", cuba(keep_potential=wrap)),
    ("the potential has 32 bits", cuba(keep_potential=lambda x: x)),
    ("the potential sees the current of the step before", cuba(late=True)),
]

FIRING: list[tuple[str, Mutation]] = [
    ("fires at the threshold", cuba(fires=np.greater_equal)),
    ("the reset subtracts", cuba(reset=np.subtract)),
    ("the current is reset, too", cuba(reset_current=True)),
]


def negative(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """No rectification: the sum itself is sent."""
    shift = bound.attributes["spike_exp"] + 6
    state["sigma"] = state["sigma"] + inputs["a_in"]
    new = state["sigma"] + (bound.parameters["bias"] << shift).astype(np.int32)
    change = new - state["act"] + state["residue"]
    sent = np.where(np.abs(change) >= bound.parameters["threshold"] << shift, change, 0)
    state["residue"], state["act"] = change - sent, new
    return ((sent >> 6).astype(np.int32),)


def fed_back(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """What the message cuts off is kept for the next one."""
    (message,) = step(bound, inputs, state)
    cut = state["act"] - state.get("told", np.zeros_like(message))
    told = np.where(message != 0, cut - cut % 64, 0).astype(np.int32)
    state["told"] = state.get("told", np.zeros_like(message)) + told
    return (np.where(message != 0, told >> 6, 0).astype(np.int32),)


def truncated(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Messages are rounded toward 0."""
    before, left = state["act"], state["residue"]
    (message,) = step(bound, inputs, state)
    sent = state["act"] - before + left - state["residue"]
    return (np.trunc(sent / 64).astype(message.dtype),)


def forgets(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """A change below the threshold is never sent."""
    found = step(bound, inputs, state)
    state["residue"] = np.zeros_like(state["residue"])
    return found


def binary(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Messages count as spikes."""
    return step(bound, {"x": (inputs["x"] != 0).astype(np.int32)}, state)


def shifted_terms(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Every product is shifted by itself."""
    exponent = bound.attributes["weight_exp"]
    if exponent >= 0 or np.any(bound.parameters["delay"]):
        return step(bound, inputs, state)
    products = inputs["x"][..., None].astype(np.int64) * bound.parameters["weight"]
    return ((products >> -exponent).sum(1).astype(np.int32),)


def odd(weight: Array) -> Array:
    """Odd weights lose a bit, whatever their signs."""
    return weight >> 1 << 1


def dropped_exponent(opdef: OpDef) -> OpDef:
    """Where there are delays the exponent is ignored."""

    def step(bound: Bound, inputs: Inputs, state: State) -> Outputs:
        if np.any(bound.parameters["delay"]):
            bound = replace(bound, attributes={**bound.attributes, "weight_exp": 0})
        return opdef.step(bound, inputs, state)

    return replace(opdef, step=step)


def flipped(weight: Array) -> Array:
    return weight[::-1, ::-1]


def unwrapped(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Sums have 32 bits."""
    return (bound.prepared(inputs["x"]).astype(np.int32),)


def saturated(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Sums saturate."""
    return (np.clip(bound.prepared(inputs["x"]), -TOP - 1, TOP).astype(np.int32),)


def half_up(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Halves are rounded up."""
    scaled = np.floor(inputs["x"] * bound.parameters["scale"] + 0.5)
    low, high = bound.attributes["minimum"], bound.attributes["maximum"]
    return (np.clip(scaled, low, high).astype(np.int32),)


MISTAKES: list[tuple[str, str, Mutation]] = [
    *(("loihi2.CubaLIF", name, mutation) for name, mutation in (*CUBA, *FIRING)),
    *(("loihi2.CubaLI", name, mutation) for name, mutation in CUBA),
    ("loihi2.SigmaDelta", "no rectification", around(negative)),
    *(
        (op, name, around(mistake))
        for op in ("loihi2.Delta", "loihi2.SigmaDelta")
        for name, mistake in (("small changes are lost", forgets),)
    ),
    ("loihi2.SigmaDelta", "messages toward 0", around(truncated)),
    ("loihi2.SigmaDelta", "the remainder is fed back", around(fed_back)),
    ("loihi2.Dense", "messages count as spikes", around(binary)),
    ("loihi2.Conv2D", "messages count as spikes", around(binary)),
    ("loihi2.Dense", "products are shifted", around(shifted_terms)),
    ("loihi2.Dense", "odd weights lose a bit", parameter("weight", odd)),
    ("loihi2.Dense", "no exponent with delays", dropped_exponent),
    ("loihi2.Conv2D", "flipped kernels", parameter("weight", flipped)),
    ("loihi2.Conv2D", "sums of 32 bits", around(unwrapped)),
    ("loihi2.Conv2D", "sums saturate", around(saturated)),
    ("loihi2.Quantize", "halves up", around(half_up)),
]
"""Operator, mistake, and how to make it."""


CORRECT = cuba()
"""Not a mistake: shows that the mistakes above are wrong in their detail only."""
