"""A faster backend on the CPU: one layer after the other, all steps of a layer at once.

Without cycles a layer's input over the whole presentation is known before the layer runs. What
keeps no state (convolutions, pooling) then sees samples and steps as one long batch, and what is
driven by a constant is computed once. The same operator definitions run as in the reference;
only the order of additions inside a matrix product may differ. Graphs with cycles run step by
step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from snnir.infer import Types
from snnir.ir.model import Model
from snnir.ir.traversal import topological_order
from snnir.ops.schema import Arity, Array, Flow
from snnir.runtime.reference import Precision, ReferenceBackend, ReferencePrepared, Run, Unit

CHUNK_BYTES: Final = 1 << 26
"""About what the largest value of a chunk of samples takes, over all steps."""


class LayerwiseBackend:
    """Runs whatever the reference runs, layer by layer."""

    name: Final = "layerwise"

    def prepare(
        self, model: Model, *, precision: Precision = "float32", **options: Any
    ) -> LayerwisePrepared:
        """Make a model ready to run; see :meth:`ReferenceBackend.prepare`."""
        reference = ReferenceBackend().prepare(model, precision=precision, **options)
        return LayerwisePrepared(model, reference.dtype)


class LayerwisePrepared(ReferencePrepared):
    """A model ready to run layer by layer."""

    backend = "layerwise"

    def __init__(self, model: Model, dtype: np.dtype[Any]) -> None:
        super().__init__(model, dtype)
        order, left = topological_order(model.graph, lambda node, binding: True)
        self.has_cycle = bool(left)
        rank = {node.name: rank for rank, node in enumerate(order)}
        self.ordered = sorted(self.units, key=lambda unit: rank.get(unit.node.name, 0))

    def execute(
        self, types: Types, batch: int, steps: int, wanted: set[str], values: dict[str, Array]
    ) -> dict[str, Array]:
        """The wanted values, a chunk of samples after the other."""
        if self.has_cycle:
            return super().execute(types, batch, steps, wanted, values)
        largest = max(
            math.prod(int(dim) for dim in value.shape) * (steps if value.is_per_step else 1)
            for value in types.values()
        )
        chunk = max(CHUNK_BYTES // (largest * self.dtype.itemsize), 1)
        found: dict[str, list[Array]] = {name: [] for name in wanted}
        for start in range(0, batch, chunk):
            part = {name: array[start : start + chunk] for name, array in values.items()}
            size = min(chunk, batch - start)
            for name, array in (
                _LayerwiseRun(self, types, size, steps, wanted).execute(part).items()
            ):
                found[name].append(array)
        return {
            name: arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            for name, arrays in found.items()
        }


class _LayerwiseRun(Run):
    """One chunk of samples. Per-step values have time first: (steps, batch, ...)."""

    prepared: LayerwisePrepared

    def execute(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.history.clear()
        self.constant: set[str] = set()
        for name, array in inputs.items():
            per_step = self.types[name].is_per_step
            self._keep(name, np.ascontiguousarray(np.swapaxes(array, 0, 1)) if per_step else array)
        for unit in self.prepared.ordered:
            self.bind(unit)
            self._run_unit(unit)
        return {name: self.found[name] for name in self.wanted}

    def _keep(self, name: str, array: Array) -> None:
        self.values[name] = array
        if name in self.wanted:
            if not self.types[name].is_per_step:
                self.found[name] = array
            elif name in self.constant:
                self.found[name] = np.repeat(array[:, None], self.steps, axis=1)
            else:
                self.found[name] = np.swapaxes(array, 0, 1)

    def _run_unit(self, unit: Unit) -> None:
        flow, node = unit.opdef.flow, unit.node
        if node.op == "snn.ConstantCurrent":
            self.constant.add(node.values()[0])
            self._keep(node.values()[0], self.values[node.inputs[0].source])
            return
        per_step = flow is not Flow.SAME or self.types[node.values()[0]].is_per_step
        stateless = flow is Flow.SAME
        constant = per_step and all(
            binding.source in self.constant and not binding.delay_steps for binding in node.inputs
        )
        if stateless and (constant or not per_step):
            inputs = self._inputs(unit, lambda value: value)
            if constant:
                self.constant.update(node.values())
            self._keep_all(unit, self._step(unit, inputs, 0))
        elif stateless:
            self._run_folded(unit)
        else:
            self._run_steps(unit)

    def _run_folded(self, unit: Unit) -> None:
        bound = self.bound[unit.node.name]
        bound.batch = self.steps * self.batch
        inputs = self._inputs(unit, lambda value: value.reshape(-1, *value.shape[2:]), spread=True)
        outputs = self._step(unit, inputs, 0)
        self._keep_all(
            unit, tuple(y.reshape(self.steps, self.batch, *y.shape[1:]) for y in outputs)
        )

    def _run_steps(self, unit: Unit) -> None:
        name, flow = unit.node.name, unit.opdef.flow
        self.reset(unit)
        state = self.state[name]
        static = flow is Flow.ENCODE
        arriving = self._inputs(unit, lambda value: value, spread=not static)
        recorded = [variable for variable in state if f"{name}:{variable}" in self.wanted]
        kept: list[tuple[Array, ...]] = []
        states: dict[str, list[Array]] = {variable: [] for variable in recorded}
        for t in range(self.steps):
            inputs = {
                port: value
                if static
                else ([v[t] for v in value] if isinstance(value, list) else value[t])
                for port, value in arriving.items()
            }
            kept.append(self._step(unit, inputs, t))
            for variable in recorded:
                states[variable].append(state[variable].copy())
        for variable in recorded:
            self.found[f"{name}:{variable}"] = np.stack(states[variable], axis=1)
        if unit.opdef.finish is not None:
            self._keep_all(unit, self.call(unit, unit.opdef.finish, self.bound[name], state))
        else:
            self._keep_all(unit, tuple(np.stack(port) for port in zip(*kept, strict=True)))

    def _inputs(self, unit: Unit, shape: Any, *, spread: bool = False) -> dict[str, Any]:
        """What arrives at each port, over all steps; constants spread over time if asked for."""
        inputs: dict[str, Any] = {}
        for port in unit.opdef.inputs:
            arriving = []
            for binding in unit.bindings[port.name]:
                value = self.values[binding.source]
                is_constant = binding.source in self.constant
                if is_constant and (spread or binding.delay_steps):
                    value = np.broadcast_to(value, (self.steps, *value.shape))
                if binding.delay_steps:
                    delayed = np.zeros_like(value)
                    if binding.delay_steps < self.steps:
                        delayed[binding.delay_steps :] = value[: -binding.delay_steps]
                    value = delayed
                arriving.append(shape(value))
            if port.arity is Arity.LIST:
                inputs[port.name] = arriving
            else:
                total = arriving[0]
                for more in arriving[1:]:
                    total = total + more
                inputs[port.name] = total
        return inputs

    def _step(self, unit: Unit, inputs: dict[str, Any], t: int) -> tuple[Array, ...]:
        bound = self.bound[unit.node.name]
        bound.t = t
        outputs: tuple[Array, ...] = self.call(
            unit, unit.opdef.step, bound, inputs, self.state.get(unit.node.name, {})
        )
        return outputs

    def _keep_all(self, unit: Unit, outputs: tuple[Array, ...]) -> None:
        for value, array in zip(unit.node.values(), outputs, strict=True):
            self._keep(value, array)
