"""Linear operators as synapses: sparse matrices for backends that connect populations.

What an operator does is said once, by its definition: operators that move elements are run on
the numbers of the elements, and windows are laid by :mod:`snnir.ops.kernels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.ir.graph import Node
from snnir.ops import dims, kernels, linear, pooling
from snnir.ops.schema import Arity, Bound, OpDef
from snnir.passes.linear_map import INDEX, LinearMap
from snnir.runtime.evaluate import operands

Array = npt.NDArray[Any]

Shape = tuple[int, ...]


def is_linear(op: str) -> bool:
    """Whether :func:`linear_maps` takes the operator ``"domain.Operator"``.

    It does if the result is a sum of weighted inputs of this or of a bounded number of steps
    before, plus a constant. That of ``snn.ExponentialSynapse`` reaches back without bound.
    """
    return op in _OPERATORS


def linear_maps(
    node: Node,
    opdef: OpDef,
    input_shapes: Mapping[str, Sequence[Shape]],
    output_shape: Shape,
    *,
    drop_zeros: bool = False,
) -> list[LinearMap]:
    """The matrices whose results, and :func:`offset`, add up to a linear operator's result.

    Weights are the operator's own, in float32. Those that it computes (of averages and
    interpolations) are float64, and so are sums of weights that a ``Sparse`` has several of for
    the same source, target and delay. Delays of bindings are not part of it.

    Args:
        node: A valid node whose operator :func:`is_linear`.
        opdef: The operator's definition.
        input_shapes: Feature shapes at each input port.
        output_shape: Feature shape of the result.
        drop_zeros: Whether to leave out weights of 0, of which a dense layer or a convolution may
            have many. What a ``Sparse`` states stays.

    Returns:
        A map for each binding, in their order.

    Raises:
        KeyError: If the operator is not linear.
        CapabilityError: If there are more sources or targets than a map can have.
    """
    bound = _bound(node, opdef, input_shapes, output_shape)
    maps = _OPERATORS[node.op](bound, opdef)
    if drop_zeros and node.op != "snn.Sparse":
        return [found.without_zeros() for found in maps]
    return maps


def offset(node: Node, opdef: OpDef, output_shape: Shape) -> Array | None:
    """What a linear operator adds in every step, flattened, in float32; None if nothing.

    Args:
        node: A valid node whose operator :func:`is_linear`.
        opdef: The operator's definition.
        output_shape: Feature shape of the result.
    """
    bias = operands(node, opdef, np.dtype(np.float32))[1].get("bias")
    return None if bias is None else np.broadcast_to(bias, output_shape).reshape(-1)


@dataclass(frozen=True)
class Convolution:
    """A convolution in two dimensions.

    ``y[o, j] = sum over u, i of kernel[u, i, j] * x[o * strides + u * dilations - pads, i + g]``,
    x being 0 outside, where j belongs to group ``j // (out / groups)``, whose inputs start at g.

    Attributes:
        kernel: [height, width, in / groups, out], float32.
        strides: Of height, width.
        dilations: Of height, width.
        pads: Elements of padding before the first: height, width.
        groups: Groups of channels.
        input_shape: [height, width, in].
        output_shape: [height, width, out].
    """

    kernel: Array
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    groups: int
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]

    def of_pooled(self, pool: Node, opdef: OpDef, input_shape: Shape) -> Convolution | None:
        """This convolution of pooled values, as one of the values themselves.

        The kernel's elements are repeated over the windows; that is exact if those do not
        overlap, leave nothing out and have no padding. Otherwise, and for other operators, None.

        Args:
            pool: A valid node, an average or a sum in two dimensions.
            opdef: The operator's definition.
            input_shape: Feature shape of its input.
        """
        if pool.op not in ("snn.AveragePool2D", "snn.SumPool2D") or self.dilations != (1, 1):
            return None
        attributes, _ = operands(pool, opdef, np.dtype(np.float32))
        axes = pooling.pool_rule(attributes.get).on(input_shape[:2])
        height, width, channels = input_shape
        for axis, length in zip(axes, (height, width), strict=True):
            whole = axis.begin == axis.end == 0 and axis.dilation == 1
            if not whole or axis.stride != axis.size or length % axis.stride:
                return None
        rows, columns = axes[0].size, axes[1].size
        kernel = self.kernel.repeat(rows, axis=0).repeat(columns, axis=1)
        if pool.op == "snn.AveragePool2D":
            kernel = (kernel.astype(np.float64) / (rows * columns)).astype(np.float32)
        return replace(
            self,
            kernel=kernel,
            strides=(self.strides[0] * rows, self.strides[1] * columns),
            pads=(self.pads[0] * rows, self.pads[1] * columns),
            input_shape=(height, width, channels),
        )


def as_convolution(node: Node, opdef: OpDef, input_shape: Shape) -> Convolution | None:
    """A ``Conv1D``, ``Conv2D`` or ``DepthwiseConv2D`` as a convolution; other operators: None.

    Args:
        node: A valid node.
        opdef: The operator's definition.
        input_shape: Feature shape of the input.
    """
    if node.op not in ("snn.Conv1D", "snn.Conv2D", "snn.DepthwiseConv2D"):
        return None
    attributes, parameters = operands(node, opdef, np.dtype(np.float32))
    kernel = parameters["weight"]
    sizes, lengths = kernel.shape[:-2], input_shape[:-1]
    channels = input_shape[-1]
    axes = linear.window_rule(attributes.get, sizes).on(lengths)
    groups = attributes.get("groups", channels)
    if node.op == "snn.DepthwiseConv2D":
        kernel = kernel.reshape(*sizes, 1, -1)
    if len(axes) == 1:
        kernel = kernel[np.newaxis]
    outputs = kernel.shape[-1]

    def both(values: Sequence[int], other: int) -> tuple[int, int]:
        first, second = values if len(values) == 2 else (other, *values)
        return first, second

    return Convolution(
        kernel,
        both([axis.stride for axis in axes], 1),
        both([axis.dilation for axis in axes], 1),
        both([axis.begin for axis in axes], 0),
        groups,
        (*both(lengths, 1), channels),
        (*both([axis.count for axis in axes], 1), outputs),
    )


def _bound(
    node: Node, opdef: OpDef, input_shapes: Mapping[str, Sequence[Shape]], output_shape: Shape
) -> Bound:
    """The operator bound to the node for one sample, not prepared."""
    attributes, parameters = operands(node, opdef, np.dtype(np.float32))
    return Bound(
        node=node,
        attributes=attributes,
        parameters=parameters,
        dtype=np.dtype(np.float32),
        input_shapes={port: list(shapes) for port, shapes in input_shapes.items()},
        output_shapes={opdef.output_names[0]: output_shape},
        batch=1,
        steps=1,
    )


# Element by element --------------------------------------------------------------------------


def _moved(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    """Of an operator that moves elements: where it brings their numbers, 0 being none."""
    (port,) = opdef.inputs
    shapes = bound.input_shapes[port.name]
    ends = np.cumsum([np.prod(shape, dtype=np.int64) for shape in shapes])
    numbers = np.split(np.arange(1, ends[-1] + 1), ends[:-1])
    arrays = [part.reshape(1, *shape) for part, shape in zip(numbers, shapes, strict=True)]
    fed = arrays if port.arity is Arity.LIST else arrays[0]
    moved = opdef.step(bound, {port.name: fed}, {})[0].reshape(-1)
    maps = []
    for part in numbers:
        (targets,) = np.nonzero((moved >= part[0]) & (moved <= part[-1]))
        weights = np.ones(len(targets), np.float32)
        sources = moved[targets] - part[0]
        maps.append(LinearMap.from_entries(len(part), len(moved), sources, targets, weights))
    return maps


def _unchanged(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    count = int(np.prod(bound.shape("x"), dtype=np.int64))
    return [LinearMap.identity(count)] * len(bound.input_shapes["x"])


def _feature(bound: Bound, parameter: str) -> Array:
    """A parameter's value for each element of the input."""
    return np.broadcast_to(bound.parameters[parameter], bound.shape("x")).reshape(-1)


def _scale(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    return [LinearMap.diagonal(_feature(bound, "scale"))]


def _delay(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    delays = _feature(bound, "delay_steps")
    return [LinearMap.diagonal(np.ones(len(delays), np.float32), delays)]


def _upsampled(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    if bound.attributes["interpolation"] != "bilinear":
        return _moved(bound, opdef)
    height, width, channels = bound.shape("x")
    down, along = bound.attributes["factors"]
    rows, columns = _interpolation(height, down), _interpolation(width, along)
    wide = _along(columns, height, channels)
    return [wide.then(_along(rows, 1, columns.outputs * channels))]


def _interpolation(length: int, factor: int) -> LinearMap:
    """Linear interpolation of an axis: what each of its elements alone becomes."""
    alone = np.eye(length).reshape(length, length, 1)
    found = kernels.upsample_linear(alone, (factor,)).reshape(length, -1)
    sources, targets = np.nonzero(found)
    weights = found[sources, targets]
    return LinearMap.from_entries(length, found.shape[1], sources, targets, weights)


def _along(axis: LinearMap, before: int, after: int) -> LinearMap:
    """A map of one axis as that of values with elements on axes before and after it."""
    outer, inner = np.arange(before)[:, None, None], np.arange(after)
    sources = (outer * axis.inputs + axis.sources[:, None]) * after + inner
    targets = (outer * axis.outputs + axis.targets[:, None]) * after + inner
    weights = np.broadcast_to(axis.weights[:, None], sources.shape)
    return LinearMap.from_entries(
        before * axis.inputs * after,
        before * axis.outputs * after,
        sources.reshape(-1),
        targets.reshape(-1),
        weights.reshape(-1),
    )


# Kernels -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Joints:
    """Which place of the input each place of the output sees, by which tap of a kernel.

    Places are numbered in C order over the spatial axes, taps likewise.

    Attributes:
        inputs: Number of places of the input.
        outputs: Number of places of the output.
        size: Number of taps.
        sources: Place of the input of each joint.
        targets: Place of the output of each joint.
        taps: Tap of each joint.
    """

    inputs: int
    outputs: int
    size: int
    sources: Array
    targets: Array
    taps: Array


def _axis_joints(axis: dims.Windows | dims.Spread) -> _Joints:
    """Joints along one axis: what windows see of the numbers of the places, 0 being none."""
    numbers = np.arange(1.0, axis.length + 1).reshape(1, -1, 1)
    if isinstance(axis, dims.Windows):
        seen = kernels.flat_windows(numbers, (axis,))
    else:
        seen = kernels.convolve_transposed(numbers, np.eye(axis.size)[:, None], (axis,))
    table = seen.reshape(axis.count, axis.size)
    targets, taps = np.nonzero(table)
    sources = table[targets, taps].astype(np.int64) - 1
    return _Joints(axis.length, axis.count, axis.size, sources, targets, taps)


def _crossed(outer: _Joints, inner: _Joints) -> _Joints:
    """Joints of two axes together."""

    def pairs(first: Array, second: Array, count: int) -> Array:
        return (first[:, None] * count + second).reshape(-1)

    return _Joints(
        outer.inputs * inner.inputs,
        outer.outputs * inner.outputs,
        outer.size * inner.size,
        pairs(outer.sources, inner.sources, inner.inputs),
        pairs(outer.targets, inner.targets, inner.outputs),
        pairs(outer.taps, inner.taps, inner.size),
    )


def _joints(axes: Sequence[dims.Windows] | Sequence[dims.Spread]) -> _Joints:
    """Joints of all axes, in order of source and target."""
    found = reduce(_crossed, map(_axis_joints, axes))
    order = np.lexsort((found.targets, found.sources))
    return replace(
        found,
        sources=found.sources[order],
        targets=found.targets[order],
        taps=found.taps[order],
    )


def _connected(joints: _Joints, weight: Array, groups: int) -> LinearMap:
    """The map of a kernel; needs little memory beyond it.

    Args:
        joints: In order of source and target.
        weight: [taps, in, out / groups]; channels of a group of inputs are adjacent, and so are
            those of a group of outputs.
        groups: Number of groups.
    """
    _, channels, fan_out = weight.shape
    each = channels // groups
    counts = np.bincount(joints.sources, minlength=joints.inputs)
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows = len(joints.sources) * channels
    sources = np.empty((rows, fan_out), INDEX)
    targets = np.empty((rows, fan_out), INDEX)
    weights = np.empty((rows, fan_out), weight.dtype)
    filters = np.arange(fan_out)
    # A row is a channel at a place and a joint of that place; channels come before joints.
    for part in kernels.stretches(rows, 64 + 16 * fan_out):
        row = np.arange(part.start, part.stop)
        place = np.searchsorted(starts * channels, row, side="right") - 1
        channel, number = np.divmod(row - starts[place] * channels, counts[place])
        joint = starts[place] + number
        first = (joints.targets[joint] * groups + channel // each) * fan_out
        sources[part] = (place * channels + channel)[:, None]
        targets[part] = first[:, None] + filters
        weights[part] = weight[joints.taps[joint], channel]
    return LinearMap(
        joints.inputs * channels,
        joints.outputs * groups * fan_out,
        sources.reshape(-1),
        targets.reshape(-1),
        weights.reshape(-1),
    )


def _dense(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    places = np.arange(np.prod(bound.shape("x")[:-1], dtype=np.int64))
    joints = _Joints(len(places), len(places), 1, places, places, np.zeros_like(places))
    return [_connected(joints, bound.parameters["weight"][None], 1)]


def _delayed_dense(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    (found,) = _dense(bound, opdef)
    return [replace(found, delays=bound.parameters["delay_steps"].astype(INDEX).reshape(-1))]


def _sparse(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    counts = np.diff(bound.parameters["row_starts"])
    return [
        LinearMap.from_entries(
            len(counts),
            bound.attributes["outputs"],
            np.repeat(np.arange(len(counts)), counts),
            bound.parameters["indices"],
            bound.parameters["weight"],
            bound.optional("delay_steps"),
        )
    ]


def _convolution(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    weight, groups = bound.parameters["weight"], bound.attributes["groups"]
    sizes, (each, filters) = weight.shape[:-2], weight.shape[-2:]
    axes = linear.window_rule(bound.attributes.get, sizes).on(bound.shape("x")[:-1])
    split = weight.reshape(-1, each, groups, filters // groups).swapaxes(1, 2)
    kernel = split.reshape(-1, groups * each, filters // groups)
    return [_connected(_joints(axes), kernel, groups)]


def _depthwise(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    weight = bound.parameters["weight"]
    axes = linear.window_rule(bound.attributes.get, weight.shape[:2]).on(bound.shape("x")[:-1])
    kernel = weight.reshape(-1, *weight.shape[2:])
    return [_connected(_joints(axes), kernel, len(kernel[0]))]


def _transposed(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    weight = bound.parameters["weight"]
    axes = linear.transposed_rule(bound.attributes.get, weight.shape[:2]).on(bound.shape("x")[:-1])
    kernel = weight.reshape(-1, *weight.shape[2:]).swapaxes(1, 2)
    return [_connected(_joints(axes), kernel, 1)]


# Pooling -------------------------------------------------------------------------------------


def _window_sum(axes: Sequence[dims.Windows], channels: int) -> LinearMap:
    """The sum of each window, of each channel."""
    joints = _joints(axes)
    return _connected(joints, np.ones((joints.size, channels, 1), np.float32), channels)


def _sum_pool(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    return [_window_sum(pooling.prepare_pool(bound), bound.shape("x")[-1])]


def _mean(axes: Sequence[dims.Windows], channels: int, include_pad: bool) -> list[LinearMap]:
    """The mean of each window, of each channel."""
    elements = np.repeat(kernels.window_elements(axes, include_pad).reshape(-1), channels)
    return [_window_sum(axes, channels).scaled(1 / elements)]


def _average_pool(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    axes, include_pad = pooling.prepare_pool(bound), bound.attributes["count_include_pad"]
    return _mean(axes, bound.shape("x")[-1], include_pad)


def _global_average(bound: Bound, opdef: OpDef) -> list[LinearMap]:
    """The mean of a window that is the whole input."""
    *lengths, channels = bound.shape("x")
    ones = (1,) * len(lengths)
    rule = dims.WindowRule(tuple(lengths), ones, ones, "valid", None)
    return _mean(rule.on(lengths), channels, False)


# All -----------------------------------------------------------------------------------------

_OPERATORS: Final[Mapping[str, Callable[[Bound, OpDef], list[LinearMap]]]] = {
    "snn.Dense": _dense,
    "snn.DelayedDense": _delayed_dense,
    "snn.Sparse": _sparse,
    "snn.Conv1D": _convolution,
    "snn.Conv2D": _convolution,
    "snn.DepthwiseConv2D": _depthwise,
    "snn.ConvTranspose2D": _transposed,
    "snn.AveragePool1D": _average_pool,
    "snn.AveragePool2D": _average_pool,
    "snn.SumPool1D": _sum_pool,
    "snn.SumPool2D": _sum_pool,
    "snn.GlobalAveragePool1D": _global_average,
    "snn.GlobalAveragePool2D": _global_average,
    "snn.Scale": _scale,
    "snn.Bias": _unchanged,
    "snn.Add": _unchanged,
    "snn.Delay": _delay,
    "snn.Upsample1D": _moved,
    "snn.Upsample2D": _upsampled,
    **{
        f"snn.{name}": _moved
        for name in (
            "Concat",
            "Flatten",
            "Reshape",
            "Permute",
            "Pad1D",
            "Pad2D",
            "Crop1D",
            "Crop2D",
        )
    },
}
