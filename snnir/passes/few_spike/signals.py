"""What a value of the growing few-spike network stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.ir.builder import Value

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Signal:
    """A value of the few-spike network that stands for one of the original network.

    The original value is the sum of this one over a phase, plus the offset. It is right in its
    first phase and in every later one.

    Attributes:
        value: The value.
        estimate: What the original value becomes on the calibration samples, (samples, ...).
        phase: The first phase in which it is right; None if it is static, i.e. the original
            value itself.
        offset: What the sum lacks, of the shape of the features; None: nothing.
        quantum: The sum is a multiple of it, 0 to 2**K - 1 times; a scalar or one for each
            channel. None: it may be anything.
    """

    value: Value
    estimate: Array
    phase: int | None = None
    offset: Array | None = None
    quantum: Array | None = None

    @property
    def first(self) -> int:
        """The first phase in which it is right."""
        return self.phase or 0

    @property
    def sums(self) -> Array:
        """Sums over a phase on the calibration samples, without the offset."""
        if self.offset is None:
            return self.estimate
        sums: Array = self.estimate - self.offset.astype(np.float32)
        return sums
