"""When populations have to run late so that every synapse takes at least one step.

In GeNN a spike acts one step after it was sent, plus the delay of its synapse; in a model an
undelayed edge acts at once. A population that is ``lag`` steps late sees the same input in the
same order, so nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edge:
    """A path between populations; ``delay`` is the shortest delay of its synapses, in steps."""

    source: str
    target: str
    delay: int


def find_lags(
    populations: Iterable[str], edges: Iterable[Edge], together: Iterable[str]
) -> tuple[dict[str, int], list[Edge]]:
    """The smallest lags with ``lag(target) + delay >= lag(source) + 1`` on every edge.

    Longest paths by relaxation (Bellman 1958, Ford 1956).

    Args:
        populations: Their names.
        edges: Paths between them.
        together: Populations that must have the same lag: those that are read out.

    Returns:
        Lags, and the edges that no lags can satisfy: some of each cycle that is too short.
    """
    lags = dict.fromkeys(populations, 0)
    edges, together = list(edges), list(together)
    for _ in range(len(lags) + 1):
        unmet = _relax(lags, edges)
        if unmet:
            return lags, unmet
        latest = max((lags[name] for name in together), default=0)
        if all(lags[name] == latest for name in together):
            return lags, []
        for name in together:
            lags[name] = latest
    return lags, [edge for edge in edges if edge.source in together or edge.target in together]


def _relax(lags: dict[str, int], edges: list[Edge]) -> list[Edge]:
    for _ in range(len(lags) + 1):
        changed = False
        for edge in edges:
            least = required(lags, edge)
            if lags[edge.target] < least:
                lags[edge.target], changed = least, True
        if not changed:
            return []
    return [edge for edge in edges if lags[edge.target] < required(lags, edge)]


def required(lags: Mapping[str, int], edge: Edge) -> int:
    """The least lag of an edge's target."""
    return lags[edge.source] + 1 - edge.delay
