"""Operators that move, select and combine values: defined once, members of several sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from snnir.ir.types import Dim, DType, Shape, format_shape
from snnir.ops import dims, kernels
from snnir.ops.dims import per_axis
from snnir.ops.schema import (
    Arity,
    Array,
    Attribute,
    Bound,
    Flow,
    InferContext,
    Inputs,
    OpDef,
    Outputs,
    Parameter,
    Port,
    same_shape,
)

_RESULT: Final = Port("y", "The result.")


def layout_operators(domain: str) -> tuple[OpDef, ...]:
    """The operators that every operator set shares for moving and combining values.

    Padding is called ``ZeroPad1D`` and ``ZeroPad2D`` in ``ann``, ``Pad1D`` and ``Pad2D`` in
    ``snn``.

    Args:
        domain: The operator set that they will belong to: ``"ann"`` or ``"snn"``.
    """
    return (
        *moving_operators(domain),
        _concat(domain),
        *(make(domain, rank) for make in (_crop, _pad, _upsample) for rank in (1, 2)),
        _scale(domain),
        _bias(domain),
        _add(domain),
    )


def moving_operators(domain: str, dtype: DType = DType.FLOAT32) -> tuple[OpDef, ...]:
    """``Flatten``, ``Reshape`` and ``Permute``.

    Args:
        domain: The operator set that they will belong to.
        dtype: Type of the elements that they move.
    """
    return tuple(
        replace(
            opdef,
            inputs=tuple(replace(port, dtype=dtype) for port in opdef.inputs),
            outputs=tuple(replace(port, dtype=dtype) for port in opdef.outputs),
        )
        for opdef in (_flatten(domain), _reshape(domain), _permute(domain))
    )


# Axes ----------------------------------------------------------------------------------------


def _flatten(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="Flatten",
        summary="All feature axes as one, in C order.",
        formula="y[...((i_0 * n_1 + i_1) * n_2 + i_2)...] = x[i_0, i_1, i_2, ...], "
        "where n_a is the length of axis a of x: the last axis varies fastest",
        latex=r"y_{(\dots((i_0 n_1 + i_1) n_2 + i_2) \dots)} = x_{i_0, i_1, i_2, \dots}",
        flow=Flow.SAME,
        inputs=(Port("x", "What is flattened, of any shape."),),
        outputs=(Port("y", "The result: one axis."),),
        infer=_infer_flatten,
        step=_step_reshape,
        references=("Keras 3: keras.layers.Flatten", "ONNX: Flatten"),
        notes="A value without axes becomes one axis of length 1.",
    )


def _infer_flatten(context: InferContext) -> Sequence[Shape]:
    return [(_product(context, context.shape("x"), 0),)]


def _product(context: InferContext, shape: Shape, axis: int) -> Dim:
    """The number of elements, or a symbol for output axis ``axis``."""
    numbers = [length for length in shape if isinstance(length, int)]
    symbols = [length for length in shape if isinstance(length, str)]
    if not symbols:
        return math.prod(numbers)
    only = len(symbols) == 1 and math.prod(numbers) == 1
    return symbols[0] if only else dims.symbol(context, axis)


def _step_reshape(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    x: Array = inputs["x"]
    return (x.reshape(len(x), *bound.output_shapes["y"]),)


def _reshape(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="Reshape",
        summary="The same elements in the same order, with other axes.",
        formula="r = shape, with -1 replaced by the length that makes the number of elements that "
        "of x\n"
        "y has shape r; in C order (the last axis varies fastest) its elements are those of x",
        latex=r"y_{\mathrm{unravel}(k, r)} = x_{\mathrm{unravel}(k, n)}",
        flow=Flow.SAME,
        inputs=(Port("x", "What is reshaped, of any shape."),),
        outputs=(_RESULT,),
        attributes=(
            Attribute(
                "shape",
                "The new feature shape, without the batch. One length may be -1: whatever is left.",
                "ints",
                required=True,
                minimum=-1,
                unit="elements",
            ),
        ),
        infer=_infer_reshape,
        step=_step_reshape,
        references=("Keras 3: keras.layers.Reshape", "ONNX: Reshape"),
    )


def _infer_reshape(context: InferContext) -> Sequence[Shape]:
    shape = context.shape("x")
    wanted: tuple[int, ...] = context.attribute("shape")
    if 0 in wanted or wanted.count(-1) > 1:
        context.fail(
            "op.attribute",
            "attribute 'shape'",
            format_shape(wanted),
            "lengths of at least 1, at most one of them -1",
        )
    free = wanted.index(-1) if -1 in wanted else None
    given = math.prod(length for length in wanted if length != -1)
    left = have = _product(context, shape, free or 0)
    if isinstance(have, int):
        if have != given if free is None else have % given:
            found = f"{format_shape(shape)}, {have} elements"
            allowed = f"{given} elements" if free is None else f"a multiple of {given} elements"
            context.fail("type.shape", "input 'x'", found, allowed)
        left = have // given
    elif given != 1:
        left = dims.symbol(context, free or 0)
    return [tuple(left if length == -1 else length for length in wanted)]


def _permute(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="Permute",
        summary="The feature axes in another order.",
        formula="y[i_0, i_1, ...] = x[j_0, j_1, ...] with j_axes[a] = i_a: "
        "axis a of y is axis axes[a] of x",
        latex=r"y_{i_0, i_1, \dots} = x_{j_0, j_1, \dots},\quad j_{\pi_a} = i_a",
        flow=Flow.SAME,
        inputs=(Port("x", "What is permuted, of any shape."),),
        outputs=(_RESULT,),
        attributes=(
            Attribute(
                "axes",
                "For each axis of the output, the axis of the input: every feature axis once, "
                "counted from 0, without the batch.",
                "ints",
                required=True,
                minimum=0,
            ),
        ),
        infer=_infer_permute,
        step=_step_permute,
        references=("Keras 3: keras.layers.Permute (which counts from 1)", "ONNX: Transpose"),
    )


def _infer_permute(context: InferContext) -> Sequence[Shape]:
    shape = context.shape("x")
    axes: tuple[int, ...] = context.attribute("axes")
    if sorted(axes) != list(range(len(shape))):
        allowed = f"an order of {format_shape(range(len(shape)))}"
        context.fail("op.attribute", "attribute 'axes'", format_shape(axes), allowed)
    return [tuple(shape[axis] for axis in axes)]


def _step_permute(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    x: Array = inputs["x"]
    return (np.ascontiguousarray(x.transpose(0, *(a + 1 for a in bound.attributes["axes"]))),)


def _concat(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="Concat",
        summary="Several values one after the other along an axis.",
        formula="e_0 = 0; e_(k + 1) = e_k + length of x_k along the axis, for k = 0, 1, ...\n"
        "y[..., e_k + i, ...] = x_k[..., i, ...], where the index shown is that of the axis",
        latex=r"y_{\dots, e_k + i, \dots} = x^{(k)}_{\dots, i, \dots},\quad "
        r"e_k = \sum_{l < k} n^{(l)}",
        flow=Flow.SAME,
        inputs=(Port("x", "The values: equally long along all other axes.", arity=Arity.LIST),),
        outputs=(_RESULT,),
        attributes=(dims.axis_attribute("The axis along which they follow each other"),),
        infer=_infer_concat,
        step=_step_concat,
        references=("Keras 3: keras.layers.Concatenate", "ONNX: Concat"),
    )


def _infer_concat(context: InferContext) -> Sequence[Shape]:
    shapes = context.shapes("x")
    rank = len(shapes[0])
    axis = dims.feature_axis(context, "axis", rank)
    if any(len(shape) != rank for shape in shapes):
        found = " and ".join(map(format_shape, shapes))
        context.fail("type.shape", "input 'x'", found, f"{rank} axes each")
    others = [(*shape[:axis], *shape[axis + 1 :]) for shape in shapes]
    common = dims.equal_shapes(context, f"input 'x', axes other than {axis}", others)
    lengths = [shape[axis] for shape in shapes]
    numbers = [length for length in lengths if isinstance(length, int)]
    total = sum(numbers) if len(numbers) == len(lengths) else dims.symbol(context, axis)
    return [(*common[:axis], lengths[0] if len(lengths) == 1 else total, *common[axis:])]


def _step_concat(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    return (np.concatenate(inputs["x"], dims.array_axis(bound.attributes["axis"])),)


# Spatial axes --------------------------------------------------------------------------------


def _image(rank: int, doc: str) -> Port:
    return Port("x", f"{doc}: [{', '.join(dims.AXIS_NAMES[rank])}, channels].")


def _edges(name: str, doc: str, rank: int) -> Attribute:
    text = f"{doc} at {dims.EDGES[rank]}."
    return Attribute(name, text, "ints", required=True, minimum=0, unit="elements")


def _pairs(values: Sequence[int]) -> list[tuple[int, int]]:
    """(begin, end) of each axis."""
    return list(zip(values[::2], values[1::2], strict=True))


def _infer_resized(
    attribute: str,
    per_spatial_axis: int,
    unchanged: int,
    resize: Callable[[int, tuple[int, ...]], int],
    rank: int,
    context: InferContext,
) -> Sequence[Shape]:
    """Output shape where an attribute says how each spatial axis gets longer or shorter.

    Args:
        attribute: The attribute.
        per_spatial_axis: How many of its numbers belong to one axis.
        unchanged: The number that leaves the length as it is.
        resize: The new length, from the old one and those numbers.
        rank: Number of spatial axes.
        context: The node.
    """
    shape = context.expect_rank("x", rank + 1)
    values: tuple[int, ...] = context.attribute(attribute)
    dims.check_count(context, attribute, values, per_spatial_axis * rank)
    lengths: list[Dim] = []
    for axis, length in enumerate(shape[:-1]):
        own = values[per_spatial_axis * axis : per_spatial_axis * (axis + 1)]
        if isinstance(length, str):
            same = set(own) == {unchanged}
            lengths.append(length if same else dims.symbol(context, axis))
            continue
        new = resize(length, own)
        if new < 1:
            context.fail(
                "op.attribute",
                f"attribute '{attribute}'",
                format_shape(values),
                f"numbers that leave something of {format_shape(shape)}",
            )
        lengths.append(new)
    return [(*lengths, shape[-1])]


def _crop(domain: str, rank: int) -> OpDef:
    out = per_axis("o_@", rank)
    seen = ", ".join(f"o_{axis} + crops[{2 * axis}]" for axis in range(rank))
    return OpDef(
        domain=domain,
        name=f"Crop{rank}D",
        summary="The inner part of the spatial axes.",
        formula=f"{dims.spatial_axes(rank)}: out_a = n_a - crops[2 * a] - crops[2 * a + 1], "
        "where n_a is the input's length\n"
        f"y[{out}, c] = x[{seen}, c]",
        latex=r"y_{o, c} = x_{o + b, c}",
        flow=Flow.SAME,
        inputs=(_image(rank, "What is cropped"),),
        outputs=(_RESULT,),
        attributes=(_edges("crops", "Elements left out", rank),),
        infer=partial(_infer_resized, "crops", 2, 0, lambda n, own: n - sum(own), rank),
        step=_step_crop,
        references=(f"Keras 3: keras.layers.Cropping{rank}D", "ONNX: Slice"),
    )


def _step_crop(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    inner = kernels.crop(inputs["x"], _pairs(bound.attributes["crops"]))
    return (np.ascontiguousarray(inner),)


def _pad(domain: str, rank: int) -> OpDef:
    out = per_axis("o_@", rank)
    inside = per_axis("i_@", rank)
    return OpDef(
        domain=domain,
        name=f"{'ZeroPad' if domain == 'ann' else 'Pad'}{rank}D",
        summary="Zeros around the spatial axes.",
        formula=f"{dims.spatial_axes(rank)}: out_a = n_a + pads[2 * a] + pads[2 * a + 1], "
        "where n_a is the input's length\n"
        f"y[{out}, c] = x[{inside}, c] with i_a = o_a - pads[2 * a] where 0 <= i_a < n_a along "
        "every axis a, else 0",
        latex=r"y_{o, c} = x_{o - b, c} \text{ inside, else } 0",
        flow=Flow.SAME,
        inputs=(_image(rank, "What is padded"),),
        outputs=(_RESULT,),
        attributes=(_edges("pads", "Elements added", rank),),
        infer=partial(_infer_resized, "pads", 2, 0, lambda n, own: n + sum(own), rank),
        step=_step_pad,
        references=(f"Keras 3: keras.layers.ZeroPadding{rank}D", "ONNX: Pad"),
    )


def _step_pad(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    return (kernels.pad(inputs["x"], _pairs(bound.attributes["pads"])),)


def _upsample(domain: str, rank: int) -> OpDef:
    out = per_axis("o_@", rank)
    nearest = f"y[{out}, c] = x[{per_axis('floor(o_@ / factors[@])', rank)}, c]"
    factors = Attribute(
        "factors",
        f"How many times as long the output is{dims.each_axis(rank)}.",
        "ints",
        required=True,
        minimum=1,
    )
    interpolation = Attribute(
        "interpolation",
        '"nearest": each element is repeated. "bilinear": linear interpolation along the width, '
        "then along the height, between half-pixel centres.",
        "str",
        default="nearest",
        choices=("nearest", "bilinear"),
    )
    bilinear = (
        'if interpolation is "nearest": ' + nearest,
        'if interpolation is "bilinear": z is the width of x interpolated, y the height of z',
        "to interpolate an axis of length n with f = factors of that axis: for each o with "
        "0 <= o < n * f: l = floor((2 * o + 1 - f) / (2 * f)), "
        "w = ((2 * o + 1 - f) mod (2 * f)) / (2 * f), "
        "a = element max(l, 0), b = element min(l + 1, n - 1); element o is a + (b - a) * w",
    )
    return OpDef(
        domain=domain,
        name=f"Upsample{rank}D",
        summary="The spatial axes longer by whole factors.",
        formula="\n".join(
            (
                f"{dims.spatial_axes(rank)}: out_a = n_a * factors[a], "
                "where n_a is the input's length",
                *(bilinear if rank == 2 else (nearest,)),
            )
        ),
        latex=r"y_{o, c} = x_{\lfloor o / f \rfloor, c}"
        if rank == 1
        else r"\text{nearest: } y_{o, c} = x_{\lfloor o / f \rfloor, c};\quad "
        r"\text{bilinear, along each axis: } y_o = x_l + w (x_{l + 1} - x_l),\; "
        r"l + w = \frac{2 o + 1 - f}{2 f}",
        flow=Flow.SAME,
        inputs=(_image(rank, "What is enlarged"),),
        outputs=(_RESULT,),
        attributes=(factors, interpolation) if rank == 2 else (factors,),
        infer=partial(_infer_resized, "factors", 1, 1, lambda n, own: n * own[0], rank),
        step=_step_upsample,
        references=(f"Keras 3: keras.layers.UpSampling{rank}D", "ONNX: Resize"),
    )


def _step_upsample(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    linear = bound.attributes.get("interpolation") == "bilinear"
    upsample = kernels.upsample_linear if linear else kernels.upsample_nearest
    return (upsample(inputs["x"], bound.attributes["factors"]),)


# Element by element --------------------------------------------------------------------------


def elementwise(
    domain: str, name: str, function: Callable[[Bound, Array], Array], **fields: Any
) -> OpDef:
    """An operator from ``x`` to ``y`` of the same shape.

    Args:
        domain: The operator set that it will belong to.
        name: Its name.
        function: Computes the output.
        fields: The other fields of the definition.
    """

    def step(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
        return (function(bound, inputs["x"]),)

    return OpDef(
        **{
            "domain": domain,
            "name": name,
            "flow": Flow.SAME,
            "inputs": (Port("x", "What is changed, of any shape."),),
            "outputs": (Port("y", "The result, of the same shape."),),
            "infer": same_shape("x"),
            "step": step,
            **fields,
        }
    )


def _scale(domain: str) -> OpDef:
    return elementwise(
        domain,
        "Scale",
        lambda bound, x: x * bound.parameters["scale"],
        summary="Each element times a constant.",
        formula="y = x * scale",
        latex=r"y = s x",
        parameters=(Parameter("scale", "The factors.", required=True),),
        references=("NIR: nir.Scale", "ONNX: Mul"),
    )


def _bias(domain: str) -> OpDef:
    return elementwise(
        domain,
        "Bias",
        lambda bound, x: x + bound.parameters["bias"],
        summary="Each element plus a constant.",
        formula="y = x + bias",
        latex=r"y = x + b",
        parameters=(Parameter("bias", "What is added.", required=True),),
        references=("ONNX: Add",),
    )


def _add(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="Add",
        summary="The sum of several values.",
        formula="y = ((x_0 + x_1) + x_2) + ..., from left to right",
        latex=r"y = \sum_k x^{(k)}",
        flow=Flow.SAME,
        inputs=(Port("x", "The values, all of the same shape.", arity=Arity.LIST),),
        outputs=(Port("y", "The result, of the same shape."),),
        infer=lambda context: [dims.equal_shapes(context, "input 'x'", context.shapes("x"))],
        step=_step_add,
        references=("Keras 3: keras.layers.Add", "ONNX: Add, Sum"),
    )


def _step_add(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    first, *rest = inputs["x"]
    total = first
    for value in rest:
        total = total + value
    return (total,)
