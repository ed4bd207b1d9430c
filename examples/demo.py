"""The main job on real images: a trained network becomes a spiking network that is as good.

Trains a small network on MNIST with NumPy alone, converts it, prints accuracy and spikes against
the number of time steps, stores a few images with the answers, and replays them.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

import snnir
from snnir.errors import SnnirError
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.passes.canonicalise import canonicalise
from snnir.passes.rate import RateOptions, lower_to_rates
from snnir.runtime.backend import Recording
from snnir.testing.images import Images, digits, mnist

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def load_images() -> Images:
    """MNIST, or scikit-learn's digits where it is not to be had."""
    try:
        return mnist()
    except SnnirError as error:
        print(f"No MNIST here, so scikit-learn's 8x8 digits instead:\n  {error}", file=sys.stderr)
        return digits()


def train(x: Array, y: np.ndarray[tuple[int], np.dtype[np.int64]], epochs: int) -> list[Array]:
    """Weights and biases of a network inputs-128-64-classes with ReLU, by Adam."""
    rng = np.random.default_rng(0)
    sizes = [x.shape[1], 128, 64, int(y.max()) + 1]
    parameters: list[Array] = []
    for a, b in itertools.pairwise(sizes):
        parameters += [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, "f4")]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    step = 0
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        rate = 2e-3 * 0.5**epoch
        for start in range(0, len(x), 64):
            batch = order[start : start + 64]
            step += 1
            values = [x[batch]]
            for i in range(0, len(parameters), 2):
                z = values[-1] @ parameters[i] + parameters[i + 1]
                values.append(np.maximum(z, 0) if i < len(parameters) - 2 else z)
            delta = np.exp(values[-1] - values[-1].max(1, keepdims=True))
            delta /= delta.sum(1, keepdims=True)
            delta[np.arange(len(batch)), y[batch]] -= 1
            delta /= len(batch)
            for i in range(len(parameters) - 2, -1, -2):
                gradients = [values[i // 2].T @ delta, delta.sum(0)]
                delta = (delta @ parameters[i].T) * (values[i // 2] > 0)
                for j, gradient in enumerate(gradients, start=i):
                    first, second = moments[j]
                    first += 0.1 * (gradient - first)
                    second += 0.001 * (gradient**2 - second)
                    corrected = second / (1 - 0.999**step)
                    parameters[j] -= rate * first / (1 - 0.9**step) / (np.sqrt(corrected) + 1e-8)
    return parameters


def as_model(parameters: list[Array], shape: tuple[int, int]) -> Model:
    """The trained network as a graph of domain ``ann``; it takes raw pixels."""
    b = GraphBuilder("demo")
    value = b.input("image", shape, dtype="uint8", scale=1 / 255, layout="HW")
    value = b.ann.Flatten(value)
    for i in range(0, len(parameters), 2):
        value = b.ann.Dense(value, weight=parameters[i], bias=parameters[i + 1])
        if i < len(parameters) - 2:
            value = b.ann.ReLU(value)
    b.output("class", b.ann.Softmax(value), labels=map(str, range(10)))
    return b.build()


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo-output"))
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    images = load_images()
    shape = (images.train_x.shape[1], images.train_x.shape[2])
    print(f"Training on {len(images.train_x)} images of {images.name} ...")
    flat = images.train_x.reshape(len(images.train_x), -1).astype(np.float32) / 255
    ann = as_model(train(flat, images.train_y, options.epochs), shape)
    snnir.save(ann, options.folder / "ann.snnir")

    def accuracy(model: Model) -> tuple[float, Recording]:
        found = snnir.run(model, images.test_x, backend="layerwise", record=spiking(model))
        return float((found["class"].argmax(1) == images.test_y).mean()), found

    def spiking(model: Model) -> list[str]:
        return [node.name for node in model.graph.nodes.values() if node.op == "snn.IF"]

    reference, _ = accuracy(ann)
    print(f"\n{'':8}accuracy   drop   spikes/image\nANN     {100 * reference:7.2f} %")
    calibration = {"image": images.train_x[:500]}
    for steps in (4, 8, 16, 32):
        model, _ = lower_to_rates(canonicalise(ann), calibration, RateOptions(steps))
        found, recording = accuracy(model)
        spikes = sum(float(np.abs(recording[name]).sum()) for name in spiking(model))
        print(
            f"T = {steps:<4}{100 * found:7.2f} % {100 * (reference - found):6.2f}"
            f"   {spikes / len(images.test_x):8.0f}"
        )
    model.examples["first-images"] = snnir.make_example(model, images.test_x[:4])
    path = options.folder / "snn.snnir"
    snnir.save(model, path)
    report = snnir.verify(snnir.load(path))
    print(f"\nStored examples replayed from the file: {'ok' if report.passed else 'FAILED'}")
    print(f"\nFiles: {options.folder / 'ann.snnir'}, {path}")
    print(f"Look at them: snnir print {path}; snnir verify {path}")


if __name__ == "__main__":
    main()
