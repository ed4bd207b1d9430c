"""Exact arithmetic for expected values: rationals that must be float32 at every step.

Nothing here imports the code under test. Where every intermediate result is a float32, neither
the type of the computation nor the order of a sum can matter, so expected values are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MANTISSA = 24
"""Bits of a float32."""

MASK = (1 << 64) - 1


def exact(value: Fraction) -> Fraction:
    """The value itself, which must be a float32: nothing is rounded.

    Raises:
        ValueError: If it is not.
    """
    numerator, denominator = abs(value.numerator), value.denominator
    if denominator & (denominator - 1):
        raise ValueError(f"{value} is no multiple of a power of two")
    if numerator and (numerator >> ((numerator & -numerator).bit_length() - 1)) >> MANTISSA:
        raise ValueError(f"{value} has more than {MANTISSA} significant bits")
    return value


def total(terms: Iterable[Fraction]) -> Fraction:
    """The sum, which must not need rounding in whatever order it is added.

    Raises:
        ValueError: If it could.
    """
    found = [exact(term) for term in terms]
    grain = max((term.denominator for term in found), default=1)
    if sum(abs(term) for term in found) * grain >= 1 << MANTISSA:
        raise ValueError("a sum that may be rounded")
    return sum(found, Fraction(0))


def fractions(array: npt.ArrayLike) -> Array:
    """The array with every element as a rational number."""
    given = np.asarray(array)
    found = np.empty(given.shape, object)
    for index in np.ndindex(given.shape):
        value = given[index]
        found[index] = value if isinstance(value, Fraction) else Fraction(value.item())
    return found


def float32(array: npt.ArrayLike) -> Array:
    """Rationals as float32, which must represent them."""
    given = np.asarray(array, object)
    found = np.empty(given.shape, np.float32)
    for index in np.ndindex(given.shape):
        found[index] = float(exact(Fraction(given[index])))
    return found


def zeros(shape: Sequence[int]) -> Array:
    """An array of rational zeros."""
    found = np.empty(tuple(shape), object)
    found[...] = Fraction(0)
    return found


def element(array: Array, index: Sequence[int]) -> Any:
    """The element of a parameter that belongs to a feature: aligned with the last axes."""
    own = tuple(index)[len(index) - array.ndim :]
    return array[tuple(0 if length == 1 else i for i, length in zip(own, array.shape, strict=True))]


def mix(z: int) -> int:
    """The output function of SplitMix64, with Python's integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class Numbers:
    """Pseudo-random test data that is the same on every machine."""

    def __init__(self, seed: int) -> None:
        self._state = mix(seed + 1)

    def integer(self, low: int, high: int) -> int:
        """A number from low to high, both included."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & MASK
        return low + mix(self._state) % (high - low + 1)

    def grid(
        self, shape: Sequence[int], low: int = -8, high: int = 8, grain: int = 4
    ) -> npt.NDArray[np.float32]:
        """Numbers from low / grain to high / grain, multiples of 1 / grain."""
        found = np.empty(tuple(shape), np.float32)
        for index in np.ndindex(found.shape):
            found[index] = self.integer(low, high) / grain
        return found

    def spikes(
        self, shape: Sequence[int], one_in: int = 3, signed: bool = False
    ) -> npt.NDArray[np.float32]:
        """Zeros and ones (and minus ones, if signed)."""
        found = np.empty(tuple(shape), np.float32)
        for index in np.ndindex(found.shape):
            fired = self.integer(1, one_in) == 1
            found[index] = fired * (-1 if signed and self.integer(0, 2) == 0 else 1)
        return found


# Functions that no float computes exactly ----------------------------------------------------

DIGITS = 60


def rounded(values: Iterable[Decimal], shape: Sequence[int]) -> Array:
    """Decimals as the nearest float32 (by way of float64)."""
    return np.array([float(value) for value in values], np.float64).reshape(shape).astype("f4")


def pi() -> Decimal:
    """Machin's formula, to the digits of the context."""

    def arctan_of_inverse(n: int) -> Decimal:
        power, result, k = Decimal(1) / n, Decimal(0), 0
        while True:
            term = power / (2 * k + 1)
            if abs(term) < Decimal(10) ** -(DIGITS + 5):
                return result
            result += term if k % 2 == 0 else -term
            power /= n * n
            k += 1

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))


def erf(x: Decimal) -> Decimal:
    """The error function by its Taylor series, to far more digits than a float has."""
    with localcontext() as context:
        context.prec = DIGITS + 40
        term, result, n = x, x, 0
        while abs(term) > Decimal(10) ** -DIGITS:
            n += 1
            term = -term * x * x / n
            result += term / (2 * n + 1)
        return 2 * result / pi().sqrt()
