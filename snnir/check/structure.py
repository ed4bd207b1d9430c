"""What can be said about a model without looking at operators' types or at weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from snnir import limits
from snnir.errors import Diagnostic
from snnir.ir.graph import Binding, Graph, Node
from snnir.ir.model import IR_VERSION, Model
from snnir.ir.traversal import ancestors, find_cycles, producer, topological_order
from snnir.ir.types import ValueType, format_shape
from snnir.ops.schema import Arity, OpDef
from snnir.opsets import Resolve, check_domains


def check_structure(model: Model, resolve: Resolve, findings: list[Diagnostic]) -> bool:
    """Check names, edges, cycles and operators.

    Returns:
        Whether every edge refers to a value and every cycle has a delay.
    """
    graph = model.graph
    _check_header(model, findings)
    _check_names(graph, findings)
    sound = _check_edges(graph, resolve, findings)
    _check_operators(model, resolve, findings)
    _, left = topological_order(graph)
    for cycle in find_cycles(left):
        path = " -> ".join(cycle[:8]) + (" -> ..." if len(cycle) > 8 else f" -> {cycle[0]}")
        findings.append(
            Diagnostic("graph.undelayed-cycle", "graph", path, "a delay in every cycle")
        )
    if graph.outputs:
        _check_reachable(graph, findings)
    else:
        findings.append(Diagnostic("graph.no-output", "graph", "no output", "at least one"))
    return sound and not left


def _check_header(model: Model, findings: list[Diagnostic]) -> None:
    if model.ir_version != IR_VERSION:
        findings.append(
            Diagnostic("version.ir", "model", f"version {model.ir_version}", f"{IR_VERSION}")
        )
    for domain, version in model.opsets.items():
        if not limits.DOMAIN.fullmatch(domain):
            findings.append(
                Diagnostic("graph.name", "operator sets", f"{domain[:80]!r}", limits.DOMAIN.pattern)
            )
        if version < 1:
            where = f"operator sets, domain '{domain}'"
            findings.append(Diagnostic("value.range", where, f"version {version}", ">= 1"))
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
    allowed: set[str] = set()

    def check(names: Iterable[str], where: str) -> None:
        for name in names:
            if name in allowed:
                continue
            if limits.NAME.fullmatch(name):
                allowed.add(name)
            else:
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

    check([graph.name], "graph")
    for entry in graph.inputs:
        check([entry.name], "inputs")
        check(_symbols(entry.type), f"input '{entry.name}', shape")
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
        check([node.name], "nodes")
        where = f"node '{node.name}'"
        if key != node.name:
            findings.append(
                Diagnostic("graph.name", "nodes", f"'{node.name}' under key '{key}'", "its name")
            )
        check(node.outputs, f"{where}, outputs")
        check((binding.port for binding in node.inputs), f"{where}, inputs")
        check(node.attributes, f"{where}, attributes")
        check(node.parameters, f"{where}, parameters")
        for value_type in node.output_types:
            check(_symbols(value_type), f"{where}, output types")
        if len(node.outputs) > 1:
            unique(node.outputs, f"{where}, outputs")
    check((output.name for output in graph.outputs), "outputs")
    names = (node.name for node in graph.nodes.values())
    unique(chain((entry.name for entry in graph.inputs), names), "inputs and nodes")
    unique((output.name for output in graph.outputs), "outputs")


def _symbols(value_type: ValueType) -> Iterator[str]:
    return (dim for dim in value_type.shape if isinstance(dim, str))


def takes_a_list(opdef: OpDef | None, port: str) -> bool:
    """Whether a port combines its values in order, so that one may come twice (x * x)."""
    found = None if opdef is None else opdef.input(port)
    return found is not None and found.arity is Arity.LIST


def _check_edges(graph: Graph, resolve: Resolve, findings: list[Diagnostic]) -> bool:
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
        seen: set[Binding] = set()
        for binding in node.inputs:
            if binding.source not in values:
                dangling(_edge(node, binding), binding.source, node.source)
                sound = False
            if not 0 <= binding.delay_steps <= limits.MAX_DELAY_STEPS:
                findings.append(
                    Diagnostic(
                        "graph.delay",
                        _edge(node, binding),
                        f"a delay of {binding.delay_steps} steps",
                        f"0 to {limits.MAX_DELAY_STEPS}",
                        source=node.source,
                    )
                )
            if binding in seen and not takes_a_list(resolve(node.op), binding.port):
                findings.append(
                    Diagnostic(
                        "graph.duplicate-edge",
                        _edge(node, binding),
                        f"'{binding}' again",
                        "each edge once",
                        source=node.source,
                    )
                )
            seen.add(binding)
    for output in graph.outputs:
        if output.value not in values:
            dangling(f"output '{output.name}'", output.value)
            sound = False
    return sound


def _edge(node: Node, binding: Binding) -> str:
    return f"node '{node.name}' ({node.op}), input '{binding.port}'"


def _check_operators(model: Model, resolve: Resolve, findings: list[Diagnostic]) -> None:
    unusable = check_domains(model, findings)
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
    if needed.isdisjoint(graph.nodes) and not any(i.name in needed for i in graph.inputs):
        return  # no output refers to anything, and that is reported
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
                Diagnostic("graph.unused-input", f"input '{entry.name}'", "no use", "inputs in use")
            )


def check_labels(graph: Graph, types: Mapping[str, ValueType], findings: list[Diagnostic]) -> None:
    """Check that a classifier's labels are as many as its classes."""
    for output in graph.outputs:
        found = types.get(output.value)
        if not output.labels or found is None:
            continue
        classes = found.shape[-1] if found.shape else 0
        if isinstance(classes, int) and len(output.labels) != classes:
            findings.append(
                Diagnostic(
                    "type.shape",
                    f"output '{output.name}', labels",
                    f"{len(output.labels)} labels",
                    f"as many as the last axis of {format_shape(found.shape)} is long, or none",
                )
            )
