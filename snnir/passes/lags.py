"""When each part of a network does its work, if some connections take longer than they did.

A part with lag ``k`` does in step ``t + k`` what it did in step ``t`` of the original. An edge
with ``d`` steps of delay from lag ``a`` to lag ``b`` then has ``d + b - a`` steps. The lags are
the smallest ones from 0 for which that is as much as each edge needs. It is a longest path in
the graph whose edges weigh ``need - delay``: along strong components in order, within each by
relaxation (Bellman and Ford; Cormen et al., Introduction to Algorithms, chapter 24).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from snnir.ir.traversal import strong_components


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection.

    Attributes:
        source: The part it comes from; one that is not retimed has lag 0.
        target: The part it leads to.
        delay: Steps that it takes in the original.
        need: Steps that it takes at least.
    """

    source: str
    target: str
    delay: int
    need: int = 1

    @property
    def rise(self) -> int:
        """By how much the lag rises at least from source to target."""
        return self.need - self.delay


def find_lags(
    parts: Iterable[str], edges: Iterable[Edge], together: Sequence[Collection[str]] = ()
) -> tuple[dict[str, int], list[list[Edge]]]:
    """The smallest lags, and the cycles that allow for none.

    Args:
        parts: What is retimed.
        edges: Connections; their targets are parts.
        together: Disjoint groups of parts that share one lag.

    Returns:
        The lag of each part; and, for each knot of cycles whose needs are more than their
        delays, one such cycle: each edge starts where the one before ends, or at a part of the
        same group. If there is any, the lags mean nothing.

    Raises:
        ValueError: If a group names what is no part, or two groups overlap.
    """
    roots = _roots(parts, together)
    lags = dict.fromkeys(roots.values(), 0)
    after: dict[str, list[Edge]] = {root: [] for root in lags}
    before: dict[str, list[str]] = {root: [] for root in lags}
    cycles: list[list[Edge]] = []
    for edge in edges:
        source, target = roots.get(edge.source), roots[edge.target]
        if source is None:
            lags[target] = max(lags[target], edge.rise)
        elif source != target:
            after[source].append(edge)
            before[target].append(source)
        elif edge.rise > 0:
            cycles.append([edge])
    for component in strong_components(before):
        members = set(component)
        inner = {
            root: [edge for edge in after[root] if roots[edge.target] in members]
            for root in component
        }
        cycle = _settle(inner, roots, lags)
        if cycle:
            cycles.append(cycle)
        for root in component:
            for edge in after[root]:
                target = roots[edge.target]
                lags[target] = max(lags[target], lags[root] + edge.rise)
    return {part: lags[root] for part, root in roots.items()}, cycles


def describe_cycle(cycle: Sequence[Edge]) -> tuple[str, str]:
    """A cycle with too little delay in words: what was found, and what is allowed."""
    path = f"'{cycle[0].source}'"
    for edge, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        path += f" -> '{edge.target}'"
        if following.source != edge.target:
            path += f" (together with '{following.source}')"
    delay = sum(edge.delay for edge in cycle)
    need = sum(edge.need for edge in cycle)
    return (
        f"the cycle {path} with {delay} steps of delay",
        f"at least {need} steps of delay in this cycle",
    )


def _roots(parts: Iterable[str], together: Sequence[Collection[str]]) -> dict[str, str]:
    """For each part, the one that stands for its group."""
    roots = {part: part for part in parts}
    grouped: set[str] = set()
    for group in together:
        for part in group:
            if part not in roots or part in grouped:
                raise ValueError(f"'{part}' is in two groups, or cannot be retimed")
            roots[part] = next(iter(group))
        grouped.update(group)
    return roots


def _settle(
    inner: Mapping[str, Sequence[Edge]], roots: Mapping[str, str], lags: dict[str, int]
) -> list[Edge]:
    """Raise the lags within a strong component; returns a cycle that never settles, if any."""
    raised_by: dict[str, Edge] = {}
    order = _along_rises(inner, roots)
    settled = False
    while not settled:
        settled = True
        for root in order:
            for edge in inner[root]:
                target = roots[edge.target]
                if lags[root] + edge.rise > lags[target]:
                    lags[target] = lags[root] + edge.rise
                    raised_by[target] = edge
                    settled = False
        if cycle := _who_raises_itself(raised_by, roots):
            return cycle
    return []


def _along_rises(inner: Mapping[str, Sequence[Edge]], roots: Mapping[str, str]) -> list[str]:
    """An order along the edges that raise, in which lags settle after few passes."""
    waiting = dict.fromkeys(inner, 0)
    rises = {
        root: [roots[edge.target] for edge in edges if edge.rise > 0]
        for root, edges in inner.items()
    }
    for targets in rises.values():
        for target in targets:
            waiting[target] += 1
    order = [root for root, count in waiting.items() if not count]
    for root in order:
        for target in rises[root]:
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    return [*order, *(root for root, count in waiting.items() if count)]


def _who_raises_itself(raised_by: Mapping[str, Edge], roots: Mapping[str, str]) -> list[Edge]:
    """A cycle among the edges that raised a lag last; such a cycle would raise it for ever."""
    seen: set[str] = set()
    for start in raised_by:
        path: dict[str, Edge] = {}
        root = start
        while root not in seen and root in raised_by:
            seen.add(root)
            path[root] = raised_by[root]
            root = roots[path[root].source]
        if root in path:
            backwards = list(path.values())[list(path).index(root) :]
            return backwards[::-1]
    return []
