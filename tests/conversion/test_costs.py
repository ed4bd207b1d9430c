"""Connections are counted by trying: each element alone, through weights of one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.conversion.costs import fan_out, multiply_accumulates
from snnir.errors import SnnirError
from snnir.infer import infer
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model

Array = np.ndarray[Any, Any]


def connections(model: Model, node: str, shape: tuple[int, ...]) -> Array:
    """For each element of the input: how many elements of the output it reaches.

    All weights are one and no two taps of a kernel connect the same pair, so the sum of what an
    element of one gives is the number of its connections.
    """
    alone = np.eye(math.prod(shape), dtype=np.float32).reshape(-1, *shape)
    found = snnir.run(model, alone, record=[node])[node]
    return found.reshape(len(alone), -1).sum(1).reshape(shape)


def single(operator: str, shape: tuple[int, ...], **settings: Any) -> Model:
    b = GraphBuilder()
    b.output("y", b.add(operator, b.input("x", shape), name="node", **settings))
    return b.build()


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """An operator, the shape of its input, its settings with weights of one."""
    rank = draw(st.sampled_from([1, 2]))
    kind = draw(
        st.sampled_from(["Conv", "DepthwiseConv", "ConvTranspose"] if rank == 2 else ["Conv"])
    )
    sizes = draw(st.tuples(*[st.integers(1, 4)] * rank))
    lengths = draw(st.tuples(*[st.integers(1, 9)] * rank))
    groups = draw(st.sampled_from([1, 2])) if kind == "Conv" else 1
    channels = groups * draw(st.integers(1, 2))
    padding = draw(st.sampled_from(["valid", "same", "explicit"]))
    given: dict[str, Any] = {
        "strides": draw(st.tuples(*[st.integers(1, 3)] * rank)),
        "dilations": draw(st.tuples(*[st.integers(1, 2)] * rank)),
        "padding": padding,
    }
    if padding == "explicit":
        given["pads"] = draw(st.tuples(*[st.integers(0, 2)] * (2 * rank)))
    if kind == "Conv":
        given["groups"] = groups
        weight = (*sizes, channels // groups, groups * draw(st.integers(1, 2)))
    elif kind == "DepthwiseConv":
        weight = (*sizes, channels, draw(st.integers(1, 2)))
    else:
        weight = (*sizes, draw(st.integers(1, 2)), channels)
    given["weight"] = np.ones(weight, np.float32)
    return f"ann.{kind}{rank}D", (*lengths, channels), given


@settings(max_examples=150, deadline=None)
@given(convolutions())
def test_every_connection_inside_the_borders_counts(
    case: tuple[str, tuple[int, ...], dict[str, Any]],
) -> None:
    operator, shape, given = case
    try:
        model = single(operator, shape, **given)
    except SnnirError:  # the kernel does not fit
        return
    counts = fan_out(model.graph.nodes["node"], shape)
    assert counts is not None
    np.testing.assert_array_equal(counts, connections(model, "node", shape))
    assert multiply_accumulates(model.graph, infer(model)) == counts.sum()


@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_dense(shape: tuple[int, ...]) -> None:
    model = single("ann.Dense", shape, weight=np.ones((5, 3), np.float32))
    counts = fan_out(model.graph.nodes["node"], shape)
    np.testing.assert_array_equal(counts, connections(model, "node", shape))


def test_sparse() -> None:
    b = GraphBuilder(steps=1)
    x = b.input("x", [3], timing="per_step")
    sparse = b.snn.Sparse(
        x,
        weight=np.ones(3, np.float32),
        indices=np.array([0, 1, 1]),
        row_starts=np.array([0, 2, 2, 3]),
        outputs=2,
        name="node",
    )
    b.output("y", sparse)
    np.testing.assert_array_equal(fan_out(b.build().graph.nodes["node"], (3,)), [2, 0, 1])


def test_what_has_no_weights_costs_nothing() -> None:
    model = single("ann.AveragePool2D", (4, 4, 1), pool_size=[2, 2])
    assert fan_out(model.graph.nodes["node"], (4, 4, 1)) is None
    assert multiply_accumulates(model.graph, infer(model)) == 0
