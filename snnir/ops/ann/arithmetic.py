"""Operators that combine values element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from snnir.ir.types import Dim, Shape, format_shape
from snnir.ops import dims
from snnir.ops.schema import Arity, Array, Bound, Flow, InferContext, Inputs, OpDef, Outputs, Port


def _infer_subtract(context: InferContext) -> Sequence[Shape]:
    shapes = [context.shape("a"), context.shape("b")]
    return [dims.equal_shapes(context, "inputs 'a' and 'b'", shapes)]


def _step_subtract(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    return (inputs["a"] - inputs["b"],)


def _infer_multiply(context: InferContext) -> Sequence[Shape]:
    shapes = context.shapes("x")
    found = " and ".join(map(format_shape, shapes))
    if len({len(shape) for shape in shapes}) > 1:
        context.fail("type.shape", "input 'x'", found, "as many axes each")
    common: list[Dim] = []
    for lengths in zip(*shapes, strict=True):
        length: Dim = 1
        for other in lengths:
            if length == 1:
                length = other
            elif other != 1:
                if not dims.same_length(length, other):
                    context.fail("type.shape", "input 'x'", found, "lengths that are equal or 1")
                length = dims.known(length, other)
        common.append(length)
    return [tuple(common)]


def _step_multiply(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    product, *rest = inputs["x"]
    for value in rest:
        product = product * value
    return (product,)


ARITHMETIC: Final = (
    OpDef(
        domain="ann",
        name="Subtract",
        summary="The difference of two values.",
        formula="y = a - b",
        latex=r"y = a - b",
        flow=Flow.SAME,
        inputs=(
            Port("a", "What is subtracted from, of any shape."),
            Port("b", "What is subtracted, of the same shape."),
        ),
        outputs=(Port("y", "The result, of the same shape."),),
        infer=_infer_subtract,
        step=_step_subtract,
        references=("Keras 3: keras.layers.Subtract", "ONNX: Sub"),
    ),
    OpDef(
        domain="ann",
        name="Multiply",
        summary="The product of several values, element by element.",
        formula="y = ((x_0 * x_1) * x_2) * ..., from left to right; a value of length 1 along an "
        "axis is repeated along it",
        latex=r"y = \prod_k x^{(k)}",
        flow=Flow.SAME,
        inputs=(
            Port(
                "x",
                "The values, with as many axes each; along an axis all are equally long, or 1.",
                arity=Arity.LIST,
            ),
        ),
        outputs=(Port("y", "The result, along each axis as long as the longest value."),),
        infer=_infer_multiply,
        step=_step_multiply,
        references=("Keras 3: keras.layers.Multiply", "ONNX: Mul"),
    ),
)
"""The arithmetic operators."""
