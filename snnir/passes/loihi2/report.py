"""What lowering to Loihi 2 did to each layer, and what it cost."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

STATE_BITS: Final = 24
"""Bits of a state on the chip."""


@dataclass(frozen=True)
class LoweredLayer:
    """What became of a layer.

    Attributes:
        node: Name of its neurons.
        source: Layer of the model that was converted.
        neurons: Number of neurons.
        unit: What 1 of the integer weights stands for.
        levels: Size of the largest integer weight.
        clipped: Part of the weights that were clipped.
        rounding: Root mean square rounding error of the weights, relative to the weights.
        headroom: Bits between the largest state on the calibration samples and the end of the
            24 bits of the chip; below 0 it would not fit.
        error: Root mean square of the layer's output against the original, relative to the
            original's, on the calibration samples.
    """

    node: str
    source: str
    neurons: int
    unit: float
    levels: int
    clipped: float
    rounding: float
    headroom: float
    error: float


@dataclass(frozen=True)
class Loihi2Report:
    """What a lowering did, measured on the calibration samples.

    Attributes:
        route: ``"sigma-delta"``, ``"hard-reset"`` or ``"direct"``.
        bits: Bits of a weight.
        scale: How units were chosen.
        rounding: How weights were rounded: ``"nearest"`` or ``"compensated"``.
        exact: Whether nothing but rounding was done.
        steps: Presentation length.
        samples: Calibration samples.
        layers: What became of each layer.
        agreement: Part of the calibration samples with the same answer as the original; None if
            it was not measured.
    """

    route: str
    bits: int
    scale: str
    rounding: str
    exact: bool
    steps: int
    samples: int
    layers: tuple[LoweredLayer, ...]
    agreement: float | None

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        width = max([5, *(len(layer.node) for layer in self.layers)])
        kind = "rounding only" if self.exact else "approximate"
        lines = [
            f"loihi2: {self.route} ({kind}), {self.bits} bits, scale {self.scale}, "
            f"rounding {self.rounding}, "
            f"{self.steps} steps, {self.samples} calibration samples",
            "",
            f"{'layer':<{width}} {'neurons':>8} {'levels':>6} {'clipped':>8} {'rounding':>8} "
            f"{'headroom':>9} {'error':>8}",
        ]
        lines += [
            f"{layer.node:<{width}} {layer.neurons:>8} {layer.levels:>6} "
            f"{100 * layer.clipped:>6.2f} % {100 * layer.rounding:>6.2f} % "
            f"{layer.headroom:>4.1f} bits {_percent(layer.error)}"
            for layer in self.layers
        ]
        if self.agreement is not None:
            lines += ["", f"same answer as the original: {100 * self.agreement:.2f} %"]
        return "\n".join(lines)


def _percent(part: float) -> str:
    return "       -" if math.isnan(part) else f"{100 * part:>6.2f} %"


def headroom(largest_state: float) -> float:
    """Bits between a state and the end of the chip's range."""
    return STATE_BITS - 1 - math.log2(max(largest_state, 1.0))
