"""Weights of few bits: symmetric, one unit for all that meets in a neuron."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.errors import Diagnostic, ModelError, UnsupportedFeature, raise_errors
from snnir.ir.digest import digest
from snnir.ir.graph import Graph, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization
from snnir.passes.quantise.compensate import Correlation, compensated, correlations
from snnir.passes.quantise.groups import POTENTIALS, Group, find_groups, fold_gains
from snnir.passes.quantise.scales import (
    AUTO,
    Choice,
    Scale,
    clipped,
    integers,
    relative_error,
    unit,
)
from snnir.runtime.backend import check_inputs, find_backend, named_inputs

Array = npt.NDArray[Any]

DECAY_BITS: Final = 12
"""Fraction bits of a decay."""

STATE_UNITS: Final = 1 << 17
"""Units in which a current of 24 bits overflows: 2**23 / 64."""

DECAYS: Final = ("decay", "adaptation_decay")

PROBED: Final = 64
"""Calibration samples on which ``output`` measures."""

SEEN: Final = 256
"""Calibration samples, every other one, whose activity compensated rounding knows."""

COMPARED: Final = 512
"""Calibration samples on which ``"auto"`` compares. Half of them are not among those whose
activity compensated rounding knows."""

ROUNDED: Final = ("nearest", "compensated")
"""How weights are rounded, by whether errors are compensated."""

Rounding = Literal["auto", "nearest", "compensated"]
ROUNDINGS: Final[tuple[Rounding, ...]] = get_args(Rounding)


@dataclass(frozen=True)
class QuantiseOptions:
    """How a model is quantised.

    Attributes:
        bits: Bits of a weight, 2 to 8.
        scale: How units are chosen; see :func:`snnir.passes.quantise.scales.unit`. ``"auto"``:
            that of ``"max"``, ``"mse"`` and ``"output"`` with the smallest error on the
            calibration samples; without samples ``"mse"``, as is ``"output"``.
        rounding: ``"nearest"``: each weight by itself. ``"compensated"``: so that errors cancel
            in the potentials, as far as the calibration samples tell; see
            :mod:`snnir.passes.quantise.compensate`. ``"auto"``: the one with the smaller error on
            the calibration samples; without samples ``"nearest"``.
    """

    bits: int = 8
    scale: Choice = "auto"
    rounding: Rounding = "auto"


@dataclass(frozen=True)
class QuantisedLayer:
    """What became of the weights that share a unit.

    Attributes:
        node: Name of the neurons, or of the only node with weights.
        weighted: Nodes with weights.
        source: Layer of the model that was converted.
        unit: What 1 stands for.
        weights: Number of weights.
        clipped: Part of the weights that were clipped.
        rounding: Root mean square rounding error of the weights, relative to the weights.
        compensated: Whether the errors cancel; see :mod:`snnir.passes.quantise.compensate`.
        threshold: Smallest threshold in units; None without one.
        headroom: Bits between the largest possible sum of a step, if every input spikes, and the
            overflow of a current of 24 bits; below 0 it can overflow.
    """

    node: str
    weighted: tuple[str, ...]
    source: str
    unit: float
    weights: int
    clipped: float
    rounding: float
    compensated: bool
    threshold: int | None
    headroom: float


@dataclass(frozen=True)
class QuantiseReport:
    """What a quantisation did.

    Attributes:
        bits: Bits of a weight.
        scale: How units were chosen.
        rounding: How weights were rounded: ``"nearest"``, or ``"compensated"`` where that can be
            done.
        layers: What became of each layer.
        kept: Parameters that stay in floats, as ``node.parameter``.
    """

    bits: int
    scale: str
    rounding: str
    layers: tuple[QuantisedLayer, ...]
    kept: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        width = max([5, *(len(layer.node) for layer in self.layers)])
        lines = [
            f"{self.bits} bits, scale {self.scale}, rounding {self.rounding}",
            "",
            f"{'layer':<{width}} {'weights':>9} {'unit':>10} {'threshold':>9} {'clipped':>8} "
            f"{'rounding':>8} {'headroom':>10} {'rounded':>11}",
        ]
        for layer in self.layers:
            threshold = "-" if layer.threshold is None else str(layer.threshold)
            lines.append(
                f"{layer.node:<{width}} {layer.weights:>9} {layer.unit:>10.4g} {threshold:>9} "
                f"{100 * layer.clipped:>6.2f} % {100 * layer.rounding:>6.2f} % "
                f"{layer.headroom:>5.1f} bits {ROUNDED[layer.compensated]:>11}"
            )
        if self.kept:
            lines += ["", "in floats: " + ", ".join(self.kept)]
        return "\n".join(lines)


def quantise(
    model: Model,
    calibration: Mapping[str, Array] | None = None,
    options: QuantiseOptions = QuantiseOptions(),
) -> tuple[Model, QuantiseReport]:
    """The model with weights of few bits.

    Weights are symmetric integers with one unit for all that meets in a neuron; biases,
    thresholds and potentials of the neuron are multiples of the same unit, and decays multiples
    of 1 / 4096. Gains are folded into the weights first. All of these are quantised tensors:
    the model runs anywhere, as what the integers stand for. The original model keeps the float
    weights and is not modified; the metadata of the new one names it by its digest.

    Args:
        model: A model of domain ``snn`` or ``ann``.
        calibration: Samples for each input, for scale ``"output"`` and compensated rounding.
        options: How.

    Returns:
        The quantised model, without examples, and what became of each layer.

    Raises:
        ModelError: If the model is not valid.
        RunError: If the calibration data does not fit.
        UnsupportedFeature: If there is nothing to quantise, the number of bits is not 2 to 8, or
            compensated rounding lacks samples.
    """
    findings = []
    if not 2 <= options.bits <= 8:
        findings.append(Diagnostic("quantise.option", "option 'bits'", str(options.bits), "2 to 8"))
    if options.rounding == "compensated" and calibration is None:
        findings.append(
            Diagnostic(
                "quantise.option",
                "option 'rounding'",
                "'compensated' without calibration samples",
                "'nearest' or 'auto'",
                "Give some hundred samples of the training data.",
            )
        )
    raise_errors(findings, UnsupportedFeature)
    raise_errors(check(model), ModelError)
    if calibration is not None:
        calibration = named_inputs(model.graph, calibration)
        check_inputs(model.graph, calibration, None, model.time.steps)
    folded = fold_gains(model)
    groups = find_groups(folded.graph)
    if not groups:
        raise UnsupportedFeature(
            Diagnostic("quantise.nothing", "graph", "no layer with weights", "a model with weights")
        )
    quantiser = _Quantiser(model, folded, groups, calibration, options.bits)
    scales: tuple[Scale, ...] = (options.scale,) if options.scale != "auto" else AUTO
    if options.scale == "auto" and calibration is None:
        scales = ("mse",)
    tried = [
        quantiser.run(scale, rounding)
        for rounding in quantiser.roundings(options.rounding)
        for scale in scales
    ]
    return tried[0] if len(tried) == 1 else min(tried, key=lambda each: quantiser.error(each[0]))


class _Quantiser:
    def __init__(
        self,
        original: Model,
        model: Model,
        groups: list[Group],
        calibration: Mapping[str, Array] | None,
        bits: int,
    ) -> None:
        self.original, self.model, self.groups, self.bits = original, model, groups, bits
        self.calibration = calibration
        samples = dict(calibration or {})
        self.seen = _spread({name: array[::2] for name, array in samples.items()}, SEEN)
        self.probed = _Answers.of(model, _spread(samples, PROBED))
        self.compared = _Answers.of(model, _spread(samples, COMPARED))
        self.correlations: dict[str, Correlation] = {}

    def roundings(self, rounding: Rounding) -> list[bool]:
        """Whether errors are compensated, for each way to round that comes into question."""
        if rounding == "nearest" or self.calibration is None:
            return [False]
        self.correlations = correlations(self.model, self.groups, self.seen)
        if rounding == "compensated":
            return [True]
        return [False, True] if self.correlations else [False]

    def run(self, scale: Scale, compensate: bool) -> tuple[Model, QuantiseReport]:
        """Quantise one group after the other."""
        graph = self.model.graph
        layers: list[QuantisedLayer] = []
        for group in self.groups:
            weight = np.concatenate(
                [self._weight(graph.nodes[name]).reshape(-1) for name in group.weighted]
            )
            error = self._error_of(graph, group, compensate)
            step = unit(weight, self.bits, scale, error)
            graph = self._with_unit(graph, group, step, compensate)
            layers.append(self._layer(graph, group, weight, step, compensate))
        nodes = {name: _with_integer_decays(node) for name, node in graph.nodes.items()}
        graph = dataclasses.replace(graph, nodes=nodes)
        metadata = {
            **self.model.metadata,
            "snnir.quantise": f"bits={self.bits} scale={scale} rounding={ROUNDED[compensate]}",
            "snnir.quantise.original": digest(self.original),
        }
        model = dataclasses.replace(self.model, graph=graph, metadata=metadata, examples={})
        kept = tuple(
            f"{node.name}.{name}"
            for node in nodes.values()
            for name, tensor in node.parameters.items()
            if tensor.dtype.is_float
        )
        return model, QuantiseReport(self.bits, scale, ROUNDED[compensate], tuple(layers), kept)

    def error(self, model: Model) -> float:
        """The error of a model's answers on the samples on which ``"auto"`` compares."""
        return self.compared.error(model)

    def _error_of(
        self, graph: Graph, group: Group, compensate: bool
    ) -> Callable[[float], float] | None:
        """The error by the unit of a group."""
        if self.calibration is None:
            return None

        def error(step: float) -> float:
            tried = self._with_unit(graph, group, step, compensate)
            return self.probed.error(dataclasses.replace(self.model, graph=tried, examples={}))

        return error

    def _with_unit(self, graph: Graph, group: Group, step: float, compensate: bool) -> Graph:
        """The graph with the weights of a group in integers, and all that is in their unit."""
        weights = [self._weight(graph.nodes[name]) for name in group.weighted]
        correlation = self.correlations.get(group.name) if compensate else None
        if correlation is None:
            rounded = [integers(weight, step, self.bits) for weight in weights]
        else:
            found = compensated(np.concatenate(weights), correlation, step, self.bits)
            rounded = np.split(found, np.cumsum([len(weight) for weight in weights])[:-1])
        return _with_unit(
            graph, group, step, self.bits, dict(zip(group.weighted, rounded, strict=True))
        )

    @staticmethod
    def _weight(node: Node) -> Array:
        return node.parameters["weight"].values()

    def _layer(
        self, graph: Graph, group: Group, weight: Array, step: float, compensate: bool
    ) -> QuantisedLayer:
        found = [self._weight(graph.nodes[name]).reshape(-1) for name in group.weighted]
        thresholds = [
            int(tensor.numpy().min())
            for name in group.neurons
            if (tensor := graph.nodes[name].parameters.get("threshold")) is not None
        ]
        most = sum(
            _largest_sum(graph.nodes[name], graph.nodes[name].parameters["weight"].numpy())
            for name in group.weighted
        )
        return QuantisedLayer(
            node=group.name,
            weighted=group.weighted,
            source=self.model.graph.nodes[group.name].source,
            unit=step,
            weights=int(weight.size),
            clipped=clipped(weight, step, self.bits),
            rounding=relative_error(weight, np.concatenate(found)),
            compensated=compensate and group.name in self.correlations,
            threshold=min(thresholds) if thresholds else None,
            headroom=math.log2(STATE_UNITS / max(most, 1)),
        )


@dataclass(frozen=True)
class _Answers:
    """Samples, and a network's answers.

    Attributes:
        samples: For each input.
        wanted: The answers, for each output.
    """

    samples: Mapping[str, Array]
    wanted: Mapping[str, Array]

    @classmethod
    def of(cls, model: Model, samples: Mapping[str, Array]) -> _Answers:
        """The answers of a model."""
        if not samples:
            return cls({}, {})
        return cls(samples, find_backend("layerwise").prepare(model).run(samples).outputs)

    def error(self, model: Model) -> float:
        """How far another model's answers are from these, squared, relative to these."""
        found = find_backend("layerwise").prepare(model).run(self.samples).outputs
        return sum(
            float(np.square(found[name].astype(np.float64) - wanted).sum())
            / max(float(np.square(wanted, dtype=np.float64).sum()), 1e-30)
            for name, wanted in self.wanted.items()
        )


def _spread(samples: Mapping[str, Array], most: int) -> dict[str, Array]:
    """At most so many samples, evenly spread over all, which may be sorted by class."""

    def chosen(array: Array) -> Array:
        return array[np.linspace(0, len(array) - 1, min(most, len(array))).astype(np.int64)]

    return {name: chosen(array) for name, array in samples.items()}


def _largest_sum(node: Node, weight: Array) -> int:
    """The largest sum that one target can get if every input is 1."""
    sizes = np.abs(weight.astype(np.int64))
    if node.operator == "Sparse":
        sums = np.bincount(node.parameters["indices"].numpy(), sizes)
        return int(sums.max(initial=0))
    if node.operator == "DepthwiseConv2D":
        return int(sizes.sum(axis=(0, 1)).max(initial=0))
    if node.operator == "ConvTranspose2D":
        return int(sizes.sum(axis=(0, 1, 3)).max(initial=0))
    return int(sizes.reshape(-1, sizes.shape[-1]).sum(axis=0).max(initial=0))


def _with_unit(
    graph: Graph, group: Group, step: float, bits: int, rounded: Mapping[str, Array]
) -> Graph:
    """The graph with these integers as weights of a group, and all that is in their unit."""
    nodes = dict(graph.nodes)
    for name in group.weighted:
        node = nodes[name]
        parameters = dict(node.parameters)
        parameters["weight"] = _integer_weights(rounded[name], step, bits)
        if "bias" in parameters:
            parameters["bias"] = _multiples(parameters["bias"].values(), step)
        nodes[name] = dataclasses.replace(node, parameters=parameters)
    for name in group.neurons:
        node = nodes[name]
        parameters = dict(node.parameters)
        if "threshold" not in parameters and node.operator != "LeakyIntegrator":
            parameters["threshold"] = Tensor.from_array(np.float32(1.0))
        for key in POTENTIALS:
            if key in parameters:
                least = 1 if key == "threshold" else None
                parameters[key] = _multiples(parameters[key].values(), step, least)
        nodes[name] = dataclasses.replace(node, parameters=parameters)
    return dataclasses.replace(graph, nodes=nodes)


def _integer_weights(found: Array, step: float, bits: int) -> Tensor:
    quantization = Quantization((step,), bits, saturated=True)
    dtype = DType.INT4 if bits <= 4 else DType.INT8
    return Tensor.from_array(found.astype(np.int8), dtype, quantization)


def _multiples(values: Array, step: float, least: int | None = None) -> Tensor:
    """Multiples of a unit, at least ``least`` where the number is above 0."""
    found = np.rint(values.astype(np.float64) / step)
    if least is not None:
        found = np.where(values > 0, np.maximum(found, least), found)
    limit = np.iinfo(np.int32)
    found = np.clip(found, limit.min, limit.max).astype(np.int32)
    return Tensor.from_array(found, DType.INT32, Quantization((step,), 32))


def _with_integer_decays(node: Node) -> Node:
    parameters = dict(node.parameters)
    for name in DECAYS:
        tensor = parameters.get(name)
        if tensor is not None and tensor.quantization is None:
            found = np.rint(tensor.values().astype(np.float64) * (1 << DECAY_BITS))
            scale = Quantization((2.0**-DECAY_BITS,), 16)
            parameters[name] = Tensor.from_array(found.astype(np.int16), DType.INT16, scale)
    return dataclasses.replace(node, parameters=parameters)
