"""Fewer kinds of ``ann`` nodes, the same function: what conversion starts from. Exact.

Identities go, a separable convolution becomes two, batch normalisation and rescaling become
scale and bias, and these are folded into the linear layer before or after them, never across
an activation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, raise_errors
from snnir.ir.graph import Binding, Graph, GraphOutput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import consumers, topological_order
from snnir.passes import weights
from snnir.passes.lowering import free_name, late_starts

Array = npt.NDArray[Any]
Free = Callable[[str], str]
"""Gives a name that is free, near the one asked for."""


def canonicalise(model: Model) -> Model:
    """The same network in fewer kinds of nodes.

    Args:
        model: A model of domain ``ann``; it is not modified. Examples are dropped.

    Returns:
        A model without Dropout, SeparableConv2D, BatchNorm, Rescale, Normalize and LeakyReLU,
        its scales and biases folded where that is exact. Node names and ``source`` are kept.

    Raises:
        CapabilityError: If a node has a ``start_step``.
    """
    raise_errors(late_starts(model.graph.nodes.values()), CapabilityError)
    graph = _split(model.graph)
    while (folded := _fold_once(graph)) is not None:
        graph = folded
    return dataclasses.replace(model, graph=graph, examples={})


# Splitting -----------------------------------------------------------------------------------


def _split(graph: Graph) -> Graph:
    order, _ = topological_order(graph)
    renamed: dict[str, str] = {}
    result = Graph(graph.name, list(graph.inputs))
    for node in order:
        inputs = [b._replace(source=renamed.get(b.source, b.source)) for b in node.inputs]
        copy = dataclasses.replace(node, inputs=inputs)
        if node.op == "ann.Dropout":
            renamed[node.values()[0]] = inputs[0].source
            continue
        split = _SPLITS.get(node.op)
        parts = [copy]
        if split:
            parts = split(copy, lambda name: free_name(name, graph.nodes, result.nodes))
        for part in parts:
            result.nodes[part.name] = part
        renamed[node.values()[0]] = parts[-1].values()[0]
    result.outputs = [
        GraphOutput(o.name, renamed.get(o.value, o.value), o.labels) for o in graph.outputs
    ]
    return result


def _separable(node: Node, free: Free) -> list[Node]:
    spatial = {k: v for k, v in node.attributes.items() if k != "groups"}
    first = Node(
        free(f"{node.name}.depthwise"),
        "ann.DepthwiseConv2D",
        list(node.inputs),
        ("y",),
        spatial,
        {"weight": node.parameters["depthwise_weight"]},
        (),
        node.source,
    )
    parameters = {"weight": node.parameters["pointwise_weight"]}
    if "bias" in node.parameters:
        parameters["bias"] = node.parameters["bias"]
    last = Node(
        node.name,
        "ann.Conv2D",
        [Binding("x", first.value("y"))],
        ("y",),
        {},
        parameters,
        (),
        node.source,
    )
    return [first, last]


def _number(node: Node, name: str, default: float) -> Array:
    tensor = node.parameters.get(name)
    return np.asarray(default if tensor is None else tensor.values(), np.float64)


def _affine(node: Node, scale: Array, offset: Array, free: Free) -> list[Node]:
    """``x * scale + offset`` as a Scale and a Bias."""
    first = Node(
        free(f"{node.name}.scale"),
        "ann.Scale",
        list(node.inputs),
        ("y",),
        {},
        {"scale": Tensor.from_array(scale.astype(np.float32))},
        (),
        node.source,
    )
    last = Node(
        node.name,
        "ann.Bias",
        [Binding("x", first.value("y"))],
        ("y",),
        {},
        {"bias": Tensor.from_array(offset.astype(np.float32))},
        (),
        node.source,
    )
    return [first, last]


def _batch_norm(node: Node, free: Free) -> list[Node]:
    if node.attributes.get("axis", -1) != -1:
        return [node]
    epsilon = float(node.attributes.get("epsilon", 1e-3))  # type: ignore[arg-type]
    factor = _number(node, "gamma", 1.0) / np.sqrt(_number(node, "variance", 1.0) + epsilon)
    offset = _number(node, "beta", 0.0) - _number(node, "mean", 0.0) * factor
    return _affine(node, factor, offset, free)


def _rescale(node: Node, free: Free) -> list[Node]:
    return _affine(node, _number(node, "scale", 1.0), _number(node, "offset", 0.0), free)


def _normalize(node: Node, free: Free) -> list[Node]:
    factor = 1 / np.maximum(np.sqrt(_number(node, "variance", 1.0)), 1e-7)
    return _affine(node, factor, -_number(node, "mean", 0.0) * factor, free)


def _leaky(node: Node, free: Free) -> list[Node]:
    slope = node.attributes.get("negative_slope", 0.3)
    return [dataclasses.replace(node, op="ann.ReLU", attributes={"negative_slope": slope})]


_SPLITS: Final[dict[str, Callable[[Node, Free], list[Node]]]] = {
    "ann.SeparableConv2D": _separable,
    "ann.BatchNorm": _batch_norm,
    "ann.Rescale": _rescale,
    "ann.Normalize": _normalize,
    "ann.LeakyReLU": _leaky,
}


# Folding -------------------------------------------------------------------------------------


def _fold_once(graph: Graph) -> Graph | None:
    """The graph with one pass of folds, or None if nothing can be folded."""
    uses = consumers(graph)
    kept = {output.value for output in graph.outputs}
    for node in graph.nodes.values():
        if node.op not in ("ann.Scale", "ann.Bias"):
            continue
        factor = node.parameters["scale" if node.operator == "Scale" else "bias"].values()
        if factor.size != 1 and factor.size != factor.shape[-1]:
            continue
        before = graph.nodes.get(node.inputs[0].source.partition(":")[0])
        if (
            before is not None
            and before.operator in weights.WEIGHTED
            and len(uses[node.inputs[0].source]) == 1
            and node.inputs[0].source not in kept
        ):
            return _replace(
                graph, node, before, _into_outputs(before, node, factor), node.values()[0]
            )
        after = uses.get(node.values()[0], [])
        if (
            len(after) == 1
            and after[0][0].operator in weights.WEIGHTED
            and node.values()[0] not in kept
            and (node.operator == "Scale" or _is_unpadded(after[0][0]))
        ):
            into = _into_inputs(after[0][0], node, factor)
            into.inputs[:] = [b._replace(source=node.inputs[0].source) for b in into.inputs]
            return _replace(graph, node, after[0][0], into, into.values()[0])
    return None


def _is_unpadded(node: Node) -> bool:
    if node.operator == "ConvTranspose2D":
        return False
    return node.operator == "Dense" or node.attributes.get("padding", "valid") == "valid"


def _into_outputs(linear: Node, node: Node, factor: Array) -> Node:
    if node.operator == "Bias":
        return weights.with_weights(linear, weights.weight(linear), weights.bias(linear) + factor)
    return weights.with_weights(
        linear, weights.scaled_outputs(linear, factor), weights.bias(linear) * factor
    )


def _into_inputs(linear: Node, node: Node, factor: Array) -> Node:
    if node.operator == "Scale":
        return weights.with_weights(
            linear, weights.scaled_inputs(linear, factor), weights.bias(linear)
        )
    shifted = weights.scaled_inputs(linear, factor).astype(np.float64)
    if linear.operator == "DepthwiseConv2D":
        added = shifted.sum(axis=(0, 1)).reshape(-1)
    else:
        added = shifted.sum(axis=tuple(range(shifted.ndim - 1)))
    return weights.with_weights(linear, weights.weight(linear), weights.bias(linear) + added)


def _replace(graph: Graph, gone: Node, linear: Node, new: Node, value: str) -> Graph:
    """The graph without ``gone``; who used its value or that of ``linear`` uses ``new``'s."""
    old = {gone.values()[0]: new.values()[0]} if value == gone.values()[0] else {}
    result = Graph(graph.name, list(graph.inputs))
    for name, node in graph.nodes.items():
        if name == gone.name:
            continue
        chosen = new if name == linear.name else node
        inputs = [b._replace(source=old.get(b.source, b.source)) for b in chosen.inputs]
        result.nodes[name] = dataclasses.replace(chosen, inputs=inputs)
    result.outputs = [
        GraphOutput(o.name, old.get(o.value, o.value), o.labels) for o in graph.outputs
    ]
    return result
