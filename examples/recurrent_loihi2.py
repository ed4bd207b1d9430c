"""A recurrent spiking network, trained with surrogate gradients, in 8-bit integers for Loihi 2.

As mlGeNN does it for Loihi 2: neurons with exponential synapses and recurrent connections are
trained in floats, their weights and thresholds scaled to integers, and exported to NetX. mlGeNN
trains with EventProp; here it is back-propagation through time with surrogate gradients, in NumPy,
on scikit-learn's 8x8 digits. Every pixel spikes once, the earlier the brighter it is.

Needs scikit-learn and h5py. Prints the accuracy in floats, in integers and on the chip, reads the
NetX file back, and where Lava is installed runs some images in it for comparison.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

import snnir
from snnir.errors import MissingDependency
from snnir.passes.loihi2 import Loihi2Options, lower_to_loihi2, padded
from snnir.passes.quantise import Choice, QuantiseOptions, quantise
from snnir.runtime.backend import find_backend
from snnir.testing.images import digits
from snnir_converters.netx import TARGET, read_netx

Array = np.ndarray

STEPS = 24
LAST_SPIKE = 15
"""Step in which the darkest pixels that spike do so; brighter ones are earlier."""

HIDDEN, CLASSES = 80, 10
SYNAPSE = np.float32(math.exp(-1 / 5))
"""What a step leaves of a current; its time constant has 5 steps."""
MEMBRANE = np.float32(math.exp(-1 / 20))
"""What a step leaves of a potential; its time constant has 20 steps."""
GAIN = np.float32(1) - MEMBRANE
"""Factor on currents, as in GeNN; quantisation folds it into the weights."""
THRESHOLD = np.float32(1)
STEEPNESS = 10
"""Of the surrogate gradient."""
LOST = 0.3
"""Part of the pixels that training leaves out, others each time, against overfitting."""


def encode(images: Array) -> Array:
    """Spikes, (samples, steps, pixels); a black pixel has none."""
    brightness = images.reshape(len(images), -1).astype(np.float32) / 255
    when = np.rint((1 - brightness) * LAST_SPIKE).astype(np.int64)
    sample, pixel = np.nonzero(brightness > 0)
    spikes = np.zeros((len(images), STEPS, brightness.shape[1]), np.float32)
    spikes[sample, when[sample, pixel], pixel] = 1
    return spikes


@dataclass
class Weights:
    """Of the three connections, each (from, to); or something for each weight."""

    into: Array
    back: Array
    out: Array

    @classmethod
    def random(cls, pixels: int, rng: np.random.Generator) -> Weights:
        """So that a few neurons spike at first."""

        def normal(mean: float, deviation: float, *shape: int) -> Array:
            return rng.normal(mean, deviation, shape).astype(np.float32)

        return cls(
            into=normal(0.2, 0.6, pixels, HIDDEN),
            back=normal(0, 0.2, HIDDEN, HIDDEN),
            out=normal(0, 0.3, HIDDEN, CLASSES),
        )

    def arrays(self) -> Iterator[Array]:
        """All of them."""
        return (getattr(self, field.name) for field in fields(self))


@dataclass
class Trace:
    """What a run leaves for back-propagation.

    Attributes:
        potentials: Of the hidden neurons before their reset, (steps, samples, neurons).
        spikes: Theirs, likewise.
        answers: Mean potentials of the readout, (samples, classes).
    """

    potentials: Array
    spikes: Array
    answers: Array


def forward(weights: Weights, given: Array) -> Trace:
    """Run the network, as operators ExponentialSynapse, LIF and LeakyIntegrator define it."""
    samples = len(given)
    arriving = given.transpose(1, 0, 2) @ weights.into
    potentials = np.zeros((STEPS, samples, HIDDEN), np.float32)
    spikes = np.zeros_like(potentials)
    current, v, fired = (np.zeros((samples, HIDDEN), np.float32) for _ in range(3))
    out_current, out, total = (np.zeros((samples, CLASSES), np.float32) for _ in range(3))
    for t in range(STEPS):
        current = SYNAPSE * current + (arriving[t] + fired @ weights.back)
        potentials[t] = MEMBRANE * v + GAIN * current
        spikes[t] = fired = (potentials[t] >= THRESHOLD).astype(np.float32)
        v = potentials[t] * (1 - fired)
        out_current = SYNAPSE * out_current + fired @ weights.out
        out = MEMBRANE * out + GAIN * out_current
        total += out
    return Trace(potentials, spikes, total / np.float32(STEPS))


def loss(answers: Array, labels: Array) -> tuple[float, Array]:
    """Mean cross-entropy, and its gradient for the answers."""
    shifted = answers - answers.max(axis=1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    wanted = np.eye(CLASSES, dtype=np.float32)[labels]
    return -float((logarithms * wanted).sum(axis=1).mean()), (
        (np.exp(logarithms) - wanted) / np.float32(len(labels))
    )


def backward(weights: Weights, given: Array, trace: Trace, slope: Array) -> Weights:
    """The gradient, from that for the answers; resets count as constants.

    A spike's derivative is 1 / (1 + steepness * |v - threshold|)**2: SuperSpike, Zenke and
    Ganguli 2018, doi:10.1162/neco_a_01086.
    """
    distance = np.abs(trace.potentials - THRESHOLD)
    surrogate = 1 / (1 + np.float32(STEEPNESS) * distance) ** 2
    currents = np.zeros_like(trace.spikes)
    out_currents = np.zeros((STEPS, len(given), CLASSES), np.float32)
    current, v = (np.zeros_like(trace.spikes[0]) for _ in range(2))
    out_current, out = (np.zeros_like(slope) for _ in range(2))
    for t in reversed(range(STEPS)):
        out = MEMBRANE * out + slope / np.float32(STEPS)
        out_currents[t] = out_current = SYNAPSE * out_current + GAIN * out
        fired = out_current @ weights.out.T + current @ weights.back.T
        v = surrogate[t] * fired + MEMBRANE * (1 - trace.spikes[t]) * v
        currents[t] = current = SYNAPSE * current + GAIN * v

    def product(sources: Array, targets: Array) -> Array:
        return sources.reshape(-1, sources.shape[-1]).T @ targets.reshape(-1, targets.shape[-1])

    return Weights(
        into=product(given.transpose(1, 0, 2), currents),
        back=product(trace.spikes[:-1], currents[1:]),
        out=product(trace.spikes, out_currents),
    )


def train(x: Array, y: Array, epochs: int, rate: float = 0.01, batch: int = 64) -> Weights:
    """Weights by Adam, whose rate falls to 0 along a cosine."""
    rng = np.random.default_rng(0)
    weights = Weights.random(x.shape[-1], rng)
    mean, square = (Weights(*map(np.zeros_like, weights.arrays())) for _ in range(2))
    batches = -(-len(x) // batch)
    step = 0
    for epoch in range(epochs):
        losses, counts = [], []
        for part in np.array_split(rng.permutation(len(x)), batches):
            kept = rng.random((len(part), 1, x.shape[-1])) >= LOST
            given = x[part] * (kept / (1 - LOST)).astype(np.float32)
            trace = forward(weights, given)
            lost, slope = loss(trace.answers, y[part])
            gradient = backward(weights, given, trace, slope)
            losses.append(lost)
            counts.append(float(trace.spikes.mean()) * STEPS)
            now = rate * (1 + math.cos(math.pi * step / (epochs * batches))) / 2
            step += 1
            for w, g, m, s in zip(
                weights.arrays(), gradient.arrays(), mean.arrays(), square.arrays(), strict=True
            ):
                m += (1 - 0.9) * (g - m)
                s += (1 - 0.999) * (g * g - s)
                corrected = np.sqrt(s / (1 - 0.999**step)) + 1e-8
                w -= (now / (1 - 0.9**step) * m / corrected).astype(np.float32)
        if epoch % 20 == 0 or epoch == epochs - 1:
            print(
                f"epoch {epoch + 1:3}: loss {np.mean(losses):.4f}, "
                f"{np.mean(counts):.1f} spikes of a neuron for an image"
            )
    return weights


def build(weights: Weights) -> snnir.Model:
    """The trained network as a graph."""
    b = snnir.GraphBuilder("recurrent", dt=1e-3, steps=STEPS)
    pixels = b.input("spikes", [len(weights.into)], timing="per_step")
    arriving = b.snn.Dense(pixels, weight=weights.into, name="into")
    current = b.snn.ExponentialSynapse(arriving, decay=SYNAPSE, name="synapse")
    cells = b.snn.LIF(
        current, decay=MEMBRANE, gain=GAIN, threshold=THRESHOLD, reset="to_value", name="cells"
    )
    back = b.snn.Dense(cells, weight=weights.back, name="back")
    b.connect(back, "synapse", "x", delay_steps=1)
    arriving = b.snn.Dense(cells, weight=weights.out, name="out")
    current = b.snn.ExponentialSynapse(arriving, decay=SYNAPSE, name="readout-synapse")
    readout = b.snn.LeakyIntegrator(current, decay=MEMBRANE, gain=GAIN, name="readout")
    b.output("class", b.snn.MeanPotential(readout), labels=[str(i) for i in range(CLASSES)])
    return b.build()


def classes(model: snnir.Model, x: Array, backend: str = "layerwise") -> Array:
    """The answer of a model for each sample."""
    prepared = find_backend(backend).prepare(model)
    return prepared.run(padded(model, {"spikes": x}))["class"].argmax(axis=1)


FORMS: tuple[tuple[int, Choice], ...] = ((8, "auto"), (8, "power-of-two"), (6, "auto"), (4, "auto"))
"""Bits and scales of the table; power-of-two is the rule of ml_genn_netx."""


def table(
    model: snnir.Model, samples: Array, x: Array, y: Array
) -> tuple[snnir.Model, snnir.Model]:
    """Print how good each form of the network is.

    Returns:
        The network in 8 bits: as quantised, and of domain ``loihi2``.
    """
    wanted = classes(model, x)

    def row(form: str, scale: str, found: Array) -> None:
        accuracy, before = (100 * (answers == y).mean() for answers in (found, wanted))
        same = 100 * (found == wanted).mean()
        print(f"{form:<9}{scale:<13}{accuracy:7.2f} % {before - accuracy:6.2f} {same:9.2f} %")

    print(f"\nOn {len(x)} test images:\n{'':22} accuracy   drop   agreement")
    row("float", "", wanted)
    calibration = {"spikes": samples}
    kept: list[tuple[snnir.Model, snnir.Model]] = []
    for bits, scale in FORMS:
        integers, _ = quantise(model, calibration, QuantiseOptions(bits, scale))
        lowered, _ = lower_to_loihi2(model, calibration, Loihi2Options(bits, scale))
        row(f"int{bits}", scale, classes(integers, x))
        row(f"loihi2/{bits}", scale, classes(lowered, x))
        kept.append((integers, lowered))
    return kept[0]


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("recurrent-output"))
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--lava", type=int, default=10, help="images that Lava runs")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    images = digits()
    train_x, test_x = encode(images.train_x), encode(images.test_x)
    started = time.monotonic()
    weights = train(train_x, images.train_y, options.epochs)
    print(f"Trained in {time.monotonic() - started:.0f} s.")

    model = build(weights)
    trained = forward(weights, test_x).answers.argmax(axis=1)
    same = int((trained == classes(model, test_x, "reference")).sum())
    print(f"The graph answers as the trained network: {same} of {len(test_x)}")
    integers, lowered = table(model, train_x[:256], test_x, images.test_y)

    files = {"float": model, "int8": integers, "loihi2": lowered}
    for name, made in files.items():
        snnir.save(made, options.folder / f"{name}.snnir")
    np.savez(options.folder / "test.npz", x=test_x, y=images.test_y)
    path = options.folder / "recurrent.net"
    print()
    for finding in TARGET.check(lowered):
        print(finding)
    TARGET.emit(lowered, path)
    print(f"Files: {path}, {', '.join(str(options.folder / f'{name}.snnir') for name in files)}")

    # The chip's part alone: spikes in, potentials of the readout out.
    given = padded(lowered, {"spikes": test_x})
    expected = snnir.run(lowered, given, backend="layerwise", record=["readout"])["readout"]
    spikes = given["spikes"].astype(np.int32)
    found = snnir.run(read_netx(path), spikes, steps=lowered.time.steps, backend="layerwise")[
        "output"
    ]
    print(f"The NetX file, read back: {difference(found, expected)}")

    few = {"spikes": given["spikes"][: options.lava]}
    try:
        lava = find_backend("lava").prepare(lowered)
    except MissingDependency as error:
        print(f"Lava is not installed, so it is not compared:\n  {error}")
        return
    found = lava.run(few, record=["readout"])["readout"]
    print(f"{options.lava} images in Lava: {difference(found, expected[: options.lava])}")


def difference(found: Array, expected: Array) -> str:
    """Whether potentials are the same, in words."""
    if np.array_equal(found, expected):
        return "the same potentials, to the bit"
    return f"DIFFERENT potentials, by up to {np.abs(found - expected).max()}"


if __name__ == "__main__":
    main()
