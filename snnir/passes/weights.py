"""Scaling the weights of a linear node by what comes before or after it. All exact."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.ir.graph import Node
from snnir.ir.tensor import Tensor

Array = npt.NDArray[Any]

WEIGHTED: Final = frozenset({"Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "ConvTranspose2D"})
"""Operators with parameters ``weight`` and ``bias``."""


def weight(node: Node) -> Array:
    """The weights, in float32."""
    return node.parameters["weight"].values().astype(np.float32, copy=False)


def bias(node: Node) -> Array:
    """The bias, in float32; zeros if there is none."""
    tensor = node.parameters.get("bias")
    if tensor is not None:
        return tensor.values().astype(np.float32, copy=False)
    return np.zeros(output_channels(node), np.float32)


def output_channels(node: Node) -> int:
    """Length of the last axis of the output."""
    shape = node.parameters["weight"].shape
    if node.operator == "DepthwiseConv2D":
        return shape[2] * shape[3]
    return shape[-2] if node.operator == "ConvTranspose2D" else shape[-1]


def input_channels(node: Node) -> int:
    """Length of the last axis of the input."""
    shape = node.parameters["weight"].shape
    if node.operator == "DepthwiseConv2D":
        return shape[2]
    if node.operator == "ConvTranspose2D":
        return shape[-1]
    return shape[-2] * int(node.attributes.get("groups", 1))  # type: ignore[arg-type]


def with_weights(node: Node, new_weight: Array, new_bias: Array | None) -> Node:
    """The node with other weights; a bias of zeros is left out."""
    parameters = {**node.parameters, "weight": Tensor.from_array(new_weight.astype(np.float32))}
    parameters.pop("bias", None)
    if new_bias is not None and np.any(new_bias):
        parameters["bias"] = Tensor.from_array(new_bias.astype(np.float32))
    return Node(
        node.name,
        node.op,
        list(node.inputs),
        node.outputs,
        dict(node.attributes),
        parameters,
        node.output_types,
        node.source,
    )


def scaled_outputs(node: Node, factor: Array) -> Array:
    """Weights times a factor for each output channel (or one for all)."""
    factor = np.broadcast_to(factor.reshape(-1), (output_channels(node),))
    old = weight(node)
    if node.operator == "DepthwiseConv2D":
        factor = factor.reshape(old.shape[2:])
    elif node.operator == "ConvTranspose2D":
        factor = factor[:, None]
    scaled: Array = old * factor
    return scaled


def scaled_inputs(node: Node, factor: Array) -> Array:
    """Weights times a factor for each input channel (or one for all)."""
    old = weight(node)
    factor = np.broadcast_to(factor.reshape(-1), (input_channels(node),))
    if node.operator == "DepthwiseConv2D":
        factor = factor[:, None]
    elif node.operator != "ConvTranspose2D":
        groups = int(node.attributes.get("groups", 1))  # type: ignore[arg-type]
        by_group = factor.reshape(groups, -1)
        factor = np.repeat(by_group, old.shape[-1] // groups, axis=0).T
    scaled: Array = old * factor
    return scaled
