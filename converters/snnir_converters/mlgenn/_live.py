"""From a description to a network of mlGeNN."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from snnir.errors import Diagnostic, MissingDependency, RunError
from snnir_converters.genn._install import Installation, require_pygenn
from snnir_converters.genn._models import environment
from snnir_converters.genn._output import captured
from snnir_converters.mlgenn._description import Connection, Description, Population

INSTALLATION: Final = "https://ml-genn.readthedocs.io"


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


def require_mlgenn() -> Installation:
    """mlGeNN and the PyGeNN below it, checked.

    Raises:
        MissingDependency: If one of them is not installed, or PyGeNN cannot be used.
    """
    installation = require_pygenn()
    try:
        import_module("ml_genn")
    except ImportError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "mlgenn",
                str(error),
                "mlGeNN",
                f"mlGeNN is in no package index: install it as {INSTALLATION} says",
            )
        ) from error
    return installation


def build_network(
    description: Description,
    *,
    max_events: int = 1_000_000,
    record_spikes: bool = False,
    dendritic: bool = False,
) -> Live:
    """The network, with every default of mlGeNN that depends on its surroundings set.

    Args:
        description: The network.
        max_events: Most spikes that a batch of samples may have in an input population.
        record_spikes: Whether spikes of all populations are recorded.
        dendritic: Whether delays are kept for each synapse where one number would do: GeNN can
            then forget what is under way.

    Raises:
        MissingDependency: If mlGeNN is not installed, or PyGeNN cannot be used.
    """
    require_mlgenn()
    network = import_module("ml_genn").Network()
    with network:
        populations = {
            each.name: _population(each, max_events, record_spikes)
            for each in description.populations.values()
        }
        connections = {
            each.name: _connection(each, populations, dendritic)
            for each in description.connections.values()
        }
    return Live(
        network,
        populations,
        connections,
        {host.input: populations[name] for name, host in description.inputs.items()},
        {output: populations[name] for output, name in description.outputs.items()},
    )


def _population(population: Population, max_events: int, record_spikes: bool) -> Any:
    neurons = import_module("ml_genn.neurons")
    settings = dict(population.settings)
    if population.neuron == "SpikeInput":
        settings["max_spikes"] = max_events
    elif population.readout is not None:
        settings["readout"] = getattr(import_module("ml_genn.readouts"), population.readout)()
    neuron = getattr(neurons, population.neuron)(**settings)
    spikes = record_spikes and population.neuron != "LeakyIntegrate"
    return import_module("ml_genn").Population(
        neuron, population.shape, record_spikes=spikes, name=population.name
    )


def _connection(connection: Connection, populations: Mapping[str, Any], dendritic: bool) -> Any:
    delay = connection.delay
    if dendritic and np.ndim(delay) == 0 and delay:
        delay = np.full(connection.weight.shape, delay)
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
        max_delay_steps=connection.max_delay if np.ndim(delay) else None,
    )
    made.connectivity.weight = connection.weight
    made.connectivity.delay = delay
    for name, values in indices.items():
        setattr(made.connectivity, name, values)
    return made


def build_quietly(genn_model: Any, folder: Path) -> None:
    """Generate and compile the code of a GeNN model in a folder; nothing is printed.

    The compiler's temporary files go there, too: one that is ended leaves them.

    Raises:
        RunError: If it cannot be compiled; with what the compiler said.
    """
    with environment({"TMPDIR": str(folder)}), captured() as output:
        try:
            genn_model.build(path_to_model=f"{folder}{os.sep}")
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            lines = output().strip().splitlines()
            said = " | ".join(lines[-5:]) or str(error)
            raise RunError(
                Diagnostic(
                    "train.failed",
                    "GeNN, compiling",
                    said[-600:],
                    "g++ and make",
                    output="\n".join(lines),
                )
            ) from error
