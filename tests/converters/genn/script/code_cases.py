"""The smallest situation for the codes of GeNN's script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from snnir import GraphBuilder
from snnir.errors import CapabilityError, Diagnostic, SnnirError
from snnir.targets import find_target, make_ready

Situation = Callable[[Path], Iterable[Diagnostic] | None]


def _unknown_to_numpy(path: Path) -> None:
    b = GraphBuilder(steps=2)
    spikes = b.snn.IF(b.snn.ConstantCurrent(b.input("x", [2])))
    b.output("y", b.ann.GELU(b.snn.SpikeCount(spikes)))
    make_ready(b.build(), find_target("genn"))


CASES: list[tuple[str, type[SnnirError] | None, Situation]] = [
    ("genn.script", CapabilityError, _unknown_to_numpy)
]
