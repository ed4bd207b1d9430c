"""A convolutional network, trained with Keras on MNIST, as a NetX file for Loihi 2.

Needs Keras. Prints the accuracy of the original network and of the one in 8-bit integers, which
is simulated bit for bit, and where Lava is installed runs some images in it for comparison.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import keras
import numpy as np

import snnir
from snnir.errors import MissingDependency
from snnir.ir.model import Model
from snnir.runtime.backend import find_backend
from snnir.targets import emit
from snnir.testing.images import mnist
from snnir_converters.keras import read_keras
from snnir_converters.netx import TARGET


def train(x: np.ndarray, y: np.ndarray, epochs: int) -> keras.Model:
    """Average pooling rather than maximum: a mean is a convolution, which the chip has."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss)
    network.fit(x, y, batch_size=128, epochs=epochs, verbose=2)
    return network


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("loihi2-output"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lava", type=int, default=5, help="images that Lava runs")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    images = mnist()
    train_x, test_x = (
        x[..., np.newaxis] / np.float32(255) for x in (images.train_x, images.test_x)
    )
    network = train(train_x, images.train_y, options.epochs)
    network.save(options.folder / "cnn.keras")

    ann = read_keras(options.folder / "cnn.keras")
    path = options.folder / "cnn.net"
    samples = {ann.graph.inputs[0].name: train_x[:500]}
    ready = emit(ann, path, TARGET, calibration=samples, options={"bits": 8})
    model = ready.model
    print(ready.report)

    def accuracy(tested: Model) -> float:
        answers = next(iter(snnir.run(tested, test_x, backend="layerwise").outputs.values()))
        return 100 * float((answers.argmax(axis=1) == images.test_y).mean())

    original, integers = accuracy(ann), accuracy(model)
    print(f"\noriginal {original:.2f} %, 8-bit integers {integers:.2f} %")
    print(f"{path}: {path.stat().st_size} bytes, {model.time.steps} steps for an image")

    few = test_x[: options.lava]
    expected = next(iter(snnir.run(model, few).outputs.values()))
    try:
        lava = find_backend("lava").prepare(model)
    except MissingDependency as error:
        print(f"\nLava is not installed, so it is not compared:\n  {error}")
        return
    started = time.monotonic()
    found = next(iter(lava.run(few).outputs.values()))
    same = "the same, to the bit" if np.array_equal(found, expected) else "DIFFERENT"
    print(f"{len(few)} images in Lava: {same} ({time.monotonic() - started:.1f} s)")


if __name__ == "__main__":
    main()
