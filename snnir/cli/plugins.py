"""List what is installed: operator sets, backends, frontends, targets and readers of data.

Nothing is imported for that. With --load each is, and what does not load is named; exit code 1
then.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Final

from snnir.cli.common import Exit, format_diagnostic, out, out_json, shown, table
from snnir.errors import Diagnostic, SnnirError

_BUILT_IN: Final = {
    "ops": ("ann", "snn", "loihi2"),
    "backends": ("reference", "layerwise"),
    "targets": ("snnir", "loihi2"),
}

_TITLES: Final = {
    "ops": "operator sets (entry point group snnir.ops)",
    "backends": "backends (snnir.backends)",
    "frontends": "frontends (snnir.frontends)",
    "targets": "targets (snnir.targets)",
    "trainers": "learning rules (snnir.trainers)",
    "data": "readers of event files (snnir.data)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--load", action="store_true", help="import each plugin")


def run(args: argparse.Namespace) -> int:
    """List the plugins."""
    from snnir import plugins

    found = {kind: [*_built_in(kind), *plugins.describe(kind)] for kind in plugins.KINDS}
    broken: list[Diagnostic] = []
    if args.load:
        for kind, entries in found.items():
            for entry in entries:
                problems = _problems(kind, entry["name"])
                entry["loads"] = not problems
                broken += problems
    if args.json:
        out_json({**found, "diagnostics": [finding.to_json() for finding in broken]})
    else:
        for line in _lines(found):
            out(shown(line))
        for finding in broken:
            out("\n" + format_diagnostic(finding))
    return Exit.FINDINGS if broken else Exit.OK


def _built_in(kind: str) -> list[dict[str, Any]]:
    return [{"name": name, "object": "", "package": "snnir"} for name in _BUILT_IN.get(kind, ())]


def _problems(kind: str, name: str) -> tuple[Diagnostic, ...]:
    """What is said when a plugin is imported; nothing if it loads."""
    from snnir import plugins
    from snnir.ops import registry
    from snnir.runtime.backend import find_backend
    from snnir.targets import find_target

    try:
        if kind == "ops":
            registry.domain(name)
        elif kind == "backends":
            find_backend(name)
        elif kind == "targets":
            find_target(name)
        else:
            plugins.load(kind, name)
    except SnnirError as error:
        return error.diagnostics
    return ()


def _lines(found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for kind, entries in found.items():
        rows.append((_TITLES[kind],))
        for entry in entries:
            state = {True: "loads", False: "DOES NOT LOAD", None: ""}[entry.get("loads")]
            rows.append((f"  {entry['name']}", entry["object"], entry["package"], state))
        if not entries:
            rows.append(("  none",))
    aligned = table(row for row in rows if len(row) > 1)
    for row in rows:
        yield next(aligned) if len(row) > 1 else row[0]
