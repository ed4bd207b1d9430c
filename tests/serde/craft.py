"""Model files that no writer would write: any message, with a digest that is right.

Only stock protobuf is used, so that what is under test does not help to make its own input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from snnir import Tensor
from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import Close, Exact, Example, Expected, Model, Rate, SpikeShift, TimeBase
from snnir.ir.types import DType, Quantization, Rounding, Timing, ValueType
from snnir.proto.v1 import snnir_pb2 as pb
from snnir.serde.file import to_bytes

MAGIC = 0x494E4E53
HEADER_START = 39
TAIL_FIELDS = ("padding", "blobs")


def parse(data: bytes) -> Any:
    """The message that a stock parser makes of a whole file."""
    message = pb.Model()
    message.ParseFromString(data)
    return message


def craft(message: Any, *, header: bytes = b"", tail: bytes = b"") -> bytes:
    """A file of that message, its header digest made right.

    Args:
        message: Its magic and digest do not matter.
        header: Further bytes of the header.
        tail: Further bytes of the file, behind the blobs.
    """
    head, weights = pb.Model(), pb.Model()
    head.CopyFrom(message)
    for field in ("magic", "header_sha256", *TAIL_FIELDS):
        head.ClearField(field)
    weights.padding.extend(message.padding)
    weights.blobs.extend(message.blobs)
    return seal(head.SerializeToString() + header, weights.SerializeToString() + tail)


def seal(header: bytes, tail: bytes = b"") -> bytes:
    """A file of these bytes."""
    start = pb.Model(magic=MAGIC, header_sha256=hashlib.sha256(header).digest())
    return start.SerializeToString() + header + tail


def changed(data: bytes, change: Callable[[Any], object]) -> bytes:
    """A file with its message changed and its header digest made right."""
    message = parse(data)
    change(message)
    return craft(message)


def header_end(data: bytes) -> int:
    """Where the header of a file with blobs ends: the stock serialiser tells its length."""
    message = parse(data)
    for field in ("magic", "header_sha256", *TAIL_FIELDS):
        message.ClearField(field)
    return HEADER_START + len(message.SerializeToString())


def varint(number: int) -> bytes:
    """A base-128 varint."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(number & 0x7F)
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


def field(number: int, kind: int, payload: bytes) -> bytes:
    """A field of any number and wire type; a length is put before payloads of type 2."""
    length = varint(len(payload)) if kind == 2 else b""
    return varint(number << 3 | kind) + length + payload


F32 = DType.FLOAT32


def numbers(*shape: int, start: int = 1) -> Tensor:
    """Small multiples of 1/8, all different."""
    count = int(np.prod(shape, dtype=np.int64))
    return Tensor.from_array((np.arange(start, start + count, dtype=np.float32) / 8).reshape(shape))


def rich_model(blob: int = 1200) -> Model:
    """A valid model with something of every message of the schema.

    Args:
        blob: Number of float32 elements of the tensors that are to be blobs.
    """
    step = ValueType(F32, (4,), Timing.PER_STEP)
    inputs = [
        GraphInput(
            "image",
            ValueType(
                DType.UINT8, ("height", 4), Timing.STATIC, Quantization((0.5,), 8, (3,), None)
            ),
            numbers(4),
            numbers(1, 4),
            "HW",
        ),
        GraphInput("spikes", step),
    ]
    lif = Node(
        "lif",
        "snn.LIF",
        [Binding("current", "spikes"), Binding("current", "lif:spikes", 2)],
        ("spikes",),
        {"refractory_steps": 3, "reset": "to_value"},
        {"decay": numbers(), "threshold": numbers(4)},
        source="activation_1",
    )
    count = Node("count", "snn.SpikeCount", [Binding("x", "lif:spikes")], ("y",), {}, {})
    quantised = Tensor.from_array(
        np.array([[-3, 1, 2], [5, -7, 7]], np.int8),
        DType.INT8,
        Quantization((0.5, 0.25), 4, (1, 0), 0, rounding=Rounding.HALF_AWAY, saturated=True),
    )
    foreign = Node(
        "block/foreign",
        "acme.Mixer",
        [Binding("a", "image"), Binding("b", "lif:spikes", 1), Binding("a", "count:y")],
        ("first", "second"),
        {"f": 0.5, "flag": True, "i": -3, "ints": (1, -2, 3), "s": "text"},
        {
            "big": Tensor.from_array(np.arange(blob, dtype=np.float32)),
            "bigger": Tensor.from_array(np.arange(2 * blob, dtype=np.float32) + 0.5),
            "quantised": quantised,
            "small": numbers(2, 2),
        },
        (ValueType(F32, ("height", 2), Timing.STATIC), step),
        "layers/mixer",
    )
    graph = Graph(
        "rich",
        inputs,
        {node.name: node for node in (lif, count, foreign)},
        [
            GraphOutput("class", "count:y", ("a", "b", "c", "d")),
            GraphOutput("first", "block/foreign:first"),
            GraphOutput("second", "block/foreign:second"),
        ],
    )
    example = Example(
        {
            "image": Tensor.from_array(np.zeros((2, 3, 4), np.uint8)),
            "spikes": Tensor.from_array(np.zeros((2, 5, 4), np.float32)),
        },
        5,
        {
            "block/foreign:first": Expected(numbers(2, 3, 2), Close(1e-6, 1e-5)),
            "class": Expected(Tensor.from_array(np.zeros((2, 4), np.float32)), Exact()),
            "lif:spikes": Expected(Tensor.from_array(np.zeros((2, 5, 4), "f4")), SpikeShift(1)),
            "lif:v": Expected(Tensor.from_array(np.zeros((2, 5, 4), np.float32)), Rate(0.25)),
        },
        "by hand",
    )
    return Model(
        graph,
        {"acme": 3, "snn": 1},
        TimeBase(5e-4, 7),
        {"first": example},
        {"author": "someone", "licence": "CC0-1.0"},
    )


def small_file() -> bytes:
    """A file of a :func:`rich_model` whose two blobs are small, and not aligned."""
    message = parse(to_bytes(rich_model(3)))
    for parameter in parameters(message, "block/foreign"):
        if parameter.name in ("big", "bigger"):
            content = parameter.tensor.inline
            parameter.tensor.blob.index = len(message.blobs)
            parameter.tensor.blob.sha256 = hashlib.sha256(content).digest()
            message.blobs.append(content)
    return craft(message)


def node(message: Any, name: str) -> Any:
    """A node of a message."""
    return next(entry for entry in message.graph.nodes if entry.name == name)


def parameters(message: Any, name: str) -> Any:
    """The parameters of a node of a message."""
    return node(message, name).parameters


def tensor(message: Any, owner: str, name: str) -> Any:
    """A parameter of a node of a message."""
    return next(entry.tensor for entry in parameters(message, owner) if entry.name == name)
