"""Running and verifying in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnir.ir.model import Model
from snnir.runtime.backend import Inputs, Recording, find_backend
from snnir.runtime.verify import VerifyReport, make_example, verify

__all__ = ["VerifyReport", "make_example", "run", "verify"]


def run(
    model: Model,
    inputs: Inputs,
    *,
    steps: int | None = None,
    record: Sequence[str] = (),
    backend: str = "reference",
    **options: Any,
) -> Recording:
    """Run a model on a batch of samples.

    Args:
        model: The model.
        inputs: Array for each graph input by name, or the one array of a graph with one input.
            Batch first, then time for a per-step input, then features.
        steps: Presentation length; by default that of the per-step inputs, else the model's.
        record: Further values to return: ``node:port``, ``node:state``, or the name of a node
            with one output.
        backend: Name of the backend; ``snnir plugins`` lists them.
        options: Options of the backend; the reference knows ``precision="float64"``.

    Raises:
        ModelError: If the model is not valid.
        RunError: If inputs, steps or names do not fit it.
        CapabilityError: If the backend cannot run it exactly.
    """
    return find_backend(backend).prepare(model, **options).run(inputs, steps=steps, record=record)
