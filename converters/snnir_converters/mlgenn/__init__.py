"""mlGeNN: networks for training by EventProp and e-prop, and back."""

from __future__ import annotations

from typing import Final

from snnir_converters.mlgenn._training import TRAINERS

EVENTPROP: Final = TRAINERS["eventprop"]
"""What the entry point ``eventprop`` of group ``snnir.trainers`` names."""

EPROP: Final = TRAINERS["eprop"]
"""What the entry point ``eprop`` of group ``snnir.trainers`` names."""
