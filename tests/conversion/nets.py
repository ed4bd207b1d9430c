"""Small networks of domain ``ann`` for the tests of conversion, trained where that matters."""

from __future__ import annotations

from typing import Any

import numpy as np

import snnir
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model

Array = np.ndarray[Any, Any]


def spots(count: int, seed: int = 0) -> tuple[Array, Array]:
    """uint8 images 6x6 of a bright spot in one of four quarters, and which quarter it is."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, 6, 6, 1), dtype=np.uint8)
    labels = rng.integers(0, 4, count)
    rows, columns = 3 * (labels // 2) + rng.integers(0, 2, count), 3 * (labels % 2)
    for image, row, column in zip(images, rows, columns, strict=True):
        image[row : row + 2, column : column + 2] = rng.integers(180, 255, (2, 2, 1))
    return images, labels


def spotter(
    *, scale: float = 1.0, head: str = "Softmax", rescale: float | None = None, hidden: str = "ReLU"
) -> Model:
    """Tells the quarter of :func:`spots`; made for pixels of 0 to 1 times ``scale``.

    Pooled brightness of each quarter, twice as a difference from the mean: the answer is sure,
    as sure as trained networks are, and right.
    """
    b = GraphBuilder("spotter")
    x: Any = b.input("image", [6, 6, 1], layout="HWC")
    if rescale is not None:
        x = b.ann.Rescale(x, scale=rescale, name="rescaling")
    kernel = np.ones((3, 3, 1, 1), np.float32) / np.float32(scale)
    pooled = b.ann.Conv2D(x, weight=kernel, strides=[3, 3], name="conv", source="conv")
    active = b.add(f"ann.{hidden}", pooled, name="active", source="active")
    mixing = 4 * (np.eye(4, dtype=np.float32) - np.float32(0.25))
    flat = b.ann.Flatten(active, name="flat")
    logits = b.ann.Dense(flat, weight=mixing, name="logits", source="logits")
    b.output("quarter", b.add(f"ann.{head}", logits, name="head") if head else logits)
    return b.build()


def refused() -> Model:
    """Takes :func:`spots`; rate coding carries none of three layers, few-spike all but one."""
    b = GraphBuilder("refused")
    x = b.ann.Flatten(b.input("image", [6, 6, 1], layout="HWC"), name="flat")
    eye = np.eye(36, 4, dtype=np.float32)
    hidden = b.ann.Tanh(b.ann.Dense(x, weight=eye, name="first"), name="tanh", source="dense_1")
    hidden = b.ann.SiLU(b.ann.Dense(hidden, weight=eye[:4], name="second"), name="silu")
    hidden = b.ann.Softmax(b.ann.Dense(hidden, weight=eye[:4], name="third"), name="attention")
    b.output("quarter", b.ann.Dense(hidden, weight=eye[:4], name="last"))
    return b.build()


def two_outputs() -> Model:
    """Two classifiers on one trunk, and a number."""
    b = GraphBuilder("two")
    x = b.input("x", [3])
    eye = np.eye(3, dtype=np.float32)
    trunk = b.ann.ReLU(b.ann.Dense(x, weight=eye, name="trunk"), name="relu")
    b.output("largest", b.ann.Softmax(b.ann.Dense(trunk, weight=4 * eye, name="a")))
    b.output("smallest", b.ann.Softmax(b.ann.Dense(trunk, weight=-4 * eye, name="b")))
    total = np.ones((3, 1), np.float32)
    b.output("sum", b.ann.Dense(trunk, weight=total, name="c"))
    return b.build()


def answers(model: Model, x: Array, name: str | None = None) -> Array:
    """The classes that a model gives."""
    outputs = snnir.run(model, x, backend="layerwise").outputs
    found: Array = outputs[name or next(iter(outputs))]
    return found.argmax(-1)
