"""Samples of a training run: spikes as events, and labels or targets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, RunError

Array = npt.NDArray[Any]


@runtime_checkable
class SpikeEvents(Protocol):
    """Spikes of many samples; sample ``i`` has events ``offsets[i]`` to ``offsets[i + 1] - 1``.

    Attributes:
        offsets: Where samples begin, and the number of events; one more than samples.
        times: Step of each event.
        neurons: Neuron of each event.
    """

    @property
    def offsets(self) -> Array:
        """Shape (samples + 1)."""

    @property
    def times(self) -> Array:
        """Shape (events)."""

    @property
    def neurons(self) -> Array:
        """Shape (events)."""


@dataclass(frozen=True)
class Events:
    """Spikes of many samples; see :class:`SpikeEvents`."""

    offsets: Array
    times: Array
    neurons: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sample(self, index: int) -> tuple[Array, Array]:
        """Steps and neurons of a sample's events."""
        start, stop = self.offsets[index], self.offsets[index + 1]
        return self.times[start:stop], self.neurons[start:stop]

    def slice(self, start: int, stop: int) -> Events:
        """Some samples that follow one another."""
        low, high = self.offsets[start], self.offsets[stop]
        offsets = self.offsets[start : stop + 1] - low
        return Events(offsets, self.times[low:high], self.neurons[low:high])

    @classmethod
    def from_array(cls, spikes: Array) -> Events:
        """Of an array of shape (samples, steps, features...)."""
        flat = spikes.reshape(*spikes.shape[:2], -1)
        sample, times, neurons = np.nonzero(flat)
        counts = np.bincount(sample, minlength=len(spikes))
        return cls(np.concatenate([[0], np.cumsum(counts)]), times, neurons)


@dataclass(frozen=True)
class Samples:
    """What a network is trained on.

    Attributes:
        inputs: Spikes by name of graph input.
        targets: Class of each sample, or wanted values of shape (samples, steps, features...).
    """

    inputs: Mapping[str, Events]
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)

    def split(self, part: float) -> tuple[Samples, Samples | None]:
        """The first samples, and the last ``part`` of them."""
        count = round(len(self) * part)
        if not count:
            return self, None
        return self._range(0, len(self) - count), self._range(len(self) - count, len(self))

    def _range(self, start: int, stop: int) -> Samples:
        return Samples(
            {name: events.slice(start, stop) for name, events in self.inputs.items()},
            self.targets[start:stop],
        )

    def digest(self) -> str:
        """SHA-256 of all events and targets."""
        state = hashlib.sha256()
        for name, events in sorted(self.inputs.items()):
            state.update(name.encode())
            for array in (events.offsets, events.times, events.neurons):
                state.update(np.ascontiguousarray(array, "<i8").tobytes())
        kind = "<i8" if self.targets.dtype.kind in "iu" else "<f8"
        state.update(np.ascontiguousarray(self.targets, kind).tobytes())
        return state.hexdigest()


def check_events(
    name: str, events: SpikeEvents, steps: int, neurons: int
) -> tuple[Events, list[Diagnostic]]:
    """Spikes of one input in the order that trainers rely on, and what is wrong with them.

    Args:
        name: Name of the input.
        events: Spikes.
        steps: Presentation length.
        neurons: Number of neurons.
    """
    where = f"input '{name}'"
    offsets, times, ids = (np.asarray(a) for a in (events.offsets, events.times, events.neurons))
    findings: list[Diagnostic] = []

    def report(found: str, allowed: str) -> None:
        findings.append(Diagnostic("train.data", where, found, allowed))

    if offsets.ndim != 1 or offsets.size < 2 or offsets.dtype.kind not in "iu":
        report(f"offsets of shape {offsets.shape}", "whole numbers, one more than samples")
    elif offsets[0] != 0 or np.any(np.diff(offsets) < 0) or offsets[-1] != len(times):
        report("offsets that do not lead from 0 to the number of events", "rising numbers")
    if times.shape != ids.shape or times.ndim != 1:
        report(f"{times.size} times and {ids.size} neurons", "as many of both")
    if findings:
        return Events(offsets, times, ids), findings
    if ids.size and (ids.min() < 0 or ids.max() >= neurons):
        report(f"neurons {ids.min()} to {ids.max()}", f"0 to {neurons - 1}")
    if times.size and (times.min() < 0 or times.max() >= steps):
        report(f"events in steps {times.min():g} to {times.max():g}", f"0 to {steps - 1}")
    if times.dtype.kind == "f" and np.any(times != np.floor(times)):
        report("times between steps", "whole steps")
    offsets, times, ids = (a.astype(np.int64) for a in (offsets, times, ids))
    sample = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((times, ids, sample))
    same = np.diff(np.stack([sample, ids, times])[:, order], axis=1)
    twice = int(np.count_nonzero(np.all(same == 0, axis=0))) if times.size > 1 else 0
    if twice:
        report(f"{twice} events that repeat one of the same neuron and step", "each once")
    return Events(offsets, times[order], ids[order]), findings


def check_targets(targets: npt.ArrayLike, samples: int, loss: str, steps: int,
                  shape: tuple[int, ...]) -> tuple[Array, list[Diagnostic]]:
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
        report(f"shape {list(array.shape)} of type {array.dtype}",
               f"a whole number for each of {samples} samples")
        return array, findings
    classes = int(np.prod(shape, dtype=np.int64))
    if array.size and (array.min() < 0 or array.max() >= classes):
        report(f"{array.min()} to {array.max()}", f"0 to {classes - 1}: the outputs")
    return array.astype(np.int64), findings


def raise_findings(findings: list[Diagnostic]) -> None:
    """Raise all of them, if there are any.

    Raises:
        RunError: If there is one.
    """
    if findings:
        raise RunError(findings)
