"""Trained networks on GeNN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion import read
from snnir.runtime.backend import find_backend
from tests.conversion.test_trained_networks import Samples, digits, flat_digits
from tests.converters.genn.tools import Array, genn, prepare
from tests.data import mnist, shared
from tests.test_tutorial_network import ACCURACY_IN_GENN, SAMPLES_THAT_TIE
from tests.test_tutorial_network import _model as tutorial_network

MLP = "keras/snntb_mnist_mlp_98.15.keras"
LENET = "keras/snntb_lenet5_99.14.keras"
SAMPLES = 100


def check_predictions(
    path: str, samples: Samples, count: int = SAMPLES, **options: Any
) -> tuple[Array, Array]:
    """Answers of GeNN and of the layerwise backend, whose predictions are the same."""
    pytest.importorskip("h5py")
    calibration, x, labels = samples
    model, _ = snnir.convert(read(shared(path)), calibration=calibration, **options)
    (output,) = model.graph.outputs
    found = prepare(model).run(x[:count])[output.name]
    wanted = find_backend("layerwise").prepare(model).run(x[:count])[output.name]
    np.testing.assert_array_equal(found.argmax(1), wanted.argmax(1))
    assert (found.argmax(1) == labels[:count]).mean() > 0.95
    return found, wanted


@genn
def test_a_converted_network_predicts_the_same() -> None:
    check_predictions(MLP, flat_digits(), steps=8)


@genn
def test_a_converted_network_of_few_spikes_predicts_the_same() -> None:
    check_predictions(MLP, flat_digits(), method="few-spike")


@genn
@pytest.mark.slow
def test_a_converted_convolutional_network_predicts_the_same() -> None:
    check_predictions(LENET, digits(), count=1000, steps=8)


@genn
@pytest.mark.slow
def test_the_tutorial_network_is_as_accurate_as_in_genn() -> None:
    images = mnist()
    counts = prepare(tutorial_network()).run(images.test_x.reshape(-1, 784))["count"]
    correct = int((counts.argmax(1) == images.test_y).sum())
    assert abs(correct - ACCURACY_IN_GENN * len(images.test_y)) <= SAMPLES_THAT_TIE
