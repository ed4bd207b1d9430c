"""Lowering a chain of ReLU layers to spiking neurons with a reset to 0: an approximation.

Loihi 2's tools have no neuron that subtracts its threshold. A reset to 0 loses what the potential
was above the threshold, so neurons fire too little, and the more so the fewer inputs it takes
to reach the threshold. Layer by layer, on the calibration samples: of several thresholds the one
is taken whose rates are nearest to being proportional to the original activations; the factor of
that proportion scales the next layer's weights; and biases take up what is missing on average.
Static inputs become spikes on the host (a rate encoder that subtracts). The answer is the
potential of a readout that cannot fire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Model
from snnir.ir.types import Timing
from snnir.ops.loihi2.neurons import MAX_THRESHOLD, UNITY
from snnir.passes import weights
from snnir.passes.loihi2.chain import ChainLayer, find_chain
from snnir.passes.loihi2.report import LoweredLayer, headroom
from snnir.passes.loihi2.sigma_delta import arriving
from snnir.passes.loihi2.synapses import connect, copied, free_name
from snnir.passes.quantise.scales import Scale, clipped, integers, rounding_error, unit
from snnir.passes.rate.signals import apply

Array = npt.NDArray[Any]

FACTORS: Final = (0.35, 0.5, 0.7, 0.85, 1.0, 1.25, 1.6, 2.0)
"""Thresholds that are tried, relative to the largest activation."""

CORRECTIONS: Final = 3
"""How often biases are corrected by what is missing on average."""

TOP: Final = 99.9
"""Percentile of the activations that counts as the largest."""

MARGIN: Final = 1.25
MAX_BIAS: Final = 4095
MEMORY_BYTES: Final = 1 << 26
"""Most that the spikes of one layer take; their currents take four times as much."""


@dataclass
class _Layer:
    """A layer in integers.

    Attributes:
        weight: Integer weights.
        bias: Integer bias of each output channel.
        threshold: Integer threshold.
        worth: Activation that a rate of one spike a step stands for.
        trains: Spikes on the calibration samples, (steps, samples, ...).
        report: What became of it.
    """

    weight: Array
    bias: Array
    threshold: int
    worth: float
    trains: Array
    report: LoweredLayer


def lower_hard_reset(
    model: Model, calibration: Mapping[str, Array], bits: int, scale: Scale, steps: int
) -> tuple[Model, list[LoweredLayer]]:
    """The spiking network, and what became of each layer.

    Args:
        model: A canonical model of domain ``ann``.
        calibration: Samples for its input.
        bits: Bits of a weight.
        scale: How the range of the weights is chosen; ``"output"`` counts as ``"mse"``.
        steps: Presentation length, to which the latency of the layers is added.

    Raises:
        CapabilityError: With every node that does not fit.
    """
    chain = find_chain(model)
    entry = model.graph.inputs[0]
    exact = arriving(chain, entry, calibration[entry.name])
    if entry.type.timing is Timing.PER_STEP or float(exact.min(initial=0.0)) < 0:
        raise CapabilityError(
            Diagnostic(
                "loihi2.unsupported",
                f"input '{entry.name}'",
                "an input that changes over time, or is below 0",
                "a static input of at least 0, which becomes spikes",
                "Shift the input in the first layer's bias, or use sigma-delta neurons.",
            )
        )
    total = steps + len(chain.layers)
    elements = max(int(np.prod(exact.shape[1:])), _largest(chain.layers, exact))
    exact = exact[: max(MEMORY_BYTES // (elements * total), 8)]
    worth = max(float(exact.max(initial=0.0)), 1e-6)
    trains, first = _encoded(exact / np.float32(worth), total), worth
    done: list[_Layer] = []
    for number, layer in enumerate(chain.layers):
        for node in layer.before:
            exact, trains = apply(node, [exact]), _stepwise(node, trains)
        exact = apply(layer.node, [exact])
        last = number == len(chain.layers) - 1
        make = _readout if last else _neurons
        if layer.rectified:
            exact = np.maximum(exact, 0)
        done.append(make(layer, exact, trains, worth, bits, scale, number + 1))
        worth, trains = done[-1].worth, done[-1].trains
    builder = GraphBuilder(model.graph.name, dt=model.time.dt, steps=total, metadata=model.metadata)
    builder.graph.inputs.append(entry)
    builder.types[entry.name] = entry.value_type
    for node in chain.before:
        copied(builder, node, [Value(b.source) for b in node.inputs])
    spikes = builder.snn.RateEncoder(
        Value(chain.entry),
        gain=1 / first,
        initial_potential=0.5,
        name=free_name(builder, f"{entry.name}.encoder"),
    )
    value: Value = builder.loihi2.Quantize(spikes, name=free_name(builder, f"{entry.name}.spikes"))
    for layer, made in zip(chain.layers, done, strict=True):
        current = connect(builder, value, layer, made.weight, bits)
        arguments: dict[str, Any] = {
            "i_decay": np.int32(UNITY),
            "v_decay": np.int32(0),
            "bias": made.bias.astype(np.int32) if np.any(made.bias) else None,
            "name": layer.name,
            "source": layer.source,
        }
        if layer is chain.layers[-1]:
            value = builder.loihi2.CubaLI(current, **arguments)
        else:
            threshold = np.int32(made.threshold)
            value = builder.loihi2.CubaLIF(current, threshold=threshold, **arguments)
    number_node = builder.loihi2.Dequantize(
        value, scale=done[-1].worth, name=free_name(builder, f"{chain.layers[-1].name}.number")
    )
    final = builder.snn.FinalPotential(
        number_node, name=free_name(builder, f"{chain.layers[-1].name}.final")
    )
    known = {chain.exit: final}
    for node in chain.after:
        known[node.values()[0]] = copied(builder, node, [known[b.source] for b in node.inputs])
    output = model.graph.outputs[0]
    builder.output(output.name, known[output.value], labels=output.labels)
    return builder.build(), [layer.report for layer in done]


def _largest(layers: list[ChainLayer], exact: Array) -> int:
    """Elements of the largest layer."""
    value, most = exact[:1], 0
    for layer in layers:
        for node in (*layer.before, layer.node):
            value = apply(node, [value])
        most = max(most, value.size)
    return most


def _encoded(rate: Array, steps: int) -> Array:
    """Spikes of a rate encoder that starts at half its threshold, (steps, samples, ...)."""
    trains = np.empty((steps, *rate.shape), np.int8)
    v = np.full(rate.shape, 0.5, np.float32)
    for t in range(steps):
        v = v + rate
        trains[t] = v >= 1
        v = v - trains[t]
    return trains


def _stepwise(node: Any, trains: Array) -> Array:
    """A node on every step."""
    found = apply(node, [trains.reshape(-1, *trains.shape[2:]).astype(np.float32)])
    return found.reshape(*trains.shape[:2], *found.shape[1:])


def _current(layer: ChainLayer, weight: Array, trains: Array) -> Array:
    """Input of each step, which comes a step after the spikes."""
    arriving = _stepwise(weights.with_weights(layer.node, weight, None), trains)
    late = np.zeros_like(arriving)
    late[1:] = arriving[:-1]
    return late


def _fire(current: Array, bias: Array, threshold: float) -> Array:
    """Spikes of neurons with a reset to 0."""
    trains = np.empty(current.shape, np.int8)
    v = np.zeros(current.shape[1:], np.float32)
    for t, step in enumerate(current):
        v = v + step + bias
        fired = v > threshold
        trains[t] = fired
        v = np.where(fired, np.float32(0), v)
    return trains


def _channels(values: Array) -> Array:
    """Mean of each output channel."""
    found: Array = values.reshape(-1, values.shape[-1]).mean(0)
    return found


def _fit(rate: Array, exact: Array) -> tuple[float, float]:
    """The factor that brings rates nearest to the activations, and the error that is left."""
    power = float(np.square(rate, dtype=np.float64).sum())
    factor = float((rate.astype(np.float64) * exact).sum()) / power if power else 0.0
    size = float(np.sqrt(np.square(exact, dtype=np.float64).mean())) or 1.0
    wrong = float(np.sqrt(np.square(rate * factor - exact, dtype=np.float64).mean()))
    return factor, wrong / size


def _neurons(
    layer: ChainLayer,
    exact: Array,
    trains: Array,
    worth: float,
    bits: int,
    scale: Scale,
    lag: int,
) -> _Layer:
    real = weights.weight(layer.node).astype(np.float64)
    step = unit(real, bits, scale)
    weight = integers(real, step, bits)
    current = _current(layer, weight, trains)
    grain = step * worth
    trained = weights.bias(layer.node) / grain
    largest_activation = max(float(np.percentile(exact, TOP)), 1e-6)
    length = len(trains) - lag
    tried: list[tuple[float, int, float, Array, Array]] = []
    for factor in FACTORS:
        threshold = int(np.clip(round(factor * largest_activation / grain), 1, MAX_THRESHOLD))
        bias = np.clip(np.rint(trained), -MAX_BIAS, MAX_BIAS)
        found = _fire(current, bias.astype(np.float32), threshold)
        value, error = _fit(found[lag:].sum(0) / np.float32(length), exact)
        for _ in range(CORRECTIONS):
            rate = found[lag:].sum(0) / np.float32(length)
            if value <= 0:
                break
            missing = _channels(exact - rate * value) * (threshold / value)
            moved = np.clip(np.rint(bias + missing), -MAX_BIAS, MAX_BIAS)
            again = _fire(current, moved.astype(np.float32), threshold)
            new_value, new_error = _fit(again[lag:].sum(0) / np.float32(length), exact)
            if new_error >= error:
                break
            bias, found, value, error = moved, again, new_value, new_error
        tried.append((error, threshold, value, bias, found))
    error, threshold, value, bias, kept = min(tried, key=lambda each: each[0])
    report = LoweredLayer(
        layer.name,
        layer.source,
        int(np.prod(exact.shape[1:])),
        step,
        int(np.abs(weight).max(initial=0)),
        clipped(real, step, bits),
        rounding_error(real, step, bits),
        headroom(64 * float(np.abs(current).max(initial=0.0))),
        error,
    )
    return _Layer(weight, bias, threshold, value, kept, report)


def _readout(
    layer: ChainLayer,
    exact: Array,
    trains: Array,
    worth: float,
    bits: int,
    scale: Scale,
    lag: int,
) -> _Layer:
    real = weights.weight(layer.node).astype(np.float64)
    length, steps = len(trains) - lag, len(trains)
    total = _current(layer, real, trains).sum(0) + weights.bias(layer.node) * length / worth
    most = float(np.abs(total).max(initial=0.0)) * MARGIN
    step = max(unit(real, bits, scale), most / MAX_THRESHOLD)
    weight = integers(real, step, bits)
    current = _current(layer, weight, trains).sum(0)
    grain = step * worth
    wanted = exact * (length / grain)
    bias = np.clip(np.rint(_channels(wanted - current) / steps), -MAX_BIAS, MAX_BIAS)
    found = (current + bias * steps) * (grain / length)
    _, error = _fit(found, exact)
    report = LoweredLayer(
        layer.name,
        layer.source,
        int(np.prod(exact.shape[1:])),
        step,
        int(np.abs(weight).max(initial=0)),
        clipped(real, step, bits),
        rounding_error(real, step, bits),
        headroom(64 * float(np.abs(current + bias * steps).max(initial=0.0))),
        error,
    )
    return _Layer(weight, bias, 0, grain / length / 64, trains, report)
