"""Samples of a training run: spikes of each input, and labels or wanted values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.data import SpikeData
from snnir.errors import Diagnostic

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Samples:
    """What a network is trained on.

    Attributes:
        inputs: Spikes by name of graph input.
        targets: Class of each sample, or wanted values of shape (samples, steps, features...).
    """

    inputs: Mapping[str, SpikeData]
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)

    def split(self, part: float) -> tuple[Samples, Samples | None]:
        """The first samples, and the last ``part`` of them."""
        count = round(len(self) * part)
        if not count:
            return self, None
        first = slice(0, len(self) - count)
        return self._part(first), self._part(slice(len(self) - count, len(self)))

    def _part(self, chosen: slice) -> Samples:
        inputs = {name: data[chosen] for name, data in self.inputs.items()}
        return Samples(inputs, self.targets[chosen])

    def digest(self) -> str:
        """SHA-256 of all events and targets."""
        state = hashlib.sha256()
        for name, data in sorted(self.inputs.items()):
            state.update(name.encode())
            for array in (data.offsets, data.times, data.neurons):
                state.update(np.ascontiguousarray(array, "<i8").tobytes())
        kind = "<i8" if self.targets.dtype.kind in "iu" else "<f8"
        state.update(np.ascontiguousarray(self.targets, kind).tobytes())
        return state.hexdigest()


def check_targets(
    targets: npt.ArrayLike, samples: int, loss: str, steps: int, shape: tuple[int, ...]
) -> tuple[Array, list[Diagnostic]]:
    """Labels or wanted values, and what is wrong with them.

    Args:
        targets: Classes, or values of shape (samples, steps, features...).
        samples: Number of samples.
        loss: Name of the loss.
        steps: Presentation length.
        shape: Shape of the output.
    """
    array = np.asarray(targets)
    findings: list[Diagnostic] = []

    def report(found: str, allowed: str) -> None:
        findings.append(Diagnostic("train.data", "labels", found, allowed))

    if loss == "mean_square_error":
        wanted = (samples, steps, *shape)
        if array.shape != wanted or array.dtype.kind not in "biuf":
            report(f"shape {list(array.shape)}", f"numbers of shape {list(wanted)}")
        elif not np.all(np.isfinite(array)):
            report("NaN or infinite numbers", "finite numbers")
        return array.astype(np.float32) if array.dtype.kind in "biuf" else array, findings
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) != samples:
        report(
            f"shape {list(array.shape)} of type {array.dtype}",
            f"a whole number for each of {samples} samples",
        )
        return array, findings
    classes = int(np.prod(shape, dtype=np.int64))
    if array.size and (array.min() < 0 or array.max() >= classes):
        report(f"{array.min()} to {array.max()}", f"0 to {classes - 1}: the outputs")
    return array.astype(np.int64), findings
