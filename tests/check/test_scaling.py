"""Checking, writing and reading take time in proportion to what there is, whatever its form."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import snnir
from snnir import GraphBuilder, Model, Tensor
from snnir.ir.graph import GraphInput, GraphOutput
from snnir.ir.model import Example, Expected
from tests.check.nets import STATIC, array, lif, model, node, scalar, value_type


def chain(size: int) -> Model:
    weight = array(*np.eye(3))
    nodes, last = [], "x"
    for index in range(size // 2):
        nodes.append(node(f"d{index}", "ann.Dense", {"x": last}, weight=weight))
        nodes.append(lif(f"n{index}", f"d{index}:y", (f"n{index}:spikes", 1)))
        last = f"n{index}:spikes"
    return model(*nodes)


def backwards(size: int) -> Model:
    """Nodes in the opposite of the order in which they are evaluated."""
    nodes = [lif(f"n{index}", f"n{index + 1}:spikes") for index in range(size)]
    return model(*nodes, lif(f"n{size}", "x"), outputs={"out": "n0:spikes"})


def ring(size: int) -> Model:
    """One cycle without delay through everything."""
    return model(*(lif(f"n{index}", "x", f"n{(index + 1) % size}:spikes") for index in range(size)))


def rings(size: int) -> Model:
    """Many cycles without delay, each behind the one before."""
    nodes = []
    for index in range(0, size, 2):
        before = f"n{index - 1}:spikes" if index else "x"
        nodes.append(lif(f"n{index}", before, f"n{index + 1}:spikes"))
        nodes.append(lif(f"n{index + 1}", f"n{index}:spikes"))
    return model(*nodes)


def open_ring(size: int) -> Model:
    """One cycle of delayed edges, which leaves all types open."""
    nodes = (lif(f"n{index}", (f"n{(index + 1) % size}:spikes", 1)) for index in range(size))
    return model(*nodes)


def fan_in(size: int) -> Model:
    """A node with very many edges, all but the last of them delayed."""
    return model(lif("n", *(("x", delay + 1) for delay in range(size)), "x"))


def feedback(size: int) -> Model:
    """A node with very many delayed edges from itself, whose type is known by the last edge."""
    return model(lif("n", *(("n:spikes", delay + 1) for delay in range(size)), "x"))


def only_delayed(size: int) -> Model:
    return model(lif("n", *(("x", delay + 1) for delay in range(size))))


def repeated(size: int) -> Model:
    return model(lif("n", *["x"] * size))


def dangling(size: int) -> Model:
    return model(lif("n", "x", *(f"nothing{index}" for index in range(size))))


def fan_out(size: int) -> Model:
    given = model(*(lif(f"n{index}", "x") for index in range(size)))
    given.graph.outputs = [GraphOutput(f"o{i}", f"n{i}:spikes") for i in range(size)]
    return given


def many_inputs(size: int) -> Model:
    """Very many inputs, outputs, and examples that name them all."""
    given = model(inputs={f"x{index}": value_type(timing=STATIC) for index in range(size)})
    given.graph.outputs = [GraphOutput(f"o{index}", f"x{index}") for index in range(size)]
    one = array(1)
    given.examples["e"] = Example(
        {f"x{index}": one for index in range(size)},
        1,
        {f"o{index}": Expected(one) for index in range(size)},
    )
    return given


def many_examples(size: int) -> Model:
    """Very many examples, each of which lacks very many inputs."""
    side = int(size**0.5) * 4
    given = many_inputs(side)
    bad = Example({}, 1, {"o0": Expected(array(1))})
    given.examples.update((f"e{index}", replace(bad)) for index in range(side))
    return given


def foreign(size: int) -> Model:
    """A node with very many ports, attributes, parameters and symbols of its own."""
    entry = node(
        "n",
        "acme.Thing",
        {f"in{index}": "x" for index in range(size)},
        " ".join(f"out{index}" for index in range(size)),
        **{f"a{index}": index for index in range(size)},
        **{f"p{index}": scalar(index) for index in range(size)},
    )
    entry.output_types = tuple(value_type(f"s{index}") for index in range(size))
    return model(entry, opsets={"acme": 1})


def one_blob(size: int) -> Model:
    """Very many parameters that share their bytes."""
    shared = Tensor.from_array(np.zeros(5000, np.float32))
    entry = node("n", "acme.Thing", {"a": "x"}, **{f"p{index}": shared for index in range(size)})
    return model(entry, opsets={"acme": 1})


def twins(size: int) -> Model:
    """Very many tensors that start and end alike."""
    arrays = np.zeros((size // 10, 1200), np.float32)
    arrays[:, 600] = np.arange(len(arrays))
    parameters = {f"p{index}": Tensor.from_array(values) for index, values in enumerate(arrays)}
    return model(node("n", "acme.Thing", {"a": "x"}, **parameters), opsets={"acme": 1})


FORMS: list[Callable[[int], Model]] = [
    chain,
    backwards,
    ring,
    rings,
    open_ring,
    fan_in,
    feedback,
    only_delayed,
    repeated,
    dangling,
    fan_out,
    many_inputs,
    many_examples,
    foreign,
    one_blob,
    twins,
]


def seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """The best of a few: what else goes on can only add."""
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def ratio(
    work: Callable[[Model], object],
    form: Callable[[int], Model],
    size: int,
    times: int = 4,
    repeats: int = 3,
) -> float:
    small, large = form(size), form(times * size)
    before = seconds(lambda: work(small), repeats)
    return seconds(lambda: work(large), repeats) / max(before, 1e-3)


LINEAR = 4 * 2.0
"""For four times as much; quadratic would be 16."""


def try_infer(given: Model) -> None:
    with contextlib.suppress(snnir.ModelError):
        snnir.infer(given)


def round_trip(given: Model) -> None:
    with contextlib.suppress(snnir.ModelError):
        snnir.loads(snnir.to_bytes(given))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("work", [snnir.check, round_trip, snnir.digest])
def test_time_is_linear(work: Callable[[Model], object], form: Callable[[int], Model]) -> None:
    for size in (800, 3000):  # again with more, where the first was disturbed
        found = ratio(work, form, size)
        if found < LINEAR:
            return
    assert found < LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_checking_20000_takes_twice_as_long_as_10000(form: Callable[[int], Model]) -> None:
    for work in (snnir.check, try_infer, round_trip):
        assert ratio(work, form, 10_000, times=2) < 2.7


@pytest.mark.slow
@pytest.mark.parametrize("form", [fan_in, feedback, only_delayed, repeated, dangling])
def test_a_node_of_50000_edges(form: Callable[[int], Model]) -> None:
    given = form(50_000)
    assert seconds(lambda: snnir.check(given), 1) < 10
    assert seconds(lambda: round_trip(given), 1) < 10


def build(size: int) -> Model:
    b = GraphBuilder()
    x = b.input("x", [3], timing="per_step")
    value = x
    for index in range(size):
        value = b.snn.LIF([value, x.delayed(index + 1)], decay=0.5)
    b.snn.LIF([x.delayed(index) for index in range(size)], decay=0.5, name="last")
    for index in range(size):
        b.connect(x, "last", "current", delay_steps=size + index)
    b.output("out", value)
    return b.build()


def test_building_is_linear() -> None:
    for size in (500, 2000):
        found = seconds(partial(build, 4 * size)) / seconds(partial(build, size))
        if found < LINEAR:
            return
    assert found < LINEAR


def test_the_forms_are_what_they_say() -> None:
    for form in FORMS:
        assert isinstance(form(50), Model)
    found = [f.code for f in snnir.check(rings(50))]
    assert found == ["graph.undelayed-cycle"] * 25
    assert len(only_delayed(7).graph.nodes["n"].inputs) == 7
    assert isinstance(many_inputs(3).graph.inputs[2], GraphInput)
