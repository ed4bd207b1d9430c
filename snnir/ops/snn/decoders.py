"""Decoders: from what a network does over time to one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from snnir.errors import Diagnostic, RunError
from snnir.ops.schema import (
    START_STEP,
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

X: Final = Port("x", "Spikes or potential.")
Y: Final = Port("y", "The answer.")
WINDOW: Final = (
    Attribute("start", "First step that counts.", "int", default=0, minimum=0, unit="steps"),
    Attribute(
        "stop",
        "First step that no longer counts; absent: the end of the presentation.",
        "int",
        minimum=1,
        unit="steps",
    ),
)
_WINDOW_TEXT: Final = (
    "\nThe window is start <= t < min(stop, steps); it must not be empty, and n is its length."
)


def window(bound: Bound) -> tuple[int, int]:
    """First step of the window, and the one after its last.

    Raises:
        RunError: If the presentation ends before the window starts.
    """
    start, stop = bound.attributes["start"], bound.attributes["stop"]
    stop = bound.steps if stop is None else min(stop, bound.steps)
    first = bound.attributes[START_STEP.name]
    if stop <= start:
        raise RunError(
            Diagnostic(
                "run.steps",
                f"node '{bound.node.name}' ({bound.node.op})",
                f"{bound.steps} steps" + (f" from step {first} on" if first else ""),
                f"more than {start + first} in all: the decoder's window starts there",
            )
        )
    return start, stop


def _validate_window(context: InferContext) -> None:
    start, stop = context.attribute("start"), context.attribute("stop")
    if stop is not None and stop <= start:
        context.report(
            "value.relation", "attribute 'stop'", f"{stop}", f"more than start = {start}"
        )


def _initial(value: float) -> Callable[[Bound], Array]:
    def create(bound: Bound) -> Array:
        window(bound)
        return bound.filled(bound.shape("x"), value)

    return create


Accumulate = Callable[[Bound, Array, Array, int], Array]
Finish = Callable[[Bound, Array, int], Array]


def _decoder(
    name: str,
    summary: str,
    formula: str,
    latex: str,
    state: str,
    initial: float,
    accumulate: Accumulate,
    finish: Finish,
    references: tuple[str, ...],
    parameters: tuple[Parameter, ...] = (),
    notes: str = "",
) -> OpDef:
    """A decoder with one accumulator.

    Args:
        name: The operator's name.
        summary: What it does.
        formula: Its formula.
        latex: The same.
        state: What the accumulator is.
        initial: Its initial value.
        accumulate: New accumulator of bound operator, accumulator, input and steps since start.
        finish: The answer, of bound operator, accumulator and window length.
        references: Sources.
        parameters: Its parameters.
        notes: Further normative text.
    """

    def step(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
        start, stop = window(bound)
        if start <= bound.t < stop:
            states["sum"] = accumulate(bound, states["sum"], inputs["x"], bound.t - start)
        return ()

    def end(bound: Bound, states: dict[str, Array]) -> Outputs:
        start, stop = window(bound)
        return (finish(bound, states["sum"], stop - start),)

    return OpDef(
        domain="snn",
        name=name,
        summary=summary,
        flow=Flow.DECODE,
        inputs=(X,),
        outputs=(Y,),
        attributes=WINDOW,
        parameters=parameters,
        state=(State("sum", state, f"{initial:g}", _initial(initial)),),
        formula=formula + _WINDOW_TEXT,
        latex=latex,
        references=references,
        notes=notes,
        infer=same_shape("x"),
        step=step,
        finish=end,
        validate=_validate_window,
    )


def _keep(bound: Bound, accumulator: Array, n: int) -> Array:
    return accumulator


def exponential_weight(bound: Bound, t: int) -> Array:
    """Weight of the step ``t`` after the start of the window of an ``ExponentialPotential``."""
    tau = bound.parameters.get("time_constant")
    if tau is None:
        start, stop = window(bound)
        tau = np.asarray(stop - start, bound.dtype)
    weight: Array = np.exp(-np.asarray(t, np.float64) / tau.astype(np.float64))
    return weight.astype(bound.dtype)


def _exponential(bound: Bound, accumulator: Array, x: Array, t: int) -> Array:
    total: Array = accumulator + exponential_weight(bound, t) * x
    return total


_MLGENN: Final = "Readouts of mlGeNN: Knight and Nowotny, Easy and efficient spike-based machine "
_MLGENN_REFERENCE: Final = (_MLGENN + "learning with mlGeNN, NICE 2023",)

SPIKE_COUNT = _decoder(
    "SpikeCount",
    "Number of spikes; negative ones count -1.",
    "y = sum over the window of sign(x)",
    r"y = \sum_t \operatorname{sign}(x_t)",
    "Spikes so far.",
    0.0,
    lambda bound, total, x, t: total + np.sign(x),
    _keep,
    ("Diehl et al., IJCNN 2015, section II",),
    notes="A graded spike counts once; SumPotential adds its value.",
)

FINAL_POTENTIAL = _decoder(
    "FinalPotential",
    "The value in the last step of the window.",
    "y = x in the last step of the window",
    r"y = x_{T-1}",
    "Value of the latest step.",
    0.0,
    lambda bound, total, x, t: x,
    _keep,
    _MLGENN_REFERENCE,
)

SUM_POTENTIAL = _decoder(
    "SumPotential",
    "Sum of the values over the window.",
    "y = sum over the window of x, added step by step",
    r"y = \sum_t x_t",
    "Sum so far.",
    0.0,
    lambda bound, total, x, t: total + x,
    _keep,
    _MLGENN_REFERENCE,
)

MEAN_POTENTIAL = _decoder(
    "MeanPotential",
    "Mean of the values over the window.",
    "y = (sum over the window of x, added step by step) / n",
    r"y = \frac{1}{n} \sum_t x_t",
    "Sum so far.",
    0.0,
    lambda bound, total, x, t: total + x,
    lambda bound, total, n: total / bound.dtype.type(n),
    _MLGENN_REFERENCE,
)

MAX_POTENTIAL = _decoder(
    "MaxPotential",
    "Largest value in the window.",
    "y = maximum over the window of x",
    r"y = \max_t x_t",
    "Largest value so far.",
    -np.inf,
    lambda bound, total, x, t: np.maximum(total, x),
    _keep,
    _MLGENN_REFERENCE,
    notes="Starts at minus infinity, so negative values are not lost.",
)

EXPONENTIAL_POTENTIAL = _decoder(
    "ExponentialPotential",
    "Mean of the values over the window, early ones weighing more.",
    "w(t) = exp(-(t - start) / time_constant), computed in float64 and rounded; an absent "
    "time_constant is n\n"
    "y = (sum over the window of w(t) * x, added step by step) / n",
    r"y = \frac{1}{n} \sum_t e^{-(t - t_0) / \tau} x_t",
    "Weighted sum so far.",
    0.0,
    _exponential,
    lambda bound, total, n: total / bound.dtype.type(n),
    (
        "Nowotny, Turner and Knight, Loss shaping enhances exact gradient learning with "
        "Eventprop in spiking neural networks, Neuromorphic Computing and Engineering 2025",
    ),
    parameters=(
        Parameter(
            "time_constant",
            "Steps after which the weight has fallen to 1/e. Absent: the length of the window.",
            minimum=0.0,
            exclusive_minimum=True,
            unit="steps",
        ),
    ),
)

FIRST_SPIKE_TIME = _decoder(
    "FirstSpikeTime",
    "Steps from the start of the window to the first spike.",
    "y = t - start of the first step in the window with x != 0; n if there is none",
    r"y = \min \{ t - t_0 : x_t \ne 0 \}",
    "Time of the first spike, or minus 1 before it.",
    -1.0,
    lambda bound, total, x, t: np.where((total < 0) & (x != 0), bound.dtype.type(t), total),
    lambda bound, total, n: np.where(total < 0, bound.dtype.type(n), total),
    ("Thorpe, Delorme and Van Rullen, Neural Networks 2001",),
    notes="The smallest answer is the winner.",
)

OPERATORS: Final = (
    SPIKE_COUNT,
    FINAL_POTENTIAL,
    SUM_POTENTIAL,
    MEAN_POTENTIAL,
    MAX_POTENTIAL,
    EXPONENTIAL_POTENTIAL,
    FIRST_SPIKE_TIME,
)
