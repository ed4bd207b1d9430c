"""Networks from recipes: what they are, and what they refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.errors import ModelError
from snnir.ir.digest import digest
from snnir.recipes import DECODERS, RECIPES, build

SIZES: dict[str, Any] = {"inputs": 30, "hidden": 40, "outputs": 5}


def spikes(model: snnir.Model, rate: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (4, model.time.steps, *model.graph.inputs[0].type.shape)
    return (rng.random(shape) < rate).astype(np.float32)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gives_a_valid_network_that_is_alive(name: str) -> None:
    """Fresh weights neither leave it silent nor make it fire all the time: both are untrainable."""
    model = build(name, **SIZES)
    assert snnir.check(model) == []
    recording = snnir.run(model, spikes(model), record=["hidden1"])
    rate = np.mean(recording["hidden1"])
    assert 0.001 < rate < 0.5
    answer = recording["class"]
    assert answer.shape == (4, 5) and np.ptp(answer) > 0
    (output,) = model.graph.outputs
    assert output.labels == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("name", RECIPES)
def test_the_seed_decides(name: str) -> None:
    first, again, other = (digest(build(name, **SIZES, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("name", RECIPES)
def test_a_network_survives_its_file_and_says_how_it_was_made(name: str) -> None:
    model = build(name, **SIZES)
    back = snnir.loads(snnir.to_bytes(model))
    assert digest(back) == digest(model)
    made = json.loads(back.metadata["snnir.recipe"])
    options = {key: value for key, value in made.items() if key != "recipe"}
    assert digest(build(made["recipe"], **SIZES, **options)) == digest(model)


def node_attributes(model: snnir.Model, name: str) -> dict[str, Any]:
    node = model.graph.nodes[name]
    numbers = {key: tensor.numpy() for key, tensor in node.parameters.items()}
    return {**node.attributes, **numbers}


def test_time_constants_become_factors() -> None:
    options = {"dt": 2e-3, "tau_mem": 0.03, "tau_syn": 0.01, "tau_out": 0.05}
    model = build("rsnn", **SIZES, **options)
    hidden, output = node_attributes(model, "hidden1"), node_attributes(model, "output")
    assert hidden["decay"] == np.float32(math.exp(-2 / 30))
    assert hidden["gain"] == 1 - hidden["decay"]
    assert output["decay"] == np.float32(math.exp(-2 / 50))
    assert node_attributes(model, "hidden1_synapse")["decay"] == np.float32(math.exp(-0.2))
    assert model.time.dt == 2e-3
    assert "gain" not in node_attributes(build("rsnn", **SIZES, gain="one"), "hidden1")


def test_weights_have_the_scale_of_their_source() -> None:
    """Standard deviations of normal draws, within 5 of their standard errors (sd / sqrt(2 n))."""
    model = build("rsnn", inputs=100, hidden=225, outputs=50, input_mean=0.5, output_sd=0.07)
    expected = {
        "hidden1_in": (0.5, 2.5 / 10),
        "hidden1_recurrent": (0.0, 1.5 / 15),
        "output_in": (0.0, 0.07),
    }
    for name, (mean, sd) in expected.items():
        weight = model.graph.nodes[name].parameters["weight"].numpy()
        assert abs(weight.std() - sd) < 5 * sd / math.sqrt(2 * weight.size)
        assert abs(weight.mean() - mean) < 5 * sd / math.sqrt(weight.size)


def test_recurrent_spikes_arrive_a_step_later() -> None:
    """Closed form of one neuron with a synapse onto itself."""
    model = build("rsnn", inputs=1, hidden=1, outputs=1, tau_syn=0, gain="one", reset="subtract")
    nodes = model.graph.nodes
    for name, value in (("hidden1_in", 1.5), ("hidden1_recurrent", 0.75)):
        nodes[name].parameters["weight"] = snnir.Tensor.from_array(np.array([[value]], "f4"))
    nodes["hidden1"].parameters["decay"] = snnir.Tensor.from_array(np.float32(0.5))
    x = np.zeros((1, 5, 1), np.float32)
    x[0, 1] = 1
    recording = snnir.run(model, x, record=["hidden1", "hidden1:v"])
    # u = 1.5 in step 1: a spike, 0.5 left; step 2: 0.25 + 0.75 = 1: a spike, 0 left; step 3: 0.75.
    assert recording["hidden1"][0, :, 0].tolist() == [0, 1, 1, 0, 0]
    assert recording["hidden1:v"][0, :, 0].tolist() == [0, 0.5, 0, 0.75, 0.375]


def test_delays_are_drawn_from_all_that_are_allowed() -> None:
    model = build("delays", **SIZES, max_delay_steps=3)
    for name in ("hidden1_in", "hidden1_recurrent"):
        delays = model.graph.nodes[name].parameters["delay_steps"].numpy()
        assert sorted(set(delays.flat)) == [0, 1, 2, 3]


def test_layers_inputs_and_labels() -> None:
    model = build("two-layer", inputs=(5, 6), hidden=(7, 8), outputs=2, labels=["no", "yes"])
    assert snnir.check(model) == []
    shapes = {
        name: node.parameters["weight"].shape
        for name, node in model.graph.nodes.items()
        if "weight" in node.parameters
    }
    assert shapes == {"hidden1_in": (30, 7), "hidden2_in": (7, 8), "output_in": (8, 2)}
    assert model.graph.inputs[0].type.shape == (5, 6)
    assert model.graph.outputs[0].labels == ("no", "yes")


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_decodes(decoder: str) -> None:
    model = build("feed-forward", **SIZES, decoder=decoder)
    assert snnir.check(model) == []
    assert model.graph.nodes["decoder"].op == f"snn.{DECODERS[decoder]}"  # type: ignore[index]


def test_adaptation_raises_the_threshold() -> None:
    adapting, rigid = (
        build("alif", **SIZES, adaptation_strength=strength, steps=60) for strength in (1.0, 0.0)
    )
    x = spikes(adapting, 0.5)
    counts = [snnir.run(m, x, record=["hidden1"])["hidden1"].sum() for m in (adapting, rigid)]
    assert 0 < counts[0] < counts[1]


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ModelError) as caught:
        build(
            "rsnn",
            inputs=0,
            hidden=[4, 5],
            outputs=3,
            labels=["a"],
            dt=0.0,
            steps=2.5,
            tau_syn=-1,
            threshold=float("nan"),
            reset="none",
            tau_adapt=1.0,
            nonsense=1,
        )
    places = [finding.where.rpartition(", ")[2] for finding in caught.value.diagnostics]
    assert places == [
        *("inputs", "hidden", "labels", "dt", "steps", "tau_syn", "threshold", "reset"),
        *("tau_adapt", "nonsense"),
    ]
    assert {finding.code for finding in caught.value.diagnostics} == {"recipe.option"}


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": []},
        {"hidden": 2.0},
        {"outputs": True},
        {"inputs": (3, 0)},
        {"steps": 2**40},
        {"max_delay_steps": 2**40},
        {"seed": -1},
        {"input_sd": -0.1},
        {"input_mean": float("inf")},
    ],
    ids=str,
)
def test_what_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"\[recipe.option\]"):
        build("delays", **{**SIZES, **change})


def test_an_unknown_recipe() -> None:
    with pytest.raises(ModelError, match="feed-forward, two-layer, rsnn, alif, delays"):
        build("transformer", **SIZES)
