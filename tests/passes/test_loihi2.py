"""Lowering to loihi2: what is exact is, what is rounded stays near, the rest is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.conversion import convert, read
from snnir.errors import CapabilityError, RunError, UnsupportedFeature
from snnir.ir.builder import GraphBuilder
from snnir.ir.graph import Binding, GraphOutput, Node
from snnir.ir.tensor import Tensor
from snnir.passes.canonicalise import canonicalise
from snnir.passes.loihi2 import Loihi2Options, lower_to_loihi2, padded
from snnir.passes.loihi2.chain import symmetric
from snnir.passes.loihi2.resources import resources
from snnir.passes.loihi2.spiking import lower_spiking
from snnir.passes.quantise import QuantiseOptions, quantise
from snnir.runtime.evaluate import evaluate
from tests.data import mnist, shared
from tests.passes.nets import branched, weight
from tests.passes.test_quantise import recurrent, spikes

Array = np.ndarray[Any, Any]
Model = snnir.Model


def pixels(count: int, *shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)


def cnn(seed: int = 0) -> Model:
    """Every kind of layer that sigma-delta networks have; the image is not square."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder("cnn")
    x = b.input("x", [9, 7, 2], dtype="uint8", scale=1 / 255)
    x = b.ann.Conv2D(
        x, weight=weight(rng, 4, 3, 2, 6), strides=(2, 1), padding="same",
        bias=rng.normal(0, 0.3, 6).astype("f4"), name="first",
    )  # fmt: skip
    x = b.ann.ReLU(x, name="relu1")
    x = b.ann.DepthwiseConv2D(
        b.ann.ZeroPad2D(x, pads=(0, 1, 1, 0)), weight=weight(rng, 2, 2, 6, 2), name="deep",
        bias=rng.normal(0, 0.3, 12).astype("f4"),
    )  # fmt: skip
    x = b.ann.ReLU(x, name="relu2")
    x = b.ann.AveragePool2D(x, pool_size=(2, 3), strides=(2, 3), name="pool")
    x = b.ann.Conv2D(x, weight=weight(rng, 1, 1, 12, 8), name="point")
    x = b.ann.ReLU(x, name="relu3")
    x = b.ann.Dense(
        b.ann.Flatten(x), weight=weight(rng, 32, 10), bias=rng.normal(0, 0.5, 10), name="hidden"
    )
    x = b.ann.ReLU(x, name="relu4")
    x = b.ann.Dense(x, weight=weight(rng, 10, 4), bias=rng.normal(0, 0.5, 4), name="logits")
    b.output("class", b.ann.Softmax(x, name="soft"), labels=["a", "b", "c", "d"])
    return b.build()


def without_softmax(model: Model) -> Model:
    model.graph.nodes.pop("soft")
    model.graph.outputs[0] = GraphOutput("class", "logits:y")
    return model


# Symmetric padding ---------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_larger_kernel_makes_up_for_symmetric_padding(data: st.DataObject) -> None:
    draw = data.draw
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, strides = draw(pair), draw(pair)
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    height, width = draw(st.integers(6, 12)), draw(st.integers(6, 12))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    padding = draw(st.sampled_from(["valid", "same", "explicit"]))
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "padding": padding}
    if padding == "explicit":
        attributes["pads"] = draw(st.tuples(*[st.integers(0, 4)] * 4))
    elif padding == "valid" and any(
        (k - 1) * d >= n for k, d, n in zip(kernel, dilations, (height, width), strict=True)
    ):
        return
    depthwise = draw(st.booleans())
    shape = (*kernel, 3, 2)
    values = rng.integers(-4, 5, shape).astype(np.float32)
    node = Node(
        "conv",
        "ann.DepthwiseConv2D" if depthwise else "ann.Conv2D",
        [Binding("x", "x")],
        ("y",),
        attributes,
        {"weight": Tensor.from_array(values)},
    )
    x = rng.integers(-4, 5, (2, height, width, 3)).astype(np.float32)
    try:
        expected = evaluate(node, {"x": [x]})
    except snnir.ModelError:
        return  # the kernel does not fit
    even = symmetric(node, (height, width, 3))
    pads: Any = even.attributes["pads"]
    assert pads[0] == pads[1] and pads[2] == pads[3]
    assert np.array_equal(evaluate(even, {"x": [x]}), expected)


# Sigma-delta ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_sigma_delta_computes_the_original_activations(seed: int) -> None:
    model = without_softmax(cnn(seed))
    x = pixels(64, 9, 7, 2)
    lowered, report = lower_to_loihi2(model, {"x": x})
    assert snnir.check(lowered) == []
    assert (report.route, report.exact, report.steps) == ("sigma-delta", True, 7)
    fresh = pixels(64, 9, 7, 2, seed=2)
    wanted, found = snnir.run(model, fresh)["class"], snnir.run(lowered, fresh)["class"]
    error = float(np.sqrt(np.square(found - wanted).mean() / np.square(wanted).mean()))
    # Six layers of 8 bits; a wrong row, bias or scale anywhere makes it about 1.
    assert error < 0.04
    assert report.layers[-1].error < 0.04
    assert [layer.node for layer in report.layers] == [
        "relu1", "relu2", "pool", "relu3", "relu4", "logits"
    ]  # fmt: skip


def test_nothing_overflows_the_chip() -> None:
    model = without_softmax(cnn())
    x = pixels(64, 9, 7, 2)
    lowered, report = lower_to_loihi2(model, {"x": x})
    states = [f"{layer.node}:sigma" for layer in report.layers]
    found = snnir.run(lowered, x, record=states)
    for layer, state in zip(report.layers, states, strict=True):
        assert np.abs(found[state]).max() < 1 << 23
        assert layer.headroom > 0
        assert 1 <= layer.levels <= 127


def test_every_hop_is_one_step_and_messages_end() -> None:
    lowered, report = lower_to_loihi2(cnn(), {"x": pixels(16, 9, 7, 2)})
    for node in lowered.graph.nodes.values():
        wanted = 1 if node.op in ("loihi2.Dense", "loihi2.Conv2D") else 0
        assert {b.delay_steps for b in node.inputs} == {wanted}, node.name
    names = [layer.node for layer in report.layers[:-1]]
    found = snnir.run(lowered, pixels(4, 9, 7, 2), steps=12, record=[*names, "logits"])
    for number, name in enumerate(names, 1):
        assert not found[name][:, number + 1 :].any(), "a static input settles layer by layer"
    settled = found["logits"][:, report.steps - 1 :]
    assert np.array_equal(settled, np.broadcast_to(settled[:, :1], settled.shape))


def test_images_are_flattened_in_the_order_of_the_chip() -> None:
    lowered, _ = lower_to_loihi2(cnn(), {"x": pixels(16, 9, 7, 2)})
    permute = lowered.graph.nodes["hidden.chw"]
    assert (permute.op, permute.attributes["axes"]) == ("loihi2.Permute", (2, 0, 1))
    assert lowered.graph.nodes["hidden.flat"].inputs[0].source == "hidden.chw:y"


def test_integer_images_stay_exact() -> None:
    lowered, _ = lower_to_loihi2(cnn(), {"x": pixels(16, 9, 7, 2)})
    scale = float(lowered.graph.nodes["x.quantised"].parameters["scale"].values()) / 255
    assert scale > 0.999 and abs(np.log2(scale) - round(np.log2(scale))) < 1e-6
    every = np.arange(126, dtype=np.uint8).reshape(1, 9, 7, 2)
    sent = snnir.run(lowered, every, record=["x.message"])["x.message"][0, 0]
    assert np.array_equal(sent, np.rint(scale) * every[0].astype(np.int64))


def test_bits_and_scales() -> None:
    model, x = without_softmax(cnn()), pixels(64, 9, 7, 2)
    errors = {}
    for bits in (8, 6, 4):
        _, report = lower_to_loihi2(model, {"x": x}, Loihi2Options(bits))
        errors[bits] = report.layers[-1].error
        assert all(
            layer.levels <= (1 << (bits - 1)) - 1 for layer in report.layers if layer.node != "pool"
        )
    assert errors[8] < errors[6] < errors[4]
    for scale in ("max", "percentile", "mse", "output", "power-of-two"):
        _, report = lower_to_loihi2(model, {"x": x}, Loihi2Options(scale=scale))
        assert report.scale == scale
        assert report.layers[-1].error >= errors[8] * (1 - 1e-9) or scale in (
            "percentile",
            "power-of-two",
        ), "auto takes the best of those it tries"


def test_a_relu_at_the_end_is_the_hosts() -> None:
    b = GraphBuilder()
    rng = np.random.default_rng(0)
    x = b.input("x", [5])
    hidden = b.ann.ReLU(b.ann.Dense(x, weight=weight(rng, 5, 8)))
    b.output("y", b.ann.ReLU(b.ann.Dense(hidden, weight=weight(rng, 8, 3), name="last")))
    samples = rng.normal(0, 1, (50, 5)).astype(np.float32)
    lowered, _ = lower_to_loihi2(b.build(), {"x": samples})
    assert lowered.graph.nodes["last"].op == "loihi2.Sigma" or "loihi2.Sigma" in {
        n.op for n in lowered.graph.nodes.values()
    }
    found = snnir.run(lowered, samples)["y"]
    assert found.min() == 0
    assert np.abs(found - snnir.run(b.build(), samples)["y"]).mean() < 0.05


def test_real_networks_lose_nothing() -> None:
    images = mnist()
    model = canonicalise(read(shared("keras/snntb_mnist_mlp_98.15.keras")))
    name = model.graph.inputs[0].name
    train = images.train_x[:200].reshape(-1, 784).astype(np.float32) / 255
    test = images.test_x.reshape(-1, 784).astype(np.float32) / 255
    lowered, report = lower_to_loihi2(model, {name: train})
    wanted, found = (
        snnir.run(m, {name: test}, backend="layerwise")["activation_21"].argmax(1)
        for m in (model, lowered)
    )
    right = [float((answer == images.test_y).mean()) for answer in (wanted, found)]
    assert right[0] > 0.981
    assert right[0] - right[1] <= 0.001
    assert (wanted == found).mean() > 0.998
    assert report.agreement is not None and report.agreement > 0.99


# What sigma-delta networks cannot be ---------------------------------------------------------


def test_every_node_that_does_not_fit_is_named_at_once() -> None:
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(branched(), {"x": np.zeros((4, 8, 8, 3), np.float32)})
    text = str(caught.value)
    findings = caught.value.diagnostics
    assert {finding.code for finding in findings} == {"loihi2.unsupported"}
    for word in ("MaxPool2D", "ann.Add", "Concat", "max_value", "negative_slope", "branches"):
        assert word in text, word
    assert all(finding.hint for finding in findings)


def chain_with(*operators: tuple[str, dict[str, Any]]) -> Model:
    """A convolution, what is given, and a Dense."""
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    value = b.input("x", [6, 6, 2])
    value = b.ann.Conv2D(value, weight=weight(rng, 3, 3, 2, 4), padding="same", source="layer")
    for op, arguments in operators:
        value = b.add(f"ann.{op}", value, source="layer", **arguments)
    flat = b.ann.Flatten(value)
    size = b.types[flat.name].shape[0]
    b.output("y", b.ann.Dense(flat, weight=weight(rng, size, 3)))
    return b.build()


@pytest.mark.parametrize(
    ("operators", "found"),
    [
        ([("Tanh", {})], "Tanh"),
        ([("ReLU", {"max_value": 6.0})], "max_value"),
        ([("ReLU", {"threshold": 0.5})], "threshold"),
        ([("ReLU", {}), ("MaxPool2D", {"pool_size": (2, 2)})], "MaxPool2D"),
        (
            [("ReLU", {}), ("AveragePool2D", {"pool_size": (4, 4), "padding": "same"})],
            "fewer elements at the edges",
        ),
        ([("ReLU", {}), ("Upsample2D", {"factors": (2, 2)})], "Upsample2D"),
        ([], "without a ReLU between"),
    ],
)
def test_what_is_refused(operators: list[tuple[str, dict[str, Any]]], found: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(chain_with(*operators), {"x": np.ones((4, 6, 6, 2), np.float32)})
    assert found in str(caught.value)
    assert all(finding.source for finding in caught.value.diagnostics if "layer" in finding.source)


def test_padding_that_counts_is_pooling_all_the_same() -> None:
    operators = [
        ("ReLU", {}),
        ("AveragePool2D", {"pool_size": (3, 3), "padding": "same", "count_include_pad": True}),
    ]
    model = chain_with(*operators)
    x = np.random.default_rng(0).uniform(0, 1, (32, 6, 6, 2)).astype(np.float32)
    lowered, report = lower_to_loihi2(model, {"x": x})
    assert report.layers[-1].error < 0.03
    assert snnir.check(lowered) == []


def test_options_and_calibration_are_checked() -> None:
    x = {"x": pixels(4, 9, 7, 2)}
    for options in (Loihi2Options(approximate=("soft-reset",)), Loihi2Options(bits=9)):
        with pytest.raises(UnsupportedFeature) as caught:
            lower_to_loihi2(cnn(), x, options)
        assert caught.value.code == "quantise.option"
    with pytest.raises(UnsupportedFeature):
        lower_to_loihi2(cnn())
    with pytest.raises(RunError):
        lower_to_loihi2(cnn(), {"nothing": pixels(4, 9, 7, 2)})
    with pytest.raises(RunError):
        lower_to_loihi2(cnn(), {"x": pixels(4, 9, 7, 3)})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_refused(value: float) -> None:
    for model, node in ((cnn(), "first"), (recurrent(), "into")):
        tensor = model.graph.nodes[node].parameters["weight"]
        spoiled = tensor.values().copy()
        spoiled.flat[3] = value
        model.graph.nodes[node].parameters["weight"] = Tensor.from_array(spoiled)
        for attempt in (lower_to_loihi2, quantise):
            with pytest.raises(snnir.ModelError) as caught:
                attempt(model)
            assert caught.value.code == "value.not-finite"


@pytest.mark.parametrize("options", [Loihi2Options(), Loihi2Options(approximate=("hard-reset",))])
def test_strange_calibration_data(options: Loihi2Options) -> None:
    with pytest.raises(RunError):
        lower_to_loihi2(cnn(), {"x": pixels(0, 9, 7, 2)}, options)
    for x in (np.zeros((3, 9, 7, 2), np.uint8), pixels(1, 9, 7, 2)):
        lowered, _ = lower_to_loihi2(cnn(), {"x": x}, options)
        assert snnir.check(lowered) == []


def test_layers_without_weights_of_any_size() -> None:
    model = cnn()
    for name in ("deep", "logits"):
        shape = model.graph.nodes[name].parameters["weight"].shape
        model.graph.nodes[name].parameters["weight"] = Tensor.from_array(np.zeros(shape, "f4"))
    lowered, _ = lower_to_loihi2(model, {"x": pixels(8, 9, 7, 2)})
    x = pixels(4, 9, 7, 2, seed=2)
    assert np.allclose(snnir.run(lowered, x)["class"], snnir.run(model, x)["class"], atol=1e-4)


# Hard reset ----------------------------------------------------------------------------------


def test_a_reset_to_zero_has_to_be_asked_for() -> None:
    x = pixels(64, 9, 7, 2)
    exact, _ = lower_to_loihi2(cnn(), {"x": x})
    assert "loihi2.CubaLIF" not in {node.op for node in exact.graph.nodes.values()}
    options = Loihi2Options(approximate=("hard-reset",), steps=64)
    spiking, report = lower_to_loihi2(cnn(), {"x": x}, options)
    assert snnir.check(spiking) == []
    assert (report.route, report.exact) == ("hard-reset", False)
    assert report.agreement is not None and report.agreement > 0.8
    assert all(0 < layer.error < 0.6 for layer in report.layers)
    names = [layer.node for layer in report.layers[:-1]]
    found = snnir.run(spiking, x[:4], record=names)
    assert all(set(np.unique(found[name])) <= {0, 1} for name in names)
    readout = spiking.graph.nodes["logits"]
    assert readout.op == "loihi2.CubaLI", "a readout cannot fire"


def test_spikes_cannot_encode_what_is_below_zero() -> None:
    b = GraphBuilder()
    rng = np.random.default_rng(0)
    b.output("y", b.ann.Dense(b.input("x", [3]), weight=weight(rng, 3, 2)))
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(
            b.build(),
            {"x": rng.normal(0, 1, (9, 3)).astype(np.float32)},
            Loihi2Options(approximate=("hard-reset",)),
        )
    assert "below 0" in str(caught.value)


def test_the_loss_of_a_reset_to_zero_is_small_on_a_real_network() -> None:
    images = mnist()
    model = canonicalise(read(shared("keras/snntb_mnist_mlp_98.15.keras")))
    name = model.graph.inputs[0].name
    train = images.train_x[:200].reshape(-1, 784).astype(np.float32) / 255
    test = images.test_x[:1000].reshape(-1, 784).astype(np.float32) / 255
    options = Loihi2Options(approximate=("hard-reset",), steps=64)
    lowered, _ = lower_to_loihi2(model, {name: train}, options)
    wanted, found = (
        snnir.run(m, {name: test}, backend="layerwise")["activation_21"].argmax(1)
        for m in (model, lowered)
    )
    truth = images.test_y[:1000]
    assert (wanted == truth).mean() - (found == truth).mean() <= 0.01


# From rates ----------------------------------------------------------------------------------


def test_a_rate_coded_network_becomes_sigma_delta() -> None:
    model = without_softmax(cnn())
    x = pixels(100, 9, 7, 2)
    spiking, _ = convert(model, calibration=x, steps=32)
    lowered, report = lower_to_loihi2(spiking, {"x": x})
    assert (report.route, report.exact) == ("sigma-delta", False)
    fresh = pixels(64, 9, 7, 2, seed=2)
    wanted = snnir.run(model, fresh)["class"]
    found = snnir.run(lowered, fresh)["class"]
    rates = snnir.run(spiking, fresh)["class"]
    size = float(np.abs(wanted).mean())
    assert np.abs(found - wanted).mean() < 0.25 * size
    assert np.abs(found - wanted).mean() < 2 * np.abs(rates - wanted).mean()


def test_thresholds_of_each_position_are_undone() -> None:
    rng = np.random.default_rng(0)
    kernel, full = weight(rng, 3, 3, 2, 4), weight(rng, 64, 5)
    worth = rng.uniform(0.5, 2, (4, 4, 4)).astype(np.float32)
    b = GraphBuilder(steps=64)
    x = b.input("x", [6, 6, 2])
    image = b.snn.IF(
        b.snn.Conv2D(b.snn.ConstantCurrent(x), weight=kernel), threshold=worth, name="image"
    )
    flat = b.snn.Flatten(b.snn.Scale(image, scale=worth))
    b.output("class", b.snn.MeanPotential(b.snn.Dense(flat, weight=full)))
    ann = GraphBuilder()
    relu = ann.ann.ReLU(ann.ann.Conv2D(ann.input("x", [6, 6, 2]), weight=kernel))
    ann.output("class", ann.ann.Dense(ann.ann.Flatten(relu), weight=full))
    samples = rng.uniform(0, 1, (40, 6, 6, 2)).astype(np.float32)
    lowered, _ = lower_to_loihi2(b.build(), {"x": samples})
    wanted, found = snnir.run(ann.build(), samples)["class"], snnir.run(lowered, samples)["class"]
    assert np.abs(found - wanted).mean() < 0.02 * np.abs(wanted).mean()


# Spiking neurons, one for one ----------------------------------------------------------------


def integer_network(compare: str, layers: int = 3, seed: int = 0) -> Model:
    """IF neurons whose weights and thresholds are multiples of a power of two: no rounding."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder("integers", steps=25)
    value = b.input("x", [10], timing="per_step")
    sizes = [10, *([12] * layers)]
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        values = rng.integers(-60, 127, (inputs, outputs)) / 64
        values[0, 0] = 127 / 64  # the largest, so that the unit is 1/64
        value = b.snn.IF(
            b.snn.Dense(value, weight=values.astype("f4"), name=f"dense{number}"),
            threshold=np.float32(160 / 64),
            reset="to_value",
            compare=compare,
            name=f"cells{number}",
        )
    out = b.snn.Dense(value, weight=np.eye(12, 3, dtype=np.float32), name="out")
    b.output("potential", b.snn.FinalPotential(b.snn.LeakyIntegrator(out, name="readout")))
    b.output("count", b.snn.SpikeCount(value, start=5, stop=20))
    b.output("first", b.snn.FirstSpikeTime(value))
    return b.build()


@pytest.mark.parametrize("compare", [">", ">="])
def test_integer_networks_are_carried_over_exactly(compare: str) -> None:
    model = integer_network(compare)
    x = (np.random.default_rng(1).random((8, 25, 10)) < 0.2).astype(np.float32)
    lowered, report = lower_to_loihi2(model, options=Loihi2Options(scale="max"))
    assert (report.route, report.exact, report.agreement) == ("direct", True, None)
    assert lowered.time.steps == 25 + 4
    names = [f"cells{number}" for number in range(3)]
    wanted = snnir.run(model, x, record=names)
    found = snnir.run(lowered, padded(lowered, {"x": x}), record=names)
    for lag, name in enumerate(names, 1):
        assert np.array_equal(found[name][:, lag : lag + 25], wanted[name]), name
        assert wanted[name].any()
    for output in ("potential", "count", "first"):
        assert np.array_equal(found[output], wanted[output]), output


def test_a_recurrent_network_differs_by_rounding_only() -> None:
    model = recurrent(gain=0.5)
    x = spikes(64)
    quantised, _ = quantise(model, {"x": x}, QuantiseOptions(scale="max"))
    lowered, lags = lower_spiking(quantised, 8)
    assert snnir.check(lowered) == []
    assert lags == {"cells": 1, "readout": 2}
    wanted = snnir.run(quantised, x, record=["cells"])["cells"]
    found = snnir.run(lowered, padded(lowered, {"x": x}), record=["cells"])["cells"][:, 1:21]
    assert wanted.mean() > 0.02
    # Decays cut off less than 1/64 of a unit in a step: few spikes move.
    assert (wanted != found).mean() < 0.01


def test_a_recurrent_connection_takes_one_step_on_both_sides() -> None:
    lowered, _ = lower_to_loihi2(recurrent(), options=Loihi2Options(scale="max"))
    back = lowered.graph.nodes["back"]
    assert [(b.source, b.delay_steps) for b in back.inputs] == [("cells:spikes", 1)]
    assert "delay" not in back.parameters
    into = {b.source for b in lowered.graph.nodes["cells"].inputs}
    assert into == {"into:a_out", "back:a_out"}


def test_longer_delays_become_parameters() -> None:
    b = GraphBuilder(steps=30)
    x = b.input("x", [1], timing="per_step")
    one = np.ones((1, 1), np.float32)
    delayed = b.snn.DelayedDense(x.delayed(4), weight=one, delay_steps=np.array([[3]]), name="d")
    cells = b.snn.IF(delayed, threshold=0.5, reset="to_value", name="cells")
    b.output("first", b.snn.FirstSpikeTime(cells))
    model = b.build()
    lowered, _ = lower_to_loihi2(model, options=Loihi2Options(scale="max"))
    # A delay of a step is the synapse's own, so nothing is late.
    assert lowered.time.steps == 30
    assert int(lowered.graph.nodes["d"].parameters["delay"].numpy().max()) == 6
    pulse = np.zeros((1, 30, 1), np.float32)
    pulse[0, 2] = 1
    assert snnir.run(lowered, pulse)["first"] == snnir.run(model, pulse)["first"] == 9


def test_flattened_spikes_reach_the_same_weights() -> None:
    rng = np.random.default_rng(3)
    b = GraphBuilder(steps=15)
    x = b.input("x", [4, 5, 2], timing="per_step")
    kernel = rng.integers(-100, 127, (2, 2, 2, 3)) / 64
    kernel[0, 0, 0, 0] = 127 / 64
    image = b.snn.IF(
        b.snn.Conv2D(x, weight=kernel.astype("f4"), padding="same", name="conv"),
        threshold=2.0, reset="to_value", name="image",
    )  # fmt: skip
    full = rng.integers(-50, 127, (60, 4)) / 64
    full[0, 0] = 127 / 64
    flat = b.snn.Flatten(image)
    cells = b.snn.IF(
        b.snn.Dense(flat, weight=full.astype("f4"), name="dense"),
        threshold=3.0, reset="to_value", name="cells",
    )  # fmt: skip
    b.output("count", b.snn.SpikeCount(cells))
    model = b.build()
    given = (rng.random((6, 15, 4, 5, 2)) < 0.3).astype(np.float32)
    lowered, _ = lower_to_loihi2(model, options=Loihi2Options(scale="max"))
    found = snnir.run(lowered, padded(lowered, {"x": given}))["count"]
    assert np.array_equal(found, snnir.run(model, given)["count"])
    assert found.any()


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"reset": "subtract"}, "reset 'subtract'"),
        ({"reset": "none"}, "reset 'none'"),
        ({"refractory_steps": 2}, "refractory"),
        ({"initial_potential": 0.5}, "initial potential"),
        ({"reset_potential": -0.5}, "reset potential"),
        ({"lower_bound": -1.0}, "lower bound"),
        ({"negative_threshold": 1.0}, "negative threshold"),
        ({"bias": 0.25}, "a bias"),
    ],
)
def test_neurons_that_are_refused(changed: dict[str, Any], found: str) -> None:
    b = GraphBuilder(steps=5)
    x = b.input("x", [2], timing="per_step")
    current = b.snn.Dense(x, weight=np.eye(2, dtype=np.float32))
    arguments = {"decay": 0.5, "reset": "to_value", "source": "layer", **changed}
    b.output("n", b.snn.SpikeCount(b.snn.LIF(current, name="cells", **arguments)))
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(b.build(), options=Loihi2Options(scale="max"))
    (finding,) = caught.value.diagnostics
    assert found in finding.found and "cells" in finding.where and finding.source == "layer"
    assert finding.hint
    allowed = {"reset 'subtract'": "hard-reset", "a bias": "early-bias"}.get(found)
    if allowed:
        options = Loihi2Options(scale="max", approximate=(allowed,))
        _, report = lower_to_loihi2(b.build(), options=options)
        assert not report.exact


def test_what_is_fed_must_be_spikes() -> None:
    b = GraphBuilder(steps=5)
    current = b.snn.Dense(b.snn.ConstantCurrent(b.input("x", [2])), weight=np.eye(2))
    b.output("n", b.snn.SpikeCount(b.snn.IF(current, reset="to_value")))
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(b.build(), options=Loihi2Options(scale="max"))
    assert "constantcurrent1" in str(caught.value) and "RateEncoder" in str(caught.value)
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(recurrent(), {"x": spikes() / 2})
    assert "no integers" in str(caught.value)


def test_a_threshold_of_more_than_17_bits_is_refused() -> None:
    b = GraphBuilder(steps=5)
    x = b.input("x", [2], timing="per_step")
    current = b.snn.Dense(x, weight=np.eye(2, dtype=np.float32) / 1000)
    b.output("n", b.snn.SpikeCount(b.snn.IF(current, threshold=2.0, reset="to_value")))
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(b.build(), options=Loihi2Options(scale="max"))
    assert caught.value.code == "value.range"


def test_a_cycle_without_enough_delay_is_refused() -> None:
    b = GraphBuilder(steps=9)
    eye = np.eye(2, dtype=np.float32)
    into = b.snn.Dense(b.input("x", [2], timing="per_step"), weight=eye)
    first = b.snn.IF(into, reset="to_value", name="first")
    second = b.snn.IF(b.snn.Dense(first, weight=eye), reset="to_value", name="second")
    b.connect(b.snn.Dense(second, weight=eye, name="back"), "first", "current", delay_steps=1)
    b.output("y", b.snn.SpikeCount(second))
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(b.build(), options=Loihi2Options(scale="max"))
    (finding,) = caught.value.diagnostics
    assert finding.code == "loihi2.unsupported"
    assert "with 1 steps of delay" in finding.found and "at least 2 steps" in finding.found
    assert "'first' -> 'second'" in finding.found
    b.graph.nodes["first"].inputs[-1] = Binding("current", "back:y", 2)
    lowered, _ = lower_to_loihi2(b.build(), options=Loihi2Options(scale="max"))
    assert lowered.time.steps == 9 + 2


# Resources -----------------------------------------------------------------------------------


def test_resources_are_counted() -> None:
    b = GraphBuilder(steps=4)
    x = b.input("x", [3, 3, 1], timing="per_step", dtype="int32")
    kernel = np.array([[2, 4], [0, -6]], np.int16).reshape(2, 2, 1, 1)
    settings_ = {"i_decay": np.int32(4096), "v_decay": np.int32(0), "threshold": np.int32(1)}
    first = b.loihi2.CubaLIF(
        b.loihi2.Conv2D(x.delayed(1), weight=kernel), name="first", **settings_
    )
    flat = b.loihi2.Flatten(b.loihi2.Permute(first, axes=(2, 0, 1)))
    dense = np.array([[2, 0], [32, 64], [0, 0], [2, 2]], np.int16)
    second = b.loihi2.CubaLIF(
        b.loihi2.Dense(flat.delayed(1), weight=dense, delay=np.int32(7)), name="second", **settings_
    )
    b.output("n", b.snn.SpikeCount(b.loihi2.Dequantize(second)))
    given = np.zeros((1, 4, 3, 3, 1), np.int32)
    given[0, 0, 0, 0] = given[0, 0, 1, 1] = given[0, 1, 2, 2] = 1
    found = resources(b.build(), {"x": given})
    one, two = found.layers
    assert (one.neurons, one.synapses, one.weight_bytes, one.axons) == (4, 4 * 3, 4, 9)
    assert (two.neurons, two.synapses, two.weight_bytes, two.axons) == (2, 5, 8, 4)
    assert (one.delay, two.delay) == (0, 7)
    # The corners of the image reach one target each, its centre three: one weight is 0.
    assert one.operations == 1 + 3 + 1
    sent = snnir.run(b.build(), given, record=["first"])["first"][0].reshape(4, -1)
    assert one.messages == sent.sum()
    assert two.operations == float((sent @ np.array([1, 2, 0, 2])).sum())
    assert [needed for _, needed in found.limits()] == [6, 17, 2, 7]
    assert "estimates" in str(found)
    assert found.to_json()["limits"][2]["estimate"] is True
