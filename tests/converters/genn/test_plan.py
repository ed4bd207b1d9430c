"""From a model to what GeNN is told: names, cells, connections and code. None needs PyGeNN."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnir import GraphBuilder
from snnir.errors import CapabilityError, ModelError
from snnir.ir.builder import Value
from snnir.ir.model import Model
from snnir.ir.types import DType, Timing, ValueType
from snnir.passes.synapses import Convolution
from snnir_converters.genn import GennBackend
from snnir_converters.genn._cells import Cells, divide
from snnir_converters.genn._lower import MAX_DELAY_STEPS, lower
from snnir_converters.genn._plan import Dense, Pairs, Plan, genn_name, original_name
from tests.cli.helpers import assert_golden

FLOAT32 = np.dtype(np.float32)
FIRST = string.ascii_letters + "_"
NAMES = st.text(FIRST + string.digits + "./-:>", min_size=1)
"""Names of nodes, and what the backend itself joins with ``:`` and ``>``."""


# Names -------------------------------------------------------------------------------------------


@given(NAMES)
def test_a_name_comes_back_from_what_genn_takes(name: str) -> None:
    mangled = genn_name(name)
    assert set(mangled) <= set(string.ascii_letters + string.digits + "_")
    assert original_name(mangled) == name


@given(NAMES, NAMES)
def test_two_names_stay_two(one: str, other: str) -> None:
    assert (genn_name(one) == genn_name(other)) == (one == other)


def test_names_stay_readable() -> None:
    assert genn_name("conv1") == "conv1"
    assert genn_name("block_1/conv.2-a") == "block__1_2fconv_2e2_2da"


# Cells -------------------------------------------------------------------------------------------


def network(*shape: int, steps: int = 6, timing: str = "per_step") -> tuple[GraphBuilder, Value]:
    b = GraphBuilder(steps=steps)
    return b, b.input("x", shape or [2], timing=timing)  # type: ignore[arg-type]


def cells_of(b: GraphBuilder) -> Cells:
    return divide(b.build(), FLOAT32)


def test_a_cuba_neuron_with_its_decoders_is_one_cell() -> None:
    b, x = network()
    current = b.snn.ExponentialSynapse(b.snn.Dense(x, weight=np.eye(2)), decay=0.5, name="current")
    neuron = b.snn.LIF(current, decay=0.5, name="neuron")
    b.output("count", b.snn.SpikeCount(neuron, name="count"))
    b.output("first", b.snn.FirstSpikeTime(neuron, name="first"))
    cells = cells_of(b)
    assert cells.members["neuron"] == ["current", "neuron", "count", "first"]
    assert cells.linear == {"dense1"} and cells.emits == {"input:x": "x"}
    assert cells.retimed.lags == {"x": 0, "dense1": 1, **dict.fromkeys(cells.members["neuron"], 1)}


def test_neurons_whose_spikes_others_use_are_cells_of_their_own() -> None:
    b, x = network()
    first = b.snn.IF(x, name="first")
    b.output("y", b.snn.IF([first, first.delayed(1)], name="second"))
    cells = cells_of(b)
    assert cells.members == {"input:x": [], "first": ["first"], "second": ["second"]}
    assert cells.emits == {"input:x": "x", "first": "first:spikes"}
    plan, _ = lower(b.build())
    assert [(c.source, c.target, c.delay_steps) for c in plan.connections] == [
        ("input:x", "first", 1),
        ("first", "second", 1),
        ("first", "second", 2),
    ]


def test_a_neuron_that_feeds_one_other_directly_shares_its_cell() -> None:
    b, x = network()
    b.output("y", b.snn.IF(b.snn.IF(x, name="first"), name="second"))
    assert cells_of(b).members == {"input:x": [], "second": ["first", "second"]}


def test_what_is_delayed_leaves_the_cell_even_for_itself() -> None:
    b, x = network()
    spikes = b.snn.IF(x, name="cells")
    b.connect(spikes, "cells", "current", delay_steps=3)
    b.output("y", spikes)
    plan, cells = lower(b.build())
    assert cells.emits["cells"] == "cells:spikes"
    assert [(c.source, c.delay_steps) for c in plan.connections] == [("input:x", 1), ("cells", 3)]


def test_a_scale_is_what_spikes_are_worth() -> None:
    b, x = network()
    spikes = b.snn.IF(x, name="neuron")
    worth = b.snn.Scale(spikes, scale=0.5, name="worth")
    b.output("count", b.snn.SpikeCount(spikes, name="count"))
    b.output("y", b.snn.IF(b.snn.Dense(worth, weight=np.eye(2)), name="next"))
    plan, cells = lower(b.build())
    assert cells.members["neuron"] == ["neuron", "worth", "count"]
    assert cells.emits["neuron"] == "worth:y"
    assert not plan.populations["neuron"].binary and plan.connections[1].graded


def test_a_scale_of_spikes_that_others_use_as_they_are_is_a_weight() -> None:
    b, x = network()
    spikes = b.snn.IF(x, name="neuron")
    b.output("y", b.snn.IF([b.snn.Scale(spikes, scale=0.5, name="worth"), spikes], name="next"))
    plan, cells = lower(b.build())
    assert cells.linear == {"worth"} and plan.populations["neuron"].binary
    weights = [c.synapses.weight for c in plan.connections if c.source == "neuron"]
    assert [weight.tolist() for weight in weights] == [[0.5, 0.5], [1, 1]]


def test_what_is_only_reshaped_is_the_same_value() -> None:
    b, x = network(2, 3)
    spikes = b.snn.IF(x, name="neuron")
    flat = b.snn.Reshape(b.snn.Flatten(spikes, name="flat"), shape=(3, 2), name="again")
    b.output("count", b.snn.SpikeCount(flat, name="count"))
    cells = cells_of(b)
    assert cells.alias == {"flat:y": "neuron:spikes", "again:y": "neuron:spikes"}
    assert cells.members["count"] == ["neuron", "count"]


def test_a_reshape_that_starts_late_or_is_delayed_is_not_the_same_value() -> None:
    b, x = network(2, 3)
    spikes = b.snn.IF(x, name="neuron")
    b.output("late", b.snn.IF(b.snn.Flatten(spikes, start_step=2, name="late")))
    b.output("delayed", b.snn.IF(b.snn.Flatten(spikes.delayed(1), name="delayed")))
    assert cells_of(b).alias == {}


def test_what_does_not_change_is_computed_before_the_run() -> None:
    b, x = network(timing="static")
    current = b.snn.ConstantCurrent(b.ann.ReLU(x, name="relu"), name="current")
    dense = b.snn.Dense(current, weight=np.eye(2), bias=[0.5, 1], name="dense")
    b.output("y", b.snn.IF([dense, dense.delayed(2)], name="neuron"))
    plan, cells = lower(b.build())
    assert cells.constant == {"current", "dense"} and list(plan.populations) == ["neuron"]
    assert plan.connections == []
    assert [feed.value for feed in plan.populations["neuron"].feeds] == ["dense:y"] * 2
    assert "(now >= 2)" in plan.populations["neuron"].code.text


def test_a_current_that_starts_late_is_not_constant() -> None:
    b, x = network(timing="static")
    b.output("y", b.snn.IF(b.snn.ConstantCurrent(x, start_step=1, name="late"), name="neuron"))
    cells = cells_of(b)
    assert cells.constant == set() and cells.members == {"neuron": ["late", "neuron"]}


def test_what_follows_the_network_is_left_to_the_host() -> None:
    b, x = network()
    trace = b.snn.LeakyIntegrator(x, name="trace")
    b.output("relu", b.ann.ReLU(trace, name="relu"))
    b.output("softmax", b.ann.Softmax(b.snn.SumPotential(trace, name="sum"), name="softmax"))
    cells = cells_of(b)
    assert cells.members == {"input:x": [], "trace": ["trace", "sum"]}
    assert not {"relu", "softmax"} & ({*cells.cell_of} | cells.linear | cells.constant)


def declared(model: Model, *names: str) -> Model:
    """The model with types of nodes that no edge tells."""
    for name in names:
        model.graph.nodes[name].output_types = (ValueType(DType.FLOAT32, (2,), Timing.PER_STEP),)
    return model


def linear_cycle(delay_steps: int) -> Model:
    b, x = network()
    total = b.snn.Add(x, name="total")
    b.connect(total, "total", "x", delay_steps=delay_steps)
    b.output("y", b.snn.IF(total, name="neuron"))
    return declared(b.build(), "total")


def test_a_cycle_without_a_neuron_gets_a_cell() -> None:
    plan, cells = lower(linear_cycle(2))
    assert cells.relays == {"total"} and cells.members["total"] == ["total"]
    assert [(c.source, c.target, c.delay_steps) for c in plan.connections] == [
        ("input:x", "total", 1),
        ("total", "total", 2),
        ("total", "neuron", 1),
    ]


# Connections -------------------------------------------------------------------------------------


def synapses_of(b: GraphBuilder) -> list[Any]:
    return [connection.synapses for connection in lower(b.build())[0].connections]


def test_layers_stay_what_they_are() -> None:
    b, x = network(6, 6, 2)
    first = b.snn.IF(b.snn.Conv2D(x, weight=np.ones((2, 2, 2, 3)), padding="same"), name="first")
    pooled = b.snn.AveragePool2D(first, pool_size=(2, 2))
    second = b.snn.IF(b.snn.Conv2D(pooled, weight=np.ones((3, 3, 3, 4))), name="second")
    b.output("y", b.snn.IF(b.snn.Dense(b.snn.Flatten(second), weight=np.ones((4, 5)))))
    first_layer, second_layer, third = synapses_of(b)
    assert isinstance(first_layer, Convolution) and first_layer.kernel.shape == (2, 2, 2, 3)
    assert isinstance(second_layer, Convolution) and second_layer.kernel.shape == (6, 6, 3, 4)
    assert second_layer.strides == (2, 2) and set(second_layer.kernel.flat) == {0.25}
    assert isinstance(third, Dense) and third.weight.shape == (4, 5)


def test_other_chains_are_pairs_without_zeros() -> None:
    b, x = network(4)
    weight = np.array([[1, 0], [0, 2], [0, 0], [0, 0]], np.float32)
    scaled = b.snn.Scale(b.snn.Dense(x, weight=weight), scale=np.array([2, 3], np.float32))
    b.output("y", b.snn.IF(scaled, name="neuron"))
    (synapses,) = synapses_of(b)
    assert isinstance(synapses, Pairs)
    assert [a.tolist() for a in (synapses.sources, synapses.targets)] == [[0, 1], [0, 1]]
    assert synapses.weight.tolist() == [2, 6]


def test_synapses_of_one_delay_are_one_connection() -> None:
    b, x = network(2)
    weight, delays = np.ones((2, 2), np.float32), np.array([[0, 3], [3, 0]], np.int32)
    b.output("y", b.snn.IF(b.snn.DelayedDense(x, weight=weight, delay_steps=delays), name="n"))
    plan, _ = lower(b.build())
    assert sorted(connection.delay_steps for connection in plan.connections) == [1, 4]


def test_a_connection_without_synapses_is_left_out() -> None:
    b, x = network(2)
    b.output("y", b.snn.IF(b.snn.Scale(x, scale=0.0), bias=1.0, name="neuron"))
    assert lower(b.build())[0].connections == []


def test_weights_keep_the_precision_that_is_asked_for() -> None:
    b, x = network(3)
    b.output("y", b.snn.IF(b.snn.Scale(x, scale=np.float64(1 / 3)), name="neuron"))
    (single,), (double,) = (
        lower(b.build(), precision=name)[0].connections for name in ("float", "double")
    )
    assert isinstance(single.synapses, Pairs) and isinstance(double.synapses, Pairs)
    assert set(single.synapses.weight) == {np.float32(1 / 3)}
    assert set(double.synapses.weight) == {1 / 3}


# Code --------------------------------------------------------------------------------------------


def described(plan: Plan) -> str:
    """A plan as text."""
    lines = []
    for population in plan.populations.values():
        code = population.code
        lines.append(f"population {population.name} [{population.size}]")
        if population.nodes:
            lines.append(f"  nodes {' '.join(population.nodes)}")
        for name, kind in code.parameters.items():
            lines.append(f"  {kind} {name} = {population.numbers[name]}")
        for variable in code.variables.values():
            values = population.values.get(variable.name)
            given = "" if values is None else f" = {values.tolist()}"
            lines.append(f"  {variable.type} {variable.name}[]{given}")
        for name, kind in code.tables.items():
            values = population.tables.get(name)
            given = "" if values is None else f" = {values.tolist()}"
            lines.append(f"  {kind}* {name}{given}")
        for feed in population.feeds:
            lines.append(f"  {feed.item} <- {feed.kind.name} {feed.value}")
        lines += [f"  | {line}" for line in code.lines]
        if code.emission:
            lines.append(f"  emits {code.emission}{', binary' if population.binary else ''}")
    for connection in plan.connections:
        kind = type(connection.synapses).__name__ + (", graded" if connection.graded else "")
        lines.append(f"connection {connection.name}: {kind}, delay {connection.delay_steps}")
    places = (
        f"{name} is {place.population} {place.variable}, lag {place.lag}"
        for name, place in plan.places.items()
    )
    return "\n".join([*lines, *places]) + "\n"


def cuba() -> Model:
    """Encoder, recurrent CUBA-LIF, signed spikes, a decoder with a window."""
    b, x = network(3, timing="static")
    spikes = b.snn.RateEncoder(x, threshold=0.5, name="encoder")
    current = b.snn.ExponentialSynapse(
        b.snn.Dense(spikes, weight=np.eye(3, 2), bias=[0.5, 0.25], name="in"),
        decay=[0.5, 0.75],
        name="current",
    )
    fired = b.snn.LIF(current, decay=0.5, negative_threshold=1.0, refractory_steps=2, name="neuron")
    recurrent = b.snn.Dense(fired, weight=np.eye(2), name="recurrent")
    b.connect(recurrent, "current", "x", delay_steps=2)
    b.output("count", b.snn.SpikeCount(fired, start=1, name="count"))
    return b.build()


def late_few_spikes() -> Model:
    """Tables, and nodes that start late."""
    b, x = network(2, timing="static")
    code: dict[str, Any] = {"threshold": [1.0, 0.5], "reset": [1.0, 0.5], "weight": [1.0, 0.5]}
    spikes = b.snn.FewSpikeEncoder(x, name="encoder", **code)
    fired = b.snn.FewSpike(spikes.delayed(1), bias=0.5, start_step=2, name="neuron", **code)
    b.output("y", b.snn.ExponentialPotential(fired, start_step=2, name="y"))
    return b.build()


def pooled() -> Model:
    """Maximum pooling with padding."""
    b, x = network(3, 1)
    b.output("y", b.snn.MaxPool1D(x, pool_size=(2,), padding="same", rule="gated", name="pool"))
    return b.build()


@pytest.mark.parametrize("make", [cuba, late_few_spikes, pooled])
def test_the_code_is_what_it_was(make: Any) -> None:
    assert_golden(f"genn_{make.__name__}.txt", described(lower(make())[0]))


# Refusals ----------------------------------------------------------------------------------------


def refused(model: Model) -> list[tuple[str, str, str]]:
    """Codes, places and what was found."""
    with pytest.raises(CapabilityError) as caught:
        GennBackend().prepare(model)
    return [(d.code, d.where, d.found) for d in caught.value.diagnostics]


def test_all_operators_and_shapes_that_genn_does_not_have_are_listed() -> None:
    b, x = network()
    y = b.input("y", ["n"], timing="per_step")
    z = b.input("z", ["m"])
    one = b.ann.ReLU(x, name="one", source="layer 1")
    b.output("a", b.snn.IF([x, one], name="neuron"))  # behind the second binding
    b.output("b", b.snn.SpikeCount(b.ann.Softmax(x, name="two"), name="count"))
    b.output("c", b.snn.SpikeCount(b.snn.IF(y, name="sized")))
    b.output("d", b.snn.IF(b.snn.ConstantCurrent(z)))
    assert sorted(refused(b.build())) == [
        ("genn.operator", "node 'one'", "ann.ReLU"),
        ("genn.operator", "node 'two'", "ann.Softmax"),
        ("genn.shape", "input 'y'", "['n']"),
        ("genn.shape", "input 'z'", "['m']"),
    ]


def test_all_delays_that_are_too_long_are_listed() -> None:
    """They are a step longer than in the model where retiming makes them so."""
    b, x = network()
    first = b.snn.IF([x, x.delayed(1)], name="first")
    long, longer = (first.delayed(MAX_DELAY_STEPS + more) for more in (1, 2))
    b.output("y", b.snn.IF([first, first.delayed(MAX_DELAY_STEPS), long, longer], name="second"))
    found = [(code, found) for code, _, found in refused(b.build())]
    assert found == [("genn.delay", f"{steps} steps") for steps in (65536, 65537, 65538)]


def test_all_cycles_that_cannot_be_retimed_are_listed() -> None:
    b, x = network()
    for name in ("a", "b"):
        x = b.snn.IF(x, name=name)
        more = b.snn.IF([x, x.delayed(5)], name=f"{name}-more")
        b.connect(more, name, "current", delay_steps=1)
        x = more
    b.output("y", x)
    found = refused(b.build())
    assert [code for code, _, _ in found] == ["retime.cycle"] * 2
    assert all(f"'{name}'" in text for name, (_, _, text) in zip("ab", found, strict=True))


def test_a_model_that_is_not_valid_is_not_divided() -> None:
    model = linear_cycle(1)
    model.graph.outputs[0].value = "nothing:y"
    with pytest.raises(ModelError, match=r"graph\."):
        GennBackend().prepare(model)


def test_all_options_that_are_wrong_are_listed() -> None:
    with pytest.raises(CapabilityError) as caught:
        GennBackend().prepare(
            linear_cycle(1),
            genn_backend="fpga",
            precision="int8",
            batch=0,
            profile=1,  # type: ignore[arg-type]
            speed=3,
        )
    assert [d.found for d in caught.value.diagnostics] == [
        "option 'speed'",
        "genn_backend 'fpga'",
        "precision 'int8'",
        "batch 0",
        "profile 1",
    ]
    assert {d.code for d in caught.value.diagnostics} == {"run.capability"}
