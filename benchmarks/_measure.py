"""Shared by the benchmark scripts: clocks, memory, tables.

How things are measured:

* **Time**: median (and minimum) of several repetitions in one process. The candidates take
  turns, so that a busy moment of the machine hits all of them; the first round is not counted
  (warm page cache, warm imports), except for what is too slow to be repeated. The garbage
  collector is on, as for any user, but is run before each repetition.
* **Extra memory**: in a fresh process for each figure, after a small run of the same kind (so
  that imports do not count): the kernel's peak of resident memory (``VmHWM``) less what was
  resident before. The peak is reset before (``/proc/self/clear_refs``), so that what made the
  input does not hide it. Pages of a mapped file that were touched count, too. Where there is no
  ``/proc`` it is the rise of ``ru_maxrss``, and the table says so.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MB: Final = 1_000_000
MISSED: Final = "MISSED"


# Options -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        directory: Where temporary files go; the file system that is measured.
        repetitions: Of what is fast enough to be repeated.
        quick: Whether slow peers get smaller problems and fewer repetitions.
        large: Whether to measure what needs several gigabytes.
        arguments: All that was given, with what single scripts have added.
    """

    directory: Path
    repetitions: int = 15
    quick: bool = False
    large: bool = False
    arguments: argparse.Namespace = field(default_factory=argparse.Namespace)


def parse(description: str, scripts: Sequence[Any]) -> tuple[Options, Path | None]:
    """The command line of benchmark scripts: options, and where the JSON goes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--dir", type=Path, default=Path(), help="for temporary files [.]")
    parser.add_argument("--repetitions", type=int, default=15, metavar="N", help="[15]")
    parser.add_argument("--quick", action="store_true", help="spare the slow peers")
    parser.add_argument("--large", action="store_true", help="measure models above 2 GiB, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="trained networks and data")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many samples")
    parser.add_argument(
        "--torch-python", type=Path, metavar="PYTHON", help="interpreter with PyTorch and peers"
    )
    for script in scripts:
        if (add_arguments := getattr(script, "add_arguments", None)) is not None:
            add_arguments(parser)
    given = parser.parse_args()
    if given.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    if not given.dir.is_dir():
        parser.error(f"no directory {given.dir}")
    options = Options(given.dir, given.repetitions, given.quick, given.large, given)
    return options, given.json


@contextlib.contextmanager
def scratch(options: Options) -> Iterator[Path]:
    """A directory that vanishes, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.directory) as name:
        yield Path(name)


def free_bytes(directory: Path) -> int:
    """Free space of a directory's file system."""
    return shutil.disk_usage(directory).free


# Time ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """Seconds that the repetitions took.

    Attributes:
        seconds: Elapsed.
        cpu: Of all cores, for this process.
    """

    seconds: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """The shortest."""
        return min(self.seconds)

    @property
    def cpu_median(self) -> float:
        """The middle one of the CPU's."""
        return statistics.median(self.cpu)


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Job:
    """One candidate.

    Attributes:
        name: What the table calls it.
        run: What is timed; it gets what ``prepare`` returned.
        prepare: Run before each repetition, untimed.
        repetitions: At most that many.
    """

    name: str
    run: Callable[[Any], object]
    prepare: Callable[[], Any] = _nothing
    repetitions: int = sys.maxsize


def interleave(jobs: Sequence[Job], repetitions: int) -> dict[str, Times]:
    """Time all jobs in turn, round after round."""
    seconds: dict[str, list[tuple[float, float]]] = {job.name: [] for job in jobs}
    for turn in range(-1, repetitions):
        for job in jobs:
            slow = job.repetitions < 3
            if (turn < 0 and slow) or turn >= job.repetitions:
                continue
            argument = job.prepare()
            gc.collect()
            start, cpu = time.perf_counter(), time.process_time()
            result = job.run(argument)
            taken = time.perf_counter() - start, time.process_time() - cpu
            del result, argument
            if turn >= 0:
                seconds[job.name].append(taken)
    return {name: Times(*zip(*found, strict=True)) for name, found in seconds.items() if found}


# Memory --------------------------------------------------------------------------------------


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in an interpreter that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _max_resident() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_method() -> str:
    """How :func:`peak_rise` measures on this machine."""
    if os.access("/proc/self/clear_refs", os.W_OK):
        return "VmHWM, reset before"
    return "rise of ru_maxrss (no /proc/self/clear_refs here)"


def peak_rise(action: Callable[[], object]) -> int:
    """Bytes by which the peak of resident memory exceeds what is resident now.

    What the action returns is alive when the peak is read.
    """
    gc.collect()
    if not os.access("/proc/self/clear_refs", os.W_OK):
        before = _max_resident()
        result = action()
        after = _max_resident()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        result = action()
        after = _status("VmHWM")
    del result
    return max(after - before, 0)


# Results -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """Something that is to be reached."""

    what: str
    bar: str
    reached: str
    met: bool
    beside: str = ""


@dataclass
class Table:
    """Figures of one kind for all candidates."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Unrounded, for the JSON: by candidate, then by quantity (seconds and bytes)."""


@dataclass
class Report:
    """What a benchmark script finds out."""

    name: str
    tables: list[Table] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def add(self, table: Table) -> None:
        """Keep a finished table, and print it: the next one may take minutes."""
        self.tables.append(table)
        print("\n".join([table.title, "", *_aligned(table.columns, table.rows), ""]))
        print("".join(f"  {note}\n" for note in table.notes), flush=True)


def is_present(module: str) -> bool:
    """Whether a peer can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def version(distribution: str) -> str:
    """Version of a distribution (or of a module on the path), or that there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        if not is_present(distribution):
            return "absent"
        return str(getattr(importlib.import_module(distribution), "__version__", "present"))


def milliseconds(seconds: float) -> str:
    """Three digits that count."""
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def megabytes(size: float) -> str:
    """Three digits that count, of 10^6 bytes."""
    value = size / MB
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def at_most(
    what: str, bar: float, reached: float, unit: str, beside: str = "", decimals: int = 2
) -> Bar:
    """A figure that must not be above its bar."""
    text = f"{reached:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{reached:.0f}"
    return Bar(what, f"<= {bar:g}{unit}", f"{text}{unit}", reached <= bar, beside)


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "  ".join((first, *rest)).rstrip()

    return [line(columns), "  ".join("-" * width for width in widths), *map(line, rows)]


def verdicts(report: Report) -> str:
    """The bars, and which peers are absent, as text."""
    lines: list[str] = []
    if report.bars:
        columns = ("bar", "allowed", "reached", "")
        cells = [(b.what, b.bar, b.reached, "met" if b.met else MISSED) for b in report.bars]
        aligned = _aligned(columns, cells)
        lines += aligned[:2]
        for bar, text in zip(report.bars, aligned[2:], strict=True):
            lines.append(f"{text:<{len(aligned[1])}}  {bar.beside}".rstrip())
        lines.append("")
    lines += [f"absent, hence not measured: {name}" for name in report.absent]
    return "\n".join(lines).rstrip() + "\n"


def environment() -> dict[str, str]:
    """What the figures depend on."""
    names = ("snnir", "numpy", "protobuf", "nir", "h5py", "onnx", "safetensors")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
        "memory": memory_method(),
        **{name: version(name) for name in names},
    }


def finish(reports: Sequence[Report], target: Path | None) -> int:
    """Write the JSON if it is asked for; 1 if a bar is missed, otherwise 0."""
    if target is not None:
        content = {
            "environment": environment(),
            "reports": [asdict(report) for report in reports],
        }
        target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(any(not bar.met for report in reports for bar in report.bars))


def main(description: str, scripts: Sequence[Any]) -> int:
    """Run benchmark scripts from the command line; returns the exit code.

    Args:
        description: What they do, for ``--help``.
        scripts: Modules with ``measure(options) -> Report``, and ``add_arguments(parser)`` if they
            have options of their own.
    """
    options, target = parse(description, scripts)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # cleans up
    print("  ".join(f"{key}: {value}" for key, value in environment().items()), end="\n\n")
    reports: list[Report] = []
    for script in scripts:
        report = script.measure(options)
        print(verdicts(report), flush=True)
        reports.append(report)
    return finish(reports, target)
