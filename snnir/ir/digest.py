"""A digest of what a model means.

It does not depend on protobuf, on how the file was written, on the order of nodes, on which
plugins are installed, or on whether a default is stored.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from snnir.ir.graph import AttributeValue, Graph, GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.types import Quantization, ValueType
from snnir.ops.registry import BUILTIN_DOMAINS, Resolver
from snnir.ops.schema import OpDef, default_attribute

_VERSION: Final = b"snnir-digest-1"


def digest(model: Model) -> str:
    """SHA-256, in hexadecimal, of a model's graph, operator sets and time base.

    Producer, metadata, examples and the names of original layers do not count. Attributes and
    parameters of the built-in domains that equal their defaults count as absent, and so do
    attributes of every operator.
    """
    state = hashlib.sha256(_VERSION)
    resolve = Resolver(model.opsets)
    graph = model.graph
    used = {node.domain for node in graph.nodes.values()}
    _put(
        state,
        [
            ["opsets", *sorted((d, v) for d, v in model.opsets.items() if d in used)],
            ["time", model.time.dt, model.time.steps],
            ["inputs", *(_input(entry) for entry in graph.inputs)],
            ["outputs", *([o.name, o.value, *o.labels] for o in graph.outputs)],
            ["nodes", *_nodes(graph, resolve)],
        ],
    )
    return state.hexdigest()


def _nodes(graph: Graph, resolve: Resolver) -> Iterable[list[Any]]:
    for name in sorted(graph.nodes):
        node = graph.nodes[name]
        yield _node(node, resolve(node.op) if node.domain in BUILTIN_DOMAINS else None)


def _node(node: Node, opdef: OpDef | None) -> list[Any]:
    attributes = sorted(node.attributes.items())
    parameters = sorted(node.parameters.items())
    attributes = [
        (name, _attribute(opdef, name, value))
        for name, value in attributes
        if default_attribute(opdef, name) != value
    ]
    if opdef is not None:
        parameters = [
            (name, tensor) for name, tensor in parameters if not _is_default(opdef, name, tensor)
        ]
    types = [] if opdef is not None else [_type(value_type) for value_type in node.output_types]
    return [
        node.name,
        node.op,
        [tuple(binding) for binding in node.inputs],
        list(node.outputs),
        attributes,
        [(name, _tensor(tensor)) for name, tensor in parameters],
        types,
    ]


def _attribute(opdef: OpDef | None, name: str, value: AttributeValue) -> AttributeValue:
    """A number for a float may be stored as an integer."""
    if isinstance(value, int) and opdef is not None and opdef.has_attribute(name):
        return float(value) if opdef.attribute(name).kind == "float" else value
    return value


def _is_default(opdef: OpDef, name: str, tensor: Tensor) -> bool:
    parameter = opdef.parameter(name)
    return (
        parameter is not None
        and parameter.default is not None
        and not tensor.shape
        and tensor.quantization is None
        and tensor.numpy().item() == parameter.default
    )


def _input(entry: GraphInput) -> list[Any]:
    return [
        entry.name,
        _type(entry.type),
        None if entry.scale is None else _tensor(entry.scale),
        None if entry.offset is None else _tensor(entry.offset),
        entry.layout,
    ]


def _type(value_type: ValueType) -> list[Any]:
    return [
        value_type.dtype.label,
        list(value_type.shape),
        value_type.timing.label,
        _quantization(value_type.quantization),
    ]


def _tensor(tensor: Tensor) -> list[Any]:
    return [
        tensor.dtype.label,
        list(tensor.shape),
        tensor.sha256(),
        _quantization(tensor.quantization),
    ]


def _quantization(quantization: Quantization | None) -> list[Any] | None:
    if quantization is None:
        return None
    return [
        list(quantization.scale),
        list(quantization.zero_point),
        quantization.axis,
        quantization.bits,
        quantization.rounding.label,
        quantization.saturated,
        quantization.signed,
    ]


def _put(state: Any, value: Any) -> None:
    """Feed a value so that no two different values feed the same bytes."""
    if value is None:
        state.update(b"n")
    elif isinstance(value, bool):
        state.update(b"t" if value else b"f")
    elif isinstance(value, int):
        text = str(value).encode()
        state.update(b"i" + struct.pack("<Q", len(text)) + text)
    elif isinstance(value, float):
        state.update(b"d" + struct.pack("<d", value))
    elif isinstance(value, str):
        text = value.encode(errors="surrogatepass")
        state.update(b"s" + struct.pack("<Q", len(text)) + text)
    elif isinstance(value, bytes):
        state.update(b"b" + struct.pack("<Q", len(value)) + value)
    elif isinstance(value, np.generic):
        _put(state, value.item())
    else:
        entries = list(value)
        state.update(b"l" + struct.pack("<Q", len(entries)))
        for entry in entries:
            _put(state, entry)
