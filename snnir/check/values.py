"""What can be said only by looking at numbers: digests, NaN, ranges, relations."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FormatError
from snnir.infer import call_operator
from snnir.ir.graph import GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, ValueType, dequantise, format_shape, shape_problem
from snnir.ops.schema import InferContext, InferenceStopped, OpDef, Parameter
from snnir.opsets import Resolve


class TensorChecker:
    """Checks tensors, each a stretch at a time and those that share bytes only once."""

    def __init__(self, findings: list[Diagnostic]) -> None:
        self.findings = findings
        self._bounds: dict[tuple[int, DType], tuple[float, float]] = {}

    def check(
        self, tensor: Tensor, where: str, parameter: Parameter | None = None, source: str = ""
    ) -> bool:
        """Check one tensor; returns whether it is in order."""
        problem = self._problem(tensor, where, parameter)
        if problem is not None:
            code, found, allowed = problem
            self.findings.append(Diagnostic(code, where, found, allowed, source=source))
        return problem is None

    def _problem(
        self, tensor: Tensor, where: str, parameter: Parameter | None
    ) -> tuple[str, str, str] | None:
        """Code, found and allowed."""
        if (limit := shape_problem(tensor.shape)) is not None:
            return "format.limit", *limit
        if (length := tensor.raw().nbytes) != tensor.nbytes:
            return "format.length", f"{length} bytes", f"{tensor.nbytes} bytes"
        try:
            tensor.verify(where)
        except FormatError as error:
            (finding,) = error.diagnostics
            return finding.code, finding.found, finding.allowed
        quantization = tensor.quantization
        if quantization is not None:
            misfit = quantization.problem(tensor.dtype, tensor.shape)
            if misfit is not None:
                return "type.quantisation", *misfit
        if not tensor.size:
            return None
        low, high = self._stored_bounds(tensor)
        if tensor.dtype is DType.BOOL and high > 1:
            return "value.range", f"a byte of {high:g}", "0 or 1"
        if tensor.dtype is DType.INT4 and tensor.size % 2:
            with tensor.raw() as raw:
                if raw[-1] > 0x0F:
                    return "value.range", "bits behind the last element", "zero bits"
        if quantization is not None:
            least, most = quantization.range()
            if low < least or high > most:
                return "type.quantisation", f"{low:g} to {high:g}", f"{least} to {most}"
            low, high = _value_bounds(tensor, low, high)
        if not (math.isfinite(low) and math.isfinite(high)):
            return "value.not-finite", _first_bad(tensor), "finite numbers"
        if parameter is None:
            return None
        too_low = parameter.minimum is not None and (
            low <= parameter.minimum if parameter.exclusive_minimum else low < parameter.minimum
        )
        if too_low or (parameter.maximum is not None and high > parameter.maximum):
            found = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            return "value.range", found, parameter.range_text()
        return None

    def _stored_bounds(self, tensor: Tensor) -> tuple[float, float]:
        key = tensor.identity, tensor.dtype
        if key not in self._bounds:
            self._bounds[key] = _stored_bounds(tensor)
        return self._bounds[key]


def check_values(
    model: Model,
    resolve: Resolve,
    types: Mapping[str, ValueType],
    inferred: Collection[str],
    tensors: TensorChecker,
) -> None:
    """Check every tensor of the graph.

    Args:
        model: The model.
        resolve: Gives the definition of an operator, or None.
        types: Types of its values.
        inferred: Nodes whose ports, attributes and shapes are known to fit.
        tensors: Checks the tensors and takes the findings.
    """
    for entry in model.graph.inputs:
        _check_input(entry, tensors)
    for node in model.graph.nodes.values():
        opdef = resolve(node.op)
        clean = node.name in inferred
        for name, tensor in node.parameters.items():
            where = f"node '{node.name}' ({node.op}), parameter '{name}'"
            parameter = opdef.parameter(name) if opdef else None
            clean &= tensors.check(tensor, where, parameter, node.source)
        if opdef is not None and opdef.validate is not None and clean:
            _validate(node, opdef, types, tensors.findings)
        where = f"node '{node.name}' ({node.op}), output types"
        for value_type in node.output_types:
            _check_type(value_type, where, tensors.findings)


def _validate(
    node: Node, opdef: OpDef, types: Mapping[str, ValueType], findings: list[Diagnostic]
) -> None:
    inputs: dict[str, list[ValueType]] = {}
    for binding in node.inputs:
        found = types.get(binding.source)
        if found is not None:
            inputs.setdefault(binding.port, []).append(found)
    context = InferContext(node, opdef, inputs, findings)
    if opdef.validate is not None:
        with contextlib.suppress(InferenceStopped):
            call_operator(context, "validate", opdef.validate)


def _check_input(entry: GraphInput, tensors: TensorChecker) -> None:
    where, findings = f"input '{entry.name}'", tensors.findings
    _check_type(entry.type, where, findings)
    for name, tensor in (("scale", entry.scale), ("offset", entry.offset)):
        if tensor is None:
            continue
        tensors.check(tensor, f"{where}, {name}")
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
    shape = value_type.shape
    problem = shape_problem(shape)
    if problem is not None:
        findings.append(Diagnostic("type.shape", where, *problem))
    elif any(isinstance(dim, int) and dim < 1 for dim in shape):
        findings.append(
            Diagnostic("type.shape", where, format_shape(shape), "lengths of at least 1")
        )
    if value_type.quantization is not None:
        problem = value_type.quantization.problem(value_type.dtype, shape)
        if problem is not None:
            findings.append(Diagnostic("type.quantisation", where, *problem))


def _stored_bounds(tensor: Tensor) -> tuple[float, float]:
    """Smallest and largest element as it is stored; NaN if there is one."""
    low, high = math.inf, -math.inf
    with np.errstate(invalid="ignore"):
        for chunk in tensor.chunks():
            if tensor.dtype is DType.BOOL:
                chunk = chunk.view(np.uint8)
            least, most = chunk.min().item(), chunk.max().item()
            if math.isnan(least):
                return math.nan, math.nan
            low, high = min(low, least), max(high, most)
    return low, high


def _value_bounds(tensor: Tensor, low: float, high: float) -> tuple[float, float]:
    """Smallest and largest number that the elements stand for, given those that are stored."""
    quantization = tensor.quantization
    if quantization is None:
        return low, high
    if len(quantization.scale) == 1:
        zero = float(quantization.zero_point[0]) if quantization.zero_point else 0.0
        scale = quantization.scale[0]
        first, last = dequantise(np.array([low, high]), np.float64(zero), np.float64(scale))
        return float(first), float(last)
    ends = [(chunk.min().item(), chunk.max().item()) for chunk in _value_chunks(tensor)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _value_chunks(tensor: Tensor) -> Iterator[npt.NDArray[np.generic]]:
    """What the elements stand for, flat, a stretch at a time."""
    quantization = tensor.quantization
    if quantization is None:
        yield from tensor.chunks()
        return
    count = len(quantization.scale)
    scale = np.asarray(quantization.scale, np.float64)
    zero = np.asarray(quantization.zero_point or (0,) * count, np.float64)
    inner = 1 if quantization.axis is None else math.prod(tensor.shape[quantization.axis + 1 :])
    start = 0
    for chunk in tensor.chunks():
        channel = np.arange(start, start + chunk.size) // inner % count
        yield dequantise(chunk, zero[channel], scale[channel])
        start += chunk.size


def _first_bad(tensor: Tensor) -> str:
    start = 0
    for chunk in _value_chunks(tensor):
        bad = np.flatnonzero(~np.isfinite(chunk))
        if bad.size:
            index = np.unravel_index(start + int(bad[0]), tensor.shape)
            return f"{chunk[bad[0]]} at index {[int(i) for i in index]}"
        start += chunk.size
    return "a number that is not finite"
