"""Operators that move, select and combine values, against NumPy, ONNX and loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnir.ops.ann import OPERATORS as ANN
from snnir.ops.layout import layout_operators
from tests.ops.harness import Array, Refused, find, infer, onnx_run, run

SNN = layout_operators("snn")


def numbers(*shape: int) -> Array:
    """Different small integers."""
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape) - 7


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


# Axes ----------------------------------------------------------------------------------------


@given(SHAPES)
def test_flatten(shape: tuple[int, ...]) -> None:
    x = numbers(2, *shape)
    np.testing.assert_array_equal(run(find(SNN, "Flatten"), x), x.reshape(2, -1))


def test_flatten_of_a_value_without_axes() -> None:
    np.testing.assert_array_equal(run(find(SNN, "Flatten"), numbers(3)), numbers(3, 1))


@pytest.mark.parametrize("shape", [(6, 4), (-1, 4), (2, -1, 3), (24,), (-1,), (1, 24, 1)])
def test_reshape(shape: tuple[int, ...]) -> None:
    x = numbers(2, 2, 3, 4)
    y = run(find(SNN, "Reshape"), x, {"shape": shape})
    np.testing.assert_array_equal(y, x.reshape(2, *shape))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_permute(axes: tuple[int, ...]) -> None:
    x = numbers(2, 2, 3, 4)
    y = run(find(SNN, "Permute"), x, {"axes": axes})
    np.testing.assert_array_equal(y, x.transpose(0, *(axis + 1 for axis in axes)))
    assert y.flags.c_contiguous


@pytest.mark.parametrize("axis", [-1, -2, -3, 0, 1, 2])
def test_concat(axis: int) -> None:
    x = numbers(2, 2, 3, 4)
    parts = np.split(x, [1, 2], axis=axis if axis < 0 else axis + 1)
    parts = [part for part in parts if part.size]
    y = run(find(SNN, "Concat"), {"x": parts}, {"axis": axis})
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(run(find(SNN, "Concat"), {"x": [x]}, {"axis": axis}), x)


# Spatial axes --------------------------------------------------------------------------------


@settings(deadline=None)
@given(rank=st.integers(1, 2), edges=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_pad_then_crop_is_the_identity(rank: int, edges: list[int]) -> None:
    x = numbers(2, *(3, 4)[:rank], 2)
    own = edges[: 2 * rank]
    padded = run(find(SNN, f"Pad{rank}D"), x, {"pads": own})
    pairs = [(0, 0), *zip(own[::2], own[1::2], strict=True), (0, 0)]
    np.testing.assert_array_equal(padded, np.pad(x, pairs))
    cropped = run(find(SNN, f"Crop{rank}D"), padded, {"crops": own})
    np.testing.assert_array_equal(cropped, x)


def test_crop_takes_begin_and_end_of_each_axis_in_turn() -> None:
    x = numbers(1, 4, 5, 1)
    y = run(find(SNN, "Crop2D"), x, {"crops": (1, 0, 2, 1)})
    np.testing.assert_array_equal(y, x[:, 1:, 2:-1])


@pytest.mark.parametrize("factors", [(1, 1), (2, 3), (4, 1)])
def test_nearest(factors: tuple[int, int]) -> None:
    x = numbers(2, 2, 3, 2)
    y = run(find(SNN, "Upsample2D"), x, {"factors": factors})
    np.testing.assert_array_equal(y, x.repeat(factors[0], 1).repeat(factors[1], 2))
    y = run(find(SNN, "Upsample1D"), x[0], {"factors": factors[:1]})
    np.testing.assert_array_equal(y, x[0].repeat(factors[0], 1))


@pytest.mark.parametrize("factors", [(1, 1), (2, 3), (4, 1), (5, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bilinear(factors: tuple[int, int], dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 2))
    attributes = {"factors": factors, "interpolation": "bilinear"}
    y = run(find(SNN, "Upsample2D"), x, attributes, dtype=dtype)

    def places(n: int, factor: int) -> Array:
        """Where the centres of the output's pixels are, in pixels of the input."""
        return np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)

    rows, columns = places(3, factors[0]), places(4, factors[1])
    for sample in range(2):
        for channel in range(2):
            image = x[sample, ..., channel]
            wide = np.array([np.interp(columns, np.arange(4), row) for row in image])
            both = np.array([np.interp(rows, np.arange(3), column) for column in wide.T]).T
            tolerance = 1e-6 if dtype is np.float32 else 1e-14
            np.testing.assert_allclose(y[sample, ..., channel], both, atol=tolerance)


def test_bilinear_equals_onnx() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 2)).astype(np.float32)
    y = run(find(SNN, "Upsample2D"), x, {"factors": (2, 3), "interpolation": "bilinear"})
    expected = onnx_run(
        "Resize",
        {
            "x": x.transpose(0, 3, 1, 2),
            "": np.zeros(0, np.float32),
            "scales": np.array([1, 1, 2, 3], np.float32),
        },
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    np.testing.assert_allclose(y, expected.transpose(0, 2, 3, 1), atol=1e-6)


# Element by element --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1), (2, 3, 4), (2, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale_and_bias(shape: tuple[int, ...], dtype: Any) -> None:
    x = numbers(5, 2, 3, 4)
    constants = numbers(*shape) / 8
    y = run(find(SNN, "Scale"), x, parameters={"scale": constants}, dtype=dtype)
    np.testing.assert_array_equal(y, x * constants)
    y = run(find(SNN, "Bias"), x, parameters={"bias": constants}, dtype=dtype)
    np.testing.assert_array_equal(y, x + constants)


def test_add_goes_from_left_to_right() -> None:
    values = [np.array([[value]], np.float32) for value in (1e8, 1.0, -1e8, 3.0)]
    assert run(find(SNN, "Add"), {"x": values}).item() == 3.0
    assert run(find(SNN, "Add"), {"x": values[::-1]}).item() == 0.0
    assert run(find(SNN, "Add"), {"x": values[:1]}).item() == 1e8


def test_subtract() -> None:
    a, b = numbers(2, 3, 4), numbers(2, 3, 4)[::-1]
    np.testing.assert_array_equal(run(find(ANN, "Subtract"), {"a": a, "b": b}), a - b)


@pytest.mark.parametrize("shapes", [[(3, 4)], [(3, 4), (3, 4)], [(1, 4), (3, 1), (3, 4), (1, 1)]])
def test_multiply(shapes: list[tuple[int, ...]]) -> None:
    values = [numbers(2, *shape) for shape in shapes]
    expected = math.prod(values)
    np.testing.assert_array_equal(run(find(ANN, "Multiply"), {"x": values}), expected)


# Inference -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "shapes", "attributes", "expected"),
    [
        ("Flatten", [("n", 1, 1)], {}, ("n",)),
        ("Flatten", [("n", 2)], {}, ("node.0",)),
        ("Flatten", [("n", "n")], {}, ("node.0",)),
        ("Flatten", [()], {}, (1,)),
        ("Reshape", [("n", 1)], {"shape": (1, -1)}, (1, "n")),
        ("Reshape", [("n", 4)], {"shape": (2, -1)}, (2, "node.1")),
        ("Reshape", [("n",)], {"shape": (2, -1)}, (2, "node.1")),
        ("Reshape", [("n", 4)], {"shape": (2, 6)}, (2, 6)),
        ("Reshape", [(1,)], {"shape": ()}, ()),
        ("Permute", [("n", 4)], {"axes": (1, 0)}, (4, "n")),
        ("Concat", [("n", 4), ("n", 5)], {}, ("n", 9)),
        ("Concat", [("n", 4), (3, 5)], {}, (3, 9)),
        ("Concat", [("n", 4), ("n", 4)], {"axis": 0}, ("node.0", 4)),
        ("Crop1D", [("n", 4)], {"crops": (0, 0)}, ("n", 4)),
        ("Crop1D", [("n", 4)], {"crops": (1, 0)}, ("node.0", 4)),
        ("ZeroPad2D", [(3, "n", "c")], {"pads": (1, 0, 0, 2)}, (4, "node.1", "c")),
        ("Upsample2D", [("n", "m", 3)], {"factors": (1, 2)}, ("n", "node.1", 3)),
        ("Add", [("n", 4), (3, "m")], {}, (3, 4)),
        ("Multiply", [("n", 1), (3, 4)], {}, (3, 4)),
        ("Multiply", [(1, 4), ("n", "m")], {}, ("n", 4)),
    ],
)
def test_inferred_shapes(
    operator: str,
    shapes: list[tuple[int | str, ...]],
    attributes: dict[str, Any],
    expected: tuple[int | str, ...],
) -> None:
    assert infer(find(ANN, operator), {"x": shapes}, attributes) == expected


LENGTHS = "lengths of at least 1, at most one of them -1"


@pytest.mark.parametrize(
    ("operator", "shapes", "attributes", "place", "found", "allowed"),
    [
        ("Reshape", [(4,)], {"shape": (-1, -1)}, "attribute 'shape'", "[-1, -1]", LENGTHS),
        ("Reshape", [(4,)], {"shape": (4, 0)}, "attribute 'shape'", "[4, 0]", LENGTHS),
        ("Reshape", [(2, 2)], {"shape": (3,)}, "input 'x'", "[2, 2], 4 elements", "3 elements"),
        (
            "Reshape",
            [(2, 2)],
            {"shape": (3, -1)},
            "input 'x'",
            "[2, 2], 4 elements",
            "a multiple of 3 elements",
        ),
        ("Permute", [(2, 2)], {"axes": (0,)}, "attribute 'axes'", "[0]", "an order of [0, 1]"),
        ("Permute", [(2, 2)], {"axes": (1, 1)}, "attribute 'axes'", "[1, 1]", "an order of [0, 1]"),
        ("Concat", [(2, 3), (2,)], {}, "input 'x'", "[2, 3] and [2]", "2 axes each"),
        (
            "Concat",
            [(2, 3), (3, 3)],
            {},
            "input 'x', axes other than 1",
            "[2] and [3]",
            "equal shapes",
        ),
        ("Concat", [(2, 3)], {"axis": 2}, "attribute 'axis'", "2", "-2 to 1"),
        ("Concat", [()], {}, "attribute 'axis'", "-1", "nothing: the input has no axes"),
        ("Crop2D", [(4, 4)], {"crops": (0, 0, 0, 0)}, "input 'x'", "[4, 4]", "3 axes"),
        ("Crop2D", [(4, 4, 1)], {"crops": (0, 0)}, "attribute 'crops'", "2 numbers", "4 numbers"),
        (
            "Crop1D",
            [(4, 2)],
            {"crops": (2, 2)},
            "attribute 'crops'",
            "[2, 2]",
            "numbers that leave something of [4, 2]",
        ),
        ("ZeroPad1D", [(4, 2)], {"pads": (1,)}, "attribute 'pads'", "1 numbers", "2 numbers"),
        (
            "Upsample2D",
            [(4, 4, 1)],
            {"factors": (2,)},
            "attribute 'factors'",
            "1 numbers",
            "2 numbers",
        ),
        ("Add", [(2, 3), (3,)], {}, "input 'x'", "[2, 3] and [3]", "equal shapes"),
        ("Add", [(2, 3), (2, 1)], {}, "input 'x'", "[2, 3] and [2, 1]", "equal shapes"),
        ("Multiply", [(2, 3), (3,)], {}, "input 'x'", "[2, 3] and [3]", "as many axes each"),
        (
            "Multiply",
            [(2, 3), (2, 2)],
            {},
            "input 'x'",
            "[2, 3] and [2, 2]",
            "lengths that are equal or 1",
        ),
    ],
)
def test_refusals(
    operator: str,
    shapes: list[tuple[int, ...]],
    attributes: dict[str, Any],
    place: str,
    found: str,
    allowed: str,
) -> None:
    with pytest.raises(Refused) as refused:
        infer(find(ANN, operator), {"x": shapes}, attributes)
    finding = refused.value.finding
    assert (finding.found, finding.allowed) == (found, allowed)
    assert finding.where.endswith(place)


def test_subtract_needs_equal_shapes() -> None:
    with pytest.raises(Refused, match=r"inputs 'a' and 'b'.*found \[2\] and \[3\]"):
        infer(find(ANN, "Subtract"), {"a": [(2,)], "b": [(3,)]})


def test_padding_has_the_name_of_its_set() -> None:
    assert {o.name for o in ANN if "Pad" in o.name} == {"ZeroPad1D", "ZeroPad2D"}
    assert {o.name for o in SNN if "Pad" in o.name} == {"Pad1D", "Pad2D"}
