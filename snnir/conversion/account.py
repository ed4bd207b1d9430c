"""What a conversion did, step by step, and which of it is exact: read off the networks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.conversion.methods import Method
from snnir.conversion.report import Pass
from snnir.conversion.settings import Settings
from snnir.ir.graph import Graph, Node
from snnir.ir.model import Model
from snnir.passes import weights
from snnir.passes.rate.signals import apply
from snnir.runtime.backend import find_backend

Array = npt.NDArray[Any]

_ENCODERS: Final = {
    "constant": (True, "inputs enter as they are, as constant currents"),
    "poisson": (False, "inputs are random spikes whose rate is the value"),
    "rate": (False, "inputs are spikes whose rate is the value, rounded"),
    "latency": (False, "inputs are the time of one spike, rounded to a step"),
    "few-spike": (False, "inputs are rounded to codes of {} bits"),
}

_POOLED_SAMPLES: Final = 16
"""Samples on which the rule of maximum pooling is measured."""


def passes(
    original: Model,
    ann: Model,
    gone: Sequence[str],
    found: Model,
    method: Method,
    settings: Settings,
    layers: Sequence[Any],
    samples: Mapping[str, Array],
    differences: tuple[float, float],
) -> Iterator[Pass]:
    """What was done, in order.

    Args:
        original: The network as it was given.
        ann: Its canonical form.
        gone: Names of nodes that became preprocessing.
        found: The spiking network.
        method: What made it.
        settings: What was asked for.
        layers: The method's report of each activation.
        samples: Samples to measure on.
        differences: Largest relative difference of an output from the original, of the
            canonical form and of the spiking network.
    """
    if gone:
        text = f"{', '.join(gone)} became scale and offset of the input"
        yield Pass("preprocessing", True, text, differences[0])
    yield Pass("canonicalise", True, _canonical(original, ann, gone), differences[0])
    approximate = False
    for step in _spiking(ann, found, method, settings, layers, samples):
        approximate |= not step.exact
        yield step
    text = "the spiking network as a whole, compared with the original"
    yield Pass(method.name, not approximate, text, differences[1])


def _canonical(original: Model, ann: Model, gone: Sequence[str]) -> str:
    """What became of the nodes that are not there any more as they were."""
    became: Counter[tuple[str, str]] = Counter()
    for node in original.graph.nodes.values():
        after = ann.graph.nodes.get(node.name)
        if node.name in gone or (after is not None and after.op == node.op):
            continue
        if after is not None:
            what = f"became {after.operator}"
        else:
            what = "dropped" if node.operator == "Dropout" else "folded into linear layers"
        became[what, node.operator] += 1
    texts: dict[str, list[str]] = {}
    for (what, operator), count in became.items():
        texts.setdefault(what, []).append(f"{count} {operator}")
    done = [f"{', '.join(operators)} {what}" for what, operators in texts.items()]
    return "; ".join(done) or "nothing was to be folded"


def _spiking(
    ann: Model,
    found: Model,
    method: Method,
    settings: Settings,
    layers: Sequence[Any],
    samples: Mapping[str, Array],
) -> Iterator[Pass]:
    encoder = settings.encoder or method.encoders[0]
    exact, text = _ENCODERS[encoder]
    yield Pass("encoder", exact, text.format(settings.bits or method.default))
    linear = [
        node
        for node in found.graph.nodes.values()
        if node.domain == "snn" and node.operator in weights.WEIGHTED
    ]
    if method.refits and linear:
        fitted = _some(len(linear), "linear layer")
        text = f"weights and biases of {fitted} fitted to what spikes deliver"
        yield Pass("weights", False, text)
    elif linear:
        kept = _some(len(linear), "linear layer")
        text = f"weights of {kept} as they were, scaled to thresholds"
        yield Pass("weights", True, text)
    activations = [layer for layer in layers if layer.node in ann.graph.nodes]
    if activations:
        text = f"{_some(len(activations), 'activation')} became spiking neurons"
        yield Pass("activations", False, text)
    yield from _pooling(ann.graph, found, samples)
    yield from _decoding(ann.graph, found)


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _is_max_pool(node: Node) -> bool:
    return node.operator.startswith(("MaxPool", "GlobalMaxPool"))


def _pooling(ann: Graph, found: Model, samples: Mapping[str, Array]) -> Iterator[Pass]:
    spiking = [n for n in found.graph.nodes.values() if n.domain == "snn" and _is_max_pool(n)]
    if spiking:
        rules = {str(node.attributes.get("rule", "cumulative")) for node in spiking}
        text = f"{len(spiking)} by rule {', '.join(sorted(rules))}: totals over time are maxima"
        yield Pass(
            "max pooling", rules == {"cumulative"}, text, _pooling_error(found, spiking, samples)
        )
    before = sum(map(_is_max_pool, ann.nodes.values()))
    static = sum(node.domain == "ann" and _is_max_pool(node) for node in found.graph.nodes.values())
    if before - static - len(spiking) > 0:
        text = f"{before - static - len(spiking)} by a tournament of codes, which loses nothing"
        yield Pass("max pooling", True, text)


def _pooling_error(found: Model, spiking: Sequence[Node], samples: Mapping[str, Array]) -> float:
    """Largest difference of a mean output from the maximum of mean inputs, relative to it."""
    few = {name: array[:_POOLED_SAMPLES] for name, array in samples.items()}
    sources = [node.inputs[0].source for node in spiking]
    values = [node.values()[0] for node in spiking]
    recorded = find_backend("layerwise").prepare(found).run(few, record=[*sources, *values])
    worst = 0.0
    for node, source, value in zip(spiking, sources, values, strict=True):
        attributes = {k: v for k, v in node.attributes.items() if k != "rule"}
        static = dataclasses.replace(node, op=f"ann.{node.operator}", attributes=attributes)
        arriving, leaving = (recorded[name].mean(1, np.float64) for name in (source, value))
        maximum = apply(static, [arriving.astype(np.float32)])
        most = float(np.abs(maximum).max(initial=0.0)) or 1.0
        worst = max(worst, float(np.abs(leaving - maximum).max(initial=0.0)) / most)
    return worst


def _decoding(ann: Graph, found: Model) -> Iterator[Pass]:
    nodes = found.graph.nodes
    counts = [node for node in nodes.values() if node.operator == "SpikeCount"]
    if not counts:
        yield Pass("decoder", True, "the answer is read from potentials that lose nothing")
        return
    sources = [node.inputs[0].source.partition(":")[0] for node in counts]
    extra = [source for source in sources if source not in ann.nodes]
    text = f"the answer is a number of spikes, of {_some(len(extra), 'more layer')} of neurons"
    yield Pass("decoder", not extra, text if extra else "the answer is a number of spikes")
