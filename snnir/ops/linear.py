"""Dense layers and convolutions: defined once, members of several operator sets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from snnir.ir.types import Shape, format_shape
from snnir.ops import dims, kernels
from snnir.ops.dims import PADDING_FORMULA, Getter, per_axis
from snnir.ops.schema import (
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
)

ACCUMULATION: Final = (
    "sums are accumulated in the type of the computation, the order of their products is not "
    "specified (exact where inputs and weights are small multiples of a power of two)"
)
"""The formula line about the arithmetic of sums of products."""


def linear_operators(domain: str) -> tuple[OpDef, ...]:
    """The operators that every operator set with linear layers shares.

    Args:
        domain: The operator set that they will belong to.
    """
    return (
        _dense(domain),
        _convolution(domain, 1),
        _convolution(domain, 2),
        _depthwise(domain),
        _transposed(domain),
    )


def separable_convolution(domain: str) -> OpDef:
    """``SeparableConv2D``: a depthwise convolution, then a 1 x 1 convolution.

    Args:
        domain: The operator set that it will belong to.
    """
    return OpDef(
        domain=domain,
        name="SeparableConv2D",
        summary="A depthwise convolution, then one of size 1 x 1, plus an optional bias.",
        formula=_formula(
            _notation(2, "depthwise_weight"),
            _COUNT,
            f"z[{_OUT}, c * m + r] = sum over u_0, u_1 of x[{_seen(2)}, c]"
            " * depthwise_weight[u_0, u_1, c, r], where m is the last length of depthwise_weight"
            " and x is 0 outside of the input",
            f"y[{_OUT}, j] = sum over e of z[{_OUT}, e] * pointwise_weight[0, 0, e, j]",
        ),
        latex=r"z_{o, c m + r} = \sum_u v_{u, c, r} x_{s o + d u - p, c},\quad "
        r"y_{o, j} = \sum_e w_{e, j} z_{o, e} + b_j",
        flow=Flow.SAME,
        inputs=(_image(2),),
        outputs=(_RESULT,),
        attributes=_convolution_attributes(2),
        parameters=(
            Parameter(
                "depthwise_weight",
                "Kernels of the first convolution, multiplier of them for each input channel.",
                "[height, width, in, multiplier]",
                required=True,
            ),
            Parameter(
                "pointwise_weight",
                "Matrix of the second convolution.",
                "[1, 1, in * multiplier, out]",
                required=True,
            ),
            _bias("out"),
        ),
        infer=_infer_separable,
        prepare=_prepare_separable,
        step=_step,
        references=(
            "Keras 3: keras.layers.SeparableConv2D",
            "TensorFlow: tf.nn.separable_conv2d",
        ),
    )


# Pieces that the definitions share -----------------------------------------------------------

_RESULT: Final = Port("y", "The result.")
_OUT: Final = "o_0, o_1"
_COUNT: Final = f"{PADDING_FORMULA}\n{dims.COUNT_FORMULA}"


def _formula(*statements: str) -> str:
    """The statements, then what all operators here have in common."""
    bias = "y[..., j] = y[..., j] + bias[j] if there is a bias"
    return "\n".join((*statements, bias, ACCUMULATION))


def _image(rank: int) -> Port:
    return Port("x", f"What is filtered: [{', '.join(dims.AXIS_NAMES[rank])}, channels].")


def _bias(length: str) -> Parameter:
    return Parameter("bias", "Added to every output channel, after the sum.", f"[{length}]")


def _notation(rank: int, weight: str) -> str:
    return (
        f"{dims.spatial_axes(rank)}: n_a is the input's length, k_a that of {weight}, "
        "s_a = strides[a], d_a = dilations[a], K_a = (k_a - 1) * d_a + 1"
    )


def _taps(rank: int) -> str:
    return per_axis("u_@", rank)


def _seen(rank: int) -> str:
    return per_axis("o_@ * s_@ + u_@ * d_@ - begin_@", rank)


def _convolution_attributes(rank: int) -> tuple[Attribute, ...]:
    return (
        dims.strides_attribute(
            rank, "Elements of the input from one output element to the next", (1,) * rank
        ),
        dims.dilations_attribute(rank),
        *dims.padding_attributes(rank),
    )


def window_rule(get: Getter, sizes: Sequence[int]) -> dims.WindowRule:
    """How the windows of a convolution lie.

    Args:
        get: Gives an attribute's value, defaults filled in.
        sizes: Lengths of the kernel.
    """
    return dims.WindowRule(
        tuple(sizes), get("strides"), get("dilations"), get("padding"), get("pads")
    )


def _weight_shape(
    context: InferContext, name: str, expected: Sequence[int | str | None]
) -> tuple[int, ...]:
    """The shape of a weight; none of its lengths may be 0."""
    found = context.expect_parameter(name, expected)
    if 0 in found:
        context.fail(
            "type.shape", f"parameter '{name}'", format_shape(found), "lengths of at least 1"
        )
    return found


def _step(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    """Whatever was prepared, then the bias."""
    y: Array = bound.prepared(inputs["x"])
    bias = bound.optional("bias")
    if bias is not None:
        kernels.add_to_channels(y, bias)
    return (y,)


# Dense ---------------------------------------------------------------------------------------


def _dense(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="Dense",
        summary="A matrix product along the last axis, plus an optional bias.",
        formula=_formula(
            "y[..., j] = sum over i of x[..., i] * weight[i, j]",
        ),
        latex=r"y_j = \sum_i w_{ij} x_i + b_j",
        flow=Flow.SAME,
        inputs=(Port("x", "What is multiplied: [..., in]."),),
        outputs=(Port("y", "The result: [..., out]."),),
        parameters=(
            Parameter("weight", "The matrix.", "[in, out]", required=True),
            _bias("out"),
        ),
        infer=_infer_dense,
        prepare=_prepare_dense,
        step=_step,
        references=("Keras 3: keras.layers.Dense", "ONNX: MatMul, Gemm"),
    )


def _infer_dense(context: InferContext) -> Sequence[Shape]:
    shape = context.shape("x")
    if not shape:
        context.fail("type.shape", "input 'x'", "[]", "at least 1 axis")
    _, units = _weight_shape(context, "weight", (shape[-1], None))
    context.check_parameter("bias", (units,))
    return [(*shape[:-1], units)]


def _prepare_dense(bound: Bound) -> Any:
    return partial(_multiply, bound.parameters["weight"])


def _multiply(weight: Array, x: Array) -> Array:
    y = kernels.multiply(x.reshape(-1, x.shape[-1]), weight)
    return y.reshape(*x.shape[:-1], weight.shape[-1])


# Convolution ---------------------------------------------------------------------------------


def _convolution(domain: str, rank: int) -> OpDef:
    out = per_axis("o_@", rank)
    kernel = ", ".join(dims.AXIS_NAMES[rank])
    spatial = "an axis" if rank == 1 else "height and width"
    return OpDef(
        domain=domain,
        name=f"Conv{rank}D",
        summary=f"A convolution along {spatial}, plus an optional bias.",
        formula=_formula(
            _notation(rank, "weight"),
            _COUNT,
            f"y[{out}, j] = sum over {_taps(rank)}, i of x[{_seen(rank)}, g * I + i]"
            f" * weight[{_taps(rank)}, i, j], where I = in / groups, g = floor(j / (out / groups))"
            " and x is 0 outside of the input",
        ),
        latex=r"y_{o, j} = \sum_{u, i} w_{u, i, j} x_{s o + d u - p, g I + i} + b_j,\quad "
        r"I = \frac{C_{in}}{G},\; g = \left\lfloor \frac{j G}{C_{out}} \right\rfloor",
        flow=Flow.SAME,
        inputs=(_image(rank),),
        outputs=(_RESULT,),
        attributes=(
            *_convolution_attributes(rank),
            Attribute(
                "groups",
                "Groups into which the channels are split; each output group sees one input group.",
                "int",
                default=1,
                minimum=1,
            ),
        ),
        parameters=(
            Parameter(
                "weight",
                "The kernels; they are not flipped.",
                f"[{kernel}, in / groups, out]",
                required=True,
            ),
            _bias("out"),
        ),
        infer=partial(_infer_convolution, rank),
        prepare=partial(_prepare_convolution, rank),
        step=_step,
        references=(
            f"Keras 3: keras.layers.Conv{rank}D",
            f"TensorFlow: tf.nn.conv{rank}d",
            "ONNX: Conv",
        ),
        notes='Causal padding is padding "explicit" with (k - 1) * dilation elements at the '
        "begin and none at the end."
        if rank == 1
        else "",
    )


def _infer_convolution(rank: int, context: InferContext) -> Sequence[Shape]:
    shape = context.expect_rank("x", rank + 1)
    groups: int = context.attribute("groups")
    channels = shape[-1]
    if isinstance(channels, int) and channels % groups:
        context.fail(
            "op.attribute", "attribute 'groups'", str(groups), f"a divisor of {channels} channels"
        )
    inputs = channels // groups if isinstance(channels, int) else None
    weight = _weight_shape(context, "weight", (*(None,) * rank, inputs, None))
    filters = weight[-1]
    if filters % groups:
        context.fail(
            "op.attribute", "attribute 'groups'", str(groups), f"a divisor of {filters} filters"
        )
    context.check_parameter("bias", (filters,))
    lengths = dims.window_lengths(context, shape, window_rule(context.attribute, weight[:rank]))
    return [(*lengths, filters)]


def _prepare_convolution(rank: int, bound: Bound) -> Any:
    weight = bound.parameters["weight"]
    groups: int = bound.attributes["groups"]
    axes = window_rule(bound.attributes.get, weight.shape[:rank]).on(bound.shape("x")[:rank])
    if groups > 1 and weight.shape[rank] == 1:
        taps = weight.reshape(*weight.shape[:rank], -1)
        return partial(kernels.convolve_depthwise, taps=taps, axes=axes)
    matrices = kernels.convolution_matrices(weight, groups)
    return partial(kernels.convolve, matrices=matrices, axes=axes)


# Depthwise and separable convolution ---------------------------------------------------------


def _depthwise(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="DepthwiseConv2D",
        summary="A convolution of each channel by kernels of its own, plus an optional bias.",
        formula=_formula(
            _notation(2, "weight"),
            _COUNT,
            f"y[{_OUT}, c * m + r] = sum over u_0, u_1 of x[{_seen(2)}, c]"
            " * weight[u_0, u_1, c, r], where m is the last length of weight"
            " and x is 0 outside of the input",
        ),
        latex=r"y_{o, c m + r} = \sum_u w_{u, c, r} x_{s o + d u - p, c} + b_{c m + r}",
        flow=Flow.SAME,
        inputs=(_image(2),),
        outputs=(_RESULT,),
        attributes=_convolution_attributes(2),
        parameters=(
            Parameter(
                "weight",
                "The kernels, multiplier of them for each input channel; they are not flipped.",
                "[height, width, in, multiplier]",
                required=True,
            ),
            _bias("in * multiplier"),
        ),
        infer=_infer_depthwise,
        prepare=_prepare_depthwise,
        step=_step,
        references=(
            "Keras 3: keras.layers.DepthwiseConv2D",
            "TensorFlow: tf.nn.depthwise_conv2d",
            "ONNX: Conv with as many groups as channels",
        ),
    )


def _infer_depthwise(context: InferContext) -> Sequence[Shape]:
    shape = context.expect_rank("x", 3)
    *sizes, channels, multiplier = _weight_shape(context, "weight", (None, None, shape[-1], None))
    context.check_parameter("bias", (channels * multiplier,))
    lengths = dims.window_lengths(context, shape, window_rule(context.attribute, sizes))
    return [(*lengths, channels * multiplier)]


def _prepare_depthwise(bound: Bound, parameter: str = "weight") -> Any:
    weight = bound.parameters[parameter]
    axes = window_rule(bound.attributes.get, weight.shape[:2]).on(bound.shape("x")[:2])
    taps = weight.reshape(*weight.shape[:2], -1)
    return partial(kernels.convolve_depthwise, taps=taps, axes=axes)


def _infer_separable(context: InferContext) -> Sequence[Shape]:
    shape = context.expect_rank("x", 3)
    *sizes, channels, multiplier = _weight_shape(
        context, "depthwise_weight", (None, None, shape[-1], None)
    )
    filters = _weight_shape(context, "pointwise_weight", (1, 1, channels * multiplier, None))[-1]
    context.check_parameter("bias", (filters,))
    lengths = dims.window_lengths(context, shape, window_rule(context.attribute, sizes))
    return [(*lengths, filters)]


def _prepare_separable(bound: Bound) -> Any:
    depthwise = _prepare_depthwise(bound, "depthwise_weight")
    matrix = bound.parameters["pointwise_weight"][0, 0]
    return lambda x: _multiply(matrix, depthwise(x))


# Transposed convolution ----------------------------------------------------------------------


def _transposed(domain: str) -> OpDef:
    return OpDef(
        domain=domain,
        name="ConvTranspose2D",
        summary="A transposed convolution (the gradient of one), plus an optional bias.",
        formula=_formula(
            _notation(2, "weight"),
            "full_a = (n_a - 1) * s_a + K_a; p_a = output_padding[a]",
            'if padding is "valid": out_a = full_a + p_a, where p_a is max(s_a - K_a, 0) if '
            "output_padding is absent; begin_a = 0",
            'if padding is "same": out_a = n_a * s_a if output_padding is absent, else '
            "(n_a - 1) * s_a + (K_a mod 2) + p_a; begin_a = floor(max(full_a - out_a, 0) / 2)",
            'if padding is "explicit": out_a = full_a - pads[2 * a] - pads[2 * a + 1] + p_a, '
            "where p_a is 0 if output_padding is absent; begin_a = pads[2 * a]",
            "z[q_0, q_1, j] = sum over i_0, i_1, u_0, u_1, c with q_0 = i_0 * s_0 + u_0 * d_0 and "
            "q_1 = i_1 * s_1 + u_1 * d_1 of x[i_0, i_1, c] * weight[u_0, u_1, j, c]",
            "y[o_0, o_1, j] = z[o_0 + begin_0, o_1 + begin_1, j]: along axis a, the elements of z "
            "before begin_a and those from begin_a + out_a on are cropped, and y is 0 where z has "
            "ended",
        ),
        latex=r"y_{o, j} = \sum_{i, u, c \,:\, s i + d u = o + p} w_{u, j, c} x_{i, c} + b_j",
        flow=Flow.SAME,
        inputs=(_image(2),),
        outputs=(_RESULT,),
        attributes=(
            dims.strides_attribute(
                2, "Elements of the output from one input element to the next", (1, 1)
            ),
            dims.dilations_attribute(2),
            *dims.padding_attributes(
                2,
                'What is cropped of all that the kernels reach. "valid": nothing. "same": as much '
                'as makes the output input * stride long, the odd element at the end. "explicit": '
                "as pads says.",
                "Elements cropped",
            ),
            Attribute(
                "output_padding",
                "Elements added to the length of the output: height, width. Absent: the formula's "
                "default.",
                "ints",
                minimum=0,
                unit="elements",
            ),
        ),
        parameters=(
            Parameter(
                "weight",
                "The kernels; they are not flipped.",
                "[height, width, out, in]",
                required=True,
            ),
            _bias("out"),
        ),
        infer=_infer_transposed,
        prepare=_prepare_transposed,
        step=_step,
        references=(
            "Keras 3: keras.layers.Conv2DTranspose",
            "TensorFlow: tf.nn.conv2d_transpose",
            "ONNX: ConvTranspose",
        ),
        notes="An output element that no kernel reaches is the bias.",
    )


def transposed_rule(get: Getter, sizes: Sequence[int]) -> dims.TransposedRule:
    """How a transposed convolution spreads.

    Args:
        get: Gives an attribute's value, defaults filled in.
        sizes: Lengths of the kernel.
    """
    return dims.TransposedRule(
        tuple(sizes),
        get("strides"),
        get("dilations"),
        get("padding"),
        get("pads"),
        get("output_padding"),
    )


def _infer_transposed(context: InferContext) -> Sequence[Shape]:
    shape = context.expect_rank("x", 3)
    *sizes, filters, _ = _weight_shape(context, "weight", (None, None, None, shape[-1]))
    context.check_parameter("bias", (filters,))
    rule = transposed_rule(context.attribute, sizes)
    return [(*dims.transposed_lengths(context, shape, rule), filters)]


def _prepare_transposed(bound: Bound) -> Any:
    weight = bound.parameters["weight"]
    axes = transposed_rule(bound.attributes.get, weight.shape[:2]).on(bound.shape("x")[:2])
    return partial(kernels.convolve_transposed, weight=weight.swapaxes(-1, -2), axes=axes)
