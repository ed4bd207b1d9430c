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
from snnir.passes.rate.lower import Encoder, Method
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


def two_branches() -> snnir.Model:
    """Two activations of different scale, combined in every linear way."""
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    x = b.input("x", [4, 4, 3])
    first = b.ann.Conv2D(x, weight=rng.normal(size=(3, 3, 3, 5)), padding="same")
    near = b.ann.ReLU(first, name="near")
    second = b.ann.Conv2D(near, weight=7 * rng.normal(size=(3, 3, 5, 5)), padding="same")
    far = b.ann.ReLU(second, name="far")
    both = b.ann.Concat([near, far])
    b.output("sum", b.ann.Scale(b.ann.Add([near, far]), scale=1.0))
    b.output("concat", b.ann.Scale(both, scale=1.0))
    b.output("mean", b.ann.Scale(b.ann.AveragePool2D(both, pool_size=[2, 2]), scale=1.0))
    b.output("max", b.ann.Scale(b.ann.MaxPool2D(both, pool_size=[2, 2]), scale=1.0))
    difference = b.add("ann.Subtract", a=near, b=far, name="difference")
    turned = difference.name.partition(":")[0]
    b.graph.nodes[turned].inputs.reverse()
    b.output("difference", b.ann.Scale(difference, scale=1.0))
    return b.build()


@pytest.mark.parametrize("method", get_args(Method))
def test_what_follows_the_spikes_is_exact(method: Method) -> None:
    """In float64, up to its rounding: of what the neurons deliver nothing is lost."""
    x = np.random.default_rng(1).uniform(0, 1, (120, 4, 4, 3)).astype(np.float32)
    spiking, _ = lower_to_rates(two_branches(), {"x": x}, RateOptions(8, method))
    found = snnir.run(spiking, x[:20], record=["near", "far"], precision="float64")
    near, far = (
        found[name].mean(1) * spiking.graph.nodes[name].parameters["threshold"].values()
        for name in ("near", "far")
    )
    both = np.concatenate([near, far], -1)
    windows = both.reshape(20, 2, 2, 2, 2, 10)
    for name, expected in {
        "sum": near + far,
        "concat": both,
        "mean": windows.mean((2, 4)),
        "max": windows.max((2, 4)),
        "difference": near - far,
    }.items():
        assert np.abs(found[name] - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("method", get_args(Method))
def test_negative_activations_are_carried_by_every_method(method: Method) -> None:
    """PReLU, on channels of which one is hardly ever positive."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1, 1, (90, 2)), rng.uniform(-1, 0, (90, 2))], 1)
    b = GraphBuilder()
    active = b.ann.PReLU(b.input("x", [4]), slope=np.array([0.1, 0.5, 0.25, 1.0]))
    b.output("y", b.ann.Dense(active, weight=np.eye(4)))
    model, inputs = b.build(), x.astype(np.float32)
    spiking, _ = lower_to_rates(model, {"x": inputs}, RateOptions(64, method))
    found, expected = (snnir.run(m, inputs)["y"] for m in (spiking, model))
    # A level is a 64th of the threshold, which is 1 at most; a spike may be on its way.
    assert np.abs(found - expected).max(0) == pytest.approx(0, abs=2 / 64)


def test_order_of_the_samples_does_not_matter_much() -> None:
    """Sorted by size, as a data set sorted by class may be."""
    x = np.sort(np.random.default_rng(0).uniform(0, 1, (200, 6)).astype(np.float32), axis=0)
    b = GraphBuilder()
    b.output("y", b.ann.Dense(b.ann.ReLU(b.input("x", [6])), weight=np.eye(6)))
    for method in get_args(Method):
        spiking, _ = lower_to_rates(b.build(), {"x": x}, RateOptions(64, method))
        assert np.abs(snnir.run(spiking, x)["y"] - x).max() < 0.05


def test_negative_slopes_are_refused() -> None:
    b = GraphBuilder()
    active = b.ann.PReLU(b.input("x", [2]), slope=np.array([0.1, -0.5]), name="active")
    b.output("y", b.ann.Dense(active, weight=np.eye(2)))
    with pytest.raises(UnsupportedFeature, match=r"convert\.method.*'active'.*at least 0"):
        lower_to_rates(b.build(), {"x": np.ones((4, 2))}, RateOptions(8))


def test_inputs_that_change_over_time_are_refused() -> None:
    b = GraphBuilder(steps=8)
    b.output("y", b.ann.Dense(b.input("x", [2], timing="per_step"), weight=np.eye(2)))
    with pytest.raises(UnsupportedFeature, match=r"convert\.method.*'x'.*step to step"):
        lower_to_rates(b.build(), {"x": np.ones((4, 8, 2))}, RateOptions(8))


@pytest.mark.parametrize("encoder", ["rate", "latency"])
def test_what_an_encoder_cannot_encode_is_refused(encoder: Encoder) -> None:
    b = GraphBuilder()
    b.output("y", b.ann.Dense(b.input("x", [2]), weight=np.eye(2)))
    inputs = {"x": np.array([[0.5, -0.25], [1.0, 0.0]])}
    with pytest.raises(UnsupportedFeature, match=r"convert\.option.*-0\.25"):
        lower_to_rates(b.build(), inputs, RateOptions(8, encoder=encoder))


def test_every_poisson_input_has_random_numbers_of_its_own() -> None:
    b = GraphBuilder()
    b.output("y", b.ann.Add([b.input("left", [50]), b.input("right", [50])]))
    half = np.array([1.0] + [0.5] * 49, np.float32)
    inputs = {name: np.tile(half, (3, 1)) for name in ("left", "right")}
    spiking, _ = lower_to_rates(b.build(), inputs, RateOptions(20, encoder="poisson"))
    found = snnir.run(spiking, inputs, record=["left.encoder", "right.encoder"])
    assert 0.3 < (found["left.encoder"] == found["right.encoder"]).mean() < 0.7


@pytest.mark.parametrize("encoder", get_args(Encoder))
@pytest.mark.parametrize("decoder", ["potential", "spike-count"])
def test_names_of_layers_are_left_to_the_layers(encoder: Encoder, decoder: Any) -> None:
    """Layers may have any of the names that a conversion would like to give."""
    endings = "encoder current scale held decoder mean neurons pool depthwise"
    b = GraphBuilder()
    value = b.input("x", [4, 4, 2])
    value = b.ann.GlobalMaxPool2D(b.ann.ReLU(value), name="n")
    for ending in endings.split():
        for owner in ("x", "n"):
            value = b.ann.Dense(value, weight=np.eye(2), name=f"{owner}.{ending}")
    value = b.ann.BatchNorm(value, mean=[0, 0], variance=[1, 1], name="n.scale2")
    b.output("y", value)
    model = canonicalise(b.build())
    x = np.random.default_rng(0).uniform(0, 1, (20, 4, 4, 2)).astype(np.float32)
    options = RateOptions(8, "data-norm", encoder=encoder, decoder=decoder)
    spiking, _ = lower_to_rates(model, {"x": x}, options)
    assert snnir.check(spiking) == []
    kept = {f"{owner}.{ending}" for owner in "xn" for ending in endings.split()}
    for name in kept:
        assert spiking.graph.nodes[name].op == "snn.Dense"


def test_what_may_follow_a_head() -> None:
    """Answers may be moved and combined behind the softmax: all of that stays as it is."""
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    hidden = b.ann.ReLU(b.ann.Dense(b.input("x", [6]), weight=rng.normal(size=(6, 8))))
    answers = [
        b.ann.Reshape(
            b.ann.Softmax(b.ann.Dense(hidden, weight=rng.normal(size=(8, 4)))), shape=[2, 2]
        )
        for _ in range(2)
    ]
    b.output("y", b.ann.Scale(b.ann.Add(answers), scale=0.5))
    model = b.build()
    x = rng.uniform(0, 1, (60, 6)).astype(np.float32)
    spiking, layers = lower_to_rates(model, {"x": x}, RateOptions(64))
    assert len(layers) == 1
    found, expected = (snnir.run(m, x)["y"] for m in (spiking, model))
    assert np.allclose(found.sum((1, 2)), 1, atol=1e-6)
    assert np.abs(found - expected).max() < 0.1
