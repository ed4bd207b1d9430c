"""The GeNN example runs with and without PyGeNN, and leaves pictures."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from tests.converters.keras_tools import keras
from tests.data import SHARED, mnist, shared

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples/genn.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.exists(), reason="the source tree is not here")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    spec = importlib.util.spec_from_file_location("genn_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def network(example: Any) -> Any:
    """Two neurons, the one with the larger input wins."""
    b = snnir.GraphBuilder("two", steps=8)
    x = b.input("x", [2])
    cells = b.snn.IF(b.snn.ConstantCurrent(x), threshold=1.0, name="cells")
    b.output("class", b.snn.SpikeCount(cells))
    images = np.array([[0.5, 1], [1, 0.25], [0.125, 0.5]], np.float32)
    return example.Network("Two neurons", b.build(), images, np.array([1, 0, 0]), ["cells"])


def test_without_pygenn_the_reference_runs_alone(
    example: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "pygenn", None)
    found = example.evaluate(network(example), 3)
    text = capsys.readouterr().out
    assert "GeNN cannot run here" in text and "[genn.missing]" in text
    assert re.findall(r"reference +([\d.]+) %", text) == ["66.67"]
    assert "same answers" not in text
    assert found.backend == "reference" and found["cells"].sum() == 12
    path = tmp_path / "raster.png"
    example.draw(network(example), found, path)
    said = capsys.readouterr().out
    if importlib.util.find_spec("matplotlib") is None:
        assert "No picture" in said and "snnir[report]" in said
    else:
        assert str(path) in said and path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.genn
def test_with_pygenn_both_run_and_agree(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pygenn", reason="PyGeNN is not installed")
    found = example.evaluate(network(example), 3)
    text = capsys.readouterr().out
    assert "same answers: 3 of 3" in text and found.backend == "genn"
    assert re.findall(r"(genn|reference) +([\d.]+) %", text) == [
        ("genn", "66.67"),
        ("reference", "66.67"),
    ]
    assert found["cells"].sum() == 12


@pytest.mark.slow
def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras()
    mnist()
    shared("genn/weights_0_1.npy")
    monkeypatch.setenv("SNNIR_TEST_DATA", str(SHARED))
    found = subprocess.run(
        [sys.executable, EXAMPLE, "--folder", tmp_path, "--epochs", "1", "--count", "200"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
        check=True,
    ).stdout
    rates = re.findall(r"^(PyGeNN tutorial|Keras network) +reference +([\d.]+) %", found, re.M)
    assert [name for name, _ in rates] == ["PyGeNN tutorial", "Keras network"]
    assert all(float(rate) > 92 for _, rate in rates)
    if importlib.util.find_spec("pygenn") is None:
        assert found.count("GeNN cannot run here") == 2
    else:
        agreeing = [int(same) for same in re.findall(r"same answers: (\d+) of 200", found)]
        # Sums in another order: a potential may meet the threshold on the other side.
        assert len(agreeing) == 2 and min(agreeing) >= 199
    for name in ("tutorial", "main"):
        assert not snnir.check(snnir.load(tmp_path / f"{name}.snnir"))
        if importlib.util.find_spec("matplotlib") is not None:
            assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert snnir.verify(snnir.load(tmp_path / "main.snnir")).passed
