"""Maximum pooling of what changes from step to step."""

from __future__ import annotations

from typing import Final

import numpy as np

from snnir.ops import kernels
from snnir.ops.dims import AXIS_NAMES, per_axis
from snnir.ops.pooling import infer_pool, pool_attributes, pool_formula, prepare_pool
from snnir.ops.schema import Array, Attribute, Bound, Flow, Inputs, OpDef, Outputs, Port, State

_RULE: Final = Attribute(
    "rule",
    "Which part of the window passes: see the formula.",
    "str",
    default="cumulative",
    choices=("cumulative", "gated", "any"),
)


def _step(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    x, axes, rule = inputs["x"], bound.prepared, bound.attributes["rule"]
    if rule == "any":
        return (kernels.reduce_windows(x, axes, np.maximum, -np.inf),)
    total = state["total"] = state["total"] + x
    if rule == "cumulative":
        peak = kernels.reduce_windows(total, axes, np.maximum, -np.inf)
        y = peak - state["peak"]
        state["peak"] = peak
        return (y,)
    spatial = len(axes)
    totals = kernels.flat_windows(total, axes, -np.inf)
    winner = np.argmax(totals, axis=spatial + 1, keepdims=True)
    candidates = kernels.flat_windows(x, axes)
    return (np.take_along_axis(candidates, winner, axis=spatial + 1).squeeze(spatial + 1),)


def _max_pool(rank: int) -> OpDef:
    place, out = per_axis("i_@", rank), per_axis("o_@", rank)
    return OpDef(
        domain="snn",
        name=f"MaxPool{rank}D",
        summary="Maximum pooling in rate coding, by a stated rule.",
        flow=Flow.PER_STEP,
        inputs=(Port("x", f"Spikes: [{', '.join(AXIS_NAMES[rank])}, channels]."),),
        outputs=(Port("y", "What passes, one value for each window and channel."),),
        attributes=(*pool_attributes(rank), _RULE),
        state=(
            State(
                "total",
                "Sum of each element over the steps so far.",
                "0",
                lambda bound: bound.filled(bound.shape("x")),
            ),
            State(
                "peak",
                "Largest total of each window, for rule 'cumulative'.",
                "0",
                lambda bound: bound.filled(bound.output_shapes["y"]),
            ),
        ),
        formula=pool_formula(
            rank,
            "rule 'any': "
            f"y[{out}, c] = maximum over [{place}] in W[{out}] of x[{place}, c]; "
            "the state is not used",
            "rules 'cumulative' and 'gated': total = total + x",
            "rule 'cumulative': "
            f"m = maximum over [{place}] in W[{out}] of total[{place}, c]; "
            f"y[{out}, c] = m - peak[{out}, c]; peak[{out}, c] = m",
            "rule 'gated': "
            f"y[{out}, c] = x of the place in W[{out}] with the largest total; the first one in "
            "C order where several are equal",
            "padding never wins",
        ),
        latex=(
            r"A_t = A_{t-1} + x_t,\quad "
            r"y_t = \max_{i \in W} A_{t,i} - \max_{i \in W} A_{t-1,i} \quad\text{(cumulative)}"
        ),
        notes=(
            "Rule 'cumulative' is exact in rate coding: the outputs of any number of steps add up "
            "to the largest sum in the window. Of unsigned spikes it makes unsigned spikes. Rule "
            "'gated' passes the spikes of the most active element so far; rule 'any' fires when "
            "any element of the window does, and so over-estimates."
        ),
        references=(
            "Rule 'gated': Rueckauer et al., Frontiers in Neuroscience 2017, section 2.2.3",
            "Rule 'any': Hu, Tang and Pan, Spiking deep residual networks, IEEE TNNLS 2021",
        ),
        infer=infer_pool(rank),
        prepare=prepare_pool,
        step=_step,
    )


OPERATORS: Final = (_max_pool(1), _max_pool(2))
