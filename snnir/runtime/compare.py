"""Comparing what a run gave with what was expected, under a declared tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.ir.model import Close, Exact, Rate, SpikeShift, Tolerance
from snnir.ir.types import format_shape

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Mismatch:
    """The first place where two arrays differ by more than allowed.

    Attributes:
        step: The time step, or None for a static value.
        sample: Index of the sample.
        index: Index among the features; empty if the whole neuron or array is meant.
        expected: What should be there.
        found: What is there.
        count: How many elements differ by more than allowed.
    """

    step: int | None
    sample: int
    index: tuple[int, ...]
    expected: str
    found: str
    count: int

    def __str__(self) -> str:
        time = "" if self.step is None else f"step {self.step}, "
        return (
            f"{time}sample {self.sample}, index {list(self.index)}: expected {self.expected}, "
            f"found {self.found} ({self.count} elements differ)"
        )


def compare(
    expected: Array, found: Array, tolerance: Tolerance, *, per_step: bool
) -> Mismatch | None:
    """The first mismatch, or None if there is none.

    Args:
        expected: Array with a leading batch axis, then time if ``per_step``.
        found: Array that is compared.
        tolerance: What may differ.
        per_step: Whether axis 1 is time. First then means: in the earliest step.
    """
    if expected.shape != found.shape:
        shapes = (format_shape(expected.shape), format_shape(found.shape))
        return Mismatch(None, 0, (), f"shape {shapes[0]}", f"shape {shapes[1]}", 1)
    if isinstance(tolerance, Exact):
        return _first(expected, found, expected != found, per_step)
    if isinstance(tolerance, Close):
        want, have = expected.astype(np.float64), found.astype(np.float64)
        finite = np.isfinite(want) & np.isfinite(have)
        with np.errstate(invalid="ignore"):
            far = np.abs(have - want) > tolerance.absolute + tolerance.relative * np.abs(want)
        bad = np.where(finite, far, have != want)
        return _first(expected, found, bad, per_step)
    if isinstance(tolerance, Rate):
        return _compare_rate(expected, found, tolerance, per_step)
    return _compare_shift(expected, found, tolerance, per_step)


def _first(expected: Array, found: Array, bad: Array, per_step: bool) -> Mismatch | None:
    if not bad.any():
        return None
    by_time = np.moveaxis(bad, 1, 0) if per_step else bad
    position = [int(i) for i in np.argwhere(by_time)[0]]
    if per_step:
        position[0], position[1] = position[1], position[0]
    where = tuple(position)
    return Mismatch(
        where[1] if per_step else None,
        where[0],
        where[2 if per_step else 1 :],
        repr(expected[where].item()),
        repr(found[where].item()),
        int(np.count_nonzero(bad)),
    )


def _compare_rate(
    expected: Array, found: Array, tolerance: Rate, per_step: bool
) -> Mismatch | None:
    want, have = expected.astype(np.float64), found.astype(np.float64)
    if per_step:
        want, have = want.mean(axis=1), have.mean(axis=1)
    return _first(want, have, ~(np.abs(have - want) <= tolerance.bound), per_step=False)


def _compare_shift(
    expected: Array, found: Array, tolerance: SpikeShift, per_step: bool
) -> Mismatch | None:
    """Pair the spikes of each neuron in order, positive and negative ones separately."""
    if not per_step:
        return _first(expected, found, expected != found, per_step)
    shape = (expected.shape[0], expected.shape[1], -1)
    first: Mismatch | None = None
    count = 0
    for sign in (1, -1):
        want, have = (np.sign(a).reshape(shape) == sign for a in (expected, found))
        differing = np.argwhere((want != have).any(axis=1))
        for sample, neuron in differing:
            times = np.flatnonzero(want[sample, :, neuron]), np.flatnonzero(have[sample, :, neuron])
            step = _unpaired(times[0], times[1], tolerance.steps)
            if step is None:
                continue
            count += 1
            if first is None or first.step is None or step < first.step:
                index = np.unravel_index(int(neuron), expected.shape[2:] or (1,))
                first = Mismatch(
                    step,
                    int(sample),
                    tuple(int(i) for i in index),
                    f"spikes at {times[0][:8].tolist()}",
                    f"spikes at {times[1][:8].tolist()}",
                    0,
                )
    if first is None:
        return None
    return Mismatch(first.step, first.sample, first.index, first.expected, first.found, count)


def _unpaired(want: Array, have: Array, shift: int) -> int | None:
    """The step of the first spike without a partner, or None."""
    paired = min(len(want), len(have))
    far = np.flatnonzero(np.abs(want[:paired] - have[:paired]) > shift)
    if far.size:
        return int(min(want[far[0]], have[far[0]]))
    if len(want) != len(have):
        return int((want if len(want) > paired else have)[paired])
    return None
