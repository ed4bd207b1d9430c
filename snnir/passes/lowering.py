"""What every way of lowering a network to spikes shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import Graph, Node
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


def copy_node(builder: GraphBuilder, node: Node, inputs: Sequence[Value]) -> Value:
    """Add a node like this one, of one output, with other inputs.

    Args:
        builder: Where it is added.
        node: The node.
        inputs: A value for each of its bindings, in order.
    """
    ports: dict[str, list[Value]] = {}
    for binding, value in zip(node.inputs, inputs, strict=True):
        ports.setdefault(binding.port, []).append(value)
    added: Value = builder.add(
        node.op,
        name=node.name,
        source=node.source,
        **ports,
        **node.attributes,
        **node.parameters,
    )
    return added
