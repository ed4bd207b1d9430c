"""Encoders: how a static value drives a network over time.

Raw spikes need no encoder: they are a graph input of timing ``per_step``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from snnir.ops.schema import (
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
from snnir.ops.snn.neurons import (
    COMPARE,
    INITIAL,
    RESET,
    RESET_POTENTIAL,
    SPIKES,
    THRESHOLD,
    validate_firing,
)

X: Final = Port("x", "Value to encode.")

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * _MIX[0]
    z = (z ^ (z >> np.uint64(27))) * _MIX[1]
    return z ^ (z >> np.uint64(31))


def stream_start(seed: int) -> int:
    """The state that SplitMix64 starts from for a seed: ``mix(seed)``."""
    return int(_mix(np.array([seed], np.uint64))[0])


def uniform(seed: int, t: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), multiples of 2**-24, for each of ``count`` elements in step ``t``.

    Output ``t * count + i`` of SplitMix64 whose state starts at ``mix(seed)`` (Steele, Lea and
    Flood, Fast splittable pseudorandom number generators, OOPSLA 2014), its upper 24 bits
    divided by 2**24.
    """
    start = np.array([stream_start(seed)], np.uint64)
    index = np.arange(t * count + 1, (t + 1) * count + 1, dtype=np.uint64)
    bits = _mix(start + index * _GOLDEN)
    return (bits >> np.uint64(40)).astype(np.float64) * 2.0**-24


def _step_constant(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    return (inputs["x"],)


def _step_poisson(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    x = inputs["x"] * bound.parameters["gain"]
    shape = bound.shape("x")
    draw = uniform(bound.attributes["seed"], bound.t, int(np.prod(shape, dtype=np.int64)))
    probability = np.abs(x) if bound.attributes["signed"] else x
    spikes = (draw.reshape(shape) < probability).astype(bound.dtype)
    return (np.copysign(spikes, x) * (spikes != 0) if bound.attributes["signed"] else spikes,)


def _step_latency(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    x = inputs["x"]
    last = bound.attributes["window_steps"] - 1
    due = np.rint((1 - np.clip(x, 0, 1)) * bound.dtype.type(last))
    return (((due == bound.t) & (x >= bound.parameters["minimum"]) & (x > 0)).astype(bound.dtype),)


def _step_rate(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    parameters, threshold = bound.parameters, bound.parameters["threshold"]
    u = state["v"] + inputs["x"] * parameters["gain"]
    fired = u >= threshold if bound.attributes["compare"] == ">=" else u > threshold
    reset = u
    if bound.attributes["reset"] == "subtract":
        reset = u - (threshold - parameters["reset_potential"])
    elif bound.attributes["reset"] == "to_value":
        reset = parameters["reset_potential"]
    state["v"] = np.where(fired, reset, u).astype(bound.dtype, copy=False)
    return (fired.astype(bound.dtype),)


_GAIN: Final = Parameter("gain", "Factor on the value before it is encoded.", default=1.0)

CONSTANT_CURRENT = OpDef(
    domain="snn",
    name="ConstantCurrent",
    summary="The value itself, as a current in every step.",
    flow=Flow.ENCODE,
    inputs=(X,),
    outputs=(Port("current", "x."),),
    formula="current = x",
    latex=r"I_t = x",
    references=("Rueckauer et al., Frontiers in Neuroscience 2017, section 2.1.2",),
    infer=same_shape("x"),
    step=_step_constant,
)

POISSON_ENCODER = OpDef(
    domain="snn",
    name="PoissonEncoder",
    summary="Random spikes whose probability in a step is the value.",
    flow=Flow.ENCODE,
    inputs=(X,),
    outputs=(SPIKES,),
    attributes=(
        Attribute(
            "seed", "Seed of the random numbers.", "int", default=0, minimum=0, maximum=2**63 - 1
        ),
        Attribute(
            "signed",
            "Whether a negative value emits negative spikes; otherwise it emits none.",
            "bool",
            default=False,
        ),
    ),
    parameters=(_GAIN,),
    formula=(
        "p = x * gain, its absolute value if signed\n"
        "r(t, i) = upper 24 bits of mix(mix(seed) + (t * N + i + 1) * 0x9E3779B97F4A7C15 "
        "mod 2**64), divided by 2**24, where i is the index of the element in C order and N the "
        "number of elements of a sample\n"
        "mix(z): z = (z xor (z >> 30)) * 0xBF58476D1CE4E5B9; "
        "z = (z xor (z >> 27)) * 0x94D049BB133111EB; z xor (z >> 31); all mod 2**64\n"
        "spikes = 1 where r(t, i) < p, otherwise 0; with the sign of x * gain if signed"
    ),
    latex=r"P(s_t = 1) = \min(\max(g x, 0), 1)",
    notes=(
        "The numbers are part of the definition: every backend draws the same spikes. They start "
        "anew with every presentation, as all state does, so a sample's spikes do not depend on "
        "its place in a batch."
    ),
    references=(
        "Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014",
        "Rate coding by Bernoulli trials: Diehl et al., Fast-classifying, high-accuracy spiking "
        "deep networks, IJCNN 2015",
    ),
    infer=same_shape("x"),
    step=_step_poisson,
)

LATENCY_ENCODER = OpDef(
    domain="snn",
    name="LatencyEncoder",
    summary="One spike, the earlier the larger the value (time to first spike).",
    flow=Flow.ENCODE,
    inputs=(X,),
    outputs=(SPIKES,),
    attributes=(
        Attribute(
            "window_steps",
            "A value of 1 spikes in step 0, one just above 0 in step window_steps - 1.",
            "int",
            required=True,
            minimum=1,
            unit="steps",
        ),
    ),
    parameters=(
        Parameter(
            "minimum", "Smaller values emit no spike.", default=0.0, minimum=0.0, maximum=1.0
        ),
    ),
    formula=(
        "due = (1 - min(max(x, 0), 1)) * (window_steps - 1), rounded to the nearest integer, "
        "halves to the even one\n"
        "spikes = 1 where t = due and x >= minimum and x > 0, otherwise 0"
    ),
    latex=r"s_t = [t = \operatorname{rint}((1 - x)(W - 1))]",
    references=(
        "Thorpe, Delorme and Van Rullen, Spike-based strategies for rapid processing, Neural "
        "Networks 2001",
    ),
    infer=same_shape("x"),
    step=_step_latency,
)

RATE_ENCODER = OpDef(
    domain="snn",
    name="RateEncoder",
    summary="Regular spikes at a rate given by the value: an IF neuron fed with the value.",
    flow=Flow.ENCODE,
    inputs=(X,),
    outputs=(SPIKES,),
    attributes=(RESET, COMPARE),
    parameters=(_GAIN, THRESHOLD, RESET_POTENTIAL, INITIAL),
    state=(
        State(
            "v",
            "Membrane potential, after the reset of the step.",
            "initial_potential",
            lambda bound: bound.filled(bound.shape("x"), bound.parameters["initial_potential"]),
        ),
    ),
    formula=(
        "u = v + x * gain\n"
        "spikes = 1 where u >= threshold (or >, by compare), otherwise 0\n"
        "v = u where there is no spike; where there is one, u - (threshold - reset_potential), "
        "reset_potential or u, by reset"
    ),
    latex=r"u_t = v_{t-1} + g x,\quad s_t = [u_t \ge \theta]",
    notes="Equal to ConstantCurrent into IF; a backend may run it where its input comes from.",
    references=("Rueckauer et al., Frontiers in Neuroscience 2017, eqs. 1-3",),
    infer=same_shape("x"),
    step=_step_rate,
    validate=validate_firing,
)

OPERATORS: Final = (CONSTANT_CURRENT, POISSON_ENCODER, LATENCY_ENCODER, RATE_ENCODER)
