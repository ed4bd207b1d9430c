"""Training that something ends: signals, a full disk. Each run is a process of its own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import snnir
from snnir.cli.common import Exit
from snnir.data import from_dense, save
from tests.converters.mlgenn import nets

pytestmark = [*nets.needs_mlgenn, pytest.mark.slow]

EPOCHS = 6
SAMPLES = 300
PATIENCE = 300.0
"""Seconds that a run may take on a busy machine."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a network, data and a place for temporary files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp").mkdir()
    model = nets.recurrent()
    snnir.save(model, "net.snnir")
    x, y = nets.spikes(model, SAMPLES)
    save(from_dense(x, y, empty="allow"), "train.npz")
    Path("out.snnir").write_text("precious")
    return tmp_path


def start(
    folder: Path, *arguments: str, before: Callable[[], object] | None = None
) -> subprocess.Popen[str]:
    """``snnir train`` under way; SIGINT reaches it even where this process ignores it."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before is not None:
            before()

    command = ["train", "net.snnir", "--data", "train.npz", "--epochs", str(EPOCHS)]
    return subprocess.Popen(
        [sys.executable, "-m", "snnir", *command, *arguments],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and what was said."""
    _, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    return process.returncode, err


def wait_for(pattern: str, folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until there is a file of that name."""
    end = time.monotonic() + PATIENCE
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, int(Exit.INTERRUPTED), "interrupted"),
        (signal.SIGTERM, int(Exit.TERMINATED), "terminated"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_a_run_that_a_signal_ends_goes_on_as_if_nothing_had_been(
    folder: Path, number: signal.Signals, code: int, said: str
) -> None:
    kept = ("--checkpoints", "kept", "-o", "out.snnir")
    process = start(folder, *kept)
    wait_for("kept/epoch_0002.npz", folder, process)
    process.send_signal(number)
    found, err = finish(process)
    assert found == code and said in err
    assert Path("out.snnir").read_text() == "precious"
    if number != signal.SIGKILL:
        assert os.listdir("tmp") == []
    assert finish(start(folder, *kept, "--resume"))[0] == 0
    assert finish(start(folder, "-o", "whole.snnir"))[0] == 0
    assert Path("out.snnir").read_bytes() == Path("whole.snnir").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_compilation_that_a_signal_ends_leaves_nothing(
    folder: Path, number: signal.Signals
) -> None:
    process = start(folder, "-o", "out.snnir")
    wait_for("tmp/snnir-mlgenn-*/*/*.cc", folder, process)
    process.send_signal(number)
    assert finish(process)[0] != 0
    assert os.listdir("tmp") == []
    assert Path("out.snnir").read_text() == "precious"


@pytest.mark.parametrize("size", [2_000, 12_000])
def test_no_space_is_an_error_that_costs_nothing(folder: Path, size: int) -> None:
    """The smaller size is too little for GeNN's code, the larger for what is compiled."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    arguments = ("-o", "out.snnir", "--checkpoints", "kept")
    process = start(folder, *arguments, before=limit)
    code, err = finish(process)
    assert code == Exit.FINDINGS and "train.failed" in err
    assert Path("out.snnir").read_text() == "precious"
    assert os.listdir("tmp") == []
