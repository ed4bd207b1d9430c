"""NumPy kernels of the operators that work on windows.

Arrays are batch first, channels last: ``(batch, *spatial, channels)``. The heavy part is done
by BLAS; loops run over taps of a kernel and stretches of an axis, never over elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from snnir.ops.dims import Spread, Windows
from snnir.ops.schema import Array

BUFFER_BYTES: Final = 1 << 22
"""Most that a buffer takes, unless a single row needs more. Larger ones are slower."""

SMALL_PRODUCT: Final = 1_000_000
"""Multiplications up to which BLAS libraries take their kernels for small matrices: those need no
packing and no threads, and are faster for the narrow matrices of convolutions."""

LEAST_ROWS: Final = 16
"""Rows for which it is worth splitting a matrix product into small ones."""

LEAST_STRETCH: Final = 32
"""Elements that are added up from which a small product is worth it."""

MOST_INPUTS: Final = 288
"""Elements that a small product adds up at most, where there are more."""

SUMS_SHARE: Final = 8
"""Sums of small products take at most this part of ``BUFFER_BYTES``: they are read at once."""


def stretches(count: int, item_bytes: int) -> Iterator[slice]:
    """Slices of an axis, each of at least an item and else at most ``BUFFER_BYTES``."""
    step = max(BUFFER_BYTES // max(item_bytes, 1), 1)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


# Matrix products ---------------------------------------------------------------------------


def small_products(rows: int, products: int) -> Iterator[slice]:
    """Slices of a matrix's rows whose products with another matrix are small.

    Args:
        rows: Number of rows.
        products: Multiplications for each row.
    """
    most = SMALL_PRODUCT // max(products, 1)
    step = -(-rows // -(-rows // most)) if most >= LEAST_ROWS and rows else max(rows, 1)
    for start in range(0, rows, step):
        yield slice(start, start + step)


def multiply(x: Array, weight: Array) -> Array:
    """The product of two matrices, large ones as sums of small products."""
    rows, (inputs, units) = len(x), weight.shape
    block = min(SMALL_PRODUCT // (LEAST_ROWS * max(units, 1)), MOST_INPUTS)
    count = inputs // block if block >= LEAST_STRETCH else 0
    if rows < LEAST_ROWS or count < 2:
        product: Array = x @ weight
        return product
    y = np.empty((rows, units), x.dtype)
    blocks, left = weight[: count * block].reshape(count, block, units), count * block
    for part in stretches(rows, count * units * x.itemsize * SUMS_SHARE):
        given = x[part]
        sums = np.empty((count, len(given), units), x.dtype)
        split = given[:, :left].reshape(len(given), count, block).swapaxes(0, 1)
        for few in small_products(len(given), block * units):
            np.matmul(split[:, few], blocks, out=sums[:, few])
        np.add.reduce(sums, axis=0, out=y[part])
        if left < inputs:
            y[part] += given[:, left:] @ weight[left:]
    return y


# Windows -------------------------------------------------------------------------------------


def pad(x: Array, pads: Sequence[tuple[int, int]], fill: float = 0.0) -> Array:
    """The array with ``fill`` before and after each spatial axis; itself if nothing is added."""
    if not any(begin or end for begin, end in pads):
        return x
    lengths = x.shape[1:-1]
    padded = np.full(
        (
            len(x),
            *(begin + length + end for length, (begin, end) in zip(lengths, pads, strict=True)),
            x.shape[-1],
        ),
        fill,
        x.dtype,
    )
    padded[_inner(padded, pads)] = x
    return padded


def crop(x: Array, edges: Sequence[tuple[int, int]]) -> Array:
    """A view without the given elements at begin and end of each spatial axis."""
    return x[_inner(x, edges)]


def _inner(x: Array, edges: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """The index of what is not at an edge."""
    kept = (
        slice(begin, length - end)
        for length, (begin, end) in zip(x.shape[1:-1], edges, strict=True)
    )
    return (slice(None), *kept)


def windows(x: Array, axes: Sequence[Windows], fill: float = 0.0) -> Array:
    """All windows, ``(batch, *counts, *sizes, channels)``: a read-only view of the padded array.

    Args:
        x: The array.
        axes: How the windows lie, one entry a spatial axis.
        fill: What stands in the padding.
    """
    padded = pad(x, [(axis.begin, axis.reach) for axis in axes], fill)
    view = sliding_window_view(padded, (1, *(axis.extent for axis in axes), 1))
    starts = [slice(0, (axis.count - 1) * axis.stride + 1, axis.stride) for axis in axes]
    taps = [slice(None, None, axis.dilation) for axis in axes]
    index: tuple[slice | int, ...] = (slice(None), *starts, slice(None), 0, *taps, 0)
    return np.moveaxis(view[index], len(axes) + 1, -1)


def flat_windows(x: Array, axes: Sequence[Windows], fill: float = 0.0) -> Array:
    """Like :func:`windows` with the taps on one axis: ``(batch, *counts, taps, channels)``.

    Taps are in C order (for two axes: row by row). It is a copy unless a view will do.
    """
    counts = [axis.count for axis in axes]
    return windows(x, axes, fill).reshape(
        len(x), *counts, math.prod(axis.size for axis in axes), x.shape[-1]
    )


def reduce_windows(x: Array, axes: Sequence[Windows], ufunc: np.ufunc, fill: float) -> Array:
    """Every window reduced by an associative, commutative ufunc: ``(batch, *counts, channels)``.

    Args:
        x: The array.
        axes: How the windows lie, one entry a spatial axis.
        ufunc: E.g. ``np.add`` or ``np.maximum``.
        fill: What stands in the padding: the identity of ``ufunc``, or a value below all.
    """
    for number, axis in enumerate(axes):
        pads = [(0, 0)] * len(axes)
        pads[number] = (axis.begin, axis.reach)
        padded = pad(x, pads, fill)
        x = _tap(padded, number, 0, axis)
        if axis.size > 1:
            x = ufunc(x, _tap(padded, number, 1, axis))
        for tap in range(2, axis.size):
            ufunc(x, _tap(padded, number, tap, axis), out=x)
    return x


def window_elements(axes: Sequence[Windows], include_pad: bool) -> Array:
    """Elements in every window, ``(*counts, 1)``, with or without those of the padding.

    What a window covers beyond the padding, in ceil mode, never counts.
    """
    elements = np.ones((1,), np.int64)
    for number, axis in enumerate(axes):
        taps = (
            np.arange(axis.count)[:, np.newaxis] * axis.stride
            + np.arange(axis.size) * axis.dilation
            - axis.begin
        )
        low, high = (-axis.begin, axis.length + axis.end) if include_pad else (0, axis.length)
        inside = ((taps >= low) & (taps < high)).sum(axis=1)
        elements = elements * inside.reshape(-1, *(1,) * (len(axes) - number))
    return elements


def _tap(padded: Array, number: int, tap: int, axis: Windows) -> Array:
    """What one tap sees as the window moves along a spatial axis."""
    start = tap * axis.dilation
    seen = slice(start, start + (axis.count - 1) * axis.stride + 1, axis.stride)
    index = (*(slice(None),) * (number + 1), seen)
    return padded[index]


# Convolution ---------------------------------------------------------------------------------


def convolution_matrices(weight: Array, groups: int) -> Array:
    """A weight ``(*sizes, in / groups, out)`` as one matrix a group, for :func:`convolve`."""
    split = weight.reshape(math.prod(weight.shape[:-1]), groups, -1)
    return np.ascontiguousarray(np.moveaxis(split, 1, 0))


def convolve(x: Array, matrices: Array, axes: Sequence[Windows]) -> Array:
    """Correlation with the kernels that :func:`convolution_matrices` made ready."""
    groups, taps, filters = matrices.shape
    stretch = axes[-1].size * x.shape[-1]
    dense = all(axis.stride == 1 for axis in axes) and axes[-1].dilation == 1
    if groups == 1 and dense and (stretch >= LEAST_STRETCH or taps == stretch):
        return _convolve_in_place(x, matrices[0], axes)
    counts = [axis.count for axis in axes]
    y = np.empty((len(x), *counts, groups, filters), x.dtype)
    row_bytes = math.prod(counts[1:]) * groups * taps * x.itemsize
    for part in stretches(len(x), counts[0] * row_bytes):
        patches = windows(x[part], axes)
        grouped = np.moveaxis(patches.reshape(*patches.shape[:-1], groups, -1), -2, 0)
        for rows in stretches(counts[0], len(patches) * row_bytes):
            columns = grouped[:, :, rows].reshape(groups, len(patches), -1, taps)
            target = y[part, rows].reshape(len(patches), -1, groups, filters)
            for few in small_products(columns.shape[2], taps * filters):
                np.matmul(
                    columns[:, :, few],
                    matrices[:, np.newaxis],
                    out=target[:, few].transpose(2, 0, 1, 3),
                )
    return y.reshape(len(x), *counts, groups * filters)


def _convolve_in_place(x: Array, matrix: Array, axes: Sequence[Windows]) -> Array:
    """A convolution of stride 1 whose windows are multiplied where they lie in the input.

    What a window covers of one row of the image is one stretch of memory, and the stretches of
    every n-th window, n being the width of the kernel, follow one another: they are the rows of a
    matrix. So each row of the kernel takes n matrix products and nothing is copied. Windows that
    reach from one row of the image into the next are computed, too, and left out of the result.
    """
    *above, along = axes
    channels, filters = x.shape[-1], matrix.shape[-1]
    kernel = matrix.reshape(-1, along.size * channels, filters)
    step = above[0].dilation if above else 1
    height = above[0].count if above else 1
    pads = [(axis.begin, axis.reach) for axis in axes]
    width = along.length + sum(pads[-1])
    places = (height - 1) * width + along.count
    y = np.empty((len(x), height, along.count, filters), x.dtype)
    sample_bytes = height * width * (channels + 2 * filters) * x.itemsize
    for part in stretches(len(x), sample_bytes):
        image = np.ascontiguousarray(pad(x[part], pads)).reshape(len(x[part]), -1, channels)
        sums: Array = np.empty((len(image), height * width, filters), x.dtype)
        more = np.empty_like(sums) if len(kernel) > 1 else sums
        for row, weight in enumerate(kernel):
            target = more if row else sums
            for first in range(min(along.size, places)):
                count = -(-(places - first) // along.size)
                _multiply_stretches(
                    image[:, row * step * width + first :],
                    weight,
                    target[:, first :: along.size][:, :count],
                )
            if 0 < row < len(kernel) - 1:
                sums[:, :places] += more[:, :places]
        shape = (len(image), height, width, filters)
        seen = sums.reshape(shape)[:, :, : along.count]
        if len(kernel) > 1:
            np.add(seen, more.reshape(shape)[:, :, : along.count], out=y[part])
        else:
            y[part] = seen
    return y.reshape(len(x), *(axis.count for axis in axes), filters)


def _multiply_stretches(image: Array, weight: Array, target: Array) -> None:
    """Products of a matrix with stretches of memory, one after the other.

    Args:
        image: ``(batch, places, channels)``, each sample in one piece.
        weight: ``(length of a stretch, filters)``.
        target: ``(batch, stretches, filters)``; takes the products.
    """
    (taps, filters), item = weight.shape, image.itemsize
    stretches_of = as_strided(
        image,
        (*target.shape[:2], taps),
        (image.strides[0], taps * item, item),
        writeable=False,
    )
    for rows in small_products(target.shape[1], taps * filters):
        np.matmul(stretches_of[:, rows], weight, out=target[:, rows])


def add_to_channels(y: Array, bias: Array) -> None:
    """Add a number for each channel, in place."""
    if y.ndim < 3 or not y.flags.c_contiguous:
        y += bias
        return
    rows = y.reshape(*y.shape[:-2], -1)
    rows += np.tile(bias, y.shape[-2])


def convolve_depthwise(x: Array, taps: Array, axes: Sequence[Windows]) -> Array:
    """Correlation of each channel with kernels of its own.

    Args:
        x: The array.
        taps: ``(*sizes, in * multiplier)``; those of an input channel are adjacent.
        axes: How the windows lie, one entry a spatial axis.
    """
    multiplier = taps.shape[-1] // x.shape[-1]
    seen = windows(np.repeat(x, multiplier, axis=-1) if multiplier > 1 else x, axes)
    batch, channels, *letters = range(2 + 2 * len(axes))
    places, inside = letters[: len(axes)], letters[len(axes) :]
    y: Array = np.einsum(
        seen,
        [batch, *places, *inside, channels],
        taps,
        [*inside, channels],
        [batch, *places, channels],
    )
    return y


def convolve_transposed(x: Array, weight: Array, axes: Sequence[Spread]) -> Array:
    """Transposed convolution with a weight ``(*sizes, in, out)``."""
    lengths = [max(axis.full, axis.begin + axis.count) for axis in axes]
    y = np.zeros((len(x), *lengths, weight.shape[-1]), x.dtype)
    rows = x.reshape(-1, x.shape[-1])
    for tap in np.ndindex(*(axis.size for axis in axes)):
        reached = [slice(None)]
        for axis, number in zip(axes, tap, strict=True):
            first = number * axis.dilation
            last = first + (axis.length - 1) * axis.stride
            reached.append(slice(first, last + 1, axis.stride))
        y[tuple(reached)] += (rows @ weight[tap]).reshape(*x.shape[:-1], weight.shape[-1])
    kept = (slice(None), *(slice(axis.begin, axis.begin + axis.count) for axis in axes))
    return y[kept]


# Upsampling ----------------------------------------------------------------------------------


def upsample_nearest(x: Array, factors: Sequence[int]) -> Array:
    """Every element repeated along the spatial axes."""
    for axis, factor in enumerate(factors, 1):
        x = np.repeat(x, factor, axis) if factor > 1 else x
    return x


def upsample_linear(x: Array, factors: Sequence[int]) -> Array:
    """Linear interpolation between half-pixel centres, the last spatial axis first."""
    for axis, factor in reversed(list(enumerate(factors, 1))):
        length = x.shape[axis]
        place = 2 * np.arange(length * factor) + 1 - factor
        low, rest = np.divmod(place, 2 * factor)
        weight = (rest / (2 * factor)).astype(x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
        first = np.take(x, np.maximum(low, 0), axis)
        second = np.take(x, np.minimum(low + 1, length - 1), axis)
        x = first + (second - first) * weight
    return x
