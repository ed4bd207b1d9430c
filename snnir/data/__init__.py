"""Spike data: datasets of events, made from recordings, arrays or sound, and varied.

>>> from snnir import data
>>> spikes = data.load("train.npz")                     # doctest: +SKIP
>>> spikes.dense(slice(0, 32))                          # doctest: +SKIP
"""

from __future__ import annotations

from snnir.data.audio import FrontEnd
from snnir.data.augment import blend, shift
from snnir.data.encoders import latency, poisson
from snnir.data.events import from_dense, from_events, from_structured
from snnir.data.files import load, save
from snnir.data.readers import read_events
from snnir.data.spikes import SpikeData, concatenate

__all__ = [
    "FrontEnd",
    "SpikeData",
    "blend",
    "concatenate",
    "from_dense",
    "from_events",
    "from_structured",
    "latency",
    "load",
    "poisson",
    "read_events",
    "save",
    "shift",
]
