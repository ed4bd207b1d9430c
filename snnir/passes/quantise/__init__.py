"""Quantisation: weights of few bits, and what they cost."""

from __future__ import annotations

from snnir.passes.quantise.quantise import (
    QuantisedLayer,
    QuantiseOptions,
    QuantiseReport,
    quantise,
)
from snnir.passes.quantise.scales import SCALES, Choice, Scale

__all__ = [
    "SCALES",
    "Choice",
    "QuantiseOptions",
    "QuantiseReport",
    "QuantisedLayer",
    "Scale",
    "quantise",
]
