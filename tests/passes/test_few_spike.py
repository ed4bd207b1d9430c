"""Few-spike networks are the quantised network, to the bit, whatever its shape."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.errors import UnsupportedFeature
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.passes.canonicalise import canonicalise
from snnir.passes.few_spike import FewSpikeOptions, FewSpikeReport, lower_to_few_spikes
from snnir.runtime.evaluate import evaluate
from tests.data import mnist, shared
from tests.passes.code_cases import with_activation
from tests.passes.few_spike_nets import quantise, random_net
from tests.passes.nets import branched, samples

Array = np.ndarray[Any, Any]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(2, 9),
    bits=st.integers(1, 9),
    encoder=st.sampled_from(["constant", "few-spike"]),
    per_channel=st.booleans(),
)
def test_the_network_is_the_quantised_network(
    seed: int, length: int, bits: int, encoder: Any, per_channel: bool
) -> None:
    """Bit for bit: all numbers are dyadic, so that float64 has no rounding in any order."""
    net, values = random_net(seed, length)
    model = net.builder.build()
    x = (net.rng.integers(0, 9, (6, 4, 4, 2)) / 8).astype(np.float32)
    options = FewSpikeOptions(bits, per_channel=per_channel, encoder=encoder)
    spiking, _ = lower_to_few_spikes(model, {"x": x[:4]}, options)
    assert snnir.check(spiking) == []
    seen = quantise(spiking, "x.encoder", x) if encoder == "few-spike" else x
    expected = net.evaluate(spiking, {"x": seen})
    found = snnir.run(spiking, x, precision="float64")
    for index, value in enumerate(values):
        assert np.array_equal(found[f"y{index}"], expected[value])
    layerwise = snnir.run(spiking, x, precision="float64", backend="layerwise")
    longer = snnir.run(spiking, x, precision="float64", steps=spiking.time.steps + 2 * bits)
    for name, array in found.outputs.items():
        assert np.array_equal(layerwise[name], array)
        assert np.array_equal(longer[name], array)


def _reach(model: Model) -> list[tuple[str, int, int]]:
    """Windows of the decoders."""
    return [
        (node.name, int(node.attributes["start"]), int(node.attributes["stop"]))  # type: ignore[arg-type]
        for node in model.graph.nodes.values()
        if node.op == "snn.SumPotential"
    ]


def test_the_presentation_is_the_shortest_one() -> None:
    """A phase for each neuron on the longest way: fewer steps give no answer."""
    model = canonicalise(branched())
    spiking, layers = lower_to_few_spikes(model, {"x": samples(16)}, FewSpikeOptions(5))
    phases = [layer.phase for layer in layers if isinstance(layer, FewSpikeReport)]
    assert len(phases) == len(layers)
    assert spiking.time.steps == 5 * (1 + max(phases))
    assert max(stop for _, _, stop in _reach(spiking)) == spiking.time.steps
    with pytest.raises(snnir.RunError):
        snnir.run(spiking, samples(1), steps=spiking.time.steps - 5)


def test_every_phase_repeats_once_the_answer_is_there() -> None:
    model = canonicalise(branched())
    spiking, layers = lower_to_few_spikes(model, {"x": samples(16)}, FewSpikeOptions(6))
    names = [layer.node for layer in layers]
    found = snnir.run(spiking, samples(3), steps=spiking.time.steps + 12, record=names)
    for layer in layers:
        assert isinstance(layer, FewSpikeReport)
        steps = found[layer.node]
        phases = steps.reshape(len(steps), -1, 6, *steps.shape[2:])[:, layer.phase :]
        assert np.array_equal(phases, np.broadcast_to(phases[:, :1], phases.shape))


def test_more_bits_come_nearer_to_the_original() -> None:
    model, x = canonicalise(branched()), samples(48)
    expected = snnir.run(model, x)["class"]
    errors = []
    for bits in (3, 6, 9, 12):
        spiking, layers = lower_to_few_spikes(model, {"x": x}, FewSpikeOptions(bits))
        assert {n.domain for n in spiking.graph.nodes.values()} == {"snn", "ann"}
        found = snnir.run(spiking, x, backend="layerwise")["class"]
        errors.append(float(np.abs(found - expected).max()))
        assert all(layer.source == "" for layer in layers)
    for coarse, fine in pairwise(errors):
        assert fine < coarse / 3  # three bits are a factor of 8, but for clipping
    assert errors[-1] < 1e-3


def test_the_report_is_what_the_network_does() -> None:
    model, x, bits = canonicalise(branched()), samples(16), 7
    spiking, layers = lower_to_few_spikes(model, {"x": x}, FewSpikeOptions(bits))
    found = snnir.run(spiking, x, record=[layer.node for layer in layers])
    for layer in layers:
        assert isinstance(layer, FewSpikeReport)
        if layer.pieces > 1:
            continue
        part = slice(layer.phase * bits, (layer.phase + 1) * bits)
        spikes = found[layer.node][:, part]
        assert int(np.prod(spikes.shape[2:])) == layer.neurons
        # float32 sums in another order may round to the next code
        assert float((spikes != 0).mean()) == pytest.approx(layer.rate, abs=2e-3)


# Maximum pooling -----------------------------------------------------------------------------

POOLS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("MaxPool2D", {"pool_size": [2, 2]}, (6, 6, 3)),
    ("MaxPool2D", {"pool_size": [3, 2], "strides": [2, 1], "padding": "same"}, (5, 4, 3)),
    ("MaxPool2D", {"pool_size": [2, 3], "strides": [2, 2], "ceil_mode": True}, (5, 6, 2)),
    (
        "MaxPool2D",
        {"pool_size": [3, 3], "strides": [2, 2], "padding": "explicit", "pads": [1, 0, 2, 1]},
        (6, 5, 1),
    ),
    ("MaxPool1D", {"pool_size": [3], "strides": [1]}, (7, 3)),
    ("MaxPool2D", {"pool_size": [1, 1], "strides": [2, 2]}, (4, 4, 2)),
    ("GlobalMaxPool2D", {}, (3, 5, 4)),
    ("GlobalMaxPool1D", {"keepdims": True}, (6, 4)),
]


@pytest.mark.parametrize(("operator", "attributes", "shape"), POOLS)
@pytest.mark.parametrize("activation", ["ReLU", "Tanh"])
def test_maximum_pooling(
    operator: str, attributes: dict[str, Any], shape: tuple[int, ...], activation: str
) -> None:
    """Of rectifiers' codes it is exact; other values become codes first: half a level."""
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    eye = np.eye(shape[-1], dtype=np.float32)
    x = b.input("x", shape)
    hidden = b.ann.Dense(b.ann.ReLU(x), weight=eye, bias=np.full(shape[-1], -0.25))
    active = b.add(f"ann.{activation}", hidden, name="active")
    pooled = b.add(f"ann.{operator}", active, name="pooled", **attributes)
    b.output("active", active)
    b.output("pooled", b.ann.Scale(pooled, scale=1.0))
    inputs = rng.uniform(-1, 1, (8, *shape)).astype(np.float32)
    model = b.build()
    spiking, _ = lower_to_few_spikes(model, {"x": inputs}, FewSpikeOptions(6))
    found = snnir.run(spiking, inputs, precision="float64")
    expected = evaluate(model.graph.nodes["pooled"], {"x": [found["active"]]})
    if activation == "ReLU":
        assert np.array_equal(found["pooled"], expected)
    else:
        level = spiking.graph.nodes["pooled.codes"].parameters["reset"].numpy()[-1]
        error = np.abs(found["pooled"] - expected).max((*range(expected.ndim - 1),))
        assert np.all(error <= level / 2 * 1.0001)  # tables are rounded to float32


def test_pooling_of_static_values_does_not_spike() -> None:
    """Convolution, rectification, maximum of an image: as one neuron behind the maximum."""
    b = GraphBuilder()
    x = b.input("x", [4, 4, 1])
    active = b.ann.ReLU(b.ann.Conv2D(x, weight=np.ones((1, 1, 1, 2), "f4")), name="active")
    pooled = b.ann.MaxPool2D(active, pool_size=[2, 2], name="pooled")
    b.output("y", b.ann.Scale(pooled, scale=2.0))
    inputs = samples(4)[:, :4, :4, :1]
    spiking, layers = lower_to_few_spikes(b.build(), {"x": inputs}, FewSpikeOptions(8))
    assert spiking.time.steps == 8 and [layer.neurons for layer in layers] == [8]
    found = snnir.run(spiking, inputs)["y"]
    exact = 2 * inputs.reshape(4, 2, 2, 2, 2, 1).max((2, 4))
    assert np.abs(found - exact).max() <= layers[0].threshold[2] * 2 / 128


def test_pooling_beside_zeros_of_a_padding() -> None:
    """Codes of negative values have an offset, which the padding has not: they are coded anew."""
    b = GraphBuilder()
    x = b.input("x", [4, 4, 2])
    low = b.ann.Dense(b.ann.Tanh(x), weight=np.eye(2, dtype="f4"), bias=[-2, -0.5])
    first = b.ann.MaxPool2D(low, pool_size=[2, 2], strides=[1, 1], name="first")
    padded = b.ann.ZeroPad2D(first, pads=[1, 0, 1, 0], name="padded")
    second = b.ann.MaxPool2D(padded, pool_size=[2, 2], name="second")
    for name, value in (("first", first), ("second", second)):
        b.output(name, b.ann.Scale(value, scale=1.0))
    inputs = np.random.default_rng(0).uniform(-1, 1, (8, 4, 4, 2)).astype(np.float32)
    spiking, _ = lower_to_few_spikes(b.build(), {"x": inputs}, FewSpikeOptions(8))
    found = snnir.run(spiking, inputs, precision="float64")
    edges = np.pad(found["first"], ((0, 0), (1, 0), (1, 0), (0, 0)))
    expected = edges.reshape(8, 2, 2, 2, 2, 2).max((2, 4))
    level = spiking.graph.nodes["second.codes"].parameters["reset"].numpy()[-1]
    error = np.abs(found["second"] - expected).max((0, 1, 2))
    assert np.all(error <= level / 2 * 1.0001)  # tables are rounded to float32


# Linear operators ----------------------------------------------------------------------------

_RNG = np.random.default_rng(0)


def _weights(*shape: int) -> Array:
    return (_RNG.integers(-4, 5, shape) / 4).astype(np.float32)


LINEAR: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Dense", {"weight": _weights(3, 4), "bias": _weights(4)}, (4, 6, 3)),
    ("Conv1D", {"weight": _weights(3, 3, 2), "bias": _weights(2), "padding": "same"}, (5, 3)),
    ("Conv2D", {"weight": _weights(3, 3, 1, 6), "groups": 3, "strides": [2, 1]}, (5, 6, 3)),
    ("DepthwiseConv2D", {"weight": _weights(2, 2, 3, 2), "padding": "same"}, (4, 6, 3)),
    (
        "ConvTranspose2D",
        {"weight": _weights(3, 3, 2, 3), "bias": _weights(2), "strides": [2, 2]},
        (3, 2, 3),
    ),
    ("Scale", {"scale": _weights(6, 3)}, (4, 6, 3)),
    ("Bias", {"bias": _weights(4, 6, 3)}, (4, 6, 3)),
    ("AveragePool2D", {"pool_size": [2, 2], "padding": "same"}, (3, 5, 3)),
    ("AveragePool1D", {"pool_size": [2]}, (6, 3)),
    ("GlobalAveragePool2D", {}, (4, 4, 3)),
    ("GlobalAveragePool1D", {"keepdims": True}, (8, 3)),
    ("ZeroPad2D", {"pads": [1, 0, 2, 1]}, (2, 2, 3)),
    ("ZeroPad1D", {"pads": [1, 2]}, (4, 3)),
    ("Crop2D", {"crops": [1, 0, 1, 2]}, (4, 5, 3)),
    ("Crop1D", {"crops": [1, 1]}, (4, 3)),
    ("Upsample2D", {"factors": [2, 2], "interpolation": "bilinear"}, (2, 4, 3)),
    ("Upsample1D", {"factors": [3]}, (4, 3)),
    ("Flatten", {}, (2, 4, 3)),
    ("Reshape", {"shape": [3, -1]}, (2, 4, 3)),
    ("Permute", {"axes": [2, 0, 1]}, (2, 4, 3)),
]


@pytest.mark.parametrize(("operator", "arguments", "shape"), LINEAR)
def test_linear_operators_are_exact(
    operator: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """On values that have an offset, too, which is not spikes; in float64, dyadic numbers."""
    b = GraphBuilder()
    x = b.input("x", shape)
    hidden = b.ann.Dense(b.ann.ReLU(x), weight=_weights(3, 3), bias=[0.5, -1.25, 2.0])
    b.output("hidden", b.ann.Scale(hidden, scale=1.0))
    changed = b.add(f"ann.{operator}", hidden, name="changed", **arguments)
    b.output("changed", b.ann.Scale(changed, scale=1.0))
    model = b.build()
    inputs = _RNG.uniform(-1, 1, (3, *shape)).astype(np.float32)
    spiking, _ = lower_to_few_spikes(model, {"x": inputs}, FewSpikeOptions(6))
    found = snnir.run(spiking, inputs, precision="float64")
    expected = evaluate(model.graph.nodes["changed"], {"x": [found["hidden"]]})
    assert np.abs(found["hidden"]).min() > 0
    # An average may divide by 3; offsets are stored in float32, those here are below 4
    tolerance = 4 * 2.0**-24 if "Average" in operator else 0.0
    assert np.abs(found["changed"] - expected).max() <= tolerance


# What enters and leaves ----------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 3, 5, 8])
def test_a_static_value_enters_once_a_phase_without_error(bits: int) -> None:
    """An input beside spikes of it: for any length of a phase, also one that is no power of 2."""
    b = GraphBuilder()
    x = b.input("x", [3])
    skip = b.ann.Dense(x, weight=np.eye(3, dtype=np.float32))
    active = b.ann.ReLU(b.ann.Scale(b.ann.ReLU(skip), scale=0.0))
    b.output("y", b.ann.Scale(b.ann.Add([active, skip]), scale=1.0))
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    spiking, _ = lower_to_few_spikes(b.build(), {"x": inputs}, FewSpikeOptions(bits))
    for backend in ("reference", "layerwise"):
        assert np.array_equal(snnir.run(spiking, inputs, backend=backend)["y"], inputs)


def test_heads_labels_and_several_outputs() -> None:
    b = GraphBuilder()
    x = b.input("image", [4], dtype="uint8", scale=1 / 255)
    hidden = b.ann.ReLU(b.ann.Dense(x, weight=np.eye(4, dtype=np.float32), name="first"))
    logits = b.ann.Dense(hidden, weight=np.eye(4, dtype=np.float32), bias=[1, 0, 0, -1])
    b.output("class", b.ann.Softmax(logits), labels="abcd")
    b.output("logits", logits)
    b.output("input", b.ann.Scale(x, scale=2.0))
    model = b.build()
    inputs = np.random.default_rng(0).integers(0, 256, (20, 4), dtype=np.uint8)
    spiking, _ = lower_to_few_spikes(model, {"image": inputs}, FewSpikeOptions(8))
    assert [o.labels for o in spiking.graph.outputs] == [tuple("abcd"), (), ()]
    found, expected = snnir.run(spiking, inputs), snnir.run(model, inputs)
    assert np.array_equal(found["input"], expected["input"])
    assert np.abs(found["logits"] - expected["logits"]).max() <= 1 / 255
    e = np.exp(found["logits"] - found["logits"].max(1, keepdims=True))
    assert np.allclose(found["class"], e / e.sum(1, keepdims=True), rtol=1e-6)


def test_what_cannot_be_done_is_refused_with_all_of_it() -> None:
    b = GraphBuilder()
    x = b.input("x", [2, 3])
    events = b.input("events", [2, 3], timing="per_step")
    hidden = b.ann.ReLU(x, source="hidden layer")
    product = b.ann.Multiply([hidden, x], name="product", source="gate layer")
    late = b.ann.ReLU(hidden, threshold=1.0, name="late")
    norm = b.ann.BatchNorm(late, mean=[0, 0], variance=[1, 1], axis=0, name="norm")
    soft = b.ann.Softmax(product, name="soft")
    b.output("y", b.ann.Dense(b.ann.Add([soft, norm]), weight=np.ones((3, 2), np.float32)))
    b.output("events", b.ann.Scale(events, scale=1.0))
    with pytest.raises(UnsupportedFeature) as caught:
        lower_to_few_spikes(b.build(), {}, FewSpikeOptions(0, pieces=0))
    findings = caught.value.diagnostics
    assert {d.code for d in findings} == {"convert.method"}
    assert [d.where for d in findings] == [
        "option 'bits'",
        "option 'pieces'",
        "input 'events'",
        "node 'product'",
        "node 'late'",
        "node 'soft'",
        "node 'norm'",
    ]
    assert "layer 'gate layer'" in str(caught.value)


def test_samples_that_do_not_fit() -> None:
    model = canonicalise(branched())
    for bad in (samples(4)[:, :7], np.full((4, 8, 8, 3), np.nan), samples(4)[:0]):
        with pytest.raises(snnir.RunError):
            lower_to_few_spikes(model, {"x": bad}, FewSpikeOptions())
    with pytest.raises(snnir.RunError):
        lower_to_few_spikes(model, {}, FewSpikeOptions())


def test_the_model_is_not_modified_and_the_result_is_deterministic() -> None:
    model = canonicalise(branched())
    before = snnir.to_bytes(model)
    first, second = (
        lower_to_few_spikes(model, {"x": samples(8)}, FewSpikeOptions())[0] for _ in range(2)
    )
    assert snnir.to_bytes(model) == before
    assert snnir.to_bytes(first) == snnir.to_bytes(second)


def test_bending_functions_in_the_middle_of_a_network() -> None:
    for operator in ("Sigmoid", "Tanh", "SiLU", "GELU", "ELU", "HardSigmoid"):
        model = with_activation(operator)
        x = np.random.default_rng(0).uniform(-3, 3, (64, 2)).astype(np.float32)
        spiking, layers = lower_to_few_spikes(model, {"x": x}, FewSpikeOptions(8))
        found, expected = snnir.run(spiking, x)["y"], snnir.run(model, x)["y"]
        assert np.abs(found - expected).max() <= np.ptp(expected) * 1.25 / 256
        assert layers[0].source == "layer"


# Real networks -------------------------------------------------------------------------------


def _drop(path: str, calibration: Array, x: Array, labels: Array, bits: int = 8) -> float:
    """Lost accuracy in percentage points."""
    pytest.importorskip("h5py")
    from snnir.conversion import read

    original = read(shared(path))
    entry, answer = original.graph.inputs[0].name, original.graph.outputs[0].name
    spiking, _ = lower_to_few_spikes(
        canonicalise(original), {entry: calibration}, FewSpikeOptions(bits)
    )
    right = [
        (snnir.run(m, x, backend="layerwise")[answer].argmax(1) == labels).mean()
        for m in (original, spiking)
    ]
    assert right[0] > 0.8
    return 100 * float(right[0] - right[1])


def _mnist(shape: tuple[int, ...], count: int) -> tuple[Array, Array, Array]:
    images = mnist()
    train, test = (
        (x / np.float32(255)).reshape(-1, *shape)
        for x in (images.train_x[:256], images.test_x[:count])
    )
    return train, test, images.test_y[:count]


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("keras/snntb_mnist_mlp_98.15.keras", (784,)),
        ("keras/snntb_lenet5_99.14.keras", (28, 28, 1)),
    ],
)
def test_networks_trained_on_mnist(path: str, shape: tuple[int, ...]) -> None:
    """Average and maximum pooling; one image of 500 is 0.2 points."""
    assert _drop(path, *_mnist(shape, 500)) <= 0.2


@pytest.mark.slow
def test_a_network_trained_on_cifar() -> None:
    with np.load(shared("cifar10/test1000_lossless.npz")) as data:
        x, y = data["x"].astype(np.float32) / 255, data["y"]
    path = "keras/snntb_cifar_cnn_avgpool_83.62.keras"
    assert _drop(path, x[:200], x[200:], y[200:]) <= 0.2


@pytest.mark.slow
def test_a_keyword_network() -> None:
    """Nine layers of neurons, depthwise convolutions, signed inputs."""
    with np.load(shared("kws/kws_mfcc_1000.npz")) as data:
        x = ((data["mfcc"].astype(np.float32) - 83) * np.float32(0.58470)).reshape(-1, 49, 10, 1)
        y = data["label"]
    assert _drop("kws/kws_dscnn.keras", x[:200], x[200:], y[200:]) <= 0.2
