"""Run every benchmark script of this directory and print its tables.

    python benchmarks/run.py [--quick] [--large] [--dir DIRECTORY] [--json FILE]

A benchmark script is a module with a function ``measure(options) -> Report``, and
``add_arguments(parser)`` if it has options of its own. The exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from _measure import main


def scripts() -> list[str]:
    """Names of the benchmark modules."""
    here = Path(__file__)
    found = sorted(path.stem for path in here.parent.glob("*.py"))
    return [name for name in found if name != here.stem and not name.startswith("_")]


if __name__ == "__main__":
    sys.exit(
        main(
            "Measure snnir next to the peers that are installed.",
            [importlib.import_module(name) for name in scripts()],
        )
    )
