"""Spike data: datasets of events, made from recordings, arrays or sound, and varied.

>>> from snnir import data
>>> spikes = data.load("train.npz")                     # doctest: +SKIP
>>> spikes.dense(slice(0, 32))                          # doctest: +SKIP
"""

from __future__ import annotations

from snnir.data.events import from_dense, from_events, from_structured
from snnir.data.files import load, save
from snnir.data.readers import read_events
from snnir.data.spikes import SpikeData, concatenate

__all__ = [
    "SpikeData",
    "concatenate",
    "from_dense",
    "from_events",
    "from_structured",
    "load",
    "read_events",
    "save",
]
