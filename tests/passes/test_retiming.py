"""Retiming: the same values in other steps, with the delays that were asked for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.errors import CapabilityError, ModelError
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import Binding, Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.passes.lags import Edge, find_lags
from snnir.passes.retiming import Retimed, retime
from snnir.runtime.backend import state_names
from snnir.runtime.reference import ReferenceBackend
from snnir.testing.random_models import random_inputs, random_model

Need = Callable[[Node, Binding], int]
Array = np.ndarray[Any, Any]


def every_edge(node: Node, binding: Binding) -> int:
    return 1


def out_of_neurons(node: Node, binding: Binding) -> int:
    """A step for each synapse, as backends need it that integrate what arrived before."""
    return int(binding.source.endswith(":spikes"))


def longer(array: Array, steps: int) -> Array:
    """Zeros behind the steps."""
    padding = [(0, 0), (0, steps), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, padding)


def check_same(model: Model, retimed: Retimed, inputs: dict[str, Array], steps: int) -> None:
    """Every value and state of every node is the same, later by its lag."""
    assert snnir.check(retimed.model) == []
    types = snnir.infer(model)
    fed = {
        entry.name: longer(inputs[entry.name], retimed.latency)
        if entry.type.is_per_step
        else inputs[entry.name]
        for entry in model.graph.inputs
    }
    names = [value for node in model.graph.nodes.values() for value in node.values()]
    states = [f"{name}:{state}" for name, own in state_names(model).items() for state in own]
    names += [name for name in states if name not in names]
    before = ReferenceBackend().prepare(model).run(inputs, steps=steps, record=names)
    after = (
        ReferenceBackend()
        .prepare(retimed.model)
        .run(fed, steps=steps + retimed.latency, record=names)
    )
    for name in names:
        lag = retimed.lags.get(producer(name))
        expected, found = before[name], after[name]
        if lag is not None and (name not in types or types[name].is_per_step):
            found = found[:, lag : lag + steps]  # cut off where nothing but itself waits for it
            expected = expected[:, : found.shape[1]]
            assert lag > retimed.latency or found.shape[1] == steps
        assert np.array_equal(found, expected), name
    for output in model.graph.outputs:
        lag = retimed.lags.get(producer(output.value), 0)
        found = after[output.name]
        if types[output.value].is_per_step:
            found = found[:, lag : lag + steps]
        assert np.array_equal(found, before[output.name])


def timed_edges(model: Model) -> Iterator[tuple[Node, Binding]]:
    types = snnir.infer(model)
    for node in model.graph.nodes.values():
        for binding in node.inputs:
            if types[binding.source].is_per_step:
                yield node, binding


def check_delays(model: Model, retimed: Retimed, need: Need) -> None:
    for node, binding in timed_edges(model):
        place = node.inputs.index(binding)
        after = retimed.model.graph.nodes[node.name].inputs[place]
        lags = [retimed.lags.get(name, 0) for name in (producer(binding.source), node.name)]
        assert after.delay_steps == binding.delay_steps + lags[1] - lags[0]
        assert after.delay_steps >= need(node, binding)


# Any model -------------------------------------------------------------------------------------


def random_need(seed: int, part: float) -> Need:
    rng = np.random.default_rng(seed)
    chosen: dict[tuple[str, Binding], int] = {}

    def need(node: Node, binding: Binding) -> int:
        return chosen.setdefault((node.name, binding), int(rng.random() < part))

    return need


@pytest.mark.parametrize("part", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(60))
def test_every_value_stays_what_it_is(seed: int, part: float) -> None:
    rng = np.random.default_rng(seed)
    model, need = random_model(rng, nodes=14), random_need(seed, part)
    inputs = random_inputs(rng, model, samples=2)
    try:
        retimed = retime(model, need)
    except CapabilityError as error:
        assert {d.code for d in error.diagnostics} == {"retime.cycle"}
        assert infeasible(model, need)
        return
    assert not infeasible(model, need)
    check_delays(model, retimed, need)
    check_same(model, retimed, inputs, model.time.steps)
    if model.time.steps > 1 and not _has_windows(model):
        shorter = {
            entry.name: inputs[entry.name][:, :-1] if entry.type.is_per_step else inputs[entry.name]
            for entry in model.graph.inputs
        }
        check_same(model, retimed, shorter, model.time.steps - 1)


@pytest.mark.parametrize("seed", range(60))
def test_also_with_nodes_that_share_their_lag(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, nodes=14)
    inputs = random_inputs(rng, model, samples=2)
    groups: list[tuple[str, str]] = []
    for node, binding in timed_edges(model):
        pair = producer(binding.source), node.name
        free = not any(name in group for group in groups for name in pair)
        if free and pair[0] in model.graph.nodes and pair[0] != pair[1] and rng.random() < 0.4:
            groups.append(pair)

    def need(node: Node, binding: Binding) -> int:
        pair = {producer(binding.source), node.name}
        return 0 if any(pair <= set(group) for group in groups) else 1

    try:
        retimed = retime(model, need, together=groups)
    except CapabilityError as error:
        assert {d.code for d in error.diagnostics} == {"retime.cycle"}
        return
    for first, second in groups:
        assert retimed.lags[first] == retimed.lags[second]
    check_delays(model, retimed, need)
    check_same(model, retimed, inputs, model.time.steps)


def _has_windows(model: Model) -> bool:
    return any("start" in node.attributes for node in model.graph.nodes.values())


def infeasible(model: Model, need: Need) -> bool:
    """By brute force: longest paths between all pairs, by Floyd and Warshall."""
    names = list(model.graph.nodes)
    longest = np.full((len(names), len(names)), -np.inf)
    for node, binding in timed_edges(model):
        if producer(binding.source) in names:
            place = names.index(producer(binding.source)), names.index(node.name)
            rise = need(node, binding) - binding.delay_steps
            longest[place] = max(longest[place], rise)
    for middle in range(len(names)):
        longest = np.maximum(longest, longest[:, middle, None] + longest[None, middle])
    return bool((np.diag(longest) > 0).any())


def test_some_of_these_are_retimed_and_some_refused() -> None:
    """Else the test above would show nothing."""
    kinds = set()
    for seed in range(60):
        model = random_model(np.random.default_rng(seed), nodes=14)
        try:
            kinds.add(retime(model, every_edge).latency > 2)
        except CapabilityError:
            kinds.add(None)
    assert kinds == {True, False, None}


# By hand -----------------------------------------------------------------------------------------


def network(steps: int = 6) -> tuple[GraphBuilder, Value]:
    b = GraphBuilder(steps=steps)
    return b, b.input("x", [1], timing="per_step")


def delays(retimed: Retimed, name: str) -> list[int]:
    return [binding.delay_steps for binding in retimed.model.graph.nodes[name].inputs]


def ones(steps: int = 6) -> dict[str, Array]:
    return {"x": np.ones((1, steps, 1), np.float32)}


def test_a_bias_and_a_leak_wait_for_their_lag() -> None:
    b, x = network()
    first = b.snn.IF(x, name="first")
    second = b.snn.LIF(first, decay=0.5, bias=0.25, initial_potential=0.5, name="second")
    b.output("y", b.snn.FinalPotential(second, name="last"))
    b.output("spikes", second)
    retimed = retime(b.build(), every_edge)
    assert retimed.lags == {"x": 0, "first": 1, "second": 2, "last": 3}
    assert retimed.latency == 3 and retimed.model.time.steps == 9
    assert retimed.model.graph.nodes["second"].attributes["start_step"] == 2
    check_same(b.build(), retimed, ones(), 6)
    check_same(b.build(), retimed, ones(4), 4)  # windows are open: any length will do


def test_a_skip_connection_gets_the_delay_of_the_long_way() -> None:
    b, x = network()
    first = b.snn.IF(x, name="first")
    second = b.snn.IF(first, name="second")
    b.snn.IF([first, second], name="sum")
    b.output("y", Value("sum:spikes"))
    retimed = retime(b.build(), out_of_neurons)
    assert retimed.lags == {"x": 0, "first": 0, "second": 1, "sum": 2}
    assert delays(retimed, "sum") == [2, 1]
    check_same(b.build(), retimed, ones(), 6)


def test_recurrent_connections_that_have_their_step_stay() -> None:
    b, x = network()
    spikes = b.snn.IF(x, name="cells")
    b.connect(spikes, "cells", "current", delay_steps=1)
    back = b.snn.Scale(spikes, scale=-0.5, name="back")
    b.connect(back, "cells", "current", delay_steps=1)
    b.output("y", spikes)
    retimed = retime(b.build(), out_of_neurons)
    assert retimed.lags == {"x": 0, "cells": 0, "back": 1}
    assert delays(retimed, "cells") == [0, 1, 0] and delays(retimed, "back") == [1]
    check_same(b.build(), retimed, ones(), 6)
    assert retimed.latency == 0


def test_types_stay_known_where_no_undelayed_edge_is_left() -> None:
    b, x = network()
    spikes = b.snn.IF(x, name="cells")
    b.connect(spikes, "cells", "current", delay_steps=1)
    b.output("y", spikes)
    retimed = retime(b.build(), every_edge)
    assert delays(retimed, "cells") == [1, 1]
    check_same(b.build(), retimed, ones(), 6)


def test_phases_start_with_their_lag_and_what_a_node_has_already_is_added() -> None:
    code: dict[str, Any] = {key: [1.0, 0.5, 0.25] for key in ("threshold", "reset", "weight")}
    b, x = network(9)
    first = b.snn.FewSpike(x, bias=0.75, name="first", **code)
    second = b.snn.FewSpike(first, name="second", start_step=1, **code)
    b.output("y", b.snn.SumPotential(second, start=1, start_step=2, name="sum"))
    retimed = retime(b.build(), every_edge)
    starts = [retimed.model.graph.nodes[n].attributes["start_step"] for n in ("second", "sum")]
    assert starts == [1 + 2, 2 + 3]
    check_same(b.build(), retimed, ones(9), 9)


def test_encoders_start_at_once_and_static_nodes_are_left_alone() -> None:
    b = GraphBuilder(steps=5)
    x = b.ann.ReLU(b.input("x", [2]), name="static")
    spikes = b.snn.PoissonEncoder(x, seed=3, name="encoder")
    cells = b.snn.IF(b.snn.Dense(spikes, weight=np.eye(2), name="dense"), name="cells")
    b.output("y", b.ann.Softmax(b.snn.SpikeCount(cells, name="count"), name="softmax"))
    retimed = retime(b.build(), every_edge)
    assert retimed.lags == {"encoder": 0, "dense": 1, "cells": 2, "count": 3}
    for name in ("static", "encoder", "softmax"):
        assert retimed.model.graph.nodes[name] == b.graph.nodes[name]
    check_same(b.build(), retimed, {"x": np.array([[0.5, 0.75]], np.float32)}, 5)


def test_all_decoders_end_with_the_presentation() -> None:
    b, x = network()
    first = b.snn.IF(x, name="first")
    second = b.snn.IF(first, name="second")
    b.output("early", b.snn.SpikeCount(first, name="early"))
    b.output("late", b.snn.MeanPotential(second, name="late"))
    b.output("raw", x)
    retimed = retime(b.build(), out_of_neurons)
    assert retimed.lags == {"x": 0, "first": 0, "second": 1, "early": 2, "late": 2}
    assert delays(retimed, "early") == [2]
    check_same(b.build(), retimed, ones(), 6)


def test_needs_of_more_than_a_step() -> None:
    b, x = network()
    first = b.snn.IF(x, name="first")
    b.output("y", b.snn.IF(first.delayed(1), name="second"))
    retimed = retime(b.build(), lambda node, binding: 3)
    assert retimed.lags == {"x": 0, "first": 3, "second": 5}
    check_same(b.build(), retimed, ones(), 6)


# Groups ------------------------------------------------------------------------------------------


GROUP = ("first", "kept", "early")


def between_groups(node: Node, binding: Binding) -> int:
    return int(node.name not in GROUP or producer(binding.source) not in GROUP)


def grouped(**window: int) -> Model:
    b, x = network()
    first = b.snn.IF(x, name="first")
    kept = b.snn.Scale(first, scale=2.0, name="kept")
    b.output("early", b.snn.SumPotential(kept, name="early", **window))
    second = b.snn.IF(kept, name="second")
    b.output("late", b.snn.SpikeCount(second, name="late"))
    return b.build()


@pytest.mark.parametrize(
    ("window", "stop"),
    [({}, 6), ({"stop": 3}, 3), ({"stop": 9}, 6), ({"start_step": 2, "start": 1}, 4)],
)
def test_a_group_shares_one_lag(window: dict[str, int], stop: int) -> None:
    model = grouped(**window)
    retimed = retime(model, between_groups, together=[GROUP])
    lags = {"x": 0, "first": 1, "kept": 1, "early": 1, "second": 2, "late": 3}
    assert retimed.lags == lags and retimed.latency == 3
    assert delays(retimed, "kept") == [0] and delays(retimed, "second") == [1]
    assert retimed.model.graph.nodes["early"].attributes["stop"] == stop
    check_same(model, retimed, ones(), 6)


def test_a_group_of_decoders_ends_with_the_presentation() -> None:
    b, x = network()
    first = b.snn.IF(b.snn.IF(x, name="first"), name="second")
    b.output("y", b.snn.SumPotential(first, name="sum"))
    b.output("z", b.snn.SpikeCount(x, name="count"))
    retimed = retime(b.build(), every_edge, together=[("sum", "count")])
    assert retimed.lags == {"x": 0, "first": 1, "second": 2, "sum": 3, "count": 3}
    check_same(b.build(), retimed, ones(), 6)
    check_same(b.build(), retimed, ones(3), 3)


def test_a_window_that_cannot_end_is_refused() -> None:
    model = grouped(start=3, start_step=3)
    with pytest.raises(CapabilityError) as caught:
        retime(model, between_groups, together=[GROUP])
    (finding,) = caught.value.diagnostics
    assert finding.code == "retime.window" and "'early'" in finding.where


@pytest.mark.parametrize(
    "together", [[("first", "kept"), ("kept", "second")], [("first", "x")], [("nobody",)]]
)
def test_groups_that_are_none(together: Sequence[Collection[str]]) -> None:
    with pytest.raises(ValueError, match="two groups, or cannot be retimed"):
        retime(grouped(), every_edge, together=together)


# Refusals ----------------------------------------------------------------------------------------


def refused(
    model: Model, need: Need = every_edge, together: Sequence[Collection[str]] = ()
) -> list[tuple[str, str]]:
    with pytest.raises(CapabilityError) as caught:
        retime(model, need, together=together)
    assert {d.code for d in caught.value.diagnostics} == {"retime.cycle"}
    assert all("more delay" in d.remedy for d in caught.value.diagnostics)
    return [(d.found, d.allowed) for d in caught.value.diagnostics]


def test_the_whole_cycle_is_named_with_what_it_has_and_needs() -> None:
    b, x = network()
    a = b.snn.IF(x, name="a")
    c = b.snn.IF(b.snn.Scale(a, scale=1.0, name="b"), name="c")
    b.connect(c, "a", "current", delay_steps=2)
    b.output("y", c)
    ((found, allowed),) = refused(b.build())
    names = found.split(" with ")[0].removeprefix("the cycle ").split(" -> ")
    assert names[0] == names[-1] and len(names) == 4
    ring = "'a' -> 'b' -> 'c' -> 'a' -> 'b' -> 'c'"
    assert " -> ".join(names[:3]) in ring
    assert found.endswith("with 2 steps of delay") and allowed.startswith("at least 3 steps")


def test_a_node_that_feeds_itself() -> None:
    b, x = network()
    spikes = b.snn.IF(x, name="a")
    b.connect(spikes, "a", "current", delay_steps=1)
    b.output("y", spikes)
    assert retime(b.build(), every_edge).lags == {"x": 0, "a": 1}
    ((found, allowed),) = refused(b.build(), lambda node, binding: 2)
    assert found == "the cycle 'a' -> 'a' with 1 steps of delay"
    assert allowed == "at least 2 steps of delay in this cycle"


def test_cycles_in_different_places_are_all_named() -> None:
    b, x = network()
    for name in ("a", "b"):
        x = b.snn.IF([x, x.delayed(1)], name=name)
        b.connect(b.snn.Scale(x, scale=0.5, name=f"{name}-back"), name, "current", delay_steps=1)
    b.output("y", x)
    found = refused(b.build())
    assert len(found) == 2
    assert "'a-back'" in found[0][0] and "'b-back'" in found[1][0]


def test_cycles_through_groups() -> None:
    model = grouped()
    ((found, allowed),) = refused(model, together=[("first", "second")])
    assert "(together with 'first')" in found or "(together with 'second')" in found
    assert "0 steps" in found and "at least 2 steps" in allowed
    found_within = refused(model, together=[("first", "kept", "second")])
    assert [found for found, _ in found_within] == [
        "the cycle 'first' -> 'kept' (together with 'first') with 0 steps of delay",
        "the cycle 'kept' -> 'second' (together with 'kept') with 0 steps of delay",
    ]


def test_delays_that_become_too_long() -> None:
    b, x = network()
    b.output("y", b.snn.IF(x, name="a"))
    with pytest.raises(CapabilityError, match=r"graph\.delay"):
        retime(b.build(), lambda node, binding: (1 << 20) + 1)


def test_a_model_that_is_not_valid() -> None:
    b, x = network()
    b.output("y", b.snn.IF(x, name="a"))
    model = b.build()
    model.graph.nodes["a"].inputs.append(Binding("current", "nothing"))
    with pytest.raises(ModelError, match=r"graph\.dangling-edge"):
        retime(model, every_edge)


# Lags --------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_lags_are_the_smallest_that_work(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"p{number}" for number in range(int(rng.integers(1, 6)))]
    edges = [
        Edge(
            str(rng.choice([*names, "host"])),
            str(rng.choice(names)),
            int(rng.integers(0, 4)),
            int(rng.integers(0, 3)),
        )
        for _ in range(int(rng.integers(1, 10)))
    ]
    groups = [tuple(names[:2])] if len(names) > 2 and rng.random() < 0.5 else []
    lags, cycles = find_lags(names, edges, groups)

    def fits(found: dict[str, int]) -> bool:
        return all(e.delay + found[e.target] - found.get(e.source, 0) >= e.need for e in edges)

    def as_one(name: str) -> str:
        return names[0] if groups and name == names[1] else name

    # Rises are at most 2, so that least lags, if there are any, are below 2 * parts + 1.
    free = sorted({as_one(name) for name in names})
    space = itertools.product(range(2 * len(free) + 1), repeat=len(free))
    rows = ({n: row[free.index(as_one(n))] for n in names} for row in itertools.islice(space, 9999))
    if cycles:
        assert not any(map(fits, rows))
        for cycle in cycles:
            assert sum(edge.rise for edge in cycle) > 0
            for edge, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
                assert as_one(edge.target) == as_one(following.source)
        return
    assert fits(lags)
    for row in rows:
        if fits(row):
            assert all(row[name] >= lags[name] for name in names)


def test_a_cycle_without_enough_delay_has_no_lags() -> None:
    edges = [Edge("a", "b", 0), Edge("b", "a", 1)]
    _, (cycle,) = find_lags(["a", "b"], edges)
    assert sorted(map(str, cycle)) == sorted(map(str, edges))
    assert find_lags(["a", "b"], [Edge("a", "b", 0), Edge("b", "a", 2)]) == ({"a": 0, "b": 1}, [])


def chain_of(size: int) -> tuple[list[Edge], bool]:
    return [Edge(f"p{n}", f"p{n + 1}", 0) for n in range(size)][::-1], True


def ring_of(size: int) -> tuple[list[Edge], bool]:
    edges = [Edge(f"p{n}", f"p{n + 1}", 0) for n in range(size)]
    return [Edge(f"p{size}", "p0", size + 1), *edges[::-1]], True


def short_ring_of(size: int) -> tuple[list[Edge], bool]:
    edges = [Edge(f"p{n}", f"p{n + 1}", 0) for n in range(size)]
    return [Edge(f"p{size}", "p0", size), *edges[::-1]], False


def recurrent_layers_of(size: int) -> tuple[list[Edge], bool]:
    forward = [Edge(f"p{n}", f"p{n + 1}", 0) for n in range(size)]
    around = [Edge(f"p{n}", f"p{n}", 1) for n in range(size)]
    back = [Edge(f"p{n + 9}", f"p{n}", 10) for n in range(0, size - 9, 5)]
    return [*back, *around, *forward[::-1]], True


@pytest.mark.parametrize("make", [chain_of, ring_of, short_ring_of, recurrent_layers_of])
def test_lags_of_many_parts_take_no_time(make: Callable[[int], tuple[list[Edge], bool]]) -> None:
    def seconds(size: int) -> float:
        edges, feasible = make(size)
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            _, cycles = find_lags([f"p{n}" for n in range(size + 1)], edges)
            best = min(best, time.process_time() - start)
            assert bool(cycles) is not feasible
        return best

    seconds(100)
    small, large = seconds(2_500), seconds(10_000)
    assert large < 8 * small + 0.05  # four times as much; quadratic would be sixteen times
    assert large < 0.5


def test_many_nodes_are_retimed_in_less_than_seconds() -> None:
    b, x = network()
    for number in range(10_000):
        x = b.snn.IF(x, name=f"n{number}")
    b.output("y", b.snn.SpikeCount(x))
    model = b.build()
    start = time.process_time()
    retimed = retime(model, every_edge)
    assert time.process_time() - start < 3
    assert retimed.latency == 10_001


def test_the_model_that_is_given_is_left_alone() -> None:
    model = grouped()
    before = replace(model, graph=replace(model.graph, nodes=dict(model.graph.nodes)))
    attributes = {name: dict(node.attributes) for name, node in model.graph.nodes.items()}
    digest = snnir.digest(model)
    retime(model, every_edge)
    assert model == before and snnir.digest(model) == digest
    assert attributes == {name: node.attributes for name, node in model.graph.nodes.items()}
