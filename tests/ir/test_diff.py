"""Structural differences between models."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.ir.diff import Change, diff
from snnir.ir.graph import Binding, GraphInput, GraphOutput, Node
from snnir.ir.model import Close, Example, Expected, Model, Producer, TimeBase
from snnir.ir.tensor import MappedBytes, Tensor
from snnir.ir.types import DType, Quantization, Timing, ValueType
from tests.cli.helpers import digits_with_example, large, with_unknown_operator


def base() -> Model:
    model = with_unknown_operator(digits_with_example())
    model.graph.inputs.append(GraphInput("unused", ValueType(DType.FLOAT32, ("n",), Timing.STATIC)))
    model.opsets["spare"] = 1
    return model


def edit(path: str, value: object) -> Callable[[Model], None]:
    """Sets one field of a model."""

    def apply(model: Model) -> None:
        *parents, last = path.split("/")
        target: object = model
        for name in parents:
            if isinstance(target, dict):
                target = target[name]
            elif isinstance(target, list):
                target = target[int(name)]
            else:
                target = getattr(target, name)
        if isinstance(target, dict):
            if value is None:
                del target[last]
            else:
                target[last] = value
        else:
            setattr(target, last, value)

    return apply


def scalar(value: float, dtype: DType = DType.FLOAT32) -> Tensor:
    return Tensor.from_array(np.float64(value), dtype)


def vector(*values: float) -> Tensor:
    return Tensor.from_array(np.array(values, np.float32))


def reorder(model: Model, what: str) -> None:
    getattr(model.graph, what).reverse()


H = "graph/nodes/h"
EXAMPLE = "examples/first"

EDITS: list[tuple[Callable[[Model], None], str]] = [
    (edit("time", TimeBase(2e-3, 8)), "~ time step: 0.001 s -> 0.002 s"),
    (edit("time", TimeBase(1e-3, 9)), "~ presentation length: 8 steps -> 9 steps"),
    (edit("opsets/nowhere", 4), "~ operator set 'nowhere': version 3 -> version 4"),
    (edit("opsets/nowhere", None), "- operator set 'nowhere': version 3"),
    (edit("graph/inputs/0/layout", "CHW"), '~ input \'image\', layout: "HWC" -> "CHW"'),
    (edit("graph/inputs/0/scale", None), "- input 'image', scale: 0.00390625"),
    (edit("graph/inputs/0/scale", scalar(2)), "~ input 'image', scale: 0.00390625 -> 2.0"),
    (edit("graph/inputs/1/scale", scalar(2)), "+ input 'unused', scale: 2.0"),
    (
        edit("graph/inputs/1/type", ValueType(DType.FLOAT32, ("m",), Timing.STATIC)),
        "~ input 'unused', type: float32[n] -> float32[m]",
    ),
    (lambda m: reorder(m, "inputs"), "~ order of inputs: image, unused -> unused, image"),
    (lambda m: m.graph.inputs.pop(), "- input 'unused': float32[n]"),
    (
        lambda m: reorder(m, "outputs"),
        "~ order of outputs: class, block/spikes, odd -> odd, block/spikes, class",
    ),
    (edit("graph/outputs/0/value", "h:v"), "~ output 'class', value: %count:y -> %h:v"),
    (
        edit("graph/outputs/0/labels", ("zero", "uno", "two")),
        '~ output \'class\', label 1: "one" -> "uno"',
    ),
    (
        edit("graph/outputs/0/labels", ()),
        "~ output 'class', labels: zero, one, two -> none",
    ),
    (
        lambda m: m.graph.outputs.append(GraphOutput("more", "fc1:y")),
        "+ output 'more': %fc1:y",
    ),
    (edit(f"{H}/op", "snn.ALIF"), "~ node 'h', operator: snn.LIF -> snn.ALIF"),
    (
        edit(f"{H}/inputs", [Binding("current", "fc1:y")]),
        "- node 'h', input 'current': %block/recurrent:y @-2",
    ),
    (
        edit(
            f"{H}/inputs", [Binding("current", "block/recurrent:y", 2), Binding("current", "fc1:y")]
        ),
        "~ node 'h', input 'current', order: %fc1:y, %block/recurrent:y @-2 -> "
        "%block/recurrent:y @-2, %fc1:y",
    ),
    (
        edit("graph/nodes/flat/inputs", [Binding("x", "unused")]),
        "~ node 'flat', input 'x': %image -> %unused",
    ),
    (
        edit("graph/nodes/odd/inputs", []),
        "- node 'odd', input 'x': %h:spikes",
    ),
    (edit(f"{H}/outputs", ("spikes", "v")), "~ node 'h', output ports: spikes -> spikes, v"),
    (edit(f"{H}/parameters/decay", scalar(0.75)), "~ node 'h', parameter 'decay': 0.5 -> 0.75"),
    (
        edit(f"{H}/parameters/decay", scalar(0.5, DType.FLOAT64)),
        "~ node 'h', parameter 'decay': 0.5 -> float64(0.5)",
    ),
    (edit(f"{H}/parameters/gain", scalar(2)), "~ node 'h', parameter 'gain': 1.0 (default) -> 2.0"),
    (
        edit(f"{H}/parameters/threshold", None),
        "~ node 'h', parameter 'threshold': float32[3] -> 1.0 (default)",
    ),
    (
        edit(f"{H}/parameters/lower_bound", scalar(-1)),
        "+ node 'h', parameter 'lower_bound': -1.0",
    ),
    (
        edit(f"{H}/parameters/threshold", vector(0.5, 1, 1.25)),
        "~ node 'h', parameter 'threshold': 1 of 3 elements differ, by at most 0.25, "
        "the first at [2]",
    ),
    (
        edit(f"{H}/parameters/threshold", vector(0.5, np.nan, np.inf)),
        "~ node 'h', parameter 'threshold': 2 of 3 elements differ, by at most inf or NaN "
        "against a number, the first at [1]",
    ),
    (
        edit(f"{H}/parameters/threshold", vector(0.5, 1)),
        "~ node 'h', parameter 'threshold': float32[3] -> float32[2]",
    ),
    (
        edit(f"{H}/attributes/reset", "none"),
        "~ node 'h', attribute 'reset': \"to_value\" -> \"none\"",
    ),
    (
        edit(f"{H}/attributes/reset", None),
        "~ node 'h', attribute 'reset': \"to_value\" -> \"subtract\" (default)",
    ),
    (
        edit(f"{H}/attributes/refractory_steps", 2),
        "~ node 'h', attribute 'refractory_steps': 0 (default) -> 2",
    ),
    (edit(f"{H}/attributes/mood", "good"), "+ node 'h', attribute 'mood': \"good\""),
    (edit("graph/nodes/odd/attributes/leaky", 1), "~ node 'odd', attribute 'leaky': true -> 1"),
    (
        edit("graph/nodes/odd/output_types", ()),
        "- node 'odd', declared types: float32[3] per step",
    ),
    (edit("graph/nodes/count", None), "- node 'count': %count:y = snn.SpikeCount(x=%h:spikes)"),
    (
        edit("graph/nodes/new", Node("new", "snn.IF", [], ("spikes",), {}, {})),
        "+ node 'new': %new:spikes = snn.IF()",
    ),
]

COSMETIC: list[tuple[Callable[[Model], None], str]] = [
    (edit("ir_version", 0), "~ format version: 1 -> 0"),
    (edit("producer", Producer("other", "")), "~ producer: golden 1.0 -> other"),
    (edit("opsets/spare", 2), "~ operator set 'spare': version 1 -> version 2"),
    (edit("opsets/extra", 1), "+ operator set 'extra': version 1"),
    (edit("metadata/dataset", "real"), '~ metadata \'dataset\': "made up" -> "real"'),
    (edit("metadata/{}", "{0}"), "+ metadata '{}': \"{0}\""),
    (edit("graph/name", "numbers"), '~ graph name: "digits" -> "numbers"'),
    (edit(f"{H}/source", "fc"), '~ node \'h\', source: "dense_1" -> "fc"'),
    (
        edit(f"{H}/output_types", (ValueType(DType.FLOAT32, (3,), Timing.PER_STEP),)),
        "+ node 'h', declared types: float32[3] per step",
    ),
    (edit(EXAMPLE, None), "- example 'first': 8 steps, block/spikes, class, h:v"),
    (
        edit("examples/{0}", Example({}, 3, {})),
        "+ example '{0}': 3 steps, none",
    ),
    (edit(f"{EXAMPLE}/steps", 9), "~ example 'first', steps: 8 -> 9"),
    (
        edit(f"{EXAMPLE}/origin", "table 3"),
        "~ example 'first', origin: \"backend 'reference'\" -> \"table 3\"",
    ),
    (edit(f"{EXAMPLE}/inputs/image", None), "- example 'first', input 'image': uint8[2, 2, 2, 1]"),
    (
        edit(f"{EXAMPLE}/expected/class", Expected(scalar(0))),
        "~ example 'first', expected 'class': float32[2, 3] -> 0.0",
    ),
]


def both(change: Callable[[Model], None]) -> tuple[Model, Model]:
    a, b = base(), base()
    change(b)
    return a, b


@pytest.mark.parametrize(("change", "text"), EDITS, ids=[text for _, text in EDITS])
def test_a_change_of_meaning(change: Callable[[Model], None], text: str) -> None:
    a, b = both(change)
    (found,) = diff(a, b)
    assert str(found) == text
    assert found.in_digest
    assert snnir.digest(a) != snnir.digest(b)


@pytest.mark.parametrize(("change", "text"), COSMETIC, ids=[text for _, text in COSMETIC])
def test_a_change_that_the_digest_does_not_cover(
    change: Callable[[Model], None], text: str
) -> None:
    a, b = both(change)
    (found,) = diff(a, b)
    assert str(found) == text
    assert not found.in_digest
    assert snnir.digest(a) == snnir.digest(b)


@pytest.mark.parametrize("change", [change for change, _ in EDITS + COSMETIC])
def test_the_reverse_is_the_reverse(change: Callable[[Model], None]) -> None:
    a, b = both(change)
    (there,), (back,) = diff(a, b), diff(b, a)
    assert (there.where, there.in_digest) == (back.where, back.in_digest)
    kinds = {"added": "removed", "removed": "added", "changed": "changed"}
    assert back.kind == kinds[there.kind]
    if there.before or there.kind != "changed":
        assert (there.before, there.after) == (back.after, back.before)


@pytest.mark.parametrize(
    "change",
    [
        edit(f"{H}/attributes/compare", ">="),
        edit(f"{H}/attributes/refractory_steps", 0),
        edit(f"{H}/parameters/gain", scalar(1)),
        edit(f"{H}/parameters/bias", scalar(0, DType.FLOAT64)),
        edit("findings", ("something",)),
        lambda m: m.graph.nodes.update(h=m.graph.nodes.pop("h")),
    ],
)
def test_what_makes_no_difference(change: Callable[[Model], None]) -> None:
    a, b = both(change)
    assert diff(a, b) == diff(b, a) == []
    assert snnir.digest(a) == snnir.digest(b)


def test_a_default_of_an_operator_that_is_not_built_in_does_not_count_as_absent() -> None:
    a, b = both(edit("graph/nodes/odd/parameters/gain", None))
    (found,) = diff(a, b)
    assert str(found) == "- node 'odd', parameter 'gain': 1.5"


def test_equal_models_do_not_differ() -> None:
    model = base()
    assert diff(model, model) == []
    assert diff(model, base()) == []
    assert diff(model, snnir.loads(snnir.to_bytes(model))) == []


def tensors(a: Tensor, b: Tensor) -> list[Change]:
    models = base(), base()
    for model, tensor in zip(models, (a, b), strict=True):
        model.graph.nodes["odd"].parameters["gain"] = tensor
    found = diff(*models)
    assert bool(found) == (snnir.digest(models[0]) != snnir.digest(models[1]))
    return found


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (vector(0.0, 1), vector(-0.0, 1), "1 of 2 elements differ, by at most 0, the first at [0]"),
        (vector(np.nan, 1), vector(np.nan, 1), None),
        (vector(np.inf, 1), vector(np.inf, 2), "1 of 2 elements differ, by at most 1, "),
        (
            Tensor.from_array(np.array([-128, 5], np.int8)),
            Tensor.from_array(np.array([127, 5], np.int8)),
            "1 of 2 elements differ, by at most 255, the first at [0]",
        ),
        (
            Tensor.from_array(np.array([np.iinfo(np.int64).min, 1])),
            Tensor.from_array(np.array([np.iinfo(np.int64).max, 2])),
            "2 of 2 elements differ, by at most 1.84467e+19, the first at [0]",
        ),
        (
            Tensor.from_array(np.array([1, -8, 3]), DType.INT4),
            Tensor.from_array(np.array([1, 7, 3]), DType.INT4),
            "1 of 3 elements differ, by at most 15, the first at [1]",
        ),
        (
            Tensor(DType.INT4, (1,), b"\x01"),
            Tensor(DType.INT4, (1,), b"\x11"),
            "the padding behind the last element differs",
        ),
        (
            Tensor.from_array(np.array([1.0, 2.0]), DType.BFLOAT16),
            Tensor.from_array(np.array([1.0, 2.5]), DType.BFLOAT16),
            "1 of 2 elements differ, by at most 0.5, the first at [1]",
        ),
        (
            Tensor.from_array(np.array([True, False])),
            Tensor.from_array(np.array([True, True])),
            "1 of 2 elements differ, the first at [1]",
        ),
        (
            Tensor.from_array(np.array([1, 2], np.int8), quantization=Quantization((0.5,), 8)),
            Tensor.from_array(np.array([1, 4], np.int8), quantization=Quantization((0.5,), 8)),
            "1 of 2 elements differ, by at most 2 (stored integers), the first at [1]",
        ),
        (Tensor.from_array(np.zeros((0, 2), np.float32)), vector(), "float32[0, 2] -> float32[0]"),
        (vector(), vector(), None),
    ],
)
def test_contents(a: Tensor, b: Tensor, text: str | None) -> None:
    found = tensors(a, b)
    assert len(found) == (text is not None)
    if text is not None:
        assert text in str(found[0])


def test_quantisation_and_content_are_told_apart() -> None:
    a = Tensor.from_array(np.array([1, 2], np.int8), quantization=Quantization((0.5,), 8))
    b = Tensor.from_array(
        np.array([1, 3], np.int8), quantization=Quantization((0.5, 0.25), 8, (), 0)
    )
    assert [str(change) for change in tensors(a, b)] == [
        "~ node 'odd', parameter 'gain', quantisation: q8(scale=0.5) -> "
        "q8(scale=[2], axis=0) with scales 0.25 to 0.5",
        "~ node 'odd', parameter 'gain': 1 of 2 elements differ, by at most 1 (stored integers), "
        "the first at [1]",
    ]


def test_several_edges_come_and_go() -> None:
    a, b = both(
        edit(f"{H}/inputs", [Binding("current", "flat:y"), Binding("current", "count:y", 1)])
    )
    assert sorted(map(str, diff(a, b))) == [
        "+ node 'h', input 'current': %count:y @-1",
        "+ node 'h', input 'current': %flat:y",
        "- node 'h', input 'current': %block/recurrent:y @-2",
        "- node 'h', input 'current': %fc1:y",
    ]


def test_the_order_of_ports_is_part_of_the_file() -> None:
    two = [Binding("a", "h:spikes"), Binding("b", "h:spikes")]
    a, b = base(), base()
    a.graph.nodes["odd"].inputs, b.graph.nodes["odd"].inputs = two, two[::-1]
    (found,) = diff(a, b)
    assert str(found) == "~ node 'odd', order of inputs: a, b -> b, a"
    assert snnir.digest(a) != snnir.digest(b)


def test_an_invalid_model_with_a_name_twice_can_be_compared() -> None:
    a, b = base(), base()
    b.graph.outputs.append(b.graph.outputs[0])
    (found,) = diff(a, b)
    assert str(found) == "+ output 'class#2': %count:y"


def test_equal_recorded_digests_are_believed_and_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        snnir.save(large(), tmp_path / name)
    a, b = snnir.load(tmp_path / "a"), snnir.load(tmp_path / "b")

    def view(_: MappedBytes) -> memoryview:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(MappedBytes, "view", view)
    assert diff(a, b) == []


def test_a_damaged_file_is_told_from_a_different_one(tmp_path: Path) -> None:
    other = large()
    weight = other.graph.nodes["fc"].parameters["weight"].numpy().copy()
    weight[0, 0] = 7
    other.graph.nodes["fc"].parameters["weight"] = Tensor.from_array(weight)
    snnir.save(large(), tmp_path / "a")
    snnir.save(other, tmp_path / "b")
    payload = weight.nbytes
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:-payload] + whole[-payload:])
    (found,) = diff(snnir.load(tmp_path / "a"), snnir.load(tmp_path / "b"))
    assert "one file is damaged" in str(found)


def test_memory_stays_bounded(tmp_path: Path) -> None:
    shape = (1024, 2048)
    for name, value in (("a", 0.0), ("b", 1.0)):
        b = snnir.GraphBuilder()
        x = b.input("x", [shape[0]], timing="per_step")
        b.output("y", b.snn.Dense(x, weight=np.full(shape, value, np.float32), name="fc"))
        snnir.save(b.build(), tmp_path / name)
    models = snnir.load(tmp_path / "a"), snnir.load(tmp_path / "b")
    diff(*models)
    tracemalloc.start()
    try:
        (found,) = diff(*models)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "2097152 of 2097152 elements differ, by at most 1" in str(found)
    assert peak < 4 << 20


def test_a_change_is_readable_and_serialisable() -> None:
    change = Change("node 'h'", "changed", "1", "2", in_digest=False)
    assert str(change) == "~ node 'h': 1 -> 2"
    assert change.to_json() == {
        "where": "node 'h'",
        "kind": "changed",
        "before": "1",
        "after": "2",
        "in_digest": False,
    }


def test_tolerances_of_examples_are_compared() -> None:
    a, b = both(
        lambda m: m.examples["first"].expected.update(
            {"h:v": Expected(m.examples["first"].expected["h:v"].tensor, Close(0.5))}
        )
    )
    (found,) = diff(a, b)
    assert found.where == "example 'first', expected 'h:v', tolerance"
