"""Calibration data: which samples are used for what, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, RunError
from snnir.infer import infer
from snnir.ir.graph import Graph, GraphOutput
from snnir.ir.model import Model
from snnir.ir.types import format_shape
from snnir.runtime.backend import Inputs, check_inputs, named_inputs

Array = npt.NDArray[Any]

CALIBRATION_SAMPLES: Final = 256
"""Most samples that thresholds and biases are calibrated on."""

MEASURED_SAMPLES: Final = 2000
"""Most samples that accuracy, spikes and operations are measured on."""

HELD_OUT_SAMPLES: Final = 100
"""Fewest samples left over by calibration that are measured on alone: a percent is one sample."""

FEW_SAMPLES: Final = 100
"""Fewer samples than these are warned of: single ones then decide thresholds."""


@dataclass(frozen=True)
class Split:
    """Which of the given samples are used for what.

    Attributes:
        given: Samples there are.
        calibrate: Numbers of those that calibrate.
        measure: Numbers of those that are measured on.
    """

    given: int
    calibrate: Array
    measure: Array

    @property
    def held_out(self) -> bool:
        """Whether no sample is measured on that was calibrated on."""
        return not np.isin(self.measure, self.calibrate).any()

    @property
    def used(self) -> Array:
        """All numbers in use, ascending."""
        return np.union1d(self.calibrate, self.measure)


def split(count: int) -> Split:
    """Choose samples evenly, so that a sorted data set does no harm.

    If calibration leaves enough over, measured is what is left; otherwise all of it.
    """
    used = _evenly(np.arange(count), CALIBRATION_SAMPLES + MEASURED_SAMPLES)
    calibrate = _evenly(used, CALIBRATION_SAMPLES)
    rest = np.setdiff1d(used, calibrate)
    return Split(count, calibrate, rest if len(rest) >= HELD_OUT_SAMPLES else used)


def _evenly(numbers: Array, count: int) -> Array:
    if len(numbers) <= count:
        return numbers
    chosen: Array = numbers[np.arange(count) * len(numbers) // count]
    return chosen


@dataclass(frozen=True)
class Calibration:
    """The samples of a conversion, and the right answers to those that are measured on.

    Attributes:
        split: Which samples these are.
        calibrate: Samples for each input that calibrate.
        measure: Samples for each input that are measured on.
        labels: The class of each measured sample; None without labels.
        output: Name of the output that the labels belong to; None without labels.
    """

    split: Split
    calibrate: dict[str, Array]
    measure: dict[str, Array]
    labels: Array | None
    output: str | None


def calibration_of(
    model: Model,
    inputs: Inputs,
    labels: npt.ArrayLike | None = None,
    output: str | None = None,
    chosen: Split | None = None,
) -> Calibration:
    """Check samples and labels, and split them.

    Args:
        model: The network that they are for.
        inputs: Array for each graph input by name, or the array of the only one.
        labels: The class of each sample.
        output: Name of the output that the labels belong to; needed if there are several.
        chosen: Where the arrays are not all samples but the used ones: the split.

    Raises:
        RunError: With all that does not fit.
    """
    findings: list[Diagnostic] = []
    arrays: dict[str, Array] = {}
    count = None
    try:
        arrays = named_inputs(model.graph, inputs)
        count, _, _ = check_inputs(model.graph, arrays, None, model.time.steps)
    except RunError as error:
        findings += [_of_calibration(finding) for finding in error.diagnostics]
        sizes = {len(array) for array in arrays.values() if array.ndim}
        count = sizes.pop() if len(sizes) == 1 else None
    truth, named = _labels(model, labels, output, count, findings)
    if findings or count is None:
        raise RunError(findings)
    parts = split(count) if chosen is None else chosen
    used = None if chosen is None else chosen.used

    def pick(array: Array, numbers: Array) -> Array:
        return array[numbers if used is None else np.searchsorted(used, numbers)]

    return Calibration(
        parts,
        {name: pick(array, parts.calibrate) for name, array in arrays.items()},
        {name: pick(array, parts.measure) for name, array in arrays.items()},
        None if truth is None else pick(truth, parts.measure),
        named,
    )


def few_samples(given: int) -> list[Diagnostic]:
    """A warning if there are few samples."""
    if given >= FEW_SAMPLES:
        return []
    return [
        Diagnostic(
            "convert.few-samples", "calibration", f"{given} samples", f"{FEW_SAMPLES} or more"
        )
    ]


def _of_calibration(finding: Diagnostic) -> Diagnostic:
    return Diagnostic(
        "convert.calibration", finding.where, finding.found, finding.allowed, finding.hint
    )


# Labels --------------------------------------------------------------------------------------


def find_output(graph: Graph, name: str | None) -> GraphOutput:
    """The output of that name, or the only one.

    Raises:
        RunError: If there is none, or no name where there are several.
    """
    known = [output.name for output in graph.outputs]
    if name is None and len(known) != 1:
        raise RunError(
            Diagnostic("convert.output", "outputs", ", ".join(known), "one to measure accuracy on")
        )
    for output in graph.outputs:
        if name in (None, output.name):
            return output
    raise RunError(
        Diagnostic("convert.output", "option 'labels_of'", f"'{name}'", ", ".join(known))
    )


def check_labels(
    labels: npt.ArrayLike, shape: Sequence[int | str], count: int | None
) -> tuple[Array, list[Diagnostic]]:
    """Labels as whole numbers, one a decision, and what is wrong with them.

    Args:
        labels: The class of each sample (of each place, if an output has several axes).
        shape: Shape of the output; its last axis counts classes, or is 1 for yes or no.
        count: Number of samples, if known.
    """
    findings: list[Diagnostic] = []

    def report(found: str, allowed: str, hint: str = "") -> None:
        findings.append(Diagnostic("convert.labels", "labels", found, allowed, hint))

    try:
        truth = np.asarray(labels)
    except ValueError:
        report("lists of different lengths", "an array")
        return np.zeros(0, np.int64), findings
    classes = shape[-1] if shape else 1
    places = tuple(shape[:-1])
    if truth.ndim == len(places) + 2 and truth.shape[-1] == 1:
        truth = truth[..., 0]
    if truth.ndim == len(places) + 2 and truth.shape[-1] == classes:
        report(
            f"shape {format_shape(truth.shape)}",
            "a number for each sample",
            "Give the number of the class: one_hot.argmax(-1).",
        )
        return truth, findings
    wanted = (count if count is not None else "samples", *places)
    if truth.ndim != len(wanted) or any(
        isinstance(want, int) and have != want
        for have, want in zip(truth.shape, wanted, strict=True)
    ):
        report(f"shape {format_shape(truth.shape)}", f"shape {format_shape(wanted)}")
    if truth.dtype.kind not in "iub":
        whole = truth.dtype.kind == "f" and np.all(np.isfinite(truth)) and np.all(truth % 1 == 0)
        if not whole:
            report(f"values of type {truth.dtype}", "whole numbers")
            return truth, findings
    truth = truth.astype(np.int64)
    most = 2 if classes == 1 else classes
    if truth.size and isinstance(most, int):
        low, high = int(truth.min()), int(truth.max())
        if low < 0 or high >= most:
            wrong = int(np.count_nonzero((truth < 0) | (truth >= most)))
            report(
                f"{low} to {high} ({wrong} out of range)",
                f"0 to {most - 1}",
                "Count classes from 0, in the order of the network's outputs.",
            )
    return truth, findings


def _labels(
    model: Model,
    labels: npt.ArrayLike | None,
    output: str | None,
    count: int | None,
    findings: list[Diagnostic],
) -> tuple[Array | None, str | None]:
    if labels is None and output is None:
        return None, None
    try:
        found = find_output(model.graph, output)
    except RunError as error:
        findings += error.diagnostics
        return None, None
    if labels is None:
        return None, found.name
    truth, wrong = check_labels(labels, infer(model)[found.value].shape, count)
    findings += wrong
    return truth, found.name
