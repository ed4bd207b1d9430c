"""Calibration data: what is used for what, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snnir
from snnir.conversion.calibration import (
    CALIBRATION_SAMPLES,
    HELD_OUT_SAMPLES,
    MEASURED_SAMPLES,
    calibration_of,
    split,
)
from snnir.errors import RunError, SnnirWarning
from tests.conversion.nets import spots, spotter, two_outputs

IMAGES, LABELS = spots(120)
PIXELS = IMAGES / np.float32(255)


@given(st.integers(0, 100_000))
def test_a_split_uses_samples_once_and_from_everywhere(count: int) -> None:
    parts = split(count)
    for numbers, most in (
        (parts.calibrate, CALIBRATION_SAMPLES),
        (parts.measure, CALIBRATION_SAMPLES + MEASURED_SAMPLES),
    ):
        assert len(np.unique(numbers)) == len(numbers) <= most
        assert len(numbers) == 0 or 0 <= numbers.min() <= numbers.max() < count
    assert len(parts.calibrate) == min(count, CALIBRATION_SAMPLES)
    assert parts.held_out == (count >= CALIBRATION_SAMPLES + HELD_OUT_SAMPLES) or count == 0
    if count <= CALIBRATION_SAMPLES + MEASURED_SAMPLES:
        assert len(parts.used) == count
    if count:
        # Sorted by class, every tenth of the data is there.
        tenths = np.unique(parts.calibrate * 10 // count)
        assert len(tenths) == min(count, 10)


def test_the_used_samples_alone_give_the_same() -> None:
    images, labels = spots(3000)
    parts = split(3000)
    whole = calibration_of(spotter(), images, labels)
    used = calibration_of(spotter(), images[parts.used], labels[parts.used], chosen=parts)
    np.testing.assert_array_equal(whole.calibrate["image"], used.calibrate["image"])
    np.testing.assert_array_equal(whole.measure["image"], used.measure["image"])
    np.testing.assert_array_equal(whole.labels, used.labels)
    np.testing.assert_array_equal(whole.labels, labels[parts.measure])


def test_everything_is_said_at_once() -> None:
    bad = np.full((120, 6, 5, 1), np.nan)
    with pytest.raises(RunError) as caught:
        snnir.convert(spotter(), calibration=bad, labels=LABELS + 0.5)
    codes = [finding.code for finding in caught.value.diagnostics]
    assert codes == ["convert.calibration", "convert.calibration", "convert.labels"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (PIXELS[0], "[6, 6, 1]"),
        (PIXELS[:, :5], "[120, 5, 6, 1]"),
        (PIXELS[:0], "no sample"),
        (np.where(PIXELS > 0.9, np.inf, PIXELS), "NaN or infinite"),
        (PIXELS.astype(complex), "complex"),
        (np.full((120, 6, 6, 1), "text"), "NumPy type"),
        ({"picture": PIXELS}, "picture"),
        ({}, "nothing"),
        (np.full((120, 6, 6, 1), None), "object"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
    ],
)
def test_data_that_does_not_fit(data: Any, text: str) -> None:
    with pytest.raises(RunError, match=r"convert\.calibration") as caught:
        snnir.convert(spotter(), calibration=data)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (LABELS[:7], "[7]"),
        (LABELS + 1, "1 to 4"),
        (LABELS - 1, "-1 to 2"),
        (LABELS + 0.5, "float64"),
        (np.full(120, np.nan), "float64"),
        (np.eye(4)[LABELS], "argmax"),
        ([str(label) for label in LABELS], "<U1"),
        (np.stack([LABELS, LABELS]), "[2, 120]"),
        (3, "[]"),
        ([[1], [1, 2]], "different lengths"),
        ([None] * 120, "object"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, text: str) -> None:
    with pytest.raises(RunError, match=r"convert\.labels") as caught:
        snnir.convert(spotter(), calibration=PIXELS, labels=labels)
    assert text in str(caught.value)


@pytest.mark.parametrize("labels", [LABELS[:, None], LABELS.astype(float), LABELS.astype("u1")])
def test_labels_in_other_forms(labels: Any) -> None:
    _, report = snnir.convert(spotter(), calibration=PIXELS, labels=labels, steps=4)
    assert report.final[0].original == 1.0


def test_few_samples_are_warned_of() -> None:
    with pytest.warns(SnnirWarning, match=r"few calibration samples.*99 samples"):
        _, report = snnir.convert(spotter(), calibration=PIXELS[:99], steps=2)
    assert [finding.code for finding in report.warnings] == ["convert.few-samples"]


def test_one_sample_is_enough_to_go_on() -> None:
    with pytest.warns(SnnirWarning):
        model, report = snnir.convert(spotter(), calibration=PIXELS[:1], labels=LABELS[:1], steps=2)
    assert report.samples.measured == report.samples.calibrated == 1
    assert snnir.verify(model).passed


def test_labels_of_one_of_several_outputs() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (150, 3)).astype(np.float32)
    with pytest.raises(RunError, match=r"convert.output.*largest, smallest, sum"):
        snnir.convert(two_outputs(), calibration=x, labels=x.argmin(1))
    with pytest.raises(RunError, match=r"convert.output.*'other'"):
        snnir.convert(two_outputs(), calibration=x, labels=x.argmin(1), labels_of="other")
    _, report = snnir.convert(
        two_outputs(), calibration=x, labels=x.argmin(1), labels_of="smallest", steps=64
    )
    final = {entry.output: entry for entry in report.final}
    assert set(final) == {"largest", "smallest", "sum"}
    assert final["smallest"].original == 1.0 and final["smallest"].spiking is not None
    assert final["largest"].original is None and final["largest"].agreement is not None
    assert final["sum"].agreement is None and final["sum"].error < 0.05
    assert "output 'sum'" in str(report)
