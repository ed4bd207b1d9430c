"""Lowering to domain ``loihi2``: networks in the integers of Loihi 2."""

from __future__ import annotations

from snnir.passes.loihi2.lower import APPROXIMATIONS, Loihi2Options, lower_to_loihi2, padded
from snnir.passes.loihi2.report import Loihi2Report, LoweredLayer

__all__ = [
    "APPROXIMATIONS",
    "Loihi2Options",
    "Loihi2Report",
    "LoweredLayer",
    "lower_to_loihi2",
    "padded",
]
