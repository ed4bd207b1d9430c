"""Rounding weights so that their errors cancel in what arrives at the neurons.

What a neuron sums up is linear in its weights. The error of its potential is ``sum_i e[i] * s[i]``
for rounding errors ``e`` and traces ``s``, the inputs as synapse and membrane filter them. Its mean
square is ``e' H e`` with ``H`` the mean of ``s s'`` on calibration samples. Weights are rounded one
input after the other, those with the largest traces first; what rounding (or clipping) one does
wrong is made good by those that are still to be rounded, as far as they are active together. This
is optimal brain quantisation in a fixed order, known as GPTQ:

- Frantar, Alistarh: Optimal Brain Compression, NeurIPS 2022, eqs. 6-7
- Frantar et al.: GPTQ, ICLR 2023, algorithm 1

Traces are those of the float network without resets, the same for all neurons of a population:
they only weigh errors against each other, no error is added by that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from snnir.infer import infer
from snnir.ir.graph import Graph, Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.passes.quantise.groups import Group
from snnir.passes.quantise.scales import largest
from snnir.runtime.backend import find_backend

Array = npt.NDArray[Any]

DAMPING: Final = 0.01
"""Of the mean of H's diagonal, added to its diagonal, as in GPTQ: few samples do not mislead."""

MOST_INPUTS: Final = 4096
"""Inputs of a population up to which H (of so many squared, in float64) is made."""

BLOCK: Final = 64
"""Inputs whose errors are passed on to all later ones at once."""

CHUNK: Final = 32
"""Samples that are recorded at a time."""


class _Path(NamedTuple):
    """How weights reach their neurons.

    Attributes:
        source: What the weights are multiplied with.
        delay: Steps of delay on the way.
        decay: What a step leaves of the synapse's current; None without one.
    """

    source: str
    delay: int
    decay: float | None


@dataclass(frozen=True)
class Correlation:
    """Which inputs of a population are active together.

    Attributes:
        order: In which order its inputs are rounded.
        factor: Upper triangular ``U`` with ``U' U`` the inverse of H, in that order.
    """

    order: Array
    factor: Array

    @classmethod
    def of(cls, moments: Array) -> Correlation:
        """From H, (inputs, inputs)."""
        diagonal = np.diag(moments)
        damped = moments + (DAMPING * float(diagonal.mean()) or 1.0) * np.eye(len(moments))
        order = np.argsort(-diagonal, kind="stable")
        inverse = np.linalg.inv(damped[np.ix_(order, order)])
        return cls(order, np.linalg.cholesky((inverse + inverse.T) / 2).T)


def correlations(
    model: Model, groups: Sequence[Group], samples: Mapping[str, Array]
) -> dict[str, Correlation]:
    """For each group whose rounding errors can be compensated, by its name.

    These are groups of Dense weights that reach one population directly or through an exponential
    synapse, or that have no neurons behind them.

    Args:
        model: The network in floats.
        groups: Groups of its weights.
        samples: Calibration samples for each input.
    """
    found = {group.name: _paths(model.graph, group) for group in groups}
    wanted = [group for group in groups if found[group.name]]
    sources = sorted({p.source for g in wanted for ps in found[g.name].values() for p in ps})
    moments: dict[str, Array] = {}
    for values in _recorded(model, samples, sources):
        for group in wanted:
            traces = _traces(model.graph, group, found[group.name], values)
            new = (traces.T @ traces).astype(np.float64)
            moments[group.name] = moments[group.name] + new if group.name in moments else new
    return {name: Correlation.of(moment) for name, moment in moments.items()}


def compensated(weight: Array, correlation: Correlation, step: float, bits: int) -> Array:
    """Multiples of ``step``, in float64.

    Args:
        weight: Weights of all inputs of a population, (inputs, neurons).
        correlation: Of the inputs.
        step: What 1 stands for.
        bits: Bits of an integer, 2 to 8.
    """
    top, factor = largest(bits), correlation.factor
    left = weight[correlation.order].astype(np.float64) / step
    found = np.empty_like(left)
    for start in range(0, len(left), BLOCK):
        stop = min(start + BLOCK, len(left))
        wrong = np.empty_like(left[start:stop])
        for i in range(start, stop):
            found[i] = np.clip(np.rint(left[i]), -top, top)
            wrong[i - start] = (left[i] - found[i]) / factor[i, i]
            left[i + 1 : stop] -= np.outer(factor[i, i + 1 : stop], wrong[i - start])
        left[stop:] -= factor[start:stop, stop:].T @ wrong
    result = np.empty_like(found)
    result[correlation.order] = found
    return result


def _paths(graph: Graph, group: Group) -> dict[str, list[_Path]]:
    """The paths of each node with weights; none where the group is of another kind."""
    nodes = [graph.nodes[name] for name in group.weighted]
    inputs = sum(node.parameters["weight"].shape[0] for node in nodes if node.operator == "Dense")
    if any(node.operator != "Dense" for node in nodes) or inputs > MOST_INPUTS:
        return {}
    if not group.neurons:
        return {node.name: _into(node, 0, None) for node in nodes}
    if len(group.neurons) > 1:
        return {}
    paths: dict[str, list[_Path]] = {name: [] for name in group.weighted}
    for binding in graph.nodes[group.neurons[0]].inputs:
        before = graph.nodes.get(producer(binding.source))
        arriving, delay, decay = [binding], 0, None
        if before is not None and before.operator == "ExponentialSynapse":
            decay = float(before.parameters["decay"].values().mean())
            arriving, delay = list(before.inputs), binding.delay_steps
        for each in arriving:
            name = producer(each.source)
            if name not in paths:
                return {}
            paths[name] += _into(graph.nodes[name], delay + each.delay_steps, decay)
    return paths if all(paths.values()) else {}


def _into(node: Node, delay: int, decay: float | None) -> list[_Path]:
    return [_Path(each.source, delay + each.delay_steps, decay) for each in node.inputs]


def _recorded(
    model: Model, samples: Mapping[str, Array], names: Sequence[str]
) -> Iterator[dict[str, Array]]:
    """Values of a run, (samples, steps, ..., features); a static one has one step."""
    types = infer(model)
    prepared = find_backend("layerwise").prepare(model)
    for start in range(0, len(next(iter(samples.values()))) if names else 0, CHUNK):
        run = prepared.run(
            {name: array[start : start + CHUNK] for name, array in samples.items()}, record=names
        )
        yield {
            name: run.recorded[name] if types[name].is_per_step else run.recorded[name][:, None]
            for name in names
        }


def _traces(
    graph: Graph, group: Group, paths: Mapping[str, Sequence[_Path]], values: Mapping[str, Array]
) -> Array:
    """The traces of all inputs of a group, (samples and steps, inputs), in float32."""
    columns = []
    for name in group.weighted:
        total: Any = 0
        for path in paths[name]:
            value = values[path.source].astype(np.float32)
            steps = value.shape[1]
            late = min(path.delay, steps)
            arriving = np.zeros_like(value)
            arriving[:, late:] = value[:, : steps - late]
            total = total + (arriving if path.decay is None else _filtered(arriving, path.decay))
        columns.append(total)
    joined = np.concatenate(columns, axis=-1)
    for name in group.neurons:
        decay = graph.nodes[name].parameters.get("decay")
        joined = _filtered(joined, 1.0 if decay is None else float(decay.values().mean()))
    found: Array = joined.reshape(-1, joined.shape[-1])
    return found


def _filtered(values: Array, decay: float) -> Array:
    """``y[t] = decay * y[t - 1] + x[t]`` along the second axis."""
    found = values.copy()
    for t in range(1, found.shape[1]):
        found[:, t] += np.float32(decay) * found[:, t - 1]
    return found
