"""Running networks on many samples in bounded memory: answers over time, spikes, operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.conversion import costs
from snnir.errors import CapabilityError, RunError, raise_errors
from snnir.infer import Types, infer_types
from snnir.ir.graph import Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import Model
from snnir.ir.traversal import topological_order
from snnir.ops.registry import Resolver
from snnir.ops.schema import Flow
from snnir.runtime.backend import check_inputs, find_backend

Array = npt.NDArray[Any]
Reporter = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

BATCH_BYTES: Final = 1 << 27
"""About what is recorded of one batch of samples."""

BATCH_SAMPLES: Final = 256
"""Most samples of a batch."""

SPIKES: Final = "spikes"
"""Name of the output port of whatever spikes."""


def batches(arrays: Mapping[str, Array], size: int) -> Iterator[tuple[slice, dict[str, Array]]]:
    """The samples in batches, and where each of them is."""
    count = len(next(iter(arrays.values())))
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        yield part, {name: array[part] for name, array in arrays.items()}


def bound_types(model: Model, arrays: Mapping[str, Array]) -> Types:
    """Types of all values for these inputs: every length is known.

    Raises:
        RunError: If the arrays do not fit.
    """
    _, _, given = check_inputs(model.graph, arrays, None, model.time.steps)
    findings: list[Any] = []
    types = infer_types(model.graph, Resolver(model.opsets), findings, given)
    raise_errors(findings)
    return types


# Answers after fewer steps -------------------------------------------------------------------


class Readout:
    """The decoders of a network and what follows them, as a network of its own.

    Fed with the first ``t`` steps of what arrives at the decoders it answers as the network
    does that is presented for ``t`` steps: nothing before a decoder looks ahead.
    """

    def __init__(self, model: Model, types: Types) -> None:
        resolve = Resolver(model.opsets)
        order, _ = topological_order(model.graph)
        nodes: dict[str, Node] = {}
        inside: set[str] = set()
        for node in order:
            opdef = resolve(node.op)
            decodes = opdef is not None and opdef.flow is Flow.DECODE
            if decodes or any(binding.source in inside for binding in node.inputs):
                nodes[node.name] = node
                inside.update(node.values())
        self.values = sorted(
            {b.source for node in nodes.values() for b in node.inputs} - inside,
        )
        self._per_step = {value for value in self.values if types[value].is_per_step}
        self._names = {value: f"value{number}" for number, value in enumerate(self.values)}
        outputs = [output for output in model.graph.outputs if output.value in inside]
        self._prepared = None
        if outputs and self._per_step:
            graph = Graph("readout", [GraphInput(n, types[v]) for v, n in self._names.items()])
            renamed = {node: f"node{number}" for number, node in enumerate(nodes)}
            for name, node in nodes.items():
                graph.add(_renamed(node, renamed[name], self._names, renamed))
            graph.outputs = [
                GraphOutput(output.name, _value(output.value, self._names, renamed))
                for output in outputs
            ]
            readout = Model(graph, dict(model.opsets), model.time)
            self._prepared = find_backend("layerwise").prepare(readout)

    def after(self, recorded: Mapping[str, Array], steps: int) -> dict[str, Array]:
        """The outputs after some steps; nothing if the decoders have nothing to say by then."""
        if self._prepared is None:
            return {}
        given = {
            name: recorded[value][:, :steps] if value in self._per_step else recorded[value]
            for value, name in self._names.items()
        }
        try:
            return self._prepared.run(given).outputs
        except RunError:  # a decoder's window starts later
            return {}


def _value(value: str, inputs: Mapping[str, str], nodes: Mapping[str, str]) -> str:
    if value in inputs:
        return inputs[value]
    node, _, port = value.partition(":")
    return f"{nodes[node]}:{port}"


def _renamed(node: Node, name: str, inputs: Mapping[str, str], nodes: Mapping[str, str]) -> Node:
    edges = [b._replace(source=_value(b.source, inputs, nodes)) for b in node.inputs]
    return Node(name, node.op, edges, node.outputs, node.attributes, node.parameters)


# A network under observation -----------------------------------------------------------------


@dataclass
class Activity:
    """What a network did, summed over samples.

    Attributes:
        samples: Number of samples.
        steps: Presentation length.
        spikes: Spikes of each node that spikes.
        neurons: Neurons of each node that spikes.
        operations: Synaptic operations of each node with weights.
    """

    samples: int = 0
    steps: int = 0
    spikes: dict[str, int] = field(default_factory=dict)
    neurons: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)

    def rate(self, node: str) -> float:
        """Part of the steps in which a neuron of the node spikes."""
        return self.spikes[node] / max(self.samples * self.steps * self.neurons[node], 1)


class Meter:
    """Runs a spiking network batch by batch and counts what happens.

    Args:
        model: The network.
        arrays: Its inputs, all of them or some: they bind symbols.
        backend: What to run on.
        options: Options of the backend.
        steps: Presentation length; by default the model's.
        lengths: Presentation lengths at which the answer is read as well.
        observe: Whether spikes and synaptic operations are counted.

    Attributes:
        details: What the backend said of the last run.
    """

    def __init__(
        self,
        model: Model,
        arrays: Mapping[str, Array],
        *,
        backend: str = "layerwise",
        options: Mapping[str, Any] | None = None,
        steps: int | None = None,
        lengths: Sequence[int] = (),
        observe: bool = True,
    ) -> None:
        self.model = model
        self.types = bound_types(model, arrays)
        self.activity = Activity()
        self.observed = observe
        self.details: dict[str, Any] = {}
        self._steps = steps
        self._lengths = lengths
        self._prepared = find_backend(backend).prepare(model, **(options or {}))
        self._spiking = {
            node.name: node.value(SPIKES)
            for node in model.graph.nodes.values()
            if SPIKES in node.outputs
        }
        self._weighted = {
            node.name: node.inputs[0].source
            for node in costs.weighted_nodes(model.graph)
            if self.types[node.values()[0]].is_per_step
        }
        self._fan_out = {
            name: costs.fan_out(model.graph.nodes[name], self._shape(source))
            for name, source in self._weighted.items()
        }
        self._readout = Readout(model, self.types) if lengths else None
        wanted = [*self._spiking.values(), *self._weighted.values()]
        self._record = list(dict.fromkeys(wanted))
        self._read = [] if self._readout is None else self._readout.values

    def _shape(self, value: str) -> tuple[int, ...]:
        return tuple(int(dim) for dim in self.types[value].shape)

    @property
    def batch_size(self) -> int:
        """Samples at a time, so that what is recorded stays small."""
        steps = self._steps or self.model.time.steps
        elements = sum(math.prod(self._shape(value)) for value in (*self._record, *self._read))
        return max(min(BATCH_BYTES // max(4 * elements * steps, 1), BATCH_SAMPLES), 1)

    def run(self, inputs: Mapping[str, Array]) -> dict[int, dict[str, Array]]:
        """Answers of a batch by presentation length, the whole one last.

        Raises:
            SnnirError: If the network does not run.
        """
        record = list(dict.fromkeys([*self._record, *self._read])) if self.observed else []
        try:
            recording = self._prepared.run(inputs, steps=self._steps, record=record)
        except CapabilityError:
            if not record or self.activity.samples:
                raise
            self.observed = False
            recording = self._prepared.run(inputs, steps=self._steps)
        self.details = recording.details
        if self.observed:
            self._count(recording.recorded, recording.steps)
        self.activity.samples += len(next(iter(inputs.values())))
        self.activity.steps = recording.steps
        answers: dict[int, dict[str, Array]] = {}
        if self._readout is not None and self.observed:
            for length in self._lengths:
                if length < recording.steps:
                    found = self._readout.after(recording.recorded, length)
                    if found:
                        answers[length] = found
        answers[recording.steps] = recording.outputs
        return answers

    def _count(self, recorded: Mapping[str, Array], steps: int) -> None:
        activity = self.activity
        for name, value in self._spiking.items():
            array = recorded[value]
            activity.neurons[name] = math.prod(array.shape[2:])
            activity.spikes[name] = activity.spikes.get(name, 0) + int(np.count_nonzero(array))
        for name, value in self._weighted.items():
            fan_out = self._fan_out[name]
            if fan_out is None:
                continue
            arriving = np.count_nonzero(recorded[value], axis=(0, 1)).astype(np.int64)
            activity.operations[name] = activity.operations.get(name, 0) + int(
                (arriving * fan_out).sum()
            )


# Comparing answers ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision:
    """How an output is turned into a class.

    Attributes:
        boundary: Where there is one number: from which value on the answer is yes.
        sure: Whether there are several classes, or the number is a probability. Otherwise only
            labels tell that it is a decision at all.
    """

    boundary: float
    sure: bool

    def decide(self, output: Array) -> Array:
        """The class of each sample (of each place, if there are several axes)."""
        if output.ndim == 1:
            output = output[:, np.newaxis]
        if output.shape[-1] == 1:
            return np.asarray(output[..., 0] >= self.boundary, np.int64)
        return np.asarray(output.argmax(axis=-1))


def decision(graph: Graph, output: GraphOutput, types: Types) -> Decision:
    """How this output is turned into a class: by its largest element, or by a boundary."""
    node = graph.nodes.get(output.value.partition(":")[0])
    probability = node is not None and node.operator in ("Sigmoid", "HardSigmoid")
    shape = types[output.value].shape
    return Decision(0.5 if probability else 0.0, probability or (shape or (1,))[-1] != 1)


@dataclass
class Score:
    """Sums over batches for one output at one presentation length."""

    answers: int = 0
    agreeing: int = 0
    original: int = 0
    spiking: int = 0
    squared_error: float = 0.0
    squared: float = 0.0

    def add(
        self, expected: Array, found: Array, truth: Array | None, decide: Callable[[Array], Array]
    ) -> None:
        """Add a batch."""
        with np.errstate(all="ignore"):
            difference = found.astype(np.float64) - expected
            self.squared_error += float(np.square(difference).sum())
            self.squared += float(np.square(expected, dtype=np.float64).sum())
        ours, theirs = decide(found), decide(expected)
        self.answers += ours.size
        self.agreeing += int(np.count_nonzero(ours == theirs))
        if truth is not None:
            self.original += int(np.count_nonzero(theirs == truth))
            self.spiking += int(np.count_nonzero(ours == truth))

    @property
    def error(self) -> float:
        """Root mean square of the difference, relative to that of the original."""
        if not self.squared:
            return 0.0 if not self.squared_error else math.inf
        return math.sqrt(self.squared_error / self.squared)


def largest_difference(expected: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """The largest difference of any output, relative to the output's largest number."""
    worst = 0.0
    for name, array in expected.items():
        most = float(np.abs(array).max(initial=0.0)) or 1.0
        with np.errstate(all="ignore"):
            worst = max(worst, float(np.abs(found[name] - array).max(initial=0.0)) / most)
    return worst


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a part of ``count`` independent answers.

    Wilson 1927, J. Am. Stat. Assoc. 22: 209, without continuity correction.
    """
    if not count:
        return 0.0, 1.0
    z = 1.959963984540054
    part = right / count
    centre = (part + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z / (1 + z * z / count) * math.sqrt(part * (1 - part) / count + z * z / (4 * count * count))
    )
    return max(centre - half, 0.0), min(centre + half, 1.0)
