"""Stored examples: made from any run, replayed on any backend, the first difference named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnir
from snnir import plugins
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Close, Exact, Model
from snnir.ir.tensor import Tensor
from snnir.runtime.backend import Prepared
from snnir.runtime.reference import ReferenceBackend


def _model() -> Model:
    b = GraphBuilder("three", steps=12)
    x = b.input("x", [4])
    first = b.snn.IF(b.snn.ConstantCurrent(x), name="first")
    middle = b.snn.IF(b.snn.Dense(first, weight=np.eye(4, dtype=np.float32)), name="middle")
    last = b.snn.IF(b.snn.Dense(middle, weight=np.eye(4, dtype=np.float32)), name="last")
    b.output("count", b.snn.SpikeCount(last))
    return b.build()


X = np.array([[0.25, 0.5, 0.75, 1.0], [0.125, 0.0, 0.25, 0.5]])


def _with_example(**options: Any) -> Model:
    model = _model()
    model.examples["one"] = snnir.make_example(model, X, **options)
    return model


class _Strict:
    """A backend that is wrong in one place: the neurons ``middle`` compare with > ."""

    name = "strict"

    def prepare(self, model: Model, **options: Any) -> Prepared:
        wrong = snnir.loads(snnir.to_bytes(model))
        wrong.graph.nodes["middle"].attributes["compare"] = ">"
        return ReferenceBackend().prepare(wrong)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    original = plugins.load_optional

    def load(kind: str, name: str) -> Any:
        return _Strict if (kind, name) == ("backends", "strict") else original(kind, name)

    monkeypatch.setattr(plugins, "load_optional", load)


def test_an_example_survives_the_file_and_passes() -> None:
    model = snnir.loads(snnir.to_bytes(_with_example(record=["first:v", "middle"])))
    assert snnir.check(model) == []
    assert set(model.examples["one"].expected) == {"count", "first:v", "middle:spikes"}
    report = snnir.verify(model)
    assert report.passed and len(report.comparisons) == 3


def test_the_first_value_that_differs_is_named(strict: None) -> None:
    report = snnir.verify(_with_example(), "strict")
    assert not report.passed
    assert report.origin is not None
    assert report.origin.value == "middle:spikes"
    mismatch = report.origin.mismatch
    assert (mismatch.step, mismatch.sample, mismatch.index) == (0, 0, (3,))
    assert (mismatch.expected, mismatch.found) == ("1.0", "0.0")
    finding = report.diagnostics()[0]
    assert finding.code == "example.mismatch"
    for text in ("strict", "middle:spikes", "step 0", "sample 0", "[3]"):
        assert text in finding.where


def test_tolerance_is_declared(strict: None) -> None:
    model = _with_example(tolerance=Close(absolute=1.0))
    assert snnir.verify(model, "strict").passed
    model = _with_example(tolerance={"count": Close(absolute=1.0)}, record=["middle"])
    assert model.examples["one"].expected["middle:spikes"].tolerance == Exact()
    failed = [c.value for c in snnir.verify(model, "strict").comparisons if c.mismatch]
    assert failed == ["middle:spikes"]


def test_an_example_that_is_wrong_fails_on_the_reference() -> None:
    model = _with_example()
    example = model.examples["one"]
    wrong = example.expected["count"].tensor.numpy().copy()
    wrong[1, 2] += 1
    example.expected["count"] = type(example.expected["count"])(Tensor.from_array(wrong))
    report = snnir.verify(model)
    mismatch = report.comparisons[0].mismatch
    assert mismatch is not None
    assert (mismatch.step, mismatch.sample, mismatch.index) == (None, 1, (2,))


def test_raw_inputs_are_kept_raw() -> None:
    b = GraphBuilder(steps=4)
    x = b.input("x", [2], dtype="uint8", scale=1 / 256)
    b.output("n", b.snn.SpikeCount(b.snn.IF(b.snn.ConstantCurrent(x))))
    model = b.build()
    model.examples["raw"] = snnir.make_example(model, np.array([[64, 255]], np.uint8))
    assert model.examples["raw"].inputs["x"].dtype.label == "uint8"
    assert snnir.verify(snnir.loads(snnir.to_bytes(model))).passed


def test_nothing_to_verify_is_an_error() -> None:
    with pytest.raises(snnir.ModelError) as caught:
        snnir.verify(_model())
    assert caught.value.code == "example.none"
    with pytest.raises(snnir.ModelError, match="other"):
        snnir.verify(_with_example(), examples=["other"])


def test_an_unknown_backend_is_an_error() -> None:
    with pytest.raises(snnir.PluginError) as caught:
        snnir.verify(_with_example(), "abacus")
    assert caught.value.code == "plugin.unknown"
    assert "reference" in str(caught.value)
