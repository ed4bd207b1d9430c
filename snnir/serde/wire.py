"""The top level of a model file: what must be known to find the header and the blobs.

Only tags and lengths are looked at; the content of a blob is never touched.
"""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass
from typing import Final

from snnir import limits
from snnir.errors import Diagnostic, FormatError

MAGIC: Final = b"\x0dSNNI"
"""Field 1, fixed32: with the tag of field 10 and its length a file starts ``\\rSNNIR ``."""

DIGEST_TAG: Final = b"\x52\x20"
"""Field 10, 32 bytes."""

HEADER_START: Final = len(MAGIC) + len(DIGEST_TAG) + 32

PADDING_FIELD: Final = 30
BLOB_FIELD: Final = 31
PADDING_TAG: Final = bytes((0xF2, 0x01))
BLOB_TAG: Final = bytes((0xFA, 0x01))

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Layout:
    """Where the parts of a file are.

    Attributes:
        header_end: One past the last byte of the header; it starts at ``HEADER_START``.
        blobs: Offset and length of each blob.
        unknown: Offsets of top-level fields behind the header that are not known.
    """

    header_end: int
    blobs: tuple[tuple[int, int], ...]
    unknown: tuple[int, ...]


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


def _varint(data: Buffer, offset: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(offset, min(offset + 10, end)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, position + 1
        shift += 7
    if end - offset < 10:
        raise malformed(offset, "the end of the file", "a number", "format.truncated")
    raise malformed(offset, "a number of more than 64 bits", "a 64-bit varint")


def scan(data: Buffer, size: int) -> Layout:
    """Find header and blobs, and check the header against its digest.

    Raises:
        FormatError: If the bytes are not a model, end too early or fail the digest.
    """
    start = data[: len(MAGIC)]
    if start != MAGIC:
        if start == MAGIC[: len(start)] and size < len(MAGIC) and size:
            raise malformed(size, f"{size} bytes", "a whole file", "format.truncated")
        found = "an empty file" if not size else f"bytes {bytes(data[:8])!r}"
        raise malformed(0, found, f"bytes {MAGIC!r} first", "format.not-snnir")
    if size < HEADER_START:
        raise malformed(size, f"{size} bytes", "a whole file", "format.truncated")
    if data[len(MAGIC) : len(MAGIC) + 2] != DIGEST_TAG:
        raise malformed(len(MAGIC), "no header digest", "header_sha256 of 32 bytes")

    header_end: int | None = None
    blobs: list[tuple[int, int]] = []
    unknown: list[int] = []
    offset = HEADER_START
    while offset < size:
        at = offset
        tag, offset = _varint(data, offset, size)
        field, kind = tag >> 3, tag & 7
        is_tail = kind == _LENGTH and field in (PADDING_FIELD, BLOB_FIELD)
        if header_end is None and is_tail:
            header_end = at
        if kind == _LENGTH:
            length, offset = _varint(data, offset, size)
        elif kind == _VARINT:
            _, end = _varint(data, offset, size)
            length = end - offset
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise malformed(at, f"wire type {kind}", "0, 1, 2 or 5")
        if field == 0:
            raise malformed(at, "field number 0", "1 or more")
        if length > size - offset:
            raise malformed(
                at,
                f"a field of {length} bytes with {size - offset} left",
                "a whole file",
                "format.truncated",
            )
        if is_tail and field == BLOB_FIELD:
            if len(blobs) >= limits.MAX_BLOBS:
                raise malformed(at, "one more blob", f"{limits.MAX_BLOBS} blobs", "format.limit")
            blobs.append((offset, length))
        elif header_end is not None and not is_tail:
            if 1 <= field <= 17:
                raise malformed(at, f"header field {field} behind a blob", "blobs and padding")
            unknown.append(at)
        offset += length
    header_end = size if header_end is None else header_end
    if header_end - HEADER_START > limits.MAX_HEADER_BYTES:
        raise malformed(
            HEADER_START,
            f"a header of {header_end - HEADER_START} bytes",
            f"at most {limits.MAX_HEADER_BYTES}",
            "format.limit",
        )
    recorded = bytes(data[HEADER_START - 32 : HEADER_START])
    with memoryview(data) as view, view[HEADER_START:header_end] as header:
        found_digest = hashlib.sha256(header).digest()
    if found_digest != recorded:
        raise malformed(
            HEADER_START, found_digest.hex(), recorded.hex(), "format.header-digest"
        )
    return Layout(header_end, tuple(blobs), tuple(unknown))
