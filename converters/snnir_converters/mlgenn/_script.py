"""From a description to a script that builds the network with mlGeNN alone, and its weights."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir._version import __version__
from snnir_converters.mlgenn._description import (
    Connection,
    Description,
    Host,
    Population,
    Setting,
)

SCRIPT = "network.py"
WEIGHTS = "weights"
MARK = "# A network for mlGeNN, written by snnir.\n"
"""How the script begins."""

_END = '''

def compile_for_training(network, **options):
    """A compiled network for EventProp; options are those of EventPropCompiler."""
    from ml_genn.compilers import EventPropCompiler

    settings = {"losses": "sparse_categorical_crossentropy", "dt": DT, **options}
    return EventPropCompiler(example_timesteps=TIMESTEPS, **settings).compile(network)


def compile_for_inference(network, **options):
    """A compiled network; options are those of InferenceCompiler."""
    from ml_genn.compilers import InferenceCompiler

    settings = {"dt": DT, "reset_in_syn_between_batches": True, **options}
    return InferenceCompiler(evaluate_timesteps=TIMESTEPS, **settings).compile(network)


if __name__ == "__main__":
    network, inputs, outputs = build()
    for population in network.populations:
        print(population.name, population.shape, type(population.neuron).__name__)
'''


def files(description: Description) -> dict[str, bytes]:
    """Every file of the folder by its name; the same description gives the same bytes."""
    arrays = _Arrays()
    populations = [_population(each, arrays) for each in description.populations.values()]
    connections = [_connection(each, arrays) for each in description.connections.values()]
    text = "".join(
        [
            _head(description),
            "\n\ndef build():\n",
            '    """The network, what to feed, and what to read out, by name."""\n',
            "    network = Network()\n    with network:\n",
            *populations,
            *connections,
            f"    inputs = {_names(description.inputs, description)}\n",
            f"    outputs = {_outputs(description)}\n",
            "    return network, inputs, outputs\n",
            _END,
        ]
    )
    return {SCRIPT: text.encode(), **arrays.files}


class _Arrays:
    """Arrays that go into files of their own."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def load(self, name: str, array: npt.ArrayLike) -> str:
        """Keep an array; returns what loads it."""
        stream = io.BytesIO()
        np.save(stream, np.asarray(array, order="C"), allow_pickle=False)
        self.files[f"{WEIGHTS}/{name}.npy"] = stream.getvalue()
        return f'load("{name}")'


def _head(description: Description) -> str:
    used = {
        "neurons": {each.neuron for each in description.populations.values()},
        "readouts": {each.readout for each in description.populations.values() if each.readout},
        "connectivity": {each.connectivity for each in description.connections.values()},
        "synapses": {
            "Delta" if each.tau is None else "Exponential"
            for each in description.connections.values()
        },
    }
    imports = "\n".join(
        f"from ml_genn.{module} import {', '.join(sorted(names))}"
        for module, names in sorted(used.items())
        if names
    )
    lags = ", ".join(f"{each.name} {each.lag}" for each in description.populations.values())
    title = json.dumps(description.name)[1:-1]
    return f'''{MARK}"""The network {title} for mlGeNN, written by snnir {__version__}.

Every synapse of GeNN takes a step, so populations are late by these steps: {lags}.
A presentation of {description.steps} steps has to be simulated for {description.timesteps}.
mlGeNN leaves spikes in flight to the next sample: see the documentation of snnir.
{_feeding(description)}"""

from pathlib import Path

import numpy as np
from ml_genn import Connection, Network, Population
{imports}

DT = {description.dt!r}  # ms
STEPS = {description.steps}
TIMESTEPS = {description.timesteps}
MAX_EVENTS = 1000000  # spikes of a batch of samples in an input
FOLDER = Path(__file__).parent / "{WEIGHTS}"


def load(name):
    """An array of the folder of weights."""
    return np.load(FOLDER / f"{{name}}.npy")
'''


def _feeding(description: Description) -> str:
    encoded = [
        f"The host makes the spikes of '{name}' from input '{host.input}', by '{host.encoder}'.\n"
        for name, host in description.inputs.items()
        if host.encoder
    ]
    return "".join(encoded)


def _population(population: Population, arrays: _Arrays) -> str:
    settings = [
        f"{name}={_setting(f'{population.name}-{name}', value, arrays)}"
        for name, value in population.settings.items()
    ]
    if population.neuron == "SpikeInput":
        settings.append("max_spikes=MAX_EVENTS")
    if population.readout:
        settings.append(f"readout={population.readout}()")
    neuron = _call(population.neuron, settings, 12)
    return (
        f"        {population.name} = Population(\n"
        f"            {neuron},\n"
        f"            shape={population.shape!r},\n"
        f'            name="{population.name}",\n'
        "        )\n"
    )


def _connection(connection: Connection, arrays: _Arrays) -> str:
    settings = dict(connection.settings)
    names: list[str] = [name for name in ("pre_ind", "post_ind") if name in settings]
    indices = {name: settings.pop(name) for name in names}
    if indices:
        settings["p"] = 1.0
    arguments = [f"{name}={value!r}" for name, value in settings.items()]
    synapse = "Delta()"
    if connection.tau is not None:
        synapse = f"Exponential(tau={connection.tau!r}, scale_i={connection.scale_i})"
    text = (
        f"        {connection.name} = Connection(\n"
        f"            {connection.source},\n"
        f"            {connection.target},\n"
        f"            {_call(connection.connectivity, ['weight=0.0', *arguments], 12)},\n"
        f"            {synapse},\n"
        f'            name="{connection.name}",\n'
    )
    if np.ndim(connection.delay):
        text += f"            max_delay_steps={connection.max_delay},\n"
    text += "        )\n"
    values: dict[str, Any] = {
        "weight": connection.weight,
        "delay": connection.delay,
        **indices,
    }
    for name, value in values.items():
        given = _setting(f"{connection.name}-{name}", value, arrays)
        text += f"        {connection.name}.connectivity.{name} = {given}\n"
    return text


def _setting(name: str, value: Setting | int, arrays: _Arrays) -> str:
    if isinstance(value, np.ndarray):
        return arrays.load(name, value)
    return 'float("inf")' if value == np.inf else repr(value)


def _call(name: str, arguments: list[str], indent: int) -> str:
    line = f"{name}({', '.join(arguments)})"
    if len(line) + indent < 96:
        return line
    inner = " " * (indent + 4)
    return f"{name}(\n" + "".join(f"{inner}{each},\n" for each in arguments) + " " * indent + ")"


def _names(names: Iterable[str], description: Description) -> str:
    hosts: Any = description.inputs
    entries = [f"{json.dumps(_input(hosts[name]))}: {name}" for name in names]
    return "{" + ", ".join(entries) + "}"


def _input(host: Host) -> str:
    return host.input


def _outputs(description: Description) -> str:
    entries = [f"{json.dumps(output)}: {name}" for output, name in description.outputs.items()]
    return "{" + ", ".join(entries) + "}"
