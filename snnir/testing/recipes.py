"""How random models use the built-in operators: settings that fit, and the bits they need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from snnir.ops.schema import OpDef
from snnir.testing.sampling import (
    FEEDBACK,
    FEEDBACK_BITS,
    Array,
    Draw,
    Known,
    Plan,
    Recipe,
    together,
)

Inputs = Sequence[Known]

_WEIGHT_BITS: Final = 2


def _log2(number: float) -> int:
    """The exponent of a power of two; of others one that is too large."""
    return math.ceil(math.log2(number)) if number > 1 else 0


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


# Linear --------------------------------------------------------------------------------------


def _linear(draw: Draw, x: Known, terms: int, outputs: int, arguments: dict[str, Any]) -> Plan:
    """A sum of so many products with weights of at most 1, and perhaps a bias."""
    arguments["bias"] = draw.maybe(0.5, lambda: draw.numbers((outputs,), -1, 1))
    return Plan(arguments, x.bits + _WEIGHT_BITS, terms * x.bound + 1)


def _dense(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    if not x.shape:
        return None
    units = draw.integer(1, 6)
    weight = draw.weights((x.shape[-1], units))
    return _linear(draw, x, x.shape[-1], units, {"weight": weight})


def _window(draw: Draw, lengths: Sequence[int], sizes: Sequence[int]) -> dict[str, Any]:
    """Strides and padding of windows."""
    rank = len(lengths)
    padding = draw.choice(("valid", "same", "explicit"))
    pads = tuple(draw.integer(0, sizes[axis // 2] - 1) for axis in range(2 * rank))
    return {
        "strides": draw.maybe(0.5, lambda: draw.integers(rank, 1, 3)),
        "padding": padding,
        "pads": pads if padding == "explicit" else None,
    }


def _sizes(draw: Draw, lengths: Sequence[int]) -> tuple[int, ...]:
    return tuple(draw.integer(1, min(length, 3)) for length in lengths)


def _kernel(draw: Draw, x: Known, rank: int) -> tuple[tuple[int, ...], dict[str, Any]] | None:
    """Kernel sizes, strides, padding and dilations."""
    if len(x.shape) != rank + 1:
        return None
    sizes = _sizes(draw, x.shape[:-1])
    attributes = _window(draw, x.shape[:-1], sizes)
    attributes["dilations"] = draw.maybe(0.3, lambda: draw.integers(rank, 1, 2))
    return sizes, attributes


def _convolution(rank: int) -> Recipe:
    def recipe(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
        (x,) = inputs
        drawn = _kernel(draw, x, rank)
        if drawn is None:
            return None
        sizes, attributes = drawn
        channels = x.shape[-1]
        groups = draw.choice([g for g in range(1, channels + 1) if channels % g == 0])
        filters = groups * draw.integer(1, 2)
        attributes["weight"] = draw.weights((*sizes, channels // groups, filters))
        attributes["groups"] = groups
        return _linear(draw, x, math.prod(sizes) * channels // groups, filters, attributes)

    return recipe


def _depthwise(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    drawn = _kernel(draw, x, 2)
    if drawn is None:
        return None
    sizes, attributes = drawn
    multiplier = draw.integer(1, 2)
    attributes["weight"] = draw.weights((*sizes, x.shape[-1], multiplier))
    return _linear(draw, x, math.prod(sizes), x.shape[-1] * multiplier, attributes)


def _separable(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    drawn = _kernel(draw, x, 2)
    if drawn is None:
        return None
    sizes, attributes = drawn
    between = x.shape[-1] * draw.integer(1, 2)
    filters = draw.integer(1, 4)
    attributes["depthwise_weight"] = draw.weights((*sizes, x.shape[-1], between // x.shape[-1]))
    attributes["pointwise_weight"] = draw.weights((1, 1, between, filters))
    plan = _linear(draw, x, math.prod(sizes) * between, filters, attributes)
    plan.bits += _WEIGHT_BITS
    return plan


def _transposed(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    if len(x.shape) != 3:
        return None
    sizes, filters = draw.integers(2, 1, 3), draw.integer(1, 3)
    attributes: dict[str, Any] = _window(draw, x.shape[:-1], sizes)
    attributes["dilations"] = draw.maybe(0.3, lambda: draw.integers(2, 1, 2))
    attributes["output_padding"] = draw.maybe(0.3, lambda: draw.integers(2, 0, 2))
    attributes["weight"] = draw.weights((*sizes, filters, x.shape[-1]))
    return _linear(draw, x, math.prod(sizes) * x.shape[-1], filters, attributes)


def _delayed_dense(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    plan = _dense(draw, opdef, inputs)
    if plan is None or len(inputs[0].shape) != 1:
        return None
    plan.arguments["delay_steps"] = _delays(draw, plan.arguments["weight"].shape)
    return plan


def _sparse(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    if len(x.shape) != 1:
        return None
    outputs = draw.integer(1, 6)
    counts = np.array(draw.integers(x.shape[0], 0, 3))
    synapses = int(counts.sum())
    arguments: dict[str, Any] = {
        "outputs": outputs,
        "weight": draw.weights((synapses,)),
        "indices": np.array(draw.integers(synapses, 0, outputs - 1), np.int32),
        "row_starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        "delay_steps": draw.maybe(0.5, lambda: _delays(draw, (synapses,))),
    }
    return _linear(draw, x, max(synapses, 1), outputs, arguments)


def _delays(draw: Draw, shape: Sequence[int]) -> Array:
    kind = draw.choice((np.int32, np.int64, np.int16, np.int8, np.uint8))
    found: Array = draw.rng.integers(0, draw.steps + 2, tuple(shape)).astype(kind)
    return found


# Pooling -------------------------------------------------------------------------------------


def _pool(draw: Draw, x: Known, rank: int) -> dict[str, Any] | None:
    if len(x.shape) != rank + 1:
        return None
    sizes = _sizes(draw, x.shape[:-1])
    attributes = {"pool_size": sizes, **_window(draw, x.shape[:-1], sizes)}
    if attributes["padding"] != "same":
        attributes["ceil_mode"] = draw.maybe(0.3, lambda: True)
    return attributes


def _sum_pool(rank: int, factor: float = 0.0) -> Recipe:
    """Sums of windows, or (with a factor) what is at most so many times as large as the input."""

    def recipe(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
        (x,) = inputs
        attributes = _pool(draw, x, rank)
        if attributes is None:
            return None
        if opdef.has_attribute("rule"):
            attributes["rule"] = draw.choice(opdef.attribute("rule").choices)
            return Plan(attributes, x.bits, 2 * draw.steps * x.bound)
        return Plan(attributes, x.bits, (factor or math.prod(attributes["pool_size"])) * x.bound)

    return recipe


def _average_pool(rank: int) -> Recipe:
    def recipe(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
        (x,) = inputs
        attributes = _pool(draw, x, rank)
        if attributes is None:
            return None
        attributes["count_include_pad"] = draw.maybe(0.5, draw.coin)
        size = math.prod(attributes["pool_size"])
        if draw.dyadic:
            if not _is_power_of_two(size):
                return None
            attributes |= {"padding": "valid", "pads": None, "ceil_mode": None}
        total = size * x.bound
        return Plan(attributes, x.bits + _log2(size), x.bound, [(x.bits + _log2(size), total)])

    return recipe


def _global_pool(rank: int, average: bool) -> Recipe:
    def recipe(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
        (x,) = inputs
        size = math.prod(x.shape[:-1])
        if len(x.shape) != rank + 1 or (average and draw.dyadic and not _is_power_of_two(size)):
            return None
        bits = x.bits + (_log2(size) if average else 0)
        keepdims = {"keepdims": draw.maybe(0.5, draw.coin)}
        return Plan(keepdims, bits, x.bound, [(bits, size * x.bound)])

    return recipe


# Layout and arithmetic -----------------------------------------------------------------------


def _same(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    return Plan({}, inputs[0].bits, inputs[0].bound)


def _reshape(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    count = math.prod(x.shape)
    shape: list[int] = []
    while count > 1 and len(shape) < 3:
        factor = draw.choice([f for f in range(1, count + 1) if count % f == 0])
        shape.append(factor)
        count //= factor
    shape.append(draw.choice((-1, count)))
    return Plan({"shape": tuple(shape)}, x.bits, x.bound)


def _permute(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    axes = tuple(int(axis) for axis in draw.rng.permutation(len(x.shape)))
    return Plan({"axes": axes}, x.bits, x.bound)


def _concat(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    rank = len(inputs[0].shape)
    if not rank:
        return None
    bound = max(known.bound for known in inputs)
    return Plan({"axis": draw.integer(-rank, rank - 1)}, together(inputs)[0], bound)


def _edges(attribute: str, rank: int, most: int) -> Recipe:
    def recipe(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
        (x,) = inputs
        if len(x.shape) != rank + 1:
            return None
        return Plan({attribute: draw.integers(2 * rank, 0, most)}, x.bits, x.bound)

    return recipe


def _upsample(rank: int) -> Recipe:
    def recipe(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
        (x,) = inputs
        if len(x.shape) != rank + 1:
            return None
        arguments: dict[str, Any] = {"factors": draw.integers(rank, 1, 2)}
        bits, bound = x.bits, x.bound
        if rank == 2 and draw.coin(0.4):  # weights are multiples of 1/4, along either axis
            arguments["interpolation"] = "bilinear"
            bits, bound = bits + 4, 2 * bound
        return Plan(arguments, bits, bound)

    return recipe


def _scale(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    return Plan({"scale": draw.quantity(x.shape, -2, 2)}, x.bits + 2, 2 * x.bound)


def _bias(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    return Plan({"bias": draw.quantity(x.shape, -1, 1)}, max(x.bits, 2), x.bound + 1)


def _rescale(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    arguments = {
        "scale": draw.quantity(x.shape, -2, 2),
        "offset": draw.maybe(0.5, lambda: draw.quantity(x.shape, -1, 1)),
    }
    return Plan(arguments, x.bits + 2, 2 * x.bound + 1)


def _add(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    return Plan({}, *together(inputs))


def _multiply(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    return Plan({}, sum(known.bits for known in inputs), math.prod(known.bound for known in inputs))


def _normalising(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    """BatchNorm and Normalize, by variances whose square roots are powers of two."""
    (x,) = inputs
    batch_norm = opdef.name == "BatchNorm"
    if batch_norm and not x.shape:
        return None
    shape = x.shape[-1:] if batch_norm else draw.feature(x.shape)
    roots = 2.0 ** draw.rng.integers(-1, 2, shape)
    arguments: dict[str, Any] = {"mean": draw.numbers(shape, -1, 1)}
    bits, bound = max(x.bits, 2) + 1, 2 * (x.bound + 1)
    if not batch_norm:
        return Plan({**arguments, "variance": (roots**2).astype("f4")}, bits, bound)
    epsilon = 0.0 if draw.dyadic else draw.choice((0.0, 1e-3))
    arguments |= {
        "variance": (roots**2).astype("f4"),
        "epsilon": epsilon,
        "gamma": draw.maybe(0.5, lambda: draw.numbers(shape, -2, 2)),
        "beta": draw.maybe(0.5, lambda: draw.numbers(shape, -1, 1)),
    }
    return Plan(arguments, bits + 4, 2 * bound + 1)


def _relu(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    arguments = {
        "max_value": draw.maybe(0.3, lambda: float(draw.integer(0, 6))),
        "negative_slope": draw.maybe(0.3, lambda: draw.integer(0, 4) / 4),
        "threshold": draw.maybe(0.3, lambda: draw.integer(0, 4) / 4),
    }
    return Plan(arguments, max(x.bits, 2) + 2, x.bound + 1)


def _leaky_relu(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    return Plan({"negative_slope": draw.integer(-4, 4) / 4}, x.bits + 2, x.bound)


def _prelu(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    return Plan({"slope": draw.quantity(x.shape, -1, 1)}, x.bits + 2, x.bound)


def _hard_sigmoid(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    return Plan({"slope": 0.25, "offset": 0.5}, x.bits + 2, 1.0, [(x.bits + 2, x.bound + 1)])


# Neurons and synapses ------------------------------------------------------------------------


def _with_feedback(draw: Draw, inputs: Inputs) -> tuple[int, float]:
    """Bits and bound of a sum of inputs that may get feedback later."""
    bits, bound = together(inputs)
    return (max(bits, FEEDBACK_BITS), bound + FEEDBACK) if draw.recurrent else (bits, bound)


def _firing(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    """IF, LIF and ALIF."""
    shape = inputs[0].shape
    corrective = draw.coin(0.3)
    arguments: dict[str, Any] = {
        "reset": draw.choice(opdef.attribute("reset").choices),
        "compare": draw.choice(opdef.attribute("compare").choices),
        "refractory_steps": draw.maybe(0.4, lambda: draw.integer(0, 3)),
        "refractory_mode": draw.choice(opdef.attribute("refractory_mode").choices),
        "negative_spikes": draw.maybe(0.5, lambda: "corrective" if corrective else "free"),
        "threshold": draw.maybe(0.7, lambda: draw.quantity(shape, 0.75, 3)),
        "reset_potential": draw.maybe(0.3, lambda: draw.quantity(shape, -1, 0.5)),
        "initial_potential": draw.maybe(0.3, lambda: draw.quantity(shape, -1, 1)),
        "bias": draw.maybe(0.3, lambda: draw.quantity(shape, -0.5, 0.5)),
        "gain": draw.maybe(0.3, lambda: draw.quantity(shape, 0.25, 1.5)),
        "lower_bound": draw.maybe(0.3, lambda: draw.quantity(shape, -3, -1.5)),
        "negative_threshold": draw.maybe(0.4, lambda: draw.quantity(shape, 0.25, 1.25)),
    }
    bits, bound = _with_feedback(draw, inputs)
    bits = max(bits, 0) + 2
    bound = 8 + draw.steps * (1.5 * bound + 0.5)
    if opdef.name != "IF":
        drawn = draw.decays(shape, bits, bound)
        if drawn is None:
            return None
        arguments["decay"], bits = drawn
    inside = [(bits, bound)]
    if opdef.name == "ALIF":
        strength = draw.quantity(shape, 0, 1)
        adapting = draw.decays(shape, 2, 4.0 + draw.steps)
        if adapting is None:
            return None
        arguments |= {"adaptation_decay": adapting[0], "adaptation_strength": strength}
        inside.append((adapting[1], 4.0 + draw.steps))
    return Plan(arguments, 0, 1.0, inside, feedback=True)


def _integrator(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    shape = inputs[0].shape
    arguments: dict[str, Any] = {
        "initial_potential": draw.maybe(0.3, lambda: draw.quantity(shape, -1, 1)),
        "bias": draw.maybe(0.3, lambda: draw.quantity(shape, -0.5, 0.5)),
        "gain": draw.maybe(0.3, lambda: draw.quantity(shape, 0.25, 1.5)),
    }
    bits, bound = _with_feedback(draw, inputs)
    bits, bound = bits + 2, 1 + draw.steps * (1.5 * bound + 0.5)
    if draw.coin():
        drawn = draw.decays(shape, bits, bound)
        if drawn is None:
            return None
        arguments["decay"], bits = drawn
    return Plan(arguments, bits, bound, feedback=True)


def _synapse(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    bits, bound = _with_feedback(draw, inputs)
    drawn = draw.decays(inputs[0].shape, bits, draw.steps * bound)
    if drawn is None:
        return None
    return Plan({"decay": drawn[0]}, drawn[1], draw.steps * bound, feedback=True)


def _few_spike(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    shape, phase = inputs[0].shape, draw.integer(1, 4)
    own = draw.feature(shape)
    arguments: dict[str, Any] = {
        "threshold": draw.numbers((phase, *own), 0, 2),
        "reset": draw.numbers((phase, *own), 0, 2),
        "weight": draw.numbers((phase, *own), -1, 2),
        "compare": draw.choice(opdef.attribute("compare").choices),
    }
    if opdef.name == "FewSpike":
        bits, bound = _with_feedback(draw, inputs)
        arguments["bias"] = draw.maybe(0.5, lambda: draw.quantity(shape, -1, 1))
        inside = [(max(bits, 2), phase * (bound + 2) + 1)]
        return Plan(arguments, 2, 2.0, inside, feedback=True)
    return Plan(arguments, 2, 2.0, [(max(inputs[0].bits, 2), inputs[0].bound + 2 * phase)])


def _delay(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    return Plan({"delay_steps": _delays(draw, draw.feature(x.shape))}, x.bits, x.bound)


# Encoders and decoders -----------------------------------------------------------------------


def _poisson(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    arguments = {
        "seed": draw.maybe(0.7, lambda: int(draw.rng.integers(0, 2**63))),
        "signed": draw.maybe(0.5, draw.coin),
        "gain": draw.maybe(0.5, lambda: draw.quantity(x.shape, 0.25, 2)),
    }
    return Plan(arguments, 0, 1.0, [(x.bits + 2, 2 * x.bound)])


def _latency(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    window = draw.integer(1, draw.steps + 2)
    arguments = {
        "window_steps": window,
        "minimum": draw.maybe(0.4, lambda: draw.quantity(x.shape, 0, 1)),
    }
    return Plan(arguments, 0, 1.0, [(x.bits, 2.0 * window)])


def _rate(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    arguments = {
        "reset": draw.choice(opdef.attribute("reset").choices),
        "compare": draw.choice(opdef.attribute("compare").choices),
        "gain": draw.maybe(0.3, lambda: draw.quantity(x.shape, 0.25, 1.5)),
        "threshold": draw.maybe(0.5, lambda: draw.quantity(x.shape, 0.75, 3)),
        "reset_potential": draw.maybe(0.3, lambda: draw.quantity(x.shape, -1, 0.5)),
        "initial_potential": draw.maybe(0.3, lambda: draw.quantity(x.shape, -1, 1)),
    }
    return Plan(arguments, 0, 1.0, [(max(x.bits, 2) + 2, 8 + draw.steps * 1.5 * x.bound)])


def _decoder(draw: Draw, opdef: OpDef, inputs: Inputs) -> Plan | None:
    (x,) = inputs
    start = draw.maybe(0.4, lambda: draw.integer(0, draw.steps - 1))
    stop = draw.maybe(0.4, lambda: draw.integer((start or 0) + 1, draw.steps + 2))
    window: dict[str, Any] = {"start": start, "stop": stop}
    length = (draw.steps if stop is None else min(stop, draw.steps)) - (start or 0)
    if opdef.name in ("SpikeCount", "FirstSpikeTime"):
        return Plan(window, 0, float(draw.steps))
    if opdef.name in ("FinalPotential", "MaxPotential"):
        return Plan(window, x.bits, x.bound)
    if opdef.name == "SumPotential":
        return Plan(window, x.bits, length * x.bound)
    if draw.dyadic and (opdef.name != "MeanPotential" or not _is_power_of_two(length)):
        return None
    if opdef.name == "ExponentialPotential":
        window["time_constant"] = draw.maybe(0.5, lambda: draw.quantity(x.shape, 0.5, 4))
    bits = x.bits + _log2(length)
    return Plan(window, bits, x.bound, [(bits, length * x.bound)])


# All -----------------------------------------------------------------------------------------

_SHARED: Final[Mapping[str, Recipe]] = {
    "Dense": _dense,
    "Conv1D": _convolution(1),
    "Conv2D": _convolution(2),
    "DepthwiseConv2D": _depthwise,
    "ConvTranspose2D": _transposed,
    "AveragePool1D": _average_pool(1),
    "AveragePool2D": _average_pool(2),
    "MaxPool1D": _sum_pool(1, 1.0),
    "MaxPool2D": _sum_pool(2, 1.0),
    "GlobalAveragePool1D": _global_pool(1, True),
    "GlobalAveragePool2D": _global_pool(2, True),
    "Flatten": _same,
    "Reshape": _reshape,
    "Permute": _permute,
    "Concat": _concat,
    "Crop1D": _edges("crops", 1, 1),
    "Crop2D": _edges("crops", 2, 1),
    "Upsample1D": _upsample(1),
    "Upsample2D": _upsample(2),
    "Scale": _scale,
    "Bias": _bias,
    "Add": _add,
}

_ANN: Final[Mapping[str, Recipe]] = {
    "SeparableConv2D": _separable,
    "GlobalMaxPool1D": _global_pool(1, False),
    "GlobalMaxPool2D": _global_pool(2, False),
    "ZeroPad1D": _edges("pads", 1, 2),
    "ZeroPad2D": _edges("pads", 2, 2),
    "Subtract": _add,
    "Multiply": _multiply,
    "BatchNorm": _normalising,
    "Normalize": _normalising,
    "Rescale": _rescale,
    "Dropout": _same,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "HardSigmoid": _hard_sigmoid,
}

_SNN: Final[Mapping[str, Recipe]] = {
    "SumPool1D": _sum_pool(1),
    "SumPool2D": _sum_pool(2),
    "Pad1D": _edges("pads", 1, 2),
    "Pad2D": _edges("pads", 2, 2),
    "IF": _firing,
    "LIF": _firing,
    "ALIF": _firing,
    "LeakyIntegrator": _integrator,
    "FewSpike": _few_spike,
    "FewSpikeEncoder": _few_spike,
    "ExponentialSynapse": _synapse,
    "Delay": _delay,
    "DelayedDense": _delayed_dense,
    "Sparse": _sparse,
    "ConstantCurrent": _same,
    "PoissonEncoder": _poisson,
    "LatencyEncoder": _latency,
    "RateEncoder": _rate,
    "SpikeCount": _decoder,
    "FinalPotential": _decoder,
    "SumPotential": _decoder,
    "MeanPotential": _decoder,
    "MaxPotential": _decoder,
    "ExponentialPotential": _decoder,
    "FirstSpikeTime": _decoder,
}

RECIPES: Final[Mapping[str, Recipe]] = {
    **{f"{domain}.{name}": recipe for domain in ("ann", "snn") for name, recipe in _SHARED.items()},
    **{f"ann.{name}": recipe for name, recipe in _ANN.items()},
    **{f"snn.{name}": recipe for name, recipe in _SNN.items()},
}
"""How each operator is used; others are used as their definitions allow."""
