"""Reading configurations: JSON whose shape nobody vouches for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from snnir.errors import Diagnostic, FormatError

Json = Any
"""What ``json.loads`` returns."""

MAX_DEPTH: Final = 200
"""Lists and objects within each other in a configuration."""


def fail(where: str, found: str, allowed: str, code: str = "keras.config") -> NoReturn:
    """Report something malformed."""
    raise FormatError(Diagnostic(code, where, found, allowed))


def show(value: object, limit: int = 80) -> str:
    """A value for a message, cut to a bearable length."""
    if isinstance(value, (dict, list, tuple)) and len(value) > 20:
        return f"{type(value).__name__} of {len(value)} entries"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def parse(data: str | bytes, where: str) -> dict[str, Json]:
    """A JSON object from a file.

    Raises:
        FormatError: If it is not JSON, not an object, nested too deeply or ambiguous.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise FormatError(
            Diagnostic("keras.limit", where, "JSON nested too deeply", f"{MAX_DEPTH} levels")
        ) from error
    except ValueError as error:
        raise FormatError(Diagnostic("keras.config", where, f"{error}"[:200], "JSON")) from error
    check_depth(value, where)
    return mapping(value, where)


def check_depth(value: Json, where: str) -> None:
    """Report lists and objects that are nested too deeply to be walked by recursion.

    Raises:
        FormatError: If they are.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Json] = []
        for entry in level:
            if isinstance(entry, dict):
                deeper += entry.values()
            elif isinstance(entry, (list, tuple)):
                deeper += entry
        if not deeper:
            return
        level = deeper
    fail(where, "a deeper nesting", f"{MAX_DEPTH} levels", "keras.limit")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def mapping(value: Json, where: str) -> dict[str, Json]:
    """The value, which must be an object."""
    if not isinstance(value, dict):
        fail(where, show(value), "an object")
    return value


def sequence(value: Json, where: str) -> list[Json]:
    """The value, which must be a list. Keras writes some tuples in a form of its own."""
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value.get("items")
    if not isinstance(value, (list, tuple)):
        fail(where, show(value), "a list")
    return list(value)


def string(value: Json, where: str) -> str:
    """The value, which must be a string."""
    if not isinstance(value, str):
        fail(where, show(value), "a string")
    return value


def integer(value: Json, where: str) -> int:
    """The value, which must be a whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 62:
        fail(where, show(value), "a whole number")
    return value


def unwrapped(value: Json) -> Json:
    """What Keras wraps when a configuration holds NumPy values or tuples."""
    while isinstance(value, dict):
        inner = value.get("config")
        if value.get("class_name") == "__numpy__" and isinstance(inner, dict) and "value" in inner:
            value = inner["value"]
        elif value.get("class_name") == "__tuple__" and "items" in value:
            value = value["items"]
        elif "value" in value and set(value) <= {"type", "value", "dtype", "class_name"}:
            value = value["value"]
        else:
            break
    return value


class LayerConfig:
    """A layer's configuration. What is asked for must have the right type."""

    def __init__(self, values: Mapping[str, Json], where: str) -> None:
        self.values = values
        self.where = where

    def place(self, key: str) -> str:
        """Where an entry is, in words."""
        return f"{self.where}, argument '{key}'"

    def get(self, key: str, default: Json = None) -> Json:
        """An entry as it is; None counts as absent."""
        value = unwrapped(self.values.get(key))
        return default if value is None else value

    def _required(self, key: str, default: Json) -> Json:
        value = self.get(key, default)
        if value is None:
            fail(self.place(key), "nothing", "a value")
        return value

    def integer(self, key: str, default: int | None = None, minimum: int | None = None) -> int:
        """A whole number of at least ``minimum``."""
        found = integer(self._required(key, default), self.place(key))
        if minimum is not None and found < minimum:
            fail(self.place(key), str(found), f"at least {minimum}")
        return found

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._required(key, default)
        if value not in (True, False):
            fail(self.place(key), show(value), "true or false")
        return bool(value)

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        return string(self._required(key, default), self.place(key))

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number; Keras 2 wrote some as arrays of one element."""
        value = self._required(key, default)
        while isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        return self._finite(value, key)

    def numbers(self, key: str) -> Json:
        """Finite numbers: one, or lists of them."""
        value = self._required(key, None)
        pending = [value]
        while pending:
            entry = pending.pop()
            if isinstance(entry, (list, tuple)):
                pending += entry
            else:
                self._finite(entry, key)
        return value

    def _finite(self, value: Json, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            fail(self.place(key), show(value), "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            fail(self.place(key), show(value), "a finite number")
        return number

    def integers(
        self, key: str, count: int, default: Sequence[int] | None = None, minimum: int = 0
    ) -> tuple[int, ...]:
        """``count`` whole numbers of at least ``minimum``; one number stands for as many."""
        value = self._required(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            value = [value] * count
        found = tuple(integer(entry, self.place(key)) for entry in sequence(value, self.place(key)))
        if len(found) != count or min(found) < minimum:
            fail(self.place(key), show(value), f"{count} numbers of at least {minimum}")
        return found

    def axes(self, key: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """Any count of axes: a number, a list of them, or nothing."""
        value = self.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            value = [value]
        return tuple(integer(entry, self.place(key)) for entry in sequence(value, self.place(key)))
