"""The main job on real images: a trained network becomes a spiking network that is as good.

Trains a small convolutional network on MNIST with Keras, saves it, converts the saved file, and
prints accuracy and spikes against the number of time steps. The spiking network takes raw
images; its file holds a few of them with the answers, and replays them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import snnir
from snnir.conversion.measure import Meter, batches
from snnir.errors import SnnirError
from snnir.testing.images import Images, digits, mnist

STEPS = (4, 8, 16, 32)


def load_images() -> Images:
    """MNIST, or scikit-learn's digits where it is not to be had."""
    try:
        return mnist()
    except SnnirError as error:
        print(f"No MNIST here, so scikit-learn's 8x8 digits instead:\n  {error}", file=sys.stderr)
        return digits()


def train(images: Images, epochs: int) -> Any:
    """A convolutional network with batch normalisation; it takes raw images."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            layers.Input((*images.train_x.shape[1:], 1), name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax", name="class"),
        ]
    )
    # Steps halve: the last epoch settles what the first ones found.
    steps = -(-len(images.train_x) // 128)
    rate = keras.optimizers.schedules.ExponentialDecay(3e-3, steps, 0.5, staircase=True)
    net.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    net.fit(images.train_x[..., None], images.train_y, batch_size=128, epochs=epochs, verbose=2)
    return net


def measure(model: snnir.Model, x: Any, y: Any) -> tuple[float, float]:
    """Accuracy of a spiking network, and its spikes for an image, on the same images."""
    images = {model.graph.inputs[0].name: x}
    meter = Meter(model, images)
    right = 0
    for part, batch in batches(images, meter.batch_size):
        (answers,) = meter.run(batch).values()
        right += int((answers["class"].argmax(1) == y[part]).sum())
    return right / len(x), sum(meter.activity.spikes.values()) / len(x)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo-output"))
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    images = load_images()
    print(f"Training on {len(images.train_x)} images of {images.name}")
    net = train(images, options.epochs)
    saved, converted, written = (
        options.folder / name for name in ("net.keras", "snn.snnir", "report.json")
    )
    net.save(saved)

    x, y = images.test_x[..., None], images.test_y
    original = float((net.predict(x, batch_size=1000, verbose=0).argmax(1) == y).mean())
    print(f"\nOn {len(x)} test images:\n{'':8}accuracy   drop   spikes/image")
    print(f"ANN     {100 * original:7.2f} %")
    for steps in STEPS:
        model, report = snnir.convert(
            saved,
            calibration=images.train_x[:1024, ..., None],
            labels=images.train_y[:1024],
            steps=steps,
            input_dtype="uint8",
        )
        spiking, spikes = measure(model, x, y)
        lost = 100 * (original - spiking)
        print(f"T = {steps:<4}{100 * spiking:7.2f} % {lost:6.2f}   {spikes:8.0f}")
    snnir.save(model, converted)
    written.write_text(json.dumps(report.to_json(), indent=2), "utf-8")
    passed = snnir.verify(snnir.load(converted)).passed

    print(f"\nThe report of the last conversion:\n\n{report}")
    print(f"\nStored examples replayed from the file: {'ok' if passed else 'FAILED'}")
    print(f"Files: {saved}, {converted}, {written}")
    print(f"Look at them: snnir info {converted}; snnir verify {converted}")
    np.savez(options.folder / "test.npz", x=x, y=y)
    print(f"Measure them: snnir eval {converted} --data {options.folder / 'test.npz'}")
    print(f"Took {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
