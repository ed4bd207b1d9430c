"""What a network needs of a Loihi 2 chip, next to what is known of its limits.

Counts follow from the model. Limits marked as estimates are not in any public reference of the
tools: they are derived from the size of the chip, or reported without a source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.infer import Types, infer
from snnir.ir.graph import Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.ops.loihi2.synapses import MAX_DELAY
from snnir.ops.registry import find
from snnir.runtime.evaluate import bind
from snnir.runtime.reference import ReferenceBackend

Array = npt.NDArray[Any]

NEURONS: Final = ("CubaLIF", "CubaLI", "Delta", "SigmaDelta", "Sigma")
READOUTS: Final = ("CubaLI", "Sigma")
SYNAPSES: Final = ("Dense", "Conv2D")


@dataclass(frozen=True)
class Limit:
    """A limit of the chip.

    Attributes:
        what: What is limited.
        value: Its largest value.
        estimate: Whether it is derived or reported, not documented.
    """

    what: str
    value: int
    estimate: bool


CHIP_NEURONS: Final = Limit("neurons of a chip", 1 << 20, False)
CHIP_SYNAPSES: Final = Limit("synapses of a chip", 120_000_000, False)
CORES: Final = Limit("cores of a chip", 128, False)
CORE_NEURONS: Final = Limit("neurons of a core", 8192, True)
CORE_BYTES: Final = Limit("synaptic memory of a core in bytes", 128 << 10, True)
DELAY: Final = Limit("delay in steps", MAX_DELAY, False)


@dataclass(frozen=True)
class LayerResources:
    """What the neurons of a layer, and the synapses that lead to them, need.

    Attributes:
        node: Name of the neurons.
        neurons: Number of neurons.
        synapses: Connections whose weight is not 0, recurrent ones included.
        weight_bytes: Memory for the stored weights; those of a convolution are shared.
        axons: Sources of the connections.
        delay: Longest delay of a synapse, in steps.
        cores: Cores that the neurons and weights fill, at least; an estimate.
        messages: Spikes or messages that the neurons send in a presentation, on average; None if
            it was not measured.
        operations: Additions at the synapses in a presentation, on average; likewise.
    """

    node: str
    neurons: int
    synapses: int
    weight_bytes: int
    axons: int
    delay: int
    cores: int
    messages: float | None
    operations: float | None


@dataclass(frozen=True)
class Resources:
    """What a network needs.

    Attributes:
        layers: Layer by layer.
        samples: Presentations on which messages were counted.
    """

    layers: tuple[LayerResources, ...]
    samples: int

    def limits(self) -> list[tuple[Limit, int]]:
        """Limits of a chip, and what the network needs of them."""
        return [
            (CHIP_NEURONS, sum(layer.neurons for layer in self.layers)),
            (CHIP_SYNAPSES, sum(layer.synapses for layer in self.layers)),
            (CORES, sum(layer.cores for layer in self.layers)),
            (DELAY, max((layer.delay for layer in self.layers), default=0)),
        ]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "samples": self.samples,
            "limits": [
                {
                    "what": limit.what,
                    "needed": needed,
                    "limit": limit.value,
                    "estimate": limit.estimate or limit is CORES,
                }
                for limit, needed in self.limits()
            ],
        }

    def __str__(self) -> str:
        width = max([5, *(len(layer.node) for layer in self.layers)])
        lines = [
            f"{'layer':<{width}} {'neurons':>8} {'synapses':>10} {'weights':>10} {'axons':>7} "
            f"{'delay':>5} {'cores*':>6} {'messages':>9} {'operations':>11}"
        ]
        for layer in self.layers:
            messages = "-" if layer.messages is None else f"{layer.messages:.0f}"
            operations = "-" if layer.operations is None else f"{layer.operations:.0f}"
            lines.append(
                f"{layer.node:<{width}} {layer.neurons:>8} {layer.synapses:>10} "
                f"{layer.weight_bytes:>8} B {layer.axons:>7} {layer.delay:>5} {layer.cores:>6} "
                f"{messages:>9} {operations:>11}"
            )
        lines.append("")
        for limit, needed in self.limits():
            over = " - TOO MANY" if needed > limit.value else ""
            star = "*" if limit is CORES else ""
            lines.append(f"{limit.what}: {needed}{star} of {limit.value}{over}")
        lines += [
            f"* estimates: at least so many, with {CORE_NEURONS.value} neurons and "
            f"{CORE_BYTES.value >> 10} KiB of weights a core, which is not documented",
        ]
        if self.samples:
            lines.append(f"messages and operations: for a presentation, mean of {self.samples}")
        return "\n".join(lines)


def resources(model: Model, samples: Mapping[str, Array] | None = None) -> Resources:
    """What a network of domain ``loihi2`` needs of a chip.

    Args:
        model: The network.
        samples: Presentations to count messages on, as a run takes them.

    Raises:
        SnnirError: If the model or the samples are not in order.
    """
    types = infer(model)
    order = list(model.graph.nodes.values())
    nodes = [n for n in order if n.domain == "loihi2" and n.operator in NEURONS]
    recorded: dict[str, Array] = {}
    count = 0
    if samples:
        values = {n.values()[0] for n in nodes} | {
            binding.source
            for n in order
            if n.domain == "loihi2" and n.operator in SYNAPSES
            for binding in n.inputs
        }
        run = ReferenceBackend().prepare(model).run(samples, record=sorted(values))
        recorded = dict(run.recorded)
        count = len(next(iter(samples.values())))
    layers = [_layer(model, node, types, recorded) for node in nodes]
    return Resources(tuple(layers), count)


def _layer(model: Model, node: Node, types: Types, recorded: Mapping[str, Array]) -> LayerResources:
    synapses = [
        found
        for binding in node.inputs
        if (found := model.graph.nodes.get(producer(binding.source))) is not None
        and found.domain == "loihi2"
        and found.operator in SYNAPSES
    ]
    neurons = _size(types, node.values()[0])
    memory = sum(_weight_bytes(synapse) for synapse in synapses)
    sent = recorded.get(node.values()[0])
    operations = [
        _operations(synapse, types, recorded[synapse.inputs[0].source])
        for synapse in synapses
        if synapse.inputs[0].source in recorded
    ]
    return LayerResources(
        node=node.name,
        neurons=neurons,
        synapses=sum(_connections(synapse, types) for synapse in synapses),
        weight_bytes=memory,
        axons=sum(_size(types, synapse.inputs[0].source) for synapse in synapses),
        delay=max((_delay(synapse) for synapse in synapses), default=0),
        cores=max(math.ceil(neurons / CORE_NEURONS.value), math.ceil(memory / CORE_BYTES.value), 1),
        messages=None
        if sent is None or node.operator in ("CubaLI", "Sigma")
        else _per_sample(sent),
        operations=sum(operations) if recorded else None,
    )


def _size(types: Types, value: str) -> int:
    return math.prod(int(dim) for dim in types[value].shape)


def _weight_bytes(synapse: Node) -> int:
    bits = int(synapse.attributes.get("num_weight_bits", 8))  # type: ignore[arg-type]
    return math.ceil(synapse.parameters["weight"].size * bits / 8)


def _delay(synapse: Node) -> int:
    delay = synapse.parameters.get("delay")
    return 0 if delay is None else int(delay.numpy().max(initial=0))


def _reached(synapse: Node, types: Types, sources: Array) -> Array:
    """How many of the given sources (samples first) reach each target by a weight that is not 0."""
    shape = tuple(int(dim) for dim in types[synapse.inputs[0].source].shape)
    out = tuple(int(dim) for dim in types[synapse.values()[0]].shape)
    bound = bind(
        synapse,
        {"x": [shape]},
        {"a_out": out},
        batch=len(sources),
        dtype=np.dtype(np.float32),
    )
    bound.parameters = {
        **bound.parameters,
        "weight": (bound.parameters["weight"] != 0).astype(np.int64),
        "delay": np.zeros((), np.int64),
    }
    bound.attributes = {**bound.attributes, "weight_exp": 0}
    opdef = find(synapse.op)
    if opdef is None or opdef.prepare is None:
        return np.zeros((len(sources), *out), np.int32)
    bound.prepared = opdef.prepare(bound)
    history = {"history": np.zeros((len(sources), 0, *shape), np.int32)}
    found: Array = opdef.step(bound, {"x": sources.astype(np.int32)}, history)[0]
    return found


def _connections(synapse: Node, types: Types) -> int:
    shape = tuple(int(dim) for dim in types[synapse.inputs[0].source].shape)
    return int(_reached(synapse, types, np.ones((1, *shape), np.int32)).sum(dtype=np.int64))


def _operations(synapse: Node, types: Types, sent: Array) -> float:
    """Additions in a presentation, on average: targets reached by what is sent."""
    total = sum(
        int(_reached(synapse, types, sent[:, t] != 0).sum(dtype=np.int64))
        for t in range(sent.shape[1])
    )
    return total / len(sent)


def _per_sample(sent: Array) -> float:
    return float(np.count_nonzero(sent)) / len(sent)
