"""The top level of a model file: what must be known to find the header and the blobs.

Only tags and lengths are looked at; the content of a blob is never touched.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from snnir import limits
from snnir.errors import Diagnostic, FormatError
from snnir.serde.unknown import UnknownFields

MAGIC: Final = b"\x0dSNNI"
"""Field 1, fixed32: with the tag of field 10 and its length a file starts ``\\rSNNIR ``."""

DIGEST_TAG: Final = b"\x52\x20"
"""Field 10, 32 bytes."""

HEADER_START: Final = len(MAGIC) + len(DIGEST_TAG) + 32

MAGIC_FIELD: Final = 1
DIGEST_FIELD: Final = 10
LAST_HEADER_FIELD: Final = 17
PADDING_FIELD: Final = 30
BLOB_FIELD: Final = 31
PADDING_TAG: Final = bytes((0xF2, 0x01))
BLOB_TAG: Final = bytes((0xFA, 0x01))

_TAIL_TAGS: Final = {PADDING_TAG: PADDING_FIELD, BLOB_TAG: BLOB_FIELD}

MAX_FIELD_NUMBER: Final = (1 << 29) - 1

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

Buffer = bytes | mmap.mmap

Read = Callable[[int, int], bytes]
"""The bytes at an offset, up to a number of them; fewer at the end of the file."""

_LONGEST_VARINT: Final = 10
_WINDOW: Final = 128
"""Read at once: padding before a blob, and tag and length of both.

Reading is cheaper than touching the map, which brings in 64 KiB around every byte.
"""


@dataclass(frozen=True)
class Layout:
    """Where the parts of a file are.

    Attributes:
        header: The header, which starts at ``HEADER_START``.
        blobs: Offset and length of each blob.
        unknown: Top-level fields behind the header that are not known.
    """

    header: bytes
    blobs: tuple[tuple[int, int], ...]
    unknown: UnknownFields


def malformed(offset: int, found: str, allowed: str, code: str = "format.malformed") -> FormatError:
    """The error for something wrong at a byte of the file."""
    return FormatError(Diagnostic(code, f"byte {offset}", found, allowed))


def encode_varint(value: int) -> bytes:
    """A base-128 varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def preamble(header: bytes) -> bytes:
    """What a file starts with: everything before the header."""
    return MAGIC + DIGEST_TAG + hashlib.sha256(header).digest()


def blob_prefix(offset: int, length: int) -> bytes:
    """Padding, tag and length, so that a blob that follows them at ``offset`` is aligned."""
    prefix = BLOB_TAG + encode_varint(length)
    gap = -(offset + len(prefix)) % limits.BLOB_ALIGNMENT
    if not gap:
        return prefix
    shortest = len(PADDING_TAG) + 1
    if gap < shortest:
        gap += limits.BLOB_ALIGNMENT
    return PADDING_TAG + bytes((gap - shortest,)) + bytes(gap - shortest) + prefix


def _varint(data: bytes, position: int, base: int) -> tuple[int, int]:
    """A number, and where in ``data`` it ends; ``data`` is at offset ``base`` of the file."""
    value = shift = 0
    start = position
    while position < len(data) and shift < 7 * _LONGEST_VARINT:
        byte = data[position]
        position += 1
        if byte < 0x80:
            value |= byte << shift
            if value >= 1 << 64:
                break
            return value, position
        value |= (byte & 0x7F) << shift
        shift += 7
    if len(data) - start < _LONGEST_VARINT:
        raise malformed(base + start, "the end of the file", "a number", "format.truncated")
    raise malformed(base + start, "a number of more than 64 bits", "a 64-bit varint")


def _field(data: bytes, position: int, base: int) -> tuple[int, int, int, int]:
    """Number and wire type of a field, and where its content starts and how long it is."""
    at = base + position
    tag, position = _varint(data, position, base)
    field, kind = tag >> 3, tag & 7
    if kind == _LENGTH:
        length, position = _varint(data, position, base)
    elif kind == _VARINT:
        length = _varint(data, position, base)[1] - position
    elif kind in (_FIXED32, _FIXED64):
        length = 4 if kind == _FIXED32 else 8
    else:
        raise malformed(at, f"wire type {kind}", "0, 1, 2 or 5")
    if not 1 <= field <= MAX_FIELD_NUMBER:
        raise malformed(at, f"field number {field}", f"1 to {MAX_FIELD_NUMBER}")
    if field in (MAGIC_FIELD, DIGEST_FIELD):
        raise malformed(at, f"field {field} again", "it once, at the start of the file")
    return field, kind, position, length


def _check_start(data: bytes, size: int) -> None:
    start = data[: len(MAGIC)]
    if start != MAGIC:
        if start == MAGIC[: len(start)] and size < len(MAGIC) and size:
            raise malformed(size, f"{size} bytes", "a whole file", "format.truncated")
        found = "an empty file" if not size else f"bytes {data[:8]!r}"
        raise malformed(0, found, f"bytes {MAGIC!r} first", "format.not-snnir")
    if size < HEADER_START:
        raise malformed(size, f"{size} bytes", "a whole file", "format.truncated")
    if data[len(MAGIC) : len(MAGIC) + 2] != DIGEST_TAG:
        raise malformed(len(MAGIC), "no header digest", "header_sha256 of 32 bytes")


def scan(read: Read, size: int) -> Layout:
    """Find header and blobs, and check the header against its digest.

    Args:
        read: Gives the bytes of the file.
        size: Length of the file.

    Raises:
        FormatError: If the bytes are not a model, end too early or fail the digest.
    """
    beginning = read(0, HEADER_START)
    _check_start(beginning, size)
    window, base = b"", 0
    header_end: int | None = None
    blobs: list[tuple[int, int]] = []
    unknown = UnknownFields()
    offset = HEADER_START
    count = 0
    while offset < size:
        at = offset
        if at - base + 2 * _LONGEST_VARINT > len(window):
            window, base = read(at, _WINDOW), at
        position = at - base
        field, kind = _TAIL_TAGS.get(window[position : position + 2], 0), _LENGTH
        if field:
            length, position = _varint(window, position + 2, base)
        else:
            field, kind, position, length = _field(window, position, base)
        offset = base + position
        if length > size - offset:
            raise malformed(
                at,
                f"a field of {length} bytes with {size - offset} left",
                "a whole file",
                "format.truncated",
            )
        if kind == _LENGTH and PADDING_FIELD <= field <= BLOB_FIELD:
            if header_end is None:
                header_end = at
            if field == BLOB_FIELD:
                blobs.append((offset, length))
                if len(blobs) > limits.MAX_BLOBS:
                    raise malformed(
                        at, "one more blob", f"{limits.MAX_BLOBS} blobs", "format.limit"
                    )
        elif header_end is not None:
            if field <= LAST_HEADER_FIELD:
                raise malformed(at, f"header field {field} behind a blob", "blobs and padding")
            unknown.add("tail", field, f"byte {at}")
        count += 1
        if count > limits.MAX_FIELDS:
            raise malformed(at, "one more field", f"{limits.MAX_FIELDS} fields", "format.limit")
        offset += length
    header_end = size if header_end is None else header_end
    if header_end - HEADER_START > limits.MAX_HEADER_BYTES:
        raise malformed(
            HEADER_START,
            f"a header of {header_end - HEADER_START} bytes",
            f"at most {limits.MAX_HEADER_BYTES}",
            "format.limit",
        )
    header = read(HEADER_START, header_end - HEADER_START)
    found, recorded = hashlib.sha256(header).digest(), beginning[-hashlib.sha256().digest_size :]
    if found != recorded:
        raise malformed(HEADER_START, found.hex(), recorded.hex(), "format.header-digest")
    return Layout(header, tuple(blobs), unknown)
