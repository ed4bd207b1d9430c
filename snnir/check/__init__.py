"""Checking a model: all findings at once, in time linear in nodes, edges and tensors."""

from __future__ import annotations

from snnir.check.examples import check_examples
from snnir.check.structure import check_structure
from snnir.check.values import check_values
from snnir.errors import Diagnostic
from snnir.infer import infer_types
from snnir.ir.model import Model
from snnir.ops.registry import Resolver

__all__ = ["check"]


def check(model: Model, *, values: bool = True) -> list[Diagnostic]:
    """Everything that is wrong with a model, or worth knowing; empty if nothing is.

    Args:
        model: The model.
        values: Whether to look at the weights too: digests, NaN, infinite numbers, ranges.

    Returns:
        Errors and warnings, in the order of the graph. ``snnir.errors.raise_errors`` turns
        them into an exception.
    """
    findings = list(model.findings)
    resolve = Resolver(model.opsets)
    sound = check_structure(model, resolve, findings)
    types = infer_types(model.graph, resolve, findings) if sound else {}
    if values:
        check_values(model, resolve, types, findings)
    if sound:
        check_examples(model, types, resolve, findings)
    return findings
