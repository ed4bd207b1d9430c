"""Lowering a chain of ReLU layers to sigma-delta neurons.

Each neuron sends the change of its activation as one graded message, so the network computes the
original activations in fixed point, instead of approximating them by rates. That is why the way
starts from the ``ann`` graph even where a rate-coded network exists.

Let an activation of 1 be ``s`` units in a layer and ``s'`` in the next (a unit is 64 in messages,
4096 in states, and 1 in biases). A synapse of weight ``q`` adds ``q / 64`` units for each unit, so
the weights are ``q = w * 64 * s' / s`` rounded. Two things bound ``s'``: ``q`` must fit into its
bits, and the largest state into the 24 bits of the chip. Biases are whole units: where ``s'`` is
small, in the first layers, rounding them costs most. How many units the input has is therefore
searched: it is the one number that trades the resolution of the first biases against that of the
last weights. Biases also take up the mean error of what came before (Nagel et al., Data-free
quantization through weight equalization and bias correction, ICCV 2019, section 4.2, with
calibration data).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.types import Timing
from snnir.passes import weights
from snnir.passes.loihi2.chain import Chain, ChainLayer, find_chain
from snnir.passes.loihi2.report import LoweredLayer, headroom
from snnir.passes.quantise.scales import (
    Scale,
    clipped,
    integers,
    largest,
    rounding_error,
    unit,
)
from snnir.passes.rate.signals import apply

Array = npt.NDArray[Any]

MESSAGE: Final = 64
"""Messages in a unit."""

STATE: Final = 4096
"""States in a unit."""

BYTE: Final = 255
"""Message of the largest input, before it is multiplied by a power of two."""

SHIFTS: Final = (0, 1, 2, 3, 4, 5, 6)
"""Powers of two that are tried."""

MARGIN: Final = 1.25
"""How many times larger than on the calibration samples a state may become."""

MAX_UNITS: Final = (1 << 23) / STATE / MARGIN

POOL_GAIN: Final = 64
"""Largest weight of a pooling layer."""

PROBED: Final = 64
"""Calibration samples on which ``output`` measures."""


@dataclass
class _Quantised:
    """A layer in integers.

    Attributes:
        weight: Integer weights, in the layout of the layer's node.
        bias: Bias in units: integers, but for the last layer's, which the host adds.
        scale: Units of an activation of 1 behind the layer.
        report: What became of it.
    """

    weight: Array
    bias: Array
    scale: float
    report: LoweredLayer


def lower_chain(
    model: Model, calibration: Mapping[str, Array], bits: int, scale: Scale
) -> tuple[Model, list[LoweredLayer]]:
    """The network of sigma-delta neurons, and what became of each layer.

    Args:
        model: A canonical model of domain ``ann``.
        calibration: Samples for its input.
        bits: Bits of a weight, 2 to 8.
        scale: How the range of the weights is chosen.

    Raises:
        CapabilityError: With every node that does not fit.
    """
    chain = find_chain(model)
    entry = model.graph.inputs[0]
    if entry.type.timing is Timing.PER_STEP:
        raise CapabilityError(
            Diagnostic(
                "loihi2.unsupported",
                f"input '{entry.name}'",
                "an input that changes over time",
                "a static input, which is sent once",
            )
        )
    exact = _start(chain, entry, calibration[entry.name])
    found = [_quantise(chain, exact, start, bits, scale) for start in _starts(chain, entry, exact)]
    start, layers = min(found, key=lambda each: each[1][-1].report.error)
    return _build(model, chain, start, layers), [layer.report for layer in layers]


def _start(chain: Chain, entry: GraphInput, samples: Array) -> Array:
    """What arrives at the first layer."""
    values: Array = np.asarray(samples).astype(np.float32)
    if entry.scale is not None:
        values = values * entry.scale.values().astype(np.float32)
    if entry.offset is not None:
        values = values + entry.offset.values().astype(np.float32)
    known = {entry.name: values}
    for node in chain.before:
        known[node.values()[0]] = apply(node, [known[b.source] for b in node.inputs])
    return known[chain.entry]


def _starts(chain: Chain, entry: GraphInput, exact: Array) -> list[float]:
    """Messages of an input of 1 that are tried; inputs that are integers stay exact."""
    base = BYTE / max(float(np.abs(exact).max(initial=0.0)), 1e-6)
    if not entry.type.dtype.is_float and entry.scale is not None and entry.scale.size == 1:
        base = 1 / float(abs(entry.scale.values().reshape(-1)[0]))
    return [base * 2**shift for shift in SHIFTS]


# Integers ------------------------------------------------------------------------------------


def _quantise(
    chain: Chain, exact: Array, start: float, bits: int, method: Scale
) -> tuple[float, list[_Quantised]]:
    """All layers in integers, one after the other, on the calibration samples."""
    scale = start / MESSAGE
    found = np.rint(exact.astype(np.float64) * start).astype(np.float32) / np.float32(MESSAGE)
    layers: list[_Quantised] = []
    for layer in chain.layers:
        for node in layer.before:
            exact, found = apply(node, [exact]), apply(node, [found])
        target = apply(layer.node, [exact])
        last = layer is chain.layers[-1]
        done = _quantise_layer(layer, target, found, scale, bits, method, last)
        layers.append(done)
        scale = done.scale
        integer = weights.with_weights(layer.node, done.weight, None)
        found = apply(integer, [found]) / np.float32(MESSAGE) + done.bias.astype(np.float32)
        exact = target
        if layer.rectified:
            exact, found = np.maximum(exact, 0), np.maximum(found, 0)
        if not last:
            found = np.floor(found * MESSAGE) / np.float32(MESSAGE)
        wrong = float(np.sqrt(np.square(found / scale - exact).mean()))
        size = float(np.sqrt(np.square(exact).mean())) or 1.0
        done.report = dataclasses.replace(done.report, error=wrong / size)
    return start, layers


def _quantise_layer(
    layer: ChainLayer,
    target: Array,
    found: Array,
    before: float,
    bits: int,
    method: Scale,
    last: bool,
) -> _Quantised:
    weight = weights.weight(layer.node).astype(np.float64)
    size = max(float(np.abs(target).max(initial=0.0)), 1e-9)
    most = MAX_UNITS / size
    if layer.pools:
        top = min(POOL_GAIN, largest(8))
        gain = int(np.clip(np.floor(most / before * MESSAGE * weight.max()), 1, top))
        integer = np.full_like(weight, gain)
        step = float(weight.max()) / gain
    else:

        def error(candidate: float) -> float:
            """Of the layer's output with this unit."""
            after = before / (MESSAGE * candidate)
            tried = weights.with_weights(layer.node, integers(weight, candidate, bits), None)
            got = apply(tried, [found[:PROBED]]) / np.float32(MESSAGE * after)
            wrong = (got - target[:PROBED]).reshape(-1, target.shape[-1])
            return float(np.square(wrong - wrong.mean(0)).sum())

        step = max(unit(weight, bits, method, error), before / (MESSAGE * most))
        integer = integers(weight, step, bits)
    scale = before / (MESSAGE * step)
    got = apply(weights.with_weights(layer.node, integer, None), [found]) / np.float32(MESSAGE)
    rest = (target.astype(np.float64) * scale - got).reshape(-1, target.shape[-1]).mean(0)
    bias = np.zeros_like(rest) if layer.pools else rest
    if not last:
        bias = np.rint(bias)
    report = LoweredLayer(
        node=layer.name,
        source=layer.source,
        neurons=int(np.prod(target.shape[1:])),
        unit=step,
        levels=int(np.abs(integer).max(initial=0)),
        clipped=0.0 if layer.pools else clipped(weight, step, bits),
        rounding=0.0 if layer.pools else rounding_error(weight, step, bits),
        headroom=headroom(float(np.abs(got).max(initial=0.0)) * STATE),
        error=0.0,
    )
    return _Quantised(integer, bias, scale, report)


# The graph -----------------------------------------------------------------------------------


def _build(model: Model, chain: Chain, start: float, layers: list[_Quantised]) -> Model:
    graph = model.graph
    builder = GraphBuilder(
        graph.name, dt=model.time.dt, steps=len(layers) + 1, metadata=model.metadata
    )
    entry = graph.inputs[0]
    builder.graph.inputs.append(entry)
    builder.types[entry.name] = entry.value_type
    for node in chain.before:
        _copy(builder, node, [Value(b.source) for b in node.inputs])
    value: Value = builder.loihi2.SendOnce(
        builder.loihi2.Quantize(
            Value(chain.entry), scale=start, name=_free(builder, f"{entry.name}.quantised")
        ),
        name=_free(builder, f"{entry.name}.message"),
    )
    for layer, done in zip(chain.layers, layers, strict=True):
        value = _connect(builder, value, layer, done)
        last = layer is chain.layers[-1]
        if last:
            value = builder.loihi2.Sigma(value, name=layer.name, source=layer.source)
        else:
            value = builder.loihi2.SigmaDelta(
                value,
                bias=done.bias.astype(np.int32) if np.any(done.bias) else None,
                name=layer.name,
                source=layer.source,
            )
    answer = layers[-1]
    numbers = builder.loihi2.Dequantize(
        value, scale=1 / (STATE * answer.scale), name=_free(builder, f"{value_name(value)}.number")
    )
    final = builder.snn.FinalPotential(numbers, name=_free(builder, f"{value_name(value)}.final"))
    if np.any(answer.bias):
        final = builder.ann.Bias(
            final,
            bias=(answer.bias / answer.scale).astype(np.float32),
            name=_free(builder, f"{value_name(value)}.bias"),
        )
    known = {chain.exit: final}
    for node in chain.after:
        known[node.values()[0]] = _copy(builder, node, [known[b.source] for b in node.inputs])
    output = graph.outputs[0]
    builder.output(output.name, known[output.value], labels=output.labels)
    return builder.build()


def _connect(builder: GraphBuilder, value: Value, layer: ChainLayer, done: _Quantised) -> Value:
    """The synapse of a layer; behind an image it is flattened in the order of the chip's tools."""
    node, weight = layer.node, done.weight
    name = layer.node.name if layer.node.name != layer.name else f"{layer.name}.synapse"
    if node.operator == "Dense":
        image = builder.types[value.name].shape
        if len(image) == 3:
            order = _rows(layer, tuple(int(n) for n in image))
            weight = weight[order]
            value = builder.loihi2.Permute(
                value, axes=(2, 0, 1), name=_free(builder, f"{name}.chw")
            )
        if len(image) > 1:
            value = builder.loihi2.Flatten(value, name=_free(builder, f"{name}.flat"))
        stored, exponent = _stored(weight)
        synapse: Value = builder.loihi2.Dense(
            value.delayed(1),
            weight=stored,
            weight_exp=exponent,
            name=_free(builder, name),
            source=node.source,
        )
        return synapse
    pads: Any = node.attributes["pads"]
    convolved: Value = builder.loihi2.Conv2D(
        value.delayed(1),
        weight=weight.astype(np.int16),
        strides=node.attributes["strides"],
        dilations=node.attributes["dilations"],
        groups=node.attributes["groups"],
        pads=(pads[0], pads[2]),
        name=_free(builder, name),
        source=node.source,
    )
    return convolved


def _rows(layer: ChainLayer, image: tuple[int, ...]) -> Array:
    """For each input of the chip's flattened order, the row of the weights that it belongs to."""
    numbers: Array = np.arange(int(np.prod(image)), dtype=np.float32).reshape(1, *image)
    places = numbers
    for node in layer.before:
        places = apply(node, [places])
    row = np.empty(places.size, np.int64)
    row[places.reshape(-1).astype(np.int64)] = np.arange(places.size)
    return row[np.ascontiguousarray(numbers.transpose(0, 3, 1, 2)).reshape(-1).astype(np.int64)]


def _stored(weight: Array) -> tuple[Array, int]:
    """Weights as the chip stores them, and their exponent: signed ones lie on the even grid."""
    mixed = weight.min() < 0 < weight.max()
    factor = 2 if mixed else 1
    return (factor * weight).astype(np.int16), -1 if mixed else 0


def value_name(value: Value) -> str:
    """Name of the node that a value comes from."""
    return value.name.partition(":")[0]


def _copy(builder: GraphBuilder, node: Node, inputs: list[Value]) -> Value:
    ports: dict[str, list[Value]] = {}
    for binding, value in zip(node.inputs, inputs, strict=True):
        ports.setdefault(binding.port, []).append(value)
    added: Value = builder.add(
        node.op,
        name=_free(builder, node.name),
        source=node.source,
        **ports,
        **node.attributes,
        **node.parameters,
    )
    return added


def _free(builder: GraphBuilder, name: str) -> str:
    graph, number, free = builder.graph, 1, name
    while free in graph.nodes or graph.input(free):
        number += 1
        free = f"{name}{number}"
    return free
