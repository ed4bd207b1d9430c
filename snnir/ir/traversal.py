"""Orders and neighbourhoods of a graph. Every function is linear in nodes and edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

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
    nodes = {node.name: node for node in graph.nodes.values()}
    waiting: dict[str, int] = dict.fromkeys(nodes, 0)
    dependents: dict[str, list[str]] = {}
    for node in nodes.values():
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
        order.append(nodes[name])
        for dependent in dependents.get(name, ()):
            waiting[dependent] -= 1
            if not waiting[dependent]:
                ready.append(dependent)
    left = [node for name, node in nodes.items() if waiting[name]]
    return order, left


def find_cycles(
    nodes: Iterable[Node], follows: Callable[[Node, Binding], bool] | None = None
) -> list[list[str]]:
    """Names along a cycle, in the direction of the edges, for each knot of cycles among nodes.

    Args:
        nodes: E.g. those that :func:`topological_order` left over.
        follows: See there.

    Returns:
        One cycle for each set of nodes that can all reach each other.
    """
    left = {node.name: node for node in nodes}
    sources = {
        name: [
            source
            for binding in node.inputs
            if (source := producer(binding.source)) in left
            and (follows(node, binding) if follows else not binding.delay_steps)
        ]
        for name, node in left.items()
    }
    found = []
    for component in strong_components(sources):
        if len(component) > 1 or component[0] in sources[component[0]]:
            found.append(_walk_round(component[-1], set(component), sources))
    return found


def _walk_round(name: str, component: set[str], sources: Mapping[str, list[str]]) -> list[str]:
    """Walks backwards until it comes round, as in a strong component it must."""
    seen: dict[str, int] = {}
    while name not in seen:
        seen[name] = len(seen)
        name = next(source for source in sources[name] if source in component)
    return list(seen)[seen[name] :][::-1]


def strong_components(edges: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """Sets of nodes that can all reach each other, each behind those that its edges lead to.

    Tarjan's algorithm, without recursion; in each set the node reached first comes last.
    """
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    stacked: set[str] = set()
    work: list[tuple[str, Iterator[str]]] = []

    def enter(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        stacked.add(name)
        work.append((name, iter(edges[name])))

    for root in edges:
        if root not in index:
            enter(root)
        while work:
            name, targets = work[-1]
            for target in targets:
                if target not in index:
                    enter(target)
                    break
                if target in stacked:
                    lowest[name] = min(lowest[name], index[target])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[name])
                if lowest[name] == index[name]:
                    component = [stack.pop()]
                    while component[-1] != name:
                        component.append(stack.pop())
                    stacked.difference_update(component)
                    yield component


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
