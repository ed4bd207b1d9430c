"""Tensors whose bytes are looked at only when asked for."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from typing import Final, cast

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


class MappedBytes:
    """A stretch of a mapped file. Nothing is read until :meth:`view` is used."""

    __slots__ = ("_map", "index", "length", "offset")

    def __init__(self, mapped: mmap.mmap | bytes, offset: int, length: int, index: int) -> None:
        self._map = mapped
        self.offset = offset
        self.length = length
        self.index = index

    def view(self) -> memoryview:
        """The bytes, without a copy."""
        return memoryview(self._map)[self.offset : self.offset + self.length]


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
                type asked for.
        """
        array = np.asarray(values)
        if not isinstance(values, (np.ndarray, np.generic)) and array.dtype == np.float64:
            array = array.astype(np.float32)
        if dtype is None:
            dtype = FROM_NUMPY.get(array.dtype.newbyteorder("<"))
            if dtype is None:
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
            _check_cast(array, array.astype(np.int8), dtype, -8, 7)
            array = _pack_int4(array)
        elif array.dtype != STORAGE[dtype]:
            converted = array.astype(STORAGE[dtype])
            if not dtype.is_float:
                _check_cast(array, converted, dtype)
            array = converted
        array = np.ascontiguousarray(array).view()
        array.flags.writeable = False
        return Tensor(dtype, shape, array, quantization)

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

    def raw(self) -> memoryview:
        """The bytes as the file holds them, without a copy."""
        data = self._data
        if isinstance(data, bytes):
            return memoryview(data)
        if isinstance(data, MappedBytes):
            return data.view()
        return memoryview(data.reshape(-1).view(np.uint8))

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
        stored = self._stored()
        if self.dtype is DType.INT4:
            stored = _unpack_int4(stored.reshape(-1), self.size)
        elif self.dtype is DType.BFLOAT16:
            stored = (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return stored.reshape(self.shape)

    def values(self) -> Array:
        """The numbers that the elements stand for: dequantised if quantised."""
        array = self.numpy()
        return array if self.quantization is None else self.quantization.apply(array)

    def chunks(self) -> Iterator[Array]:
        """The elements, flat, a stretch at a time, so that memory stays bounded."""
        step = max(CHUNK_BYTES // NUMPY[self.dtype].itemsize, 2)
        if self.dtype in (DType.INT4, DType.BFLOAT16):
            raw = self.raw()
            for start in range(0, self.size, step):
                count = min(step, self.size - start)
                first = self.dtype.nbytes(start)
                piece = bytes(raw[first : first + self.dtype.nbytes(count)])
                yield Tensor(self.dtype, (count,), piece).numpy()
        else:
            flat = self._stored().reshape(-1)
            for start in range(0, self.size, step):
                yield flat[start : start + step]

    @property
    def recorded_sha256(self) -> bytes:
        """The digest that the file gives for the bytes; empty if it gives none."""
        return self._sha256

    def sha256(self) -> bytes:
        """SHA-256 of the bytes: the one the file gives, otherwise computed."""
        return self._sha256 or hashlib.sha256(self.raw()).digest()

    def verify(self, where: str = "tensor") -> None:
        """Compare the bytes with the digest that the file gives, if any.

        Raises:
            FormatError: If they differ.
        """
        if self._sha256 and (found := hashlib.sha256(self.raw()).digest()) != self._sha256:
            raise FormatError(
                Diagnostic("format.blob-digest", where, found.hex(), self._sha256.hex())
            )

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
        return bool(np.array_equal(_bytes_array(self.raw()), _bytes_array(other.raw())))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tensor({self.dtype.label}{format_shape(self.shape)})"


def _bytes_array(raw: memoryview) -> npt.NDArray[np.uint8]:
    return np.frombuffer(raw, np.uint8)


def _check_cast(
    array: Array, converted: Array, dtype: DType, low: int | None = None, high: int | None = None
) -> None:
    fits = np.array_equal(array, converted)
    if fits and low is not None and high is not None and array.size:
        fits = bool(np.min(converted) >= low and np.max(converted) <= high)
    if not fits:
        raise ModelError(
            Diagnostic(
                "value.range",
                "tensor",
                f"values that change on conversion from {array.dtype} to {dtype.label}",
                f"values of {dtype.label}",
                hint="Round and clip the array first.",
            )
        )


def _to_bfloat16(array: Array) -> Array:
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(array), quiet, rounded).astype("<u2")


def _pack_int4(array: Array) -> Array:
    nibbles = array.astype(np.int8).reshape(-1).view(np.uint8) & np.uint8(0x0F)
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    return cast(Array, nibbles[0::2] | (nibbles[1::2] << np.uint8(4)))


def _unpack_int4(packed: Array, size: int) -> Array:
    stored = packed.astype(np.uint8)
    nibbles = np.empty(2 * stored.size, np.int8)
    nibbles[0::2] = stored & np.uint8(0x0F)
    nibbles[1::2] = stored >> np.uint8(4)
    return cast(Array, ((nibbles ^ np.int8(8)) - np.int8(8))[:size])
