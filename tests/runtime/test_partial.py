"""Running a part of a graph from values that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir import GraphBuilder
from snnir.infer import infer
from snnir.ir.model import Model
from snnir.runtime.backend import find_backend, state_names
from snnir.runtime.partial import needed_nodes, run_part
from snnir.testing.random_models import random_inputs, random_model

Array = np.ndarray[Any, Any]
STEPS = 6


def network() -> Model:
    """Static and per-step parts, a delay, recurrence, a late start, a decoder and what follows."""
    b = GraphBuilder(steps=STEPS)
    image = b.input("image", [2], dtype="uint8", scale=0.25)
    extra = b.input("extra", [2], timing="per_step")
    static = b.ann.ReLU(image, name="static")
    current = b.snn.ConstantCurrent(static, name="current")
    cells = b.snn.LIF([current, extra.delayed(1)], decay=0.5, name="cells")
    b.connect(cells, "cells", "current", delay_steps=2)
    late = b.snn.LeakyIntegrator(cells.delayed(2), start_step=1, name="late")
    total = b.snn.SumPotential(late, name="total")
    b.output("answer", b.ann.Softmax(total, name="softmax"))
    b.output("trace", late)
    return b.build()


def inputs(samples: int = 3) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 9, (samples, 2)).astype(np.uint8),
        "extra": (rng.integers(-8, 9, (samples, STEPS, 2)) / 8).astype(np.float32),
    }


def names_of(model: Model) -> list[str]:
    states = [f"{node}:{name}" for node, found in state_names(model).items() for name in found]
    return [*infer(model), *states]


def everything(model: Model, arrays: dict[str, Array]) -> dict[str, Array]:
    """All values and states, by the reference."""
    names = names_of(model)
    return snnir.run(model, arrays, record=names).recorded


def part(wanted: list[str], known: dict[str, Array], **options: Any) -> dict[str, Array]:
    model = network()
    return run_part(model, infer(model), wanted, known, **{"steps": STEPS, **options})


# Which nodes are needed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "known", "needed"),
    [
        (["cells:v"], [], ["static", "current", "cells"]),
        (["softmax:y"], ["late:potential"], ["total", "softmax"]),
        (["softmax:y"], ["total:y"], ["softmax"]),
        (["softmax:y"], ["softmax:y"], []),
        (["late:potential", "static:y"], ["cells:spikes"], ["static", "late"]),
        (["cells:v"], ["cells:spikes"], ["static", "current", "cells"]),  # its state is not known
        (["cells:v"], ["cells:spikes", "current:current"], ["cells"]),
        (["image"], [], []),
        ([], [], []),
    ],
)
def test_needed_nodes(wanted: list[str], known: list[str], needed: list[str]) -> None:
    found = needed_nodes(network().graph, wanted, known)
    assert [node.name for node in found] == needed


# Runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "known"),
    [
        (["softmax:y", "late:potential", "late:v"], ["cells:spikes"]),
        (["cells:spikes", "cells:v", "total:sum"], ["current:current"]),
        (["softmax:y"], ["total:y"]),
        (["image", "extra"], []),
        (["image", "softmax:y", "extra"], ["late:potential"]),
        (["total:y", "cells:v"], ["total:y"]),
        ([], []),
    ],
)
def test_wanted_values_are_those_of_the_whole_run(wanted: list[str], known: list[str]) -> None:
    arrays = inputs()
    whole = everything(network(), arrays)
    found = part(wanted, {**arrays, **{name: whole[name] for name in known}})
    assert sorted(found) == sorted(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)
        assert found[name].dtype == whole[name].dtype


def test_inputs_that_are_not_needed_need_not_be_known() -> None:
    whole = everything(network(), inputs())
    found = part(["late:potential"], {"cells:spikes": whole["cells:spikes"]})
    np.testing.assert_array_equal(found["late:potential"], whole["late:potential"])


def test_what_is_known_is_taken_as_it_is() -> None:
    """It need not be what the graph would have computed."""
    made_up = np.ones((1, 4, 2), np.float32)
    found = part(["late:potential", "cells:spikes"], {"cells:spikes": made_up}, steps=4)
    assert found["cells:spikes"] is made_up
    assert found["late:potential"][0, :, 0].tolist() == [0, 0, 1, 2]


def test_the_steps_matter_where_nothing_known_has_any() -> None:
    arrays = inputs()
    found = part(["current:current"], {"image": arrays["image"]}, steps=9)
    assert found["current:current"].shape == (3, 9, 2)


def test_options_are_those_of_the_backend() -> None:
    found = part(["static:y"], inputs(), precision="float64")
    assert found["static:y"].dtype == np.float64


def test_names_that_look_like_those_of_what_is_known() -> None:
    b = GraphBuilder(steps=2)
    x = b.input("given", [1], timing="per_step")
    first = b.snn.IF(x, name="given0")
    b.output("y", b.snn.IF([first, b.snn.Scale(x, scale=0.5, name="given_1")], name="end"))
    model = b.build()
    arrays = {"given": np.ones((1, 2, 1), np.float32)}
    whole = everything(model, arrays)
    known = {**arrays, "given0:spikes": whole["given0:spikes"]}
    found = run_part(model, infer(model), ["end:spikes"], known, steps=2)
    np.testing.assert_array_equal(found["end:spikes"], whole["end:spikes"])


def test_the_model_is_left_alone() -> None:
    model = network()
    digest = snnir.digest(model)
    bindings = list(model.graph.nodes["late"].inputs)
    run_part(model, infer(model), ["total:y"], everything(model, inputs()) | inputs(), steps=STEPS)
    assert snnir.digest(model) == digest and model.graph.nodes["late"].inputs == bindings


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_part_of_any_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, nodes=int(rng.integers(1, 15)), domains=("snn", "ann"))
    arrays = random_inputs(rng, model, samples=2)
    whole = everything(model, arrays)
    values = [name for name in infer(model) if name not in arrays]
    known = {name: whole[name] for name in values if rng.random() < 0.3}
    wanted = [name for name in names_of(model) if rng.random() < 0.4]
    found = run_part(model, infer(model), wanted, {**arrays, **known}, steps=model.time.steps)
    assert sorted(found) == sorted(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


def test_an_unknown_backend() -> None:
    with pytest.raises(snnir.PluginError):
        part(["static:y"], inputs(), backend="abacus")
    assert find_backend("reference").name == "reference"
