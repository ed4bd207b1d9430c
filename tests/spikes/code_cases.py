"""Situations of the error codes of spike data; see ``tests/test_codes.py``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from snnir.data import SpikeData, from_events
from snnir.data.spikes import empty_findings, from_places
from snnir.errors import DataError, Diagnostic, SnnirError

Situation = Callable[[Path], Iterable[Diagnostic] | None]

SOUND: dict[str, Any] = {
    "offsets": [0, 2, 3],
    "times": [0, 4, 1],
    "neurons": [1, 0, 2],
    "shape": 3,
    "steps": 5,
    "labels": [0, 1],
}


def _spikes(**changed: Any) -> None:
    SpikeData(**{**SOUND, **changed})


def _warned(code: str, situation: Callable[[], object]) -> list[Diagnostic]:
    """The warning of that code, which says the code."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        situation()
    texts = [str(warning.message) for warning in caught]
    assert any(f"[{code}]" in text for text in texts), texts
    return [Diagnostic(code, "events", "what was warned of", "nothing")]


def _too_large() -> None:
    like = SpikeData([0], [], [], shape=1 << 31, steps=1 << 31)
    from_places(like, [], [], [], 4, None)  # type: ignore[arg-type]


TWICE = [([0.001, 0.0012], [1, 1])]
LATE = [([0.001, 0.9], [1, 1])]

CASES: list[tuple[str, type[SnnirError] | None, Situation]] = [
    ("spikes.array", DataError, lambda _: _spikes(times=[0.5, 1, 2])),
    ("spikes.offsets", DataError, lambda _: _spikes(offsets=[0, 2, 4])),
    ("spikes.order", DataError, lambda _: _spikes(times=[4, 0, 1])),
    ("spikes.time", DataError, lambda _: _spikes(times=[0, 5, 1])),
    ("spikes.neuron", DataError, lambda _: _spikes(neurons=[1, 0, 3])),
    ("spikes.label", DataError, lambda _: _spikes(labels=[0, -1])),
    ("spikes.empty", None, lambda _: empty_findings(np.array([0, 0, 2]), "warn")),
    (
        "spikes.empty-sample",
        DataError,
        lambda _: _spikes(offsets=[0, 0, 3], times=[0, 1, 4], empty="refuse"),
    ),
    ("spikes.limit", DataError, lambda _: _too_large()),
    ("spikes.option", DataError, lambda _: SpikeData(**SOUND).split(9) and None),
    (
        "spikes.merged",
        None,
        lambda _: _warned("spikes.merged", lambda: from_events(TWICE, shape=3, steps=5)),
    ),
    (
        "spikes.cut",
        None,
        lambda _: _warned("spikes.cut", lambda: from_events(LATE, shape=3, steps=5, beyond="cut")),
    ),
]
