"""Training by mlGeNN's EventProp and e-prop."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import math
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.data import SpikeData
from snnir.errors import CapabilityError, Diagnostic, MissingDependency, RunError
from snnir.ir.model import Model
from snnir.training.data import Samples
from snnir.training.settings import EPROP, EVENTPROP, TrainSettings
from snnir.training.trainer import Parameters, Progress, Score, Session
from snnir_converters.mlgenn import _compilers, _feasible
from snnir_converters.mlgenn._description import Connection, Description
from snnir_converters.mlgenn._live import Live, build_network, build_quietly, require_mlgenn
from snnir_converters.mlgenn._score import Scoring, collector

Array = npt.NDArray[Any]

_MODEL: Final = "snnir_training"
_ROOM: Final = 4
"""Times the events of the largest sample that there is room for, for augmented ones."""


@dataclass(frozen=True)
class MlGennTrainer:
    """One of mlGeNN's learning rules; see :class:`snnir.training.trainer.Trainer`."""

    method: str

    def check(self, model: Model, settings: TrainSettings) -> list[Diagnostic]:
        """All that keeps a network from being trained so."""
        return _feasible.prepare(model, settings)[1]

    def inputs(self, model: Model) -> dict[str, str]:
        """The value that spikes are needed of, for each graph input."""
        return _feasible.spike_values(model)

    def versions(self) -> dict[str, str]:
        """Versions of the tools that took part."""
        found = {"snnir": importlib.metadata.version("snnir")}
        for package in ("ml_genn", "pygenn"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[package] = importlib.metadata.version(package)
        return found

    @contextlib.contextmanager
    def open(
        self, model: Model, settings: TrainSettings, samples: Samples, validation: Samples | None
    ) -> Iterator[Session]:
        """Compile a network in a folder of its own, which is removed at the end.

        Raises:
            MissingDependency: If a package is not installed.
            CapabilityError: If this PyGeNN does not have the backend, or :meth:`check` finds an
                error.
            RunError: If the network cannot be compiled.
        """
        backend = require_mlgenn().choose(settings.backend)
        settings = dataclasses.replace(settings, backend=backend)
        description, findings = _feasible.prepare(model, settings)
        if description is None:
            raise CapabilityError(findings)
        folder = Path(tempfile.mkdtemp(prefix="snnir-mlgenn-"))
        try:
            with contextlib.ExitStack() as stack:
                with _quiet():
                    session = _open(description, settings, samples, validation, folder, stack)
                yield session
        finally:
            shutil.rmtree(folder, ignore_errors=True)


TRAINERS: Final = {method: MlGennTrainer(method) for method in (EVENTPROP, EPROP)}


def _open(
    description: Description,
    settings: TrainSettings,
    samples: Samples,
    validation: Samples | None,
    folder: Path,
    stack: contextlib.ExitStack,
) -> MlGennSession:
    spikes = [data for each in (samples, validation) if each for data in each.inputs.values()]
    most = settings.batch_size * max(
        min(_ROOM * int(data.counts.max(initial=1)), data.neuron_count * data.steps)
        for data in spikes
    )
    live = build_network(description, max_events=max(most, 1))
    compiler = _compiler(description, settings, live)
    with _explained("compiling"):
        compiled = compiler.compile(live.network, name=_MODEL)
        build_quietly(compiled.genn_model, folder)
        stack.enter_context(compiled)
    return MlGennSession(description, settings, live, compiled, most)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What mlGeNN warns its own developers of is not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """What GeNN says, as an error of this library."""
    try:
        with _quiet():
            yield
    except (RuntimeError, NotImplementedError, OSError, ValueError) as error:
        reason = f"{type(error).__name__}: {str(error)[:400]}"
        raise RunError(
            Diagnostic("train.failed", f"mlGeNN, {what}", reason, "a run without errors")
        ) from error


def _compiler(description: Description, settings: TrainSettings, live: Live) -> Any:
    optimisers = __import__("ml_genn.optimisers", fromlist=["Adam"])

    def adam(rate: float) -> Any:
        return optimisers.Adam(
            alpha=rate, beta1=settings.beta1, beta2=settings.beta2, epsilon=settings.epsilon
        )

    common: dict[str, Any] = {
        "example_timesteps": description.timesteps,
        "losses": settings.loss,
        "optimiser": adam(settings.learning_rate),
        "dt": description.dt,
        "batch_size": settings.batch_size,
        "rng_seed": settings.seed & 0xFFFFFFFF,
        "kernel_profiling": settings.kernel_profiling,
        "communicator": _communicator(settings),
        "backend": settings.backend,
        "optimize_code": settings.optimise_code,
        "windows": _compilers.windows(description),
    }
    if settings.method == EPROP:
        return _compilers.eprop_compiler()(
            **common,
            tau_reg=settings.tau_reg,
            c_reg=settings.c_reg,
            f_target=settings.f_target,
            train_output_bias=settings.train_output_bias,
        )
    by_node = {each.node: live.connections[each.name] for each in description.connections.values()}
    delay_rate = settings.delay_learning_rate or settings.learning_rate
    return _compilers.event_prop_compiler()(
        **common,
        reg_lambda_upper=_strengths(settings.reg_lambda_upper, description, live),
        reg_lambda_lower=_strengths(settings.reg_lambda_lower, description, live),
        reg_nu_upper=settings.reg_nu_upper,
        max_spikes=settings.max_spikes or 2 * description.timesteps + 2,
        strict_buffer_checking=settings.strict_buffer_checking,
        per_timestep_loss=settings.per_timestep_loss,
        ttfs_alpha=settings.ttfs_alpha,
        softmax_temperature=settings.softmax_temperature,
        delay_optimiser=adam(delay_rate),
        delay_learn_conns=[by_node[name] for name in settings.learn_delays],
    )


def _communicator(settings: TrainSettings) -> Any:
    if settings.communicator is None:
        return None
    from ml_genn.communicators import MPI

    try:
        return MPI()
    except ImportError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "setting 'communicator'",
                str(error),
                "mpi4py",
                "pip install mpi4py",
            )
        ) from error


def _strengths(given: float | Mapping[str, float], description: Description, live: Live) -> Any:
    """Regularisation, by population of mlGeNN where it differs."""
    if not isinstance(given, Mapping):
        return given
    named = {each.node: each.name for each in description.populations.values()}
    return {live.populations[named[node]]: strength for node, strength in given.items()}


class MlGennSession:
    """A compiled network; see :class:`snnir.training.trainer.Session`."""

    def __init__(
        self,
        description: Description,
        settings: TrainSettings,
        live: Live,
        compiled: Any,
        most: int,
    ) -> None:
        self._most = most
        self._description = description
        self._settings = settings
        self._live = live
        self._compiled = compiled
        self._output = next(iter(description.outputs.values()))
        self._pieces: dict[str, list[tuple[SpikeData, list[Any]]]] = {}

    # Epochs --------------------------------------------------------------------------------------

    def train(
        self, samples: Samples, order: Array, epoch: int, rate: float, progress: Progress
    ) -> Score:
        """One pass over samples."""
        x, y = self._batches(samples, order)
        scale = rate / self._settings.learning_rate
        rates = [
            self._settings.learning_rate,
            self._settings.delay_learning_rate or self._settings.learning_rate,
        ]
        for (optimiser, _), base in zip(self._compiled.optimisers, rates, strict=False):
            optimiser.alpha = base * scale
        with _explained("training"):
            metrics, _ = self._compiled.train(
                x,
                y,
                num_epochs=1,
                start_epoch=epoch,
                shuffle=False,
                metrics=self._metric(),
                callbacks=[_progress_callback(progress, len(samples), self._settings.batch_size)],
            )
        (metric,) = metrics.values()
        return metric.score()  # type: ignore[no-any-return]

    def evaluate(self, samples: Samples, progress: Progress) -> Score:
        """Run samples without learning."""
        x, y = self._batches(samples, np.arange(len(samples)))
        metric = self._metric()
        size = self._settings.batch_size
        compiled = self._compiled
        if self._settings.method == EVENTPROP:  # no backward pass
            output = compiled.neuron_populations[self._live.populations[self._output]]
            output.set_dynamic_param_value("Trial", 0)
        from ml_genn.utils.callback_list import CallbackList
        from ml_genn.utils.data import batch_dataset

        callbacks = CallbackList(
            [*compiled.base_validate_callbacks, _progress_callback(progress, len(samples), size)],
            compiled_network=compiled,
            num_batches=math.ceil(len(samples) / size),
            num_epochs=1,
        )
        pairs = zip(
            batch_dataset(x, size, len(samples)), batch_dataset(y, size, len(samples)), strict=True
        )
        with _explained("validation"):
            for number, (given, wanted) in enumerate(pairs):
                compiled._validate_batch(number, given, wanted, dict.fromkeys(y, metric), callbacks)
        return metric.score()  # type: ignore[no-any-return]

    def _metric(self) -> Any:
        output = self._live.populations[self._output]
        variables = self._compiled.neuron_populations[output].vars
        collected = variables[_compilers.COLLECTED] if self._settings.method == EPROP else None
        readout = self._description.populations[self._output].readout
        latest = self._description.timesteps * self._description.dt
        return collector()(Scoring(self._settings, readout, latest), collected)

    def _batches(self, samples: Samples, order: Array) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Samples in some order, as mlGeNN takes them."""
        x = {}
        for name, data in samples.inputs.items():
            pieces = self._preprocessed(name, data)
            x[self._live.inputs[name]] = [pieces[index] for index in order]
        targets = samples.targets[order]
        if targets.ndim > 1:
            ahead = np.zeros((len(targets), self._description.latency, *targets.shape[2:]))
            targets = np.concatenate([ahead, targets], axis=1).astype(np.float32)
        return x, {self._live.populations[self._output]: targets}

    def _preprocessed(self, name: str, data: SpikeData) -> list[Any]:
        """Each sample's spikes: those of each neuron in turn."""
        found = self._pieces.get(name, [])
        for known, pieces in found:
            if known is data:
                return pieces
        room = self._most // self._settings.batch_size
        if int(data.counts.max(initial=0)) > room:
            raise RunError(
                Diagnostic(
                    "train.data",
                    f"input '{name}'",
                    f"{data.counts.max()} events of a sample after augmentation",
                    f"{room}: {_ROOM} times those before",
                )
            )
        pieces = preprocessed(data, self._description.dt)
        self._pieces[name] = [*found[-1:], (data, pieces)]
        return pieces

    # Values --------------------------------------------------------------------------------------

    def parameters(self) -> Parameters:
        """The trained values, as the model holds them."""
        found: dict[tuple[str, str], npt.NDArray[np.generic]] = {}
        for connection in self._description.connections.values():
            names = {
                v
                for c, v in self._compiled.checkpoint_connection_vars
                if c is self._live.connections[connection.name]
            }
            if "g" in names and connection.node:
                weight = self._connection_values(connection, "g").astype(np.float64)
                found[connection.node, "weight"] = (weight / connection.factor).astype(np.float32)
            if "d" in names:
                delay = np.floor(self._connection_values(connection, "d") + 0.5)
                found[connection.node, "delay_steps"] = (delay + connection.lead).astype(np.int32)
        for population, variable in self._compiled.checkpoint_population_vars:
            node = self._description.populations[population.name].node
            values = self._pulled(self._compiled.neuron_populations[population].vars[variable])
            shape = self._description.populations[population.name].shape
            found[node, variable.lower()] = values.reshape(shape).astype(np.float32)
        return found

    def _connection_values(self, connection: Connection, variable: str) -> Array:
        """Values in the order and shape of the node's weights."""
        synapses = self._compiled.connection_populations[self._live.connections[connection.name]]
        if connection.connectivity != "FixedProbability":
            return self._pulled(synapses.vars[variable]).reshape(connection.weight.shape)
        synapses.pull_connectivity_from_device()
        variable_ = synapses.vars[variable]
        variable_.pull_from_device()
        theirs = np.lexsort((synapses.get_sparse_post_inds(), synapses.get_sparse_pre_inds()))
        ours = np.lexsort((connection.settings["post_ind"], connection.settings["pre_ind"]))
        values = np.empty(connection.weight.shape, np.float32)
        values[ours] = variable_.values[theirs]
        return values

    @staticmethod
    def _pulled(variable: Any) -> Array:
        variable.pull_from_device()
        return np.array(variable.view)

    def _state_variables(self) -> Iterator[tuple[str, Any]]:
        """All variables that live from one epoch to the next, by a name that stays."""
        compiled = self._compiled
        for connection, variable in compiled.checkpoint_connection_vars:
            synapses = compiled.connection_populations[connection]
            if connection.name in self._description.connections:
                kind = self._description.connections[connection.name].connectivity
                if kind == "FixedProbability":
                    synapses.pull_connectivity_from_device()
            yield f"{connection.name}/{variable}", synapses.vars[variable]
        for population, variable in compiled.checkpoint_population_vars:
            yield (
                f"{population.name}/{variable}",
                compiled.neuron_populations[population].vars[variable],
            )
        for connection, synapses in compiled.connection_populations.items():
            if "FAvg" in synapses.post_vars:
                yield f"{connection.name}/FAvg", synapses.post_vars["FAvg"]
        for i, (_, updates) in enumerate(compiled.optimisers):
            for j, update in enumerate(updates):
                for moment in ("M", "V"):
                    yield f"optimiser{i}/{j}/{moment}", update.vars[moment]

    def state(self) -> dict[str, Array]:
        """Weights, delays, biases, moments of the optimiser, and filtered rates."""
        found = {}
        for name, variable in self._state_variables():
            variable.pull_from_device()
            found[name] = np.array(variable.values)
        return found

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state."""
        variables = dict(self._state_variables())
        names = set(variables) ^ set(state)
        shapes = {
            name
            for name in set(variables) & set(state)
            if variables[name].values.shape != state[name].shape
        }
        if names or shapes:
            found = ", ".join(sorted(names | shapes))
            raise RunError(Diagnostic("train.checkpoint", "state", found, ", ".join(variables)))
        for name, variable in variables.items():
            variable.values = state[name]
            variable.push_to_device()

    def details(self) -> dict[str, Any]:
        """Backend, steps and, with profiling, the time of each kind of kernel in seconds."""
        model = self._compiled.genn_model
        found: dict[str, Any] = {
            "backend": self._settings.backend,
            "timesteps": self._description.timesteps,
            "latency": self._description.latency,
        }
        if self._settings.kernel_profiling:
            for name in (
                "neuron_update_time",
                "presynaptic_update_time",
                "postsynaptic_update_time",
                "synapse_dynamics_time",
                "init_time",
            ):
                found[name] = float(getattr(model, name))
            groups = ("Reset", "GradientLearn", "BatchSoftmax1", CLEAR_TIME)
            for group in groups:
                with contextlib.suppress(Exception):
                    found[f"custom_update_time.{group}"] = float(
                        model.get_custom_update_time(group)
                    )
        return found


CLEAR_TIME: Final = _compilers.CLEAR


def preprocessed(data: SpikeData, dt: float) -> list[Any]:
    """Spikes of each sample as mlGeNN takes them.

    Args:
        data: Spikes.
        dt: Length of a step in ms.
    """
    from ml_genn.utils.data import PreprocessedSpikes

    pieces = []
    for index in range(len(data)):
        times, neurons = data.events(index)
        order = np.argsort(neurons, kind="stable")  # each neuron's times rise already
        ends = np.cumsum(np.bincount(neurons, minlength=data.neuron_count))
        pieces.append(PreprocessedSpikes(ends, (times[order] * dt).astype(np.float32)))
    return pieces


def _progress_callback(progress: Progress, total: int, size: int) -> Any:
    from ml_genn.callbacks import Callback

    class Tell(Callback):  # type: ignore[misc]
        def on_batch_end(self, batch: int, metrics: object) -> None:
            progress(min((batch + 1) * size, total), total)

    return Tell()
