"""Choosing thresholds and biases by the error of the mean output on calibration samples.

Neurons that share a threshold are a group: those of a channel, or, where the calibration samples
say that it pays, those of a channel in one row or one column. (The columns of a spectrogram are
frequencies, whose activations differ by far.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.passes.rate.neurons import Neuron, make

Array = npt.NDArray[Any]
Steps = Callable[[slice], Array]
"""Every step of some samples, (steps, samples, ...)."""

CANDIDATES: Final = np.linspace(0.05, 1.2, 24)
"""Thresholds that are tried, relative to the largest activation of a group."""

NEIGHBOURS: Final = (0.85, 1.0, 1.2)
"""Thresholds that are simulated step by step, relative to the best in closed form."""

BIAS_ROUNDS: Final = 2
"""For each threshold, how often the mean error is moved into the bias and tried again."""

CLOSED_FORM_ELEMENTS: Final = 1 << 21
"""About how many activations are used in closed form."""

SIMULATED_ELEMENTS: Final = 1 << 26
"""About how many activations times steps are simulated for one threshold."""

HELD_OUT: Final = 4
"""Every fourth sample is held out to choose the groups."""

WORTH_IT: Final = 0.9
"""Finer groups must bring the held-out root mean square error below this part of a channel's."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the neurons of a layer are to do.

    Attributes:
        current: Mean current that arrives, (samples, ...).
        steps: Every step of it.
        count: Presentation length.
        target: The original activation, (samples, ...).
        slope: Slope of the original activation below zero.
        start: Initial potential, as a part of the threshold.
        cap: Largest value of the original activation function, if it has one.
    """

    current: Array
    steps: Steps
    count: int
    target: Array
    slope: Array | float
    start: float
    cap: float | None


def choose(wanted: Wanted) -> Neuron:
    """The neurons with the least error of the mean output.

    Thresholds and biases have the last axes of the features, and length 1 where all share one.
    """
    groups = _groups(wanted)
    return _refined(wanted, groups, _best(wanted, groups, slice(None)))


# Groups --------------------------------------------------------------------------------------


def _groups(wanted: Wanted) -> tuple[int, ...]:
    """Feature axes along which thresholds differ, the last one always."""
    rank = wanted.target.ndim - 1
    channels = (rank - 1,)
    finer = [(axis, rank - 1) for axis in range(rank - 1) if wanted.target.shape[1 + axis] > 1]
    held_out = np.arange(len(wanted.target)) % HELD_OUT == HELD_OUT - 1
    if not finer or held_out.sum() < HELD_OUT or np.ndim(wanted.slope):
        return channels
    error = {
        groups: _error(wanted, groups, _best(wanted, groups, ~held_out), held_out)
        for groups in (channels, *finer)
    }
    best = min(error, key=error.__getitem__)
    return best if error[best] < WORTH_IT * error[channels] else channels


def _error(wanted: Wanted, groups: tuple[int, ...], neuron: Neuron, chosen: Array) -> float:
    output = neuron.settled(wanted.current[chosen], wanted.count)
    return float(np.sqrt(np.square(output - wanted.target[chosen], dtype=np.float64).mean()))


def _shape(wanted: Wanted, groups: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a parameter that differs along ``groups``, without leading ones."""
    features = wanted.target.shape[1:]
    full = [size if axis in groups else 1 for axis, size in enumerate(features)]
    return tuple(full[min(groups) :])


# Search --------------------------------------------------------------------------------------


def _mean(array: Array, shape: tuple[int, ...]) -> Array:
    """Mean over samples and all that a parameter of this shape does not tell apart."""
    rank = array.ndim
    kept = {rank - len(shape) + axis for axis, size in enumerate(shape) if size > 1}
    kept.add(rank - 1)
    mean: Array = array.mean(axis=tuple(a for a in range(rank) if a not in kept), dtype=np.float64)
    return mean.reshape(shape).astype(np.float32)


def _largest(target: Array, shape: tuple[int, ...]) -> Array:
    """Largest magnitude of each group, at least a thousandth of the largest of all."""
    rank = target.ndim
    kept = {rank - len(shape) + axis for axis, size in enumerate(shape) if size > 1}
    kept.add(rank - 1)
    magnitude = np.abs(target)
    largest: Array = magnitude.max(axis=tuple(a for a in range(rank) if a not in kept))
    least = np.float32(1e-3) * np.float32(max(float(magnitude.max()), 1e-6))
    return np.maximum(largest.reshape(shape), least).astype(np.float32)


@dataclasses.dataclass
class _Search:
    """The best threshold and bias of each group so far."""

    threshold: Array
    bias: Array
    loss: Array

    def offer(self, threshold: Array, bias: Array, loss: Array) -> None:
        better = loss < self.loss
        self.loss = np.where(better, loss, self.loss)
        self.threshold = np.where(better, threshold, self.threshold)
        self.bias = np.where(better, bias, self.bias)

    def try_out(
        self,
        tried: Array,
        target: Array,
        neuron_of: Callable[[Array, Array], Neuron],
        output_of: Callable[[Neuron], Array],
        bias: Array | None = None,
    ) -> None:
        """Try a threshold for each group, moving the mean error into the bias."""
        shape = self.threshold.shape
        shift = np.zeros(shape, np.float32) if bias is None else bias
        for _ in range(BIAS_ROUNDS):
            error = target - output_of(neuron_of(tried, shift))
            self.offer(tried, shift, _mean(np.square(error), shape))
            shift = shift + _mean(error, shape)


def _start(wanted: Wanted, groups: tuple[int, ...]) -> _Search:
    shape = _shape(wanted, groups)
    return _Search(
        np.ones(shape, np.float32), np.zeros(shape, np.float32), np.full(shape, np.inf, np.float32)
    )


def _capped(wanted: Wanted, threshold: Array) -> Array:
    return threshold if wanted.cap is None else np.minimum(threshold, np.float32(wanted.cap))


def _best(wanted: Wanted, groups: tuple[int, ...], chosen: Array | slice) -> Neuron:
    """In closed form, on some samples."""
    current, target = wanted.current[chosen], wanted.target[chosen]
    every = max(target.size // CLOSED_FORM_ELEMENTS, 1)
    current, target = current[::every], target[::every]
    search = _start(wanted, groups)
    largest = _largest(wanted.target[chosen], search.threshold.shape)
    for candidate in CANDIDATES:
        search.try_out(
            _capped(wanted, np.float32(candidate) * largest),
            target,
            lambda threshold, bias: make(threshold, wanted.slope, True, wanted.start, bias),
            lambda neuron: neuron.settled(current, wanted.count),
        )
    return make(search.threshold, wanted.slope, True, wanted.start, search.bias)


def _refined(wanted: Wanted, groups: tuple[int, ...], neuron: Neuron) -> Neuron:
    """By simulation of every step, near the best in closed form."""
    size = int(np.prod(wanted.target.shape[1:]))
    count = max(SIMULATED_ELEMENTS // (size * wanted.count), 16)
    samples = slice(None, None, -(-len(wanted.target) // count))
    current, target = wanted.steps(samples), wanted.target[samples]
    search = _start(wanted, groups)
    for factor in NEIGHBOURS:
        search.try_out(
            _capped(wanted, np.float32(factor) * neuron.threshold),
            target,
            lambda threshold, bias: make(threshold, wanted.slope, True, wanted.start, bias),
            lambda tried: tried.simulate(current).mean(0, dtype=np.float32) * tried.threshold,
            neuron.bias,
        )
    return make(search.threshold, wanted.slope, True, wanted.start, search.bias)
