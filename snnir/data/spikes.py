"""Spike datasets: what they are, what must hold, and parts of them."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from snnir import limits
from snnir.errors import DataError, Diagnostic, SnnirWarning, raise_errors

Array = npt.NDArray[Any]
Empty = Literal["warn", "refuse", "allow"]
Selection = slice | npt.ArrayLike

TYPES: Final = {"offsets": np.int64, "times": np.int32, "neurons": np.int32, "labels": np.int64}
"""NumPy type of each array."""

_STRETCH: Final = 1 << 22
"""Events that are checked at a time."""


class SpikeData:
    """Samples of spikes.

    Event ``e`` says that neuron ``neurons[e]`` spikes in step ``times[e]``. Those of sample ``i``
    are ``offsets[i]`` to ``offsets[i + 1] - 1``, in the order of their steps, those of a step in
    the order of their neurons; a neuron spikes at most once in a step. Arrays are not to be
    changed; they may be mapped from a file.

    Attributes:
        offsets: int64, (samples + 1): where the events of each sample begin.
        times: int32, (events): the step of each event, 0 to ``steps - 1``.
        neurons: int32, (events): the neuron of each event, its index in ``shape`` in C order.
        labels: int64, (samples): the class of each sample, or None.
        shape: Shape of the neurons, e.g. ``(700,)`` or ``(34, 34, 2)``.
        steps: Presentation length in steps.
        dt: Length of a step in seconds.
        classes: Number of classes; 0 without labels.
    """

    def __init__(
        self,
        offsets: npt.ArrayLike,
        times: npt.ArrayLike,
        neurons: npt.ArrayLike,
        *,
        shape: int | Sequence[int],
        steps: int,
        dt: float = 1e-3,
        labels: npt.ArrayLike | None = None,
        classes: int | None = None,
        empty: Empty = "warn",
    ) -> None:
        """Check and take over arrays.

        Args:
            offsets: See the attributes; integers of any type are taken.
            times: See the attributes.
            neurons: See the attributes.
            shape: Shape of the neurons; a number is one axis.
            steps: Presentation length in steps.
            dt: Length of a step in seconds.
            labels: Class of each sample.
            classes: Number of classes; by default one more than the largest label.
            empty: What to do about samples without events.

        Raises:
            DataError: If anything does not hold; with all findings.

        Warns:
            SnnirWarning: Of samples without events, unless ``empty`` says otherwise.
        """
        self.shape = (int(shape),) if isinstance(shape, int) else tuple(map(int, shape))
        self.steps, self.dt = int(steps), float(dt)
        given = {"offsets": offsets, "times": times, "neurons": neurons, "labels": labels}
        findings = size_findings(self)
        arrays: dict[str, Array] = {}
        for name, value in given.items():
            if value is not None:
                arrays[name] = np.asarray(value)
                findings += _array_findings(name, arrays[name])
        raise_errors(findings, DataError)
        given_labels = arrays.get("labels", np.empty(0))
        largest = int(given_labels.max()) if given_labels.size else -1
        self.classes = largest + 1 if classes is None else int(classes)
        found = list(
            content_findings(
                self,
                arrays["offsets"],
                arrays["times"],
                arrays["neurons"],
                arrays.get("labels"),
                empty=empty,
            )
        )
        raise_errors(found, DataError)
        for finding in found:
            warnings.warn(str(finding), SnnirWarning, stacklevel=2)
        exact = {name: _exact(name, array) for name, array in arrays.items()}
        self.offsets, self.times, self.neurons = (
            exact[name] for name in ("offsets", "times", "neurons")
        )
        self.labels: Array | None = exact.get("labels")

    @classmethod
    def trusted(
        cls,
        like: SpikeData,
        offsets: Array,
        times: Array,
        neurons: Array,
        labels: Array | None,
    ) -> SpikeData:
        """Arrays of the right types that are known to be sound, otherwise as ``like`` is."""
        made = cls.__new__(cls)
        made.shape, made.steps, made.dt, made.classes = (
            like.shape,
            like.steps,
            like.dt,
            like.classes,
        )
        made.offsets, made.times, made.neurons, made.labels = offsets, times, neurons, labels
        return made

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return (
            f"SpikeData({len(self)} samples, {self.times.size} events, {shape} neurons, "
            f"{self.steps} steps of {self.dt:g} s, {self.classes} classes)"
        )

    @property
    def neuron_count(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    @property
    def counts(self) -> Array:
        """Number of events of each sample."""
        return np.diff(self.offsets)

    def required_labels(self) -> Array:
        """The labels.

        Raises:
            DataError: If there are none.
        """
        if self.labels is None:
            raise DataError(
                Diagnostic("spikes.label", "labels", "none", f"a label for {len(self)} samples")
            )
        return self.labels

    def events(self, sample: int) -> tuple[Array, Array]:
        """Steps and neurons of the events of one sample."""
        start, stop = self.offsets[sample], self.offsets[sample + 1]
        return self.times[start:stop], self.neurons[start:stop]

    def __getitem__(self, selection: Selection) -> SpikeData:
        """The samples of a slice, of a list of indices, or where an array of bools is true.

        Raises:
            DataError: If there is no such sample.
        """
        if isinstance(selection, slice) and selection.step in (None, 1):
            start, stop, _ = selection.indices(len(self))
            bounds = self.offsets[start : max(stop, start) + 1]
            first, last = int(bounds[0]), int(bounds[-1])
            labels = None if self.labels is None else self.labels[start : max(stop, start)]
            return SpikeData.trusted(
                self, bounds - first, self.times[first:last], self.neurons[first:last], labels
            )
        index = self._indices(selection)
        counts = self.counts[index]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        places = np.repeat(self.offsets[:-1][index] - offsets[:-1], counts)
        places += np.arange(places.size)
        return SpikeData.trusted(
            self,
            offsets,
            self.times[places],
            self.neurons[places],
            None if self.labels is None else self.labels[index],
        )

    def _indices(self, selection: Selection) -> Array:
        numbers = np.arange(len(self))
        if isinstance(selection, slice):
            return numbers[selection]
        index = np.asarray(selection)
        if index.size == 0:
            return numbers[:0]
        try:
            if index.ndim != 1 or index.dtype.kind not in "biu":
                raise IndexError
            chosen: Array = numbers[index]
            return chosen
        except IndexError:
            raise DataError(
                Diagnostic(
                    "spikes.option",
                    "samples to choose",
                    f"{index.dtype}{list(index.shape)}, {index.min()} to {index.max()}"
                    if index.dtype.kind in "iuf"
                    else f"{index.dtype}{list(index.shape)}",
                    f"a slice, numbers below {len(self)}, or {len(self)} bools",
                )
            ) from None

    def shuffled(self, rng: np.random.Generator) -> SpikeData:
        """The samples in random order."""
        return self[rng.permutation(len(self))]

    def split(
        self, first: int | float, rng: np.random.Generator | None = None
    ) -> tuple[SpikeData, SpikeData]:
        """Two parts without a common sample.

        Args:
            first: Size of the first part: a number of samples (int) or a fraction (float).
            rng: Chooses the samples at random; otherwise the first ones are the first part.

        Raises:
            DataError: If there are not so many samples.
        """
        wanted = round(first * len(self)) if isinstance(first, float) else first
        if not (0 <= first <= 1 if isinstance(first, float) else 0 <= first <= len(self)):
            allowed = f"0 to {len(self)} samples, or a fraction 0.0 to 1.0"
            raise DataError(Diagnostic("spikes.option", "size of a part", repr(first), allowed))
        if rng is None:
            return self[:wanted], self[wanted:]
        order = rng.permutation(len(self))
        return self[order[:wanted]], self[order[wanted:]]

    def batches(self, size: int) -> Iterator[SpikeData]:
        """The samples in order, ``size`` at a time; the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def dense(self, samples: Selection = slice(None), dtype: npt.DTypeLike = np.float32) -> Array:
        """1 where a neuron spikes, otherwise 0.

        Args:
            samples: Which samples; see ``__getitem__``.
            dtype: NumPy type of the result.

        Returns:
            An array of shape (samples, steps, *shape).
        """
        part = self[samples]
        result = np.zeros((len(part), part.steps, part.neuron_count), dtype)
        result[part.sample_of_event(), part.times, part.neurons] = 1
        whole: Array = result.reshape(len(part), part.steps, *part.shape)
        return whole

    def sample_of_event(self) -> Array:
        """The sample of each event, (events)."""
        return np.repeat(np.arange(len(self)), self.counts)

    def binned(self, bins: int) -> Array:
        """Events of each neuron in ``bins`` equal parts of the presentation.

        Step ``t`` belongs to part ``t * bins // steps``.

        Returns:
            int64, (samples, bins, neurons).
        """
        part = self.times.astype(np.int64) * bins // self.steps
        place = (self.sample_of_event() * bins + part) * self.neuron_count + self.neurons
        size = len(self) * bins * self.neuron_count
        return np.bincount(place, minlength=size).reshape(len(self), bins, self.neuron_count)

    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal; equal data has equal digests, however stored."""
        head = f"{self.shape} {self.steps} {self.dt.hex()} {self.classes} {self.labels is None}"
        hashed = hashlib.sha256(f"snnir spike data 1: {head} {len(self)}\n".encode())
        for array in (self.offsets, self.times, self.neurons, self.labels):
            if array is not None:
                little = array.dtype.newbyteorder("<")
                hashed.update(np.ascontiguousarray(array, little).data.cast("B"))
        return hashed.hexdigest()


def concatenate(parts: Sequence[SpikeData]) -> SpikeData:
    """The samples of all parts, in order; the largest number of classes holds.

    Raises:
        DataError: If there is no part, or they differ in more than their samples.
    """
    kinds = {(part.shape, part.steps, part.dt, part.labels is None) for part in parts}
    if len(kinds) != 1:
        found = "; ".join(map(repr, parts)) or "nothing"
        allowed = "data of equal shape, steps and dt, all with labels or none"
        raise DataError(Diagnostic("spikes.option", "data to concatenate", found, allowed))
    counts = np.concatenate([part.counts for part in parts])
    labels = [part.labels for part in parts if part.labels is not None]
    made = SpikeData.trusted(
        parts[0],
        np.concatenate(([0], np.cumsum(counts))),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.neurons for part in parts]),
        np.concatenate(labels) if labels else None,
    )
    made.classes = max(part.classes for part in parts)
    return made


# What must hold --------------------------------------------------------------------------------


def size_findings(data: SpikeData) -> list[Diagnostic]:
    """What is wrong with shape, steps and dt."""
    findings: list[Diagnostic] = []
    if not data.shape or min(data.shape) < 1 or data.neuron_count > limits.MAX_NEURONS:
        allowed = f"1 to {limits.MAX_NEURONS} neurons along at least one axis"
        findings.append(Diagnostic("spikes.array", "shape", str(list(data.shape)), allowed))
    if not 1 <= data.steps <= limits.MAX_STEPS:
        allowed = f"1 to {limits.MAX_STEPS}"
        findings.append(Diagnostic("spikes.array", "steps", str(data.steps), allowed))
    if not (math.isfinite(data.dt) and data.dt > 0):
        findings.append(Diagnostic("spikes.array", "dt", str(data.dt), "seconds, above 0"))
    return findings


def _array_findings(name: str, array: Array) -> list[Diagnostic]:
    if array.ndim == 1 and (array.dtype.kind in "iu" or not array.size):
        return []
    found = f"{array.dtype}{list(array.shape)}"
    return [Diagnostic("spikes.array", name, found, "integers along one axis")]


def _exact(name: str, array: Array) -> Array:
    """The array in its own type; its numbers fit."""
    return np.ascontiguousarray(array, TYPES[name]) if array.dtype != TYPES[name] else array


def content_findings(
    data: SpikeData,
    offsets: Array,
    times: Array,
    neurons: Array,
    labels: Array | None = None,
    *,
    empty: Empty = "warn",
    where: str = "",
) -> Iterator[Diagnostic]:
    """All that is wrong with arrays of spike data, a finding for each kind of fault.

    Args:
        data: Its shape, steps and classes count.
        offsets: See :class:`SpikeData`.
        times: See :class:`SpikeData`.
        neurons: See :class:`SpikeData`.
        labels: See :class:`SpikeData`.
        empty: Whether samples without events are a warning, an error or nothing.
        where: What the data is, for messages.
    """
    prefix = f"{where}, " if where else ""
    events = len(times)
    if len(neurons) != events:
        found = f"{len(neurons)} neurons for {events} times"
        yield Diagnostic("spikes.array", f"{prefix}events", found, "as many of both")
        events = min(events, len(neurons))
    sound = _offsets_sound(offsets, len(times))
    if not sound:
        found = f"{len(offsets)} numbers, {_ends(offsets)}"
        falls = int(np.count_nonzero(offsets[1:] < offsets[:-1])) if len(offsets) else 0
        if falls:
            found += f", {falls} smaller than the one before"
        allowed = f"numbers that begin with 0, never fall and end with {len(times)}"
        yield Diagnostic("spikes.offsets", f"{prefix}offsets", found, allowed)
    yield from _event_findings(data, offsets if sound else None, times, neurons, events, prefix)
    if labels is not None:
        yield from _label_findings(data, max(len(offsets) - 1, 0), labels, prefix)
    if sound:
        yield from empty_findings(offsets, empty, prefix)


def empty_findings(offsets: Array, empty: Empty, prefix: str = "") -> Iterator[Diagnostic]:
    """What there is to say of samples without events."""
    silent = np.flatnonzero(np.diff(offsets) == 0)
    if silent.size and empty != "allow":
        code = "spikes.empty" if empty == "warn" else "spikes.empty-sample"
        found = f"{silent.size} of {len(offsets) - 1}, first sample {silent[0]}"
        yield Diagnostic(code, f"{prefix}samples", found, "events in each sample")


def _offsets_sound(offsets: Array, events: int) -> bool:
    return bool(
        len(offsets)
        and offsets[0] == 0
        and offsets[-1] == events
        and np.all(offsets[1:] >= offsets[:-1])
    )


def _ends(numbers: Array) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) else "none"


@dataclass
class _Faults:
    """Faulty events of one kind: how many, and the first of them."""

    count: int = 0
    first: str = ""

    def add(self, places: Array, describe: Any) -> None:
        if places.size and not self.count:
            self.first = describe(int(places[0]))
        self.count += int(places.size)


@dataclass
class _EventFaults:
    time: _Faults = field(default_factory=_Faults)
    neuron: _Faults = field(default_factory=_Faults)
    order: _Faults = field(default_factory=_Faults)


def _event_findings(
    data: SpikeData,
    offsets: Array | None,
    times: Array,
    neurons: Array,
    events: int,
    prefix: str,
) -> Iterator[Diagnostic]:
    faults = _EventFaults()
    starts = np.empty(0, np.int64) if offsets is None else offsets[:-1]

    def sample(event: int) -> str:
        if offsets is None:
            return f"event {event}"
        return f"event {event} of sample {int(np.searchsorted(offsets, event, 'right')) - 1}"

    for begin in range(0, events, _STRETCH):
        end = min(begin + _STRETCH, events)
        before = max(begin - 1, 0)
        t = np.asarray(times[before:end]).astype(np.int64)
        n = np.asarray(neurons[before:end]).astype(np.int64)
        late = np.flatnonzero((t < 0) | (t >= data.steps)) + before
        outside = np.flatnonzero((n < 0) | (n >= data.neuron_count)) + before
        faults.time.add(late[late >= begin], lambda e: f"{sample(e)} in step {times[e]}")
        faults.neuron.add(
            outside[outside >= begin], lambda e: f"{sample(e)} at neuron {neurons[e]}"
        )
        if offsets is not None:
            follows = (t[1:] > t[:-1]) | ((t[1:] == t[:-1]) & (n[1:] > n[:-1]))
            inside = starts[np.searchsorted(starts, before) : np.searchsorted(starts, end)]
            inside = inside[inside > before] - before - 1
            follows[inside] = True
            faults.order.add(
                np.flatnonzero(~follows) + before + 1,
                lambda e: (
                    f"{sample(e)}: step {times[e]}, neuron {neurons[e]} after "
                    f"step {times[e - 1]}, neuron {neurons[e - 1]}"
                ),
            )
    allowed = {
        "spikes.time": f"steps 0 to {data.steps - 1}",
        "spikes.neuron": f"neurons 0 to {data.neuron_count - 1}",
        "spikes.order": "events of a sample by step, then by neuron, none twice",
    }
    kinds = (faults.time, faults.neuron, faults.order)
    for (code, rule), fault in zip(allowed.items(), kinds, strict=True):
        if fault.count:
            found = f"{fault.count} of {events}, first {fault.first}"
            yield Diagnostic(code, f"{prefix}events", found, rule)


def _label_findings(
    data: SpikeData, samples: int, labels: Array, prefix: str
) -> Iterator[Diagnostic]:
    if len(labels) != samples:
        found, allowed = f"{len(labels)} labels", f"one for each of {samples} samples"
        yield Diagnostic("spikes.label", f"{prefix}labels", found, allowed)
    wrong = np.flatnonzero((labels < 0) | (labels >= max(data.classes, 0)))
    if wrong.size:
        found = f"{wrong.size}, first {labels[wrong[0]]} at sample {wrong[0]}"
        allowed = f"0 to {data.classes - 1}" if data.classes > 0 else "a number of classes above 0"
        yield Diagnostic("spikes.label", f"{prefix}labels", found, allowed)


# Events from anywhere --------------------------------------------------------------------------


def from_places(
    like: SpikeData, samples: Array, times: Array, neurons: Array, count: int, labels: Array | None
) -> tuple[SpikeData, int]:
    """Spike data of events in any order, otherwise as ``like`` is.

    Args:
        like: Its shape, steps, dt and classes hold.
        samples: Sample of each event.
        times: Step of each event; in range.
        neurons: Neuron of each event; in range.
        count: Number of samples.
        labels: Label of each sample.

    Returns:
        The data, and the number of events that were there already.

    Raises:
        DataError: If samples, steps and neurons are too many to be numbered.
    """
    size = like.neuron_count
    if count * like.steps * size >= limits.MAX_PLACES:
        found = f"{count} samples of {like.steps} steps and {size} neurons"
        allowed = f"a product below {limits.MAX_PLACES}"
        raise DataError(Diagnostic("spikes.limit", "events", found, allowed))
    given = np.asarray(samples, np.int64)
    places = (given * like.steps + times) * size + neurons
    places.sort(kind="stable")  # fast where parts of it are in order, as events mostly are
    places = places[np.concatenate(([True], places[1:] != places[:-1]))[: places.size]]
    steps = places // size  # much faster than divmod
    found_neurons = places - steps * size
    bounds = np.searchsorted(places, np.arange(count + 1) * (like.steps * size))
    made = SpikeData.trusted(
        like,
        bounds.astype(np.int64),
        (steps % like.steps).astype(np.int32),
        found_neurons.astype(np.int32),
        labels,
    )
    return made, given.size - places.size


# Samples for the runtime -----------------------------------------------------------------------


class SpikeSamples:
    """Dense samples of spike data, made a stretch at a time; see ``snnir.data.arrays.Samples``."""

    def __init__(self, where: str, data: SpikeData) -> None:
        self.where = where
        self.shape = (len(data), data.steps, *data.shape)
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.dt: float | None = data.dt
        self._data = data
        self._done = 0

    def read(self, count: int) -> Array:
        """The next ``count`` samples."""
        self._done += count
        return self._data.dense(slice(self._done - count, self._done))


class LabelSamples:
    """Labels of spike data, a stretch at a time; see ``snnir.data.arrays.Samples``."""

    def __init__(self, where: str, data: SpikeData) -> None:
        self.where = where
        self._labels = data.required_labels()
        self.shape = self._labels.shape
        self.dtype: np.dtype[Any] = self._labels.dtype
        self.dt: float | None = None
        self._done = 0

    def read(self, count: int) -> Array:
        """The next ``count`` labels."""
        self._done += count
        return self._labels[self._done - count : self._done]
