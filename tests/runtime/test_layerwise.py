"""The layerwise backend gives what the reference gives."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnir.errors import CapabilityError, RunError
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.runtime import layerwise
from snnir.runtime.backend import state_names
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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 3), st.integers(0, 3000))
def test_neither_threads_nor_chunks_show(
    seed: int, samples: int, threads: int, chunk_bytes: int
) -> None:
    """Every value, and every state that can be recorded, for every way to share out samples."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, nodes=10, recurrent=False)
    inputs = random_inputs(rng, model, samples=samples)
    names = [value for node in model.graph.nodes.values() for value in node.values()]
    names += [f"{node}:{state}" for node, found in state_names(model).items() for state in found]
    expected = ReferenceBackend().prepare(model).run(inputs, record=names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layerwise, "CHUNK_BYTES", chunk_bytes)
        found = LayerwiseBackend().prepare(model, threads=threads).run(inputs, record=names)
    for name in names:
        assert found[name].dtype == expected[name].dtype, name
        assert np.array_equal(found[name], expected[name]), name
    for name, array in expected.outputs.items():
        assert np.array_equal(found.outputs[name], array), name


def test_what_fails_in_a_thread_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    b = GraphBuilder(steps=3)
    x = b.input("x", [2], timing="per_step")
    b.output("y", b.snn.MeanPotential(x, start=2))
    prepared = LayerwiseBackend().prepare(b.build(), threads=2)
    monkeypatch.setattr(layerwise, "CHUNK_BYTES", 1)
    with pytest.raises(RunError, match="window"):
        prepared.run(np.zeros((9, 2, 2), np.float32), steps=2)
    assert prepared.run(np.ones((9, 3, 2), np.float32))["y"].shape == (9, 2)


def test_no_threads_are_refused() -> None:
    with pytest.raises(CapabilityError, match="0 threads"):
        LayerwiseBackend().prepare(_deep(), threads=0)


def test_no_more_results_than_threads_wait() -> None:
    """Memory is bounded: a slow reader of results holds up the threads."""
    started: list[int] = []

    def run(part: slice) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        started.append(part.start)
        return {"y": np.zeros(1, np.float32)}

    parts = [slice(n, n + 1) for n in range(40)]
    results = layerwise._in_threads(run, parts, 2)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 5
    assert len(list(results)) == 39
    assert sorted(started) == list(range(40))
