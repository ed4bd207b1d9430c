"""The `.keras` archive: a zip file, read member by member and never unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from snnir.errors import Diagnostic, FileError, FormatError, SnnirError
from snnir_converters.keras._json import fail

CONFIG: Final = "config.json"
METADATA: Final = "metadata.json"
WEIGHTS: Final = "model.weights.h5"

MAX_CONFIG_BYTES: Final = 1 << 28
MAX_METADATA_BYTES: Final = 1 << 20
MAX_MEMBERS: Final = 1 << 16

MAX_EXPANSION: Final = 1032
"""Deflate makes data at most this much shorter."""

_ENCRYPTED: Final = 0x1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """An open archive whose list of members has been found sound."""

    def __init__(self, file: zipfile.ZipFile, name: str) -> None:
        self._file = file
        self._name = name
        self._members: dict[str, zipfile.ZipInfo] = {}
        infos = file.infolist()
        if len(infos) > MAX_MEMBERS:
            fail(name, f"{len(infos)} members", f"{MAX_MEMBERS} members", "keras.limit")
        for info in infos:
            self._check(info)
            if info.filename in self._members:
                fail(name, f"'{info.filename[:80]}' twice", "each member once", "keras.archive")
            self._members[info.filename] = info

    def _check(self, info: zipfile.ZipInfo) -> None:
        path = info.filename
        where = f"{self._name}, member '{path[:80]}'"
        # ZipInfo cuts a name at a zero byte; two readers would see two names.
        if path != info.orig_filename or path.startswith("/") or "\\" in path or ":" in path:
            fail(where, "a name that is not plain", "a relative path", "keras.archive")
        if ".." in path.split("/"):
            fail(where, "a path that leaves the archive", "a relative path", "keras.archive")
        if info.flag_bits & _ENCRYPTED:
            fail(where, "an encrypted member", "a plain one", "keras.archive")
        if info.compress_type not in _METHODS:
            fail(where, f"compression {info.compress_type}", "none, or deflate", "keras.archive")
        if info.file_size > (info.compress_size + 1) * MAX_EXPANSION:
            found = f"{info.compress_size} bytes that claim to be {info.file_size}"
            fail(where, found, "what deflate can do", "keras.archive")

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def read(self, path: str, limit: int) -> bytes:
        """The content of a member; its checksum is compared.

        Args:
            path: Name of the member.
            limit: Most bytes that it may have.

        Raises:
            FormatError: If it is absent, damaged or too large.
        """
        where = f"{self._name}, member '{path}'"
        info = self._members.get(path)
        if info is None:
            fail(where, "nothing", "the member", "keras.archive")
        if info.file_size > limit:
            fail(where, f"{info.file_size} bytes", f"{limit} bytes", "keras.limit")
        with _translated(where), self._file.open(info) as member:
            content = member.read(info.file_size)
            if len(content) != info.file_size or member.read(1):
                fail(where, "another length", f"{info.file_size} bytes", "keras.archive")
        return content


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a `.keras` file.

    Raises:
        FileError: If it cannot be read.
        FormatError: If it is not a sound zip file.
    """
    name = f"'{path}'"
    try:
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(Diagnostic("file.unreadable", name, reason, "a readable file")) from error
    with stream:
        with _translated(name):
            file = zipfile.ZipFile(stream)
            archive = Archive(file, name)
        yield archive


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Whatever :mod:`zipfile` raises becomes a :class:`FormatError`."""
    try:
        yield
    except SnnirError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise FormatError(
            Diagnostic("keras.archive", where, f"{type(error).__name__}: {text}", "a zip file")
        ) from error
