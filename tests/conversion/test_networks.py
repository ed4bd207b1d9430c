"""Networks of every form convert, and what cannot is said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion.report import ConversionReport
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model

RNG = np.random.default_rng(0)
COUNT = 120


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.normal(0, 1, shape).astype(np.float32)


def converted(model: Model, data: Any, **options: Any) -> tuple[Model, ConversionReport]:
    found, report = snnir.convert(model, calibration=data, **{"steps": 8, **options})
    assert snnir.check(found) == []
    for backend in ("reference", "layerwise"):
        assert snnir.verify(snnir.loads(snnir.to_bytes(found)), backend).passed
    assert str(report) and report.to_json()
    assert {output.name for output in found.graph.outputs} == {a.output for a in report.final}
    return found, report


def test_no_activation_at_all() -> None:
    b = GraphBuilder()
    b.output("y", b.ann.Softmax(b.ann.Dense(b.input("x", [3]), weight=normal(3, 4))))
    _, report = converted(b.build(), normal(COUNT, 3))
    assert report.spikes == report.synaptic_operations == 0
    assert report.multiply_accumulates == report.original_multiply_accumulates == 12
    (final,) = report.final
    assert final.error < 1e-6 and final.agreement == 1.0


def two_inputs() -> Model:
    b = GraphBuilder()
    both = b.ann.Concat([b.input("a", [3]), b.input("b", [2])])
    hidden = b.ann.ReLU(b.ann.Dense(both, weight=normal(5, 6)))
    b.output("y", b.ann.Dense(hidden, weight=normal(6, 3)))
    return b.build()


def test_several_inputs() -> None:
    data = {"a": normal(COUNT, 3), "b": normal(COUNT, 2)}
    _, report = converted(two_inputs(), data, steps=64)
    assert report.final[0].error < 0.1
    with pytest.raises(snnir.RunError, match=r"convert\.calibration.*samples"):
        snnir.convert(two_inputs(), calibration={**data, "b": normal(9, 2)})
    with pytest.raises(snnir.RunError, match="without a name"):
        snnir.convert(two_inputs(), calibration=data["a"])


def test_lengths_that_only_the_data_tells() -> None:
    b = GraphBuilder()
    x = b.input("x", ["h", "w", 2])
    conv = b.ann.ReLU(b.ann.Conv2D(x, weight=normal(3, 3, 2, 4), padding="same"))
    b.output("y", b.ann.Dense(b.ann.GlobalAveragePool2D(conv), weight=normal(4, 3)))
    _, report = converted(b.build(), normal(COUNT, 5, 7, 2))
    # Height and width lose two connections each at the borders: (3 * 5 - 2) * (3 * 7 - 2).
    assert report.original_multiply_accumulates == 13 * 19 * 2 * 4 + 4 * 3


def test_a_class_for_every_place() -> None:
    b = GraphBuilder()
    hidden = b.ann.ReLU(b.ann.Conv2D(b.input("x", [4, 4, 2]), weight=normal(1, 1, 2, 4)))
    b.output("y", b.ann.Conv2D(hidden, weight=normal(1, 1, 4, 3)))
    model, data = b.build(), normal(COUNT, 4, 4, 2)
    labels = snnir.run(model, data)["y"].argmax(-1)
    _, report = converted(model, data, labels=labels, steps=64)
    (final,) = report.final
    assert final.original == 1.0 and final.spiking is not None and final.spiking > 0.9
    with pytest.raises(snnir.RunError, match=r"\[120, 4, 4\]"):
        snnir.convert(model, calibration=data, labels=labels[:, 0, 0])


def test_an_inner_value_as_an_output() -> None:
    b = GraphBuilder()
    hidden = b.ann.ReLU(b.input("x", [4]))
    b.output("inner", hidden)
    b.output("y", b.ann.Dense(hidden, weight=normal(4, 4)))
    converted(b.build(), normal(COUNT, 4))


@pytest.mark.parametrize(
    "data",
    [
        RNG.integers(-(2**31), 2**31, (COUNT, 3)),
        RNG.integers(0, 2, (COUNT, 3)).astype(bool),
        RNG.uniform(0, 1, (COUNT, 3)).astype(np.float16),
        RNG.uniform(0, 1, (COUNT, 3)) * 1e-40,
        np.zeros((COUNT, 3)),
    ],
)
def test_data_of_any_type_and_size(data: Any) -> None:
    b = GraphBuilder()
    hidden = b.ann.ReLU(b.ann.Dense(b.input("x", [3]), weight=normal(3, 4)))
    b.output("y", b.ann.Dense(hidden, weight=normal(4, 3)))
    converted(b.build(), data)


def test_a_layer_that_never_speaks() -> None:
    b = GraphBuilder()
    silent = b.ann.ReLU(b.ann.Dense(b.input("x", [3]), weight=np.zeros((3, 4), np.float32)))
    b.output("y", b.ann.Dense(silent, weight=normal(4, 4), bias=normal(4)))
    _, report = converted(b.build(), normal(COUNT, 3))
    assert report.spikes == 0 and report.final[0].error < 1e-6


def test_answers_that_are_not_finite_are_null_in_json() -> None:
    b = GraphBuilder()
    hidden = b.ann.ReLU(b.ann.Dense(b.input("x", [3]), weight=np.eye(3, dtype=np.float32)))
    huge = np.full((3, 4), 3e38, np.float32)
    b.output("y", b.ann.Dense(hidden, weight=huge))
    _, report = snnir.convert(b.build(), calibration=np.full((COUNT, 3), 0.9), method="data-norm")
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["accuracy"][-1]["error"] is None
    assert str(report)
