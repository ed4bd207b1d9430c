"""Arrays in from ``.npy`` and ``.npz`` a stretch at a time, arrays out as ``.npz``.

A data file may come from anywhere: nothing in it is unpickled, and nothing is allocated on the
word of a header alone.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn, Protocol, cast

import numpy as np
import numpy.typing as npt
from numpy.lib import format as _npy

from snnir.errors import Diagnostic, FileError
from snnir.ir.types import format_shape

Array = npt.NDArray[Any]

npy: Any = _npy
"""Has types in some versions of NumPy only."""

NPY: Final = b"\x93NUMPY"
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""What files begin with."""

_PIECE: Final = 1 << 24
_LOCAL_HEADER: Final = 30
"""Bytes of a zip member's own header, before its name."""


def fail(where: str, found: str, allowed: str, hint: str = "") -> NoReturn:
    """Refuse a data file.

    Raises:
        FileError: Always.
    """
    raise FileError(Diagnostic("file.data", where, found, allowed, hint))


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """What NumPy and zipfile say of bad data, as an error of this library."""
    try:
        yield
    except FileError:
        raise
    except MemoryError:
        fail(where, "more numbers than there is memory for", "an array that fits into memory")
    except Exception as error:  # their readers raise whatever comes up
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        fail(where, reason, "a whole NumPy array")


@contextlib.contextmanager
def readable(where: str) -> Iterator[None]:
    """What the system says of a file that cannot be read, as an error of this library."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise FileError(Diagnostic("file.unreadable", where, reason, "a readable file")) from error


def open_file(path: str | os.PathLike[str], where: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
        FileError: If it cannot be opened.
    """
    with readable(where):
        return open(path, "rb")


class Samples(Protocol):
    """One array of a data file, read a stretch of samples at a time, from the first on.

    Attributes:
        where: The place, for messages.
        shape: Its shape; the first axis counts samples.
        dtype: Its NumPy type.
        dt: Length of a step in seconds, if the file says so.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dt: float | None

    def read(self, count: int) -> Array:
        """The next ``count`` samples.

        Raises:
            FileError: If the file ends before.
        """


class Header(NamedTuple):
    """What the head of a ``.npy`` stream says."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO, where: str, size: int) -> Header:
    """The head of a ``.npy`` stream of ``size`` bytes, which is left at the array's first byte.

    Raises:
        FileError: If it is damaged, or the array is not one of numbers.
    """
    with explained(where), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about headers that Python 2 wrote
        version = npy.read_magic(file)
        if version == (1, 0):
            header = Header(*npy.read_array_header_1_0(file))
        elif version == (2, 0):
            header = Header(*npy.read_array_header_2_0(file))
        else:
            fail(where, f".npy version {version[0]}.{version[1]}", "version 1.0 or 2.0")
        if header.dtype.hasobject or header.dtype.kind not in "biuf":
            hint = "Save the array with a numeric type."
            fail(where, f"NumPy type {header.dtype}", "numbers", hint)
        if min(header.shape, default=0) < 0:
            fail(where, f"shape {format_shape(header.shape)}", "a shape without negative numbers")
        if header.nbytes > size:
            shape = format_shape(header.shape)
            fail(where, f"{size} bytes for shape {shape}", f"{header.nbytes} bytes")
        return header


def read_bytes(file: BinaryIO, where: str, size: int) -> bytearray:
    """``size`` bytes; memory grows only as they come.

    Raises:
        FileError: If the stream ends before.
    """
    data = bytearray()
    while len(data) < size:
        piece = file.read(min(size - len(data), _PIECE))
        if not piece:
            fail(where, f"{len(data)} bytes", f"{size} bytes", "The file is cut off.")
        data += piece
    return data


@dataclass
class ArraySamples:
    """Samples of an array; see :class:`Samples`."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _stream: BinaryIO = field(repr=False)
    _fortran_order: bool = False
    _whole: Array | None = field(default=None, repr=False)
    _done: int = field(default=0, repr=False)
    dt: float | None = None

    def read(self, count: int) -> Array:
        """The next ``count`` samples.

        Raises:
            FileError: If the file ends before.
        """
        with explained(self.where):
            if not self._fortran_order:
                return self._next((count, *self.shape[1:]))
            if self._whole is None:  # samples do not follow one another
                self._whole = self._next(self.shape[::-1]).T
        self._done += count
        return self._whole[self._done - count : self._done]

    def _next(self, shape: tuple[int, ...]) -> Array:
        data = read_bytes(self._stream, self.where, math.prod(shape) * self.dtype.itemsize)
        return np.ndarray(shape, self.dtype, data)


def array_samples(file: BinaryIO, where: str, size: int) -> ArraySamples:
    """The samples of the array that a ``.npy`` stream of ``size`` bytes holds.

    Raises:
        FileError: If it holds none.
    """
    header = read_header(file, where, size)
    if not header.shape:
        fail(where, f"shape {format_shape(header.shape)}", "samples along the first axis")
    return ArraySamples(where, header.shape, header.dtype, file, header.fortran_order)


class Archive:
    """An ``.npz`` file: its arrays by name, none of them read before it is asked for."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.where = where
        self._file = file
        with explained(where):
            self._zip = zipfile.ZipFile(file)
            self.members = {
                info.filename.removesuffix(".npy"): info for info in self._zip.infolist()
            }

    def place(self, name: str) -> str:
        """What to call an array in messages."""
        return f"{self.where}, array '{name}'"

    def open(self, name: str) -> BinaryIO:
        """The ``.npy`` stream of an array.

        Raises:
            FileError: If it is damaged or encrypted.
        """
        with explained(self.place(name)):
            return cast(BinaryIO, self._zip.open(self.members[name]))

    def header(self, name: str) -> Header:
        """Shape and type of an array.

        Raises:
            FileError: If it is damaged or not one of numbers.
        """
        with self.open(name) as stream:
            return read_header(stream, self.place(name), self.members[name].file_size)

    def array(self, name: str) -> Array:
        """An array in C order: mapped where the archive stores it as it is, otherwise read.

        Raises:
            FileError: If it is damaged.
        """
        info, where = self.members[name], self.place(name)
        with self.open(name) as stream:
            header = read_header(stream, where, info.file_size)
            start = stream.tell()
            number = _descriptor(self._file)
            if info.compress_type == zipfile.ZIP_STORED and number is not None and header.nbytes:
                with explained(where):
                    mapped = self._mapped(info, start, header)
                    self._check_sum(stream, info, where, start)
                return mapped
            data = read_bytes(stream, where, header.nbytes)
            with explained(where):
                if stream.read(1):  # also compares the checksum
                    fail(where, "more bytes", f"{header.nbytes} bytes")
            order: Any = "F" if header.fortran_order else "C"
            return np.asarray(np.ndarray(header.shape, header.dtype, data, order=order), order="C")

    def _mapped(self, info: zipfile.ZipInfo, start: int, header: Header) -> Array:
        self._file.seek(info.header_offset)
        local = self._file.read(_LOCAL_HEADER)
        skipped = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        offset = info.header_offset + _LOCAL_HEADER + skipped + start
        order: Any = "F" if header.fortran_order else "C"
        return np.memmap(cast(Any, self._file), header.dtype, "r", offset, header.shape, order)

    def _check_sum(self, stream: BinaryIO, info: zipfile.ZipInfo, where: str, start: int) -> None:
        """Read a member to its end, where its checksum is compared."""
        left = info.file_size - start
        while left:
            piece = stream.read(min(left, _PIECE))
            if not piece:
                fail(where, f"{info.file_size - left} bytes", f"{info.file_size} bytes")
            left -= len(piece)
        stream.read(1)


def _descriptor(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except OSError:
        return None


def npz_writer(arrays: Mapping[str, npt.ArrayLike]) -> Callable[[BinaryIO], None]:
    """What writes arrays as an ``.npz`` file to a seekable stream; equal arrays, equal bytes.

    Unlike ``numpy.savez`` this takes any name: ``h:spikes`` and ``block/h`` become members of
    the archive as they are, and ``numpy.load(file)["h:spikes"]`` finds them.
    """

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for key, array in arrays.items():
                info = zipfile.ZipInfo(f"{key}.npy")
                with archive.open(info, "w", force_zip64=True) as member:
                    npy.write_array(member, np.asarray(array, order="C"), allow_pickle=False)

    return write
