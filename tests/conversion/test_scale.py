"""Data of the wrong scale is found, by evidence; data of the right scale is not doubted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion import read
from snnir.conversion.scale import scale_findings
from snnir.errors import SnnirWarning
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from tests.conversion.nets import spots, spotter
from tests.data import mnist, shared

IMAGES, LABELS = spots(120)
PIXELS = IMAGES / np.float32(255)

MNIST = ["snntb_mnist_mlp_98.15", "snntb_mnist_cnn_avgpool_99.20", "snntb_lenet5_99.14"]


def found(model: Model, x: Any, labels: Any = None) -> str:
    name = model.graph.inputs[0].name
    return " ".join(finding.found for finding in scale_findings(model, {name: x}, labels))


def trained_on(name: str) -> tuple[Model, Any, Any]:
    """A real network, 128 raw images for it, and their labels."""
    pytest.importorskip("h5py")
    model = read(shared(f"keras/{name}.keras"))
    if "cifar" in name:
        with np.load(shared("cifar10/test1000_lossless.npz")) as file:
            images, labels = file["x"][:128], file["y"][:128].astype(np.int64)
    else:
        images, labels = mnist().train_x[:128], mnist().train_y[:128]
    return model, images.reshape(-1, *model.graph.inputs[0].type.shape), labels


@pytest.mark.parametrize("name", [*MNIST, "snntb_cifar_cnn_avgpool_83.62"])
@pytest.mark.parametrize("labelled", [False, True])
def test_real_networks(name: str, labelled: bool) -> None:
    model, raw, labels = trained_on(name)
    truth = labels if labelled else None
    evidence = found(model, raw, truth)
    assert "0 to 255" in evidence and "x / 255" in evidence
    assert found(model, raw.astype(np.float32), truth) == evidence
    assert not found(model, raw / np.float32(255), truth)


def without_softmax(model: Model) -> Model:
    """The same network, ending in its logits, as networks trained with ``from_logits`` do."""
    graph = model.graph
    (output,) = graph.outputs
    head = graph.nodes.pop(output.value.partition(":")[0])
    assert head.operator == "Softmax"
    graph.outputs = [dataclasses.replace(output, value=head.inputs[0].source)]
    return model


@pytest.mark.parametrize("name", [*MNIST, "snntb_cifar_cnn_avgpool_83.62"])
def test_real_networks_that_end_in_logits(name: str) -> None:
    model, raw, _ = trained_on(name)
    model = without_softmax(model)
    evidence = found(model, raw)
    assert "0 to 255" in evidence and "x / 255" in evidence
    assert not found(model, raw / np.float32(255))


def test_numbers_that_are_no_logits_may_be_large() -> None:
    """Regression on raw images: places in pixels, far from what a softmax could tell."""
    b = GraphBuilder()
    x = b.ann.Flatten(b.input("image", [6, 6, 1]))
    weight = np.random.default_rng(0).normal(0, 0.5, (36, 4)).astype(np.float32)
    bias = np.array([40, 10, 25, 30], np.float32)
    b.output("places", b.ann.Dense(x, weight=weight, bias=bias))
    assert not found(b.build(), IMAGES)
    assert not found(b.build(), PIXELS)


@pytest.mark.parametrize("labelled", [False, True])
def test_speech_of_any_range(labelled: bool) -> None:
    pytest.importorskip("h5py")
    model = read(shared("kws/kws_dscnn.keras"))
    with np.load(shared("kws/kws_mfcc_1000.npz")) as file:
        quantised, labels = file["mfcc"][:128, ..., None], file["label"][:128].astype(np.int64)
    truth = labels if labelled else None
    features = (quantised.astype(np.float32) - 83) * np.float32(0.58470)
    assert not found(model, features, truth)
    bare = without_softmax(read(shared("kws/kws_dscnn.keras")))
    assert not found(bare, features, truth)
    assert "batch normalisation" in found(model, quantised, truth)
    assert "batch normalisation" in found(model, features / 255, truth)


@pytest.mark.parametrize("labels", [None, LABELS], ids=["", "labelled"])
def test_both_directions(labels: Any) -> None:
    raw, scaled = spotter(scale=255.0), spotter()
    inside = spotter(rescale=1 / 255)
    assert "x / 255" in found(scaled, IMAGES, labels)
    assert not found(scaled, PIXELS, labels)
    for model in (raw, inside):
        assert not found(model, IMAGES, labels)


def test_images_scaled_for_a_network_that_scales_itself() -> None:
    """One class has an edge, which is all that is left of numbers 255 times too small."""
    model = spotter(rescale=1 / 255)
    bias = np.array([0.5, 0, 0, 0], np.float32)
    model.graph.nodes["logits"].parameters["bias"] = snnir.Tensor.from_array(bias)
    assert "the same for every sample" in found(model, PIXELS)
    assert "accuracy" in found(model, PIXELS, LABELS) and "x * 255" in found(model, PIXELS, LABELS)
    assert not found(model, IMAGES) and not found(model, IMAGES, LABELS)


def test_labels_overrule_saturation() -> None:
    """A network that is right and always sure is not doubted."""
    sure = spotter(scale=1 / 100)
    bias = np.array([-500.0], np.float32)  # makes x / 255 useless
    sure.graph.nodes["conv"].parameters["bias"] = snnir.Tensor.from_array(bias)
    bright = np.where(IMAGES > 100, 255, 0).astype(np.float32)
    assert not found(sure, bright, LABELS)


def test_batch_statistics_speak_first() -> None:
    def normed(mean: float, variance: float) -> Model:
        b = GraphBuilder()
        x = b.ann.BatchNorm(
            b.input("x", [6, 6, 1]),
            mean=np.array([mean], np.float32),
            variance=np.array([variance], np.float32),
        )
        b.output("y", b.ann.Softmax(b.ann.Dense(b.ann.Flatten(x), weight=np.ones((36, 3)))))
        return b.build()

    of_pixels = normed(float(PIXELS.mean()), float(PIXELS.var()))
    of_images = normed(float(IMAGES.mean()), float(IMAGES.var()))
    assert "255" in found(of_pixels, IMAGES) and not found(of_pixels, PIXELS)
    assert "x * 255" in found(of_images, PIXELS) and not found(of_images, IMAGES)


def test_other_data_is_left_alone() -> None:
    model = spotter()
    assert not found(model, PIXELS * 300)
    assert not found(model, PIXELS - 0.5)
    assert not found(model, np.zeros_like(PIXELS))
    assert not found(model, IMAGES[:8])


def test_the_user_is_warned_where_convert_was_called() -> None:
    with pytest.warns(SnnirWarning, match="saturated") as caught:
        _, report = snnir.convert(spotter(), calibration=IMAGES, steps=2)
    assert [warning.filename for warning in caught] == [__file__]
    assert [finding.code for finding in report.warnings] == ["convert.scale"]
    assert "x / 255" in str(report)
