"""Quantisation: one unit for all that meets in a neuron, and nothing but rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.errors import UnsupportedFeature
from snnir.ir.builder import GraphBuilder
from snnir.ir.digest import digest
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType
from snnir.passes.quantise import SCALES, QuantiseOptions, quantise
from snnir.passes.quantise.groups import find_groups, fold_gains
from snnir.passes.quantise.scales import clipped, integers, largest, rounding_error, unit

Array = np.ndarray[Any, Any]
Model = snnir.Model


def recurrent(seed: int = 0, gain: Any = None, steps: int = 20) -> Model:
    """A trained-style recurrent network with exponential synapses and a leaky readout."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder("recurrent", steps=steps)
    spikes = b.input("x", [12], timing="per_step")
    dense = b.snn.Dense(spikes, weight=rng.normal(0, 0.3, (12, 20)).astype("f4"), name="into")
    synapse = b.snn.ExponentialSynapse(dense, decay=0.8, name="synapse")
    cells = b.snn.LIF(synapse, decay=0.95, reset="to_value", threshold=0.9, gain=gain, name="cells")
    back = b.snn.Dense(cells, weight=rng.normal(0, 0.1, (20, 20)).astype("f4"), name="back")
    b.connect(back, "synapse", "x", delay_steps=1)
    out = b.snn.Dense(cells, weight=rng.normal(0, 0.2, (20, 4)).astype("f4"), name="out")
    readout = b.snn.LeakyIntegrator(out, decay=0.97, name="readout")
    b.output("y", b.snn.MeanPotential(readout))
    b.output("count", b.snn.SpikeCount(cells))
    return b.build()


def spikes(samples: int = 16, steps: int = 20, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    return (rng.random((samples, steps, 12)) < 0.2).astype(np.float32)


# Units ---------------------------------------------------------------------------------------


def test_what_meets_in_a_neuron_shares_a_unit() -> None:
    groups = {group.name: group.weighted for group in find_groups(recurrent().graph)}
    assert groups == {"cells": ("into", "back"), "readout": ("out",)}
    quantised, report = quantise(recurrent())
    nodes = quantised.graph.nodes
    scales = [nodes[name].parameters["weight"].quantization for name in ("into", "back")]
    threshold = nodes["cells"].parameters["threshold"]
    assert scales[0] is not None and scales[0] == scales[1]
    assert threshold.quantization is not None
    assert threshold.quantization.scale == scales[0].scale == (report.layers[0].unit,)
    assert nodes["out"].parameters["weight"].quantization != scales[0]


def test_rounding_is_all_that_happens() -> None:
    model = recurrent()
    quantised, report = quantise(model, options=QuantiseOptions(scale="max"))
    assert snnir.check(quantised) == []
    for layer in report.layers:
        assert layer.clipped == 0
        for name in layer.weighted:
            was = model.graph.nodes[name].parameters["weight"].values()
            now = quantised.graph.nodes[name].parameters["weight"].values()
            assert np.abs(was - now).max() <= layer.unit / 2 * (1 + 1e-6)
    threshold = quantised.graph.nodes["cells"].parameters["threshold"]
    assert abs(float(threshold.values()) - 0.9) <= report.layers[0].unit / 2
    assert int(threshold.numpy()) == report.layers[0].threshold


def test_decays_have_twelve_bits() -> None:
    quantised, _ = quantise(recurrent())
    for name, decay in (("synapse", 0.8), ("cells", 0.95), ("readout", 0.97)):
        tensor = quantised.graph.nodes[name].parameters["decay"]
        assert int(tensor.numpy()) == round(decay * 4096)
        assert float(tensor.values()) == round(decay * 4096) / 4096


def test_the_model_runs_as_what_its_integers_stand_for() -> None:
    quantised, report = quantise(recurrent())
    floats = {name: node for name, node in quantised.graph.nodes.items()}
    for node in floats.values():
        node.parameters.update(
            {key: Tensor.from_array(tensor.values()) for key, tensor in node.parameters.items()}
        )
    quantised_again, _ = quantise(recurrent())
    x = spikes()
    found = snnir.run(quantised_again, x)
    assert np.array_equal(found["y"], snnir.run(quantised, x)["y"])
    assert report.kept == ()


def test_masters_stay_and_are_named() -> None:
    model = recurrent()
    before = digest(model)
    quantised, _ = quantise(model, {"x": spikes()})
    assert digest(model) == before == quantised.metadata["snnir.quantise.original"]
    again = snnir.loads(snnir.to_bytes(quantised))
    assert digest(again) == digest(quantised)
    x = spikes()
    assert np.array_equal(snnir.run(again, x)["y"], snnir.run(quantised, x)["y"])


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_bits(bits: int) -> None:
    quantised, report = quantise(recurrent(), options=QuantiseOptions(bits, "max"))
    for name in ("into", "back", "out"):
        tensor = quantised.graph.nodes[name].parameters["weight"]
        assert tensor.dtype is (DType.INT4 if bits == 4 else DType.INT8)
        assert np.abs(tensor.numpy()).max() <= largest(bits)
        assert tensor.quantization is not None and tensor.quantization.bits == bits
    assert max(
        np.abs(quantised.graph.nodes[n].parameters["weight"].numpy()).max()
        for n in ("into", "back")
    ) == largest(bits)
    assert report.bits == bits


def test_fewer_bits_cost_more() -> None:
    x = spikes(64)
    wanted = snnir.run(recurrent(), x)["y"]
    errors = []
    for bits in (8, 6, 4):
        quantised, _ = quantise(recurrent(), {"x": x}, QuantiseOptions(bits))
        errors.append(float(np.abs(snnir.run(quantised, x)["y"] - wanted).mean()))
    assert errors[0] < errors[1] < errors[2]


def test_auto_is_the_best_of_those_it_tries() -> None:
    x = {"x": spikes(32)}
    wanted = snnir.run(recurrent(), x)

    def error(model: Model) -> float:
        found = snnir.run(model, x)
        return sum(
            float(np.square(found[name] - wanted[name]).sum() / np.square(wanted[name]).sum())
            for name in ("y", "count")
        )

    for bits in (8, 4):
        tried = {
            scale: error(quantise(recurrent(), x, QuantiseOptions(bits, scale))[0])
            for scale in ("max", "mse", "output")
        }
        best, report = quantise(recurrent(), x, QuantiseOptions(bits, "auto"))
        # The backend that chooses may add in another order, which can tip a spike.
        assert error(best) <= min(tried.values()) * 1.05 + 1e-6
        assert report.scale in tried


def test_headroom_is_that_of_the_largest_sum() -> None:
    b = GraphBuilder()
    x = b.input("x", [3], timing="per_step")
    weight = np.array([[1.0, -0.5], [1.0, 0.25], [-1.0, 0.0]], np.float32)
    cells = b.snn.IF(b.snn.Dense(x, weight=weight), reset="to_value")
    b.output("n", b.snn.SpikeCount(cells))
    _, report = quantise(b.build(), options=QuantiseOptions(scale="max"))
    assert report.layers[0].headroom == pytest.approx(np.log2((1 << 17) / (3 * 127)))


# Gains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.05, np.linspace(0.5, 2, 20).astype(np.float32)])
def test_gains_are_folded_exactly(gain: Any) -> None:
    model = recurrent(gain=gain)
    folded = fold_gains(model)
    assert "gain" not in folded.graph.nodes["cells"].parameters
    assert "gain" in model.graph.nodes["cells"].parameters
    x = spikes()
    first = snnir.run(model, x, record=["cells:v"], precision="float64")
    second = snnir.run(folded, x, record=["cells:v"], precision="float64")
    # Weights are float32: what the product with the gain rounds off stays below 1e-6 of it.
    assert np.allclose(first["cells:v"], second["cells:v"], rtol=1e-5, atol=1e-6)


def test_a_gain_on_shared_weights_stays() -> None:
    b = GraphBuilder()
    x = b.input("x", [3], timing="per_step")
    current = b.snn.Dense(x, weight=np.eye(3, dtype=np.float32))
    for number, gain in enumerate((0.5, None)):
        cells = b.snn.IF(current, gain=gain, name=f"cells{number}", reset="to_value")
        b.output(f"n{number}", b.snn.SpikeCount(cells))
    quantised, report = quantise(b.build())
    assert report.kept == ("cells0.gain",)
    assert len(report.layers) == 1
    assert snnir.check(quantised) == []


# Scales --------------------------------------------------------------------------------------


def ml_genn_unit(weight: Array, bits: int) -> float:
    """The rule of ml_genn_netx, as the reference describes it, with the standard library."""
    ends = []
    for part in (sorted(w for w in weight if w > 0), sorted(-w for w in weight if w < 0)):
        if part:
            place = 0.99 * (len(part) - 1)
            low = int(place)
            high = min(low + 1, len(part) - 1)
            ends.append(part[low] + (part[high] - part[low]) * (place - low))
    exponent = 0
    while 2.0 ** (exponent + 1) <= max(ends):
        exponent += 1
    while 2.0**exponent > max(ends):
        exponent -= 1
    return float(2.0 ** (exponent - (bits - 2)))


@pytest.mark.parametrize("bits", [8, 6, 4])
@pytest.mark.parametrize("seed", range(4))
def test_power_of_two_is_the_rule_of_ml_genn(seed: int, bits: int) -> None:
    weight = np.random.default_rng(seed).normal(0.1, 0.4, 301)
    assert unit(weight, bits, "power-of-two") == ml_genn_unit(weight, bits)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 6, 4, 2]), st.sampled_from(SCALES))
def test_units_in_general(seed: int, bits: int, scale: Any) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.standard_cauchy(rng.integers(1, 200)) * 10.0 ** rng.integers(-6, 6)
    step = unit(weight, bits, scale)
    found = integers(weight, step, bits)
    assert step > 0 and np.isfinite(step)
    assert np.abs(found).max() <= largest(bits)
    assert np.array_equal(found, np.rint(found))
    inside = np.abs(weight) <= largest(bits) * step
    assert np.all(np.abs(found * step - weight)[inside] <= step * (0.5 + 1e-9))
    assert np.all(np.abs(found)[~inside] == largest(bits))
    if scale == "max":
        assert clipped(weight, step, bits) == 0
    if scale == "mse":
        assert rounding_error(weight, step, bits) <= rounding_error(
            weight, unit(weight, bits, "max"), bits
        ) * (1 + 1e-9)


def test_weights_of_zeros_have_a_unit() -> None:
    for scale in SCALES:
        assert unit(np.zeros(5), 8, scale) == 1.0
    b = GraphBuilder()
    x = b.input("x", [2])
    b.output("y", b.ann.Dense(x, weight=np.zeros((2, 2), np.float32)))
    quantised, _ = quantise(b.build())
    assert not quantised.graph.nodes["dense1"].parameters["weight"].numpy().any()


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 9, 0, -3])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        quantise(recurrent(), options=QuantiseOptions(bits))
    assert caught.value.code == "quantise.option"


def test_nothing_to_quantise() -> None:
    b = GraphBuilder()
    b.output("y", b.ann.ReLU(b.input("x", [2])))
    with pytest.raises(UnsupportedFeature) as caught:
        quantise(b.build())
    assert caught.value.code == "quantise.nothing"
