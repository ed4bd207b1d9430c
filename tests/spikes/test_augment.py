"""Neuron shift and blending."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snnir.data import SpikeData, blend, from_dense, shift
from snnir.errors import DataError

Change = Callable[[SpikeData, np.random.Generator], SpikeData]


def random_data(samples: int = 60, neurons: int = 30, steps: int = 20) -> SpikeData:
    rng = np.random.default_rng(0)
    x = rng.random((samples, steps, neurons)) < 0.1
    return from_dense(x, rng.integers(0, 4, samples), classes=5, dt=2e-3)


CHANGES: list[Change] = [lambda d, rng: shift(d, 5, rng), lambda d, rng: blend(d, rng)]


@pytest.mark.parametrize("change", CHANGES, ids=["shift", "blend"])
def test_the_result_is_sound_and_the_generators(change: Change) -> None:
    data, before = random_data(), random_data().digest()
    made = change(data, np.random.default_rng(1))
    SpikeData(
        made.offsets,
        made.times,
        made.neurons,
        shape=made.shape,
        steps=made.steps,
        labels=made.labels,
        classes=made.classes,
        empty="allow",
    )
    assert (made.shape, made.steps, made.dt, made.classes) == ((30,), 20, 2e-3, 5)
    assert change(data, np.random.default_rng(1)).digest() == made.digest()
    assert change(data, np.random.default_rng(2)).digest() != made.digest()
    assert data.digest() == before, "the data itself is as it was"


def test_a_shift_moves_the_neurons_of_each_sample_together() -> None:
    data = random_data(400)
    made = shift(data, 3, np.random.default_rng(0))
    whole, moved = data.dense(), made.dense()
    seen: list[int] = []
    for sample in range(len(data)):
        fitting = []
        for move in range(-3, 4):
            expected = np.zeros_like(whole[sample])
            low, high = max(move, 0), 30 + min(move, 0)
            expected[:, low:high] = whole[sample][:, low - move : high - move]
            if np.array_equal(moved[sample], expected):
                fitting.append(move)
        assert len(fitting) == 1
        seen += fitting
    counts = np.bincount(np.array(seen) + 3, minlength=7)
    # Uniform over 7 moves: 57 of 400 each, standard deviation 7.
    assert counts.min() > 57 - 5 * 7 and counts.max() < 57 + 5 * 7
    assert np.array_equal(made.required_labels(), data.required_labels())


def test_no_shift_changes_nothing() -> None:
    data = random_data()
    assert shift(data, 0, np.random.default_rng(0)).digest() == data.digest()


def pair(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> SpikeData:
    """Two samples of one class by their (step, neuron) events."""
    dense = np.zeros((2, 20, 30))
    for sample, events in enumerate((first, second)):
        for step, neuron in events:
            dense[sample, step, neuron] = 1
    return from_dense(dense, [0, 0])


def test_samples_meet_at_their_common_centre() -> None:
    """Means (5, 10) and (9, 17): the first moves by (2, 3.5), the second by (-2, -3.5), cut."""
    data = pair([(4, 8), (6, 12)], [(9, 17)])
    made = blend(data, np.random.default_rng(0), 50, keep=1.0)
    found = {
        tuple(zip(*(part.tolist() for part in made.events(sample)), strict=True))
        for sample in range(50)
    }
    mixed = ((6, 11), (7, 14), (8, 15))
    assert mixed in found
    # Otherwise a sample met itself; the order of the two does not matter.
    assert found == {mixed, ((4, 8), (6, 12)), ((9, 17),)}


def test_events_that_leave_the_range_are_left_out() -> None:
    data = pair([(0, 0), (0, 29)], [(19, 29), (19, 27)])
    made = blend(data, np.random.default_rng(0), 30, keep=1.0)
    # The first moves by (9, 6): its neuron 29 leaves; the second by (-9, -6).
    expected = {((9, 6), (10, 21), (10, 23))}
    found = {
        tuple(zip(*(part.tolist() for part in made.events(sample)), strict=True))
        for sample in range(30)
    }
    assert expected < found


def test_half_of_the_events_are_kept() -> None:
    """Of samples mixed with themselves: each event is kept once or twice, 3 of 4 times."""
    data = random_data(50)
    alone = SpikeData(
        data.offsets,
        data.times,
        data.neurons,
        shape=30,
        steps=20,
        labels=np.arange(50),
        empty="allow",
    )
    made = blend(alone, np.random.default_rng(0))
    before = alone[made.required_labels()]
    total = int(before.counts.sum())
    part = made.counts.sum() / total
    assert abs(part - 0.75) < 5 * np.sqrt(0.75 * 0.25 / total)
    assert np.all(made.dense() <= before.dense())


def test_partners_are_of_one_class() -> None:
    """Classes that have neurons of their own never mix."""
    dense = np.zeros((40, 4, 8))
    labels = np.arange(40) % 4
    for sample, label in enumerate(labels):
        dense[sample, :, 2 * label] = 1
    made = blend(from_dense(dense, labels), np.random.default_rng(0), 200)
    assert np.array_equal(made.neurons // 2, made.required_labels()[made.sample_of_event()])
    assert len(made) == 200 and set(made.required_labels().tolist()) == {0, 1, 2, 3}


def test_what_cannot_be_varied() -> None:
    rng = np.random.default_rng(0)
    data, flat = random_data(), from_dense(np.ones((2, 3, 4, 5)), [0, 0])
    unlabelled = from_dense(np.ones((2, 3, 4)))
    for attempt in (
        lambda: shift(data, -1, rng),
        lambda: shift(flat, 1, rng),
        lambda: blend(flat, rng),
        lambda: blend(unlabelled, rng),
        lambda: blend(data, rng, keep=1.5),
        lambda: blend(data, rng, -1),
        lambda: blend(data[:0], rng, 3),
    ):
        with pytest.raises(DataError):
            attempt()
    assert len(blend(data[:0], rng)) == 0
