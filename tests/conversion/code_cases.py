"""Situations of the error codes of conversion and targets; see ``tests/test_codes.py``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import snnir
from snnir.conversion.calibration import calibration_of
from snnir.conversion.scale import scale_findings
from snnir.errors import CapabilityError, ConversionError, Diagnostic, RunError, SnnirError
from snnir.targets import SnnirTarget, parse_options
from tests.conversion.nets import spots, spotter, two_outputs

Situation = Callable[[Path], Iterable[Diagnostic] | None]

IMAGES, LABELS = spots(120)
PIXELS = IMAGES / np.float32(255)


def _convert(**options: Any) -> None:
    snnir.convert(spotter(), **{"calibration": PIXELS, "labels": LABELS, "steps": 2, **options})


def _source(folder: Path) -> None:
    model, _ = snnir.convert(spotter(), calibration=PIXELS, steps=2)
    snnir.convert(model, calibration=PIXELS)


def _few_samples(folder: Path) -> Iterable[Diagnostic]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return snnir.convert(spotter(), calibration=PIXELS[:9], steps=2)[1].warnings


def _target_drop(folder: Path) -> None:
    _convert(steps=None, target_drop=0.0, method="data-norm", percentile=0.0)


CASES: list[tuple[str, type[SnnirError] | None, Situation]] = [
    ("convert.source", ConversionError, _source),
    ("convert.option", ConversionError, lambda _: _convert(percentile=99.0)),
    ("convert.calibration", RunError, lambda _: _convert(calibration=PIXELS[:, :5])),
    ("convert.few-samples", None, _few_samples),
    ("convert.scale", None, lambda _: scale_findings(spotter(), {"image": IMAGES}, LABELS)),
    ("convert.labels", RunError, lambda _: _convert(labels=LABELS + 1)),
    (
        "convert.output",
        RunError,
        lambda _: calibration_of(two_outputs(), PIXELS[:, :3, 0, 0], LABELS % 3) and None,
    ),
    ("convert.target-drop", ConversionError, _target_drop),
    ("target.option", CapabilityError, lambda _: parse_options(SnnirTarget(), ["a=1"]) and None),
]
