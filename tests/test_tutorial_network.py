"""The trained network of the PyGeNN tutorial, whose accuracy was measured in GeNN."""

from __future__ import annotations

import numpy as np

from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.runtime.reference import ReferenceBackend
from tests.data import mnist, shared

PRESENTATION_STEPS = 100
ACCURACY_IN_GENN = 0.9747
SAMPLES_THAT_TIE = 5  # float32 sums in another order decide these


def _model() -> Model:
    """Three layers of IF neurons; a spike arrives one step after it was emitted, as in GeNN."""
    first = np.load(shared("genn/weights_0_1.npy")).reshape(784, 128)
    second = np.load(shared("genn/weights_1_2.npy")).reshape(128, 10)
    b = GraphBuilder("tutorial", dt=1e-3, steps=PRESENTATION_STEPS)
    image = b.input("image", [784], dtype="uint8", scale=0.01, layout="N")
    neuron = {"threshold": 5.0, "reset": "to_value"}
    inputs = b.snn.IF(b.snn.ConstantCurrent(image), **neuron)
    hidden = b.snn.IF(b.snn.Dense(inputs, weight=first).delayed(1), **neuron)
    output = b.snn.IF(b.snn.Dense(hidden, weight=second).delayed(1), **neuron)
    b.output("count", b.snn.SpikeCount(output), labels=map(str, range(10)))
    return b.build()


def test_accuracy_is_that_of_genn() -> None:
    images = mnist()
    prepared = ReferenceBackend().prepare(_model())
    x = images.test_x.reshape(-1, 784)
    correct = 0
    for start in range(0, len(x), 1000):
        counts = prepared.run(x[start : start + 1000])["count"]
        correct += int((counts.argmax(1) == images.test_y[start : start + 1000]).sum())
    assert abs(correct - ACCURACY_IN_GENN * len(x)) <= SAMPLES_THAT_TIE
