"""Each kind of finding: the smallest model that has it, and where it says that it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnir
from snnir import Model, ModelError, Tensor
from snnir.errors import Diagnostic, raise_errors
from snnir.ir.graph import Binding, GraphOutput, Node
from snnir.ir.model import Close, Example, Expected, Rate, SpikeShift, TimeBase
from snnir.ir.types import DType, Quantization
from tests.check.nets import (
    PER_STEP,
    STATIC,
    array,
    codes,
    lif,
    model,
    node,
    only,
    scalar,
    value_type,
)


def test_a_good_model_has_none() -> None:
    assert snnir.check(model(lif("n", "x"))) == []
    assert snnir.check(model(lif("n", "x", ("n:spikes", 1)), lif("m", "n:spikes"))) == []


# Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "1a", "a b", "a:b", "é", "a\n", "x" * 257, "-a", "a\x00"])
def test_names_that_are_not_allowed(name: str) -> None:
    found = snnir.check(model(lif(name, "x")))
    named = [f for f in found if f.code == "graph.name"]
    assert [(f.where, f.found) for f in named] == [("nodes", repr(name[:80]))]
    if ":" in name:  # the values of the node are then those of another
        return
    assert found == named
    only(model(lif("n", name), inputs={name: value_type(3)}), "graph.name", where="inputs")
    only(model(lif("n", "x"), outputs={name: "n:spikes"}), "graph.name", where="outputs")
    given = model(lif("n", "x"))
    given.graph.name = name
    only(given, "graph.name", where="graph")
    given = model(lif("n", "x"))
    given.examples[name] = good_example()
    only(given, "graph.name", where="examples")


@pytest.mark.parametrize("name", ["a", "_", "A.b/c-d", "x" * 256, "_1"])
def test_names_that_are_allowed(name: str) -> None:
    assert snnir.check(model(lif(name, "x"), outputs={name: f"{name}:spikes"})) == []


def test_names_within_a_node_of_an_operator_that_is_not_known() -> None:
    entry = node("n", "acme.Thing", {"in put": "x"}, "y 2z", **{"att r": 1, "par m": scalar(1)})
    entry.output_types = (value_type("a b"), value_type(1))
    found = snnir.check(model(entry, opsets={"acme": 1}))
    assert sorted(codes(found)) == ["graph.name"] * 5 + ["op.unknown-domain"]
    wheres = {finding.where for finding in found if finding.code == "graph.name"}
    items = ("inputs", "outputs", "attributes", "parameters", "output types")
    assert wheres == {f"node 'n', {item}" for item in items}


def test_a_symbol_that_is_no_name() -> None:
    given = model(lif("n", "x"), inputs={"x": value_type("")})
    only(given, "graph.name", where="input 'x', shape")


def test_names_that_are_used_twice() -> None:
    found = snnir.check(model(lif("x", "x"), outputs={"out": "x:spikes"}))
    assert ("graph.duplicate-name", "inputs and nodes", "'x'") in {
        (f.code, f.where, f.found) for f in found
    }
    given = model(lif("n", "x"))
    given.graph.outputs *= 2
    only(given, "graph.duplicate-name", where="outputs", found="'out'")
    entry = node("n", "acme.Thing", {"a": "x"}, "y y")
    found = snnir.check(model(entry, opsets={"acme": 1}))
    assert sorted(codes(found)) == ["graph.duplicate-name", "op.unknown-domain"]


def test_a_node_under_another_key() -> None:
    given = model(lif("n", "x"), outputs={"out": "n:spikes"})
    given.graph.nodes = {"key": given.graph.nodes["n"]}
    assert "graph.name" in codes(snnir.check(given))
    given.graph.nodes["n"] = given.graph.nodes["key"]
    assert "graph.duplicate-name" in codes(snnir.check(given))


# Edges ---------------------------------------------------------------------------------------


def test_a_dangling_edge() -> None:
    given = model(lif("n", "x", "nothing"), lif("m", "x", "n:other"), outputs={"o": "m:spikes"})
    found = [f for f in snnir.check(given) if f.code == "graph.dangling-edge"]
    assert [f.found for f in found] == ["value 'nothing'", "value 'n:other'"]
    assert found[0].where == "node 'n' (snn.LIF), input 'current'"


def test_a_dangling_output() -> None:
    given = model(lif("n", "x"), outputs={"good": "n:spikes", "bad": "n"})
    only(given, "graph.dangling-edge", where="output 'bad'", found="value 'n'")
    given = model(lif("n", "x"), outputs={"bad": "n"})
    assert codes(snnir.check(given)) == ["graph.dangling-edge"]


def test_a_duplicate_edge() -> None:
    given = model(lif("n", "x", "x"))
    only(given, "graph.duplicate-edge", where="node 'n' (snn.LIF), input 'current'", found="'x'")
    only(model(lif("n", "x", ("x", 2), ("x", 2))), "graph.duplicate-edge", found="'x @-2'")
    assert snnir.check(model(lif("n", "x", ("x", 1), ("x", 2)))) == []


def test_an_undelayed_cycle_is_named() -> None:
    given = model(lif("a", "x", "c:spikes"), lif("b", "a:spikes"), lif("c", "b:spikes"))
    found = only(given, "graph.undelayed-cycle").found
    assert found in {"a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"}
    only(model(lif("n", "x", "n:spikes")), "graph.undelayed-cycle", found="n -> n")


def test_every_undelayed_cycle_is_found_but_not_what_is_behind_it() -> None:
    given = model(
        lif("a", "x", "b:spikes"),
        lif("b", "a:spikes"),
        lif("c", "b:spikes", "d:spikes"),
        lif("d", "c:spikes"),
        lif("e", "d:spikes", ("e:spikes", 1)),
    )
    found = snnir.check(given)
    assert codes(found) == ["graph.undelayed-cycle"] * 2
    assert {frozenset(f.found.split(" -> ")) for f in found} == {
        frozenset("ab"),
        frozenset("cd"),
    }


def test_a_long_cycle_is_named_in_part() -> None:
    nodes = [lif(f"n{i}", f"n{i - 1}:spikes") for i in range(1, 1000)]
    given = model(lif("n0", "x", "n999:spikes"), *nodes)
    assert len(only(given, "graph.undelayed-cycle", found=" -> ...").found) < 200


def test_a_delay_in_the_cycle_makes_it_good() -> None:
    given = model(lif("a", "x", ("c:spikes", 1)), lif("b", "a:spikes"), lif("c", "b:spikes"))
    assert snnir.check(given) == []


@pytest.mark.parametrize("delay", [-1, (1 << 20) + 1, 1 << 40])
def test_a_delay_beyond_the_limits(delay: int) -> None:
    given = model(lif("n", "x", ("n:spikes", delay)))
    only(given, "graph.delay", where="input 'current'", found=f"{delay} steps")


def test_a_delayed_static_value() -> None:
    entry = node("n", "ann.ReLU", {"x": ("x", 3)})
    given = model(entry, inputs={"x": value_type(3, timing=STATIC)})
    only(given, "graph.delay", found="a delay of 3 steps on static value 'x'")


def test_an_unreachable_node() -> None:
    given = model(lif("n", "x"), lif("dead", "n:spikes"), outputs={"out": "n:spikes"})
    finding = only(given, "graph.unreachable", where="node 'dead' (snn.LIF)")
    assert finding.severity == "warning"
    given = model(
        lif("n", "x", ("back:spikes", 1)), lif("back", "n:spikes"), outputs={"o": "n:spikes"}
    )
    assert snnir.check(given) == []


def test_an_unused_input() -> None:
    given = model(lif("n", "x"), inputs={"x": value_type(3), "idle": value_type(1)})
    assert only(given, "graph.unused-input", where="input 'idle'").severity == "warning"
    assert snnir.check(model()) == []  # an input that is an output is used


def test_no_output() -> None:
    only(model(lif("n", "x"), outputs={}), "graph.no-output")


# Operators -----------------------------------------------------------------------------------


def test_an_unknown_operator() -> None:
    only(model(node("n", "snn.Nothing", {"x": "x"})), "op.unknown", found="'snn.Nothing'")


@pytest.mark.parametrize("op", ["", "LIF", "other.LIF", ".LIF", "a.b.C"])
def test_an_operator_of_a_domain_without_version(op: str) -> None:
    found = snnir.check(model(node("n", op, {"x": "x"})))
    assert codes(found) == ["op.opset", "op.unknown-domain"]


def test_a_domain_that_is_not_installed_is_a_warning() -> None:
    entry = node("n", "acme.Neuron", {"x": "x"}, threshold=scalar(-1))
    given = model(entry, opsets={"acme": 7})
    assert only(given, "op.unknown-domain", found="domain 'acme'").severity == "warning"


def test_an_operator_set_that_is_newer() -> None:
    given = model(lif("n", "x", decay=scalar(7)), opsets={"snn": 2})
    finding = only(given, "version.opset", found="domain 'snn' version 2", allowed="up to 1")
    assert finding.severity == "error"


def test_operator_sets_that_the_format_cannot_say() -> None:
    given = model(lif("n", "x"))
    given.opsets.update({"Upper": 1, "zero": 0})
    assert codes(snnir.check(given)) == ["graph.name", "value.range"]


def test_a_port_that_is_missing_unknown_or_taken_twice() -> None:
    only(model(lif("n"), outputs={"a": "n:spikes", "b": "x"}), "op.port", found="0 bindings")
    found = snnir.check(model(node("n", "snn.IF", {"current": "x", "other": "x"}, "spikes")))
    assert codes(found) == ["op.port"]
    entry = node("n", "ann.Dense", {"x": ["x", ("x", 1)]}, weight=array(*np.eye(3)))
    only(model(entry), "op.port", found="2 bindings", allowed="exactly one")


def test_outputs_that_the_operator_does_not_have() -> None:
    given = model(node("n", "snn.IF", {"current": "x"}, "spikes more"))
    only(given, "op.port", where="outputs", found="spikes, more", allowed="spikes")


def test_attributes() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"unknown": 1}, "an unknown attribute"),
        ({"reset": "never"}, "'never'"),
        ({"reset": 3}, "3"),
        ({"refractory_steps": -1}, "-1"),
        ({"refractory_steps": 1.5}, "1.5"),
        ({"refractory_steps": True}, "True"),
        ({"refractory_steps": 1 << 70}, "a number of 71 bits"),
        ({"refractory_steps": (1,)}, "(1,)"),
    ]
    for attributes, text in cases:
        only(model(lif("n", "x", **attributes)), "op.attribute", found=text)


def test_parameters() -> None:
    only(model(lif("n", "x", gamma=scalar(1))), "op.parameter", where="parameter 'gamma'")
    entry = lif("n", "x")
    entry.parameters.clear()
    only(model(entry), "op.parameter", where="parameter 'decay'", found="nothing")
    entry = lif("n", "x", decay=Tensor.from_array(np.array(1, np.int32)))
    only(model(entry), "type.dtype", where="parameter 'decay'", found="int32")


# Types ---------------------------------------------------------------------------------------


def test_shapes_of_parameters() -> None:
    only(model(lif("n", "x", threshold=array(1, 1))), "type.shape", where="parameter 'threshold'")
    entry = node("n", "ann.Dense", {"x": "x"}, weight=array(*np.eye(4)))
    only(model(entry), "type.shape", found="[4, 4]")
    only(model(lif("n", "x", threshold=array([1.0]))), "type.shape", found="[1, 1]")


def test_parameters_of_different_lengths_on_an_axis_of_any_length() -> None:
    entry = lif("n", "x", threshold=array(2, 2), reset_potential=array(0, 0, 0))
    only(model(entry, inputs={"x": value_type("n")}), "type.shape", where="'reset_potential'")
    entry = lif("n", "x", threshold=array(2, 2), reset_potential=array(0))
    assert snnir.check(model(entry, inputs={"x": value_type("n")})) == []


def test_values_that_do_not_add() -> None:
    given = model(lif("n", "x", "y"), inputs={"x": value_type(3), "y": value_type(2)})
    only(given, "type.shape", where="input 'current'", found="[3] and [2]")


def test_a_delayed_value_that_does_not_add() -> None:
    dense = node("d", "ann.Dense", {"x": "n:spikes"}, weight=array([1, 1], [1, 1], [1, 1]))
    given = model(lif("n", "x", ("d:y", 1)), dense)
    only(given, "type.shape", where="input 'current'", found="[2] from 'd:y'", allowed="[3]")


def test_a_delayed_value_known_before_is_reported_once() -> None:
    given = model(lif("n", "x", ("y", 1)), inputs={"x": value_type(3), "y": value_type(2)})
    only(given, "type.shape", where="input 'current'")


def test_element_types_of_values() -> None:
    given = model(lif("n", "x"), inputs={"x": value_type(3, dtype=DType.UINT8)})
    only(given, "type.dtype", where="input 'current'", found="uint8", allowed="float32")


def test_static_where_per_step_belongs_and_the_reverse() -> None:
    only(model(lif("n", "x"), inputs={"x": value_type(3, timing=STATIC)}), "type.timing")
    only(model(node("n", "snn.ConstantCurrent", {"x": "x"}, "current")), "type.timing")
    entry = node("n", "ann.Add", {"x": ["x", "y"]})
    given = model(entry, inputs={"x": value_type(3), "y": value_type(3, timing=STATIC)})
    only(given, "type.timing", found="'x' per_step and static", allowed="the same timing for all")


def test_a_decoder_that_feeds_an_encoder() -> None:
    given = model(
        lif("n", "x"),
        node("count", "snn.SpikeCount", {"x": "n:spikes"}),
        node("relu", "ann.ReLU", {"x": "count:y"}),
        node("again", "snn.ConstantCurrent", {"x": "relu:y"}, "current"),
    )
    only(given, "type.timing", where="node 'again'", found="'relu:y', which a decoder gives")


def declared(entry: Node, *types: Any) -> Node:
    entry.output_types = types
    return entry


def test_declared_types() -> None:
    good = model(declared(lif("n", "x"), value_type(3)))
    assert snnir.check(good) == []
    assert snnir.check(model(declared(lif("n", "x"), value_type("n")))) == []
    for wrong in (
        value_type(4),
        value_type(3, 1),
        value_type(3, timing=STATIC),
        value_type(3, dtype=DType.INT8),
    ):
        only(model(declared(lif("n", "x"), wrong)), "type.declared", found=f"declared {wrong}")
    given = model(declared(lif("n", "x"), value_type(3), value_type(3)))
    only(given, "type.declared", found="2 types")


def test_a_type_that_depends_on_itself() -> None:
    given = model(lif("a", ("b:spikes", 1)), lif("b", "a:spikes"), inputs={})
    found = [f for f in snnir.check(given) if f.code != "graph.unused-input"]
    assert codes(found) == ["type.open"]
    assert found[0].where in ("node 'a' (snn.LIF)", "node 'b' (snn.LIF)")
    closed = model(
        lif("a", ("b:spikes", 1)), declared(lif("b", "a:spikes"), value_type(3)), inputs={}
    )
    assert [f for f in snnir.check(closed) if f.code != "graph.unused-input"] == []


def test_a_declared_type_breaks_the_cycle_for_what_hangs_on_it() -> None:
    given = model(
        declared(lif("a", ("b:spikes", 1)), value_type(3)),
        lif("b", "a:spikes"),
        lif("wrong", "b:spikes", threshold=array(1, 1)),
    )
    found = [f for f in snnir.check(given) if f.code != "graph.unused-input"]
    assert codes(found) == ["type.shape"]


def test_a_port_that_concatenates_waits_for_its_delayed_values() -> None:
    concat = node("c", "ann.Concat", {"x": ["x", ("d:y", 1)]}, axis=0)
    dense = node("d", "ann.Dense", {"x": "x"}, weight=array([1, 1], [1, 1], [1, 1]))
    given = model(concat, dense, lif("n", "c:y"))
    assert snnir.check(given) == []
    assert snnir.infer(given)["n:spikes"] == value_type(5)


def test_lengths_of_at_least_one() -> None:
    for bad in ((0,), (-1,), (3, 0)):
        given = model(lif("n", "x"), inputs={"x": value_type(*bad)})
        assert "type.shape" in codes(snnir.check(given))


def test_types_above_the_limits() -> None:
    for shape in ((1,) * 17, (1 << 30, 1 << 30), ("n", 1 << 49)):
        given = model(lif("n", "x"), inputs={"x": value_type(*shape)})
        assert "type.shape" in codes(snnir.check(given))


def test_layout_has_a_letter_for_each_axis() -> None:
    given = model(lif("n", "x"))
    given.graph.inputs[0].layout = "HW"
    only(given, "type.shape", where="input 'x', layout")


def test_scale_and_offset_of_an_input() -> None:
    for good in (array(1, 2, 3), array(1), scalar(2)):
        given = model(lif("n", "x"))
        given.graph.inputs[0].scale = given.graph.inputs[0].offset = good
        assert snnir.check(given) == []
    for bad in (array(1, 2), array([1, 2, 3])):
        given = model(lif("n", "x"))
        given.graph.inputs[0].offset = bad
        if bad.shape == (1, 3):
            only(given, "type.shape", where="input 'x', offset", found="[1, 3]")
        else:
            only(given, "type.shape", where="input 'x', offset", found="[2]")
    given = model(lif("n", "x"))
    given.graph.inputs[0].scale = Tensor.from_array(np.array([1, 2, 3]))
    only(given, "type.dtype", where="input 'x', scale", found="int64")
    given.graph.inputs[0].scale = array(1, np.nan, 3)
    only(given, "value.not-finite", where="input 'x', scale", found="nan at index [1]")


def test_labels_are_as_many_as_classes() -> None:
    given = model(lif("n", "x"))
    given.graph.outputs = [GraphOutput("out", "n:spikes", ("a", "b", "c"))]
    assert snnir.check(given) == []
    given.graph.outputs = [GraphOutput("out", "n:spikes", ("a", "b"))]
    only(given, "type.shape", where="output 'out', labels", found="2 labels")
    given = model(lif("n", "x"), inputs={"x": value_type()})
    given.graph.outputs = [GraphOutput("out", "n:spikes", ("a",))]
    only(given, "type.shape", where="output 'out', labels")


# Values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_and_where(bad: float) -> None:
    weight = np.zeros((3, 40_000), np.float32)
    weight[2, 39_999] = bad
    entry = node("n", "ann.Dense", {"x": "x"}, weight=Tensor.from_array(weight))
    text = f"{bad} at index [2, 39999]"
    only(model(entry), "value.not-finite", where="parameter 'weight'", found=text)


def test_a_scalar_that_is_not_finite() -> None:
    only(model(lif("n", "x", decay=scalar(np.nan))), "value.not-finite", found="nan at index []")


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.FLOAT64, DType.BFLOAT16])
def test_every_type_of_float_is_looked_at(dtype: DType) -> None:
    tensor = Tensor.from_array(np.array([0.5, np.inf, 0.5], np.float32), dtype)
    only(model(lif("n", "x", decay=tensor)), "value.not-finite", found="inf at index [1]")


def test_a_decay_outside_its_range() -> None:
    for values, text in (((-0.25,), "-0.25"), ((0.5, 1.5, 1.0), "0.5 to 1.5"), ((2.0,), "2")):
        given = model(lif("n", "x", decay=array(*values)))
        only(given, "value.range", found=text, allowed=">= 0 and <= 1")
    for values in ((0.0,), (1.0,), (0.0, 0.5, 1.0)):
        assert snnir.check(model(lif("n", "x", decay=array(*values)))) == []


def test_a_threshold_that_is_not_above_the_reset_potential() -> None:
    for threshold, reset in ((1.0, 1.0), (-1.0, 0.0)):
        entry = lif("n", "x", threshold=scalar(threshold), reset_potential=scalar(reset))
        only(model(entry), "value.relation", where="parameter 'threshold'")
    entry = lif("n", "x", threshold=array(1, 1, 0.5), reset_potential=array(0, 0, 0.5))
    only(model(entry), "value.relation")


def test_a_bias_of_the_wrong_size() -> None:
    entry = node("n", "ann.Dense", {"x": "x"}, weight=array(*np.eye(3)), bias=array(1, 2))
    only(model(entry), "type.shape", where="parameter 'bias'", found="[2]", allowed="[3]")


def test_relations_are_not_looked_at_where_shapes_or_numbers_are_wrong() -> None:
    bad: dict[str, Any] = {"threshold": scalar(-1), "reset_potential": scalar(0)}
    only(model(lif("n", "x", **bad, bias=array(1, 2))), "type.shape")
    only(model(lif("n", "x", **bad, bias=scalar(np.nan))), "value.not-finite")
    only(model(declared(lif("n", "x", **bad, reset="never"), value_type(3))), "op.attribute")


def test_bytes_that_are_no_bool() -> None:
    entry = node("n", "acme.Thing", {"a": "x"}, mask=Tensor(DType.BOOL, (3,), b"\x00\x07\x01"))
    found = snnir.check(model(entry, opsets={"acme": 1}))
    assert codes(found) == ["op.unknown-domain", "value.range"]
    assert found[1].found == "a byte of 7"


def test_bits_behind_the_last_int4() -> None:
    for last, expected in ((b"\x07", []), (b"\x17", ["value.range"])):
        entry = node("n", "acme.Thing", {"a": "x"}, w=Tensor(DType.INT4, (3,), b"\x11" + last))
        found = snnir.check(model(entry, opsets={"acme": 1}))
        assert codes(found)[1:] == expected


def test_a_tensor_of_the_wrong_length() -> None:
    for data in (bytes(11), bytes(13), b""):
        entry = lif("n", "x", threshold=Tensor(DType.FLOAT32, (3,), data))
        only(model(entry), "format.length", found=f"{len(data)} bytes", allowed="12 bytes")


def quantised(dtype: DType = DType.INT8, values: Any = (1, -2, 3), **fields: Any) -> Tensor:
    quantization = Quantization(**{"scale": (0.125,), "bits": dtype.bits, **fields})
    return Tensor.from_array(np.array(values, np.int16), dtype, quantization)


def test_a_quantised_parameter() -> None:
    assert snnir.check(model(lif("n", "x", bias=quantised()))) == []
    assert snnir.check(model(lif("n", "x", bias=quantised(scale=(1.0, 2.0, 3.0), axis=0)))) == []


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"bits": 0}, "0 bits"),
        ({"bits": 9}, "9 bits"),
        ({"scale": ()}, "scale ()"),
        ({"scale": (0.0,)}, "scale (0.0,)"),
        ({"scale": (-1.0,)}, "scale (-1.0,)"),
        ({"scale": (float("inf"),)}, "scale (inf,)"),
        ({"scale": (float("nan"),)}, "scale (nan,)"),
        ({"scale": (1.0, 2.0)}, "2 scales without an axis"),
        ({"scale": (1.0, 2.0), "axis": 0}, "2 scales"),
        ({"axis": 1}, "axis 1"),
        ({"axis": -1}, "axis -1"),
        ({"zero_point": (1, 2)}, "2 zero points"),
        ({"bits": 2}, "-2 to 3"),
        ({"bits": 8, "signed": False}, "-2 to 3"),
    ],
)
def test_a_quantisation_that_does_not_fit(fields: dict[str, Any], found: str) -> None:
    only(model(lif("n", "x", bias=quantised(**fields))), "type.quantisation", found=found)


def test_a_quantisation_of_floats() -> None:
    tensor = Tensor.from_array(np.ones(3, np.float32), None, Quantization((1.0,), 8))
    only(model(lif("n", "x", bias=tensor)), "type.quantisation", found="dtype float32")


def test_a_quantisation_of_a_value() -> None:
    from snnir.ir.types import ValueType

    bad = ValueType(DType.INT8, (3,), PER_STEP, Quantization((1.0,), 9))
    entry = node("n", "acme.Thing", {"a": "x"})
    found = snnir.check(model(entry, inputs={"x": bad}, opsets={"acme": 1}))
    assert codes(found) == ["op.unknown-domain", "type.quantisation"]


def test_ranges_hold_for_what_quantised_elements_stand_for() -> None:
    good = quantised(values=(0, 4, 8))
    assert snnir.check(model(lif("n", "x", decay=good))) == []
    only(model(lif("n", "x", decay=quantised(values=(0, 4, 9)))), "value.range", found="0 to 1.125")
    per_axis = quantised(values=(0, 4, 8), scale=(0.125, 0.125, 0.25), axis=0)
    only(model(lif("n", "x", decay=per_axis)), "value.range", found="0 to 2")
    shifted = quantised(values=(0, 4, 8), zero_point=(8,))
    only(model(lif("n", "x", decay=shifted)), "value.range", found="-1 to 0")


def test_quantised_elements_that_stand_for_infinity() -> None:
    one = quantised(values=(0, 0, 100), scale=(1e300,))
    only(model(lif("n", "x", bias=one)), "value.not-finite", found="inf at index [2]")
    per_axis = quantised(values=(1, 1, -1), scale=(1.0, 1.0, 1e300), axis=0)
    only(model(lif("n", "x", bias=per_axis)), "value.not-finite", found="-inf at index [2]")


def test_the_time_base() -> None:
    for dt in (0.0, -1.0, float("nan"), float("inf")):
        only(model(lif("n", "x"), time=TimeBase(dt, 1)), "value.time", where="dt")
    for steps in (0, -5, 1 << 31):
        only(model(lif("n", "x"), time=TimeBase(1.0, steps)), "value.time", where="steps")


def test_metadata_and_version() -> None:
    only(model(lif("n", "x"), metadata={"": "x"}), "value.metadata")
    only(model(lif("n", "x"), ir_version=2), "version.ir")


# Examples ------------------------------------------------------------------------------------


def good_example(**changes: Any) -> Example:
    fields: dict[str, Any] = {
        "inputs": {"x": Tensor.from_array(np.zeros((2, 5, 3), np.float32))},
        "steps": 5,
        "expected": {
            "out": Expected(Tensor.from_array(np.zeros((2, 5, 3), np.float32))),
            "n:v": Expected(Tensor.from_array(np.zeros((2, 5, 3), np.float32))),
        },
    }
    return Example(**{**fields, **changes})


def with_example(**changes: Any) -> Model:
    given = model(lif("n", "x"))
    given.examples["e"] = good_example(**changes)
    return given


def zeros(*shape: int, dtype: str = "f4") -> Tensor:
    return Tensor.from_array(np.zeros(shape, dtype))


def test_a_good_example() -> None:
    assert snnir.check(with_example()) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"steps": 0}, "0"),
        ({"steps": 1 << 31}, "2147483648"),
        ({"inputs": {}}, "none"),
        ({"inputs": {"x": zeros(2, 5, 3), "y": zeros(1)}}, "'x', 'y'"),
        ({"inputs": {"x": zeros(2, 4, 3)}}, "[2, 4, 3]"),
        ({"inputs": {"x": zeros(2, 5, 4)}}, "[2, 5, 4]"),
        ({"inputs": {"x": zeros(5, 3)}}, "[5, 3]"),
        ({"inputs": {"x": zeros()}}, "[]"),
        ({"inputs": {"x": zeros(2, 5, 3, dtype="f8")}}, "float64"),
        ({"inputs": {"x": zeros(3, 5, 3)}}, "2, 3 samples"),
        ({"expected": {}}, "nothing"),
        ({"expected": {"other": Expected(zeros(2, 5, 3))}}, "no such value"),
        ({"expected": {"n": Expected(zeros(2, 5, 3))}}, "no such value"),
        ({"expected": {"n:w": Expected(zeros(2, 5, 3))}}, "no such value"),
        ({"expected": {"out": Expected(zeros(2, 5, 4))}}, "[2, 5, 4]"),
        ({"expected": {"out": Expected(zeros(2, 3))}}, "[2, 3]"),
        ({"expected": {"n:spikes": Expected(zeros(2, 4, 3))}}, "[2, 4, 3]"),
        ({"expected": {"out": Expected(zeros(2, 5, 3), Rate(-0.5))}}, "-0.5"),
        ({"expected": {"out": Expected(zeros(2, 5, 3), Rate(float("nan")))}}, "nan"),
        ({"expected": {"out": Expected(zeros(2, 5, 3), SpikeShift(-1))}}, "-1"),
        ({"expected": {"out": Expected(zeros(2, 5, 3), Close(0.0, float("inf")))}}, "inf"),
    ],
)
def test_an_example_that_does_not_fit(changes: dict[str, Any], found: str) -> None:
    only(with_example(**changes), "example.invalid", where="example 'e'", found=found)


def test_an_example_with_numbers_that_are_not_finite() -> None:
    bad = np.zeros((2, 5, 3), np.float32)
    bad[1, 4, 0] = np.nan
    given = with_example(inputs={"x": Tensor.from_array(bad)})
    only(given, "value.not-finite", where="example 'e', input 'x'", found="nan at index [1, 4, 0]")


def test_long_lists_of_names_are_cut_short() -> None:
    names = {f"x{i:03}": zeros(2, 5, 3) for i in range(500)}
    found = only(with_example(inputs=names), "example.invalid").found
    assert found.startswith("'x000', 'x001'") and found.endswith("'x007', ...")


# Together ------------------------------------------------------------------------------------


def test_ten_faults_are_ten_findings() -> None:
    weight = array(*np.eye(3))
    given = model(
        lif("cycle_a", "x", "cycle_b:spikes"),
        lif("cycle_b", "cycle_a:spikes"),
        lif("decay", "x", decay=scalar(3)),
        lif("dangling", "decay:spikes", "nobody:y"),
        node("bias", "ann.Dense", {"x": "x"}, weight=weight, bias=array(1, 2)),
        node("nan", "ann.Dense", {"x": "x"}, weight=array(*np.diag([1, np.nan, 1]))),
        lif("twice", "nan:y", "nan:y", unknown=1),
        node("static", "snn.ConstantCurrent", {"x": "x"}, "current"),
        node("what", "snn.What", {"x": "x"}),
        lif("dead", "x", threshold=scalar(-1)),
        outputs={
            f"o{i}": value
            for i, value in enumerate(
                [
                    "cycle_b:spikes",
                    "dangling:spikes",
                    "bias:y",
                    "twice:spikes",
                    "static:current",
                    "what:y",
                ]
            )
        },
        time=TimeBase(0.0, 1),
    )
    found = snnir.check(given)
    assert sorted((f.code, f.where.partition(",")[0]) for f in found) == [
        ("graph.dangling-edge", "node 'dangling' (snn.LIF)"),
        ("graph.duplicate-edge", "node 'twice' (snn.LIF)"),
        ("graph.undelayed-cycle", "graph"),
        ("graph.unreachable", "node 'dead' (snn.LIF)"),
        ("op.attribute", "node 'twice' (snn.LIF)"),
        ("op.unknown", "node 'what'"),
        ("type.shape", "node 'bias' (ann.Dense)"),
        ("type.timing", "node 'static' (snn.ConstantCurrent)"),
        ("value.not-finite", "node 'nan' (ann.Dense)"),
        ("value.range", "node 'decay' (snn.LIF)"),
        ("value.relation", "node 'dead' (snn.LIF)"),
        ("value.time", "time base"),
    ]
    with pytest.raises(ModelError) as caught:
        raise_errors(found)
    assert list(caught.value.diagnostics) == found


def test_several_faults_of_one_node_are_all_found() -> None:
    entry = node("n", "snn.LIF", {"other": "x"}, "wrong", reset="never", more=1, gamma=scalar(1))
    found = snnir.check(model(entry))
    assert sorted(codes(found)) == ["op.attribute"] * 2 + ["op.parameter"] * 2 + ["op.port"] * 3


def test_a_node_behind_a_bad_one_is_checked_for_what_can_be_known() -> None:
    given = model(node("bad", "snn.What", {"x": "x"}), lif("n", "bad:y", reset="never"))
    assert codes(snnir.check(given)) == ["op.unknown", "op.attribute"]


def test_findings_name_the_layer_that_a_node_came_from() -> None:
    entry = lif("n", "x", decay=scalar(2))
    entry.source = "dense_7"
    finding = only(model(entry), "value.range")
    assert finding.source == "dense_7"
    assert "(from layer 'dense_7')" in str(finding)


def test_findings_never_carry_control_characters_to_a_terminal() -> None:
    given = model(lif("\x1b[2Jn\r\n", "x", decay=scalar(2)))
    found = snnir.check(given)
    assert sorted(codes(found)) == ["graph.name", "value.range"]
    assert all(str(f).isprintable() for f in found)
    assert "\\x1b[2Jn\\r\\n" in str(found[-1])


def test_without_values_no_weight_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = with_example()
    given.graph.nodes["n"].parameters["decay"] = scalar(2)
    given.graph.inputs[0].scale = scalar(np.nan)

    def never(self: Tensor) -> None:
        raise AssertionError("a tensor was read")

    with monkeypatch.context() as patch:
        for method in ("raw", "numpy", "chunks", "values", "sha256", "verify"):
            patch.setattr(Tensor, method, never)
        assert snnir.check(given, values=False) == []
    assert codes(snnir.check(given)) == ["value.not-finite", "value.range"]


def test_what_a_reader_reported_comes_first() -> None:
    given = model(lif("n", "x", decay=scalar(2)))
    given.findings = (Diagnostic("format.unknown-field", "Model", "field 99", "known fields"),)
    assert codes(snnir.check(given)) == ["format.unknown-field", "value.range"]


def test_bindings_keep_their_order() -> None:
    entry = lif("n", "x", ("x", 2), ("x", 1))
    assert entry.bindings("current") == [
        Binding("current", "x"),
        Binding("current", "x", 2),
        Binding("current", "x", 1),
    ]
