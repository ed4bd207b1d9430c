"""Tensors whose bytes are looked at only when asked for."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FormatError, ModelError
from snnir.ir.types import (
    FROM_NUMPY,
    NUMPY,
    STORAGE,
    DType,
    Quantization,
    element_count,
    format_shape,
)

Array = npt.NDArray[np.generic]

CHUNK_BYTES: Final = 1 << 18

_RANGES: Final[dict[DType, tuple[int, int]]] = {
    DType.BOOL: (0, 1),
    DType.UINT8: (0, 255),
    **{
        dtype: (-(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1)
        for dtype in (DType.INT4, DType.INT8, DType.INT16, DType.INT32, DType.INT64)
    },
}


class MappedBytes:
    """A stretch of a mapped file. Nothing is read until :meth:`view` is used.

    All tensors of a file that refer to the same blob share one of these.
    """

    __slots__ = ("_map", "_sha256", "index", "length", "offset")

    def __init__(self, mapped: mmap.mmap | bytes, offset: int, length: int, index: int) -> None:
        self._map = mapped
        self._sha256 = b""
        self.offset = offset
        self.length = length
        self.index = index

    def view(self) -> memoryview:
        """The bytes, without a copy."""
        return memoryview(self._map)[self.offset : self.offset + self.length]

    def sha256(self) -> bytes:
        """SHA-256 of the bytes, computed once however many tensors share them."""
        if not self._sha256:
            with self.view() as view:
                self._sha256 = hashlib.sha256(view).digest()
        return self._sha256


class Tensor:
    """An immutable n-dimensional array with a portable element type.

    ``dtype``, ``shape``, ``size`` and ``nbytes`` never do I/O. The bytes are those of the
    file (little-endian, C order) and are shared, not copied.
    """

    __slots__ = ("_data", "_sha256", "dtype", "quantization", "shape")

    dtype: DType
    shape: tuple[int, ...]
    quantization: Quantization | None

    def __init__(
        self,
        dtype: DType,
        shape: tuple[int, ...],
        data: Array | bytes | MappedBytes,
        quantization: Quantization | None = None,
        sha256: bytes = b"",
    ) -> None:
        """Wrap bytes that are known to fit. Most callers want :meth:`from_array`."""
        self.dtype = dtype
        self.shape = shape
        self._data = data
        self.quantization = quantization
        self._sha256 = sha256

    @staticmethod
    def from_array(
        values: npt.ArrayLike,
        dtype: DType | None = None,
        quantization: Quantization | None = None,
    ) -> Tensor:
        """Make a tensor of an array, sharing its memory where layout and type allow it.

        Args:
            values: Numbers. A Python number, or list of numbers, becomes float32, int64 or bool.
            dtype: Element type; by default that of the array. ``BFLOAT16`` rounds float32 to
                the nearest, halves to even; ``INT4`` packs integers from -8 to 7.
            quantization: What the elements stand for.

        Raises:
            ModelError: If the array's type has no counterpart, or a value does not fit the
                type asked for: an integer type takes no number that would change, a float
                type none that would become infinite.
        """
        array = _as_array(values)
        if dtype is None:
            dtype = FROM_NUMPY.get(array.dtype.newbyteorder("<"))
        if dtype is None or array.dtype.kind not in "biuf":
            raise ModelError(
                Diagnostic(
                    "type.dtype",
                    "tensor",
                    f"NumPy type {array.dtype}",
                    "one of " + ", ".join(str(known) for known in FROM_NUMPY),
                )
            )
        shape = array.shape
        if dtype is DType.BFLOAT16:
            array = _to_bfloat16(array)
        elif dtype is DType.INT4:
            array = _pack_int4(_cast(array, NUMPY[dtype], dtype))
        elif array.dtype != STORAGE[dtype]:
            array = _cast(array, STORAGE[dtype], dtype)
        return Tensor(dtype, shape, _read_only(np.ascontiguousarray(array).view()), quantization)

    @property
    def size(self) -> int:
        """Number of elements."""
        return element_count(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes the elements take in the file."""
        return self.dtype.nbytes(self.size)

    @property
    def is_mapped(self) -> bool:
        """Whether the elements still are in a mapped file."""
        return isinstance(self._data, MappedBytes)

    @property
    def identity(self) -> int:
        """The same number for tensors that are known to share their bytes."""
        return id(self._data)

    def raw(self) -> memoryview:
        """The bytes as the file holds them, without a copy."""
        data = self._data
        if isinstance(data, bytes):
            return memoryview(data)
        if isinstance(data, MappedBytes):
            return data.view()
        return memoryview(cast(Any, data.reshape(-1).view(np.uint8)))

    def _stored(self) -> Array:
        data = self._data
        if isinstance(data, np.ndarray):
            return data
        buffer = data if isinstance(data, bytes) else data.view()
        return np.frombuffer(buffer, STORAGE[self.dtype])

    def numpy(self) -> Array:
        """The elements as a read-only array.

        A view, except for int4 (unpacked to int8) and bfloat16 (widened to float32).
        Quantised elements stay integers; :meth:`values` gives what they stand for.
        """
        return self._decode(self._stored(), self.size).reshape(self.shape)

    def _decode(self, stored: Array, size: int) -> Array:
        if self.dtype is DType.INT4:
            return _read_only(_unpack_int4(stored.reshape(-1), size))
        if self.dtype is DType.BFLOAT16:
            wide = stored.reshape(-1).astype(np.uint32) << np.uint32(16)
            return _read_only(wide.view(np.float32))
        return stored

    def values(self) -> Array:
        """The numbers that the elements stand for: dequantised if quantised.

        Raises:
            ModelError: If the quantisation does not fit the tensor.
        """
        if self.quantization is None:
            return self.numpy()
        problem = self.quantization.problem(self.dtype, self.shape)
        if problem is not None:
            raise ModelError(Diagnostic("type.quantisation", repr(self), *problem))
        return self.quantization.apply(self.numpy())

    def chunks(self) -> Iterator[Array]:
        """The elements, flat, a stretch at a time, so that memory stays bounded."""
        step = max(CHUNK_BYTES // NUMPY[self.dtype].itemsize, 2)
        stored = self._stored().reshape(-1)
        for start in range(0, self.size, step):
            stop = min(start + step, self.size)
            if self.dtype is DType.INT4:
                piece = stored[start // 2 : (stop + 1) // 2]
            else:
                piece = stored[start:stop]
            yield self._decode(piece, stop - start)

    @property
    def recorded_sha256(self) -> bytes:
        """The digest that the file gives for the bytes; empty if it gives none."""
        return self._sha256

    def sha256(self) -> bytes:
        """SHA-256 of the bytes: the one the file gives, otherwise computed."""
        return self._sha256 or self._computed_sha256()

    def _computed_sha256(self) -> bytes:
        if isinstance(self._data, MappedBytes):
            return self._data.sha256()
        return hashlib.sha256(self.raw()).digest()

    def is_intact(self) -> bool:
        """Whether the bytes have the digest that the file gives, if it gives one."""
        return not self._sha256 or self._computed_sha256() == self._sha256

    def verify(self, where: str = "tensor") -> None:
        """Compare the bytes with the digest that the file gives, if any.

        Raises:
            FormatError: If they differ.
        """
        if not self.is_intact():
            found = self._computed_sha256().hex()
            raise FormatError(Diagnostic("format.blob-digest", where, found, self._sha256.hex()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tensor):
            return NotImplemented
        if self is other:
            return True
        if (self.dtype, self.shape, self.quantization) != (
            other.dtype,
            other.shape,
            other.quantization,
        ):
            return False
        return self._data is other._data or _same_bytes(self.raw(), other.raw())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tensor({self.dtype.label}{format_shape(self.shape)})"


def _same_bytes(a: memoryview, b: memoryview) -> bool:
    """Whether two stretches of memory hold the same, in bounded memory."""
    return a.nbytes == b.nbytes and all(
        bytes(a[start : start + CHUNK_BYTES]) == bytes(b[start : start + CHUNK_BYTES])
        for start in range(0, a.nbytes, CHUNK_BYTES)
    )


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _as_array(values: npt.ArrayLike) -> Array:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ModelError(
            Diagnostic("type.dtype", "tensor", str(error), "numbers in a regular array")
        ) from error
    if not isinstance(values, (np.ndarray, np.generic)) and array.dtype == np.float64:
        array = _cast(array, np.dtype(np.float32), DType.FLOAT32)
    return array


def _cast(array: Array, target: np.dtype[Any], dtype: DType) -> Array:
    """Convert to a NumPy type, on the way to ``dtype``.

    Raises:
        ModelError: If a number would change to another integer, or become infinite.
    """
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        converted = array.astype(target)
    if dtype.is_float:
        finite = np.isfinite(converted)
        fits = bool(finite.all()) or np.array_equal(finite, np.isfinite(array))
    else:
        low, high = _RANGES[dtype]
        fits = not array.size or (
            array.min().item() >= low
            and array.max().item() <= high
            and np.array_equal(array, converted)
        )
    if not fits:
        raise _changed(array, dtype)
    return converted


def _changed(array: Array, dtype: DType) -> ModelError:
    return ModelError(
        Diagnostic(
            "value.range",
            "tensor",
            f"values that change on conversion from {array.dtype} to {dtype.label}",
            f"values of {dtype.label}",
            hint="Round and clip the array first.",
        )
    )


def _to_bfloat16(array: Array) -> Array:
    single = np.ascontiguousarray(_cast(array, NUMPY[DType.BFLOAT16], DType.BFLOAT16))
    bits = single.view("<u4")
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    result = np.where(np.isnan(single), quiet, rounded).astype(STORAGE[DType.BFLOAT16])
    if np.any((rounded & 0x7FFF == 0x7F80) & np.isfinite(single)):
        raise _changed(array, DType.BFLOAT16)
    return result


def _pack_int4(array: Array) -> Array:
    nibbles = array.reshape(-1).view(np.uint8) & np.uint8(0x0F)
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    return cast(Array, nibbles[0::2] | (nibbles[1::2] << np.uint8(4)))


def _unpack_int4(packed: Array, size: int) -> Array:
    stored = packed.astype(np.uint8)
    nibbles = np.empty(2 * stored.size, np.int8)
    nibbles[0::2] = stored & np.uint8(0x0F)
    nibbles[1::2] = stored >> np.uint8(4)
    return cast(Array, ((nibbles ^ np.int8(8)) - np.int8(8))[:size])
