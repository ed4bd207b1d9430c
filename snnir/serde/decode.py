"""Protobuf messages to IR. Every error of form that a header can have is found here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

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
from snnir.ir.types import Dim, DType, Quantization, Rounding, Timing, ValueType, format_shape
from snnir.proto.v1 import snnir_pb2 as pb
from snnir.serde.wire import Buffer, Layout

T = TypeVar("T")

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
        self._layout = layout

    def decode(self, header: bytes) -> Model:
        """The model.

        Raises:
            UnsupportedVersion: If the file is newer than this library.
            FormatError: If the header is not well-formed.
        """
        message = pb.Model()
        try:
            message.ParseFromString(header)
        except DecodeError as error:
            raise _fail("format.malformed", "header", str(error), "a Model message") from error
        version = message.ir_version
        if version > IR_VERSION:
            raise UnsupportedVersion(
                Diagnostic("version.ir", "file", f"version {version}", f"1 to {IR_VERSION}")
            )
        if not version:
            raise _fail("format.missing", "field 'ir_version'", "nothing", f"1 to {IR_VERSION}")
        findings = self._unknown_fields(message)
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
            findings=findings,
        )

    def _unknown_fields(self, message: pb.Model) -> tuple[Diagnostic, ...]:
        found = [
            Diagnostic("format.unknown-field", f"byte {at}", "a top-level field", "known fields")
            for at in self._layout.unknown
        ]
        size = message.ByteSize()
        known = pb.Model()
        known.CopyFrom(message)
        known.DiscardUnknownFields()
        if known.ByteSize() != size:
            found += [
                Diagnostic("format.unknown-field", path, f"field {number}", "known fields")
                for path, number in _find_unknown(message, "Model")
            ]
        return tuple(found)

    def _graph(self, message: pb.Graph) -> Graph:
        inputs = [self._input(entry) for entry in message.inputs]
        graph = Graph(message.name, inputs)
        values = [entry.name for entry in inputs]
        names = set(values)
        if len(names) != len(values):
            raise _duplicate(values, "inputs")
        pending: list[tuple[Node, Any]] = []
        nodes = graph.nodes
        tensor = self._tensor
        for entry in message.nodes:
            name = entry.name
            outputs = tuple(entry.output_ports)
            attributes: dict[str, AttributeValue] = {}
            if entry.attributes:
                attributes = _sorted_unique(
                    ((a.name, _attribute(a, name)) for a in entry.attributes),
                    f"node '{name}', attributes",
                )
            parameters: dict[str, Tensor] = {}
            last = ""
            for parameter in entry.parameters:
                key = parameter.name
                if key <= last:
                    raise _unsorted(f"node '{name}', parameters", last, key)
                last = key
                parameters[key] = tensor(parameter.tensor, name, key)
            types: tuple[ValueType, ...] = ()
            if entry.output_types:
                types = tuple(_value_type(t, f"node '{name}'") for t in entry.output_types)
                if len(types) != len(outputs):
                    raise _fail(
                        "format.malformed",
                        f"node '{name}'",
                        f"{len(types)} output types",
                        f"none or {len(outputs)}",
                    )
            if name in names:
                raise _fail("graph.duplicate-name", "graph", f"'{name}'", "unique names")
            names.add(name)
            node = Node(
                name, entry.op, [], outputs, attributes, parameters, types, entry.source
            )
            nodes[name] = node
            for port in outputs:
                values.append(f"{name}:{port}")
            if len(outputs) > 1 and len(set(outputs)) != len(outputs):
                raise _duplicate(outputs, f"node '{name}', output ports")
            pending.append((node, entry.inputs))
        count = len(values)
        for node, bindings in pending:
            edges = node.inputs
            for binding in bindings:
                number = binding.value
                if number >= count:
                    raise _fail(
                        "format.value-index",
                        f"node '{node.name}', input '{binding.port}'",
                        f"value {number}",
                        f"0 to {count - 1}",
                    )
                edges.append(Binding(binding.port, values[number], binding.delay_steps))
        for output in message.outputs:
            if output.value >= count:
                raise _fail(
                    "format.value-index",
                    f"output '{output.name}'",
                    f"value {output.value}",
                    f"0 to {count - 1}",
                )
            graph.outputs.append(
                GraphOutput(output.name, values[output.value], tuple(output.labels))
            )
        return graph

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
        dtype = _DTYPES.get(message.dtype)
        if dtype is None:
            raise _enum(f"'{owner}', tensor '{name}'", "dtype", message.dtype)
        shape = tuple(message.shape)
        size = 1
        for dim in shape:
            size *= dim
        if size > limits.MAX_ELEMENTS or len(shape) > limits.MAX_RANK or 0 in shape:
            self._check_shape(shape, owner, name)
        nbytes = dtype.nbytes(size)
        quantization = (
            _quantization(message.quantization, f"'{owner}', tensor '{name}'")
            if message.HasField("quantization")
            else None
        )
        storage = message.WhichOneof("storage")
        if storage == "inline":
            data: bytes = message.inline
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
        return Tensor(
            dtype, shape, MappedBytes(self._data, offset, length, index), quantization, digest
        )

    @staticmethod
    def _check_shape(shape: tuple[int, ...], owner: str, name: str) -> None:
        """The product of the lengths other than 0 is bounded too, so that none can overflow."""
        size = 1
        for dim in shape:
            size *= max(dim, 1)
        if len(shape) > limits.MAX_RANK or size > limits.MAX_ELEMENTS:
            raise _fail(
                "format.limit",
                f"'{owner}', tensor '{name}'",
                f"shape {format_shape(shape[: limits.MAX_RANK + 1])}",
                f"at most {limits.MAX_RANK} axes and {limits.MAX_ELEMENTS} elements",
            )


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


def _duplicate(names: Sequence[str], where: str) -> FormatError:
    seen: set[str] = set()
    twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return _fail("graph.duplicate-name", where, f"'{twice}'", "unique names")


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
    for dim in message.shape:
        kind = dim.WhichOneof("dim")
        if kind is None:
            raise _fail("format.missing", f"{where}, shape", "an empty length", "a size or symbol")
        shape.append(dim.size if kind == "size" else dim.symbol)
    if len(shape) > limits.MAX_RANK or any(
        isinstance(dim, int) and dim > limits.MAX_ELEMENTS for dim in shape
    ):
        raise _fail(
            "format.limit",
            where,
            f"shape {format_shape(shape[: limits.MAX_RANK + 1])}",
            f"at most {limits.MAX_RANK} axes of at most {limits.MAX_ELEMENTS}",
        )
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


def _find_unknown(message: Message, path: str) -> list[tuple[str, int]]:
    """Where the unknown fields of a message are, as path and field number."""
    found = [(path, field.field_number) for field in UnknownFieldSet(message)]
    for descriptor, value in message.ListFields():
        if descriptor.type != descriptor.TYPE_MESSAGE:
            continue
        if isinstance(value, Message):
            found += _find_unknown(value, f"{path}.{descriptor.name}")
        else:
            for index, entry in enumerate(value):
                found += _find_unknown(entry, f"{path}.{descriptor.name}[{index}]")
    return found
