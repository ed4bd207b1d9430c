"""From a description to a network of mlGeNN."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from snnir.errors import Diagnostic, MissingDependency, PluginError, RunError
from snnir_converters.mlgenn._description import Connection, Description, Population

INSTALL: Final = "Install PyGeNN and mlGeNN as their documentation says; no package index has them."


@dataclass(frozen=True)
class Live:
    """A network of mlGeNN.

    Attributes:
        network: ``ml_genn.Network``.
        populations: ``ml_genn.Population`` by the name in the description.
        connections: ``ml_genn.Connection`` by the name in the description.
        inputs: The populations that are fed, by the name of the graph input.
        outputs: The populations that are read out, by the name of the graph output.
    """

    network: Any
    populations: Mapping[str, Any]
    connections: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


def require_mlgenn() -> Any:
    """The package ``ml_genn``.

    Raises:
        MissingDependency: If it or PyGeNN is not installed.
        PluginError: If PyGeNN was built so that whole numbers become fractions.
    """
    try:
        ml_genn = import_module("ml_genn")
        numeric = import_module("pygenn").types.NumericValue
    except ModuleNotFoundError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "mlgenn",
                f"no package '{error.name}'",
                "PyGeNN and mlGeNN",
                hint=INSTALL,
            )
        ) from error
    except AttributeError:
        return ml_genn
    if not isinstance(numeric(3).value, int):
        raise PluginError(
            Diagnostic(
                "plugin.broken",
                "pygenn",
                "whole-number parameters that become fractions (genn issue 762)",
                "PyGeNN built with pybind11 below 3.1",
            )
        )
    return ml_genn


def build_network(description: Description, *, max_events: int = 1_000_000) -> Live:
    """The network, with every default of mlGeNN that depends on its surroundings set.

    Args:
        description: The network.
        max_events: Most spikes that a batch of samples may have in an input population.

    Raises:
        MissingDependency: If mlGeNN is not installed.
        PluginError: If PyGeNN cannot be used.
    """
    ml_genn = require_mlgenn()
    network = ml_genn.Network()
    with network:
        populations = {
            each.name: _population(each, max_events) for each in description.populations.values()
        }
        connections = {
            each.name: _connection(each, populations)
            for each in description.connections.values()
        }
    return Live(
        network,
        populations,
        connections,
        {host.input: populations[name] for name, host in description.inputs.items()},
        {output: populations[name] for output, name in description.outputs.items()},
    )


def _population(population: Population, max_events: int) -> Any:
    neurons = import_module("ml_genn.neurons")
    settings = dict(population.settings)
    if population.neuron == "SpikeInput":
        settings["max_spikes"] = max_events
    elif population.readout is not None:
        settings["readout"] = getattr(import_module("ml_genn.readouts"), population.readout)()
    neuron = getattr(neurons, population.neuron)(**settings)
    return import_module("ml_genn").Population(
        neuron, population.shape, record_spikes=False, name=population.name
    )


def _connection(connection: Connection, populations: Mapping[str, Any]) -> Any:
    kinds = import_module("ml_genn.connectivity")
    synapses = import_module("ml_genn.synapses")
    settings = dict(connection.settings)
    indices = {name: settings.pop(name) for name in ("pre_ind", "post_ind") if name in settings}
    if indices:
        settings["p"] = 1.0
    # The weights follow: Dense accepts only populations that are flat.
    connectivity = getattr(kinds, connection.connectivity)(weight=0.0, **settings)
    if connection.tau is None:
        synapse = synapses.Delta()
    else:
        synapse = synapses.Exponential(tau=connection.tau, scale_i=connection.scale_i)
    made = import_module("ml_genn").Connection(
        populations[connection.source],
        populations[connection.target],
        connectivity,
        synapse,
        name=connection.name,
        max_delay_steps=connection.max_delay if np.ndim(connection.delay) else None,
    )
    made.connectivity.weight = connection.weight
    made.connectivity.delay = (
        connection.delay if np.ndim(connection.delay) == 0 else np.asarray(connection.delay)
    )
    for name, values in indices.items():
        setattr(made.connectivity, name, values)
    return made


def build_quietly(genn_model: Any, folder: Path) -> None:
    """Generate and compile the code of a GeNN model in a folder; nothing is printed.

    Raises:
        RunError: If it cannot be compiled; with the end of what the compiler said.
    """
    log = folder / "build.log"
    try:
        with _standard_output_in(log):
            genn_model.build(path_to_model=f"{folder}{os.sep}")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        said = " | ".join(lines[-5:]) or str(error)
        raise RunError(
            Diagnostic("train.failed", "GeNN, compiling", said[-600:], "g++ and make")
        ) from error


@contextlib.contextmanager
def _standard_output_in(path: Path) -> Iterator[None]:
    """Let what this process and its children print go to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        with path.open("wb") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
