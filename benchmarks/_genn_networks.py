"""Networks that both snnir and mlGeNN can be given, with their samples.

mlGeNN has neurons that a spike resets to 0, no biases, and a delay of one step for every
connection. So have these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model

Array = npt.NDArray[Any]

TUTORIAL_STEPS: Final = 100
TUTORIAL_FILES: Final = ("genn/weights_0_1.npy", "genn/weights_1_2.npy")
TUTORIAL_THRESHOLD: Final = 5.0
TUTORIAL_SCALE: Final = 0.01


@dataclass(frozen=True)
class Layer:
    """Neurons, and the connection from the layer before.

    Attributes:
        weight: Shape [inputs, outputs], or [rows, columns, inputs, outputs] of a kernel.
        threshold: Of the membrane potential; a spike resets it to 0.
        stride: Of the kernel.
        flatten: Whether the neurons are a vector to the next layer.
        tau_membrane: Time constant in steps; None for no leak.
        tau_synapse: Time constant in steps; None for currents that last one step.
        recurrent: Weights from the layer to itself, shape [outputs, outputs].
    """

    weight: Array
    threshold: float
    stride: int = 1
    flatten: bool = False
    tau_membrane: float | None = None
    tau_synapse: float | None = None
    recurrent: Array | None = None


@dataclass(frozen=True)
class Pair:
    """A network for both, and its samples.

    Attributes:
        name: What the table calls it.
        layers: The layers after the input.
        x: Images [samples, ...], or spikes [samples, steps, neurons]; float32.
        spikes: Whether ``x`` holds spikes; images drive IF neurons by a constant current.
        steps: Presentation length.
        input_threshold: Threshold of the input neurons.
    """

    name: str
    layers: Sequence[Layer]
    x: Array
    spikes: bool
    steps: int
    input_threshold: float = 1.0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input neurons."""
        return self.x.shape[2:] if self.spikes else self.x.shape[1:]

    @property
    def storages(self) -> tuple[bool, ...]:
        """What ``prefer_in_memory_connect`` can be.

        Convolutions are then sparse matrices. With kernels of several shapes GeNN 5.4.0 ends the
        process over these: "Identifier '_kernel_size_2' undefined".
        """
        kernels = {layer.weight.shape for layer in self.layers if layer.weight.ndim == 4}
        return {0: (True,), 1: (True, False)}.get(len(kernels), (False,))

    @property
    def model(self) -> Model:
        """The network as a model of snnir."""
        b = GraphBuilder(self.name, steps=self.steps)
        x = b.input("x", self.input_shape, timing="per_step" if self.spikes else "static")
        if not self.spikes:
            x = b.snn.IF(b.snn.ConstantCurrent(x), threshold=self.input_threshold, reset="to_value")
        for number, layer in enumerate(self.layers):
            x = _add(b, layer, x, f"cells{number}")
        b.output("count", b.snn.SpikeCount(x))
        return b.build()


def _add(b: GraphBuilder, layer: Layer, x: Any, name: str) -> Any:
    arriving = x.delayed(1)
    if layer.weight.ndim == 2:
        current = b.snn.Dense(arriving, weight=layer.weight)
    else:
        stride = [layer.stride, layer.stride]
        current = b.snn.Conv2D(arriving, weight=layer.weight, strides=stride, padding="valid")
        if layer.flatten:
            current = b.snn.Flatten(current)
    port = (name, "current")
    if layer.tau_synapse is not None:
        decay = np.float32(np.exp(-1 / layer.tau_synapse))
        current = b.snn.ExponentialSynapse(current, decay=decay, name=f"{name}_current")
        port = (f"{name}_current", "x")
    neuron = {"threshold": layer.threshold, "reset": "to_value", "name": name}
    if layer.tau_membrane is None:
        cells = b.snn.IF(current, **neuron)
    else:
        cells = b.snn.LIF(current, decay=np.float32(np.exp(-1 / layer.tau_membrane)), **neuron)
    if layer.recurrent is not None:
        b.connect(b.snn.Dense(cells, weight=layer.recurrent), *port, delay_steps=1)
    return cells


# The networks --------------------------------------------------------------------------------


def tutorial_weights(folder: Path) -> tuple[Array, Array]:
    """The trained weights of the PyGeNN tutorial: 784-128-10."""
    first, second = (np.load(folder / file) for file in TUTORIAL_FILES)
    return first.reshape(784, 128), second.reshape(128, 10)


def tutorial(folder: Path, images: Array) -> Pair:
    """The tutorial's network on images with values from 0 to 255."""
    layers = [Layer(w, TUTORIAL_THRESHOLD) for w in tutorial_weights(folder)]
    x = images.reshape(-1, 784).astype(np.float32) * np.float32(TUTORIAL_SCALE)
    return Pair("mlp_if", layers, x, False, TUTORIAL_STEPS, TUTORIAL_THRESHOLD)


def recurrent(rng: np.random.Generator, samples: int, steps: int = 100) -> Pair:
    """200 inputs, 256 recurrent LIF neurons with exponential synapses, 20 outputs; random."""
    inputs, cells, outputs = 200, 256, 20
    leaky = {"threshold": 1.0, "tau_membrane": 20.0, "tau_synapse": 5.0}
    layers = [
        Layer(
            _normal(rng, (inputs, cells), 0.01, 0.03),
            recurrent=_normal(rng, (cells, cells), -0.002, 0.01),
            **leaky,
        ),
        Layer(_normal(rng, (cells, outputs), 0.002, 0.02), **leaky),
    ]
    x = (rng.random((samples, steps, inputs)) < 0.02).astype(np.float32)
    return Pair("recurrent_lif", layers, x, True, steps)


def one_kernel(rng: np.random.Generator, images: Array, steps: int = 32) -> Pair:
    """5x5 kernels with 16 filters and a dense layer; random."""
    layers = [
        Layer(_normal(rng, (5, 5, 1, 16), 0.05, 0.2), 1.0, flatten=True),
        Layer(_normal(rng, (24 * 24 * 16, 10), 0.001, 0.03), 1.0),
    ]
    return Pair("cnn_5x5", layers, _grey(images), False, steps)


def two_kernels(rng: np.random.Generator, images: Array, steps: int = 32) -> Pair:
    """3x3 kernels with 8 and 16 filters, and a dense layer; random."""
    layers = [
        Layer(_normal(rng, (3, 3, 1, 8), 0.1, 0.3), 1.0),
        Layer(_normal(rng, (3, 3, 8, 16), 0.01, 0.12), 1.0, flatten=True),
        Layer(_normal(rng, (24 * 24 * 16, 10), 0.001, 0.03), 1.0),
    ]
    return Pair("cnn_3x3_3x3", layers, _grey(images), False, steps)


def _grey(images: Array) -> Array:
    return images[..., np.newaxis].astype(np.float32) / np.float32(255)


def _normal(
    rng: np.random.Generator, shape: tuple[int, ...], mean: float, deviation: float
) -> Array:
    return rng.normal(mean, deviation, shape).astype(np.float32)
