"""From a rate-coded spiking network back to the activations that its rates stand for.

A neuron that subtracts its threshold has the rate ``max(I, 0) / threshold`` for a constant input
``I``, as long as that is at most 1; sums over time take the place of activations. Undoing rate
coding leaves its errors behind, and its corrections: the report of a lowering says how often the
answers agree.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic, raise_errors
from snnir.infer import infer
from snnir.ir.graph import Binding, Graph, GraphOutput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import consumers, topological_order
from snnir.ops import registry
from snnir.passes.lowering import late_starts
from snnir.passes.rate.lower import CHANNELWISE

_GONE: Final = frozenset({"ConstantCurrent", "MeanPotential"})
_RENAMED: Final = {"Pad2D": "ZeroPad2D", "Pad1D": "ZeroPad1D"}


def is_rate_coded(model: Model) -> bool:
    """Whether a model consists of neurons that subtract, driven by constants."""
    neurons = [node for node in model.graph.nodes.values() if node.op == "snn.IF"]
    operators = {node.op for node in model.graph.nodes.values()}
    return (
        bool(neurons)
        and all(node.attributes.get("reset", "subtract") == "subtract" for node in neurons)
        and "snn.ConstantCurrent" in operators
        and operators.isdisjoint({"snn.LIF", "snn.ALIF", "snn.ExponentialSynapse"})
        and not any(entry.type.is_per_step for entry in model.graph.inputs)
    )


def activations_of(model: Model) -> Model:
    """The network of domain ``ann`` whose activations a rate-coded network approximates.

    Raises:
        CapabilityError: With every node that has no counterpart.
    """
    findings = late_starts(model.graph.nodes.values())
    result = Graph(model.graph.name, list(model.graph.inputs))
    renamed: dict[str, str] = {}
    order, _ = topological_order(model.graph)
    for node in order:
        inputs = [b._replace(source=renamed.get(b.source, b.source)) for b in node.inputs]
        if any(binding.delay_steps for binding in inputs):
            findings.append(_finding(node, "a delay"))
        if node.op in {f"snn.{name}" for name in _GONE}:
            if node.attributes.get("start", 0) or node.attributes.get("stop") is not None:
                findings.append(_finding(node, "a window of its own"))
            renamed[node.values()[0]] = inputs[0].source
            continue
        if node.op == "snn.IF":
            _check_neuron(node, findings)
            for part in _activation(node, inputs):
                result.nodes[part.name] = part
                last = part
            renamed[node.values()[0]] = last.values()[0]
            continue
        operator = _RENAMED.get(node.operator, node.operator)
        if registry.find(f"ann.{operator}") is None:
            findings.append(_finding(node, "no counterpart among activations"))
            continue
        if len(inputs) > 1 and operator not in ("Add", "Concat", "Subtract", "Multiply"):
            findings.append(_finding(node, "several inputs"))
        result.nodes[node.name] = dataclasses.replace(node, op=f"ann.{operator}", inputs=inputs)
    raise_errors(findings, CapabilityError)
    result.outputs = [
        GraphOutput(o.name, renamed.get(o.value, o.value), o.labels) for o in model.graph.outputs
    ]
    found = dataclasses.replace(model, graph=result, opsets={"ann": _version()}, examples={})
    while (moved := _moved_once(found)) is not None:
        found = dataclasses.replace(found, graph=moved)
    return dataclasses.replace(found, graph=_without_inverse_scales(found.graph))


def _version() -> int:
    found = registry.domain("ann")
    return 1 if found is None else found.version


def _finding(node: Node, found: str) -> Diagnostic:
    return Diagnostic(
        "loihi2.unsupported",
        f"node '{node.name}' ({node.op})",
        found,
        "what rate coding makes of linear layers and ReLU",
        "Convert the original network instead.",
        node.source,
    )


def _check_neuron(node: Node, findings: list[Diagnostic]) -> None:
    if len(node.inputs) != 1:
        findings.append(_finding(node, f"{len(node.inputs)} inputs"))
    if node.attributes.get("refractory_steps", 0):
        findings.append(_finding(node, "refractory steps"))
    corrective = node.attributes.get("negative_spikes", "free") == "corrective"
    if "negative_threshold" in node.parameters and not corrective:
        findings.append(_finding(node, "negative spikes for negative activations"))


def _activation(node: Node, inputs: list[Binding]) -> list[Node]:
    """Gain, bias, ReLU and what a spike is worth, as far as they are there."""
    parts: list[Node] = []

    def add(name: str, operator: str, **parameters: Tensor) -> None:
        source = parts[-1].values()[0] if parts else inputs[0].source
        parts.append(
            Node(
                name,
                f"ann.{operator}",
                [Binding("x", source)],
                ("y",),
                {},
                dict(parameters),
                (),
                node.source,
            )
        )

    if "gain" in node.parameters:
        add(f"{node.name}.gain", "Scale", scale=node.parameters["gain"])
    if "bias" in node.parameters:
        add(f"{node.name}.bias", "Bias", bias=node.parameters["bias"])
    add(node.name, "ReLU")
    rate = (1 / _worth(node)).astype(np.float32)
    add(f"{node.name}.rate", "Scale", scale=Tensor.from_array(rate))
    return parts


def _worth(node: Node) -> npt.NDArray[np.float64]:
    """What a spike is worth."""
    threshold, reset = node.parameters.get("threshold"), node.parameters.get("reset_potential")
    worth = np.ones(()) if threshold is None else threshold.values().astype(np.float64)
    return np.asarray(worth if reset is None else worth - reset.values().astype(np.float64))


def _moved_once(model: Model) -> Graph | None:
    """The graph with one scale moved behind pooling or a change of layout; None if none can be.

    It meets the weights behind them there, which hold what a spike is worth: the two cancel.
    """
    graph = model.graph
    uses = consumers(graph)
    kept = {output.value for output in graph.outputs}
    for scale in graph.nodes.values():
        users = uses.get(scale.values()[0], [])
        if scale.op != "ann.Scale" or len(users) != 1 or scale.values()[0] in kept:
            continue
        mover = users[0][0]
        factor = scale.parameters["scale"].values()
        if mover.operator == "Flatten":
            shape = tuple(int(n) for n in infer(model)[mover.inputs[0].source].shape)
            factor = np.broadcast_to(factor, shape).reshape(-1)
        elif mover.operator not in CHANNELWISE or factor.ndim > 1:
            continue
        behind = dataclasses.replace(
            scale,
            inputs=[Binding("x", mover.values()[0])],
            parameters={"scale": Tensor.from_array(np.ascontiguousarray(factor))},
        )
        before = dataclasses.replace(mover, inputs=list(scale.inputs))
        result = Graph(graph.name, list(graph.inputs))
        for name, node in graph.nodes.items():
            if name == scale.name:
                continue
            if name == mover.name:
                result.nodes[name], result.nodes[scale.name] = before, behind
                continue
            inputs = [
                b._replace(source=scale.values()[0]) if b.source == mover.values()[0] else b
                for b in node.inputs
            ]
            result.nodes[name] = dataclasses.replace(node, inputs=inputs)
        result.outputs = [
            dataclasses.replace(o, value=scale.values()[0]) if o.value == mover.values()[0] else o
            for o in graph.outputs
        ]
        return result
    return None


def _without_inverse_scales(graph: Graph) -> Graph:
    """The graph without scales that undo each other."""
    uses = consumers(graph)
    kept = {output.value for output in graph.outputs}
    gone: dict[str, str] = {}
    for node in graph.nodes.values():
        users = uses.get(node.values()[0], [])
        if node.operator != "Scale" or len(users) != 1 or node.values()[0] in kept:
            continue
        user = users[0][0]
        if user.operator != "Scale":
            continue
        factors = [each.parameters["scale"].values().astype(np.float64) for each in (node, user)]
        # Two float32 whose product is 1 but for their rounding.
        if np.allclose(factors[0] * factors[1], 1.0, rtol=1e-6, atol=0):
            gone[node.name] = gone[user.name] = ""
            gone[user.values()[0]] = node.inputs[0].source

    def renamed(value: str) -> str:
        return gone.get(value, value)

    result = Graph(graph.name, list(graph.inputs))
    for name, node in graph.nodes.items():
        if name not in gone:
            inputs = [b._replace(source=renamed(b.source)) for b in node.inputs]
            result.nodes[name] = dataclasses.replace(node, inputs=inputs)
    result.outputs = [dataclasses.replace(o, value=renamed(o.value)) for o in graph.outputs]
    return result
