"""Compensated rounding: traces are what neurons sum up, and errors cancel in it."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.errors import UnsupportedFeature
from snnir.ir.builder import GraphBuilder
from snnir.passes.loihi2 import Loihi2Options, lower_to_loihi2
from snnir.passes.quantise import QuantiseOptions, QuantiseReport, quantise
from snnir.passes.quantise.compensate import (
    DAMPING,
    Correlation,
    _paths,
    _recorded,
    _traces,
    compensated,
    correlations,
)
from snnir.passes.quantise.groups import find_groups
from snnir.passes.quantise.scales import integers, largest
from tests.passes.test_quantise import recurrent, spikes

Array = np.ndarray[Any, Any]
Model = snnir.Model


def moments(seed: int, inputs: int, shared: float = 1.0) -> Array:
    """Of inputs that are active together, the more so the larger ``shared``."""
    rng = np.random.default_rng(seed)
    rows = rng.random((50, inputs)) + shared * rng.random((50, 1))
    found: Array = rows.T @ rows
    return found


def damped(moments: Array) -> Array:
    found: Array = moments + DAMPING * np.diag(moments).mean() * np.eye(len(moments))
    return found


def error(weight: Array, found: Array, step: float, h: Array) -> float:
    """Mean square error of the potentials, up to a factor."""
    wrong = weight - step * found
    return float(np.einsum("ij,ik,kj->", wrong, h, wrong))


# Rounding -----------------------------------------------------------------------------------


def test_two_inputs_that_are_always_active_together() -> None:
    correlation = Correlation.of(np.ones((2, 2)))
    weight = np.array([[0.4, 1.4], [0.4, 1.4]])
    # Each by itself is 0 and 1; together they are 0.8 and 2.8, which are nearer to 1 and 3.
    assert integers(weight, 1.0, 8).sum(axis=0).tolist() == [0, 2]
    assert compensated(weight, correlation, 1.0, 8).sum(axis=0).tolist() == [1, 3]


def test_an_input_makes_good_what_another_is_clipped() -> None:
    correlation = Correlation.of(np.ones((2, 2)))
    found = compensated(np.array([[9.0], [1.0]]), correlation, 1.0, 4)
    assert found.tolist() == [[7], [3]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 4, 2]), st.integers(1, 150))
def test_rounding_in_general(seed: int, bits: int, inputs: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 3, (inputs, 3))
    found = compensated(weight, Correlation.of(moments(seed, inputs)), 0.5, bits)
    assert np.array_equal(found, np.rint(found))
    assert np.abs(found).max() <= largest(bits)
    exact = rng.integers(-largest(bits), largest(bits), (inputs, 2), endpoint=True)
    assert np.array_equal(
        compensated(exact * 0.5, Correlation.of(moments(seed, inputs)), 0.5, bits), exact
    )
    alone = Correlation.of(np.diag(rng.random(inputs) + 0.1))
    assert np.array_equal(compensated(weight, alone, 0.5, bits), integers(weight, 0.5, bits))


def test_inputs_that_are_never_active() -> None:
    weight = np.array([[1.3], [-2.6]])
    assert compensated(weight, Correlation.of(np.zeros((2, 2))), 1.0, 8).tolist() == [[1], [-3]]


def test_it_is_near_the_best_of_all_roundings() -> None:
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        weight, h = rng.normal(0, 3, (6, 1)), damped(moments(seed, 6))
        found = compensated(weight, Correlation.of(moments(seed, 6)), 1.0, 8)
        choices = product(*[(np.floor(w) - 1, np.floor(w), np.ceil(w), np.ceil(w) + 1)
                            for w in weight[:, 0]])  # fmt: skip
        best = min(error(weight, np.array(c)[:, None], 1.0, h) for c in choices)
        nearest = error(weight, integers(weight, 1.0, 8), 1.0, h)
        assert best <= error(weight, found, 1.0, h) * (1 + 1e-9)
        ratios.append((error(weight, found, 1.0, h) / best, nearest / best))
    ours, theirs = np.mean(ratios, axis=0)
    # One input after the other is not the optimum (1), but nearer than each by itself.
    assert ours < 1.5 < 2 < theirs


# Traces -------------------------------------------------------------------------------------


def late(neuron: str) -> Model:
    """Dense weights that reach neurons with all kinds of delays; neurons that do not fire."""
    rng = np.random.default_rng(3)
    b = GraphBuilder("late", steps=12)
    x = b.input("x", [4], timing="per_step")
    first = b.snn.Dense(x.delayed(2), weight=rng.normal(0, 1, (4, 5)).astype("f4"), name="a")
    arriving = [first, first.delayed(3)]
    current = b.snn.ExponentialSynapse(arriving, decay=0.7)
    arguments = {} if neuron == "LeakyIntegrator" else {"threshold": 1e6, "reset": "to_value"}
    if neuron != "IF":
        arguments["decay"] = 0.9
    cells = getattr(b.snn, neuron)(current.delayed(1), name="cells", **arguments)
    b.output("y", b.snn.MeanPotential(cells) if not arguments.get("reset") else
             b.snn.SpikeCount(cells))  # fmt: skip
    return b.build()


@pytest.mark.parametrize("neuron", ["IF", "LIF", "LeakyIntegrator"])
def test_weights_times_traces_are_potentials(neuron: str) -> None:
    model = late(neuron)
    (group,) = find_groups(model.graph)
    rng = np.random.default_rng(0)
    given = {"x": (rng.random((6, 12, 4)) < 0.4).astype(np.float32)}
    paths = _paths(model.graph, group)
    sources = sorted({path.source for each in paths.values() for path in each})
    (values,) = _recorded(model, given, sources)
    traces = _traces(model.graph, group, paths, values)
    weight = np.concatenate([model.graph.nodes[n].parameters["weight"].values() for n in paths])
    potentials = snnir.run(model, given, record=["cells:v"])["cells:v"]
    # float32 in another order
    assert np.allclose(traces @ weight, potentials.reshape(len(traces), -1), rtol=1e-4, atol=1e-4)


def test_recurrent_weights_see_the_spikes_of_the_step_before() -> None:
    model = recurrent()
    groups = find_groups(model.graph)
    paths = _paths(model.graph, groups[0])
    assert [(p.source, p.delay) for p in paths["back"]] == [("cells:spikes", 1)]
    assert [(p.source, p.delay) for p in paths["into"]] == [("x", 0)]
    found = correlations(model, groups, {"x": spikes()})
    assert {name: len(each.order) for name, each in found.items()} == {"cells": 32, "readout": 20}


def test_other_weights_are_rounded_to_nearest_and_the_report_says_so() -> None:
    b = GraphBuilder("convolution", steps=4)
    rng = np.random.default_rng(0)
    x = b.input("x", [6, 6, 1], timing="per_step")
    kernel = rng.normal(0, 1, (3, 3, 1, 2)).astype("f4")
    cells = b.snn.IF(b.snn.Conv2D(x, weight=kernel), reset="to_value", name="cells")
    dense = b.snn.Dense(b.snn.Flatten(cells), weight=rng.normal(0, 1, (32, 3)).astype("f4"))
    b.output("y", b.snn.MeanPotential(b.snn.LeakyIntegrator(dense, decay=0.9, name="readout")))
    given = {"x": (rng.random((20, 4, 6, 6, 1)) < 0.5).astype(np.float32)}
    _, report = quantise(b.build(), given, QuantiseOptions(4, "max", "compensated"))
    assert {layer.node: layer.compensated for layer in report.layers} == {
        "cells": False,
        "readout": True,
    }
    lines = str(report).splitlines()
    assert [line.split()[-1] for line in lines if " bits " in line][-2:] == [
        "nearest",
        "compensated",
    ]


# What it is good for ------------------------------------------------------------------------


def difference(model: Model, found: Model, x: Array) -> float:
    wanted = snnir.run(model, x, backend="layerwise")["y"]
    wrong = snnir.run(found, x, backend="layerwise")["y"] - wanted
    return float(np.square(wrong).sum() / np.square(wanted).sum())


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_answers_are_nearer_on_samples_that_it_has_not_seen(bits: int) -> None:
    seen, unseen = {"x": spikes(200)}, spikes(200, seed=2)
    errors = {}
    for rounding in ("nearest", "compensated"):
        each = []
        for seed in range(4):
            options = QuantiseOptions(bits, "max", rounding)  # type: ignore[arg-type]
            found, report = quantise(recurrent(seed), seen, options)
            assert report.rounding == rounding
            assert all(layer.compensated == (rounding == "compensated") for layer in report.layers)
            each.append(difference(recurrent(seed), found, unseen))
        errors[rounding] = float(np.mean(each))
    assert errors["compensated"] < errors["nearest"]


def test_auto_compensates_where_that_is_better() -> None:
    _, report = quantise(recurrent(), {"x": spikes(200)}, QuantiseOptions(4, "max"))
    assert report.rounding == "compensated"
    _, report = quantise(recurrent(), options=QuantiseOptions(4, "max"))
    assert report.rounding == "nearest"
    lowered, done = lower_to_loihi2(recurrent(), {"x": spikes(200)}, Loihi2Options(4, "max"))
    assert done.rounding == "compensated"
    assert "rounding=compensated" in lowered.metadata["snnir.loihi2"]


def test_the_order_of_samples_does_not_choose_what_is_seen() -> None:
    """Of samples sorted by class, all classes are seen."""
    x = np.concatenate([np.zeros((2000, 20, 12), np.float32), spikes(600)])
    found, _ = quantise(recurrent(), {"x": x}, QuantiseOptions(4, "max", "compensated"))
    nearest, _ = quantise(recurrent(), {"x": x}, QuantiseOptions(4, "max", "nearest"))
    assert any(
        not np.array_equal(
            found.graph.nodes[name].parameters["weight"].numpy(),
            nearest.graph.nodes[name].parameters["weight"].numpy(),
        )
        for name in ("into", "back", "out")
    )


def test_one_sample_is_enough() -> None:
    found, report = quantise(recurrent(), {"x": spikes(1)}, QuantiseOptions(8))
    assert snnir.check(found) == []
    assert isinstance(report, QuantiseReport)


# What is refused ----------------------------------------------------------------------------


def test_without_samples_there_is_nothing_to_compensate_on() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        quantise(recurrent(), options=QuantiseOptions(9, "max", "compensated"))
    assert {d.where for d in caught.value.diagnostics} == {"option 'bits'", "option 'rounding'"}


def test_sigma_delta_networks_have_no_compensated_rounding() -> None:
    b = GraphBuilder()
    eye = np.eye(2, dtype=np.float32)
    hidden = b.ann.ReLU(b.ann.Dense(b.input("x", [2]), weight=eye))
    b.output("y", b.ann.Dense(hidden, weight=eye))
    x = {"x": np.ones((4, 2), np.float32)}
    with pytest.raises(UnsupportedFeature) as caught:
        lower_to_loihi2(b.build(), x, Loihi2Options(rounding="compensated"))
    assert caught.value.code == "quantise.option"
    _, report = lower_to_loihi2(b.build(), x)
    assert report.rounding == "nearest"
