"""Computes the conformance vectors, from origins other than the code that they test.

    python tests/conformance/make_vectors.py [--check] [--op NAME]

Writes ``snnir/testing/vectors/<domain>/<Operator>/<case>.snnir``, and removes vectors that no
case makes any more. ``--check`` writes nothing: it names the files that differ, and exits 1 if
there are any. ``--op`` limits either to an operator (``snn.IF``), a domain or ``system``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import snnir
from snnir import testing
from snnir.ops import registry
from tests.conformance import (
    activations,
    arithmetic,
    decoders,
    encoders,
    few_spikes,
    layout,
    linear,
    loihi2,
    neurons,
    pooling,
    starts,
    synapses,
    system,
)
from tests.conformance.cases import Case

FAMILIES = (
    linear,
    pooling,
    layout,
    activations,
    arithmetic,
    neurons,
    few_spikes,
    synapses,
    encoders,
    decoders,
    loihi2,
    system,
    starts,
)

VECTORS = Path(testing.__file__).parent / "vectors"
LEAST = 2
"""Vectors of every built-in operator."""


def wanted(group: str, op: str | None) -> bool:
    """Whether a group (an operator, or ``system.<what>``) is asked for."""
    return op is None or op in (group, group.partition(".")[0])


def cases(op: str | None = None) -> Iterator[Case]:
    """All cases, or those of an operator or domain."""
    for family in FAMILIES:
        for case in family.cases():
            if wanted(case.group, op):
                yield case


def generate(op: str | None = None) -> dict[str, bytes]:
    """Content of every file by its path below the folder of the vectors.

    Raises:
        ValueError: If two cases have one name, or an operator has too few.
    """
    files: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    for case in cases(op):
        if case.path in files:
            raise ValueError(f"two cases are called {case.path}")
        files[case.path] = snnir.to_bytes(case.model)
        counts[case.group] += 1
    for name in registry.BUILTIN_DOMAINS:
        for definition in registry.domain(name) or ():
            if wanted(definition.op, op) and counts[definition.op] < LEAST:
                raise ValueError(f"{definition.op} has {counts[definition.op]} vectors")
    return files


def stored(op: str | None = None, folder: Path = VECTORS) -> dict[str, bytes]:
    """What is checked in, likewise."""
    found = {}
    for path in sorted(folder.rglob("*.snnir")):
        name = path.relative_to(folder).as_posix()
        if wanted(".".join(name.split("/")[:2]), op):
            found[name] = path.read_bytes()
    return found


def drifted(op: str | None = None, folder: Path = VECTORS) -> list[str]:
    """Files that are missing, superfluous or different."""
    made, kept = generate(op), stored(op, folder)
    return sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))


def write(op: str | None = None, folder: Path = VECTORS) -> list[str]:
    """Bring the files up to date; returns those that changed."""
    made, kept = generate(op), stored(op, folder)
    changed = sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))
    for name in changed:
        path = folder / name
        if name in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made[name])
        else:
            path.unlink()
    return changed


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compute the conformance vectors.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    parser.add_argument("--op", metavar="NAME", help="an operator, a domain, or 'system'")
    arguments = parser.parse_args()
    changed = (drifted if arguments.check else write)(arguments.op)
    for name in changed:
        print(f"{'differs' if arguments.check else 'updated'}: {name}")
    if not arguments.check:
        files = stored(arguments.op)
        print(f"{len(files)} vectors, {sum(map(len, files.values()))} bytes")
    return 1 if arguments.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
