"""What can be said only by looking at numbers: digests, NaN, ranges, relations."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from snnir.errors import Diagnostic, FormatError
from snnir.ir.graph import GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.types import ValueType
from snnir.ops.registry import Resolver
from snnir.ops.schema import InferContext, InferenceStopped, OpDef, Parameter


def check_values(
    model: Model,
    resolve: Resolver,
    types: Mapping[str, ValueType],
    findings: list[Diagnostic],
) -> None:
    """Check every tensor of the graph, a stretch at a time."""
    for entry in model.graph.inputs:
        _check_input(entry, findings)
    for node in model.graph.nodes.values():
        opdef = resolve(node.op)
        clean = True
        for name, tensor in node.parameters.items():
            where = f"node '{node.name}' ({node.op}), parameter '{name}'"
            parameter = opdef.parameter(name) if opdef else None
            clean &= check_tensor(tensor, where, findings, parameter, node.source)
        if opdef is not None and opdef.validate is not None and clean:
            _validate(node, opdef, types, findings)
        for value_type in node.output_types:
            _check_type(value_type, f"node '{node.name}' ({node.op}), output types", findings)


def _validate(
    node: Node, opdef: OpDef, types: Mapping[str, ValueType], findings: list[Diagnostic]
) -> None:
    if not all(value in types for value in node.values()):
        return
    inputs: dict[str, list[ValueType]] = {}
    for binding in node.inputs:
        found = types.get(binding.source)
        if found is None:
            return
        inputs.setdefault(binding.port, []).append(found)
    context = InferContext(node, opdef, inputs, findings)
    try:
        if opdef.validate is not None:
            opdef.validate(context)
    except InferenceStopped:
        return


def _check_input(entry: GraphInput, findings: list[Diagnostic]) -> None:
    where = f"input '{entry.name}'"
    _check_type(entry.type, where, findings)
    for name, tensor in (("scale", entry.scale), ("offset", entry.offset)):
        if tensor is None:
            continue
        check_tensor(tensor, f"{where}, {name}", findings)
        shape = entry.type.shape
        trailing = shape[len(shape) - len(tensor.shape) :] if tensor.shape else ()
        if not tensor.dtype.is_float:
            findings.append(
                Diagnostic("type.dtype", f"{where}, {name}", tensor.dtype.label, "float32")
            )
        if len(tensor.shape) > len(shape) or any(
            have not in (1, want) and not isinstance(want, str)
            for have, want in zip(tensor.shape, trailing, strict=True)
        ):
            findings.append(
                Diagnostic(
                    "type.shape",
                    f"{where}, {name}",
                    str(list(tensor.shape)),
                    f"a shape that broadcasts against {list(shape)}",
                )
            )


def _check_type(value_type: ValueType, where: str, findings: list[Diagnostic]) -> None:
    for dim in value_type.shape:
        if dim == 0 or dim == "":
            findings.append(
                Diagnostic("type.shape", where, f"{list(value_type.shape)}", "lengths of at least 1")
            )
    if value_type.quantization is not None:
        problem = value_type.quantization.problem(value_type.dtype, value_type.shape)
        if problem is not None:
            findings.append(Diagnostic("type.quantisation", where, *problem))


def check_tensor(
    tensor: Tensor,
    where: str,
    findings: list[Diagnostic],
    parameter: Parameter | None = None,
    source: str = "",
) -> bool:
    """Check one tensor; returns whether it is in order."""
    before = len(findings)
    try:
        tensor.verify(where)
    except FormatError as error:
        findings.extend(error.diagnostics)
        return False
    if tensor.quantization is not None:
        problem = tensor.quantization.problem(tensor.dtype, tensor.shape)
        if problem is not None:
            findings.append(Diagnostic("type.quantisation", where, *problem, source=source))
            return False
    low, high = bounds(tensor)
    if math.isnan(low) or math.isinf(low) or math.isinf(high):
        findings.append(
            Diagnostic("value.not-finite", where, _first_bad(tensor), "finite numbers", "", source)
        )
    elif parameter is not None and tensor.size:
        too_low = parameter.minimum is not None and (
            low <= parameter.minimum if parameter.exclusive_minimum else low < parameter.minimum
        )
        if too_low or (parameter.maximum is not None and high > parameter.maximum):
            found = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            findings.append(
                Diagnostic("value.range", where, found, parameter.range_text(), "", source)
            )
    return len(findings) == before


def bounds(tensor: Tensor) -> tuple[float, float]:
    """Smallest and largest number that the elements stand for; NaN if there is one."""
    if not tensor.size:
        return 0.0, 0.0
    if tensor.quantization is not None:
        values = tensor.values()
        return float(values.min()), float(values.max())
    low, high = math.inf, -math.inf
    with np.errstate(invalid="ignore"):
        for chunk in tensor.chunks():
            least, most = float(chunk.min()), float(chunk.max())
            if math.isnan(least):
                return math.nan, math.nan
            low, high = min(low, least), max(high, most)
    return low, high


def _first_bad(tensor: Tensor) -> str:
    start = 0
    for chunk in tensor.chunks():
        bad = np.flatnonzero(~np.isfinite(chunk))
        if bad.size:
            index = np.unravel_index(start + int(bad[0]), tensor.shape)
            return f"{chunk[bad[0]]} at index {[int(i) for i in index]}"
        start += chunk.size
    return "a number that is not finite"
