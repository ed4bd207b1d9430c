"""Two neuron models that snnir does not have, under a domain of their own.

``acme.Izhikevich`` computes in floats; ``acme.SaturatingCounter`` shows integer semantics: its
values are int32 and it says itself how they saturate.
"""

from __future__ import annotations

import numpy as np

from snnir.ir.types import DType
from snnir.ops.schema import (
    Arity,
    Array,
    Attribute,
    Bound,
    Flow,
    Inputs,
    OpDef,
    Outputs,
    Parameter,
    Port,
    State,
    same_shape,
)


def _step_izhikevich(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    p = bound.parameters
    v, u = state["v"], state["u"]
    v = v + bound.dtype.type(0.04) * v * v + 5 * v + 140 - u + inputs["current"]
    u = u + p["a"] * (p["b"] * state["v"] - u)
    fired = v >= p["peak"]
    state["v"] = np.where(fired, p["c"], v).astype(bound.dtype)
    state["u"] = np.where(fired, u + p["d"], u).astype(bound.dtype)
    return (fired.astype(bound.dtype),)


IZHIKEVICH = OpDef(
    domain="acme",
    name="Izhikevich",
    summary="Izhikevich neuron, Euler steps of 1 ms.",
    flow=Flow.PER_STEP,
    inputs=(Port("current", "Input current.", Arity.SUM),),
    outputs=(Port("spikes", "1 in a step with a spike, otherwise 0."),),
    parameters=(
        Parameter("a", "Rate of recovery.", default=0.02, unit="1 per ms"),
        Parameter("b", "Sensitivity of recovery.", default=0.2),
        Parameter("c", "Potential after a spike.", default=-65.0, unit="mV"),
        Parameter("d", "Rise of recovery with a spike.", default=8.0),
        Parameter("peak", "Potential that counts as a spike.", default=30.0, unit="mV"),
    ),
    state=(
        State(
            "v",
            "Membrane potential.",
            "c",
            lambda bound: bound.filled(bound.shape("current"), bound.parameters["c"]),
            "mV",
        ),
        State(
            "u",
            "Recovery.",
            "b * c",
            lambda bound: bound.filled(
                bound.shape("current"), bound.parameters["b"] * bound.parameters["c"]
            ),
        ),
    ),
    formula=(
        "w = v + 0.04 * v * v + 5 * v + 140 - u + current\n"
        "u = u + a * (b * v - u)\n"
        "spikes = 1 where w >= peak, otherwise 0\n"
        "v = c and u = u + d where there is a spike; v = w elsewhere"
    ),
    references=("Izhikevich, Simple model of spiking neurons, IEEE TNN 2003",),
    infer=same_shape("current"),
    step=_step_izhikevich,
    targets={"acme": "v += 0.04*v*v + 5*v + 140 - u + I;"},
)


def _step_counter(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    limit = np.int64(1) << (bound.attributes["bits"] - 1)
    total = state["n"].astype(np.int64) + inputs["x"]
    state["n"] = np.clip(total, -limit, limit - 1).astype(np.int32)
    return (state["n"],)


COUNTER = OpDef(
    domain="acme",
    name="SaturatingCounter",
    summary="Adds integers and saturates.",
    flow=Flow.PER_STEP,
    inputs=(Port("x", "What is added.", dtype=DType.INT32),),
    outputs=(Port("y", "The sum.", dtype=DType.INT32),),
    attributes=(
        Attribute("bits", "Width of the counter.", "int", default=24, minimum=2, maximum=32),
    ),
    state=(
        State(
            "n", "The sum.", "0", lambda bound: np.zeros((bound.batch, *bound.shape("x")), np.int32)
        ),
    ),
    formula="n = n + x, clipped to -2**(bits - 1) .. 2**(bits - 1) - 1\ny = n",
    infer=same_shape("x"),
    step=_step_counter,
)

OPERATORS = (IZHIKEVICH, COUNTER)
