"""What is measured is what the runtime does."""

from __future__ import annotations

import numpy as np
import pytest

import snnir
from snnir.conversion.measure import Meter, Readout, bound_types, wilson_interval
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.passes.canonicalise import canonicalise
from snnir.passes.rate import RateOptions, lower_to_rates
from snnir.runtime.backend import find_backend
from tests.passes.nets import branched, samples

STEPS = 12


def spiking(decoder: str = "potential", encoder: str = "constant") -> Model:
    options = RateOptions(STEPS, decoder=decoder, encoder=encoder)  # type: ignore[arg-type]
    return lower_to_rates(canonicalise(branched()), {"x": samples(24)}, options)[0]


@pytest.mark.parametrize("decoder", ["potential", "spike-count"])
@pytest.mark.parametrize("encoder", ["constant", "poisson"])
def test_an_early_answer_is_that_of_a_shorter_presentation(decoder: str, encoder: str) -> None:
    model, x = spiking(decoder, encoder), samples(5)
    meter = Meter(model, {"x": x}, lengths=[1, 3, 8])
    found = meter.run({"x": x})
    assert list(found) == [1, 3, 8, STEPS]
    prepared = find_backend("layerwise").prepare(model)
    for steps, outputs in found.items():
        expected = prepared.run(x, steps=steps).outputs
        # Float sums of a shorter batch may differ in the last bits.
        np.testing.assert_allclose(outputs["class"], expected["class"], rtol=1e-5, atol=1e-6)


def test_a_decoder_that_is_not_there_yet_says_nothing() -> None:
    b = GraphBuilder(steps=6)
    x = b.snn.ConstantCurrent(b.input("x", [2]))
    b.output("y", b.snn.MeanPotential(x, start=3))
    model, arrays = b.build(), {"x": np.ones((1, 2), np.float32)}
    assert list(Meter(model, arrays, lengths=[1, 2, 4]).run(arrays)) == [4, 6]


def test_a_model_without_decoders_has_no_early_answers() -> None:
    model = branched()
    readout = Readout(model, bound_types(model, {"x": samples(1)}))
    assert readout.after({}, 1) == {}


def test_spikes_and_operations_are_those_of_the_recording() -> None:
    """Counted here by running the synapses on spikes of one and weights of one."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("counting", steps=STEPS)
    x = b.snn.ConstantCurrent(b.input("x", [6, 6, 2]))
    cells = b.snn.IF(x, name="cells", negative_threshold=1.0)
    conv = b.snn.Conv2D(
        cells, weight=rng.normal(0, 1, (3, 3, 2, 4)), strides=[2, 2], padding="same", name="conv"
    )
    more = b.snn.IF(conv, name="more")
    b.output("y", b.snn.MeanPotential(b.snn.Dense(b.snn.Flatten(more), weight=np.ones((36, 5)))))
    model = b.build()
    x = rng.normal(0, 0.7, (7, 6, 6, 2)).astype(np.float32)
    meter = Meter(model, {"x": x})
    for start in (0, 3):
        meter.run({"x": x[start : start + (3 if not start else 4)]})
    recorded = snnir.run(model, x, record=["cells", "more"]).recorded
    activity = meter.activity
    assert (activity.samples, activity.steps) == (7, STEPS)
    assert activity.neurons == {"cells": 72, "more": 36}
    for name, spikes in recorded.items():
        assert activity.spikes[name] == np.abs(spikes).sum()
        assert activity.rate(name) == pytest.approx(np.abs(spikes).mean())
    assert (recorded["cells"] < 0).any()
    node = model.graph.nodes["conv"]
    node.parameters["weight"] = snnir.Tensor.from_array(np.ones((3, 3, 2, 4), np.float32))
    b = GraphBuilder()
    ones = b.ann.Conv2D(
        b.input("x", [6, 6, 2]), weight=np.ones((3, 3, 2, 4)), strides=[2, 2], padding="same"
    )
    b.output("y", ones)
    arriving = np.abs(recorded["cells"]).reshape(-1, 6, 6, 2)
    assert activity.operations["conv"] == snnir.run(b.build(), arriving)["y"].sum()
    dense = next(name for name in activity.operations if name != "conv")
    assert activity.operations[dense] == 5 * recorded["more"].sum()


@pytest.mark.parametrize(("right", "count"), [(0, 5), (5, 5), (1, 3), (9819, 10000), (50, 100)])
def test_the_interval_is_scipys(right: int, count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, count) == pytest.approx((expected.low, expected.high))
