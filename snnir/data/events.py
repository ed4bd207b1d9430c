"""Events as sensors and simulators give them, to spike data."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from snnir.data.spikes import Array, Empty, SpikeData, empty_findings, from_places
from snnir.errors import DataError, Diagnostic, SnnirWarning, raise_errors

Beyond = Literal["refuse", "cut"]

BOUNDARY: Final = 1e-3
"""Part of a step by which a time may lie before a boundary and count as at it: it was rounded."""


def from_events(
    samples: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
    labels: npt.ArrayLike | None = None,
    *,
    shape: int | Sequence[int],
    steps: int,
    dt: float = 1e-3,
    time_unit: float = 1.0,
    classes: int | None = None,
    beyond: Beyond = "refuse",
    empty: Empty = "warn",
) -> SpikeData:
    """Spike data of times and neurons, in any order.

    An event at time ``t`` belongs to step ``floor(t * time_unit / dt)``. Events of one neuron in
    one step are one spike.

    Args:
        samples: Times and neurons of the events of each sample.
        labels: Class of each sample.
        shape: Shape of the neurons; they are numbered in C order.
        steps: Presentation length in steps.
        dt: Length of a step in seconds.
        time_unit: What a time of 1 is, in seconds.
        classes: Number of classes; by default one more than the largest label.
        beyond: Whether events after the last step are an error or left out.
        empty: What to do about samples without events.

    Raises:
        DataError: If an event is out of range, or anything else does not fit.

    Warns:
        SnnirWarning: Of events that were merged or cut, and of samples without events.
    """
    pairs = [(np.asarray(times), np.asarray(neurons)) for times, neurons in samples]
    offsets = np.zeros(len(pairs) + 1, np.int64)
    like = SpikeData(
        offsets,
        [],
        [],
        shape=shape,
        steps=steps,
        dt=dt,
        labels=labels,
        classes=classes,
        empty="allow",
    )
    raise_errors(_pair_findings(pairs, time_unit), DataError)
    none = np.empty(0, np.int64)
    sample = np.repeat(np.arange(len(pairs)), [times.size for times, _ in pairs])
    times = np.concatenate([step_of(times, time_unit / dt) for times, _ in pairs] or [none])
    neurons = np.concatenate([neurons for _, neurons in pairs] or [none]).astype(np.int64)
    late = times >= steps
    cut = int(np.count_nonzero(late)) if beyond == "cut" else 0
    if cut:
        sample, times, neurons = sample[~late], times[~late], neurons[~late]
    raise_errors(_range_findings(like, sample, times, neurons), DataError)
    data, merged = from_places(like, sample, times, neurons, len(pairs), like.labels)
    findings = list(empty_findings(data.offsets, empty))
    if cut:
        allowed = f"events before {steps * dt:g} s"
        findings.append(Diagnostic("spikes.cut", "events", f"{cut} of {late.size}", allowed))
    if merged:
        allowed = "one event of a neuron in a step"
        findings.append(Diagnostic("spikes.merged", "events", f"{merged} of {late.size}", allowed))
    raise_errors(findings, DataError)
    for finding in findings:
        warnings.warn(str(finding), SnnirWarning, stacklevel=2)
    return data


def from_structured(
    recordings: Iterable[Array],
    labels: npt.ArrayLike | None = None,
    *,
    sensor: Sequence[int],
    steps: int,
    dt: float = 1e-3,
    time_unit: float = 1e-6,
    **options: Any,
) -> SpikeData:
    """Spike data of structured events as Tonic gives them.

    Args:
        recordings: For each sample an array with fields ``t``, ``x``, ``p`` and maybe ``y``.
        labels: Class of each sample.
        sensor: Tonic's ``sensor_size``: numbers of ``x``, ``y`` and ``p``. With one ``p`` the
            polarity is not looked at.
        steps: Presentation length in steps.
        dt: Length of a step in seconds.
        time_unit: What a ``t`` of 1 is, in seconds.
        options: As in :func:`from_events`.

    Returns:
        Data of shape ``(y, x, p)``, without the axes ``y`` and ``p`` where they are 1.

    Raises:
        DataError: If fields are missing, an event is out of range, or anything else does not fit.
    """
    if len(sensor) != 3 or min(sensor) < 1:
        allowed = "numbers of x, y and p"
        raise DataError(Diagnostic("spikes.option", "sensor", str(list(sensor)), allowed))
    width, height, polarities = map(int, sensor)
    given = list(recordings)
    findings: list[Diagnostic] = []
    samples: list[tuple[Array, Array]] = []
    wanted = {"t", "x", *(("y",) if height > 1 else ()), *(("p",) if polarities > 1 else ())}
    for number, events in enumerate(given):
        names = set(events.dtype.names or ())
        if not wanted <= names:
            found = ", ".join(sorted(names)) or str(events.dtype)
            allowed = "fields " + ", ".join(sorted(wanted))
            findings.append(Diagnostic("spikes.array", f"sample {number}", found, allowed))
            continue
        columns = {"x": width, "y": height, "p": polarities}
        values = {
            name: events[name].astype(np.int64) if name in wanted else np.zeros(len(events), int)
            for name in columns
        }
        for name, size in columns.items():
            outside = (values[name] < 0) | (values[name] >= size)
            if outside.any():
                found = f"{name} = {values[name][outside][0]}"
                allowed = f"0 to {size - 1}"
                findings.append(Diagnostic("spikes.neuron", f"sample {number}", found, allowed))
        place = (values["y"] * width + values["x"]) * polarities + values["p"]
        samples.append((events["t"], place))
    raise_errors(findings, DataError)
    shape = [
        n for n, kept in ((height, height > 1), (width, True), (polarities, polarities > 1)) if kept
    ]
    return from_events(
        samples, labels, shape=shape, steps=steps, dt=dt, time_unit=time_unit, **options
    )


def from_dense(
    array: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    dt: float = 1e-3,
    classes: int | None = None,
    empty: Empty = "warn",
) -> SpikeData:
    """Spike data of an array of 0 and 1, (samples, steps, features).

    Raises:
        DataError: If the array holds anything else, or the labels do not fit.
    """
    given = np.asarray(array)
    if given.ndim < 3 or given.dtype.kind not in "biuf" or not np.isin(given, (0, 1)).all():
        found = f"{given.dtype}{list(given.shape)}"
        allowed = "0 and 1 in axes samples, steps and features"
        raise DataError(Diagnostic("spikes.array", "dense spikes", found, allowed))
    count, steps, *shape = given.shape
    sample, times, neurons = np.nonzero(given.reshape(count, steps, math.prod(shape)))
    offsets = np.searchsorted(sample, np.arange(count + 1))
    return SpikeData(
        offsets,
        times,
        neurons,
        shape=shape,
        steps=steps,
        dt=dt,
        labels=labels,
        classes=classes,
        empty=empty,
    )


def step_of(times: Array, rate: float) -> Array:
    """The steps that times belong to, ``floor(times * rate)`` up to ``BOUNDARY``, as int64."""
    if times.dtype.kind in "iu" and rate == 1:
        return times.astype(np.int64)
    steps: Array = np.floor(times.astype(np.float64) * rate + BOUNDARY)
    return steps.astype(np.int64)


def _pair_findings(pairs: Sequence[tuple[Array, Array]], unit: float) -> Iterator[Diagnostic]:
    if not (np.isfinite(unit) and unit > 0):
        yield Diagnostic("spikes.option", "time_unit", str(unit), "seconds, above 0")
    for number, (times, neurons) in enumerate(pairs):
        where = f"sample {number}"
        if times.ndim != 1 or neurons.shape != times.shape:
            found = f"times {list(times.shape)}, neurons {list(neurons.shape)}"
            yield Diagnostic("spikes.array", where, found, "as many of both, along one axis")
        elif times.size and (times.dtype.kind not in "iuf" or neurons.dtype.kind not in "iu"):
            found = f"times {times.dtype}, neurons {neurons.dtype}"
            yield Diagnostic("spikes.array", where, found, "numbers, and whole numbers")
        elif times.dtype.kind == "f" and not (np.abs(times.astype(np.float64)) < 2**62).all():
            yield Diagnostic("spikes.time", where, "a time that is not finite", "finite times")


def _range_findings(
    like: SpikeData, sample: Array, times: Array, neurons: Array
) -> Iterator[Diagnostic]:
    rules = (
        ("spikes.time", "step", times, like.steps),
        ("spikes.neuron", "neuron", neurons, like.neuron_count),
    )
    for code, what, numbers, end in rules:
        outside = np.flatnonzero((numbers < 0) | (numbers >= end))
        if outside.size:
            first = outside[0]
            found = f"{outside.size} of {numbers.size}, first {what} {numbers[first]} in sample "
            yield Diagnostic(code, "events", found + str(sample[first]), f"0 to {end - 1}")
