"""Reading and writing model files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import mmap
import os
import stat
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final

from google.protobuf.message import EncodeError, Message

from snnir import limits
from snnir.errors import Diagnostic, FileError, ModelError, SnnirWarning
from snnir.files import file_mode, reason, write_atomically
from snnir.ir.model import Model
from snnir.serde import wire
from snnir.serde.decode import Decoder
from snnir.serde.encode import BlobTable, encode_model

_RESERVE: Final = 1 << 20
"""For a file of at least this many bytes room is asked for beforehand."""

_HASH_ASIDE: Final = 1 << 20
"""A tensor of at least this many bytes is hashed on another thread."""


def load(path: str | os.PathLike[str]) -> Model:
    """Open a model file.

    The header is read and checked against its digest; weights stay in the file, mapped, until
    they are asked for. Their digests are compared by :func:`snnir.check` and ``Tensor.verify``.
    The file must not be changed in place while the model is in use.

    Args:
        path: A file.

    Raises:
        FileError: If the file cannot be read.
        FormatError: If it is not a well-formed model.
        UnsupportedVersion: If it needs a newer version of this library.
    """
    name = os.fsdecode(path)
    try:
        mode = file_mode(name)
        if mode is None:
            raise OSError(0, "no such file")
        if not stat.S_ISREG(mode):
            raise OSError(0, "is a directory" if stat.S_ISDIR(mode) else "is not a regular file")
        with open(name, "rb", buffering=0) as file:
            empty = not os.fstat(file.fileno()).st_size
            data: wire.Buffer = (
                b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            )

            def read(offset: int, count: int) -> bytes:
                file.seek(offset)
                return file.read(count)

            layout = wire.scan(read, len(data))
    except OSError as error:
        raise FileError(
            Diagnostic("file.unreadable", f"file '{name}'", reason(error), "a readable file")
        ) from error
    return _decode(data, layout)


def loads(data: bytes) -> Model:
    """Read a model from bytes in memory.

    Raises:
        FormatError: If they are not a well-formed model.
        UnsupportedVersion: If they need a newer version of this library.
    """
    held = bytes(data)
    layout = wire.scan(lambda offset, count: held[offset : offset + count], len(held))
    return _decode(held, layout)


def _decode(data: wire.Buffer, layout: wire.Layout) -> Model:
    model = Decoder(data, layout).decode(layout.header)
    for finding in model.findings:
        warnings.warn(str(finding), SnnirWarning, stacklevel=3)
    return model


def save(model: Model, path: str | os.PathLike[str], *, digests: bool = True) -> None:
    """Write a model file. What was at ``path`` stays whole until the new file is complete.

    Weights are streamed from where they are; no second copy is made.

    Args:
        model: The model. It is written as it is; :func:`snnir.check` tells whether it is valid.
        path: Where to. ``model`` may have been opened from there.
        digests: Whether large tensors get a SHA-256. It is computed on another thread while
            the file is written, and is what takes the time for large models.

    Raises:
        FileError: If the file cannot be written; what was there is unchanged.
        ModelError: If the model holds something that the format cannot say.
    """
    write_atomically(path, lambda file: write(model, file, digests=digests))


def to_bytes(model: Model, *, digests: bool = True) -> bytes:
    """The file as bytes. Equal models give equal bytes.

    Args:
        model: The model.
        digests: Whether large tensors get a SHA-256.

    Raises:
        ModelError: If the model holds something that the format cannot say.
    """
    buffer = io.BytesIO()
    write(model, buffer, digests=digests)
    return buffer.getvalue()


def write(model: Model, file: BinaryIO, *, digests: bool = True) -> None:
    """Write a model to a seekable stream.

    The header precedes the weights but holds their digests: it is written with room for them,
    and once more when the weights have been written and hashed.

    Raises:
        ModelError: If the model holds something that the format cannot say.
        OSError: If the stream cannot be written.
    """
    blobs = BlobTable()
    message = encode_model(model, blobs)
    references = blobs.references
    empty = bytes(hashlib.sha256().digest_size) if digests else b""
    for reference in references:
        reference.sha256 = empty
    header = _serialize(message)
    start = file.tell()
    _reserve(file, start, wire.HEADER_START + len(header), blobs)
    file.write(wire.preamble(header))
    file.write(header)
    found = _write_blobs(blobs, file, start, digests)
    if not (digests and references):
        return
    for reference in references:
        reference.sha256 = found[reference.index]
    header = _serialize(message)
    end = file.tell()
    file.seek(start)
    file.write(wire.preamble(header))
    file.write(header)
    file.seek(end)


def _reserve(file: BinaryIO, start: int, size: int, blobs: BlobTable) -> None:
    """Ask the file system for the room that the file will take, which makes writing faster."""
    for tensor in blobs.tensors:
        size += len(wire.blob_prefix(size, tensor.nbytes)) + tensor.nbytes
    if size >= _RESERVE and hasattr(os, "posix_fallocate"):
        with contextlib.suppress(OSError):  # if there is no room, writing will tell
            os.posix_fallocate(file.fileno(), start, size)


def _serialize(message: Message) -> bytes:
    size = -1
    with contextlib.suppress(EncodeError, ValueError):  # what protobuf says above 2 GiB
        header = message.SerializeToString(deterministic=True)
        if (size := len(header)) <= limits.MAX_HEADER_BYTES:
            return header
    found = "more than 2 GiB" if size < 0 else f"{size} bytes"
    raise ModelError(
        Diagnostic("format.limit", "header", found, f"at most {limits.MAX_HEADER_BYTES} bytes")
    )


def _write_blobs(blobs: BlobTable, file: BinaryIO, start: int, digests: bool) -> list[bytes]:
    """Write all blobs; returns their digests."""
    if len(blobs.tensors) > limits.MAX_BLOBS:
        raise ModelError(
            Diagnostic(
                "format.limit", "model", f"{len(blobs.tensors)} blobs", f"{limits.MAX_BLOBS}"
            )
        )
    found: list[bytes | Future[bytes]] = []
    aside = ThreadPoolExecutor(1)
    try:
        for tensor, known in zip(blobs.tensors, blobs.digests, strict=True):
            if digests:
                digest = tensor.recorded_sha256 or known
                if digest or tensor.nbytes < _HASH_ASIDE:
                    found.append(digest or tensor.sha256())
                else:
                    found.append(aside.submit(tensor.sha256))
            file.write(wire.blob_prefix(file.tell() - start, tensor.nbytes))
            with tensor.raw() as raw:
                file.write(raw)
        return [digest if isinstance(digest, bytes) else digest.result() for digest in found]
    finally:
        aside.shutdown(cancel_futures=True)
