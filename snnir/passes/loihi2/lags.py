"""When each population of a spiking network does its work, if every synapse takes a step.

A population with lag ``k`` does in step ``t + k`` what it did in step ``t`` of the original. An
edge with ``d`` steps of delay from lag ``a`` to lag ``b`` needs ``d + b - a`` steps, of which the
synapse takes one by itself; what is left is its parameter ``delay``. The lags are the smallest
ones for which nothing is left below 0. A recurrent connection with a delay of one step needs no
more: on both sides a spike arrives in the next step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Edge:
    """A connection between populations.

    Attributes:
        source: The population it comes from; of the host if it is not one of the targets.
        target: The population it leads to.
        delay: Steps that it takes in the original.
    """

    source: str
    target: str
    delay: int


def find_lags(populations: Iterable[str], edges: Iterable[Edge]) -> dict[str, int] | None:
    """The smallest lags; None if a cycle has fewer steps of delay than synapses.

    Sources that are no populations belong to the host and have no lag.
    """
    lags = dict.fromkeys(populations, 0)
    connections = list(edges)
    for _ in range(len(lags) + 1):
        settled = True
        for edge in connections:
            least = lags.get(edge.source, 0) + 1 - edge.delay
            if least > lags[edge.target]:
                lags[edge.target] = least
                settled = False
        if settled:
            return lags
    return None
