"""Spiking networks on GeNN: the same answers as the reference, and a picture of the spikes.

Two networks: the trained one of the PyGeNN tutorial, where its weights are at hand, and a Keras
network (that of ``demo.py``), trained here and converted. Each is evaluated on GeNN and by this
library alone. Then the spikes of one image are drawn. Where PyGeNN is not installed this is said,
and only this library runs.

The tutorial's weights are looked for in the folder that ``SNNIR_TEST_DATA`` names.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from demo import load_images, train

import snnir
from snnir.errors import MissingDependency, SnnirError
from snnir.runtime.backend import Prepared, Recording, find_backend
from snnir.testing.images import Images

STEPS = 32
TUTORIAL_FILES = ("genn/weights_0_1.npy", "genn/weights_1_2.npy")
BATCH = 250


@dataclass(frozen=True)
class Network:
    """A spiking network, its test images, and which of its values are spikes to draw."""

    name: str
    model: snnir.Model
    x: Any
    y: Any
    layers: Sequence[str]


def tutorial(folder: Path, images: Images) -> Network:
    """Three layers of IF neurons; a spike arrives one step after it was emitted."""
    first, second = (np.load(folder / file) for file in TUTORIAL_FILES)
    b = snnir.GraphBuilder("tutorial", dt=1e-3, steps=100)
    image = b.input("image", [784], dtype="uint8", scale=0.01)
    neuron = {"threshold": 5.0, "reset": "to_value"}
    pixels = b.snn.IF(b.snn.ConstantCurrent(image), **neuron, name="input")
    into = b.snn.Dense(pixels.delayed(1), weight=first.reshape(784, 128))
    hidden = b.snn.IF(into, **neuron, name="hidden")
    onward = b.snn.Dense(hidden.delayed(1), weight=second.reshape(128, 10))
    b.output("class", b.snn.SpikeCount(b.snn.IF(onward, **neuron, name="output")))
    return Network(
        "PyGeNN tutorial",
        b.build(),
        images.test_x.reshape(-1, 784),
        images.test_y,
        ["input", "hidden", "output"],
    )


def converted(images: Images, folder: Path, epochs: int) -> Network:
    """The network of the demo: trained, saved, converted."""
    saved = folder / "net.keras"
    train(images, epochs).save(saved)
    model, _ = snnir.convert(
        saved,
        calibration=images.train_x[:1024, ..., None],
        labels=images.train_y[:1024],
        steps=STEPS,
        input_dtype="uint8",
    )
    spiking = [name for name, node in model.graph.nodes.items() if "spikes" in node.outputs]
    return Network("Keras network", model, images.test_x[..., None], images.test_y, spiking)


def on_genn(model: snnir.Model) -> Prepared | None:
    """The model on GeNN, if that is installed."""
    try:
        return find_backend("genn").prepare(model)
    except MissingDependency as error:
        print(f"GeNN cannot run here, so the reference runs alone:\n  {error}")
        return None


def answers(prepared: Prepared, x: Any) -> tuple[Any, float]:
    """The class of each image, and milliseconds per image."""
    started = time.perf_counter()
    found = [
        next(iter(prepared.run(x[i : i + BATCH]).outputs.values())).argmax(1)
        for i in range(0, len(x), BATCH)
    ]
    return np.concatenate(found), 1e3 * (time.perf_counter() - started) / len(x)


def evaluate(network: Network, count: int) -> Recording:
    """Print accuracies; returns the spikes of the first image."""
    x, y = network.x[:count], network.y[:count]
    runs = {"genn": on_genn(network.model), "reference": find_backend().prepare(network.model)}
    ready = {name: prepared for name, prepared in runs.items() if prepared is not None}
    classes = {}
    for name, prepared in ready.items():
        classes[name], taken = answers(prepared, x)
        right = 100 * float((classes[name] == y).mean())
        print(f"{network.name:18}{name:10}{right:8.2f} %{taken:10.2f} ms/image")
    if "genn" in classes:
        same = int((classes["genn"] == classes["reference"]).sum())
        print(f"{network.name:18}same answers: {same} of {len(x)}")
    return next(iter(ready.values())).run(x[:1], record=network.layers)


def draw(network: Network, found: Recording, path: Path) -> None:
    """The raster plot of the first image, where matplotlib is installed."""
    from snnir.plot import raster

    answer = int(next(iter(found.outputs.values()))[0].argmax())
    which = f"{network.name} on {found.backend}, first test image"
    title = f"{which}: label {network.y[0]}, answer {answer}"
    try:
        raster(found, network.layers, title=title).savefig(path)
    except MissingDependency as error:
        print(f"No picture:\n  {error}")
    else:
        print(f"{network.name:18}spikes of the first image: {path}")


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("genn-output"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--count", type=int, default=1000, help="test images [1000]")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    images = load_images()

    networks = []
    data = Path(os.environ.get("SNNIR_TEST_DATA", "../shared/data"))
    if missing := [file for file in TUTORIAL_FILES if not (data / file).exists()]:
        print(f"The tutorial's network is left out: no {', '.join(missing)} in {data}")
    elif images.test_x[0].size != 784:
        print("The tutorial's network is left out: it takes MNIST")
    else:
        networks.append(tutorial(data, images))
    try:
        networks.append(converted(images, options.folder, options.epochs))
    except (ImportError, SnnirError) as error:
        print(f"The Keras network is left out: {error}")
    for network in networks:
        found = evaluate(network, options.count)
        draw(network, found, options.folder / f"{network.model.graph.name}.png")
    for network in networks:
        snnir.save(network.model, options.folder / f"{network.model.graph.name}.snnir")
    print(f"Files are in {options.folder}")


if __name__ == "__main__":
    main()
