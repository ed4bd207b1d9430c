"""Hypothesis strategies: valid models of everything that the schema has, and mutations of files."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

from snnir import Tensor
from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import (
    Close,
    Exact,
    Example,
    Expected,
    Model,
    Producer,
    Rate,
    SpikeShift,
    TimeBase,
    Tolerance,
)
from snnir.ir.types import NUMPY, DType, Quantization, Rounding, Timing, ValueType
from snnir.ops import registry
from snnir.testing.random_models import random_model
from tests.serde.craft import craft, field, parse

Draw = Any

FIRST = string.ascii_letters + "_"
NAMES = st.builds(
    str.__add__, st.sampled_from(FIRST), st.text(FIRST + string.digits + "./-", max_size=6)
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
POSITIVE = st.floats(1e-30, 1e30)
SEEDS = st.integers(0, 2**32 - 1)
STEP_SYMBOLS = {"n": 3, "m": 2}


def filled(dtype: DType, shape: tuple[int, ...], seed: int) -> Tensor:
    """A tensor of numbers that are all finite."""
    rng = np.random.default_rng(seed)
    if dtype is DType.BOOL:
        return Tensor.from_array(rng.integers(0, 2, shape).astype(bool))
    if dtype.is_float:
        return Tensor.from_array(rng.normal(size=shape).astype(NUMPY[dtype]), dtype)
    low, high = integer_range(dtype)
    return Tensor.from_array(rng.integers(low, high, shape, np.int64, endpoint=True), dtype)


def integer_range(dtype: DType) -> tuple[int, int]:
    if dtype is DType.UINT8:
        return 0, 255
    return -(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1


SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
BIG_SHAPES = st.sampled_from([(4097,), (33, 130), (2, 1, 4099), (1, 50, 200)])


@st.composite
def quantisations(draw: Draw, dtype: DType, shape: tuple[int | str, ...]) -> Quantization:
    """A quantisation that fits any tensor of that type and shape."""
    axes = [axis for axis, dim in enumerate(shape) if isinstance(dim, int) and 0 < dim < 10]
    axis = draw(st.sampled_from(axes) | st.none()) if axes else None
    count = 1 if axis is None else int(shape[axis])
    return Quantization(
        scale=tuple(draw(st.lists(st.floats(1e-18, 1e18), min_size=count, max_size=count))),
        bits=dtype.bits,
        zero_point=draw(
            st.just(())
            | st.lists(st.integers(-(2**31), 2**31), min_size=count, max_size=count).map(tuple)
        ),
        axis=axis,
        signed=dtype is not DType.UINT8,
        rounding=draw(st.sampled_from(Rounding)),
        saturated=draw(st.booleans()),
    )


@st.composite
def tensors(draw: Draw, shapes: st.SearchStrategy[tuple[int, ...]] = SHAPES) -> Tensor:
    """A tensor of any type, one in a few quantised, one in a few large enough for a blob."""
    dtype = draw(st.sampled_from(DType))
    shape = draw(shapes)
    tensor = filled(dtype, shape, draw(SEEDS))
    if dtype.is_integer and draw(st.booleans()):
        tensor = Tensor.from_array(tensor.numpy(), dtype, draw(quantisations(dtype, shape)))
    return tensor


ATTRIBUTES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple),
)
DIMS = st.integers(1, 5) | st.sampled_from(sorted(STEP_SYMBOLS))


@st.composite
def value_types(draw: Draw, timing: Timing | None = None) -> ValueType:
    dtype = draw(st.sampled_from(DType))
    shape = tuple(draw(st.lists(DIMS, max_size=3)))
    quantization = None
    if dtype.is_integer and draw(st.booleans()):
        quantization = draw(quantisations(dtype, shape))
    return ValueType(dtype, shape, timing or draw(st.sampled_from(Timing)), quantization)


@st.composite
def graph_inputs(draw: Draw, name: str) -> GraphInput:
    value_type = draw(value_types())
    trailing = tuple(dim if isinstance(dim, int) else 1 for dim in value_type.shape)
    preprocessing = st.none() | st.builds(
        lambda keep, seed: filled(DType.FLOAT32, trailing[len(trailing) - keep :], seed),
        st.integers(0, len(trailing)),
        SEEDS,
    )
    layout = draw(st.just("") | st.text("HWCN", min_size=len(trailing), max_size=len(trailing)))
    return GraphInput(name, value_type, draw(preprocessing), draw(preprocessing), layout)


@st.composite
def foreign_nodes(draw: Draw, name: str, pool: list[Tensor]) -> Node:
    """A node of an operator set that is not installed, without its edges."""
    outputs = tuple(draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)))
    return Node(
        name,
        draw(st.sampled_from(["acme.Thing", "acme.Other", "other_1.Thing"])),
        [],
        outputs,
        draw(st.dictionaries(NAMES, ATTRIBUTES, max_size=4)),
        draw(st.dictionaries(NAMES, st.sampled_from(pool) | tensors(), max_size=3)),
        tuple(draw(value_types()) for _ in outputs),
        draw(TEXT),
    )


@st.composite
def lif_nodes(draw: Draw, name: str) -> Node:
    def scalar(low: float, high: float) -> Tensor:
        return Tensor.from_array(np.float32(draw(st.floats(low, high, width=32))))

    parameters = {"decay": scalar(0, 1)}
    if draw(st.booleans()):
        parameters["threshold"] = scalar(0.5, 2)
    attributes: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "compare": st.sampled_from([">=", ">"]),
                "refractory_steps": st.integers(0, 5),
                "reset": st.sampled_from(["subtract", "to_value", "none"]),
            },
        )
    )
    return Node(name, "snn.LIF", [], ("spikes",), attributes, parameters, (), draw(TEXT))


@st.composite
def models(draw: Draw) -> Model:
    """A model in which `snnir.check` finds no error."""
    names = draw(st.lists(NAMES, min_size=2, max_size=7, unique=True))
    input_count = draw(st.integers(1, max(1, len(names) // 2)))
    inputs = [draw(graph_inputs(name)) for name in names[:input_count]]
    pool = draw(st.lists(tensors() | tensors(BIG_SHAPES), min_size=1, max_size=3))
    pool.append(Tensor.from_array(pool[0].numpy().copy(), pool[0].dtype, pool[0].quantization))
    nodes: dict[str, Node] = {}
    types = {entry.name: entry.value_type for entry in inputs}
    for name in names[input_count:]:
        fitting = [v for v, t in types.items() if t.is_per_step and t.dtype is DType.FLOAT32]
        if fitting and draw(st.booleans()):
            node = draw(lif_nodes(name))
            source = draw(st.sampled_from(fitting))
            node.inputs.append(Binding("current", source))
            if draw(st.booleans()):
                node.inputs.append(Binding("current", f"{name}:spikes", draw(st.integers(1, 9))))
            types[f"{name}:spikes"] = ValueType(DType.FLOAT32, types[source].shape, Timing.PER_STEP)
        else:
            node = draw(foreign_nodes(name, pool))
            edges = st.tuples(NAMES, st.sampled_from(sorted(types)))
            for port, source in draw(st.lists(edges, max_size=4, unique=True)):
                delay = draw(st.integers(0, 1 << 20)) if types[source].is_per_step else 0
                node.inputs.append(Binding(port, source, delay))
            types.update(zip(node.values(), node.output_types, strict=True))
        nodes[name] = node
    later = [value for value, value_type in types.items() if value_type.is_per_step]
    foreign = [node for node in nodes.values() if node.domain != "snn"]
    if later and foreign and draw(st.booleans()):
        node = draw(st.sampled_from(foreign))
        edge = Binding("feedback", draw(st.sampled_from(later)), draw(st.integers(1, 5)))
        if edge not in node.inputs:
            node.inputs.append(edge)
    outputs = [
        GraphOutput(name, draw(st.sampled_from(sorted(types))))
        for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    ]
    for output in outputs:
        shape = types[output.value].shape
        if shape and draw(st.booleans()):
            count = shape[-1] if isinstance(shape[-1], int) else 2
            output.labels = tuple(draw(st.lists(TEXT, min_size=count, max_size=count)))
    graph = Graph(draw(NAMES), inputs, nodes, outputs)
    return Model(
        graph,
        {"acme": draw(st.integers(1, 2**32 - 1)), "other_1": 2, "snn": 1},
        TimeBase(draw(POSITIVE), draw(st.integers(1, 2**31 - 1))),
        {
            name: draw(examples(inputs, {o.name: types[o.value] for o in outputs}))
            for name in draw(st.lists(NAMES, max_size=2, unique=True))
        },
        draw(st.dictionaries(TEXT.filter(bool), TEXT, max_size=3)),
        Producer(draw(TEXT), draw(TEXT)),
    )


TOLERANCES: st.SearchStrategy[Tolerance] = st.one_of(
    st.builds(Exact),
    st.builds(SpikeShift, st.integers(0, 2**32 - 1)),
    st.builds(Rate, st.floats(0, 1e300)),
    st.builds(Close, st.floats(0, 1e300), st.floats(0, 1e300)),
)


@st.composite
def examples(draw: Draw, inputs: list[GraphInput], outputs: dict[str, ValueType]) -> Example:
    batch, steps = draw(st.integers(0, 2)), draw(st.integers(1, 3))

    def array(value_type: ValueType) -> Tensor:
        time = (steps,) if value_type.is_per_step else ()
        dims = (STEP_SYMBOLS[d] if isinstance(d, str) else d for d in value_type.shape)
        return filled(value_type.dtype, (batch, *time, *dims), draw(SEEDS))

    chosen = draw(st.lists(st.sampled_from(sorted(outputs)), min_size=1, unique=True))
    return Example(
        {entry.name: array(entry.type) for entry in inputs},
        steps,
        {name: Expected(array(outputs[name]), draw(TOLERANCES)) for name in chosen},
        draw(TEXT),
    )


@st.composite
def networks(draw: Draw) -> Model:
    """A model of operators that are installed."""
    domain = draw(st.sampled_from(["snn", "ann"]))
    rng = np.random.default_rng(draw(SEEDS))
    return random_model(rng, nodes=draw(st.integers(1, 6)), dyadic=False, domains=(domain,))


# Mutations -----------------------------------------------------------------------------------


@st.composite
def damaged(draw: Draw, data: bytes) -> bytes:
    """The bytes with a few flipped, inserted, deleted, repeated or cut off."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        size = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["flip", "insert", "delete", "repeat", "cut", "zero"]))
        if kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + draw(st.binary(min_size=1, max_size=40)) + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + size :]
        elif kind == "repeat":
            data = data[: at + size] + data[at:]
        elif kind == "zero":
            data = data[:at] + bytes(len(data[at : at + size])) + data[at + size :]
        else:
            data = data[:at]
    return data


Spot = tuple[Any, FieldDescriptor]


def spots(message: Any) -> Iterator[Spot]:
    """Every field of every message in a message, set or not."""
    for descriptor in message.DESCRIPTOR.fields:
        yield message, descriptor
    for descriptor, value in message.ListFields():
        if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            for entry in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from spots(entry)


INTEGERS = st.sampled_from([0, 1, 2, 3, 5, 16, 17, 255, 2**31 - 1]) | st.integers(0, 2**31 - 1)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_UINT32: INTEGERS | st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: INTEGERS | st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_SINT64: INTEGERS | st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_FIXED32: INTEGERS,
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 13),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: TEXT
    | NAMES
    | st.sampled_from(["", "a:b", "x" * 300, "snn.LIF", "ann.Conv2D", "snn.Sparse", "ann.Crop"]),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=40),
}


@st.composite
def mutated(draw: Draw, data: bytes) -> bytes:
    """A file whose message was changed in a few places, its digest made right."""
    message = parse(data)
    for _ in range(draw(st.integers(1, 4))):
        places = list(spots(message))
        target, descriptor = places[draw(st.integers(0, len(places) - 1))]
        mutate(draw, target, descriptor, message)
    return craft(message)


def mutate(draw: Draw, target: Any, descriptor: FieldDescriptor, message: Any) -> None:
    name = descriptor.name
    if name == "magic" or draw(st.integers(0, 19)) == 0:
        target.MergeFromString(field(draw(st.integers(100, 200)), 2, draw(st.binary(max_size=9))))
        return
    value = getattr(target, name)
    repeated = not hasattr(value, "DESCRIPTOR") and hasattr(value, "__len__")
    repeated = repeated and not isinstance(value, (str, bytes))
    scalar = descriptor.type != FieldDescriptor.TYPE_MESSAGE
    if repeated and len(value) > 0 and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        kind = draw(st.sampled_from(["remove", "double", "swap"]))
        if kind == "remove":
            del value[index]
        elif kind == "double":
            value.append(value[index])
        elif scalar:
            value[0], value[index] = value[index], value[0]
        else:
            first = type(value[0])()
            first.CopyFrom(value[0])
            value[0].CopyFrom(value[index])
            value[index].CopyFrom(first)
    elif repeated:
        value.append(draw(SCALARS[descriptor.type])) if scalar else value.add()
    elif draw(st.integers(0, 3)) == 0:
        target.ClearField(name)
    elif scalar:
        setattr(target, name, draw(SCALARS[descriptor.type]))
    else:
        alike = [
            getattr(other, d.name)
            for other, d in spots(message)
            if d.message_type is descriptor.message_type
            and hasattr(getattr(other, d.name), "Clear")
        ]
        alike = [entry for entry in alike if hasattr(entry, "DESCRIPTOR")]
        source = type(value)()
        source.CopyFrom(alike[draw(st.integers(0, len(alike) - 1))])
        getattr(target, name).CopyFrom(source)


OPERATORS = [definition.op for domain in registry.domains() for definition in domain]
WILD_INTS = st.integers(-3, 5) | st.sampled_from([2**31, 2**62, 2**63 - 1, -(2**63)])
WILD_ATTRIBUTES = st.one_of(
    WILD_INTS,
    st.lists(WILD_INTS, max_size=5).map(tuple),
    ATTRIBUTES,
    st.floats(),
    st.sampled_from(["same", "valid", "explicit", "subtract", "none", ">=", "max", "nearest"]),
)
WILD_FLOATS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e38, -1e38, 1e-45, np.nan, np.inf, -np.inf])


KINDS = [
    "op",
    "edge",
    "type",
    "attribute",
    "parameter",
    "shape",
    "wild",
    "drop",
    "declare",
    "output",
    "time",
]


@st.composite
def disturbed(draw: Draw) -> Model:
    """A network in which some things were replaced by others of the same kind."""
    model: Model = draw(networks())
    graph = model.graph
    model.opsets.update(ann=1, snn=1)
    values = [*graph.value_names(), "nothing", "nothing:y"]
    for _ in range(draw(st.integers(1, 4))):
        node = draw(st.sampled_from(list(graph.nodes.values())))
        entry = draw(st.sampled_from(graph.inputs))
        names = sorted(node.parameters) or ["weight"]
        known = registry.find(node.op)
        settings = [a.name for a in known.attributes] if known else []
        kind = draw(
            st.sampled_from(
                [
                    "op",
                    "edge",
                    "type",
                    "attribute",
                    "parameter",
                    "wild",
                    "drop",
                    "declare",
                    "output",
                    "time",
                ]
            )
        )
        if kind == "op":
            node.op = draw(st.sampled_from([*OPERATORS, "acme.Thing", "snn.Nothing"]))
        elif kind == "edge":
            port = draw(st.sampled_from([*(b.port for b in node.inputs), "x", "other"]))
            delay = draw(st.sampled_from([0, 0, 1, 7, -1, 1 << 30]))
            node.inputs.append(Binding(port, draw(st.sampled_from(values)), delay))
        elif kind == "type":
            entry.type = draw(value_types())
        elif kind == "attribute":
            name = draw(st.sampled_from([*settings, *settings, "other"]))
            choices = known.attribute(name).choices if known and name != "other" else ()
            allowed = st.sampled_from(choices) if choices else WILD_ATTRIBUTES
            node.attributes[name] = draw(allowed | WILD_ATTRIBUTES)
        elif kind == "parameter":
            node.parameters[draw(st.sampled_from([*names, "bias", "other"]))] = draw(tensors())
        elif kind == "shape":
            name = draw(st.sampled_from(names))
            old = node.parameters.get(name, Tensor.from_array(np.float32(1)))
            dims = list(old.shape)
            for axis in range(len(dims)):
                dims[axis] = draw(st.sampled_from([dims[axis]] * 4 + [0, 1, dims[axis] + 1]))
            dims += draw(st.sampled_from([[], [], [], [1], [2]]))
            node.parameters[name] = filled(old.dtype, tuple(dims), draw(SEEDS))
        elif kind == "wild":
            shape = draw(SHAPES)
            array = np.full(shape, draw(WILD_FLOATS), draw(st.sampled_from(["f4", "f8"])))
            node.parameters[draw(st.sampled_from(names))] = Tensor.from_array(array)
        elif kind == "drop":
            node.parameters.pop(draw(st.sampled_from(names)), None)
            node.attributes.clear()
            del node.inputs[draw(st.integers(0, 2)) :]
        elif kind == "declare":
            node.output_types = tuple(draw(st.lists(value_types(), max_size=2)))
        elif kind == "output":
            graph.outputs.append(GraphOutput(draw(NAMES), draw(st.sampled_from(values)), ("a",)))
        else:
            model.time = TimeBase(draw(st.floats()), draw(st.integers(-1, 2**33)))
    return model
