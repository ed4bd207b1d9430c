"""Two readers, and two writers, that share no code agree on what is in a file."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir import GraphBuilder, Tensor, limits
from snnir.codes import CODES
from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import (
    Close,
    Exact,
    Example,
    Expected,
    Model,
    Producer,
    Rate,
    SpikeShift,
    Tolerance,
)
from snnir.ir.types import DType, Quantization, Rounding, Timing, ValueType
from snnir.proto.v1 import snnir_pb2 as pb
from tests.serde import independent_reader
from tests.serde.independent_reader import HEADER_START, SIGNATURE, Array, NotAModel

SPEC = Path(__file__).resolve().parents[2] / "proto/spec/format.md"
in_source_tree = pytest.mark.skipif(
    not SPEC.is_file(), reason="proto/spec is not here (testing an installed wheel)"
)

RNG_SEED = 7


def numbers(dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """A tensor of that type with both ends of its range."""
    rng = np.random.default_rng(RNG_SEED)
    if dtype is DType.BOOL:
        return Tensor.from_array(rng.integers(0, 2, shape).astype(bool))
    if dtype.is_float:
        return Tensor.from_array(rng.normal(size=shape).astype(np.float32), dtype)
    low, high = (-8, 7) if dtype is DType.INT4 else integer_range(dtype)
    array = rng.integers(low, high, shape, np.int64, endpoint=True)
    array.reshape(-1)[:2] = (low, high)[: array.size]
    return Tensor.from_array(array, dtype)


def integer_range(dtype: DType) -> tuple[int, int]:
    info = np.iinfo(dtype.label)
    return int(info.min), int(info.max)


def tensor_model(parameters: dict[str, Tensor], **fields: Any) -> Model:
    """A node of a foreign operator set, which takes any parameters."""
    node = Node("n", "acme.Anything", [Binding("x", "x")], ("y",), {}, parameters)
    node.output_types = (ValueType(DType.FLOAT32, (2,), Timing.STATIC),)
    graph = Graph(
        "main",
        [GraphInput("x", ValueType(DType.FLOAT32, (2,), Timing.STATIC))],
        {"n": node},
        [GraphOutput("y", "n:y")],
    )
    return Model(graph, {"acme": 3}, **fields)


def inline_of_every_dtype() -> Model:
    shapes = {"scalar": (), "odd": (3, 5), "even": (2, 4), "none": (2, 0)}
    return tensor_model(
        {
            f"{dtype.label}_{name}": numbers(dtype, shape)
            for dtype in DType
            for name, shape in shapes.items()
        }
    )


def blob_of_every_dtype() -> Model:
    parameters = {f"{dtype.label}_blob": numbers(dtype, (67, 135)) for dtype in DType}
    parameters["largest_inline"] = numbers(DType.UINT8, (limits.INLINE_BYTES,))
    parameters["smallest_blob"] = numbers(DType.UINT8, (limits.INLINE_BYTES + 1,))
    return tensor_model(parameters)


def quantised() -> Model:
    def make(dtype: DType, shape: tuple[int, ...], **fields: Any) -> Tensor:
        plain = numbers(dtype, shape)
        return Tensor.from_array(plain.numpy(), dtype, Quantization(**fields))

    scales = (0.5, 0.1, 3e-5)
    return tensor_model(
        {
            "one_scale": make(DType.INT8, (4, 3), scale=(0.02,), bits=8),
            "zero_point": make(DType.UINT8, (5,), scale=(0.3,), bits=7, zero_point=(128,)),
            "channels": make(DType.INT8, (4, 3), scale=scales, bits=6, axis=1, saturated=True),
            "rows": make(
                DType.INT4,
                (3, 5),
                scale=scales,
                bits=4,
                axis=0,
                zero_point=(-3, 0, 7),
                rounding=Rounding.FLOOR,
            ),
            "axis_of_one": make(
                DType.INT16, (1, 2), scale=(2.0,), bits=12, axis=0, rounding=Rounding.HALF_AWAY
            ),
            "unsigned": make(
                DType.UINT8,
                (80, 70),
                scale=(0.25,),
                bits=8,
                signed=False,
                rounding=Rounding.TOWARD_ZERO,
            ),
            "wide": make(DType.INT64, (3,), scale=(1e-9,), bits=64, zero_point=(1 << 40,)),
        }
    )


def every_attribute() -> Model:
    model = tensor_model({})
    node = model.graph.nodes["n"]
    node.attributes = {
        "b_false": False,
        "b_true": True,
        "f": -1.5,
        "f_zero": 0.0,
        "i": -(1 << 63),
        "i_max": (1 << 63) - 1,
        "i_zero": 0,
        "ints": (-1, 0, 1 << 40),
        "ints_none": (),
        "s": "é ∑ 🧠",
        "s_empty": "",
    }
    node.source = "layer one"
    return model


def types_and_ports() -> Model:
    """Every timing, symbols, quantised value types, several outputs, edges of all kinds."""
    quantization = Quantization((0.5, 0.25), 5, (1, 2), axis=1, rounding=Rounding.HALF_AWAY)
    many = Node("many", "acme.Many", [], ("a", "b", "c"), {}, {})
    many.inputs = [
        Binding("left", "x"),
        Binding("right", "many:c", 1),
        Binding("left", "y", 300),
        Binding("left", "x", 1 << 20),
    ]
    many.output_types = (
        ValueType(DType.INT8, ("n", 2), Timing.PER_STEP, quantization),
        ValueType(DType.BOOL, (), Timing.PER_STEP),
        ValueType(DType.BFLOAT16, (1, "rows", 1 << 40), Timing.PER_STEP),
    )
    silent = Node("silent", "acme.Sub.Sink", [Binding("x", "many:a")], (), {}, {})
    graph = Graph(
        "types",
        [
            GraphInput("x", ValueType(DType.UINT8, ("n", 2), Timing.PER_STEP), layout="TC"),
            GraphInput(
                "y",
                ValueType(DType.UINT8, (28, 28, 3), Timing.STATIC),
                Tensor.from_array(np.float32(1 / 255)),
                Tensor.from_array(np.array([-0.5, 0.0, 0.5], np.float32)),
                "HWC",
            ),
        ],
        {"many": many, "silent": silent},
        [GraphOutput("first", "many:b"), GraphOutput("again", "many:b", ("no", "yes", ""))],
    )
    return Model(graph, {"acme": 1, "acme2": 4_000_000_000, "snn": 1}, producer=Producer("p", ""))


def shared_tensors() -> Model:
    big = np.arange(4000, dtype=np.int16)
    small = np.arange(5, dtype=np.int16)
    return tensor_model(
        {
            "a": Tensor.from_array(big),
            "b": Tensor.from_array(big[::-1]),
            "c": Tensor.from_array(big.copy()),
            "d": Tensor.from_array(big.view(np.uint8).reshape(80, 100), DType.UINT8),
            "e": Tensor.from_array(small),
            "f": Tensor.from_array(small),
        }
    )


def network() -> Model:
    """A recurrent classifier as the builder makes it, with two stored examples."""
    rng = np.random.default_rng(RNG_SEED)
    b = GraphBuilder("net", dt=5e-4, steps=6, metadata={"b": "2", "a": "text\nlines", "ü": ""})
    image = b.input("image", [6, "n", 1], dtype="uint8", scale=1 / 255, layout="HWC")
    spikes = b.input("events", [40], timing="per_step")
    current = b.snn.ConstantCurrent(image)
    b.output("image_current", current)
    weight = (rng.integers(-4, 5, (40, 40)) / 8).astype(np.float32)
    hidden = b.snn.LIF(
        b.snn.Dense(spikes, weight=weight, name="in"),
        decay=0.875,
        threshold=np.linspace(0.5, 1.5, 40, dtype=np.float32),
        refractory_steps=2,
        name="hidden",
        source="layer",
    )
    b.connect(b.snn.Dense(hidden, weight=weight, name="again"), "hidden", "current", delay_steps=3)
    counts = b.snn.SpikeCount(hidden)
    b.output("class", counts, labels=[f"class {i}" for i in range(40)])
    model = b.build()
    inputs: dict[str, Array] = {
        "image": rng.integers(0, 256, (2, 6, 5, 1)).astype(np.uint8),
        "events": rng.integers(0, 2, (2, 6, 40)).astype(np.float32),
    }
    recorded = snnir.make_example(model, inputs, record=["hidden:spikes", "hidden:v"])
    tolerances: tuple[Tolerance, ...] = (Exact(), SpikeShift(2), Rate(0.125), Close(1e-6, 1e-5))
    expected = {
        name: Expected(found.tensor, tolerance)
        for (name, found), tolerance in zip(
            sorted(recorded.expected.items()), tolerances, strict=True
        )
    }
    model.examples = {
        "second": recorded,
        "first": Example(recorded.inputs, recorded.steps, expected, "someone's book, page 3"),
    }
    return model


def nearly_nothing() -> Model:
    return Model(Graph(""), {}, producer=Producer("", ""))


MODELS: dict[str, Callable[[], Model]] = {
    make.__name__: make
    for make in (
        inline_of_every_dtype,
        blob_of_every_dtype,
        quantised,
        every_attribute,
        types_and_ports,
        shared_tensors,
        network,
        nearly_nothing,
    )
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


# The IR, said in the words of the independent reader -------------------------------------------


def plain(model: Model) -> dict[str, Any]:
    """What the independent reader should say of a model; tensors stay what they are."""
    graph = model.graph
    return {
        "producer": (model.producer.name, model.producer.version),
        "opsets": model.opsets,
        "time": (model.time.dt, model.time.steps),
        "graph": {
            "name": graph.name,
            "inputs": [
                {
                    "name": entry.name,
                    "type": plain_type(entry.type),
                    "scale": entry.scale,
                    "offset": entry.offset,
                    "layout": entry.layout,
                }
                for entry in graph.inputs
            ],
            "nodes": [
                {
                    "name": node.name,
                    "op": node.op,
                    "inputs": [tuple(binding) for binding in node.inputs],
                    "outputs": list(node.outputs),
                    "attributes": {
                        name: list(value) if isinstance(value, tuple) else value
                        for name, value in node.attributes.items()
                    },
                    "parameters": node.parameters,
                    "output_types": [plain_type(entry) for entry in node.output_types],
                    "source": node.source,
                }
                for node in graph.nodes.values()
            ],
            "outputs": [(o.name, o.value, list(o.labels)) for o in graph.outputs],
        },
        "examples": {
            name: {
                "inputs": example.inputs,
                "steps": example.steps,
                "expected": {
                    key: (entry.tensor, plain_tolerance(entry.tolerance))
                    for key, entry in example.expected.items()
                },
                "origin": example.origin,
            }
            for name, example in model.examples.items()
        },
        "metadata": model.metadata,
    }


def plain_type(value_type: ValueType) -> dict[str, Any]:
    return {
        "dtype": value_type.dtype.name,
        "shape": list(value_type.shape),
        "timing": value_type.timing.name,
        "quantization": plain_quantization(value_type.quantization),
    }


def plain_quantization(quantization: Quantization | None) -> dict[str, Any] | None:
    if quantization is None:
        return None
    return {
        "scale": list(quantization.scale),
        "zero_point": list(quantization.zero_point),
        "axis": quantization.axis,
        "bits": quantization.bits,
        "rounding": quantization.rounding.name,
        "saturated": quantization.saturated,
        "signed": quantization.signed,
    }


def plain_tolerance(tolerance: Tolerance) -> tuple[Any, ...]:
    if isinstance(tolerance, SpikeShift):
        return ("spike_shift_steps", tolerance.steps)
    if isinstance(tolerance, Rate):
        return ("rate", tolerance.bound)
    if isinstance(tolerance, Close):
        return ("close", tolerance.absolute, tolerance.relative)
    return ("exact",)


def assert_same(expected: Any, found: Any, place: str = "model") -> None:
    """Equal in structure, type and value; a tensor equals what was decoded of it."""
    if isinstance(expected, Tensor):
        assert found["dtype"] == expected.dtype.name, place
        assert found["quantization"] == plain_quantization(expected.quantization), place
        assert found["bytes"] == bytes(expected.raw()), place
        assert_same_array(expected.numpy(), found["elements"], place)
        assert_same_array(expected.values(), found["values"], place)
    elif isinstance(expected, dict):
        assert isinstance(found, dict) and found.keys() == expected.keys(), place
        for key, value in expected.items():
            assert_same(value, found[key], f"{place}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list) and len(found) == len(expected), place
        for index, value in enumerate(expected):
            assert_same(value, found[index], f"{place}[{index}]")
    elif isinstance(expected, tuple) and expected and isinstance(expected[0], Tensor):
        assert_same(list(expected), list(found), place)
    else:
        assert type(found) is type(expected) and found == expected, place


def assert_same_array(expected: Array, found: Array, place: str) -> None:
    assert found.shape == expected.shape, place
    assert found.dtype == expected.dtype, place
    assert found.tobytes() == expected.tobytes(), place


# Reading ---------------------------------------------------------------------------------------


@every_model
def test_both_readers_find_what_was_written(make: Callable[[], Model], tmp_path: Path) -> None:
    model = make()
    path = tmp_path / "model.snnir"
    snnir.save(model, path)
    found = independent_reader.read(path.read_bytes())
    del found["blobs"]
    assert_same(plain(model), found)
    assert_same(plain(snnir.load(path)), found)


@every_model
def test_the_digests_and_the_alignment_are_as_specified(make: Callable[[], Model]) -> None:
    data = snnir.to_bytes(make())
    header_end, blobs = independent_reader.scan(data)
    header = data[HEADER_START:header_end]
    assert data[7:39] == hashlib.sha256(header).digest()
    assert [at % 64 for at, _ in blobs] == [0] * len(blobs)

    message = pb.Model.FromString(data)
    fields = [field.number for field, _ in message.ListFields() if 11 <= field.number <= 17]
    only_header = pb.Model()
    only_header.MergeFromString(header)
    assert [field.number for field, _ in only_header.ListFields()] == fields
    assert only_header.SerializeToString() == header, "the header is fields 11 to 17"
    assert all(set(padding) <= {0} for padding in message.padding)
    references = list(blob_references(message))
    assert [index for index, _ in dict.fromkeys(references)] == list(range(len(blobs)))
    for index, digest in references:
        assert digest == hashlib.sha256(message.blobs[index]).digest()


def blob_references(message: Any) -> Iterator[tuple[int, bytes]]:
    """Blob number and digest of each tensor, in the order in which the header holds them."""
    if isinstance(message, pb.BlobRef):
        yield message.index, message.sha256
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for entry in [value] if hasattr(value, "ListFields") else value:
                yield from blob_references(entry)


def test_tensors_with_the_same_bytes_share_a_blob() -> None:
    data = snnir.to_bytes(shared_tensors())
    found = independent_reader.read(data)["graph"]["nodes"][0]["parameters"]
    assert [tensor["blob"] for tensor in found.values()] == [0, 1, 0, 0, None, None]


def test_tensors_above_the_limit_are_blobs_and_no_others() -> None:
    found = independent_reader.read(snnir.to_bytes(blob_of_every_dtype()))
    for name, tensor in found["graph"]["nodes"][0]["parameters"].items():
        is_blob = len(tensor["bytes"]) > limits.INLINE_BYTES
        assert (tensor["blob"] is not None) == is_blob, name


@every_model
@pytest.mark.parametrize("cut", [0, 1, 4, 5, 7, 20, 38, 39, 45, -1])
def test_both_readers_refuse_a_part_of_a_file(make: Callable[[], Model], cut: int) -> None:
    data = snnir.to_bytes(make())[:cut]
    with pytest.raises(snnir.FormatError):
        snnir.loads(data)
    with pytest.raises(NotAModel):
        independent_reader.read(data)


def test_both_readers_refuse_a_changed_header() -> None:
    data = bytearray(snnir.to_bytes(network()))
    data[HEADER_START + 20] ^= 1
    with pytest.raises(snnir.FormatError, match=r"format\.header-digest"):
        snnir.loads(bytes(data))
    with pytest.raises(NotAModel, match="header digest"):
        independent_reader.read(bytes(data))


def test_both_readers_find_a_changed_blob() -> None:
    data = bytearray(snnir.to_bytes(blob_of_every_dtype()))
    data[-1] ^= 1
    findings = snnir.check(snnir.loads(bytes(data)))
    assert "format.blob-digest" in {finding.code for finding in findings}
    with pytest.raises(NotAModel, match="blob digest"):
        independent_reader.read(bytes(data))


# Writing ---------------------------------------------------------------------------------------


def foreign_header(blob: bytes) -> Any:
    """A network as another program would write it, with stock protobuf alone."""
    message = pb.Model(ir_version=1)
    message.producer.name = "another program"
    message.opsets.add(domain="snn", version=1)
    message.time.dt, message.time.steps = 1e-3, 4
    graph = message.graph
    graph.name = "foreign"
    entry = graph.inputs.add(name="x")
    entry.type.dtype, entry.type.timing = pb.DATA_TYPE_FLOAT32, pb.TIMING_PER_STEP
    entry.type.shape.add(size=50)
    dense = graph.nodes.add(name="dense", op="snn.Dense", output_ports=["y"])
    dense.inputs.add(port="x", value=0)
    weight = dense.parameters.add(name="weight").tensor
    weight.dtype = pb.DATA_TYPE_FLOAT32
    weight.shape.extend([50, 30])
    weight.blob.index = 0
    weight.blob.sha256 = hashlib.sha256(blob).digest()
    neuron = graph.nodes.add(name="neuron", op="snn.LIF", output_ports=["spikes"])
    neuron.inputs.add(port="current", value=1)
    neuron.inputs.add(port="current", value=2, delay_steps=1)
    neuron.attributes.add(name="refractory_steps", i=1)
    decay = neuron.parameters.add(name="decay").tensor
    decay.dtype, decay.inline = pb.DATA_TYPE_FLOAT32, struct.pack("<f", 0.5)
    graph.outputs.add(name="spikes", value=2)
    message.metadata.add(key="made by", value="hand")
    return message


WEIGHT = (np.arange(1500) % 17 / 16).astype("<f4").reshape(50, 30)


def assert_is_the_foreign_network(data: bytes) -> None:
    model = snnir.loads(data)
    assert snnir.check(model) == []
    dense, neuron = model.graph.nodes.values()
    assert np.array_equal(dense.parameters["weight"].numpy(), WEIGHT)
    assert neuron.inputs == [Binding("current", "dense:y"), Binding("current", "neuron:spikes", 1)]
    assert neuron.attributes == {"refractory_steps": 1}
    assert (model.producer.name, model.metadata) == ("another program", {"made by": "hand"})
    spikes = snnir.run(model, np.ones((1, 4, 50), np.float32))["spikes"]
    assert spikes.shape == (1, 4, 30) and spikes.any()


def test_a_file_made_by_concatenation_is_accepted() -> None:
    blob = WEIGHT.tobytes()
    header = foreign_header(blob).SerializeToString()
    tail = pb.Model(blobs=[blob]).SerializeToString()
    data = SIGNATURE + hashlib.sha256(header).digest() + header + tail
    (at, _) = independent_reader.scan(data)[1][0]
    assert at % 64, "this is about a blob that is not aligned"
    assert_is_the_foreign_network(data)
    independent_reader.read(data)


def test_a_file_made_in_one_piece_is_accepted() -> None:
    blob = WEIGHT.tobytes()
    message = foreign_header(blob)
    digest = hashlib.sha256(message.SerializeToString()).digest()
    message.magic, message.header_sha256 = 0x494E4E53, digest
    message.padding.extend([b"", bytes(100)])
    message.blobs.append(blob)
    data = message.SerializeToString()
    assert data.startswith(SIGNATURE + digest)
    assert_is_the_foreign_network(data)
    independent_reader.read(data)


def test_header_fields_may_come_in_any_order_and_in_pieces() -> None:
    blob = WEIGHT.tobytes()
    message = foreign_header(blob)
    names = ["graph", "metadata", "time", "opsets", "producer"]
    pieces = [pb.Model(ir_version=message.ir_version)]
    for name in names:
        value = getattr(message, name)
        pieces.append(pb.Model(**{name: value}))
    pieces.append(pb.Model(producer=pb.Producer(version="merged")))
    header = b"".join(piece.SerializeToString() for piece in pieces)
    tail = pb.Model(blobs=[blob]).SerializeToString()
    data = SIGNATURE + hashlib.sha256(header).digest() + header + tail
    assert_is_the_foreign_network(data)
    assert snnir.loads(data).producer == Producer("another program", "merged")


def test_blob_digests_may_be_absent() -> None:
    blob = WEIGHT.tobytes()
    message = foreign_header(blob)
    message.graph.nodes[0].parameters[0].tensor.blob.sha256 = b""
    header = message.SerializeToString()
    tail = pb.Model(blobs=[blob]).SerializeToString()
    assert_is_the_foreign_network(SIGNATURE + hashlib.sha256(header).digest() + header + tail)


# The specification ------------------------------------------------------------------------------


def worked_example() -> Model:
    """The model of section 8."""
    b = GraphBuilder("example", dt=1e-3, steps=10)
    x = b.input("x", [32], timing="per_step")
    current = b.snn.Dense(x, weight=np.full((32, 33), 0.5, np.float32), name="dense")
    b.output("spikes", b.snn.LIF(current, decay=0.5, refractory_steps=2, name="lif"))
    model = b.build()
    model.producer = Producer("example", "1")
    return model


@in_source_tree
def test_the_listing_in_the_specification_is_what_is_written_today() -> None:
    listing = SPEC.read_text("utf-8").partition("```text\n")[2].partition("```")[0]
    assert listing == independent_reader.listing(snnir.to_bytes(worked_example()))


@in_source_tree
def test_the_limits_in_the_specification_are_those_of_the_library() -> None:
    rows = re.findall(r"^\| (.+?) \| ([0-9^ -]+) \| `[a-z.-]+` \|$", SPEC.read_text("utf-8"), re.M)
    found = {re.split("[,:]", what)[0]: limit for what, limit in rows}
    assert found == {
        "bytes of the header": power(limits.MAX_HEADER_BYTES),
        "axes of a tensor or type": str(limits.MAX_RANK),
        "elements of a tensor or type": power(limits.MAX_ELEMENTS),
        "blobs": power(limits.MAX_BLOBS),
        "top-level fields from offset 39 on": power(limits.MAX_FIELDS),
        "characters of a domain in `opsets`": "64",
        "steps of delay of a binding": power(limits.MAX_DELAY_STEPS),
        "steps of a presentation": f"{power(limits.MAX_STEPS)} - 1",
        "characters of a name": "256",
    }
    for pattern, longest in ((limits.NAME, 256), (limits.DOMAIN, 64)):
        assert pattern.fullmatch("a" * longest) and not pattern.fullmatch("a" * (longest + 1))
        assert f"`{pattern.pattern}`" in SPEC.read_text("utf-8")
    assert f"at most {limits.INLINE_BYTES} bytes is inline" in SPEC.read_text("utf-8")
    assert f"multiple of {limits.BLOB_ALIGNMENT}" in SPEC.read_text("utf-8")


def power(number: int) -> str:
    assert number & (number - 1) == 0
    return f"2^{number.bit_length() - 1}"


@in_source_tree
def test_the_specification_names_every_code_that_a_reader_gives() -> None:
    named = set(re.findall(r"`((?:format|version|graph|value)\.[a-z-]+)`", SPEC.read_text("utf-8")))
    assert named <= CODES.keys()
    of_readers = {code for code in CODES if code.startswith(("format.", "version."))}
    assert of_readers - {"format.unfit"} <= named
