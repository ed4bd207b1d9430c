"""Writing: all or nothing, in place of what was there, with what was asked for."""

from __future__ import annotations

import builtins
import errno
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir import files, limits
from snnir.errors import FileError, ModelError, SnnirError
from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import Exact, Example, Expected, Model, TimeBase, Tolerance
from snnir.ir.tensor import MappedBytes, Tensor
from snnir.ir.types import DType, Quantization, Timing, ValueType
from snnir.serde import file as file_module
from tests.serde.craft import parse, rich_model

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


def unwritable(model: Model, path: str | os.PathLike[str]) -> FileError:
    with pytest.raises(SnnirError) as caught:
        snnir.save(model, path)
    assert type(caught.value) is FileError
    assert caught.value.code == "file.unwritable"
    return caught.value


@pytest.fixture
def good(tmp_path: Path) -> Iterator[Path]:
    """A good file; it must be there, unchanged and alone, after each test."""
    path = tmp_path / "good.snnir"
    path.write_bytes(b"what was there before")
    path.chmod(0o640)
    before = (path.read_bytes(), path.stat().st_mode, path.stat().st_ino)
    yield path
    assert (path.read_bytes(), path.stat().st_mode, path.stat().st_ino) == before
    assert os.listdir(tmp_path) == [path.name]


class Failing:
    """A file that does what is asked until an operation is due to fail."""

    def __init__(self, file: Any, state: dict[str, Any]) -> None:
        self._file = file
        self._state = state

    def _count(self) -> None:
        self._state["left"] -= 1
        if self._state["left"] == 0:
            raise self._state["error"]

    def write(self, data: Any) -> int:
        self._count()
        return int(self._file.write(data))

    def seek(self, position: int) -> int:
        self._count()
        return int(self._file.seek(position))

    def tell(self) -> int:
        return int(self._file.tell())

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        if exception[0] is None:
            self._count()


def make_fail(monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int) -> dict[str, Any]:
    state: dict[str, Any] = {"left": after, "error": error}

    def opened(*arguments: Any, **options: Any) -> Any:
        return Failing(builtins.open(*arguments, **options), state)

    monkeypatch.setattr(files, "open", opened, raising=False)
    return state


def operations(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    """How many operations on the file it takes to write the model of these tests."""
    state = make_fail(monkeypatch, OSError(), 1 << 30)
    snnir.save(rich_model(), folder / "other.snnir")
    (folder / "other.snnir").unlink()
    return (1 << 30) - int(state["left"])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_when_any_operation_fails_the_old_file_stays(
    good: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    count = operations(monkeypatch, good.parent)
    assert count > 8
    for after in range(1, count + 1):
        make_fail(monkeypatch, OSError(code, os.strerror(code)), after)
        assert os.strerror(code).lower() in str(unwritable(rich_model(), good))
        assert os.listdir(good.parent) == [good.name]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, MemoryError])
def test_when_interrupted_the_old_file_stays(
    good: Path, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    for after in range(1, operations(monkeypatch, good.parent) + 1):
        make_fail(monkeypatch, interrupt(), after)
        with pytest.raises(interrupt):
            snnir.save(rich_model(), good)
        assert os.listdir(good.parent) == [good.name]


@pytest.mark.parametrize("function", ["replace", "chmod"])
def test_when_the_last_step_fails_the_old_file_stays(
    good: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def denied(*args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.os, function, denied)
    assert "permission denied" in str(unwritable(rich_model(), good))


def test_a_new_file_that_cannot_be_completed_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_fail(monkeypatch, OSError(errno.ENOSPC, "No space left on device"), 5)
    unwritable(rich_model(), tmp_path / "new.snnir")
    assert os.listdir(tmp_path) == []


def test_when_hashing_is_interrupted_the_old_file_stays(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Tensor) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tensor, "sha256", interrupted)
    for size in (1200, 1 << 19):  # hashed at once, and aside
        with pytest.raises(KeyboardInterrupt):
            snnir.save(rich_model(size), good)


FULL = """
    import resource, signal, sys
    import snnir
    from tests.serde.craft import rich_model

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    try:
        snnir.save(rich_model(100_000), sys.argv[1])
    except snnir.FileError as error:
        print(error.code)
"""


@posix
def test_a_file_size_limit_leaves_the_old_file(good: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)]),
    }
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(good)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.stdout == "file.unwritable\n"


def test_a_full_device_is_reported() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no such device here")
    for size in (10, 100_000):
        assert "no space" in str(unwritable(rich_model(size), "/dev/full"))
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_device_takes_the_bytes() -> None:
    if not os.path.exists("/dev/null"):
        pytest.skip("no such device here")
    snnir.save(rich_model(), "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix
def test_a_fifo_takes_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        snnir.save(rich_model(), path)
        assert os.read(reader, 1 << 20) == snnir.to_bytes(rich_model())
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


# Where to ------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "no such file" in str(unwritable(rich_model(), tmp_path / "none" / "m.snnir"))
    assert os.listdir(tmp_path) == []


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "is a directory" in str(unwritable(rich_model(), tmp_path / "folder"))
    assert os.listdir(tmp_path / "folder") == []


def test_a_file_in_the_place_of_a_folder(good: Path) -> None:
    unwritable(rich_model(), good / "m.snnir")


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("nul\0byte", "n" * 5000, "\ud800"):
        unwritable(rich_model(), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_long_names_and_names_of_other_letters_are_fine(tmp_path: Path) -> None:
    for name in ("n" * 255, "ü" * 127, "脳" * 85, "-", ".hidden"):
        snnir.save(rich_model(), tmp_path / name)
        assert snnir.load(tmp_path / name) == rich_model()
    assert len(os.listdir(tmp_path)) == 5


def test_relative_paths_and_paths_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snnir.save(rich_model(), "m.snnir")
    snnir.save(rich_model(), b"n.snnir")
    assert sorted(os.listdir(tmp_path)) == ["m.snnir", "n.snnir"]


@posix
def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(0o500)
    if os.geteuid() == 0:  # root may write anywhere

        def denied(*args: object, **options: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(files, "open", denied, raising=False)
    assert "permission denied" in str(unwritable(rich_model(), folder / "m.snnir"))
    assert os.listdir(folder) == []


@posix
def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target.snnir", tmp_path / "link.snnir"
    target.write_bytes(b"old")
    link.symlink_to(Path("far") / "target.snnir")
    snnir.save(rich_model(), link)
    assert link.is_symlink()
    assert target.read_bytes() == snnir.to_bytes(rich_model())
    assert os.listdir(tmp_path / "far") == ["target.snnir"]
    assert sorted(os.listdir(tmp_path)) == ["far", "link.snnir"]


@posix
def test_a_link_to_nothing_yet_makes_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link.snnir"
    link.symlink_to("target.snnir")
    snnir.save(rich_model(), link)
    assert link.is_symlink()
    assert snnir.load(tmp_path / "target.snnir") == rich_model()


@posix
def test_a_loop_of_links_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    unwritable(rich_model(), tmp_path / "a")
    assert (tmp_path / "a").is_symlink() and sorted(os.listdir(tmp_path)) == ["a", "b"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o777, 0o400])
def test_permissions_of_what_is_replaced_are_kept(
    tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.snnir"
    path.write_bytes(b"old")
    path.chmod(mode)
    during = []
    write = file_module.write

    def spy(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        during.extend(stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir() if p != path)

    monkeypatch.setattr(file_module, "write", spy)
    snnir.save(rich_model(), path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert len(during) == 1 and during[0] & ~mode == 0  # never more open than the old one


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_respected(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        snnir.save(rich_model(), tmp_path / "m.snnir")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.snnir").stat().st_mode) == mode


# What ----------------------------------------------------------------------------------------


def test_saving_over_the_file_that_the_model_is_mapped_from(tmp_path: Path) -> None:
    path = tmp_path / "m.snnir"
    snnir.save(rich_model(), path)
    model = snnir.load(path)
    parameters = model.graph.nodes["block/foreign"].parameters
    assert parameters["big"].is_mapped
    mapped = parameters["big"].numpy()
    parameters["added"] = Tensor.from_array(np.full(5000, 7.0, np.float32))
    del parameters["bigger"]
    for _ in range(3):
        snnir.save(model, path)
        assert snnir.load(path) == model
        assert mapped[1199] == 1199.0  # the old file lives on where it is mapped
    assert [f for f in snnir.check(snnir.load(path)) if f.severity == "error"] == []
    assert os.listdir(tmp_path) == ["m.snnir"]


def test_a_damaged_weight_stays_detectable_when_it_is_saved_again() -> None:
    data = bytearray(snnir.to_bytes(rich_model()))
    data[-1] ^= 1
    again = snnir.loads(snnir.to_bytes(snnir.loads(bytes(data))))
    errors = [f for f in snnir.check(again) if f.severity == "error"]
    assert [f.code for f in errors] == ["format.blob-digest"]


def test_without_digests_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "m.snnir"
    snnir.save(rich_model(), path, digests=False)
    model = snnir.load(path)
    assert model == rich_model()
    assert model.graph.nodes["block/foreign"].parameters["big"].recorded_sha256 == b""
    assert snnir.to_bytes(rich_model(), digests=False) == path.read_bytes()
    assert [f for f in snnir.check(model) if f.severity == "error"] == []


@pytest.mark.parametrize("size", [1100, 1 << 18, (1 << 18) + 1, 1 << 20])
def test_digests_are_right_wherever_they_are_computed(size: int) -> None:
    model = rich_model(size)
    data = snnir.to_bytes(model)
    again = snnir.loads(data)
    assert again == model
    for tensor in again.graph.nodes["block/foreign"].parameters.values():
        tensor.verify()
    assert parse(data).blobs[0] == bytes(np.arange(size, dtype=np.float32))


def parameters_model(parameters: dict[str, Tensor]) -> Model:
    node = Node("n", "acme.Thing", [Binding("x", "x")], ("y",), {}, parameters)
    graph = Graph("main", [GraphInput("x", STATIC)], {"n": node}, [GraphOutput("y", "n:y")])
    return Model(graph, {"acme": 1})


STATIC = ValueType(DType.FLOAT32, (2,), Timing.STATIC)


def test_equal_bytes_are_stored_once() -> None:
    one = np.arange(2000, dtype=np.float32)
    model = parameters_model(
        {
            "a": Tensor.from_array(one),
            "b": Tensor.from_array(one.copy().reshape(20, 100)),
            "c": Tensor.from_array(one.view(np.int32)),
            "d": Tensor.from_array(one + 1),
        }
    )
    data = snnir.to_bytes(model)
    assert len(parse(data).blobs) == 2
    again = snnir.loads(data)
    assert again == model
    assert snnir.to_bytes(again) == data


def test_tensors_that_begin_and_end_alike_are_told_apart_in_linear_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count, size = 300, 1500

    def tensor(index: int) -> Tensor:
        array = np.zeros(size, np.float32)
        array[size // 2] = index % 150
        return Tensor.from_array(array)

    model = parameters_model({f"p{index:03}": tensor(index) for index in range(count)})
    reads = []
    original = Tensor.raw
    monkeypatch.setattr(Tensor, "raw", lambda self: reads.append(self) or original(self))
    data = snnir.to_bytes(model)
    assert len(reads) < 8 * count
    assert len(parse(data).blobs) == 150
    assert snnir.loads(data) == model


def test_saving_a_mapped_model_reads_each_blob_a_few_times_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snnir.save(rich_model(), tmp_path / "m.snnir")
    model = snnir.load(tmp_path / "m.snnir")
    views = []
    original = MappedBytes.view
    monkeypatch.setattr(MappedBytes, "view", lambda self: views.append(1) or original(self))
    snnir.save(model, tmp_path / "n.snnir")
    assert len(views) <= 8
    assert (tmp_path / "n.snnir").read_bytes() == (tmp_path / "m.snnir").read_bytes()


# What the format cannot say ------------------------------------------------------------------

Change = Callable[[Model], object]


def node_of(model: Model) -> Node:
    return model.graph.nodes["block/foreign"]


def broken(dtype: DType, shape: tuple[int, ...], data: bytes) -> Change:
    def change(model: Model) -> None:
        node_of(model).parameters["small"] = Tensor(dtype, shape, data)

    return change


def attribute(value: Any) -> Change:
    return lambda model: node_of(model).attributes.update(i=value)


def rename(model: Model, name: Any) -> None:
    node_of(model).name = name


def typed(shape: tuple[Any, ...]) -> Change:
    def change(model: Model) -> None:
        node_of(model).output_types = (
            ValueType(DType.FLOAT32, shape, Timing.STATIC),
            node_of(model).output_types[1],
        )

    return change


def expecting(tolerance: Any) -> Change:
    def change(model: Model) -> None:
        model.examples["first"].expected["class"] = Expected(Tensor.from_array([1.0]), tolerance)

    return change


def quantised(**fields: Any) -> Change:
    quantization = Quantization(**{"scale": (1.0,), "bits": 4, **fields})

    def change(model: Model) -> None:
        old = node_of(model).parameters["quantised"]
        node_of(model).parameters["quantised"] = Tensor(
            old.dtype, old.shape, bytes(old.raw()), quantization
        )

    return change


UNFIT: list[tuple[str, Change]] = [
    ("version.ir", lambda m: setattr(m, "ir_version", 0)),
    ("version.ir", lambda m: setattr(m, "ir_version", 2)),
    ("format.unfit", lambda m: m.opsets.update(snn=0)),
    ("format.unfit", lambda m: m.opsets.update(snn=1 << 32)),
    ("format.unfit", lambda m: m.opsets.update({"Upper": 1})),
    ("format.unfit", lambda m: setattr(m, "time", TimeBase(1e-3, -1))),
    ("format.unfit", lambda m: setattr(m, "time", TimeBase(1e-3, 1 << 32))),
    ("format.unfit", lambda m: setattr(m, "time", TimeBase("soon", 1))),  # type: ignore[arg-type]
    ("format.unfit", lambda m: m.metadata.update({"": "x"})),
    ("format.unfit", lambda m: m.metadata.update({"x": "\ud800"})),
    ("format.unfit", lambda m: m.metadata.update({"x": 5})),  # type: ignore[dict-item]
    ("format.unfit", lambda m: setattr(m.graph, "name", "\udfff")),
    ("format.unfit", lambda m: m.graph.outputs.append(GraphOutput("o", "image", (3,)))),  # type: ignore[arg-type]
    ("format.unfit", lambda m: setattr(m.graph.inputs[0], "layout", None)),
    ("format.unfit", lambda m: setattr(node_of(m), "source", 7)),
    ("format.unfit", lambda m: setattr(node_of(m), "op", None)),
    ("format.unfit", lambda m: node_of(m).attributes.update({"": 1})),
    ("format.unfit", attribute(1 << 63)),
    ("format.unfit", attribute(-(1 << 63) - 1)),
    ("format.unfit", attribute((1, 1 << 64))),
    ("format.unfit", attribute((1, 2.5))),
    ("format.unfit", attribute(None)),
    ("format.unfit", attribute(object())),
    ("format.unfit", attribute("\ud800")),
    ("format.unfit", lambda m: node_of(m).parameters.update({"": Tensor.from_array(1.0)})),
    ("format.unfit", lambda m: node_of(m).parameters.update(small=np.zeros(3))),  # type: ignore[arg-type]
    ("format.unfit", broken(DType.FLOAT32, (2,), bytes(7))),
    ("format.unfit", broken(DType.FLOAT32, (2,), bytes(9))),
    ("format.unfit", broken(DType.INT4, (3,), bytes(1))),
    ("format.unfit", broken(DType.FLOAT32, (2000,), bytes(7999))),
    ("format.unfit", broken(DType.FLOAT32, (1,) * 17, bytes(4))),
    ("format.unfit", broken(DType.INT8, (0, 1 << 49), b"")),
    ("format.unfit", broken(DType.INT8, (-1,), b"x")),
    ("format.unfit", quantised(bits=-1)),
    ("format.unfit", quantised(axis=-1)),
    ("format.unfit", quantised(zero_point=(1 << 63,))),
    ("format.unfit", quantised(scale=("x",))),
    ("format.unfit", typed((-1,))),
    ("format.unfit", typed((1,) * 17)),
    ("format.unfit", typed((1 << 30, 1 << 30))),
    ("format.unfit", typed((1.5,))),
    ("format.unfit", lambda m: setattr(node_of(m), "output_types", node_of(m).output_types[:1])),
    ("format.unfit", lambda m: node_of(m).inputs.append(Binding("a", "image", -1))),
    ("format.unfit", lambda m: node_of(m).inputs.append(Binding("a", "image", 1 << 32))),
    ("format.unfit", expecting(None)),
    ("format.unfit", expecting("exact")),
    ("format.unfit", lambda m: m.examples.update({"": m.examples["first"]})),
    ("format.unfit", lambda m: m.examples.update(x=Example({}, -1, {}))),
    ("format.unfit", lambda m: m.examples["first"].inputs.update({"": Tensor.from_array(1.0)})),
    ("graph.duplicate-name", lambda m: rename(m, "other")),
    ("graph.duplicate-name", lambda m: rename(m, "lif")),
    ("graph.duplicate-name", lambda m: rename(m, "image")),
    ("graph.duplicate-name", lambda m: m.graph.nodes.update(image=node_of(m))),
    ("graph.duplicate-name", lambda m: setattr(m.graph.inputs[0], "name", "spikes")),
    ("graph.duplicate-name", lambda m: setattr(m.graph.inputs[0], "name", "lif:spikes")),
    ("graph.duplicate-name", lambda m: setattr(node_of(m), "outputs", ("y", "y"))),
    ("graph.dangling-edge", lambda m: node_of(m).inputs.append(Binding("a", "nothing"))),
    ("graph.dangling-edge", lambda m: node_of(m).inputs.append(Binding("a", "lif:nothing"))),
    ("graph.dangling-edge", lambda m: m.graph.outputs.append(GraphOutput("o", "lif"))),
]


@pytest.mark.parametrize(
    ("code", "change"), UNFIT, ids=[f"{index}-{code}" for index, (code, _) in enumerate(UNFIT)]
)
def test_what_could_not_be_read_again_is_not_written(good: Path, code: str, change: Change) -> None:
    model = rich_model()
    change(model)
    for attempt in (snnir.to_bytes, lambda m: snnir.save(m, good)):
        with pytest.raises(SnnirError) as caught:
            attempt(model)
        assert type(caught.value) is ModelError
        assert caught.value.code == code
        assert str(caught.value).isprintable()


def test_a_header_above_its_limit_is_not_written(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(ModelError, match=r"format\.limit"):
        snnir.save(rich_model(), good)


def test_more_blobs_than_allowed_are_not_written(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BLOBS", 1)
    with pytest.raises(ModelError, match=r"format\.limit"):
        snnir.save(rich_model(), good)


def test_every_tolerance_is_written() -> None:
    model = rich_model()
    kinds: set[type[Tolerance]] = {
        type(expected.tolerance) for expected in model.examples["first"].expected.values()
    }
    assert len(kinds) == 4 and Exact in kinds
    assert snnir.loads(snnir.to_bytes(model)).examples == model.examples
