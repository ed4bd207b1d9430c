"""Reading and writing model files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import mmap
import os
import secrets
import stat
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, cast

from snnir import limits
from snnir.errors import Diagnostic, FileError, SnnirWarning
from snnir.ir.model import Model
from snnir.serde import wire
from snnir.serde.decode import Decoder
from snnir.serde.encode import BlobTable, blob_references, encode_model

_BUFFER: Final = 1 << 18
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
    name = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise OSError(0, "not a regular file")
        with open(name, "rb") as file:
            empty = not os.fstat(file.fileno()).st_size
            data: wire.Buffer = (
                b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            )
    except (OSError, ValueError) as error:
        raise FileError(
            Diagnostic("file.unreadable", f"file '{name}'", _reason(error), "a readable file")
        ) from error
    return _decode(data, len(data))


def loads(data: bytes) -> Model:
    """Read a model from bytes in memory.

    Raises:
        FormatError: If they are not a well-formed model.
        UnsupportedVersion: If they need a newer version of this library.
    """
    return _decode(data, len(data))


def _decode(data: wire.Buffer, size: int) -> Model:
    layout = wire.scan(data, size)
    header = bytes(data[wire.HEADER_START : layout.header_end])
    model = Decoder(data, layout).decode(header)
    for finding in model.findings:
        warnings.warn(str(finding), SnnirWarning, stacklevel=4)
    return model


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


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
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            if target.is_dir():
                raise OSError(0, "is a directory")
            with open(target, "wb") as device:
                device.write(to_bytes(model))
        else:
            with _replacing(target) as file:
                write(model, file, digests=digests)
    except OSError as error:
        raise FileError(
            Diagnostic("file.unwritable", f"file '{target}'", _reason(error), "a writable file")
        ) from error


def to_bytes(model: Model) -> bytes:
    """The file as bytes. Equal models give equal bytes.

    Raises:
        ModelError: If the model holds something that the format cannot say.
    """
    buffer = io.BytesIO()
    write(model, buffer)
    return buffer.getvalue()


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A new file that replaces ``target`` if all goes well, and vanishes otherwise."""
    final = target.resolve()
    temporary = final.with_name(f".{final.name[:64]}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb", buffering=_BUFFER) as file:
            yield cast(BinaryIO, file)
        if final.exists():
            os.chmod(temporary, stat.S_IMODE(final.stat().st_mode))
        os.replace(temporary, final)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


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
    references = blob_references(message)
    empty = bytes(hashlib.sha256().digest_size) if digests else b""
    for reference in references:
        reference.sha256 = empty
    header = message.SerializeToString(deterministic=True)
    start = file.tell()
    file.write(wire.preamble(header))
    file.write(header)
    found = _write_blobs(blobs, file, start, digests)
    if not (digests and references):
        return
    for reference in references:
        reference.sha256 = found[reference.index]
    header = message.SerializeToString(deterministic=True)
    end = file.tell()
    file.seek(start)
    file.write(wire.preamble(header))
    file.write(header)
    file.seek(end)


def _write_blobs(blobs: BlobTable, file: BinaryIO, start: int, digests: bool) -> list[bytes]:
    """Write all blobs; returns their digests."""
    found: list[bytes | Future[bytes]] = []
    with ThreadPoolExecutor(1) as aside:
        for tensor in blobs.tensors:
            with tensor.raw() as raw:
                if digests:
                    if tensor.recorded_sha256 or tensor.nbytes < _HASH_ASIDE:
                        found.append(tensor.sha256())
                    else:
                        found.append(aside.submit(tensor.sha256))
                file.write(wire.blob_prefix(file.tell() - start, tensor.nbytes))
                file.write(raw)
    return [digest if isinstance(digest, bytes) else digest.result() for digest in found]
