"""Data files: arrays in from ``.npy`` and ``.npz`` a stretch at a time, arrays out as ``.npz``.

A data file may come from anywhere: nothing in it is unpickled, and nothing is allocated on the
word of a header alone.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Literal, NoReturn, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as _npy

from snnir.cli.common import STDIO, write_atomically
from snnir.errors import Diagnostic, FileError, RunError
from snnir.ir.model import Model
from snnir.ir.types import format_shape

Array = npt.NDArray[Any]
Labels = Literal["no", "optional", "required"]

npy: Any = _npy
"""Has types in some versions of NumPy only."""

ONLY: Final = "x"
"""Name of the array in a data file for a model with one input, besides the input's own."""

LABELS: Final = "y"
"""Name of the array of labels in a data file, and of its samples among those opened."""

_NPY: Final = b"\x93NUMPY"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_PIECE: Final = 1 << 24


def _fail(where: str, found: str, allowed: str, hint: str = "") -> NoReturn:
    raise FileError(Diagnostic("file.data", where, found, allowed, hint))


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """What NumPy and zipfile say of bad data, as an error of this library."""
    try:
        yield
    except FileError:
        raise
    except MemoryError:
        _fail(where, "more numbers than there is memory for", "an array that fits into memory")
    except Exception as error:  # their readers raise whatever comes up
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        _fail(where, reason, "a whole NumPy array")


@dataclass
class Samples:
    """One array of a data file, read a stretch of samples at a time, from the first on.

    Attributes:
        where: The place, for messages.
        shape: Its shape; the first axis counts samples.
        dtype: Its NumPy type.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _stream: BinaryIO = field(repr=False)
    _fortran_order: bool = False
    _whole: Array | None = field(default=None, repr=False)
    _done: int = field(default=0, repr=False)

    def read(self, count: int) -> Array:
        """The next ``count`` samples.

        Raises:
            FileError: If the file ends before.
        """
        with _explained(self.where):
            if not self._fortran_order:
                return self._next((count, *self.shape[1:]))
            if self._whole is None:  # samples do not follow one another
                self._whole = self._next(self.shape[::-1]).T
        self._done += count
        return self._whole[self._done - count : self._done]

    def _next(self, shape: tuple[int, ...]) -> Array:
        size = math.prod(shape) * self.dtype.itemsize
        data = bytearray()
        while len(data) < size:
            piece = self._stream.read(min(size - len(data), _PIECE))
            if not piece:
                _fail(self.where, f"{len(data)} bytes", f"{size} bytes", "The file is cut off.")
            data += piece
        return np.ndarray(shape, self.dtype, data)


@contextlib.contextmanager
def open_samples(
    name: str, inputs: Sequence[str], *, labels: Labels = "no"
) -> Iterator[dict[str, Samples]]:
    """The arrays of a data file by the names of a model's inputs.

    Args:
        name: A ``.npy`` or ``.npz`` file (told by its content), or ``-`` for standard input.
        inputs: Names of the model's inputs. One array alone belongs to the only input; in an
            ``.npz`` it may also be called ``x``. What else the file holds is left alone.
        labels: Whether the array ``y`` is wanted, too. An input of that name keeps it.

    Raises:
        FileError: If the file is not such a file, or lacks an array.
    """
    where = "standard input" if name == STDIO else f"data file '{name}'"
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_open(name, where))
        head = file.read(len(_NPY))
        file.seek(0)
        if head == _NPY:
            if len(inputs) != 1 or labels == "required":
                names = [*inputs, *([LABELS] if labels == "required" else [])]
                _fail(where, "one array", f"an .npz file with arrays {', '.join(names)}")
            yield {inputs[0]: _samples(file, where, _size_left(file))}
        elif head[:4] in _ZIP:
            with _explained(where):
                archive = stack.enter_context(zipfile.ZipFile(file))
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            found: dict[str, Samples] = {}
            chosen = _chosen(members, inputs, where)
            if labels != "no" and LABELS not in inputs and LABELS in members:
                chosen[LABELS] = members[LABELS]
            elif labels == "required":
                _fail(where, "no array of labels", f"an array '{LABELS}' that is no input")
            for key, info in chosen.items():
                place = f"{where}, array '{info.filename.removesuffix('.npy')}'"
                with _explained(place):
                    member = stack.enter_context(archive.open(info))
                found[key] = _samples(cast(BinaryIO, member), place, info.file_size)
            yield found
        else:
            start = f"bytes {head!r}" if head else "an empty file"
            _fail(where, start, "a .npy or .npz file of NumPy")


@contextlib.contextmanager
def _open(name: str, where: str) -> Iterator[BinaryIO]:
    try:
        if name == STDIO:
            file: BinaryIO = io.BytesIO(sys.stdin.buffer.read())
        else:
            file = open(name, "rb")  # noqa: SIM115
            if not file.seekable():
                file = io.BytesIO(file.read())
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise FileError(Diagnostic("file.unreadable", where, reason, "a readable file")) from error
    with file:
        yield file


def _size_left(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def _chosen(
    members: Mapping[str, zipfile.ZipInfo], inputs: Sequence[str], where: str
) -> dict[str, zipfile.ZipInfo]:
    if len(inputs) == 1 and inputs[0] not in members and ONLY in members:
        return {inputs[0]: members[ONLY]}
    missing = [key for key in inputs if key not in members]
    if missing:
        allowed = "arrays " + ", ".join(f"'{key}'" for key in inputs)
        if len(inputs) == 1:
            allowed = f"an array '{inputs[0]}' or '{ONLY}'"
        found = ", ".join(f"'{key}'" for key in list(members)[:8]) or "no array"
        _fail(where, found, allowed)
    return {key: members[key] for key in inputs}


def _samples(file: BinaryIO, where: str, size: int) -> Samples:
    """The array that a ``.npy`` stream of ``size`` bytes holds."""
    with _explained(where), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about headers that Python 2 wrote
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, fortran_order, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran_order, dtype = npy.read_array_header_2_0(file)
        else:
            _fail(where, f".npy version {version[0]}.{version[1]}", "version 1.0 or 2.0")
        if dtype.hasobject or dtype.kind not in "biuf":
            _fail(where, f"NumPy type {dtype}", "numbers", "Save the array with a numeric type.")
        if not shape or min(shape) < 0:
            _fail(where, f"shape {format_shape(shape)}", "samples along the first axis")
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > size:
            _fail(where, f"{size} bytes for shape {format_shape(shape)}", f"{nbytes} bytes")
        return Samples(where, tuple(shape), dtype, file, bool(fortran_order))


def sample_count(model: Model, samples: Mapping[str, Samples], limit: int | None) -> int:
    """How many samples there are, or are wanted.

    Args:
        model: The model that they are for.
        samples: Its inputs' arrays, and those that go with them.
        limit: Most that are wanted.

    Raises:
        RunError: If the arrays do not fit the inputs; nothing has been read by then.
    """
    findings: list[Diagnostic] = []
    for entry in model.graph.inputs:
        shape = samples[entry.name].shape
        lead = ("samples", "steps") if entry.type.is_per_step else ("samples",)
        wanted = (*lead, *entry.type.shape)
        if len(shape) != len(wanted) or any(
            isinstance(want, int) and have != want for have, want in zip(shape, wanted, strict=True)
        ):
            found = f"shape {format_shape(shape)} in {samples[entry.name].where}"
            findings.append(
                Diagnostic("run.input", f"input '{entry.name}'", found, format_shape(wanted))
            )
    counts = {array.shape[0] for array in samples.values()}
    if not findings and len(counts) > 1:
        found = f"{sorted(counts)} samples"
        findings.append(Diagnostic("run.input", "inputs", found, "the same number"))
    if findings:
        raise RunError(findings)
    count = counts.pop()
    return count if limit is None else min(count, limit)


def write_npz(name: str, arrays: Mapping[str, Array]) -> None:
    """Write arrays as an ``.npz`` file, whole or not at all. Equal arrays give equal bytes.

    Unlike ``numpy.savez`` this takes any name: ``h:spikes`` and ``block/h`` become members of
    the archive as they are, and ``numpy.load(file)["h:spikes"]`` finds them.

    Raises:
        FileError: If it cannot be written; a file that was there is unchanged.
    """

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for key, array in arrays.items():
                info = zipfile.ZipInfo(f"{key}.npy")
                with archive.open(info, "w", force_zip64=True) as member:
                    npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)

    write_atomically(name, write)
