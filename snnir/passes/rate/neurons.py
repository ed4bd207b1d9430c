"""Choosing a spiking neuron's threshold, and simulating it on calibration samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CANDIDATES: Final = np.linspace(0.2, 1.2, 21)
"""Thresholds that are tried, relative to the largest activation of a channel."""

BIAS_ROUNDS: Final = 2
"""For each threshold, how often the mean error is moved into the bias and tried again."""

SEARCH_ROWS: Final = 2048
"""Elements of a channel that are simulated to choose its threshold."""


@dataclass(frozen=True)
class Neuron:
    """Parameters of an integrate-and-fire neuron, each broadcasting against the features.

    Attributes:
        threshold: Threshold, and what a spike is worth.
        negative: Negative threshold; None if there are no negative spikes.
        corrective: Whether negative spikes only take back positive ones.
        start: Initial potential, as a part of the threshold.
        bias: Constant current in every step.
    """

    threshold: Array
    negative: Array | None
    corrective: bool
    start: float
    bias: Array

    def simulate(self, current: Array) -> Array:
        """Spikes (-1, 0, 1) of a current (steps, samples, ...), as int8."""
        threshold = np.broadcast_to(self.threshold, current.shape[2:]).astype(np.float32)
        negative = None
        if self.negative is not None:
            negative = -np.broadcast_to(self.negative, current.shape[2:]).astype(np.float32)
        v = np.empty(current.shape[1:], np.float32)
        v[...] = np.float32(self.start) * threshold
        spikes = np.empty(current.shape, np.int8)
        emitted = np.zeros(current.shape[1:], np.int32)
        biased = np.any(self.bias)
        for t, arriving in enumerate(current):
            v += arriving
            if biased:
                v += self.bias
            fired = v >= threshold
            np.subtract(v, threshold, out=v, where=fired)
            spikes[t] = fired
            if negative is not None:
                below = (v < negative) & ~fired
                if self.corrective:
                    below &= emitted > 0
                    np.add(v, threshold, out=v, where=below)
                else:
                    np.subtract(v, negative, out=v, where=below)
                spikes[t] -= below
                emitted += spikes[t]
        return spikes


def choose(
    current: Array,
    target: Array,
    *,
    largest: Array,
    slope: Array | float,
    signed: bool,
    start: float,
    cap: float | None,
) -> Neuron:
    """The threshold and bias of each channel with the least error of the mean output.

    Args:
        current: What arrives, (steps, rows, channels).
        target: The original activation, (rows, channels).
        largest: Largest original activation of each channel over all samples.
        slope: Slope of the original activation below zero.
        signed: Whether spikes may be taken back where the slope is zero.
        start: Initial potential, as a part of the threshold.
        cap: Largest value of the original activation function, if it has one.
    """
    channels = current.shape[-1]
    best: Array = np.full(channels, np.inf)
    threshold: Array = np.ones(channels, np.float32)
    bias: Array = np.zeros(channels, np.float32)
    for candidate in CANDIDATES:
        tried = (candidate * largest).astype(np.float32)
        if cap is not None:
            tried = np.minimum(tried, np.float32(cap))
        shift = np.zeros(channels, np.float32)
        for _ in range(BIAS_ROUNDS):
            neuron = make(tried, slope, signed, start, shift)
            output = neuron.simulate(current).mean(0, dtype=np.float32) * tried
            error = target - output
            loss = np.square(error, dtype=np.float64).mean(0)
            better = loss < best
            best = np.where(better, loss, best)
            threshold = np.where(better, tried, threshold)
            bias = np.where(better, shift, bias)
            shift = shift + error.mean(0)
    return make(threshold, slope, signed, start, bias)


def make(
    threshold: Array, slope: Array | float, signed: bool, start: float, bias: Array | float = 0.0
) -> Neuron:
    """A neuron whose mean output is ``max(x, 0) + slope * min(x, 0)``."""
    zeros = np.asarray(bias, np.float32)
    slopes = np.asarray(slope, np.float32)
    if np.any(slopes != 0):
        worth = threshold / np.maximum(slopes, np.float32(1e-6))
        return Neuron(threshold, worth, False, start, zeros)
    negative = np.zeros((), np.float32) if signed else None
    return Neuron(threshold, negative, signed, start, zeros)
