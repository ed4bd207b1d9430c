"""Which weights, biases and thresholds share a unit: those that meet in one neuron."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.ir.graph import Graph, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import consumers, producer
from snnir.passes import weights

Array = npt.NDArray[Any]

WEIGHTED: Final = weights.WEIGHTED | {"DelayedDense", "Sparse"}
"""Operators with a parameter ``weight``."""

NEURONS: Final = frozenset({"IF", "LIF", "ALIF", "LeakyIntegrator"})
"""Operators whose potential is in the unit of what arrives."""

PASSING: Final = frozenset(
    {
        "ExponentialSynapse",
        "Delay",
        "Flatten",
        "Reshape",
        "Permute",
        "Add",
        "Concat",
        "AveragePool1D",
        "AveragePool2D",
        "SumPool1D",
        "SumPool2D",
        "GlobalAveragePool1D",
        "GlobalAveragePool2D",
    }
)
"""Linear operators between weights and neurons that keep the unit."""

POTENTIALS: Final = (
    "threshold",
    "bias",
    "initial_potential",
    "reset_potential",
    "lower_bound",
    "negative_threshold",
    "adaptation_strength",
)
"""Parameters of neurons that are in the unit of the weights."""


@dataclass(frozen=True)
class Group:
    """What shares a unit.

    Attributes:
        name: Name of the neurons, or of the only node with weights.
        weighted: Names of the nodes with weights.
        neurons: Names of the neurons that they lead to; none in a network without time.
    """

    name: str
    weighted: tuple[str, ...]
    neurons: tuple[str, ...]


def find_groups(graph: Graph) -> list[Group]:
    """All groups, in the order of the graph."""
    leads: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        if node.operator in NEURONS:
            leads[node.name] = _weights_before(graph, node)
    merged: list[tuple[set[str], set[str]]] = []
    for neuron, found in leads.items():
        names, members = set(found), {neuron}
        for known in [each for each in merged if each[0] & names]:
            merged.remove(known)
            names |= known[0]
            members |= known[1]
        if names:
            merged.append((names, members))
    taken = {name for names, _ in merged for name in names}
    groups = [
        Group(
            next(name for name in graph.nodes if name in members),
            tuple(name for name in graph.nodes if name in names),
            tuple(name for name in graph.nodes if name in members),
        )
        for names, members in merged
    ]
    groups += [
        Group(node.name, (node.name,), ())
        for node in graph.nodes.values()
        if node.operator in WEIGHTED and node.name not in taken and "weight" in node.parameters
    ]
    place = {name: number for number, name in enumerate(graph.nodes)}
    return sorted(groups, key=lambda group: place[group.weighted[0]])


def _weights_before(graph: Graph, neuron: Node) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    open_values = [binding.source for binding in neuron.inputs]
    while open_values:
        name = producer(open_values.pop())
        node = graph.nodes.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.operator in WEIGHTED:
            found.append(name)
        elif node.operator in PASSING:
            open_values += [binding.source for binding in node.inputs]
    return found


# Gains ---------------------------------------------------------------------------------------


def fold_gains(model: Model) -> Model:
    """The same network with the gains of its neurons in the weights before them. Exact.

    A gain is what GeNN's models scale their input with, e.g. ``1 - alpha`` or
    ``tau / dt * (1 - exp(-dt / tau))``. It stays where weights lead to several neurons, or to
    something else.
    """
    graph = model.graph
    uses = consumers(graph)
    nodes = dict(graph.nodes)
    for group in find_groups(graph):
        if len(group.neurons) != 1:
            continue
        neuron = nodes[group.neurons[0]]
        gain = neuron.parameters.get("gain")
        if gain is None or not _only_weights(graph, neuron, uses):
            continue
        factor = gain.values().astype(np.float64)
        scaled = [_scaled(nodes[name], factor) for name in group.weighted]
        if any(node is None for node in scaled):
            continue
        for node in scaled:
            if node is not None:
                nodes[node.name] = node
        parameters = {k: v for k, v in neuron.parameters.items() if k != "gain"}
        nodes[neuron.name] = dataclasses.replace(neuron, parameters=parameters)
    return dataclasses.replace(model, graph=dataclasses.replace(graph, nodes=nodes))


def _only_weights(graph: Graph, neuron: Node, uses: Any) -> bool:
    """Whether all that arrives comes from weights, or is linear in it, and goes nowhere else."""
    kept = {output.value for output in graph.outputs}
    pending, seen = [neuron], set()
    while pending:
        for binding in pending.pop().inputs:
            node = graph.nodes.get(producer(binding.source))
            if node is None or len(uses.get(binding.source, [])) != 1 or binding.source in kept:
                return False
            if node.name in seen or node.operator in WEIGHTED:
                continue
            if node.operator != "ExponentialSynapse":
                return False
            seen.add(node.name)
            pending.append(node)
    return True


def _scaled(node: Node, factor: Array) -> Node | None:
    """The node with its outputs times a factor; None if that cannot be done."""
    if factor.ndim > 1 or (node.operator == "Sparse" and factor.size != 1):
        return None
    parameters = dict(node.parameters)
    if node.operator in weights.WEIGHTED:
        scaled = weights.scaled_outputs(node, factor)
    else:
        scaled = node.parameters["weight"].values() * factor
    parameters["weight"] = Tensor.from_array(np.asarray(scaled, np.float32))
    if "bias" in parameters:
        bias = parameters["bias"].values() * factor
        parameters["bias"] = Tensor.from_array(np.asarray(bias, np.float32))
    return dataclasses.replace(node, parameters=parameters)
