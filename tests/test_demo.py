"""The demo runs, prints its table, and leaves the files it names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import snnir
from tests.cli.helpers import snnir_process
from tests.converters.keras_tools import keras
from tests.data import mnist

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "examples/demo.py"


@pytest.mark.slow
@pytest.mark.skipif(not DEMO.exists(), reason="the source tree is not here")
def test_the_demo(tmp_path: Path) -> None:
    keras()
    mnist()
    found = subprocess.run(
        [sys.executable, DEMO, "--folder", tmp_path, "--epochs", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
        check=True,
    )
    (original,) = re.findall(r"^ANN +([\d.]+) %", found.stdout, re.M)
    rows = re.findall(r"^T = (\d+) +([\d.]+) % +(-?[\d.]+) +(\d+)$", found.stdout, re.M)
    assert [int(steps) for steps, *_ in rows] == [4, 8, 16, 32]
    assert float(original) > 96
    for _, accuracy, drop, spikes in rows:
        assert float(drop) == pytest.approx(float(original) - float(accuracy), abs=0.02)
        assert float(drop) < 1 and int(spikes) > 0
    # The table is of the test images: the file and the data that were left give its last row.
    command = ["eval", tmp_path / "snn.snnir", "--data", tmp_path / "test.npz", "--json"]
    again = snnir_process(*command)
    measured = json.loads(again.stdout)
    assert float(rows[-1][1]) == pytest.approx(100 * measured["accuracy"], abs=0.006)
    assert int(rows[-1][3]) == round(measured["spikes"])
    assert "replayed from the file: ok" in found.stdout
    assert snnir.load(tmp_path / "snn.snnir").graph.inputs[0].type.dtype.label == "uint8"
    assert json.loads((tmp_path / "report.json").read_text())["steps"] == 32
    for name in ("net.keras", "test.npz"):
        assert (tmp_path / name).exists() and name in found.stdout


@pytest.mark.slow
@pytest.mark.skipif(not DEMO.exists(), reason="the source tree is not here")
def test_the_loihi2_example(tmp_path: Path) -> None:
    keras()
    mnist()
    found = subprocess.run(
        [sys.executable, DEMO.with_name("loihi2.py"), "--folder", tmp_path, "--epochs", "1"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
        check=True,
    )
    rates = re.search(r"original ([\d.]+) %, 8-bit integers ([\d.]+) %", found.stdout)
    assert rates is not None
    assert float(rates[1]) > 90 and abs(float(rates[1]) - float(rates[2])) < 0.5
    assert (tmp_path / "cnn.net").exists()
    assert "DIFFERENT" not in found.stdout
