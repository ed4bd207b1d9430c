"""Orders, cycles and neighbourhoods."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from snnir.ir.graph import Binding, Graph, GraphInput
from snnir.ir.traversal import ancestors, consumers, find_cycles, producer, topological_order
from tests.check.nets import lif, value_type

Edges = dict[str, list[tuple[str, int]]]


def graph(edges: Edges) -> Graph:
    """Nodes with the nodes that they get something from, and the delay."""
    nodes = {
        name: lif(name, *((f"{source}:spikes", delay) for source, delay in sources))
        for name, sources in edges.items()
    }
    return Graph("main", [GraphInput("x", value_type(3))], nodes)


def names(nodes: object) -> list[str]:
    return [node.name for node in nodes]  # type: ignore[attr-defined]


def test_producer() -> None:
    assert [producer(value) for value in ("x", "n:y", "a/b.c:y", "")] == ["x", "n", "a/b.c", ""]


def test_consumers() -> None:
    made = graph({"a": [], "b": [("a", 0), ("a", 2)], "c": [("a", 0)]})
    uses = consumers(made)
    assert [(node.name, edge.delay_steps) for node, edge in uses["a:spikes"]] == [
        ("b", 0),
        ("b", 2),
        ("c", 0),
    ]
    assert "b:spikes" not in uses


def test_ties_keep_the_order_of_the_graph() -> None:
    order, left = topological_order(graph({"c": [], "a": [], "b": []}))
    assert (names(order), left) == (["c", "a", "b"], [])


def test_what_comes_first_is_first() -> None:
    order, left = topological_order(graph({"c": [("b", 0)], "b": [("a", 0)], "a": []}))
    assert (names(order), left) == (["a", "b", "c"], [])


def test_a_delay_is_no_dependency() -> None:
    made = graph({"a": [("b", 1)], "b": [("a", 0)]})
    order, left = topological_order(made)
    assert (names(order), left) == (["a", "b"], [])
    order, left = topological_order(made, lambda node, binding: True)
    assert (order, names(left)) == ([], ["a", "b"])


def test_left_over_are_those_on_and_behind_a_cycle() -> None:
    made = graph({"a": [("b", 0)], "b": [("a", 0)], "behind": [("b", 0)], "free": []})
    order, left = topological_order(made)
    assert (names(order), names(left)) == (["free"], ["a", "b", "behind"])


def test_edges_to_nowhere_are_no_dependencies() -> None:
    order, left = topological_order(graph({"a": [("nothing", 0)], "b": [("x", 0)]}))
    assert (names(order), left) == (["a", "b"], [])


def test_a_node_under_another_key_does_not_matter() -> None:
    made = graph({"a": [], "b": [("a", 0)]})
    made.nodes = {"k1": made.nodes["b"], "k2": made.nodes["a"]}
    assert names(topological_order(made)[0]) == ["a", "b"]


def test_no_cycle() -> None:
    assert find_cycles([]) == []
    assert find_cycles(graph({"a": [], "b": [("a", 0)], "c": [("c", 1)]}).nodes.values()) == []


def test_a_cycle_runs_along_the_edges() -> None:
    made = graph({"a": [("c", 0)], "b": [("a", 0)], "c": [("b", 0)]})
    (cycle,) = find_cycles(made.nodes.values())
    assert "".join(cycle * 2).find("abc") >= 0 and len(cycle) == 3


def test_a_node_that_feeds_itself() -> None:
    assert find_cycles(graph({"a": [("a", 0)]}).nodes.values()) == [["a"]]


def test_one_cycle_for_each_knot() -> None:
    made = graph(
        {
            "a": [("b", 0)],
            "b": [("a", 0), ("c", 0)],
            "c": [("b", 0)],
            "between": [("c", 0)],
            "d": [("d", 0), ("between", 0)],
            "behind": [("d", 0)],
        }
    )
    found = find_cycles(made.nodes.values())
    assert len(found) == 2
    assert ["d"] in found


def test_the_longest_cycle_does_not_exhaust_the_stack() -> None:
    size = 50_000
    made = graph({f"n{i}": [(f"n{(i + 1) % size}", 0)] for i in range(size)})
    (cycle,) = find_cycles(made.nodes.values())
    assert len(cycle) == size


def test_ancestors_go_through_delays() -> None:
    made = graph({"a": [], "b": [("a", 3)], "c": [("b", 0), ("c", 1)], "d": []})
    assert ancestors(made, ["c:spikes"]) == {"a", "b", "c"}
    assert ancestors(made, ["x", "nothing:y"]) == {"x", "nothing"}
    assert ancestors(made, []) == set()


NODES = [f"n{index}" for index in range(7)]
GRAPHS = st.dictionaries(
    st.sampled_from(NODES),
    st.lists(st.tuples(st.sampled_from(NODES), st.integers(0, 1)), max_size=4),
).map(graph)


def undelayed(made: Graph) -> dict[str, set[str]]:
    return {
        name: {
            source
            for binding in node.inputs
            if not binding.delay_steps and (source := producer(binding.source)) in made.nodes
        }
        for name, node in made.nodes.items()
    }


def reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    """What a node depends on; itself if it is on a cycle."""
    found: set[str] = set()
    todo = list(edges[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(edges[name])
    return found


@settings(deadline=None, max_examples=300)
@given(GRAPHS)
def test_orders_and_cycles_are_right(made: Graph) -> None:
    edges = undelayed(made)
    order, left = topological_order(made)
    assert sorted(names(order) + names(left)) == sorted(made.nodes)
    seen: set[str] = set()
    for node in order:
        assert edges[node.name] <= seen
        seen.add(node.name)
    on_cycle = {name for name in edges if name in reachable(edges, name)}
    behind = {name for name in edges if reachable(edges, name) & on_cycle}
    assert set(names(left)) == on_cycle | behind

    knots = {
        frozenset(n for n in reachable(edges, name) if name in reachable(edges, n))
        for name in on_cycle
    }
    found = find_cycles(left)
    assert len(found) == len(knots)
    for cycle in found:
        assert len(set(cycle)) == len(cycle)
        assert any(set(cycle) <= knot for knot in knots)
        for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert before in edges[after]
    assert find_cycles(made.nodes.values(), lambda node, binding: False) == []


def test_a_binding_reads_well() -> None:
    assert str(Binding("p", "n:y")) == "n:y"
    assert str(Binding("p", "n:y", 3)) == "n:y @-3"
