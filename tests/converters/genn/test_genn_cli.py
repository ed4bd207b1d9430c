"""The command line with ``--backend genn``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.cli.main import main
from snnir.errors import Diagnostic, RunError
from snnir_converters.genn import _backend
from snnir_converters.genn._cache import FOLDER_VARIABLE
from snnir_converters.genn._engine import Settings
from tests.cli.helpers import digits, images
from tests.converters.genn.code_cases import small
from tests.converters.genn.tools import fake_pygenn, genn, installed, programs, runs_the_compiler

Run = Callable[..., tuple[int, str, str]]
CPU = ("--backend", "genn", "--genn-backend", "single_threaded_cpu")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Run:
    """Runs a command line where ``m.snnir`` and ``x.npz`` are."""
    monkeypatch.chdir(tmp_path)
    snnir.save(digits(), "m.snnir")
    np.savez("x.npz", x=images(5), y=np.array([0, 1, 2, 1, 0]))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out, error = capfd.readouterr()
        assert "Traceback" not in error
        return code, out, error

    return run


@genn
def test_run_gives_what_the_reference_gives(run: Run) -> None:
    options = ("--record", "h:v", "--record", "h")
    code, out, error = run("run", "m.snnir", "--input", "x.npz", "-o", "out.npz", *options, *CPU)
    assert (code, out) == (0, "")
    assert error == "ran on backend 'genn' on single_threaded_cpu\n"
    assert run("run", "m.snnir", "--input", "x.npz", "-o", "wanted.npz", *options)[0] == 0
    with np.load("out.npz") as found, np.load("wanted.npz") as wanted:
        assert set(found) == set(wanted)
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name])
            assert found[name].dtype == wanted[name].dtype


@genn
def test_run_in_float64(run: Run) -> None:
    arguments = ("run", "m.snnir", "--input", "x.npz", "--float64")
    assert run(*arguments, "-o", "out.npz", *CPU)[0] == 0
    assert run(*arguments, "-o", "wanted.npz")[0] == 0
    with np.load("out.npz") as found, np.load("wanted.npz") as wanted:
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name])


@genn
def test_run_tells_the_times_of_the_kernels(run: Run) -> None:
    code, _, error = run("run", "m.snnir", "--input", "x.npz", "--profile", *CPU)
    assert code == 0 and "neuron update: 0.0" in error and "synapse dynamics: 0.0" in error


@genn
def test_eval(run: Run) -> None:
    named = ("--labels-of", "class")
    arguments = ("eval", "m.snnir", "--data", "x.npz", *named, "--json")
    wanted = json.loads(run(*arguments)[1])
    code, out, error = run(*arguments, *CPU)
    found = json.loads(out)
    assert (code, error) == (0, "")
    for name in ("accuracy", "correct", "spikes", "synaptic_operations", "steps", "samples"):
        assert found[name] == wanted[name], name
    assert found["details"]["device"] == "single_threaded_cpu"
    answers = json.loads(run(*arguments, "--answers-only", "--profile", *CPU)[1])
    assert answers["correct"] == wanted["correct"] and answers["spikes"] is None
    assert answers["details"]["kernel_seconds"]["neuron_update"] > 0
    _, out, _ = run("eval", "m.snnir", "--data", "x.npz", *named, *CPU)
    assert "backend 'genn' on single_threaded_cpu" in out


@genn
def test_verify(run: Run) -> None:
    keep = ("run", "m.snnir", "--input", "x.npz", "--example", "e", "--in-place")
    assert run(*keep, "--record", "h:v")[0] == 0
    code, out, _ = run("verify", "m.snnir", *CPU)
    assert code == 0 and "compared on backend 'genn': all as expected" in out
    found = json.loads(run("verify", "m.snnir", "--json", *CPU)[1])
    assert found["passed"] is True


# Without PyGeNN ----------------------------------------------------------------------------------


def test_a_missing_pygenn_is_exit_code_4(run: Run) -> None:
    with installed(None):
        code, out, error = run("run", "m.snnir", "--input", "x.npz", "--backend", "genn")
    assert (code, out) == (4, "") and "genn.missing" in error and "genn-team" in error


def test_a_backend_that_is_not_there(run: Run) -> None:
    with installed(fake_pygenn()):
        arguments = ("run", "m.snnir", "--input", "x.npz", "--backend", "genn")
        code, _, error = run(*arguments, "--genn-backend", "cuda")
    assert code == 1 and "genn.backend" in error


def test_what_the_compiler_said_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = programs(
        Path("bin").absolute(), gpp="printf 'neuron.cc:\\tno room\\033[2J\\n'; exit 1"
    )
    monkeypatch.setenv("CXX", f"{folder}/g++")
    monkeypatch.setenv(FOLDER_VARIABLE, str(Path("cache").absolute()))
    arguments = ("run", "m.snnir", "--input", "x.npz", "--backend", "genn")
    with installed(fake_pygenn(build=runs_the_compiler)):
        code, out, error = run(*arguments)
        shown = json.loads(run(*arguments, "--json")[1])
    assert (code, out) == (1, "") and "genn.build" in error
    assert "    neuron.cc:      no room\\x1b[2J\n" in error
    assert shown["diagnostics"][0]["output"] == "neuron.cc:\tno room\x1b[2J\n"


def test_the_batch_of_a_gpu_is_that_of_the_command_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def stop(_plan: Any, _installation: Any, settings: Settings) -> Any:
        sizes.append(settings.batch)
        raise RunError(Diagnostic("genn.build", "here", "enough", "nothing"))

    monkeypatch.setattr(_backend, "Engine", stop)
    data = {"run": ("--input", "x.npz"), "eval": ("--data", "x.npz", "--labels-of", "class")}
    with installed(fake_pygenn(backends=("cuda", "single_threaded_cpu"))):
        for command, given in data.items():
            arguments = (command, "m.snnir", *given, "--backend", "genn")
            assert run(*arguments, "--batch-size", "1000")[0] == 1
            assert run(*arguments, "--batch-size", "1000", *CPU)[0] == 1
    assert sizes == [1000, 1] * 2


def test_options_of_genn_are_refused_by_others(run: Run) -> None:
    for option in (["--genn-backend", "auto"], ["--profile"]):
        code, _, error = run("run", "m.snnir", "--input", "x.npz", *option)
        assert code == 1 and "run.capability" in error


def test_all_that_does_not_fit_is_listed(run: Run) -> None:
    snnir.save(small(symbol=True, foreign=True), "refused.snnir")
    np.save("one.npy", np.ones((1, 3, 2), np.float32))
    code, _, error = run("run", "refused.snnir", "--input", "one.npy", "--backend", "genn")
    assert code == 1 and "genn.operator" in error and "genn.shape" in error
