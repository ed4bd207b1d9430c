"""Sigma-delta neurons: they send the change of an activation, and sum up the changes they get."""

from __future__ import annotations

from typing import Final

import numpy as np

from snnir.ir.types import DType
from snnir.ops.loihi2.common import A_IN, INT32_NOTE, LAVA, integer, state
from snnir.ops.schema import (
    Array,
    Attribute,
    Bound,
    Flow,
    Inputs,
    OpDef,
    Outputs,
    Port,
    State,
    same_shape,
)

STATE_EXP: Final = 6
"""Fraction bits that a state has and a message has not."""

LARGEST: Final = (1 << 19) - 1
"""Largest number that fits into 32 bits behind 12 fraction bits."""

SPIKE_EXP: Final = Attribute(
    "spike_exp", "Fraction bits of a message.", "int", default=6, minimum=0, maximum=7, unit="bits"
)
THRESHOLD: Final = integer(
    "threshold", "Smallest change of the activation that is sent.", 0, LARGEST, default=0
)
MESSAGE: Final = Port(
    "message",
    "Change of the activation with spike_exp fraction bits; 0 where nothing is sent.",
    dtype=DType.INT32,
)
SENDING: Final = (
    state("act", "Activation of the latest step, with all fraction bits."),
    state("residue", "Change that has not been sent yet."),
)
SIGMA: Final = state("sigma", "Sum of all input.")
SEND_TEXT: Final = """\
d = (new - act) + residue
sent = d where abs(d) >= threshold * 2**e, otherwise 0
residue = d - sent
act = new
message = floor(sent / 64); what the division cuts off is lost"""
SHIFT_TEXT: Final = f"e = spike_exp + {STATE_EXP}"
SEND_LATEX: Final = (
    r"d_t = x_t - x_{t-1} + r_{t-1},\quad o_t = d_t\, [|d_t| \ge \theta],\quad "
    r"r_t = d_t - o_t,\quad m_t = \lfloor o_t / 64 \rfloor"
)
REFERENCES: Final = (
    LAVA + "sdn",
    "O'Connor and Welling, Sigma delta quantized networks, ICLR 2017, section 2",
)


def _send(bound: Bound, new: Array, states: dict[str, Array]) -> Outputs:
    shift = bound.attributes["spike_exp"] + STATE_EXP
    change = (new - states["act"]) + states["residue"]
    threshold = bound.parameters["threshold"] << shift
    sent = np.where(np.abs(change) >= threshold, change, np.int32(0))
    states["residue"] = change - sent
    states["act"] = new
    return (sent >> STATE_EXP,)


def _step_delta(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    return _send(bound, inputs["a_in"] << (bound.attributes["spike_exp"] + STATE_EXP), states)


def _step_sigma_delta(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    states["sigma"] = states["sigma"] + inputs["a_in"]
    bias = bound.parameters["bias"] << (bound.attributes["spike_exp"] + STATE_EXP)
    new = np.maximum(states["sigma"] + bias.astype(np.int32), np.int32(0))
    return _send(bound, new, states)


def _step_sigma(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    states["sigma"] = states["sigma"] + inputs["a_in"]
    return (states["sigma"],)


def _neuron(
    name: str,
    summary: str,
    formula: str,
    latex: str,
    states: tuple[State, ...],
    biased: bool,
    notes: str,
) -> OpDef:
    bias = integer("bias", "Added to the sum; in whole activations.", -LARGEST, LARGEST, default=0)
    return OpDef(
        domain="loihi2",
        name=name,
        summary=summary,
        flow=Flow.PER_STEP,
        inputs=(A_IN,),
        outputs=(MESSAGE,),
        attributes=(SPIKE_EXP,),
        parameters=(THRESHOLD, bias) if biased else (THRESHOLD,),
        state=states,
        formula=f"{SHIFT_TEXT}\n{formula}\n{SEND_TEXT}",
        latex=f"{latex},\\quad {SEND_LATEX}",
        notes=f"{notes} {INT32_NOTE}",
        references=REFERENCES,
        infer=same_shape("a_in"),
        step=_step_sigma_delta if biased else _step_delta,
    )


DELTA: Final = _neuron(
    "Delta",
    "Sends the change of its input; a sigma-delta network's input.",
    "new = a_in * 2**e",
    r"x_t = 2^e a_t",
    SENDING,
    False,
    "A threshold of 0 sends every change.",
)

SIGMA_DELTA: Final = _neuron(
    "SigmaDelta",
    "Sums up its input and sends the change of the rectified sum: a ReLU.",
    "sigma = sigma + a_in\nnew = max(sigma + bias * 2**e, 0)",
    r"\sigma_t = \sigma_{t-1} + a_t,\quad x_t = \max(\sigma_t + 2^e b, 0)",
    (SIGMA, *SENDING),
    True,
    "A weight w of the synapse before it multiplies the activation by w / 64. A bias above 0 is "
    "sent in step 0, before any input.",
)

SIGMA_OUT: Final = OpDef(
    domain="loihi2",
    name="Sigma",
    summary="Sum of all input so far; a sigma-delta network's output.",
    flow=Flow.PER_STEP,
    inputs=(A_IN,),
    outputs=(
        Port(
            "sum",
            f"The sum: the activation with spike_exp + {STATE_EXP} fraction bits.",
            dtype=DType.INT32,
        ),
    ),
    state=(SIGMA,),
    formula="sigma = sigma + a_in\nsum = sigma",
    latex=r"\sigma_t = \sigma_{t-1} + a_t",
    notes=INT32_NOTE,
    references=REFERENCES,
    infer=same_shape("a_in"),
    step=_step_sigma,
)

OPERATORS: Final = (DELTA, SIGMA_DELTA, SIGMA_OUT)
