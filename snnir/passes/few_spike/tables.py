r"""Coefficient tables of few-spike neurons, and how they are found.

A few-spike neuron (Stöckl and Maass, Optimized spiking neurons can classify images with high
accuracy through temporal coding with two spikes, Nature Machine Intelligence 2021) has the
potential v at the start of a phase of K steps; with the Heaviside function :math:`\Theta`

.. math::

    z_k = \Theta(v_k - T_k),\quad v_{k+1} = v_k - h_k z_k,\quad
    f(v) \approx \sum_{k=0}^{K-1} d_k z_k \qquad\text{(eqs. 1-3)}

With :math:`T_k = h_k = d_k = 2^{K-1-k} q` it is their ReLU in K bits, which rounds down. Here

.. math::  h_k = 2^{K-1-k} q,\quad T_k = c + h_k - q / 2,\quad d_k = g h_k,

a ramp: the neuron is silent below c, has the slope g above it, and all of its steps spike from
:math:`c + (2^K - 1) q` on. The half quantum in T makes it round to the nearest code, so within
the ramp the error is at most :math:`|g| q / 2`.

Thresholds decide which bits of v are seen, the weights d add up what they are worth: a single
neuron of this kind is linear in its bits. A function that bends is therefore a sum of ramps that
follow each other, one neuron each, all with the same input:

.. math::  f(v) \approx f_0 + \sum_i r_i(v)

Below its own start a ramp adds nothing, beyond its end a constant, so that every piece has all K
bits for itself. Where the pieces lie, and their slopes, is fitted: with P pieces the error of a
smooth function falls with 1/P^2. (A search over all tables of a single neuron with K = 8 left ten
times the error on a sigmoid.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DIGITS: Final = 5
"""Significant binary digits of a quantum, so that codes and their sums are exact in float32."""

CLIPS: Final = np.linspace(0.3, 1.0, 15)
"""Ends of a rectifier's range that are tried, relative to the largest activation."""

SMALLEST: Final = 1e-3
"""Least range of a channel, relative to that of the widest one: a silent one gets this."""

GRID: Final = 512
"""Intervals of the grid between two kinks on which a function is fitted."""

FLAT: Final = 1e-9
"""A piece that rises by less, relative to the range of the function, has no neuron."""


@dataclass(frozen=True)
class Ramp:
    """Tables of a neuron that adds a ramp of 2**bits levels; see the module.

    Attributes:
        start: Where it starts, c. This and the others broadcast against the features.
        quantum: From one level of the input to the next, q.
        slope: Slope, g.
        bits: Length of a phase in steps, K.
    """

    start: Array
    quantum: Array
    slope: Array
    bits: int

    @property
    def reset(self) -> Array:
        """h, of shape (K, ...) and type float32, as are the other two."""
        return self._table(lambda h: h, self.quantum)

    @property
    def threshold(self) -> Array:
        """T."""
        shape = np.broadcast_shapes(self.start.shape, self.quantum.shape)
        half = self.quantum.astype(np.float64) / 2
        start = self.start.astype(np.float64)
        return self._table(lambda h: start + h - half, np.broadcast_to(self.quantum, shape))

    @property
    def weight(self) -> Array:
        """D."""
        shape = np.broadcast_shapes(self.slope.shape, self.quantum.shape)
        slope = self.slope.astype(np.float64)
        return self._table(lambda h: slope * h, np.broadcast_to(self.quantum, shape))

    def _table(self, entry: Callable[[Array], Array], quantum: Array) -> Array:
        worth = [np.ldexp(quantum.astype(np.float64), k) for k in reversed(range(self.bits))]
        return np.stack([entry(h) for h in worth]).astype(np.float32)

    def codes(self, v: Array) -> Array:
        """Which of its levels each potential is nearest to; the bits are the spikes."""
        levels = np.floor((v - self.start) / self.quantum + v.dtype.type(0.5))
        codes: Array = np.clip(levels, 0, (1 << self.bits) - 1)
        return codes

    def spikes(self, codes: Array) -> float:
        """Spikes of a phase, on average over the codes."""
        whole = codes.astype(np.uint32)
        return float(sum(((whole >> k) & 1).mean() for k in range(self.bits)))

    def worth(self, codes: Array) -> Array:
        """What codes add up to over a phase."""
        worth: Array = codes * (self.quantum * self.slope).astype(codes.dtype)
        return worth


@dataclass(frozen=True)
class Response:
    """A function of the potential as a sum of ramps.

    Attributes:
        ramps: The ramps, one neuron each.
        offset: What is added to their sum: the value of the function below all of them.
        fit: Largest difference from the function within the range of the ramps, their
            quantisation not included; 0 where the function is a sum of ramps.
    """

    ramps: tuple[Ramp, ...]
    offset: Array
    fit: float = 0.0


def rounded(quantum: Array) -> Array:
    """The next larger numbers of few binary digits."""
    mantissa, exponent = np.frexp(np.asarray(quantum, np.float64))
    found: Array = np.ldexp(np.ceil(np.ldexp(mantissa, DIGITS)), exponent - DIGITS)
    return found.astype(np.float32)


def quantum(width: Array, bits: int) -> Array:
    """The quantum of ramps that are at least so wide; those of no width get a small one."""
    widest = float(width.max(initial=0.0)) or 1.0
    return rounded(np.maximum(width, SMALLEST * widest) / ((1 << bits) - 1))


def rectifier(v: Array, target: Array, largest: Array, cap: float | None, bits: int) -> Ramp:
    """A ReLU whose end makes the least square error, for each channel.

    Args:
        v: Potentials, (rows, channels).
        target: What the function makes of the exact ones, (rows, channels).
        largest: Largest value of the function for each channel, over all samples.
        cap: Largest value that the function has, if there is one.
        bits: Length of a phase.
    """
    zero, one = np.zeros((), np.float32), np.ones((), np.float32)
    best: Array = np.full(v.shape[-1], np.inf)
    chosen: Array = quantum(largest, bits)
    for clip in CLIPS:
        tried = quantum(clip * largest, bits)
        if cap is not None:
            tried = np.minimum(tried, np.float32(cap / ((1 << bits) - 1)))
        ramp = Ramp(zero, tried, one, bits)
        error = np.square(ramp.worth(ramp.codes(v)) - target, dtype=np.float64).mean(0)
        chosen = np.where(error <= best, tried, chosen)
        best = np.minimum(error, best)
    return Ramp(zero, chosen, one, bits)


def leaky(lowest: Array, largest: Array, slope: Array, cap: float | None, bits: int) -> Response:
    """A line of another slope below 0: a ramp that ends at 0 and one that starts there.

    Args:
        lowest: Smallest potential of each channel.
        largest: Largest potential of each channel.
        slope: Slope below 0.
        cap: Largest value that the function has, if there is one.
        bits: Length of a phase.
    """
    above = quantum(np.maximum(largest, 0), bits)
    if cap is not None:
        above = np.minimum(above, np.float32(cap / ((1 << bits) - 1)))
    below = quantum(np.maximum(-lowest, 0), bits)
    start = -below * np.float32((1 << bits) - 1)
    zero, one = np.zeros((), np.float32), np.ones((), np.float32)
    ramps = (Ramp(start, below, slope, bits), Ramp(zero, above, one, bits))
    return Response(ramps, start * slope)


def identity(lowest: Array, largest: Array, bits: int) -> Response:
    """The value itself, within its range."""
    lowest = np.asarray(lowest, np.float32)
    one = np.ones((), np.float32)
    return Response((Ramp(lowest, quantum(largest - lowest, bits), one, bits),), lowest)


# Functions that bend -------------------------------------------------------------------------


def fitted(
    function: Callable[[Array], Array],
    lowest: float,
    largest: float,
    kinks: Sequence[float],
    bits: int,
    pieces: int,
) -> Response:
    """A function on a range, by a continuous line of as few pieces as come within half a code.

    A code is the range of the function's values divided by 2**bits; the quantisation of a piece
    adds at most as much again. Breakpoints: within a piece the function is within 2e of its
    chord, for the least e that so many pieces allow (a piece is as long as that permits, e is
    found by bisection). Values: those with the least largest error on a fine grid, by Lawson's
    iteratively reweighted least squares. Flat pieces need no neuron.

    Args:
        function: The function, of a float64 array.
        lowest: Start of the range.
        largest: End of the range.
        kinks: Where its derivative jumps.
        bits: Length of a phase.
        pieces: Most pieces, if the kinks allow it; then the error may be larger.
    """
    if largest - lowest <= 1e-6 * max(abs(lowest), abs(largest)):
        largest = lowest + max(abs(lowest), 1.0) * 1e-3
    ends = np.array([lowest, *sorted(k for k in kinks if lowest < k < largest), largest])
    grids = [np.linspace(a, b, GRID + 1) for a, b in pairwise(ends)]
    values = [function(grid) for grid in grids]
    x, y = np.concatenate(grids), np.concatenate(values)
    span = float(y.max() - y.min())
    wanted = span / (2 << bits)
    limit = max(pieces, len(grids))
    count = min(len(_breakpoints(grids, values, wanted)) - 1, limit)
    while True:
        knots = _balanced(grids, values, count, span)
        heights = _minimax(x, y, knots)
        error = float(np.abs(np.interp(x, knots, heights) - y).max())
        if error <= wanted or count == limit:
            break
        count += 1
    rises = np.diff(heights)
    ramps = tuple(
        Ramp(
            np.asarray(start, np.float32),
            np.asarray((end - start) / ((1 << bits) - 1), np.float32),
            np.asarray(rise / (end - start), np.float32),
            bits,
        )
        for (start, end), rise in zip(pairwise(knots), rises, strict=True)
        if abs(rise) > FLAT * span or len(rises) == 1
    )
    return Response(ramps, np.asarray(heights[0], np.float32), error)


def _balanced(grids: list[Array], values: list[Array], count: int, span: float) -> Array:
    """Ends of at most so many pieces, with the least distance from the chords."""
    low, high = 0.0, span
    best = _breakpoints(grids, values, high)
    for _ in range(30):
        middle = (low + high) / 2
        tried = _breakpoints(grids, values, middle)
        if len(tried) - 1 <= count:
            high, best = middle, tried
        else:
            low = middle
    return best


def _breakpoints(grids: list[Array], values: list[Array], error: float) -> Array:
    """Ends of pieces on which the function is within twice the error of its chord."""
    found = [grids[0][0]]
    for x, y in zip(grids, values, strict=True):
        allowed = 2 * error + 1e-12 * float(np.abs(y).max())
        start = 0
        while start < len(x) - 1:
            near, far = start + 1, len(x)
            while far - near > 1:
                end = (near + far) // 2
                slope = (y[end] - y[start]) / (x[end] - x[start])
                chord = y[start] + slope * (x[start:end] - x[start])
                if np.abs(chord - y[start:end]).max() <= allowed:
                    near = end
                else:
                    far = end
            start = near
            found.append(x[start])
    return np.array(found)


def _minimax(x: Array, y: Array, knots: Array) -> Array:
    """Heights at the knots with (nearly) the least largest error."""
    basis = np.stack([np.interp(x, knots, unit) for unit in np.eye(len(knots))], axis=1)
    weight: Array = np.full(len(x), 1 / len(x))
    best: Array = np.interp(knots, x, y)
    least = float(np.abs(basis @ best - y).max())
    for _ in range(60):
        root = np.sqrt(weight)
        heights = np.linalg.lstsq(basis * root[:, None], y * root, rcond=None)[0]
        error = np.abs(basis @ heights - y)
        largest = float(error.max())
        if largest < least:
            best, least = heights, largest
        if largest <= 1e-12 * float(np.abs(y).max()) or not weight @ error > 0:
            break
        weight = weight * error
        weight /= weight.sum()
    return best
