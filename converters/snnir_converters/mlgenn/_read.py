"""From a live network of mlGeNN to a graph, from the attributes that it ended up with.

Every synapse of GeNN takes a step, so an edge of the graph has one step more than the delay of
the connection: the graph does in each step what GeNN does in it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FormatError, SnnirError, UnsupportedFeature, raise_errors
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Model
from snnir.ir.types import DType, Timing, ValueType
from snnir_converters.mlgenn._description import READOUTS, input_gain

Array = npt.NDArray[Any]

DECODERS: Final = {readout: decoder for decoder, readout in READOUTS.items()}
_NEURONS: Final = {
    "IntegrateFire": "IF",
    "LeakyIntegrateFire": "LIF",
    "AdaptiveLeakyIntegrateFire": "ALIF",
    "LeakyIntegrate": "LeakyIntegrator",
}


@dataclass
class Found:
    """Values that replace those of the network's objects.

    Attributes:
        connections: Weights (``g``), delays (``d``) and indices by name of connection.
        populations: ``Bias`` by name of population.
    """

    connections: dict[str, dict[str, Array]] = field(default_factory=dict)
    populations: dict[str, dict[str, Array]] = field(default_factory=dict)


def is_live(source: object) -> bool:
    """Whether an object is a network of mlGeNN, compiled or not."""
    return any(
        cls.__module__.split(".")[0] == "ml_genn"
        and cls.__name__ in ("Network", "SequentialNetwork", "CompiledNetwork")
        for cls in type(source).__mro__
    )


def read_mlgenn(
    source: Any,
    *,
    dt: float | None = None,
    steps: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    keys: Sequence[Any] = (),
) -> Model:
    """Read a live network.

    Args:
        source: ``ml_genn.Network``, or what a compiler made of one (its weights are those that
            it was compiled with, or trained to while it is loaded).
        dt: Length of a step in ms; by default that of the compiled network, or mlGeNN's 1 ms.
        steps: Presentation length; by default that of the compiled network.
        checkpoint: Folder in which mlGeNN's ``Numpy`` serialiser kept weights.
        keys: Which checkpoint, as for ``Network.load``: often the number of the epoch alone.

    Returns:
        The model; its ``findings`` say what was assumed or not used.

    Raises:
        FormatError: If it is no network, or the checkpoint does not fit it.
        UnsupportedFeature: With everything that cannot be carried over.
    """
    if not is_live(source):
        raise FormatError(
            Diagnostic(
                "mlgenn.network", "the source", f"a {type(source).__name__}", "a network of mlGeNN"
            )
        )
    findings: list[Diagnostic] = []
    populations, connections = _parts(source)
    found = _compiled_values(source)
    if checkpoint is not None:
        found = _checkpoint(Path(checkpoint), keys, populations, connections, findings)
    genn_model = getattr(source, "genn_model", None)
    assumed = dt is None and genn_model is None
    if dt is None:
        dt = 1.0 if genn_model is None else float(genn_model.dt)
    if steps is None:
        steps = getattr(source, "example_timesteps", None) or getattr(
            source, "evaluate_timesteps", None
        )
    if assumed or steps is None:
        findings.append(
            Diagnostic(
                "mlgenn.time",
                "network",
                f"{dt:g} ms and {steps or 1} steps, as assumed",
                "dt and steps given, or a compiled network",
            )
        )
    reader = _Reader(populations, connections, found, dt, int(steps or 1), findings)
    model = reader.read()
    model.findings = tuple(findings)
    return model


def _parts(source: Any) -> tuple[list[Any], list[Any]]:
    if hasattr(source, "neuron_populations"):
        return list(source.neuron_populations), list(source.connection_populations)
    return list(source.populations), list(source.connections)


def _compiled_values(source: Any) -> Found:
    """Values of a compiled network that is loaded."""
    found = Found()
    model = getattr(source, "genn_model", None)
    if model is None or not getattr(model, "_loaded", False):
        return found
    for connection, variable in getattr(source, "checkpoint_connection_vars", ()):
        group = source.connection_populations[connection]
        values = found.connections.setdefault(connection.name, {})
        if connection.connectivity.__class__.__name__ in ("FixedProbability", "OneToOne"):
            group.pull_connectivity_from_device()
            values["pre_ind"] = np.array(group.get_sparse_pre_inds())
            values["post_ind"] = np.array(group.get_sparse_post_inds())
        group.vars[variable].pull_from_device()
        values[variable] = np.array(group.vars[variable].values)
    for population, variable in getattr(source, "checkpoint_population_vars", ()):
        group = source.neuron_populations[population]
        group.vars[variable].pull_from_device()
        found.populations.setdefault(population.name, {})[variable] = np.array(
            group.vars[variable].values
        )
    return found


def _checkpoint(
    folder: Path,
    keys: Sequence[Any],
    populations: Sequence[Any],
    connections: Sequence[Any],
    findings: list[Diagnostic],
) -> Found:
    """Values from files ``{keys}-{name}-{variable}.npy``.

    Raises:
        FormatError: If there is none, or one is damaged.
    """
    prefix = "".join(f"{key}-" for key in keys)
    where = f"checkpoint '{folder}{os.sep}{prefix}*'"
    found = Found()
    known = {each.name: found.connections for each in connections}
    known |= {each.name: found.populations for each in populations}
    used = 0
    for path in sorted(folder.glob("*.npy")):
        if not path.name.startswith(prefix):
            continue
        name, dash, variable = path.stem[len(prefix) :].rpartition("-")
        if name not in known or variable not in ("g", "d", "Bias", "pre_ind", "post_ind"):
            if dash and prefix:
                findings.append(
                    Diagnostic(
                        "mlgenn.ignored",
                        f"file '{path}'",
                        f"'{variable}' of '{name}'",
                        "variables of this network",
                    )
                )
            continue
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise FormatError(
                Diagnostic("mlgenn.checkpoint", f"file '{path}'", str(error)[:200], "a NumPy file")
            ) from error
        known[name].setdefault(name, {})[variable] = values
        used += 1
    if not used:
        raise FormatError(
            Diagnostic(
                "mlgenn.checkpoint",
                where,
                "no file for this network",
                f"files such as '{prefix}{next(iter(known), 'Conn')}-g.npy'",
            )
        )
    return found


@dataclass(frozen=True)
class _Planned:
    """A neuron that is added once all values are known.

    Attributes:
        kind: Class of ``ml_genn.neurons``, without ``Input``.
        name: Name of the node.
        shape: Its shape.
        settings: Attributes and parameters.
        currents: What feeds it from outside.
        factors: What weights of connections are multiplied by, by name of connection.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    settings: Mapping[str, Any]
    currents: Sequence[Value]
    factors: Mapping[str, float]


class _Reader:
    def __init__(
        self,
        populations: Sequence[Any],
        connections: Sequence[Any],
        found: Found,
        dt: float,
        steps: int,
        findings: list[Diagnostic],
    ) -> None:
        self._populations = populations
        self._connections = connections
        self._found = found
        self._dt = dt
        self._findings = findings
        self._errors: list[Diagnostic] = []
        self._builder = GraphBuilder(
            "mlgenn", dt=dt * 1e-3, steps=steps, metadata={"source": "live ml_genn network"}
        )
        self._values: dict[str, Value] = {}
        self._planned: dict[str, _Planned] = {}
        self._taken: set[str] = set()

    def read(self) -> Model:
        """The model.

        Raises:
            UnsupportedFeature: With everything that cannot be carried over.
        """
        b = self._builder
        try:
            self._add_sources()
            self._plan_neurons()
            if not self._errors:
                self._add_neurons()
            if not self._errors:
                self._add_outputs()
        except SnnirError as error:
            self._errors += error.diagnostics
        raise_errors(self._errors, UnsupportedFeature)
        return b.build()

    def _refuse(self, what: Any, found: str, allowed: str, hint: str = "") -> None:
        kind = "population" if hasattr(what, "neuron") else "connection"
        self._errors.append(
            Diagnostic("mlgenn.network", f"{kind} '{what.name}'", found, allowed, hint)
        )

    def _name(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_./-]", "_", name)
        plain = plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"
        free, number = plain[:240], 2
        while free in self._taken:
            free, number = f"{plain[:240]}_{number}", number + 1
        self._taken.add(free)
        return free

    # Populations ---------------------------------------------------------------------------------

    def _shape(self, population: Any) -> tuple[int, ...]:
        if population.shape is None:
            self._refuse(population, "no shape", "a shape")
            return (1,)
        return tuple(int(size) for size in population.shape)

    def _number(self, owner: Any, where: Any, name: str, shape: tuple[int, ...] = ()) -> Any:
        """A setting: a number, or an array of a shape."""
        value = getattr(owner, name)
        if isinstance(value, (int, float, np.number)):
            return float(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
            if value.size == 1:
                return float(value.reshape(-1)[0])
            if value.size == math.prod(shape):
                return value.reshape(shape).astype(np.float64)
            self._refuse(where, f"{value.size} values of '{name}'", f"{math.prod(shape)}")
            return 1.0
        self._refuse(
            where,
            f"{type(value).__name__} as '{name}'",
            "numbers",
            "Values that are drawn when the network is compiled are not known before.",
        )
        return 1.0

    def _add_sources(self) -> None:
        for population in self._populations:
            kind = type(population.neuron).__name__
            if kind == "SpikeInput":
                self._values[population.name] = self._builder.input(
                    self._name(population.name), self._shape(population), timing="per_step"
                )
            elif kind in ("IntegrateFireInput", "LeakyIntegrateFireInput"):
                if getattr(population.neuron, "input_frames", 1) != 1:
                    self._refuse(population, "several input frames", "one")
            elif kind not in _NEURONS:
                self._refuse(
                    population,
                    f"neurons {kind}",
                    ", ".join(
                        ("SpikeInput", "IntegrateFireInput", "LeakyIntegrateFireInput", *_NEURONS)
                    ),
                )

    def _incoming(self, population: Any) -> list[Any]:
        return [each for each in self._connections if each.target() is population]

    def _gain(self, population: Any, decay: Any) -> tuple[Any, dict[str, float]]:
        """The population's gain, and what each connection's weights keep of their factor."""
        factors: dict[str, float] = {}
        for each in self._incoming(population):
            synapse = each.synapse
            tau = self._number(synapse, each, "tau") if hasattr(synapse, "tau") else None
            factors[each.name] = input_gain(tau, self._dt, bool(getattr(synapse, "scale_i", False)))
        common = next(iter(factors.values()), 1.0)
        if any(factor != common for factor in factors.values()):
            common = 1.0
        gain = (1 - decay) * common if getattr(population.neuron, "scale_i", False) else common
        return gain, {name: factor / common for name, factor in factors.items()}

    def _plan_neurons(self) -> None:
        """Plan all neurons and declare their values: edges may lead back to any of them."""
        for population in self._populations:
            kind = type(population.neuron).__name__.removesuffix("Input")
            if population.name not in self._values and kind in _NEURONS:
                planned = self._plan(population, kind, self._name(population.name))
                port = "potential" if kind == "LeakyIntegrate" else "spikes"
                value = f"{planned.name}:{port}"
                self._builder.types[value] = ValueType(
                    DType.FLOAT32, planned.shape, Timing.PER_STEP
                )
                self._values[population.name] = Value(value)
                self._planned[population.name] = planned

    def _plan(self, population: Any, kind: str, name: str) -> _Planned:
        b, neuron, shape = self._builder, population.neuron, self._shape(population)
        decay: Any = 1.0
        settings: dict[str, Any] = {
            "initial_potential": self._number(neuron, population, "v", shape)
        }
        if kind != "IntegrateFire":
            decay = np.exp(
                -self._dt / np.asarray(self._number(neuron, population, "tau_mem", shape))
            )
            settings["decay"] = _parameter(decay)
        gain, factors = self._gain(population, decay)
        settings["gain"] = _parameter(gain)
        if kind == "LeakyIntegrate":
            bias = self._found.populations.get(population.name, {}).get("Bias")
            if bias is None:
                settings["bias"] = _parameter(self._number(neuron, population, "bias", shape))
            else:
                settings["bias"] = np.asarray(bias, np.float32).reshape(shape)
        else:
            settings |= self._firing(population, kind, shape)
        currents: list[Value] = []
        if type(neuron).__name__.endswith("Input"):
            if factors:
                self._refuse(population, "a current and connections", "one of the two")
            entry = b.input(self._name(f"{name}-current"), shape)
            currents = [b.snn.ConstantCurrent(entry, name=self._name(f"{name}-encoder"))]
        return _Planned(kind, name, shape, settings, currents, factors)

    def _firing(self, population: Any, kind: str, shape: tuple[int, ...]) -> dict[str, Any]:
        neuron = population.neuron
        settings: dict[str, Any] = {
            "threshold": _parameter(self._number(neuron, population, "v_thresh", shape)),
            "reset_potential": _parameter(self._number(neuron, population, "v_reset", shape)),
        }
        if kind == "IntegrateFire":
            return {**settings, "reset": "to_value"}
        relative = bool(neuron.relative_reset)
        settings["reset"] = "subtract" if relative else "to_value"
        if neuron.tau_refrac is not None:
            steps = _countdown(self._number(neuron, population, "tau_refrac"), self._dt)
            if steps and not neuron.integrate_during_refrac and relative:
                self._refuse(
                    population,
                    "a refractory time in which the potential is held, with a relative reset",
                    "an absolute reset",
                    "Such a neuron may spike at the end of the time that it is held.",
                )
            if neuron.integrate_during_refrac:
                settings |= {"refractory_steps": max(steps - 1, 0), "refractory_mode": "integrate"}
            else:
                settings["refractory_steps"] = steps
        if kind == "AdaptiveLeakyIntegrateFire":
            if np.any(self._number(neuron, population, "a", shape)):
                self._refuse(population, "an initial adaptation", "0")
            tau = np.asarray(self._number(neuron, population, "tau_adapt", shape))
            settings["adaptation_decay"] = _parameter(np.exp(-self._dt / tau))
            settings["adaptation_strength"] = _parameter(
                self._number(neuron, population, "beta", shape)
            )
        return settings

    # Connections ---------------------------------------------------------------------------------

    def _add_neurons(self) -> None:
        """Add neurons with what leads to them."""
        b = self._builder
        for population in self._populations:
            if population.name not in self._planned:
                continue
            planned = self._planned[population.name]
            arriving: dict[float | None, list[Value]] = {}
            for each in self._incoming(population):
                value = self._weights(each, planned.shape, planned.factors[each.name])
                if value is not None:
                    exponential = hasattr(each.synapse, "tau")
                    tau = self._number(each.synapse, each, "tau") if exponential else None
                    arriving.setdefault(tau, []).append(value)
            currents = [*planned.currents, *arriving.pop(None, [])]
            if self._errors:
                continue
            for tau, values in arriving.items():
                decay = np.float32(math.exp(-self._dt / (tau or 1.0)))
                label = self._name(f"{planned.name}-synapse")
                currents.append(b.snn.ExponentialSynapse(values, decay=decay, name=label))
                self._declare(label, planned.shape)
            if not currents:
                self._refuse(population, "nothing that leads to it", "a connection")
                continue
            op = f"snn.{_NEURONS[planned.kind]}"
            b.add(op, currents, name=planned.name, **planned.settings)
            self._declare(planned.name, planned.shape)

    def _declare(self, name: str, shape: tuple[int, ...]) -> None:
        """State a node's type, which in a cycle of delayed edges follows from nothing else."""
        declared = ValueType(DType.FLOAT32, shape, Timing.PER_STEP)
        self._builder.graph.nodes[name].output_types = (declared,)

    def _weights(self, connection: Any, shape: tuple[int, ...], factor: float) -> Value | None:
        kind = type(connection.connectivity).__name__
        source = connection.source()
        value = self._values[source.name]
        if type(source.neuron).__name__ == "LeakyIntegrate":
            self._refuse(connection, "a source that never spikes", "spikes")
            return None
        inputs, outputs = math.prod(self._shape(source)), math.prod(shape)
        found = self._found.connections.get(connection.name, {})
        if kind == "Dense":
            return self._dense(connection, value, found, (inputs, outputs), shape, factor)
        if kind in ("FixedProbability", "OneToOne"):
            return self._sparse(connection, value, found, (inputs, outputs), shape, factor)
        if kind == "Conv2D":
            return self._conv(connection, value, found, shape, factor)
        self._refuse(
            connection,
            f"connectivity {kind}",
            "Dense, FixedProbability with indices, OneToOne or Conv2D",
        )
        return None

    def _array(
        self, connection: Any, found: Mapping[str, Array], name: str, shape: tuple[int, ...]
    ) -> Any:
        """Weights or delays: an array of a shape, or (delays alone) a number."""
        variable = {"weight": "g", "delay": "d"}[name]
        value = found.get(variable, getattr(connection.connectivity, name))
        if isinstance(value, (int, float, np.number)):
            return float(value) if name == "delay" else np.full(shape, float(value))
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
            if value.size == math.prod(shape):
                return value.reshape(shape)
            self._refuse(connection, f"{value.size} values of '{name}'", f"{math.prod(shape)}")
        else:
            self._refuse(
                connection,
                f"{type(value).__name__} as '{name}'",
                "numbers",
                "Compile and load the network, or give a checkpoint.",
            )
        return np.zeros(shape) if name == "weight" else 0.0

    def _delay(self, connection: Any, found: Mapping[str, Array], shape: tuple[int, ...]) -> Any:
        """Steps beyond the one that the synapse takes: a whole number, or an array of them."""
        delay = np.floor(np.asarray(self._array(connection, found, "delay", shape)) + 0.5)
        if connection.max_delay_steps is not None:
            delay = np.clip(delay, 0, connection.max_delay_steps)
        if delay.ndim == 0:
            return int(delay)
        return delay.astype(np.int32)

    def _shaped(self, value: Value, name: str, shape: tuple[int, ...], delay: Any) -> Value:
        """The result of weights as its neurons take it, late by what all synapses have in common.

        The delay is on the way from the weights, so that types are known before it.
        """
        if len(shape) > 1:
            value = self._builder.snn.Reshape(value, shape=shape, name=self._name(f"{name}-shape"))
        return value.delayed(1 if np.ndim(delay) else delay + 1)

    def _flat(self, value: Value, name: str) -> Value:
        known = self._builder.types[value.name]
        if len(known.shape) == 1:
            return value
        flat: Value = self._builder.snn.Flatten(value, name=self._name(f"{name}-flat"))
        return flat

    def _dense(
        self,
        connection: Any,
        value: Value,
        found: Mapping[str, Array],
        size: tuple[int, int],
        shape: tuple[int, ...],
        factor: float,
    ) -> Value:
        weight = _scaled(self._array(connection, found, "weight", size), factor)
        delay = self._delay(connection, found, size)
        name = self._name(connection.name)
        if np.ndim(delay):
            made = self._builder.snn.DelayedDense(
                self._flat(value, name), weight=weight, delay_steps=delay, name=name
            )
        else:
            made = self._builder.snn.Dense(self._flat(value, name), weight=weight, name=name)
        return self._shaped(made, name, shape, delay)

    def _sparse(
        self,
        connection: Any,
        value: Value,
        found: Mapping[str, Array],
        size: tuple[int, int],
        shape: tuple[int, ...],
        factor: float,
    ) -> Value | None:
        kind = connection.connectivity
        pre = found.get("pre_ind", kind.pre_ind)
        post = found.get("post_ind", kind.post_ind)
        if pre is None and type(kind).__name__ == "OneToOne":
            pre = post = np.arange(size[0])
        if pre is None or post is None:
            self._refuse(
                connection,
                "synapses that are drawn when the network is compiled",
                "pre_ind and post_ind",
                "Load them from a checkpoint.",
            )
            return None
        pre, post = np.asarray(pre, np.int64), np.asarray(post, np.int64)
        weight = _scaled(self._array(connection, found, "weight", pre.shape), factor)
        delay = self._delay(connection, found, pre.shape)
        order = np.argsort(pre, kind="stable")
        starts = np.searchsorted(pre[order], np.arange(size[0] + 1)).astype(np.int32)
        name = self._name(connection.name)
        steps = delay[order] if np.ndim(delay) else None
        made = self._builder.snn.Sparse(
            self._flat(value, name),
            outputs=size[1],
            weight=weight[order],
            indices=post[order].astype(np.int32),
            row_starts=starts,
            delay_steps=steps,
            name=name,
        )
        return self._shaped(made, name, shape, delay)

    def _conv(
        self,
        connection: Any,
        value: Value,
        found: Mapping[str, Array],
        shape: tuple[int, ...],
        factor: float,
    ) -> Value | None:
        kind = connection.connectivity
        channels = self._shape(connection.source())[-1]
        weight = self._array(connection, found, "weight", (*kind.conv_size, channels, kind.filters))
        delay = self._delay(connection, found, weight.shape)
        if np.ndim(delay):
            self._refuse(connection, "delays that differ", "one")
            return None
        name = self._name(connection.name)
        made = self._builder.snn.Conv2D(
            value,
            weight=_scaled(weight, factor),
            strides=tuple(kind.conv_strides),
            padding=kind.conv_padding.value,
            name=name,
        )
        return (self._flat(made, name) if len(shape) == 1 else made).delayed(delay + 1)

    # Outputs -------------------------------------------------------------------------------------

    def _add_outputs(self) -> None:
        read = [
            each for each in self._populations if getattr(each.neuron, "readout", None) is not None
        ]
        for population in read:
            kind = type(population.neuron.readout).__name__
            if kind not in DECODERS:
                self._refuse(population, f"readout {kind}", ", ".join(DECODERS))
                continue
            if kind == "MaxVar":
                self._findings.append(
                    Diagnostic(
                        "mlgenn.readout",
                        f"population '{population.name}'",
                        "readout MaxVar, which begins at 0",
                        "potentials that exceed 0",
                    )
                )
            decoded = self._builder.add(
                f"snn.{DECODERS[kind]}",
                self._values[population.name],
                name=self._name(f"{population.name}-readout"),
            )
            self._builder.output(self._name(f"{population.name}-answer"), decoded)
        if not read:
            sending = {each.source().name for each in self._connections}
            ends = [each for each in self._populations if each.name not in sending]
            for population in ends:
                self._builder.output(
                    self._name(f"{population.name}-answer"), self._values[population.name]
                )


def _parameter(value: Any) -> Any:
    """A number as it is, or an array of float32."""
    array = np.asarray(value, np.float32)
    return float(array) if array.ndim == 0 else array


def _scaled(weight: Array, factor: float) -> Array:
    return np.asarray(weight if factor == 1 else weight * factor, np.float32)


def _countdown(time: float, dt: float) -> int:
    """Steps that GeNN needs to count a time down to 0 or less, in float32."""
    left, step, count = np.float32(time), np.float32(dt), 0
    while left > 0:
        left, count = np.float32(left - step), count + 1
    return count
