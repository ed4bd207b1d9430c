"""Files of spike data where the command line takes data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir import data as spike_data
from snnir.data import SpikeData, from_dense
from tests.cli.conftest import Run, Save
from tests.cli.helpers import digits, snnir_process


def listener(dt: float = 1e-3) -> snnir.Model:
    """A network that is fed with spikes of 2x3 neurons."""
    rng = np.random.default_rng(0)
    b = snnir.GraphBuilder("listener", steps=7, dt=dt)
    x = b.ann.Flatten(b.input("sound", [2, 3], timing="per_step"))
    weight = rng.normal(0.3, 0.5, (6, 4)).astype("f4")
    hidden = b.snn.LIF(b.snn.Dense(x, weight=weight, name="fc"), decay=0.5, name="hidden")
    b.output("class", b.snn.SpikeCount(hidden), labels=list("abcd"))
    return b.build()


@pytest.fixture
def files(save: Save) -> SpikeData:
    """The network, spikes as events and as a dense array, and labels."""
    save(listener(), "net.snnir")
    rng = np.random.default_rng(1)
    x = (rng.random((30, 7, 2, 3)) < 0.4).astype(np.float32)
    y = rng.integers(0, 4, 30)
    data = from_dense(x, y, classes=4)
    spike_data.save(data, "spikes.npz")
    np.savez("dense.npz", x=x, y=y)
    return data


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_run_on_events_is_one_on_their_dense_form(run: Run, files: SpikeData, size: int) -> None:
    for name in ("spikes", "dense"):
        arguments = ["--input", f"{name}.npz", "-o", f"{name}_out.npz", "--batch-size", size]
        assert run("run", "net.snnir", *arguments)[0] == 0
    assert Path("spikes_out.npz").read_bytes() == Path("dense_out.npz").read_bytes()
    assert np.load("spikes_out.npz")["class"].sum() > 0


def test_accuracy_on_events_is_that_on_their_dense_form(run: Run, files: SpikeData) -> None:
    found = [
        json.loads(run("eval", "net.snnir", "--data", name, "--json")[1])
        for name in ("spikes.npz", "dense.npz")
    ]
    assert found[0] == found[1]
    assert found[0]["samples"] == 30 and found[0]["spikes"] > 0


def test_events_calibrate_quantisation(run: Run, files: SpikeData) -> None:
    found = [
        json.loads(run("quantise", "net.snnir", "-o", "o.snnir", "--calibration", f, "--json")[1])
        for f in ("spikes.npz", "dense.npz")
    ]
    assert found[0] == found[1]
    assert found[0]["quality"][0]["accuracy"] is not None


def test_examples_are_kept_and_replayed(run: Run, files: SpikeData) -> None:
    arguments = ["--input", "spikes.npz", "--limit", 3, "--example", "first", "--in-place"]
    assert run("run", "net.snnir", *arguments)[0] == 0
    assert run("verify", "net.snnir")[0] == 0


def test_events_from_standard_input(files: SpikeData) -> None:
    content = Path("spikes.npz").read_bytes()
    result = snnir_process(
        "run", Path("net.snnir").absolute(), "--input", "-", "--json", stdin=content
    )
    assert result.returncode == 0, result.stderr
    expected = snnir.run(listener(), files.dense())["class"]
    assert json.loads(result.stdout)["results"]["class"]["mean"] == pytest.approx(expected.mean())


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"dt": 2e-3}, 1, "steps of 0.002 s"),
        ({"shape": (3, 2)}, 1, "[run.input]"),
        ({"labels": None}, 3, "no array of labels"),
        ({"steps": 3}, 3, "[spikes.time]"),
    ],
    ids=str,
)
def test_events_that_do_not_fit(
    run: Run, files: SpikeData, change: dict[str, Any], code: int, text: str
) -> None:
    for name, value in change.items():
        setattr(files, name, value)
    spike_data.save(files, "bad.npz")
    found, out, err = run("eval", "net.snnir", "--data", "bad.npz")
    assert (found, out) == (code, "")
    assert text in err


def test_events_belong_to_one_input(run: Run, save: Save) -> None:
    b = snnir.GraphBuilder("two", steps=2)
    inputs = [b.input(name, [2], timing="per_step") for name in ("left", "right")]
    b.output("sum", b.snn.SumPotential(b.snn.LeakyIntegrator(inputs, decay=0.5)))
    save(b.build(), "two.snnir")
    spike_data.save(from_dense(np.ones((1, 2, 2))), "spikes.npz")
    code, _, err = run("run", "two.snnir", "--input", "spikes.npz")
    assert code == 3 and "spike data for one input" in err


def test_events_are_no_images(run: Run, save: Save) -> None:
    save(digits(), "net.snnir")
    spike_data.save(from_dense(np.ones((1, 2, 2))), "spikes.npz")
    code, _, err = run("run", "net.snnir", "--input", "spikes.npz")
    assert code == 1 and "[run.input]" in err
