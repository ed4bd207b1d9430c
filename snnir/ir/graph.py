"""The graph: nodes with named ports, connected by values.

A value is known by its name: a graph input by the input's name, what a node puts out by
``node:port``. Names of inputs and nodes never contain ``:``, so the two cannot collide, and
every value has exactly one producer (static single assignment).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from snnir.errors import Diagnostic, ModelError
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, ValueType

AttributeValue = bool | int | float | str | tuple[int, ...]


class Binding(NamedTuple):
    """An edge: value ``source`` of ``delay_steps`` steps ago arrives at ``port``."""

    port: str
    source: str
    delay_steps: int = 0

    def __str__(self) -> str:
        return f"{self.source} @-{self.delay_steps}" if self.delay_steps else self.source


@dataclass(slots=True)
class Node:
    """One application of an operator.

    Attributes:
        name: Unique among nodes and inputs of the graph.
        op: ``"domain.Operator"``.
        inputs: Edges, in the order in which a port that takes several combines them.
        outputs: Output ports in the operator's order.
        attributes: Settings that differ from their defaults.
        parameters: Quantities (weights, thresholds, decays) that differ from their defaults.
        output_types: Declared types, one an output, or empty to have them inferred.
        source: Layer of the original model that the node came from.
    """

    name: str
    op: str
    inputs: list[Binding]
    outputs: tuple[str, ...]
    attributes: dict[str, AttributeValue]
    parameters: dict[str, Tensor]
    output_types: tuple[ValueType, ...] = ()
    source: str = ""

    @property
    def domain(self) -> str:
        """The part of ``op`` before the last dot."""
        return self.op.rpartition(".")[0]

    @property
    def operator(self) -> str:
        """The part of ``op`` after the last dot."""
        return self.op.rpartition(".")[2]

    def value(self, port: str) -> str:
        """Name of the value at an output port."""
        return f"{self.name}:{port}"

    def values(self) -> list[str]:
        """Names of all values that the node puts out."""
        return [f"{self.name}:{port}" for port in self.outputs]

    def bindings(self, port: str) -> list[Binding]:
        """The edges that arrive at an input port."""
        return [binding for binding in self.inputs if binding.port == port]


@dataclass(slots=True)
class GraphInput:
    """A value that whoever runs the model provides.

    Attributes:
        name: Unique among nodes and inputs of the graph.
        type: What is fed, before ``scale`` and ``offset``.
        scale: The graph sees ``float32(x) * scale + offset``, broadcast against the trailing
            axes. None is 1.
        offset: See ``scale``. None is 0.
        layout: Meaning of the axes, e.g. ``"HWC"``, or empty.
    """

    name: str
    type: ValueType
    scale: Tensor | None = None
    offset: Tensor | None = None
    layout: str = ""

    @property
    def value_type(self) -> ValueType:
        """Type of the value inside the graph, after scale and offset."""
        if self.scale is None and self.offset is None:
            return self.type
        return ValueType(DType.FLOAT32, self.type.shape, self.type.timing)


@dataclass(slots=True)
class GraphOutput:
    """A value that a run returns under ``name``; ``labels`` name a classifier's classes."""

    name: str
    value: str
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Graph:
    """Nodes by name, in a stable order that has no other meaning."""

    name: str = "main"
    inputs: list[GraphInput] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    outputs: list[GraphOutput] = field(default_factory=list)

    def add(self, node: Node) -> Node:
        """Append a node.

        Raises:
            ModelError: If an input or node of that name exists.
        """
        if node.name in self.nodes or any(node.name == known.name for known in self.inputs):
            raise ModelError(
                Diagnostic("graph.duplicate-name", "graph", f"'{node.name}'", "a new name")
            )
        self.nodes[node.name] = node
        return node

    def input(self, name: str) -> GraphInput | None:
        """The graph input of that name."""
        return next((known for known in self.inputs if known.name == name), None)

    def value_names(self) -> Iterator[str]:
        """All values in the order of their numbers in the file."""
        for entry in self.inputs:
            yield entry.name
        for node in self.nodes.values():
            yield from node.values()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the graph with its place, in the order of the file."""
        for entry in self.inputs:
            if entry.scale is not None:
                yield f"input '{entry.name}', scale", entry.scale
            if entry.offset is not None:
                yield f"input '{entry.name}', offset", entry.offset
        for node in self.nodes.values():
            for name in sorted(node.parameters):
                yield f"node '{node.name}', parameter '{name}'", node.parameters[name]
