"""The builder: what does not fit is an error where it is added."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnir
from snnir import GraphBuilder, ModelError, Tensor
from snnir.errors import Diagnostic
from snnir.ir.builder import Value, as_tensor
from snnir.ir.graph import Binding
from snnir.ir.types import DType, Quantization, Timing, ValueType

EYE = np.eye(3, dtype=np.float32)


def started() -> tuple[GraphBuilder, Value]:
    b = GraphBuilder()
    return b, b.input("x", [3], timing="per_step")


def fails(code: str, function: Any, *arguments: Any, **options: Any) -> Diagnostic:
    """The finding of the error that a call raises; nothing is added by the call."""
    builder = getattr(function, "__self__", None)
    before = repr(builder.graph) if isinstance(builder, GraphBuilder) else ""
    with pytest.raises(ModelError) as caught:
        function(*arguments, **options)
    assert [finding.code for finding in caught.value.diagnostics] == [code]
    if isinstance(builder, GraphBuilder):
        assert repr(builder.graph) == before
    return caught.value.diagnostics[0]


def test_the_example_of_its_documentation() -> None:
    b = GraphBuilder("xor", dt=1e-3, steps=20)
    x = b.input("x", [2])
    current = b.snn.Dense(b.snn.ConstantCurrent(x), weight=np.eye(2, dtype=np.float32))
    spikes = b.snn.LIF(current, decay=0.9, name="neurons")
    b.output("counts", b.snn.SpikeCount(spikes))
    model = b.build()
    assert snnir.check(model) == []
    assert list(model.graph.nodes) == ["constantcurrent1", "dense1", "neurons", "spikecount1"]
    assert (model.graph.name, model.time.steps, model.opsets) == ("xor", 20, {"snn": 1})
    assert spikes == Value("neurons:spikes")


# Names ---------------------------------------------------------------------------------------


def test_default_names_are_unique_whatever_names_are_given() -> None:
    b, x = started()
    b.input("lif3", [3], timing="per_step")
    b.add("snn.LIF", x, decay=0.5, name="lif1")
    found = [b.add("snn.LIF", x, decay=0.5).name for _ in range(3)]
    assert found == ["lif2:spikes", "lif4:spikes", "lif5:spikes"]
    assert b.add("snn.IF", x).name == "if1:spikes"
    assert b.add("ann.Dense", x, weight=EYE).name == "dense1:y"
    assert b.add("snn.Dense", x, weight=EYE).name == "dense2:y"


def test_names_are_unique_and_allowed() -> None:
    b, x = started()
    b.add("snn.IF", x, name="n")
    fails("graph.duplicate-name", b.add, "snn.IF", x, name="n")
    fails("graph.duplicate-name", b.add, "snn.IF", x, name="x")
    fails("graph.duplicate-name", b.input, "x", [3])
    fails("graph.duplicate-name", b.input, "n", [3])
    for bad in ("a b", "1", "a:b", "é", "x" * 257):
        assert fails("graph.name", b.add, "snn.IF", x, name=bad).found.startswith("'")
        fails("graph.name", b.input, bad, [3])
        fails("graph.name", b.output, bad, x)
    fails("graph.name", b.input, "", [3])
    fails("graph.name", b.input, None, [3])
    b.output("out", x)
    fails("graph.duplicate-name", b.output, "out", x)


# Operators -----------------------------------------------------------------------------------


def test_unknown_operators() -> None:
    b, x = started()
    assert "snn.LIF" in fails("op.unknown", b.add, "snn.Lif", x).allowed
    assert "domains ann, snn" in fails("op.unknown", b.add, "acme.LIF", x).allowed
    fails("op.unknown", b.add, "LIF", x)
    fails("op.unknown", b.add, "", x)
    with pytest.raises(ModelError):
        b.snn.Nothing(x)
    with pytest.raises(ModelError):
        b.domain("acme").Neuron(x)
    with pytest.raises(AttributeError):
        _ = b.snn._private
    with pytest.raises(AttributeError):
        _ = b.other


def test_ports() -> None:
    b, x = started()
    assert fails("op.port", b.add, "snn.IF", x, x).found == "2 inputs"
    assert fails("op.port", b.add, "snn.IF").found == "0 bindings"
    assert fails("op.port", b.add, "ann.Dense", [x, x.delayed(1)], weight=EYE).found == "2 bindings"
    for wrong in (3, "x", "x:y", np.zeros(3), object(), [x, 3], ["x"], 1.5, b"x"):
        finding = fails("op.port", b.add, "snn.IF", wrong)
        assert "input 'current'" in finding.where
    fails("op.port", b.add, "snn.IF", current=7)


def test_inputs_by_place_by_name_and_several() -> None:
    b, x = started()
    y = b.input("y", [3], timing="per_step")
    names = [
        b.add("snn.IF", x, name="a"),
        b.add("snn.IF", current=x, name="b"),
        b.add("snn.IF", [x, y, x.delayed(2)], name="c"),
        b.add("snn.IF", (value for value in (x, y)), name="d"),
        b.add("snn.IF", x, current=y, name="e"),
    ]
    bindings = [b.graph.nodes[value.name.partition(":")[0]].inputs for value in names]
    one, two = Binding("current", "x"), Binding("current", "y")
    delayed = Binding("current", "x", 2)
    assert bindings == [[one], [one], [one, two, delayed], [one, two], [one, two]]


def test_attributes_and_parameters() -> None:
    b, x = started()
    assert "'decay'" in fails("op.parameter", b.add, "snn.LIF", x).where
    fails("op.attribute", b.add, "snn.IF", x, treshold=1.0)
    fails("op.attribute", b.add, "snn.IF", x, reset="never")
    fails("op.attribute", b.add, "snn.IF", x, refractory_steps=-1)
    fails("op.attribute", b.add, "snn.IF", x, refractory_steps=1.5)
    fails("type.shape", b.add, "snn.IF", x, threshold=[1.0, 2.0])
    fails("type.shape", b.add, "ann.Dense", x, weight=np.eye(4, dtype=np.float32))
    where = fails("type.dtype", b.add, "snn.IF", x, threshold="high", name="n").where
    assert where == "node 'n' (snn.IF), parameter 'threshold'"
    fails("type.dtype", b.add, "snn.IF", x, threshold=np.zeros(3, complex))
    fails("value.range", b.add, "snn.IF", x, threshold=1e60)
    b.add("snn.IF", x, threshold=None, reset=None, name="n")
    assert (b.graph.nodes["n"].attributes, b.graph.nodes["n"].parameters) == ({}, {})


def test_numbers_of_numpy_become_numbers() -> None:
    b, x = started()
    image = b.input("image", (np.int64(8), np.int32(8), 1), timing="per_step")
    b.add(
        "snn.Conv2D",
        image,
        weight=np.zeros((3, 3, 1, 2), np.float32),
        strides=np.array([2, 1]),
        dilations=[np.int64(1), 1],
        padding=np.str_("same"),
        name="conv",
    )
    attributes = b.graph.nodes["conv"].attributes
    assert attributes == {"strides": (2, 1), "dilations": (1, 1), "padding": "same"}
    strides, dilations = attributes["strides"], attributes["dilations"]
    assert isinstance(strides, tuple) and isinstance(dilations, tuple)
    assert {type(value) for value in (*strides, *dilations)} == {int}
    assert {type(dim) for dim in b.graph.inputs[1].type.shape} == {int}
    b.add("snn.IF", x, refractory_steps=np.int8(3), name="n")
    assert b.graph.nodes["n"].attributes == {"refractory_steps": 3}
    model = b.build()
    snnir.digest(model)
    assert snnir.loads(snnir.to_bytes(model)) == model


def test_lists_of_other_things_are_no_attributes() -> None:
    b, _ = started()
    image = b.input("image", [8, 8, 1], timing="per_step")
    weight = np.zeros((3, 3, 1, 2), np.float32)
    for wrong in ([1.5, 1], ["1", 1], [[1], 1], np.array([1.5, 2.0])):
        fails("op.attribute", b.add, "snn.Conv2D", image, weight=weight, strides=wrong)


def test_what_becomes_a_tensor() -> None:
    assert as_tensor(1).dtype is as_tensor([1, 2]).dtype is DType.FLOAT32
    assert as_tensor(np.float64(1)).dtype is DType.FLOAT64
    assert as_tensor(np.zeros(2, np.int8)).dtype is DType.INT8
    assert as_tensor([1, 2], DType.INT32).dtype is DType.INT32
    assert as_tensor(np.zeros(2, np.int64), DType.INT32).dtype is DType.INT64
    tensor = Tensor.from_array([1.0])
    assert as_tensor(tensor) is tensor
    b, x = started()
    quantised = Tensor.from_array(np.ones((3, 3), np.int8), None, Quantization((0.5,), 8))
    b.add("ann.Dense", x, weight=quantised, name="n")
    assert b.graph.nodes["n"].parameters["weight"] is quantised


# Edges ---------------------------------------------------------------------------------------


def test_dangling_edges() -> None:
    b, x = started()
    other = GraphBuilder().input("y", [3], timing="per_step")
    assert fails("graph.dangling-edge", b.add, "snn.IF", other).found == "value 'y'"
    fails("graph.dangling-edge", b.add, "snn.IF", Value("nobody:y"))
    fails("graph.dangling-edge", b.output, "out", other)
    b.add("snn.IF", x, name="n")
    fails("graph.dangling-edge", b.connect, other, "n", "current")
    fails("graph.dangling-edge", b.connect, x, "nobody", "current")


def test_duplicate_edges() -> None:
    b, x = started()
    fails("graph.duplicate-edge", b.add, "snn.IF", [x, x])
    spikes = b.add("snn.IF", [x, x.delayed(1)], name="n")
    fails("graph.duplicate-edge", b.connect, x, "n", "current", delay_steps=1)
    b.connect(spikes, "n", "current")
    fails("graph.duplicate-edge", b.connect, spikes, "n", "current")
    b.connect(spikes, "n", "current", delay_steps=2)


def test_delays() -> None:
    b, x = started()
    assert x.delayed(2).delayed(3) == Value("x", 5)
    for wrong in (-1, 1.5, "1", None):
        fails("graph.delay", x.delayed, wrong)
    b.add("snn.IF", x, name="n")
    for wrong in (-1, 0.5):
        fails("graph.delay", b.connect, x, "n", "current", delay_steps=wrong)
    static = b.input("s", [3])
    fails("graph.delay", b.add, "ann.ReLU", static.delayed(1))
    fails("graph.delay", b.output, "out", x.delayed(1))
    b.connect(x.delayed(1), "n", "current", delay_steps=np.int64(2))  # type: ignore[arg-type]
    assert b.graph.nodes["n"].inputs[-1] == Binding("current", "x", 3)


def test_a_recurrent_network() -> None:
    b, x = started()
    spikes = b.snn.LIF(x, decay=0.5, name="n")
    back = b.snn.Dense(spikes, weight=EYE)
    b.connect(back, "n", "current", delay_steps=1)
    b.output("out", spikes)
    assert snnir.check(b.build()) == []
    fails("op.port", b.connect, x, "n", "nothing")
    fails("op.port", b.connect, x, "dense1", "x")


def test_timing() -> None:
    b, x = started()
    static = b.input("s", [3])
    fails("type.timing", b.add, "snn.IF", static)
    fails("type.timing", b.add, "snn.ConstantCurrent", x)
    fails("type.timing", b.add, "ann.Add", [x, static])


# Inputs and the rest -------------------------------------------------------------------------


def test_inputs() -> None:
    b = GraphBuilder()
    b.input("a", ["n", 3], timing=Timing.PER_STEP, dtype=DType.UINT8, layout="HW")
    b.input("b", (), timing="PER_STEP", dtype="int16", scale=0.5, offset=[1, 2])
    first, second = b.graph.inputs
    assert first.type == ValueType(DType.UINT8, ("n", 3), Timing.PER_STEP)
    assert (first.layout, second.type) == ("HW", ValueType(DType.INT16, (), Timing.PER_STEP))
    assert second.scale == Tensor.from_array(0.5) and second.offset == Tensor.from_array([1.0, 2.0])
    assert b.types["b"] == ValueType(DType.FLOAT32, (), Timing.PER_STEP)
    assert "'per_step'" in fails("type.timing", b.input, "c", [], timing="sometimes").allowed
    assert "'int4'" in fails("type.dtype", b.input, "c", [], dtype="float8").allowed
    fails("type.shape", b.input, "c", [1.5])
    fails("type.shape", b.input, "c", [None])
    assert fails("type.dtype", b.input, "c", [], scale="x").where == "input 'c', scale"


def test_the_time_base() -> None:
    assert GraphBuilder(dt=np.float32(0.5), steps=np.int32(4)).time.steps == 4  # type: ignore[arg-type]
    fails("value.time", GraphBuilder, steps=1.5)


def test_several_faults_of_a_node_are_reported_together() -> None:
    b, x = started()
    with pytest.raises(ModelError) as caught:
        b.add("snn.LIF", x, treshold=1, reset="never")
    codes = sorted(finding.code for finding in caught.value.diagnostics)
    assert codes == ["op.attribute", "op.attribute", "op.parameter"]


def test_metadata_is_a_copy() -> None:
    metadata = {"author": "someone"}
    model = GraphBuilder(metadata=metadata).build()
    metadata.clear()
    assert model.metadata == {"author": "someone"}


def test_types_are_those_that_are_inferred() -> None:
    b, x = started()
    dense = b.snn.Dense(x, weight=np.zeros((3, 5), np.float32))
    count = b.snn.SpikeCount(b.snn.IF(dense))
    b.output("out", count, labels="abcde")
    model = b.build()
    assert b.types == snnir.infer(model)
    assert b.types[count.name] == ValueType(DType.FLOAT32, (5,), Timing.STATIC)
    assert model.graph.outputs[0].labels == ("a", "b", "c", "d", "e")
    assert snnir.check(model) == []
