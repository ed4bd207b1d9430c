"""Running the points of a sweep on Dask distributed, each of them once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from snnir._version import __version__
from snnir.cli.common import Exit
from snnir.errors import ConversionError, Diagnostic, FileError, MissingDependency
from snnir.files import reason, write_atomically
from snnir.sweep.config import FOLDER, Sweep, Value
from snnir.sweep.table import Table

FINISHED: Final = "finished"
FAILED: Final = "failed"
INTERRUPTED: Final = "interrupted"

_BY_HAND: Final = (
    int(Exit.INTERRUPTED),
    int(Exit.TERMINATED),
    -signal.SIGINT,
    -signal.SIGTERM,
)
"""What a command returns that someone has stopped."""


_PIECE: Final = 1 << 20
_PATIENCE: Final = "10s"
"""How long a scheduler may take to answer."""

_SAID: Final = 2000
"""Characters of what a failed command said that are kept."""

Result = dict[str, Any]
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Point:
    """One setting of a sweep, ready to run anywhere that sees the same files.

    Attributes:
        values: Values of its parameters.
        key: Digest of its commands and of the files that they name.
        commands: Name and command line of each step.
        folder: Where its own files go.
        result: Where its result goes.
    """

    values: Mapping[str, Value]
    key: str
    commands: Sequence[tuple[str, Sequence[str]]]
    folder: str
    result: str


def points_of(sweep: Sweep, folder: Path) -> list[Point]:
    """The points of a sweep whose results are kept in a folder.

    A point is known by what it does: its commands, what is in the files that they name, and the
    version of this library. Other parameters, or a changed file, make another point.

    Raises:
        FileError: If such a file cannot be read.
    """
    digests: dict[str, str] = {}
    points = []
    for values in sweep.points:
        placeless = [step.filled({**values, FOLDER: f"{{{FOLDER}}}"}) for step in sweep.steps]
        files = {
            argument: _digest(argument, digests)
            for command in placeless
            for argument in command
            if os.path.isfile(argument)
        }
        meaning = json.dumps([__version__, placeless, files], sort_keys=True)
        key = hashlib.sha256(meaning.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        own = str(folder / key)
        commands = [(step.name, step.filled({**values, FOLDER: own})) for step in sweep.steps]
        points.append(Point(values, key, commands, own, f"{own}.json"))
    return points


def _digest(path: str, known: dict[str, str]) -> str:
    if path not in known:
        hashed = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                while piece := file.read(_PIECE):
                    hashed.update(piece)
        except OSError as error:
            raise FileError(
                Diagnostic("file.unreadable", f"file '{path}'", reason(error), "a readable file")
            ) from error
        known[path] = hashed.hexdigest()
    return known[path]


def run_sweep(
    sweep: Sweep,
    folder: str | os.PathLike[str],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    retry: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Run all points that have no result yet, and put all results in one table.

    Each point is a task of Dask distributed, which runs the commands as processes and keeps the
    result in a file of its own as soon as there is one; an interrupted sweep goes on from there.

    Args:
        sweep: What to run; relative names of files are relative to the working directory.
        folder: Where results go; it may hold those of an earlier run.
        scheduler: Address of a running scheduler, whose workers see the same files under the
            same names; by default a cluster on this machine.
        workers: Points that the cluster on this machine runs at a time; by default one for each
            processor.
        retry: Whether points that failed are run again.
        progress: Told how many points of how many are done.

    Raises:
        MissingDependency: If ``distributed`` is not installed.
        FileError: If the folder cannot be written.
        ConversionError: If there is no such scheduler.
    """
    target = Path(folder).absolute()
    points = points_of(sweep, target)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            Diagnostic("file.unwritable", f"folder '{target}'", reason(error), "a writable folder")
        ) from error
    results = {point.key: found for point in points if (found := _kept(point, retry)) is not None}
    missing = {point.key: point for point in points if point.key not in results}
    if progress is not None:
        progress(len(results), len(points))
    if missing:
        for key, result in _computed(missing, scheduler, workers):
            results[key] = result
            if progress is not None:
                progress(len(results), len(points))
    rows = [(point.values, point.key, results[point.key]) for point in points]
    return Table.of(rows, sweep)


def _kept(point: Point, retry: bool) -> Result | None:
    """The result of an earlier run; None if there is none that counts."""
    try:
        found = json.loads(Path(point.result).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("state") not in (FINISHED, FAILED):
        return None
    return None if retry and found["state"] == FAILED else found


def _computed(
    points: Mapping[str, Point], scheduler: str | None, workers: int | None
) -> Iterator[tuple[str, Result]]:
    distributed = _distributed()
    COMMANDS.allow(points)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_client(distributed, scheduler, workers, len(points)))
        directory = os.getcwd()
        futures = {
            client.submit(run_point, point, directory, pure=False, retries=0): point
            for point in points.values()
        }
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                point = futures[future]
                error = future.exception()
                if error is not None:
                    text = f"{type(error).__name__}: {error}"
                    result = _failed(point, {}, "", [{"message": text[:_SAID]}], 0.0)
                    _keep(point, result)
                else:
                    result = future.result()
                yield point.key, result
        except BaseException:
            client.cancel(list(futures), force=True)
            COMMANDS.stop(points)
            raise


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "sweeps",
                "no package 'distributed'",
                "Dask distributed installed",
                hint='pip install "snnir[sweep]"',
            )
        ) from error
    return distributed


@contextlib.contextmanager
def _client(
    distributed: Any, scheduler: str | None, workers: int | None, points: int
) -> Iterator[Any]:
    """A client of the scheduler, or of a cluster on this machine for the time being."""
    if scheduler is not None:
        try:
            client = distributed.Client(scheduler, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            text = " ".join(str(error).split())[:200] or type(error).__name__
            allowed = "the address of a running scheduler, e.g. tcp://host:8786"
            raise ConversionError(
                Diagnostic("sweep.scheduler", f"scheduler '{scheduler}'", text, allowed)
            ) from error
        with client:
            yield client
        return
    # Commands are processes: a thread for each is enough.
    threads = min(workers or os.cpu_count() or 1, points)
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=threads,
            processes=False,
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.ERROR,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


# On a worker -----------------------------------------------------------------------------------


class Commands:
    """The commands that run in this process, by point, so that they can be stopped with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: set[str] = set()

    def allow(self, points: Iterable[str]) -> None:
        """Let points run that were stopped before."""
        with self._lock:
            self._stopped.difference_update(points)

    def stop(self, points: Iterable[str]) -> None:
        """End the commands of points, and begin none of theirs any more."""
        with self._lock:
            self._stopped.update(points)
            for point in self._stopped & self._running.keys():
                self._running[point].terminate()

    def run(self, point: str, command: Sequence[str], directory: str) -> tuple[int, bytes, bytes]:
        """Run a command; returns its exit code and what it printed."""
        with self._lock:
            if point in self._stopped:
                return -signal.SIGTERM, b"", b""
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=directory,
            )
            self._running[point] = process
        try:
            stdout, stderr = process.communicate()
        finally:
            with self._lock:
                del self._running[point]
        return process.returncode, stdout, stderr


COMMANDS: Final = Commands()


def run_point(point: Point, directory: str) -> Result:
    """Run the commands of a point one after the other, up to one that fails, and keep the result.

    Args:
        point: The point.
        directory: Working directory of the commands.

    Returns:
        ``state``, ``values``, ``commands``, ``results`` (by step), ``seconds`` and, of a point
        that failed, ``failed_step`` and ``error``. Of one that was stopped nothing is kept.

    Raises:
        FileError: If the result cannot be kept.
    """
    start = time.perf_counter()
    results: dict[str, Any] = {}
    os.makedirs(point.folder, exist_ok=True)
    for name, command in point.commands:
        code, stdout, stderr = COMMANDS.run(
            point.key, [sys.executable, "-m", "snnir", *command, "--json"], directory
        )
        if code in _BY_HAND:
            return {"state": INTERRUPTED, **_described(point)}
        said = stdout.decode("utf-8", "replace")
        try:
            found = json.loads(said) if said.strip() else {}
        except (ValueError, RecursionError):
            found = {"output": said[-_SAID:]}
        if code != 0:
            error = found.get("diagnostics") if isinstance(found, dict) else None
            if not error:
                text = stderr.decode("utf-8", "replace").strip() or said
                error = [{"message": text[-_SAID:], "exit_code": code}]
            result = _failed(point, results, name, error, time.perf_counter() - start)
            break
        results[name] = found
    else:
        seconds = time.perf_counter() - start
        result = {"state": FINISHED, **_described(point), "results": results, "seconds": seconds}
    _keep(point, result)
    return result


def _described(point: Point) -> Result:
    commands = {name: list(command) for name, command in point.commands}
    return {"values": dict(point.values), "commands": commands}


def _failed(
    point: Point, results: Mapping[str, Any], step: str, error: Any, seconds: float
) -> Result:
    return {
        "state": FAILED,
        **_described(point),
        "results": dict(results),
        "failed_step": step,
        "error": error,
        "seconds": seconds,
    }


def _keep(point: Point, result: Result) -> None:
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    write_atomically(point.result, lambda file: file.write(text.encode("utf-8", "replace")))
