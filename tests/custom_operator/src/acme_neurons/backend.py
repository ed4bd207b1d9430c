"""A backend that needs code of its own for each operator, and finds it in the definition."""

from __future__ import annotations

from typing import Any

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.model import Model
from snnir.ops.registry import find
from snnir.runtime.backend import Prepared
from snnir.runtime.reference import ReferenceBackend


class AcmeBackend:
    """Runs only operators that bring code for it."""

    name = "acme"

    def prepare(self, model: Model, **options: Any) -> Prepared:
        """Make a model ready to run."""
        code: dict[str, str] = {}
        lacking = []
        for node in model.graph.nodes.values():
            opdef = find(node.op)
            if opdef is None or "acme" not in opdef.targets:
                lacking.append(
                    Diagnostic(
                        "run.capability", f"node '{node.name}'", node.op, "operators with acme code"
                    )
                )
            else:
                code[node.name] = opdef.targets["acme"]
        if lacking:
            raise CapabilityError(lacking)
        return ReferenceBackend().prepare(model)
