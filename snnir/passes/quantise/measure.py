"""What quantisation costs: float weights against integers against the chip's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.errors import SnnirError
from snnir.ir.model import Model
from snnir.passes.loihi2 import Loihi2Options, lower_to_loihi2, padded
from snnir.passes.quantise.quantise import QuantiseReport
from snnir.runtime.backend import find_backend

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Quality:
    """How good a form of a network is.

    Attributes:
        form: ``"float"``, ``"int8"`` (or fewer bits), ``"loihi2"``.
        agreement: Part of the samples with the same answer as in floats; None if it does not run.
        accuracy: Part of the samples with the right answer; None without labels.
        note: Why it does not run, or how it was made.
    """

    form: str
    agreement: float | None
    accuracy: float | None
    note: str = ""

    def __str__(self) -> str:
        agreement = "-" if self.agreement is None else f"{100 * self.agreement:.2f} %"
        accuracy = "-" if self.accuracy is None else f"{100 * self.accuracy:.2f} %"
        return f"{self.form:<8} {accuracy:>9} {agreement:>10}  {self.note}".rstrip()


HEADER = f"{'form':<8} {'accuracy':>9} {'agreement':>10}"


def compare(
    model: Model,
    quantised: Model,
    report: QuantiseReport,
    samples: Mapping[str, Array],
    labels: Array | None,
) -> list[Quality]:
    """The first output of a model in floats, in integers, and on Loihi 2.

    Args:
        model: The model in floats.
        quantised: What quantisation made of it.
        report: Its report.
        samples: Samples for each input; lowering to Loihi 2 is calibrated on them.
        labels: Class of each sample, or None.
    """
    wanted = _classes(model, samples)

    def quality(form: str, found: Array, note: str = "") -> Quality:
        right = None if labels is None else float((found == labels).mean())
        return Quality(form, float((found == wanted).mean()), right, note)

    rows = [
        quality("float", wanted),
        quality(
            f"int{report.bits}",
            _classes(quantised, samples),
            f"scale {report.scale}, {report.rounding}",
        ),
    ]
    try:
        lowered, done = lower_to_loihi2(model, samples, Loihi2Options(report.bits))
        found = _classes(lowered, padded(lowered, samples))
        rows.append(quality("loihi2", found, f"{done.route}, scale {done.scale}, {done.rounding}"))
    except SnnirError as error:
        (first, *more) = error.diagnostics
        others = f" and {len(more)} more" if more else ""
        rows.append(Quality("loihi2", None, None, f"{first.where}: {first.found}{others}"))
    return rows


def _classes(model: Model, samples: Mapping[str, Array]) -> Array:
    name = model.graph.outputs[0].name
    found = find_backend("layerwise").prepare(model).run(samples)[name]
    classes: Array = found.reshape(len(found), -1).argmax(1)
    return np.asarray(classes)
