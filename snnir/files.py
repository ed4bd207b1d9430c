"""Writing files so that bad luck never costs one that was there."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
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
    with staged(path, write):
        pass


@contextlib.contextmanager
def staged(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> Iterator[None]:
    """A file that is complete before the block, and takes its place only if the block succeeds.

    Symbolic links stay links, and permissions are kept. A device is written directly, before
    the block.

    Args:
        path: Where to.
        write: Writes to a seekable stream.

    Raises:
        FileError: If it cannot be written; a file that was there is unchanged.
    """
    name = os.fsdecode(path)
    final = temporary = ""
    with _explained(name):
        mode = file_mode(name)
        if mode is None or stat.S_ISREG(mode):
            final = os.path.realpath(name)
            temporary = _complete(final, mode, write)
        elif stat.S_ISDIR(mode):
            raise OSError(0, "is a directory")
        else:
            content = io.BytesIO()
            write(content)
            with open(name, "wb") as device:
                device.write(content.getbuffer())
    try:
        yield
        if temporary:
            with _explained(name):
                os.replace(temporary, final)
    except BaseException:
        _discard(temporary)
        raise


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(
            Diagnostic("file.unwritable", f"file '{name}'", reason(error), "a writable file")
        ) from error


def write_folder(
    path: str | os.PathLike[str],
    write: Callable[[str], object],
    *,
    is_ours: Callable[[str], bool],
) -> None:
    """Let ``write`` fill a new folder that replaces ``path`` once it is complete.

    Args:
        path: Where to.
        write: Is given the path of an empty folder and puts files into it.
        is_ours: Whether a folder that is not empty may go: whether all in it can be made again.

    Raises:
        FileError: If it cannot be written, or holds something else; what was there is unchanged.
    """
    name = os.fsdecode(path)
    temporary = ""
    try:
        mode = file_mode(name)
        if mode is not None and not stat.S_ISDIR(mode):
            raise OSError(0, "is no directory")
        final = os.path.realpath(name)
        if mode is not None and os.listdir(final) and not is_ours(final):
            raise OSError(0, "holds files that were not written with it")
        parent, last = os.path.split(final)
        temporary = os.path.join(parent, f".{last[:32]}.{secrets.token_hex(8)}")
        os.mkdir(temporary)
        write(temporary)
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
            _replace_folder(temporary, final)
        else:
            os.rename(temporary, final)
    except OSError as error:
        allowed = "a writable folder, new, empty or written by the same target"
        raise FileError(
            Diagnostic("file.unwritable", f"folder '{name}'", reason(error), allowed)
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: str, final: str) -> None:
    """Put a folder where another one is, or leave that one there."""
    before = f"{new}.before"
    os.rename(final, before)
    try:
        os.rename(new, final)
    except BaseException:
        os.rename(before, final)
        raise
    shutil.rmtree(before, ignore_errors=True)


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


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two names stand for one file, by links of any kind; it need not exist yet.

    Devices are not files in this sense: writing one twice costs nothing.
    """
    try:
        if not os.path.exists(one) and not os.path.exists(other):
            return os.path.realpath(one) == os.path.realpath(other)
        mode = file_mode(os.fsdecode(one))
        return mode is not None and stat.S_ISREG(mode) and os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _complete(final: str, mode: int | None, write: Callable[[BinaryIO], object]) -> str:
    """The name of a new file beside ``final``, written and closed; none is left on failure.

    Args:
        final: A path without symbolic links.
        mode: The mode of the file that is there, or None. It is kept.
        write: Writes it.
    """
    folder, name = os.path.split(final)
    temporary = os.path.join(folder, f".{name[:32]}.{secrets.token_hex(8)}")
    permissions = 0o666 if mode is None else stat.S_IMODE(mode)

    def create(path: str, flags: int) -> int:
        return os.open(path, flags, permissions & 0o777)

    try:
        with open(temporary, "xb", buffering=_BUFFER, opener=create) as file:
            write(file)
        if mode is not None:
            os.chmod(temporary, permissions)
    except BaseException:
        _discard(temporary)
        raise
    return temporary


def _discard(temporary: str) -> None:
    if temporary:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
