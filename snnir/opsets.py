"""Which operator definitions a model means, and which of them can be used here."""

from __future__ import annotations

from collections.abc import Callable

from snnir import plugins
from snnir.errors import Diagnostic, PluginError
from snnir.ir.model import Model
from snnir.ops import registry
from snnir.ops.schema import OpDef

Resolve = Callable[[str], OpDef | None]
"""Gives the definition of an operator, or None if it cannot be used."""


def usable_operators(model: Model) -> Resolve:
    """The operators of the domains that are installed, in the version that the model states."""
    unusable = check_domains(model, [])
    find = registry.Resolver(model.opsets)
    if not unusable:
        return find

    def resolve(op: str) -> OpDef | None:
        return None if op.rpartition(".")[0] in unusable else find(op)

    return resolve


def check_domains(model: Model, findings: list[Diagnostic]) -> set[str]:
    """Domains in use whose nodes cannot be looked at; ``findings`` takes the reasons."""
    unusable = set()
    for name in dict.fromkeys(node.domain for node in model.graph.nodes.values()):
        before = len(findings)
        _check_domain(name, model.opsets.get(name), findings)
        if len(findings) > before:
            unusable.add(name)
    return unusable


def _check_domain(name: str, version: int | None, findings: list[Diagnostic]) -> None:
    if version is None:
        findings.append(
            Diagnostic(
                "op.opset",
                "operator sets",
                f"no version for domain '{name}'",
                "a version for every domain in use",
            )
        )
    try:
        domain = registry.domain(name)
    except PluginError as error:
        findings.extend(error.diagnostics)
        return
    if domain is None:
        installed = ", ".join(dict.fromkeys([*registry.BUILTIN_DOMAINS, *plugins.names("ops")]))
        findings.append(
            Diagnostic("op.unknown-domain", "operator sets", f"domain '{name}'", installed)
        )
    elif version is not None and version > domain.version:
        findings.append(
            Diagnostic(
                "version.opset",
                "operator sets",
                f"domain '{name}' version {version}",
                f"up to {domain.version}",
            )
        )
