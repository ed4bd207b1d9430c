"""Preprocessing becomes part of the input's contract. Exact, up to float32 rounding.

A network that begins with ``Rescale`` or ``Normalize`` (Keras's Rescaling and Normalization)
computes ``x * scale + offset``, which is what a graph input states: the graph sees
``float32(x) * scale + offset``. Moved there, an encoder sees what the network sees.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, ModelError
from snnir.ir.graph import Binding, Graph, GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import consumers
from snnir.ir.types import DType, format_shape
from snnir.ops.ann.normalisation import SMALLEST_DEVIATION

Array = npt.NDArray[Any]


def take_preprocessing(model: Model) -> tuple[Model, list[str]]:
    """Move the affine layers that follow an input into the input.

    Args:
        model: A model of domain ``ann``; it is not modified. Examples are dropped.

    Returns:
        The model, and the names of the nodes that went.
    """
    graph, gone = model.graph, []
    while (found := _leading(graph)) is not None:
        entry, node = found
        graph = _absorbed(graph, entry, node)
        gone.append(node.name)
    return (dataclasses.replace(model, graph=graph, examples={}) if gone else model), gone


def with_preprocessing(
    model: Model,
    scale: npt.ArrayLike | None = None,
    offset: npt.ArrayLike | None = None,
    dtype: DType | None = None,
) -> Model:
    """The model with other preprocessing before its own: it then takes raw data.

    Args:
        model: The model; it is not modified. Examples are dropped.
        scale: Every input is multiplied by this first; broadcast against the trailing axes.
        offset: And this is added.
        dtype: Element type that is fed.

    Raises:
        ModelError: If numbers do not fit an input.
    """
    if scale is None and offset is None and dtype is None:
        return model
    if dtype is not None and not dtype.is_float and scale is None and offset is None:
        scale = 1.0
    findings: list[Diagnostic] = []
    entries = []
    for entry in model.graph.inputs:
        given = [
            _checked(entry, *each, findings) for each in (("scale", scale), ("offset", offset))
        ]
        kind = entry.type if dtype is None else dataclasses.replace(entry.type, dtype=dtype)
        first = dataclasses.replace(entry, type=kind, scale=None, offset=None)
        if not findings:
            entries.append(_followed(_followed(first, *given), *_numbers(entry)))
    if findings:
        raise ModelError(findings)
    graph = Graph(model.graph.name, entries, dict(model.graph.nodes), list(model.graph.outputs))
    return dataclasses.replace(model, graph=graph, examples={})


def _checked(
    entry: GraphInput, name: str, value: npt.ArrayLike | None, findings: list[Diagnostic]
) -> Array | None:
    """Numbers that fit the input, in float64."""
    if value is None:
        return None
    where, shape = f"input '{entry.name}', {name}", entry.type.shape
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        findings.append(Diagnostic("type.dtype", where, repr(value)[:80], "numbers"))
        return None
    if array.ndim > len(shape) or any(
        isinstance(want, int) and have not in (1, want)
        for have, want in zip(array.shape[::-1], shape[::-1], strict=False)
    ):
        allowed = f"one, or one for each of its channels: {format_shape(shape[-1:])}"
        findings.append(Diagnostic("type.shape", where, f"{array.size} numbers", allowed))
    elif not np.isfinite(array).all():
        findings.append(Diagnostic("value.not-finite", where, str(value), "numbers"))
    return array


def _numbers(entry: GraphInput) -> tuple[Array | None, Array | None]:
    scale, offset = (
        None if tensor is None else tensor.values().astype(np.float64)
        for tensor in (entry.scale, entry.offset)
    )
    return scale, offset


def _followed(entry: GraphInput, scale: Array | None, offset: Array | None) -> GraphInput:
    """The input with another affine function after its own."""
    if scale is None and offset is None:
        return entry
    factor = np.asarray(1.0) if scale is None else scale
    own_scale, own_offset = _numbers(entry)
    total = factor if own_scale is None else own_scale * factor
    shift = np.asarray(0.0) if own_offset is None else own_offset * factor
    shift = shift if offset is None else shift + offset
    return dataclasses.replace(
        entry,
        scale=Tensor.from_array(total.astype(np.float32)),
        offset=Tensor.from_array(shift.astype(np.float32)) if np.any(shift) else None,
    )


def _leading(graph: Graph) -> tuple[GraphInput, Node] | None:
    """An input that nothing but an affine node takes, and that node."""
    uses = consumers(graph)
    kept = {output.value for output in graph.outputs}
    for entry in graph.inputs:
        users = uses.get(entry.name, [])
        if len(users) == 1 and entry.name not in kept and not entry.type.is_per_step:
            node = users[0][0]
            if node.op in ("ann.Rescale", "ann.Normalize") and _fits(entry, node):
                return entry, node
    return None


def _fits(entry: GraphInput, node: Node) -> bool:
    """Whether the node's numbers broadcast without making the value larger."""
    shape = entry.type.shape
    return all(
        len(tensor.shape) <= len(shape)
        and all(
            have == 1 or have == want
            for have, want in zip(tensor.shape[::-1], shape[::-1], strict=False)
        )
        for tensor in node.parameters.values()
    )


def _absorbed(graph: Graph, entry: GraphInput, node: Node) -> Graph:
    def number(name: str, default: float) -> Array:
        tensor = node.parameters.get(name)
        return np.asarray(default if tensor is None else tensor.values(), np.float64)

    if node.op == "ann.Rescale":
        scale, offset = number("scale", 1.0), number("offset", 0.0)
    else:
        scale = 1 / np.maximum(np.sqrt(number("variance", 1.0)), SMALLEST_DEVIATION)
        offset = -number("mean", 0.0) * scale
    inputs = [_followed(e, scale, offset) if e is entry else e for e in graph.inputs]
    old, new = node.values()[0], entry.name

    def moved(binding: Binding) -> Binding:
        return binding._replace(source=new) if binding.source == old else binding

    nodes = {
        name: dataclasses.replace(other, inputs=[moved(b) for b in other.inputs])
        for name, other in graph.nodes.items()
        if name != node.name
    }
    outputs = [
        dataclasses.replace(output, value=new) if output.value == old else output
        for output in graph.outputs
    ]
    return Graph(graph.name, inputs, nodes, outputs)
