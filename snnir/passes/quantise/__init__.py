"""Quantisation: weights of few bits, and what they cost."""

from __future__ import annotations

from snnir.passes.quantise.quantise import (
    ROUNDINGS,
    QuantisedLayer,
    QuantiseOptions,
    QuantiseReport,
    Rounding,
    quantise,
)
from snnir.passes.quantise.scales import SCALES, Choice, Scale

__all__ = [
    "ROUNDINGS",
    "SCALES",
    "Choice",
    "QuantiseOptions",
    "QuantiseReport",
    "QuantisedLayer",
    "Rounding",
    "Scale",
    "quantise",
]
