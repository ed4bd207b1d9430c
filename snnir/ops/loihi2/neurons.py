"""CUBA neurons: a current and a potential of 24 bits that decay toward zero."""

from __future__ import annotations

from typing import Final

import numpy as np

from snnir.ir.types import DType
from snnir.ops.loihi2.common import A_IN, LAVA, integer, state
from snnir.ops.schema import (
    Array,
    Attribute,
    Bound,
    Flow,
    Inputs,
    OpDef,
    Outputs,
    Port,
    same_shape,
)

UNITY: Final = 4096
"""A decay of this leaves nothing, one of 0 leaves everything."""

LIMIT: Final = 1 << 23
"""States lie between minus this and this."""

ALIGNMENT: Final = 6
"""Input and threshold are shifted left by so many bits."""

MAX_THRESHOLD: Final = (1 << 17) - 1

I_DECAY: Final = integer(
    "i_decay",
    "Decay of the current in a step, in 1/4096: 4096 keeps no memory of earlier input.",
    0,
    UNITY,
    unit="1/4096 per step",
)
V_DECAY: Final = integer(
    "v_decay",
    "Decay of the potential in a step, in 1/4096: 0 integrates without leak.",
    0,
    UNITY,
    unit="1/4096 per step",
)
THRESHOLD: Final = integer(
    "threshold",
    "Mantissa of the threshold: 17 bits, unsigned. One unit is one unit of a_in.",
    0,
    MAX_THRESHOLD,
)
BIAS: Final = integer(
    "bias",
    "Mantissa of the current added in every step: 13 bits, signed. With a bias_exp of 6 one unit "
    "is one unit of a_in.",
    -4096,
    4095,
    default=0,
)
BIAS_EXP: Final = Attribute(
    "bias_exp",
    "Bits by which the bias is shifted left.",
    "int",
    default=ALIGNMENT,
    minimum=0,
    maximum=7,
    unit="bits",
)
STATES: Final = (
    state("u", "Current."),
    state("v", "Membrane potential, after the reset of the step."),
)
INTEGRATE_TEXT: Final = f"""\
decayed(x, d) = sign(x) * floor(abs(x) * ({UNITY} - d) / {UNITY}): it is truncated toward 0
w = decayed(u, i_decay) + a_in * {1 << ALIGNMENT}
u = w - 2**24 where w > 2**23, w + 2**24 where w <= -2**23, otherwise w: it wraps once
z = decayed(v, v_decay) + u + bias * 2**bias_exp
v = z clipped to -(2**23 - 1) .. 2**23 - 1: it saturates"""
INTEGRATE_LATEX: Final = (
    r"u_t = \operatorname{wrap}_{24}\bigl(\delta(u_{t-1}, d_u) + 2^6 a_t\bigr),\quad "
    r"v_t = \operatorname{sat}_{24}\bigl(\delta(v_{t-1}, d_v) + u_t + 2^{e} b\bigr),\quad "
    r"\delta(x, d) = \operatorname{sgn}(x) \lfloor |x| (4096 - d) / 4096 \rfloor"
)
NOTES: Final = (
    "Arithmetic is that of signed integers of 32 bits, modulo 2**32, but for the product in "
    "decayed, which has 64. The input of a step reaches the potential in the same step; the "
    "step of latency of a connection is that of its synapse."
)
REFERENCES: Final = (
    LAVA + "lif",
    "Davies et al., Loihi: a neuromorphic manycore processor with on-chip learning, IEEE Micro "
    "2018, eqs. 1-2",
)


def decayed(x: Array, decay: Array) -> Array:
    """``sign(x) * floor(abs(x) * (4096 - decay) / 4096)`` in int32."""
    product = np.abs(x.astype(np.int64)) * (UNITY - decay) >> 12
    result: Array = (np.sign(x) * product).astype(np.int32)
    return result


def _integrate(bound: Bound, a_in: Array, states: dict[str, Array]) -> Array:
    parameters = bound.parameters
    u = decayed(states["u"], parameters["i_decay"]) + (a_in << ALIGNMENT)
    u = np.where(u > LIMIT, u - 2 * LIMIT, np.where(u <= -LIMIT, u + 2 * LIMIT, u))
    states["u"] = u.astype(np.int32, copy=False)
    bias = (parameters["bias"] << bound.attributes["bias_exp"]).astype(np.int32)
    v = decayed(states["v"], parameters["v_decay"]) + states["u"] + bias
    saturated: Array = np.clip(v, -(LIMIT - 1), LIMIT - 1)
    return saturated


def _step_lif(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    v = _integrate(bound, inputs["a_in"], states)
    spikes = v > bound.parameters["threshold"] << ALIGNMENT
    states["v"] = np.where(spikes, np.int32(0), v)
    return (spikes.astype(np.int32),)


def _step_li(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    states["v"] = _integrate(bound, inputs["a_in"], states)
    return (states["v"],)


CUBA_LIF: Final = OpDef(
    domain="loihi2",
    name="CubaLIF",
    summary="Leaky integrate-and-fire neuron with a decaying current and a reset to 0.",
    flow=Flow.PER_STEP,
    inputs=(A_IN,),
    outputs=(Port("spikes", "1 in a step with a spike, otherwise 0.", dtype=DType.INT32),),
    attributes=(BIAS_EXP,),
    parameters=(I_DECAY, V_DECAY, THRESHOLD, BIAS),
    state=STATES,
    formula=(
        f"{INTEGRATE_TEXT}\n"
        f"spikes = 1 where v > threshold * {1 << ALIGNMENT}, otherwise 0\n"
        "v = 0 where there is a spike; u is not reset"
    ),
    latex=INTEGRATE_LATEX + r",\quad s_t = [v_t > 2^6 \theta]",
    notes=NOTES + " A chip keeps one threshold and one pair of decays for a population.",
    references=REFERENCES,
    infer=same_shape("a_in"),
    step=_step_lif,
)

CUBA_LI: Final = OpDef(
    domain="loihi2",
    name="CubaLI",
    summary="CubaLIF that never fires; a readout.",
    flow=Flow.PER_STEP,
    inputs=(A_IN,),
    outputs=(Port("potential", "Membrane potential after the step.", dtype=DType.INT32),),
    attributes=(BIAS_EXP,),
    parameters=(I_DECAY, V_DECAY, BIAS),
    state=STATES,
    formula=INTEGRATE_TEXT + "\npotential = v",
    latex=INTEGRATE_LATEX,
    notes=NOTES
    + " In Lava it is a LIF with a threshold of 2**17, which a saturated potential cannot exceed. "
    "An i_decay of 0 and a v_decay of 4096 sum up the input: v is u plus the bias.",
    references=REFERENCES,
    infer=same_shape("a_in"),
    step=_step_li,
)

OPERATORS: Final = (CUBA_LIF, CUBA_LI)
