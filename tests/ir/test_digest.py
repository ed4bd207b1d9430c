"""The digest: the same for the same meaning, another for another."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import snnir
from snnir import Model, Tensor, plugins
from snnir.errors import Diagnostic
from snnir.ir.graph import Binding, GraphInput, GraphOutput, Node
from snnir.ir.model import Producer, TimeBase
from snnir.ir.types import DType, Quantization, Rounding, Timing, ValueType
from snnir.ops import registry
from tests.check.nets import array, lif, node, scalar
from tests.serde.craft import numbers, rich_model


def model() -> Model:
    """A model with a second node of the built-in domains, so that there is an order to change."""
    given = rich_model()
    given.graph.nodes["other"] = lif("other", "spikes", "lif:spikes", reset_potential=scalar(0.25))
    return given


DIGEST = snnir.digest(model())

Change = Callable[[Model], object]


def changed(change: Change) -> str:
    given = model()
    change(given)
    return snnir.digest(given)


def lif_of(given: Model) -> Node:
    return given.graph.nodes["lif"]


def foreign(given: Model) -> Node:
    return given.graph.nodes["block/foreign"]


def test_a_digest_is_a_sha256_in_hexadecimal() -> None:
    assert len(DIGEST) == 64
    assert int(DIGEST, 16)
    assert snnir.digest(model()) == DIGEST


def test_the_digest_of_a_model_never_changes_between_releases() -> None:
    weight = Tensor.from_array(np.arange(4, dtype=np.float32).reshape(2, 2))
    small = Model(
        snnir.ir.graph.Graph(
            "main",
            [GraphInput("x", ValueType(DType.FLOAT32, (2,), Timing.PER_STEP))],
            {
                "d": node("d", "ann.Dense", {"x": "x"}, weight=weight),
                "n": lif("n", "d:y", ("n:spikes", 1), reset="to_value"),
            },
            [GraphOutput("out", "n:spikes", ("a", "b"))],
        ),
        {"ann": 1, "snn": 1},
        TimeBase(1e-3, 10),
    )
    assert snnir.digest(small) == PINNED


PINNED = "44efa88f21f3c8deaebc90cd0defaf50fa9714bb80ed1bf395b85506e01cb3c5"


def test_it_is_that_of_the_file() -> None:
    data = snnir.to_bytes(model())
    assert snnir.digest(snnir.loads(data)) == DIGEST
    assert snnir.digest(snnir.loads(snnir.to_bytes(model(), digests=False))) == DIGEST


def test_the_order_of_nodes_does_not_count() -> None:
    def shuffle(given: Model) -> None:
        entries = list(given.graph.nodes.items())
        random.Random(3).shuffle(entries)
        given.graph.nodes = dict(entries)

    assert changed(shuffle) == DIGEST


def reorder(given: Model) -> None:
    for entry in given.graph.nodes.values():
        entry.attributes = dict(reversed(entry.attributes.items()))
        entry.parameters = dict(reversed(entry.parameters.items()))
    given.opsets = dict(reversed(given.opsets.items()))


SAME: list[Change] = [
    reorder,
    lambda m: m.metadata.clear(),
    lambda m: m.examples.clear(),
    lambda m: setattr(m, "producer", Producer("other", "9")),
    lambda m: setattr(m, "findings", (Diagnostic("format.unknown-field", "", "", ""),)),
    lambda m: setattr(m.graph, "name", "another"),
    lambda m: [setattr(entry, "source", "x") for entry in m.graph.nodes.values()],
    lambda m: m.opsets.update(unused=3, ann=1),
    # Defaults that are written out
    lambda m: lif_of(m).attributes.update(compare=">=", refractory_mode="hold"),
    lambda m: lif_of(m).parameters.update(bias=scalar(0), gain=scalar(1)),
    lambda m: lif_of(m).parameters.update(reset_potential=Tensor.from_array(np.float64(0))),
    # Types that follow
    lambda m: setattr(
        lif_of(m), "output_types", (ValueType(DType.FLOAT32, (4,), Timing.PER_STEP),)
    ),
    # The same numbers from elsewhere
    lambda m: foreign(m).parameters.update(
        big=Tensor(DType.FLOAT32, (1200,), np.arange(1200, dtype="f4").tobytes())
    ),
    lambda m: setattr(m, "time", TimeBase(np.float64(5e-4), np.int64(7))),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("change", SAME)
def test_what_has_no_meaning_does_not_count(change: Change) -> None:
    assert changed(change) == DIGEST


def quantised(**fields: Any) -> Change:
    def change(given: Model) -> None:
        old = foreign(given).parameters["quantised"]
        assert old.quantization is not None
        foreign(given).parameters["quantised"] = Tensor.from_array(
            old.numpy(), old.dtype, replace(old.quantization, **fields)
        )

    return change


def typed(index: int, **fields: Any) -> Change:
    def change(given: Model) -> None:
        entry = given.graph.inputs[index]
        entry.type = replace(entry.type, **fields)

    return change


def declared(**fields: Any) -> Change:
    def change(given: Model) -> None:
        first, second = foreign(given).output_types
        foreign(given).output_types = (first, replace(second, **fields))

    return change


def rename_node(given: Model) -> None:
    entry = given.graph.nodes.pop("other")
    entry.name = "another"
    given.graph.nodes["another"] = entry


def swap_bindings(given: Model) -> None:
    lif_of(given).inputs.reverse()


def swap_outputs(given: Model) -> None:
    given.graph.outputs.reverse()


DIFFERENT: dict[str, Change] = {
    "opset version": lambda m: m.opsets.update(acme=4),
    "opset missing": lambda m: m.opsets.pop("acme"),
    "dt": lambda m: setattr(m, "time", replace(m.time, dt=1e-3)),
    "steps": lambda m: setattr(m, "time", replace(m.time, steps=8)),
    "input name": lambda m: setattr(m.graph.inputs[0], "name", "picture"),
    "input dtype": typed(1, dtype=DType.FLOAT64),
    "input shape": typed(1, shape=(5,)),
    "input symbol": typed(0, shape=("width", 4)),
    "input rank": typed(1, shape=(4, 1)),
    "input timing": typed(1, timing=Timing.STATIC),
    "input quantisation": typed(0, quantization=None),
    "input quantisation bits": typed(0, quantization=Quantization((0.5,), 7, (3,))),
    "scale": lambda m: setattr(m.graph.inputs[0], "scale", numbers(4, start=2)),
    "scale absent": lambda m: setattr(m.graph.inputs[0], "scale", None),
    "scale and offset": lambda m: (
        setattr(m.graph.inputs[0], "offset", m.graph.inputs[0].scale),
        setattr(m.graph.inputs[0], "scale", m.graph.inputs[0].offset),
    ),
    "offset": lambda m: setattr(m.graph.inputs[0], "offset", scalar(3)),
    "layout": lambda m: setattr(m.graph.inputs[0], "layout", "WH"),
    "inputs": lambda m: m.graph.inputs.reverse(),
    "output name": lambda m: setattr(m.graph.outputs[0], "name", "classes"),
    "output value": lambda m: setattr(m.graph.outputs[0], "value", "lif:spikes"),
    "labels": lambda m: setattr(m.graph.outputs[0], "labels", ("a", "b", "c", "e")),
    "no labels": lambda m: setattr(m.graph.outputs[0], "labels", ()),
    "outputs": swap_outputs,
    "fewer outputs": lambda m: m.graph.outputs.pop(),
    "node name": rename_node,
    "one node less": lambda m: m.graph.nodes.pop("other"),
    "operator": lambda m: setattr(m.graph.nodes["other"], "op", "snn.IF"),
    "operator of another domain": lambda m: setattr(foreign(m), "op", "other.Mixer"),
    "port": lambda m: foreign(m).inputs.__setitem__(0, Binding("c", "image")),
    "source": lambda m: foreign(m).inputs.__setitem__(0, Binding("a", "spikes")),
    "delay": lambda m: foreign(m).inputs.__setitem__(1, Binding("b", "lif:spikes", 2)),
    "order of edges": swap_bindings,
    "one edge less": lambda m: lif_of(m).inputs.pop(),
    "ports out": lambda m: setattr(foreign(m), "outputs", ("second", "first")),
    "attribute": lambda m: lif_of(m).attributes.update(refractory_steps=4),
    "attribute back to its default": lambda m: lif_of(m).attributes.pop("reset"),
    "attribute of another type": lambda m: foreign(m).attributes.update(i=-3.0),
    "attribute true or 1": lambda m: foreign(m).attributes.update(flag=1),
    "attribute list": lambda m: foreign(m).attributes.update(ints=(1, -2)),
    "attribute list or text": lambda m: foreign(m).attributes.update(ints="1, -2, 3"),
    "attribute name": lambda m: foreign(m).attributes.update(t=foreign(m).attributes.pop("s")),
    "attribute that equals a default elsewhere": lambda m: foreign(m).attributes.update(
        compare=">="
    ),
    "parameter": lambda m: lif_of(m).parameters.update(decay=scalar(0.25)),
    "parameter added": lambda m: lif_of(m).parameters.update(bias=scalar(0.5)),
    "parameter of zeros for each element": lambda m: lif_of(m).parameters.update(
        bias=array(0, 0, 0, 0)
    ),
    "parameter shape": lambda m: foreign(m).parameters.update(small=numbers(4)),
    "parameter dtype": lambda m: foreign(m).parameters.update(
        small=Tensor.from_array(numbers(2, 2).numpy(), DType.FLOAT64)
    ),
    "parameter of the same bytes": lambda m: foreign(m).parameters.update(
        small=Tensor.from_array(numbers(2, 2).numpy().view(np.int32))
    ),
    "a bit of a large parameter": lambda m: foreign(m).parameters.update(
        big=Tensor.from_array(np.nextafter(np.arange(1200, dtype="f4"), np.float32(9e9)))
    ),
    "negative zero": lambda m: lif_of(m).parameters.update(threshold=array(-0.0, 1, 1, 1)),
    "quantisation scale": quantised(scale=(0.5, 0.125)),
    "quantisation zero point": quantised(zero_point=(1, 1)),
    "quantisation no zero point": quantised(zero_point=()),
    "quantisation axis": quantised(axis=1),
    "quantisation bits": quantised(bits=5),
    "quantisation signed": quantised(signed=False),
    "quantisation rounding": quantised(rounding=Rounding.FLOOR),
    "quantisation saturated": quantised(saturated=False),
    "declared shape": declared(shape=(5,)),
    "declared timing": declared(timing=Timing.STATIC),
    "declared dtype": declared(dtype=DType.INT8),
    "declared nothing": lambda m: setattr(foreign(m), "output_types", ()),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_whatever_has_a_meaning_counts(name: str) -> None:
    assert changed(DIFFERENT[name]) != DIGEST


def test_no_two_changes_have_the_same_digest() -> None:
    found = {name: changed(change) for name, change in DIFFERENT.items()}
    assert len(set(found.values())) == len(found)


def test_a_float_may_be_stored_as_an_integer() -> None:
    def of(slope: float) -> str:
        given = model()
        given.graph.nodes["r"] = node("r", "ann.LeakyReLU", {"x": "spikes"}, negative_slope=slope)
        return snnir.digest(given)

    assert of(2) == of(2.0) != of(3)


def test_parts_cannot_be_moved_from_one_text_to_another() -> None:
    one, other = model(), model()
    one.graph.outputs[0].labels = ("ab", "c")
    other.graph.outputs[0].labels = ("a", "bc")
    assert snnir.digest(one) != snnir.digest(other)


def test_plugins_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that knows defaults of its own must not change what a file means."""
    from snnir.ops.schema import Attribute
    from tests.check.test_plugins import operator

    known = operator(name="Mixer", attributes=(Attribute("i", "A number.", "int", default=-3),))
    original = plugins.load_optional
    monkeypatch.setattr(
        plugins,
        "load_optional",
        lambda kind, name: [known] if name == "acme" else original(kind, name),
    )
    registry.refresh()
    try:
        assert registry.find("acme.Mixer") is known
        assert snnir.digest(model()) == DIGEST
    finally:
        monkeypatch.undo()
        registry.refresh()


def test_any_text_has_a_digest() -> None:
    given = model()
    given.graph.outputs[0].labels = ("\ud800", "\x00", "é", "")
    assert snnir.digest(given) != DIGEST


def test_the_model_is_not_changed() -> None:
    given = model()
    before = copy.deepcopy(given)
    snnir.digest(given)
    assert given == before
