"""Which nodes GeNN's populations carry out, which its connections, and which the host.

A population (here: cell) is a neuron with what belongs to it: the synaptic current that only it
uses before it, decoders and a scale behind it. Between cells there is nothing but linear
operators; they become connections, and every connection takes at least one step. What does not
change over time is computed by the host before the run, what follows the decoders after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from snnir.errors import CapabilityError, Diagnostic
from snnir.infer import infer
from snnir.ir.graph import Binding, Node
from snnir.ir.model import Model
from snnir.ir.traversal import ancestors, producer, topological_order
from snnir.ir.types import ValueType
from snnir.ops.registry import Resolver
from snnir.ops.schema import Array, Flow, OpDef, start_of
from snnir.passes.retiming import Retimed, retime
from snnir.passes.synapses import is_linear
from snnir.runtime.evaluate import operands
from snnir_converters.genn._operators import EMITTERS

IDENTITIES: Final = frozenset({"snn.Flatten", "snn.Reshape"})
"""Operators that leave the flattened value as it is."""

POOLS: Final = frozenset({"snn.MaxPool1D", "snn.MaxPool2D"})
"""Operators whose neurons receive each element of a window by a connection of its own."""

_SCALE: Final = "snn.Scale"

INPUT: Final = "input:"
"""What the name of the cell of a graph input begins with; no node's name has a colon."""


@dataclass(frozen=True)
class Unit:
    """A node with its definition and operands."""

    node: Node
    opdef: OpDef
    attributes: Mapping[str, Any]
    parameters: Mapping[str, Array]


@dataclass
class Cells:
    """A network divided into what GeNN and what the host carries out.

    Attributes:
        model: The original model.
        types: Types of its values.
        units: Its nodes with their operands.
        retimed: The model in which every connection takes a step.
        cell_of: Name of its cell, for every node that a cell carries out.
        members: Nodes of each cell in execution order; none for the cell of a graph input.
        emits: The value that each cell sends to others, if there is one.
        constant: Per-step nodes whose value is the same in every step.
        linear: Nodes that connections carry out.
        alias: Values that are a cell's value, reshaped.
    """

    model: Model
    types: Mapping[str, ValueType]
    units: dict[str, Unit]
    cell_of: dict[str, str] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    emits: dict[str, str] = field(default_factory=dict)
    constant: set[str] = field(default_factory=set)
    linear: set[str] = field(default_factory=set)
    alias: dict[str, str] = field(default_factory=dict)
    retimed: Retimed = field(init=False)

    def shape(self, value: str) -> tuple[int, ...]:
        """Feature shape of a value."""
        return tuple(dim for dim in self.types[value].shape if isinstance(dim, int))

    def size(self, value: str) -> int:
        """Number of elements of a value."""
        return int(np.prod(self.shape(value), dtype=np.int64))

    def is_constant(self, value: str) -> bool:
        """Whether a per-step value is the same in every step."""
        return producer(value) in self.constant

    def base(self, value: str) -> str:
        """The value itself, or the one that it is but for its shape."""
        return self.alias.get(value, value)

    def leaves_cell(self, node: Node, binding: Binding) -> bool:
        """Whether an edge needs a connection."""
        if node.values()[0] in self.alias or self.is_constant(binding.source):
            return False
        cell = self.cell_of_value(self.base(binding.source))
        return cell is not None and (
            bool(binding.delay_steps) or node.op in POOLS or self.cell_of.get(node.name) != cell
        )

    def cell_of_value(self, value: str) -> str | None:
        """The cell that makes a value, if one does."""
        name = producer(value)
        if not self.types[value].is_per_step:
            return None
        return self.cell_of.get(name) if name in self.units else INPUT + name


def divide(model: Model, dtype: np.dtype[Any]) -> Cells:
    """Divide a model, and retime it so that every connection takes a step.

    Args:
        model: A valid model.
        dtype: Type of the computation for floats.

    Raises:
        CapabilityError: With all that GeNN cannot carry out, or the cycles that cannot be
            retimed.
    """
    resolve = Resolver(model.opsets)
    units: dict[str, Unit] = {}
    findings: list[Diagnostic] = []
    for node in model.graph.nodes.values():
        opdef = resolve(node.op)
        if opdef is None:
            findings.append(_unsupported(node, "an operator of an installed domain"))
            continue
        attributes, parameters = operands(node, opdef, dtype)
        units[node.name] = Unit(node, opdef, attributes, parameters)
    if findings:
        raise CapabilityError(findings)
    cells = Cells(model, infer(model), units)
    _check_shapes(cells, findings)
    _classify(cells, findings)
    if findings:
        raise CapabilityError(findings)
    _join(cells)
    groups = {name: list(nodes) for name, nodes in cells.members.items()}
    for value, base in cells.alias.items():
        groups.get(cells.cell_of_value(base) or "", []).append(producer(value))
    cells.retimed = retime(
        model,
        lambda node, binding: int(cells.leaves_cell(node, binding)),
        together=[nodes for nodes in groups.values() if nodes],
    )
    return cells


def _unsupported(node: Node, allowed: str) -> Diagnostic:
    return Diagnostic(
        "genn.operator",
        f"node '{node.name}'",
        node.op,
        allowed,
        "run it with --backend reference, or convert the network it came from",
        node.source,
    )


def _check_shapes(cells: Cells, findings: list[Diagnostic]) -> None:
    for entry in cells.model.graph.inputs:
        if any(not isinstance(dim, int) for dim in entry.type.shape):
            findings.append(
                Diagnostic(
                    "genn.shape",
                    f"input '{entry.name}'",
                    f"{list(entry.type.shape)}",
                    "numbers: GeNN builds populations of one size",
                )
            )


def _classify(cells: Cells, findings: list[Diagnostic]) -> None:
    """Say of every per-step node who carries it out."""
    order, _ = topological_order(cells.model.graph)
    unknown: list[Node] = []
    for node in order:
        unit = cells.units[node.name]
        if unit.opdef.flow is not Flow.DECODE and not any(
            cells.types[value].is_per_step for value in node.values()
        ):
            continue
        late = bool(start_of(node))
        steady = all(cells.is_constant(b.source) and not b.delay_steps for b in node.inputs)
        stateless = unit.opdef.flow is Flow.SAME and not unit.opdef.state
        if not late and (node.op == "snn.ConstantCurrent" or (steady and stateless)):
            cells.constant.add(node.name)
        elif node.op in EMITTERS and node.op != _SCALE:
            cells.cell_of[node.name] = node.name
        elif is_linear(node.op):
            cells.linear.add(node.name)
        else:
            unknown.append(node)
    if not unknown:
        return
    inner = ancestors(
        cells.model.graph, [cells.units[n].node.inputs[0].source for n in cells.cell_of]
    )
    supported = ", ".join([*sorted(EMITTERS), "linear operators of domain snn"])
    for node in unknown:
        if node.name in inner or cells.units[node.name].opdef.flow is not Flow.SAME:
            findings.append(_unsupported(node, supported))


# Joining -------------------------------------------------------------------------------------


def _join(cells: Cells) -> None:
    """Put nodes that need no connection between them into one cell."""
    graph = cells.model.graph
    order, _ = topological_order(graph)
    _find_aliases(cells, order)
    uses: Uses = {}
    for node in graph.nodes.values():
        for binding in node.inputs if node.values()[0] not in cells.alias else ():
            uses.setdefault(cells.base(binding.source), []).append((node, binding))
    joined = _Joined(cells)
    for node in order:
        if node.op == _SCALE and node.name in cells.linear:
            _join_scale(cells, joined, node, uses)
    for node in order:
        if node.name not in cells.cell_of:
            continue
        if cells.units[node.name].opdef.flow is Flow.DECODE:
            (binding,) = node.inputs
            before = producer(cells.base(binding.source))
            if before in cells.cell_of and not binding.delay_steps:
                joined.merge(before, node.name)
        else:
            _join_user(cells, joined, node, uses)
    for node in order:
        if node.name in cells.cell_of:
            cells.cell_of[node.name] = joined.find(node.name)
            cells.members.setdefault(cells.cell_of[node.name], []).append(node.name)
    for entry in graph.inputs:
        if entry.type.is_per_step and uses.get(entry.name):
            cells.members[INPUT + entry.name] = []
    for node in graph.nodes.values():
        for binding in node.inputs:
            if cells.leaves_cell(node, binding):
                value = cells.base(binding.source)
                cells.emits[cells.cell_of_value(value) or ""] = value


Uses = dict[str, list[tuple[Node, Binding]]]


class _Joined:
    """Disjoint sets of nodes, each named after one of them."""

    def __init__(self, cells: Cells) -> None:
        self._parent = {name: name for name in cells.cell_of}

    def add(self, name: str) -> None:
        """A further node."""
        self._parent[name] = name

    def find(self, name: str) -> str:
        """Name of a node's set."""
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def merge(self, kept: str, gone: str) -> None:
        """Make one set of two; the first one's name stays."""
        self._parent[self.find(gone)] = self.find(kept)


def _find_aliases(cells: Cells, order: list[Node]) -> None:
    """Values that are another one, reshaped."""
    for node in order:
        if node.op in IDENTITIES and node.name in cells.linear:
            (binding,) = node.inputs
            base = cells.base(binding.source)
            made = producer(base) in cells.cell_of or producer(base) not in cells.units
            if made and not binding.delay_steps and not start_of(node):
                cells.alias[node.values()[0]] = base


def _join_scale(cells: Cells, joined: _Joined, scale: Node, uses: Uses) -> None:
    """A scale directly behind a neuron is what its spikes are worth, if nobody else uses them."""
    (binding,) = scale.inputs
    value = cells.base(binding.source)
    if producer(value) not in cells.cell_of or binding.delay_steps:
        return
    if start_of(scale):
        return
    for user, other in uses[value]:
        decodes = cells.units[user.name].opdef.flow is Flow.DECODE and not other.delay_steps
        if user is not scale and not decodes:
            return
    cells.linear.discard(scale.name)
    cells.cell_of[scale.name] = scale.name
    joined.add(scale.name)
    joined.merge(producer(value), scale.name)


def _join_user(cells: Cells, joined: _Joined, node: Node, uses: Uses) -> None:
    """A node whose value one node alone uses, without delay, belongs to that node's cell."""
    users = uses.get(node.values()[0], [])
    if len(users) != 1:
        return
    user, binding = users[0]
    if user.name in cells.cell_of and not binding.delay_steps and user.op not in POOLS:
        joined.merge(user.name, node.name)
