"""What every way of lowering a network to spikes shares."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import Graph, GraphInput, Node
from snnir.ir.traversal import consumers, topological_order
from snnir.ops.schema import START_STEP

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
"""Is told how much is done, and how much there is."""

HEADS: Final = frozenset(
    {"Softmax", "Sigmoid", "Tanh", "ReLU", "PReLU", "ELU", "SiLU", "GELU", "HardSigmoid"}
)
"""Activations that stay as they are where nothing but the output follows."""

AFTER_HEADS: Final = frozenset(
    {"Flatten", "Reshape", "Permute", "Concat", "Add", "Subtract", "Multiply", "Scale", "Bias"}
)
"""Operators that may follow them there: they move elements, or combine answers."""


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
    """Names of the activations that nothing but outputs follows, and of what follows them."""
    uses = consumers(graph)
    order, _ = topological_order(graph)
    last: set[str] = set()
    for node in reversed(order):
        after = [user.name for value in node.values() for user, _ in uses.get(value, [])]
        if node.operator in HEADS | AFTER_HEADS and all(name in last for name in after):
            last.add(node.name)
    found: set[str] = set()
    for node in order:
        before = {binding.source.partition(":")[0] for binding in node.inputs}
        if node.name in last and (node.operator in HEADS or before & found):
            found.add(node.name)
    return found


def late_starts(nodes: Iterable[Node]) -> list[Diagnostic]:
    """Findings about nodes with a ``start_step``, for what cannot carry it over."""
    return [
        Diagnostic(
            "convert.start-step",
            f"node '{node.name}' ({node.op}), attribute '{START_STEP.name}'",
            f"{start}",
            "0",
            source=node.source,
        )
        for node in nodes
        if (start := node.attributes.get(START_STEP.name, START_STEP.default))
    ]


def free_name(name: str, *taken: Container[str]) -> str:
    """The name, with a number behind it if it is taken."""
    free, number = name, 1
    while any(free in names for names in taken):
        number += 1
        free = f"{name}{number}"
    return free


def compact(array: Array) -> Array:
    """An array of the features' shape in as few numbers as it takes, to broadcast against it."""
    if not array.ndim or np.all(array == array.flat[0]):
        return np.asarray(array.flat[0])
    last = array.reshape(-1, array.shape[-1])
    return last[0].copy() if np.all(last == last[0]) else array


def preprocessed(entry: GraphInput, array: npt.ArrayLike) -> Array:
    """What the network sees of an input: scaled and shifted as the input says, in float32."""
    seen = np.asarray(array).astype(np.float32)
    if entry.scale is not None:
        seen = seen * entry.scale.values().astype(np.float32)
    if entry.offset is not None:
        seen = seen + entry.offset.values().astype(np.float32)
    return seen


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
