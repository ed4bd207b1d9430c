"""The report says of every step whether it is exact, and what was really done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion.report import Pass
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from tests.conversion.nets import spots, spotter

IMAGES, _ = spots(120)
PIXELS = IMAGES / np.float32(255)
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.normal(0, 1, shape).astype(np.float32)


def account(model: Model, data: Any, **options: Any) -> dict[str, Pass]:
    _, report = snnir.convert(model, calibration=data, **options)
    assert len({step.name for step in report.passes}) == len(report.passes)
    return {step.name: step for step in report.passes}


def normed() -> Model:
    """Everything that canonicalising changes, in one network."""
    b = GraphBuilder()
    x = b.ann.Rescale(b.input("image", [6, 6, 1]), scale=1 / 255, name="rescale")
    x = b.ann.Conv2D(x, weight=normal(3, 3, 1, 4), name="conv")
    mean, variance = np.zeros(4, np.float32), np.ones(4, np.float32)
    x = b.ann.BatchNorm(x, mean=mean, variance=variance, name="norm")
    x = b.ann.Dropout(b.ann.LeakyReLU(x, negative_slope=0.25, name="leaky"), name="drop")
    x = b.ann.MaxPool2D(x, pool_size=[2, 2], name="pool")
    b.output("y", b.ann.Dense(b.ann.Flatten(x), weight=normal(16, 3), name="last"))
    return b.build()


def test_what_was_folded_is_named() -> None:
    found = account(normed(), IMAGES, steps=8)
    assert found["preprocessing"].what == "rescale became scale and offset of the input"
    assert found["canonicalise"].what == (
        "1 BatchNorm folded into linear layers; 1 LeakyReLU became ReLU; 1 Dropout dropped"
    )
    found = account(spotter(), PIXELS, steps=8)
    assert "preprocessing" not in found
    assert found["canonicalise"].what == "nothing was to be folded"


def test_calibrated_rewrites_weights_and_says_so() -> None:
    found = account(spotter(), PIXELS, steps=8)
    assert not found["weights"].exact and "1 linear layer fitted" in found["weights"].what
    for method in ("data-norm", "few-spike"):
        found = account(spotter(), PIXELS, method=method)
        assert found["weights"].exact and "as they were" in found["weights"].what


@pytest.mark.parametrize(
    ("encoder", "exact"), [("constant", True), ("poisson", False), ("rate", False)]
)
def test_encoders(encoder: str, exact: bool) -> None:
    """Whether an encoder loses anything shows where nothing else does: no activation follows."""
    b = GraphBuilder()
    b.output("y", b.ann.Dense(b.input("x", [3]), weight=normal(3, 4)))
    data = np.random.default_rng(0).uniform(0, 1, (120, 3)).astype(np.float32)
    found = account(b.build(), data, encoder=encoder, method="data-norm", steps=8)
    assert "activations" not in found
    assert found["encoder"].exact == found["data-norm"].exact == exact
    difference = found["data-norm"].difference
    assert difference is not None and (difference < 1e-5) == exact


@pytest.mark.parametrize("method", ["calibrated", "data-norm"])
def test_maximum_pooling_states_its_rule_and_its_measured_error(method: str) -> None:
    pooling = account(normed(), IMAGES, steps=8, method=method)["max pooling"]
    assert pooling.exact and "1 by rule cumulative" in pooling.what
    # Sums of a few float32 numbers, divided by 8: rounding of the last bits.
    assert pooling.difference is not None and pooling.difference < 1e-5
    assert "max pooling" not in account(spotter(), PIXELS, steps=8)
    assert "tournament" in account(few(), PIXELS, method="few-spike")["max pooling"].what


def few() -> Model:
    b = GraphBuilder()
    x = b.ann.ReLU(b.ann.Conv2D(b.input("image", [6, 6, 1]), weight=normal(3, 3, 1, 4)))
    x = b.ann.ReLU(b.ann.Conv2D(x, weight=normal(1, 1, 4, 4)))
    x = b.ann.MaxPool2D(b.ann.Conv2D(x, weight=normal(1, 1, 4, 4)), pool_size=[2, 2])
    b.output("y", b.ann.Dense(b.ann.Flatten(x), weight=normal(16, 3)))
    return b.build()


def test_decoders() -> None:
    found = account(spotter(), PIXELS, method="data-norm", steps=8)
    assert found["decoder"].exact and "potentials" in found["decoder"].what
    found = account(spotter(), PIXELS, method="data-norm", steps=8, decoder="spike-count")
    assert not found["decoder"].exact and "1 more layer of" in found["decoder"].what
    b = GraphBuilder()
    b.output("y", b.ann.ReLU(b.ann.ReLU(b.input("x", [3]), name="first"), name="last"))
    assert account(b.build(), normal(120, 3), decoder="spike-count", steps=8)["decoder"].exact


def test_nothing_is_called_exact_that_is_not() -> None:
    found = account(normed(), IMAGES, steps=8)
    assert not found["calibrated"].exact and not found["activations"].exact
    difference = found["calibrated"].difference
    assert difference is not None and difference > 1e-3
    assert found["activations"].difference is None
