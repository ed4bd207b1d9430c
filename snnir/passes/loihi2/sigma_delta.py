"""Lowering a chain of ReLU layers to sigma-delta neurons.

Each neuron sends the change of its activation as one graded message, so the network computes the
original activations in fixed point, instead of approximating them by rates. That is why the way
starts from the ``ann`` graph even where a rate-coded network exists.

Let an activation of 1 be ``s`` units in a layer and ``s'`` in the next (a unit is 64 in messages,
4096 in states, and 1 in biases). A synapse of weight ``q`` adds ``q / 64`` units for each unit, so
the weights are ``q = w * 64 * s' / s`` rounded. Two things bound ``s'``: ``q`` must fit into its
bits, and the largest state into the 24 bits of the chip. Large units come late, then, and since
biases are whole units, rounding them costs most in the first layers, where units are small. More
units there are to be had only for fewer levels of the weights, in all layers or in the last ones;
the trade that gives the smallest error on the calibration samples is searched. Biases also take
up the mean error of what came before (Nagel et al., Data-free quantization through weight
equalization and bias correction, ICCV 2019, section 4.2, with calibration data).
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
from snnir.ir.graph import GraphInput
from snnir.ir.model import Model
from snnir.ir.types import Timing
from snnir.passes import weights
from snnir.passes.loihi2.chain import Chain, find_chain
from snnir.passes.loihi2.report import LoweredLayer, headroom
from snnir.passes.loihi2.synapses import connect, copied, free_name
from snnir.passes.quantise.scales import (
    AUTO,
    Choice,
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

TRADES: Final = (
    *((shift, 0) for shift in range(5)),
    *((0, shift) for shift in range(1, 7)),
    *((1, shift) for shift in (1, 2, 4)),
)
"""What is tried: bits that the levels of every layer may lose, and those that the last may."""

SEARCHED: Final = 96
"""Calibration samples on which trades are compared."""

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
    model: Model, calibration: Mapping[str, Array], bits: int, scale: Choice
) -> tuple[Model, list[LoweredLayer], Scale]:
    """The network of sigma-delta neurons, what became of each layer, and the scale in use.

    Args:
        model: A canonical model of domain ``ann``.
        calibration: Samples for its input.
        bits: Bits of a weight, 2 to 8.
        scale: How the range of the weights is chosen; ``"auto"``: as measures best.

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
    samples = arriving(chain, entry, calibration[entry.name])
    tried: list[tuple[Scale, float, list[_Quantised]]] = []
    for method in AUTO if scale == "auto" else (scale,):
        found = _Quantiser(chain, samples, bits, method).run(_grain(entry, chain))
        tried.append((method, *found))
    used, start, layers = min(tried, key=lambda each: each[2][-1].report.error)
    return _build(model, chain, start, layers, bits), [each.report for each in layers], used


def arriving(chain: Chain, entry: GraphInput, samples: Array) -> Array:
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


def _grain(entry: GraphInput, chain: Chain) -> float | None:
    """What a step of the input is, if it consists of integers."""
    if entry.type.dtype.is_float or chain.before or entry.offset is not None:
        return None
    if entry.scale is None:
        return 1.0
    return float(abs(entry.scale.values().reshape(-1)[0])) if entry.scale.size == 1 else None


# Integers ------------------------------------------------------------------------------------


class _Quantiser:
    """Brings all layers into integers, on the calibration samples.

    Args:
        chain: The layers.
        samples: What arrives at the first.
        bits: Bits of a weight.
        method: How the range of weights is chosen.
    """

    def __init__(self, chain: Chain, samples: Array, bits: int, method: Scale) -> None:
        self.chain, self.samples, self.bits, self.method = chain, samples, bits, method
        self.weights = [weights.weight(layer.node).astype(np.float64) for layer in chain.layers]
        self.targets: list[Array] = []
        exact = samples
        for layer in chain.layers:
            for node in layer.before:
                exact = apply(node, [exact])
            exact = apply(layer.node, [exact])
            self.targets.append(exact)
            if layer.rectified:
                exact = np.maximum(exact, 0)
        sizes = [float(np.abs(target).max(initial=0.0)) for target in self.targets]
        self.most = [MAX_UNITS / (size or 1.0) for size in sizes]
        self.most_input = MAX_UNITS * MESSAGE / (float(np.abs(samples).max(initial=0.0)) or 1.0)

    def run(self, grain: float | None) -> tuple[float, list[_Quantised]]:
        """Messages of an input of 1, and the layers.

        Args:
            grain: A step of the input, if it consists of integers: they then stay exact.
        """
        plans = [self._plan(every, last) for every, last in TRADES]
        tried = []
        for plan in plans:
            start = MESSAGE * plan[0]
            if grain is not None:
                start = 2.0 ** np.ceil(np.log2(max(start * grain, 1.0))) / grain
            tried.append((start, plan[1:]))
        if len(tried) > 1:
            errors = [
                self._quantise(start, plan, SEARCHED)[-1].report.error for start, plan in tried
            ]
            start, plan = tried[int(np.argmin(errors))]
        return start, self._quantise(start, plan, len(self.samples))

    def _plan(self, every: int, last: int) -> list[float]:
        """Units of an activation of 1: before the first layer, and behind each."""
        found = [self.most[-1]]
        for number in reversed(range(len(self.chain.layers))):
            layer, weight = self.chain.layers[number], self.weights[number]
            most = float(np.abs(weight).max(initial=0.0)) or 1.0
            levels = 1 if layer.pools else largest(self.bits)
            before = found[0] * MESSAGE * most / levels * 2**every
            found.insert(0, min(before, self.most[number - 1]) if number else before)
        for number in range(len(found) - 1):
            limit = self.most[number - 1] if number else self.most_input
            found[number] = min(found[number] * 2**last, limit)
        return found

    def _quantise(self, start: float, plan: list[float], count: int) -> list[_Quantised]:
        """All layers, one after the other."""
        scale = start / MESSAGE
        exact = self.samples[:count]
        found = np.rint(exact.astype(np.float64) * start).astype(np.float32) / np.float32(MESSAGE)
        layers: list[_Quantised] = []
        for number, layer in enumerate(self.chain.layers):
            for node in layer.before:
                found = apply(node, [found])
            exact = self.targets[number][:count]
            done = self._layer(number, exact, found, scale, plan[number])
            layers.append(done)
            scale = done.scale
            integer = weights.with_weights(layer.node, done.weight, None)
            found = apply(integer, [found]) / np.float32(MESSAGE) + done.bias.astype(np.float32)
            if layer.rectified:
                exact, found = np.maximum(exact, 0), np.maximum(found, 0)
            if number < len(self.chain.layers) - 1:
                found = np.floor(found * MESSAGE) / np.float32(MESSAGE)
            wrong = float(np.sqrt(np.square(found / scale - exact).mean()))
            size = float(np.sqrt(np.square(exact).mean())) or 1.0
            done.report = dataclasses.replace(done.report, error=wrong / size)
        return layers

    def _layer(
        self, number: int, target: Array, found: Array, before: float, planned: float
    ) -> _Quantised:
        layer, weight, bits = self.chain.layers[number], self.weights[number], self.bits
        finest = before / (MESSAGE * planned)
        if layer.pools:
            gain = int(np.clip(np.floor(weight.max() / finest), 1, POOL_GAIN))
            integer = np.full_like(weight, gain)
            step = float(weight.max()) / gain
        else:

            def error(candidate: float) -> float:
                """Of the layer's output with this unit."""
                step = max(candidate, finest)
                tried = weights.with_weights(layer.node, integers(weight, step, bits), None)
                got = apply(tried, [found[:PROBED]]) * np.float32(step / before)
                wrong = (got - target[:PROBED]).reshape(-1, target.shape[-1])
                return float(np.square(wrong - wrong.mean(0)).sum())

            step = max(unit(weight, bits, self.method, error), finest)
            integer = integers(weight, step, bits)
        scale = before / (MESSAGE * step)
        got = apply(weights.with_weights(layer.node, integer, None), [found]) / np.float32(MESSAGE)
        rest = (target.astype(np.float64) * scale - got).reshape(-1, target.shape[-1]).mean(0)
        bias = np.zeros_like(rest) if layer.pools else rest
        if number < len(self.chain.layers) - 1:
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


def _build(model: Model, chain: Chain, start: float, layers: list[_Quantised], bits: int) -> Model:
    graph = model.graph
    builder = GraphBuilder(
        graph.name, dt=model.time.dt, steps=len(layers) + 1, metadata=model.metadata
    )
    entry = graph.inputs[0]
    builder.graph.inputs.append(entry)
    builder.types[entry.name] = entry.value_type
    for node in chain.before:
        copied(builder, node, [Value(b.source) for b in node.inputs])
    value: Value = builder.loihi2.SendOnce(
        builder.loihi2.Quantize(
            Value(chain.entry), scale=start, name=free_name(builder, f"{entry.name}.quantised")
        ),
        name=free_name(builder, f"{entry.name}.message"),
    )
    for layer, done in zip(chain.layers, layers, strict=True):
        value = connect(builder, value, layer, done.weight, bits)
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
    answer, name = layers[-1], chain.layers[-1].name
    numbers = builder.loihi2.Dequantize(
        value, scale=1 / (STATE * answer.scale), name=free_name(builder, f"{name}.number")
    )
    final = builder.snn.FinalPotential(numbers, name=free_name(builder, f"{name}.final"))
    if np.any(answer.bias):
        final = builder.ann.Bias(
            final,
            bias=(answer.bias / answer.scale).astype(np.float32),
            name=free_name(builder, f"{name}.bias"),
        )
    known = {chain.exit: final}
    for node in chain.after:
        known[node.values()[0]] = copied(builder, node, [known[b.source] for b in node.inputs])
    output = graph.outputs[0]
    builder.output(output.name, known[output.value], labels=output.labels)
    return builder.build()
