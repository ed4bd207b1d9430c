"""Writing files so that bad luck never costs one that was there."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from snnir.errors import Diagnostic, FileError

_BUFFER: Final = 1 << 18


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a new file that replaces ``path`` once it is complete.

    Symbolic links stay links, and permissions are kept. A device is written directly.

    Args:
        path: Where to.
        write: Writes to a seekable stream.

    Raises:
        FileError: If it cannot be written; a file that was there is unchanged.
    """
    name = os.fsdecode(path)
    try:
        mode = file_mode(name)
        if mode is None or stat.S_ISREG(mode):
            with _replacing(os.path.realpath(name), mode) as file:
                write(file)
        elif stat.S_ISDIR(mode):
            raise OSError(0, "is a directory")
        else:
            content = io.BytesIO()
            write(content)
            with open(name, "wb") as device:
                device.write(content.getbuffer())
    except OSError as error:
        raise FileError(
            Diagnostic("file.unwritable", f"file '{name}'", reason(error), "a writable file")
        ) from error


def require_writable(path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Find out, without a trace, that something can be written there later.

    Args:
        path: Where to.
        folder: Whether a folder will be written instead of a file.

    Raises:
        FileError: If not.
    """
    name = os.fsdecode(path)
    try:
        mode = file_mode(name)
        if mode is not None and stat.S_ISDIR(mode) != folder:
            raise OSError(0, "is no directory" if folder else "is a directory")
        if mode is None or stat.S_ISREG(mode) or folder:
            inside = os.path.join(os.path.dirname(os.path.realpath(name)), secrets.token_hex(8))
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os.unlink(inside)
    except OSError as error:
        allowed = "a writable folder" if folder else "a writable file"
        raise FileError(
            Diagnostic("file.unwritable", f"file '{name}'", reason(error), allowed)
        ) from error


def reason(error: OSError) -> str:
    """What went wrong, in a few words."""
    return (error.strerror or str(error)).lower()


def file_mode(name: str) -> int | None:
    """Kind and permissions of what there is under a name; None if nothing is.

    Raises:
        OSError: If that cannot be told.
    """
    try:
        return os.stat(name).st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OSError(0, f"not a file name: {error}") from error


@contextlib.contextmanager
def _replacing(final: str, mode: int | None) -> Iterator[BinaryIO]:
    """A new file that replaces ``final`` if all goes well, and vanishes otherwise.

    Args:
        final: A path without symbolic links.
        mode: The mode of the file that is there, or None. It is kept.
    """
    folder, name = os.path.split(final)
    temporary = os.path.join(folder, f".{name[:32]}.{secrets.token_hex(8)}")
    permissions = 0o666 if mode is None else stat.S_IMODE(mode)

    def create(path: str, flags: int) -> int:
        return os.open(path, flags, permissions & 0o777)

    try:
        with open(temporary, "xb", buffering=_BUFFER, opener=create) as file:
            yield file
        if mode is not None:
            os.chmod(temporary, permissions)
        os.replace(temporary, final)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
