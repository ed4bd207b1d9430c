"""A second reader of model files, written from proto/spec/format.md and nothing else.

It shares no code with snnir: stock protobuf parses the whole file into the class that protoc
made of the schema, and NumPy makes arrays of the bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from snnir.proto.v1 import snnir_pb2

Array = npt.NDArray[Any]

SIGNATURE = b"\rSNNIR "
HEADER_START = len(SIGNATURE) + 32

NUMBERS = {
    "BOOL": "?",
    "INT8": "<i1",
    "UINT8": "<u1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FLOAT16": "<f2",
    "FLOAT32": "<f4",
    "FLOAT64": "<f8",
    "BFLOAT16": "<u2",
}


class NotAModel(Exception):
    """The bytes break a rule of the specification."""


def require(condition: bool, rule: str) -> None:
    if not condition:
        raise NotAModel(rule)


def read(data: bytes) -> dict[str, Any]:
    """The content of a file as plain dictionaries, lists, strings, numbers and arrays."""
    header_end, blobs = scan(data)
    header = data[HEADER_START:header_end]
    require(hashlib.sha256(header).digest() == data[len(SIGNATURE) : HEADER_START], "header digest")
    message = snnir_pb2.Model()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise NotAModel("a Model message") from error
    require(message.ir_version == 1, "ir_version")
    require([data[at : at + n] for at, n in blobs] == list(message.blobs), "blobs")
    return {
        "producer": (message.producer.name, message.producer.version),
        "opsets": by_key((entry.domain, entry.version) for entry in message.opsets),
        "time": (message.time.dt, message.time.steps),
        "graph": graph(message),
        "examples": by_key((entry.name, example(entry, message)) for entry in message.examples),
        "metadata": by_key((entry.key, entry.value) for entry in message.metadata),
        "blobs": blobs,
    }


def scan(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """One past the header, and offset and length of every blob."""
    require(data.startswith(SIGNATURE) and len(data) >= HEADER_START, "signature and digest")
    header_end, blobs, at = None, [], HEADER_START
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 2:
            length, at = varint(data, at)
        elif wire_type == 0:
            length = varint(data, at)[1] - at
        else:
            require(wire_type in (1, 5), "wire type")
            length = 8 if wire_type == 1 else 4
        if wire_type == 2 and number in (30, 31):
            header_end = start if header_end is None else header_end
            if number == 31:
                blobs.append((at, length))
        else:
            require(header_end is None or not 1 <= number <= 17, "header field behind a blob")
        at += length
    require(at == len(data), "fields end with the file")
    return len(data) if header_end is None else header_end, blobs


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        require(at < len(data), "varint ends")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def by_key(items: Any) -> dict[str, Any]:
    """A list that the schema calls sorted."""
    pairs = list(items)
    keys = [key.encode() for key, _ in pairs]
    require(all(keys) and keys == sorted(set(keys)), "sorted, unique, not empty")
    return dict(pairs)


def graph(message: Any) -> dict[str, Any]:
    """The graph; edges name their sources as ``input`` or ``node:port``."""
    source = message.graph
    values = [entry.name for entry in source.inputs]
    values += [f"{node.name}:{port}" for node in source.nodes for port in node.output_ports]
    return {
        "name": source.name,
        "inputs": [
            {
                "name": entry.name,
                "type": value_type(entry.type),
                "scale": tensor(entry.scale, message) if entry.HasField("scale") else None,
                "offset": tensor(entry.offset, message) if entry.HasField("offset") else None,
                "layout": entry.layout,
            }
            for entry in source.inputs
        ],
        "nodes": [
            {
                "name": node.name,
                "op": node.op,
                "inputs": [(b.port, values[b.value], b.delay_steps) for b in node.inputs],
                "outputs": list(node.output_ports),
                "attributes": by_key((a.name, attribute(a)) for a in node.attributes),
                "parameters": by_key((p.name, tensor(p.tensor, message)) for p in node.parameters),
                "output_types": [value_type(entry) for entry in node.output_types],
                "source": node.source,
            }
            for node in source.nodes
        ],
        "outputs": [(o.name, values[o.value], list(o.labels)) for o in source.outputs],
    }


def attribute(message: Any) -> bool | int | float | str | list[int]:
    kind = message.WhichOneof("value")
    require(kind is not None, "an attribute has a value")
    value = getattr(message, kind)
    return list(value.values) if kind == "ints" else value


def value_type(message: Any) -> dict[str, Any]:
    return {
        "dtype": enum_name(snnir_pb2.DataType, message.dtype),
        "shape": [getattr(dim, dim.WhichOneof("dim")) for dim in message.shape],
        "timing": enum_name(snnir_pb2.Timing, message.timing),
        "quantization": quantization(message),
    }


def enum_name(enum: Any, number: int) -> str:
    """``"FLOAT32"`` for DATA_TYPE_FLOAT32."""
    require(number in enum.values() and number != 0, "a defined value of the enum")
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return str(enum.Name(number).removeprefix(prefix))


def quantization(message: Any) -> dict[str, Any] | None:
    if not message.HasField("quantization"):
        return None
    found = message.quantization
    return {
        "scale": list(found.scale),
        "zero_point": list(found.zero_point),
        "axis": found.axis if found.HasField("axis") else None,
        "bits": found.bits,
        "rounding": enum_name(snnir_pb2.Rounding, found.rounding),
        "saturated": found.saturated,
        "signed": found.signed,
    }


def tensor(message: Any, model: Any) -> dict[str, Any]:
    """Type, elements, the numbers that they stand for, and the blob they came from."""
    dtype, shape = enum_name(snnir_pb2.DataType, message.dtype), tuple(message.shape)
    kind = message.WhichOneof("storage")
    require(kind is not None, "a tensor has content")
    blob = None
    if kind == "inline":
        data = message.inline
    else:
        blob = message.blob.index
        require(blob < len(model.blobs), "blob index")
        data = model.blobs[blob]
        digest = message.blob.sha256
        require(digest in (b"", hashlib.sha256(data).digest()), "blob digest")
    elements = decode(dtype, math.prod(shape), data).reshape(shape)
    found = quantization(message)
    return {
        "dtype": dtype,
        "elements": elements,
        "quantization": found,
        "values": elements if found is None else dequantised(elements, found),
        "bytes": data,
        "blob": blob,
    }


def decode(dtype: str, count: int, data: bytes) -> Array:
    if dtype == "INT4":
        require(len(data) == (count + 1) // 2, "length")
        halves = [half for byte in data for half in (byte & 15, byte >> 4)]
        return np.array([h - 16 if h >= 8 else h for h in halves[:count]], np.int8)
    numbers = NUMBERS[dtype]
    require(len(data) == count * np.dtype(numbers).itemsize, "length")
    stored = np.frombuffer(data, numbers)
    if dtype == "BFLOAT16":
        return (stored.astype("<u4") << 16).view("<f4")
    return stored


def dequantised(elements: Array, found: dict[str, Any]) -> Array:
    along = [1] * elements.ndim
    if found["axis"] is not None:
        along[found["axis"]] = -1
    scale = np.array(found["scale"], np.float64).reshape(along)
    zero = np.array(found["zero_point"] or [0] * scale.size, np.float64).reshape(along)
    return ((elements - zero) * scale).astype(np.float32)


def example(message: Any, model: Any) -> dict[str, Any]:
    return {
        "inputs": by_key((entry.name, tensor(entry.tensor, model)) for entry in message.inputs),
        "steps": message.steps,
        "expected": by_key(
            (entry.name, (tensor(entry.tensor, model), tolerance(entry.tolerance)))
            for entry in message.expected
        ),
        "origin": message.origin,
    }


def tolerance(message: Any) -> tuple[Any, ...]:
    kind = message.WhichOneof("kind")
    require(kind is not None, "a tolerance has a kind")
    value = getattr(message, kind)
    if kind == "exact":
        return (kind,)
    return (kind, value.absolute, value.relative) if kind == "close" else (kind, value)


# Listing ---------------------------------------------------------------------------------------


LISTED_BYTES = 80


def listing(data: bytes) -> str:
    """Every field of a file with its bytes: the worked example of the specification."""
    lines: list[str] = []
    for start, end, note in fields(data, 0, len(data), snnir_pb2.Model.DESCRIPTOR, 0):
        shown = data[start:end]
        omitted = len(shown) > LISTED_BYTES
        shown = shown[:16] if omitted else shown
        for row in range(0, len(shown), 16):
            lines.append(
                f"{start + row:04x}  {shown[row : row + 16].hex(' '):<47}  {note}".rstrip()
            )
            note = ""
        if omitted:
            lines.append(f"      ... and so on to byte {end - 1:04x}")
    return "\n".join(lines) + "\n"


def fields(
    data: bytes, at: int, end: int, descriptor: Any, depth: int
) -> Iterator[tuple[int, int, str]]:
    """Start, end and description of every field, the content of messages field by field."""
    while at < end:
        start = at
        tag, at = varint(data, at)
        field = descriptor.fields_by_number[tag >> 3]
        name = "  " * depth + f"{field.number} {field.name}"
        wire_type = tag & 7
        if wire_type == 2:
            length, at = varint(data, at)
            if field.message_type is not None:
                yield start, at, f"{name}: {length} bytes"
                yield from fields(data, at, at + length, field.message_type, depth + 1)
            elif field.type == field.TYPE_BYTES and length > 32:
                yield start, at, f"{name}: {length} bytes"
                yield at, at + length, ""
            else:
                yield start, at + length, f"{name}: {content(field, data[at : at + length])}"
            at += length
        elif wire_type == 0:
            number, at = varint(data, at)
            yield start, at, f"{name}: {scalar(field, number)}"
        else:
            size = 8 if wire_type == 1 else 4
            yield start, at + size, f"{name}: {fixed(field, data[at : at + size])}"
            at += size


def content(field: Any, data: bytes) -> str:
    if field.type == field.TYPE_STRING:
        return f'"{data.decode()}"'
    if field.type == field.TYPE_BYTES:
        return f"{len(data)} bytes"
    numbers, at = [], 0
    while at < len(data):
        number, at = varint(data, at)
        numbers.append(scalar(field, number))
    return f"[{', '.join(numbers)}]"


def scalar(field: Any, number: int) -> str:
    if field.type == field.TYPE_ENUM:
        return str(field.enum_type.values_by_number[number].name)
    if field.type == field.TYPE_SINT64:
        return str((number >> 1) ^ -(number & 1))
    return str(number)


def fixed(field: Any, data: bytes) -> str:
    if field.type == field.TYPE_DOUBLE:
        return repr(float(np.frombuffer(data, "<f8")[0]))
    return f"0x{int.from_bytes(data, 'little'):X}"
