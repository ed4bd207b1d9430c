"""Evaluating single stateless operators on arrays, outside of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snnir.errors import Diagnostic, ModelError, raise_errors
from snnir.infer import infer_node
from snnir.ir.graph import Binding, Node
from snnir.ir.types import DType, Timing, ValueType
from snnir.ops.registry import find
from snnir.ops.schema import Arity, Array, Bound, OpDef


def operands(
    node: Node, opdef: OpDef, dtype: np.dtype[Any]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """A node's attributes and parameters with defaults filled in.

    Float parameters are in ``dtype``, dequantised if need be; integer ones are int64.
    """
    attributes = {a.name: node.attributes.get(a.name, a.default) for a in opdef.all_attributes}
    parameters: dict[str, Array] = {}
    for parameter in opdef.parameters:
        is_float = parameter.dtypes[0].is_float
        kind = dtype if is_float else np.dtype(np.int64)
        tensor = node.parameters.get(parameter.name)
        if tensor is not None:
            values = tensor.values() if is_float else tensor.numpy()
            parameters[parameter.name] = values.astype(kind, copy=False)
        elif parameter.default is not None:
            parameters[parameter.name] = np.asarray(parameter.default, kind)
    return attributes, parameters


def bind(
    node: Node,
    input_shapes: Mapping[str, Sequence[tuple[int, ...]]],
    output_shapes: Mapping[str, tuple[int, ...]],
    *,
    batch: int,
    steps: int = 1,
    dtype: np.dtype[Any],
) -> Bound:
    """An operator bound to a node, ready for ``step``.

    Args:
        node: The node.
        input_shapes: Feature shapes at each input port.
        output_shapes: Feature shape of each output port.
        batch: Number of samples.
        steps: Presentation length.
        dtype: Type of the computation for floats.

    Raises:
        ModelError: If the operator is not installed.
    """
    opdef = find(node.op)
    if opdef is None:
        raise ModelError(Diagnostic("op.unknown", f"node '{node.name}'", node.op, "an operator"))
    attributes, parameters = operands(node, opdef, dtype)
    bound = Bound(
        node=node,
        attributes=attributes,
        parameters=parameters,
        dtype=dtype,
        input_shapes={port: list(shapes) for port, shapes in input_shapes.items()},
        output_shapes=output_shapes,
        batch=batch,
        steps=steps,
    )
    if opdef.prepare is not None:
        bound.prepared = opdef.prepare(bound)
    return bound


def evaluate(node: Node, inputs: Mapping[str, Sequence[Array]]) -> Array:
    """The one output of a stateless operator with one output.

    Args:
        node: The node.
        inputs: Arrays that arrive at each port, batch first.

    Raises:
        ModelError: If the operator is not installed, or the shapes do not fit.
    """
    opdef = find(node.op)
    if opdef is None:
        raise ModelError(Diagnostic("op.unknown", f"node '{node.name}'", node.op, "an operator"))
    types = {
        f"{port}{index}": ValueType(DType.FLOAT32, array.shape[1:], Timing.STATIC)
        for port, arrays in inputs.items()
        for index, array in enumerate(arrays)
    }
    edges = [
        Binding(port, f"{port}{index}")
        for port, arrays in inputs.items()
        for index in range(len(arrays))
    ]
    findings: list[Diagnostic] = []
    infer_node(dataclasses.replace(node, inputs=edges, output_types=()), opdef, types, findings)
    raise_errors(findings)
    first = next(iter(inputs.values()))[0]
    shape = tuple(int(dim) for dim in types[node.values()[0]].shape)
    bound = bind(
        node,
        {port: [array.shape[1:] for array in arrays] for port, arrays in inputs.items()},
        {opdef.outputs[0].name: shape},
        batch=len(first),
        dtype=first.dtype,
    )
    arriving: dict[str, Any] = {}
    for port in opdef.inputs:
        arrays = inputs[port.name]
        if port.arity is Arity.LIST:
            arriving[port.name] = list(arrays)
        else:
            total = arrays[0]
            for more in arrays[1:]:
                total = total + more
            arriving[port.name] = total
    return opdef.step(bound, arriving, {})[0]
