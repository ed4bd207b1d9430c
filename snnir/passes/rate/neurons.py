"""A spiking neuron on calibration samples: in closed form, and step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BLOCK_ELEMENTS: Final = 1 << 15
"""About how many neurons are simulated at once: what a cache holds."""


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
        spikes = np.empty(current.shape, np.int8)
        size = max(BLOCK_ELEMENTS // max(int(np.prod(current.shape[2:])), 1), 1)
        for first in range(0, current.shape[1], size):
            block = slice(first, first + size)
            self._simulate(current[:, block], spikes[:, block])
        return spikes

    def _simulate(self, current: Array, spikes: Array) -> None:
        threshold = np.broadcast_to(self.threshold, current.shape[2:]).astype(np.float32)
        negative = None
        if self.negative is not None:
            negative = -np.broadcast_to(self.negative, current.shape[2:]).astype(np.float32)
        v = np.empty(current.shape[1:], np.float32)
        v[...] = np.float32(self.start) * threshold
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

    def settled(self, mean: Array, steps: int) -> Array:
        """Mean output for a mean current (samples, ...), as if it had come evenly.

        The spikes of ``steps`` equal steps: ``floor(steps (mean + bias) / threshold + start)``,
        at least 0 and at most ``steps`` (Bu et al., Optimal ANN-SNN conversion for high-accuracy
        and ultra-low-latency spiking neural networks, ICLR 2022, eq. 11). Corrective spikes
        lead there from an uneven current, too, if they have the time. Free negative spikes follow
        the same rule down to a current of minus the negative threshold.
        """
        charge = np.float32(steps) * (mean + self.bias) + np.float32(self.start) * self.threshold
        count: Array = np.clip(np.floor(charge / self.threshold), 0, steps)
        if self.negative is not None and not self.corrective:
            count = count - np.clip(np.ceil(-charge / self.negative) - 1, 0, steps)
        mean_output: Array = count * (self.threshold / np.float32(steps))
        return mean_output


def make(
    threshold: Array, slope: Array | float, signed: bool, start: float, bias: Array | float = 0.0
) -> Neuron:
    """A neuron whose mean output is ``max(x, 0) + slope * min(x, 0)``."""
    shift = np.asarray(bias, np.float32)
    slopes = np.asarray(slope, np.float32)
    if np.any(slopes != 0):
        worth = threshold / np.maximum(slopes, np.float32(1e-6))
        return Neuron(threshold, worth, False, start, shift)
    negative = np.zeros((), np.float32) if signed else None
    return Neuron(threshold, negative, signed, start, shift)
