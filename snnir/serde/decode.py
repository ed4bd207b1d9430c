"""Protobuf messages to IR. Every error of form that a header can have is found here."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from snnir import limits
from snnir.errors import Diagnostic, FormatError, UnsupportedVersion
from snnir.ir.graph import AttributeValue, Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import (
    IR_VERSION,
    Close,
    Exact,
    Example,
    Expected,
    Model,
    Producer,
    Rate,
    SpikeShift,
    TimeBase,
    Tolerance,
)
from snnir.ir.tensor import MappedBytes, Tensor
from snnir.ir.types import (
    Dim,
    DType,
    Quantization,
    Rounding,
    Timing,
    ValueType,
    format_shape,
    shape_problem,
)
from snnir.proto.v1 import snnir_pb2 as pb
from snnir.serde.unknown import unknown_in_header
from snnir.serde.wire import Buffer, Layout

_DTYPES = {dtype.value: dtype for dtype in DType}
_TIMINGS = {timing.value: timing for timing in Timing}
_ROUNDINGS = {rounding.value: rounding for rounding in Rounding}


def _fail(code: str, where: str, found: str, allowed: str) -> FormatError:
    return FormatError(Diagnostic(code, where, found, allowed))


class Decoder:
    """Turns one header into a model whose large tensors stay in the file."""

    def __init__(self, data: Buffer, layout: Layout) -> None:
        self._data = data
        self._blobs = layout.blobs
        self._unknown = layout.unknown
        self._mapped: dict[int, MappedBytes] = {}
        self._layouts: dict[tuple[int, tuple[int, ...]], tuple[DType, tuple[int, ...], int]] = {}

    def decode(self, header: bytes) -> Model:
        """The model.

        Raises:
            UnsupportedVersion: If the file is newer than this library.
            FormatError: If the header is not well-formed.
        """
        message = pb.Model()
        try:
            message.ParseFromString(header)
        except (DecodeError, ValueError, RecursionError) as error:
            raise _fail("format.malformed", "header", str(error), "a Model message") from error
        version = message.ir_version
        if version > IR_VERSION:
            raise UnsupportedVersion(
                Diagnostic("version.ir", "file", f"version {version}", f"1 to {IR_VERSION}")
            )
        if not version:
            raise _fail("format.missing", "field 'ir_version'", "nothing", f"1 to {IR_VERSION}")
        findings = unknown_in_header(message, header, self._unknown)
        findings = self._unknown.findings() + findings
        opsets = _sorted_unique(
            ((entry.domain, entry.version) for entry in message.opsets), "opsets"
        )
        for domain, opset_version in opsets.items():
            if not limits.DOMAIN.fullmatch(domain) or not opset_version:
                raise _fail(
                    "format.malformed",
                    "opsets",
                    f"'{domain}' version {opset_version}",
                    "a domain [a-z][a-z0-9_]{0,63} and a version of at least 1",
                )
        for required in ("time", "graph"):
            if not message.HasField(required):
                raise _fail("format.missing", f"field '{required}'", "nothing", "a message")
        graph = self._graph(message.graph)
        return Model(
            graph=graph,
            opsets=opsets,
            time=TimeBase(message.time.dt, message.time.steps),
            examples=_sorted_unique(
                ((entry.name, self._example(entry)) for entry in message.examples), "examples"
            ),
            metadata=_sorted_unique(
                ((entry.key, entry.value) for entry in message.metadata), "metadata"
            ),
            producer=Producer(message.producer.name, message.producer.version),
            ir_version=version,
            findings=tuple(findings),
        )

    def _graph(self, message: pb.Graph) -> Graph:
        inputs = [self._input(entry) for entry in message.inputs]
        names = [entry.name for entry in inputs]
        values = names.copy()
        entries = message.nodes[:]
        ports: list[tuple[str, ...]] = []
        shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        for entry in entries:
            name, outputs = entry.name, tuple(entry.output_ports[:])
            outputs = shared.setdefault(outputs, outputs)
            names.append(name)
            ports.append(outputs)
            for port in outputs:
                values.append(f"{name}:{port}")
            if len(outputs) > 1:
                _check_unique(outputs, f"node '{name}', output ports")
        _check_unique(names, "inputs and nodes")
        _check_unique(values, "values")
        graph = Graph(message.name, inputs)
        nodes, decode = graph.nodes, self._node
        for name, entry, outputs in zip(names[len(inputs) :], entries, ports, strict=True):
            nodes[name] = decode(name, entry, outputs, values)
        for output in message.outputs:
            if output.value >= len(values):
                raise _no_value(f"output '{output.name}'", output.value, values)
            graph.outputs.append(
                GraphOutput(output.name, values[output.value], tuple(output.labels))
            )
        return graph

    def _node(
        self, name: str, message: pb.Node, outputs: tuple[str, ...], values: list[str]
    ) -> Node:
        try:
            bindings = [
                Binding(entry.port, values[entry.value], entry.delay_steps)
                for entry in message.inputs[:]
            ]
        except IndexError:
            bad = next(entry for entry in message.inputs if entry.value >= len(values))
            where = f"node '{name}', input '{bad.port}'"
            raise _no_value(where, bad.value, values) from None
        attributes: dict[str, AttributeValue] = {}
        if message.attributes:
            attributes = _sorted_unique(
                ((entry.name, _attribute(entry, name)) for entry in message.attributes),
                f"node '{name}', attributes",
            )
        parameters: dict[str, Tensor] = {}
        last = ""
        for parameter in message.parameters[:]:
            key = parameter.name
            if key <= last:
                raise _unsorted(f"node '{name}', parameters", last, key)
            last = key
            parameters[key] = self._tensor(parameter.tensor, name, key)
        types: tuple[ValueType, ...] = ()
        if message.output_types:
            types = tuple(_value_type(entry, f"node '{name}'") for entry in message.output_types)
            if len(types) != len(outputs):
                raise _fail(
                    "format.malformed",
                    f"node '{name}'",
                    f"{len(types)} output types",
                    f"none or {len(outputs)}",
                )
        return Node(
            name, message.op, bindings, outputs, attributes, parameters, types, message.source
        )

    def _input(self, message: pb.GraphInput) -> GraphInput:
        where = f"input '{message.name}'"
        if not message.HasField("type"):
            raise _fail("format.missing", f"{where}, field 'type'", "nothing", "a type")
        return GraphInput(
            message.name,
            _value_type(message.type, where),
            self._tensor(message.scale, message.name, "scale")
            if message.HasField("scale")
            else None,
            self._tensor(message.offset, message.name, "offset")
            if message.HasField("offset")
            else None,
            message.layout,
        )

    def _example(self, message: pb.Example) -> Example:
        where = f"example '{message.name}'"
        return Example(
            inputs=_sorted_unique(
                ((e.name, self._tensor(e.tensor, where, e.name)) for e in message.inputs),
                f"{where}, inputs",
            ),
            steps=message.steps,
            expected=_sorted_unique(
                (
                    (
                        e.name,
                        Expected(
                            self._tensor(e.tensor, where, e.name), _tolerance(e.tolerance, where)
                        ),
                    )
                    for e in message.expected
                ),
                f"{where}, expected",
            ),
            origin=message.origin,
        )

    def _tensor(self, message: pb.Tensor, owner: str, name: str) -> Tensor:
        layout = message.dtype, tuple(message.shape[:])
        if layout not in self._layouts:
            self._layouts[layout] = _check_layout(*layout, f"'{owner}', tensor '{name}'")
        dtype, shape, nbytes = self._layouts[layout]
        quantization = (
            _quantization(message.quantization, f"'{owner}', tensor '{name}'")
            if message.HasField("quantization")
            else None
        )
        data: bytes = message.inline
        storage = "inline" if data else message.WhichOneof("storage")
        if storage == "inline":
            if len(data) != nbytes:
                raise _length(dtype, shape, owner, name, len(data), nbytes)
            return Tensor(dtype, shape, data, quantization)
        if storage is None:
            raise _fail(
                "format.missing", f"'{owner}', tensor '{name}'", "no content", "bytes or a blob"
            )
        index, digest = message.blob.index, message.blob.sha256
        if index >= len(self._blobs):
            raise _fail(
                "format.blob-index",
                f"'{owner}', tensor '{name}'",
                f"blob {index}",
                f"one of {len(self._blobs)} blobs",
            )
        if len(digest) not in (0, hashlib.sha256().digest_size):
            raise _fail(
                "format.malformed",
                f"'{owner}', tensor '{name}', sha256",
                f"{len(digest)} bytes",
                "32 bytes or none",
            )
        offset, length = self._blobs[index]
        if length != nbytes:
            raise _length(dtype, shape, owner, name, length, nbytes)
        mapped = self._mapped.get(index)
        if mapped is None:
            mapped = self._mapped[index] = MappedBytes(self._data, offset, length, index)
        return Tensor(dtype, shape, mapped, quantization, digest)


def _check_layout(
    number: int, shape: tuple[int, ...], where: str
) -> tuple[DType, tuple[int, ...], int]:
    """Element type, shape and bytes of a tensor, from its dtype's number and its shape."""
    dtype = _DTYPES.get(number)
    if dtype is None:
        raise _enum(where, "dtype", number)
    size = math.prod(shape) if len(shape) <= limits.MAX_RANK else 0
    if not 0 < size <= limits.MAX_ELEMENTS:  # 0 may hide lengths that overflow without it
        _check_shape(shape, where)
    return dtype, shape, dtype.nbytes(size)


def _check_shape(shape: Sequence[Dim], where: str) -> None:
    if (problem := shape_problem(shape)) is not None:
        raise _fail("format.limit", where, *problem)


def _length(
    dtype: DType, shape: tuple[int, ...], owner: str, name: str, found: int, expected: int
) -> FormatError:
    return _fail(
        "format.length",
        f"'{owner}', tensor '{name}' ({dtype.label}{format_shape(shape)})",
        f"{found} bytes",
        f"{expected} bytes",
    )


def _enum(where: str, field: str, number: int) -> FormatError:
    return _fail("format.enum", f"{where}, field '{field}'", f"{number}", "a defined value")


def _check_unique(names: Sequence[str], where: str) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _fail("graph.duplicate-name", where, f"'{name}'", "unique names")
        seen.add(name)


def _no_value(where: str, number: int, values: Sequence[str]) -> FormatError:
    return _fail("format.value-index", where, f"value {number}", f"0 to {len(values) - 1}")


def _unsorted(where: str, last: str, key: str) -> FormatError:
    return _fail("format.order", where, f"'{key}' after '{last}'", "sorted, unique, not empty")


def _sorted_unique(items: Any, where: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    last = b""
    for key, value in items:
        encoded = key.encode()
        if encoded <= last:
            raise _unsorted(where, last.decode(), key)
        last = encoded
        result[key] = value
    return result


def _attribute(message: pb.Attribute, node: str) -> AttributeValue:
    kind = message.WhichOneof("value")
    if kind is None:
        raise _fail(
            "format.missing", f"node '{node}', attribute '{message.name}'", "no value", "a value"
        )
    if kind == "ints":
        return tuple(message.ints.values)
    value: AttributeValue = getattr(message, kind)
    return value


def _value_type(message: pb.ValueType, where: str) -> ValueType:
    dtype, timing = _DTYPES.get(message.dtype), _TIMINGS.get(message.timing)
    if dtype is None:
        raise _enum(where, "dtype", message.dtype)
    if timing is None:
        raise _enum(where, "timing", message.timing)
    shape: list[Dim] = []
    for dim in message.shape[: limits.MAX_RANK + 1]:
        kind = dim.WhichOneof("dim")
        if kind is None:
            raise _fail("format.missing", f"{where}, shape", "an empty length", "a size or symbol")
        shape.append(dim.size if kind == "size" else dim.symbol)
    _check_shape(shape, where)
    quantization = (
        _quantization(message.quantization, where) if message.HasField("quantization") else None
    )
    return ValueType(dtype, tuple(shape), timing, quantization)


def _quantization(message: pb.Quantization, where: str) -> Quantization:
    rounding = _ROUNDINGS.get(message.rounding)
    if rounding is None:
        raise _enum(f"{where}, quantization", "rounding", message.rounding)
    return Quantization(
        scale=tuple(message.scale),
        bits=message.bits,
        zero_point=tuple(message.zero_point),
        axis=message.axis if message.HasField("axis") else None,
        signed=message.signed,
        rounding=rounding,
        saturated=message.saturated,
    )


def _tolerance(message: pb.Tolerance, where: str) -> Tolerance:
    kind = message.WhichOneof("kind")
    makers: dict[str | None, Callable[[], Tolerance]] = {
        "exact": Exact,
        "spike_shift_steps": lambda: SpikeShift(message.spike_shift_steps),
        "rate": lambda: Rate(message.rate),
        "close": lambda: Close(message.close.absolute, message.close.relative),
    }
    if kind not in makers:
        raise _fail("format.missing", f"{where}, tolerance", "nothing", "a tolerance")
    return makers[kind]()
