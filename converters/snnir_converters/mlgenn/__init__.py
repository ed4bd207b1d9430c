"""mlGeNN: networks for training by EventProp and e-prop, and back."""

from __future__ import annotations

from typing import Final

from snnir_converters.mlgenn._backend import MlGennBackend
from snnir_converters.mlgenn._target import TARGET, MlGennTarget, to_network
from snnir_converters.mlgenn._training import TRAINERS

__all__ = ["BACKEND", "EPROP", "EVENTPROP", "TARGET", "MlGennBackend", "MlGennTarget", "to_network"]

BACKEND: Final = MlGennBackend()
"""What the entry point ``mlgenn`` of group ``snnir.backends`` names."""

EVENTPROP: Final = TRAINERS["eventprop"]
"""What the entry point ``eventprop`` of group ``snnir.trainers`` names."""

EPROP: Final = TRAINERS["eprop"]
"""What the entry point ``eprop`` of group ``snnir.trainers`` names."""
