"""Variations of spike data for training, all of them new data by a given generator.

The recipe for the Spiking Heidelberg Digits of Nowotny, Turner and Knight, Loss shaping enhances
exact gradient learning with Eventprop in spiking neural networks, Neuromorphic Computing and
Engineering 2025, section on augmentation: shift and blend.
"""

from __future__ import annotations

import numpy as np

from snnir.data.spikes import Array, SpikeData, from_places
from snnir.errors import DataError, Diagnostic


def shift(data: SpikeData, most: int, rng: np.random.Generator) -> SpikeData:
    """Move all events of a sample by one random number of neurons.

    The number is uniform in ``-most`` to ``most``, drawn for each sample. Events that leave the
    range are left out, as published.

    Args:
        data: Data with one axis of neurons, e.g. the channels of a cochlea.
        most: Largest number of neurons; 40 for the 700 channels of SHD.
        rng: Draws the numbers.

    Raises:
        DataError: If ``most`` is negative or the neurons have several axes.
    """
    if most < 0 or len(data.shape) != 1:
        found = f"{most} neurons, for data of shape {list(data.shape)}"
        allowed = "at least 0, for data with one axis of neurons"
        raise DataError(Diagnostic("spikes.option", "shift", found, allowed))
    moves = rng.integers(-most, most, len(data), endpoint=True)
    neurons = data.neurons + moves[data.sample_of_event()]
    kept = (neurons >= 0) & (neurons < data.neuron_count)
    return _chosen(data, kept, data.times, neurons.astype(np.int32))


def blend(
    data: SpikeData, rng: np.random.Generator, count: int | None = None, keep: float = 0.5
) -> SpikeData:
    """New samples, each a mixture of two random samples of one class.

    Both are moved to their common centre: by half of the difference of the means of their
    neurons, and of their steps, cut off to whole numbers. Each event is then kept with
    probability ``keep``; events that leave the range are left out. Where both have an event of a
    neuron in a step it is one. A partner may be the sample itself.

    Args:
        data: Labelled data with one axis of neurons.
        rng: Draws samples and events.
        count: Number of new samples; by default as many as there are.
        keep: Probability with which an event is kept.

    Returns:
        The new samples alone; :func:`snnir.data.concatenate` puts them behind the old ones.

    Raises:
        DataError: If there are no labels, the neurons have several axes, or ``count`` or
            ``keep`` is not possible.
    """
    labels = data.required_labels()
    number = len(data) if count is None else count
    if len(data.shape) != 1 or not 0 <= keep <= 1 or number < 0 or (number and not len(data)):
        found = f"keep {keep}, {number} of {len(data)} samples of shape {list(data.shape)}"
        allowed = "a probability, and data with samples and one axis of neurons"
        raise DataError(Diagnostic("spikes.option", "blend", found, allowed))
    first = rng.integers(len(data), size=number) if number else np.empty(0, np.int64)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[first], "left")
    ends = np.searchsorted(labels[order], labels[first], "right")
    second = order[starts + np.floor(rng.random(number) * (ends - starts)).astype(np.int64)]
    centres = _means(data)
    sides = []
    for here, there in ((first, second), (second, first)):
        moves = np.trunc((centres[there] - centres[here]) / 2).astype(np.int64)
        sides.append(_moved(data, here, moves, keep, rng))
    sample, times, neurons = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    mixed, _ = from_places(data, sample, times, neurons, number, labels[first].copy())
    return mixed


def _means(data: SpikeData) -> Array:
    """Mean step and neuron of the events of each sample, (samples, 2); 0 without events."""
    sample, counts = data.sample_of_event(), np.maximum(data.counts, 1)
    sums = [
        np.bincount(sample, weights=values, minlength=len(data))
        for values in (data.times, data.neurons)
    ]
    means: Array = np.stack(sums, axis=1) / counts[:, None]
    return means


def _moved(
    data: SpikeData, chosen: Array, moves: Array, keep: float, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Place among the chosen, step and neuron of events of chosen samples, some kept and moved."""
    part = data[chosen]
    kept = rng.random(part.times.size) < keep
    sample = part.sample_of_event()[kept]
    times = part.times[kept] + moves[sample, 0]
    neurons = part.neurons[kept] + moves[sample, 1]
    inside = (neurons >= 0) & (neurons < data.neuron_count) & (times >= 0) & (times < data.steps)
    return sample[inside], times[inside], neurons[inside]


def _chosen(data: SpikeData, kept: Array, times: Array, neurons: Array) -> SpikeData:
    """The events that are kept; moving them has not changed their order."""
    before = np.concatenate(([0], np.cumsum(kept)))
    return SpikeData.trusted(data, before[data.offsets], times[kept], neurons[kept], data.labels)
