"""What can be said about a model without looking at operators' types or at weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

from snnir import limits
from snnir.errors import Diagnostic
from snnir.ir.graph import Graph, Node
from snnir.ir.model import Model
from snnir.ir.traversal import ancestors, find_cycle, producer, topological_order
from snnir.ops import registry


def check_structure(
    model: Model, resolve: registry.Resolver, findings: list[Diagnostic]
) -> bool:
    """Check names, edges, cycles and operators.

    Returns:
        Whether the graph is sound enough for types to be inferred.
    """
    graph = model.graph
    _check_header(model, findings)
    _check_names(graph, findings)
    sound = _check_edges(graph, findings)
    _check_operators(model, resolve, findings)
    _, left = topological_order(graph)
    if left:
        cycle = find_cycle(left)
        path = " -> ".join(cycle[:8]) + (" -> ..." if len(cycle) > 8 else f" -> {cycle[0]}")
        findings.append(
            Diagnostic("graph.undelayed-cycle", "graph", path, "a delay in every cycle")
        )
        sound = False
    if not graph.outputs:
        findings.append(Diagnostic("graph.no-output", "graph", "no output", "at least one"))
    elif sound:
        _check_reachable(graph, findings)
    return sound


def _check_header(model: Model, findings: list[Diagnostic]) -> None:
    time = model.time
    if not (math.isfinite(time.dt) and time.dt > 0):
        findings.append(Diagnostic("value.time", "time base, dt", f"{time.dt} s", "above 0 s"))
    if not 1 <= time.steps < limits.MAX_STEPS:
        findings.append(
            Diagnostic(
                "value.time", "time base, steps", f"{time.steps}", f"1 to {limits.MAX_STEPS - 1}"
            )
        )
    for key in model.metadata:
        if not key:
            findings.append(Diagnostic("value.metadata", "metadata", "''", "a non-empty key"))


def _check_names(graph: Graph, findings: list[Diagnostic]) -> None:
    def check(name: str, where: str) -> None:
        if not limits.NAME.fullmatch(name):
            findings.append(
                Diagnostic("graph.name", where, f"{name[:80]!r}", limits.NAME.pattern)
            )

    def unique(names: Iterable[str], where: str) -> None:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                findings.append(
                    Diagnostic("graph.duplicate-name", where, f"'{name}'", "unique names")
                )
            seen.add(name)

    for entry in graph.inputs:
        check(entry.name, "inputs")
        if entry.layout and len(entry.layout) != len(entry.type.shape):
            findings.append(
                Diagnostic(
                    "type.shape",
                    f"input '{entry.name}', layout",
                    f"'{entry.layout}'",
                    f"one letter for each of {len(entry.type.shape)} axes",
                )
            )
    for key, node in graph.nodes.items():
        check(node.name, "nodes")
        if key != node.name:
            findings.append(
                Diagnostic("graph.name", "nodes", f"'{node.name}' under key '{key}'", "its name")
            )
        for port in node.outputs:
            check(port, f"node '{node.name}', outputs")
        if len(node.outputs) > 1:
            unique(node.outputs, f"node '{node.name}', outputs")
    for output in graph.outputs:
        check(output.name, "outputs")
    unique([*(entry.name for entry in graph.inputs), *graph.nodes], "inputs and nodes")
    unique((output.name for output in graph.outputs), "outputs")


def _check_edges(graph: Graph, findings: list[Diagnostic]) -> bool:
    values = set(graph.value_names())
    sound = True

    def dangling(where: str, value: str, source: str = "") -> None:
        findings.append(
            Diagnostic(
                "graph.dangling-edge",
                where,
                f"value '{value}'",
                "a graph input or 'node:port'",
                source=source,
            )
        )

    for node in graph.nodes.values():
        for index, binding in enumerate(node.inputs):
            where = f"node '{node.name}' ({node.op}), input '{binding.port}'"
            if binding.source not in values:
                dangling(where, binding.source, node.source)
                sound = False
            if not 0 <= binding.delay_steps <= limits.MAX_DELAY_STEPS:
                findings.append(
                    Diagnostic(
                        "graph.delay",
                        where,
                        f"a delay of {binding.delay_steps} steps",
                        f"0 to {limits.MAX_DELAY_STEPS}",
                        source=node.source,
                    )
                )
                sound = False
            if index and len(node.inputs) <= 64 and binding in node.inputs[:index]:
                _duplicate_edge(node, index, findings)
        if len(node.inputs) > 64 and len(set(node.inputs)) != len(node.inputs):
            seen: set[object] = set()
            for index, binding in enumerate(node.inputs):
                if binding in seen:
                    _duplicate_edge(node, index, findings)
                seen.add(binding)
    for output in graph.outputs:
        if output.value not in values:
            dangling(f"output '{output.name}'", output.value)
            sound = False
    return sound


def _duplicate_edge(node: Node, index: int, findings: list[Diagnostic]) -> None:
    binding = node.inputs[index]
    findings.append(
        Diagnostic(
            "graph.duplicate-edge",
            f"node '{node.name}' ({node.op}), input '{binding.port}'",
            f"'{binding}' again",
            "each edge once",
            source=node.source,
        )
    )


def _check_operators(
    model: Model, resolve: registry.Resolver, findings: list[Diagnostic]
) -> None:
    unusable: set[str] = set()
    used = dict.fromkeys(node.domain for node in model.graph.nodes.values())
    for name in used:
        domain = registry.domain(name)
        version = model.opsets.get(name)
        if version is None:
            findings.append(
                Diagnostic(
                    "op.opset",
                    "operator sets",
                    f"no version for domain '{name}'",
                    "a version for every domain in use",
                )
            )
            unusable.add(name)
        if domain is None:
            findings.append(
                Diagnostic(
                    "op.unknown-domain",
                    "operator sets",
                    f"domain '{name}'",
                    ", ".join(known.name for known in registry.domains()),
                )
            )
            unusable.add(name)
        elif version is not None and version > domain.version:
            findings.append(
                Diagnostic(
                    "version.opset",
                    "operator sets",
                    f"domain '{name}' version {version}",
                    f"up to {domain.version}",
                )
            )
            unusable.add(name)
    for node in model.graph.nodes.values():
        if node.domain not in unusable and resolve(node.op) is None:
            findings.append(
                Diagnostic(
                    "op.unknown",
                    f"node '{node.name}'",
                    f"'{node.op}'",
                    f"an operator of domain '{node.domain}' version {model.opsets[node.domain]}",
                    source=node.source,
                )
            )


def _check_reachable(graph: Graph, findings: list[Diagnostic]) -> None:
    needed = ancestors(graph, (output.value for output in graph.outputs))
    for node in graph.nodes.values():
        if node.name not in needed:
            findings.append(
                Diagnostic(
                    "graph.unreachable",
                    f"node '{node.name}' ({node.op})",
                    "no path to an output",
                    "nodes that an output depends on",
                    source=node.source,
                )
            )
    used = {producer(binding.source) for node in graph.nodes.values() for binding in node.inputs}
    used |= {producer(output.value) for output in graph.outputs}
    for entry in graph.inputs:
        if entry.name not in used:
            findings.append(
                Diagnostic(
                    "graph.unused-input", f"input '{entry.name}'", "no use", "inputs in use"
                )
            )
