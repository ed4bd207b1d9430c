"""How a test declares the situations in which codes come about; ``test_codes`` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from snnir.errors import Diagnostic, SnnirError

Situation = Callable[[Path], Iterable[Diagnostic] | None]
"""Given a folder, it raises an error or returns findings."""


class Situations(list[tuple[str, type[SnnirError] | None, Situation]]):
    """Codes, the class of the error (None: it is among the findings returned), situations."""

    def raises(self, code: str, error: type[SnnirError] | None) -> Callable[[Situation], Situation]:
        """Declare a situation that raises an error with this code, or (None) returns it."""

        def declare(situation: Situation) -> Situation:
            self.append((code, error, situation))
            return situation

        return declare
