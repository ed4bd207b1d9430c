"""Networks on GeNN against the reference: each trap of PyGeNN, odd graphs, random graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnir import GraphBuilder
from snnir.errors import RunError
from snnir.ir.builder import Value
from snnir.ir.graph import Binding, Graph, GraphOutput, Node
from snnir.ir.model import Model, TimeBase
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization, Timing, ValueType
from snnir.runtime.backend import find_backend
from snnir.testing.conformance import run_conformance, run_vector, vectors
from snnir.testing.random_models import random_inputs, random_model
from tests.converters.genn.tools import (
    check_same,
    differences,
    dyadic,
    everything,
    genn,
    prepare,
    spikes,
)

RNG = np.random.default_rng(0)
STEPS = 12


def network(*shape: int, steps: int = STEPS) -> tuple[GraphBuilder, Value]:
    b = GraphBuilder(steps=steps)
    return b, b.input("x", shape, timing="per_step")


# Traps of PyGeNN ---------------------------------------------------------------------------------


@genn
def test_convolutions_of_every_kind_in_one_model() -> None:
    """Even kernels with 'same' padding; strides, dilations, groups; many kernel shapes."""
    b, x = network(7, 6, 4, steps=4)
    rng = np.random.default_rng(1)
    settings: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
        ("Conv2D", (2, 2, 4, 3), {"padding": "same", "bias": dyadic(rng, 3)}),
        ("Conv2D", (4, 4, 4, 1), {"padding": "same"}),
        ("Conv2D", (3, 3, 4, 2), {"padding": "same"}),
        ("Conv2D", (2, 3, 4, 2), {"strides": (2, 3)}),
        ("Conv2D", (3, 2, 4, 2), {"strides": (3, 2), "padding": "same"}),
        ("Conv2D", (2, 2, 4, 2), {"dilations": (3, 2), "padding": "same"}),
        ("Conv2D", (3, 3, 2, 4), {"groups": 2, "padding": "explicit", "pads": (2, 0, 1, 2)}),
        ("Conv2D", (1, 1, 4, 5), {}),
        ("Conv2D", (7, 6, 4, 2), {}),
        ("DepthwiseConv2D", (3, 2, 4, 2), {"padding": "same", "strides": (2, 1)}),
        ("ConvTranspose2D", (3, 2, 2, 4), {"strides": (2, 2), "padding": "same"}),
    ]
    for number, (op, shape, attributes) in enumerate(settings):
        layer = b.add(f"snn.{op}", x, weight=dyadic(rng, *shape), name=f"c{number}", **attributes)
        b.output(f"y{number}", b.snn.IF(layer, reset="to_value", name=f"n{number}"))
    rows = b.input("rows", [9, 2], timing="per_step")
    for padding in ("same", "valid"):
        layer = b.snn.Conv1D(rows, weight=dyadic(rng, 4, 2, 3), padding=padding, strides=(2,))
        b.output(f"rows-{padding}", b.snn.IF(layer))
    inputs = {"x": spikes(rng, 2, 4, 7, 6, 4), "rows": dyadic(rng, 2, 4, 9, 2)}
    check_same(b.build(), inputs)


@genn
def test_a_delay_is_the_whole_way_from_spike_to_effect() -> None:
    b, x = network(1)
    sent = b.snn.IF(x, name="sender")
    delays = (0, 1, 2, 5)
    for delay in delays:
        path = sent.delayed(delay) if delay else sent
        b.output(f"y{delay}", b.snn.IF([path, x.delayed(9)], name=f"n{delay}"))
    each = np.array([[0, 3], [1, 7]], np.int32)
    layer = b.snn.DelayedDense(
        b.snn.Concat([sent, x]), weight=np.eye(2, dtype=np.float32) + 1, delay_steps=each
    )
    b.output("z", b.snn.LeakyIntegrator(layer))
    b.output("axons", b.snn.IF(b.snn.Delay(sent, delay_steps=np.array([4], np.int32))))
    inputs = np.zeros((1, STEPS, 1), np.float32)
    inputs[0, 2] = 1
    prepared = check_same(b.build(), inputs)
    found = prepared.run(inputs)
    for delay in delays:
        assert np.flatnonzero(found[f"y{delay}"]).tolist() == sorted({2 + delay, 11})
    assert found.details["latency_steps"] >= 1


@genn
def test_synapses_between_the_same_neurons_add_up() -> None:
    b, x = network(3)
    layer = b.snn.Sparse(
        x,
        outputs=4,
        weight=np.array([0.5, 0.25, 1, -1, 2], np.float32),
        indices=np.array([0, 0, 3, 1, 1], np.int32),
        row_starts=np.array([0, 3, 3, 5], np.int32),  # the second has none
        delay_steps=np.array([0, 0, 3, 1, 2], np.int32),
        bias=np.array([0, 0, 0.125, 0], np.float32),
    )
    b.output("y", b.snn.LeakyIntegrator(layer, decay=0.5))
    nothing = b.snn.Sparse(
        x,
        outputs=2,
        weight=np.zeros(0, np.float32),
        indices=np.zeros(0, np.int32),
        row_starts=np.zeros(4, np.int32),
    )
    b.output("z", b.snn.IF(nothing, bias=0.375))
    b.output("zeros", b.snn.IF(b.snn.Dense(x, weight=np.zeros((3, 2), np.float32))))
    check_same(b.build(), dyadic(RNG, 2, STEPS, 3))


@genn
def test_names_that_genn_would_refuse() -> None:
    b = GraphBuilder(steps=4)
    x = b.input("in-put/x.1", [2], timing="per_step")
    first = b.snn.IF(x, name="block_1/a.b-c__d")
    second = b.snn.IF(first, name="_")
    both = [b.snn.Dense(first, weight=dyadic(RNG, 2, 2), name="class"), second]
    b.output("out/put-1.", b.snn.LIF(both, decay=0.5, name="for"))
    check_same(b.build(), {"in-put/x.1": dyadic(RNG, 2, 4, 2)})


def leaky_network() -> Model:
    """Recurrent, with synaptic currents that outlive a sample and delays about as long as it."""
    b, x = network(3)
    weight = dyadic(np.random.default_rng(3), 3, 4) + 0.75
    recurrent = dyadic(np.random.default_rng(4), 4, 4)
    current = b.snn.ExponentialSynapse(b.snn.Dense(x, weight=weight), decay=0.75, name="current")
    spikes = b.snn.LIF(current, decay=0.75, threshold=0.5, refractory_steps=1, name="cells")
    for delay_steps in (1, 7, 11):
        back = b.snn.Dense(spikes, weight=recurrent / 2, name=f"back{delay_steps}")
        b.connect(back, "current", "x", delay_steps=delay_steps)
    out = b.snn.LeakyIntegrator([b.snn.Dense(spikes, weight=recurrent)], decay=0.5, name="out")
    b.output("sum", b.snn.SumPotential(out))
    b.output("last", b.snn.FinalPotential(out))
    b.output("spikes", spikes)
    return b.build()


@genn
def test_nothing_of_a_sample_leaks_into_the_next() -> None:
    model = leaky_network()
    x = spikes(np.random.default_rng(5), 10, STEPS, 3)
    x[4] = 0  # which would show what is left
    prepared = prepare(model)
    names = everything(model)
    together = prepared.run(x, record=names)
    for number in (9, 4, 0, 4, 5):
        alone = prepared.run(x[number : number + 1], record=names)
        for name in (*alone.outputs, *alone.recorded):
            np.testing.assert_array_equal(alone[name][0], together[name][number], err_msg=name)
    assert together["spikes"].sum() > 100 and together["spikes"][4].sum() == 0


@genn
def test_a_recurrent_network_has_the_reference_s_potentials_to_the_last_bit() -> None:
    """Decays that are no sums of powers of two: every operation rounds as in the reference."""
    rng = np.random.default_rng(6)
    b, x = network(20, steps=200)
    feed = b.snn.Dense(x, weight=dyadic(rng, 20, 50), name="feed")
    current = b.snn.ExponentialSynapse(feed, decay=float(np.exp(-1 / 5)), name="current")
    decay = np.exp(-1 / rng.uniform(5, 30, 50)).astype(np.float32)
    spikes_ = b.snn.LIF(current, decay=decay, gain=float(1 / 3), name="cells")
    b.connect(
        b.snn.Dense(spikes_, weight=dyadic(rng, 50, 50) / 4, name="back"),
        "current",
        "x",
        delay_steps=1,
    )
    b.output("spikes", spikes_)
    inputs = (rng.random((2, 200, 20)) < 0.1).astype(np.float32)
    prepared = check_same(b.build(), inputs)
    assert prepared.run(inputs)["spikes"].sum() > 1000


# Odd graphs --------------------------------------------------------------------------------------


def inputs_everywhere() -> tuple[Model, Any]:
    """Decoders and pools on graph inputs, inputs that are outputs, types of inputs."""
    b, x = network(4, 1)
    b.output("same", x)
    for op in ("SpikeCount", "MaxPotential", "FirstSpikeTime"):
        b.output(op, b.add(f"snn.{op}", x, start=1))
    b.output("pool", b.snn.MaxPool1D(x, pool_size=(3,), padding="same"))
    b.output("flat", b.snn.SumPotential(b.snn.Flatten(x)))
    b.output("linear", b.snn.Scale(x, scale=0.5))
    byte = b.input("byte", [2], timing="per_step", dtype="uint8", scale=1 / 8)
    signed = b.input("signed", [2], dtype="int8", scale=0.25, offset=0.5)
    truth = b.input("truth", [2], timing="per_step", dtype="bool", scale=1)
    b.output("byte-out", b.snn.IF(byte, threshold=9))
    b.output("signed-out", b.snn.RateEncoder(signed))
    b.output("truth-out", b.snn.IF([truth, b.snn.ConstantCurrent(signed)], threshold=2))
    return b.build(), {
        "x": dyadic(RNG, 3, STEPS, 4, 1),
        "byte": RNG.integers(0, 256, (3, STEPS, 2)).astype(np.uint8),
        "signed": RNG.integers(-128, 128, (3, 2)).astype(np.int8),
        "truth": RNG.integers(0, 2, (3, STEPS, 2)).astype(bool),
    }


def skips_and_late_starts() -> tuple[Model, Any]:
    """Many users of one value, constants with delays, nodes that start late or never."""
    b, x = network(2, 2)
    static = b.input("static", [2, 2])
    spikes_ = b.snn.IF(x, threshold=0.5, name="spikes")
    constant = b.snn.ConstantCurrent(static, name="constant")
    biased = b.snn.Bias(constant, bias=0.25, name="biased")
    for delay in (1, 2, 5):
        b.output(f"y{delay}", b.snn.LIF([spikes_, spikes_.delayed(delay)], decay=0.5))
    b.output("c", b.snn.IF([constant, constant.delayed(2), biased.delayed(3)], threshold=2))
    late = b.snn.Bias(spikes_, bias=-0.25, start_step=3, name="late")
    b.output("late", b.snn.LIF(late.delayed(1), decay=0.5, initial_potential=0.5, start_step=2))
    b.output("never", b.snn.LIF(x, decay=0.5, initial_potential=0.5, start_step=STEPS + 3))
    flat = b.snn.Reshape(b.snn.Flatten(spikes_, name="flat"), shape=(4, 1), name="column")
    b.output("flat", flat)
    b.output("count", b.snn.SpikeCount(flat))
    b.output("flat-delayed", b.snn.IF(b.snn.Flatten(spikes_.delayed(1), start_step=4)))
    worth = b.snn.Scale(b.snn.IF(x, name="priced"), scale=-0.5, name="worth")
    b.output("worth", b.snn.LeakyIntegrator(b.snn.Flatten(worth)))
    pooled = b.snn.AveragePool1D(spikes_, pool_size=(2,), strides=(1,), padding="same")
    b.output("pooled", b.snn.MaxPool1D(pooled.delayed(2), pool_size=(2,), start_step=1))
    b.output("host", b.ann.ReLU(b.snn.Add([spikes_, worth, x]), name="relu"))
    return b.build(), {"x": dyadic(RNG, 3, STEPS, 2, 2), "static": dyadic(RNG, 3, 2, 2)}


def scalars() -> tuple[Model, Any]:
    """Values of shape [], populations of one neuron."""
    b, x = network()
    static = b.input("static", [])
    one = b.input("one", [1], timing="per_step")
    cell = b.snn.LIF(x, decay=0.5, name="cell")
    b.connect(cell, "cell", "current", delay_steps=2)
    b.output("next", b.snn.IF(b.snn.Scale(cell, scale=2)))
    b.output("count", b.snn.SpikeCount(cell))
    b.output("rate", b.snn.RateEncoder(static))
    b.output("random", b.snn.PoissonEncoder(static, seed=3))
    own = np.array([0.5], np.float32)
    alif = b.snn.ALIF(one, decay=own, adaptation_decay=own, adaptation_strength=0.25)
    b.output("weighted", b.snn.ExponentialPotential(alif, time_constant=4 * own))
    b.output("pool", b.snn.LeakyIntegrator(b.snn.Reshape(alif, shape=(1, 1))))
    return b.build(), {
        "x": dyadic(RNG, 3, STEPS),
        "static": dyadic(RNG, 3),
        "one": dyadic(RNG, 3, STEPS, 1),
    }


def linear_cycles() -> tuple[Model, Any]:
    """Values that only linear nodes carry from step to step; few steps, so that sums are exact."""
    b, x = network(3, steps=7)
    total = b.snn.Add([x, x.delayed(2)], name="total")
    weight = np.array([[0.5, 0, 1], [0, -0.5, 0], [-1, 0, 0]], np.float32)
    twice = b.snn.Dense(total, weight=weight, bias=dyadic(RNG, 3), name="twice")
    b.connect(twice, "total", "x", delay_steps=2)
    inner = b.snn.Add(twice, name="inner")
    b.connect(b.snn.Scale(inner, scale=-0.5, name="half"), "inner", "x", delay_steps=1)
    b.connect(inner, "total", "x", delay_steps=3)
    ahead = b.snn.Add([x, x.delayed(1)], name="ahead")
    behind = b.snn.Add(ahead, name="behind")  # which alone uses it
    b.connect(behind, "behind", "x", delay_steps=1)
    b.connect(b.snn.Scale(behind, scale=-1, name="back"), "ahead", "x", delay_steps=2)
    b.output("behind", b.snn.LeakyIntegrator(behind))
    each = np.array([0, 1, 2], np.int32)
    b.output("y", b.snn.IF(b.snn.Delay(inner, delay_steps=each, name="each")))
    b.output("sum", b.snn.SumPotential(total))
    model = b.build()
    for name in ("total", "twice", "inner", "half", "ahead", "behind", "back"):
        declared = ValueType(DType.FLOAT32, (3,), Timing.PER_STEP)
        model.graph.nodes[name].output_types = (declared,)
    return model, dyadic(RNG, 3, 7, 3)


def chains_into_pools() -> tuple[Model, Any]:
    """Maximum pools over padded windows of linear chains with biases, and of constants."""
    b, x = network(5, 5, 2)
    static = b.input("static", [5, 5, 2])
    spikes_ = b.snn.IF(x, threshold=0.5, name="spikes")
    chain = b.snn.Conv2D(spikes_, weight=dyadic(RNG, 2, 2, 2, 2), padding="same", bias=[0.5, -1.0])
    constant = b.snn.Bias(b.snn.ConstantCurrent(static), bias=-0.5, name="constant")
    for rule in ("any", "gated", "cumulative"):
        settings: dict[str, Any] = {"pool_size": (3, 3), "strides": (2, 2), "rule": rule}
        b.output(f"{rule}1", b.snn.MaxPool2D(chain, padding="same", **settings))
        pads = (2, 0, 1, 1)
        value = b.snn.MaxPool2D(chain.delayed(1), padding="explicit", pads=pads, **settings)
        b.output(f"{rule}2", b.snn.MaxPool2D(value, pool_size=(2, 2), rule=rule))
        b.output(f"{rule}3", b.snn.MaxPool2D(constant.delayed(2), **settings))
        b.output(f"{rule}4", b.snn.MaxPool2D(constant, **settings))
    return b.build(), {"x": dyadic(RNG, 2, STEPS, 5, 5, 2), "static": dyadic(RNG, 2, 5, 5, 2)}


def kinds_of_weights() -> tuple[Model, Any]:
    """Half precision, and quantised weights."""
    b, x = network(3)
    half = b.snn.IF(b.snn.Dense(x, weight=dyadic(RNG, 3, 4).astype(np.float16)))
    whole = RNG.integers(-7, 8, (4, 2)).astype(np.int8)
    quantised = Tensor.from_array(whole, None, Quantization((0.125,), 4))
    b.output("y", b.snn.LeakyIntegrator(b.snn.Dense(half, weight=quantised)))
    return b.build(), dyadic(RNG, 3, STEPS, 3)


@genn
@pytest.mark.parametrize(
    "make",
    [
        inputs_everywhere,
        skips_and_late_starts,
        scalars,
        linear_cycles,
        chains_into_pools,
        kinds_of_weights,
    ],
)
def test_odd_graphs(make: Callable[[], tuple[Model, Any]]) -> None:
    check_same(*make())


@genn
def test_a_model_without_inputs() -> None:
    declared = ValueType(DType.FLOAT32, (2,), Timing.PER_STEP)
    node = Node(
        "n",
        "snn.IF",
        [Binding("current", "n:spikes", 1)],
        ("spikes",),
        {},
        {"bias": Tensor.from_array(np.float32(0.375))},
        (declared,),
    )
    graph = Graph("main", [], {"n": node}, [GraphOutput("y", "n:spikes")])
    check_same(Model(graph, {"snn": 1}, TimeBase(1e-3, 6)), {})


def without_neurons() -> Model:
    """Static nodes and constants only."""
    b = GraphBuilder(steps=5)
    x = b.input("x", [3])
    b.output("relu", b.ann.ReLU(x))
    b.output("same", x)
    b.output("current", b.snn.Dense(b.snn.ConstantCurrent(x), weight=dyadic(RNG, 3, 2)))
    return b.build()


def only_an_input() -> Model:
    b, x = network(3, steps=5)
    b.output("y", x)
    return b.build()


@genn
def test_models_of_which_nothing_is_left_for_genn() -> None:
    prepared = check_same(without_neurons(), dyadic(RNG, 2, 3))
    assert "build_seconds" not in prepared.run(dyadic(RNG, 2, 3)).details
    check_same(only_an_input(), dyadic(RNG, 2, 5, 3))


# Random graphs -----------------------------------------------------------------------------------


def check_random(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, nodes=int(rng.integers(4, 26)))
    check_same(model, random_inputs(rng, model, samples=3))


@genn
@pytest.mark.parametrize("seed", range(8))
def test_random_graphs(seed: int) -> None:
    check_random(seed)


@genn
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_more_random_graphs(seed: int) -> None:
    check_random(seed)


# Conformance -------------------------------------------------------------------------------------


@genn
@pytest.mark.parametrize("op", ["snn.PoissonEncoder", "snn.MaxPool2D", "system.delays"])
def test_conformance_to_a_few_definitions(op: str) -> None:
    result = run_vector(vectors([op])[0], find_backend("genn"))
    assert result.passed, result


@genn
@pytest.mark.slow
def test_conformance_to_all_definitions_of_the_domain() -> None:
    report = run_conformance("genn", ops=["snn"])
    assert not report.failures, report.summary()
    assert all(result.passed for result in report.results), report.summary()


# Runs --------------------------------------------------------------------------------------------


@genn
def test_the_presentation_may_change_between_runs() -> None:
    b = GraphBuilder(steps=6)
    x, y = b.input("x", [2]), b.input("y", [2], timing="per_step")
    cells = b.snn.LIF([b.snn.RateEncoder(x), y.delayed(1)], decay=0.5, name="cells")
    b.output("mean", b.snn.MeanPotential(cells, start=1))
    b.output("first", b.snn.FirstSpikeTime(b.snn.IF(cells, threshold=2)))
    model = b.build()
    prepared = prepare(model)
    for steps in (6, 3, 20, 2, 6):
        inputs = {"x": dyadic(RNG, 2, 2), "y": dyadic(RNG, 2, steps, 2)}
        check_same(model, inputs, prepared=prepared)
    with pytest.raises(RunError, match=r"run\.steps") as caught:
        prepared.run({"x": dyadic(RNG, 1, 2), "y": dyadic(RNG, 1, 1, 2)})
    with pytest.raises(RunError) as reference:
        find_backend("reference").prepare(model).run(
            {"x": dyadic(RNG, 1, 2), "y": dyadic(RNG, 1, 1, 2)}
        )
    assert str(caught.value) == str(reference.value)
    check_same(model, {"x": dyadic(RNG, 2, 2), "y": dyadic(RNG, 2, 3, 2)}, prepared=prepared)


@genn
def test_what_does_not_fit_is_refused_as_by_the_reference() -> None:
    b, x = network(2)
    b.output("y", b.snn.IF(x, name="cells"))
    model = b.build()
    good = spikes(RNG, 1, STEPS, 2)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (spikes(RNG, 1, STEPS, 3), {}),
        (spikes(RNG, 0, STEPS, 2), {}),
        ({"z": good}, {}),
        (good, {"steps": STEPS + 1}),
        (good, {"record": ["cells:u"]}),
    ]
    prepared = [backend.prepare(model) for backend in map(find_backend, ("genn", "reference"))]
    for inputs, options in calls:
        messages = []
        for found in prepared:
            with pytest.raises(RunError) as caught:
                found.run(inputs, **options)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    assert not differences(prepared[1].run(good), prepared[0].run(good))


@genn
def test_double_precision() -> None:
    """Weights and decays that are not float32: equal but for the order of sums."""
    rng = np.random.default_rng(7)
    b, x = network(6, 6, 1)
    conv = b.snn.Conv2D(x, weight=rng.normal(size=(3, 3, 1, 2)), bias=rng.normal(size=2))
    pooled = b.snn.AveragePool2D(conv, pool_size=(2, 2), name="pooled")
    trace = b.snn.LeakyIntegrator(pooled, decay=np.float64(1 / 3), name="trace")
    b.output("sum", b.snn.SumPotential(trace))
    b.output("scaled", b.snn.LeakyIntegrator(b.snn.Scale(x, scale=np.float64(1 / 7))))
    b.output("spikes", b.snn.LIF(x, decay=np.float64(0.9), threshold=np.float64(0.3)))
    model, inputs = b.build(), spikes(rng, 2, STEPS, 6, 6, 1)
    names = everything(model)
    wanted = find_backend("reference").prepare(model, precision="float64").run(inputs, record=names)
    found = prepare(model, precision="float64").run(inputs, record=names)
    assert found.details["precision"] == "float64"
    for name in (*wanted.outputs, *wanted.recorded):
        assert found[name].dtype == wanted[name].dtype
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(found["spikes"], wanted["spikes"])


@genn
def test_kernels_are_timed_on_request() -> None:
    b, x = network(2)
    b.output("y", b.snn.IF(b.snn.Dense(x, weight=dyadic(RNG, 2, 2))))
    model, inputs = b.build(), spikes(RNG, 5, STEPS, 2)
    prepared = prepare(model, profile=True)
    seconds = [prepared.run(inputs).details["kernel_seconds"] for _ in range(2)]
    assert all(found["neuron_update"] > 0 for found in seconds)
    assert all(found["presynaptic_update"] > 0 for found in seconds)
    assert seconds[1]["neuron_update"] > seconds[0]["neuron_update"]
    assert "kernel_seconds" not in prepare(model).run(inputs).details


@genn
def test_it_says_what_ran() -> None:
    b, x = network(2)
    b.output("y", b.snn.IF(x))
    for wanted in ("auto", "single_threaded_cpu"):
        details = prepare(b.build(), genn_backend=wanted).run(spikes(RNG, 1, STEPS, 2)).details
        assert details["device"] in ("single_threaded_cpu", "cuda", "hip")
        assert details["pygenn"].startswith("5.")
