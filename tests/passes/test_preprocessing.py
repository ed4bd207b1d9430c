"""Preprocessing moves into the input, and the network stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.errors import ModelError
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.ir.types import DType
from snnir.passes.preprocessing import take_preprocessing, with_preprocessing

CHANNELS = 3
numbers = st.lists(st.floats(-4, 4, width=32), min_size=CHANNELS, max_size=CHANNELS)


def layer(b: Any, x: Any, kind: str, first: list[float], second: list[float]) -> Any:
    if kind == "Rescale":
        return b.ann.Rescale(x, scale=np.array(first, "f4"), offset=np.array(second, "f4"))
    variance = np.abs(np.array(second, "f4"))
    return b.ann.Normalize(x, mean=np.array(first, "f4"), variance=variance + np.float32(0.1))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["Rescale", "Normalize"]), numbers, numbers), max_size=3),
    st.booleans(),
)
def test_the_answers_stay(layers: list[tuple[str, list[float], list[float]]], own: bool) -> None:
    b = GraphBuilder()
    x: Any = b.input("x", [2, CHANNELS], scale=0.5 if own else None, offset=1.0 if own else None)
    for entry in layers:
        x = layer(b, x, *entry)
    b.output("y", b.ann.Dense(x, weight=np.eye(CHANNELS, dtype=np.float32)))
    model = b.build()
    before = snnir.digest(model)
    moved, gone = take_preprocessing(model)
    assert snnir.digest(model) == before
    assert len(gone) == len(layers) and list(moved.graph.nodes) == ["dense1"]
    assert snnir.check(moved) == []
    data = np.random.default_rng(0).normal(0, 1, (5, 2, CHANNELS)).astype(np.float32)
    expected = snnir.run(model, data, precision="float64")["y"]
    # float32 rounding of the numbers, relative to the largest intermediate value
    bound = 1e-5 * 15.0 ** len(layers)
    np.testing.assert_allclose(snnir.run(moved, data)["y"], expected, atol=bound, rtol=1e-5)


def test_one_rescaling_is_the_same_to_the_last_bit() -> None:
    b = GraphBuilder()
    x = b.ann.Rescale(b.input("x", [4]), scale=1 / 127.5, offset=-1.0)
    b.output("y", b.ann.ReLU(x))
    model = b.build()
    data = np.random.default_rng(0).uniform(0, 255, (99, 4)).astype(np.float32)
    moved, _ = take_preprocessing(model)
    np.testing.assert_array_equal(snnir.run(moved, data)["y"], snnir.run(model, data)["y"])


def stays(build: Any) -> None:
    b = GraphBuilder()
    build(b)
    model = b.build()
    assert take_preprocessing(model) == (model, [])


def test_what_must_stay() -> None:
    def used_twice(b: Any) -> None:
        x = b.input("x", [2])
        b.output("y", b.ann.Add([b.ann.Rescale(x, scale=2.0), x]))

    def put_out(b: Any) -> None:
        x = b.input("x", [2])
        b.output("x", x)
        b.output("y", b.ann.Rescale(x, scale=2.0))

    def later(b: Any) -> None:
        b.output("y", b.ann.Rescale(b.ann.ReLU(b.input("x", [2])), scale=2.0))

    stays(used_twice)
    stays(later)
    stays(put_out)


def plain() -> Model:
    b = GraphBuilder()
    b.output("y", b.ann.ReLU(b.input("x", [2, 3])))
    return b.build()


@pytest.mark.parametrize(
    ("scale", "offset"), [(0.5, None), (None, 1.0), ([1, 2, 3], [0.5, 0, 0]), (2, [[1], [2]])]
)
def test_preprocessing_that_is_asked_for(scale: Any, offset: Any) -> None:
    data = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    expected = data * np.asarray(1.0 if scale is None else scale)
    expected = np.maximum(expected + (0 if offset is None else np.asarray(offset)), 0)
    for dtype in (None, DType.UINT8):
        model = with_preprocessing(plain(), scale, offset, dtype)
        assert snnir.check(model) == []
        np.testing.assert_allclose(snnir.run(model, data)["y"], expected)


def test_it_comes_before_the_networks_own() -> None:
    b = GraphBuilder()
    x = b.input("x", [2], scale=2.0, offset=1.0)
    b.output("y", b.ann.ReLU(x))
    model = with_preprocessing(b.build(), 10.0, 3.0)
    np.testing.assert_allclose(snnir.run(model, [[1.0, 2.0]])["y"], [[27.0, 47.0]])


@pytest.mark.parametrize(
    ("scale", "code"),
    [
        ([1, 2], "type.shape"),
        (np.ones((1, 2, 3)), "type.shape"),
        (np.inf, "value.not-finite"),
        ("1/255", "type.dtype"),
        ([[1], [1, 2]], "type.dtype"),
    ],
)
def test_numbers_that_do_not_fit(scale: Any, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        with_preprocessing(plain(), scale, scale)
    assert [finding.code for finding in caught.value.diagnostics] == [code, code]
