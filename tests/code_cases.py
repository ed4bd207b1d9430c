"""Situations of the error codes of recipes; see ``tests/test_codes.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from snnir.errors import Diagnostic, ModelError, SnnirError
from snnir.recipes import build

Situation = Callable[[Path], Iterable[Diagnostic] | None]


def _build(recipe: str, **options: float) -> None:
    build(recipe, inputs=2, hidden=2, outputs=2, **options)


CASES: list[tuple[str, type[SnnirError] | None, Situation]] = [
    ("recipe.unknown", ModelError, lambda _: _build("transformer")),
    ("recipe.option", ModelError, lambda _: _build("rsnn", dt=0.0)),
]
