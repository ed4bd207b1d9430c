"""Networks that others trained stay as good: the losses that the project promises.

Calibrated on training images where there are some, else on the first 200 samples, which then do
not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion import read
from tests.data import mnist, shared

Array = np.ndarray[Any, Any]
Samples = tuple[Array, Array, Array]
"""Calibration samples, test samples, labels."""


def digits() -> Samples:
    images = mnist()
    train, test = (
        x[..., np.newaxis] / np.float32(255) for x in (images.train_x[:256], images.test_x)
    )
    return train, test, images.test_y


def flat_digits() -> Samples:
    train, test, labels = digits()
    return train.reshape(len(train), -1), test.reshape(len(test), -1), labels


def photographs() -> Samples:
    stored = np.load(shared("cifar10/test1000_lossless.npz"))
    x = stored["x"] / np.float32(255)
    return x[:200], x[200:], stored["y"][200:]


def keywords() -> Samples:
    stored = np.load(shared("kws/kws_mfcc_1000.npz"))
    x = (stored["mfcc"].astype(np.float32) - 83) * np.float32(0.58470)
    x = x[..., np.newaxis]
    return x[:200], x[200:], stored["label"][200:]


def answers(model: snnir.Model, x: Array) -> Array:
    (output,) = model.graph.outputs
    found: Array = snnir.run(model, x, backend="layerwise")[output.name].argmax(1)
    return found


@pytest.mark.parametrize(
    ("path", "samples", "steps", "points"),
    [
        ("keras/snntb_mnist_mlp_98.15.keras", flat_digits, 8, 0.1),
        pytest.param("keras/snntb_lenet5_99.14.keras", digits, 8, 0.1, marks=pytest.mark.slow),
        ("kws/kws_dscnn.keras", keywords, 8, 5.0),
        pytest.param(
            "keras/snntb_mnist_cnn_avgpool_99.20.keras", digits, 8, 0.1, marks=pytest.mark.slow
        ),
        pytest.param("kws/kws_dscnn.keras", keywords, 16, 2.0, marks=pytest.mark.slow),
        pytest.param(
            "keras/snntb_cifar_cnn_avgpool_83.62.keras",
            photographs,
            8,
            2.5,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_no_more_is_lost_than_promised(
    path: str, samples: Callable[[], Samples], steps: int, points: float
) -> None:
    pytest.importorskip("h5py")
    original = read(shared(path))
    calibration, x, labels = samples()
    spiking, _ = snnir.convert(original, calibration=calibration, steps=steps)
    expected, found = answers(original, x), answers(spiking, x)
    assert (expected == labels).mean() > 0.8
    drop = 100 * ((expected == labels).mean() - (found == labels).mean())
    assert drop <= points
