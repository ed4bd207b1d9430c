"""What a network costs: connections of each element, multiply-accumulates, synaptic operations.

A multiply-accumulate is one weight times one element of an input. A synaptic operation is the
same for an element that is not zero: one spike that arrives at one neuron. Both count every
connection that lies inside the borders, whatever its weight; pooling, which has no weights,
counts on neither side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.infer import Types
from snnir.ir.graph import Graph, Node
from snnir.ops.dims import Spread, Windows
from snnir.ops.linear import transposed_rule, window_rule
from snnir.ops.registry import find

Array = npt.NDArray[Any]


def fan_out(node: Node, shape: tuple[int, ...]) -> Array | None:
    """To how many elements of the output each element of a node's input is connected.

    Args:
        node: The node.
        shape: Shape of its input, without batch and time.

    Returns:
        Whole numbers of shape ``shape``; None if the node has no weights.
    """
    count = _COUNTS.get(node.operator)
    if count is None or node.domain not in ("ann", "snn"):
        return None
    return np.broadcast_to(count(node, shape), shape)


def multiply_accumulates(graph: Graph, types: Types, *, per_step: bool | None = None) -> int:
    """Multiply-accumulates of all nodes for one sample (in one step, where values have steps).

    Args:
        graph: The graph.
        types: Types of its values; symbols are bound.
        per_step: Only nodes whose output changes from step to step, or only the others.
    """
    total = 0
    for node in graph.nodes.values():
        if per_step is not None and types[node.values()[0]].is_per_step != per_step:
            continue
        shape = tuple(int(dim) for dim in types[node.inputs[0].source].shape)
        counts = fan_out(node, shape)
        total += 0 if counts is None else int(counts.sum())
    return total


def weighted_nodes(graph: Graph) -> list[Node]:
    """The nodes that have weights, and so cost something."""
    return [node for node in graph.nodes.values() if node.operator in _COUNTS]


def _dense(node: Node, shape: tuple[int, ...]) -> Array:
    return np.asarray(node.parameters["weight"].shape[1])


def _sparse(node: Node, shape: tuple[int, ...]) -> Array:
    starts: Array = node.parameters["row_starts"].numpy()
    return np.asarray(np.diff(starts))


def _convolution(node: Node, shape: tuple[int, ...]) -> Array:
    *sizes, _, filters = node.parameters["weight"].shape
    groups = _attribute(node)("groups")
    return _windows(node, tuple(sizes), shape) * int(filters // groups)


def _depthwise(node: Node, shape: tuple[int, ...]) -> Array:
    *sizes, _, multiplier = node.parameters["weight"].shape
    return _windows(node, tuple(sizes), shape) * multiplier


def _transposed(node: Node, shape: tuple[int, ...]) -> Array:
    *sizes, filters, _ = node.parameters["weight"].shape
    axes = transposed_rule(_attribute(node), sizes).on(shape[:-1])
    return _product([_spread_taps(axis) for axis in axes]) * filters


def _windows(node: Node, sizes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    axes = window_rule(_attribute(node), sizes).on(shape[:-1])
    return _product([_window_taps(axis) for axis in axes])


def _attribute(node: Node) -> Callable[[str], Any]:
    """Gives an attribute's value, the operator's default filled in."""
    opdef = find(node.op)
    defaults: Mapping[str, Any] = (
        {} if opdef is None else {entry.name: entry.default for entry in opdef.all_attributes}
    )
    return lambda name: node.attributes.get(name, defaults.get(name))


def _window_taps(axis: Windows) -> Array:
    """How many windows see each element of an axis."""
    taps = (
        np.arange(axis.count)[:, np.newaxis] * axis.stride
        + np.arange(axis.size) * axis.dilation
        - axis.begin
    ).reshape(-1)
    inside = taps[(taps >= 0) & (taps < axis.length)]
    return np.bincount(inside, minlength=axis.length)


def _spread_taps(axis: Spread) -> Array:
    """How many elements of the output each element of an axis reaches."""
    reached = (
        np.arange(axis.length)[:, np.newaxis] * axis.stride
        + np.arange(axis.size) * axis.dilation
        - axis.begin
    )
    inside: Array = (reached >= 0) & (reached < axis.count)
    return np.asarray(np.count_nonzero(inside, axis=1))


def _product(axes: list[Array]) -> Array:
    """The outer product, with an axis of length 1 for the channels."""
    result: Array = np.ones((), np.int64)
    for counts in axes:
        result = np.multiply.outer(result, counts.astype(np.int64))
    return result[..., np.newaxis]


_COUNTS: Final[dict[str, Callable[[Node, tuple[int, ...]], Array]]] = {
    "Dense": _dense,
    "DelayedDense": _dense,
    "Sparse": _sparse,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "ConvTranspose2D": _transposed,
}
