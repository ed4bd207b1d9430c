"""What a script computes by NumPy: before the network, and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from snnir.errors import Diagnostic
from snnir.ir.graph import Binding, Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.ops.dims import array_axis
from snnir.ops.registry import find
from snnir.ops.schema import Array, start_of
from snnir.passes.linear_map import LinearMap
from snnir.passes.synapses import is_linear, linear_maps, offset
from snnir_converters.genn._cells import Cells
from snnir_converters.genn._plan import Plan, genn_name

FINISH: Final[Mapping[str, str]] = {
    "snn.SpikeCount": "{sum}",
    "snn.FinalPotential": "{sum}",
    "snn.SumPotential": "{sum}",
    "snn.MaxPotential": "{sum}",
    "snn.MeanPotential": "{sum} / network.dtype.type({n})",
    "snn.ExponentialPotential": "{sum} / network.dtype.type({n})",
    "snn.FirstSpikeTime": "np.where({sum} < 0, network.dtype.type({n}), {sum})",
}
"""A decoder's answer from its sum and the length ``n`` of its window; formulas of the operators."""

Formula = Callable[[str, Mapping[str, Any], tuple[int, ...]], str]

FORMULAS: Final[Mapping[str, Formula]] = {
    "snn.ConstantCurrent": lambda x, attributes, shape: x,
    "ann.Sigmoid": lambda x, attributes, shape: f"1 / (1 + np.exp(-{x}))",
    "ann.Tanh": lambda x, attributes, shape: f"np.tanh({x})",
    "ann.Softmax": lambda x, attributes, shape: (
        f"softmax({x}, {shape!r}, {_axis(attributes['axis'])})"
    ),
}
"""Other operators of one input; formulas of the operators."""


def _axis(axis: int) -> int:
    """The axis of an array with samples and steps first."""
    return axis if axis < 0 else array_axis(axis) + 1


def quoted(text: str) -> str:
    """A text as it is written in Python."""
    literal = repr(f"'{text}")  # the apostrophe makes it choose quotation marks, if it can
    return f'"{literal[2:]}' if literal.startswith('"') else repr(text)


def names_key(*parts: str) -> str:
    """Names as part of an array's name in the file of weights."""
    return ".".join(map(genn_name, parts))


def linear_twin(node: Node) -> Node | None:
    """The node as one of domain ``snn``, if that is linear: both domains agree in those."""
    twin = replace(node, op=f"snn.{node.operator}") if node.domain == "ann" else node
    return twin if is_linear(twin.op) else None


@dataclass
class Sheet:
    """Arrays that the script loads.

    Attributes:
        arrays: By name.
    """

    arrays: dict[str, Array] = field(default_factory=dict)

    def keep(self, key: str, array: Array) -> str:
        """Keep an array; the expression of it."""
        self.arrays[key] = array
        return f'w["{key}"]'

    def keep_pairs(self, key: str, sources: Array, targets: Array, weights: Array) -> str:
        """Keep single synapses; the expression of them."""
        parts = {"sources": sources, "targets": targets, "weights": weights}
        return f"({', '.join(self.keep(f'{key}.{name}', a) for name, a in parts.items())})"


@dataclass
class Host:
    """Writes statements that compute values of the graph, as far as they are needed.

    Attributes:
        model: The model.
        plan: Its plan.
        cells: What GeNN carries out.
        sheet: Arrays of the script.
        known: Values that have been computed.
        sums: Sums of decoders to be read after a run: answer and place.
        series: Values to be read in every step, and their place.
        computed: Nodes that it computes, in words.
        findings: What it cannot compute.
    """

    model: Model
    plan: Plan
    cells: Cells
    sheet: Sheet
    known: set[str] = field(default_factory=set)
    sums: dict[str, str] = field(default_factory=dict)
    series: dict[str, str] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)

    def take(self) -> list[str]:
        """The statements since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def need(self, value: str) -> None:
        """Write statements that compute a value, and what it depends on."""
        waiting = [value]
        while waiting:
            value = waiting[-1]
            if value in self.known:
                waiting.pop()
                continue
            total = f"{producer(value)}:sum"
            if total in self.plan.places and value not in self.plan.places:
                self._answer(producer(value), total)
            elif value in self.plan.places:
                self.series[value] = value
                self._lines.append(f"v[{quoted(value)}] = ran[{quoted(value)}]")
            else:
                node = self.model.graph.nodes[producer(value)]
                missing = [b.source for b in node.inputs if b.source not in self.known]
                if missing:
                    waiting += missing
                    continue
                self._node(node)
            self.known.add(value)

    # Decoders --------------------------------------------------------------------------------

    def _answer(self, name: str, total: str) -> None:
        node = self.cells.units[name].node
        value = node.values()[0]
        self.sums[value] = total
        text = FINISH[node.op].format(
            sum=f"ran[{quoted(value)}]",
            n=f"windows[{quoted(name)}][1] - windows[{quoted(name)}][0]",
        )
        self._lines.append(f"v[{quoted(value)}] = {text}")

    def window(self, name: str) -> str:
        """The expression of a decoder's window."""
        unit = self.cells.units[name]
        start, stop = unit.attributes["start"], unit.attributes["stop"]
        return f"window(steps, {start_of(unit.node)}, {start}, {stop})"

    def window_weights(self, name: str) -> str:
        """The expression of the weights of the steps of a decoder's window."""
        unit = self.cells.units[name]
        shape = self.cells.shape(unit.node.values()[0])
        length = f"windows[{quoted(name)}][1] - windows[{quoted(name)}][0]"
        tau = unit.parameters.get("time_constant")
        if tau is None:
            found = length
        elif tau.size == 1:
            found = repr(float(tau.reshape(())))
        else:
            spread = np.broadcast_to(tau, shape).reshape(-1)
            found = self.sheet.keep(names_key("host", name) + ".time_constant", spread)
        size = self.cells.size(unit.node.values()[0])
        return f"exponential_weights({length}, {found}, {size}, network.dtype)"

    # Other nodes -----------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        twin = linear_twin(node)
        value = node.values()[0]
        if twin is not None:
            text = self._linear(node, twin)
        elif node.op in FORMULAS:
            parts = [self._source(node, binding) for binding in node.inputs]
            total = parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
            attributes = self.cells.units[node.name].attributes
            text = FORMULAS[node.op](total, attributes, self.cells.shape(value))
            text = self._since(node, text)
        else:
            allowed = f"linear operators, {', '.join(sorted({n for n in FORMULAS}))}"
            hint = "compute it with the original model, or run that with --backend genn"
            self.findings.append(
                Diagnostic(
                    "genn.script", f"node '{node.name}'", node.op, allowed, hint, node.source
                )
            )
            text = "None"
        self.computed.append(f"{node.name} ({node.op})")
        self._lines.append(f"v[{quoted(value)}] = {text}")

    def _source(self, node: Node, binding: Binding) -> str:
        found = f"v[{quoted(binding.source)}]"
        if binding.delay_steps:
            found = f"delayed({found}, {binding.delay_steps}, steps)"
        return found

    def _since(self, node: Node, text: str) -> str:
        start = start_of(node)
        return f"since({text}, {start}, steps)" if start else text

    def _linear(self, node: Node, twin: Node) -> str:
        opdef = find(twin.op)
        if opdef is None:
            raise KeyError(twin.op)
        value = node.values()[0]
        shapes: dict[str, list[tuple[int, ...]]] = {}
        for binding in node.inputs:
            shapes.setdefault(binding.port, []).append(self.cells.shape(binding.source))
        maps = linear_maps(twin, opdef, shapes, self.cells.shape(value))
        parts: list[str] = []
        for number, (binding, link) in enumerate(zip(node.inputs, maps, strict=True)):
            source = self._since(node, self._source(node, binding))
            for steps, part in link.by_delay().items():
                key = f"{names_key('host', node.name)}.map{number}" + (f"_{steps}" if steps else "")
                text = self.mapped(source, part, key)
                parts.append(f"delayed({text}, {steps}, steps)" if steps else text)
        added = offset(twin, opdef, self.cells.shape(value))
        if added is not None:
            kept = self.sheet.keep(
                f"{names_key('host', node.name)}.bias", added.astype(self.plan.dtype)
            )
            parts.append(self._since(node, f"{kept}[None, None]" if start_of(node) else kept))
        return " + ".join(parts) or "0"

    def mapped(self, source: str, link: LinearMap, key: str) -> str:
        """The expression of what a map without delays makes of a value."""
        if link.is_identity:
            return source
        if link.is_dense:
            matrix = link.weights.reshape(link.inputs, link.outputs)
            return f"dense({source}, {self.sheet.keep(key, matrix)})"
        pairs = self.sheet.keep_pairs(key, link.sources, link.targets, link.weights)
        return f"sparse({source}, {pairs}, {link.outputs})"
