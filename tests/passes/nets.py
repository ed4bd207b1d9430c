"""Networks of domain ``ann`` for the tests of passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model


def weight(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    """Weights of a size that keeps activations in the order of one."""
    fan_in = int(np.prod(shape[:-1]))
    return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)


def branched(seed: int = 0) -> Model:
    """Convolutions, batch normalisation before and after, a residual, Concat, every pooling."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder("branched")

    def norm(x: Any, channels: int) -> Any:
        return b.ann.BatchNorm(
            x,
            mean=rng.normal(0, 0.1, channels).astype("f4"),
            variance=rng.uniform(0.5, 2, channels).astype("f4"),
            gamma=rng.uniform(0.5, 1.5, channels).astype("f4"),
            beta=rng.normal(0, 0.1, channels).astype("f4"),
        )

    x = b.input("x", [8, 8, 3])
    x = b.ann.Rescale(x, scale=2.0, offset=-0.5)
    first = b.ann.Conv2D(x, weight=weight(rng, 3, 3, 3, 8), padding="same")
    stem = b.ann.ReLU(norm(first, 8))
    deep = b.ann.DepthwiseConv2D(stem, weight=weight(rng, 3, 3, 8, 1), padding="same")
    deep = b.ann.ReLU(norm(deep, 8), max_value=1.5)
    deep = b.ann.Dropout(deep, rate=0.3)
    deep = b.ann.SeparableConv2D(
        deep,
        depthwise_weight=weight(rng, 3, 3, 8, 1),
        pointwise_weight=weight(rng, 1, 1, 8, 8),
        bias=rng.normal(0, 0.1, 8).astype("f4"),
        padding="same",
    )
    joined = b.ann.LeakyReLU(b.ann.Add([norm(deep, 8), stem]), negative_slope=0.125)
    pooled = [
        b.ann.MaxPool2D(joined, pool_size=[2, 2]),
        b.ann.AveragePool2D(stem, pool_size=[2, 2]),
    ]
    wide = b.ann.Concat(pooled)
    wide = b.ann.Conv2D(norm(wide, 16), weight=weight(rng, 2, 2, 16, 8))
    wide = b.ann.ReLU(wide)
    tops = b.ann.Concat([b.ann.GlobalAveragePool2D(wide), b.ann.GlobalMaxPool2D(wide)])
    hidden = b.ann.ReLU(b.ann.Dense(tops, weight=weight(rng, 16, 24)))
    logits = b.ann.Dense(hidden, weight=weight(rng, 24, 5), bias=rng.normal(0, 0.1, 5))
    b.output("class", b.ann.Softmax(logits))
    return b.build()


def samples(count: int, seed: int = 1) -> np.ndarray[Any, Any]:
    """Inputs of :func:`branched`."""
    return np.random.default_rng(seed).uniform(0, 1, (count, 8, 8, 3)).astype(np.float32)
