"""Lowering spiking neurons with a reset to 0 to CUBA neurons, one for one.

Nothing is approximated but by rounding: weights, biases and thresholds become multiples of one
unit, decays multiples of 1 / 4096 (:mod:`snnir.passes.quantise`). An exponential synapse becomes
the current of the neuron behind it, a leaky integrator a readout that cannot fire.

On the chip a spike takes a step through a synapse, so populations work with a lag
(:mod:`snnir.passes.lags`), and decoders start later by the lag of what they read. A
presentation is that much longer: spikes that are fed must be followed by as many empty steps.
A bias does not wait for the lag: where there is one, the neurons have integrated it a few times
before their input comes. That is an approximation (``"early-bias"``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.errors import CapabilityError, Diagnostic, raise_errors
from snnir.infer import infer
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.graph import Binding, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import producer, topological_order
from snnir.ops.loihi2.neurons import UNITY
from snnir.ops.loihi2.synapses import MAX_DELAY
from snnir.ops.registry import Resolver
from snnir.ops.schema import Flow
from snnir.passes.lags import Edge, describe_cycle, find_lags
from snnir.passes.loihi2.chain import symmetric
from snnir.passes.loihi2.synapses import chip_rows, dense_arguments, flattened, free_name
from snnir.passes.lowering import late_starts

Array = npt.NDArray[Any]

NEURONS: Final = frozenset({"IF", "LIF", "LeakyIntegrator"})
SYNAPSES: Final = frozenset({"Dense", "Conv2D", "DepthwiseConv2D", "DelayedDense"})
MOVES: Final = frozenset({"Flatten", "Reshape", "Permute"})
SPIKING: Final = frozenset({"RateEncoder", "PoissonEncoder", "LatencyEncoder", "Delay"})
"""Operators of the host whose output is spikes."""

REFUSED_PARAMETERS: Final = {
    "initial_potential": "Train with an initial potential of 0.",
    "reset_potential": "Shift all potentials so that the reset leads to 0.",
    "lower_bound": "Train without a lower bound.",
    "negative_threshold": "Train without negative spikes.",
    "gain": "Multiply the weights by the gain.",
}
"""Parameters that CUBA neurons do not have, and the way out; 0 (and a gain of 1) is allowed."""


@dataclass
class _Path:
    """How input reaches a neuron.

    Attributes:
        source: The value that spikes, of neurons or of the host.
        delay: Steps of delay on the way.
        moves: Nodes between the source and the synapse, in their order.
        synapse: The node with the weights.
    """

    source: str
    delay: int
    moves: list[Node]
    synapse: Node


@dataclass
class _Population:
    """Neurons to be.

    Attributes:
        node: The neurons of the original.
        i_decay: Decay of their current.
        paths: What reaches them.
    """

    node: Node
    i_decay: int
    paths: list[_Path]


def lower_spiking(
    model: Model, bits: int, approximate: Collection[str] = ()
) -> tuple[Model, dict[str, int]]:
    """The network of CUBA neurons.

    Args:
        model: A quantised model of domain ``snn``.
        bits: Bits of its weights.
        approximate: What may be approximated: ``"hard-reset"`` (subtraction becomes a reset to
            0), ``"early-bias"``.

    Returns:
        The network, and the lag of each population.

    Raises:
        CapabilityError: With every node that does not fit, and the way out.
    """
    return _Lowering(model, bits, approximate).run()


class _Lowering:
    def __init__(self, model: Model, bits: int, approximate: Collection[str]) -> None:
        self.model, self.bits, self.approximate = model, bits, approximate
        self.graph = model.graph
        self.types = infer(model)
        self.resolve = Resolver(model.opsets)
        self.findings: list[Diagnostic] = []
        self.order, _ = topological_order(model.graph)

    def run(self) -> tuple[Model, dict[str, int]]:
        populations = {
            node.name: self._population(node) for node in self.order if node.operator in NEURONS
        }
        if not populations:
            self._report(None, "no neurons", "Convert the network to spikes first.")
        on_chip = self._on_chip(populations)
        decoders = self._decoders(populations, on_chip)
        self.findings += late_starts(
            node for node in self.order if node.name in on_chip or node.name in decoders
        )
        edges = [
            Edge(producer(path.source), name, path.delay)
            for name, population in populations.items()
            for path in population.paths
        ]
        lags, cycles = find_lags(populations, edges)
        for cycle in cycles:
            found, allowed = describe_cycle(cycle)
            hint = "Give recurrent connections a delay of one step for each synapse."
            self._report(None, f"{found}; a chip needs {allowed}", hint)
        if not cycles:
            self._check_delays(populations, lags)
            self._check_biases(populations, lags)
        raise_errors(self.findings, CapabilityError)
        model = self._build(populations, lags, on_chip, decoders)
        raise_errors(check(model), CapabilityError)
        return model, lags

    def _report(self, node: Node | None, found: str, hint: str) -> None:
        where = "graph" if node is None else f"node '{node.name}' ({node.op})"
        self.findings.append(
            Diagnostic(
                "loihi2.unsupported",
                where,
                found,
                "IF, LIF and leaky integrators behind Dense or convolutions, reset to 0",
                hint,
                "" if node is None else node.source,
            )
        )

    # What is there -----------------------------------------------------------------------

    def _population(self, node: Node) -> _Population:
        if node.operator != "LeakyIntegrator":
            self._check_firing(node)
        for name, hint in REFUSED_PARAMETERS.items():
            tensor = node.parameters.get(name)
            neutral = 1 if name == "gain" else 0
            absent = name in ("lower_bound", "negative_threshold")
            if tensor is not None and (absent or np.any(tensor.values() != neutral)):
                self._report(node, f"a {name.replace('_', ' ')}", hint)
        decay = node.parameters.get("decay")
        i_decays: set[int] = set()
        paths: list[_Path] = []
        for binding in node.inputs:
            synapse = self.graph.nodes.get(producer(binding.source))
            if synapse is not None and synapse.operator == "ExponentialSynapse":
                i_decays.add(self._scalar_decay(synapse))
                paths += [
                    self._path(inner, binding.delay_steps + inner.delay_steps, node)
                    for inner in synapse.inputs
                ]
            else:
                i_decays.add(UNITY)
                paths.append(self._path(binding, binding.delay_steps, node))
        if len(i_decays) > 1:
            self._report(
                node,
                "synapses with different time courses",
                "Use one time constant for all that reaches a neuron.",
            )
        if decay is not None and decay.quantization is None:
            self._report(node, "a decay that is not quantised", "Quantise the model first.")
        return _Population(node, next(iter(i_decays), UNITY), [p for p in paths if p is not None])

    def _check_firing(self, node: Node) -> None:
        reset = node.attributes.get("reset", "subtract")
        if reset != "to_value" and not (reset == "subtract" and "hard-reset" in self.approximate):
            self._report(
                node,
                f"reset '{reset}'",
                "Train with reset 'to_value'; convert the original network, which becomes "
                "sigma-delta neurons; or allow the approximation 'hard-reset'.",
            )
        if node.attributes.get("refractory_steps", 0):
            self._report(node, "refractory steps", "Train without them.")
        if "threshold" not in node.parameters or node.parameters["threshold"].quantization is None:
            self._report(node, "a threshold that is not quantised", "Quantise the model first.")

    def _scalar_decay(self, synapse: Node) -> int:
        kept = synapse.parameters["decay"].numpy().reshape(-1)
        if synapse.parameters["decay"].quantization is None:
            self._report(synapse, "a decay that is not quantised", "Quantise the model first.")
            return UNITY
        if len(set(kept.tolist())) > 1:
            self._report(synapse, "a decay of each synapse", "Use one time constant.")
        return UNITY - int(kept[0])

    def _path(self, binding: Binding, delay: int, neuron: Node) -> _Path:
        node = self.graph.nodes.get(producer(binding.source))
        if node is None or node.operator not in SYNAPSES:
            found = "the graph's input" if node is None else f"'{node.name}' ({node.op})"
            self._report(
                neuron, f"input from {found}", "Put a Dense or a convolution between them."
            )
            return _Path(binding.source, delay, [], neuron)
        (edge,) = node.inputs
        delay += edge.delay_steps
        moves: list[Node] = []
        source = edge.source
        while (move := self.graph.nodes.get(producer(source))) is not None:
            if move.operator not in MOVES:
                break
            delay += move.inputs[0].delay_steps
            moves.insert(0, move)
            source = move.inputs[0].source
        if move is not None and move.operator not in NEURONS and not self._is_host(source):
            self._report(
                move,
                "it stands between neurons and weights",
                "Fold it into the weights, or give it neurons of its own.",
            )
        if move is not None and move.operator not in NEURONS and move.operator not in SPIKING:
            self._report(
                move,
                "it feeds numbers that are no spikes",
                "Encode the input in spikes, e.g. by RateEncoder.",
            )
        weight = node.parameters["weight"]
        if weight.quantization is None:
            self._report(node, "weights that are not quantised", "Quantise the model first.")
        elif weight.quantization.axis is not None:
            self._report(node, "a unit for each channel", "Quantise it with one unit a layer.")
        return _Path(source, delay, moves, node)

    def _is_host(self, value: str) -> bool:
        """Whether nothing of a population comes before a value."""
        pending, seen = [producer(value)], set()
        while pending:
            name = pending.pop()
            node = self.graph.nodes.get(name)
            if node is None or name in seen:
                continue
            if node.operator in NEURONS | SYNAPSES:
                return False
            seen.add(name)
            pending += [producer(binding.source) for binding in node.inputs]
        return True

    def _on_chip(self, populations: Mapping[str, _Population]) -> set[str]:
        """Nodes that become neurons, synapses, or moves between them."""
        found = set(populations)
        for population in populations.values():
            for path in population.paths:
                found.add(path.synapse.name)
                if producer(path.source) in populations:
                    found |= {move.name for move in path.moves}
            for binding in population.node.inputs:
                node = self.graph.nodes.get(producer(binding.source))
                if node is not None and node.operator == "ExponentialSynapse":
                    found.add(node.name)
        return found

    def _decoders(
        self, populations: Mapping[str, _Population], on_chip: set[str]
    ) -> dict[str, str]:
        """Decoders, and the population that each of them reads."""
        found: dict[str, str] = {}
        for node in self.order:
            if node.name in on_chip:
                continue
            sources = {producer(binding.source) for binding in node.inputs} & set(populations)
            if not sources:
                continue
            opdef = self.resolve(node.op)
            if opdef is None or opdef.flow is not Flow.DECODE or node.inputs[0].delay_steps:
                self._report(
                    node, "it reads neurons of the chip", "Read them with a decoder of domain snn."
                )
                continue
            found[node.name] = sources.pop()
        for output in self.graph.outputs:
            if producer(output.value) in populations:
                self._report(
                    self.graph.nodes[producer(output.value)],
                    f"output '{output.name}' is what neurons do in every step",
                    "Read them with a decoder; record the neurons to see every step.",
                )
        return found

    def _check_delays(self, populations: Mapping[str, _Population], lags: dict[str, int]) -> None:
        for name, population in populations.items():
            for path in population.paths:
                extra = self._extra(path, name, lags)
                own = path.synapse.parameters.get("delay_steps")
                if path.moves and producer(path.source) in populations:
                    self._check_moves(path)
                longest = extra + (0 if own is None else int(own.numpy().max(initial=0)))
                if longest > MAX_DELAY:
                    self._report(path.synapse, f"a delay of {longest} steps", "At most 62.")
                elif longest and path.synapse.operator not in ("Dense", "DelayedDense"):
                    self._report(
                        path.synapse,
                        f"a convolution with a delay of {longest} steps",
                        "Only full connections have delays.",
                    )

    def _check_moves(self, path: _Path) -> None:
        """Between neurons and weights of the chip there is only flattening, before a Dense."""
        shape = self.types[path.moves[-1].values()[0]].shape
        if path.synapse.operator not in ("Dense", "DelayedDense") or len(shape) != 1:
            self._report(
                path.moves[-1], "a change of layout on the chip", "Only flatten, before a Dense."
            )

    @staticmethod
    def _extra(path: _Path, target: str, lags: Mapping[str, int]) -> int:
        return path.delay + lags.get(target, 0) - lags.get(producer(path.source), 0) - 1

    def _check_biases(self, populations: Mapping[str, _Population], lags: dict[str, int]) -> None:
        if "early-bias" in self.approximate or "hard-reset" in self.approximate:
            return
        for name, population in populations.items():
            if lags.get(name) and np.any(self._bias(population)):
                self._report(
                    population.node,
                    f"a bias, which starts {lags[name]} steps before the input arrives",
                    "Train without biases, or allow the approximation 'early-bias'.",
                )

    # What it becomes ---------------------------------------------------------------------

    def _bias(self, population: _Population) -> Array:
        """Bias in units; that of the synapses included."""
        total: Array = np.zeros((), np.int64)
        own = population.node.parameters.get("bias")
        if own is not None:
            total = total + own.numpy().astype(np.int64)
        for path in population.paths:
            bias = path.synapse.parameters.get("bias")
            if bias is not None:
                total = total + bias.numpy().astype(np.int64)
        return total

    def _build(
        self,
        populations: Mapping[str, _Population],
        lags: Mapping[str, int],
        on_chip: set[str],
        decoders: Mapping[str, str],
    ) -> Model:
        last = max((lags[name] for name in decoders.values()), default=max(lags.values()))
        time = self.model.time
        builder = GraphBuilder(
            self.graph.name,
            dt=time.dt,
            steps=time.steps + last,
            metadata={**self.model.metadata, "snnir.loihi2.lag": str(last)},
        )
        known: dict[str, Value] = {}
        for entry in self.graph.inputs:
            builder.graph.inputs.append(entry)
            builder.types[entry.name] = entry.value_type
            known[entry.name] = Value(entry.name)
        later: list[tuple[_Path, str]] = []
        for node in self.order:
            if node.name in populations:
                self._add(builder, populations[node.name], known, lags, later)
            elif node.name in decoders:
                self._decode(builder, node, populations[decoders[node.name]], known, lags, last)
            elif node.name not in on_chip:
                known[node.values()[0]] = _copied(builder, node, known)
        for path, target in later:
            synapse = self._synapse(builder, path, target, known, lags)
            builder.connect(synapse, target, "a_in", delay_steps=0)
            # A declared type, because those of the nodes of a cycle follow from each other.
            node = builder.graph.nodes[producer(synapse.name)]
            node.output_types = (builder.types[synapse.name],)
        for output in self.graph.outputs:
            builder.output(output.name, known[output.value], labels=output.labels)
        return builder.build()

    def _add(
        self,
        builder: GraphBuilder,
        population: _Population,
        known: dict[str, Value],
        lags: Mapping[str, int],
        later: list[tuple[_Path, str]],
    ) -> None:
        node = population.node
        now = [path for path in population.paths if path.source in known]
        later += [(path, node.name) for path in population.paths if path.source not in known]
        arriving = [self._synapse(builder, path, node.name, known, lags) for path in now]
        bias = self._bias(population)
        arguments: dict[str, Any] = {
            "i_decay": np.int32(population.i_decay),
            "v_decay": _v_decay(node),
            "bias": bias.astype(np.int32) if np.any(bias) else None,
            "name": node.name,
            "source": node.source,
        }
        if node.operator == "LeakyIntegrator":
            known[node.values()[0]] = builder.loihi2.CubaLI(arriving, **arguments)
            return
        threshold = node.parameters["threshold"].numpy().astype(np.int64)
        whole = population.i_decay == UNITY and not np.any(arguments["v_decay"])
        if node.attributes.get("compare", ">=") == ">=" and whole:
            threshold = threshold - 1  # all potentials are whole units
        known[node.values()[0]] = builder.loihi2.CubaLIF(
            arriving, threshold=np.clip(threshold, 0, None).astype(np.int32), **arguments
        )

    def _synapse(
        self,
        builder: GraphBuilder,
        path: _Path,
        target: str,
        known: Mapping[str, Value],
        lags: Mapping[str, int],
    ) -> Value:
        node, value = path.synapse, known[path.source]
        weight = node.parameters["weight"].numpy()
        own = node.parameters.get("delay_steps")
        delay = np.asarray(0 if own is None else own.numpy().astype(np.int64))
        if builder.types[value.name].dtype.is_float:
            for move in path.moves:
                value = known[move.values()[0]]
            value = builder.loihi2.Quantize(value, name=free_name(builder, f"{node.name}.spikes"))
        elif path.moves:
            image = tuple(int(n) for n in builder.types[value.name].shape)
            if len(image) == 3:
                rows = chip_rows(path.moves, image)
                weight = weight[rows]
                delay = delay[rows] if delay.ndim else delay
            value = flattened(builder, value, node.name)
        if node.operator in ("Dense", "DelayedDense"):
            delay = delay + self._extra(path, target, lags)
            synapse: Value = builder.loihi2.Dense(
                value.delayed(1),
                **dense_arguments(weight, self.bits),
                delay=delay.astype(np.int32) if np.any(delay) else None,
                name=node.name,
                source=node.source,
            )
            return synapse
        shape = tuple(int(n) for n in builder.types[value.name].shape)
        plain = dataclasses.replace(
            node,
            parameters={"weight": Tensor.from_array(weight.astype(np.float32))},
        )
        even = symmetric(plain, shape)
        pads: Any = even.attributes["pads"]
        convolved: Value = builder.loihi2.Conv2D(
            value.delayed(1),
            weight=even.parameters["weight"].values().astype(np.int16),
            strides=even.attributes["strides"],
            dilations=even.attributes["dilations"],
            groups=even.attributes["groups"],
            pads=(pads[0], pads[2]),
            name=node.name,
            source=node.source,
        )
        return convolved

    def _decode(
        self,
        builder: GraphBuilder,
        node: Node,
        population: _Population,
        known: dict[str, Value],
        lags: Mapping[str, int],
        last: int,
    ) -> None:
        """The decoder, later by the lag, on numbers in the unit of the original."""
        neuron = population.node
        lag = lags[neuron.name]
        scale = 1.0
        if neuron.operator == "LeakyIntegrator":
            quantization = population.paths[0].synapse.parameters["weight"].quantization
            scale = (quantization.scale[0] if quantization else 1.0) / 64
        number = builder.loihi2.Dequantize(
            known[neuron.values()[0]], scale=scale, name=free_name(builder, f"{node.name}.number")
        )
        attributes = dict(node.attributes)
        start, stop = attributes.get("start", 0), attributes.get("stop")
        attributes["start"] = int(start) + lag  # type: ignore[arg-type]
        if stop is not None:
            attributes["stop"] = int(stop) + lag  # type: ignore[arg-type]
        elif lag < last:
            attributes["stop"] = self.model.time.steps + lag
        arguments: dict[str, Any] = {**attributes, **node.parameters}
        known[node.values()[0]] = builder.add(
            node.op, number, name=node.name, source=node.source, **arguments
        )


def _v_decay(node: Node) -> Array:
    """What the potential loses, in 1/4096."""
    tensor = node.parameters.get("decay")
    if tensor is None:
        return np.int32(0)  # type: ignore[return-value]
    found: Array = (UNITY - tensor.numpy().astype(np.int64)).astype(np.int32)
    return found


def _copied(builder: GraphBuilder, node: Node, known: Mapping[str, Value]) -> Value:
    ports: dict[str, list[Value]] = {}
    for binding in node.inputs:
        value = known[binding.source]
        if binding.delay_steps:
            value = value.delayed(binding.delay_steps)
        ports.setdefault(binding.port, []).append(value)
    added: Value = builder.add(
        node.op,
        name=node.name,
        source=node.source,
        **ports,
        **node.attributes,
        **node.parameters,
    )
    return added
