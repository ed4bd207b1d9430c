"""Orders and neighbourhoods of a graph. Every function is linear in nodes and edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from snnir.ir.graph import Binding, Graph, Node


def producer(value: str) -> str:
    """Name of the node or input that a value comes from."""
    return value.partition(":")[0]


def consumers(graph: Graph) -> dict[str, list[tuple[Node, Binding]]]:
    """For each value that is used: the nodes that use it and the edges they use it by."""
    uses: dict[str, list[tuple[Node, Binding]]] = {}
    for node in graph.nodes.values():
        for binding in node.inputs:
            uses.setdefault(binding.source, []).append((node, binding))
    return uses


def topological_order(
    graph: Graph, follows: Callable[[Node, Binding], bool] | None = None
) -> tuple[list[Node], list[Node]]:
    """Nodes so that each comes after what it depends on; ties keep the graph's order.

    Args:
        graph: The graph.
        follows: Whether an edge is a dependency. By default those without delay are.

    Returns:
        The order, and the nodes that are left over because they are on or behind a cycle.
    """
    waiting: dict[str, int] = dict.fromkeys(graph.nodes, 0)
    dependents: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        for binding in node.inputs:
            if follows(node, binding) if follows else not binding.delay_steps:
                source = producer(binding.source)
                if source in waiting:
                    waiting[node.name] += 1
                    dependents.setdefault(source, []).append(node.name)
    ready = deque(name for name, count in waiting.items() if not count)
    order: list[Node] = []
    while ready:
        name = ready.popleft()
        order.append(graph.nodes[name])
        for dependent in dependents.get(name, ()):
            waiting[dependent] -= 1
            if not waiting[dependent]:
                ready.append(dependent)
    left = [node for name, node in graph.nodes.items() if waiting[name]]
    return order, left


def find_cycle(nodes: Iterable[Node]) -> list[str]:
    """Names along one undelayed cycle among nodes that :func:`topological_order` left over.

    Each node left over has a predecessor left over, so walking backwards must come round.
    """
    left = {node.name: node for node in nodes}
    if not left:
        return []
    name = next(iter(left))
    seen: dict[str, int] = {}
    path: list[str] = []
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = next(
            source
            for binding in left[name].inputs
            if not binding.delay_steps and (source := producer(binding.source)) in left
        )
    return path[seen[name] :][::-1]


def ancestors(graph: Graph, values: Iterable[str]) -> set[str]:
    """Names of all nodes and inputs that the values depend on, through any delay."""
    reached: set[str] = set()
    todo = [producer(value) for value in values]
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        if node := graph.nodes.get(name):
            todo.extend(producer(binding.source) for binding in node.inputs)
    return reached
