"""Canonical networks compute the same in fewer kinds of nodes."""

from __future__ import annotations

import numpy as np
import pytest

import snnir
from snnir.ir.builder import GraphBuilder
from snnir.passes.canonicalise import canonicalise
from tests.passes.nets import branched, samples, weight


@pytest.mark.parametrize("seed", range(5))
def test_the_function_stays_the_same(seed: int) -> None:
    """In float64, so that what differs is not rounding: folding is exact in real numbers.

    Folded weights are stored in float32, half a unit in the last place (2**-24) each.
    """
    model = branched(seed)
    canonical = canonicalise(model)
    assert snnir.check(canonical) == []
    x = samples(4, seed)
    found, expected = (snnir.run(m, x, precision="float64")["class"] for m in (canonical, model))
    assert np.abs(found - expected).max() < 64 * 2.0**-24


def test_what_is_gone() -> None:
    operators = {node.operator for node in canonicalise(branched()).graph.nodes.values()}
    assert operators.isdisjoint(
        {"BatchNorm", "Dropout", "SeparableConv2D", "LeakyReLU", "Rescale", "Normalize"}
    )


def test_the_model_is_not_modified() -> None:
    model = branched()
    before = snnir.to_bytes(model)
    canonicalise(model)
    assert snnir.to_bytes(model) == before


def test_nothing_is_folded_across_an_activation_or_a_branch() -> None:
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    x = b.input("x", [4])
    dense = b.ann.Dense(x, weight=weight(rng, 4, 4))
    b.output("also", dense)
    scaled = b.ann.Scale(dense, scale=2.0)
    b.output("y", b.ann.Bias(b.ann.ReLU(scaled), bias=1.0))
    canonical = canonicalise(b.build())
    assert [node.op for node in canonical.graph.nodes.values()] == [
        "ann.Dense",
        "ann.Scale",
        "ann.ReLU",
        "ann.Bias",
    ]


def test_a_bias_is_not_folded_into_a_padded_convolution() -> None:
    """Zeros of the padding are not shifted, so a shift before it is not a bias behind it."""
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    x = b.input("x", [5, 5, 2])
    shifted = b.ann.Bias(x, bias=[1.0, -2.0])
    b.output("y", b.ann.Conv2D(shifted, weight=weight(rng, 3, 3, 2, 3), padding="same"))
    model = b.build()
    canonical = canonicalise(model)
    assert "ann.Bias" in {node.op for node in canonical.graph.nodes.values()}
    inputs = rng.normal(size=(2, 5, 5, 2))
    assert np.array_equal(snnir.run(canonical, inputs)["y"], snnir.run(model, inputs)["y"])
