"""The only opener of HDF5 in this project: reading is guarded, writing is whole or not at all.

An HDF5 file can make its reader open other files, run plugins, allocate any amount of memory or
follow links without end. What is read through this module does none of that:

- links other than plain (hard) ones are not followed, and no group contains itself;
- data must lie in the file, all of it: no external storage, virtual or unwritten data;
- elements are numbers, strings or lists of numbers, never references, objects or compounds;
- strings and lists of variable length are taken from their heaps here: HDF5 does not return from
  damaged heaps, and allocates whatever length a reference claims;
- compressed data is decompressed here, never by HDF5's filters, and never beyond its size;
- sizes are added up before anything is allocated.

Everything that fails is a :class:`~snnir.errors.SnnirError`.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FileError, FormatError, MissingDependency, SnnirError
from snnir.files import write_atomically

Array = npt.NDArray[Any]

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
"""What an HDF5 file starts with."""

MAX_BYTES: Final = 1 << 34
"""Most that may be read from one file, unless the caller says otherwise."""

MAX_OBJECTS: Final = 1 << 20
"""Groups and datasets that may be visited, and entries that a group may have."""

MAX_DEPTH: Final = 64
"""Groups within groups."""

MAX_RANK: Final = 16
MAX_CHUNKS: Final = 1 << 22

_HEAP: Final = b"GCOL\x01"
"""What a heap of strings and lists starts with."""

_HEAP_HEADER: Final = 16

_REFERENCE: Final = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
"""What leads to a string or list: its length, the address of a heap, its number there."""

Kind = Literal["numbers", "text", "variable text", "lists"]
"""What the elements of a dataset or attribute are."""

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10

_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_FILTERS: Final = {_DEFLATE: "gzip", _SHUFFLE: "shuffle", _FLETCHER32: "fletcher32"}


@contextmanager
def open_hdf5(
    source: str | os.PathLike[str] | bytes,
    *,
    name: str = "",
    max_bytes: int = MAX_BYTES,
    extra: str = "keras",
) -> Iterator[Group]:
    """Open an HDF5 file for guarded reading.

    Args:
        source: Path of the file, or its content.
        name: What to call the file in messages; by default its path.
        max_bytes: Most that may be read from it.
        extra: The extra of this project that installs h5py, for the message if it is absent.

    Yields:
        The root group. It cannot be used after the context has ended.

    Raises:
        MissingDependency: If h5py is not installed.
        FileError: If the file cannot be read.
        FormatError: If the file is damaged or holds something that is not allowed.
    """
    h5py = _h5py(extra)
    if isinstance(source, bytes):
        yield from _open(h5py, io.BytesIO(source), len(source), name or "HDF5 data", max_bytes)
        return
    path = Path(os.fspath(source))
    name = name or f"'{path}'"
    try:
        file = path.open("rb")
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(Diagnostic("file.unreadable", name, reason, "a readable file")) from error
    with file:
        yield from _open(h5py, file, size, name, max_bytes)


def _open(h5py: Any, file: IO[bytes], size: int, name: str, max_bytes: int) -> Iterator[Group]:
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise FormatError(
            Diagnostic("hdf5.malformed", name, "no HDF5 signature", "a file in HDF5 format")
        )
    file.seek(0)
    guard = _Guard(h5py, file, size, name, max_bytes)
    with guard.reading("/"):
        opened = h5py.File(file, "r")
    try:
        with guard.reading("/"):
            sizes = opened.id.get_create_plist().get_sizes()
            if tuple(sizes) != (8, 8):
                guard.fail("hdf5.malformed", "/", f"addresses of {sizes} bytes", "8 bytes")
            root = opened["/"]
        yield Group(guard, root, "/", ())
    finally:
        with guard.reading("/"):
            opened.close()


def write_hdf5(
    path: str | os.PathLike[str], content: Mapping[str, npt.ArrayLike | bytes], *, extra: str
) -> None:
    """Write an HDF5 file, whole or not at all; the same content gives the same bytes.

    Args:
        path: Where to.
        content: Datasets by their path in the file.
        extra: The extra of this project that installs h5py, for the message if it is absent.

    Raises:
        MissingDependency: If h5py is not installed.
        FileError: If the file cannot be written; one that was there is unchanged.
    """
    h5py = _h5py(extra)
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="earliest") as file:
        for name, value in content.items():
            file.create_dataset(name, data=value, track_times=False)
    write_atomically(path, lambda file: file.write(stream.getbuffer()))


def _h5py(extra: str) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "HDF5 files",
                "no package 'h5py'",
                "h5py installed",
                hint=f'pip install "snnir[{extra}]"',
            )
        ) from error
    return h5py


class _Guard:
    """What all objects of one open file share: its limits and how errors are told."""

    def __init__(self, h5py: Any, file: IO[bytes], size: int, name: str, max_bytes: int) -> None:
        self.h5py = h5py
        self.file = file
        self.size = size
        self.name = name
        self.max_bytes = max_bytes
        self.bytes_read = 0
        self.objects = 0
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}
        self.attributes: dict[int, dict[bytes, bytes]] = {}
        self.header_bytes = 0

    def fail(self, code: str, path: str, found: str, allowed: str) -> NoReturn:
        raise FormatError(Diagnostic(code, f"{self.name}, {path}", found, allowed))

    def charge(self, path: str, count: int) -> None:
        """Account for bytes that are about to be allocated."""
        self.bytes_read += count
        if self.bytes_read > self.max_bytes:
            self.fail(
                "hdf5.limit",
                path,
                f"{self.bytes_read} bytes",
                f"{self.max_bytes} bytes from one file",
            )

    def visit(self, path: str) -> None:
        """Account for an object that is about to be opened."""
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            self.fail("hdf5.limit", path, "more objects", f"{MAX_OBJECTS} objects")

    def raw(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of the file as they are."""
        if not 0 <= offset <= offset + length <= self.size:
            self.fail(
                "hdf5.malformed", path, f"bytes {offset} to {offset + length}", "bytes of the file"
            )
        self.file.seek(offset)
        data = self.file.read(length)
        if len(data) != length:
            self.fail("hdf5.malformed", path, f"{len(data)} bytes", f"{length} bytes")
        return data

    def heap_strings(self, path: str, references: bytes) -> list[str]:
        """The strings that references lead to."""
        found: list[str] = []
        for length, heap, number in np.frombuffer(references, _REFERENCE).tolist():
            self.charge(path, length)
            data = self.heap_object(path, length, heap, number)
            found.append(_text(data.split(b"\0", 1)[0]))
        return found

    def heap_object(self, path: str, length: int, heap: int, number: int) -> bytes:
        """The first ``length`` bytes of an object in the heap at an address."""
        if length == 0:
            return b""
        if heap not in self.heaps:
            self.heaps[heap] = self._heap(path, heap)
        offset, size = self.heaps[heap].get(number, (0, 0))
        if length > size:
            found = f"a string or list of {length} bytes"
            self.fail("hdf5.malformed", path, found, f"{size} bytes")
        return self.raw(path, offset, length)

    def _heap(self, path: str, address: int) -> dict[int, tuple[int, int]]:
        """Where the objects of a heap are, and their sizes, by their numbers."""
        header = self.raw(path, address, _HEAP_HEADER)
        size = int.from_bytes(header[8:], "little")
        if header[:5] != _HEAP or size > self.size - address:
            self.fail("hdf5.malformed", path, f"no heap at byte {address}", "a heap")
        objects: dict[int, tuple[int, int]] = {}
        place, end = address + _HEAP_HEADER, address + size
        while place + _HEAP_HEADER <= end:
            self.visit(path)
            index, _, used = struct.unpack("<HHxxxxQ", self.raw(path, place, _HEAP_HEADER))
            step = _HEAP_HEADER + -(-used // 8) * 8 if index else used
            if not _HEAP_HEADER <= step <= end - place:
                self.fail("hdf5.malformed", path, f"{used} bytes in a heap", "what the heap has")
            if index:
                objects[index] = (place + _HEAP_HEADER, used)
            place += step
        return objects

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """Whatever the HDF5 library raises becomes a :class:`FormatError`."""
        try:
            yield
        except SnnirError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise FormatError(
                Diagnostic(
                    "hdf5.malformed",
                    f"{self.name}, {path}",
                    f"{type(error).__name__}: {text}",
                    "well-formed HDF5",
                )
            ) from error


class _Object:
    """A group or dataset."""

    def __init__(self, guard: _Guard, handle: Any, path: str) -> None:
        self._guard = guard
        self._handle = handle
        self.path = path

    def attribute(self, name: str) -> str | Array | list[str] | None:
        """The value of an attribute: a string, strings, an array, or None if it is absent.

        Raises:
            FormatError: If it is damaged, or of a type that is not allowed.
        """
        guard, place = self._guard, f"{self.path}, attribute '{name}'"
        h5py = guard.h5py
        with guard.reading(place):
            if name not in self._handle.attrs:
                return None
            attribute = h5py.h5a.open(self._handle.id, name.encode())
            type_id = attribute.get_type()
            shape = _shape(guard, place, attribute.get_space())
            kind = _check_type(guard, place, type_id)
            if kind == "lists":
                guard.fail("hdf5.type", place, "lists of variable length", "numbers or strings")
            elements = math.prod(shape)
            guard.charge(place, elements * type_id.get_size())
            if kind == "variable text":
                data = self._attribute_data(name, elements * _REFERENCE.itemsize)
                strings = guard.heap_strings(place, data)
                return strings if shape else strings[0]
            value = self._handle.attrs[name]
            if type_id.get_class() == h5py.h5t.STRING:
                strings = [_text(entry) for entry in np.asarray(value, object).reshape(-1)]
                return strings if shape else strings[0]
        return np.asarray(value)

    def _attribute_data(self, name: str, length: int) -> bytes:
        """The bytes of an attribute as the file has them, from the object's header."""
        guard, place = self._guard, f"{self.path}, attribute '{name}'"
        address = int(guard.h5py.h5o.get_info(self._handle.id).addr)
        if address not in guard.attributes:
            messages = _messages(guard, place, address)
            found = [_attribute_message(data) for kind, data in messages if kind == _ATTRIBUTE]
            guard.attributes[address] = dict(entry for entry in found if entry is not None)
        data = guard.attributes[address].get(name.encode(), b"")
        if len(data) >= length:
            return data[:length]
        guard.fail("hdf5.storage", place, "a string elsewhere", "strings in the object's header")


class Dataset(_Object):
    """A dataset: what it is can be asked without reading it."""

    def __init__(self, guard: _Guard, handle: Any, path: str) -> None:
        super().__init__(guard, handle, path)
        with guard.reading(path):
            self._type = handle.id.get_type()
            self.kind = _check_type(guard, path, self._type)
            self.shape: tuple[int, ...] = _shape(guard, path, handle.id.get_space())
            kind = self._type.get_super() if self.kind == "lists" else self._type
            self._dtype: np.dtype[Any] = kind.dtype
            # What each element takes in the file.
            variable = self.kind in ("lists", "variable text")
            self._stored: np.dtype[Any] = _REFERENCE if variable else self._dtype

    @property
    def is_text(self) -> bool:
        """Whether it holds strings."""
        return self.kind in ("text", "variable text")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an element, or of one of a list; ``V2`` for the two bytes of a bfloat16."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """Size of the array; of lists and strings of variable length without their content."""
        return math.prod(self.shape) * int(self._stored.itemsize)

    def text(self) -> str:
        """The one string that the dataset holds.

        Raises:
            FormatError: If it holds anything else.
        """
        guard = self._guard
        if not self.is_text or math.prod(self.shape) != 1:
            guard.fail("hdf5.type", self.path, f"{self._dtype} {self.shape}", "one string")
        self._check_storage()
        guard.charge(self.path, self.nbytes)
        with guard.reading(self.path):
            if self.kind == "variable text":
                return guard.heap_strings(self.path, self._contiguous())[0]
            return _text(np.asarray(self._handle[()], object).reshape(-1)[0])

    def read(self) -> Array:
        """The numbers.

        Raises:
            FormatError: If the data is damaged, not all there, too large, or not numbers.
        """
        guard = self._guard
        if self.kind != "numbers":
            guard.fail("hdf5.type", self.path, self.kind, "numbers")
        chunked = self._check_storage()
        guard.charge(self.path, self.nbytes)
        with guard.reading(self.path):
            if self.nbytes == 0:
                return np.empty(self.shape, self._dtype)
            return self._read_chunks() if chunked else np.asarray(self._handle[()])

    def lists(self) -> tuple[Array, Array]:
        """Lists of numbers, one after the other.

        Returns:
            Where each list begins in the numbers, and where the last one ends; and the numbers.

        Raises:
            FormatError: If the data is damaged, not all there, too large, or not one axis of
                lists.
        """
        guard = self._guard
        if self.kind != "lists" or len(self.shape) != 1:
            found = f"{self.kind} along {len(self.shape)} axes"
            guard.fail("hdf5.type", self.path, found, "lists along one axis")
        chunked = self._check_storage()
        guard.charge(self.path, self.nbytes)
        with guard.reading(self.path):
            references = np.empty(0, _REFERENCE)
            if self.nbytes:
                references = (
                    self._read_chunks()
                    if chunked
                    else np.frombuffer(self._contiguous(), _REFERENCE)
                )
            lengths = references["length"].astype(np.int64)
            ends = np.cumsum(lengths)
            size = int(lengths.sum()) * self._dtype.itemsize
            if size > guard.size:  # a list belongs to one reference
                found = f"lists of {size} bytes"
                guard.fail("hdf5.malformed", self.path, found, "no more than the file has")
            guard.charge(self.path, size)
            pieces = [
                guard.heap_object(self.path, length * self._dtype.itemsize, heap, number)
                for length, heap, number in references.tolist()
            ]
            return np.concatenate(([0], ends)), np.frombuffer(b"".join(pieces), self._dtype)

    def _contiguous(self) -> bytes:
        """The bytes of a contiguous dataset."""
        offset = self._handle.id.get_offset()
        if offset is None:
            self._guard.fail("hdf5.storage", self.path, f"compact {self.kind}", "contiguous data")
        return self._guard.raw(self.path, offset, self.nbytes)

    def _check_storage(self) -> bool:
        """Report data that is not all in this file; tell whether it is in chunks."""
        guard, h5d = self._guard, self._guard.h5py.h5d
        with guard.reading(self.path):
            plist = self._handle.id.get_create_plist()
            layout = plist.get_layout()
            if plist.get_external_count():
                guard.fail("hdf5.storage", self.path, "external storage", "data in the file")
            if layout == h5d.CHUNKED:
                if self.is_text:
                    guard.fail("hdf5.storage", self.path, "strings in chunks", "contiguous strings")
                return True
            if layout not in (h5d.CONTIGUOUS, h5d.COMPACT):
                guard.fail("hdf5.storage", self.path, "a virtual dataset", "data in the file")
            if layout == h5d.CONTIGUOUS and self.nbytes:
                offset = self._handle.id.get_offset()
                stored = self._handle.id.get_storage_size()
                if offset is None or stored < self.nbytes:
                    guard.fail(
                        "hdf5.storage", self.path, f"{stored} bytes", f"{self.nbytes} bytes of data"
                    )
                if offset + self.nbytes > guard.size:
                    guard.fail(
                        "hdf5.malformed",
                        self.path,
                        f"data up to byte {offset + self.nbytes}",
                        f"data within the {guard.size} bytes of the file",
                    )
        return False

    def _read_chunks(self) -> Array:
        guard, dataset = self._guard, self._handle.id
        plist = dataset.get_create_plist()
        chunk: tuple[int, ...] = plist.get_chunk()
        filters: list[int] = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        for code in filters:
            if code not in _FILTERS:
                allowed = ", ".join(_FILTERS.values())
                guard.fail("hdf5.filter", self.path, f"filter {code}", allowed)
        counts = [-(-length // size) for length, size in zip(self.shape, chunk, strict=True)]
        expected, found = math.prod(counts), dataset.get_num_chunks()
        if expected > MAX_CHUNKS:
            guard.fail("hdf5.limit", self.path, f"{expected} chunks", f"{MAX_CHUNKS} chunks")
        if found != expected:
            guard.fail("hdf5.storage", self.path, f"{found} chunks", f"{expected} chunks of data")
        size = math.prod(chunk) * self._stored.itemsize
        guard.charge(self.path, size)
        array = np.empty(self.shape, self._stored)
        for place in itertools.product(*map(range, counts)):
            start = tuple(p * c for p, c in zip(place, chunk, strict=True))
            info = dataset.get_chunk_info_by_coord(start)
            if info.byte_offset is None or info.byte_offset + info.size > guard.size:
                guard.fail("hdf5.storage", self.path, f"no chunk at {start}", "all of the data")
            mask, raw = dataset.read_direct_chunk(start)
            used = [code for i, code in enumerate(filters) if not mask >> i & 1]
            data = self._decoded(bytes(raw), used, size)
            block = np.frombuffer(data, self._stored).reshape(chunk)
            kept = [min(c, n - s) for c, n, s in zip(chunk, self.shape, start, strict=True)]
            target = tuple(slice(s, s + k) for s, k in zip(start, kept, strict=True))
            array[target] = block[tuple(slice(k) for k in kept)]
        return array

    def _decoded(self, data: bytes, filters: Sequence[int], size: int) -> bytes:
        """A chunk's ``size`` bytes: its filters undone, the last one first."""
        guard = self._guard
        for number in reversed(range(len(filters))):
            code = filters[number]
            if code == _FLETCHER32:
                if len(data) < 4 or not _fletcher32_fits(data[:-4], data[-4:]):
                    guard.fail("hdf5.malformed", self.path, "another checksum", "its own checksum")
                data = data[:-4]
            elif code == _DEFLATE:
                most = size + 4 * sum(other == _FLETCHER32 for other in filters[:number])
                data = zlib.decompressobj().decompress(data, most + 1)
                if len(data) > most:
                    guard.fail("hdf5.malformed", self.path, "a longer chunk", f"{most} bytes")
            else:
                width = self._stored.itemsize
                whole = len(data) - len(data) % width
                planes = np.frombuffer(data, np.uint8, whole).reshape(width, -1)
                data = planes.T.tobytes() + data[whole:]
        if len(data) != size:
            guard.fail("hdf5.malformed", self.path, f"a chunk of {len(data)} bytes", f"{size}")
        return data


class Group(_Object):
    """A group: looks its members up by name, one link at a time."""

    def __init__(self, guard: _Guard, handle: Any, path: str, above: tuple[int, ...]) -> None:
        super().__init__(guard, handle, path)
        with guard.reading(path):
            address = int(guard.h5py.h5o.get_info(handle.id).addr)
        if address in above:
            guard.fail("hdf5.link", path, "a group that contains itself", "a tree")
        if len(above) >= MAX_DEPTH:
            guard.fail("hdf5.limit", path, "a deeper group", f"{MAX_DEPTH} groups in each other")
        self._above = (*above, address)

    def names(self) -> list[str]:
        """Names of the members.

        Raises:
            FormatError: If the group is damaged or has too many members.
        """
        guard = self._guard
        with guard.reading(self.path):
            count = self._handle.id.get_num_objs()
            if count > MAX_OBJECTS:
                guard.fail("hdf5.limit", self.path, f"{count} members", f"{MAX_OBJECTS} members")
            return [str(name) for name in self._handle]

    def get(self, path: str) -> Group | Dataset | None:
        """The member at a path of names separated by ``/``, or None if it is absent.

        Raises:
            FormatError: If what is there is damaged or not allowed.
        """
        found: Group | Dataset | None = self
        for name in path.split("/"):
            if not isinstance(found, Group):
                return None
            if name:
                found = found._member(name)
        return found

    def group(self, path: str) -> Group:
        """The group at a path.

        Raises:
            FormatError: If it is absent, damaged or not a group.
        """
        found = self.get(path)
        if not isinstance(found, Group):
            self._guard.fail("hdf5.missing", self._join(path), _kind(found), "a group")
        return found

    def dataset(self, path: str) -> Dataset:
        """The dataset at a path.

        Raises:
            FormatError: If it is absent, damaged or not a dataset.
        """
        found = self.get(path)
        if not isinstance(found, Dataset):
            self._guard.fail("hdf5.missing", self._join(path), _kind(found), "a dataset")
        return found

    def _join(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    def _member(self, name: str) -> Group | Dataset | None:
        guard, path = self._guard, self._join(name)
        h5py = guard.h5py
        with guard.reading(path):
            links, key = self._handle.id.links, name.encode()
            if not links.exists(key):
                return None
            kind = links.get_info(key).type
            if name == "." or kind != h5py.h5l.TYPE_HARD:
                known = {
                    h5py.h5l.TYPE_SOFT: "a soft link",
                    h5py.h5l.TYPE_EXTERNAL: "an external link",
                }
                guard.fail("hdf5.link", path, known.get(kind, "a special link"), "a plain link")
            guard.visit(path)
            handle = self._handle[name]
            if isinstance(handle, h5py.Dataset):
                return Dataset(guard, handle, path)
            if isinstance(handle, h5py.Group):
                return Group(guard, handle, path, self._above)
        guard.fail("hdf5.type", path, "a named type", "a group or dataset")


def _messages(guard: _Guard, path: str, address: int) -> Iterator[tuple[int, bytes]]:
    """Type and content of all messages in an object's header, of either version."""
    start = guard.raw(path, address, 16)
    second = start[:4] == b"OHDR"
    head, skipped = (4, 4) if second else (8, 0)
    if second:
        flags = guard.raw(path, address + 5, 1)[0]
        width = 1 << (flags & 3)
        place = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        length = int.from_bytes(guard.raw(path, place, width), "little")
        blocks = [(place + width, length)]
        head += 2 * bool(flags & 4)
    else:
        blocks = [(address + 16, int.from_bytes(start[8:12], "little"))]
    while blocks:
        place, length = blocks.pop()
        # Every header is read once; more than the file has can only be blocks within each other.
        guard.header_bytes += length + 1
        if guard.header_bytes > 2 * guard.size:
            guard.fail("hdf5.malformed", path, "headers within each other", "separate headers")
        data = guard.raw(path, place, length)
        place = 0
        while place + head <= length:
            kind = data[place] if second else int.from_bytes(data[place : place + 2], "little")
            size_at = place + 1 if second else place + 2
            size = int.from_bytes(data[size_at : size_at + 2], "little")
            content = data[place + head : place + head + size]
            place += head + size
            if kind == _CONTINUATION and len(content) >= 16:
                offset, more = struct.unpack("<QQ", content[:16])
                # In the second version, a block has a signature before and a checksum after.
                blocks.append((offset + skipped, max(more - 2 * skipped, 0)))
            yield kind, content


def _attribute_message(data: bytes) -> tuple[bytes, bytes] | None:
    """Name and content of an attribute, from its message; None if it is of no known version."""
    if len(data) < 9 or data[0] not in (1, 2, 3):
        return None
    sizes = struct.unpack("<HHH", data[2:8])
    place = 9 if data[0] == 3 else 8
    name = data[place : place + sizes[0]].split(b"\0", 1)[0]
    for size in sizes:
        place += -(-size // 8) * 8 if data[0] == 1 else size
    return name, data[place:]


def _kind(found: _Object | None) -> str:
    return "nothing" if found is None else f"a {type(found).__name__.lower()}"


def _shape(guard: _Guard, path: str, space: Any) -> tuple[int, ...]:
    if space.get_simple_extent_type() == guard.h5py.h5s.NULL:
        guard.fail("hdf5.type", path, "an empty dataspace", "an array")
    shape = tuple(map(int, space.get_simple_extent_dims()))
    if len(shape) > MAX_RANK:
        guard.fail("hdf5.limit", path, f"{len(shape)} axes", f"{MAX_RANK} axes")
    return shape


def _check_type(guard: _Guard, path: str, type_id: Any) -> Kind:
    """Report a type that is not allowed; tell what its elements are."""
    h5t = guard.h5py.h5t
    kind, size = type_id.get_class(), type_id.get_size()
    if kind == h5t.STRING:
        return "variable text" if type_id.is_variable_str() else "text"
    if kind == h5t.VLEN:
        element = type_id.get_super()
        if element.get_class() in (h5t.INTEGER, h5t.FLOAT):
            _check_type(guard, path, element)
            return "lists"
    if kind in (h5t.INTEGER, h5t.FLOAT) and size <= 8:
        type_id.dtype  # noqa: B018 - raises if NumPy has no such type
    elif kind == h5t.ENUM and size == 1:
        if type_id.dtype != np.dtype(bool):
            guard.fail("hdf5.type", path, "an enumeration", "numbers or strings")
    elif kind != h5t.OPAQUE or size != 2:
        names = {
            h5t.REFERENCE: "references",
            h5t.VLEN: "lists of anything but numbers",
            h5t.COMPOUND: "compounds",
            h5t.ARRAY: "arrays in arrays",
            h5t.OPAQUE: "opaque bytes",
        }
        found = names.get(kind, f"type class {kind} of {size} bytes")
        guard.fail("hdf5.type", path, found, "numbers, strings or lists of numbers")
    return "numbers"


def _text(value: object) -> str:
    """A string of the file; one that is not UTF-8 is an error."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    text = str(value)
    text.encode("utf-8")
    return text


def _fletcher32_fits(data: bytes, stored: bytes) -> bool:
    """Whether a chunk has the checksum that HDF5's filter appended to it."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64) % 65535
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % np.uint64(65535)
    low = int(words.sum()) % 65535
    high = int((words * weights % np.uint64(65535)).sum()) % 65535
    checksum = int.from_bytes(stored, "little")
    return (checksum >> 16) % 65535 == high and (checksum & 0xFFFF) % 65535 == low
