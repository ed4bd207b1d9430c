"""Sound to spikes: a filter bank, the logarithm of its energies, and events where they change.

Each of ``bands`` overlapping triangular filters, evenly spaced on the mel scale, gives the energy
of a stretch of sound around each step. A channel remembers a level; where the energy in decibels
has risen or fallen from it by ``delta``, the band's ON or OFF neuron spikes and the level follows
by ``delta``. Energies are relative to the loudest of the recording, and cut off ``floor`` decibels
below it, where each level starts.

Davis and Mermelstein, Comparison of parametric representations for monosyllabic word recognition,
IEEE TASSP 1980 (filters); O'Shaughnessy, Speech Communication, 1987 (mel scale, 2595 log10(1 +
f / 700)); Miskowicz, Send-on-delta concept, Sensors 2006 (events).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.data.events import Beyond, from_events
from snnir.data.spikes import Array, Empty, SpikeData
from snnir.errors import DataError, Diagnostic, raise_errors


@dataclass(frozen=True)
class FrontEnd:
    """Turns sound into spikes of ``2 * bands`` neurons: ON of each band, then OFF of each.

    Attributes:
        rate: Samples of sound in a second.
        bands: Number of filters.
        lowest: Where the first filter begins, in Hz.
        highest: Where the last filter ends, in Hz.
        window: Length of the stretch of sound (Hann window) around each step, in seconds.
        floor: Range of the energies in decibels.
        delta: Change that is an event, in decibels.
        dt: Length of a step in seconds, a whole number of samples.
        steps: Presentation length in steps.
    """

    rate: int
    bands: int = 40
    lowest: float = 100.0
    highest: float = 3800.0
    window: float = 0.04
    floor: float = 40.0
    delta: float = 5.0
    dt: float = 0.01
    steps: int = 80

    def __post_init__(self) -> None:
        raise_errors(self._findings(), DataError)

    def _findings(self) -> Iterator[Diagnostic]:
        def wrong(name: str, allowed: str) -> Diagnostic:
            found = repr(getattr(self, name))
            return Diagnostic("spikes.option", f"audio front end, {name}", found, allowed)

        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if not (math.isfinite(value) and value > 0):
                yield wrong(entry.name, "a number above 0")
                return
        if not self.lowest < self.highest:
            yield wrong("highest", f"more than lowest ({self.lowest:g} Hz)")
        if self.highest > self.rate / 2:
            yield wrong("highest", f"at most half of the rate, {self.rate / 2:g} Hz")
        if abs(self.rate * self.dt - self.hop) > 1e-6 or self.hop < 1:
            yield wrong("dt", f"a whole number of samples of 1 / {self.rate} s")
        if self.rate * self.window < 2:
            yield wrong("window", "at least two samples")

    @property
    def hop(self) -> int:
        """Samples of sound in a step."""
        return round(self.rate * self.dt)

    @cached_property
    def _points(self) -> int:
        """Samples in the Fourier transform: the window, filled up to a power of two."""
        return 1 << max(round(self.rate * self.window) - 1, 1).bit_length()

    @cached_property
    def filters(self) -> Array:
        """Weight of each frequency of the transform in each band, (bands, frequencies)."""
        low, high = (2595 * math.log10(1 + f / 700) for f in (self.lowest, self.highest))
        edges = 700 * (10 ** (np.linspace(low, high, self.bands + 2) / 2595) - 1)
        frequencies = np.fft.rfftfreq(self._points, 1 / self.rate)
        before, centre, after = (edges[i : i + self.bands, None] for i in range(3))
        rising = (frequencies - before) / (centre - before)
        falling = (after - frequencies) / (after - centre)
        weights: Array = np.maximum(0, np.minimum(rising, falling))
        return weights

    def energies(self, sound: npt.ArrayLike) -> Array:
        """Energy of each band in decibels, (steps of the sound, bands): 0 is the loudest.

        The sound is taken to be silent before and after.

        Raises:
            DataError: If the sound is no row of finite numbers.
        """
        samples = np.asarray(sound)
        if samples.ndim != 1 or samples.dtype.kind not in "iuf" or not np.isfinite(samples).all():
            found = f"{samples.dtype}{list(samples.shape)}"
            allowed = "finite numbers along one axis"
            raise DataError(Diagnostic("spikes.array", "sound", found, allowed))
        size, count = round(self.rate * self.window), -(-samples.size // self.hop)
        padded = np.zeros(count * self.hop + 2 * size)
        padded[size // 2 : size // 2 + samples.size] = samples
        frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: self.hop][:count]
        power = np.abs(np.fft.rfft(frames * np.hanning(size), self._points)) ** 2
        energy = power @ self.filters.T
        loudest = energy.max(initial=0.0)
        least = 10 ** (-self.floor / 10)
        relative = energy / loudest if loudest > 0 else np.zeros_like(energy)
        decibels: Array = 10 * np.log10(np.maximum(relative, least))
        return decibels

    def events(self, sound: npt.ArrayLike) -> tuple[Array, Array]:
        """Steps and neurons of the events of a sound.

        After its end the levels fall back; a change by several ``delta`` takes as many steps.
        """
        energies = self.energies(sound)
        fall = math.ceil(self.floor / self.delta)
        silence = np.full((fall, self.bands), -self.floor)
        level = np.full(self.bands, -self.floor)
        spikes = np.zeros((len(energies) + fall, 2, self.bands), bool)
        for step, energy in enumerate(np.concatenate([energies, silence])):
            spikes[step, 0] = energy >= level + self.delta
            spikes[step, 1] = energy <= level - self.delta
            level = level + self.delta * spikes[step, 0] - self.delta * spikes[step, 1]
        times, kind, band = np.nonzero(spikes)
        return times, kind * self.bands + band

    def encode(
        self,
        sounds: Iterable[npt.ArrayLike],
        labels: npt.ArrayLike | None = None,
        *,
        classes: int | None = None,
        beyond: Beyond = "refuse",
        empty: Empty = "warn",
    ) -> SpikeData:
        """Spike data of recordings.

        Args:
            sounds: Samples of each recording; its loudness does not matter.
            labels: Class of each recording.
            classes: Number of classes; by default one more than the largest label.
            beyond: Whether events after the last step are an error or left out.
            empty: What to do about recordings without events: silent ones.

        Raises:
            DataError: If a sound is none, an event is out of range, or labels do not fit.

        Warns:
            SnnirWarning: Of events that were cut, and of recordings without events.
        """
        options: dict[str, Any] = {"classes": classes, "beyond": beyond, "empty": empty}
        return from_events(
            (self.events(sound) for sound in sounds),
            labels,
            shape=2 * self.bands,
            steps=self.steps,
            dt=self.dt,
            time_unit=self.dt,
            **options,
        )
