"""Runs models on GeNN: CPU, CUDA or HIP."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from snnir.check import check
from snnir.errors import CapabilityError, Diagnostic, ModelError, raise_errors
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.ops.schema import Array, Bound, start_of
from snnir.ops.snn.decoders import exponential_weight, window
from snnir.passes.linear_map import LinearMap
from snnir.runtime.backend import (
    Inputs,
    Recording,
    check_inputs,
    named_inputs,
    resolve_record,
    state_names,
)
from snnir.runtime.evaluate import bind
from snnir.runtime.partial import needed_nodes, run_part
from snnir.runtime.reference import fed_value
from snnir_converters.genn._engine import Engine, Item, Settings
from snnir_converters.genn._install import BACKENDS, CPU, require_pygenn
from snnir_converters.genn._lower import lower
from snnir_converters.genn._plan import Fed, Place

_PRECISION: Final = {"float32": "float", "float64": "double"}

_GPU_BATCH: Final = 256
"""Samples that a GPU runs at once, by default."""


class GennBackend:
    """GeNN, by PyGeNN: code is generated and compiled for the model, and kept in a cache."""

    name: Final = "genn"

    def prepare(
        self,
        model: Model,
        *,
        genn_backend: str = "auto",
        precision: str = "float32",
        batch: int | None = None,
        profile: bool = False,
        **options: Any,
    ) -> GennPrepared:
        """Make a model ready to run: divide it, retime it, generate code and compile it.

        Args:
            model: The model.
            genn_backend: ``single_threaded_cpu``, ``cuda``, ``hip``, or ``auto`` for the fastest
                that can run here; ``details["device"]`` of a recording says which one ran.
            precision: Type of the computation for floats, ``float32`` or ``float64``.
            batch: Samples that run at once on a GPU; the CPU runs one at a time.
            profile: Whether GeNN times its kernels; ``details["kernel_seconds"]`` has them.
            options: None is known.

        Raises:
            ModelError: If the model is not valid.
            CapabilityError: If GeNN cannot run it exactly, with all that does not fit; or if an
                option is not known.
            MissingDependency: If PyGeNN or a compiler is missing, or is of no use.
            RunError: If the generated code does not compile, with what the compiler said.
        """
        _check_options(genn_backend, precision, batch, profile, options)
        raise_errors(check(model), ModelError)
        plan, cells = lower(model, precision=_PRECISION[precision])
        installation = require_pygenn()
        chosen = installation.choose(genn_backend)
        size = 1 if chosen == CPU else batch or _GPU_BATCH
        engine = (
            Engine(plan, installation, Settings(chosen, size, profile))
            if plan.populations
            else None
        )
        return GennPrepared(model, plan, cells, engine, installation.version, precision, chosen)


def _check_options(
    genn_backend: str,
    precision: str,
    batch: int | None,
    profile: bool,
    options: Mapping[str, Any],
) -> None:
    findings: list[Diagnostic] = []

    def refuse(found: str, allowed: str) -> None:
        findings.append(Diagnostic("run.capability", "backend 'genn'", found, allowed))

    for name in options:
        refuse(f"option '{name}'", "genn_backend, precision, batch, profile")
    if genn_backend not in (*BACKENDS, "auto"):
        refuse(f"genn_backend {genn_backend!r}", ", ".join((*BACKENDS, "auto")))
    if precision not in _PRECISION:
        refuse(f"precision {precision!r}", ", ".join(_PRECISION))
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        refuse(f"batch {batch!r}", "a whole number above 0")
    if not isinstance(profile, bool):
        refuse(f"profile {profile!r}", "True or False")
    if findings:
        raise CapabilityError(findings)


class GennPrepared:
    """A model compiled for GeNN."""

    def __init__(
        self,
        model: Model,
        plan: Any,
        cells: Any,
        engine: Engine | None,
        version: str,
        precision: str,
        genn_backend: str,
    ) -> None:
        self._model = model
        self._plan = plan
        self._cells = cells
        self._engine = engine
        self._version = version
        self._precision = precision
        self._genn_backend = genn_backend
        self._states = state_names(model)

    def run(
        self, inputs: Inputs, *, steps: int | None = None, record: Sequence[str] = ()
    ) -> Recording:
        """Run a batch of samples, each from the initial state.

        Raises:
            RunError: If an input, the steps or a name to record do not fit the model.
        """
        graph = self._model.graph
        arrays = named_inputs(graph, inputs)
        samples, steps, _ = check_inputs(graph, arrays, steps, self._model.time.steps)
        wanted = {name: resolve_record(graph, self._states, name) for name in record}
        ends = {output.name: output.value for output in graph.outputs}
        started = time.perf_counter()
        found = self._compute({*wanted.values(), *ends.values()}, arrays, samples, steps)
        return Recording(
            outputs={name: found[value] for name, value in ends.items()},
            recorded={name: found[value] for name, value in wanted.items()},
            steps=steps,
            backend=GennBackend.name,
            details=self._details(time.perf_counter() - started),
        )

    def _details(self, seconds: float) -> dict[str, Any]:
        details: dict[str, Any] = {
            "pygenn": self._version,
            "device": self._genn_backend,
            "precision": self._precision,
            "latency_steps": self._cells.retimed.latency,
            "seconds": seconds,
        }
        if self._engine is not None:
            details["build_seconds"] = self._engine.build_seconds
            details["build_cached"] = self._engine.cached
            if self._engine.settings.profile:
                details["kernel_seconds"] = self._engine.times()
        return details

    # What is computed where ------------------------------------------------------------------

    def _compute(
        self, wanted: set[str], arrays: Mapping[str, Array], samples: int, steps: int
    ) -> dict[str, Array]:
        """Wanted values and states, by full name."""
        places: Mapping[str, Place] = self._plan.places
        decoders = {
            f"{node.name}:sum": node
            for node in self._model.graph.nodes.values()
            if f"{node.name}:sum" in places and self._decodes(node.name)
        }
        answers = {node.values()[0]: total for total, node in decoders.items()}
        series = {name for name in wanted if name in places}
        given = {*places, *answers}
        host = [name for name in sorted(wanted) if name not in places and name not in answers]
        for node in needed_nodes(self._model.graph, host, given):
            used = {binding.source for binding in node.inputs}
            series |= {name for name in used if name in places}
            wanted = wanted | {name for name in used if name in answers}
        finals = {answers[name] for name in wanted if name in answers}
        known: dict[str, Array] = dict(arrays)
        if series or finals:
            ran = self._run_engine(arrays, samples, steps, series, finals)
            for total in finals:
                node = decoders[total]
                known[node.values()[0]] = self._finish(node.name, ran[f"\0{total}"], steps)
            known |= {name: ran[name] for name in series}
        found = {name: known[name] for name in wanted if name in known and name not in arrays}
        left = [name for name in host if name not in found]
        found |= self._host(left, known, steps)
        return found

    def _decodes(self, name: str) -> bool:
        return self._cells.units[name].opdef.finish is not None

    def _host(
        self, wanted: Sequence[str], known: Mapping[str, Array], steps: int
    ) -> dict[str, Array]:
        return run_part(
            self._model,
            self._cells.types,
            wanted,
            known,
            steps=steps,
            precision=self._precision,
        )

    def _bound(self, name: str, samples: int, steps: int) -> Bound:
        """A decoder bound to the run, its presentation starting when it does."""
        node = self._cells.units[name].node
        shape = self._cells.shape(node.values()[0])
        length = steps - start_of(node)
        return bind(
            node,
            {"x": [shape]},
            {"y": shape},
            batch=samples,
            steps=length,
            dtype=self._plan.dtype,
        )

    def _finish(self, name: str, total: Array, steps: int) -> Array:
        unit = self._cells.units[name]
        bound = self._bound(name, len(total), steps)
        shape = self._cells.shape(unit.node.values()[0])
        answer: Array = unit.opdef.finish(bound, {"sum": total.reshape(len(total), *shape)})[0]
        return answer

    # GeNN ------------------------------------------------------------------------------------

    def _run_engine(
        self,
        arrays: Mapping[str, Array],
        samples: int,
        steps: int,
        series: set[str],
        finals: set[str],
    ) -> dict[str, Array]:
        """Values for every step, and under ``\\0name`` sums of decoders after the last."""
        engine = self._engine
        if engine is None:
            return {}
        places: Mapping[str, Place] = self._plan.places
        last = max(places[name].lag for name in {*series, *finals})
        numbers, tables = self._windows(samples, steps)
        statics, sequences = self._fed(arrays, samples, steps)
        ran = engine.run(
            samples=samples,
            steps=steps + last,
            numbers=numbers,
            tables=tables,
            statics=statics,
            sequences=sequences,
            series={name: places[name] for name in series},
            finals={f"\0{name}": places[name] for name in finals},
            length=steps,
        )
        return {
            name: array if name.startswith("\0") else self._shaped(name, array)
            for name, array in ran.items()
        }

    def _shaped(self, name: str, array: Array) -> Array:
        """A series in the shape that the reference gives it."""
        node = self._cells.units[producer(name)].node
        shape = self._cells.shape(node.values()[0])
        return array.reshape(*array.shape[:2], *shape)

    def _windows(self, samples: int, steps: int) -> tuple[dict[Item, int], dict[Item, Array]]:
        """Windows of the decoders, and their weights, in this run."""
        numbers: dict[Item, int] = {}
        tables: dict[Item, Array] = {}
        for population in self._plan.populations.values():
            for feed in population.feeds:
                if feed.kind not in (Fed.START, Fed.STOP, Fed.WEIGHTS):
                    continue
                bound = self._bound(feed.value, samples, steps)
                start, stop = window(bound)
                item = (population.name, feed.item)
                if feed.kind is Fed.WEIGHTS:
                    tables[item] = _weights(bound, stop - start)
                else:
                    numbers[item] = start if feed.kind is Fed.START else stop
        return numbers, tables

    def _fed(
        self, arrays: Mapping[str, Array], samples: int, steps: int
    ) -> tuple[dict[Item, Array], dict[Item, Array]]:
        """What the samples put into the populations."""
        feeds = [
            (population.name, feed)
            for population in self._plan.populations.values()
            for feed in population.feeds
            if feed.kind in (Fed.STATIC, Fed.SEQUENCE)
        ]
        names = sorted({feed.value for _, feed in feeds})
        entries = {entry.name: entry for entry in self._model.graph.inputs}
        values = {
            name: fed_value(entries[name], arrays[name], self._plan.dtype)
            for name in names
            if name in entries
        }
        steady = [name for name in names if self._cells.is_constant(name)]
        others = [name for name in names if name not in steady and name not in entries]
        values |= self._host(others, arrays, steps)
        values |= {name: array[:, 0] for name, array in self._host_steady(steady, arrays).items()}
        statics: dict[Item, Array] = {}
        sequences: dict[Item, Array] = {}
        for population, feed in feeds:
            item, array = (population, feed.item), values[feed.value]
            if feed.kind is Fed.SEQUENCE:
                sequences[item] = array.reshape(samples, steps, -1)
            else:
                flat = array.reshape(samples, -1)
                statics[item] = flat if feed.through is None else _mapped(feed.through, flat)
        return statics, sequences

    def _host_steady(self, names: Sequence[str], arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Values that are the same in every step, in one step."""
        entries = {entry.name for entry in self._model.graph.inputs if not entry.type.is_per_step}
        static = {name: array for name, array in arrays.items() if name in entries}
        return self._host(names, static, 1)


def _weights(bound: Bound, count: int) -> Array:
    """Weights of a decoder's window: one for each step, or for each step and neuron."""
    rows = [exponential_weight(bound, t) for t in range(count)]
    if rows[0].size == 1:
        return np.array([row.reshape(()) for row in rows])
    shape = bound.shape("x")
    spread: Array = np.stack([np.broadcast_to(row, shape).reshape(-1) for row in rows])
    return spread.reshape(-1)


def _mapped(link: LinearMap, values: Array) -> Array:
    """What a map makes of each sample."""
    out = np.zeros((len(values), link.outputs))
    for row, sample in zip(out, values.astype(np.float64), strict=True):
        row += np.bincount(link.targets, link.weights * sample[link.sources], link.outputs)
    return out.astype(values.dtype)
