"""Rate coding: what must be exact is, and the rest converges."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

import snnir
from snnir.errors import UnsupportedFeature
from snnir.ir.builder import GraphBuilder
from snnir.passes.canonicalise import canonicalise
from snnir.passes.rate import RateOptions, lower_to_rates
from snnir.passes.rate.lower import Encoder
from tests.passes.code_cases import with_activation
from tests.passes.nets import branched, samples


def _logits(model: snnir.Model, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return snnir.run(model, x, backend="layerwise")["class"]


@pytest.mark.parametrize("method", ["calibrated", "data-norm", "spike-norm"])
def test_more_steps_come_nearer_to_the_original(method: Any) -> None:
    model = canonicalise(branched())
    x = samples(64)
    expected = _logits(model, x)
    errors = []
    for steps in (8, 32, 128):
        spiking, layers = lower_to_rates(model, {"x": x}, RateOptions(steps, method))
        assert snnir.check(spiking) == []
        assert {n.domain for n in spiking.graph.nodes.values()} == {"snn", "ann"}
        errors.append(float(np.abs(_logits(spiking, x) - expected).mean()))
        assert len(layers) == 5
    assert errors[2] < errors[0]
    if method == "calibrated":
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < 0.02


def test_spikes_are_spikes() -> None:
    model = canonicalise(branched())
    spiking, _ = lower_to_rates(model, {"x": samples(32)}, RateOptions(16))
    neurons = [n.name for n in spiking.graph.nodes.values() if n.op == "snn.IF"]
    found = snnir.run(spiking, samples(2), record=neurons)
    for name in neurons:
        assert set(np.unique(found[name])) <= {-1.0, 0.0, 1.0}
        if spiking.graph.nodes[name].attributes.get("negative_spikes") == "corrective":
            assert np.cumsum(found[name], axis=1).min() >= 0


def test_the_simulation_of_calibration_is_what_the_model_does() -> None:
    """The reported rates are those of the runtime, on the calibration samples."""
    model = canonicalise(branched())
    x = samples(24)
    spiking, layers = lower_to_rates(model, {"x": x}, RateOptions(16))
    found = snnir.run(spiking, x, record=[layer.node for layer in layers])
    for layer in layers:
        rate = float(np.abs(found[layer.node]).mean())
        assert rate == pytest.approx(layer.rate, abs=2e-3)  # float32 sums in another order


@pytest.mark.parametrize("encoder", get_args(Encoder))
def test_encoders(encoder: Encoder) -> None:
    """A linear network, so that only the encoding is approximate: it must converge."""
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    x = b.input("x", [6])
    b.output("class", b.ann.Dense(x, weight=rng.normal(size=(6, 3))))
    model = b.build()
    inputs = rng.uniform(0, 1, (40, 6)).astype(np.float32)
    expected = _logits(model, inputs)
    options = RateOptions(400, "data-norm", encoder=encoder, seed=3)
    spiking, _ = lower_to_rates(model, {"x": inputs}, options)
    error = np.abs(_logits(spiking, inputs) - expected).mean()
    assert error < {"constant": 1e-5, "poisson": 0.1, "rate": 0.01, "latency": 0.01}[encoder]


@pytest.mark.parametrize("encoder", get_args(Encoder))
def test_every_input_has_an_encoder_of_its_own(encoder: Encoder) -> None:
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    left, right = b.input("left", [4]), b.input("right", [4])
    b.output("class", b.ann.Dense(b.ann.Add([left, right]), weight=rng.normal(size=(4, 3))))
    model = b.build()
    inputs = {name: rng.uniform(0, 1, (20, 4)).astype(np.float32) for name in ("left", "right")}
    spiking, _ = lower_to_rates(model, inputs, RateOptions(200, "data-norm", encoder=encoder))
    found, expected = (snnir.run(m, inputs)["class"] for m in (spiking, model))
    assert np.abs(found - expected).mean() < 0.2  # Poisson noise of 200 steps, the largest


def test_spike_counts_as_answers() -> None:
    model = canonicalise(branched())
    x = samples(48)
    spiking, _ = lower_to_rates(model, {"x": x}, RateOptions(64, decoder="spike-count"))
    assert "snn.SpikeCount" in {node.op for node in spiking.graph.nodes.values()}
    agree = _logits(spiking, x).argmax(1) == _logits(model, x).argmax(1)
    assert agree.mean() > 0.85


def test_what_a_method_cannot_do_is_refused_with_all_of_it() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        lower_to_rates(with_activation("SiLU"), {"x": np.ones((4, 2))}, RateOptions(8))
    assert [d.code for d in caught.value.diagnostics] == ["convert.method"]
    assert "ann.SiLU" in str(caught.value) and "layer 'layer'" in str(caught.value)


def test_a_head_stays_as_it_is() -> None:
    b = GraphBuilder()
    x = b.input("x", [2])
    b.output("class", b.ann.Sigmoid(b.ann.Dense(x, weight=np.eye(2, dtype=np.float32))))
    spiking, _ = lower_to_rates(b.build(), {"x": np.ones((4, 2))}, RateOptions(4))
    found = _logits(spiking, np.array([[0.5, -1.0]]))
    assert np.allclose(found, 1 / (1 + np.exp([-0.5, 1.0])), rtol=1e-6)
