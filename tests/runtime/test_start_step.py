"""Nodes that start late: what every backend and every reader of a model makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.errors import CapabilityError, ModelError, RunError
from snnir.ir.builder import GraphBuilder
from snnir.ir.diff import diff
from snnir.ir.digest import digest
from snnir.ir.graph import Binding, Node
from snnir.ir.model import Model
from snnir.passes.canonicalise import canonicalise
from snnir.passes.loihi2 import lower_to_loihi2
from snnir.passes.quantise import quantise
from snnir.runtime.backend import find_backend, state_names
from snnir.testing.random_models import random_inputs, random_model
from tests.passes.test_quantise import recurrent, spikes

BACKENDS = ("reference", "layerwise")


def started(model: Model, starts: dict[str, int]) -> Model:
    """The model whose nodes start at other steps."""
    nodes = {
        name: replace(node, attributes={**node.attributes, "start_step": starts[name]})
        if name in starts
        else node
        for name, node in model.graph.nodes.items()
    }
    return replace(model, graph=replace(model.graph, nodes=nodes))


def in_time(model: Model) -> list[Node]:
    """The nodes that have a part in the steps of a presentation."""
    types = snnir.infer(model)
    return [
        node
        for node in model.graph.nodes.values()
        if any(types[v].is_per_step for v in (*node.values(), *(b.source for b in node.inputs)))
    ]


@pytest.mark.parametrize("seed", range(15))
def test_backends_agree_whatever_starts_when(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, nodes=14, recurrent=False)
    late = {node.name: int(rng.integers(0, 4)) for node in in_time(model)}
    model = started(model, {name: start for name, start in late.items() if rng.random() < 0.5})
    steps = model.time.steps + 12  # no window of a decoder is empty
    inputs = random_inputs(rng, model, samples=3, steps=steps)
    names = [value for node in model.graph.nodes.values() for value in node.values()]
    states = [f"{name}:{state}" for name, own in state_names(model).items() for state in own]
    names += [name for name in states if name not in names]
    expected, found = (
        find_backend(backend).prepare(model).run(inputs, steps=steps, record=names)
        for backend in BACKENDS
    )
    for name in names:
        # Longer than the steps for which sums are exact in any order: float32 rounding differs.
        assert np.allclose(found[name], expected[name], rtol=1e-5, atol=1e-4), name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(15))
def test_if_all_start_late_all_is_as_before_but_later(seed: int, backend: str) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, nodes=12)
    late = started(
        model,
        {n.name: int(n.attributes.get("start_step", 0)) + 3 for n in in_time(model)},  # type: ignore[arg-type]
    )
    steps = model.time.steps
    inputs = random_inputs(rng, model, samples=2)
    behind_zeros = {
        entry.name: np.concatenate([np.ones_like(array[:, :1]).repeat(3, axis=1), array], axis=1)
        if entry.type.is_per_step
        else array
        for entry in model.graph.inputs
        for array in [inputs[entry.name]]
    }
    # What arrives early is lost, except through delays from inputs: none must bring it.
    for node in late.graph.nodes.values():
        if any(b.delay_steps and b.source in behind_zeros for b in node.inputs):
            for array in behind_zeros.values():
                if array.shape[1:2] == (steps + 3,):
                    array[:, :3] = 0
    types = snnir.infer(model)
    names = [value for node in model.graph.nodes.values() for value in node.values()]
    expected = find_backend(backend).prepare(model).run(inputs, steps=steps, record=names)
    found = find_backend(backend).prepare(late).run(behind_zeros, steps=steps + 3, record=names)
    for name in names:
        array = found[name]
        if types[name].is_per_step:
            assert not array[:, :3].any(), name
            array = array[:, 3:]
        assert np.array_equal(array, expected[name]), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_decoder_that_never_starts(backend: str) -> None:
    b = GraphBuilder(steps=5)
    x = b.input("x", [1], timing="per_step")
    b.output("y", b.snn.SumPotential(x, start=1, start_step=4, name="sum"))
    prepared = find_backend(backend).prepare(b.build())
    for steps in (2, 5):
        with pytest.raises(RunError) as caught:
            prepared.run(np.ones((1, steps, 1)))
        (finding,) = caught.value.diagnostics
        assert finding.code == "run.steps" and "'sum'" in finding.where
        assert "from step 4 on" in finding.found and "more than 5 in all" in finding.allowed
    assert prepared.run(np.ones((1, 6, 1)))["y"].item() == 1


def one_node(**attributes: Any) -> Model:
    b = GraphBuilder(steps=4)
    b.output("y", b.snn.IF(b.input("x", [2], timing="per_step"), name="n", **attributes))
    return b.build()


@pytest.mark.parametrize("value", [-1, 1.5, True, "2", 1 << 63])
def test_values_that_are_no_steps(value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        one_node(start_step=value)
    (finding,) = caught.value.diagnostics
    assert finding.code == "op.attribute" and "attribute 'start_step'" in finding.where


def test_what_is_static_cannot_start_late() -> None:
    b = GraphBuilder()
    x = b.input("x", [2])
    with pytest.raises(ModelError, match=r"op\.attribute.*start_step.*static"):
        b.ann.ReLU(x, start_step=1)
    b.output("y", b.ann.ReLU(x, start_step=0))
    b.output("z", b.snn.SumPotential(b.snn.ConstantCurrent(x, start_step=2), start_step=1))
    assert snnir.check(b.build()) == []


def test_a_default_that_is_stored_means_the_same_as_none() -> None:
    assert digest(one_node(start_step=0)) == digest(one_node())
    assert not diff(one_node(start_step=0), one_node())
    assert digest(one_node(start_step=1)) != digest(one_node())
    assert "attribute 'start_step'" in str(diff(one_node(start_step=1), one_node()))


def test_also_for_operators_that_are_not_installed() -> None:
    def foreign(**attributes: Any) -> Model:
        model = one_node()
        types = (snnir.infer(model)["n:spikes"],)
        model.graph.nodes["n"] = Node(
            "n", "acme.Cell", [Binding("x", "x")], ("spikes",), attributes, {}, types
        )
        return replace(model, opsets={"acme": 1})

    assert digest(foreign(start_step=0)) == digest(foreign())
    assert not diff(foreign(start_step=0), foreign())
    assert digest(foreign(start_step=2)) != digest(foreign())


def test_the_file_keeps_it(tmp_path: Any) -> None:
    model = one_node(start_step=3)
    snnir.save(model, tmp_path / "model.snnir")
    again = snnir.load(tmp_path / "model.snnir")
    assert again.graph.nodes["n"].attributes == {"start_step": 3}
    assert digest(again) == digest(model)


def test_quantising_keeps_it() -> None:
    model = started(recurrent(), {"into": 1, "cells": 2, "readout": 2, "meanpotential1": 1})
    quantised, _ = quantise(model)
    for name, node in model.graph.nodes.items():
        start = quantised.graph.nodes[name].attributes.get("start_step")
        assert start == node.attributes.get("start_step")


def test_what_cannot_carry_it_over_refuses() -> None:
    names = ("into", "back", "synapse", "cells", "meanpotential1")
    model = started(recurrent(), dict.fromkeys(names, 1))
    quantised, _ = quantise(model)
    with pytest.raises(CapabilityError) as caught:
        lower_to_loihi2(quantised, {"x": spikes()})
    found = [d.where for d in caught.value.diagnostics if d.code == "convert.start-step"]
    assert sorted(where.split("'")[1] for where in found) == sorted(names)

    b = GraphBuilder()
    x = b.input("x", [2], timing="per_step")
    b.output("y", b.ann.ReLU(b.ann.Dropout(x, start_step=2), start_step=1))
    with pytest.raises(CapabilityError) as caught:
        canonicalise(b.build())
    assert [d.code for d in caught.value.diagnostics] == ["convert.start-step"] * 2
