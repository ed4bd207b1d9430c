"""From a spiking network to populations and connections of mlGeNN, with all that does not fit."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.errors import Diagnostic
from snnir.infer import Types, infer
from snnir.ir.graph import Binding, Graph, GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.passes.lags import Edge, describe_cycle, find_lags
from snnir_converters.mlgenn._description import (
    READOUTS,
    Connection,
    Description,
    Host,
    Population,
    Setting,
    input_gain,
    refractory_time,
    time_constant,
)

Array = npt.NDArray[Any]

SPIKING: Final = ("IF", "LIF", "ALIF")
NEURONS: Final = (*SPIKING, "LeakyIntegrator")
ENCODERS: Final = ("PoissonEncoder", "LatencyEncoder", "RateEncoder")
"""Encoders whose spikes the host makes: mlGeNN's own draw other numbers."""
WEIGHTS: Final = ("Dense", "DelayedDense", "Sparse", "Conv2D")
LAYOUT: Final = ("Flatten", "Reshape")

_SNAP: Final = 1e-6
"""Relative difference from 1 below which a factor on weights is only rounding."""


@dataclass(frozen=True)
class _Path:
    """A way from spikes to a neuron.

    Attributes:
        source: Name of the input or node that sends them.
        weight: Node with the weights; None if they arrive as they are.
        synapse: Exponential synapse; None for a delta synapse.
        delay: Steps of all edges and delays on the way; one for each element of the source if
            not one number.
    """

    source: str
    weight: Node | None
    synapse: Node | None
    delay: int | Array


def describe(model: Model, *, scaled: bool = False) -> tuple[Description | None, list[Diagnostic]]:
    """The network in mlGeNN's terms.

    Args:
        model: A valid model of domain ``snn``.
        scaled: Whether exponential synapses and what they lead to must scale their input, as
            EventProp assumes; otherwise whichever leaves weights as they are.

    Returns:
        The network, or None if something is wrong; and all findings.
    """
    errors = [finding for finding in check(model) if finding.severity == "error"]
    if errors:
        return None, errors
    describer = _Describer(model, scaled)
    description = describer.describe()
    return description, list(dict.fromkeys(describer.findings))


def rest_findings(
    description: Description, model: Model, spared: Iterable[str] = ()
) -> list[Diagnostic]:
    """Populations that would leave their initial state while they wait for their first input.

    Args:
        description: The network.
        model: What it was made of.
        spared: Names of populations that wait without moving.
    """
    late = [
        each
        for each in description.populations.values()
        if each.lag and not each.starts_at_rest and each.name not in set(spared)
    ]
    return [
        Diagnostic(
            "mlgenn.late",
            f"node '{each.node}' ({model.graph.nodes[each.node].op})",
            f"a bias or initial potential, {each.lag} steps before its first input arrives",
            "neurons that start at rest and stay there",
            source=model.graph.nodes[each.node].source,
        )
        for each in late
    ]


class _Describer:
    def __init__(self, model: Model, scaled: bool) -> None:
        self.findings: list[Diagnostic] = []
        self._model = model
        self._graph: Graph = model.graph
        self._scaled = scaled
        self._types: Types = infer(model)
        self._dt = model.time.dt * 1e3
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self._scalings: dict[str, tuple[bool, bool]] = {}
        self._unshaped = False

    def describe(self) -> Description | None:
        """The network, or None if something is wrong."""
        for node in self._graph.nodes.values():
            start = node.attributes.get("start_step", 0)
            if start:
                self._refuse(node, f"start_step {start}", "0")
        neurons = [n for n in self._graph.nodes.values() if self._is(n, NEURONS)]
        paths = {node.name: self._paths_into(node) for node in neurons}
        readouts, outputs = self._outputs()
        sources = self._sources(paths)
        populations = {
            name: Population(self._name(name), "SpikeInput", self._shape(name), node=name)
            for name in sources
        }
        for node in neurons:
            population = self._population(node, paths[node.name], readouts.get(node.name))
            populations[node.name] = population
        if self._unshaped:
            return None
        self._shape_sources(populations, paths)
        lags = self._lags(populations, paths, outputs.values())
        if lags is None:
            return None
        connections = [
            self._connection(path, node, populations, lags)
            for node in neurons
            for path in paths[node.name]
            if not populations[node.name].is_input
        ]
        if any(f.severity == "error" for f in self.findings):
            return None
        ordered = sorted(populations, key=lambda name: lags[name])
        latency = max((lags[name] for name in outputs.values()), default=max(lags.values()))
        if latency and any(p.readout == "AvgVarExpWeight" for p in populations.values()):
            self._add(
                "mlgenn.readout",
                "graph outputs",
                f"a decoder 'ExponentialPotential' that begins {latency} steps late",
                "weights with the time constant of the presentation, which is longer here",
            )
        by_name = {
            populations[name].name: dataclasses.replace(populations[name], lag=lags[name])
            for name in ordered
        }
        inputs = {
            populations[name].name: self._host(name)
            for name in populations
            if populations[name].is_input
        }
        return Description(
            self._graph.name,
            self._dt,
            self._model.time.steps,
            latency,
            by_name,
            {each.name: each for each in connections if each is not None},
            inputs,
            {output: populations[name].name for output, name in outputs.items()},
        )

    # Findings and names --------------------------------------------------------------------------

    def _add(
        self, code: str, where: str, found: str, allowed: str, hint: str = "", source: str = ""
    ) -> None:
        self.findings.append(Diagnostic(code, where, found, allowed, hint, source))

    def _refuse(self, node: Node, found: str, allowed: str, hint: str = "") -> None:
        where = f"node '{node.name}' ({node.op})"
        self._add("mlgenn.unsupported", where, found, allowed, hint, node.source)

    def _name(self, name: str) -> str:
        """A name that GeNN allows: its own for each name of the graph."""
        if name not in self._names:
            self._names[name] = self._free(name)
        return self._names[name]

    def _free(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        for candidate in itertools.chain([plain], (f"{plain}_{i}" for i in itertools.count(2))):
            if candidate not in self._taken:
                self._taken.add(candidate)
                return candidate
        raise AssertionError  # the candidates do not end

    @staticmethod
    def _is(node: Node | None, operators: Sequence[str]) -> bool:
        """Whether a node is one of some operators; those of layout belong to two domains."""
        if node is None or node.operator not in operators:
            return False
        return node.domain == "snn" or (node.domain == "ann" and node.operator in LAYOUT)

    def _shape(self, name: str) -> tuple[int, ...]:
        """Shape of the value that a graph input or a node with one output gives."""
        node = self._graph.nodes.get(name)
        value = name if node is None else node.values()[0]
        shape = self._types[value].shape
        if not all(isinstance(size, int) for size in shape):
            text = ", ".join(map(str, shape))
            self._unshaped = True
            self._add("mlgenn.unsupported", f"value '{value}'", f"[{text}]", "known lengths")
            return ()
        return tuple(int(size) for size in shape)

    # From spikes to neurons ----------------------------------------------------------------------

    def _paths_into(self, node: Node) -> list[_Path]:
        found: list[_Path] = []
        for binding in node.inputs:
            found += self._trace(binding, None, None, 0, node)
        return found

    def _trace(
        self,
        binding: Binding,
        weight: Node | None,
        synapse: Node | None,
        delay: int | Array,
        reader: Node,
    ) -> list[_Path]:
        delay = delay + binding.delay_steps
        name = producer(binding.source)
        entry = self._graph.input(name)
        if entry is not None:
            return self._from_input(entry, weight, synapse, delay)
        node = self._graph.nodes[name]
        if self._is(node, (*SPIKING, *ENCODERS)):
            return [_Path(name, weight, synapse, delay)]
        if self._is(node, ("ConstantCurrent",)):
            if weight is None and synapse is None and self._is(reader, ("IF", "LIF")):
                return [_Path(name, None, None, delay)]
            self._refuse(
                node,
                "a current that meets weights",
                "one straight into IF or LIF",
                "Use an encoder that makes spikes.",
            )
            return []
        if self._is(node, ("ExponentialSynapse",)):
            if synapse is not None or weight is not None:
                self._refuse(
                    node,
                    "a current that meets weights or a synapse",
                    "one synapse, behind the weights",
                )
                return []
            synapse = node
        elif self._is(node, WEIGHTS):
            if weight is not None:
                self._refuse(
                    node,
                    f"weights that lead to those of '{weight.name}'",
                    "a neuron between them",
                    "Multiply the two into one.",
                )
                return []
            weight = node
        elif self._is(node, ("Delay",)):
            steps = node.parameters["delay_steps"].numpy().astype(np.int64)
            if steps.size == 1:
                delay = delay + int(steps.reshape(-1)[0])
            elif self._is(weight, ("Dense",)):
                shape = tuple(int(n) for n in self._types[node.values()[0]].shape)
                delay = delay + np.broadcast_to(steps, shape).reshape(-1)
            else:
                self._refuse(node, "delays that differ, not before operator Dense", "one delay")
                return []
        elif not self._is(node, LAYOUT):
            self._refuse(
                node,
                f"operator {node.op} before a neuron",
                ", ".join((*WEIGHTS, "ExponentialSynapse", "Delay", *LAYOUT)),
            )
            return []
        found: list[_Path] = []
        for each in node.inputs:
            found += self._trace(each, weight, synapse, delay, reader)
        return found

    def _from_input(
        self, entry: GraphInput, weight: Node | None, synapse: Node | None, delay: int | Array
    ) -> list[_Path]:
        where = f"input '{entry.name}'"
        if not entry.type.is_per_step:
            self._add("mlgenn.unsupported", where, "a static value", "spikes, or an encoder")
        if entry.scale is not None or entry.offset is not None:
            self._add("mlgenn.unsupported", where, "scale or offset", "spikes as they are")
        return [_Path(entry.name, weight, synapse, delay)]

    def _sources(self, paths: dict[str, list[_Path]]) -> list[str]:
        """Graph inputs and encoders that feed spikes, in the order of the graph."""
        used = {path.source for each in paths.values() for path in each}
        names = [entry.name for entry in self._graph.inputs]
        names += [n.name for n in self._graph.nodes.values() if self._is(n, ENCODERS)]
        return [name for name in names if name in used]

    def _host(self, name: str) -> Host:
        node = self._graph.nodes.get(name)
        if node is None:
            return Host(name)
        if self._is(node, ENCODERS):
            return Host(self._static_input(node), name)
        (binding,) = node.inputs
        return Host(self._static_input(self._graph.nodes[producer(binding.source)]))

    def _static_input(self, node: Node) -> str:
        """The one graph input that an encoder's value is computed of."""
        name = producer(node.inputs[0].source)
        while self._graph.input(name) is None:
            name = producer(self._graph.nodes[name].inputs[0].source)
        return name

    # Outputs -------------------------------------------------------------------------------------

    def _outputs(self) -> tuple[dict[str, str], dict[str, str]]:
        """Readout of each neuron that has one, and the neuron of each graph output."""
        readouts: dict[str, str] = {}
        outputs: dict[str, str] = {}
        for output in self._graph.outputs:
            node = self._graph.nodes.get(producer(output.value))
            decoder = node if node is not None and node.operator in READOUTS else None
            if decoder is not None:
                node = self._graph.nodes.get(producer(decoder.inputs[0].source))
            while self._is(node, LAYOUT) and node is not None:
                node = self._graph.nodes.get(producer(node.inputs[0].source))
            if node is None or not self._is(node, NEURONS):
                found = "an input" if node is None else f"operator {node.op}"
                self._add(
                    "mlgenn.unsupported",
                    f"output '{output.name}'",
                    found,
                    "neurons, or a decoder of them",
                )
                continue
            outputs[output.name] = node.name
            if decoder is None:
                continue
            if readouts.get(node.name, decoder.operator) != decoder.operator:
                self._refuse(decoder, f"a second decoder of '{node.name}'", "one")
            readouts[node.name] = decoder.operator
            self._check_decoder(decoder, node)
        return readouts, outputs

    def _check_decoder(self, decoder: Node, node: Node) -> None:
        if decoder.attributes.get("start", 0) or decoder.attributes.get("stop") is not None:
            self._refuse(decoder, "a window", "the whole presentation")
        if decoder.parameters.get("time_constant") is not None:
            self._refuse(decoder, "a time constant", "none: the length of the presentation")
        spikes = decoder.operator in ("SpikeCount", "FirstSpikeTime")
        if spikes != self._is(node, SPIKING):
            self._refuse(
                decoder,
                f"behind {node.op}",
                "SpikeCount or FirstSpikeTime of spikes, others of a LeakyIntegrator",
            )
        if decoder.operator == "MaxPotential":
            self._add(
                "mlgenn.readout",
                f"node '{decoder.name}' ({decoder.op})",
                "a maximum",
                "potentials that exceed 0: the maximum of mlGeNN begins there",
            )

    # Neurons -------------------------------------------------------------------------------------

    def _values(self, node: Node, name: str, default: float) -> float | Array:
        """A parameter: one number, or one for each neuron."""
        tensor = node.parameters.get(name)
        if tensor is None:
            return default
        values = tensor.values()
        if values.size and np.all(values == values.flat[0]):
            return float(values.reshape(-1)[0])
        return np.broadcast_to(values, self._shape(node.name)).reshape(-1).copy()

    @staticmethod
    def _whole(node: Node, name: str) -> int:
        """An attribute that is a whole number, 0 if it is absent."""
        value = node.attributes.get(name, 0)
        return value if isinstance(value, int) else 0

    def _tau(self, node: Node, name: str, default: float) -> float | Array:
        decay = self._values(node, name, default)
        if np.any(np.asarray(decay) <= 0):
            self._refuse(node, f"a parameter '{name}' of 0", "above 0, as exp(-dt / tau) is")
            return 1.0
        if isinstance(decay, float):
            return time_constant(decay, self._dt)
        return np.array([time_constant(float(each), self._dt) for each in decay])

    def _population(self, node: Node, paths: list[_Path], decoder: str | None) -> Population:
        shape = self._shape(node.name)
        initial = self._values(node, "initial_potential", 0.0)
        bias = self._values(node, "bias", 0.0)
        self._scaling(node, paths)
        if node.operator == "LeakyIntegrator":
            neuron, settings = "LeakyIntegrate", self._integrator(node, paths, initial, bias)
        else:
            neuron, settings = self._spiking(node, paths, initial)
            if np.any(bias):
                self._refuse(node, "a bias", "0", "Add an input that spikes in every step.")
        currents = [
            path
            for path in paths
            if self._is(self._graph.nodes.get(path.source), ("ConstantCurrent",))
        ]
        if currents:
            if len(paths) > 1 or np.any(np.asarray(currents[0].delay)):
                self._refuse(
                    node, "a current that is delayed or comes with spikes", "one that comes alone"
                )
            if neuron not in ("IntegrateFire", "LeakyIntegrateFire") or decoder:
                self._refuse(node, f"{neuron} as input or output at once", "hidden IF or LIF")
            neuron += "Input"
        at_rest = not (np.any(initial) or np.any(bias))
        return Population(
            self._name(node.name),
            neuron,
            shape,
            settings,
            READOUTS[decoder] if decoder else None,
            node.name,
            0,
            at_rest,
        )

    def _integrator(
        self, node: Node, paths: list[_Path], initial: float | Array, bias: float | Array
    ) -> dict[str, Setting]:
        return {
            "v": initial,
            "bias": bias,
            "tau_mem": self._tau(node, "decay", 1.0),
            "scale_i": self._scaling(node, paths)[0],
        }

    def _spiking(
        self, node: Node, paths: list[_Path], initial: float | Array
    ) -> tuple[str, dict[str, Setting]]:
        attribute = node.attributes.get
        reset = attribute("reset", "subtract")
        if attribute("compare", ">=") != ">=":
            self._refuse(node, "compare '>'", "'>='", "Raise the threshold to the next number.")
        if reset == "none":
            self._refuse(node, "no reset", "'subtract' or 'to_value'")
        for name in ("lower_bound", "negative_threshold"):
            if name in node.parameters:
                self._refuse(node, f"parameter '{name}'", "none")
        settings: dict[str, Setting] = {
            "v_thresh": self._values(node, "threshold", 1.0),
            "v_reset": self._values(node, "reset_potential", 0.0),
            "v": initial,
        }
        refractory = self._whole(node, "refractory_steps")
        if node.operator == "IF" and reset == "to_value" and not refractory:
            return "IntegrateFire", settings
        hold = attribute("refractory_mode", "hold") == "hold"
        if refractory and hold and reset == "subtract":
            self._refuse(
                node,
                "a refractory time in which the potential is held, with reset 'subtract'",
                "reset 'to_value', or refractory_mode 'integrate'",
                "In mlGeNN such a neuron may spike a step earlier.",
            )
        wait = refractory if hold else refractory + bool(refractory)
        settings |= {
            "tau_mem": self._tau(node, "decay", 1.0),
            "tau_refrac": refractory_time(wait, self._dt) if refractory else None,
            "relative_reset": reset == "subtract",
            "integrate_during_refrac": bool(refractory) and not hold,
        }
        if node.operator == "ALIF":
            strength = self._values(node, "adaptation_strength", 0.0)
            tau = self._tau(node, "adaptation_decay", 1.0)
            return "AdaptiveLeakyIntegrateFire", {
                **settings,
                "a": 0.0,
                "beta": strength,
                "tau_adapt": tau,
            }
        return "LeakyIntegrateFire", {**settings, "scale_i": self._scaling(node, paths)[0]}

    # Gains ---------------------------------------------------------------------------------------

    def _gain(self, node: Node) -> float | Array:
        return self._values(node, "gain", 1.0)

    def _scaling(self, node: Node, paths: list[_Path]) -> tuple[bool, bool]:
        """``scale_i`` of a population and of its synapses: what leaves weights as they are."""
        if node.name not in self._scalings:
            self._scalings[node.name] = self._choose_scaling(node, paths)
        return self._scalings[node.name]

    def _choose_scaling(self, node: Node, paths: list[_Path]) -> tuple[bool, bool]:
        exponential = any(path.synapse is not None for path in paths)
        leaky = self._is(node, ("LIF", "LeakyIntegrator"))
        preferred = (exponential and leaky, exponential)
        others = [
            (neuron, synapse)
            for neuron in ((True, False) if leaky else (False,))
            for synapse in ((True, False) if exponential else (False,))
        ]
        for neuron, synapse in (preferred, *(() if self._scaled else others)):
            if all(np.all(self._factor(node, path, neuron, synapse) == 1) for path in paths):
                return neuron, synapse
        return preferred

    def _factor(self, node: Node, path: _Path, neuron: bool, synapse: bool) -> float | Array:
        """What a path's weights have to be multiplied by."""
        gain = np.asarray(self._gain(node), np.float64)
        if neuron:
            decay = np.asarray(self._values(node, "decay", 1.0), np.float64)
            if np.any(decay >= 1):
                return np.inf
            gain = gain / (1 - decay)
        if path.synapse is not None:
            gain = gain / input_gain(self._synapse_tau(path.synapse), self._dt, synapse)
        if np.all(np.abs(gain - 1) < _SNAP):
            return 1.0
        return float(gain) if gain.ndim == 0 else gain

    def _synapse_tau(self, synapse: Node) -> float:
        decay = self._values(synapse, "decay", 1.0)
        if not isinstance(decay, float):
            self._refuse(synapse, "decays that differ", "one for all")
            return 1.0
        if not 0 < decay < 1:
            self._refuse(synapse, f"a decay of {decay:g}", "between 0 and 1")
            return 1.0
        return time_constant(decay, self._dt)

    # Connections ---------------------------------------------------------------------------------

    def _shape_sources(
        self, populations: dict[str, Population], paths: dict[str, list[_Path]]
    ) -> None:
        """Give populations that convolutions read the shape that those expect."""
        shaped: set[str] = set()
        for path in (path for each in paths.values() for path in each):
            if not self._is(path.weight, ("Conv2D",)) or path.weight is None:
                continue
            shape = tuple(int(n) for n in self._types[path.weight.inputs[0].source].shape)
            source = populations[path.source]
            if path.source in shaped and source.shape != shape:
                self._refuse(path.weight, "spikes that others see in another shape", "one shape")
            shaped.add(path.source)
            populations[path.source] = dataclasses.replace(source, shape=shape)

    def _lags(
        self,
        populations: dict[str, Population],
        paths: dict[str, list[_Path]],
        read: Iterable[str],
    ) -> dict[str, int] | None:
        edges = [
            Edge(path.source, name, int(np.min(self._delays(path))))
            for name, each in paths.items()
            if not populations[name].is_input
            for path in each
        ]
        together = set(read)
        lags, cycles = find_lags(populations, edges, [together] if together else [])
        for cycle in cycles:
            node = self._graph.nodes[cycle[0].target]
            where = f"node '{node.name}' ({node.op})"
            self._add("mlgenn.cycle", where, *describe_cycle(cycle), source=node.source)
        return None if cycles else lags

    def _delays(self, path: _Path) -> Array:
        delay = np.asarray(path.delay)
        own = None if path.weight is None else path.weight.parameters.get("delay_steps")
        return delay if own is None else delay + own.numpy().astype(np.int64)

    def _connection(
        self,
        path: _Path,
        node: Node,
        populations: dict[str, Population],
        lags: dict[str, int],
    ) -> Connection | None:
        source, target = populations[path.source], populations[node.name]
        scales, synapse_scales = self._scalings.get(node.name, (False, False))
        synapse_scales = synapse_scales and path.synapse is not None
        factor = self._factor(node, path, scales, synapse_scales)
        if not np.all(np.isfinite(factor)) or not np.all(factor):
            self._refuse(node, "a gain of 0, or one without leak", "a gain above 0")
            return None
        lead = 1 - lags[node.name] + lags[path.source]
        delays = self._delays(path) - lead
        elsewhere = int(np.max(path.delay))
        built = self._weights(path, node, source, target, delays, factor)
        if built is None:
            return None
        connectivity, settings, weight, delay = built
        return Connection(
            self._free(
                f"{source.name}_{target.name}"
                if path.weight is None
                else f"{path.weight.name}_{source.name}_{target.name}"
            ),
            source.name,
            target.name,
            connectivity,
            settings,
            weight.astype(np.float32),
            int(delay) if delay.ndim == 0 else delay,
            None if path.synapse is None else self._synapse_tau(path.synapse),
            synapse_scales,
            "" if path.weight is None else path.weight.name,
            float(factor) if np.ndim(factor) == 0 else factor,  # type: ignore[arg-type]
            lead - elsewhere,
        )

    def _weights(
        self,
        path: _Path,
        node: Node,
        source: Population,
        target: Population,
        delays: Array,
        factor: float | Array,
    ) -> tuple[str, dict[str, Any], Array, Array] | None:
        """Connectivity, its settings, weights and delays."""
        weight = path.weight
        if weight is None:
            if source.size != target.size or delays.ndim:
                self._refuse(node, "spikes of another number of neurons", "weights before them")
                return None
            return "OneToOne", {}, np.broadcast_to(np.float64(1) * factor, target.size), delays
        if np.any(self._values_of(weight, "bias")):
            self._refuse(weight, "a bias", "0", "Move it to the neuron, if that is an integrator.")
            return None
        values = weight.parameters["weight"].values().astype(np.float64)
        if weight.operator in ("Dense", "DelayedDense"):
            if len(self._types[weight.inputs[0].source].shape) != 1:
                self._refuse(weight, "more than one axis", "[in]", "Put a Flatten before it.")
                return None
            if delays.ndim == 1:
                delays = np.repeat(delays[:, None], values.shape[1], axis=1)
            if delays.ndim and np.all(delays == delays.flat[0]):
                delays = delays.reshape(-1)[0]
            return "Dense", {}, values * factor, delays
        if weight.operator == "Sparse":
            starts = weight.parameters["row_starts"].numpy().astype(np.int64)
            post = weight.parameters["indices"].numpy().astype(np.int64)
            pre = np.repeat(np.arange(starts.size - 1), np.diff(starts))
            scale = factor if np.ndim(factor) == 0 else np.asarray(factor)[post]
            return "FixedProbability", {"pre_ind": pre, "post_ind": post}, values * scale, delays
        return self._convolution(weight, target, values, delays, factor)

    def _values_of(self, node: Node, name: str) -> Array:
        tensor = node.parameters.get(name)
        return np.zeros(1) if tensor is None else tensor.values()

    def _convolution(
        self, node: Node, target: Population, values: Array, delays: Array, factor: float | Array
    ) -> tuple[str, dict[str, Any], Array, Array] | None:
        attribute = node.attributes.get
        padding = attribute("padding", "valid")
        if padding not in ("valid", "same"):
            self._refuse(node, f"padding '{padding}'", "'valid' or 'same'")
        if attribute("groups", 1) != 1:
            self._refuse(node, "groups", "1")
        if tuple(attribute("dilations", (1, 1))) != (1, 1):  # type: ignore[arg-type]
            self._refuse(node, "dilation", "1")
        if np.ndim(factor):
            self._refuse(node, "neurons whose gains differ", "one gain")
            return None
        settings = {
            "filters": values.shape[3],
            "conv_size": (values.shape[0], values.shape[1]),
            "conv_strides": tuple(attribute("strides", (1, 1))),  # type: ignore[arg-type]
            "conv_padding": padding,
            "flatten": len(target.shape) == 1,
        }
        if len(target.shape) == 3 and target.shape != self._shape(node.name):
            self._refuse(node, "neurons of another shape", "the shape of the result, or flat")
        return "Conv2D", settings, values * factor, delays
