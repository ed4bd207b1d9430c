"""Lowering an ``ann`` graph to few-spike neurons, one node after the other.

Time is divided into phases of K steps. A neuron sums up its input over a phase and emits what
its function makes of the sum in the next one. Inputs do not change during a presentation, so a
value is right in its first phase and in every later one: branches of different depth need no
delays to meet. The answer is the sum over one phase, the first in which it is right; a
presentation takes as many phases as there are neurons on the longest way to an output.

- Where a neuron's input is static (the first layer) it is encoded as it is, by
  ``snn.FewSpikeEncoder`` with the tables of that neuron, in every phase anew: exact.
- Where a static value meets spikes (say, an input that is added to a hidden layer) it enters in
  the first step of every phase: its constant current minus itself one step later is a single
  pulse, which delays of one phase each repeat.
- Biases, and values below which ramps are silent, are not spikes: they follow the values through
  linear operators as constants, zero padding included, and end in the bias of the next neuron,
  which counts once a phase, or behind the decoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, UnsupportedFeature
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import Node
from snnir.ir.model import Model, TimeBase
from snnir.ir.traversal import consumers, topological_order
from snnir.ir.types import Timing
from snnir.passes import weights
from snnir.passes.few_spike import order, pooling, tables
from snnir.passes.few_spike.signals import Signal
from snnir.passes.few_spike.tables import Ramp, Response
from snnir.passes.lowering import (
    LayerReport,
    Progress,
    compact,
    copy_node,
    free_name,
    preprocessed,
    tail,
)
from snnir.passes.rate.signals import apply
from snnir.runtime.backend import check_inputs, named_inputs

Array = npt.NDArray[Any]
Encoder = Literal["constant", "few-spike"]

LINEAR: Final = weights.WEIGHTED | {
    "Add",
    "Subtract",
    "Concat",
    "Flatten",
    "Reshape",
    "Permute",
    "Scale",
    "Bias",
    *(
        f"{kind}{rank}D"
        for kind in ("AveragePool", "GlobalAveragePool", "ZeroPad", "Crop", "Upsample")
        for rank in (1, 2)
    ),
}
"""Operators that are linear but for a constant."""

BITS: Final = range(1, 17)
"""Lengths of a phase: more bits than this do not fit a float32 beside the sum of a layer."""

ROWS: Final = 16384
"""Elements of a channel on which the end of a rectifier is chosen."""


@dataclass(frozen=True)
class FewSpikeOptions:
    """How a network is brought into few-spike codes.

    Attributes:
        bits: Steps of a phase, K, and bits of every code.
        per_channel: Whether every channel of a layer has a range of its own.
        pieces: Most neurons for one unit whose activation bends; fewer wherever they are enough.
        encoder: ``"constant"``: inputs enter as they are. ``"few-spike"``: inputs are codes.
    """

    bits: int = 8
    per_channel: bool = True
    pieces: int = 32
    encoder: Encoder = "constant"


@dataclass
class FewSpikeReport(LayerReport):
    """What became of one activation.

    Attributes:
        phase: The phase, from 0, in which it is emitted first.
        pieces: Neurons for each unit.
        largest_error: Largest difference from the original activation on the calibration
            samples, errors of earlier layers included.
        fit: Largest difference of the unquantised tables from the function, within their range.
    """

    phase: int
    pieces: int
    largest_error: float
    fit: float


def lower_to_few_spikes(
    model: Model,
    calibration: Mapping[str, Array],
    options: FewSpikeOptions,
    *,
    progress: Progress | None = None,
) -> tuple[Model, list[LayerReport]]:
    """The few-spike network; its presentation length is the shortest that gives an answer.

    Args:
        model: A canonical model of domain ``ann`` (see ``snnir.passes.canonicalise``).
        calibration: Samples for each input, as a run takes them.
        options: How.
        progress: Is told how many nodes are done, and how many there are.

    Returns:
        The network, and what became of each activation (of type :class:`FewSpikeReport`).

    Raises:
        UnsupportedFeature: With every node and input that few-spike codes cannot carry over.
        RunError: If the samples do not fit the inputs.
    """
    return _Lowering(model, options).run(calibration, progress)


class _Lowering:
    def __init__(self, model: Model, options: FewSpikeOptions) -> None:
        self.options = options
        self.tail = tail(model.graph)
        encoded = options.encoder == "few-spike"
        self.graph = order.order_pooling(model.graph, self.tail, encoded)
        self.spiking = order.spiking_values(self.graph, self.tail, encoded)
        self.order, _ = topological_order(self.graph)
        self.kept = {output.value for output in self.graph.outputs}
        self.uses = {value: len(users) for value, users in consumers(self.graph).items()}
        self.builder = GraphBuilder(model.graph.name, dt=model.time.dt, metadata=model.metadata)
        self.signals: dict[str, Signal] = {}
        self.exact: dict[str, Array] = {}
        self.reports: list[LayerReport] = []
        self.pulses: dict[str, tuple[Value, Value]] = {}
        self.decoded: dict[str, Value] = {}
        self.rng = np.random.default_rng(0)

    # The walk ----------------------------------------------------------------------------

    def run(
        self, calibration: Mapping[str, Array], progress: Progress | None
    ) -> tuple[Model, list[LayerReport]]:
        self._refuse()
        b = self.builder
        samples = named_inputs(self.graph, calibration)
        check_inputs(self.graph, samples, None, 1)
        for entry in self.graph.inputs:
            b.graph.inputs.append(entry)
            b.types[entry.name] = entry.value_type
            array = preprocessed(entry, samples[entry.name])
            self.exact[entry.name] = array
            self.signals[entry.name] = self._input(entry.name, array)
        for number, node in enumerate(self.order, 1):
            if node.name not in self.tail:
                self._lower(node)
            if progress is not None:
                progress(number, len(self.order))
        phases = 1 + max((self.signals[value].first for value in self._decoded_values()), default=0)
        b.time = TimeBase(b.time.dt, phases * self.options.bits)
        for once, every in self.pulses.values():
            for phase in range(1, phases):
                b.connect(
                    once,
                    every.name.partition(":")[0],
                    "x",
                    delay_steps=phase * self.options.bits,
                )
        for output in self.graph.outputs:
            b.output(output.name, self._decoded(output.value), labels=output.labels)
        return b.build(), self.reports

    def _decoded_values(self) -> list[str]:
        """Values that decoders see: outputs, and what arrives at the kept heads."""
        found, seen = [], [output.value for output in self.graph.outputs]
        while seen:
            value = seen.pop()
            node = self.graph.nodes.get(value.partition(":")[0])
            if node is not None and node.name in self.tail:
                seen += [binding.source for binding in node.inputs]
            else:
                found.append(value)
        return found

    def _refuse(self) -> None:
        options, findings = self.options, []

        def refuse(where: str, found: str, allowed: str, source: str = "") -> None:
            findings.append(Diagnostic("convert.method", where, found, allowed, source=source))

        if options.bits not in BITS:
            refuse("option 'bits'", f"{options.bits}", f"{BITS[0]} to {BITS[-1]}")
        if options.pieces < 1:
            refuse("option 'pieces'", f"{options.pieces}", "at least 1")
        for entry in self.graph.inputs:
            if entry.type.timing is Timing.PER_STEP:
                refuse(
                    f"input '{entry.name}'",
                    "values that change from step to step (every phase encodes the same sample)",
                    "static inputs",
                )
        for node in self.order:
            if node.name in self.tail:
                continue
            is_spiking = any(binding.source in self.spiking for binding in node.inputs)
            allowed = ""
            if node.op.partition(".")[0] != "ann":
                allowed = "operators of domain 'ann'"
            elif node.operator == "ReLU" and node.attributes.get("threshold", 0.0):
                allowed = "ReLU with threshold 0"
            elif node.operator == "BatchNorm" and is_spiking:
                allowed = "batch normalisation along the last axis"
            elif is_spiking and not (
                node.operator in LINEAR
                or node.operator in order.ACTIVATIONS
                or order.is_max_pool(node)
            ):
                allowed = (
                    "functions of one spiking value, element by element, or linear ones of several"
                )
            if allowed:
                found = f"{node.op} in the middle of the network"
                refuse(f"node '{node.name}'", found, allowed, node.source)
        if findings:
            raise UnsupportedFeature(findings)

    def _lower(self, node: Node) -> None:
        sources = [binding.source for binding in node.inputs]
        arriving = [self.exact[source] for source in sources]
        exact = apply(node, arriving)
        signals = [self.signals[source] for source in sources]
        if node.operator in order.ACTIVATIONS:
            found = self._activation(node, signals[0], arriving[0], exact)
        elif all(signal.phase is None for signal in signals):
            found = Signal(
                copy_node(self.builder, node, [signal.value for signal in signals]), exact
            )
        elif order.is_max_pool(node):
            found = self._max_pool(node, signals[0], arriving[0])
        else:
            found = self._linear(node, [self._per_step(signal) for signal in signals])
        value = node.values()[0]
        self.exact[value], self.signals[value] = exact, found
        for source in sources:
            self.uses[source] -= 1
            if not self.uses[source] and source not in self.kept:
                self.exact.pop(source, None)
                self.signals[source] = dataclasses.replace(
                    self.signals[source], estimate=np.zeros((0,), np.float32)
                )

    # Encoding and decoding ---------------------------------------------------------------

    def _input(self, name: str, array: Array) -> Signal:
        signal = Signal(Value(name), array)
        if self.options.encoder == "constant":
            return signal
        response = tables.identity(array.min(), array.max(), self.options.bits)
        return self._emit(self._free(f"{name}.encoder"), "", response, signal, array)

    def _per_step(self, signal: Signal) -> Signal:
        """A static signal as one that is there in the first step of every phase, else 0."""
        if signal.phase is not None:
            return signal
        b, name = self.builder, signal.value.name.partition(":")[0]
        if name not in self.pulses:
            current = b.snn.ConstantCurrent(signal.value, name=self._free(f"{name}.current"))
            off = b.snn.Scale(current.delayed(1), scale=-1.0, name=self._free(f"{name}.off"))
            once = b.snn.Add([current, off], name=self._free(f"{name}.once"))
            self.pulses[name] = once, b.snn.Add([once], name=self._free(f"{name}.phases"))
        return Signal(self.pulses[name][1], signal.estimate, 0)

    def _decoded(self, value: str) -> Value:
        """The decoded value of an output, through the heads that follow the decoder."""
        if value not in self.decoded:
            self.decoded[value] = self._decode(value)
        return self.decoded[value]

    def _decode(self, value: str) -> Value:
        b, bits = self.builder, self.options.bits
        node = self.graph.nodes.get(value.partition(":")[0])
        if node is not None and node.name in self.tail:
            return copy_node(b, node, [self._decoded(binding.source) for binding in node.inputs])
        signal = self.signals[value]
        if signal.phase is None:
            return signal.value
        name = value.partition(":")[0]
        found: Value = b.snn.SumPotential(
            signal.value,
            start=signal.phase * bits,
            stop=(signal.phase + 1) * bits,
            name=self._free(f"{name}.decoder"),
        )
        if signal.offset is not None:
            offset = compact(signal.offset).astype(np.float32)
            found = b.ann.Bias(found, bias=offset, name=self._free(f"{name}.offset"))
        return found

    # Linear nodes ------------------------------------------------------------------------

    def _linear(self, node: Node, signals: list[Signal]) -> Signal:
        """The linear part of spikes, the whole of offsets."""
        estimate = apply(node, [signal.estimate for signal in signals])
        offset = None
        has_bias = node.operator == "Bias" or "bias" in node.parameters
        if has_bias or any(signal.offset is not None for signal in signals):
            offsets = [
                np.zeros((1, *signal.estimate.shape[1:]))
                if signal.offset is None
                else signal.offset.astype(np.float64)[None]
                for signal in signals
            ]
            offset = apply(node, offsets)[0]
        return Signal(
            self._spiking(node, [signal.value for signal in signals]),
            estimate,
            max(signal.first for signal in signals),
            offset,
            self._quantum(node, signals),
        )

    def _spiking(self, node: Node, values: list[Value]) -> Value:
        if node.operator == "Bias":
            return values[0]
        if node.operator == "Subtract":
            taken = next(i for i, binding in enumerate(node.inputs) if binding.port == "b")
            values[taken] = self.builder.snn.Scale(
                values[taken], scale=-1.0, name=self._free(f"{node.name}.minus"), source=node.source
            )
            node = dataclasses.replace(
                node, op="ann.Add", inputs=[b._replace(port="x") for b in node.inputs]
            )
        elif node.operator in weights.WEIGHTED:
            node = weights.with_weights(node, weights.weight(node), None)
        operator = node.operator.replace("ZeroPad", "Pad")
        return copy_node(self.builder, dataclasses.replace(node, op=f"snn.{operator}"), values)

    def _quantum(self, node: Node, signals: list[Signal]) -> Array | None:
        """Codes stay codes where elements are only moved, channels remaining channels."""
        quanta = [signal.quantum for signal in signals if signal.quantum is not None]
        if len(quanta) < len(signals):
            return None
        if node.operator.startswith(("ZeroPad", "Crop")):
            return quanta[0]
        last = signals[0].estimate.ndim - 2
        if node.operator == "Concat" and node.attributes.get("axis", -1) in (-1, last):
            channels = [signal.estimate.shape[-1] for signal in signals]
            parts = [np.broadcast_to(q, (n,)) for q, n in zip(quanta, channels, strict=True)]
            joined: Array = np.concatenate(parts)
            return joined
        return None

    # Neurons -----------------------------------------------------------------------------

    def _activation(self, node: Node, signal: Signal, before: Array, exact: Array) -> Signal:
        bits = self.options.bits
        lowest, highest = (self._reduced(before, f) for f in (np.min, np.max))
        cap = node.attributes.get("max_value")
        cap = None if cap is None else float(cap)  # type: ignore[arg-type]
        slope = self._slope(node)
        if slope is None:
            response = tables.fitted(
                lambda x: apply(node, [x[:, None]])[:, 0],
                float(before.min()),
                float(before.max()),
                _kinks(node),
                bits,
                self.options.pieces,
            )
        elif np.any(slope):
            response = tables.leaky(lowest, highest, slope, cap, bits)
        else:
            rows = self._rows(signal.estimate, exact)
            highest = self._reduced(exact, np.max)
            ramp = tables.rectifier(*rows, np.atleast_1d(highest), cap, bits)
            if not highest.ndim:
                ramp = dataclasses.replace(ramp, quantum=ramp.quantum[0])
            response = Response((ramp,), np.zeros((), np.float32))
        return self._emit(node.name, node.source, response, signal, exact)

    def _slope(self, node: Node) -> Array | None:
        """Slope below zero of a function that is a line above; None for other functions."""
        if node.operator == "PReLU":
            return node.parameters["slope"].values().astype(np.float32)
        if node.operator in ("ReLU", "LeakyReLU"):
            default = 0.0 if node.operator == "ReLU" else 0.3
            return np.asarray(node.attributes.get("negative_slope", default), np.float32)
        return None

    def _reduced(self, array: Array, reduce: Callable[..., Any]) -> Array:
        """Smallest or largest element of each channel, or of the layer."""
        axis = tuple(range(array.ndim - 1)) if self._by_channel(array) else None
        return np.asarray(reduce(array, axis=axis), np.float32)

    def _by_channel(self, array: Array) -> bool:
        return self.options.per_channel and array.ndim > 1

    def _rows(self, estimate: Array, exact: Array) -> tuple[Array, Array]:
        """Some potentials of every channel and what the original makes of them."""
        channels = exact.shape[-1] if self._by_channel(exact) else 1
        potential: Array = estimate.reshape(-1, channels)
        target: Array = exact.reshape(-1, channels)
        if len(target) > ROWS:
            chosen = self.rng.choice(len(target), ROWS, replace=False)
            potential, target = potential[chosen], target[chosen]
        return potential, target

    def _max_pool(self, node: Node, signal: Signal, before: Array) -> Signal:
        if signal.quantum is None or _varies(signal.offset):
            lowest, highest = (self._reduced(before, f) for f in (np.min, np.max))
            response = tables.identity(lowest, highest, self.options.bits)
            name = self._free(f"{node.name}.codes")
            signal = self._emit(name, node.source, response, signal, before)
        quantum = signal.quantum
        if quantum is None:
            quantum = np.ones((), np.float32)
        estimate = apply(node, [signal.estimate])
        flat = node.operator.startswith("Global") and not node.attributes.get("keepdims", False)
        windows = dataclasses.replace(node, name=self._free(f"{node.name}.max")) if flat else node
        if node.operator.startswith("Global"):
            windows = dataclasses.replace(
                windows, attributes={"pool_size": signal.estimate.shape[1:-1]}
            )
        zero, one = np.zeros((), np.float32), np.ones((), np.float32)
        phase = signal.first

        def emit(
            name: str, ramp: Ramp, currents: Sequence[Value], sums: Array
        ) -> tuple[Value, Array]:
            nonlocal phase
            found = self._neurons(self._free(name), node.source, ramp, currents, None)
            codes = ramp.codes(sums)
            phase += 1
            worth = ramp.worth(codes)
            parts = (Response((ramp,), zero), [codes])
            self._report(found.name, node.source, *parts, worth, np.maximum(sums, 0), phase)
            return found, worth

        value, phases = pooling.tournament(
            windows,
            signal.value,
            signal.sums,
            Ramp(zero, quantum, one, self.options.bits),
            self._free,
            lambda stateless, values: copy_node(self.builder, stateless, values),
            emit,
        )
        if flat:
            value = self.builder.snn.Flatten(value, name=node.name, source=node.source)
        offset = signal.offset
        if offset is not None:
            offset = np.broadcast_to(compact(offset), estimate.shape[1:])
        return Signal(value, estimate, signal.first + phases, offset, quantum)

    def _emit(
        self, name: str, source: str, response: Response, signal: Signal, exact: Array
    ) -> Signal:
        """Neurons for a function of a signal."""
        phase = 0 if signal.phase is None else signal.phase + 1
        parts = []
        for number, ramp in enumerate(response.ramps):
            part = name if len(response.ramps) == 1 else self._free(f"{name}.piece{number}")
            if signal.phase is None:
                parts.append(self._encoder(part, source, ramp, signal.value))
            else:
                parts.append(self._neurons(part, source, ramp, [signal.value], signal.offset))
        value = parts[0]
        if len(parts) > 1:
            value = self.builder.snn.Add(parts, name=name, source=source)
        codes = [ramp.codes(signal.estimate) for ramp in response.ramps]
        estimate: Array = sum(
            (ramp.worth(c) for ramp, c in zip(response.ramps, codes, strict=True)),
            start=np.asarray(response.offset, np.float32),
        )
        self._report(name, source, response, codes, estimate, exact, phase)
        offset = None
        if np.any(response.offset):
            offset = np.broadcast_to(response.offset.astype(np.float64), estimate.shape[1:])
        first = response.ramps[0]
        is_code = len(response.ramps) == 1 and first.quantum.ndim <= 1 and np.all(first.slope == 1)
        return Signal(value, estimate, phase, offset, first.quantum if is_code else None)

    def _encoder(self, name: str, source: str, ramp: Ramp, value: Value) -> Value:
        found: Value = self.builder.snn.FewSpikeEncoder(
            value,
            threshold=ramp.threshold,
            reset=ramp.reset,
            weight=ramp.weight,
            name=name,
            source=source,
        )
        return found

    def _neurons(
        self, name: str, source: str, ramp: Ramp, currents: Sequence[Value], bias: Array | None
    ) -> Value:
        found: Value = self.builder.snn.FewSpike(
            list(currents),
            threshold=ramp.threshold,
            reset=ramp.reset,
            weight=ramp.weight,
            bias=None if bias is None else compact(bias).astype(np.float32),
            name=name,
            source=source,
        )
        return found

    def _report(
        self,
        name: str,
        source: str,
        response: Response,
        codes: list[Array],
        found: Array,
        exact: Array,
        phase: int,
    ) -> None:
        bits, ramps = self.options.bits, response.ramps
        thresholds = np.concatenate([ramp.threshold[0].reshape(-1) for ramp in ramps])
        error = found - exact
        norm = float(np.sqrt(np.square(exact).mean())) or 1.0
        spikes = [ramp.spikes(c) for ramp, c in zip(ramps, codes, strict=True)]
        self.reports.append(
            FewSpikeReport(
                name.partition(":")[0],
                source,
                int(np.prod(found.shape[1:])) * len(ramps),
                (float(thresholds.min()), float(thresholds.mean()), float(thresholds.max())),
                float(np.sqrt(np.square(error).mean())) / norm,
                float(np.mean(spikes)) / bits,
                phase,
                len(ramps),
                float(np.abs(error).max()),
                response.fit,
            )
        )

    def _free(self, name: str) -> str:
        """The name, or with a number if one of the two networks has it."""
        inputs = [entry.name for entry in self.graph.inputs]
        return free_name(name, self.builder.graph.nodes, self.graph.nodes, inputs)


def _kinks(node: Node) -> list[float]:
    """Where the derivative of a bending function jumps."""
    if node.operator == "ELU":
        return [0.0]
    if node.operator == "HardSigmoid":
        slope = float(node.attributes.get("slope", 1 / 6))  # type: ignore[arg-type]
        offset = float(node.attributes.get("offset", 0.5))  # type: ignore[arg-type]
        return [-offset / slope, (1 - offset) / slope] if slope else []
    return []


def _varies(offset: Array | None) -> bool:
    """Whether an offset differs within a channel."""
    return offset is not None and compact(offset).ndim > 1
