"""Conversion in one call, on real networks where there are some."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion import read
from snnir.conversion.calibration import CALIBRATION_SAMPLES
from snnir.conversion.methods import METHODS
from snnir.errors import ConversionError, RunError
from snnir.ir.builder import GraphBuilder
from tests.conversion.nets import answers, spots, spotter
from tests.converters.keras_tools import keras
from tests.passes.nets import branched, samples

IMAGES, LABELS = spots(400)
PIXELS = IMAGES / np.float32(255)


def test_the_model_is_valid_and_replays_its_example() -> None:
    x = samples(120)
    labels = answers(branched(), x)
    model, report = snnir.convert(branched(), calibration=x, labels=labels, steps=32)
    assert snnir.check(model) == []
    for backend in ("reference", "layerwise"):
        assert snnir.verify(snnir.loads(snnir.to_bytes(model)), backend).passed
    (final,) = report.final
    assert (report.method, report.steps, final.steps) == ("calibrated", 32, 32)
    assert final.original == 1.0 and final.agreement == final.spiking
    assert final.agreement is not None and final.agreement > 0.9
    assert model.metadata["snnir.convert"] == "method=calibrated steps=32"


def test_what_is_reported_is_what_the_file_does() -> None:
    """Accuracy, spikes and rates, from runs of the saved model on the samples not calibrated on."""
    model, report = snnir.convert(spotter(), calibration=PIXELS, labels=LABELS, steps=6)
    model = snnir.loads(snnir.to_bytes(model))
    counts = report.samples
    assert (counts.given, counts.calibrated, counts.measured) == (400, CALIBRATION_SAMPLES, 144)
    assert counts.held_out and counts.labelled
    calibrated = np.arange(CALIBRATION_SAMPLES) * 400 // CALIBRATION_SAMPLES
    rest = np.setdiff1d(np.arange(400), calibrated)
    found = snnir.run(model, PIXELS[rest], record=["active"])
    assert [entry.steps for entry in report.accuracy] == [1, 2, 4, 6]
    for entry in report.accuracy:
        early = snnir.run(model, PIXELS[rest], steps=entry.steps)["quarter"]
        assert entry.spiking == (early.argmax(1) == LABELS[rest]).mean()
    (layer,) = report.layers
    assert layer.node == layer.source == "active"
    assert layer.neurons == 4
    assert layer.spikes == pytest.approx(np.abs(found["active"]).sum() / len(rest))
    assert layer.rate == pytest.approx(np.abs(found["active"]).mean())
    assert report.spikes == layer.spikes
    # Every spike of the 4 neurons meets 4 weights; 36 pixels meet one each, 16 weights follow.
    assert report.synaptic_operations == pytest.approx(4 * layer.spikes)
    assert report.multiply_accumulates == 36
    assert report.original_multiply_accumulates == 36 + 16
    threshold = model.graph.nodes["active"].parameters["threshold"].values()
    assert layer.threshold == (threshold.min(), threshold.mean(), threshold.max())


def test_few_labelled_samples_are_measured_on_all_and_that_is_said() -> None:
    _, report = snnir.convert(spotter(), calibration=PIXELS[:300], labels=LABELS[:300], steps=4)
    assert not report.samples.held_out
    assert (report.samples.calibrated, report.samples.measured) == (256, 300)
    assert "those of calibration among them" in str(report)


def test_the_report_as_json_and_text() -> None:
    _, report = snnir.convert(branched(), calibration=samples(120), steps=4)
    content = json.loads(json.dumps(report.to_json()))
    assert content["format"] == 1
    assert content["layers"][0]["neurons"] == 8 * 8 * 8
    assert content["spikes"] == report.spikes
    exact, approximate = content["passes"][1], content["passes"][-1]
    assert (exact["name"], approximate["name"]) == ("canonicalise", "calibrated")
    assert exact["difference"] < 1e-5 < approximate["difference"]
    text = str(report)
    for part in ("method calibrated (auto: ", "agreement", "relu1", "exact", "approximate"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_smallest_number_of_steps_that_will_do() -> None:
    x = samples(360)
    labels = answers(branched(), x)
    model, report = snnir.convert(branched(), calibration=x, labels=labels, target_drop=6.0)
    tried = {attempt.resolution: attempt.drop for attempt in report.attempts}
    assert tried[report.steps] <= 6.0
    assert model.time.steps == report.steps
    assert all(drop > 6.0 for steps, drop in tried.items() if steps < report.steps)
    assert report.steps == 1 or report.steps - 1 in tried
    assert report.final[0].drop == pytest.approx(tried[report.steps])
    assert min(entry.steps for entry in report.accuracy) == 1


@pytest.mark.parametrize("enough", [1, 2, 3, 23, 32, 181, 256])
def test_doubling_and_bisection(enough: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that errs below so many steps, and not from there on."""

    def lower(model: Any, calibration: Any, settings: Any, steps: int, progress: Any) -> Any:
        b = GraphBuilder(steps=steps)
        x = b.input("x", [3])
        sign = np.float32(1 if steps >= enough else -1)
        scaled = b.snn.Scale(b.snn.ConstantCurrent(x), scale=sign)
        b.output("y", b.snn.MeanPotential(scaled))
        return b.build(), []

    method = dataclasses.replace(METHODS["data-norm"], lower=lower)
    monkeypatch.setitem(METHODS, "data-norm", method)  # type: ignore[arg-type]
    b = GraphBuilder()
    b.output("y", b.ann.Scale(b.input("x", [3]), scale=1.0))
    x = np.random.default_rng(0).uniform(0, 1, (120, 3)).astype(np.float32)
    options: dict[str, Any] = {"method": "data-norm", "target_drop": 1.0}
    _, report = snnir.convert(b.build(), calibration=x, labels=x.argmax(1), **options)
    assert report.steps == enough
    assert len(report.attempts) <= 2 * 8 + 1


def test_a_drop_that_cannot_be_met_says_what_was_reached() -> None:
    options: dict[str, Any] = {"method": "data-norm", "percentile": 0.0, "target_drop": 0.5}
    with pytest.raises(ConversionError, match=r"points at best, with \d+ steps"):
        snnir.convert(spotter(), calibration=PIXELS, labels=LABELS, **options)
    with pytest.raises(RunError, match=r"convert\.labels"):
        snnir.convert(spotter(), calibration=PIXELS, target_drop=0.5)


def test_yes_or_no() -> None:
    """One sigmoid unit: 0.5 is the boundary; a head of its own keeps probabilities."""
    b = GraphBuilder()
    x = b.input("x", [2])
    hidden = b.ann.ReLU(b.ann.Dense(x, weight=np.eye(2, dtype=np.float32)))
    b.output("yes", b.ann.Sigmoid(b.ann.Dense(hidden, weight=np.array([[6.0], [-6.0]], "f4"))))
    data = np.random.default_rng(0).uniform(0, 1, (200, 2)).astype(np.float32)
    labels = data[:, 0] > data[:, 1]
    model, report = snnir.convert(b.build(), calibration=data, labels=labels, steps=64)
    (final,) = report.final
    assert final.original == 1.0 and final.spiking is not None and final.spiking > 0.95
    assert 0 <= snnir.run(model, data)["yes"].min() <= snnir.run(model, data)["yes"].max() <= 1


# Preprocessing -------------------------------------------------------------------------------


def test_raw_images_from_the_file_on() -> None:
    scaled, _ = snnir.convert(spotter(), calibration=PIXELS, steps=8)
    raw, report = snnir.convert(
        spotter(), calibration=IMAGES, steps=8, input_scale=1 / 255, input_dtype="uint8"
    )
    assert not report.warnings
    entry = raw.graph.inputs[0]
    assert (entry.type.dtype.label, entry.value_type.dtype.label) == ("uint8", "float32")
    found = snnir.run(raw, IMAGES[:50])["quarter"]
    np.testing.assert_allclose(found, snnir.run(scaled, PIXELS[:50])["quarter"], atol=1e-5)
    with pytest.raises(RunError, match="uint8"):
        snnir.run(raw, PIXELS[:1])


def test_preprocessing_of_the_network_goes_into_the_input() -> None:
    model, report = snnir.convert(spotter(rescale=1 / 255), calibration=IMAGES, steps=8)
    entry = model.graph.inputs[0]
    assert entry.scale is not None
    assert float(entry.scale.values()) == np.float32(1 / 255)
    assert report.passes[0].name == "preprocessing" and report.passes[0].exact
    assert "rescaling" in report.passes[0].what
    assert not report.warnings


@pytest.mark.parametrize("option", [{"input_dtype": "colour"}, {"input_dtype": "float"}])
def test_a_type_that_is_not_one(option: dict[str, str]) -> None:
    with pytest.raises(ConversionError, match=r"convert\.option.*uint8"):
        snnir.convert(spotter(), calibration=IMAGES, **option)  # type: ignore[arg-type]


# Sources -------------------------------------------------------------------------------------


def test_what_spikes_already_is_not_converted() -> None:
    model, _ = snnir.convert(spotter(), calibration=PIXELS, steps=2)
    with pytest.raises(ConversionError, match=r"convert\.source"):
        snnir.convert(model, calibration=PIXELS)


def test_a_file_of_this_project(tmp_path: Path) -> None:
    snnir.save(spotter(), tmp_path / "ann.snnir")
    _, report = snnir.convert(tmp_path / "ann.snnir", calibration=PIXELS, steps=2)
    assert report.source == str(tmp_path / "ann.snnir")


@pytest.mark.parametrize("source", [3, None, b"bytes", object()])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(snnir.FormatError, match="a path, a Model"):
        snnir.convert(source, calibration=PIXELS)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 and so on", b"\x89HDF\r\n\x1a\n" + bytes(64), b"text"):
        path = tmp_path / "net.keras"
        path.write_bytes(content)
        with pytest.raises(snnir.FormatError):
            snnir.convert(path, calibration=PIXELS)
    with pytest.raises(snnir.FileError):
        snnir.convert(tmp_path / "absent.keras", calibration=PIXELS)


def test_a_live_model_is_recognised_by_its_frontend() -> None:
    """Keras has several packages; models of each go to the frontend, which says what is wrong."""
    for module in ("keras.src.models", "tf_keras.src.engine", "tensorflow.python.keras.engine"):
        made = type("Subclassed", (), {"__module__": module, "layers": (), "get_config": dict})
        with pytest.raises(snnir.UnsupportedFeature, match=r"keras\.model"):
            snnir.convert(made(), calibration=PIXELS)
    other = type("Sequential", (), {"__module__": "keras_of_mine", "layers": ()})
    with pytest.raises(snnir.FormatError, match=r"file\.unknown-format.*live model of keras"):
        snnir.convert(other(), calibration=PIXELS)


def test_a_live_keras_model_in_three_lines() -> None:
    k = keras()
    net = k.Sequential(
        [
            k.layers.Input((6, 6, 1)),
            k.layers.Rescaling(1 / 255),
            k.layers.Conv2D(4, 3, activation="relu", name="conv"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(4, activation="softmax"),
        ]
    )
    model, report = snnir.convert(net, calibration=IMAGES, steps=16)
    np.testing.assert_allclose(
        snnir.run(read(net), IMAGES[:9]).outputs[model.graph.outputs[0].name],
        net.predict(IMAGES[:9], verbose=0),
        atol=1e-5,
    )
    text = str(report)
    assert text.startswith("Sequential '") and "conv" in text and "Rescaling" not in text
    assert report.final[0].agreement is not None
    assert snnir.verify(model).passed
