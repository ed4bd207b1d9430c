"""snnir sweep, on a cluster of this process."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.errors import ConversionError, FileError, MissingDependency
from snnir.sweep import read_sweep, run_sweep
from snnir.sweep.run import COMMANDS, Commands, points_of
from tests.cli.conftest import Run
from tests.cli.helpers import digits, images

pytest.importorskip("distributed", reason="needs Dask distributed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

CONFIG: dict[str, Any] = {
    "steps": [
        {
            "command": "quantise",
            "arguments": ["net.snnir", "-o", "{folder}/q.snnir", "--bits", "{bits}"],
        },
        {
            "command": "eval",
            "arguments": ["{folder}/q.snnir", "--data", "test.npz", "--steps", "{steps}"],
        },
    ],
    "grid": {"bits": [8, 4], "steps": [3]},
    "report": ["eval.accuracy", "eval.spikes"],
}


ONE_STEP: dict[str, Any] = {
    "steps": [
        {
            "command": "eval",
            "arguments": ["net.snnir", "--data", "test.npz", "--steps", "{steps}"],
        }
    ],
    "grid": {"steps": [2]},
}
"""As quick as a sweep can be: every command is a process."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network, data, and a sweep, in the working directory."""
    monkeypatch.chdir(tmp_path)
    network = digits()
    network.graph.outputs.pop()
    snnir.save(network, "net.snnir")
    x = images(20)
    np.savez("test.npz", x=x, y=snnir.run(network, x)["class"].argmax(1))
    configure()
    return tmp_path


def configure(**changed: Any) -> None:
    Path("sweep.json").write_text(json.dumps({**CONFIG, **changed}))


def kept(folder: Path) -> dict[str, float]:
    """Results that are kept, and when they were written."""
    return {
        path.name: path.stat().st_mtime_ns
        for path in (folder / "out").glob("*.json")
        if path.name != "table.json"
    }


def test_every_point_is_what_the_commands_give(run: Run, folder: Path) -> None:
    code, out, err = run("sweep", "sweep.json", "-o", "out", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [row["bits"] for row in found["rows"]] == [8, 4]
    for row in found["rows"]:
        assert row["state"] == "finished"
        assert run("quantise", "net.snnir", "-o", "q.snnir", "--bits", row["bits"], "-q")[0] == 0
        alone = json.loads(run("eval", "q.snnir", "--data", "test.npz", "--steps", 3, "--json")[1])
        assert (row["eval.accuracy"], row["eval.spikes"]) == (alone["accuracy"], alone["spikes"])
        result = json.loads((folder / "out" / f"{row['key']}.json").read_text())
        assert result["results"]["eval"]["accuracy"] == alone["accuracy"]
        assert (folder / "out" / row["key"] / "q.snnir").exists()
    assert json.loads((folder / "out/table.json").read_text())["rows"] == found["rows"]
    rows = list(csv.DictReader((folder / "out/table.csv").read_text().splitlines()))
    assert [row["bits"] for row in rows] == ["8", "4"]
    assert float(rows[0]["eval.accuracy"]) == found["rows"][0]["eval.accuracy"]

    before = kept(folder)
    code, out, _ = run("sweep", "sweep.json", "-o", "out")
    assert code == 0 and kept(folder) == before, "nothing is run twice"
    assert out.splitlines()[0].split()[:4] == ["bits", "steps", "state", "eval.accuracy"]
    assert len(out.splitlines()) == 3


def test_an_interrupted_sweep_goes_on(folder: Path) -> None:
    configure(**ONE_STEP | {"grid": {"steps": [2, 3, 4]}})
    sweep = read_sweep("sweep.json")

    def interrupt(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, "out", workers=1, progress=interrupt)
    before = kept(folder)
    assert 1 <= len(before) < 3
    seen: list[tuple[int, int]] = []
    table = run_sweep(sweep, "out", progress=lambda *done: seen.append(done))
    assert seen[0][0] >= 1 and seen[-1] == (3, 3)
    assert table.unfinished == 0 and len(table.rows) == 3
    after = kept(folder)
    assert len(after) == 3 and all(after[name] == when for name, when in before.items())


def test_a_command_that_someone_stops_has_not_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> tuple[int, bytes, bytes]:
        return 130, b"{}", b"interrupted"

    configure(**ONE_STEP)
    sweep = read_sweep("sweep.json")
    with monkeypatch.context() as patch:
        patch.setattr(COMMANDS, "run", stopped)
        table = run_sweep(sweep, "out")
    assert [row["state"] for row in table.rows] == ["interrupted"]
    assert kept(folder) == {} and table.unfinished == 1
    assert run_sweep(sweep, "out").unfinished == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_stops_its_commands(folder: Path, number: signal.Signals) -> None:
    """The command waits for a writer of a pipe, of which it would wait for ever."""
    os.mkfifo("endless.npy")
    configure(
        steps=[{"command": "run", "arguments": ["net.snnir", "--input", "{x}", "--quiet"]}],
        grid={"x": ["endless.npy"]},
        report=[],
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "snnir", "sweep", "sweep.json", "-o", "out"],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with open("endless.npy", "wb", buffering=0) as pipe:  # waits for the command
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + number and b"Traceback" not in err
        with pytest.raises(BrokenPipeError):  # nobody reads any more
            pipe.write(b"x")
    assert kept(folder) == {}


def test_commands_of_a_stopped_point_do_not_begin(tmp_path: Path) -> None:
    commands = Commands()
    commands.stop(["one"])
    command = [sys.executable, "-c", "print(1)"]
    assert commands.run("one", command, str(tmp_path)) == (-signal.SIGTERM, b"", b"")
    commands.allow(["one"])
    assert commands.run("one", command, str(tmp_path)) == (0, b"1\n", b"")


def test_points_that_fail_are_kept_with_their_error_and_retried(run: Run, folder: Path) -> None:
    configure(grid={"bits": [8], "steps": [3]})
    os.rename("test.npz", "later.npz")
    code, out, err = run("sweep", "sweep.json", "-o", "out", "--json")
    assert code == 1
    for row in json.loads(out)["rows"]:
        assert row["state"] == "failed"
        assert row["error"].startswith("eval: [file.unreadable]")
        result = json.loads((folder / "out" / f"{row['key']}.json").read_text())
        assert result["failed_step"] == "eval" and "quantise" in result["results"]
    before = kept(folder)
    assert run("sweep", "sweep.json", "-o", "out")[0] == 1
    assert kept(folder) == before, "a failed point is left alone"
    code, out, err = run("sweep", "sweep.json", "-o", "out", "--retry", "--workers", "1")
    assert code == 1 and kept(folder) != before
    assert "1 point did not finish" in err and "eval: [file.unreadable]" in out
    os.rename("later.npz", "test.npz")
    assert run("sweep", "sweep.json", "-o", "out")[0] == 0, "with the file they are other points"


def test_a_changed_file_or_command_is_another_point(folder: Path) -> None:
    def keys() -> list[str]:
        return [point.key for point in points_of(read_sweep("sweep.json"), folder / "out")]

    first = keys()
    assert first == keys() and len(set(first)) == 2
    assert first == [p.key for p in points_of(read_sweep("sweep.json"), folder / "elsewhere")]
    np.savez("test.npz", x=images(3), y=np.zeros(3, int))
    assert not set(first) & set(keys())
    configure(grid={"bits": [8, 4], "steps": [4]})
    assert len({*first, *keys()}) == 4


def test_results_that_were_damaged_are_made_again(folder: Path) -> None:
    configure(**ONE_STEP)
    sweep = read_sweep("sweep.json")
    (row,) = run_sweep(sweep, "out").rows
    (folder / "out" / f"{row['key']}.json").write_text("{")
    (again,) = run_sweep(sweep, "out").rows
    assert again["state"] == "finished" and again["eval.accuracy"] == row["eval.accuracy"]


def test_columns_that_do_not_exist_are_told(run: Run, folder: Path) -> None:
    configure(**ONE_STEP, report=["eval.acuracy"])
    code, out, err = run("sweep", "sweep.json", "-o", "out")
    assert code == 1 and "[sweep.report]" in err and "eval.accuracy" in err
    configure(**ONE_STEP, report=[])
    code, out, _ = run("sweep", "sweep.json", "-o", "out", "--json")
    assert code == 0 and json.loads(out)["rows"][0]["eval.samples"] == 20


def test_a_dry_run_runs_nothing(run: Run, folder: Path) -> None:
    code, out, _ = run("sweep", "sweep.json", "-o", "out", "--dry-run")
    assert code == 0 and len(out.splitlines()) == 4
    assert out.startswith("snnir quantise net.snnir -o ") and "--bits 8" in out
    assert len(json.loads(run("sweep", "sweep.json", "-o", "out", "--dry-run", "--json")[1])) == 2
    assert not (folder / "out").exists()


def test_a_scheduler_that_is_running(folder: Path) -> None:
    import distributed

    configure(**ONE_STEP)
    sweep = read_sweep("sweep.json")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        table = run_sweep(sweep, "out", scheduler=cluster.scheduler_address)
    assert [row["state"] for row in table.rows] == ["finished"]


def test_a_scheduler_that_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("nonsense://x", "tcp://127.0.0.1:1"):
        monkeypatch.setattr("snnir.sweep.run._PATIENCE", "1s")
        with pytest.raises(ConversionError, match=r"\[sweep.scheduler\]"):
            run_sweep(read_sweep("sweep.json"), "out", scheduler=address)


def test_what_goes_wrong_before_anything_runs(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = read_sweep("sweep.json")
    Path("file").write_text("precious")
    with pytest.raises(FileError, match=r"\[file.unwritable\]"):
        run_sweep(sweep, "file")
    assert run("sweep", "sweep.json", "-o", "o", "--scheduler", "a", "--workers", "1")[0] == 2
    configure(grid={})
    code, _, err = run("sweep", "sweep.json", "-o", "out")
    assert code == 1 and err.count("[sweep.config]") == 2
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingDependency, match=r"snnir\[sweep\]"):
        run_sweep(sweep, "out")
