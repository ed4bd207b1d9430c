"""What the GeNN benchmark compares is comparable, and it says what it cannot measure."""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from tests.data import mnist, shared

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the source tree is not here")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the benchmark."""
    monkeypatch.syspath_prepend(FOLDER)
    names = ("_measure", "_networks", "_torch", "conversion", "_genn_networks", "_mlgenn", "genn")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    found = Namespace(**{name.lstrip("_"): importlib.import_module(name) for name in names})
    yield found
    for name in names:
        sys.modules.pop(name, None)


def pairs(benchmark: Any) -> list[Any]:
    make, rng = benchmark.genn_networks, np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 28, 28)).astype(np.uint8)
    return [
        make.recurrent(rng, 3, steps=20),
        make.one_kernel(rng, images, steps=8),
        make.two_kernels(rng, images, steps=8),
    ]


def test_its_networks_are_valid_and_active(benchmark: Any) -> None:
    for pair in pairs(benchmark):
        assert not snnir.check(pair.model)
        hidden = [f"cells{number}" for number in range(len(pair.layers))]
        found = snnir.run(pair.model, pair.x, backend="layerwise", record=hidden)
        for name in hidden:
            assert 0.001 < found[name].mean() < 0.5, (pair.name, name)


def test_the_tutorial_is_that_of_the_data_folder(benchmark: Any) -> None:
    folder = shared("genn/weights_0_1.npy").parents[1]
    images = mnist()
    pair = benchmark.genn_networks.tutorial(folder, images.test_x[:200])
    answers = snnir.run(pair.model, pair.x, backend="layerwise")["count"].argmax(1)
    assert (answers == images.test_y[:200]).mean() > 0.95


def test_sums_of_the_cuba_network_are_exact(benchmark: Any) -> None:
    model, x = benchmark.genn.cuba(np.random.default_rng(0))
    for node in model.graph.nodes.values():
        if node.operator == "Dense":
            scaled = node.parameters["weight"].values() * 256
            assert (scaled == np.rint(scaled)).all() and np.abs(scaled).max() < 2**16
    spikes = snnir.run(model, x)["spikes"]
    assert 0.01 < spikes.mean() < 0.99


def test_silence_goes_before_every_sample(benchmark: Any) -> None:
    x = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
    found = benchmark.genn._with_silence(x)
    assert (found[1::2] == x).all() and not found[::2].any() and len(found) == 6


def test_without_pygenn_it_says_so(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygenn", None)
    report = benchmark.genn.measure(benchmark.measure.Options(Path()))
    (reason,) = report.absent
    assert "[genn.missing]" in reason and not report.bars and not report.tables


@pytest.mark.slow
@pytest.mark.genn
def test_mlgenn_runs_the_same_networks(benchmark: Any, tmp_path: Path) -> None:
    pytest.importorskip("pygenn", reason="PyGeNN is not installed")
    pytest.importorskip("ml_genn", reason="mlGeNN is not installed")
    for pair in pairs(benchmark):
        wanted = snnir.run(pair.model, pair.x, backend="layerwise")["count"]
        assert wanted.any()
        flags = f"g++ {benchmark.genn.FLAGS}"
        with benchmark.mlgenn.Peer(pair, tmp_path, flags, pair.storages[0]) as peer:
            found = peer.run(benchmark.genn._with_silence(pair.x))[1::2]
        assert (found == wanted).all(), pair.name
