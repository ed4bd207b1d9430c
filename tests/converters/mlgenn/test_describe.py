"""What a network is in mlGeNN's terms; none of it needs mlGeNN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnir.errors import Diagnostic
from snnir.ir.model import Model
from snnir_converters.mlgenn._describe import describe, rest_findings
from snnir_converters.mlgenn._description import Description, refractory_time, time_constant
from tests.converters.mlgenn import nets


def described(model: Model, **options: bool) -> Description:
    description, findings = describe(model, **options)
    assert description is not None, [str(finding) for finding in findings]
    return description


def refusals(model: Model) -> list[Diagnostic]:
    description, findings = describe(model)
    assert description is None
    return findings


def test_a_feed_forward_network() -> None:
    found = described(nets.feed_forward())
    assert {name: each.lag for name, each in found.populations.items()} == {
        "spikes": 0,
        "hidden": 1,
        "readout": 2,
    }
    assert found.timesteps == nets.STEPS + 2
    hidden = found.populations["hidden"]
    assert hidden.neuron == "LeakyIntegrateFire"
    assert dict(hidden.settings) == {
        "v_thresh": 1.0,
        "v_reset": 0.0,
        "v": 0.0,
        "tau_mem": 20.0,
        "tau_refrac": None,
        "relative_reset": False,
        "integrate_during_refrac": False,
        "scale_i": True,
    }
    into = found.connections["into_spikes_hidden"]
    assert (into.tau, into.scale_i, into.delay, into.factor) == (5.0, False, 0, 1.0)
    assert found.outputs == {"class": "readout"}
    assert found.populations["readout"].readout == "AvgVar"


def test_a_step_of_delay_is_the_one_that_a_synapse_takes() -> None:
    back = described(nets.recurrent()).connections["back_hidden_hidden"]
    assert (back.delay, back.lead) == (0, 0)


def test_delays_that_leave_no_population_late() -> None:
    found = described(nets.delayed())
    assert found.latency == 0
    assert [each.delay for each in found.connections.values()] == [2, 1]


def test_shorter_ways_are_delayed() -> None:
    found = described(nets.skipping())
    assert found.latency == 3
    assert {name: each.delay for name, each in found.connections.items()} == {
        "w1_spikes_first": 0,
        "w2_first_second": 0,
        "w3_second_readout": 0,
        "w4_first_readout": 1,
    }


def test_delays_of_single_synapses() -> None:
    model = nets.delays()
    found = described(model)
    for node in ("into", "back"):
        connection = next(each for each in found.connections.values() if each.node == node)
        own = model.graph.nodes[node].parameters["delay_steps"].numpy()
        assert np.array_equal(np.asarray(connection.delay) + connection.lead, own)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", nets.RUNNABLE)
def test_weights_mean_the_same(name: str, scaled: bool) -> None:
    """Weights times what mlGeNN multiplies currents by are weights times the model's gain."""
    model = nets.RUNNABLE[name]()
    found = described(model, scaled=scaled)
    for each in found.connections.values():
        node = model.graph.nodes[found.populations[each.target].node]
        gain, decay = (
            float(node.parameters[key].values()) if key in node.parameters else 1.0
            for key in ("gain", "decay")
        )
        theirs = 1 - decay if found.populations[each.target].settings.get("scale_i") else 1.0
        if each.scale_i and each.tau:
            theirs *= each.tau / found.dt * (1 - math.exp(-found.dt / each.tau))
        own = model.graph.nodes[each.node].parameters["weight"].values().reshape(-1)
        # rounded to float32 once
        assert np.allclose(each.weight.reshape(-1) * theirs, own * gain, rtol=1e-6, atol=0)


def test_neurons_without_leak_have_no_end_of_memory() -> None:
    hidden = described(nets.counted()).populations["hidden"]
    assert hidden.neuron == "LeakyIntegrateFire"
    assert hidden.settings["tau_mem"] == math.inf


def test_a_refractory_time_in_which_neurons_integrate_is_a_step_longer() -> None:
    hidden = described(nets.adaptive()).populations["hidden"]
    assert (hidden.settings["tau_refrac"], hidden.settings["integrate_during_refrac"]) == (3, True)


def test_a_late_bias_is_reported() -> None:
    model = nets.adaptive()
    (finding,) = rest_findings(described(model), model)
    assert (finding.code, "'readout'" in finding.where) == ("mlgenn.late", True)


def test_everything_is_reported_at_once() -> None:
    net = nets.Net()
    current = net.b.snn.Permute(net.input, axes=(0,), name="permute")
    hidden = net.b.snn.LIF(
        net.dense(current, "into", 4), decay=0.5, compare=">", lower_bound=-1.0, name="hidden"
    )
    bias = np.ones(nets.CLASSES, np.float32)
    out = net.b.snn.Dense(hidden, weight=net.weight(4, nets.CLASSES), bias=bias, name="out")
    found = refusals(net.end(net.b.snn.LIF(out, decay=0.5, bias=0.5, name="end"), "SumPotential"))
    assert {finding.code for finding in found} == {"mlgenn.unsupported"}
    text = "\n".join(map(str, found))
    for part in ("'permute'", "compare '>'", "'lower_bound'", "a bias", "behind snn.LIF"):
        assert part in text


def test_a_cycle_that_is_too_fast() -> None:
    net = nets.Net()
    first = net.cuba(net.dense(net.input, "w1", 4), "first")
    second = net.cuba(net.dense(first, "w2", 4), "second")
    net.b.connect(net.dense(second, "w3", 4), "first-synapse", "x", delay_steps=1)
    found = refusals(net.readout(net.dense(second, "out", 3)))
    assert {finding.code for finding in found} == {"mlgenn.cycle"}


@given(st.floats(0.05, 5000.0), st.sampled_from([0.1, 0.5, 1.0, 10.0]))
def test_a_time_constant_gives_its_decay(tau: float, dt: float) -> None:
    decay = np.float32(math.exp(-dt / tau))
    if 0 < decay < 1:
        found = time_constant(float(decay), dt)
        assert np.float32(math.exp(-dt / found)) == decay


@given(st.integers(1, 60), st.sampled_from([0.1, 0.25, 0.3, 1.0, 7.0]))
def test_a_refractory_time_lasts_its_steps(steps: int, dt: float) -> None:
    left, count = np.float32(refractory_time(steps, dt)), 0
    while left > 0:  # as GeNN counts
        left, count = np.float32(left - np.float32(dt)), count + 1
    assert count == steps
