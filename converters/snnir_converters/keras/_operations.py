"""Operations (``keras.ops``) in a functional network, e.g. ``x + y``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from snnir.errors import Diagnostic
from snnir.ir.builder import Value
from snnir_converters.keras._handler import LayerCall
from snnir_converters.keras._layers import HANDLERS
from snnir_converters.keras._network import Call, Layer, Reference

_HINT: Final = "Use the layer of the same name, and save the network again."


def _constant(call: LayerCall) -> tuple[float, bool] | None:
    """The number among the two operands and whether it comes first, if there is one."""
    for index, entry in enumerate(call.constants):
        if entry is not None:
            if not math.isfinite(entry):
                call.malformed(f"the number {entry}", "a finite number")
            return entry, index == 0
    return None


def _add(call: LayerCall) -> Value:
    found = _constant(call)
    if found is None:
        return HANDLERS["Add"].build(call)
    return call.emit("ann.Bias", call.x, bias=found[0])


def _multiply(call: LayerCall) -> Value:
    found = _constant(call)
    if found is None:
        return HANDLERS["Multiply"].build(call)
    return call.emit("ann.Scale", call.x, scale=found[0])


def _subtract(call: LayerCall) -> Value:
    found = _constant(call)
    if found is None:
        return HANDLERS["Subtract"].build(call)
    number, first = found
    if first:
        return call.emit("ann.Rescale", call.x, scale=-1.0, offset=number)
    return call.emit("ann.Bias", call.x, bias=-number)


def _divide(call: LayerCall) -> Value:
    found = _constant(call)
    if found is None or found[1] or found[0] == 0:
        call.refuse("a division by a value", "a division by a number other than 0", _HINT)
    return call.emit("ann.Scale", call.x, scale=1 / found[0])


OPERATIONS: Final[Mapping[str, Callable[[LayerCall], Value]]] = {
    "Add": _add,
    "Multiply": _multiply,
    "Subtract": _subtract,
    "Divide": _divide,
    "TrueDivide": _divide,
}
"""How each supported operation is carried over."""


def check_operation(layer: Layer, calls: list[Call]) -> list[Diagnostic]:
    """What about an operation cannot be carried over."""
    extra = [key for key in layer.config.values if key not in ("name", "dtype")]
    numbers = [
        sum(not isinstance(argument, Reference) for argument in call.arguments) for call in calls
    ]
    if layer.class_name in OPERATIONS and not extra and max(numbers, default=0) < 2:
        return []
    found = f"operation {layer.class_name[:60]}" + (f" with {extra[0][:60]}" if extra else "")
    allowed = "layers, and " + ", ".join(OPERATIONS) + " of two values or a value and a number"
    return [Diagnostic("keras.layer", layer.where, found, allowed, _HINT, layer.path)]
