"""A faster backend on the CPU: one layer after the other, all steps of a layer at once.

Without cycles a layer's input over the whole presentation is known before the layer runs. What
keeps no state (convolutions, pooling) then sees samples and steps as one long batch, and what is
driven by a constant is computed once. Samples are independent: a few at a time, so that what a
layer works on stays in the cache, they are shared out among threads. The same operator
definitions run as in the reference; only the order of additions inside a matrix product may
differ. Graphs with cycles run step by step.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from snnir.errors import CapabilityError, Diagnostic
from snnir.infer import Types
from snnir.ir.model import Model
from snnir.ir.traversal import topological_order
from snnir.ops.schema import Arity, Array, Bound, Flow
from snnir.runtime.reference import (
    Plan,
    Precision,
    ReferenceBackend,
    ReferencePrepared,
    Run,
    Unit,
)

CHUNK_BYTES: Final = 1 << 23
"""About what the largest value of a chunk of samples takes, over all steps."""


class LayerwiseBackend:
    """Runs whatever the reference runs, layer by layer."""

    name: Final = "layerwise"

    def prepare(
        self,
        model: Model,
        *,
        precision: Precision = "float32",
        threads: int | None = None,
        **options: Any,
    ) -> LayerwisePrepared:
        """Make a model ready to run.

        Args:
            model: The model.
            precision: Type of the computation for floats.
            threads: Threads that share the samples; None: one for each CPU of this process.
            options: None is known.

        Raises:
            ModelError: If the model is not valid.
            CapabilityError: If an operator is not installed, or an option is not known.
        """
        if threads is not None and threads < 1:
            raise CapabilityError(
                Diagnostic(
                    "run.capability", "backend 'layerwise'", f"{threads} threads", "at least 1"
                )
            )
        reference = ReferenceBackend().prepare(model, precision=precision, **options)
        return LayerwisePrepared(model, reference.dtype, threads or _cpus())


def _cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LayerwisePrepared(ReferencePrepared):
    """A model ready to run layer by layer."""

    backend = "layerwise"

    def __init__(self, model: Model, dtype: np.dtype[Any], threads: int = 1) -> None:
        super().__init__(model, dtype)
        self.threads = threads
        order, left = topological_order(model.graph, lambda node, binding: True)
        self.has_cycle = bool(left)
        rank = {node.name: rank for rank, node in enumerate(order)}
        self.ordered = sorted(self.units, key=lambda unit: rank.get(unit.node.name, 0))
        self.last_use = {
            binding.source: unit.node.name for unit in self.ordered for binding in unit.node.inputs
        }

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
        fitting = max(CHUNK_BYTES // max(largest * self.dtype.itemsize, 1), 1)
        chunk = max(min(fitting, -(-batch // self.threads)), 1)
        parts = [slice(start, start + chunk) for start in range(0, max(batch, 1), chunk)]
        template = _LayerwiseRun(self, types, min(chunk, batch), steps, wanted)
        for unit in self.ordered:
            template.bind(unit)

        def run(part: slice) -> dict[str, Array]:
            size = len(range(*part.indices(batch)))
            chunk_run = _LayerwiseRun(self, types, size, steps, wanted)
            chunk_run.bound = template.bound_for(size)
            with np.errstate(all="ignore"):
                return chunk_run.execute({name: array[part] for name, array in values.items()})

        found: dict[str, Array] = {}
        for part, arrays in zip(parts, _in_threads(run, parts, self.threads), strict=True):
            if len(parts) == 1:
                return arrays
            for name, array in arrays.items():
                if name not in found:
                    found[name] = np.empty((batch, *array.shape[1:]), array.dtype)
                found[name][part] = array
        return found


def _in_threads(
    run: Callable[[slice], dict[str, Array]], parts: list[slice], threads: int
) -> Iterator[dict[str, Array]]:
    """The results, in order; of those that are not taken yet there are at most a few."""
    if min(threads, len(parts)) == 1:
        yield from map(run, parts)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        running = [pool.submit(run, part) for part in parts[: 2 * threads]]
        try:
            for number in range(len(parts)):
                result = running.pop(0).result()
                if number + 2 * threads < len(parts):
                    running.append(pool.submit(run, parts[number + 2 * threads]))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


class _LayerwiseRun(Run):
    """One chunk of samples. Per-step values have time first: (steps, batch, ...)."""

    prepared: LayerwisePrepared

    def _make_plan(self) -> Plan:
        return Plan()

    def bound_for(self, batch: int) -> dict[str, Bound]:
        """What has been bound, for another number of samples."""
        return {name: dataclasses.replace(bound, batch=batch) for name, bound in self.bound.items()}

    def execute(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.constant: set[str] = set()
        for name, array in inputs.items():
            per_step = self.types[name].is_per_step
            self._keep(name, np.ascontiguousarray(np.swapaxes(array, 0, 1)) if per_step else array)
        for unit in self.prepared.ordered:
            self._run_unit(unit)
            for source in {binding.source for binding in unit.node.inputs}:
                if self.prepared.last_use[source] == unit.node.name:
                    del self.values[source]
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
        if node.op == "snn.ConstantCurrent" and not unit.start:
            self.constant.add(node.values()[0])
            self._keep(node.values()[0], self.values[node.inputs[0].source])
            return
        per_step = flow is not Flow.SAME or self.types[node.values()[0]].is_per_step
        stateless = flow is Flow.SAME
        constant = (
            per_step
            and not unit.start
            and all(
                binding.source in self.constant and not binding.delay_steps
                for binding in node.inputs
            )
        )
        if stateless and (constant or not per_step):
            inputs = self._inputs(unit, lambda value: value)
            if constant:
                self.constant.update(node.values())
            self._keep_all(unit, self._step(unit, inputs, 0))
        elif stateless and unit.start < self.steps:
            self._run_folded(unit)
        else:
            self._run_steps(unit)

    def _run_folded(self, unit: Unit) -> None:
        bound, start = self.bound[unit.node.name], unit.start
        bound.batch = bound.steps * self.batch
        inputs = self._inputs(
            unit, lambda value: value[start:].reshape(-1, *value.shape[2:]), spread=True
        )
        outputs = self._step(unit, inputs, 0)
        self._keep_all(
            unit,
            tuple(
                self._with_silence(y.reshape(bound.steps, self.batch, *y.shape[1:]), start)
                for y in outputs
            ),
        )

    @staticmethod
    def _with_silence(array: Array, start: int) -> Array:
        """Zeros in the steps before the first."""
        if not start:
            return array
        return np.concatenate([np.zeros((start, *array.shape[1:]), array.dtype), array])

    def _run_steps(self, unit: Unit) -> None:
        name, flow, start = unit.node.name, unit.opdef.flow, unit.start
        self.reset(unit)
        state, bound = self.state[name], self.bound[name]
        static = flow is Flow.ENCODE
        arriving = self._inputs(unit, lambda value: value, spread=not static)
        recorded = [variable for variable in state if f"{name}:{variable}" in self.wanted]
        kept: list[Array] = []
        states = [
            np.empty((self.batch, self.steps, *state[v].shape[1:]), state[v].dtype)
            for v in recorded
        ]
        for variable, steps in zip(recorded, states, strict=True):
            steps[:, :start] = state[variable][:, None]
        for t in range(start, self.steps):
            inputs = {
                port: value
                if static
                else ([v[t] for v in value] if isinstance(value, list) else value[t])
                for port, value in arriving.items()
            }
            bound.out = kept[0][t] if len(kept) == 1 else None
            outputs = self._step(unit, inputs, t - start)
            if not kept:
                kept = [np.empty((self.steps, *array.shape), array.dtype) for array in outputs]
                for steps in kept:
                    steps[:start] = 0
            for array, steps in zip(outputs, kept, strict=True):
                if array is not bound.out:
                    steps[t] = array
            for variable, steps in zip(recorded, states, strict=True):
                steps[:, t] = state[variable]
        for variable, steps in zip(recorded, states, strict=True):
            self.found[f"{name}:{variable}"] = steps
        if unit.opdef.finish is not None:
            self._keep_all(unit, self.call(unit, unit.opdef.finish, bound, state))
        elif start < self.steps:
            self._keep_all(unit, tuple(kept))
        else:
            silence = [np.broadcast_to(y, (self.steps, *y.shape)) for y in self.silence(unit)]
            self._keep_all(unit, tuple(silence))

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
