"""Networks of which scripts are written: small, exact, with a bit of everything between them."""

from __future__ import annotations

import numpy as np

from snnir import GraphBuilder
from snnir.ir.model import Model


def rates(labels: tuple[str, ...] = ("left", "right")) -> Model:
    """Raw images in, classes out; a recurrent layer, a hidden one, a head for NumPy."""
    b = GraphBuilder("rates", dt=1e-3, steps=6)
    image = b.input("image", [2, 2], dtype="uint8", scale=1 / 256, offset=0.25, layout="HW")
    flat = b.ann.Flatten(image, name="flat")
    first = np.arange(8, dtype=np.float32).reshape(4, 2) / 8
    features = b.ann.Dense(flat, weight=first, bias=np.array([0.5, -0.5], np.float32), name="first")
    current = b.snn.ConstantCurrent(features, name="current")
    hidden = b.snn.IF(current, threshold=1.0, name="a/hidden-layer.1")
    second = np.array([[1, -0.5], [0.25, 1]], np.float32)
    b.connect(b.snn.Dense(hidden, weight=second / 4, name="back"), "a/hidden-layer.1", "current")
    last = b.snn.LIF(
        b.snn.Dense(hidden, weight=second, name="second"),
        decay=0.5,
        threshold=np.array([0.5, 0.75], np.float32),
        name="last",
    )
    count = b.snn.MeanPotential(last, name="mean")
    b.output("probability", b.ann.Softmax(count, name="head"), labels=labels)
    return b.build()


def events() -> Model:
    """Spikes in, spikes out: a convolution, pooling, a delay, and linear operators after all."""
    b = GraphBuilder("events", dt=0.5e-3, steps=5)
    x = b.input("x", [4, 4, 1], timing="per_step")
    kernel = np.array([1, 0.5, -0.25, 1] * 2, np.float32).reshape(2, 2, 1, 2)
    spikes = b.snn.IF(b.snn.Conv2D(x, weight=kernel, name="conv"), threshold=0.5, name="spikes")
    pooled = b.snn.MaxPool2D(spikes.delayed(2), pool_size=[3, 3], name="pool")
    weight = np.array([[1], [-0.5]], np.float32)
    sums = b.snn.Dense(b.snn.Flatten(pooled, name="flat"), weight=weight, name="sums")
    b.output("spikes", spikes)
    b.output("sums", sums)
    b.output("first", b.snn.FirstSpikeTime(sums, start=1, name="when"))
    b.output("early", b.snn.ExponentialPotential(sums, name="early"))
    b.output("most", b.snn.MaxPotential(sums, name="most"))
    return b.build()
