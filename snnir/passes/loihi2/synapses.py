"""Building what every lowering to Loihi 2 needs: synapses with integer weights, layouts, names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import Node
from snnir.passes.loihi2.chain import ChainLayer
from snnir.passes.rate.signals import apply

Array = npt.NDArray[Any]


def connect(
    builder: GraphBuilder, value: Value, layer: ChainLayer, weight: Array, bits: int
) -> Value:
    """The synapse of a layer; behind an image it is flattened in the order of the chip's tools.

    Args:
        builder: Where it is added.
        value: What arrives, without the step that the synapse takes.
        layer: The layer.
        weight: Integer weights, in the layout of the layer's node.
        bits: Bits of a weight.
    """
    node = layer.node
    name = node.name if node.name != layer.name else f"{layer.name}.synapse"
    if node.operator == "Dense":
        image = tuple(int(n) for n in builder.types[value.name].shape)
        if len(image) == 3:
            weight = weight[chip_rows(layer.before, image)]
        synapse: Value = builder.loihi2.Dense(
            flattened(builder, value, name).delayed(1),
            **dense_arguments(weight, bits),
            name=free_name(builder, name),
            source=node.source,
        )
        return synapse
    pads: Any = node.attributes["pads"]
    convolved: Value = builder.loihi2.Conv2D(
        value.delayed(1),
        weight=weight.astype(np.int16),
        strides=node.attributes["strides"],
        dilations=node.attributes["dilations"],
        groups=node.attributes["groups"],
        pads=(pads[0], pads[2]),
        name=free_name(builder, name),
        source=node.source,
    )
    return convolved


def flattened(builder: GraphBuilder, value: Value, name: str) -> Value:
    """The value with one axis; images in the order channel, height, width."""
    axes = len(builder.types[value.name].shape)
    if axes == 3:
        chw = free_name(builder, f"{name}.chw")
        value = builder.loihi2.Permute(value, axes=(2, 0, 1), name=chw)
    if axes > 1:
        value = builder.loihi2.Flatten(value, name=free_name(builder, f"{name}.flat"))
    return value


def chip_rows(moves: Sequence[Node], image: tuple[int, ...]) -> Array:
    """For each input in the chip's flattened order, the row of the weights that belongs to it.

    Args:
        moves: What the original does to the image (height, width, channels) before the weights.
        image: Its shape.
    """
    numbers: Array = np.arange(int(np.prod(image)), dtype=np.float64).reshape(1, *image)
    places = numbers
    for node in moves:
        places = apply(node, [places])
    row = np.empty(places.size, np.int64)
    row[places.reshape(-1).astype(np.int64)] = np.arange(places.size)
    found: Array = row[numbers.transpose(0, 3, 1, 2).reshape(-1).astype(np.int64)]
    return found


def dense_arguments(weight: Array, bits: int) -> dict[str, Any]:
    """Parameters and attributes of a ``loihi2.Dense`` with these integer weights.

    The chip stores the upper bits of 8, and signed weights on the even grid; the exponent takes
    the shift back.
    """
    mixed = bool(weight.min() < 0 < weight.max())
    used = max(int(np.abs(weight).max()).bit_length() + mixed, bits)
    shift = 8 - used + mixed
    return {
        "weight": (weight.astype(np.int64) << shift).astype(np.int16),
        "weight_exp": -shift,
        "num_weight_bits": used,
    }


def copied(builder: GraphBuilder, node: Node, inputs: Sequence[Value]) -> Value:
    """A node like this one on other values."""
    ports: dict[str, list[Value]] = {}
    for binding, value in zip(node.inputs, inputs, strict=True):
        ports.setdefault(binding.port, []).append(value)
    added: Value = builder.add(
        node.op,
        name=free_name(builder, node.name),
        source=node.source,
        **ports,
        **node.attributes,
        **node.parameters,
    )
    return added


def free_name(builder: GraphBuilder, name: str) -> str:
    """The name, or the first of ``name2``, ``name3`` ... that is free."""
    graph, number, free = builder.graph, 1, name
    while free in graph.nodes or graph.input(free):
        number += 1
        free = f"{name}{number}"
    return free
