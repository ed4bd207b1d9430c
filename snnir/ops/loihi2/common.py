"""What the operators of ``loihi2`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from snnir.ir.types import DType
from snnir.ops.schema import INTEGERS, Arity, Array, Bound, Parameter, Port, State

A_IN: Final = Port(
    "a_in",
    "Dendritic input of this step; several are added left to right, modulo 2**32.",
    Arity.SUM,
    DType.INT32,
)

INT32_NOTE: Final = "Everything is a signed integer of 32 bits, modulo 2**32 unless a line says so."

LAVA: Final = "Intel, Lava 0.10.0, fixed-point process models: lava.proc."


def integer(
    name: str,
    doc: str,
    minimum: int,
    maximum: int,
    *,
    default: int | None = None,
    shape: str = "feature",
    unit: str = "",
) -> Parameter:
    """An integer quantity; required if it has no default."""
    return Parameter(
        name,
        doc,
        shape,
        default=default,
        required=default is None,
        minimum=minimum,
        maximum=maximum,
        dtypes=INTEGERS,
        unit=unit,
    )


def zeros(port: str) -> Callable[[Bound], Array]:
    """Makes int32 zeros in the shape of an input port."""
    return lambda bound: np.zeros((bound.batch, *bound.shape(port)), np.int32)


def state(name: str, doc: str) -> State:
    """An int32 state of a neuron, initially 0."""
    return State(name, doc, "0", zeros(A_IN.name))
