"""A plan as a PyGeNN model: built, loaded and stepped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shutil
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from snnir.errors import Diagnostic, RunError, SnnirWarning
from snnir.passes.synapses import Convolution
from snnir_converters.genn._cache import keep, take
from snnir_converters.genn._install import CPU, Installation, compiler_command
from snnir_converters.genn._models import (
    CONVOLUTION_PARAMETERS,
    FLAGS,
    adds_atomically,
    build_environment,
    convolution_model,
    delta_model,
    environment,
    filters_at_once,
    pulse_model,
)
from snnir_converters.genn._output import captured
from snnir_converters.genn._plan import (
    Array,
    Connection,
    Dense,
    Pairs,
    Place,
    Plan,
    Population,
    Synapses,
    genn_name,
)

NAME: Final = "snnir"
"""GeNN's name of every model, hence of the folder it makes: ``snnir_CODE``."""

Item = tuple[str, str]
"""A population and its parameter, variable or table."""

_ROOM: Final = 2**20
"""Bytes that a small model needs on the disk."""

_building = threading.Lock()


@dataclass(frozen=True)
class Settings:
    """How a model is built.

    Attributes:
        backend: Backend of GeNN.
        batch: Samples that run at once.
        profile: Whether GeNN times its kernels.
    """

    backend: str
    batch: int = 1
    profile: bool = False


class Engine:
    """A model that has been built."""

    def __init__(self, plan: Plan, installation: Installation, settings: Settings) -> None:
        self.plan = plan
        self.settings = settings
        self._pygenn = installation.pygenn
        self._loaded: tuple[int, Mapping[Item, Array]] | None = None
        self._elapsed: Counter[str] = Counter()
        started = time.perf_counter()
        self.model = self._describe()
        with contextlib.ExitStack() as undo:
            self.cached = self._build(installation, undo)
            undo.pop_all()
        self.build_seconds = time.perf_counter() - started

    # Describing ------------------------------------------------------------------------------

    def _describe(self) -> Any:
        """The PyGeNN model."""
        pygenn, settings = self._pygenn, self.settings
        model = pygenn.GeNNModel(
            self.plan.precision,
            NAME,
            backend=settings.backend,
            time_precision="double",  # counts steps beyond 2**24
        )
        model.dt = 1.0
        model.batch_size = settings.batch
        model.timing_enabled = settings.profile
        self._populations = {
            name: self._add_population(model, population)
            for name, population in self.plan.populations.items()
        }
        delta = delta_model(pygenn)
        self._convolution = convolution_model(pygenn)
        for connection in self.plan.connections:
            self._add_connection(model, connection, delta)
        return model

    def _add_population(self, model: Any, population: Population) -> Any:
        pygenn, code = self._pygenn, population.code
        access = pygenn.VarAccess
        single = self.settings.batch == 1
        fed = {feed.item for feed in population.feeds} | {"offset"}

        def kind(name: str, read_only: bool) -> Any:
            if not read_only:
                return access.READ_WRITE
            per_sample = name in fed and not single
            return access.READ_ONLY_DUPLICATE if per_sample else access.READ_ONLY

        neuron = pygenn.create_neuron_model(
            "Neuron",
            params=list(code.parameters.items()),
            vars=[(v.name, v.type, kind(v.name, v.read_only)) for v in code.variables.values()],
            extra_global_params=[(name, f"{of}*") for name, of in code.tables.items()],
            additional_input_vars=[(name, "scalar", 0.0) for name in code.inputs],
            sim_code=code.text,
            threshold_condition_code=f"{code.emission} != 0.0" if code.emission else None,
        )
        found = model.add_neuron_population(
            genn_name(population.name),
            population.size,
            neuron,
            {name: 0 if kind != "scalar" else 0.0 for name, kind in code.parameters.items()},
            {name: population.values.get(name, 0) for name in code.variables},
        )
        for name in code.parameters:
            found.set_param_dynamic(name)
        found.spike_recording_enabled = bool(code.emission) and population.binary
        return found

    def _add_connection(self, model: Any, connection: Connection, delta: Any) -> None:
        pygenn, synapses = self._pygenn, connection.synapses
        source = self._populations[connection.source]
        target = self._populations[connection.target]
        references: dict[str, Any] = {}
        if connection.graded:
            emission = self.plan.populations[connection.source].code.emission
            references["pre_var_refs"] = {"value": pygenn.create_var_ref(source, emission)}
        kind, values, connectivity = self._connectivity(synapses)
        atomic = adds_atomically(self.settings.backend, kind)
        weight = pulse_model(pygenn, connection.graded, atomic)
        group = model.add_synapse_population(
            genn_name(connection.name),
            kind,
            source,
            target,
            pygenn.init_weight_update(weight, {}, {"g": values}, **references),
            pygenn.init_postsynaptic(delta),
            *([connectivity] if connectivity is not None else []),
        )
        if isinstance(synapses, Pairs):
            group.set_sparse_connections(synapses.sources, synapses.targets)
        group.post_target_var = connection.input
        group.axonal_delay_steps = connection.delay_steps - 1
        if atomic:
            group.max_dendritic_delay_timesteps = 1

    def _connectivity(self, synapses: Synapses) -> tuple[str, Array, Any]:
        if isinstance(synapses, Dense):
            return "DENSE", np.ascontiguousarray(synapses.weight).reshape(-1), None
        if isinstance(synapses, Pairs):
            return "SPARSE", synapses.weight, None
        snippet = self._pygenn.init_toeplitz_connectivity(
            self._convolution, convolution_parameters(synapses, self.settings.backend)
        )
        return "TOEPLITZ", np.ascontiguousarray(synapses.kernel).reshape(-1), snippet

    # Building --------------------------------------------------------------------------------

    def _build(self, installation: Installation, undo: contextlib.ExitStack) -> bool:
        """Generate and compile; whether a compiled model was there already."""
        compiler = compiler_command(self.settings.backend)
        key = self._key(installation, compiler)
        try:
            folder = Path(tempfile.mkdtemp(prefix="snnir-genn-"))
            undo.callback(weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True))
            code = folder / f"{NAME}_CODE"
            cached = take(key, code)
            before = _library_time(code)
            with _building, environment(build_environment(compiler)), captured() as output:
                try:
                    self.model.build(path_to_model=str(folder))
                except Exception as error:
                    failure = _failure("building", error, output(), _is_full(folder))
                    raise RunError(failure) from error
        except OSError as error:
            raise RunError(_failure("building", error)) from error
        fresh = not cached or _library_time(code) != before
        for finding in keep(key, code) if fresh else ():
            warnings.warn(str(finding), SnnirWarning, stacklevel=4)
        return not fresh

    def _key(self, installation: Installation, compiler: Sequence[str]) -> str:
        """Digest of all that the generated code depends on."""
        plan, settings = self.plan, self.settings
        facts = {
            "pygenn": installation.version,
            "platform": [sys.platform, platform.machine()],
            "compiler": [*compiler, *FLAGS],
            "backend": settings.backend,
            "batch": settings.batch,
            "profile": settings.profile,
            "precision": plan.precision,
            "populations": [_population_facts(p) for p in plan.populations.values()],
            "connections": [_connection_facts(c) for c in plan.connections],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    # Running ---------------------------------------------------------------------------------

    def run(
        self,
        *,
        samples: int,
        steps: int,
        numbers: Mapping[Item, int],
        tables: Mapping[Item, Array],
        statics: Mapping[Item, Array],
        sequences: Mapping[Item, Array],
        series: Mapping[str, Place],
        finals: Mapping[str, Place],
        length: int,
    ) -> dict[str, Array]:
        """Run samples, each from the initial state.

        Args:
            samples: Number of samples.
            steps: Steps of GeNN for each sample.
            numbers: Parameters of this run.
            tables: Tables of this run.
            statics: Variables, shape [samples, size].
            sequences: Tables for each sample, shape [samples, steps, size]; steps that are
                missing at the end are 0.
            series: Values to return for every step.
            finals: Values to return after the last step.
            length: Presentation length; values are returned for so many steps.

        Returns:
            Arrays of shape [samples, length, size], or [samples, size].
        """
        self._load(steps, tables, sequences)
        for (population, item), number in numbers.items():
            self._populations[population].set_dynamic_param_value(item, number)
        found = {
            name: np.zeros((samples, length, self._size(place)), self._dtype(place))
            for name, place in series.items()
        }
        found |= {
            name: np.zeros((samples, self._size(place)), self._dtype(place))
            for name, place in finals.items()
        }
        batch = self.settings.batch
        for start in range(0, samples, batch):
            part = slice(start, min(start + batch, samples))
            self._feed(part, statics, sequences)
            out = {name: array[part] for name, array in found.items()}
            self._present(steps, length, series, out)
            for name, place in finals.items():
                out[name][...] = self._read(place)[: len(out[name])]
        return found

    def times(self) -> dict[str, float]:
        """Seconds that GeNN's kernels took so far, by kernel; only in a profiled model."""
        return {name: self._elapsed[name] + now for name, now in self._times().items()}

    def _times(self) -> dict[str, float]:
        """The same, since the model was loaded: GeNN forgets them with what it unloads."""
        model = self.model
        return {
            "neuron_update": float(model.neuron_update_time),
            "presynaptic_update": float(model.presynaptic_update_time),
            "postsynaptic_update": float(model.postsynaptic_update_time),
            "synapse_dynamics": float(model.synapse_dynamics_time),
            "initialisation": float(model.init_time + model.init_sparse_time),
        }

    def _size(self, place: Place) -> int:
        return self.plan.populations[place.population].size

    def _dtype(self, place: Place) -> np.dtype[Any]:
        """Type of a variable's values, as the reference has it."""
        code = self.plan.populations[place.population].code
        real = code.variables[place.variable].type == "scalar"
        return self.plan.dtype if real else np.dtype(np.int64)

    def _load(
        self, steps: int, tables: Mapping[Item, Array], sequences: Mapping[Item, Array]
    ) -> None:
        """Load the model for that many steps, with tables of the right length."""
        if self._loaded is not None:
            loaded_steps, loaded = self._loaded
            if loaded_steps == steps and all(np.array_equal(tables[i], loaded[i]) for i in tables):
                return
            if self.settings.profile:
                self._elapsed.update(self._times())
            self.model.unload()
            self._loaded = None
        for population in self.plan.populations.values():
            group = self._populations[population.name]
            for name, values in population.tables.items():
                group.extra_global_params[name].set_init_values(values)
        for (name, item), values in tables.items():
            self._populations[name].extra_global_params[item].set_init_values(values)
        for name, item in sequences:
            size = self.plan.populations[name].size
            room = np.zeros(self.settings.batch * steps * size, self.plan.dtype)
            self._populations[name].extra_global_params[item].set_init_values(room)
        try:
            self.model.load(num_recording_timesteps=steps)
        except Exception as error:
            raise RunError(_failure("loading", error)) from error
        self._loaded = steps, tables
        for population in self.plan.populations.values():
            group = self._populations[population.name]
            for name, number in population.numbers.items():
                whole = population.code.parameters[name] != "scalar"
                group.set_dynamic_param_value(name, int(number) if whole else float(number))
        if self.settings.batch > 1:
            for name, _ in sequences:
                variable = self._populations[name].vars["offset"]
                size = self.plan.populations[name].size
                starts = np.arange(self.settings.batch, dtype=np.uint64) * np.uint64(steps * size)
                variable.view[...] = starts[:, None]
                variable.push_to_device()

    def _feed(
        self, part: slice, statics: Mapping[Item, Array], sequences: Mapping[Item, Array]
    ) -> None:
        for (name, item), values in statics.items():
            variable = self._populations[name].vars[item]
            rows = variable.view.reshape(self.settings.batch, -1)
            rows[: part.stop - part.start] = values[part]
            variable.push_to_device()
        for (name, item), values in sequences.items():
            table = self._populations[name].extra_global_params[item]
            size = self.plan.populations[name].size
            rooms = table.view.reshape(self.settings.batch, -1, size)
            rooms[: part.stop - part.start, : values.shape[1]] = values[part]
            table.push_to_device()

    def _present(
        self, steps: int, length: int, series: Mapping[str, Place], out: Mapping[str, Array]
    ) -> None:
        """Present the samples that have been fed."""
        model = self.model
        model.timestep = 0
        step = model.step_time
        spikes = {name: place for name, place in series.items() if place.spikes}
        traces = {name: place for name, place in series.items() if not place.spikes}
        if not traces:
            for _ in range(steps):
                step()
        else:
            for t in range(steps):
                step()
                for name, place in traces.items():
                    if place.lag <= t < place.lag + length:
                        out[name][:, t - place.lag] = self._read(place)[: len(out[name])]
        if spikes:
            model.pull_recording_buffers_from_device()
            for name, place in spikes.items():
                recorded = self._populations[place.population].spike_recording_data
                for sample, array in enumerate(out[name]):
                    times, neurons = recorded[sample]
                    when = np.asarray(times).astype(np.int64) - place.lag
                    inside = (when >= 0) & (when < length)
                    array[when[inside], np.asarray(neurons)[inside]] = 1

    def _read(self, place: Place) -> Array:
        variable = self._populations[place.population].vars[place.variable]
        if self.settings.backend != CPU:
            variable.pull_from_device()
        view: Array = variable.current_view
        return view.reshape(self.settings.batch, -1)


def _population_facts(population: Population) -> list[Any]:
    code = population.code
    variables = [(v.name, v.type, v.read_only) for v in code.variables.values()]
    fed = [(feed.kind.name, feed.item) for feed in population.feeds]
    return [
        genn_name(population.name),
        population.size,
        code.text,
        sorted(code.parameters.items()),
        variables,
        sorted(code.tables.items()),
        code.inputs,
        code.emission,
        population.binary,
        fed,
    ]


def _connection_facts(connection: Connection) -> list[Any]:
    synapses = connection.synapses
    if isinstance(synapses, Dense):
        shape: list[Any] = ["dense", *synapses.weight.shape]
    elif isinstance(synapses, Convolution):
        shape = ["convolution", *convolution_parameters(synapses, CPU).values()]
    else:
        longest = [
            int(np.bincount(places).max(initial=0))
            for places in (synapses.sources, synapses.targets)
        ]
        shape = ["pairs", *longest]
    return [
        genn_name(connection.name),
        connection.source,
        connection.target,
        connection.input,
        connection.delay_steps,
        connection.graded,
        shape,
    ]


def convolution_parameters(convolution: Convolution, backend: str) -> dict[str, int]:
    """The parameters of the snippet for a convolution."""
    outputs = convolution.output_shape[2]
    values = (
        *convolution.kernel.shape[:2],
        *convolution.strides,
        *convolution.dilations,
        *convolution.pads,
        convolution.groups,
        *convolution.input_shape[1:],
        *convolution.output_shape,
        filters_at_once(outputs, convolution.groups, backend),
    )
    return {name: int(v) for name, v in zip(CONVOLUTION_PARAMETERS, values, strict=True)}


def _library_time(code: Path) -> int:
    """When the library in a folder was made; 0 if there is none."""
    return max((path.stat().st_mtime_ns for path in code.glob("librunner*")), default=0)


def _is_full(folder: Path) -> bool:
    """Whether there is hardly room for a file; GeNN does not notice that it cannot write."""
    return shutil.disk_usage(folder).free < _ROOM


def _failure(what: str, error: Exception, output: str = "", full: bool = False) -> Diagnostic:
    hint = ""
    if full or "No space left on device" in f"{output} {error}":
        hint = "free some space on the disk of the temporary folder (TMPDIR names another one)"
    elif what == "loading":
        hint = "there must be memory for it, and programs may have to be allowed in TMPDIR"
    return Diagnostic(
        "genn.build",
        f"{what} the model for GeNN",
        f"{type(error).__name__}: {error}",
        "code that compiles and can be loaded",
        hint,
        output=output,
    )
