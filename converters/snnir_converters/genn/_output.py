"""What GeNN, make and compilers print: kept away from the user, and in hand if they fail."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any


@contextlib.contextmanager
def captured() -> Iterator[Any]:
    """What GeNN, make and the compiler print goes to a file, whose text the function returns.

    They write to the process's file descriptors, so these are turned for the time being; one
    that is closed is closed again afterwards.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    closed = _opened_if_closed((1, 2))
    try:
        with _open_unnamed() as file:
            saved = [os.dup(1), os.dup(2)]
            try:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)

                def text() -> str:
                    file.seek(0)
                    return file.read().decode(errors="replace")

                yield text
            finally:
                for number, descriptor in zip((1, 2), saved, strict=True):
                    os.dup2(descriptor, number)
                    os.close(descriptor)
    finally:
        for number in closed:
            os.close(number)


def _open_unnamed() -> IO[bytes]:
    """A file that no disk has to have room for, where the system has such files."""
    if sys.platform == "linux":
        return open(os.memfd_create("snnir"), "w+b")
    return tempfile.TemporaryFile()


def _opened_if_closed(numbers: Iterable[int]) -> list[int]:
    """Open those of these file descriptors that are closed, for nothing; they are returned."""
    closed = []
    for number in numbers:
        try:
            os.fstat(number)
        except OSError:
            closed.append(number)
    for number in closed:
        nothing = os.open(os.devnull, os.O_WRONLY)
        if nothing != number:
            os.dup2(nothing, number)
            os.close(nothing)
    return closed
