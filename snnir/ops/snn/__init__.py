"""Domain ``snn``: spiking networks."""

from __future__ import annotations

from typing import Final

from snnir.ops.layout import layout_operators
from snnir.ops.linear import linear_operators
from snnir.ops.pooling import pooling_operators
from snnir.ops.schema import OpDef
from snnir.ops.snn import decoders, encoders, neurons, pooling, synapses

OPERATORS: Final[tuple[OpDef, ...]] = (
    *neurons.OPERATORS,
    *synapses.OPERATORS,
    *encoders.OPERATORS,
    *decoders.OPERATORS,
    *linear_operators("snn"),
    *pooling_operators("snn"),
    *pooling.OPERATORS,
    *layout_operators("snn"),
)
