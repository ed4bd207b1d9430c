"""What is compiled and when, and what is left behind: with PyGeNN."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnir import GraphBuilder
from snnir.errors import RunError
from snnir.ir.model import Model
from snnir_converters.genn._cache import FOLDER_VARIABLE, cache_folder
from tests.cli.helpers import ROOT
from tests.converters.genn.tools import check_same, differences, genn, prepare, programs, spikes

RNG = np.random.default_rng(0)
X = spikes(RNG, 3, 6, 4)


def network(
    seed: int = 0, *, threshold: float = 1.0, hidden: int = 5, delay_steps: int = 2
) -> Model:
    """A dense, a sparse and a recurrent connection, parameters shared and of each neuron."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:
        return (rng.integers(1, 9, shape) / 8 * rng.choice([-1, 1], shape)).astype(np.float32)

    b = GraphBuilder(steps=6)
    x = b.input("x", [4], timing="per_step")
    own = rng.integers(4, 8, hidden).astype(np.float32) / 8
    layer = b.snn.Dense(x, weight=weights(4, hidden), bias=weights(hidden))
    cells = b.snn.LIF(layer, decay=own, threshold=threshold, name="cells")
    b.connect(cells, "cells", "current", delay_steps=delay_steps)
    scaled = b.snn.Scale(cells, scale=weights(hidden))
    conv = b.snn.Conv1D(b.snn.Reshape(cells, shape=(hidden, 1)), weight=weights(2, 1, 2))
    b.output("y", b.snn.LeakyIntegrator(scaled, decay=0.5))
    b.output("z", b.snn.SumPotential(b.snn.IF(conv)))
    return b.build()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return cache_folder()


def built(model: Model, **options: Any) -> bool:
    """Whether something was compiled; what runs is right in any case."""
    details = check_same(model, X, **options).run(X).details
    assert details["build_seconds"] > 0
    return not details["build_cached"]


@genn
def test_only_another_structure_is_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert built(network())
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    calls: list[Any] = []
    true_call = subprocess.check_call

    def check_call(command: Any, **options: Any) -> Any:
        calls.append(command)
        return true_call(command, **options)

    monkeypatch.setattr("pygenn.genn_model.check_call", check_call)
    assert not built(network())
    assert not built(network(seed=1))  # other weights, decays and biases
    assert not built(network(threshold=0.5))
    assert calls  # make looks, and finds nothing to do
    assert made == {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    assert built(network(delay_steps=3))
    assert not built(network())
    assert len(list(cache.iterdir())) == 2


@genn
def test_a_damaged_entry_is_compiled_again(cache: Path) -> None:
    assert built(network())
    (library,) = cache.rglob("librunner*")
    library.write_bytes(library.read_bytes()[:1000])
    assert built(network())
    assert not built(network())


@genn
def test_two_models_of_one_structure_do_not_disturb_each_other() -> None:
    models = [network(), network(seed=1, threshold=0.5)]
    prepared = [prepare(model) for model in models]
    first = [found.run(X, record=["cells"]) for found in prepared]
    assert differences(*first)
    for _ in range(3):
        for model, found, before in zip(models, prepared, first, strict=True):
            assert not differences(before, found.run(X, record=["cells"]))
            check_same(model, X, prepared=found)
    prepared.pop()
    assert not differences(first[0], prepared[0].run(X, record=["cells"]))


PROGRAM = """
import sys
import numpy as np
from tests.converters.genn.test_builds import X, network
from tests.converters.genn.tools import prepare
found = prepare(network()).run(X)
np.savez(sys.argv[1], **found.outputs)
"""


@genn
def test_two_processes_at_once_with_an_empty_cache(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        FOLDER_VARIABLE: str(tmp_path / "cache"),
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, tmp_path / f"{number}.npz"],
            cwd=elsewhere,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(2)
    ]
    assert [process.communicate(timeout=300)[0] for process in running] == [b"", b""]
    assert [process.returncode for process in running] == [0, 0]
    wanted = prepare(network()).run(X)
    for number in range(2):
        with np.load(tmp_path / f"{number}.npz") as found:
            for name, array in wanted.outputs.items():
                np.testing.assert_array_equal(found[name], array)
    assert list(elsewhere.iterdir()) == []
    assert len(list((tmp_path / "cache" / "genn").iterdir())) == 1


@genn
def test_nothing_is_printed_or_left_behind(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even in a temporary folder whose name a shell would take apart."""
    here, place = tmp_path / "here", tmp_path / "a b'c $d"
    here.mkdir()
    place.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    prepared = prepare(network())
    prepared.run(X)
    prepare(network())
    assert capfd.readouterr() == ("", "")
    assert list(here.iterdir()) == []
    assert len(list(place.iterdir())) == 1
    del prepared
    assert list(place.iterdir()) == []


@genn
def test_code_that_does_not_compile(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = programs(tmp_path / "bin", broken="echo \"$@\"; echo 'fatal: the reason' >&2; exit 1")
    monkeypatch.setenv("CXX", f"{folder}/broken")
    with pytest.raises(RunError) as caught:
        prepare(network())
    (finding,) = caught.value.diagnostics
    assert finding.code == "genn.build" and "fatal: the reason" in finding.output
    assert "make" in finding.output and "-ffp-contract=off" in finding.output
    assert capfd.readouterr() == ("", "")
    assert not cache.exists()


@genn
def test_steps_beyond_what_a_float_can_count() -> None:
    """The 2**24th step and the next: time must not stand still."""
    b = GraphBuilder(steps=4)
    x = b.input("x", [1])
    spikes = b.snn.RateEncoder(x, name="encoder")
    b.output("y", b.snn.SpikeCount(b.snn.LatencyEncoder(x, window_steps=2), name="count"))
    b.output("z", b.snn.PoissonEncoder(x, seed=1, name="random"))
    b.output("s", b.snn.SpikeCount(spikes))
    engine = prepare(b.build())._engine  # type: ignore[attr-defined]
    model = engine.model
    assert model.dt == 1.0
    engine._load(8, {}, {})
    for step in (2**24 + 1, 2**24 + 3, 2**31 - 2):
        model.timestep = step
        model.step_time()
        assert model.t == step + 1
