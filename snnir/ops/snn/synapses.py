"""Synapses: weights with delays or sparse structure, and the time course of a current."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from snnir import limits
from snnir.ir.types import Shape
from snnir.ops.schema import (
    INTEGERS,
    Arity,
    Array,
    Attribute,
    Bound,
    Flow,
    InferContext,
    Inputs,
    OpDef,
    Outputs,
    Parameter,
    Port,
    State,
    same_shape,
)

X: Final = Port("x", "Spikes, or any value.")
Y: Final = Port("y", "Weighted sum.")


def _delay(shape: str, doc: str, required: bool = True) -> Parameter:
    return Parameter(
        "delay_steps",
        doc,
        shape=shape,
        required=required,
        minimum=0,
        maximum=limits.MAX_DELAY_STEPS,
        dtypes=INTEGERS,
        unit="steps",
    )


def _history(bound: Bound) -> Array:
    longest = int(np.max(bound.parameters["delay_steps"], initial=0))
    return bound.filled((longest + 1, *bound.shape("x")))


HISTORY: Final = State(
    "history",
    "Past inputs as a ring: the input of step t is at index t mod (longest delay + 1) of the "
    "first feature axis.",
    "0",
    _history,
)


def _remember(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> tuple[Array, int]:
    """Put this step's input into the ring; returns the ring and its length."""
    ring = state["history"]
    ring[:, bound.t % ring.shape[1]] = inputs["x"]
    return ring, ring.shape[1]


def _step_exponential(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    current = state["i"] + inputs["x"]
    state["i"] = bound.parameters["decay"] * current
    return (current,)


def _step_delay(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    ring, length = _remember(bound, inputs, state)
    delays = bound.parameters["delay_steps"]
    slot = (bound.t - delays) % length
    if delays.ndim == 0:
        return (ring[:, int(slot)].copy(),)
    slot = np.broadcast_to(slot, bound.shape("x"))[None, None]
    return (np.take_along_axis(ring, slot, axis=1)[:, 0],)


def _infer_delayed_dense(context: InferContext) -> Sequence[Shape]:
    (inputs,) = context.expect_rank("x", 1)
    weight = context.expect_parameter("weight", (inputs, None))
    context.expect_parameter("delay_steps", weight)
    context.check_parameter("bias", (weight[1],))
    return [(weight[1],)]


def _prepare_delayed_dense(bound: Bound) -> list[tuple[int, Array]]:
    delays, weight = bound.parameters["delay_steps"], bound.parameters["weight"]
    return [
        (int(delay), np.where(delays == delay, weight, weight.dtype.type(0)))
        for delay in np.unique(delays)
    ]


def _step_delayed_dense(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    ring, length = _remember(bound, inputs, state)
    y = bound.filled(bound.output_shapes["y"])
    for delay, weight in bound.prepared:
        y += ring[:, (bound.t - delay) % length] @ weight
    bias = bound.optional("bias")
    return (y if bias is None else y + bias,)


def _infer_sparse(context: InferContext) -> Sequence[Shape]:
    (inputs,) = context.expect_rank("x", 1)
    outputs = context.attribute("outputs")
    (count,) = context.expect_parameter("weight", (None,))
    context.expect_parameter("indices", (count,))
    context.expect_parameter("row_starts", (inputs + 1 if isinstance(inputs, int) else None,))
    context.check_parameter("delay_steps", (count,))
    context.check_parameter("bias", (outputs,))
    return [(outputs,)]


def _validate_sparse(context: InferContext) -> None:
    starts, indices = context.tensor("row_starts"), context.tensor("indices")
    if starts is None or indices is None:
        return
    rows = starts.numpy().astype(np.int64)
    if rows.size and (rows[0] != 0 or rows[-1] != indices.size or np.any(rows[1:] < rows[:-1])):
        context.report(
            "value.relation",
            "parameter 'row_starts'",
            f"first {rows[0]}, last {rows[-1]}",
            f"starts at 0, never falls, ends at {indices.size} (the number of weights)",
        )
    columns, outputs = indices.numpy(), context.attribute("outputs")
    if columns.size and (columns.min() < 0 or columns.max() >= outputs):
        context.report(
            "value.range",
            "parameter 'indices'",
            f"{columns.min()} to {columns.max()}",
            f"0 to {outputs - 1}",
        )


def _prepare_sparse(bound: Bound) -> dict[str, Any]:
    """The synapses in the order of their targets, so that each sum is a contiguous stretch."""
    counts = np.diff(bound.parameters["row_starts"])
    rows = np.repeat(np.arange(counts.size), counts)
    columns = bound.parameters["indices"]
    order = np.argsort(columns, kind="stable")
    targets, starts = np.unique(columns[order], return_index=True)
    delays = bound.optional("delay_steps")
    return {
        "rows": rows[order],
        "weight": bound.parameters["weight"][order],
        "delays": None if delays is None else delays[order],
        "targets": targets,
        "starts": starts,
    }


def _sparse_history(bound: Bound) -> Array:
    if "delay_steps" in bound.parameters:
        return _history(bound)
    return bound.filled((0, *bound.shape("x")))


def _step_sparse(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    prepared = bound.prepared
    y = bound.filled(bound.output_shapes["y"])
    if prepared["targets"].size:
        if prepared["delays"] is None:
            arriving = inputs["x"][:, prepared["rows"]]
        else:
            ring, length = _remember(bound, inputs, state)
            arriving = ring[:, (bound.t - prepared["delays"]) % length, prepared["rows"]]
        y[:, prepared["targets"]] = np.add.reduceat(
            arriving * prepared["weight"], prepared["starts"], axis=1
        )
    bias = bound.optional("bias")
    return (y if bias is None else y + bias,)


_BIAS: Final = Parameter("bias", "Added to the sum in every step.", shape="[outputs]")
_SUM_NOTE: Final = (
    "The order of the additions within a sum is not defined; the bias is added last. Sums of "
    "small multiples of a power of two are exact in any order."
)

EXPONENTIAL_SYNAPSE = OpDef(
    domain="snn",
    name="ExponentialSynapse",
    summary="Synaptic current that jumps with its input and decays exponentially.",
    flow=Flow.PER_STEP,
    inputs=(Port("x", "Weighted spikes of this step; several are added.", Arity.SUM),),
    outputs=(Port("current", "Synaptic current of this step, input of this step included."),),
    parameters=(
        Parameter(
            "decay",
            "Factor by which the current decays in a step, exp(-dt / tau_syn).",
            required=True,
            minimum=0.0,
            maximum=1.0,
            unit="1 per step",
        ),
    ),
    state=(
        State(
            "i",
            "Current that is left for the next step, already decayed.",
            "0",
            lambda bound: bound.filled(bound.shape("x")),
        ),
    ),
    formula="current = i + x\ni = decay * current",
    latex=r"I_t = \beta I_{t-1} + x_t",
    notes="Input arrives undecayed. A delta synapse is the absence of this operator.",
    references=("Neuronal Dynamics, 2014, section 3.1",),
    infer=same_shape("x"),
    step=_step_exponential,
)

DELAY = OpDef(
    domain="snn",
    name="Delay",
    summary="Delays each element by its own number of steps (axonal delay).",
    flow=Flow.PER_STEP,
    inputs=(X,),
    outputs=(Port("y", "The input of delay_steps steps ago; 0 before there is one."),),
    parameters=(_delay("feature", "Delay of each element."),),
    state=(HISTORY,),
    formula="y(t, i) = x(t - delay_steps[i], i), or 0 where t < delay_steps[i]",
    latex=r"y_{t,i} = x_{t - d_i, i}",
    notes=(
        "Adds to the delay of a binding. A delay of 0 is allowed, so this operator does not by "
        "itself break a cycle; a binding with delay_steps >= 1 does. Where delays come from "
        "times, steps = time / dt rounded to the nearest integer, halves to the even one."
    ),
    references=("Davies et al., Loihi, IEEE Micro 2018, axonal delays",),
    infer=same_shape("x"),
    step=_step_delay,
)

DELAYED_DENSE = OpDef(
    domain="snn",
    name="DelayedDense",
    summary="Full connection in which every synapse has its own delay.",
    flow=Flow.PER_STEP,
    inputs=(X,),
    outputs=(Y,),
    parameters=(
        Parameter("weight", "Weights.", shape="[inputs, outputs]", required=True),
        _delay("[inputs, outputs]", "Delay of each synapse."),
        _BIAS,
    ),
    state=(HISTORY,),
    formula=(
        "y(t, j) = sum over i of weight[i, j] * x(t - delay_steps[i, j], i), plus bias[j]; "
        "x is 0 before step 0"
    ),
    latex=r"y_{t,j} = b_j + \sum_i W_{ij}\, x_{t - d_{ij}, i}",
    notes=_SUM_NOTE,
    references=(
        "Hammouamri, Khalfaoui-Hassani and Masquelier, Learning delays in spiking neural "
        "networks, ICLR 2024",
    ),
    infer=_infer_delayed_dense,
    prepare=_prepare_delayed_dense,
    step=_step_delayed_dense,
)

SPARSE = OpDef(
    domain="snn",
    name="Sparse",
    summary="Sparse connection in compressed rows (CSR), a row for each input.",
    flow=Flow.PER_STEP,
    inputs=(X,),
    outputs=(Y,),
    attributes=(Attribute("outputs", "Number of outputs.", "int", required=True, minimum=1),),
    parameters=(
        Parameter("weight", "Weight of each synapse.", shape="[synapses]", required=True),
        Parameter(
            "indices",
            "Output of each synapse; several synapses may share input and output, and add up.",
            shape="[synapses]",
            required=True,
            dtypes=INTEGERS,
        ),
        Parameter(
            "row_starts",
            "Synapses row_starts[i] to row_starts[i + 1] - 1 come from input i.",
            shape="[inputs + 1]",
            required=True,
            dtypes=INTEGERS,
        ),
        _delay("[synapses]", "Delay of each synapse. Absent: none.", required=False),
        _BIAS,
    ),
    state=(State("history", HISTORY.doc + " Empty without delays.", "0", _sparse_history),),
    formula=(
        "y(t, j) = sum over synapses k with indices[k] = j of weight[k] * "
        "x(t - delay_steps[k], i), plus bias[j], where row_starts[i] <= k < row_starts[i + 1]; "
        "x is 0 before step 0"
    ),
    latex=r"y_{t,j} = b_j + \sum_{k : j_k = j} w_k\, x_{t - d_k, i_k}",
    notes=_SUM_NOTE,
    references=("Compressed sparse row storage: Tinney and Walker, Proc. IEEE 1967",),
    infer=_infer_sparse,
    prepare=_prepare_sparse,
    step=_step_sparse,
    validate=_validate_sparse,
)

OPERATORS: Final = (EXPONENTIAL_SYNAPSE, DELAY, DELAYED_DENSE, SPARSE)
