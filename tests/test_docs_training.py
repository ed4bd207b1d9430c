"""What the documentation of training shows is run, without GeNN: a stand-in learns."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from snnir import data
from snnir.cli.main import main
from snnir.ir.model import Model
from snnir.training import run as training_run
from snnir.training.trainer import Parameters
from tests.converters.forging import h5py
from tests.training.toy import ToySession, ToyTrainer

PAGE = Path(__file__).resolve().parents[1] / "docs/training.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the source tree is not here")


class _Unchanged(ToySession):
    """Learns nothing."""

    def parameters(self) -> Parameters:
        """No new values."""
        return {}


class _StandIn(ToyTrainer):
    """Takes any network."""

    def open(self, model: Model, *_: object) -> object:  # type: ignore[override]
        """A session that learns nothing."""
        import contextlib

        return contextlib.nullcontext(_Unchanged(self.losses, None))


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.S)


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    h5py()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training_run, "find_trainer", lambda method: _StandIn())
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        spikes = (rng.random((40, 14, 12)) < 0.3).astype(np.float32)
        data.save(data.from_dense(spikes, np.arange(40) % 3, empty="allow"), f"{name}.npz")
    commands = [line[8:] for line in "".join(_blocks("console")).splitlines()]
    for command in commands:
        assert main(shlex.split(command)) == 0, command
    assert (tmp_path / "trained.net").exists()
    names: dict[str, object] = {}
    for block in _blocks("python"):
        exec(compile(block, "training.md", "exec"), names)
    assert "epoch 3" in capsys.readouterr().out


def test_every_operator_of_the_page_is_one() -> None:
    from snnir.ops.registry import find

    table = PAGE.read_text("utf-8").split("## What can be trained")[1].split("\n\nEventProp")[0]
    named = set(re.findall(r"\b(?:[A-Z][a-z]+){2,}\b|\bLIF\b|\bALIF\b", table)) - {"EventProp"}
    assert len(named) > 8
    for name in named:
        assert find(f"snn.{name}") is not None, name
