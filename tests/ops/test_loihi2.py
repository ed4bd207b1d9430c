"""Domain loihi2: ranges, exact fast paths, time. Values are in the conformance vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.errors import ModelError
from snnir.ir.builder import GraphBuilder
from snnir.ir.tensor import Tensor
from snnir.ops.loihi2.synapses import EXACT, Product
from snnir.runtime.backend import find_backend
from tests.conformance import scalar_loihi2 as scalar

Array = np.ndarray[Any, Any]


def neurons(**changed: Any) -> snnir.Model:
    """A model of one CubaLIF, whatever its parameters."""
    b = GraphBuilder(steps=3)
    a_in = b.input("x", [2], timing="per_step", dtype="int32")
    fine = {"i_decay": np.int32(1), "v_decay": np.int32(1), "threshold": np.int32(5)}
    b.output("y", b.loihi2.CubaLIF(a_in, name="cells", **fine))
    model = b.build()
    for name, value in changed.items():
        if name == "bias_exp":
            model.graph.nodes["cells"].attributes[name] = value
        else:
            model.graph.nodes["cells"].parameters[name] = Tensor.from_array(np.int32(value))
    return model


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("i_decay", 0, 4096),
        ("v_decay", 0, 4096),
        ("threshold", 0, 131071),
        ("bias", -4096, 4095),
        ("bias_exp", 0, 7),
    ],
)
def test_ranges_of_neurons(name: str, least: int, most: int) -> None:
    for value in (least, most):
        assert snnir.check(neurons(**{name: value})) == []
    for value in (least - 1, most + 1):
        (finding,) = snnir.check(neurons(**{name: value}))
        assert finding.code in ("value.range", "op.attribute")
        assert name in finding.where and str(value) in finding.found


def test_all_that_is_out_of_range_is_found_at_once() -> None:
    findings = snnir.check(neurons(i_decay=5000, v_decay=-1, threshold=1 << 17, bias=40000))
    assert len(findings) == 4
    assert {finding.code for finding in findings} == {"value.range"}


def test_parameters_are_integers() -> None:
    model = neurons()
    model.graph.nodes["cells"].parameters["threshold"] = Tensor.from_array(np.float32(5))
    finding = snnir.check(model)[0]
    assert finding.code == "type.dtype"


def synapse(weight: Any, op: str = "Dense", **given: Any) -> list[snnir.Diagnostic]:
    array = np.asarray(weight, np.int32)
    b = GraphBuilder(steps=2)
    shape = [len(array)] if op == "Dense" else [4, 4, array.shape[2] * given.get("groups", 1)]
    x = b.input("x", shape, timing="per_step", dtype="int32")
    b.output("y", b.add(f"loihi2.{op}", x.delayed(1), weight=array, **given))
    return snnir.check(b.build())


@pytest.mark.parametrize(
    "weight",
    [
        [[254, -256]],
        [[255, 0]],
        [[-255, 0]],
        [[0, 0]],
        [[1, 3]],
        [[-1, -3]],
    ],
)
def test_weights_that_the_chip_has(weight: Any) -> None:
    assert synapse(weight) == []


@pytest.mark.parametrize(
    ("weight", "code"),
    [
        ([[3, -4]], "value.relation"),  # odd weights of both signs lose a bit in Lava
        ([[255, -2]], "value.range"),
        ([[256, 0]], "value.range"),
        ([[-256, -2]], "value.range"),  # one sign: 255 at most, by clipping; -256 would become 0
        ([[-257, 2]], "value.range"),
    ],
)
def test_weights_that_the_chip_has_not(weight: Any, code: str) -> None:
    assert code in {finding.code for finding in synapse(weight)}


def test_fewer_bits_have_a_coarser_grid() -> None:
    assert synapse([[32, -64]], num_weight_bits=4) == []
    assert [f.code for f in synapse([[16, -64]], num_weight_bits=4)] == ["value.relation"]
    assert synapse([[16, 64]], num_weight_bits=4) == []


def test_delays_end_at_62() -> None:
    assert synapse([[2, 4]], delay=np.array([[0, 62]])) == []
    (finding,) = synapse([[2, 4]], delay=np.array([[0, 63]]))
    assert (finding.code, finding.allowed) == ("value.range", ">= 0 and <= 62")
    with pytest.raises(ModelError) as caught:
        synapse([[2, 4]], delay=np.array([0, 1]))  # neither of inputs nor of outputs: ambiguous
    assert caught.value.code == "type.shape"


def test_convolutions_take_odd_weights_of_seven_bits() -> None:
    kernel = np.ones((2, 2, 1, 2), np.int32)
    for low, high, fits in (
        (-127, 127, True),
        (-128, 3, True),
        (-256, 254, True),
        (-129, 3, False),
    ):
        kernel[0, 0, 0] = low, high
        kernel[1:] = kernel[0, 1:] = 2
        assert (synapse(kernel, "Conv2D") == []) is fits, (low, high)


def test_a_fed_value_is_an_integer() -> None:
    b = GraphBuilder()
    x = b.input("x", [2], timing="per_step")
    with pytest.raises(ModelError) as caught:
        b.loihi2.Sigma(x)
    assert caught.value.code == "type.dtype"


# Exactness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [5, 20, 24, 25, 30, 44])
def test_products_are_exact_in_whatever_type(bits: int) -> None:
    rng = np.random.default_rng(bits)
    weight = rng.integers(-256, 255, (7, 5))
    x = rng.integers(-(1 << min(bits, 31)) + 1, 1 << min(bits, 31) - 1, (4, 7))
    product = Product(weight, lambda cast: lambda given: given @ cast)
    expected = [
        [sum(int(a) * int(w) for a, w in zip(row, column, strict=True)) for column in weight.T]
        for row in x
    ]
    assert np.array_equal(product(x.astype(np.int64)), expected)
    assert np.array_equal(product(np.zeros_like(x)), np.zeros((4, 5)))


def test_the_bound_of_each_type_is_respected() -> None:
    for kind, bits in EXACT[:2]:
        size = (1 << bits) - 1
        product = Product(np.array([[1], [1]]), lambda cast: lambda given: given @ cast)
        found = product(np.array([[size, 0], [size, -1], [size - 1, 1]], np.int64))
        assert found.tolist() == [[size], [size - 1], [size]], kind


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 4096),
    st.integers(0, 4096),
    st.integers(0, 131071),
    st.integers(-4096, 4095),
    st.integers(0, 7),
    st.sampled_from([10, 500, 100_000, (1 << 24)]),
)
def test_cuba_neurons_are_their_formula(
    seed: int, i_decay: int, v_decay: int, threshold: int, bias: int, exponent: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-size, size + 1, (2, 12, 3)).astype(np.int32)
    b = GraphBuilder(steps=12)
    cells = b.loihi2.CubaLIF(
        b.input("x", [3], timing="per_step", dtype="int32"),
        name="cells",
        i_decay=np.int32(i_decay),
        v_decay=np.int32(v_decay),
        threshold=np.int32(threshold),
        bias=np.int32(bias),
        bias_exp=exponent,
    )
    b.output("y", cells)
    found = snnir.run(b.build(), x, record=["cells", "cells:u", "cells:v"])
    expected = scalar.run(
        lambda index: scalar.Cuba(i_decay, v_decay, threshold, bias, exponent), x, ("u", "v")
    )
    assert np.array_equal(found["cells"], expected["y"])
    assert np.array_equal(found["cells:u"], expected["u"])
    assert np.array_equal(found["cells:v"], expected["v"])


def random_network(seed: int) -> tuple[snnir.Model, Array]:
    """Layers of all kinds, recurrence and delays."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder(steps=20)
    value = b.input("x", [6, 5, 2], timing="per_step", dtype="int32")
    kernel = rng.integers(-127, 128, (3, 2, 2, 4)).astype(np.int16)
    value = b.loihi2.CubaLIF(
        b.loihi2.Conv2D(value.delayed(1), weight=kernel, strides=(2, 1), pads=(1, 0)),
        i_decay=np.int32(3000),
        v_decay=np.int32(100),
        threshold=np.int32(150),
        bias=np.array([0, 5, -5, 9], np.int32),
    )
    flat = b.loihi2.Flatten(b.loihi2.Permute(value, axes=(2, 0, 1)))
    width = b.types[flat.name].shape[0]
    weight = 2 * rng.integers(-127, 128, (width, 8)).astype(np.int16)
    current = b.loihi2.Dense(flat.delayed(1), weight=weight, weight_exp=-1)
    cells = b.loihi2.CubaLIF(
        current,
        name="cells",
        i_decay=np.int32(2000),
        v_decay=np.int32(300),
        threshold=np.int32(300),
    )
    back = b.loihi2.Dense(
        cells.delayed(1),
        name="back",
        weight=2 * rng.integers(-100, 100, (8, 8)).astype(np.int16),
        delay=rng.integers(0, 5, (8, 8)).astype(np.int8),
    )
    b.connect(back, "cells", "a_in", delay_steps=0)
    b.graph.nodes["back"].output_types = (b.types[back.name],)
    b.output("count", b.snn.SpikeCount(b.loihi2.Dequantize(cells)))
    return b.build(), rng.integers(0, 2, (3, 20, 6, 5, 2)).astype(np.int32)


@pytest.mark.parametrize("seed", range(3))
def test_samples_do_not_depend_on_each_other(seed: int) -> None:
    model, x = random_network(seed)
    assert snnir.check(model) == []
    whole = snnir.run(model, x, record=["cells"])
    assert whole["cells"].any()
    for number in range(len(x)):
        alone = snnir.run(model, x[number : number + 1], record=["cells"])
        assert np.array_equal(alone["cells"][0], whole["cells"][number])


def test_a_recurrent_network_survives_the_file() -> None:
    model, x = random_network(0)
    again = snnir.loads(snnir.to_bytes(model))
    assert np.array_equal(snnir.run(again, x)["count"], snnir.run(model, x)["count"])


def test_each_layer_is_a_step_later() -> None:
    b = GraphBuilder(steps=6)
    value = b.input("x", [1], timing="per_step", dtype="int32")
    for number in range(3):
        value = b.loihi2.CubaLIF(
            b.loihi2.Dense(value.delayed(1), weight=np.array([[20]], np.int16)),
            name=f"layer{number}",
            i_decay=np.int32(4096),
            v_decay=np.int32(4096),
            threshold=np.int32(10),
        )
    b.output("y", value)
    x = np.array([1, 0, 1, 0, 0, 0], np.int32)[None, :, None]
    for backend in ("reference", "layerwise"):
        run = find_backend(backend).prepare(b.build())
        names = [f"layer{number}" for number in range(3)]
        found = run.run({"x": x}, record=names)
        for number, name in enumerate(names, 1):
            assert found[name][0, :, 0].tolist() == [0] * number + x[0, : 6 - number, 0].tolist()


def test_a_sigma_delta_chain_follows_a_changing_input() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-100, 100, (4, 3))
    b = GraphBuilder(steps=12)
    x = b.input("x", [4], timing="per_step", dtype="int32")
    sent = b.loihi2.Delta(x)
    hidden = b.loihi2.SigmaDelta(
        b.loihi2.Dense(sent.delayed(1), weight=(2 * weight).astype(np.int16), weight_exp=-1),
        bias=np.array([5, -7, 0], np.int32),
    )
    total = b.loihi2.Sigma(
        b.loihi2.Dense(hidden.delayed(1), weight=64 * np.eye(3, dtype=np.int16)), name="sum"
    )
    b.output("y", b.snn.FinalPotential(b.loihi2.Dequantize(total, scale=2.0**-12)))
    given = np.repeat(rng.integers(-20, 20, (2, 3, 4)), 4, axis=1).astype(np.int32)
    found = snnir.run(b.build(), given, record=["sum"])["sum"] / 4096
    exact = np.maximum(given @ (weight / 64) + [5, -7, 0], 0)
    # Two steps later, and less by what each of at most 4 messages cuts off: below 1/64.
    assert np.all(np.abs(found[:, 2:] - exact[:, :-2])[:, 1::4] <= 4 / 64)
