"""Sweeps: one line of commands for many settings, on Dask distributed, resumable."""

from __future__ import annotations

from snnir.sweep.config import Sweep, read_sweep
from snnir.sweep.run import run_sweep
from snnir.sweep.table import Table

__all__ = ["Sweep", "Table", "read_sweep", "run_sweep"]
