"""Checking a model: all findings at once, in time linear in nodes, edges and tensors."""

from __future__ import annotations

from snnir.check.examples import check_examples
from snnir.check.structure import check_labels, check_structure
from snnir.check.values import TensorChecker, check_values
from snnir.errors import Diagnostic
from snnir.infer import infer_types
from snnir.ir.model import Model
from snnir.opsets import usable_operators

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
    resolve = usable_operators(model)
    check_structure(model, resolve, findings)
    inferred: set[str] = set()
    types = infer_types(model.graph, resolve, findings, inferred=inferred)
    check_labels(model.graph, types, findings)
    tensors = TensorChecker(findings)
    if values:
        check_values(model, resolve, types, inferred, tensors)
    check_examples(model, types, resolve, tensors if values else None, findings)
    return findings
