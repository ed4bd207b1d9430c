"""Situations of the error codes of sweeps; see ``tests/test_codes.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from snnir.errors import ConversionError, Diagnostic, FileError, SnnirError
from snnir.sweep import Sweep, Table, read_sweep, run_sweep
from snnir.sweep.config import Step, parse_sweep

Situation = Callable[[Path], Iterable[Diagnostic] | None]

SWEEP = Sweep((Step("info", "info", ("net.snnir",)),), ({},), ("info.size",))


def _file(folder: Path) -> None:
    (folder / "sweep.toml").write_text("steps = [")
    read_sweep(folder / "sweep.toml")


def _scheduler(folder: Path) -> None:
    pytest.importorskip("distributed", reason="needs Dask distributed")
    run_sweep(SWEEP, folder, scheduler="nonsense://x")


def _report(_: Path) -> Iterable[Diagnostic]:
    return Table.of([({}, "key", {"state": "finished", "results": {}})], SWEEP).findings


CASES: list[tuple[str, type[SnnirError] | None, Situation]] = [
    ("sweep.file", FileError, _file),
    ("sweep.config", ConversionError, lambda _: parse_sweep({}) and None),
    ("sweep.scheduler", ConversionError, _scheduler),
    ("sweep.report", None, _report),
]
