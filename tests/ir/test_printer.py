"""The text form of a model."""

from __future__ import annotations

import numpy as np
import pytest

import snnir
from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import Model
from snnir.ir.printer import (
    format_attribute,
    format_model,
    format_node,
    format_quantization,
    format_tensor,
    format_type,
    quote,
)
from snnir.ir.tensor import MappedBytes, Tensor
from snnir.ir.types import DType, Quantization, Rounding, Timing, ValueType
from tests.cli.helpers import digits, digits_with_example, with_unknown_operator


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (Tensor.from_array(0.9), "0.9"),
        (Tensor.from_array(np.float32(1 / 3)), "0.33333334"),
        (Tensor.from_array(-0.0), "-0.0"),
        (Tensor.from_array(float("nan")), "nan"),
        (Tensor.from_array(np.float64(0.1)), "float64(0.1)"),
        (Tensor.from_array(np.float16(0.1)), "float16(0.1)"),
        (Tensor.from_array(1.5, DType.BFLOAT16), "bfloat16(1.5)"),
        (Tensor.from_array(3, DType.INT32), "int32(3)"),
        (Tensor.from_array(-8, DType.INT4), "int4(-8)"),
        (Tensor.from_array(np.True_), "true"),
        (Tensor.from_array(np.zeros((2, 3), np.float32)), "float32[2, 3]"),
        (Tensor.from_array(np.zeros((0,), np.float32)), "float32[0]"),
        (
            Tensor.from_array(np.int8(3), quantization=Quantization((0.5,), 8)),
            "int8(3) q8(scale=0.5)",
        ),
    ],
)
def test_tensors(tensor: Tensor, text: str) -> None:
    assert format_tensor(tensor) == text


def test_a_float32_is_printed_so_that_it_can_be_told_from_its_neighbours() -> None:
    rng = np.random.default_rng(0)
    for number in rng.standard_normal(200).astype(np.float32):
        assert np.float32(format_tensor(Tensor.from_array(number))) == number


def test_content_is_identified_only_on_request() -> None:
    tensor = Tensor.from_array(np.arange(4, dtype=np.float32))
    assert format_tensor(tensor, values=True) == f"float32[4]#{tensor.sha256().hex()[:8]}"


def test_a_scalar_that_lies_in_a_file_is_not_read() -> None:
    class Untouchable(MappedBytes):
        __slots__ = ()

        def view(self) -> memoryview:
            raise AssertionError("read")

    tensor = Tensor(DType.FLOAT32, (), Untouchable(b"", 0, 4, 0), sha256=bytes(range(32)))
    assert format_tensor(tensor) == "float32[]"
    assert format_tensor(tensor, values=True) == "float32[]#00010203"


@pytest.mark.parametrize(
    ("quantization", "text"),
    [
        (Quantization((0.25,), 8), "q8(scale=0.25)"),
        (Quantization((0.25,), 4, zero_point=(0,)), "q4(scale=0.25)"),
        (Quantization((0.25,), 4, zero_point=(3,), signed=False), "uq4(scale=0.25, zero_point=3)"),
        (
            Quantization((0.1, 0.2), 8, (1, 2), 0, True, Rounding.FLOOR, True),
            "q8(scale=[2], zero_point=[2], axis=0, floor, saturated)",
        ),
    ],
)
def test_quantisation(quantization: Quantization, text: str) -> None:
    assert format_quantization(quantization) == text


def test_types() -> None:
    assert format_type(ValueType(DType.FLOAT32, (), Timing.STATIC)) == "float32[]"
    symbolic = ValueType(DType.INT8, ("n", 3), Timing.PER_STEP, Quantization((0.5,), 8))
    assert format_type(symbolic) == "int8[n, 3] q8(scale=0.5) per step"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (0.1, "0.1"),
        ("same", '"same"'),
        ((), "[]"),
        ((1, 2), "[1, 2]"),
    ],
)
def test_attributes(value: bool | int | float | str | tuple[int, ...], text: str) -> None:
    assert format_attribute(value) == text


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("schön 二", '"schön 二"'),
        ("\x1b[31m\n\x7f\x9b\u202e", '"\\u001b[31m\\n\\u007f\\u009b\\u202e"'),
        ("\ud800", '"\\ud800"'),
    ],
)
def test_quoted_text_is_printable(text: str, quoted: str) -> None:
    assert quote(text) == quoted
    assert quote(text).isprintable()


def test_a_node_is_one_line() -> None:
    node = Node(
        "h",
        "snn.LIF",
        [Binding("current", "c:y"), Binding("current", "r:y", 2)],
        ("spikes", "v"),
        {"reset": "to_value"},
        {"threshold": Tensor.from_array(np.ones(128, np.float32)), "decay": Tensor.from_array(0.9)},
        source="fc1",
    )
    line = (
        "%h:spikes, %h:v = snn.LIF(current=[%c:y, %r:y @-2], decay=0.9, threshold=float32[128], "
        'reset="to_value")'
    )
    assert format_node(node) == f"{line}  # from layer 'fc1'"
    spikes = ValueType(DType.FLOAT32, (128,), Timing.PER_STEP)
    assert format_node(node, types={"h:spikes": spikes}) == (
        f"{line}  # float32[128] per step, unknown, from layer 'fc1'"
    )


def test_declared_types_stand_in_for_inferred_ones() -> None:
    model = with_unknown_operator(digits())
    lines = format_model(model).splitlines()
    (odd,) = (line for line in lines if line.startswith("%odd"))
    assert odd == (
        "%odd:y = nowhere.Neuron(x=%h:spikes, gain=1.5, gains=[1, 2], leaky=true)"
        "  # float32[3] per step"
    )


def test_the_text_does_not_depend_on_how_the_model_came_about() -> None:
    model = digits_with_example()
    again = snnir.loads(snnir.to_bytes(model))
    assert format_model(again) == format_model(model)
    assert format_model(again, values=True) == format_model(model, values=True)
    for node in again.graph.nodes.values():
        node.parameters = dict(reversed(node.parameters.items()))
        node.attributes = dict(reversed(node.attributes.items()))
    again.metadata = dict(reversed(again.metadata.items()))
    assert format_model(again) == format_model(model)


def test_nodes_keep_the_order_of_the_graph() -> None:
    model = digits()
    lines = [line for line in format_model(model).splitlines() if line.startswith("%")]
    assert [line.partition(":")[0][1:] for line in lines] == list(model.graph.nodes)


def test_an_empty_model_prints() -> None:
    text = format_model(Model(Graph(), {}))
    assert text.splitlines()[0].startswith("model main  # format 1, written by snnir ")
    assert text.splitlines()[1:] == ["time dt=0.001 s, steps=1"]


def test_names_that_the_format_does_not_allow_are_quoted() -> None:
    evil = "x\n%y = snn.IF()"
    value_type = ValueType(DType.FLOAT32, (2,), Timing.STATIC)
    graph = Graph(evil, [GraphInput(evil, value_type, layout=evil)])
    node = Node(evil, evil, [Binding(evil, evil)], (evil,), {evil: evil}, {}, source=evil)
    graph.nodes[evil] = node
    graph.outputs.append(GraphOutput(evil, f"{evil}:{evil}", (evil,)))
    model = Model(graph, {evil: 1}, metadata={evil: evil})
    lines = format_model(model).splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 11
    assert not any(line.startswith("%y") for line in lines)


def test_labels_are_filled_into_lines() -> None:
    model = digits()
    model.graph.outputs[0].labels = tuple(f"class number {i}" for i in range(100))
    lines = format_model(model).splitlines()
    labels = [line for line in lines if "class number" in line]
    assert max(map(len, labels)) <= 100
    assert labels[0].startswith('    labels "class number 0", ')
    joined = " ".join(line.strip() for line in labels)
    assert joined.removeprefix("labels ") == ", ".join(f'"class number {i}"' for i in range(100))


def test_many_nodes_print_in_linear_time() -> None:
    b = snnir.GraphBuilder()
    value = b.input("x", [1], timing="per_step")
    for _ in range(2000):
        value = b.snn.IF(value)
    b.output("y", value)
    text = format_model(b.build(), types=b.types)
    assert text.count("snn.IF") == 2000
