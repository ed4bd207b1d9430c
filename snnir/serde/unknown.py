"""Fields that this version does not know: where they are, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from snnir import limits
from snnir.errors import Diagnostic
from snnir.proto.v1 import snnir_pb2 as pb


class UnknownFields:
    """What is unknown, one entry for each field number at each kind of place."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, int], str] = {}
        self._count: dict[tuple[str, int], int] = {}
        self._more = 0

    def add(self, kind: str, number: int, place: str) -> None:
        """Take note of a field.

        Args:
            kind: Its place without indices.
            number: Its number.
            place: Its place.
        """
        key = kind, number
        if key in self._first:
            self._count[key] += 1
        elif len(self._first) < limits.MAX_UNKNOWN:
            self._first[key] = place
            self._count[key] = 1
        else:
            self._more += 1

    def findings(self) -> list[Diagnostic]:
        """A finding for each entry."""
        found = []
        for key, place in self._first.items():
            number, count = key[1], self._count[key]
            text = (
                f"field {number}" if count == 1 else f"field {number}, {count} times from here on"
            )
            found.append(_finding(place, text))
        if self._more:
            found.append(_finding("file", f"{self._more} more unknown fields"))
        return found


def unknown_in_header(message: pb.Model, header: bytes, found: UnknownFields) -> list[Diagnostic]:
    """Take the unknown fields out of a message, at every level.

    Args:
        message: What ``header`` was parsed to.
        header: Its bytes.
        found: Takes note of each field.

    Returns:
        A finding, if they are too many to tell where they are.
    """
    message.DiscardUnknownFields()
    known = message.SerializeToString(deterministic=True)
    if known == header:
        return []
    original = pb.Model.FromString(header)
    excess = len(original.SerializeToString(deterministic=True)) - len(known)
    if excess > limits.MAX_UNKNOWN_BYTES:
        return [_finding("header", f"about {excess} bytes of unknown fields")]
    if excess:
        _collect(original, "Model", "Model", found)
    return []


def _collect(message: Message, kind: str, place: str, found: UnknownFields) -> None:
    fields: Iterable[Any] = UnknownFieldSet(message)  # type: ignore[assignment]
    for field in fields:
        found.add(kind, field.field_number, place)
    for descriptor, value in message.ListFields():
        if descriptor.type != descriptor.TYPE_MESSAGE:
            continue
        inner, name = f"{kind}.{descriptor.name}", f"{place}.{descriptor.name}"
        if isinstance(value, Message):
            _collect(value, inner, name, found)
        else:
            for index, entry in enumerate(value):
                _collect(entry, inner, f"{name}[{index}]", found)


def _finding(where: str, found: str) -> Diagnostic:
    return Diagnostic("format.unknown-field", where, found, "known fields")
