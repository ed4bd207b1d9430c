"""Every operator that GeNN's populations carry out, with every setting: all values and states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from snnir import GraphBuilder
from snnir.ir.builder import Value
from snnir.ir.model import Model
from snnir.ops.registry import Resolver
from snnir.ops.schema import START_STEP, Attribute, Flow, OpDef, Parameter
from snnir_converters.genn._operators import BINARY, EMITTERS, is_binary
from tests.converters.genn.tools import Array, check_same, dyadic, genn

STEPS = 9
SHAPE = (2, 2)

Settings = dict[str, Any]


def each(*values: float) -> Array:
    """A number for each neuron."""
    return np.array(values, np.float32).reshape(SHAPE)


# A neuron's current is at most 2; what decays does so by powers of two, so that sums are exact.

_FIRING: list[Settings] = [
    {},
    {"threshold": 0.75, "reset_potential": -0.25, "initial_potential": 0.5, "start_step": 2},
    {"reset": "to_value", "reset_potential": 0.25, "bias": 0.125, "gain": 0.5, "compare": ">"},
    {"reset": "none", "refractory_steps": 2, "lower_bound": -1.0},
    {"refractory_steps": 1, "refractory_mode": "integrate", "negative_threshold": 0.75},
    {"negative_threshold": 0.5, "negative_spikes": "corrective", "compare": ">"},
    {"negative_threshold": 0.25, "reset": "to_value", "reset_potential": -0.125},
    {"negative_threshold": 0.25, "reset": "none", "lower_bound": -0.5},
    {
        "negative_threshold": each(0.25, 0.5, 0.75, 1),
        "threshold": each(0.5, 0.75, 1, 1.25),
        "reset_potential": each(0, 0.25, -0.5, 0.125),
        "initial_potential": each(0.25, -0.25, 0.5, 0),
        "bias": each(0, 0.125, -0.125, 0.25),
        "gain": each(1, 0.5, 0.25, 2),
        "lower_bound": each(-1, -0.5, -2, -0.75),
        "refractory_steps": 1,
        "start_step": 1,
    },
    {"threshold": np.array([0.5, 1], np.float32)},  # one for each channel
]
_WINDOWS: list[Settings] = [
    {},
    {"start": 2},
    {"stop": 3},
    {"start": 3, "stop": 100, "start_step": 2},
]
_CODE: Settings = {
    "threshold": [1.0, 0.5, 0.25],
    "reset": [1.0, 0.5, 0.25],
    "weight": [1.0, 0.5, -0.25],
}
_OWN_CODES = {
    name: np.stack([each(1, 0.5, 0.25, 2) / 2**k for k in range(3)]) + more
    for name, more in (("threshold", 0), ("reset", 0.25), ("weight", -0.5))
}
_POOLS: list[Settings] = [
    {"rule": rule, "padding": padding, "strides": strides, "pads": pads, **more}
    for rule in ("cumulative", "gated", "any")
    for padding, strides, pads, more in (
        ("valid", None, None, {}),
        ("same", 2, None, {"start_step": 1}),
        ("explicit", 1, (1, 0), {"ceil_mode": rule != "any"}),
    )
]


def _decaying(settings: Iterable[Settings], **decays: Any) -> list[Settings]:
    """The settings, with one decay for all and with one for each neuron."""
    found = []
    for number, setting in enumerate(settings):
        own = {name: values[number % 2] for name, values in decays.items()}
        found.append({**setting, **own})
    return found


def _pools(rank: int) -> list[Settings]:
    return [
        {
            **setting,
            "pool_size": (2,) * rank,
            "strides": setting["strides"] and (setting["strides"],) * rank,
            "pads": setting["pads"] and setting["pads"] * rank,
        }
        for setting in _POOLS
    ]


_DECAYS = (0.5, each(0.5, 0.25, 1, 0))

TABLE: Mapping[str, list[Settings]] = {
    "snn.IF": _FIRING,
    "snn.LIF": _decaying(_FIRING, decay=_DECAYS),
    "snn.ALIF": _decaying(
        _FIRING,
        decay=_DECAYS,
        adaptation_decay=(each(0.5, 0.25, 1, 0), 0.5),
        adaptation_strength=(0.25, each(0, 0.25, 0.5, 1)),
    ),
    "snn.LeakyIntegrator": [
        {},
        {"decay": 0.5, "bias": 0.25, "gain": 0.5, "initial_potential": 0.75, "start_step": 2},
        {
            "decay": each(0.5, 0.25, 1, 0),
            "bias": each(0, 0.25, 0.5, 1),
            "gain": each(1, 0.5, 0.25, -1),
            "initial_potential": each(1, 2, 3, 4),
        },
    ],
    "snn.ExponentialSynapse": [
        {"decay": 0.5, "start_step": 3},
        {"decay": each(0.5, 0.25, 1, 0)},
    ],
    "snn.FewSpike": [
        {**_CODE},
        {**_CODE, "bias": 0.5, "compare": ">", "start_step": 2},
        {**_OWN_CODES, "bias": each(0, 0.25, 0.5, 1)},
    ],
    "snn.FewSpikeEncoder": [
        {**_CODE},
        {**_CODE, "compare": ">", "start_step": 2},
        {**_OWN_CODES},
    ],
    "snn.ConstantCurrent": [{}, {"start_step": 2}],
    "snn.PoissonEncoder": [
        {},
        {"seed": 2**63 - 1, "gain": 0.5, "start_step": 2},
        {"seed": 12345, "gain": each(0.5, 1, 2, 0), "signed": True},
    ],
    "snn.LatencyEncoder": [
        {"window_steps": 1},
        {"window_steps": 5, "minimum": 0.25, "start_step": 2},
        {"window_steps": 2 * STEPS, "minimum": each(0, 0.25, 0.5, 1)},
    ],
    "snn.RateEncoder": [
        {},
        {"reset": "to_value", "reset_potential": 0.25, "compare": ">", "gain": 0.5},
        {"reset": "none", "threshold": 1.5, "initial_potential": 0.25, "start_step": 2},
        {
            "threshold": each(0.5, 0.75, 1, 1.25),
            "gain": each(1, 0.5, 0.25, 2),
            "reset_potential": each(0, 0.25, -0.5, 0.125),
            "initial_potential": each(0.25, -0.25, 0.5, 0),
        },
    ],
    "snn.Scale": [{"scale": 0.5, "start_step": 1}, {"scale": each(0.5, -0.25, 0, 1)}, {"scale": 2}],
    "snn.SpikeCount": _WINDOWS,
    "snn.FinalPotential": _WINDOWS,
    "snn.SumPotential": _WINDOWS,
    "snn.MeanPotential": _WINDOWS,
    "snn.MaxPotential": _WINDOWS,
    "snn.FirstSpikeTime": _WINDOWS,
    "snn.ExponentialPotential": [
        *_WINDOWS,
        {"time_constant": 2.5},
        {"time_constant": each(0.5, 1, 3, 100), "start": 1, "start_step": 1},
    ],
    "snn.MaxPool1D": _pools(1),
    "snn.MaxPool2D": _pools(2),
}
"""Settings of each operator; one node each."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "firing": ("snn.IF",),
    "leaky": ("snn.LIF",),
    "adaptive": ("snn.ALIF",),
    "pools": ("snn.MaxPool1D", "snn.MaxPool2D"),
    "decoders": tuple(op for op in TABLE if op.endswith(("Potential", "Count", "Time"))),
    "encoders": (
        *("snn.FewSpikeEncoder", "snn.ConstantCurrent", "snn.PoissonEncoder"),
        *("snn.LatencyEncoder", "snn.RateEncoder"),
    ),
    "synapses": ("snn.LeakyIntegrator", "snn.ExponentialSynapse", "snn.FewSpike", "snn.Scale"),
}
"""Operators that are compiled together."""


def definition(op: str) -> OpDef:
    found = Resolver({"snn": 1})(op)
    assert found is not None
    return found


def model_of(ops: Iterable[str]) -> Model:
    """A network with a node for each setting, all from the same inputs."""
    b = GraphBuilder(steps=STEPS)
    static = b.input("static", SHAPE)
    inputs: dict[int, Value] = {
        1: b.input("sequence", (5, 2), timing="per_step"),
        2: b.input("image", (3, 5, 2), timing="per_step"),
    }
    current = b.input("current", SHAPE, timing="per_step")
    for op in ops:
        opdef = definition(op)
        fed = static if opdef.flow is Flow.ENCODE else current
        if "MaxPool" in op:
            fed = inputs[int(op[-2])]
        if op == "snn.Scale":  # it is carried out by a population only behind a neuron
            fed = b.snn.LeakyIntegrator(current, decay=0.5, name="before-scale")
        for number, settings in enumerate(TABLE[op]):
            if op == "snn.Scale" and number:
                fed = b.snn.IF(current, name=f"before-scale-{number}")
            name = f"{op.removeprefix('snn.')}-{number}"
            value = b.add(op, fed, name=name, **settings)
            if op == "snn.Scale":
                value = b.snn.IF(value, name=f"after-{name}")
            b.output(f"{name}.out", value)
    for value in (static, *inputs.values(), current):
        if not any(value.name == b.source for n in b.graph.nodes.values() for b in n.inputs):
            b.output(f"{value.name}.same", value)
    return b.build()


@genn
@pytest.mark.parametrize("group", GROUPS)
def test_every_value_and_state_is_that_of_the_reference(group: str) -> None:
    rng = np.random.default_rng(list(GROUPS).index(group))
    samples = 4
    check_same(
        model_of(GROUPS[group]),
        {
            "static": dyadic(rng, samples, *SHAPE),
            "sequence": dyadic(rng, samples, STEPS, 5, 2),
            "image": dyadic(rng, samples, STEPS, 3, 5, 2),
            "current": 2 * dyadic(rng, samples, STEPS, *SHAPE),
        },
    )


# Whether the table is complete -------------------------------------------------------------------


def test_the_table_has_every_operator() -> None:
    assert TABLE.keys() == EMITTERS.keys()
    assert sorted(op for ops in GROUPS.values() for op in ops) == sorted(TABLE)


def attribute_cases(attribute: Attribute) -> set[str]:
    """What there must be of an attribute."""
    if attribute.choices:
        return set(attribute.choices)
    if attribute.kind == "bool":
        return {"True", "False"}
    return {"given"} if attribute.required else {"absent", "given"}


def attribute_case(attribute: Attribute, settings: Settings) -> str:
    value = settings.get(attribute.name)
    if attribute.choices or attribute.kind == "bool":
        return str(attribute.default if value is None else value)
    return "absent" if value is None else "given"


def parameter_cases(parameter: Parameter) -> set[str]:
    """What there must be of a parameter."""
    return {"shared", "own"} if parameter.required else {"absent", "shared", "own"}


def parameter_case(parameter: Parameter, settings: Settings) -> str:
    if parameter.name not in settings:
        return "absent"
    axes = np.ndim(settings[parameter.name]) - parameter.shape.startswith("[K]")
    return "own" if axes == len(SHAPE) else "shared"


@pytest.mark.parametrize("op", TABLE)
def test_the_table_has_every_branch(op: str) -> None:
    opdef, missing = definition(op), []
    for attribute in (*opdef.attributes, START_STEP):
        found = {attribute_case(attribute, settings) for settings in TABLE[op]}
        missing += [f"{attribute.name}: {c}" for c in attribute_cases(attribute) - found]
    for parameter in opdef.parameters:
        found = {parameter_case(parameter, settings) for settings in TABLE[op]}
        missing += [f"{parameter.name}: {c}" for c in parameter_cases(parameter) - found]
    assert missing == []


def test_what_is_called_binary_is_zero_or_one() -> None:
    """The reference, on all settings: GeNN sends such spikes without their value."""
    from snnir.runtime.backend import find_backend

    rng = np.random.default_rng(1)
    seen = set()
    for ops in GROUPS.values():
        model = model_of(ops)
        inputs = {
            entry.name: 2
            * dyadic(rng, 3, *([STEPS] if entry.type.is_per_step else []), *entry.type.shape)
            for entry in model.graph.inputs
        }
        nodes = [n for n in model.graph.nodes.values() if n.op in EMITTERS]
        names = [node.values()[0] for node in nodes]
        ran = find_backend("reference").prepare(model).run(inputs, record=names)
        for node, name in zip(nodes, names, strict=True):
            opdef = definition(node.op)
            attributes = {a.name: node.attributes.get(a.name, a.default) for a in opdef.attributes}
            if is_binary(node, attributes):
                seen.add(node.op)
                assert set(ran[name].flat) <= {0, 1}
    assert seen == BINARY | {"snn.PoissonEncoder"}
