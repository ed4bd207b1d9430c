"""Arrays and sound to spikes."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.data import FrontEnd, latency, poisson
from snnir.errors import DataError, ModelError, SnnirWarning
from snnir.ops.snn.encoders import uniform
from tests.data import shared

X = np.random.default_rng(0).random((50, 3, 4)).astype(np.float32)
X[X < 0.2] = 0


def by_the_operator(op: str, x: np.ndarray, steps: int, **options: Any) -> np.ndarray:
    """The spikes of a model that encodes its input."""
    b = snnir.GraphBuilder(steps=steps)
    b.output("spikes", b.add(f"snn.{op}", b.input("x", x.shape[1:]), **options))
    return np.asarray(snnir.run(b.build(), x)["spikes"])


def test_latency_is_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnir.data.encoders._AT_A_TIME", 1000)
    data = latency(X, np.arange(50) % 3, steps=20, window_steps=16, minimum=0.3)
    expected = by_the_operator("LatencyEncoder", X, 20, window_steps=16, minimum=0.3)
    assert np.array_equal(data.dense(), expected)
    assert (data.shape, data.steps, data.classes) == ((3, 4), 20, 3)
    assert data.times.max() <= 11 and data.counts.sum() == np.count_nonzero(X >= 0.3)


@pytest.mark.parametrize("seed", [0, 2**40])
def test_poisson_is_the_operators(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnir.data.encoders._AT_A_TIME", 1000)
    data = poisson(X, steps=20, gain=0.5, seed=seed, dt=2e-3)
    expected = by_the_operator("PoissonEncoder", X, 20, gain=0.5, seed=seed)
    assert np.array_equal(data.dense(), expected)
    draws = np.stack([uniform(seed, step, 12) for step in range(20)])
    by_hand = draws < (X.reshape(50, 1, 12) * np.float32(0.5))
    assert np.array_equal(data.dense().reshape(by_hand.shape), by_hand)
    assert data.dt == 2e-3


def test_pixels_are_scaled_as_a_model_scales_them() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 64), np.uint8)
    data = latency(pixels, steps=40, scale=1 / 255)
    expected = by_the_operator(
        "LatencyEncoder", pixels.astype("f4") * np.float32(1 / 255), 40, window_steps=40
    )
    assert np.array_equal(data.dense(), expected)


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [["a"]], [[np.nan]]], ids=str)
def test_arrays_that_cannot_be_encoded(x: Any) -> None:
    with pytest.raises(DataError, match=r"\[spikes.array\]"):
        latency(x, steps=5)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(DataError, match="at most the 5 steps"):
        latency(X, steps=5, window_steps=6)
    with pytest.raises(ModelError):
        latency(X, steps=5, minimum=2.0)
    with pytest.raises(ModelError):
        poisson(X, steps=5, seed=-1)
    with pytest.raises(DataError, match=r"\[spikes.label\]"):
        latency(X, [0], steps=5)


def test_black_images_are_warned_of() -> None:
    dark = X.copy()
    dark[7] = 0
    with pytest.warns(SnnirWarning, match="1 of 50, first sample 7"):
        latency(dark, steps=5)
    with pytest.raises(DataError, match=r"\[spikes.empty-sample\]"):
        latency(dark, steps=5, empty="refuse")


# Sound -----------------------------------------------------------------------------------------

RATE = 8000


def tone(hz: float, seconds: float = 0.3) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(RATE * seconds)) / RATE)


def centres(front: FrontEnd) -> np.ndarray:
    """Centre frequencies by the other usual form of the mel scale, 1127 ln(1 + f / 700)."""
    low, high = (1127 * math.log(1 + f / 700) for f in (front.lowest, front.highest))
    mel = low + (high - low) * np.arange(1, front.bands + 1) / (front.bands + 1)
    return 700 * (np.exp(mel / 1127) - 1)


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    front = FrontEnd(RATE)
    for band in (5, 12, 20, 30, 38):
        energies = front.energies(tone(centres(front)[band]))
        assert energies.shape == (30, 40)
        assert energies[15].argmax() == band
        assert energies.max() == 0 and energies.min() >= -front.floor


def test_filters_are_triangles_from_centre_to_centre() -> None:
    front = FrontEnd(RATE, bands=10, window=1.0)
    frequencies = np.fft.rfftfreq(front._points, 1 / RATE)
    middle = centres(front)
    for band in range(1, 9):
        weights = front.filters[band]
        inside = (frequencies > middle[band - 1]) & (frequencies < middle[band + 1])
        assert np.array_equal(weights > 0, inside)
        assert weights.max() == pytest.approx(1, abs=0.02), "a bin is at most 1 Hz off the centre"
    between = (frequencies > middle[0]) & (frequencies < middle[-1])
    assert front.filters.sum(0)[between] == pytest.approx(1), "neighbours add up to 1"


def scalar_events(energies: np.ndarray, floor: float, delta: float) -> list[tuple[int, int]]:
    """Send-on-delta, one channel and step after the other."""
    found, bands = [], energies.shape[1]
    for band in range(bands):
        level = -floor
        for step in range(len(energies) + math.ceil(floor / delta)):
            energy = energies[step, band] if step < len(energies) else -floor
            if energy - level >= delta:
                level += delta
                found.append((step, band))
            elif level - energy >= delta:
                level -= delta
                found.append((step, bands + band))
    return sorted(found)


def noise(seed: int = 0, seconds: float = 0.4) -> np.ndarray:
    """Bursts of coloured noise."""
    rng = np.random.default_rng(seed)
    count = int(RATE * seconds)
    envelope = np.abs(np.sin(np.arange(count) / count * 9)) ** 3
    return np.convolve(rng.normal(size=count), np.hanning(3 + seed), "same") * envelope


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_events_are_those_of_each_channel_by_itself(seed: int) -> None:
    front = FrontEnd(RATE, bands=12, delta=4.0)
    times, neurons = front.events(noise(seed))
    found = list(zip(times.tolist(), neurons.tolist(), strict=True))
    assert found == scalar_events(front.energies(noise(seed)), 40.0, 4.0)
    on, off = (np.bincount(neurons % 12, neurons // 12 == kind, 12) for kind in (0, 1))
    assert np.array_equal(on, off), "what rose has fallen at the end"
    assert on.sum() > 50


def test_loudness_does_not_matter_and_time_moves_events() -> None:
    front = FrontEnd(RATE)
    times, neurons = front.events(noise())
    louder = front.events(1024 * noise())
    assert np.array_equal(louder[0], times) and np.array_equal(louder[1], neurons)
    later = front.events(np.concatenate([np.zeros(5 * front.hop), noise()]))
    assert np.array_equal(later[0], times + 5) and np.array_equal(later[1], neurons)


def test_silence_and_nothing_give_no_events() -> None:
    for sound in (np.zeros(4000), np.zeros(0), np.zeros(1, np.int16)):
        assert FrontEnd(RATE).events(sound)[0].size == 0


def test_recordings_become_spike_data() -> None:
    front = FrontEnd(RATE, bands=10)
    data = front.encode([noise(1), noise(2)], [1, 0])
    assert (data.shape, data.steps, data.dt, data.classes) == ((20,), 80, 0.01, 2)
    times, neurons = front.events(noise(2))
    assert np.array_equal(data.events(1)[0], times) and np.array_equal(data.events(1)[1], neurons)
    with pytest.raises(DataError, match=r"\[spikes.time\]"):
        front.encode([noise(1, 1.0)])
    with pytest.warns(SnnirWarning, match=r"\[spikes.cut\]"):
        front.encode([noise(1, 1.0)], beyond="cut")
    with pytest.warns(SnnirWarning, match=r"\[spikes.empty\]"):
        front.encode([np.zeros(100)])


@pytest.mark.parametrize("sound", [np.zeros((2, 2)), ["a"], [np.nan], [1j]], ids=str)
def test_what_is_no_sound(sound: Any) -> None:
    with pytest.raises(DataError, match=r"\[spikes.array\]"):
        FrontEnd(RATE).encode([sound])


@pytest.mark.parametrize(
    "options",
    [
        {"bands": 0},
        {"lowest": 3900},
        {"highest": 5000},
        {"dt": 1e-5},
        {"dt": 0.01003},
        {"window": 1e-4},
        {"delta": -1},
        {"floor": math.inf},
        {"rate": 0},
    ],
    ids=str,
)
def test_front_ends_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"\[spikes.option\] audio front end"):
        FrontEnd(**{"rate": RATE, **options})


@pytest.mark.slow
def test_spoken_digits_can_be_told_apart_by_their_spikes() -> None:
    """A linear classifier on spikes in 10 stretches of time: 96 % of the usual test split.

    With room for other versions of scikit-learn and BLAS: 300 samples, one is 0.33 points.
    """
    linear = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    with np.load(shared("fsdd_8khz.npz")) as file:
        sound, offsets, digit, index = (
            file[name] for name in ("samples", "offsets", "digit", "index")
        )
    recordings = [sound[a:b] for a, b in itertools.pairwise(offsets)]
    start = time.perf_counter()
    with pytest.warns(SnnirWarning, match=r"\[spikes.cut\]"):
        data = FrontEnd(RATE).encode(recordings, digit, beyond="cut")
    assert time.perf_counter() - start < 60
    counts = data.binned(10).reshape(len(data), -1).astype(np.float64)
    train = index >= 5
    counts = (counts - counts[train].mean(0)) / np.maximum(counts[train].std(0), 1e-9)
    model = linear.LogisticRegression(C=0.01, max_iter=500).fit(counts[train], digit[train])
    assert model.score(counts[~train], digit[~train]) >= 0.93
