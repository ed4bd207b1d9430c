"""The guarded HDF5 reader: what it gives, and what it refuses."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnir.errors import FileError, FormatError, MissingDependency, SnnirError
from snnir_converters import _hdf5
from snnir_converters._hdf5 import Dataset, Group, open_hdf5
from tests.converters.forging import h5py

Fill = Callable[[Any], None]


def content(fill: Fill, **options: Any) -> bytes:
    """An HDF5 file."""
    stream = io.BytesIO()
    with h5py().File(stream, "w", **options) as file:
        fill(file)
    return stream.getvalue()


def code(data: bytes | Path, use: Callable[[Group], Any], **options: Any) -> str:
    """The code of the error that reading gives."""
    with pytest.raises(FormatError) as caught, open_hdf5(data, **options) as root:
        use(root)
    return caught.value.code


def read(data: bytes, path: str = "x") -> np.ndarray[Any, Any]:
    with open_hdf5(data) as root:
        return root.dataset(path).read()


# What it gives -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "<i2", ">i4", "i8", "?"])
@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (2, 3)},
        {"chunks": (2, 3), "compression": "gzip"},
        {"chunks": (3, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (4, 5), "shuffle": True, "maxshape": (None, None)},
        {"chunks": (2, 3), "fletcher32": True},
    ],
    ids=str,
)
def test_arrays_are_read_as_h5py_reads_them(dtype: str, storage: dict[str, Any]) -> None:
    array = (np.arange(35).reshape(5, 7) % 5).astype(dtype)
    data = content(lambda file: file.create_dataset("x", data=array, **storage))
    found = read(data)
    assert found.dtype == array.dtype and np.array_equal(found, array)


def test_scalars_empty_and_compact_arrays() -> None:
    def fill(file: Any) -> None:
        file["scalar"] = np.float32(2.5)
        file["empty"] = np.zeros((0, 3), np.float32)
        plist = h5py().h5p.create(h5py().h5p.DATASET_CREATE)
        plist.set_layout(h5py().h5d.COMPACT)
        space = h5py().h5s.create_simple((2,))
        kind = h5py().h5t.IEEE_F32LE
        h5py().h5d.create(file.id, b"compact", kind, space, plist).write(
            h5py().h5s.ALL, h5py().h5s.ALL, np.ones(2, np.float32)
        )

    data = content(fill)
    assert read(data, "scalar") == np.float32(2.5)
    assert read(data, "empty").shape == (0, 3)
    assert read(data, "compact").tolist() == [1, 1]


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"track_order": True}], ids=str)
def test_attributes_and_texts(options: dict[str, Any]) -> None:
    def fill(file: Any) -> None:
        file.attrs["text"] = "grün"
        file.attrs["bytes"] = b"abc"
        file.attrs["fixed"] = np.bytes_(b"de")
        file.attrs["names"] = [b"first", b"second"]
        file.attrs["variable"] = np.array(["a", "bc"], h5py().string_dtype())
        file.attrs["numbers"] = np.arange(3)
        file["word"] = "LIF"
        file["fixed"] = np.bytes_(b"IF")
        group = file.create_group("many")
        for number in range(30):
            group.attrs[f"a{number}"] = f"value {number}" * number

    with open_hdf5(content(fill, **options)) as root:
        assert root.attribute("text") == "grün"
        assert root.attribute("bytes") == "abc"
        assert root.attribute("fixed") == "de"
        assert root.attribute("names") == ["first", "second"]
        assert root.attribute("variable") == ["a", "bc"]
        assert np.array_equal(np.asarray(root.attribute("numbers")), np.arange(3))
        assert root.attribute("absent") is None
        assert root.dataset("word").text() == "LIF"
        assert root.dataset("fixed").text() == "IF"
        assert sorted(root.names()) == ["fixed", "many", "word"]
        many = root.group("many")
        if "libver" in options:  # such files have another place for many attributes
            with pytest.raises(FormatError, match="in the object's header"):
                many.attribute("a7")
        else:
            for number in range(30):
                assert many.attribute(f"a{number}") == f"value {number}" * number


def test_members_by_path(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(content(lambda file: file.create_dataset("a/b/c", data=[1.0])))
    with open_hdf5(path) as root:
        assert isinstance(root.group("a").get("b"), Group)
        assert isinstance(root.get("/a/b/c"), Dataset)
        assert root.get("a/x/c") is None and root.get("a/b/c/d") is None
        assert root.group("a").dataset("b/c").shape == (1,)
        assert root.dataset("a/b/c").nbytes == 8
    assert code(path, lambda root: root.dataset("a/b")) == "hdf5.missing"
    assert code(path, lambda root: root.group("nothing")) == "hdf5.missing"


# What it refuses -----------------------------------------------------------------------------


def soft(file: Any) -> None:
    file["y"] = [1.0]
    file["x"] = h5py().SoftLink("/y")


def external(file: Any) -> None:
    file["x"] = h5py().ExternalLink("other.h5", "/y")


def soft_to_external(file: Any) -> None:
    file["away"] = h5py().ExternalLink("other.h5", "/")
    file["x"] = h5py().SoftLink("/away/y")


@pytest.mark.parametrize("fill", [soft, external, soft_to_external])
def test_links_that_are_not_plain(fill: Fill) -> None:
    assert code(content(fill), lambda root: root.get("x")) == "hdf5.link"


def test_a_group_that_contains_itself() -> None:
    def fill(file: Any) -> None:
        group = file.create_group("a/b")
        group["loop"] = file["a"]

    assert code(content(fill), lambda root: root.get("a/b/loop/b")) == "hdf5.link"
    root_loop = content(lambda file: file.create_group("a").__setitem__("up", file["/"]))
    assert code(root_loop, lambda root: root.get("a/up")) == "hdf5.link"


def test_depth_and_number_of_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = content(lambda file: file.create_group("/".join("g" * 100)))
    assert code(deep, lambda root: root.get("/".join("g" * 100))) == "hdf5.limit"
    monkeypatch.setattr(_hdf5, "MAX_OBJECTS", 3)
    wide = content(lambda file: [file.create_group(name) for name in "abcd"])
    assert code(wide, lambda root: [root.get(name) for name in "abcd"]) == "hdf5.limit"
    assert code(wide, lambda root: root.names()) == "hdf5.limit"


def test_external_storage_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")

    def fill(file: Any) -> None:
        file.create_dataset("x", (2,), "f8", external=[(str(secret), 0, 16)])

    assert code(content(fill), lambda root: root.dataset("x").read()) == "hdf5.storage"


def test_virtual_datasets_are_not_read(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        layout = h5py().VirtualLayout((4,), "f4")
        layout[:] = h5py().VirtualSource(str(tmp_path / "other.h5"), "y", (4,))
        file.create_virtual_dataset("x", layout)

    assert code(content(fill), lambda root: root.dataset("x").read()) == "hdf5.storage"


@pytest.mark.parametrize(
    "storage",
    [{}, {"chunks": (1 << 10, 1 << 10)}, {"chunks": (1 << 10, 1 << 10), "compression": "gzip"}],
    ids=str,
)
def test_shapes_that_the_file_does_not_fill(storage: dict[str, Any]) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", (1 << 20, 1 << 20), "f4", **storage)

    data = content(fill)
    assert len(data) < 10_000
    assert code(data, lambda root: root.dataset("x").read()) in ("hdf5.storage", "hdf5.limit")
    unlimited = {"max_bytes": 1 << 60}
    assert code(data, lambda root: root.dataset("x").read(), **unlimited) == "hdf5.storage"


def test_sizes_are_added_up() -> None:
    data = content(lambda file: file.create_dataset("x", data=np.zeros(1000, "f4")))

    def twice(root: Group) -> None:
        root.dataset("x").read()
        root.dataset("x").read()

    assert code(data, twice, max_bytes=5000) == "hdf5.limit"


def test_chunks_that_expand_beyond_their_size() -> None:
    import zlib

    def fill(file: Any) -> None:
        dataset = file.create_dataset("x", (8,), "f4", chunks=(8,), compression="gzip")
        dataset.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 26)))

    assert code(content(fill), lambda root: root.dataset("x").read()) == "hdf5.malformed"


def test_a_wrong_checksum() -> None:
    def fill(file: Any) -> None:
        dataset = file.create_dataset("x", (8,), "f4", chunks=(8,), fletcher32=True)
        dataset.id.write_direct_chunk((0,), bytes(range(36)))

    assert code(content(fill), lambda root: root.dataset("x").read()) == "hdf5.malformed"


def test_filters_that_are_plugins() -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", data=np.arange(8.0), chunks=(8,), compression="lzf")

    assert code(content(fill), lambda root: root.dataset("x").read()) == "hdf5.filter"


def special_types(file: Any) -> None:
    reference = file.create_dataset("reference", (1,), h5py().ref_dtype)
    reference[0] = file.ref
    lists = file.create_dataset("list", (1,), h5py().vlen_dtype(np.dtype("i4")))
    lists[0] = [1, 2]
    file.create_dataset("texts", (1,), h5py().vlen_dtype(h5py().string_dtype()))
    file["compound"] = np.zeros(1, [("a", "f4")])
    file["opaque"] = np.zeros(1, "V5")
    file["enumeration"] = np.zeros(1, h5py().enum_dtype({"A": 0}, "i1"))
    file["type"] = np.dtype("f4")
    for name in ("reference", "list", "compound"):
        file.attrs[name] = file[name][()]


@pytest.mark.parametrize(
    "name", ["reference", "list", "texts", "compound", "opaque", "enumeration", "type"]
)
def test_elements_that_are_neither_numbers_nor_strings(name: str) -> None:
    data = content(special_types)
    assert code(data, lambda root: root.dataset(name).read()) == "hdf5.type"
    if name in ("reference", "list", "compound"):
        assert code(data, lambda root: root.attribute(name)) == "hdf5.type"


LISTS = [[1, 2], [], [3, 4, 5], [6]]


def lists_file(dtype: str = "i4", **storage: Any) -> bytes:
    def fill(file: Any) -> None:
        kind = h5py().vlen_dtype(np.dtype(dtype))
        lists = file.create_dataset("x", (len(LISTS),), kind, **storage)
        for number, entries in enumerate(LISTS):
            lists[number] = np.array(entries, dtype)
        file.create_dataset("none", (0,), kind)
        file.create_dataset("table", (1, 1), kind)

    return content(fill)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "u1", ">i4", "i8"])
@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (3,), "maxshape": (None,)},
        {"chunks": (2,), "compression": "gzip"},
    ],
    ids=str,
)
def test_lists_of_numbers(dtype: str, storage: dict[str, Any]) -> None:
    with open_hdf5(lists_file(dtype, **storage)) as root:
        dataset = root.dataset("x")
        assert (dataset.kind, dataset.dtype, dataset.shape) == ("lists", np.dtype(dtype), (4,))
        offsets, values = dataset.lists()
        assert offsets.tolist() == [0, 2, 2, 5, 6]
        assert values.dtype == np.dtype(dtype) and values.tolist() == [1, 2, 3, 4, 5, 6]
        assert [part.tolist() for part in root.dataset("none").lists()] == [[0], []]


def test_lists_that_are_none_or_too_long() -> None:
    data = lists_file()
    assert code(data, lambda root: root.dataset("table").lists()) == "hdf5.type"
    assert code(data, lambda root: root.dataset("x").lists(), max_bytes=40) == "hdf5.limit"
    numbers = content(lambda file: file.create_dataset("x", data=np.arange(3)))
    assert code(numbers, lambda root: root.dataset("x").lists()) == "hdf5.type"


def test_lists_that_claim_what_the_file_does_not_have() -> None:
    """Lengths, heaps and numbers in a reference are believed only as far as the file goes."""
    data = lists_file()
    heap = data.index(b"GCOL\x01")
    reference = data.index(struct.pack("<IQI", 2, heap, 1))
    for claim in (
        struct.pack("<IQI", 3, heap, 1),
        struct.pack("<IQI", 2**32 - 1, heap, 1),
        struct.pack("<IQI", 2, heap, 77),
        struct.pack("<IQI", 2, heap + 8, 1),
        struct.pack("<IQI", 2, 2**63, 1),
    ):
        changed = data[:reference] + claim + data[reference + 16 :]
        assert code(changed, lambda root: root.dataset("x").lists()) == "hdf5.malformed"


def test_many_lists_cannot_share_one_place() -> None:
    """A small file of references to the same numbers would otherwise fill the memory."""
    size = 4000

    def fill(file: Any) -> None:
        lists = file.create_dataset("x", (size,), h5py().vlen_dtype(np.dtype("i4")))
        lists[0] = np.arange(size)

    data = content(fill)
    reference = struct.pack("<IQI", size, data.index(b"GCOL\x01"), 1)
    place = data.index(reference)
    changed = data[:place] + reference * size + data[place + 16 * size :]
    assert len(changed) == len(data)
    assert code(changed, lambda root: root.dataset("x").lists()) == "hdf5.malformed"


def test_empty_dataspaces_and_strings_in_the_place_of_numbers() -> None:
    def fill(file: Any) -> None:
        file["null"] = h5py().Empty("f4")
        file["word"] = "text"
        file["words"] = ["a", "b"]
        file["number"] = 1.0

    data = content(fill)
    assert code(data, lambda root: root.get("null")) == "hdf5.type"
    assert code(data, lambda root: root.dataset("word").read()) == "hdf5.type"
    assert code(data, lambda root: root.dataset("words").text()) == "hdf5.type"
    assert code(data, lambda root: root.dataset("number").text()) == "hdf5.type"


def test_strings_that_are_shared_count_as_often_as_they_are_read() -> None:
    data = bytearray(content(lambda file: file.attrs.__setitem__("x", ["a" * 1000, "b" * 1000])))
    with open_hdf5(bytes(data)) as root:
        assert root.attribute("x") == ["a" * 1000, "b" * 1000]
    assert code(bytes(data), lambda root: root.attribute("x"), max_bytes=1500) == "hdf5.limit"


def test_what_is_no_hdf5(tmp_path: Path) -> None:
    assert code(b"", lambda root: None) == "hdf5.malformed"
    assert code(b"PK\x03\x04", lambda root: None) == "hdf5.malformed"
    assert code(_hdf5.SIGNATURE + bytes(100), lambda root: None) == "hdf5.malformed"
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileError), open_hdf5(path):
            pass


def test_what_the_user_of_the_file_raises_stays_what_it_is() -> None:
    data = content(lambda file: None)
    with pytest.raises(OSError, match="mine"), open_hdf5(data):
        raise OSError("mine")


def test_h5py_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(lambda file: None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependency) as caught, open_hdf5(data, extra="nir"):
        pass
    assert caught.value.diagnostics[0].remedy == 'pip install "snnir[nir]"'


def test_heaps_in_which_hdf5_would_stay_for_ever_and_lengths_that_it_would_allocate() -> None:
    def fill(file: Any) -> None:
        file.attrs["x"] = "a string of some length"
        file["y"] = "another"

    data = bytearray(content(fill))
    reference = struct.pack("<IQ", 23, data.index(b"GCOL\x01"))
    claims = data.replace(reference, struct.pack("<I", 0xFFFFFFF0) + reference[4:])
    assert claims != data
    assert code(bytes(claims), lambda root: root.attribute("x")) == "hdf5.malformed"
    heap = data.index(b"GCOL\x01")
    size = int.from_bytes(data[heap + 8 : heap + 16], "little")
    place = heap + 16
    while int.from_bytes(data[place : place + 2], "little"):
        place += 16 + -(-int.from_bytes(data[place + 8 : place + 16], "little") // 8) * 8
    assert place < heap + size
    for wrong in (0, 8, size, (1 << 64) - 8):
        data[place + 8 : place + 16] = wrong.to_bytes(8, "little")
        assert code(bytes(data), lambda root: root.attribute("x")) == "hdf5.malformed"
        assert code(bytes(data), lambda root: root.dataset("y").text()) == "hdf5.malformed"


# Damage --------------------------------------------------------------------------------------


def tree(file: Any) -> None:
    rng = np.random.default_rng(0)
    file.attrs["config"] = "{}" * 50
    file["group/plain"] = rng.normal(size=(5, 4)).astype("f4")
    options = {"chunks": (2, 2), "compression": "gzip", "shuffle": True}
    file.create_dataset("group/packed", data=rng.normal(size=(5, 4)), **options)
    file["word"] = "text"


def visit(group: Group) -> None:
    group.attribute("config")
    for name in group.names():
        found = group.get(name)
        if isinstance(found, Group):
            visit(found)
        elif isinstance(found, Dataset):
            found.text() if found.is_text else found.read()


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}], ids=str)
def test_damage_is_an_error_of_this_library_or_goes_unnoticed(options: dict[str, Any]) -> None:
    data = content(tree, **options)
    rng = np.random.default_rng(1)
    for trial in range(300):
        damaged = bytearray(data)
        if trial % 3 == 0:
            del damaged[int(rng.integers(len(data))) :]
        else:
            for _ in range(int(rng.integers(1, 6))):
                place = int(rng.integers(len(data) if trial % 3 == 1 else 2000))
                damaged[place % len(data)] ^= 1 << int(rng.integers(8))
        try:
            with open_hdf5(bytes(damaged)) as root:
                visit(root)
        except SnnirError:
            continue
