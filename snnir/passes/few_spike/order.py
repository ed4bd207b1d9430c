"""Maximum pooling on the better side of a monotone activation. Exact.

The maximum of a window commutes with a function that never falls. Where values are static,
pooling goes first: it is then no spiking operation at all. Where they are spikes, rectification
goes first: pooling is exact on its codes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Final

from snnir.ir.graph import Graph, Node
from snnir.ir.traversal import consumers, topological_order

ACTIVATIONS: Final = frozenset(
    {"ReLU", "LeakyReLU", "PReLU", "Sigmoid", "Tanh", "ELU", "SiLU", "GELU", "HardSigmoid"}
)
"""What becomes neurons."""


def is_max_pool(node: Node) -> bool:
    """Whether it is maximum pooling, of windows or of everything."""
    return node.operator.startswith(("MaxPool", "GlobalMaxPool"))


def spiking_values(graph: Graph, kept: Collection[str], encoded: bool) -> set[str]:
    """Values that change from step to step once activations are neurons.

    Args:
        graph: The graph.
        kept: Names of nodes that stay as they are behind the decoders.
        encoded: Whether inputs are encoded, too.
    """
    order, _ = topological_order(graph)
    found = {entry.name for entry in graph.inputs} if encoded else set()
    for node in order:
        spiking = node.operator in ACTIVATIONS or any(b.source in found for b in node.inputs)
        if spiking and node.name not in kept:
            found.update(node.values())
    return found


def order_pooling(graph: Graph, kept: Collection[str], encoded: bool) -> Graph:
    """The same function, with pooling where it costs least.

    Args:
        graph: A canonical graph; it is not modified.
        kept: Names of nodes that stay as they are behind the decoders.
        encoded: Whether inputs are encoded.
    """
    while (swapped := _swap_once(graph, kept, encoded)) is not None:
        graph = swapped
    return graph


def _swap_once(graph: Graph, kept: Collection[str], encoded: bool) -> Graph | None:
    uses = consumers(graph)
    outputs = {output.value for output in graph.outputs}
    spiking = spiking_values(graph, kept, encoded)
    for second in graph.nodes.values():
        if second.name in kept or len(second.inputs) != 1:
            continue
        between = second.inputs[0].source
        first = graph.nodes.get(between.partition(":")[0])
        if first is None or len(uses[between]) != 1 or between in outputs:
            continue
        is_spiking = first.inputs[0].source in spiking
        if (is_max_pool(second) and _rises(first) and not is_spiking) or (
            is_max_pool(first) and second.operator == "ReLU" and _rises(second) and is_spiking
        ):
            return _swapped(graph, first, second)
    return None


def _rises(node: Node) -> bool:
    """Whether it is a function of each element, the same for all, that never falls."""
    slope = node.attributes.get("negative_slope", 0.0)
    if node.operator == "ReLU":
        return not node.attributes.get("threshold", 0.0) and float(slope) >= 0  # type: ignore[arg-type]
    return node.operator in ("Sigmoid", "Tanh")


def _swapped(graph: Graph, first: Node, second: Node) -> Graph:
    """The graph with ``second`` before ``first``."""
    before = dataclasses.replace(
        second, inputs=[second.inputs[0]._replace(source=first.inputs[0].source)]
    )
    after = dataclasses.replace(first, inputs=[first.inputs[0]._replace(source=second.values()[0])])
    old, new = second.values()[0], first.values()[0]
    result = Graph(graph.name, list(graph.inputs))
    for name, node in graph.nodes.items():
        if name == first.name:
            result.nodes[name] = after
        elif name == second.name:
            result.nodes[name] = before
        else:
            inputs = [b._replace(source=new if b.source == old else b.source) for b in node.inputs]
            result.nodes[name] = dataclasses.replace(node, inputs=inputs)
    result.outputs = [
        dataclasses.replace(o, value=new if o.value == old else o.value) for o in graph.outputs
    ]
    return result
