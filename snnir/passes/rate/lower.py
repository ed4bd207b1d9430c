"""Lowering an ``ann`` graph to ``snn`` in rate coding, one node after the other.

Every value of the original is followed by its counterpart. What does not change from step to
step stays in domain ``ann`` and is computed once: everything before the first neuron with a
constant input, and what follows the decoders (softmax). Scales of spikes are folded into the
weights behind them, so that branches with different scales add up exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, UnsupportedFeature
from snnir.infer import infer
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import Binding, Graph, GraphOutput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import consumers, topological_order
from snnir.ir.types import Timing
from snnir.passes import weights
from snnir.passes.lowering import (
    HEADS,
    LayerReport,
    Progress,
    compact,
    copy_node,
    free_name,
    preprocessed,
    tail,
)
from snnir.passes.rate import neurons, thresholds
from snnir.passes.rate.neurons import Neuron
from snnir.passes.rate.regression import recalibrate
from snnir.passes.rate.signals import Signal, apply
from snnir.runtime.reference import ReferenceBackend

Array = npt.NDArray[Any]
Method = Literal["calibrated", "data-norm", "spike-norm"]
Encoder = Literal["constant", "poisson", "rate", "latency"]
Decoder = Literal["potential", "spike-count"]

ONE: Final = np.ones((), np.float32)

CHANNELWISE: Final = frozenset(
    {
        *(
            f"{kind}{rank}D"
            for kind in ("AveragePool", "MaxPool", "ZeroPad", "Crop", "Upsample")
            for rank in (1, 2)
        ),
        *(f"Global{kind}Pool{rank}D" for kind in ("Average", "Max") for rank in (1, 2)),
    }
)
"""Linear (or maximum) operators that treat each channel alone, so that its scale passes."""

SELECTING: Final = frozenset({"Flatten", "Reshape", "Permute", "Concat"})
"""Operators that only move elements, and their scales with them."""

MEMORY_BYTES: Final = 1 << 29
"""Most that the spikes of one layer take on the calibration samples."""


@dataclass(frozen=True)
class RateOptions:
    """How a network is brought into rate coding.

    Attributes:
        steps: Presentation length.
        method: How thresholds are found. ``"calibrated"``: by the error of each channel's mean
            output, layer by layer, with weights and biases recalibrated and spikes that take
            back earlier ones. ``"data-norm"``: from the original activations (Diehl et al.
            2015). ``"spike-norm"``: from the largest input current (Sengupta et al. 2019).
        percentile: For ``data-norm``: this percentile of the activations instead of their
            maximum.
        per_channel: For ``data-norm`` and ``spike-norm``: a threshold for each channel instead
            of one for each layer.
        start: Initial potential as a part of the threshold.
        encoder: How static inputs drive the network.
        decoder: What the answer is taken from.
        seed: Seed of the Poisson encoder.
    """

    steps: int
    method: Method = "calibrated"
    percentile: float | None = None
    per_channel: bool = True
    start: float = 0.5
    encoder: Encoder = "constant"
    decoder: Decoder = "potential"
    seed: int = 0


@dataclass
class _State:
    builder: GraphBuilder
    signals: dict[str, Signal] = field(default_factory=dict)
    exact: dict[str, Array] = field(default_factory=dict)
    reports: list[LayerReport] = field(default_factory=list)


def lower_to_rates(
    model: Model,
    calibration: Mapping[str, Array],
    options: RateOptions,
    progress: Progress | None = None,
) -> tuple[Model, list[LayerReport]]:
    """The spiking network.

    Args:
        model: A canonical model of domain ``ann`` (see ``snnir.passes.canonicalise``).
        calibration: Samples for each input, as a run takes them.
        options: How.
        progress: Is told how many nodes are done, and how many there are.

    Returns:
        The network, and what became of each activation.

    Raises:
        UnsupportedFeature: With every node and input that rate coding cannot carry over.
    """
    return _Lowering(model, options).run(calibration, progress)


class _Lowering:
    def __init__(self, model: Model, options: RateOptions) -> None:
        self.model = model
        self.options = options
        self.types = infer(model)
        self.order, _ = topological_order(model.graph)
        self.tail = tail(model.graph)
        self.uses = {value: len(users) for value, users in consumers(model.graph).items()}
        self.kept = {output.value for output in model.graph.outputs}
        self.decoded: dict[str, Value] = {}
        self.state = _State(
            GraphBuilder(
                model.graph.name, dt=model.time.dt, steps=options.steps, metadata=model.metadata
            )
        )

    # The walk ----------------------------------------------------------------------------

    def run(
        self, calibration: Mapping[str, Array], progress: Progress | None
    ) -> tuple[Model, list[LayerReport]]:
        samples = {
            entry.name: preprocessed(entry, calibration[entry.name])
            for entry in self.model.graph.inputs
        }
        self._refuse(samples)
        state, b = self.state, self.state.builder
        for number, entry in enumerate(self.model.graph.inputs):
            b.graph.inputs.append(entry)
            b.types[entry.name] = entry.value_type
            state.exact[entry.name] = samples[entry.name]
            state.signals[entry.name] = self._encode_input(entry.name, samples[entry.name], number)
        for number, node in enumerate(self.order):
            if node.name not in self.tail:
                self._lower(node)
            if progress is not None:
                progress(number + 1, len(self.order))
        for output in self.model.graph.outputs:
            b.output(output.name, self._decoded(output.value), labels=output.labels)
        return b.build(), state.reports

    def _refuse(self, samples: Mapping[str, Array]) -> None:
        findings = []
        for entry in self.model.graph.inputs:
            if entry.type.timing is Timing.PER_STEP:
                findings.append(
                    Diagnostic(
                        "convert.method",
                        f"input '{entry.name}'",
                        "values that change from step to step",
                        "static inputs: a rate stands for one value",
                    )
                )
            elif self.options.encoder in ("rate", "latency") and np.any(samples[entry.name] < 0):
                least = f"values down to {samples[entry.name].min():g}"
                findings.append(
                    Diagnostic(
                        "convert.option",
                        f"option 'encoder', input '{entry.name}'",
                        f"'{self.options.encoder}' for {least}",
                        "values of at least 0, which are all that it can encode",
                        "Use encoder 'constant' or 'poisson', or shift the input.",
                    )
                )
        for node in self.order:
            allowed = "" if node.name in self.tail else _carried(node)
            if allowed:
                findings.append(
                    Diagnostic(
                        "convert.method",
                        f"node '{node.name}'",
                        f"{node.op} in the middle of the network",
                        allowed,
                        source=node.source,
                    )
                )
        if findings:
            raise UnsupportedFeature(findings)

    def _lower(self, node: Node) -> None:
        state = self.state
        value = node.values()[0]
        sources = [binding.source for binding in node.inputs]
        exact = apply(node, [state.exact[source] for source in sources])
        signals = [state.signals[source] for source in sources]
        if not any(signal.per_step for signal in signals) and not _is_activation(node):
            found = self._static(node, signals)
        elif _is_activation(node):
            found = self._neurons(node, signals[0], exact)
        elif node.operator in weights.WEIGHTED:
            found = self._weighted(node, self._per_step(signals[0]), exact)
        elif node.operator in CHANNELWISE:
            found = self._channelwise(node, self._channel_scaled(self._per_step(signals[0])))
        elif node.operator in SELECTING:
            found = self._selecting(node, [self._per_step(signal) for signal in signals])
        else:
            found = self._unscaled_op(node, [self._per_step(signal) for signal in signals])
        state.exact[value] = exact
        state.signals[value] = found
        for source in sources:
            self.uses[source] -= 1
            if not self.uses[source] and source not in self.kept:
                del state.exact[source], state.signals[source]

    # Encoding and decoding ---------------------------------------------------------------

    def _encode_input(self, name: str, array: Array, number: int) -> Signal:
        b, options = self.state.builder, self.options
        value = Value(name)
        static = Signal(value, False, ONE, array)
        if options.encoder == "constant":
            return static
        largest = np.float32(max(float(np.abs(array).max(initial=0.0)), 1e-6))
        earlier = set(b.graph.nodes)
        encoder = self._free(f"{name}.encoder")
        if options.encoder == "poisson":
            spikes = b.snn.PoissonEncoder(
                value,
                gain=1 / largest,
                seed=options.seed + number,
                signed=bool(array.min() < 0),
                name=encoder,
            )
        elif options.encoder == "rate":
            spikes = b.snn.RateEncoder(
                value, gain=1 / largest, initial_potential=options.start, name=encoder
            )
        else:
            first = b.snn.LatencyEncoder(
                b.ann.Scale(value, scale=1 / largest, name=self._free(f"{name}.scale")),
                window_steps=options.steps,
                name=encoder,
            )
            spikes = b.snn.LeakyIntegrator(first, name=self._free(f"{name}.held"))
        trains = self._encoded(spikes, name, array, earlier)
        return Signal(spikes, True, np.asarray(largest), trains.mean(0, dtype=np.float32), trains)

    def _encoded(self, spikes: Value, name: str, array: Array, earlier: set[str]) -> Array:
        """What the nodes that are not among the earlier ones make of an input."""
        b = self.state.builder
        graph = Graph(
            "encoder",
            [
                dataclasses.replace(entry, type=entry.value_type, scale=None, offset=None)
                for entry in b.graph.inputs
                if entry.name == name
            ],
            {key: node for key, node in b.graph.nodes.items() if key not in earlier},
        )
        graph.outputs.append(GraphOutput("spikes", spikes.name))
        model = Model(graph, b.build().opsets, b.time)
        found = ReferenceBackend().prepare(model).run({name: array})["spikes"]
        return np.ascontiguousarray(np.swapaxes(found, 0, 1))

    def _per_step(self, signal: Signal) -> Signal:
        if signal.per_step:
            return signal
        b = self.state.builder
        name = signal.value.name.partition(":")[0]
        value = b.snn.ConstantCurrent(signal.value, name=self._free(f"{name}.current"))
        return Signal(value, True, signal.scale, signal.mean)

    def _decoded(self, value: str) -> Value:
        """The decoded value of an output, through the heads that follow the decoder."""
        if value not in self.decoded:
            self.decoded[value] = self._decode(value)
        return self.decoded[value]

    def _decode(self, value: str) -> Value:
        b = self.state.builder
        node = self.model.graph.nodes.get(value.partition(":")[0])
        if node is not None and node.name in self.tail:
            return copy_node(b, node, [self._decoded(binding.source) for binding in node.inputs])
        signal = self.state.signals[value]
        if not signal.per_step:
            return signal.value
        name = value.partition(":")[0]
        decoder = self._free(f"{name}.decoder")
        if self.options.decoder == "spike-count" and signal.trains is None:
            signal = self._counting(name, signal)
            count = b.snn.SpikeCount(signal.value, name=decoder)
            scale = signal.scale / self.options.steps
            scaled: Value = b.ann.Scale(count, scale=scale, name=self._free(f"{name}.mean"))
            return scaled
        mean: Value = b.snn.MeanPotential(self._unscaled(signal).value, name=decoder)
        return mean

    def _counting(self, name: str, signal: Signal) -> Signal:
        """Neurons that spike for positive and for negative values alike."""
        signal = self._unscaled(signal)
        largest = np.float32(max(float(np.abs(signal.mean).max()), 1e-6))
        neuron = neurons.make(np.asarray(largest), 1.0, True, 0.0)
        neuron = dataclasses.replace(neuron, negative=np.asarray(largest))
        return self._emit(self._free(f"{name}.neurons"), "", neuron, signal, signal.mean)

    # Stateless nodes ---------------------------------------------------------------------

    def _static(self, node: Node, signals: list[Signal]) -> Signal:
        value = copy_node(self.state.builder, node, [signal.value for signal in signals])
        return Signal(value, False, ONE, apply(node, [signal.mean for signal in signals]))

    def _weighted(self, node: Node, signal: Signal, exact: Array) -> Signal:
        if self.options.method == "calibrated":
            node = recalibrate(node, signal.estimate, exact, refit=True)
        if signal.scale.ndim > 1:
            signal = self._unscaled(signal)
        folded = weights.with_weights(
            node, weights.scaled_inputs(node, signal.scale), weights.bias(node)
        )
        return self._stateless(folded, [signal], ONE)

    def _channelwise(self, node: Node, signal: Signal) -> Signal:
        if node.operator.startswith(("MaxPool", "GlobalMaxPool")):
            return self._max_pool(node, signal)
        return self._stateless(node, [signal], signal.scale)

    def _selecting(self, node: Node, signals: list[Signal]) -> Signal:
        scales = [np.broadcast_to(signal.scale, signal.mean.shape[1:])[None] for signal in signals]
        if all(signal.scale.ndim == 0 for signal in signals) and len(signals) == 1:
            return self._stateless(node, signals, signals[0].scale)
        scale = apply(node, [np.ascontiguousarray(s, np.float32) for s in scales])[0]
        return self._stateless(node, signals, compact(scale))

    def _unscaled_op(self, node: Node, signals: list[Signal]) -> Signal:
        signals = [self._unscaled(signal) for signal in signals]
        if node.operator == "Subtract":
            taken = next(i for i, binding in enumerate(node.inputs) if binding.port == "b")
            signals[taken] = self._scaled_by(signals[taken], np.float32(-1))
            node = dataclasses.replace(
                node, op="ann.Add", inputs=[b._replace(port="x") for b in node.inputs]
            )
        return self._stateless(node, signals, ONE)

    def _unscaled(self, signal: Signal) -> Signal:
        """The signal in the units of the original: its scale made explicit."""
        if signal.scale.ndim == 0 and signal.scale == 1:
            return signal
        return dataclasses.replace(self._scaled_by(signal, signal.scale), scale=ONE)

    def _scaled_by(self, signal: Signal, factor: Array | np.float32) -> Signal:
        name = signal.value.name.partition(":")[0]
        node = Node(
            self._free(f"{name}.scale"),
            "ann.Scale",
            [Binding("x", "")],
            ("y",),
            {},
            {"scale": Tensor.from_array(np.asarray(factor, np.float32))},
        )
        return self._stateless(node, [signal], signal.scale)

    def _channel_scaled(self, signal: Signal) -> Signal:
        """A signal whose scale does not depend on the position."""
        return self._unscaled(signal) if signal.scale.ndim > 1 else signal

    def _stateless(self, node: Node, signals: list[Signal], scale: Array) -> Signal:
        spiking = dataclasses.replace(node, op=_spiking_op(node.operator))
        value = copy_node(self.state.builder, spiking, [signal.value for signal in signals])
        constant = all(signal.trains is None and signal.node is None for signal in signals)
        mean = apply(spiking, [signal.mean for signal in signals])
        return Signal(value, True, scale, mean, None, None if constant else spiking, tuple(signals))

    def _free(self, name: str) -> str:
        """The name, or with a number if one of the two networks has it."""
        return free_name(name, self.state.builder.graph.nodes, self.model.graph.nodes)

    # Nodes with state --------------------------------------------------------------------

    def _samples(self, signal: Signal) -> int:
        """How many calibration samples are simulated step by step."""
        elements = int(np.prod(signal.mean.shape[1:]))
        return max(min(len(signal.mean), MEMORY_BYTES // (elements * self.options.steps)), 1)

    def _max_pool(self, node: Node, signal: Signal) -> Signal:
        b, steps = self.state.builder, self.options.steps
        if node.operator.startswith("Global"):
            size = signal.mean.shape[1:-1]
            rank = len(size)
            pooled = self._max_pool(
                Node(
                    self._free(f"{node.name}.pool"),
                    f"ann.MaxPool{rank}D",
                    node.inputs,
                    ("y",),
                    {"pool_size": size},
                    {},
                    (),
                    node.source,
                ),
                signal,
            )
            if node.attributes.get("keepdims", False):
                return pooled
            shape = Node(node.name, "ann.Flatten", node.inputs, ("y",), {}, {}, (), node.source)
            return self._stateless(shape, [pooled], pooled.scale)
        value: Value = b.add(
            f"snn.{node.operator}",
            signal.value,
            name=node.name,
            source=node.source,
            **node.attributes,
        )
        count = self._samples(signal)
        blocks = [
            _pooled(node, signal.steps(slice(start, start + count), steps))
            for start in range(0, len(signal.mean), count)
        ]
        trains: Array = np.concatenate(blocks, axis=1)
        return Signal(value, True, signal.scale, trains.mean(0, dtype=np.float32), trains)

    def _neurons(self, node: Node, signal: Signal, exact: Array) -> Signal:
        signal = self._unscaled(self._per_step(signal))
        neuron = self._neuron(node, signal, exact)
        return self._emit(node.name, node.source, neuron, signal, exact)

    def _emit(self, name: str, source: str, neuron: Neuron, signal: Signal, exact: Array) -> Signal:
        b, steps = self.state.builder, self.options.steps
        shape = signal.mean.shape[1:]
        threshold = neuron.threshold
        value: Value = b.snn.IF(
            signal.value,
            threshold=threshold,
            initial_potential=np.float32(neuron.start) * threshold,
            negative_threshold=neuron.negative,
            negative_spikes="corrective" if neuron.corrective else None,
            bias=neuron.bias if np.any(neuron.bias) else None,
            name=name,
            source=source,
        )
        count = len(signal.mean)
        trains = np.empty((steps, count, *shape), np.int8)
        size = self._samples(signal)
        for start in range(0, count, size):
            part = slice(start, start + size)
            trains[:, part] = neuron.simulate(signal.steps(part, steps))
        mean = trains.mean(0, dtype=np.float32)
        difference = mean * threshold - exact
        norm = float(np.sqrt(np.square(exact).mean())) or 1.0
        self.state.reports.append(
            LayerReport(
                name,
                source,
                int(np.prod(shape)),
                (float(threshold.min()), float(threshold.mean()), float(threshold.max())),
                float(np.sqrt(np.square(difference).mean())) / norm,
                float(np.abs(trains).mean()),
            )
        )
        return Signal(value, True, np.asarray(threshold, np.float32), mean, trains)

    def _neuron(self, node: Node, signal: Signal, exact: Array) -> Neuron:
        options = self.options
        slope, cap = _activation(node)
        if options.method == "calibrated":
            return thresholds.choose(
                thresholds.Wanted(
                    signal.mean,
                    lambda samples: signal.steps(samples, options.steps),
                    options.steps,
                    exact,
                    slope,
                    options.start,
                    cap,
                )
            )
        seen = np.abs(exact)
        if options.method == "spike-norm":
            seen = self._largest_currents(signal, slope)
        by_channel = seen.reshape(-1, seen.shape[-1])
        if options.percentile is None or options.method == "spike-norm":
            found = by_channel.max(0) if options.per_channel else by_channel.max()
        else:
            axis = 0 if options.per_channel else None
            found = np.percentile(by_channel, options.percentile, axis=axis)
        least = np.float32(1e-3) * np.float32(max(float(np.abs(exact).max()), 1e-6))
        threshold = np.maximum(np.asarray(found, np.float32), least)
        if cap is not None:
            threshold = np.minimum(threshold, np.float32(cap))
        return neurons.make(threshold, slope, False, options.start)

    def _largest_currents(self, signal: Signal, slope: Array | float) -> Array:
        """For each sample what a spike must be worth to keep up in its largest step."""
        count = max(self._samples(signal) // 4, 1)  # float32, where spikes are int8
        blocks = []
        for start in range(0, len(signal.mean), count):
            current = signal.steps(slice(start, start + count), self.options.steps)
            blocks.append(np.maximum(current, -slope * current).max(0))
        return np.concatenate(blocks)


def _carried(node: Node) -> str:
    """What could be there instead, if rate coding does not carry a node; else nothing."""
    if node.op.partition(".")[0] != "ann":
        return "operators of domain 'ann'"
    if node.operator in HEADS - {"ReLU", "PReLU"} or node.operator == "Multiply":
        return "linear layers, ReLU and its kin, pooling, additions"
    if node.operator == "ReLU" and node.attributes.get("threshold", 0.0):
        return "ReLU with threshold 0"
    if node.operator == "BatchNorm":
        return "batch normalisation along the last axis"
    if _is_activation(node) and np.any(np.asarray(_activation(node)[0]) < 0):
        return "slopes of at least 0: a negative spike stands for a negative value"
    return ""


def _pooled(node: Node, arriving: Array) -> Array:
    """What the largest sum in each window so far grows by in each step; int8 if that will do."""
    total: Array = np.zeros(arriving.shape[1:], np.float32)
    before: Array = np.zeros((), np.float32)
    grown = []
    for step in arriving:
        total = total + step
        peak = apply(node, [total])
        grown.append(peak - before)
        before = peak
    stacked: Array = np.stack(grown)
    small = np.abs(stacked).max() <= 127 and np.array_equal(stacked, np.rint(stacked))
    return stacked.astype(np.int8) if small else stacked


def _is_activation(node: Node) -> bool:
    return node.operator in ("ReLU", "PReLU")


def _activation(node: Node) -> tuple[Array | float, float | None]:
    """Slope below zero, and the largest value of the function if it has one."""
    if node.operator == "PReLU":
        return node.parameters["slope"].values(), None
    cap = node.attributes.get("max_value")
    slope = float(node.attributes.get("negative_slope", 0.0))  # type: ignore[arg-type]
    return slope, None if cap is None else float(cap)  # type: ignore[arg-type]


def _spiking_op(operator: str) -> str:
    return f"snn.{operator.replace('ZeroPad', 'Pad')}"
