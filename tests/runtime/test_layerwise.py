"""The layerwise backend gives what the reference gives."""

from __future__ import annotations

import numpy as np
import pytest

from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.runtime import layerwise
from snnir.runtime.layerwise import LayerwiseBackend
from snnir.runtime.reference import ReferenceBackend
from snnir.testing.conformance import run_conformance
from snnir.testing.random_models import random_inputs, random_model


def test_conformance() -> None:
    report = run_conformance(LayerwiseBackend())
    assert report.passed, report.summary()
    assert not any(result.skipped for result in report.results)


@pytest.mark.parametrize("seed", range(25))
def test_random_models(seed: int) -> None:
    """Dyadic weights: sums are exact in any order, so every value is equal."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, nodes=14, recurrent=seed % 3 == 0)
    inputs = random_inputs(rng, model, samples=3)
    names = [value for node in model.graph.nodes.values() for value in node.values()]
    expected = ReferenceBackend().prepare(model).run(inputs, record=names)
    found = LayerwiseBackend().prepare(model).run(inputs, record=names)
    for name in names:
        assert np.array_equal(found[name], expected[name]), name
    assert found.backend == "layerwise"


def _deep() -> Model:
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return (rng.integers(-4, 6, shape) / 8).astype(np.float32)

    b = GraphBuilder(steps=9)
    x = b.input("x", [8, 8, 1])
    cells = b.snn.IF(
        b.snn.Conv2D(b.snn.ConstantCurrent(x), weight=weight(3, 3, 1, 4)), name="first"
    )
    skip = b.snn.AveragePool2D(cells, pool_size=[2, 2], name="pool")
    more = b.snn.IF(
        [b.snn.Conv2D(skip, weight=weight(3, 3, 4, 4), padding="same"), skip.delayed(2)],
        name="second",
    )
    b.output("y", b.snn.MeanPotential(b.snn.Dense(b.snn.Flatten(more), weight=weight(36, 3))))
    return b.build()


def test_states_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are independent, so it does not matter how many are run at a time."""
    monkeypatch.setattr(layerwise, "CHUNK_BYTES", 1)
    model = _deep()
    inputs = np.random.default_rng(1).integers(0, 9, (5, 8, 8, 1)) / 8
    names = ["first:v", "second:v", "pool", "constantcurrent1"]
    expected = ReferenceBackend().prepare(model).run(inputs, record=names)
    found = LayerwiseBackend().prepare(model).run(inputs, record=names)
    for name in [*names, "y"]:
        assert np.array_equal(found[name], expected[name]), name
