"""Giving connections the delay that a backend needs, without changing what is computed. Exact.

A node with lag ``k`` does in step ``t + k`` what it did in step ``t`` before: it starts later by
its lag (``start_step``), and an edge from lag ``a`` to lag ``b`` is longer by ``b - a`` (Leiserson
and Saxe, Retiming synchronous circuitry, Algorithmica 1991).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from snnir.check import check
from snnir.check.structure import check_structure
from snnir.errors import CapabilityError, Diagnostic, raise_errors
from snnir.infer import Types, infer
from snnir.ir.graph import AttributeValue, Binding, Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.ops.schema import START_STEP, OpDef
from snnir.opsets import usable_operators
from snnir.passes.lags import Edge, describe_cycle, find_lags


@dataclass(frozen=True)
class Retimed:
    """A retimed model.

    Attributes:
        model: It runs for ``time.steps + latency`` steps; per-step inputs are to be followed by
            anything, e.g. zeros.
        lags: For each node that has a part in the steps of a presentation, and each per-step
            graph input (0), by how many steps it is later. A per-step output, or any value or
            state that is recorded, has in step ``t + lag`` the value that it had in step ``t``.
        latency: Steps by which the static outputs are later, and the most of any output.
    """

    model: Model
    lags: Mapping[str, int]
    latency: int


def retime(
    model: Model,
    need: Callable[[Node, Binding], int],
    *,
    together: Sequence[Collection[str]] = (),
) -> Retimed:
    """The model with at least the delays that are needed, and the same answers.

    The lags are the smallest that give each edge its delay, but for decoders: those end with
    the presentation, so that they all have the latency as lag. A decoder that must share the
    smaller lag of others instead gets the attribute ``stop``, which is right only for the
    model's own presentation length: whoever runs another one has to end its window as many
    steps after its start as the original's.

    Args:
        model: A valid model; it is not modified. Examples are left out.
        need: Steps of delay that an edge has at least, of the node it arrives at and its
            binding. It is asked for edges that carry per-step values only.
        together: Disjoint groups of nodes that share one lag, so that the delay of edges among
            them stays what it is.

    Returns:
        The retimed model. Nodes with delayed inputs have declared types, because in cycles no
        edge may be left that tells them.

    Raises:
        ModelError: If the model is not valid.
        CapabilityError: With every cycle whose delays are fewer than its needs, and every
            decoder that must end before the presentation but has no window to do so; or if a
            delay or the presentation becomes too long.
        ValueError: If groups overlap, or name what is static or not there.
    """
    raise_errors(check(model, values=False))
    types, nodes, resolve = infer(model), model.graph.nodes, usable_operators(model)
    timed = [node for node in nodes.values() if _is_timed(node, types)]
    edges = [
        Edge(producer(binding.source), node.name, binding.delay_steps, need(node, binding))
        for node in timed
        for binding in node.inputs
        if types[binding.source].is_per_step
    ]
    lags, cycles = find_lags([node.name for node in timed], edges, together)
    findings = [Diagnostic("retime.cycle", "graph", *describe_cycle(cycle)) for cycle in cycles]
    raise_errors(findings, CapabilityError)
    lags.update((entry.name, 0) for entry in model.graph.inputs if entry.type.is_per_step)
    decoders = {node.name for node in timed if not types[node.values()[0]].is_per_step}
    outputs = {producer(o.value) for o in model.graph.outputs if types[o.value].is_per_step}
    latency = max((lags[name] for name in decoders | outputs), default=0)
    held = {name for group in together if not decoders.issuperset(group) for name in group}
    lags.update(dict.fromkeys(decoders - held, latency))

    moved = dict(nodes)
    for node in timed:
        attributes = dict(node.attributes)
        if lags[node.name]:
            attributes[START_STEP.name] = _start(node) + lags[node.name]
        if node.name in decoders and lags[node.name] < latency:
            attributes.update(_stop(node, resolve(node.op), model.time.steps, findings))
        moved[node.name] = _moved(node, attributes, lags, types)
    raise_errors(findings, CapabilityError)
    result = dataclasses.replace(
        model,
        graph=dataclasses.replace(model.graph, nodes=moved),
        time=dataclasses.replace(model.time, steps=model.time.steps + latency),
        examples={},
    )
    check_structure(result, resolve, findings)  # delays, and the length
    raise_errors(findings, CapabilityError)
    return Retimed(result, lags, latency)


def _is_timed(node: Node, types: Types) -> bool:
    """Whether a node has a part in the steps of a presentation."""
    sources = (binding.source for binding in node.inputs)
    return any(types[value].is_per_step for value in (*node.values(), *sources))


def _start(node: Node) -> int:
    start = node.attributes.get(START_STEP.name, START_STEP.default)
    return start if isinstance(start, int) else 0


def _stop(
    node: Node, opdef: OpDef | None, steps: int, findings: list[Diagnostic]
) -> dict[str, AttributeValue]:
    """The end of a decoder's window, where the presentation goes on behind it."""
    end = steps - _start(node)
    first, stop = node.attributes.get("start", 0), node.attributes.get("stop")
    has_window = opdef is not None and opdef.has_attribute("stop")
    if not has_window or (isinstance(first, int) and first >= end):
        findings.append(
            Diagnostic(
                "retime.window",
                f"node '{node.name}' ({node.op})",
                "no window that ends before the presentation",
                f"a decoder with attribute 'stop', whose window opens before step {steps}",
                source=node.source,
            )
        )
    return {"stop": min(stop, end) if isinstance(stop, int) else end}


def _moved(
    node: Node, attributes: dict[str, AttributeValue], lags: Mapping[str, int], types: Types
) -> Node:
    """The node with its lag."""
    inputs = [
        binding._replace(
            delay_steps=binding.delay_steps + lags[node.name] - lags[producer(binding.source)]
        )
        if types[binding.source].is_per_step
        else binding
        for binding in node.inputs
    ]
    declared = node.output_types
    if not declared and any(binding.delay_steps for binding in inputs):
        declared = tuple(types[value] for value in node.values())
    return dataclasses.replace(node, inputs=inputs, attributes=attributes, output_types=declared)
