"""Conversion in one call, on a real network where there is one."""

from __future__ import annotations

import json

import numpy as np
import pytest

import snnir
from snnir.convert import convert, read
from tests.data import mnist, shared
from tests.passes.nets import branched, samples


def test_report_and_stored_examples() -> None:
    x = samples(80)
    labels = snnir.run(branched(), x)["class"].argmax(1)
    model, report = convert(branched(), calibration=x, labels=labels, steps=32)
    assert snnir.check(model) == []
    assert snnir.verify(snnir.loads(snnir.to_bytes(model))).passed
    assert (report.method, report.steps, report.samples) == ("calibrated", 32, 80)
    (accuracy,) = report.accuracy
    assert accuracy.original == 1.0 and accuracy.agreement == accuracy.spiking
    assert accuracy.agreement > 0.9
    assert report.spikes > 0
    assert json.loads(json.dumps(report.to_json()))["layers"][0]["neurons"] == 8 * 8 * 8
    for text in ("agreement", "relu1", "exact", "approximate"):
        assert text in str(report)


def test_the_smallest_number_of_steps_that_will_do() -> None:
    x = samples(80)
    labels = snnir.run(branched(), x)["class"].argmax(1)
    _, report = convert(branched(), calibration=x, labels=labels, target_drop=5.0)
    drops = [entry.drop for entry in report.accuracy]
    assert all(drop is not None and drop > 5 for drop in drops[:-1])
    assert drops[-1] is not None and drops[-1] <= 5
    with pytest.raises(snnir.RunError, match="labels"):
        convert(branched(), calibration=x, target_drop=5.0)


def test_bad_calibration() -> None:
    for bad in (samples(4)[:, :7], np.full((4, 8, 8, 3), np.nan), samples(4)[:0]):
        with pytest.raises(snnir.RunError):
            convert(branched(), calibration=bad)
    with pytest.raises(snnir.RunError, match="labels"):
        convert(branched(), calibration=samples(4), labels=[0, 1])


def test_a_trained_network_from_its_keras_file() -> None:
    """Calibrated on training images, measured on 2,000 test images."""
    pytest.importorskip("h5py")
    images = mnist()
    path = shared("keras/snntb_mnist_mlp_98.15.keras")
    flat = (-1, 784)
    train = (images.train_x[:256] / np.float32(255)).reshape(flat)
    model, _ = convert(path, calibration=train, steps=16)
    test = (images.test_x[:2000] / np.float32(255)).reshape(flat)
    output = model.graph.outputs[0].name
    spiking, original = (
        (snnir.run(m, test, backend="layerwise")[output].argmax(1) == images.test_y[:2000]).mean()
        for m in (model, read(path))
    )
    assert original > 0.97
    assert original - spiking <= 0.003
