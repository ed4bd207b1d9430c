"""Pooling against loops over the formula, ONNX and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnir.ops import kernels
from snnir.ops.ann import OPERATORS as ANN
from snnir.ops.dims import WindowRule
from snnir.ops.pooling import pooling_operators
from tests.ops.harness import Array, Refused, find, infer, onnx_run, run

SNN = pooling_operators("snn")


def integers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


# The formulas, as loops ----------------------------------------------------------------------


def starts(n: int, size: int, stride: int, begin: int, end: int, ceil_mode: bool) -> list[int]:
    """First element of every window: those that fit, then perhaps one that does not."""
    found = list(range(-begin, n + end - size + 1, stride))
    after = (found[-1] + stride) if found else -begin
    ends_early = not found or found[-1] + size < n + end
    if ceil_mode and ends_early and after < n and (found or n + begin + end > size - stride):
        found.append(after)
    return found


def slow_pool(
    x: Array,
    sizes: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    ceil_mode: bool,
    reduce: Callable[[Array, int, int], Array],
) -> Array:
    """Every window by itself.

    `reduce` gets the elements inside of the input (batch, elements, channels), their number, and
    their number with padding.
    """
    lengths = x.shape[1:-1]
    ends = [pads[2 * a : 2 * a + 2] for a in range(len(lengths))]
    firsts = [
        starts(n, k, s, *edge, ceil_mode)
        for n, k, s, edge in zip(lengths, sizes, strides, ends, strict=True)
    ]
    y = np.zeros((len(x), *map(len, firsts), x.shape[-1]), np.float64)
    for out in np.ndindex(*map(len, firsts)):
        inside, padded = [], 1
        for a, o in enumerate(out):
            first, last = firsts[a][o], firsts[a][o] + sizes[a]
            inside.append(range(max(first, 0), min(last, lengths[a])))
            padded *= min(last, lengths[a] + ends[a][1]) - first
        seen = x[(slice(None), *np.ix_(*inside))].reshape(len(x), -1, x.shape[-1])
        y[(slice(None), *out)] = reduce(seen, seen.shape[1], padded)
    return y


REDUCE: dict[str, Callable[[Array, int, int], Array]] = {
    "SumPool": lambda seen, inside, padded: seen.sum(1),
    "MaxPool": lambda seen, inside, padded: seen.max(1),
    "AveragePool": lambda seen, inside, padded: seen.sum(1) / inside,
    "AveragePool with padding": lambda seen, inside, padded: seen.sum(1) / padded,
}


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    rank = draw(st.integers(1, 2))
    sizes = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    padding = draw(st.sampled_from(["valid", "same", "explicit"]))
    pads = tuple(draw(st.integers(0, size - 1)) for size in sizes for _ in range(2))
    return {
        "rank": rank,
        "shape": (
            draw(st.integers(1, 2)),
            *(draw(st.integers(size, size + 5)) for size in sizes),
            draw(st.integers(1, 3)),
        ),
        "attributes": {
            "pool_size": sizes,
            "strides": draw(st.none() | st.tuples(*[st.integers(1, 5)] * rank)),
            "padding": padding,
            "pads": pads if padding == "explicit" else None,
            "ceil_mode": padding != "same" and draw(st.booleans()),
        },
        "seed": draw(st.integers(0, 1000)),
    }


@pytest.mark.parametrize("name", REDUCE)
@settings(max_examples=120, deadline=None)
@given(case=pools())
def test_pooling(name: str, case: dict[str, Any]) -> None:
    operator, _, with_padding = name.partition(" with ")
    operators = ANN if operator == "MaxPool" else SNN
    x = integers(case["seed"], *case["shape"])
    attributes = case["attributes"]
    given_attributes = {**attributes, "count_include_pad": True} if with_padding else attributes
    y = run(find(operators, f"{operator}{case['rank']}D"), x, given_attributes)
    strides = attributes["strides"] or attributes["pool_size"]
    pads = attributes["pads"] or (0,) * (2 * case["rank"])
    if attributes["padding"] == "same":
        totals = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, k, s in zip(x.shape[1:-1], attributes["pool_size"], strides, strict=True)
        ]
        pads = tuple(part for total in totals for part in (total // 2, total - total // 2))
    expected = slow_pool(
        x, attributes["pool_size"], strides, pads, attributes["ceil_mode"], REDUCE[name]
    )
    np.testing.assert_array_equal(y, expected.astype(np.float32))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 0), (1, 0, 0, 1)])
def test_average_equals_onnx(ceil_mode: bool, include: bool, pads: tuple[int, ...]) -> None:
    x = integers(0, 2, 8, 7, 3)
    attributes = {
        "pool_size": (3, 2),
        "strides": (2, 2),
        "padding": "explicit",
        "pads": pads,
        "ceil_mode": ceil_mode,
        "count_include_pad": include,
    }
    expected = onnx_run(
        "AveragePool",
        {"x": x.transpose(0, 3, 1, 2)},
        kernel_shape=[3, 2],
        strides=[2, 2],
        pads=[pads[0], pads[2], pads[1], pads[3]],
        ceil_mode=int(ceil_mode),
        count_include_pad=int(include),
    )
    y = run(find(SNN, "AveragePool2D"), x, attributes)
    np.testing.assert_allclose(y, expected.transpose(0, 2, 3, 1), rtol=1e-6)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_maximum_equals_onnx(ceil_mode: bool) -> None:
    x = integers(0, 2, 8, 7, 3)
    attributes = {"pool_size": (3, 3), "strides": (2, 2), "ceil_mode": ceil_mode}
    expected = onnx_run(
        "MaxPool",
        {"x": x.transpose(0, 3, 1, 2)},
        kernel_shape=[3, 3],
        strides=[2, 2],
        ceil_mode=int(ceil_mode),
    )
    y = run(find(ANN, "MaxPool2D"), x, attributes)
    np.testing.assert_array_equal(y, expected.transpose(0, 2, 3, 1))


# By hand from the rule of PyTorch: (length, window, stride, begin = end, ceil_mode), output length.
PYTORCH_LENGTHS = [
    ((5, 2, 2, 0, False), 2),
    ((5, 2, 2, 0, True), 3),
    ((6, 2, 2, 0, True), 3),
    ((4, 1, 3, 0, True), 2),
    ((5, 1, 3, 0, True), 2),
    ((6, 1, 3, 0, True), 2),
    ((5, 2, 2, 1, True), 3),
    ((6, 3, 4, 1, True), 2),
    ((2, 3, 2, 0, True), 1),
    ((7, 2, 4, 1, True), 2),
]


@pytest.mark.parametrize(("case", "expected"), PYTORCH_LENGTHS)
def test_ceil_mode_is_that_of_pytorch(case: tuple[int, int, int, int, bool], expected: int) -> None:
    length, size, stride, pad, ceil_mode = case
    attributes = {
        "pool_size": (size,),
        "strides": (stride,),
        "padding": "explicit",
        "pads": (pad, pad),
        "ceil_mode": ceil_mode,
    }
    y = run(find(SNN, "SumPool1D"), np.ones((1, length, 1)), attributes)
    assert y.shape == (1, expected, 1)


def test_padding_counts_only_on_request_and_what_ceil_mode_adds_never_does() -> None:
    x = np.full((1, 5, 1), 6.0)
    attributes = {
        "pool_size": (3,),
        "strides": (3,),
        "padding": "explicit",
        "pads": (1, 0),
        "ceil_mode": True,
    }
    y = run(find(SNN, "AveragePool1D"), x, attributes)
    np.testing.assert_array_equal(y[0, :, 0], [6, 6])
    y = run(find(SNN, "AveragePool1D"), x, {**attributes, "count_include_pad": True})
    np.testing.assert_array_equal(y[0, :, 0], [4, 6])
    x, attributes = x[:, :4], {**attributes, "pads": (1, 1)}
    y = run(find(SNN, "AveragePool1D"), x, {**attributes, "count_include_pad": True})
    np.testing.assert_array_equal(y[0, :, 0], [4, 4])
    attributes["strides"] = (2,)
    attributes["pads"] = (0, 1)
    y = run(find(SNN, "AveragePool1D"), x, {**attributes, "count_include_pad": True})
    np.testing.assert_array_equal(y[0, :, 0], [6, 4])


def test_padding_is_below_every_number_for_the_maximum() -> None:
    x = np.full((1, 3, 3, 1), -5.0)
    attributes = {"pool_size": (2, 2), "strides": (1, 1), "padding": "same"}
    np.testing.assert_array_equal(run(find(ANN, "MaxPool2D"), x, attributes), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(dtype: Any, keepdims: bool) -> None:
    x = integers(0, 3, 4, 8, 5)
    attributes = {"keepdims": keepdims}
    for name, reduce in (("GlobalAveragePool", np.mean), ("GlobalMaxPool", np.max)):
        y = run(find(ANN, f"{name}2D"), x, attributes, dtype=dtype)
        np.testing.assert_array_equal(y, reduce(x, axis=(1, 2), keepdims=keepdims))
        y = run(find(ANN, f"{name}1D"), x[0], attributes, dtype=dtype)
        np.testing.assert_array_equal(y, reduce(x[0], axis=1, keepdims=keepdims))


# The helper for other operators with windows -------------------------------------------------


def test_flat_windows() -> None:
    x = np.arange(1.0, 13.0).reshape(1, 3, 4, 1)
    rule = WindowRule((2, 2), (2, 3), (1, 1), "explicit", (0, 1, 1, 0))
    found = kernels.flat_windows(x, rule.on((3, 4)), fill=-1.0)
    assert found.shape == (1, 2, 2, 4, 1)
    np.testing.assert_array_equal(
        found[0, ..., 0],
        [[[-1, 1, -1, 5], [3, 4, 7, 8]], [[-1, 9, -1, -1], [11, 12, -1, -1]]],
    )
    dilated = WindowRule((2, 2), (1, 1), (2, 3), "valid", None)
    found = kernels.flat_windows(x, dilated.on((3, 4)))
    np.testing.assert_array_equal(found[0, 0, 0, :, 0], [1, 4, 9, 12])


# Inference -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "expected"),
    [
        ("AveragePool2D", ("n", 8, "c"), {"pool_size": (2, 2)}, ("node.0", 4, "c")),
        ("AveragePool2D", ("n", 8, 3), {"pool_size": (1, 2)}, ("n", 4, 3)),
        (
            "SumPool1D",
            ("n", 3),
            {"pool_size": (3,), "strides": (1,), "padding": "same"},
            ("n", 3),
        ),
        ("SumPool1D", (7, 3), {"pool_size": (2,), "ceil_mode": True}, (4, 3)),
        ("GlobalAveragePool2D", ("n", "m", "c"), {}, ("c",)),
        ("GlobalAveragePool2D", ("n", "m", "c"), {"keepdims": True}, (1, 1, "c")),
    ],
)
def test_inferred_shapes(
    operator: str,
    shape: tuple[int | str, ...],
    attributes: dict[str, Any],
    expected: tuple[int | str, ...],
) -> None:
    assert infer(find(SNN, operator), shape, attributes) == expected


@pytest.mark.parametrize(
    ("shape", "attributes", "place", "found", "allowed"),
    [
        ((8, 8), {"pool_size": (2, 2)}, "input 'x'", "[8, 8]", "3 axes"),
        ((8, 8, 3), {"pool_size": (2,)}, "attribute 'pool_size'", "1 numbers", "2 numbers"),
        (
            (8, 8, 3),
            {"pool_size": (2, 2), "strides": (2,)},
            "attribute 'strides'",
            "1 numbers",
            "2 numbers",
        ),
        (
            (8, 8, 3),
            {"pool_size": (2, 2), "strides": ()},
            "attribute 'strides'",
            "0 numbers",
            "2 numbers",
        ),
        (
            (8, 8, 3),
            {"pool_size": (2, 2), "padding": "same", "ceil_mode": True},
            "attribute 'ceil_mode'",
            'true with padding "same"',
            "false",
        ),
        (
            (8, 8, 3),
            {"pool_size": (2, 2), "padding": "explicit", "pads": (0, 0, 1, 2)},
            "attribute 'pads'",
            "2 along axis 1",
            "at most 1, so that no window is outside of the input",
        ),
        (
            (8, 8, 3),
            {"pool_size": (2, 2), "padding": "same", "pads": (0, 0, 1, 1)},
            "attribute 'pads'",
            "pads with padding 'same'",
            "pads only with padding 'explicit'",
        ),
        (
            (8, 1, 3),
            {"pool_size": (2, 2)},
            "input 'x'",
            "[8, 1, 3]",
            "at least 2 along axis 1",
        ),
        (
            (8, 1, 3),
            {"pool_size": (2, 4), "strides": (2, 3), "ceil_mode": True},
            "input 'x'",
            "[8, 1, 3]",
            "at least 2 along axis 1",
        ),
    ],
)
def test_refusals(
    shape: tuple[int, ...], attributes: dict[str, Any], place: str, found: str, allowed: str
) -> None:
    with pytest.raises(Refused) as refused:
        infer(find(SNN, "AveragePool2D"), shape, attributes)
    finding = refused.value.finding
    assert (finding.found, finding.allowed) == (found, allowed)
    assert finding.where.endswith(place)


@pytest.mark.parametrize("operator", ["GlobalAveragePool2D", "GlobalMaxPool2D"])
def test_global_pooling_needs_its_axes(operator: str) -> None:
    with pytest.raises(Refused, match=r"found \[8, 3\]; allowed: 3 axes"):
        infer(find(ANN, operator), (8, 3))


def test_members() -> None:
    shared = {f"{name}{rank}D" for name in ("AveragePool", "GlobalAveragePool") for rank in (1, 2)}
    assert {o.name for o in SNN} == shared | {"SumPool1D", "SumPool2D"}
    assert {o.name for o in pooling_operators("ann")} == shared | {
        f"{name}{rank}D" for name in ("MaxPool", "GlobalMaxPool") for rank in (1, 2)
    }
