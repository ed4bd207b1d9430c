"""What every way of lowering a network to spikes shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from snnir.ir.graph import Graph
from snnir.ir.traversal import consumers, topological_order

HEADS: Final = frozenset(
    {"Softmax", "Sigmoid", "Tanh", "ReLU", "PReLU", "ELU", "SiLU", "GELU", "HardSigmoid"}
)
"""Activations that stay as they are where nothing but the output follows."""


@dataclass
class LayerReport:
    """What became of one activation.

    Attributes:
        node: Name of the neurons.
        source: Layer of the original model.
        neurons: Number of neurons.
        threshold: Smallest, mean and largest threshold.
        error: Root mean square of (mean output - original activation) on the calibration
            samples, relative to that of the original activation.
        rate: Spikes of a neuron in a step, on average.
    """

    node: str
    source: str
    neurons: int
    threshold: tuple[float, float, float]
    error: float
    rate: float


def tail(graph: Graph) -> set[str]:
    """Names of the activations that nothing but outputs follows."""
    uses = consumers(graph)
    order, _ = topological_order(graph)
    found: set[str] = set()
    for node in reversed(order):
        after = [user.name for value in node.values() for user, _ in uses.get(value, [])]
        if node.operator in HEADS and all(name in found for name in after):
            found.add(node.name)
    return found
