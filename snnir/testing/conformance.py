"""Conformance: does a backend do what the operators' definitions say?

The package holds a vector for every rule of every built-in operator: a tiny model with one
stored example whose expected values come from a closed form, a table, another library or exact
arithmetic, never from this library. A backend conforms if it reproduces all of them, or says
that it cannot run a model.

In a test suite (of pytest, which is not needed otherwise)::

    @pytest.mark.parametrize("case", conformance_cases("mine"), ids=str)
    def test_conformance(case):
        case()
"""

from __future__ import annotations

import unittest
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from snnir.errors import CapabilityError, Diagnostic, ModelError
from snnir.ir.model import Model
from snnir.runtime.backend import Backend, find_backend
from snnir.runtime.verify import verify
from snnir.serde.file import load

__all__ = [
    "ConformanceCase",
    "ConformanceReport",
    "ConformanceResult",
    "Vector",
    "conformance_cases",
    "run_conformance",
    "run_vector",
    "vectors",
]

_FOLDER: Final = Path(__file__).parent / "vectors"


@dataclass(frozen=True)
class Vector:
    """One conformance vector.

    Attributes:
        name: ``"<domain>/<Operator>/<case>"``, or ``"system/<topic>/<case>"`` for a network.
        op: ``"domain.Operator"``, or ``"system.<topic>"``.
        path: The file.
    """

    name: str
    op: str
    path: Path

    def model(self) -> Model:
        """The model with its example; ``metadata["what"]`` says what it pins down.

        Raises:
            SnnirError: If the file cannot be read.
        """
        return load(self.path)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class ConformanceResult:
    """What a backend made of one vector.

    Attributes:
        name: Name of the vector.
        op: What it is about.
        passed: Whether every expected value was found.
        skipped: Why the backend says that it cannot run the model; empty if it ran.
        detail: What was wrong; empty if nothing was.
    """

    name: str
    op: str
    passed: bool
    skipped: str = ""
    detail: str = ""

    @property
    def failed(self) -> bool:
        """Whether the backend ran the model, or tried to, and was wrong."""
        return not self.passed and not self.skipped


@dataclass(frozen=True)
class ConformanceReport:
    """What a backend made of all vectors.

    Attributes:
        backend: Its name.
        results: A result for each vector.
    """

    backend: str
    results: tuple[ConformanceResult, ...]

    @property
    def passed(self) -> bool:
        """Whether no vector failed, and at least one passed."""
        return not self.failures and any(result.passed for result in self.results)

    @property
    def failures(self) -> list[ConformanceResult]:
        """The vectors that failed."""
        return [result for result in self.results if result.failed]

    def summary(self) -> str:
        """The numbers, then every failure, then every reason for which vectors were skipped."""
        skipped: dict[str, list[str]] = {}
        for result in self.results:
            if result.skipped:
                skipped.setdefault(result.skipped, []).append(result.name)
        passed = sum(result.passed for result in self.results)
        missed = sum(map(len, skipped.values()))
        lines = [
            f"backend '{self.backend}': {passed} passed, {len(self.failures)} failed, "
            f"{missed} skipped"
        ]
        lines += [f"failed  {result.name}: {result.detail}" for result in self.failures]
        for reason, names in skipped.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"skipped {names[0]}{more}: {reason}")
        return "\n".join(lines)


@dataclass(frozen=True)
class ConformanceCase:
    """A vector and a backend, for a parametrised test; ``str`` gives its identifier.

    Attributes:
        vector: The vector.
        backend: The backend.
        options: Its options.
    """

    vector: Vector
    backend: Backend
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.vector.name

    def __call__(self) -> ConformanceResult:
        """Run it; test frameworks understand the exceptions.

        Returns:
            The result, which passed.

        Raises:
            AssertionError: If the vector failed.
            unittest.SkipTest: If the backend cannot run it.
        """
        result = run_vector(self.vector, self.backend, **self.options)
        if result.skipped:
            raise unittest.SkipTest(result.skipped)
        if not result.passed:
            raise AssertionError(f"{result.name}: {result.detail}")
        return result


@lru_cache(maxsize=1)
def _all() -> tuple[Vector, ...]:
    found = []
    for path in sorted(_FOLDER.rglob("*.snnir")):
        name = path.relative_to(_FOLDER).with_suffix("").as_posix()
        domain, operator, _ = name.split("/")
        found.append(Vector(name, f"{domain}.{operator}", path))
    return tuple(found)


def vectors(ops: Sequence[str] | None = None) -> list[Vector]:
    """The conformance vectors, by name.

    Args:
        ops: Operators (``"snn.LIF"``), domains (``"snn"``), topics (``"system.delays"``) or
            ``"system"``; by default all.

    Raises:
        ModelError: If there is no vector for one of ``ops``.
    """
    found = list(_all())
    if ops is None:
        return found
    known = {vector.op for vector in found} | {vector.op.partition(".")[0] for vector in found}
    if unknown := [op for op in ops if op not in known]:
        raise ModelError(
            Diagnostic(
                "op.unknown",
                "conformance vectors",
                ", ".join(map(repr, unknown)),
                ", ".join(sorted(known)) or "nothing: no vector is installed",
            )
        )
    return [vector for vector in found if vector.op in ops or vector.op.partition(".")[0] in ops]


def run_vector(vector: Vector, backend: Backend, **options: Any) -> ConformanceResult:
    """Replay one vector.

    Args:
        vector: The vector.
        backend: The backend. Whatever it raises but ``CapabilityError`` is a failure.
        options: Its options.
    """
    try:
        report = verify(vector.model(), backend, **options)
    except CapabilityError as error:
        return ConformanceResult(vector.name, vector.op, False, skipped=str(error))
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        return ConformanceResult(vector.name, vector.op, False, detail=detail)
    findings = report.diagnostics()
    return ConformanceResult(
        vector.name, vector.op, report.passed, detail="\n".join(map(str, findings))
    )


def run_conformance(
    backend: str | Backend = "reference", ops: Sequence[str] | None = None, **options: Any
) -> ConformanceReport:
    """Replay conformance vectors on a backend.

    Args:
        backend: The backend, or its name.
        ops: See :func:`vectors`.
        options: Options of the backend.

    Raises:
        PluginError: If the backend is unknown or does not load.
        ModelError: If there is no vector for one of ``ops``.
    """
    found = find_backend(backend) if isinstance(backend, str) else backend
    return ConformanceReport(
        found.name, tuple(run_vector(vector, found, **options) for vector in vectors(ops))
    )


def conformance_cases(
    backend: str | Backend = "reference", ops: Sequence[str] | None = None, **options: Any
) -> list[ConformanceCase]:
    """A case for each vector, for ``pytest.mark.parametrize("case", ..., ids=str)``.

    Args:
        backend: The backend, or its name.
        ops: See :func:`vectors`.
        options: Options of the backend.

    Raises:
        PluginError: If the backend is unknown or does not load.
        ModelError: If there is no vector for one of ``ops``.
    """
    found = find_backend(backend) if isinstance(backend, str) else backend
    return [ConformanceCase(vector, found, options) for vector in vectors(ops)]
