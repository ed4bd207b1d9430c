"""Stored examples: recording them, and replaying them on any backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnir.errors import CapabilityError, Diagnostic, ModelError, RunError
from snnir.infer import infer
from snnir.ir.model import Exact, Example, Expected, Model, Tolerance
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import topological_order
from snnir.ir.types import NUMPY
from snnir.runtime.backend import (
    Backend,
    Inputs,
    Prepared,
    Recording,
    find_backend,
    named_inputs,
    resolve_record,
    state_names,
)
from snnir.runtime.compare import Mismatch, compare


@dataclass(frozen=True)
class Comparison:
    """One expected value of one example.

    Attributes:
        example: Name of the example.
        value: Name of the value.
        tolerance: What was allowed.
        mismatch: The first difference, or None if there is none.
    """

    example: str
    value: str
    tolerance: Tolerance
    mismatch: Mismatch | None


@dataclass(frozen=True)
class Origin:
    """The first value of the whole graph that differs between two backends."""

    example: str
    value: str
    mismatch: Mismatch


@dataclass(frozen=True)
class VerifyReport:
    """What replaying a model's examples showed.

    Attributes:
        backend: What ran.
        comparisons: Every expected value of every example.
        origin: Where backend and reference first differ, if an example failed and the
            backend can record what is needed to tell.
    """

    backend: str
    comparisons: tuple[Comparison, ...]
    origin: Origin | None = None

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return all(comparison.mismatch is None for comparison in self.comparisons)

    def diagnostics(self) -> list[Diagnostic]:
        """A finding for each value that differs, the origin first."""
        found = []
        if self.origin is not None:
            found.append(
                _finding(
                    self.origin.example,
                    self.origin.value,
                    self.origin.mismatch,
                    self.backend,
                    "the reference's value",
                )
            )
        for c in self.comparisons:
            if c.mismatch is not None:
                found.append(
                    _finding(c.example, c.value, c.mismatch, self.backend, str(c.tolerance))
                )
        return found


def _finding(
    example: str, value: str, mismatch: Mismatch, backend: str, allowed: str
) -> Diagnostic:
    time = "" if mismatch.step is None else f", step {mismatch.step}"
    where = (
        f"backend '{backend}', example '{example}', value '{value}'{time}, "
        f"sample {mismatch.sample}, index {list(mismatch.index)}"
    )
    return Diagnostic(
        "example.mismatch",
        where,
        f"{mismatch.found} ({mismatch.count} elements differ)",
        f"{mismatch.expected} ({allowed})",
    )


def make_example(
    model: Model,
    inputs: Inputs,
    *,
    steps: int | None = None,
    record: Sequence[str] = (),
    tolerance: Tolerance | Mapping[str, Tolerance] | None = None,
    backend: str = "reference",
    origin: str = "",
    **options: Any,
) -> Example:
    """Run a model and keep what it was given and what it gave.

    Args:
        model: The model.
        inputs: See :meth:`snnir.runtime.backend.Prepared.run`.
        steps: Presentation length.
        record: Values to keep besides the outputs; kept under their full names.
        tolerance: What a backend may differ by: for all values, or by name (others exact).
        backend: What to run on.
        origin: Where the values come from; by default the backend's name.
        options: Options of the backend.

    Raises:
        SnnirError: If the model does not run.
    """
    states = state_names(model)
    record = [resolve_record(model.graph, states, name) for name in record]
    recording = (
        find_backend(backend).prepare(model, **options).run(inputs, steps=steps, record=record)
    )
    found = {**recording.outputs, **recording.recorded}
    by_name = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(found, tolerance)
    return Example(
        inputs={
            entry.name: Tensor.from_array(
                np.asarray(array).astype(NUMPY[entry.type.dtype], copy=False), entry.type.dtype
            )
            for entry, array in zip(
                model.graph.inputs, named_inputs(model.graph, inputs).values(), strict=True
            )
        },
        steps=recording.steps,
        expected={
            name: Expected(Tensor.from_array(array), by_name.get(name) or Exact())
            for name, array in found.items()
        },
        origin=origin or f"backend '{recording.backend}'",
    )


def verify(
    model: Model,
    backend: str | Backend = "reference",
    *,
    examples: Sequence[str] | None = None,
    **options: Any,
) -> VerifyReport:
    """Replay a model's stored examples on a backend.

    Args:
        model: The model.
        backend: The backend, or its name.
        examples: Names of the examples to replay; by default all.
        options: Options of the backend.

    Raises:
        ModelError: If the model is not valid, or stores no (such) example.
        CapabilityError: If the backend cannot run it.
    """
    names = list(model.examples) if examples is None else list(examples)
    unknown = [name for name in names if name not in model.examples]
    if unknown or not names:
        raise ModelError(
            Diagnostic(
                "example.none",
                "examples",
                ", ".join(unknown) or "none is stored",
                ", ".join(model.examples) or "at least one stored example",
            )
        )
    chosen = find_backend(backend) if isinstance(backend, str) else backend
    prepared = chosen.prepare(model, **options)
    comparisons: list[Comparison] = []
    origin: Origin | None = None
    for name in names:
        example = model.examples[name]
        recording = _replay(prepared, example, tuple(example.expected))
        failed: Comparison | None = None
        for value, expected in example.expected.items():
            want = expected.tensor.values()
            mismatch = compare(
                want,
                recording[value],
                expected.tolerance,
                per_step=_is_per_step(model, value, recording, example.steps),
            )
            comparison = Comparison(name, value, expected.tolerance, mismatch)
            comparisons.append(comparison)
            failed = failed or (comparison if mismatch is not None else None)
        if failed is not None and origin is None and chosen.name != "reference":
            origin = _locate(model, prepared, name, failed.tolerance)
    return VerifyReport(chosen.name, tuple(comparisons), origin)


def _replay(prepared: Prepared, example: Example, names: Sequence[str]) -> Recording:
    return prepared.run(
        {name: tensor.values() for name, tensor in example.inputs.items()},
        steps=example.steps,
        record=names,
    )


def _is_per_step(model: Model, value: str, recording: Recording, steps: int) -> bool:
    """Whether axis 1 of a recorded value is time: always for a state, else by its type."""
    for output in model.graph.outputs:
        if output.name == value:
            value = output.value
    types = infer(model)
    if value in types:
        return types[value].is_per_step
    node = model.graph.nodes.get(value)
    if node is not None:
        return types[node.values()[0]].is_per_step
    array = recording[value]
    return array.ndim > 1 and array.shape[1] == steps


def _locate(
    model: Model, prepared: Prepared, example_name: str, tolerance: Tolerance
) -> Origin | None:
    """Compare every value of the graph with the reference; the earliest difference counts."""
    example = model.examples[example_name]
    reference = find_backend("reference").prepare(model)
    types = infer(model)
    order, _ = topological_order(model.graph)
    names = [value for node in order for value in node.values() if value in types]
    late: set[str] = set()
    for node in order:
        sources = [binding.source for binding in node.inputs]
        if any(s in late or (s in types and types[s].is_per_step) for s in sources):
            late.update(node.values())
    theirs = _record_what_can_be(prepared, example, names)
    ours = _replay(reference, example, list(theirs))
    found: list[tuple[int, int, str, Mismatch]] = []
    for rank, value in enumerate(theirs):
        per_step = types[value].is_per_step
        mismatch = compare(ours[value], theirs[value], tolerance, per_step=per_step)
        if mismatch is not None:
            when = example.steps if value in late else -1
            step = when if mismatch.step is None else mismatch.step
            found.append((step, rank, value, mismatch))
    if not found:
        return None
    _, _, value, mismatch = min(found, key=lambda entry: entry[:2])
    return Origin(example_name, value, mismatch)


def _record_what_can_be(
    prepared: Prepared, example: Example, names: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """The values a backend can record, all in one run if it can record all."""
    try:
        return dict(_replay(prepared, example, names).recorded)
    except (CapabilityError, RunError):
        found: dict[str, np.ndarray[Any, Any]] = {}
        for name in names:
            try:
                found[name] = _replay(prepared, example, (name,))[name]
            except (CapabilityError, RunError):
                continue
        return found
