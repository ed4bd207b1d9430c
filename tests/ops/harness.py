"""Runs one operator by hand, and checks whatever holds for every operator on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from snnir.errors import Diagnostic
from snnir.ir.graph import Node
from snnir.ir.tensor import Tensor
from snnir.ir.types import Shape, Timing, ValueType
from snnir.ops.schema import Arity, Bound, InferContext, InferenceStopped, OpDef

Array = npt.NDArray[Any]
NAME = "node"


class Refused(Exception):
    """What `infer` found wrong; the first finding is `finding`."""

    def __init__(self, findings: Sequence[Diagnostic]) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.finding = findings[0]


def find(operators: Sequence[OpDef], name: str) -> OpDef:
    """The operator of that name."""
    return next(opdef for opdef in operators if opdef.name == name)


def make_node(
    opdef: OpDef,
    attributes: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Array] | None = None,
) -> Node:
    """A node without edges; attributes that are None are absent, sequences become tuples."""
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (attributes or {}).items()
        if value is not None
    }
    for name, value in given.items():
        assert opdef.attribute(name).problem(value) is None, (name, value)
    tensors = {name: Tensor.from_array(value) for name, value in (parameters or {}).items()}
    return Node(NAME, opdef.op, [], opdef.output_names, given, tensors)


def infer(
    opdef: OpDef,
    shapes: Shape | Mapping[str, list[Shape]],
    attributes: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Array] | None = None,
) -> Shape:
    """Shape of the only output. `shapes` is that of port x, or those of every port.

    Raises:
        Refused: If anything does not fit.
    """
    if not isinstance(shapes, Mapping):
        shapes = {"x": [shapes]}
    types = {
        port.name: [ValueType(port.dtype, shape, Timing.STATIC) for shape in shapes[port.name]]
        for port in opdef.inputs
    }
    findings: list[Diagnostic] = []
    context = InferContext(make_node(opdef, attributes, parameters), opdef, types, findings)
    try:
        (shape,) = opdef.infer(context)
        if opdef.validate is not None:
            opdef.validate(context)
    except InferenceStopped:
        assert findings
    if findings:
        raise Refused(findings)
    return tuple(shape)


def run(
    opdef: OpDef,
    inputs: Array | Mapping[str, Array | list[Array]],
    attributes: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Array] | None = None,
    dtype: Any = np.float32,
) -> Array:
    """The only output of one evaluation. `inputs` is the array at x, or those of every port.

    Asserts that the output has the inferred shape, also where lengths of the input are symbols,
    has the type of the computation, and that no input was modified.
    """
    dtype = np.dtype(dtype)
    if not isinstance(inputs, Mapping):
        inputs = {"x": inputs}
    arrays = {
        port.name: [
            np.asarray(array, dtype)
            for array in (inputs[port.name] if port.arity is Arity.LIST else [inputs[port.name]])
        ]
        for port in opdef.inputs
    }
    shapes = {port: [array.shape[1:] for array in given] for port, given in arrays.items()}
    output = infer(opdef, shapes, attributes, parameters)
    check_symbols(opdef, shapes, attributes, parameters, output)

    node = make_node(opdef, attributes, parameters)
    values = {name: tensor.values().astype(dtype) for name, tensor in node.parameters.items()}
    defaults = {
        p.name: np.asarray(p.default, dtype) for p in opdef.parameters if p.default is not None
    }
    bound = Bound(
        node=node,
        attributes={a.name: node.attributes.get(a.name, a.default) for a in opdef.attributes},
        parameters={**defaults, **values},
        dtype=dtype,
        input_shapes=shapes,
        output_shapes={"y": output},
        batch=len(next(iter(arrays.values()))[0]),
        steps=1,
    )
    if opdef.prepare is not None:
        bound.prepared = opdef.prepare(bound)
    before = {port: [array.copy() for array in given] for port, given in arrays.items()}
    fed = {
        port.name: arrays[port.name] if port.arity is Arity.LIST else arrays[port.name][0]
        for port in opdef.inputs
    }
    (y,) = opdef.step(bound, fed, {})
    for port, given in arrays.items():
        for array, old in zip(given, before[port], strict=True):
            np.testing.assert_array_equal(array, old)
    assert y.shape == (bound.batch, *output)
    assert y.dtype == dtype
    return y


def check_symbols(
    opdef: OpDef,
    shapes: Mapping[str, list[Shape]],
    attributes: Mapping[str, Any] | None,
    parameters: Mapping[str, Array] | None,
    output: Shape,
) -> None:
    """With symbols for all lengths but 1 (which may mean repetition), nothing contradicts."""
    lengths: dict[str, int] = {}
    symbolic: dict[str, list[Shape]] = {}
    for port, given in shapes.items():
        symbolic[port] = []
        for number, shape in enumerate(given):
            names = [f"{port}{number}_{axis}" for axis in range(len(shape))]
            lengths.update(zip(names, shape, strict=True))
            symbolic[port].append(
                tuple(n if n == 1 else name for n, name in zip(shape, names, strict=True))
            )
    found = infer(opdef, symbolic, attributes, parameters)
    assert len(found) == len(output)
    for axis, (length, known) in enumerate(zip(found, output, strict=True)):
        if isinstance(length, int):
            assert length == known
        elif length in lengths:
            assert lengths[length] == known
        else:
            assert length == f"{NAME}.{axis}"


def onnx_run(op: str, arrays: Mapping[str, Array], **attributes: Any) -> Array:
    """The only output of one ONNX operator, from ONNX's reference implementation."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in arrays.items()
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(op, list(arrays), ["y"], **attributes)
    graph = helper.make_graph([node], "graph", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    y: Array = ReferenceEvaluator(model).run(None, dict(arrays))[0]
    return y
