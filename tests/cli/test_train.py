"""snnir train."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.cli.common import Exit
from snnir.data import from_dense
from snnir.data import save as save_spikes
from snnir.errors import Diagnostic, FileError
from snnir.training import run as training_run
from tests.cli.conftest import Run, Save
from tests.training.toy import CLASSES, ToyTrainer, network, samples


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyTrainer:
    """A trainer that needs nothing."""
    trainer = ToyTrainer()
    monkeypatch.setattr(training_run, "find_trainer", lambda method: trainer)
    return trainer


@pytest.fixture
def files(save: Save) -> None:
    """A model and data in the working directory."""
    save(network(), "net.snnir")
    x, y = samples()
    np.savez("train.npz", x=x, y=y)
    save_spikes(from_dense(x, y, empty="allow"), "spikes.npz")


@pytest.mark.usefixtures("files")
def test_a_model_is_trained(run: Run) -> None:
    code, out, err = run(
        "train", "net.snnir", "--data", "train.npz", "--epochs", 2, "-o", "out.snnir"
    )
    assert (code, out) == (Exit.OK, "")
    assert "epoch 2: loss 0.5" in err and "those after epoch 2" in err
    trained = snnir.load("out.snnir")
    assert np.any(trained.graph.nodes["w"].parameters["weight"].numpy())
    assert trained.metadata["training.epochs"] == "2"


@pytest.mark.usefixtures("files")
def test_spike_data_is_the_same_data(run: Run) -> None:
    for name in ("train", "spikes"):
        run("train", "net.snnir", "--data", f"{name}.npz", "--epochs", 1, "-o", f"{name}.snnir")
    first, second = (snnir.load(f"{name}.snnir") for name in ("train", "spikes"))
    assert snnir.digest(first) == snnir.digest(second)


@pytest.mark.usefixtures("files")
def test_what_was_done_is_logged(run: Run) -> None:
    arguments = [
        "train",
        "net.snnir",
        "--data",
        "train.npz",
        "--validation-split",
        0.2,
        "--epochs",
        3,
    ]
    code, out, _ = run(*arguments, "-o", "out.snnir", "--log", "log.csv", "--json")
    report = json.loads(out)
    assert code == Exit.OK
    assert [epoch["epoch"] for epoch in report["history"]] == [1, 2, 3]
    with open("log.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [e["loss"] for e in report["history"]]
    run(*arguments, "-o", "out.snnir", "--log", "log.json")
    assert len(json.loads(Path("log.json").read_text("utf-8"))) == 3


@pytest.mark.usefixtures("files")
def test_what_was_done_until_an_interruption_is_logged(run: Run, toy: ToyTrainer) -> None:
    common = ["train", "net.snnir", "--data", "train.npz", "--epochs", 4, "-o", "out.snnir"]
    common += ["--log", "log.csv", "--checkpoints", "kept"]
    toy.fails_in = 2
    assert run(*common)[0] == Exit.INTERRUPTED
    assert not Path("out.snnir").exists()
    assert len(Path("log.csv").read_text("utf-8").splitlines()) == 3
    toy.fails_in = None
    assert run(*common, "--resume")[0] == Exit.OK
    with open("log.csv", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == list("1234")


@pytest.mark.usefixtures("files")
def test_a_log_that_cannot_be_written_costs_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FileError(Diagnostic("file.unwritable", "log", "no space left", "space"))

    monkeypatch.setattr("snnir.training.report.write_log", full)
    arguments = ["train", "net.snnir", "--data", "train.npz", "--log", "log.csv"]
    code, _, err = run(*arguments, "--epochs", 2, "-o", "out.snnir")
    assert code == Exit.BAD_FILE and err.count("file.unwritable") == 1
    assert snnir.load("out.snnir").metadata["training.epochs"] == "2"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_what_was_done_is_drawn(run: Run, kind: str) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    arguments = ["train", "net.snnir", "--data", "train.npz", "--validation-split", 0.2]
    code, _, err = run(*arguments, "--epochs", 3, "-o", "out.snnir", "--plot", f"plot.{kind}")
    assert code == Exit.OK, err
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert Path(f"plot.{kind}").read_bytes().startswith(begins[kind])


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", ["plot.txt", "plot.csv", "none/plot.png"])
def test_a_plot_that_cannot_be_drawn_is_said_first(run: Run, toy: ToyTrainer, name: str) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    arguments = ["train", "net.snnir", "--data", "train.npz", "-o", "out.snnir"]
    code, _, err = run(*arguments, "--plot", name)
    assert (code, toy.opened) == (Exit.BAD_FILE, 0)
    assert "file.unwritable" in err


@pytest.mark.usefixtures("files")
def test_progress_of_training_and_validation(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    arguments = ["train", "net.snnir", "--data", "train.npz", "--validation-split", 0.2]
    _, _, err = run(*arguments, "--epochs", 1, "-o", "out.snnir")
    assert "sample 8 of 8" in err
    assert "\033[Kepoch 1: loss" in err


@pytest.mark.usefixtures("files")
def test_a_run_goes_on(run: Run) -> None:
    common = ["train", "net.snnir", "--data", "train.npz", "--checkpoints", "kept"]
    run(*common, "--epochs", 2, "-o", "a.snnir")
    _, _, err = run(*common, "--epochs", 4, "--resume", "-o", "b.snnir")
    assert "went on after epoch 2" in err
    run("train", "net.snnir", "--data", "train.npz", "--epochs", 4, "-o", "c.snnir")
    weights = [
        snnir.load(f"{name}.snnir").graph.nodes["w"].parameters["weight"].numpy() for name in "bc"
    ]
    assert np.array_equal(*weights)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "none.npz"], Exit.BAD_FILE, "none.npz"),
        (["--data", "net.snnir"], Exit.BAD_FILE, "npz"),
        (["--data", "train.npz", "--epochs", "0"], Exit.FINDINGS, "train.setting"),
        (["--data", "train.npz", "--epochs", "some"], Exit.USAGE, "--epochs"),
        (["--data", "train.npz", "--resume"], Exit.USAGE, "--checkpoints"),
        (["--data", "train.npz", "--reg-lambda-upper", "w=x"], Exit.USAGE, "w=x"),
        (["--data", "unlabelled.npz"], Exit.BAD_FILE, "labels"),
        (["--data", "wrong.npz"], Exit.FINDINGS, "train.data"),
    ],
)
def test_mistakes_are_said_before_anything_is_compiled(
    run: Run, toy: ToyTrainer, arguments: list[str], code: int, said: str
) -> None:
    x, y = samples()
    np.savez("unlabelled.npz", x=x)
    np.savez("wrong.npz", x=x, y=y + CLASSES)
    Path("out.snnir").write_text("precious")
    found, _, err = run("train", "net.snnir", *arguments, "-o", "out.snnir")
    assert (found, toy.opened) == (code, 0)
    assert said in err
    assert Path("out.snnir").read_text() == "precious"


@pytest.mark.usefixtures("files")
def test_neither_model_nor_data_is_overwritten(run: Run) -> None:
    for name in ("net.snnir", "train.npz"):
        before = Path(name).read_bytes()
        code, _, _ = run("train", "net.snnir", "--data", "train.npz", "-o", name)
        assert (code, Path(name).read_bytes()) == (Exit.USAGE, before)


def test_every_setting_is_an_option(run: Run) -> None:
    import dataclasses

    from snnir.training import TrainSettings

    _, out, _ = run("train", "--help")
    for entry in dataclasses.fields(TrainSettings):
        assert f"--{entry.name.replace('_', '-')}" in out
