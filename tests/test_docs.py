"""What the README shows is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import snnir
import snnir.data
from snnir.cli.main import main
from tests.converters.forging import archive, dense, input_layer, sequential, weights_file
from tests.converters.keras_tools import keras
from tests.data import shared

README = Path(__file__).resolve().parents[1] / "README.md"
DATA = README.parent / "docs" / "data.md"
GENN = README.parent / "docs" / "genn.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="the source tree is not here")


def _blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


def _commands(page: Path = README) -> list[str]:
    return [
        line.removeprefix("$ snnir ")
        for block in _blocks("console", page)
        for line in block.splitlines()
        if line.startswith("$ snnir ")
    ]


def test_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    trained_network()
    digits_and_speech()
    names: dict[str, object] = {}
    for block in _blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert "(5, 10) (5, 50, 6, 6, 4)" in capsys.readouterr().out
    assert (tmp_path / "digits.snnir").exists()

    commands = _commands()
    assert len(commands) >= 6
    for command in commands:
        assert main(shlex.split(command)) == 0, command


def trained_network() -> None:
    """What the README converts: a saved Keras network, and data."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (400, 3)).astype(np.float32)
    np.savez("train.npz", x=x, y=x.argmax(1))
    np.savez("test.npz", x=x, y=x.argmax(1))
    eye = np.eye(3, dtype=np.float32)
    weights = weights_file({"dense": (eye, np.zeros(3)), "dense_1": (4 * eye, np.zeros(3))})
    layers = (dense("dense", 3, activation="relu"), dense("dense_1", 3, activation="softmax"))
    archive(Path("net.keras"), sequential(input_layer(3), *layers), weights)


def test_the_notebook_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    k = keras()
    monkeypatch.chdir(tmp_path)
    net = k.Sequential([k.layers.Input((3,)), k.layers.Dense(4, activation="relu")])
    x = np.random.default_rng(0).uniform(0, 1, (120, 3)).astype(np.float32)
    (block,) = _blocks("python keras")
    assert len(block.splitlines()) == 3
    exec(compile(block, "README.md", "exec"), {"snnir": snnir, "keras_model": net, "x": x})
    assert "spikes" in capsys.readouterr().out
    assert (tmp_path / "net.snnir").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_page_on_data_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs Dask distributed")
    monkeypatch.chdir(tmp_path)
    digits_and_speech()
    names: dict[str, object] = {}
    for block in _blocks("python", DATA):
        exec(compile(block, "data.md", "exec"), names)
    (sweep,) = _blocks("toml", DATA)
    Path("sweep.toml").write_text(sweep)
    commands = _commands(DATA)
    assert len(commands) == 7
    for command in commands:
        assert main(shlex.split(command)) == 0, command
    assert len(Path("sweep/table.csv").read_text().splitlines()) == 4


def digits_and_speech() -> None:
    """What the page on data encodes: images, and recordings of two words."""
    rng = np.random.default_rng(0)
    np.savez("digits.npz", x=rng.integers(1, 256, (20, 8, 8), np.uint8), y=np.arange(20) % 10)
    second = np.arange(4000) / 8000
    words = [np.sin(second * 2 * np.pi * hz) * np.sin(second * 6) for hz in (440, 1200) * 10]
    np.savez(
        "speech.npz",
        samples=np.round(3000 * np.concatenate(words)).astype(np.int16),
        offsets=np.arange(21) * 4000,
        digit=np.arange(20) % 2,
        index=np.arange(20) // 2,
    )


def test_the_recordings_that_the_readme_means_are_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = shared("fsdd_8khz.npz")
    monkeypatch.chdir(tmp_path)
    (command,) = (line for line in _commands() if line.startswith("encode"))
    words = [str(recordings) if word == "speech.npz" else word for word in shlex.split(command)]
    assert main(words) == 0
    assert len(snnir.data.load("spikes.npz")) == 3000


@pytest.mark.genn
def test_the_page_on_genn_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pygenn", reason="needs PyGeNN")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNIR_CACHE_DIR", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    b = snnir.GraphBuilder("page", steps=8)
    x = b.input("x", [6])
    current = b.snn.Dense(b.snn.ConstantCurrent(x), weight=rng.normal(0, 1, (6, 5)))
    hidden = b.snn.IF(current, name="hidden")
    b.output("y", b.snn.MeanPotential(b.snn.Dense(hidden, weight=rng.normal(0, 1, (5, 3)))))
    model = b.build()
    images = rng.uniform(0, 1, (4, 6)).astype(np.float32)
    model.examples["one"] = snnir.make_example(model, images, record=["hidden"])
    snnir.save(model, "model.snnir")
    np.savez("images.npz", x=images, y=snnir.run(model, images)["y"].argmax(1))
    for command in _commands(GENN):
        assert main(shlex.split(command)) == 0, command
    out = capsys.readouterr().out
    assert "accuracy 100.00 %" in out
    assert "on single_threaded_cpu" in out or "on cuda" in out or "on hip" in out
    for block in _blocks("python", GENN):
        exec(compile(block, "genn.md", "exec"), {})
    assert "single_threaded_cpu True" in capsys.readouterr().out


def test_its_links_lead_somewhere() -> None:
    for text in (README, README.parent / "CONTRIBUTING.md", DATA):
        for target in re.findall(r"\]\(([^)#:]+)\)", text.read_text()):
            assert (text.parent / target).exists(), target
