"""Domain ``snn``: spiking networks."""

from __future__ import annotations

from typing import Final

from snnir.ops.schema import OpDef
from snnir.ops.snn import decoders, encoders, neurons, synapses

OPERATORS: Final[tuple[OpDef, ...]] = (
    *neurons.OPERATORS,
    *synapses.OPERATORS,
    *encoders.OPERATORS,
    *decoders.OPERATORS,
)
