"""The example of spoken digits, from sound to Loihi 2, on real recordings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.converters.mlgenn import nets
from tests.data import shared

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/spoken_digits.py"

pytestmark = [
    *nets.needs_mlgenn,
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLE.exists(), reason="the source tree is not here"),
]


def test_the_example_prints_its_table(tmp_path: Path) -> None:
    """Three epochs; 8 reach 98 %."""
    sounds = shared("fsdd_8khz.npz")
    command = [sys.executable, EXAMPLE, sounds, "--folder", tmp_path / "out", "--epochs", "3"]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"^(float|int8|loihi2) +([\d.]+) %", done.stdout, re.M))
    assert float(rows["float"]) > 85
    assert abs(float(rows["float"]) - float(rows["loihi2"])) <= 2  # 6 of 300
    assert "read back: the same potentials" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
