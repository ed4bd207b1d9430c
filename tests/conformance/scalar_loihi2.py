"""Loihi 2's arithmetic one number at a time, in Python's integers. Shares no code with snnir."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def wrapped(value: int, bits: int = 32) -> int:
    """Two's complement of so many bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def toward_zero(value: int, decay: int) -> int:
    """What is left of a state."""
    left = abs(value) * (4096 - decay) // 4096
    return -left if value < 0 else left


class Cuba:
    """CubaLIF; without a threshold CubaLI."""

    def __init__(
        self, i_decay: int, v_decay: int, threshold: int | None, bias: int, bias_exp: int
    ) -> None:
        self.i_decay, self.v_decay, self.threshold = i_decay, v_decay, threshold
        self.bias = bias * 2**bias_exp
        self.u = self.v = 0

    def step(self, a_in: int) -> int:
        """The spike, or the potential."""
        u = wrapped(toward_zero(self.u, self.i_decay) + a_in * 64)
        if u > 8388608:
            u -= 16777216
        elif u <= -8388608:
            u += 16777216
        self.u = u
        v = toward_zero(self.v, self.v_decay) + u + self.bias
        self.v = min(max(v, -8388607), 8388607)
        if self.threshold is None:
            return self.v
        if self.v > self.threshold * 64:
            self.v = 0
            return 1
        return 0


class SigmaDelta:
    """Delta (``sums`` false) and SigmaDelta."""

    def __init__(self, sums: bool, threshold: int, bias: int, spike_exp: int) -> None:
        self.sums = sums
        self.one = 2 ** (spike_exp + 6)
        self.threshold, self.bias = threshold * self.one, bias * self.one
        self.sigma = self.act = self.residue = 0

    def step(self, a_in: int) -> int:
        """The message."""
        if self.sums:
            self.sigma = wrapped(self.sigma + a_in)
            new = max(wrapped(self.sigma + self.bias), 0)
        else:
            new = wrapped(a_in * self.one)
        change = wrapped(wrapped(new - self.act) + self.residue)
        sent = change if abs(change) >= self.threshold else 0
        self.residue = change - sent
        self.act = new
        return sent // 64


def run(make: Callable[[tuple[int, ...]], Any], x: Any, states: Sequence[str]) -> dict[str, Array]:
    """Neurons over samples and steps: outputs under ``"y"``, and their states.

    Args:
        make: Makes the neuron at an index.
        x: Input: samples, steps, features.
        states: Names of the attributes to follow.
    """
    given = np.asarray(x)
    found = {name: np.zeros(given.shape, np.int32) for name in ("y", *states)}
    for sample in range(given.shape[0]):
        for index in np.ndindex(given.shape[2:]):
            neuron = make(index)
            for t in range(given.shape[1]):
                place = (sample, t, *index)
                found["y"][place] = neuron.step(int(given[place]))
                for name in states:
                    found[name][place] = getattr(neuron, name)
    return found


def shifted(value: int, exponent: int) -> int:
    """Times a power of two, rounded down."""
    return value << exponent if exponent >= 0 else value >> -exponent


def dense(x: Array, weight: Array, exponent: int = 0, delay: Any = 0) -> Array:
    """Dense, by the sums for each delay."""
    samples, steps, inputs = x.shape
    delays = np.broadcast_to(delay, weight.shape)
    found = np.zeros((samples, steps, weight.shape[1]), np.int32)
    for sample, t, j in np.ndindex(found.shape):
        total = 0
        for d in range(t + 1):
            part = sum(
                int(weight[i, j]) * int(x[sample, t - d, i])
                for i in range(inputs)
                if delays[i, j] == d
            )
            total += shifted(part, exponent)
        found[sample, t, j] = wrapped(total)
    return found


def convolution(
    x: Array,
    weight: Array,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> Array:
    """Conv2D, one product after the other."""
    height, width = x.shape[2:4]
    sizes, inputs, filters = weight.shape[:2], weight.shape[2], weight.shape[3]
    lengths = [
        (n + 2 * p - ((k - 1) * d + 1)) // s + 1
        for n, p, k, d, s in zip((height, width), pads, sizes, dilations, strides, strict=True)
    ]
    found = np.zeros((*x.shape[:2], *lengths, filters), np.int32)
    for sample, t, row, column, j in np.ndindex(found.shape):
        group, total = j // (filters // groups), 0
        for a, b, i in np.ndindex(*sizes, inputs):
            y = row * strides[0] + a * dilations[0] - pads[0]
            z = column * strides[1] + b * dilations[1] - pads[1]
            if 0 <= y < height and 0 <= z < width:
                value = int(x[sample, t, y, z, group * inputs + i])
                total += value * int(weight[a, b, i, j])
        found[sample, t, row, column, j] = wrapped(total, 24)
    return found
