"""Random models: valid, repeatable, and exact where they say so."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.ir.model import Model
from snnir.ops import registry
from snnir.testing.random_models import random_inputs, random_model

DOMAINS = ("snn", "ann")
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(0, 16)

quick = settings(deadline=None, max_examples=60)


def make(seed: int, nodes: int, *, dyadic: bool = True) -> tuple[Model, np.random.Generator]:
    rng = np.random.default_rng(seed)
    domains = DOMAINS if seed % 2 else DOMAINS[:1]
    return random_model(rng, nodes=nodes, dyadic=dyadic, domains=domains), rng


@quick
@given(SEEDS, SIZES, st.booleans())
def test_random_models_are_valid(seed: int, nodes: int, dyadic: bool) -> None:
    model, _ = make(seed, nodes, dyadic=dyadic)
    assert snnir.check(model) == []
    assert len(model.graph.nodes) == nodes


@quick
@given(SEEDS, SIZES, st.booleans())
def test_equal_seeds_give_equal_models(seed: int, nodes: int, dyadic: bool) -> None:
    first, rng = make(seed, nodes, dyadic=dyadic)
    second, again = make(seed, nodes, dyadic=dyadic)
    assert first == second
    assert snnir.to_bytes(first) == snnir.to_bytes(second)
    fed, fed_again = (random_inputs(r, first, samples=2) for r in (rng, again))
    assert all(np.array_equal(fed[name], fed_again[name]) for name in fed)


@quick
@given(SEEDS, SIZES, st.booleans())
def test_random_models_survive_the_file(seed: int, nodes: int, dyadic: bool) -> None:
    model, _ = make(seed, nodes, dyadic=dyadic)
    data = snnir.to_bytes(model)
    assert snnir.loads(data) == model
    assert snnir.to_bytes(snnir.loads(data)) == data


@quick
@given(SEEDS, SIZES)
def test_samples_do_not_see_each_other(seed: int, nodes: int) -> None:
    model, rng = make(seed, nodes)
    inputs = random_inputs(rng, model, samples=4)
    together = snnir.run(model, inputs).outputs
    for sample in range(4):
        alone = snnir.run(model, {k: a[sample : sample + 1] for k, a in inputs.items()}).outputs
        for name, array in together.items():
            assert np.array_equal(alone[name], array[sample : sample + 1]), name


@quick
@given(SEEDS, SIZES)
def test_dyadic_models_need_no_more_than_float32(seed: int, nodes: int) -> None:
    model, rng = make(seed, nodes)
    inputs = random_inputs(rng, model, samples=2)
    single = snnir.run(model, inputs).outputs
    double = snnir.run(model, inputs, precision="float64").outputs
    for name, array in single.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, double[name]), name


@quick
@given(SEEDS, SIZES)
def test_the_past_does_not_depend_on_the_future(seed: int, nodes: int) -> None:
    model, rng = make(seed, nodes)
    steps = model.time.steps
    inputs = random_inputs(rng, model, samples=2)
    if not any(entry.type.is_per_step for entry in model.graph.inputs) or steps < 2:
        return
    per_step = {entry.name for entry in model.graph.inputs if entry.type.is_per_step}
    types = snnir.infer(model)
    changed = {k: a.copy() for k, a in inputs.items()}
    for name in per_step:
        changed[name][:, steps - 1] += 0.5
    before, after = snnir.run(model, inputs).outputs, snnir.run(model, changed).outputs
    for output in model.graph.outputs:
        if types[output.value].is_per_step:
            found = before[output.name][:, :-1], after[output.name][:, :-1]
            assert np.array_equal(*found), output.name


@quick
@given(SEEDS, SIZES)
def test_other_models_stay_finite(seed: int, nodes: int) -> None:
    model, rng = make(seed, nodes, dyadic=False)
    outputs = snnir.run(model, random_inputs(rng, model, samples=2)).outputs
    assert all(np.isfinite(array).all() for array in outputs.values())


def test_every_operator_is_used() -> None:
    used: Counter[str] = Counter()
    features: Counter[str] = Counter()
    for seed in range(250):
        rng = np.random.default_rng(seed)
        model = random_model(rng, nodes=14, dyadic=seed % 2 == 0, domains=DOMAINS)
        nodes = model.graph.nodes.values()
        used.update(node.op for node in nodes)
        names = list(model.graph.nodes)
        for place, node in enumerate(nodes):
            for binding in node.inputs:
                source = binding.source.partition(":")[0]
                features["delay"] += binding.delay_steps > 0
                features["longer than the presentation"] += binding.delay_steps > model.time.steps
                features["backwards"] += source in names[place:]
                features["itself"] += source == node.name
            features["several edges"] += len(node.inputs) > 1
            features["quantised"] += any(t.quantization for t in node.parameters.values())
        features["integers"] += any(not e.type.dtype.is_float for e in model.graph.inputs)
        features["labels"] += any(output.labels for output in model.graph.outputs)
    declared = {opdef.op for name in DOMAINS for opdef in registry.domain(name) or ()}
    assert not declared - set(used)
    assert min(features.values()) > 5, features


def test_some_models_spike() -> None:
    spikes = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        model = random_model(rng, nodes=10)
        populations = [n.name for n in model.graph.nodes.values() if "spikes" in n.outputs]
        found = snnir.run(model, random_inputs(rng, model, samples=2), record=populations)
        spikes += sum(int(np.count_nonzero(array)) for array in found.recorded.values())
    assert spikes > 1000


def test_without_recurrence_there_is_none() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        model = random_model(rng, nodes=12, recurrent=False)
        seen = {entry.name for entry in model.graph.inputs}
        for node in model.graph.nodes.values():
            assert all(binding.source in seen for binding in node.inputs)
            seen.update(node.values())


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="no operator"):
        random_model(np.random.default_rng(0), nodes=3, domains=())
    with pytest.raises(ValueError, match="no operator"):
        random_model(np.random.default_rng(0), nodes=3, domains=("unheard_of",))
    assert random_model(np.random.default_rng(0), nodes=0, domains=()).graph.nodes == {}
