"""Thresholds that calibration chooses, against the simulation and against what is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnir.passes.rate import thresholds
from snnir.passes.rate.neurons import make
from snnir.passes.rate.thresholds import Wanted, choose

Array = np.ndarray[Any, Any]

eighths = st.integers(-40, 40).map(lambda n: n / 8)


@given(
    currents=st.lists(eighths, min_size=1, max_size=20),
    threshold=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    slope=st.sampled_from([0.0, 0.25, 1.0]),
    bias=st.integers(-4, 4).map(lambda n: n / 16),
    start=st.sampled_from([0.0, 0.25, 0.5]),
    steps=st.sampled_from([1, 2, 4, 8, 16]),
    signed=st.booleans(),
)
def test_the_closed_form_is_the_simulation_of_an_even_current(
    currents: list[float],
    threshold: float,
    slope: float,
    bias: float,
    start: float,
    steps: int,
    signed: bool,
) -> None:
    """Exactly: all numbers are multiples of a power of two."""
    neuron = make(np.array([threshold], np.float32), slope, signed, start, np.array([bias]))
    mean = np.array(currents, np.float32)[:, None]
    if slope:
        mean = np.maximum(mean, np.float32(-threshold / slope - bias))
    spikes = neuron.simulate(np.broadcast_to(mean, (steps, *mean.shape)))
    assert np.array_equal(spikes.mean(0) * np.float32(threshold), neuron.settled(mean, steps))


def wanted(target: Array, steps: int = 8, cap: float | None = None) -> Wanted:
    """A layer whose current is the pre-activation itself, evenly over time."""
    x = target.astype(np.float32)
    relu = np.maximum(x, 0) if cap is None else np.clip(x, 0, cap)

    def every_step(samples: slice) -> Array:
        return np.broadcast_to(x[samples], (steps, *x[samples].shape))

    return Wanted(x, every_step, steps, relu, 0.0, 0.5, cap)


def spectrogram(samples: int = 64) -> Array:
    """Columns whose scales differ by a factor of 32: (samples, rows 6, columns 5, channels 2)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, 6, 5, 2)) * 2.0 ** np.arange(5)[:, None]


def rms(neuron: Any, layer: Wanted) -> float:
    return float(np.sqrt(np.square(neuron.settled(layer.current, 8) - layer.target).mean()))


def test_columns_of_different_scale_get_thresholds_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = wanted(spectrogram())
    by_column = choose(layer)
    assert by_column.threshold.shape == (5, 2)
    ratios = by_column.threshold[1:] / by_column.threshold[:-1]
    assert np.all((ratios > 1.3) & (ratios < 3))
    monkeypatch.setattr(thresholds, "WORTH_IT", 0.0)
    by_channel = choose(layer)
    assert by_channel.threshold.shape == (2,)
    # The large columns make most of the error, and keep theirs.
    small = np.s_[:, :, 0]
    errors = [
        np.square((n.settled(layer.current, 8) - layer.target)[small]).mean()
        for n in (by_column, by_channel)
    ]
    assert errors[0] < 0.1 * errors[1]


def test_where_rows_and_columns_are_alike_a_channel_has_one_threshold() -> None:
    rng = np.random.default_rng(1)
    neuron = choose(wanted(rng.normal(size=(64, 6, 5, 3)) * np.array([1, 4, 16])))
    assert neuron.threshold.shape == (3,)
    assert np.all(np.diff(neuron.threshold) > 0)


def test_no_single_threshold_does_better_in_closed_form() -> None:
    """Against a search by brute force with twice as many candidates."""
    rng = np.random.default_rng(2)
    layer = wanted(rng.standard_exponential((200, 1)) - 0.5)
    best = min(
        rms(make(np.array([t], np.float32), 0.0, True, 0.5), layer)
        for t in np.linspace(0.05, 1.2, 48) * layer.target.max()
    )
    assert rms(choose(layer), layer) <= 1.02 * best  # candidates are 5 % of the range apart


def test_a_bias_makes_up_for_a_loss_that_all_share() -> None:
    rng = np.random.default_rng(3)
    layer = wanted(rng.uniform(1, 2, (200, 4)))
    lost = Wanted(
        layer.current - np.float32(0.3),
        lambda samples: layer.steps(samples) - np.float32(0.3),
        8,
        layer.target,
        0.0,
        0.5,
        None,
    )
    neuron = choose(lost)
    assert np.all(np.abs(neuron.bias - 0.3) < 0.1)
    assert rms(neuron, lost) < 1.5 * rms(choose(layer), layer)


def test_no_threshold_exceeds_the_cap_of_the_activation() -> None:
    rng = np.random.default_rng(4)
    neuron = choose(wanted(rng.normal(size=(64, 4)) * 10, cap=6.0))
    assert np.all(neuron.threshold <= 6.0)
