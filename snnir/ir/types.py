"""Types of tensors and values."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from snnir import limits

Dim = int | str
"""Length of an axis: a number, or a symbol that stands for one length in a whole graph."""

Shape = tuple[Dim, ...]


_BITS: Final = {1: 8, 2: 4, 3: 8, 4: 8, 5: 16, 6: 32, 7: 64, 8: 16, 9: 32, 10: 64, 11: 16}


class DType(enum.Enum):
    """Type of an element. The value is its number in the file.

    Attributes:
        bits: Bits an element takes in the file.
    """

    bits: int

    BOOL = 1
    INT4 = 2
    INT8 = 3
    UINT8 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    FLOAT16 = 8
    FLOAT32 = 9
    FLOAT64 = 10
    BFLOAT16 = 11

    def __init__(self, number: int) -> None:
        self.bits = _BITS[number]

    __hash__ = object.__hash__  # members are unique, and Enum's own is slow

    @property
    def label(self) -> str:
        """Lower-case name, e.g. ``"float32"``."""
        return self.name.lower()

    @property
    def is_float(self) -> bool:
        """Whether elements are floating-point numbers."""
        return self in _FLOATS

    @property
    def is_integer(self) -> bool:
        """Whether elements are integers (bool is not)."""
        return self not in _FLOATS and self is not DType.BOOL

    def nbytes(self, size: int) -> int:
        """Bytes that ``size`` elements take in the file."""
        return (size * self.bits + 7) // 8

    @staticmethod
    def parse(label: str) -> DType:
        """The type of that name.

        Raises:
            KeyError: If there is none.
        """
        return DType[label.upper()]


STORAGE: Final[dict[DType, np.dtype[np.generic]]] = {
    DType.BOOL: np.dtype("?"),
    DType.INT4: np.dtype("u1"),
    DType.INT8: np.dtype("i1"),
    DType.UINT8: np.dtype("u1"),
    DType.INT16: np.dtype("<i2"),
    DType.INT32: np.dtype("<i4"),
    DType.INT64: np.dtype("<i8"),
    DType.FLOAT16: np.dtype("<f2"),
    DType.FLOAT32: np.dtype("<f4"),
    DType.FLOAT64: np.dtype("<f8"),
    DType.BFLOAT16: np.dtype("<u2"),
}
"""NumPy type of the bytes in the file; int4 is packed and bfloat16 has no NumPy type."""

NUMPY: Final[dict[DType, np.dtype[np.generic]]] = {
    **STORAGE,
    DType.INT4: np.dtype("i1"),
    DType.BFLOAT16: np.dtype("<f4"),
}
"""NumPy type of a tensor's array: the narrowest that holds every element exactly."""

_FLOATS: Final = frozenset((DType.FLOAT16, DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16))

FROM_NUMPY: Final[dict[np.dtype[np.generic], DType]] = {
    numpy_type: dtype
    for dtype, numpy_type in STORAGE.items()
    if dtype not in (DType.INT4, DType.BFLOAT16)
}


class Timing(enum.Enum):
    """Whether a value changes during a presentation. The value is its number in the file."""

    STATIC = 1
    PER_STEP = 2

    @property
    def label(self) -> str:
        """``"static"`` or ``"per_step"``."""
        return self.name.lower()


class Rounding(enum.Enum):
    """How numbers become integers. The value is its number in the file."""

    HALF_EVEN = 1
    HALF_AWAY = 2
    FLOOR = 3
    TOWARD_ZERO = 4

    @property
    def label(self) -> str:
        """Lower-case name, e.g. ``"half_even"``."""
        return self.name.lower()


@dataclass(frozen=True)
class Quantization:
    """An integer element ``q`` stands for ``(q - zero_point) * scale``.

    Attributes:
        scale: One value, or one for each index along ``axis``.
        zero_point: As many values as ``scale``; empty means all 0.
        axis: The axis that ``scale`` runs along, or None for one scale.
        bits: Bits in use.
        signed: Whether the integers are signed.
        rounding: How numbers were rounded.
        saturated: Whether numbers outside the range were set to its end.
    """

    scale: tuple[float, ...]
    bits: int
    zero_point: tuple[int, ...] = ()
    axis: int | None = None
    signed: bool = True
    rounding: Rounding = Rounding.HALF_EVEN
    saturated: bool = False

    def apply(self, integers: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """The numbers that the integers stand for, computed in float64, as float32."""
        shape = [1] * integers.ndim
        if self.axis is not None:
            shape[self.axis] = len(self.scale)
        scale = np.asarray(self.scale, np.float64).reshape(shape)
        zero = np.asarray(self.zero_point or 0, np.float64)
        if zero.ndim:
            zero = zero.reshape(shape)
        return dequantise(integers, zero, scale)

    def range(self) -> tuple[int, int]:
        """The smallest and the largest integer of ``bits`` bits."""
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1

    def problem(self, dtype: DType, shape: Sequence[Dim]) -> tuple[str, str] | None:
        """Found and allowed, if this does not fit a tensor of that dtype and shape."""
        if not dtype.is_integer:
            return f"dtype {dtype.label}", "an integer dtype"
        if not 1 <= self.bits <= dtype.bits:
            return f"{self.bits} bits", f"1 to {dtype.bits} bits for {dtype.label}"
        if not self.scale or not all(math.isfinite(s) and s > 0 for s in self.scale):
            return f"scale {self.scale[:3]}", "finite scales above 0, at least one"
        if self.zero_point and len(self.zero_point) != len(self.scale):
            return f"{len(self.zero_point)} zero points", f"none or {len(self.scale)}"
        if self.axis is None:
            if len(self.scale) != 1:
                return f"{len(self.scale)} scales without an axis", "one scale, or an axis"
        elif not 0 <= self.axis < len(shape):
            return f"axis {self.axis}", f"an axis of shape {format_shape(shape)}"
        elif shape[self.axis] != len(self.scale):
            return (
                f"{len(self.scale)} scales",
                f"{shape[self.axis]}, the length of axis {self.axis}",
            )
        return None


def dequantise(
    integers: npt.NDArray[np.generic],
    zero_point: npt.NDArray[np.float64] | np.float64,
    scale: npt.NDArray[np.float64] | np.float64,
) -> npt.NDArray[np.float32]:
    """``(integers - zero_point) * scale``, computed in float64 and rounded to float32."""
    with np.errstate(over="ignore", under="ignore"):
        values = (integers.astype(np.float64) - zero_point) * scale
        return np.asarray(values, np.float32)


@dataclass(frozen=True)
class ValueType:
    """What one sample (and one step) of a value is: without batch and time axes."""

    dtype: DType
    shape: Shape
    timing: Timing
    quantization: Quantization | None = None

    @property
    def is_per_step(self) -> bool:
        """Whether the value changes during a presentation."""
        return self.timing is Timing.PER_STEP

    def __str__(self) -> str:
        time = " per step" if self.is_per_step else ""
        quant = f" q{self.quantization.bits}" if self.quantization else ""
        return f"{self.dtype.label}{format_shape(self.shape)}{quant}{time}"


def format_shape(shape: Sequence[Dim]) -> str:
    """``[28, 28, n]``."""
    return "[" + ", ".join(map(str, shape)) + "]"


def shape_problem(shape: Sequence[Dim]) -> tuple[str, str] | None:
    """Found and allowed, if a shape is beyond the limits of the format.

    The product of the lengths other than 0 is bounded, so that no part of it can overflow.
    """
    size = 1
    for dim in shape[: limits.MAX_RANK]:
        if isinstance(dim, int) and dim > 0:
            size *= dim
    if len(shape) <= limits.MAX_RANK and size <= limits.MAX_ELEMENTS:
        return None
    return (
        f"shape {format_shape(shape[: limits.MAX_RANK + 1])}",
        f"at most {limits.MAX_RANK} axes and {limits.MAX_ELEMENTS} elements",
    )


def element_count(shape: Sequence[int]) -> int:
    """Product of the lengths; 1 for a scalar."""
    return math.prod(shape)
