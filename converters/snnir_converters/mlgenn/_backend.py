"""Runs models in mlGeNN, one sample after the other, each from the initial state."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.data import SpikeData, from_dense
from snnir.errors import CapabilityError, Diagnostic, ModelError, raise_errors
from snnir.infer import infer
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.runtime.backend import (
    Inputs,
    Recording,
    check_inputs,
    named_inputs,
    resolve_record,
    state_names,
)
from snnir.runtime.partial import run_part
from snnir_converters.genn._install import CPU
from snnir_converters.mlgenn import _compilers
from snnir_converters.mlgenn._describe import describe
from snnir_converters.mlgenn._description import Description, Population
from snnir_converters.mlgenn._live import Live, build_network, build_quietly, require_mlgenn
from snnir_converters.mlgenn._training import preprocessed

Array = npt.NDArray[Any]


class MlGennBackend:
    """mlGeNN's inference."""

    name: Final = "mlgenn"

    def prepare(self, model: Model, *, device: str = CPU, **options: Any) -> MlGennPrepared:
        """Make a model ready to run.

        Args:
            model: What the target ``mlgenn`` takes, with outputs that are decoded or spikes.
            device: Backend of GeNN.
            options: None is known.

        Raises:
            ModelError: If the model is not valid.
            CapabilityError: If mlGeNN cannot run it exactly, with all that does not fit; or if
                an option is not known.
            MissingDependency: If mlGeNN is not installed.
        """
        if options:
            raise CapabilityError(
                Diagnostic("run.capability", "backend 'mlgenn'", ", ".join(options), "device")
            )
        raise_errors(check(model), ModelError)
        description, findings = describe(model)
        if description is not None:
            findings = [*findings, *_exact(description)]
        errors = [f for f in findings if f.severity == "error" or f.code == "mlgenn.readout"]
        if errors or description is None:
            raise CapabilityError(errors)
        require_mlgenn().choose(device)
        return MlGennPrepared(model, description, device)


def _exact(description: Description) -> list[Diagnostic]:
    potentials = [
        output
        for output, name in description.outputs.items()
        if description.populations[name].readout is None
        and description.populations[name].neuron == "LeakyIntegrate"
    ]
    return [
        Diagnostic(
            "mlgenn.unsupported",
            f"output '{output}'",
            "potentials of every step",
            "a decoder, or spikes",
        )
        for output in potentials
    ]


class MlGennPrepared:
    """A model that mlGeNN runs; it is compiled for each presentation length."""

    def __init__(self, model: Model, description: Description, device: str) -> None:
        self._model = model
        self._description = description
        self._device = device
        self._types = infer(model)
        self._states = state_names(model)

    def run(
        self, inputs: Inputs, *, steps: int | None = None, record: Sequence[str] = ()
    ) -> Recording:
        """Run a batch of samples; spikes of neurons and encoders can be recorded.

        Raises:
            RunError: If an input, the steps or a name to record do not fit the model.
            CapabilityError: If something else is to be recorded.
        """
        graph = self._model.graph
        arrays = named_inputs(graph, inputs)
        samples, steps, _ = check_inputs(graph, arrays, steps, self._model.time.steps)
        named = {each: resolve_record(graph, self._states, each) for each in record}
        populations = {p.node: p for p in self._description.populations.values()}
        wanted: dict[str, Population] = {}
        for each, value in named.items():
            population = populations.get(producer(value))
            if population is None or population.neuron == "LeakyIntegrate":
                raise CapabilityError(
                    Diagnostic("run.record", f"record '{each}'", f"'{value}'", "spikes of neurons")
                )
            wanted[each] = population
        for name, population_name in self._description.outputs.items():
            if self._description.populations[population_name].readout is None:
                wanted[name] = self._description.populations[population_name]
        found = self._simulate(self._fed(arrays, steps), samples, steps, wanted)
        outputs = {output.name: found[output.name] for output in graph.outputs}
        recorded = {each: found[each] for each in record}
        return Recording(outputs, recorded, steps, "mlgenn", {"device": self._device})

    def _fed(self, arrays: Mapping[str, Array], steps: int) -> dict[str, Any]:
        """Events or currents for each input population, by its name."""
        fed: dict[str, Any] = {}
        for name, host in self._description.inputs.items():
            population = self._description.populations[name]
            if population.neuron != "SpikeInput":
                (binding,) = self._model.graph.nodes[population.node].inputs
                value = binding.source
            else:
                value = (
                    self._model.graph.nodes[host.encoder].values()[0]
                    if host.encoder
                    else host.input
                )
            found = arrays[host.input]
            if value != host.input:
                found = run_part(self._model, self._types, [value], arrays, steps=steps)[value]
            if population.neuron == "SpikeInput":
                if np.any((found != 0) & (found != 1)):
                    raise CapabilityError(
                        Diagnostic(
                            "run.capability",
                            f"value '{value}'",
                            "other values than 0 and 1",
                            "spikes",
                        )
                    )
                fed[name] = from_dense(np.asarray(found), empty="allow")
            else:
                fed[name] = np.asarray(found)[:, 0].reshape(len(found), *population.shape)
        return fed

    def _simulate(
        self,
        fed: Mapping[str, Any],
        samples: int,
        steps: int,
        wanted: Mapping[str, Population],
    ) -> dict[str, Array]:
        description = dataclasses.replace(self._description, steps=steps)
        tail = int(any(each.lag == description.latency for each in wanted.values()))
        if tail and any(p.readout == "AvgVarExpWeight" for p in description.populations.values()):
            raise CapabilityError(
                Diagnostic(
                    "run.record",
                    "record",
                    "spikes of the last step, beside a decoder 'ExponentialPotential'",
                    "one of the two",
                )
            )
        spikes = [each for each in fed.values() if isinstance(each, SpikeData)]
        most = max((int(each.counts.max()) for each in spikes), default=1)
        live = build_network(
            description, max_events=max(most, 1), record_spikes=True, dendritic=True
        )
        folder = Path(tempfile.mkdtemp(prefix="snnir-mlgenn-"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compiler = _compilers.inference_compiler()(
                    evaluate_timesteps=description.timesteps + tail,
                    dt=description.dt,
                    backend=self._device,
                    windows=_compilers.windows(description, tail),
                )
                compiled = compiler.compile(live.network, name="snnir_inference")
                build_quietly(compiled.genn_model, folder)
                with compiled:
                    rows = [
                        _run_sample(compiled, live, description, tail, fed, index, wanted)
                        for index in range(samples)
                    ]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _run_sample(
    compiled: Any,
    live: Live,
    description: Description,
    tail: int,
    fed: Mapping[str, Any],
    index: int,
    wanted: Mapping[str, Population],
) -> dict[str, Array]:
    given: dict[Any, Any] = {}
    for name, values in fed.items():
        population = live.populations[name]
        if isinstance(values, SpikeData):
            given[population] = preprocessed(values[index : index + 1], description.dt)
        else:
            given[population] = values[index : index + 1]
    for group in ("Reset", _compilers.CLEAR):
        compiled.genn_model.custom_update(group)
    decoded = {
        name: live.populations[population]
        for name, population in description.outputs.items()
        if description.populations[population].readout is not None
    }
    from ml_genn.utils.callback_list import CallbackList

    callbacks = CallbackList([], compiled_network=compiled, num_batches=1)
    answers = compiled._predict_batch(0, given, list(decoded.values()), callbacks)
    found = {
        name: _decoded(
            np.array(answer[0]),
            description,
            tail,
            description.populations[description.outputs[name]],
        )
        for name, answer in zip(decoded, answers, strict=True)
    }
    compiled.genn_model.pull_recording_buffers_from_device()
    for name, each in wanted.items():
        group = compiled.neuron_populations[live.populations[each.name]]
        times, ids = group.spike_recording_data[0]
        steps = np.rint(times / description.dt).astype(int) - each.lag
        inside = (steps >= 0) & (steps < description.steps)
        spikes = np.zeros((description.steps, each.size), np.float32)
        spikes[steps[inside], ids[inside]] = 1
        found[name] = spikes.reshape(description.steps, *each.shape)
    return found


def _decoded(answer: Array, description: Description, tail: int, population: Population) -> Array:
    """What the decoder says, from mlGeNN's readout."""
    steps = description.steps
    if population.readout == "AvgVar":
        mean: Array = answer * np.float32((description.timesteps + tail) / steps)
        return mean
    if population.readout == "FirstSpikeTime":
        first = np.rint(-answer.astype(np.float64) / description.dt) - population.lag
        found: Array = np.clip(first, 0, steps).astype(np.float32)
        return found
    plain: Array = answer.astype(np.float32)
    return plain
