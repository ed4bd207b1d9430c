"""Cases of nodes that start after step 0, of every flow and with every count of steps."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from snnir.ir.builder import GraphBuilder
from tests.conformance.cases import HAND, RATIONAL, Case, also, finish, same
from tests.conformance.decoders import ANSWERS, decoded
from tests.conformance.encoders import poisson
from tests.conformance.exact import Array, float32, fractions
from tests.conformance.few_spikes import BINARY, few_spike, few_spike_encoder, relu_code
from tests.conformance.scalar_neurons import Neuron

GROUP = "system.start-step"


def late(values: Any, start: int) -> Array:
    """Values of the steps from ``start`` on, behind zeros."""
    array = np.asarray(values, np.float64)
    return np.concatenate([np.zeros((array.shape[0], start, *array.shape[2:])), array], axis=1)


def neuron_case() -> Case:
    b = GraphBuilder("neurons", steps=6)
    spikes = b.snn.LIF(
        b.input("x", [1], timing="per_step"),
        decay=0.5,
        bias=0.5,
        initial_potential=0.75,
        start_step=2,
        name="neurons",
    )
    b.output("spikes", spikes)
    x = np.array([4, 0, 0.25, 0, 0, 1])
    potential = [0.75, 0.75, 0.125, 0.5625, 0.78125, 0.890625]
    train = [0, 0, 1, 0, 0, 1]
    quantities = {"decay": Fraction(1, 2), "bias": Fraction(1, 2), "initial_potential": "3/4"}
    neuron = Neuron("LIF", {}, {key: Fraction(value) for key, value in quantities.items()})
    found = [(neuron.step(current), neuron.v) for current in fractions(x)[2:]]
    same([float(spike) for spike, _ in found], train[2:], "spikes")
    same([float(v) for _, v in found], potential[2:], "potential")
    return finish(
        GROUP,
        "neurons",
        "Before its first step a neuron neither leaks nor takes its bias nor what arrives.",
        b.build(),
        {"x": x.reshape(1, 6, 1)},
        {
            "spikes": np.reshape(train, (1, 6, 1)),
            "neurons:v": float32(np.reshape(potential, (1, 6, 1))),
        },
        steps=6,
        origin=also(HAND, RATIONAL),
    )


def decoder_case() -> Case:
    b = GraphBuilder("decoders", steps=7)
    x = b.input("x", [2], timing="per_step")
    windows: dict[str, dict[str, int]] = {
        "MeanPotential": {"start_step": 2, "start": 1, "stop": 3},
        "SumPotential": {"start_step": 3},
        "FirstSpikeTime": {"start_step": 1, "start": 1},
        "SpikeCount": {"start_step": 6, "stop": 4},
    }
    fed = np.array([[[4, 0], [1, 0], [2, 0], [8, 0], [-1, 0.5], [0, 1], [3, -2]]])
    expected = {}
    for operator, window in windows.items():
        b.output(operator, b.add(f"snn.{operator}", x, name=f"the-{operator}", **window))
        expected[operator] = decoded(
            fed[:, window["start_step"] :],
            ANSWERS[operator],
            window.get("start", 0),
            window.get("stop"),
        )
    table = {
        "MeanPotential": [[3.5, 0.25]],
        "SumPotential": [[10, -0.5]],
        "FirstSpikeTime": [[0, 2]],
        "SpikeCount": [[1, -1]],
    }
    for operator, answer in table.items():
        same(expected[operator], answer, operator)
    return finish(
        GROUP,
        "decoders",
        "Windows, and the steps of their answers, count from a decoder's first step.",
        b.build(),
        {"x": fed},
        expected,
        steps=7,
        origin=also(HAND, RATIONAL),
    )


def phase_case() -> Case:
    relu: dict[str, Any] = {name: np.array(BINARY) for name in ("threshold", "reset", "weight")}
    b = GraphBuilder("phases", steps=12)
    b.output(
        "spikes",
        b.snn.FewSpike(b.input("x", [2], timing="per_step"), start_step=3, name="few", **relu),
    )
    fed = np.zeros((1, 12, 2))
    fed[0, :4], fed[0, 5] = 0.25, [0.625, 1.25]
    found = few_spike(fed[:, 3:], relu)
    code = np.array([relu_code(x) for x in (0.25 + 0.625, 0.25 + 1.25)]).T
    same(found[0, 4:8], code, "phases")
    return finish(
        GROUP,
        "phases",
        "Phases begin at the first step; of what arrives only what comes from then on counts.",
        b.build(),
        {"x": fed},
        {"spikes": late(found, 3)},
        steps=12,
        origin=RATIONAL,
    )


def encoder_case() -> Case:
    relu: dict[str, Any] = {name: np.array(BINARY) for name in ("threshold", "reset", "weight")}
    b = GraphBuilder("encoders", steps=6)
    x = b.input("x", [3])
    b.output("poisson", b.snn.PoissonEncoder(x, seed=11, start_step=2))
    b.output("latency", b.snn.LatencyEncoder(x, window_steps=3, start_step=1))
    b.output("constant", b.snn.ConstantCurrent(x, start_step=4))
    b.output("few", b.snn.FewSpikeEncoder(x, start_step=3, **relu))
    b.output("never", b.snn.Scale(b.snn.ConstantCurrent(x), scale=2.0, start_step=9))
    fed = np.array([[1.0, 0.5, 0.25], [0.75, 0.125, 0.625]])
    latency = np.zeros((2, 6, 3))
    for place, x_ in np.ndenumerate(fed):
        latency[(place[0], 1 + round((1 - x_) * 2), place[1])] = 1
    return finish(
        GROUP,
        "encoders",
        "Random numbers, latencies and phases count from the first step; a first step beyond the "
        "presentation never comes.",
        b.build(),
        {"x": fed},
        {
            "poisson": late(poisson(fed, 4, seed=11), 2),
            "latency": latency,
            "constant": late(np.repeat(fed[:, None], 2, axis=1), 4),
            "few": late(few_spike_encoder(fed, 3, relu), 3),
            "never": np.zeros((2, 6, 3)),
        },
        steps=6,
        origin="SplitMix64 in Python's integers, a closed form, and " + RATIONAL,
    )


def delay_case() -> Case:
    b = GraphBuilder("delays", steps=6)
    x = b.input("x", [1], timing="per_step")
    first = b.snn.Bias(x, bias=1.0, start_step=2, name="first")
    b.output("first", first)
    b.output("sum", b.snn.Scale(first.delayed(1), scale=2.0, start_step=1, name="second"))
    b.output("late", b.snn.Scale(x.delayed(1), scale=2.0, start_step=3, name="third"))
    fed = np.array([1, 2, 3, 4, 5, 6]).reshape(1, 6, 1)

    def table(*values: float) -> Array:
        return np.reshape(np.array(values), (1, 6, 1))

    return finish(
        GROUP,
        "delays",
        "Delays count steps of the presentation; of a node that has not started they bring 0.",
        b.build(),
        {"x": fed},
        {
            "first": table(0, 0, 4, 5, 6, 7),
            "sum": table(0, 0, 0, 8, 10, 12),
            "late": table(0, 0, 0, 6, 8, 10),
        },
        steps=6,
        origin=HAND,
    )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield neuron_case()
    yield decoder_case()
    yield phase_case()
    yield encoder_case()
    yield delay_case()
