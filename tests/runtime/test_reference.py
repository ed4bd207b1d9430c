"""What the reference interpreter guarantees, whatever the operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snnir
from snnir.ir.builder import GraphBuilder
from snnir.ir.graph import Binding, GraphOutput
from snnir.ir.model import Model
from snnir.runtime.reference import ReferenceBackend

EYE = np.eye(2, dtype=np.float32)


def _recurrent(steps: int = 30) -> Model:
    """Exponential synapses, leaky neurons, and feedback that takes three steps."""
    rng = np.random.default_rng(1)
    b = GraphBuilder("recurrent", steps=steps)
    x = b.input("x", [3], timing="per_step")
    drive = b.snn.Dense(x, weight=rng.integers(-8, 24, (3, 5)).astype(np.float32) / 16)
    synapse = b.snn.ExponentialSynapse(drive, decay=0.5, name="synapse")
    cells = b.snn.LIF(synapse, decay=0.875, refractory_steps=1, name="cells")
    back = b.snn.Dense(cells, weight=rng.integers(-16, 16, (5, 5)).astype(np.float32) / 16)
    b.connect(back, "synapse", "x", delay_steps=3)
    b.output("spikes", cells)
    b.output("count", b.snn.SpikeCount(cells))
    return b.build()


def _spikes(samples: int, steps: int = 30) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(2)
    return (rng.random((samples, steps, 3)) < 0.4).astype(np.float32)


def _by_hand(model: Model, spikes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The recurrent network in plain loops, in float64 (its weights are dyadic)."""
    nodes = model.graph.nodes
    w_in = nodes["dense1"].parameters["weight"].numpy().astype(float)
    w_back = nodes["dense2"].parameters["weight"].numpy().astype(float)
    steps = len(spikes)
    out = np.zeros((steps, 5))
    current, v, held = np.zeros(5), np.zeros(5), np.zeros(5, int)
    for t in range(steps):
        arriving = spikes[t] @ w_in
        if t >= 3:
            arriving = arriving + out[t - 3] @ w_back
        for j in range(5):
            total = current[j] + arriving[j]
            current[j] = 0.5 * total
            if held[j]:
                held[j] -= 1
                continue
            v[j] = 0.875 * v[j] + total
            if v[j] >= 1:
                out[t, j] = 1
                v[j] -= 1
                held[j] = 1
    return out


def test_recurrence_delays_and_refractoriness_against_plain_loops() -> None:
    model = _recurrent()
    spikes = _spikes(4)
    found = snnir.run(model, spikes, precision="float64")
    expected = np.stack([_by_hand(model, sample) for sample in spikes])
    assert expected.sum() > 20
    assert np.array_equal(found["spikes"], expected)
    assert np.array_equal(found["count"], expected.sum(1))


def test_every_sample_starts_from_the_initial_state() -> None:
    """Also what is in flight: the same sample gives the same spikes wherever it stands."""
    prepared = ReferenceBackend().prepare(_recurrent())
    spikes = _spikes(6)
    together = prepared.run(spikes)["spikes"]
    alone = np.concatenate([prepared.run(sample[None])["spikes"] for sample in spikes])
    backwards = prepared.run(spikes[::-1])["spikes"][::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)


def test_a_run_does_not_touch_its_inputs() -> None:
    spikes = _spikes(2)
    spikes.flags.writeable = False
    snnir.run(_recurrent(), spikes)


def test_a_delayed_value_is_zero_before_it_exists() -> None:
    b = GraphBuilder(steps=4)
    x = b.input("x", [1], timing="per_step")
    b.output("y", b.snn.Scale(x.delayed(2), scale=1.0))
    found = snnir.run(b.build(), np.arange(1, 5, dtype=np.float32).reshape(1, 4, 1))
    assert found["y"].ravel().tolist() == [0, 0, 1, 2]


def test_a_delay_longer_than_the_presentation_gives_zeros() -> None:
    b = GraphBuilder(steps=3)
    x = b.input("x", [1], timing="per_step")
    b.output("y", b.snn.Scale(x.delayed(100_000), scale=1.0))
    assert not snnir.run(b.build(), np.ones((1, 3, 1)))["y"].any()


def test_ports_add_in_the_order_of_their_bindings() -> None:
    """float32 shows the order: (1 + big) - big is 0, (big - big) + 1 is 1."""
    b = GraphBuilder(steps=1)
    values = [b.input(name, [1], timing="per_step") for name in ("one", "plus", "minus")]
    b.output("first", b.snn.LeakyIntegrator(values))
    b.output("last", b.snn.LeakyIntegrator([values[1], values[2], values[0]]))
    big = np.full((1, 1, 1), 2.0**30)
    found = snnir.run(b.build(), {"one": np.ones((1, 1, 1)), "plus": big, "minus": -big})
    assert (found["first"].item(), found["last"].item()) == (0.0, 1.0)


def test_static_parts_before_and_after_the_presentation() -> None:
    b = GraphBuilder(steps=8)
    x = b.input("x", [2])
    scaled = b.ann.Dense(x, weight=2 * EYE)
    spikes = b.snn.IF(b.snn.ConstantCurrent(scaled))
    b.output("p", b.ann.Softmax(b.snn.SpikeCount(spikes)))
    found = snnir.run(b.build(), np.array([[0.25, 0.125]]))
    counts = np.array([4.0, 2.0])
    expected = np.exp(counts) / np.exp(counts).sum()
    assert np.allclose(found["p"], expected, rtol=1e-6)


def test_a_decoder_cannot_drive_an_encoder() -> None:
    b = GraphBuilder(steps=8)
    x = b.input("x", [2], timing="per_step")
    b.output("y", b.snn.SpikeCount(b.snn.ConstantCurrent(b.snn.SpikeCount(x))))
    findings = snnir.check(b.build())
    assert [finding.code for finding in findings] == ["type.timing"]
    with pytest.raises(snnir.ModelError):
        snnir.run(b.build(), np.zeros((1, 8, 2)))


def test_preprocessing_is_part_of_the_model() -> None:
    b = GraphBuilder()
    x = b.input("x", [2, 2, 1], dtype="uint8", scale=[0.5], offset=-1.0, layout="HWC")
    b.output("y", b.ann.Flatten(x))
    raw = np.array([[[[0], [1]], [[2], [255]]]], np.uint8)
    assert snnir.run(b.build(), raw)["y"].tolist() == [[-1.0, -0.5, 0.0, 126.5]]


def test_symbols_are_bound_by_the_inputs() -> None:
    b = GraphBuilder()
    a, c = b.input("a", ["n", 2]), b.input("c", ["n", 2])
    b.output("y", b.ann.Add([a, c]))
    model = b.build()
    for n in (1, 5):
        assert snnir.run(model, {"a": np.ones((1, n, 2)), "c": np.ones((1, n, 2))})["y"].shape == (
            1,
            n,
            2,
        )
    with pytest.raises(snnir.RunError) as caught:
        snnir.run(model, {"a": np.ones((1, 3, 2)), "c": np.ones((1, 4, 2))})
    assert caught.value.code == "run.input"


def test_recording_any_value() -> None:
    model = _recurrent()
    names = ["cells", "cells:spikes", "cells:v", "synapse:i", "x", "dense1", "count"]
    found = snnir.run(model, _spikes(2), record=names)
    assert np.array_equal(found.recorded["cells"], found["spikes"])
    assert found.recorded["cells:v"].shape == (2, 30, 5)
    assert found.recorded["x"].shape == (2, 30, 3)
    assert found.recorded["count"].shape == (2, 5)
    total = found.recorded["synapse:i"] / np.float32(0.5)
    assert total.shape == (2, 30, 5)


@pytest.mark.parametrize("name", ["nobody", "cells:w", "cells:", ":v", "synapse:cells"])
def test_recording_what_does_not_exist(name: str) -> None:
    with pytest.raises(snnir.RunError) as caught:
        snnir.run(_recurrent(), _spikes(1), record=[name])
    assert caught.value.code == "run.record"


def test_float64_on_request() -> None:
    b = GraphBuilder(steps=3)
    x = b.input("x", [1], timing="per_step")
    b.output("v", b.snn.LeakyIntegrator(x, decay=np.float64(0.1)))
    model = b.build()
    inputs = np.array([[[1.0], [0.0], [0.0]]])
    single, double = (snnir.run(model, inputs, precision=p)["v"] for p in ("float32", "float64"))
    assert single.dtype == np.float32 and double.dtype == np.float64
    assert double[0, 2, 0] == 0.1 * 0.1
    assert single[0, 2, 0] == np.float32(0.1) * np.float32(0.1)
    with pytest.raises(snnir.CapabilityError):
        snnir.run(model, inputs, precision="float16")
    with pytest.raises(snnir.CapabilityError):
        snnir.run(model, inputs, colour="red")


@pytest.mark.parametrize(
    ("inputs", "steps", "code"),
    [
        (np.zeros((1, 30, 4)), None, "run.input"),
        (np.zeros((30, 3)), None, "run.input"),
        (np.zeros((0, 30, 3)), None, "run.input"),
        (np.full((1, 30, 3), np.nan), None, "run.input"),
        (np.full((1, 30, 3), "a"), None, "run.input"),
        (np.zeros((1, 30, 3), complex), None, "run.input"),
        ({"y": np.zeros((1, 30, 3))}, None, "run.input"),
        ({}, None, "run.input"),
        (np.zeros((1, 30, 3)), 29, "run.steps"),
        (np.zeros((1, 30, 3)), 0, "run.steps"),
        (np.zeros((1, 30, 3)), -1, "run.steps"),
        (np.zeros((1, 30, 3)), 2.5, "run.steps"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, steps: Any, code: str) -> None:
    with pytest.raises(snnir.RunError) as caught:
        snnir.run(_recurrent(), inputs, steps=steps)
    assert code in {diagnostic.code for diagnostic in caught.value.diagnostics}


def test_raw_bytes_are_not_read_as_floats() -> None:
    b = GraphBuilder()
    b.output("y", b.ann.Flatten(b.input("x", [2], dtype="uint8", scale=1.0)))
    with pytest.raises(snnir.RunError, match="uint8"):
        snnir.run(b.build(), np.array([[0.5, 300.0]]))


def test_an_invalid_model_does_not_run() -> None:
    model = _recurrent()
    model.graph.nodes["cells"].inputs.append(Binding("current", "nothing:y"))
    model.graph.outputs.append(GraphOutput("more", "nothing:z"))
    with pytest.raises(snnir.ModelError) as caught:
        snnir.run(model, _spikes(1))
    assert [d.code for d in caught.value.diagnostics] == ["graph.dangling-edge"] * 2


def test_a_decoder_window_that_never_opens() -> None:
    b = GraphBuilder(steps=4)
    x = b.input("x", [1], timing="per_step")
    b.output("y", b.snn.SpikeCount(x, start=4))
    with pytest.raises(snnir.RunError) as caught:
        snnir.run(b.build(), np.zeros((1, 4, 1)))
    assert caught.value.code == "run.steps"
    assert snnir.run(b.build(), np.ones((1, 6, 1)))["y"].item() == 2


def test_quantised_weights_stand_for_numbers() -> None:
    from snnir.ir.types import Quantization

    b = GraphBuilder()
    x = b.input("x", [2])
    weight = snnir.Tensor.from_array(
        np.array([[1, -2], [3, 4]], np.int8),
        quantization=Quantization(scale=(0.5, 0.25), bits=8, axis=1),
    )
    b.output("y", b.ann.Dense(x, weight=weight))
    assert snnir.run(b.build(), np.array([[1.0, 1.0]]))["y"].tolist() == [[2.0, 0.5]]
