"""Tensors: every type, no I/O before it is asked for, no copy where none is needed."""

from __future__ import annotations

import hashlib
import math
import struct
import tracemalloc
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import snnir
from snnir import FormatError, ModelError, Tensor
from snnir.ir import tensor as tensor_module
from snnir.ir.graph import Graph, GraphInput, GraphOutput
from snnir.ir.model import Model
from snnir.ir.tensor import CHUNK_BYTES, MappedBytes
from snnir.ir.types import (
    FROM_NUMPY,
    NUMPY,
    STORAGE,
    DType,
    Quantization,
    Rounding,
    Timing,
    ValueType,
    shape_problem,
)
from tests.check.nets import node

ALL = list(DType)
PLAIN = [dtype for dtype in ALL if dtype not in (DType.INT4, DType.BFLOAT16)]


def sample(dtype: DType, shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    if dtype is DType.BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype is DType.INT4:
        return rng.integers(-8, 8, shape).astype(np.int8)
    if dtype is DType.BFLOAT16:
        return (rng.integers(-128, 128, shape) / 16).astype(np.float32)
    if dtype.is_float:
        return rng.normal(size=shape).astype(NUMPY[dtype])
    info = np.iinfo(dtype.label)
    return rng.integers(info.min, info.max, shape, NUMPY[dtype], endpoint=True)


def stored(tensor: Tensor, folder: Path) -> Tensor:
    """The same tensor, mapped from a file."""
    entry = node("n", "acme.Thing", {"a": "x"}, w=tensor)
    graph = Graph(
        "main",
        [GraphInput("x", ValueType(DType.FLOAT32, (), Timing.STATIC))],
        {"n": entry},
        [GraphOutput("y", "n:y")],
    )
    path = folder / f"{len(list(folder.iterdir()))}.snnir"
    snnir.save(Model(graph, {"acme": 1}), path)
    return snnir.load(path).graph.nodes["n"].parameters["w"]


# Types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (0,), (2, 0, 3), (2, 3, 5), (1, 1)])
def test_every_type_and_shape_round_trips(dtype: DType, shape: tuple[int, ...]) -> None:
    array = sample(dtype, shape)
    tensor = Tensor.from_array(array, dtype)
    assert (tensor.dtype, tensor.shape) == (dtype, shape)
    assert tensor.size == math.prod(shape)
    assert tensor.nbytes == tensor.raw().nbytes == dtype.nbytes(tensor.size)
    found = tensor.numpy()
    assert (found.dtype, found.shape) == (NUMPY[dtype], shape)
    np.testing.assert_array_equal(found, array)
    assert Tensor(dtype, shape, bytes(tensor.raw())) == tensor
    chunks = list(tensor.chunks())
    assert sum(chunk.size for chunk in chunks) == tensor.size
    if chunks:
        np.testing.assert_array_equal(np.concatenate(chunks), array.reshape(-1))


@pytest.mark.parametrize("dtype", ALL)
def test_every_type_comes_back_from_a_file(dtype: DType, tmp_path: Path) -> None:
    for shape in ((), (3,), (0, 3), (101, 103), (3, 7, 1001)):
        array = sample(dtype, shape)
        tensor = stored(Tensor.from_array(array, dtype), tmp_path)
        assert tensor.is_mapped == (tensor.nbytes > 4096)
        assert tensor == Tensor.from_array(array, dtype)
        np.testing.assert_array_equal(tensor.numpy(), array)
        if tensor.size:
            np.testing.assert_array_equal(np.concatenate(list(tensor.chunks())), array.reshape(-1))


@pytest.mark.parametrize("dtype", PLAIN)
def test_the_type_of_an_array_is_that_of_its_tensor(dtype: DType) -> None:
    assert Tensor.from_array(np.zeros(2, NUMPY[dtype])).dtype is dtype
    assert FROM_NUMPY[NUMPY[dtype]] is dtype
    assert DType.parse(dtype.label) is dtype
    assert dtype.bits == 8 * STORAGE[dtype].itemsize


def test_python_numbers_become_float32_int64_and_bool() -> None:
    found = [Tensor.from_array(value).dtype for value in (1.5, [1.5, 2], 3, [1, 2], True, [False])]
    F, I, B = DType.FLOAT32, DType.INT64, DType.BOOL  # noqa: E741
    assert found == [F, F, I, I, B, B]
    assert Tensor.from_array(np.float64(1.5)).dtype is DType.FLOAT64
    assert Tensor.from_array([]).dtype is F


@pytest.mark.parametrize(
    "values",
    [
        None,
        "text",
        b"bytes",
        ["a"],
        [1, "a"],
        {"a": 1},
        object(),
        [[1], [1, 2]],
        1j,
        np.zeros(2, complex),
        np.zeros(2, "M8[s]"),
        np.zeros(2, "m8[s]"),
        np.zeros(2, "U3"),
        np.zeros(2, "V4"),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, object),
        np.zeros(2, np.uint16),
        np.zeros(2, np.uint64),
        2**70,
        [1, 2**64],
    ],
)
def test_what_is_no_array_of_numbers_is_refused(values: Any) -> None:
    with pytest.raises(ModelError) as caught:
        Tensor.from_array(values)
    assert caught.value.code == "type.dtype"


@pytest.mark.parametrize("dtype", ALL)
def test_other_arrays_are_refused_for_every_type(dtype: DType) -> None:
    for values in ("3", np.array(["3"]), np.zeros(1, "M8[s]"), np.zeros(1, object), 1j):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ModelError):
                Tensor.from_array(values, dtype)


def test_other_integers_are_taken_where_they_fit() -> None:
    assert Tensor.from_array(np.array([1, 2], np.uint16), DType.INT32).numpy().tolist() == [1, 2]
    assert Tensor.from_array(np.array([1, 2], np.uint64), DType.INT64).numpy().tolist() == [1, 2]


def test_long_doubles_are_rounded() -> None:
    tensor = Tensor.from_array(np.array([0.1], np.longdouble), DType.FLOAT64)
    assert tensor.numpy()[0] == 0.1


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2], DType.BOOL),
        ([0.5], DType.BOOL),
        ([-1], DType.BOOL),
        ([-9], DType.INT4),
        ([8], DType.INT4),
        ([264], DType.INT4),
        ([1.5], DType.INT4),
        ([128], DType.INT8),
        ([256], DType.UINT8),
        ([-1], DType.UINT8),
        ([1 << 15], DType.INT16),
        ([1 << 31], DType.INT32),
        ([0.5], DType.INT64),
        ([2.0**63], DType.INT64),
        (np.array([1 << 63], np.uint64), DType.INT64),
        ([math.nan], DType.INT8),
        ([math.nan], DType.INT4),
        ([math.nan], DType.BOOL),
        ([math.inf], DType.INT64),
        ([1e5], DType.FLOAT16),
        ([-1e39], DType.FLOAT32),
        (np.array([1e39]), DType.FLOAT32),
        (np.array([1e39]), DType.BFLOAT16),
        (np.array([3.4e38], np.float32), DType.BFLOAT16),
        (np.array([1e300]), DType.FLOAT16),
    ],
)
def test_numbers_that_do_not_fit_are_refused(values: Any, dtype: DType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelError) as caught:
            Tensor.from_array(values, dtype)
    assert caught.value.code == "value.range"


def test_numbers_that_fit_are_taken() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Tensor.from_array([0.0, 1.0], DType.BOOL).numpy().tolist() == [False, True]
        assert Tensor.from_array([-8.0, 7.0], DType.INT4).numpy().tolist() == [-8, 7]
        assert Tensor.from_array([-(2.0**63)], DType.INT64).numpy().tolist() == [-(2**63)]
        assert Tensor.from_array([True, False], DType.INT8).numpy().tolist() == [1, 0]
        assert Tensor.from_array([1 << 40], DType.FLOAT32).numpy().tolist() == [2.0**40]
        assert Tensor.from_array([1e-60], DType.FLOAT32).numpy().tolist() == [0.0]
        huge = Tensor.from_array([math.inf, -math.inf], DType.FLOAT16).numpy()
        assert huge.tolist() == [math.inf, -math.inf]


# bfloat16 and int4 ---------------------------------------------------------------------------

BFLOAT16_TABLE = [
    # float32 bits, bfloat16 bits: computed by hand from the definition (upper half, ties to even)
    (0x00000000, 0x0000),
    (0x80000000, 0x8000),
    (0x3F800000, 0x3F80),  # 1
    (0xC0490FDB, 0xC049),  # -pi, below the tie
    (0x3F807FFF, 0x3F80),  # just below the tie
    (0x3F808000, 0x3F80),  # the tie, to even: down
    (0x3F808001, 0x3F81),  # just above the tie
    (0x3F818000, 0x3F82),  # the tie, to even: up
    (0x3F81FFFF, 0x3F82),
    (0x3FFFFFFF, 0x4000),  # carries into the exponent
    (0x00000001, 0x0000),  # the smallest denormal
    (0x00008000, 0x0000),
    (0x00008001, 0x0001),
    (0x007FFFFF, 0x0080),  # the largest denormal becomes normal
    (0x7F7F0000, 0x7F7F),  # the largest bfloat16
    (0x7F7F7FFF, 0x7F7F),  # the largest float32 that rounds to it
    (0x7F800000, 0x7F80),  # infinity
    (0xFF800000, 0xFF80),
    (0x7FC00000, 0x7FC0),  # the usual NaN
    (0xFFC12345, 0xFFC1),  # a NaN keeps its sign and the upper bits of its payload
    (0x7F800001, 0x7FC0),  # a signalling NaN becomes quiet, and stays NaN
]


@pytest.mark.parametrize(("single", "half"), BFLOAT16_TABLE)
def test_bfloat16_rounds_to_the_nearest_halves_to_even(single: int, half: int) -> None:
    array = np.array([single], np.uint32).view(np.float32)
    tensor = Tensor.from_array(array, DType.BFLOAT16)
    assert bytes(tensor.raw()) == struct.pack("<H", half)
    assert tensor.numpy().view(np.uint32).tolist() == [half << 16]


def nearest_bfloat16(number: float) -> int:
    """By exact arithmetic: the closest of all finite bfloat16 numbers, the even one of two."""
    bits = struct.unpack("<I", struct.pack("<f", number))[0]
    candidates = [c for c in ((bits >> 16) + d for d in (-1, 0, 1)) if 0 <= c & 0x7FFF < 0x7F80]

    def value(half: int) -> Fraction:
        return Fraction(struct.unpack("<f", struct.pack("<I", half << 16))[0])

    return min(candidates, key=lambda c: (abs(value(c) - Fraction(number)), c & 1))


@settings(deadline=None)
@given(st.floats(-(2.0**127), 2.0**127, width=32))
def test_bfloat16_agrees_with_exact_arithmetic(number: float) -> None:
    tensor = Tensor.from_array(np.array([number], np.float32), DType.BFLOAT16)
    assert tensor.raw().cast("H")[0] & 0x7FFF == nearest_bfloat16(number) & 0x7FFF


def test_int4_is_packed_low_half_first() -> None:
    assert bytes(Tensor.from_array([1, 2], DType.INT4).raw()) == b"\x21"
    assert bytes(Tensor.from_array([-1, -8, 7], DType.INT4).raw()) == b"\x8f\x07"
    assert bytes(Tensor.from_array(-3, DType.INT4).raw()) == b"\x0d"
    assert bytes(Tensor.from_array(np.zeros((0, 5)), DType.INT4).raw()) == b""
    every = np.arange(-8, 8).reshape(4, 4)
    assert Tensor.from_array(every, DType.INT4).numpy().tolist() == every.tolist()
    assert bytes(Tensor.from_array(every.T, DType.INT4).raw())[0] == 0xC8


# Layout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [d for d in PLAIN if d.bits > 8])
def test_big_endian_arrays(dtype: DType) -> None:
    array = sample(dtype, (3, 4))
    big = array.astype(array.dtype.newbyteorder(">"))
    tensor = Tensor.from_array(big)
    assert tensor.dtype is dtype
    assert bytes(tensor.raw()) == array.tobytes()
    assert tensor == Tensor.from_array(array)


@pytest.mark.parametrize("dtype", ALL)
def test_arrays_of_other_layouts(dtype: DType) -> None:
    array = sample(dtype, (6, 8))
    for view in (
        np.asfortranarray(array),
        array.T,
        array[::2, ::3],
        array[::-1, ::-1],
        np.broadcast_to(array[:1], (5, 8)),
        array[:, None, :, None],
        array[2:3].reshape(8),
    ):
        tensor = Tensor.from_array(view, dtype)
        assert tensor.shape == view.shape
        np.testing.assert_array_equal(tensor.numpy(), view)
        assert tensor == Tensor.from_array(np.ascontiguousarray(view).reshape(view.shape), dtype)


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, min_side=0), elements=st.floats(width=32))
)
def test_any_array_comes_back_bit_for_bit(array: Any) -> None:
    tensor = Tensor.from_array(array)
    assert tensor.numpy().tobytes() == array.tobytes()
    assert tensor == Tensor(DType.FLOAT32, array.shape, array.tobytes())


def test_memory_is_shared_where_layout_and_type_allow() -> None:
    array = np.arange(6, dtype=np.float32)
    tensor = Tensor.from_array(array.reshape(2, 3))
    assert np.shares_memory(tensor.numpy(), array)
    assert np.shares_memory(np.frombuffer(tensor.raw(), np.uint8), array)
    assert not np.shares_memory(Tensor.from_array(array, DType.FLOAT64).numpy(), array)


# Mapped tensors ------------------------------------------------------------------------------


def test_a_mapped_array_is_a_view_of_the_file(tmp_path: Path) -> None:
    tensor = stored(Tensor.from_array(np.arange(3000, dtype=np.float32).reshape(30, 100)), tmp_path)
    first, second = tensor.numpy(), tensor.numpy()
    assert np.shares_memory(first, second)
    assert np.shares_memory(first, np.frombuffer(tensor.raw(), np.uint8))
    base: Any = first
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, memoryview)
    assert type(base.obj).__name__ == "mmap"
    assert first.ctypes.data % 64 == 0
    assert all(np.shares_memory(chunk, first) for chunk in tensor.chunks())


def test_without_being_asked_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.arange(5000, dtype=np.int16).reshape(50, 100)
    tensor = stored(Tensor.from_array(array, None, Quantization((0.5,), 16)), tmp_path)

    def never(self: object) -> None:
        raise AssertionError("the file was read")

    with monkeypatch.context() as patch:
        patch.setattr(MappedBytes, "view", never)
        assert (tensor.dtype, tensor.shape, tensor.size) == (DType.INT16, (50, 100), 5000)
        assert (tensor.nbytes, tensor.is_mapped) == (10000, True)
        assert repr(tensor) == "Tensor(int16[50, 100])"
        assert tensor.quantization == Quantization((0.5,), 16)
        assert len(tensor.recorded_sha256) == 32
        assert tensor.sha256() == tensor.recorded_sha256
        assert isinstance(tensor.identity, int)
        assert tensor == tensor
        for ask in (
            tensor.numpy,
            tensor.values,
            tensor.raw,
            tensor.verify,
            lambda: list(tensor.chunks()),
        ):
            with pytest.raises(AssertionError, match="was read"):
                ask()
    assert tensor.numpy().tolist() == array.tolist()


def test_a_model_opens_without_reading_a_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.snnir"
    entry = node("n", "acme.Thing", {"a": "x"}, w=Tensor.from_array(np.zeros(9999, np.float32)))
    x = GraphInput("x", ValueType(DType.FLOAT32, (), Timing.STATIC))
    graph = Graph("main", [x], {"n": entry}, [GraphOutput("y", "n:y")])
    snnir.save(Model(graph, {"acme": 1}), path)

    def never(self: object) -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr(MappedBytes, "view", never)
    model = snnir.load(path)
    assert repr(model)
    assert snnir.digest(model)
    assert len(snnir.check(model, values=False)) == 1


def test_a_mapped_tensor_need_not_be_aligned() -> None:
    content = np.arange(100, dtype=np.float64)
    for offset in range(1, 9):
        mapped = MappedBytes(bytes(offset) + content.tobytes() + b"x", offset, 800, 0)
        tensor = Tensor(DType.FLOAT64, (10, 10), mapped)
        np.testing.assert_array_equal(tensor.numpy(), content.reshape(10, 10))
        assert tensor.numpy().sum() == content.sum()
        assert tensor == Tensor.from_array(content.reshape(10, 10))


def test_tensors_of_one_blob_share_their_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = MappedBytes(bytes(800), 0, 800, 0)
    digest = hashlib.sha256(bytes(800)).digest()
    tensors = [Tensor(DType.INT8, (800,), mapped, None, digest) for _ in range(5)]
    views = []
    original = MappedBytes.view
    monkeypatch.setattr(MappedBytes, "view", lambda self: views.append(1) or original(self))
    for tensor in tensors:
        tensor.verify()
    assert len(views) == 1
    assert len({tensor.identity for tensor in tensors}) == 1


# Chunks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ALL)
def test_chunks_are_bounded(dtype: DType) -> None:
    for size in (1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7):
        tensor = Tensor(dtype, (size,), bytes(dtype.nbytes(size)))
        chunks = list(tensor.chunks())
        assert all(chunk.nbytes <= CHUNK_BYTES and chunk.ndim == 1 for chunk in chunks)
        assert sum(chunk.size for chunk in chunks) == size


def largest(tensor: Tensor) -> float:
    return max(float(chunk.max()) for chunk in tensor.chunks())


def equal_to_another(tensor: Tensor) -> bool:
    size = tensor.nbytes
    return tensor == Tensor(tensor.dtype, tensor.shape, MappedBytes(ZEROS, 0, size, 1))


ZEROS = bytes(32 << 20)


@pytest.mark.parametrize("work", [largest, equal_to_another, Tensor.sha256])
@pytest.mark.parametrize("dtype", [DType.INT4, DType.BFLOAT16, DType.FLOAT32, DType.BOOL])
def test_memory_stays_bounded(work: Any, dtype: DType) -> None:
    size = len(ZEROS)
    tensor = Tensor(dtype, (8 * size // dtype.bits,), MappedBytes(ZEROS, 0, size, 0))
    tracemalloc.start()
    try:
        work(tensor)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


# Equality and immutability -------------------------------------------------------------------


def test_equality_is_of_bits() -> None:
    nan = np.array([np.nan, 1.0], np.float32)
    other = np.array([0x7FC00001], np.uint32).view(np.float32)
    assert Tensor.from_array(nan) == Tensor.from_array(nan.copy())
    assert Tensor.from_array(nan[:1]) != Tensor.from_array(other)
    assert Tensor.from_array([0.0]) != Tensor.from_array([-0.0])
    assert Tensor.from_array([1]) != Tensor.from_array([1.0])
    assert Tensor.from_array([[1.0]]) != Tensor.from_array([1.0])
    quantised = Tensor.from_array([1], None, Quantization((1.0,), 8))
    assert quantised != Tensor.from_array([1])
    assert quantised == Tensor.from_array([1], None, Quantization((1.0,), 8))
    assert Tensor.from_array([1.0]) != [1.0]
    assert (Tensor.from_array([1.0]) == object()) is False


def test_a_tensor_cannot_be_a_key() -> None:
    with pytest.raises(TypeError):
        hash(Tensor.from_array([1.0]))


@pytest.mark.parametrize("dtype", ALL)
def test_what_a_tensor_gives_cannot_be_written_to(dtype: DType, tmp_path: Path) -> None:
    for tensor in (
        Tensor.from_array(sample(dtype, (4, 5)), dtype),
        Tensor.from_array(sample(dtype, ()), dtype),
        Tensor(dtype, (4,), bytes(dtype.nbytes(4))),
        stored(Tensor.from_array(sample(dtype, (100, 101)), dtype), tmp_path),
    ):
        assert not tensor.numpy().flags.writeable
        assert tensor.raw().readonly
        assert not any(chunk.flags.writeable for chunk in tensor.chunks())
        with pytest.raises(ValueError, match="read-only"):
            tensor.numpy()[...] = 0


# Digests -------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_bytes() -> None:
    tensor = Tensor.from_array([1.0, 2.0])
    assert tensor.sha256() == hashlib.sha256(struct.pack("<2f", 1.0, 2.0)).digest()
    assert tensor.recorded_sha256 == b""
    tensor.verify()


def test_a_recorded_digest_is_compared() -> None:
    good = hashlib.sha256(bytes(4)).digest()
    Tensor(DType.FLOAT32, (), bytes(4), None, good).verify()
    bad = Tensor(DType.FLOAT32, (), b"\x01\0\0\0", None, good)
    assert bad.sha256() == good
    assert not bad.is_intact()
    with pytest.raises(FormatError) as caught:
        bad.verify("the place")
    assert caught.value.code == "format.blob-digest"
    assert caught.value.diagnostics[0].where == "the place"
    assert caught.value.diagnostics[0].allowed == good.hex()


# Quantisation --------------------------------------------------------------------------------


def test_values_are_those_that_the_elements_stand_for() -> None:
    array = np.array([[1, -2], [3, 4]], np.int8)
    plain = Tensor.from_array(array)
    assert plain.values().tolist() == array.tolist()
    one = Tensor.from_array(array, None, Quantization((0.5,), 8, (1,)))
    assert one.values().tolist() == [[0.0, -1.5], [1.0, 1.5]]
    assert one.values().dtype == np.float32
    rows = Tensor.from_array(array, None, Quantization((0.5, 2.0), 8, axis=0))
    assert rows.values().tolist() == [[0.5, -1.0], [6.0, 8.0]]
    columns = Tensor.from_array(array, None, Quantization((0.5, 2.0), 8, (0, 1), axis=1))
    assert columns.values().tolist() == [[0.5, -6.0], [1.5, 6.0]]
    packed = Tensor.from_array(array, DType.INT4, Quantization((0.25,), 4))
    assert packed.values().tolist() == [[0.25, -0.5], [0.75, 1.0]]
    scalar = Tensor.from_array(np.int8(3), None, Quantization((0.5,), 8))
    assert scalar.values().tolist() == 1.5


def test_dequantisation_rounds_once_and_never_warns() -> None:
    big = np.array([2**31 - 1, -(2**31)], np.int32)
    tensor = Tensor.from_array(big, None, Quantization((0.1,), 32, (5,)))
    exact = [(int(v) - 5) * 0.1 for v in big]
    assert tensor.values().tolist() == [float(np.float32(v)) for v in exact]
    huge = Tensor.from_array(big, None, Quantization((1e300,), 32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert huge.values().tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "quantization",
    [
        Quantization((1.0, 2.0, 3.0), 8, axis=0),
        Quantization((1.0,), 8, axis=5),
        Quantization((1.0, 2.0), 8),
        Quantization((), 8),
        Quantization((1.0,), 8, (1, 2)),
        Quantization((1.0,), 0),
    ],
)
def test_values_of_a_quantisation_that_does_not_fit(quantization: Quantization) -> None:
    tensor = Tensor.from_array(np.zeros((2, 2), np.int8), None, quantization)
    with pytest.raises(ModelError) as caught:
        tensor.values()
    assert caught.value.code == "type.quantisation"
    assert tensor.numpy().shape == (2, 2)


def test_ranges_of_integers() -> None:
    assert Quantization((1.0,), 8).range() == (-128, 127)
    assert Quantization((1.0,), 8, signed=False).range() == (0, 255)
    assert Quantization((1.0,), 1).range() == (-1, 0)
    assert Quantization((1.0,), 1, signed=False).range() == (0, 1)
    assert Quantization((1.0,), 64).range() == (-(2**63), 2**63 - 1)


def test_labels_are_stable() -> None:
    assert [d.label for d in DType] == [
        "bool", "int4", "int8", "uint8", "int16", "int32", "int64",
        "float16", "float32", "float64", "bfloat16",
    ]  # fmt: skip
    assert [t.label for t in Timing] == ["static", "per_step"]
    assert [r.label for r in Rounding] == ["half_even", "half_away", "floor", "toward_zero"]
    assert {dtype: dtype.bits for dtype in DType}[DType.INT4] == 4
    assert [d for d in DType if d.is_integer] == list(DType)[1:7]


def test_limits_of_shapes() -> None:
    for good in ((), (0,), (1 << 48,), (1 << 24, 1 << 24), ("n", 1 << 48), (0, 1 << 48), (1,) * 16):
        assert shape_problem(good) is None
    for bad in ((1 << 49,), (1 << 25, 1 << 24), (0, 1 << 49), ("n", 1 << 49), (1,) * 17):
        assert shape_problem(bad) is not None


def test_the_module_states_its_bound() -> None:
    assert tensor_module.CHUNK_BYTES <= 1 << 20
