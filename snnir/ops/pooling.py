"""Pooling: defined once, members of several operator sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from snnir.ir.types import Shape
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
    Port,
)


def pooling_operators(domain: str) -> tuple[OpDef, ...]:
    """The pooling operators of an operator set.

    ``ann`` has no sum pooling, and ``snn`` no maximum: that of spikes needs a rule of its own.

    Args:
        domain: The operator set that they will belong to: ``"ann"`` or ``"snn"``.
    """
    definitions = [make(domain, rank) for make in (_average, _global_average) for rank in (1, 2)]
    special = (_maximum, _global_maximum) if domain == "ann" else (_sum,)
    definitions += [make(domain, rank) for make in special for rank in (1, 2)]
    return tuple(definitions)


# What every pooling operator with windows shares ---------------------------------------------

POOL_COUNT: Final = (
    "if ceil_mode is false: out_a = floor((n_a + begin_a + end_a - K_a) / s_a) + 1",
    "if ceil_mode is true: c_a = ceil((n_a + begin_a + end_a - K_a) / s_a) + 1; "
    "out_a = c_a - 1 if (c_a - 1) * s_a >= n_a + begin_a, else c_a",
)


def pool_formula(rank: int, *statements: str) -> str:
    """The formula of a pooling operator: where its windows lie, then the statements."""
    notation = (
        f"{dims.spatial_axes(rank)}: n_a is the input's length, K_a = pool_size[a], "
        "s_a = strides[a]"
    )
    window = (
        f"W[{per_axis('o_@', rank)}] = all places [{per_axis('i_@', rank)}] with "
        "0 <= i_a - o_a * s_a + begin_a < K_a along every axis a"
    )
    return "\n".join((notation, PADDING_FORMULA, *POOL_COUNT, window, *statements))


def pool_attributes(rank: int) -> tuple[Attribute, ...]:
    """The attributes of every pooling operator with windows."""
    return (
        Attribute(
            "pool_size",
            f"Lengths of a window{dims.each_axis(rank)}.",
            "ints",
            required=True,
            minimum=1,
            unit="elements",
        ),
        dims.strides_attribute(
            rank, "Elements from one window to the next (absent: pool_size)", None
        ),
        *dims.padding_attributes(rank),
        Attribute(
            "ceil_mode",
            'Whether a last window may reach beyond the padding; not with padding "same".',
            "bool",
            default=False,
        ),
    )


def pool_rule(get: Getter) -> dims.WindowRule:
    """How the windows lie, from the attributes of a pooling operator.

    Args:
        get: Gives an attribute's value, or None where a node has none.
    """
    sizes: tuple[int, ...] = get("pool_size")
    strides: tuple[int, ...] | None = get("strides")
    return dims.WindowRule(
        sizes,
        sizes if strides is None else strides,
        (1,) * len(sizes),
        get("padding"),
        get("pads"),
        get("ceil_mode"),
    )


def infer_pool(rank: int) -> Callable[[InferContext], Sequence[Shape]]:
    """The ``infer`` of pooling operators with windows over ``rank`` spatial axes."""
    return partial(_infer_pool, rank)


def prepare_pool(bound: Bound) -> tuple[dims.Windows, ...]:
    """The ``prepare`` of pooling operators with windows: where they lie along each axis."""
    return pool_rule(bound.attributes.get).on(bound.shape("x")[:-1])


def _infer_pool(rank: int, context: InferContext) -> Sequence[Shape]:
    shape = context.expect_rank("x", rank + 1)
    rule = pool_rule(context.attribute)
    dims.check_count(context, "pool_size", rule.sizes, rank)
    if rule.ceil_mode and rule.padding == "same":
        context.fail("op.attribute", "attribute 'ceil_mode'", 'true with padding "same"', "false")
    lengths = dims.window_lengths(context, shape, rule)
    for axis, size in enumerate(rule.sizes):
        for padding in (rule.pads or ())[2 * axis : 2 * axis + 2]:
            if padding >= size:
                context.fail(
                    "op.attribute",
                    "attribute 'pads'",
                    f"{padding} along axis {axis}",
                    f"at most {size - 1}, so that no window is outside of the input",
                )
    return [(*lengths, shape[-1])]


def _image(rank: int) -> Port:
    return Port("x", f"What is pooled: [{', '.join(dims.AXIS_NAMES[rank])}, channels].")


def _pool(
    domain: str,
    name: str,
    rank: int,
    step: Callable[[Bound, Inputs, dict[str, Array]], Outputs],
    attributes: tuple[Attribute, ...] = (),
    **texts: Any,
) -> OpDef:
    return OpDef(
        domain=domain,
        name=f"{name}{rank}D",
        flow=Flow.SAME,
        inputs=(_image(rank),),
        outputs=(Port("y", "The result, one value for each window and channel."),),
        attributes=(*pool_attributes(rank), *attributes),
        infer=infer_pool(rank),
        prepare=prepare_pool,
        step=step,
        **texts,
    )


# Average, sum, maximum -----------------------------------------------------------------------


def _average(domain: str, rank: int) -> OpDef:
    out = per_axis("o_@", rank)
    inside = per_axis("i_@", rank)
    return _pool(
        domain,
        "AveragePool",
        rank,
        _step_average,
        (
            Attribute(
                "count_include_pad",
                "Whether padding counts as elements of the value 0. What a window covers beyond "
                "the padding, in ceil_mode, never counts.",
                "bool",
                default=False,
            ),
        ),
        summary="The mean of each window.",
        formula=pool_formula(
            rank,
            f"N[{out}] = number of places in W[{out}] with 0 <= i_a < n_a along every axis a, or, "
            "if count_include_pad is true, with -begin_a <= i_a < n_a + end_a",
            f"y[{out}, c] = (sum over [{inside}] in W[{out}] of x[{inside}, c]) / N[{out}], where "
            "x is 0 outside of the input; the order of the sum is not specified",
        ),
        latex=r"y_{o, c} = \frac{1}{N_o} \sum_{i \in W_o} x_{i, c}",
        references=(
            f"Keras 3: keras.layers.AveragePooling{rank}D",
            f"PyTorch: torch.nn.AvgPool{rank}d",
            "ONNX: AveragePool",
        ),
        notes="Keras does not count padding.",
    )


def _step_average(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    axes: tuple[dims.Windows, ...] = bound.prepared
    total = kernels.reduce_windows(inputs["x"], axes, np.add, 0.0)
    elements = kernels.window_elements(axes, bound.attributes["count_include_pad"])
    return (total / elements.astype(bound.dtype),)


def _sum(domain: str, rank: int) -> OpDef:
    out = per_axis("o_@", rank)
    inside = per_axis("i_@", rank)
    return _pool(
        domain,
        "SumPool",
        rank,
        _step_sum,
        summary="The sum of each window.",
        formula=pool_formula(
            rank,
            f"y[{out}, c] = sum over [{inside}] in W[{out}] of x[{inside}, c], where x is 0 outside"
            " of the input; the order of the sum is not specified",
        ),
        latex=r"y_{o, c} = \sum_{i \in W_o} x_{i, c}",
        references=("NIR: nir.SumPool2d",),
    )


def _step_sum(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    return (kernels.reduce_windows(inputs["x"], bound.prepared, np.add, 0.0),)


def _maximum(domain: str, rank: int) -> OpDef:
    out = per_axis("o_@", rank)
    inside = per_axis("i_@", rank)
    return _pool(
        domain,
        "MaxPool",
        rank,
        _step_maximum,
        summary="The largest value of each window.",
        formula=pool_formula(
            rank,
            f"y[{out}, c] = maximum over [{inside}] in W[{out}] of x[{inside}, c], where x is "
            "minus infinity outside of the input",
        ),
        latex=r"y_{o, c} = \max_{i \in W_o} x_{i, c}",
        references=(
            f"Keras 3: keras.layers.MaxPooling{rank}D",
            f"PyTorch: torch.nn.MaxPool{rank}d",
            "ONNX: MaxPool",
        ),
    )


def _step_maximum(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    return (kernels.reduce_windows(inputs["x"], bound.prepared, np.maximum, -np.inf),)


# Global pooling ------------------------------------------------------------------------------


def _global_pool(
    domain: str, name: str, rank: int, reduce: Callable[..., Array], **texts: Any
) -> OpDef:
    return OpDef(
        domain=domain,
        name=f"{name}{rank}D",
        flow=Flow.SAME,
        inputs=(_image(rank),),
        outputs=(Port("y", "The result: [channels]; with keepdims, spatial axes of length 1."),),
        attributes=(
            Attribute(
                "keepdims", "Whether the spatial axes stay, with length 1.", "bool", default=False
            ),
        ),
        infer=partial(_infer_global, rank),
        step=partial(_step_global, reduce),
        **texts,
    )


def _infer_global(rank: int, context: InferContext) -> Sequence[Shape]:
    channels = context.expect_rank("x", rank + 1)[-1]
    return [(*(1,) * rank, channels) if context.attribute("keepdims") else (channels,)]


def _step_global(
    reduce: Callable[..., Array], bound: Bound, inputs: Inputs, state: dict[str, Array]
) -> Outputs:
    x: Array = inputs["x"]
    spatial = tuple(range(1, x.ndim - 1))
    return (reduce(x, axis=spatial, keepdims=bound.attributes["keepdims"]),)


def _global_average(domain: str, rank: int) -> OpDef:
    inside, zeros = per_axis("i_@", rank), per_axis("0", rank)
    return _global_pool(
        domain,
        "GlobalAveragePool",
        rank,
        np.mean,
        summary="The mean of each channel.",
        formula=f"N = product of the lengths of the spatial axes of x\n"
        f"y[c] (with keepdims y[{zeros}, c]) = (sum over {inside} of x[{inside}, c]) / N; the "
        "order of the sum is not specified",
        latex=r"y_c = \frac{1}{N} \sum_i x_{i, c}",
        references=(
            f"Keras 3: keras.layers.GlobalAveragePooling{rank}D",
            "ONNX: GlobalAveragePool",
        ),
    )


def _global_maximum(domain: str, rank: int) -> OpDef:
    inside, zeros = per_axis("i_@", rank), per_axis("0", rank)
    return _global_pool(
        domain,
        "GlobalMaxPool",
        rank,
        np.max,
        summary="The largest value of each channel.",
        formula=f"y[c] (with keepdims y[{zeros}, c]) = maximum over {inside} of x[{inside}, c]",
        latex=r"y_c = \max_i x_{i, c}",
        references=(f"Keras 3: keras.layers.GlobalMaxPooling{rank}D", "ONNX: GlobalMaxPool"),
    )
