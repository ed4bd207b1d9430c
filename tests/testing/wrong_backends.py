"""Backends that get something wrong that no single operator is to blame for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.graph import Binding, Graph, GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.types import Quantization
from snnir.runtime.backend import Inputs, Recording, named_inputs
from snnir.runtime.reference import ReferenceBackend, ReferencePrepared


@dataclass
class Rewriting:
    """The reference, on a model that is changed first."""

    name: str
    rewrite: Callable[[Model], Model]

    def prepare(self, model: Model, **options: Any) -> ReferencePrepared:
        return ReferenceBackend().prepare(self.rewrite(model), **options)


def with_nodes(model: Model, change: Callable[[Node], Node]) -> Model:
    """The model with every node changed."""
    graph = model.graph
    nodes = {name: change(node) for name, node in graph.nodes.items()}
    return replace(model, graph=Graph(graph.name, graph.inputs, nodes, graph.outputs), examples={})


def with_inputs(model: Model, change: Callable[[GraphInput], GraphInput]) -> Model:
    """The model with every input changed."""
    graph = model.graph
    inputs = [change(entry) for entry in graph.inputs]
    return replace(model, graph=Graph(graph.name, inputs, graph.nodes, graph.outputs), examples={})


def bindings(change: Callable[[int], int]) -> Callable[[Model], Model]:
    """Edges whose delay, where they have one, is another."""

    def rewrite(model: Model) -> Model:
        def one(node: Node) -> Node:
            changed = [
                Binding(b.port, b.source, change(b.delay_steps) if b.delay_steps else 0)
                for b in node.inputs
            ]
            return replace(node, inputs=list(dict.fromkeys(changed)))

        return with_nodes(model, one)

    return rewrite


def a_step_for_every_hop(model: Model) -> Model:
    """Spikes take a step from one population to the next."""
    neurons = {
        f"{node.name}:spikes" for node in model.graph.nodes.values() if "spikes" in node.outputs
    }

    def one(node: Node) -> Node:
        return replace(
            node,
            inputs=[
                Binding(b.port, b.source, b.delay_steps or int(b.source in neurons))
                for b in node.inputs
            ],
        )

    return with_nodes(model, one)


def starting_late(change: Callable[[int], int]) -> Callable[[Model], Model]:
    """Nodes with a ``start_step`` have another."""

    def one(node: Node) -> Node:
        start = node.attributes.get("start_step", 0)
        attributes = {**node.attributes, "start_step": change(start)} if start else node.attributes
        return replace(node, attributes=attributes)

    return lambda model: with_nodes(model, one)


def requantised(change: Callable[[Quantization], Quantization]) -> Callable[[Model], Model]:
    """Quantised weights read in another way."""

    def tensor(given: Tensor) -> Tensor:
        if given.quantization is None:
            return given
        return Tensor.from_array(given.numpy(), given.dtype, change(given.quantization))

    def one(node: Node) -> Node:
        return replace(node, parameters={k: tensor(t) for k, t in node.parameters.items()})

    return lambda model: with_nodes(model, one)


def first_scale(quantization: Quantization) -> Quantization:
    zero = quantization.zero_point[:1]
    return replace(quantization, scale=quantization.scale[:1], zero_point=zero, axis=None)


@dataclass
class Running:
    """The reference, run in another way."""

    name: str
    run: Callable[[ReferencePrepared, Inputs, int | None, Sequence[str]], Recording]

    def prepare(self, model: Model, **options: Any) -> Prepared:
        return Prepared(ReferenceBackend().prepare(model, **options), self)


@dataclass
class Prepared:
    """A model that waits to be run in another way."""

    reference: ReferencePrepared
    backend: Running

    def run(
        self, inputs: Inputs, *, steps: int | None = None, record: Sequence[str] = ()
    ) -> Recording:
        return self.backend.run(self.reference, inputs, steps, record)


def joined(parts: list[Recording]) -> Recording:
    """The recordings of single samples as one."""
    return replace(
        parts[0],
        outputs={k: np.concatenate([p.outputs[k] for p in parts]) for k in parts[0].outputs},
        recorded={k: np.concatenate([p.recorded[k] for p in parts]) for k in parts[0].recorded},
    )


def sample_by_sample(
    prepared: ReferencePrepared, inputs: Inputs, steps: int | None, record: Sequence[str]
) -> Recording:
    """One sample after the other: right, unless an operator leaks."""
    arrays = named_inputs(prepared.model.graph, inputs)
    count = len(next(iter(arrays.values())))
    return joined(
        [
            prepared.run(
                {name: array[sample : sample + 1] for name, array in arrays.items()},
                steps=steps,
                record=record,
            )
            for sample in range(count)
        ]
    )


def one_long_presentation(
    prepared: ReferencePrepared, inputs: Inputs, steps: int | None, record: Sequence[str]
) -> Recording:
    """Each sample behind the one before, without any reset between them."""
    graph = prepared.model.graph
    arrays = named_inputs(graph, inputs)
    if not all(entry.type.is_per_step for entry in graph.inputs):
        return prepared.run(inputs, steps=steps, record=record)
    count, length = next(iter(arrays.values())).shape[:2]
    parts = []
    for sample in range(count):
        before = max(sample - 1, 0)
        chained = {
            name: np.concatenate([array[before : before + 1], array[sample : sample + 1]], axis=1)
            for name, array in arrays.items()
        }
        found = prepared.run(chained, record=record)
        cut = [
            {
                name: array[:, length:] if array.shape[1:2] == (2 * length,) else array
                for name, array in arrays_.items()
            }
            for arrays_ in (found.outputs, found.recorded)
        ]
        parts.append(replace(found, outputs=cut[0], recorded=cut[1]))
    return joined(parts)


def default_steps(
    prepared: ReferencePrepared, inputs: Inputs, steps: int | None, record: Sequence[str]
) -> Recording:
    """As many steps as the model says, not as the run says."""
    return prepared.run(inputs, steps=prepared.model.time.steps, record=record)


@dataclass
class Refusing:
    """The reference, which says that it cannot do some operators, or anything."""

    name: str = "refusing"
    refused: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def prepare(self, model: Model, **options: Any) -> ReferencePrepared:
        found = [
            node.op
            for node in model.graph.nodes.values()
            if not self.refused or node.op in self.refused
        ]
        self.asked += found
        if found:
            raise CapabilityError(
                [Diagnostic("run.capability", "backend", op, "other operators") for op in found]
            )
        return ReferenceBackend().prepare(model, **options)


WRONG: list[Rewriting | Running] = [
    Rewriting("delays-one-more", bindings(lambda delay: delay + 1)),
    Rewriting("delays-one-less", bindings(lambda delay: max(delay - 1, 1))),
    Rewriting("delays-of-one", bindings(lambda delay: 1)),
    Rewriting("delays-at-most-four", bindings(lambda delay: min(delay, 4))),
    Rewriting("a-step-for-every-hop", a_step_for_every_hop),
    Rewriting("no-start-step", starting_late(lambda start: 0)),
    Rewriting("starts-one-later", starting_late(lambda start: start + 1)),
    Rewriting("no-input-scale", lambda m: with_inputs(m, lambda e: replace(e, scale=None))),
    Rewriting("no-input-offset", lambda m: with_inputs(m, lambda e: replace(e, offset=None))),
    Rewriting("no-scale", requantised(lambda q: replace(q, scale=tuple(1.0 for _ in q.scale)))),
    Rewriting("no-zero-point", requantised(lambda q: replace(q, zero_point=()))),
    Rewriting("first-scale", requantised(first_scale)),
    Running("no-reset", one_long_presentation),
    Running("steps-of-the-model", default_steps),
]
"""Each of them fails at least one vector."""
