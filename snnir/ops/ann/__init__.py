"""Operator set ``ann``: the layers of conventional networks."""

from __future__ import annotations

from typing import Final

from snnir.ops.ann.activations import ACTIVATIONS
from snnir.ops.ann.arithmetic import ARITHMETIC
from snnir.ops.ann.normalisation import NORMALISATION
from snnir.ops.layout import layout_operators
from snnir.ops.linear import linear_operators, separable_convolution
from snnir.ops.pooling import pooling_operators
from snnir.ops.schema import OpDef

OPERATORS: Final[tuple[OpDef, ...]] = (
    *linear_operators("ann"),
    separable_convolution("ann"),
    *pooling_operators("ann"),
    *layout_operators("ann"),
    *ACTIVATIONS,
    *ARITHMETIC,
    *NORMALISATION,
)
"""Every operator of the set."""
