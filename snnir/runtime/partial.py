"""Runs the part of a graph that leads from given values to wanted ones.

A backend that carries out some nodes elsewhere (a simulator, a chip) computes the others by this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.ir.types import NUMPY, ValueType
from snnir.ops.schema import Array


def needed_nodes(graph: Graph, wanted: Iterable[str], given: Iterable[str]) -> list[Node]:
    """Nodes that wanted values depend on, as far as given values do not say all; graph's order.

    Args:
        graph: The graph.
        wanted: Names of values or states.
        given: Names of values that are known.
    """
    known = set(given)
    found: set[str] = set()
    waiting = [name for name in wanted if name not in known]
    while waiting:
        name = producer(waiting.pop())
        if name not in graph.nodes or name in found:
            continue
        found.add(name)
        waiting += [b.source for b in graph.nodes[name].inputs if b.source not in known]
    return [node for name, node in graph.nodes.items() if name in found]


def run_part(
    model: Model,
    types: Mapping[str, ValueType],
    wanted: Iterable[str],
    given: Mapping[str, Array],
    *,
    steps: int,
    backend: str = "reference",
    **options: Any,
) -> dict[str, Array]:
    """Wanted values of a run in which other values are known.

    Args:
        model: The model.
        types: Type of every value.
        wanted: Full names of values or states; inputs are returned as they are given.
        given: Graph inputs as a caller gives them, and values by their full name; samples first,
            then steps for a per-step value, then features.
        steps: Presentation length.
        backend: What to run on.
        options: Options of the backend.

    Returns:
        Array for each wanted name.
    """
    from snnir.runtime.backend import find_backend

    names = list(dict.fromkeys(wanted))
    inputs = {entry.name: entry for entry in model.graph.inputs}
    found = {name: given[name] for name in names if name in given and name not in inputs}
    missing = [name for name in names if name not in found]
    if not missing:
        return found
    nodes = needed_nodes(model.graph, missing, given)
    used = dict.fromkeys(b.source for node in nodes for b in node.inputs) | dict.fromkeys(
        name for name in missing if name in inputs
    )
    entries = [inputs[name] for name in used if name in inputs]
    prefix = "given"
    while any(name.startswith(prefix) for name in (*model.graph.nodes, *inputs)):
        prefix += "_"
    renamed = {
        name: f"{prefix}{number}"
        for number, name in enumerate(used)
        if name in given and name not in inputs
    }
    part = Graph(model.graph.name)
    part.inputs = entries + [GraphInput(new, types[name]) for name, new in renamed.items()]
    part.nodes = {node.name: _copy(node, renamed) for node in nodes}
    ends = [node.values()[0] for node in nodes] or [entry.name for entry in entries]
    part.outputs = [GraphOutput(f"end{number}", value) for number, value in enumerate(ends)]
    fed = {entry.name: given[entry.name] for entry in entries}
    fed |= {new: _as_input(given[name], types[name]) for name, new in renamed.items()}
    prepared = find_backend(backend).prepare(
        Model(graph=part, opsets=model.opsets, time=model.time), **options
    )
    has_time = any(types[name].is_per_step for name in used)
    recording = prepared.run(fed, steps=None if has_time else steps, record=missing)
    return found | {name: recording[name] for name in missing}


def _copy(node: Node, renamed: Mapping[str, str]) -> Node:
    bindings: list[Binding] = [
        b._replace(source=renamed.get(b.source, b.source)) for b in node.inputs
    ]
    return Node(
        node.name,
        node.op,
        bindings,
        node.outputs,
        node.attributes,
        node.parameters,
        node.output_types,
        node.source,
    )


def _as_input(array: Array, value_type: ValueType) -> Array:
    return array if value_type.dtype.is_float else array.astype(NUMPY[value_type.dtype], copy=False)
