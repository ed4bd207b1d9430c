"""Comparison under a declared tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnir.ir.model import Close, Exact, Rate, SpikeShift, Tolerance
from snnir.runtime.compare import compare


def _raster(*trains: list[int], steps: int = 10) -> np.ndarray[Any, Any]:
    """One sample; a train of spike times for each neuron, negative spikes as -t - 1."""
    raster = np.zeros((1, steps, len(trains)), np.float32)
    for neuron, times in enumerate(trains):
        for time in times:
            raster[0, time if time >= 0 else -time - 1, neuron] = 1 if time >= 0 else -1
    return raster


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "step"),
    [
        (_raster([1, 5]), _raster([1, 5]), SpikeShift(0), None),
        (_raster([1, 5]), _raster([2, 4]), SpikeShift(1), None),
        (_raster([1, 5]), _raster([2, 4]), SpikeShift(0), 1),
        (_raster([1, 5]), _raster([1, 8]), SpikeShift(2), 5),
        (_raster([1, 5]), _raster([1]), SpikeShift(9), 5),
        (_raster([1]), _raster([1, 5]), SpikeShift(9), 5),
        (_raster([1], [9]), _raster([3], [2]), SpikeShift(1), 1),
        (_raster([1]), _raster([-2]), SpikeShift(9), 1),
        (_raster([1, 5]), _raster([2, 9]), Rate(0.0), None),
        (_raster([1, 5]), _raster([1]), Rate(0.0999), 0),
        (_raster([1, 5]), _raster([1]), Rate(0.1001), None),
        (_raster([1, 5]), _raster([1, 6]), Exact(), 5),
    ],
)
def test_spikes(
    expected: np.ndarray[Any, Any],
    found: np.ndarray[Any, Any],
    tolerance: Tolerance,
    step: int | None,
) -> None:
    mismatch = compare(expected, found, tolerance, per_step=True)
    if step is None:
        assert mismatch is None
    else:
        assert mismatch is not None
        assert isinstance(tolerance, Rate) or mismatch.step == step


def test_the_first_difference_is_the_earliest() -> None:
    expected = np.zeros((2, 5, 3))
    found = expected.copy()
    found[0, 4, 0] = 1
    found[1, 2, 1] = 2
    mismatch = compare(expected, found, Exact(), per_step=True)
    assert mismatch is not None
    assert (mismatch.step, mismatch.sample, mismatch.index) == (2, 1, (1,))
    assert (mismatch.expected, mismatch.found, mismatch.count) == ("0.0", "2.0", 2)


@pytest.mark.parametrize(
    ("expected", "found", "close"),
    [
        (1.0, 1.0 + 1e-3, Close(absolute=1.1e-3)),
        (100.0, 100.1, Close(relative=1.1e-3)),
        (-100.0, -100.1, Close(relative=1.1e-3)),
        (np.inf, np.inf, Close()),
        (0.0, 0.0, Close()),
    ],
)
def test_numbers_within(expected: float, found: float, close: Close) -> None:
    assert compare(np.array([expected]), np.array([found]), close, per_step=False) is None


@pytest.mark.parametrize(
    ("expected", "found", "close"),
    [
        (1.0, 1.0 + 1.2e-3, Close(absolute=1.1e-3)),
        (100.0, 100.2, Close(relative=1.1e-3)),
        (1.0, np.nan, Close(absolute=1e9)),
        (np.nan, 1.0, Close(absolute=1e9)),
        (np.inf, -np.inf, Close(relative=1.0)),
    ],
)
def test_numbers_beyond(expected: float, found: float, close: Close) -> None:
    assert compare(np.array([expected]), np.array([found]), close, per_step=False) is not None


def test_another_shape_is_a_mismatch() -> None:
    mismatch = compare(np.zeros((1, 3)), np.zeros((1, 4)), Close(absolute=9), per_step=False)
    assert mismatch is not None and "[1, 4]" in mismatch.found
