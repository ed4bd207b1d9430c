"""Expected values from ONNX's reference evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from tests.conformance.exact import Array

OPSET = 18
GELU_OPSET = 20

ONNX = "ONNX's reference evaluator"


def run(operator: str, *inputs: Any, opset: int = OPSET, **attributes: Any) -> Array:
    """The first output of one ONNX operator, in float32; integer inputs stay integers."""
    arrays = [np.asarray(array) for array in inputs]
    arrays = [a if a.dtype.kind in "iu" else a.astype(np.float32) for a in arrays]
    names = [f"input{number}" for number in range(len(arrays))]
    node = helper.make_node(operator, names, ["output"], **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip(names, arrays, strict=True)
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):
        (found,) = ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))
    return np.asarray(found)


def channels_first(x: Any) -> Array:
    """From (batch, *spatial, channels) to ONNX's order."""
    return np.moveaxis(np.asarray(x), -1, 1)


def channels_last(x: Any) -> Array:
    """Back again."""
    return np.moveaxis(np.asarray(x), 1, -1)


def onnx_pads(pads: list[tuple[int, int]]) -> list[int]:
    """All begins, then all ends."""
    return [begin for begin, _ in pads] + [end for _, end in pads]
