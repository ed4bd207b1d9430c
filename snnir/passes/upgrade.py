"""Bringing a model to the newest versions of the format and of its operator sets."""

from __future__ import annotations

import dataclasses

from snnir.errors import (
    CapabilityError,
    Diagnostic,
    ModelError,
    PluginError,
    SnnirError,
    UnsupportedVersion,
    raise_errors,
)
from snnir.ir.graph import Graph, Node
from snnir.ir.model import IR_VERSION, Model
from snnir.ops import registry
from snnir.ops.schema import OpDef


def upgrade(model: Model) -> tuple[Model, list[str]]:
    """A model that means the same in the newest versions that are installed here.

    Every node of a domain whose operator set is older than the installed one goes through the
    ``upgrade`` hook of each later definition of its operator, oldest first. Domains that
    nothing installed provides stay as they are. Examples are kept, so that
    :func:`snnir.verify` can tell whether the result still gives what they expect.

    Args:
        model: The model; it is not modified. Tensors are shared, not copied.

    Returns:
        The new model, and what was done (or could not be done), in words; empty if the model
        is up to date.

    Raises:
        CapabilityError: If an operator changed and its definition has no way to upgrade a node;
            with every such node.
        ModelError: If a node's operator is not in the operator set that the model names.
        UnsupportedVersion: If the model is newer than what is installed.
        PluginError: If a plugin's hook does not work.
    """
    _check_not_newer(model)
    notes: list[str] = []
    if model.ir_version < IR_VERSION:
        notes.append(f"format version {model.ir_version} -> {IR_VERSION}")
    opsets: dict[str, int] = {}
    for name, version in sorted(model.opsets.items()):
        domain = registry.domain(name)
        opsets[name] = version if domain is None else domain.version
        if domain is None:
            notes.append(
                f"operator set '{name}' stays at version {version}: nothing installed provides it"
            )
        elif domain.version > version:
            notes.append(f"operator set '{name}' version {version} -> {domain.version}")
    nodes = _upgrade_nodes(model, notes)
    graph = Graph(model.graph.name, list(model.graph.inputs), nodes, list(model.graph.outputs))
    upgraded = dataclasses.replace(
        model,
        graph=graph,
        opsets=opsets,
        examples=dict(model.examples),
        metadata=dict(model.metadata),
        ir_version=IR_VERSION,
    )
    return upgraded, notes


def _check_not_newer(model: Model) -> None:
    findings = []
    if model.ir_version > IR_VERSION:
        findings.append(
            Diagnostic("version.ir", "model", f"version {model.ir_version}", f"1 to {IR_VERSION}")
        )
    for name, version in sorted(model.opsets.items()):
        domain = registry.domain(name)
        if domain is not None and version > domain.version:
            findings.append(
                Diagnostic(
                    "version.opset",
                    "operator sets",
                    f"domain '{name}' version {version}",
                    f"up to {domain.version}",
                )
            )
    raise_errors(findings, UnsupportedVersion)


def _upgrade_nodes(model: Model, notes: list[str]) -> dict[str, Node]:
    """The nodes, each in the newest version of its operator; all findings at once."""
    unknown: list[Diagnostic] = []
    stuck: list[Diagnostic] = []
    nodes: dict[str, Node] = {}
    for name, node in model.graph.nodes.items():
        domain = registry.domain(node.domain)
        nodes[name] = upgraded = _copy(node)
        if domain is None:
            continue
        version = model.opsets.get(node.domain)
        current = domain.find(node.operator, version)
        if version is None or current is None:
            unknown.append(_unknown(node, version))
            continue
        later = [d for d in domain.history(node.operator) if d.since_version > version]
        blocked = [definition for definition in later if definition.upgrade is None]
        if blocked:
            stuck.append(_stuck(node, current, blocked[0]))
            continue
        for definition in later:
            upgraded = _apply(definition, upgraded)
        nodes[name] = upgraded
        if later:
            path = " -> ".join(str(d.since_version) for d in (current, *later))
            notes.append(f"node '{name}' ({node.op}) version {path}")
    raise_errors(unknown, ModelError)
    raise_errors(stuck, CapabilityError)
    return nodes


def _copy(node: Node) -> Node:
    return dataclasses.replace(
        node,
        inputs=list(node.inputs),
        attributes=dict(node.attributes),
        parameters=dict(node.parameters),
    )


def _unknown(node: Node, version: int | None) -> Diagnostic:
    if version is None:
        found, allowed = f"no version for domain '{node.domain}'", "a version"
        return Diagnostic("op.opset", f"node '{node.name}'", found, allowed, source=node.source)
    allowed = f"an operator of domain '{node.domain}' version {version}"
    return Diagnostic(
        "op.unknown", f"node '{node.name}'", f"'{node.op}'", allowed, source=node.source
    )


def _stuck(node: Node, current: OpDef, blocked: OpDef) -> Diagnostic:
    return Diagnostic(
        "op.upgrade",
        f"node '{node.name}' ({node.op})",
        f"version {current.since_version}, which cannot be upgraded to {blocked.since_version}",
        "operators with an upgrade",
        source=node.source,
    )


def _apply(definition: OpDef, node: Node) -> Node:
    """The node in the version of that definition.

    Raises:
        PluginError: If the hook fails, or gives a node that cannot take the other's place.
    """
    where = f"node '{node.name}' ({node.op}), upgrade to version {definition.since_version}"
    if definition.upgrade is None:
        return node
    name, op, outputs = node.name, node.op, node.outputs
    try:
        upgraded = definition.upgrade(node)
    except SnnirError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise PluginError(Diagnostic("plugin.broken", where, found, "a node")) from error
    if not isinstance(upgraded, Node):
        found = f"a {type(upgraded).__name__}"
    elif (upgraded.name, upgraded.op) != (name, op):
        found = f"node '{upgraded.name}' ({upgraded.op})"
    elif not set(outputs) <= set(upgraded.outputs):
        found = f"output ports {', '.join(upgraded.outputs) or 'none'}"
    else:
        return upgraded
    allowed = f"node '{name}' ({op}) with output ports {', '.join(outputs) or 'none'}"
    raise PluginError(Diagnostic("plugin.broken", where, found, allowed))
