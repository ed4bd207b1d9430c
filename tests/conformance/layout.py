"""Cases of the operators that move, select and combine values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from snnir.ir.model import Close
from snnir.ir.types import Timing
from tests.conformance.cases import HAND, RATIONAL, Case, also, near, same, shared, single
from tests.conformance.exact import Array, Numbers, element, exact, float32, fractions, zeros
from tests.conformance.reference_onnx import ONNX, channels_first, channels_last, run


def counted(*shape: int) -> Array:
    """Every element another number, in C order."""
    return np.arange(1, math.prod(shape) + 1, dtype=np.float64).reshape(shape)


def axes_cases() -> Iterator[Case]:
    x = counted(2, 2, 3, 2)
    rows = np.array([[*range(1, 13)], [*range(13, 25)]])
    yield from shared(
        "Flatten", "three-axes", "C order: the last axis varies fastest.", x, rows, origin=HAND
    )
    yield from shared(
        "Flatten",
        "no-axes",
        "A value without axes becomes one axis of length 1.",
        np.array([3.0, -1.0]),
        np.array([[3.0], [-1.0]]),
        origin=HAND,
    )
    yield from shared("Flatten", "one-axis", "One axis stays as it is.", rows, rows, origin=HAND)
    for op, timing in (("ann.Flatten", Timing.PER_STEP), ("snn.Flatten", Timing.STATIC)):
        fed = x.reshape(1, *x.shape) if timing is Timing.PER_STEP else x
        yield single(
            op,
            "other-timing",
            "Static or per step: the output is as the input.",
            {"x": fed},
            {"y": rows.reshape(*fed.shape[:-3], 12)},
            origin=HAND,
            timing=timing,
        )
    for name, what, shape in (
        ("shape", "The same elements in C order.", (4, 3)),
        ("left-over", "A length of -1 is whatever is left.", (3, -1, 2)),
        ("one-axis", "One axis, its length left over.", (-1,)),
        ("ones", "Axes of length 1 may be added anywhere.", (1, 2, 1, 6, 1)),
    ):
        y = run("Reshape", x, np.array([2, *shape], np.int64)) if -1 not in shape else None
        expected = counted(2, *(-(12 // math.prod(shape)) if n == -1 else n for n in shape))
        if y is not None:
            same(expected, y, name)
        yield from shared(
            "Reshape",
            name,
            what,
            x,
            expected,
            origin=HAND if y is None else also(HAND, ONNX),
            shape=shape,
        )
    for name, what, axes in (
        ("reverse", "Axis a of the output is axis axes[a] of the input.", (2, 1, 0)),
        ("rotate", "A rotation, which is not its own inverse.", (1, 2, 0)),
        ("identity", "Every axis stays.", (0, 1, 2)),
    ):
        y = run("Transpose", x, perm=[0, *(axis + 1 for axis in axes)])
        expected = np.zeros(y.shape)
        for place in np.ndindex(x.shape):
            feature = place[1:]
            expected[(place[0], *(feature[axis] for axis in axes))] = x[place]
        same(expected, y, name)
        yield from shared(
            "Permute", name, what, x, expected, origin=also(RATIONAL, ONNX), axes=axes
        )


def concat_cases() -> Iterator[Case]:
    a, b, c = counted(2, 2, 1, 2), -counted(2, 2, 1, 2), 100 + counted(2, 2, 1, 2)
    for name, what, axis in (
        ("last-axis", "By default along the last axis, in the order of the edges.", None),
        ("first-axis", "Along the first feature axis.", 0),
        ("middle-axis", "Axes are counted from the end, too.", -2),
    ):
        values = [a, b, c]
        y = run("Concat", *values, axis=(1 + axis if axis == 0 else axis or -1))
        expected = np.zeros(y.shape)
        along = 3 if axis is None else 1 if axis == 0 else 2
        for number, value in enumerate(values):
            for place in np.ndindex(value.shape):
                where = list(place)
                where[along] += number * value.shape[along]
                expected[tuple(where)] = value[place]
        same(expected, y, name)
        yield from shared(
            "Concat", name, what, values, expected, origin=also(RATIONAL, ONNX), axis=axis
        )
    yield from shared(
        "Concat",
        "different-lengths",
        "Values of different lengths along the axis.",
        [counted(2, 1), 10 + counted(2, 3), 20 + counted(2, 2)],
        np.array([[1, 11, 12, 13, 21, 22], [2, 14, 15, 16, 23, 24]]),
        origin=HAND,
        axis=0,
    )
    yield from shared("Concat", "one-value", "One value stays as it is.", [a], a, origin=HAND)


def resized(x: Array, rank: int, where: Any, lengths: Sequence[int]) -> Array:
    """A new array whose every element is the one of ``x`` at ``where``, or 0 outside."""
    found = np.zeros((len(x), *lengths, x.shape[-1]))
    for place in np.ndindex(found.shape):
        sample, *out, c = place
        source = [where(a, o) for a, o in enumerate(out)]
        if all(0 <= i < n for i, n in zip(source, x.shape[1:-1], strict=True)):
            found[place] = x[(sample, *source, c)]
    assert found.ndim == rank + 2
    return found


def spatial_cases() -> Iterator[Case]:
    images = {1: counted(2, 5, 2), 2: counted(2, 4, 5, 2)}
    for rank, x in images.items():
        lengths = x.shape[1:-1]
        for name, what, crops in (
            ("both-ends", "Begin and end of each axis in turn.", (1, 2, 0, 1)),
            ("nothing", "Nothing is cropped.", (0, 0, 0, 0)),
            (
                "one-element-left",
                "One element of the first axis is left.",
                (lengths[0] - 1, 0, 1, 1),
            ),
        ):
            own = crops[: 2 * rank]
            left = [n - own[2 * a] - own[2 * a + 1] for a, n in enumerate(lengths)]
            y = resized(x, rank, lambda a, o, own=own: o + own[2 * a], left)
            yield from shared(f"Crop{rank}D", name, what, x, y, origin=RATIONAL, crops=own)
        for name, what, pads in (
            ("both-ends", "Zeros at begin and end of each axis in turn.", (1, 2, 0, 3)),
            ("nothing", "Nothing is added.", (0, 0, 0, 0)),
        ):
            own = pads[: 2 * rank]
            grown = [n + own[2 * a] + own[2 * a + 1] for a, n in enumerate(lengths)]
            y = resized(x, rank, lambda a, o, own=own: o - own[2 * a], grown)
            onnx_pads = [0, *own[0::2], 0, 0, *own[1::2], 0]
            same(y, run("Pad", x, np.array(onnx_pads, np.int64)), name)
            for domain, operator in (("ann", "ZeroPad"), ("snn", "Pad")):
                yield from shared(
                    f"{operator}{rank}D",
                    name,
                    what,
                    x,
                    y,
                    origin=also(RATIONAL, ONNX),
                    domains=[domain],
                    pads=own,
                )
        for name, what, factors in (
            ("factors", "Every element is repeated; a factor for each axis.", (2, 3)),
            ("ones", "Factors of 1 change nothing.", (1, 1)),
        ):
            own = factors[:rank]
            longer = [n * f for n, f in zip(lengths, own, strict=True)]
            y = resized(x, rank, lambda a, o, own=own: o // own[a], longer)
            yield from shared(f"Upsample{rank}D", name, what, x, y, origin=RATIONAL, factors=own)


# Bilinear ------------------------------------------------------------------------------------


def interpolated(x: Array, factors: Sequence[int]) -> Array:
    """Half-pixel interpolation of rationals, along the width and then the height."""
    for axis in (2, 1):
        n, f = x.shape[axis], factors[axis - 1]
        shape = list(x.shape)
        shape[axis] = n * f
        found = zeros(shape)
        for place in np.ndindex(*shape):
            position = Fraction(2 * place[axis] + 1 - f, 2 * f)
            low = math.floor(position)
            ends = []
            for i in (low, low + 1):
                where = list(place)
                where[axis] = min(max(i, 0), n - 1)
                ends.append(x[tuple(where)])
            found[place] = ends[0] + (ends[1] - ends[0]) * (position - low)
        x = found
    return x


def bilinear_cases() -> Iterator[Case]:
    numbers = Numbers(61)
    x = numbers.grid((2, 2, 3, 2))
    for name, what, factors in (
        ("bilinear", "Half-pixel centres; beyond them the outermost element holds.", (2, 4)),
        ("bilinear-one-axis", "A factor of 1 leaves an axis as it is.", (1, 2)),
        ("bilinear-three", "A factor whose weights are no binary fractions.", (3, 3)),
    ):
        found = interpolated(fractions(x), factors)
        resized_ = channels_last(
            run(
                "Resize",
                channels_first(x),
                np.zeros(8, np.float32),  # the region, which is not used
                np.array([1, 1, *factors], np.float32),
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
        )
        near(np.array(found, np.float64), resized_, name)
        rounded = name == "bilinear-three"
        yield from shared(
            "Upsample2D",
            name,
            what,
            x,
            np.array(found, np.float64).astype(np.float32) if rounded else float32(found),
            origin=also(RATIONAL, f"{ONNX} but for rounding"),
            # Two interpolations of values of at most 2: a few roundings of 2**-23 each.
            tolerance=Close(absolute=2.0**-20) if rounded else None,
            factors=factors,
            interpolation="bilinear",
        )


# Element by element --------------------------------------------------------------------------


def elementwise_cases() -> Iterator[Case]:
    numbers = Numbers(62)
    x = numbers.grid((2, 2, 3))
    given = fractions(x)

    def each(function: Any) -> Array:
        found = zeros(given.shape)
        for place in np.ndindex(given.shape):
            found[place] = exact(function(given[place], place[1:]))
        return float32(found)

    for name, what, constant in (
        ("scalar", "One number for all elements.", np.array(-0.5)),
        ("per-channel", "A number for each channel, the last axis.", numbers.grid((3,))),
        ("per-row", "An axis of length 1 stands for any length.", numbers.grid((2, 1))),
        ("per-element", "A number for each element.", numbers.grid((2, 3))),
    ):
        own = fractions(constant)
        yield from shared(
            "Scale",
            name,
            what,
            x,
            each(lambda value, index, own=own: value * element(own, index)),
            origin=RATIONAL,
            scale=constant,
        )
        yield from shared(
            "Bias",
            name,
            what,
            x,
            each(lambda value, index, own=own: value + element(own, index)),
            origin=RATIONAL,
            bias=constant,
        )
    values = [numbers.grid((2, 2, 3)) for _ in range(3)]
    table = np.sum(np.array(values, np.float64), axis=0)
    same(table, run("Sum", *values), "Add")
    yield from shared("Add", "three", "Three values of one shape.", values, table, origin=ONNX)
    yield from shared("Add", "one", "A single value stays as it is.", [x], x, origin=HAND)
    yield from shared(
        "Add",
        "no-axes",
        "Values without axes.",
        [np.array([1.0, -2.0]), np.array([0.5, 2.0])],
        np.array([1.5, 0.0]),
        origin=HAND,
    )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from axes_cases()
    yield from concat_cases()
    yield from spatial_cases()
    yield from bilinear_cases()
    yield from elementwise_cases()
