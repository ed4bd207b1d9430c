"""What Lava makes of the weights in a NetX file.

``lava.lib.dl.netx`` 0.6.0 shifts a layer's weights up as far as 8 bits allow (one exponent for
those from the layer before and the recurrent ones), and ``lava.proc.dense`` 0.10.0 cuts off the
bits that it then takes for unused: reimplemented from ``netx/utils.py`` (``optimize_weight_bits``)
and ``lava/utils/weightutils.py`` (``clip_weights``, ``truncate_weights``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BITS: Final = 8
"""Magnitude bits of a weight in the loader's scale; the lowest one is 0 where signs are mixed."""

MAXIMUM: Final = 254
MINIMUM: Final = -256
"""Ends of the range of weights of mixed signs."""

LOADABLE: Final = "-127 to 127, or even numbers of -256 to 254; not all 0"
"""Weights that are loaded as they are, in words."""

ALL_NEGATIVE: Final = (
    "Where no weight is above 0, the smallest must not be a power of two: -127 instead of -128."
)
"""What to do about weights that lose bits although they are within the range."""


class UnloadableWeights(ValueError):
    """Weights that Lava does not load, or that no synapse of 8 bits holds."""


@dataclass(frozen=True)
class Loaded:
    """A layer's weights as Lava applies them: ``floor(weight @ x * 2**exponent)``.

    Attributes:
        matrices: Integers, one matrix for each that was given.
        exponent: Of all of them.
        bits: Of each weight.
        changed: Weights that do not stand for what the file says any more: they were beyond the
            range, or lose bits.
    """

    matrices: tuple[Array, ...]
    exponent: int
    bits: int
    changed: int


def load_weights(matrices: Sequence[Array]) -> Loaded:
    """What Lava makes of integer matrices of a file that share an exponent.

    Raises:
        UnloadableWeights: If it does not load them, or not as weights of 8 bits; the text says
            why.
    """
    everything = np.concatenate([matrix.reshape(-1) for matrix in matrices]).astype(np.int64)
    low, high = (int(everything.min()), int(everything.max())) if everything.size else (0, 0)
    if low == high == 0:
        raise UnloadableWeights("only zeros, for which NetX finds no exponent")
    mixed = low < 0 <= high
    wide = mixed and (high > MAXIMUM or (low < MINIMUM and high > 0))
    ends = (MINIMUM, MAXIMUM) if wide else (low, high)
    inside = np.clip(everything, *ends)
    shift = _shift(int(inside.min()), int(inside.max()))
    if shift < 0:
        raise UnloadableWeights(f"{low} to {high}, which exceeds 8 bits")
    bits = BITS - shift - (_trailing_zeros(inside) - mixed)
    if bits > BITS:
        raise UnloadableWeights(f"odd numbers among {low} to {high}, which takes 9 bits")
    given = [matrix.astype(np.int64) << shift for matrix in matrices]
    applied = tuple(
        _applied(np.clip(matrix, *ends).astype(np.int64) << shift, bits) for matrix in matrices
    )
    changed = sum(np.count_nonzero(a != g) for a, g in zip(applied, given, strict=True))
    return Loaded(applied, -shift, max(bits, 1), int(changed))


def _shift(low: int, high: int) -> int:
    """Bits by which all weights can be shifted up: ``floor(log2(limit / weight))``."""
    if low >= 0:
        return _floor_log2(255, high)
    if high < 0:
        return _floor_log2(256, -low)
    down = _floor_log2(128, -low)
    return (min(down, _floor_log2(127, high)) if high else down) + 1


def _floor_log2(limit: int, size: int) -> int:
    """``floor(log2(limit / size))``."""
    shift = 0
    while size << (shift + 1) <= limit:
        shift += 1
    while shift <= 0 and size > limit << -shift:
        shift -= 1
    return shift


def _trailing_zeros(weights: Array) -> int:
    """Bits that are 0 in all weights, at most 8."""
    used = int(np.bitwise_or.reduce(np.abs(weights), initial=0))
    return min((used & -used).bit_length() - 1, BITS)


def _applied(shifted: Array, bits: int) -> Array:
    """Clipped and cut off as by ``lava.proc.dense``."""
    negative = bool(np.all(shifted <= 0)) and bool(np.any(shifted))
    mixed = not negative and bool(np.any(shifted < 0))
    size = -shifted if negative else shifted
    size = np.clip(size, -(1 << BITS) * mixed, (1 << BITS) - 1)
    cut = BITS - bits + mixed
    size = (size >> cut) << cut
    return -size if negative else size
