"""Small spiking networks that mlGeNN can train, and what needs mlGeNN to be tested."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import snnir
from snnir.ir.builder import Value
from snnir.ir.model import Model

Array = npt.NDArray[Any]

INPUTS, HIDDEN, CLASSES, STEPS = 12, 16, 3, 14
SYNAPSE = np.float32(math.exp(-1 / 5))
MEMBRANE = np.float32(math.exp(-1 / 20))
GAIN = np.float32(1) - MEMBRANE

needs_mlgenn = [
    pytest.mark.genn,
    pytest.mark.skipif(
        importlib.util.find_spec("ml_genn") is None or importlib.util.find_spec("pygenn") is None,
        reason="mlGeNN or PyGeNN is not installed",
    ),
]


class Net:
    """A network under construction; weights are drawn by a generator of its own."""

    def __init__(self, shape: tuple[int, ...] = (INPUTS,), dt: float = 1e-3) -> None:
        self.rng = np.random.default_rng(1)
        self.b = snnir.GraphBuilder("net", dt=dt, steps=STEPS)
        self.input = self.b.input("spikes", shape, timing="per_step")

    def weight(self, rows: int, columns: int, deviation: float = 2.5, mean: float = 1.5) -> Array:
        """A random matrix."""
        return self.rng.normal(mean, deviation, (rows, columns)).astype(np.float32)

    def dense(self, x: Value, name: str, columns: int, **draw: float) -> Value:
        """Full weights."""
        rows = int(self.b.types[x.name].shape[0])
        value: Value = self.b.snn.Dense(x, weight=self.weight(rows, columns, **draw), name=name)
        return value

    def cuba(self, x: Any, name: str, op: str = "LIF", **settings: Any) -> Value:
        """Spiking neurons behind an exponential synapse."""
        current = self.b.snn.ExponentialSynapse(x, decay=SYNAPSE, name=f"{name}-synapse")
        options = {"decay": MEMBRANE, "gain": GAIN, "reset": "to_value", **settings}
        value: Value = self.b.add(f"snn.{op}", current, name=name, **options)
        return value

    def readout(self, x: Any, decoder: str = "MeanPotential", **settings: Any) -> Model:
        """A readout behind an exponential synapse, which ends the network."""
        current = self.b.snn.ExponentialSynapse(x, decay=SYNAPSE, name="readout-synapse")
        options = {"decay": MEMBRANE, "gain": GAIN, **settings}
        potential = self.b.snn.LeakyIntegrator(current, name="readout", **options)
        return self.end(potential, decoder)

    def end(self, value: Value, decoder: str) -> Model:
        """The network, with a decoder of a value."""
        answer = self.b.add(f"snn.{decoder}", value, name="decoder")
        self.b.output("class", answer, labels=[str(i) for i in range(CLASSES)])
        return self.b.build()


def feed_forward(**settings: Any) -> Model:
    """One hidden layer."""
    net = Net()
    hidden = net.cuba(net.dense(net.input, "into", HIDDEN), "hidden", **settings)
    return net.readout(net.dense(hidden, "out", CLASSES))


def recurrent() -> Model:
    """A hidden layer that is connected with itself."""
    net = Net()
    hidden = net.cuba(net.dense(net.input, "into", HIDDEN), "hidden")
    back = net.dense(hidden, "back", HIDDEN, deviation=0.2, mean=0.0)
    net.b.connect(back, "hidden-synapse", "x", delay_steps=1)
    return net.readout(net.dense(hidden, "out", CLASSES))


def skipping() -> Model:
    """Two hidden layers, and weights past the second."""
    net = Net()
    first = net.cuba(net.dense(net.input, "w1", HIDDEN), "first")
    second = net.cuba(net.dense(first, "w2", HIDDEN), "second")
    ways = [net.dense(second, "w3", CLASSES), net.dense(first, "w4", CLASSES)]
    return net.readout(ways, "SumPotential")


def delayed() -> Model:
    """Delays of whole connections; no population is late."""
    net = Net()
    hidden = net.cuba(net.dense(net.input.delayed(3), "into", HIDDEN), "hidden")
    return net.readout(net.dense(hidden.delayed(2), "out", CLASSES), "SumPotential")


def delays() -> Model:
    """A delay for each synapse, in a recurrent network."""
    net = Net()
    steps = net.rng.integers(0, 5, (INPUTS, HIDDEN)).astype(np.int32)
    weight = net.weight(INPUTS, HIDDEN)
    into = net.b.snn.DelayedDense(net.input, weight=weight, delay_steps=steps, name="into")
    hidden = net.cuba(into, "hidden")
    back = net.b.snn.DelayedDense(
        hidden,
        weight=net.weight(HIDDEN, HIDDEN, 0.2, 0.0),
        delay_steps=net.rng.integers(0, 4, (HIDDEN, HIDDEN)).astype(np.int32),
        name="back",
    )
    net.b.connect(back, "hidden-synapse", "x", delay_steps=1)
    return net.readout(net.dense(hidden, "out", CLASSES))


def sparse() -> Model:
    """Sparse weights, whose order within a row is not that of the targets."""
    net = Net()
    full = net.weight(INPUTS, HIDDEN, 2.5, 3.0) * (net.rng.random((INPUTS, HIDDEN)) < 0.6)
    pre, post = np.nonzero(full)
    order = np.lexsort((-post, pre))
    into = net.b.snn.Sparse(
        net.input,
        outputs=HIDDEN,
        weight=full[pre, post][order],
        indices=post[order].astype(np.int32),
        row_starts=np.searchsorted(pre, np.arange(INPUTS + 1)).astype(np.int32),
        name="into",
    )
    hidden = net.cuba(into, "hidden")
    return net.readout(net.dense(hidden, "out", CLASSES))


def convolution() -> Model:
    """A convolution, then full weights."""
    net = Net((4, 3, 1))
    kernel = net.rng.normal(2.0, 2.5, (3, 3, 1, 4)).astype(np.float32)
    conv = net.b.snn.Conv2D(net.input, weight=kernel, padding="same", name="into")
    hidden = net.cuba(conv, "hidden")
    return net.readout(net.dense(net.b.snn.Flatten(hidden, name="flat"), "out", CLASSES))


def first_spike() -> Model:
    """The earliest of spiking neurons is the answer."""
    net = Net()
    hidden = net.cuba(net.dense(net.input, "into", HIDDEN), "hidden")
    return net.end(net.cuba(net.dense(hidden, "out", CLASSES), "readout"), "FirstSpikeTime")


def counted() -> Model:
    """Spikes of IF neurons with a soft reset are counted."""
    net = Net()
    into = net.dense(net.input, "into", HIDDEN, deviation=0.6, mean=0.4)
    out = net.dense(net.b.snn.IF(into, name="hidden"), "out", CLASSES, deviation=0.6, mean=0.4)
    return net.end(net.b.snn.IF(out, name="readout"), "SpikeCount")


def adaptive(op: str = "ALIF", back: bool = True, **settings: Any) -> Model:
    """Neurons without synaptic currents, as e-prop trains them; the readout has a bias."""
    net = Net()
    options: dict[str, Any] = {
        "decay": MEMBRANE,
        "refractory_steps": 2,
        "refractory_mode": "integrate",
        **settings,
    }
    if op == "ALIF":
        options |= {"adaptation_decay": math.exp(-1 / 200), "adaptation_strength": 0.125}
    current = net.dense(net.input, "into", HIDDEN, deviation=0.5, mean=0.2)
    hidden = net.b.add(f"snn.{op}", current, name="hidden", **options)
    if back:
        again = net.dense(hidden, "back", HIDDEN, deviation=0.2, mean=0.0)
        net.b.connect(again, "hidden", "current", delay_steps=1)
    out = net.dense(hidden, "out", CLASSES, deviation=0.6)
    bias = np.array([0.25, -0.5, 0.125], np.float32)
    potential = net.b.snn.LeakyIntegrator(out, decay=MEMBRANE, bias=bias, name="readout")
    return net.end(potential, "SumPotential")


def encoded() -> Model:
    """Values from 0 to 1 that an encoder turns into spikes."""
    net = Net()
    net.b = snnir.GraphBuilder("net", steps=STEPS)
    image = net.b.input("image", [INPUTS])
    spikes = net.b.snn.LatencyEncoder(image, window_steps=STEPS - 2, name="encoder")
    hidden = net.cuba(net.dense(spikes, "into", HIDDEN), "hidden")
    return net.readout(net.dense(hidden, "out", CLASSES))


def held() -> Model:
    """Neurons that begin above 0 and hold their potential after a spike; steps of 0.1 ms."""
    net = Net(dt=1e-4)
    hidden = net.cuba(
        net.dense(net.input, "into", HIDDEN, deviation=0.6, mean=0.4),
        "hidden",
        refractory_steps=3,
        gain=0.125,
        threshold=0.75,
        initial_potential=0.25,
    )
    return net.readout(net.dense(hidden, "out", CLASSES))


EVENTPROP: dict[str, Callable[[], Model]] = {
    made.__name__: made
    for made in (
        feed_forward,
        recurrent,
        skipping,
        delayed,
        delays,
        sparse,
        convolution,
        first_spike,
        encoded,
        held,
    )
}
"""Networks that EventProp can train."""

RUNNABLE: dict[str, Callable[[], Model]] = {**EVENTPROP, "counted": counted}
"""Networks that mlGeNN can run."""


def spikes(model: Model, samples: int = 24, seed: int = 0) -> tuple[Array, Array]:
    """Samples that a network can learn, and their labels.

    A class's neurons spike early, the others late or not at all.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % CLASSES
    rng.shuffle(labels)
    (entry,) = model.graph.inputs
    own = np.arange(INPUTS)[None] % CLASSES == labels[:, None]
    late = rng.integers(6, STEPS + 4, (samples, INPUTS))
    when = np.where(own, rng.integers(0, 5, (samples, INPUTS)), late)
    if not entry.type.is_per_step:
        return (1 - np.minimum(when, STEPS) / STEPS).astype(np.float32), labels
    given = np.zeros((samples, STEPS, INPUTS), np.float32)
    sample, neuron = np.nonzero(when < STEPS)
    given[sample, when[sample, neuron], neuron] = 1
    return given.reshape(samples, STEPS, *(int(n) for n in entry.type.shape)), labels
