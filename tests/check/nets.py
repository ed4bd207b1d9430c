"""Small graphs to be spoiled: plain IR, so that nothing is caught while they are built."""

from __future__ import annotations

from typing import Any

import numpy as np

import snnir
from snnir import Model, Tensor
from snnir.errors import Diagnostic
from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.types import DType, Timing, ValueType

STATIC, PER_STEP = Timing.STATIC, Timing.PER_STEP


def value_type(
    *shape: int | str, timing: Timing = PER_STEP, dtype: DType = DType.FLOAT32
) -> ValueType:
    return ValueType(dtype, shape, timing)


def scalar(value: float) -> Tensor:
    return Tensor.from_array(np.float32(value))


def array(*values: Any) -> Tensor:
    return Tensor.from_array(np.array(values, np.float32))


def node(
    name: str, op: str, inputs: dict[str, Any] | None = None, outputs: str = "y", **parameters: Any
) -> Node:
    """A node; ``inputs`` gives for each port a value, a (value, delay), or a list of these.

    Keywords that are tensors are parameters, others are attributes.
    """
    bindings = []
    for port, given in (inputs or {}).items():
        for entry in given if isinstance(given, list) else [given]:
            source, delay = entry if isinstance(entry, tuple) else (entry, 0)
            bindings.append(Binding(port, source, delay))
    return Node(
        name,
        op,
        bindings,
        tuple(outputs.split()),
        {key: value for key, value in parameters.items() if not isinstance(value, Tensor)},
        {key: value for key, value in parameters.items() if isinstance(value, Tensor)},
    )


def lif(name: str, *currents: Any, **parameters: Any) -> Node:
    return node(
        name,
        "snn.LIF",
        {"current": list(currents)},
        "spikes",
        **{"decay": scalar(0.5), **parameters},
    )


def model(
    *nodes: Node,
    inputs: dict[str, ValueType] | None = None,
    outputs: dict[str, str] | None = None,
    **fields: Any,
) -> Model:
    """A model of an input ``x``, 3 elements per step; by default the last value is its output."""
    entries = [GraphInput(*pair) for pair in (inputs or {"x": value_type(3)}).items()]
    graph = Graph("main", entries, {entry.name: entry for entry in nodes})
    last = nodes[-1].values()[0] if nodes else entries[0].name
    graph.outputs = [
        GraphOutput(*pair) for pair in ({"out": last} if outputs is None else outputs).items()
    ]
    return Model(graph, fields.pop("opsets", {"ann": 1, "snn": 1}), **fields)


def codes(found: list[Diagnostic]) -> list[str]:
    return [finding.code for finding in found]


def only(given: Model, code: str, **expected: str) -> Diagnostic:
    """The one finding that a model gives; texts of it that are expected must be in it."""
    found = snnir.check(given)
    assert codes(found) == [code], "\n".join(map(str, found))
    for attribute, text in expected.items():
        assert text in getattr(found[0], attribute), found[0]
    return found[0]
