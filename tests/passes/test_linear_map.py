"""Synapses of linear operators against the reference runtime, and maps against SciPy."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import snnir
from snnir import GraphBuilder
from snnir.conversion import read
from snnir.errors import CapabilityError, ModelError
from snnir.infer import infer
from snnir.ir.graph import Node
from snnir.ir.model import Model
from snnir.ops import registry
from snnir.ops.schema import Arity, Flow, OpDef
from snnir.passes import linear_map
from snnir.passes.canonicalise import canonicalise
from snnir.passes.linear_map import LinearMap
from snnir.passes.rate import RateOptions, lower_to_rates
from snnir.passes.synapses import as_convolution, is_linear, linear_maps, offset
from snnir.runtime.backend import find_backend
from snnir.testing.recipes import RECIPES
from snnir.testing.sampling import Draw, Known
from tests.data import shared

Array = npt.NDArray[Any]

STEPS = 5
NONLINEAR = {
    *("IF", "LIF", "ALIF", "LeakyIntegrator", "FewSpike"),
    *("ExponentialSynapse", "MaxPool1D", "MaxPool2D"),
}
DOMAIN = list(registry.domain("snn") or ())
LINEAR = [opdef for opdef in DOMAIN if is_linear(opdef.op)]

by_operator = pytest.mark.parametrize("opdef", LINEAR, ids=lambda opdef: opdef.name)
quick = settings(deadline=None, max_examples=100)
SEEDS = st.integers(0, 2**32 - 1)


def test_every_operator_is_linear_or_known_not_to_be() -> None:
    per_step = {d.name for d in DOMAIN if d.flow in (Flow.SAME, Flow.PER_STEP)}
    assert {opdef.name for opdef in LINEAR} == per_step - NONLINEAR
    assert per_step >= NONLINEAR
    assert not is_linear("ann.Dense")
    for opdef in LINEAR:
        (port,) = opdef.inputs
        assert port.arity is not Arity.SUM
        assert opdef.op in RECIPES


# Operators against the runtime ---------------------------------------------------------------


def lengths(shape: Sequence[int | str]) -> tuple[int, ...]:
    """A shape without symbols."""
    return tuple(map(int, shape))


def maps_of(model: Model, node: Node, **options: Any) -> tuple[list[LinearMap], Array | None]:
    """A node's maps and offset."""
    opdef = registry.find(node.op)
    assert opdef is not None
    types = snnir.infer(model)
    shapes = {"x": [lengths(types[binding.source].shape) for binding in node.inputs]}
    shape = lengths(types[node.values()[0]].shape)
    return linear_maps(node, opdef, shapes, shape, **options), offset(node, opdef, shape)


def apply(found: LinearMap, x: Array) -> Array:
    """[samples, steps, inputs] to [samples, steps, outputs], in float64."""
    y = np.zeros((*x.shape[:2], found.outputs))
    for delay, part in found.by_delay().items():
        entries = (part.weights.astype(np.float64), (part.sources, part.targets))
        matrix = scipy.sparse.coo_matrix(entries, (part.inputs, part.outputs)).tocsr()
        for t in range(delay, x.shape[1]):
            y[:, t] += x[:, t - delay] @ matrix
    return y


def flat(x: Array) -> Array:
    return x.reshape(*x.shape[:2], -1)


def check_well_formed(found: LinearMap) -> None:
    steps = np.zeros(found.entries, int) if found.delays is None else found.delays
    fields = np.stack([found.sources, found.targets, steps]).astype(np.int64)
    differences = np.diff(fields, axis=1)
    leading = (differences != 0).argmax(axis=0)  # the first field that differs decides
    assert np.all(np.take_along_axis(differences, leading[None], axis=0) > 0)
    assert found.weights.shape == (found.entries,)
    assert found.sources.dtype == found.targets.dtype == np.int32
    assert found.delays is None or found.delays.dtype == np.int32
    for index, length in ((found.sources, found.inputs), (found.targets, found.outputs)):
        assert not index.size or (index.min() >= 0 and index.max() < length)


def check_model(model: Model, rng: np.random.Generator, exact: bool) -> None:
    """The maps of the only node give what the runtime gives, in every step."""
    (node,) = model.graph.nodes.values()
    fed = {
        entry.name: rng.integers(-8, 9, (2, STEPS, *map(int, entry.type.shape))).astype("f4") / 8
        for entry in model.graph.inputs
    }
    (wanted,) = find_backend("reference").prepare(model).run(fed, steps=STEPS).outputs.values()
    maps, added = maps_of(model, node)
    arriving = [flat(fed[binding.source]) for binding in node.inputs]
    check_result(maps, added, arriving, flat(wanted), exact)


def check_result(
    maps: list[LinearMap], added: Array | None, arriving: list[Array], wanted: Array, exact: bool
) -> None:
    """What arrives at the bindings, mapped and added up, is what the runtime found."""
    y, size = np.zeros(wanted.shape), np.zeros(wanted.shape)
    for x, found in zip(arriving, maps, strict=True):
        check_well_formed(found)
        y += apply(found, x)
        size += apply(replace(found, weights=abs(found.weights)), abs(x))
    if added is not None:
        assert added.dtype == np.float32
        y, size = y + added, size + abs(added)
    # Each rounding of a float32 sum of n terms is at most 2**-24 of the sum of their sizes; a
    # quotient, an interpolation or a bias adds a few more.
    terms = max(int(np.bincount(m.targets, minlength=1).max()) for m in maps) * len(maps) + 8
    bound = 0.0 if exact else terms * 2.0**-24
    assert np.all(abs(wanted - y) <= bound * size)


def draw_model(rng: np.random.Generator, opdef: OpDef, *, dyadic: bool) -> Model:
    """One node as random models have it, on an input of a random small shape."""
    draw = Draw(rng, dyadic=dyadic, steps=STEPS, recurrent=False)
    while True:
        b = GraphBuilder("drawn", steps=STEPS)
        shape = draw.integers(draw.integer(0, 3), 1, 5)
        several = opdef.inputs[0].arity is Arity.LIST
        known = [
            Known(b.input(f"x{k}", shape, timing="per_step"), shape, True, False, 3, 1.0)
            for k in range(draw.integer(1, 3) if several else 1)
        ]
        plan = RECIPES[opdef.op](draw, opdef, known)
        if plan is None:
            continue
        values = [k.value for k in known]
        try:  # not every recipe looks at every length, e.g. at what a crop leaves
            y = b.add(opdef.op, x=values if several else values[0], **plan.arguments)
        except ModelError:
            continue
        b.output("y", y)
        return b.build()


@by_operator
@pytest.mark.parametrize("dyadic", [True, False], ids=["dyadic", "any"])
def test_maps_do_what_the_operator_does(opdef: OpDef, dyadic: bool) -> None:
    for seed in range(40):
        rng = np.random.default_rng([seed, int(dyadic)])
        check_model(draw_model(rng, opdef, dyadic=dyadic), rng, exact=dyadic)


def weights(*shape: int) -> Array:
    """Small integers, none of them 0."""
    found = np.arange(1, int(np.prod(shape)) + 1) % 7 - 3.0
    return np.where(found == 0, 4, found).astype("f4").reshape(shape)


HOSTILE: list[tuple[str, Sequence[Sequence[int]], dict[str, Any]]] = [
    ("Dense", [(1,)], {"weight": weights(1, 1)}),
    ("Dense", [(2, 1, 3)], {"weight": weights(3, 2), "bias": weights(2)}),
    ("DelayedDense", [(2,)], {"weight": weights(2, 3), "delay_steps": np.arange(6).reshape(2, 3)}),
    (
        "Sparse",
        [(3,)],
        {
            "outputs": 2,
            "weight": np.zeros(0, "f4"),
            "indices": np.zeros(0, "i4"),
            "row_starts": np.zeros(4, "i4"),
        },
    ),
    ("Conv1D", [(1, 1)], {"weight": weights(5, 1, 2), "padding": "same"}),
    (
        "Conv1D",
        [(4, 2)],
        {"weight": weights(2, 2, 1), "dilations": [3], "padding": "explicit", "pads": [9, 0]},
    ),
    ("Conv2D", [(2, 1, 2)], {"weight": weights(5, 4, 2, 3), "padding": "same"}),
    ("Conv2D", [(2, 2, 4)], {"weight": weights(1, 1, 1, 8), "groups": 4, "strides": [3, 2]}),
    (
        "Conv2D",
        [(3, 5, 4)],
        {
            "weight": weights(3, 2, 2, 6),
            "groups": 2,
            "strides": [2, 3],
            "dilations": [2, 1],
            "padding": "explicit",
            "pads": [4, 3, 0, 5],
            "bias": weights(6),
        },
    ),
    (
        "DepthwiseConv2D",
        [(1, 4, 3)],
        {"weight": weights(3, 3, 3, 2), "padding": "same", "strides": [2, 2]},
    ),
    (
        "ConvTranspose2D",
        [(1, 3, 2)],
        {"weight": weights(2, 1, 3, 2), "strides": [3, 4], "output_padding": [5, 1]},
    ),
    (
        "ConvTranspose2D",
        [(3, 2, 1)],
        {
            "weight": weights(3, 4, 2, 1),
            "strides": [1, 2],
            "dilations": [2, 1],
            "padding": "explicit",
            "pads": [2, 1, 3, 1],
            "bias": weights(2),
        },
    ),
    ("ConvTranspose2D", [(2, 2, 1)], {"weight": weights(5, 1, 1, 1), "padding": "same"}),
    ("SumPool1D", [(1, 2)], {"pool_size": [3], "padding": "same"}),
    (
        "SumPool2D",
        [(3, 5, 2)],
        {"pool_size": [2, 3], "strides": [2, 2], "ceil_mode": True},
    ),
    ("SumPool2D", [(4, 4, 1)], {"pool_size": [1, 1], "strides": [3, 2]}),
    ("GlobalAveragePool2D", [(1, 4, 3)], {"keepdims": True}),
    ("GlobalAveragePool1D", [(1, 1)], {}),
    ("Scale", [(2, 3)], {"scale": np.array([[2.0], [0.0]], "f4")}),
    ("Bias", [()], {"bias": np.float32(3)}),
    ("Add", [(2, 2)] * 3, {}),
    ("Concat", [(1, 3), (2, 3), (1, 3)], {"axis": 0}),
    ("Concat", [(2, 1), (2, 3)], {}),
    ("Flatten", [()], {}),
    ("Reshape", [(1, 6)], {"shape": [3, -1, 1]}),
    ("Permute", [(2, 1, 3)], {"axes": [2, 0, 1]}),
    ("Pad2D", [(1, 2, 2)], {"pads": [0, 3, 2, 0]}),
    ("Crop1D", [(5, 2)], {"crops": [2, 2]}),
    ("Upsample1D", [(1, 2)], {"factors": [3]}),
    ("Upsample2D", [(1, 3, 2)], {"factors": [4, 2], "interpolation": "bilinear"}),
    ("Delay", [(2, 3)], {"delay_steps": np.array([[0], [7]])}),
]


def build(name: str, shapes: Sequence[Sequence[int]], arguments: dict[str, Any]) -> Model:
    b = GraphBuilder(name, steps=STEPS)
    given_ = [b.input(f"x{k}", list(s), timing="per_step") for k, s in enumerate(shapes)]
    opdef = registry.find(f"snn.{name}")
    assert opdef is not None
    several = opdef.inputs[0].arity is Arity.LIST
    b.output("y", b.add(opdef.op, x=given_ if several else given_[0], **arguments))
    return b.build()


@pytest.mark.parametrize(
    ("name", "shapes", "arguments"), HOSTILE, ids=[f"{k}-{c[0]}" for k, c in enumerate(HOSTILE)]
)
def test_unusual_shapes(name: str, shapes: Any, arguments: dict[str, Any]) -> None:
    check_model(build(name, shapes, arguments), np.random.default_rng(0), exact=True)


@pytest.mark.parametrize("include_pad", [False, True])
@pytest.mark.parametrize(
    ("arguments", "with_pad", "without_pad"),
    [
        ({"padding": "explicit", "pads": [1, 1]}, [3, 3], [2, 2]),
        ({"padding": "explicit", "pads": [1, 0], "ceil_mode": True}, [3, 2], [2, 2]),
        ({"padding": "explicit", "pads": [2, 1]}, [3, 3], [1, 3]),
        ({"padding": "same"}, [3, 3], [2, 2]),
    ],
)
def test_averages_count_padding_as_stated(
    arguments: dict[str, Any], with_pad: list[int], without_pad: list[int], include_pad: bool
) -> None:
    model = build(
        "AveragePool1D",
        [(4, 1)],
        {"pool_size": [3], "strides": [3], "count_include_pad": include_pad, **arguments},
    )
    ((found,), _) = maps_of(model, next(iter(model.graph.nodes.values())))
    counts = np.array(with_pad if include_pad else without_pad)
    assert found.weights.dtype == np.float64
    assert np.array_equal(found.weights, (1 / counts)[found.targets])


def test_weights_are_those_of_the_operator() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 4)).astype("f4")
    model = build("Dense", [(3,)], {"weight": weight})
    node = next(iter(model.graph.nodes.values()))
    ((found,), added) = maps_of(model, node)
    assert added is None
    assert found.weights.dtype == np.float32
    assert np.array_equal(found.to_dense(), weight)
    assert found.is_dense
    assert found.row_starts().tolist() == [0, 4, 8, 12]


def test_zeros_are_dropped_on_request_only() -> None:
    dense = build("Dense", [(2,)], {"weight": np.array([[0.0, 1.0], [2.0, 0.0]], "f4")})
    sparse = build(
        "Sparse",
        [(2,)],
        {
            "outputs": 1,
            "weight": np.zeros(2, "f4"),
            "indices": np.zeros(2, "i4"),
            "row_starts": np.arange(3, dtype="i4"),
        },
    )
    for model, all_, nonzero in ((dense, 4, 2), (sparse, 2, 2)):
        node = next(iter(model.graph.nodes.values()))
        assert maps_of(model, node)[0][0].entries == all_
        assert maps_of(model, node, drop_zeros=True)[0][0].entries == nonzero


def test_synapses_that_agree_in_all_but_weight_are_added_in_double_precision() -> None:
    small = np.float32(2.0**-30)
    arguments = {
        "outputs": 2,
        "weight": np.array([1, 5, small, 3, 4], "f4"),
        "indices": np.array([1, 0, 1, 1, 0], "i4"),
        "row_starts": np.array([0, 4, 5], "i4"),
        "delay_steps": np.array([2, 0, 2, 1, 0], "i4"),
    }
    model = build("Sparse", [(2,)], arguments)
    ((found,), _) = maps_of(model, next(iter(model.graph.nodes.values())))
    assert found.delays is not None
    entries = zip(found.sources, found.targets, found.delays, found.weights, strict=True)
    assert list(entries) == [(0, 0, 0, 5), (0, 1, 1, 3), (0, 1, 2, 1 + 2.0**-30), (1, 0, 0, 4)]
    assert not found.is_dense
    with pytest.raises(ValueError, match="delays"):
        found.to_dense()


@pytest.mark.parametrize(
    ("path", "shape", "operators"),
    [
        ("kws/kws_dscnn.keras", (49, 10, 1), {"Conv2D", "DepthwiseConv2D"}),
        ("keras/snntb_lenet5_99.14.keras", (28, 28, 1), {"Conv2D", "Dense"}),
        pytest.param(
            "keras/snntb_cifar_cnn_avgpool_83.62.keras",
            (32, 32, 3),
            {"Conv2D", "AveragePool2D"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_trained_networks(path: str, shape: tuple[int, ...], operators: set[str]) -> None:
    pytest.importorskip("h5py")
    samples = np.random.default_rng(0).uniform(0, 1, (4, *shape)).astype("f4")
    network = canonicalise(read(shared(path)))
    (entry,) = network.graph.inputs
    model, _ = lower_to_rates(network, {entry.name: samples}, RateOptions(2))
    types = snnir.infer(model)
    linear = [
        node
        for node in model.graph.nodes.values()
        if is_linear(node.op) and types[node.values()[0]].is_per_step
    ]
    assert {node.operator for node in linear} >= operators
    wanted = sorted(
        {value for n in linear for value in [*n.values(), *(b.source for b in n.inputs)]}
    )
    prepared = find_backend("reference").prepare(model)
    recorded = prepared.run({entry.name: samples[:1]}, steps=2, record=wanted).recorded
    for node in linear:
        maps, added = maps_of(model, node)
        arriving = [flat(recorded[binding.source]) for binding in node.inputs]
        check_result(maps, added, arriving, flat(recorded[node.values()[0]]), exact=False)


# Composition ---------------------------------------------------------------------------------


def random_map(
    rng: np.random.Generator, inputs: int, outputs: int, entries: int, longest: int | None
) -> LinearMap:
    delays = None if longest is None else rng.integers(0, longest + 1, entries)
    return LinearMap.from_entries(
        inputs,
        outputs,
        rng.integers(0, inputs, entries),
        rng.integers(0, outputs, entries),
        rng.integers(-4, 5, entries).astype("f4"),
        delays,
    )


def table(found: LinearMap) -> dict[tuple[int, int, int], float]:
    """Weight by source, target and delay."""
    delays = np.zeros(found.entries, int) if found.delays is None else found.delays
    keys = zip(found.sources.tolist(), found.targets.tolist(), delays.tolist(), strict=True)
    return dict(zip(keys, found.weights.tolist(), strict=True))


def composed(first: LinearMap, second: LinearMap) -> dict[tuple[int, int, int], float]:
    """The composition, a product at a time."""
    found: dict[tuple[int, int, int], float] = {}
    for (source, middle, early), a in table(first).items():
        for (start, target, late), b in table(second).items():
            if start == middle:
                key = (source, target, early + late)
                found[key] = found.get(key, 0) + a * b
    return found


@quick
@given(
    SEEDS,
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.none() | st.integers(0, 4), st.none() | st.integers(0, 4)),
    st.sampled_from([1, 2, 7, 1 << 20]),
)
def test_composition(
    seed: int,
    sizes: tuple[int, int, int],
    entries: tuple[int, int],
    longest: tuple[int | None, int | None],
    piece: int,
) -> None:
    rng = np.random.default_rng(seed)
    first = random_map(rng, sizes[0], sizes[1], entries[0], longest[0])
    second = random_map(rng, sizes[1], sizes[2], entries[1], longest[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_map, "PIECE", piece)
        found = first.then(second)
    check_well_formed(found)
    assert table(found) == composed(first, second)
    assert (found.inputs, found.outputs) == (sizes[0], sizes[2])


@quick
@given(SEEDS, st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)))
def test_sums(seed: int, longest: tuple[int | None, int | None]) -> None:
    rng = np.random.default_rng(seed)
    first, second = (random_map(rng, 4, 3, 10, steps) for steps in longest)
    found = first.plus(second)
    check_well_formed(found)
    a, b = table(first), table(second)
    assert table(found) == {key: a.get(key, 0) + b.get(key, 0) for key in {*a, *b}}


def test_composition_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    first, second = random_map(rng, 400, 900, 6000, None), random_map(rng, 900, 300, 5000, None)

    def matrix(found: LinearMap) -> Any:
        entries = (found.weights.astype("f8"), (found.sources, found.targets))
        return scipy.sparse.coo_matrix(entries, (found.inputs, found.outputs)).tocsr()

    wanted = matrix(first) @ matrix(second)
    wanted.sort_indices()
    found = first.then(second).without_zeros()  # SciPy leaves out what cancels
    assert np.array_equal(found.row_starts(), wanted.indptr)
    assert np.array_equal(found.targets, wanted.indices)
    assert np.array_equal(found.weights, wanted.data)


def test_compositions_are_rounded_once() -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.uniform(1, 2, 50).astype("f4") for _ in range(2))
    found = LinearMap.diagonal(a).then(LinearMap.diagonal(b))
    assert np.array_equal(found.weights, a.astype("f8") * b.astype("f8"))
    assert np.array_equal(found.rounded().weights, a * b)
    mean = build("GlobalAveragePool1D", [(10, 2)], {})
    ((average,), _) = maps_of(mean, next(iter(mean.graph.nodes.values())))
    total = average.then(LinearMap.diagonal(np.full(2, 10, "f4")))
    assert np.all(total.rounded().weights == 1)


def test_the_identity_changes_nothing() -> None:
    found = random_map(np.random.default_rng(0), 4, 3, 8, 2)
    assert LinearMap.identity(4).then(found) is found
    assert found.then(LinearMap.identity(3)) is found
    assert LinearMap.identity(3).is_identity
    assert not LinearMap.identity(3).delayed(1).is_identity
    assert not LinearMap.identity(3).scaled(2).is_identity
    assert LinearMap.identity(3).delayed(0).is_identity
    with pytest.raises(ValueError, match="4 outputs, 3 inputs"):
        LinearMap.identity(4).then(LinearMap.identity(3))
    with pytest.raises(ValueError, match="differ"):
        LinearMap.identity(4).plus(LinearMap.identity(3))


def test_scaling_delaying_and_rounding() -> None:
    found = random_map(np.random.default_rng(1), 4, 3, 9, None)
    third = found.scaled(np.array([1 / 3, 2, 0]))
    assert third.weights.dtype == np.float64
    assert np.array_equal(third.to_dense(), found.to_dense() * [1 / 3, 2, 0])
    assert third.rounded().weights.dtype == np.float32
    assert third.without_zeros().entries == np.count_nonzero(third.weights)
    assert set(found.delayed(2).delayed(1).by_delay()) == {3}
    assert found.by_delay() == {0: found}
    assert random_map(np.random.default_rng(1), 4, 3, 0, 5).by_delay() == {}


@pytest.mark.parametrize("seed", range(60))
def test_chains_of_operators(seed: int) -> None:
    """The composition of several operators' maps is what the runtime does with all of them."""
    rng = np.random.default_rng(seed)
    draw = Draw(rng, dyadic=True, steps=STEPS, recurrent=False)
    single = [opdef for opdef in LINEAR if opdef.inputs[0].arity is Arity.ONE]
    b = GraphBuilder("chain", steps=STEPS)
    shape: Any = draw.choice([(4, 4, 2), (4, 6, 1), (6, 2), (5,)])
    known = Known(b.input("x", shape, timing="per_step"), shape, True, False, 3, 1.0)
    while len(b.graph.nodes) < 4:
        opdef = draw.choice(single)
        plan = RECIPES[opdef.op](draw, opdef, [known])
        sums = [] if plan is None else [(plan.bits, plan.bound), *plan.inside]
        if plan is None or not all(draw.fits(*numbers) for numbers in sums):
            continue
        try:
            value = b.add(opdef.op, x=known.value, **plan.arguments)
        except ModelError:
            continue
        known = Known(value, lengths(b.types[value.name].shape), True, False, plan.bits, plan.bound)
    b.output("y", known.value)
    model = b.build()
    x = (rng.integers(-8, 9, (2, STEPS, *shape)) / 8).astype("f4")
    wanted = find_backend("reference").prepare(model).run({"x": x}, steps=STEPS).outputs["y"]

    chain = LinearMap.identity(int(np.prod(shape)))
    constant: Array = np.zeros((1, STEPS, chain.inputs))
    for node in model.graph.nodes.values():
        ((found,), added) = maps_of(model, node)
        chain = chain.then(found)
        constant = apply(found, constant) + (0 if added is None else added)
    assert np.array_equal(flat(wanted), apply(chain, flat(x)) + constant)


# Size ----------------------------------------------------------------------------------------


def nbytes(found: LinearMap) -> int:
    return int(found.sources.nbytes + found.targets.nbytes + found.weights.nbytes)


@pytest.mark.parametrize(
    ("side", "channels", "synapses"),
    [(16, 32, 2_166_784), pytest.param(32, 64, 36_192_256, marks=pytest.mark.slow)],
)
def test_convolutions_take_little_more_than_their_synapses(
    side: int, channels: int, synapses: int
) -> None:
    weight = np.ones((3, 3, channels, channels), "f4")
    model = build("Conv2D", [(side, side, channels)], {"weight": weight, "padding": "same"})
    node = next(iter(model.graph.nodes.values()))
    tracemalloc.start()
    try:
        begin = time.perf_counter()
        ((found,), _) = maps_of(model, node)
        seconds = time.perf_counter() - begin
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.entries == synapses
    # The result, and buffers of a fixed size.
    assert peak < 1.1 * nbytes(found) + (16 << 20)
    # About 0.03 s for a million synapses on one core; a loop over synapses takes a second.
    assert seconds < 1 + synapses * 3e-7


def test_compositions_are_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    piece = 1 << 16
    monkeypatch.setattr(linear_map, "PIECE", piece)
    weight = np.ones((3, 3, 16, 16), "f4")
    conv = build("Conv2D", [(16, 16, 16)], {"weight": weight, "padding": "same"})
    pool = build("AveragePool2D", [(16, 16, 16)], {"pool_size": [2, 2]})
    ((first,), _), ((second,), _) = (
        maps_of(model, next(iter(model.graph.nodes.values()))) for model in (conv, pool)
    )
    tracemalloc.start()
    try:
        found = first.then(second)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    products = first.entries  # each is averaged once
    assert products > 8 * piece
    assert found.entries < products / 2
    assert peak < 2.5 * nbytes(found) + 120 * piece


def test_long_maps_with_few_synapses_take_no_room_for_those_that_are_absent() -> None:
    rng = np.random.default_rng(5)
    length = 1 << 20
    first, second = (random_map(rng, length, length, 20_000, 3) for _ in range(2))
    second = replace(second, sources=np.sort(first.targets))
    tracemalloc.start()
    try:
        found = first.then(second)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.entries >= 20_000
    assert peak < 64 * length  # the rows' ends, a number for each


def test_what_does_not_fit_the_indices_is_refused() -> None:
    nothing = np.zeros(0, np.int32)
    for inputs, outputs, delays in (
        (1 << 31, 1, None),
        (1, 1 << 31, None),
        ((1 << 31) - 1, (1 << 31) - 1, np.array([2])),
    ):
        places = nothing if delays is None else np.zeros(1, np.int32)
        with pytest.raises(CapabilityError, match=r"run\.capability"):
            LinearMap.from_entries(inputs, outputs, places, places, places.astype("f4"), delays)


# Convolutions that backends have built in ----------------------------------------------------


def conv_of(shape: Sequence[int], weight: Array, **arguments: Any) -> Any:
    model = build("Conv2D", [shape], {"weight": weight, **arguments})
    node = next(iter(model.graph.nodes.values()))
    opdef = registry.find(node.op)
    assert opdef is not None
    return model, as_convolution(node, opdef, tuple(shape))


def convolved(found: Any, x: Array) -> Array:
    """By the definition, spike by spike: (..., height, width, in) -> (..., height, width, out)."""
    kernel, (height, width, inputs) = found.kernel, found.input_shape
    rows, columns, outputs = found.output_shape
    y = np.zeros((*x.shape[:-3], rows, columns, outputs))
    per_group, of_group = inputs // found.groups, outputs // found.groups
    for u, v in np.ndindex(*kernel.shape[:2]):
        for row, column in np.ndindex(rows, columns):
            r = row * found.strides[0] + u * found.dilations[0] - found.pads[0]
            c = column * found.strides[1] + v * found.dilations[1] - found.pads[1]
            if not (0 <= r < height and 0 <= c < width):
                continue
            for group in range(found.groups):
                out = slice(group * of_group, (group + 1) * of_group)
                part = x[..., r, c, group * per_group : (group + 1) * per_group]
                y[..., row, column, out] += part @ kernel[u, v, :, out]
    return y


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.sampled_from(["Conv1D", "Conv2D", "DepthwiseConv2D"]))
def test_convolutions(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    opdef = registry.find(f"snn.{name}")
    assert opdef is not None
    draw = Draw(rng, dyadic=True, steps=STEPS, recurrent=False)
    shape = tuple(int(n) for n in rng.integers(1, 7, 1 if name == "Conv1D" else 2))
    shape = (*shape, int(rng.integers(1, 5)))
    known = Known(None, shape, True, False, 3, 1.0)  # type: ignore[arg-type]
    plan = RECIPES[opdef.op](draw, opdef, [known])
    assume(plan is not None)
    arguments = {k: v for k, v in plan.arguments.items() if k != "bias"}  # type: ignore[union-attr]
    try:
        model = build(name, [shape], arguments)
    except ModelError:
        assume(False)
    (node,) = model.graph.nodes.values()
    found = as_convolution(node, opdef, shape)
    x = rng.integers(-8, 9, (1, STEPS, *shape)).astype("f4")
    wanted = find_backend("reference").prepare(model).run({"x0": x}, steps=STEPS).outputs["y"]
    got = convolved(found, x.reshape(1, STEPS, *found.input_shape))
    assert np.array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("name", ["AveragePool2D", "SumPool2D"])
@pytest.mark.parametrize("arguments", [{}, {"padding": "same"}, {"strides": [2, 2]}])
def test_convolutions_of_pooled_values(name: str, arguments: dict[str, Any]) -> None:
    weight = weights(3, 3, 2, 4)
    _, convolution = conv_of((4, 3, 2), weight, **arguments)
    model = build(name, [(8, 6, 2)], {"pool_size": [2, 2]})
    (pool,) = model.graph.nodes.values()
    opdef = registry.find(pool.op)
    assert opdef is not None
    found = convolution.of_pooled(pool, opdef, (8, 6, 2))
    x = np.random.default_rng(0).integers(-8, 9, (1, STEPS, 8, 6, 2)).astype("f4")
    pooled = find_backend("reference").prepare(model).run({"x0": x}, steps=STEPS).outputs["y"]
    assert np.array_equal(convolved(found, x), convolved(convolution, pooled))


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((9, 6, 2), {"pool_size": [2, 2]}),  # the last row is left out
        ((8, 6, 2), {"pool_size": [2, 2], "strides": [1, 2]}),
        ((8, 6, 2), {"pool_size": [3, 2], "padding": "same"}),
    ],
)
def test_pooling_that_is_no_convolution_of_its_own(
    shape: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    model = build("AveragePool2D", [shape], arguments)
    (pool,) = model.graph.nodes.values()
    opdef = registry.find(pool.op)
    assert opdef is not None
    out = model.graph.nodes[pool.name].values()[0]
    size = infer(model)[out].shape
    _, convolution = conv_of(size, weights(1, 1, 2, 3))
    assert convolution.of_pooled(pool, opdef, shape) is None


def test_other_operators_are_no_convolution() -> None:
    model = build("Dense", [(2,)], {"weight": weights(2, 2)})
    (node,) = model.graph.nodes.values()
    opdef = registry.find(node.op)
    assert opdef is not None
    assert as_convolution(node, opdef, (2,)) is None
