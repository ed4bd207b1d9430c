"""The part of a model that goes onto a chip: one chain of layers of domain ``loihi2``.

Whatever leads to the chain's input, and whatever follows its neurons, stays with the host.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from snnir.errors import Diagnostic
from snnir.ir.graph import Graph, Node
from snnir.ir.traversal import consumers, producer
from snnir.targets.loihi2 import NEURONS

SYNAPSES: Final = ("Dense", "Conv2D")
MOVES: Final = ("Permute", "Flatten")

CHW: Final = (2, 0, 1)
"""Axes of height, width, channels in the order of a file."""


@dataclass(frozen=True)
class ChipLayer:
    """Neurons and what leads to them.

    Attributes:
        neuron: The neurons.
        synapse: Connection from the layer before or the host; None if the host drives them.
        recurrent: Connection from the neurons themselves, one step later.
        flattens: Whether images are flattened before the synapse: channels, height, width.
    """

    neuron: Node
    synapse: Node | None
    recurrent: Node | None
    flattens: bool

    @property
    def value(self) -> str:
        """What the neurons send."""
        return self.neuron.values()[0]


@dataclass(frozen=True)
class Chain:
    """A chain of layers.

    Attributes:
        entry: The value that the host feeds.
        layers: In their order.
        host: Names of the nodes that stay with the host, in the graph's order.
    """

    entry: str
    layers: tuple[ChipLayer, ...]
    host: tuple[str, ...]


def find_chain(graph: Graph, findings: list[Diagnostic]) -> Chain | None:
    """The chain of a graph; None if there is none, with the reasons in ``findings``."""
    return _Search(graph, findings).chain()


class _Search:
    def __init__(self, graph: Graph, findings: list[Diagnostic]) -> None:
        self._graph = graph
        self._findings = findings
        self._uses = consumers(graph)
        self._neurons = [n for n in graph.nodes.values() if _is(n, NEURONS)]
        self._moves: set[str] = set()

    def chain(self) -> Chain | None:
        before = len(self._findings)
        if not self._neurons:
            found = "no neurons of domain loihi2"
            self._report("graph", found, "them", "Lower the network to loihi2 first.")
            return None
        links = [self._link(neuron) for neuron in self._neurons]
        sources = {layer.neuron.name: source for source, layer in links if source}
        heads = (
            [
                neuron
                for neuron in self._neurons
                if producer(sources[neuron.name]) not in {other.name for other in self._neurons}
            ]
            if len(sources) == len(links)
            else []
        )
        if len(self._findings) > before:
            return None
        if len(heads) != 1:
            names = ", ".join(f"'{head.name}'" for head in heads) or "none"
            self._report("graph", f"{len(heads)} first layers: {names}", "one chain of layers")
            return None
        followers: dict[str, list[ChipLayer]] = {}
        for source, layer in links:
            followers.setdefault(source, []).append(layer)
        layers: list[ChipLayer] = []
        entry = value = sources[heads[0].name]
        while following := followers.get(value, []):
            if len(following) > 1:
                names = " and ".join(f"'{layer.neuron.name}'" for layer in following)
                self._report(f"value '{value}'", f"it leads to {names}", "one next layer")
                return None
            layers.append(following[0])
            value = following[0].value
        if len(layers) != len(self._neurons):
            reached = {layer.neuron.name for layer in layers}
            other = next(n.name for n in self._neurons if n.name not in reached)
            self._report(f"node '{other}'", "a layer of another chain", "one chain of layers")
            return None
        return self._complete(entry, tuple(layers), before)

    def _complete(self, entry: str, layers: tuple[ChipLayer, ...], before: int) -> Chain | None:
        chip = {node.name for layer in layers for node in _nodes(layer)} | self._moves
        for name in self._host(chip):
            node = self._graph.nodes[name]
            if _is(node, SYNAPSES):
                self._report(_where(node), "a synapse without neurons", "neurons that it leads to")
        for layer in layers:
            for synapse in (layer.synapse, layer.recurrent):
                if synapse is not None:
                    self._check_synapse(synapse, layer.neuron)
        if any(name in chip for name in self._ancestors(entry)):
            self._report(f"value '{entry}'", "it depends on the chip", "a value of the host alone")
        if len(self._findings) > before:
            return None
        return Chain(entry, layers, tuple(self._host(chip)))

    def _host(self, chip: set[str]) -> Iterator[str]:
        return (name for name in self._graph.nodes if name not in chip)

    def _link(self, neuron: Node) -> tuple[str, ChipLayer]:
        """A layer, and the value of the layer before (or of the host) that it takes."""
        forward: list[tuple[str, Node | None, bool]] = []
        recurrent: list[Node] = []
        for binding in neuron.bindings("a_in"):
            if binding.delay_steps:
                self._report(_where(neuron), f"a delay of {binding.delay_steps}", "none here")
            synapse = self._graph.nodes.get(producer(binding.source))
            if synapse is None or not _is(synapse, SYNAPSES):
                forward.append((binding.source, None, False))
                continue
            edge = next(iter(synapse.bindings("x")), None)
            if edge is None:
                continue
            if edge.delay_steps != 1:
                found = f"delay_steps = {edge.delay_steps} of its input"
                hint = "A longer delay is the synapse's parameter 'delay'."
                self._report(_where(synapse), found, "delay_steps = 1", hint)
            if producer(edge.source) == neuron.name:
                recurrent.append(synapse)
            else:
                source, flattens = self._before_moves(edge.source)
                forward.append((source, synapse, flattens))
        if len(forward) != 1 or len(recurrent) > 1:
            found = f"{len(forward)} inputs and {len(recurrent)} recurrent connections"
            self._report(
                _where(neuron),
                found,
                "one input and at most one recurrent connection",
                "Skips and sums of layers do not go through NetX; join them into one layer.",
            )
            return "", ChipLayer(neuron, None, None, False)
        source, connection, flattens = forward[0]
        back = recurrent[0] if recurrent else None
        if back is not None and (back.operator != "Dense" or neuron.operator != "CubaLIF"):
            self._report(_where(back), "a recurrent connection", "a Dense of CubaLIF neurons")
        return source, ChipLayer(neuron, connection, back, flattens)

    def _before_moves(self, value: str) -> tuple[str, bool]:
        """What neurons send, before it is flattened as NetX does it; and whether it is."""
        flatten = self._graph.nodes.get(producer(value))
        if flatten is None or not _is(flatten, MOVES):
            return value, False
        path = [flatten]
        while _is(path[-1], MOVES):
            source = self._graph.nodes.get(producer(path[-1].inputs[0].source))
            if source is None:
                return value, False
            path.append(source)
        if not _is(path[-1], NEURONS):
            return value, False
        operators = [node.operator for node in path[:-1]]
        delays = any(node.inputs[0].delay_steps for node in path[:-1])
        axes = path[-2].attributes.get("axes")
        if operators != ["Flatten", "Permute"] or axes != CHW or delays:
            self._report(
                _where(flatten), " of ".join(operators), f"Flatten of Permute with axes {CHW}"
            )
        self._moves |= {node.name for node in path[:-1]}
        return path[-2].inputs[0].source, True

    def _check_synapse(self, node: Node, neuron: Node) -> None:
        users = self._uses.get(node.values()[0], [])
        outputs = [o.name for o in self._graph.outputs if o.value == node.values()[0]]
        others = [f"'{user.name}'" for user, _ in users if user.name != neuron.name]
        if others or outputs:
            found = ", ".join([*others, *(f"output '{name}'" for name in outputs)])
            self._report(_where(node), f"used by {found}", f"only by '{neuron.name}'")

    def _ancestors(self, value: str) -> set[str]:
        """Names of the nodes that a value depends on."""
        found: set[str] = set()
        waiting = [producer(value)]
        while waiting:
            node = self._graph.nodes.get(waiting.pop())
            if node is not None and node.name not in found:
                found.add(node.name)
                waiting += [producer(binding.source) for binding in node.inputs]
        return found

    def _report(self, where: str, found: str, allowed: str, hint: str = "") -> None:
        self._findings.append(Diagnostic("netx.chain", where, found, allowed, hint))


def _is(node: Node, operators: Collection[str]) -> bool:
    return node.domain == "loihi2" and node.operator in operators


def _nodes(layer: ChipLayer) -> Iterator[Node]:
    yield layer.neuron
    for node in (layer.synapse, layer.recurrent):
        if node is not None:
            yield node


def _where(node: Node) -> str:
    return f"node '{node.name}' ({node.op})"
