"""Cases of dense layers and convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import signal

from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization, Timing
from tests.conformance.cases import HAND, RATIONAL, Case, also, same, shared, single
from tests.conformance.exact import Array, Numbers, exact, float32, fractions, total, zeros
from tests.conformance.reference_onnx import ONNX, channels_first, channels_last, onnx_pads, run
from tests.conformance.windows import Rule, Transposed, convolution, depthwise, transposed

SCIPY = "scipy.signal"


def product(x: Any, weight: Any, bias: Any = None) -> Array:
    """A matrix product along the last axis."""
    given, matrix = fractions(x), fractions(weight)
    offsets = None if bias is None else fractions(bias)
    found = zeros((*given.shape[:-1], matrix.shape[1]))
    for place in np.ndindex(found.shape):
        *row, j = place
        value = total(given[(*row, i)] * matrix[i, j] for i in range(len(matrix)))
        found[place] = value if offsets is None else exact(value + offsets[j])
    return found


def dense_cases() -> Iterator[Case]:
    numbers = Numbers(41)
    weight, bias = numbers.grid((3, 4)), numbers.grid((4,))
    x = numbers.grid((2, 3))
    found = product(x, weight, bias)
    same(found, x.astype(np.float64) @ weight.astype(np.float64) + bias, "Dense")
    yield from shared(
        "Dense",
        "bias",
        "A product with [in, out], then the bias.",
        x,
        float32(found),
        origin=RATIONAL,
        weight=weight,
        bias=bias,
    )
    yield from shared(
        "Dense",
        "no-bias",
        "A matrix that selects, swaps and negates.",
        np.array([[1.0, 2.0, 4.0], [0.5, -8.0, 0.0]]),
        np.array([[4.0, -1.0, 1.0], [0.0, -0.5, 0.5]]),
        origin=HAND,
        weight=np.array([[0.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
    )
    images = numbers.grid((2, 2, 3, 3))
    yield from shared(
        "Dense",
        "last-axis",
        "With several axes it applies to the last one.",
        images,
        float32(product(images, weight, bias)),
        origin=RATIONAL,
        weight=weight,
        bias=bias,
    )
    yield from shared(
        "Dense",
        "one-by-one",
        "One input, one output.",
        np.array([[3.0], [-0.5]]),
        np.array([[-5.5], [1.5]]),
        origin=HAND,
        weight=np.array([[-2.0]]),
        bias=np.array([0.5]),
    )
    steps = numbers.grid((2, 3, 3))
    for op, fed, timing in (
        ("ann.Dense", steps, Timing.PER_STEP),
        ("snn.Dense", x, Timing.STATIC),
    ):
        yield single(
            op,
            "other-timing",
            "Static or per step: the output is as the input.",
            {"x": fed},
            {"y": float32(product(fed, weight, bias))},
            origin=RATIONAL,
            timing=timing,
            weight=weight,
            bias=bias,
        )


def quantised_cases() -> Iterator[Case]:
    """Weights that are stored as integers, or as narrow floats."""
    numbers = Numbers(42)
    x = numbers.grid((2, 3))
    integers = np.array([[-128, 127, 5], [0, -1, 64], [33, 2, -77]])
    columns = np.array([2.0**-6, 2.0**-4, 2.0**-7])
    zero = np.array([3, -2, 0])
    nibbles = np.array([[-8, 7, 0], [1, -1, 3], [-5, 2, 6]])
    halves = np.array([[1.5, -0.0625, 3.0], [2.25, 0.0, -4.0], [0.5, 0.125, 8.0]])
    stored: tuple[tuple[str, str, Tensor, Array], ...] = (
        (
            "int8",
            "Weights are integers times a scale.",
            Tensor.from_array(integers, DType.INT8, Quantization((2.0**-6,), 8)),
            integers * 2.0**-6,
        ),
        (
            "int8-per-output",
            "Scale and zero point of each output: (q - zero_point) * scale.",
            Tensor.from_array(
                integers, DType.INT8, Quantization(tuple(columns), 8, tuple(zero.tolist()), 1)
            ),
            (integers - zero) * columns,
        ),
        (
            "int4",
            "Two weights a byte, the first in the lower half; an odd number of them.",
            Tensor.from_array(nibbles, DType.INT4, Quantization((0.25,), 4)),
            nibbles * 0.25,
        ),
        (
            "bfloat16",
            "Weights stored as bfloat16.",
            Tensor.from_array(halves, DType.BFLOAT16),
            halves,
        ),
        ("float16", "Weights stored as float16.", Tensor.from_array(halves, DType.FLOAT16), halves),
        ("float64", "Weights stored as float64.", Tensor.from_array(halves, DType.FLOAT64), halves),
    )
    for name, what, tensor, values in stored:
        yield from shared(
            "Dense",
            f"weight-{name}",
            what,
            x,
            float32(product(x, values)),
            origin=RATIONAL,
            weight=tensor,
        )


# Convolution ---------------------------------------------------------------------------------


Setting = tuple[str, str, Sequence[int], Sequence[int], dict[str, Any]]
"""Name, what, shape of the input, shape of the weight, attributes."""

CONV_2D: tuple[Setting, ...] = (
    ("valid", "Kernels are not flipped; rows before columns.", (4, 5, 2), (2, 3, 2, 3), {}),
    ("same-odd", "Odd kernels: as much padding before as after.", (3, 4, 1), (3, 3, 1, 2),
     {"padding": "same"}),
    ("same-even", "Even kernels: the odd element of padding is at the end.", (3, 4, 1),
     (2, 4, 1, 2), {"padding": "same"}),
    ("same-strides", "Padding depends on length and stride: 5 with 2, 4 with 3.", (5, 4, 1),
     (3, 2, 1, 2), {"padding": "same", "strides": (2, 3)}),
    ("same-needs-none", "Stride above the kernel's length: no padding, elements are skipped.",
     (6, 7, 1), (2, 1, 1, 2), {"padding": "same", "strides": (3, 2)}),
    ("same-dilations", "Padding is for the dilated kernel.", (5, 6, 1), (3, 2, 1, 1),
     {"padding": "same", "dilations": (2, 3)}),
    ("same-larger-kernel", "The kernel is larger than the input.", (2, 3, 1), (5, 4, 1, 1),
     {"padding": "same"}),
    ("explicit", "Different padding at every side.", (3, 3, 2), (2, 2, 2, 2),
     {"padding": "explicit", "pads": (0, 2, 1, 3)}),
    ("explicit-strides", "A last, incomplete window is left out.", (4, 5, 1), (2, 3, 1, 2),
     {"padding": "explicit", "pads": (1, 0, 0, 1), "strides": (2, 2)}),
    ("strides-dilations", "Strides and dilations, different along each axis.", (7, 8, 1),
     (3, 2, 1, 2), {"strides": (2, 1), "dilations": (1, 4)}),
    ("groups", "Each group of outputs sees its own group of inputs.", (3, 3, 4), (2, 2, 2, 6),
     {"groups": 2}),
    ("groups-of-one", "As many groups as channels, two outputs each.", (3, 4, 3), (2, 2, 1, 6),
     {"groups": 3, "padding": "same"}),
    ("pointwise-stride", "A kernel of size 1 with a stride takes every other element.", (3, 4, 2),
     (1, 1, 2, 3), {"strides": (2, 2)}),
    ("whole-input", "A kernel as large as the input leaves one element.", (2, 3, 2), (2, 3, 2, 2),
     {}),
)  # fmt: skip

CONV_1D: tuple[Setting, ...] = (
    ("valid", "Kernels are not flipped.", (6, 2), (3, 2, 3), {}),
    ("same-even", "Even kernels: the odd element of padding is at the end.", (5, 2), (4, 2, 2),
     {"padding": "same"}),
    ("same-stride", "Padding depends on length and stride.", (7, 1), (4, 1, 2),
     {"padding": "same", "strides": (3,)}),
    ("causal", "All padding at the begin: no output sees a later element.", (6, 1), (3, 1, 2),
     {"padding": "explicit", "pads": (4, 0), "dilations": (2,)}),
    ("explicit-stride", "A last, incomplete window is left out.", (6, 1), (2, 1, 2),
     {"padding": "explicit", "pads": (0, 1), "strides": (4,)}),
    ("groups", "Each group of outputs sees its own group of inputs.", (4, 6), (2, 2, 6),
     {"groups": 3}),
    ("groups-of-one", "As many groups as channels.", (5, 3), (2, 1, 3),
     {"groups": 3, "dilations": (2,)}),
    ("one-element", "An input of one element, padded.", (1, 2), (3, 2, 2), {"padding": "same"}),
)  # fmt: skip


def rule_of(weight: Sequence[int], rank: int, attributes: dict[str, Any]) -> Rule:
    """Where the windows of a convolution lie."""
    ones = (1,) * rank
    return Rule(
        tuple(weight[:rank]),
        attributes.get("strides", ones),
        attributes.get("dilations", ones),
        attributes.get("padding", "valid"),
        attributes.get("pads"),
    )


def onnx_convolution(x: Array, weight: Array, bias: Array, rule: Rule, groups: int) -> Array:
    """The same by ONNX, whose weights are (out, in / groups, *sizes)."""
    return channels_last(
        run(
            "Conv",
            channels_first(x),
            np.moveaxis(weight, (-1, -2), (0, 1)),
            bias,
            pads=onnx_pads(rule.padded(x.shape[1:-1])),
            strides=list(rule.strides),
            dilations=list(rule.dilations),
            group=groups,
        )
    )


def scipy_valid(x: Array, weight: Array) -> Array:
    """A convolution without padding, stride and groups, by SciPy's correlation."""
    return np.stack(
        [
            np.stack(
                [
                    sum(
                        signal.correlate(
                            sample[..., i].astype(np.float64),
                            weight[..., i, j].astype(np.float64),
                            "valid",
                            "direct",
                        )
                        for i in range(x.shape[-1])
                    )
                    for j in range(weight.shape[-1])
                ],
                axis=-1,
            )
            for sample in x
        ]
    )


def convolution_cases(rank: int, settings: Sequence[Setting], seed: int) -> Iterator[Case]:
    numbers = Numbers(seed)
    for number, (name, what, shape, kernel, attributes) in enumerate(settings):
        x, weight = numbers.grid((2, *shape)), numbers.grid(kernel)
        bias = numbers.grid(kernel[-1:])
        rule, groups = rule_of(kernel, rank, attributes), attributes.get("groups", 1)
        found = convolution(x, weight, rule, groups, bias)
        same(found, onnx_convolution(x, weight, bias, rule, groups), name)
        origin = also(RATIONAL, ONNX)
        if not attributes:
            same(found, scipy_valid(x, weight) + bias, name)
            origin = f"{origin} and {SCIPY}.correlate"
        without = number % 3 == 2
        if without:
            found = convolution(x, weight, rule, groups)
        yield from shared(
            f"Conv{rank}D",
            name,
            what,
            x,
            float32(found),
            origin=origin,
            weight=weight,
            bias=None if without else bias,
            **attributes,
        )


# Depthwise and separable ---------------------------------------------------------------------


DEPTHWISE: tuple[Setting, ...] = (
    ("multiplier-one", "One kernel for each channel.", (4, 4, 3), (3, 2, 3, 1), {}),
    ("multiplier-two", "Output channel c * multiplier + r comes from input channel c.", (3, 4, 2),
     (2, 3, 2, 2), {}),
    ("same-even", "Even kernels: the odd element of padding is at the end.", (3, 4, 2),
     (2, 4, 2, 1), {"padding": "same"}),
    ("same-strides", "Padding depends on length and stride.", (5, 4, 2), (3, 3, 2, 2),
     {"padding": "same", "strides": (2, 3)}),
    ("explicit-dilations", "Explicit padding of a dilated kernel.", (4, 5, 2), (2, 2, 2, 1),
     {"padding": "explicit", "pads": (1, 0, 2, 1), "dilations": (2, 3)}),
)  # fmt: skip


def grouped(weight: Array) -> Array:
    """A depthwise weight as that of a convolution with a group for each channel."""
    return weight.reshape(*weight.shape[:2], 1, -1)


def depthwise_cases() -> Iterator[Case]:
    numbers = Numbers(45)
    for number, (name, what, shape, kernel, attributes) in enumerate(DEPTHWISE):
        x, weight = numbers.grid((2, *shape)), numbers.grid(kernel)
        bias = numbers.grid((kernel[2] * kernel[3],))
        rule = rule_of(kernel, 2, attributes)
        found = depthwise(x, weight, rule, bias)
        same(found, onnx_convolution(x, grouped(weight), bias, rule, kernel[2]), name)
        if number % 2:
            bias, found = None, depthwise(x, weight, rule)
        yield from shared(
            "DepthwiseConv2D",
            name,
            what,
            x,
            float32(found),
            origin=also(RATIONAL, ONNX),
            weight=weight,
            bias=bias,
            **attributes,
        )
    for name, what, shape, kernel, attributes in DEPTHWISE[1:]:
        x, weight = numbers.grid((2, *shape)), numbers.grid(kernel)
        pointwise, bias = numbers.grid((1, 1, kernel[2] * kernel[3], 3)), numbers.grid((3,))
        rule = rule_of(kernel, 2, attributes)
        between = depthwise(x, weight, rule)
        yield from shared(
            "SeparableConv2D",
            name,
            f"{what} Then a product along the channels, and the bias.",
            x,
            float32(convolution(between, pointwise, Rule((1, 1), (1, 1), (1, 1)), 1, bias)),
            origin=RATIONAL,
            domains=["ann"],
            depthwise_weight=weight,
            pointwise_weight=pointwise,
            bias=bias,
            **attributes,
        )


# Transposed ----------------------------------------------------------------------------------


TRANSPOSED: tuple[Setting, ...] = (
    ("valid", "Every input element spreads a kernel; kernels are not flipped.", (2, 3, 2),
     (2, 3, 2, 2), {}),
    ("valid-strides", "The output is (n - 1) * stride + kernel long.", (3, 2, 1), (3, 2, 2, 1),
     {"strides": (2, 1)}),
    ("valid-stride-above-kernel", "With a stride above the kernel the output is n * stride long.",
     (2, 3, 1), (1, 2, 2, 1), {"strides": (3, 3)}),
    ("same", "With stride 1 the output is as long as the input.", (3, 4, 2), (3, 2, 1, 2),
     {"padding": "same"}),
    ("same-even-kernel", "The output is n * stride long; the odd element is cropped at the end.",
     (3, 2, 1), (4, 3, 2, 1), {"padding": "same", "strides": (2, 2)}),
    ("same-stride-above-kernel", "Where the kernel is shorter than the stride the rest is 0.",
     (2, 2, 1), (2, 1, 1, 1), {"padding": "same", "strides": (3, 2)}),
    ("same-dilations", "The crop is for the dilated kernel.", (3, 4, 1), (2, 3, 1, 1),
     {"padding": "same", "dilations": (3, 2)}),
    ("same-output-padding", "With output_padding the length is (n - 1) * s + K mod 2 + p.",
     (3, 3, 1), (3, 4, 1, 1), {"padding": "same", "strides": (2, 2), "output_padding": (0, 1)}),
    ("explicit", "A different crop at every side.", (3, 4, 1), (3, 3, 2, 1),
     {"padding": "explicit", "pads": (0, 1, 2, 1)}),
    ("explicit-output-padding", "output_padding undoes cropping at the end, then adds zeros.",
     (2, 3, 1), (2, 2, 1, 1), {"padding": "explicit", "pads": (0, 0, 1, 1), "strides": (3, 3),
      "output_padding": (2, 2)}),
    ("valid-output-padding", "output_padding adds elements at the end.", (2, 2, 2), (2, 2, 1, 2),
     {"strides": (2, 3), "output_padding": (1, 2)}),
)  # fmt: skip


def scipy_transposed(x: Array, weight: Array, rule: Transposed) -> Array:
    """All that the kernels reach, by SciPy: the input with zeros between, fully convolved."""
    stuffed = np.zeros(
        (
            len(x),
            *((n - 1) * s + 1 for n, s in zip(x.shape[1:3], rule.strides, strict=True)),
            x.shape[-1],
        )
    )
    stuffed[:, :: rule.strides[0], :: rule.strides[1]] = x
    spread = np.zeros(
        (
            *((k - 1) * d + 1 for k, d in zip(rule.sizes, rule.dilations, strict=True)),
            *weight.shape[2:],
        )
    )
    spread[:: rule.dilations[0], :: rule.dilations[1]] = weight
    return np.stack(
        [
            np.stack(
                [
                    sum(
                        signal.convolve2d(sample[..., c], spread[..., j, c])
                        for c in range(x.shape[-1])
                    )
                    for j in range(weight.shape[2])
                ],
                axis=-1,
            )
            for sample in stuffed
        ]
    )


def transposed_cases() -> Iterator[Case]:
    numbers = Numbers(46)
    for number, (name, what, shape, kernel, attributes) in enumerate(TRANSPOSED):
        x, weight = numbers.grid((2, *shape)), numbers.grid(kernel)
        bias = numbers.grid(kernel[2:3])
        rule = Transposed(
            tuple(kernel[:2]),
            attributes.get("strides", (1, 1)),
            attributes.get("dilations", (1, 1)),
            attributes.get("padding", "valid"),
            attributes.get("pads"),
            attributes.get("output_padding"),
        )
        found = transposed(x, weight, rule)
        full = scipy_transposed(x, weight, rule)
        for a, n in enumerate(shape[:2]):
            _, out, begin = rule.axis(a, n)
            full = np.take(np.concatenate([full, np.zeros_like(full)], a + 1),
                           range(begin, begin + out), a + 1)  # fmt: skip
        same(found, full, name)
        origin = also(RATIONAL, f"{SCIPY}.convolve2d of the input with zeros between")
        if rule.padding == "explicit":
            pads = [tuple(attributes["pads"][2 * a : 2 * a + 2]) for a in range(2)]
            same(
                found,
                channels_last(
                    run(
                        "ConvTranspose",
                        channels_first(x),
                        weight.transpose(3, 2, 0, 1),
                        pads=onnx_pads(pads),
                        strides=list(rule.strides),
                        output_padding=list(rule.output_padding or (0, 0)),
                    )
                ),
                name,
            )
            origin = f"{origin} and {ONNX}"
        with_bias = number % 3 == 0
        yield from shared(
            "ConvTranspose2D",
            name,
            what,
            x,
            float32(transposed(x, weight, rule, bias) if with_bias else found),
            origin=origin,
            weight=weight,
            bias=bias if with_bias else None,
            **attributes,
        )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from dense_cases()
    yield from quantised_cases()
    yield from convolution_cases(1, CONV_1D, 43)
    yield from convolution_cases(2, CONV_2D, 44)
    yield from depthwise_cases()
    yield from transposed_cases()
