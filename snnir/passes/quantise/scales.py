"""Which number one unit of an integer weight stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Scale = Literal["max", "percentile", "mse", "output", "power-of-two"]
SCALES: Final[tuple[Scale, ...]] = ("max", "percentile", "mse", "output", "power-of-two")
Choice = Literal["auto", "max", "percentile", "mse", "output", "power-of-two"]

AUTO: Final[tuple[Scale, ...]] = ("max", "mse", "output")
"""Of these ``"auto"`` takes the one with the smallest error on the calibration samples: with
weights of 8 bits that is mostly one of the first two, with 4 bits the last. Without samples it is
``"mse"``."""


FRACTIONS: Final = (
    1.0,
    0.95,
    0.9,
    0.85,
    0.8,
    0.75,
    0.7,
    0.65,
    0.6,
    0.55,
    0.5,
    0.45,
    0.4,
    0.35,
    0.3,
)
"""Parts of the largest weight that ``mse`` and ``output`` try as the largest integer."""

PERCENTILE: Final = 99.9
GENN_PERCENTILE: Final = 99.0


def largest(bits: int) -> int:
    """Largest integer of so many bits, the sign included; minus this is the smallest in use."""
    return (1 << (bits - 1)) - 1


def unit(
    weight: Array,
    bits: int,
    scale: Scale,
    error: Callable[[float], float] | None = None,
) -> float:
    """What 1 stands for, in a symmetric quantisation of weights.

    Args:
        weight: Weights, of all layers that share the unit.
        bits: Bits of an integer, 2 to 8.
        scale: ``"max"``: the largest weight is the largest integer. ``"percentile"``: the 99.9th
            percentile of the sizes is. ``"mse"``: the part of the largest weight with the
            smallest squared error of the weights. ``"output"``: that with the smallest
            ``error``. ``"power-of-two"``: 2**(floor(log2(p)) - (bits - 2)), where p is the larger
            of the 99th percentiles of the positive and of the negative weights' sizes, as
            ml_genn_netx does it.
        error: For ``"output"``: the error that a unit leads to; absent: ``"mse"``.
    """
    sizes = np.abs(weight[weight != 0]).astype(np.float64)
    if not sizes.size:
        return 1.0
    most = float(sizes.max()) / largest(bits)
    if scale == "max":
        return most
    if scale == "percentile":
        return float(np.percentile(sizes, PERCENTILE)) / largest(bits)
    if scale == "power-of-two":
        ends = [part for part in (weight[weight > 0], -weight[weight < 0]) if part.size]
        high = max(float(np.percentile(part, GENN_PERCENTILE)) for part in ends)
        return float(2.0 ** (np.floor(np.log2(high)) - (bits - 2)))
    if scale == "mse" or error is None:

        def error(step: float) -> float:
            return float(np.square(weight - step * integers(weight, step, bits)).sum())

    return min((fraction * most for fraction in FRACTIONS), key=error)


def integers(values: Array, step: float, bits: int) -> Array:
    """Values as multiples of ``step``, rounded half to even, clipped to the bits. In float64."""
    top = largest(bits)
    found: Array = np.clip(np.rint(values.astype(np.float64) / step), -top, top)
    return found


def clipped(values: Array, step: float, bits: int) -> float:
    """The part of the values that :func:`integers` clips."""
    beyond = np.abs(np.rint(values.astype(np.float64) / step)) > largest(bits)
    return float(beyond.mean()) if values.size else 0.0


def rounding_error(values: Array, step: float, bits: int) -> float:
    """Root mean square error of the integers, relative to the values' root mean square."""
    return relative_error(values, step * integers(values, step, bits))


def relative_error(values: Array, found: Array) -> float:
    """Root mean square of what ``found`` is off, relative to the values' root mean square."""
    rms = float(np.sqrt(np.square(values, dtype=np.float64).mean())) if values.size else 0.0
    return float(np.sqrt(np.square(values - found).mean())) / rms if rms else 0.0
