"""Dense layers and convolutions against loops over the formula, SciPy, ONNX and adjoints.

Inputs and weights are small integers, so every comparison is exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from snnir.ops import kernels
from snnir.ops.ann import OPERATORS as ANN
from snnir.ops.linear import linear_operators
from tests.ops.harness import Array, Refused, find, infer, onnx_run, run

SNN = linear_operators("snn")


def integers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


# The formulas, as loops ----------------------------------------------------------------------


def padding_of(length: int, extent: int, stride: int, padding: str, pads: Any, axis: int) -> Any:
    if padding == "explicit":
        return pads[2 * axis], pads[2 * axis + 1]
    if padding == "valid":
        return 0, 0
    total = max((-(-length // stride) - 1) * stride + extent - length, 0)
    return total // 2, total - total // 2


def slow_convolution(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: str = "valid",
    pads: Any = None,
    groups: int = 1,
) -> Array:
    """Convolution of any number of spatial axes, an output element at a time."""
    rank = x.ndim - 2
    sizes = weight.shape[:rank]
    begins, counts = [], []
    for a, (n, k, s, d) in enumerate(zip(x.shape[1:-1], sizes, strides, dilations, strict=True)):
        extent = (k - 1) * d + 1
        begin, end = padding_of(n, extent, s, padding, pads, a)
        begins.append(begin)
        counts.append((n + begin + end - extent) // s + 1)
    inputs, filters = weight.shape[-2:]
    y = np.zeros((len(x), *counts, filters), np.float64)
    for out in np.ndindex(*counts):
        for tap in np.ndindex(*sizes):
            place = [
                o * s + u * d - b
                for o, s, u, d, b in zip(out, strides, tap, dilations, begins, strict=True)
            ]
            if all(0 <= i < n for i, n in zip(place, x.shape[1:-1], strict=True)):
                for j in range(filters):
                    g = j // (filters // groups)
                    seen = x[(slice(None), *place, slice(g * inputs, (g + 1) * inputs))]
                    y[(slice(None), *out, j)] += seen @ weight[(*tap, slice(None), j)]
    return y


def slow_transposed(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    begins: Sequence[int],
    counts: Sequence[int],
) -> Array:
    """Transposed convolution, an input element and tap at a time."""
    y = np.zeros((len(x), *counts, weight.shape[-2]), np.float64)
    for source in np.ndindex(*x.shape[1:-1]):
        for tap in np.ndindex(*weight.shape[:2]):
            place = tuple(
                i * s + u * d - b
                for i, s, u, d, b in zip(source, strides, tap, dilations, begins, strict=True)
            )
            if all(0 <= o < n for o, n in zip(place, counts, strict=True)):
                y[(slice(None), *place)] += x[(slice(None), *source)] @ weight[tap].T
    return y


# Dense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (1,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense(shape: tuple[int, ...], dtype: Any) -> None:
    x, weight, bias = integers(0, 4, *shape), integers(1, shape[-1], 7), integers(2, 7)
    y = run(find(SNN, "Dense"), x, parameters={"weight": weight, "bias": bias}, dtype=dtype)
    np.testing.assert_array_equal(y, np.einsum("...i,ij->...j", x, weight) + bias)
    y = run(find(SNN, "Dense"), x, parameters={"weight": weight}, dtype=dtype)
    np.testing.assert_array_equal(y, np.einsum("...i,ij->...j", x, weight))


def test_dense_takes_arrays_of_any_memory_layout() -> None:
    x = integers(0, 6, 5, 4).transpose(2, 0, 1)[::2]
    weight = integers(1, 5, 3)
    y = run(find(SNN, "Dense"), x, parameters={"weight": weight})
    np.testing.assert_array_equal(y, np.einsum("...i,ij->...j", x, weight))


# Convolution ---------------------------------------------------------------------------------


@st.composite
def convolutions(draw: st.DrawFn, rank: int) -> dict[str, Any]:
    def several(low: int, high: int, count: int = rank) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    sizes, dilations = several(1, 4), several(1, 3)
    extents = [(k - 1) * d + 1 for k, d in zip(sizes, dilations, strict=True)]
    padding = draw(st.sampled_from(["valid", "same", "explicit"]))
    pads = several(0, 3, 2 * rank) if padding == "explicit" else None
    lengths = []
    for axis, extent in enumerate(extents):
        spare = sum(pads[2 * axis : 2 * axis + 2]) if pads else 0
        least = 1 if padding == "same" else max(extent - spare, 1)
        lengths.append(draw(st.integers(least, least + 4)))
    return {
        "sizes": sizes,
        "lengths": tuple(lengths),
        "batch": draw(st.integers(1, 3)),
        "groups": draw(st.integers(1, 3)),
        "inputs": draw(st.integers(1, 2)),
        "filters": draw(st.integers(1, 3)),
        "attributes": {
            "strides": several(1, 3),
            "dilations": dilations,
            "padding": padding,
            "pads": pads,
        },
        "seed": draw(st.integers(0, 1000)),
    }


def check_convolution(case: dict[str, Any]) -> None:
    rank, groups = len(case["sizes"]), case["groups"]
    x = integers(case["seed"], case["batch"], *case["lengths"], groups * case["inputs"])
    weight = integers(case["seed"] + 1, *case["sizes"], case["inputs"], groups * case["filters"])
    bias = integers(case["seed"] + 2, groups * case["filters"])
    y = run(
        find(SNN, f"Conv{rank}D"),
        x,
        {**case["attributes"], "groups": groups},
        {"weight": weight, "bias": bias},
    )
    expected = slow_convolution(x, weight, groups=groups, **case["attributes"])
    np.testing.assert_array_equal(y, expected + bias)


@settings(max_examples=150, deadline=None)
@given(convolutions(1))
def test_conv1d(case: dict[str, Any]) -> None:
    check_convolution(case)


@settings(max_examples=150, deadline=None)
@given(convolutions(2))
def test_conv2d(case: dict[str, Any]) -> None:
    check_convolution(case)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 2).flatmap(convolutions), st.integers(1, 60), st.integers(1, 400))
def test_convolution_in_place(case: dict[str, Any], product: int, buffer: int) -> None:
    """Narrow images, small products and small buffers: every way to split a convolution."""
    case["attributes"]["strides"] = (1,) * len(case["sizes"])
    case["attributes"]["dilations"] = (*case["attributes"]["dilations"][:-1], 1)
    case["groups"] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "LEAST_STRETCH", 1)
        patch.setattr(kernels, "LEAST_ROWS", 1)
        patch.setattr(kernels, "SMALL_PRODUCT", product)
        patch.setattr(kernels, "BUFFER_BYTES", buffer)
        check_convolution(case)


def test_windows_that_reach_around_the_end_of_a_row_do_not_show() -> None:
    """Their sums are not even numbers."""
    x = np.zeros((1, 2, 3, 32), np.float32)
    x[0, 0, 2], x[0, 1, 0] = np.inf, -np.inf
    weight = np.ones((1, 2, 32, 1), np.float32)
    with np.errstate(all="ignore"):
        y = run(find(SNN, "Conv2D"), x, {}, {"weight": weight})
    np.testing.assert_array_equal(y[0, ..., 0], [[0, np.inf], [-np.inf, 0]])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 20),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 60),
    st.integers(1, 7),
    st.integers(0, 1000),
)
def test_products_of_matrices_in_parts(
    rows: int, inputs: int, units: int, product: int, most: int, seed: int
) -> None:
    x, weight = integers(seed, rows, inputs), integers(seed + 1, inputs, units)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "LEAST_STRETCH", 1)
        patch.setattr(kernels, "LEAST_ROWS", 1)
        patch.setattr(kernels, "SMALL_PRODUCT", product)
        patch.setattr(kernels, "MOST_INPUTS", most)
        patch.setattr(kernels, "BUFFER_BYTES", 64)
        np.testing.assert_array_equal(kernels.multiply(x, weight), x @ weight)


def test_products_of_large_matrices() -> None:
    """With the sizes that are in use, and a remainder along both axes."""
    x, weight = integers(0, 777, 4609), integers(1, 4609, 131)
    np.testing.assert_array_equal(kernels.multiply(x, weight), x @ weight)


@settings(max_examples=100, deadline=None)
@given(convolutions(2))
def test_depthwise_conv2d(case: dict[str, Any]) -> None:
    channels, multiplier = case["groups"], case["filters"]
    x = integers(case["seed"], case["batch"], *case["lengths"], channels)
    weight = integers(case["seed"] + 1, *case["sizes"], channels, multiplier)
    bias = integers(case["seed"] + 2, channels * multiplier)
    y = run(
        find(SNN, "DepthwiseConv2D"),
        x,
        case["attributes"],
        {"weight": weight, "bias": bias},
    )
    grouped = weight.reshape(*case["sizes"], 1, channels * multiplier)
    expected = slow_convolution(x, grouped, groups=channels, **case["attributes"])
    np.testing.assert_array_equal(y, expected + bias)


@settings(max_examples=50, deadline=None)
@given(convolutions(2))
def test_separable_conv2d(case: dict[str, Any]) -> None:
    channels, multiplier = case["groups"], case["filters"]
    x = integers(case["seed"], case["batch"], *case["lengths"], channels)
    depthwise = integers(case["seed"] + 1, *case["sizes"], channels, multiplier)
    pointwise = integers(case["seed"] + 2, 1, 1, channels * multiplier, 4)
    bias = integers(case["seed"] + 3, 4)
    y = run(
        find(ANN, "SeparableConv2D"),
        x,
        case["attributes"],
        {"depthwise_weight": depthwise, "pointwise_weight": pointwise, "bias": bias},
    )
    grouped = depthwise.reshape(*case["sizes"], 1, channels * multiplier)
    middle = slow_convolution(x, grouped, groups=channels, **case["attributes"])
    np.testing.assert_array_equal(y, middle @ pointwise[0, 0] + bias)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 5)])
def test_conv2d_is_correlation(size: tuple[int, int]) -> None:
    image, kernel = integers(0, 9, 8), integers(1, *size)
    y = run(
        find(SNN, "Conv2D"), image[None, ..., None], parameters={"weight": kernel[..., None, None]}
    )
    expected = scipy.signal.correlate(image, kernel, mode="valid")
    np.testing.assert_array_equal(y[0, ..., 0], expected)


def test_same_padding_puts_the_odd_element_at_the_end() -> None:
    x = np.array([[[1.0], [2.0], [4.0]]])
    conv = find(SNN, "Conv1D")
    weight = np.array([[[1.0]], [[10.0]]])
    y = run(conv, x, {"padding": "same"}, {"weight": weight})
    np.testing.assert_array_equal(y[0, :, 0], [21, 42, 4])
    weight = np.array([[[1.0]], [[10.0]], [[100.0]]])
    y = run(conv, x, {"padding": "same", "strides": (2,)}, {"weight": weight})
    np.testing.assert_array_equal(y[0, :, 0], [210, 42])


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
@pytest.mark.parametrize("dilations", [(1, 1), (1, 2)])
def test_conv2d_equals_onnx(groups: int, strides: Any, dilations: Any) -> None:
    x, weight, bias = integers(0, 2, 8, 9, 4), integers(1, 3, 2, 4 // groups, 8), integers(2, 8)
    pads = (1, 2, 0, 3)
    y = run(
        find(SNN, "Conv2D"),
        x,
        {
            "strides": strides,
            "dilations": dilations,
            "groups": groups,
            "padding": "explicit",
            "pads": pads,
        },
        {"weight": weight, "bias": bias},
    )
    expected = onnx_run(
        "Conv",
        {"x": x.transpose(0, 3, 1, 2), "w": weight.transpose(3, 2, 0, 1), "b": bias},
        strides=strides,
        dilations=dilations,
        group=groups,
        pads=[pads[0], pads[2], pads[1], pads[3]],
    )
    np.testing.assert_array_equal(y, expected.transpose(0, 2, 3, 1))


def test_stretches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = integers(0, 7, 6, 5, 4), integers(1, 3, 3, 2, 6)
    attributes = {"padding": "same", "groups": 2}
    whole = run(find(SNN, "Conv2D"), x, attributes, {"weight": weight})
    row_bytes = 5 * 3 * 3 * 4 * 4
    for stretch in (1, 2 * row_bytes, 5 * row_bytes, 6 * row_bytes, 13 * row_bytes):
        monkeypatch.setattr(kernels, "BUFFER_BYTES", stretch)
        part = run(find(SNN, "Conv2D"), x, attributes, {"weight": weight})
        np.testing.assert_array_equal(part, whole)


# Transposed convolution ----------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_convolution_is_the_adjoint_of_convolution(padding: str) -> None:
    """TensorFlow defines it so; <conv(a), b> = <a, transposed(b)> for all a and b."""
    conv, transposed = find(SNN, "Conv2D"), find(SNN, "ConvTranspose2D")
    for kernel, stride, dilation in itertools.product((1, 2, 3, 4), (1, 2, 3), (1, 2)):
        attributes = {
            "strides": (stride, 1),
            "dilations": (dilation, dilation),
            "padding": padding,
        }
        weight = integers(kernel, kernel, 2, 3, 2)
        b = integers(7, 2, 3, 4, 2)
        y = run(transposed, b, attributes, {"weight": weight})
        a = integers(8, *y.shape)
        forward = run(conv, a, attributes, {"weight": weight})
        assert forward.shape == b.shape
        assert np.vdot(forward, b) == np.vdot(a, y)


@pytest.mark.parametrize("stride", [2, 3])
def test_output_padding_chooses_among_the_lengths_that_convolve_to_the_input(stride: int) -> None:
    conv, transposed = find(SNN, "Conv2D"), find(SNN, "ConvTranspose2D")
    for kernel, padding in itertools.product((1, 2, 3, 4, 5), ("valid", "same")):
        attributes = {"strides": (stride, stride), "padding": padding}
        weight, b = integers(kernel, kernel, kernel, 1, 2), integers(7, 1, 3, 2, 2)
        odd = kernel % 2 if padding == "same" else 0
        for extra in range(stride):
            if padding == "same" and not 1 <= odd + extra <= stride:
                continue
            attributes["output_padding"] = (extra, extra)
            y = run(transposed, b, attributes, {"weight": weight})
            least = (3 - 1) * stride + (kernel if padding == "valid" else odd)
            assert y.shape[1] == least + extra
            a = integers(8, *y.shape)
            forward = {k: v for k, v in attributes.items() if k != "output_padding"}
            found = run(conv, a, forward, {"weight": weight})
            assert found.shape == b.shape
            assert np.vdot(found, b) == np.vdot(a, y)


# Kernel length, stride, padding and output padding, and what Keras 3.12 on TensorFlow 2.21
# computes from the inputs 1, 2, 3 with the kernel 1, 10, 100, ...
KERAS_TRANSPOSED: list[tuple[int, int, str, int | None, list[int]]] = [
    (1, 2, "valid", None, [1, 0, 2, 0, 3, 0]),
    (1, 2, "same", 0, [1, 0, 2, 0, 3]),
    (1, 3, "same", None, [1, 0, 0, 2, 0, 0, 3, 0, 0]),
    (2, 1, "valid", None, [1, 12, 23, 30]),
    (2, 1, "same", None, [1, 12, 23]),
    (2, 2, "valid", 1, [1, 10, 2, 20, 3, 30, 0]),
    (2, 2, "same", 1, [1, 10, 2, 20, 3]),
    (2, 3, "valid", None, [1, 10, 0, 2, 20, 0, 3, 30, 0]),
    (2, 3, "valid", 0, [1, 10, 0, 2, 20, 0, 3, 30]),
    (2, 3, "same", None, [1, 10, 0, 2, 20, 0, 3, 30, 0]),
    (2, 3, "same", 2, [1, 10, 0, 2, 20, 0, 3, 30]),
    (3, 1, "same", None, [12, 123, 230]),
    (3, 2, "valid", None, [1, 10, 102, 20, 203, 30, 300]),
    (3, 2, "same", None, [1, 10, 102, 20, 203, 30]),
    (3, 2, "same", 0, [10, 102, 20, 203, 30]),
    (3, 3, "valid", 2, [1, 10, 100, 2, 20, 200, 3, 30, 300, 0, 0]),
    (3, 3, "same", 0, [10, 100, 2, 20, 200, 3, 30]),
    (3, 3, "same", 1, [1, 10, 100, 2, 20, 200, 3, 30]),
    (4, 1, "same", None, [12, 123, 1230]),
    (4, 2, "same", None, [10, 102, 1020, 203, 2030, 300]),
    (4, 2, "same", 1, [10, 102, 1020, 203, 2030]),
    (4, 3, "same", None, [1, 10, 100, 1002, 20, 200, 2003, 30, 300]),
    (4, 3, "same", 1, [10, 100, 1002, 20, 200, 2003, 30]),
]


@pytest.mark.parametrize(("size", "stride", "padding", "extra", "expected"), KERAS_TRANSPOSED)
def test_transposed_convolution_equals_keras(
    size: int, stride: int, padding: str, extra: int | None, expected: list[int]
) -> None:
    attributes = {
        "strides": (stride, 1),
        "padding": padding,
        "output_padding": None if extra is None else (extra, 0),
    }
    weight = (10.0 ** np.arange(size)).reshape(size, 1, 1, 1)
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    y = run(find(SNN, "ConvTranspose2D"), x, attributes, {"weight": weight})
    np.testing.assert_array_equal(y.reshape(-1), expected)


@settings(max_examples=100, deadline=None)
@given(case=convolutions(2), extra=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_transposed_convolution(case: dict[str, Any], extra: tuple[int, int]) -> None:
    """Where the padding is stated, not derived: all that the taps reach, cropped by `pads`."""
    attributes = {**case["attributes"], "output_padding": extra}
    strides, dilations = attributes["strides"], attributes["dilations"]
    if attributes["padding"] == "same":
        attributes["padding"] = "valid"
    pads = attributes["pads"] or (0, 0, 0, 0)
    counts = [
        (n - 1) * s + (k - 1) * d + 1 - sum(pads[2 * a : 2 * a + 2]) + extra[a]
        for a, (n, k, s, d) in enumerate(
            zip(case["lengths"], case["sizes"], strides, dilations, strict=True)
        )
    ]
    weight = integers(case["seed"], *case["sizes"], case["filters"], case["inputs"])
    x = integers(case["seed"] + 1, case["batch"], *case["lengths"], case["inputs"])
    bias = integers(case["seed"] + 2, case["filters"])
    parameters = {"weight": weight, "bias": bias}
    if min(counts) < 1:
        with pytest.raises(Refused, match=r"output 'y'"):
            run(find(SNN, "ConvTranspose2D"), x, attributes, parameters)
        return
    y = run(find(SNN, "ConvTranspose2D"), x, attributes, parameters)
    expected = slow_transposed(x, weight, strides, dilations, pads[::2], counts)
    np.testing.assert_array_equal(y, expected + bias)


def test_transposed_convolution_equals_onnx() -> None:
    x, weight, bias = integers(0, 2, 5, 4, 3), integers(1, 3, 2, 6, 3), integers(2, 6)
    y = run(
        find(SNN, "ConvTranspose2D"),
        x,
        {
            "strides": (2, 3),
            "dilations": (1, 2),
            "padding": "explicit",
            "pads": (1, 0, 2, 1),
            "output_padding": (1, 0),
        },
        {"weight": weight, "bias": bias},
    )
    expected = onnx_run(
        "ConvTranspose",
        {"x": x.transpose(0, 3, 1, 2), "w": weight.transpose(3, 2, 0, 1), "b": bias},
        strides=[2, 3],
        dilations=[1, 2],
        pads=[1, 2, 0, 1],
        output_padding=[1, 0],
    )
    np.testing.assert_array_equal(y, expected.transpose(0, 2, 3, 1))


# Inference -----------------------------------------------------------------------------------


def zeros(**shapes: tuple[int, ...]) -> dict[str, Array]:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


CONV2D = zeros(weight=(3, 3, 4, 8))
DEPTHWISE = zeros(weight=(3, 3, 4, 2))


@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "parameters", "expected"),
    [
        ("Dense", ("n", 4), {}, zeros(weight=(4, 8)), ("n", 8)),
        ("Dense", ("n", "c"), {}, zeros(weight=(4, 8)), ("n", 8)),
        ("Conv1D", ("n", 4), {}, zeros(weight=(1, 4, 8)), ("n", 8)),
        ("Conv1D", ("n", 4), {}, zeros(weight=(3, 4, 8)), ("node.0", 8)),
        ("Conv1D", ("n", 4), {"padding": "same"}, zeros(weight=(3, 4, 8)), ("n", 8)),
        (
            "Conv1D",
            ("n", 4),
            {"padding": "explicit", "pads": (4, 0), "dilations": (2,)},
            zeros(weight=(3, 4, 8)),
            ("n", 8),
        ),
        ("Conv2D", ("n", 9, 4), {"strides": (1, 2)}, CONV2D, ("node.0", 4, 8)),
        ("Conv2D", (9, "n", 4), {"padding": "same", "strides": (2, 2)}, CONV2D, (5, "node.1", 8)),
        ("Conv2D", ("n", "n", "c"), {"padding": "same"}, CONV2D, ("n", "n", 8)),
        ("DepthwiseConv2D", ("n", 9, "c"), {"padding": "same"}, DEPTHWISE, ("n", 9, 8)),
        (
            "ConvTranspose2D",
            ("n", 5, 4),
            {"strides": (2, 2), "padding": "same"},
            zeros(weight=(3, 3, 8, 4)),
            ("node.0", 10, 8),
        ),
    ],
)
def test_symbols(
    operator: str,
    shape: tuple[int | str, ...],
    attributes: dict[str, Any],
    parameters: dict[str, Array],
    expected: tuple[int | str, ...],
) -> None:
    assert infer(find(SNN, operator), shape, attributes, parameters) == expected


SHAPE, ATTRIBUTE = "type.shape", "op.attribute"
REFUSALS: list[tuple[str, Any, dict[str, Any], dict[str, Array], tuple[str, str, str, str]]] = [
    ("Dense", (), {}, zeros(weight=(4, 8)), (SHAPE, "input 'x'", "[]", "at least 1 axis")),
    ("Dense", (5,), {}, zeros(weight=(4, 8)), (SHAPE, "parameter 'weight'", "[4, 8]", "[5, any]")),
    (
        "Dense",
        (4,),
        {},
        zeros(weight=(4, 0)),
        (SHAPE, "parameter 'weight'", "[4, 0]", "lengths of at least 1"),
    ),
    (
        "Dense",
        (4,),
        {},
        zeros(weight=(4, 8), bias=(4,)),
        (SHAPE, "parameter 'bias'", "[4]", "[8]"),
    ),
    ("Conv2D", (9, 4), {}, CONV2D, (SHAPE, "input 'x'", "[9, 4]", "3 axes")),
    ("Conv1D", (9, 9, 4), {}, zeros(weight=(3, 4, 8)), (SHAPE, "input 'x'", "[9, 9, 4]", "2 axes")),
    (
        "Conv2D",
        (9, 9, 5),
        {},
        CONV2D,
        (SHAPE, "parameter 'weight'", "[3, 3, 4, 8]", "[any, any, 5, any]"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {"groups": 3},
        CONV2D,
        (ATTRIBUTE, "attribute 'groups'", "3", "a divisor of 4 channels"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {"groups": 2},
        zeros(weight=(3, 3, 2, 7)),
        (ATTRIBUTE, "attribute 'groups'", "2", "a divisor of 7 filters"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {},
        {**CONV2D, **zeros(bias=(1, 8))},
        (SHAPE, "parameter 'bias'", "[1, 8]", "[8]"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {"strides": (1,)},
        CONV2D,
        (ATTRIBUTE, "attribute 'strides'", "1 numbers", "2 numbers"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {"dilations": (1, 1, 1)},
        CONV2D,
        (ATTRIBUTE, "attribute 'dilations'", "3 numbers", "2 numbers"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {"padding": "explicit"},
        CONV2D,
        (ATTRIBUTE, "attribute 'pads'", "nothing", "4 numbers"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {"padding": "explicit", "pads": (1, 1)},
        CONV2D,
        (ATTRIBUTE, "attribute 'pads'", "2 numbers", "4 numbers"),
    ),
    (
        "Conv2D",
        (9, 9, 4),
        {"pads": (0, 0, 0, 0)},
        CONV2D,
        (
            ATTRIBUTE,
            "attribute 'pads'",
            "pads with padding 'valid'",
            "pads only with padding 'explicit'",
        ),
    ),
    (
        "Conv2D",
        (9, 4, 4),
        {"dilations": (1, 2)},
        CONV2D,
        (SHAPE, "input 'x'", "[9, 4, 4]", "at least 5 along axis 1"),
    ),
    (
        "DepthwiseConv2D",
        (9, 9, 4),
        {},
        {**DEPTHWISE, **zeros(bias=(4,))},
        (SHAPE, "parameter 'bias'", "[4]", "[8]"),
    ),
    (
        "DepthwiseConv2D",
        (9, 9, 3),
        {},
        DEPTHWISE,
        (SHAPE, "parameter 'weight'", "[3, 3, 4, 2]", "[any, any, 3, any]"),
    ),
    (
        "SeparableConv2D",
        (9, 9, 4),
        {},
        zeros(depthwise_weight=(3, 3, 4, 2), pointwise_weight=(1, 1, 4, 5)),
        (SHAPE, "parameter 'pointwise_weight'", "[1, 1, 4, 5]", "[1, 1, 8, any]"),
    ),
    (
        "ConvTranspose2D",
        (5, 5, 4),
        {},
        zeros(weight=(3, 3, 4, 8)),
        (SHAPE, "parameter 'weight'", "[3, 3, 4, 8]", "[any, any, any, 4]"),
    ),
    (
        "ConvTranspose2D",
        (5, 5, 4),
        {"output_padding": (1,)},
        zeros(weight=(3, 3, 8, 4)),
        (ATTRIBUTE, "attribute 'output_padding'", "1 numbers", "2 numbers"),
    ),
    (
        "ConvTranspose2D",
        (1, 5, 4),
        {"padding": "explicit", "pads": (2, 1, 0, 0)},
        zeros(weight=(3, 3, 8, 4)),
        (SHAPE, "output 'y'", "0 along axis 0", "at least 1 along each axis"),
    ),
]


@pytest.mark.parametrize(("operator", "shape", "attributes", "parameters", "expected"), REFUSALS)
def test_refusals(
    operator: str,
    shape: tuple[int, ...],
    attributes: dict[str, Any],
    parameters: dict[str, Array],
    expected: tuple[str, str, str, str],
) -> None:
    with pytest.raises(Refused) as refused:
        infer(find(ANN, operator), shape, attributes, parameters)
    finding = refused.value.finding
    code, place, found, allowed = expected
    assert (finding.code, finding.found, finding.allowed) == (code, found, allowed)
    assert finding.where.endswith(place)


def test_a_symbolic_number_of_channels_is_left_to_the_weight() -> None:
    assert infer(find(SNN, "Conv2D"), (9, 9, "c"), {"groups": 2}, CONV2D) == (7, 7, 8)
