"""Whether mlGeNN can train a network: everything that does not fit, before anything is compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np

from snnir.errors import Diagnostic
from snnir.ir.model import Model
from snnir.training.settings import EPROP, EVENTPROP, TrainSettings
from snnir_converters.mlgenn._describe import describe, rest_findings
from snnir_converters.mlgenn._description import Connection, Description, Population

CPU: Final = "single_threaded_cpu"
_CLASSES: Final = 256
"""mlGeNN keeps a label in a byte."""

_POTENTIALS: Final = ("AvgVar", "SumVar", "AvgVarExpWeight", "MaxVar")


def spike_values(model: Model) -> dict[str, str]:
    """The value that spikes are needed of, for each graph input."""
    description, _ = describe(model)
    if description is None:
        return {entry.name: entry.name for entry in model.graph.inputs}
    return {
        host.input: model.graph.nodes[host.encoder].values()[0] if host.encoder else host.input
        for host in description.inputs.values()
    }


def prepare(model: Model, settings: TrainSettings) -> tuple[Description | None, list[Diagnostic]]:
    """The network as it will be trained, and all findings."""
    description, findings = describe(model, scaled=settings.method == EVENTPROP)
    if description is None:
        return None, findings
    checker = _Checker(model, description, settings, findings)
    checker.check()
    if any(finding.severity == "error" for finding in findings):
        return None, findings
    return _adapted(description, settings), findings


def _adapted(description: Description, settings: TrainSettings) -> Description:
    """What the learning rule asks for without changing what the network does.

    E-prop's update refers to the refractory time, so neurons without one get one that ends
    before the next step.
    """
    if settings.method != EPROP:
        return description
    populations = {
        name: dataclasses.replace(
            each,
            settings={
                **each.settings,
                "tau_refrac": description.dt,
                "integrate_during_refrac": True,
            },
        )
        if "tau_refrac" in each.settings and each.settings["tau_refrac"] is None
        else each
        for name, each in description.populations.items()
    }
    return dataclasses.replace(description, populations=populations)


class _Checker:
    def __init__(
        self,
        model: Model,
        description: Description,
        settings: TrainSettings,
        findings: list[Diagnostic],
    ) -> None:
        self._model = model
        self._description = description
        self._settings = settings
        self._findings = findings

    def check(self) -> None:
        """Add all findings."""
        description = self._description
        self._check_backend()
        self._check_outputs()
        waiting = [
            each.name
            for each in description.populations.values()
            if each.readout is None or not np.any(np.asarray(each.settings.get("v", 0.0)))
        ]
        self._findings += rest_findings(description, self._model, waiting)
        self._check_trainable()
        for population in description.populations.values():
            self._check_population(population)
        if self._settings.method == EVENTPROP:
            self._check_eventprop()
        else:
            self._check_eprop()

    def _refuse(self, node: str, found: str, allowed: str, hint: str = "") -> None:
        known = self._model.graph.nodes.get(node)
        where = f"node '{node}' ({known.op})" if known else node
        source = known.source if known else ""
        self._findings.append(Diagnostic("train.unsupported", where, found, allowed, hint, source))

    def _setting(self, name: str, found: str, allowed: str) -> None:
        self._findings.append(Diagnostic("train.setting", f"setting '{name}'", found, allowed))

    def _check_backend(self) -> None:
        settings = self._settings
        if settings.backend == CPU and settings.batch_size != 1:
            self._setting(
                "batch_size",
                f"{settings.batch_size} with backend '{CPU}'",
                "1: GeNN has batches on GPUs only",
            )
        if settings.backend == CPU and settings.communicator is not None:
            self._setting(
                "communicator",
                f"'{settings.communicator}' with backend '{CPU}'",
                "none: it connects GPUs",
            )

    def _check_outputs(self) -> None:
        read = [each for each in self._description.populations.values() if each.readout]
        if len(self._model.graph.outputs) != 1 or len(read) != 1:
            self._refuse(
                "graph outputs",
                f"{len(self._model.graph.outputs)} outputs, {len(read)} of them decoded",
                "one output, of a decoder",
            )
            return
        (population,) = read
        classes = self._settings.loss != "mean_square_error"
        if classes and population.size > _CLASSES:
            self._refuse(population.node, f"{population.size} classes", f"at most {_CLASSES}")

    def _check_trainable(self) -> None:
        connections = self._description.connections.values()
        trained = [each for each in connections if each.node]
        if not trained:
            self._findings.append(
                Diagnostic("train.nothing", "model", "no connection with weights", "at least one")
            )
        nodes = [each.node for each in trained]
        for node in sorted({node for node in nodes if nodes.count(node) > 1}):
            self._refuse(
                node,
                "weights that lead to several populations",
                "one population",
                "Give each population weights of its own.",
            )
        for each in connections:
            if not each.node:
                self._refuse(
                    each.target,
                    "spikes that arrive without weights",
                    "weights on every way, all of which are trained",
                )
            self._check_connection(each)
        reaching = set(self._description.outputs.values())
        for _ in connections:
            reaching |= {each.source for each in connections if each.target in reaching}
        for population in self._description.populations.values():
            if population.name not in reaching:
                self._refuse(population.node, "neurons that no output depends on", "none")

    def _check_connection(self, connection: Connection) -> None:
        node = connection.node or connection.target
        if connection.connectivity == "Conv2D":
            sizes, strides = connection.settings["conv_size"], connection.settings["conv_strides"]
            even = connection.settings["conv_padding"] == "same" and any(s % 2 == 0 for s in sizes)
            if self._settings.method == EPROP:
                self._refuse(node, "a convolution with e-prop", "dense or sparse weights")
            elif strides != (1, 1):
                self._refuse(node, f"strides {strides}", "(1, 1)")
            elif even:
                self._refuse(
                    node,
                    f"a kernel of {sizes} with padding 'same'",
                    "odd lengths",
                    "GeNN places kernels of even length elsewhere.",
                )
            elif connection.max_delay:
                self._refuse(node, "a convolution with delays", "none")

    def _check_population(self, population: Population) -> None:
        for name in ("tau_mem", "v_thresh", "tau_adapt", "beta"):
            if isinstance(population.settings.get(name), np.ndarray):
                self._refuse(population.node, f"values of '{name}' that differ", "one for all")

    # EventProp -----------------------------------------------------------------------------------

    def _check_eventprop(self) -> None:
        settings, description = self._settings, self._description
        for population in description.populations.values():
            self._check_eventprop_neurons(population)
        for each in description.connections.values():
            if each.tau is None and each.node:
                self._refuse(
                    each.target,
                    f"weights of '{each.node}' without a synapse",
                    "an ExponentialSynapse behind all weights",
                )
        for name in description.populations:
            taus = {each.tau for each in description.incoming(name) if each.tau is not None}
            node = description.populations[name].node
            if len(taus) > 1:
                self._refuse(
                    node,
                    "synapses with time constants " + ", ".join(f"{tau:g}" for tau in sorted(taus)),
                    "one time constant",
                )
            tau = description.populations[name].settings.get("tau_mem")
            if isinstance(tau, float) and (tau in taus or np.isinf(tau)):
                self._refuse(
                    node,
                    f"a time constant of {tau:g} ms",
                    "one that differs from the synapse's, and is finite",
                )
        if (
            settings.per_timestep_loss
            and settings.loss != "mean_square_error"
            and any(
                each.readout not in (None, "AvgVar", "SumVar")
                for each in description.populations.values()
            )
        ):
            self._setting(
                "per_timestep_loss", "with this decoder", "it with MeanPotential or SumPotential"
            )
        self._check_strengths()
        self._check_learned_delays()

    def _check_eventprop_neurons(self, population: Population) -> None:
        node, readout = population.node, population.readout
        if population.neuron == "SpikeInput":
            return
        if readout is None:
            if population.neuron not in ("LeakyIntegrateFire", "LeakyIntegrateFireInput"):
                self._refuse(node, "hidden neurons that EventProp does not know", "LIF")
            return
        loss = self._settings.loss
        if loss == "mean_square_error":
            if population.neuron != "LeakyIntegrate" or readout != "Var":
                self._refuse(
                    node,
                    "a mean square error of this readout",
                    "FinalPotential of a LeakyIntegrator",
                )
        elif population.neuron == "LeakyIntegrate":
            if readout not in _POTENTIALS:
                self._refuse(
                    node,
                    "a cross-entropy of this decoder",
                    "MeanPotential, SumPotential, ExponentialPotential or MaxPotential",
                )
        elif readout != "FirstSpikeTime":
            self._refuse(
                node, "a cross-entropy of spike counts", "FirstSpikeTime, or a LeakyIntegrator"
            )

    def _check_strengths(self) -> None:
        hidden = [
            each.node
            for each in self._description.populations.values()
            if each.readout is None and not each.is_input
        ]
        for name in ("reg_lambda_upper", "reg_lambda_lower"):
            given = getattr(self._settings, name)
            if isinstance(given, Mapping):
                for node in sorted(set(given) - set(hidden)):
                    self._setting(name, f"node '{node}'", ", ".join(hidden) or "no hidden neurons")

    def _check_learned_delays(self) -> None:
        settings = self._settings
        by_node = {each.node: each for each in self._description.connections.values()}
        learnable = [
            name
            for name in by_node
            if name and self._model.graph.nodes[name].operator == "DelayedDense"
        ]
        if settings.learn_delays and settings.max_delay_steps is None:
            self._setting("max_delay_steps", "none", "the longest delay that can be learned")
        if not settings.learn_delays and settings.max_delay_steps is not None:
            self._setting("max_delay_steps", "no node with delays to learn", "with learn_delays")
        for name in settings.learn_delays:
            if name not in learnable:
                self._setting(
                    "learn_delays",
                    f"'{name}'",
                    ", ".join(learnable) or "nodes of operator DelayedDense",
                )
            elif by_node[name].lead < 0:
                self._refuse(
                    name,
                    "learned delays on a way that others are longer than",
                    "ways of one length",
                )
            elif by_node[name].max_delay > (settings.max_delay_steps or by_node[name].max_delay):
                self._setting(
                    "max_delay_steps",
                    f"{settings.max_delay_steps}",
                    f"at least {by_node[name].max_delay}, as '{name}' has",
                )

    # E-prop --------------------------------------------------------------------------------------

    def _check_eprop(self) -> None:
        description = self._description
        hidden = [
            each
            for each in description.populations.values()
            if each.readout is None and not each.is_input
        ]
        for each in description.connections.values():
            if each.tau is not None:
                self._refuse(
                    each.target,
                    f"an ExponentialSynapse behind '{each.node}'",
                    "weights without a synapse",
                    "Use method 'eventprop'.",
                )
            if each.max_delay:
                self._refuse(
                    each.node,
                    f"delays of up to {each.max_delay} steps beyond the one "
                    "that GeNN's synapse takes",
                    "none",
                )
        for population in hidden:
            if population.neuron not in ("LeakyIntegrateFire", "AdaptiveLeakyIntegrateFire"):
                self._refuse(
                    population.node, "hidden neurons that e-prop does not know", "LIF or ALIF"
                )
            targets = {each.target for each in description.outgoing(population.name)}
            if not any(description.populations[name].readout for name in targets):
                self._refuse(
                    population.node,
                    "neurons that do not reach an output directly",
                    "weights from them to the output",
                )
        for name in ("tau_mem", "tau_adapt"):
            given = [each.settings.get(name) for each in hidden]
            values = {value for value in given if isinstance(value, float)}
            if len(values) > 1:
                self._refuse(
                    "hidden neurons",
                    f"{name} of " + ", ".join(f"{value:g}" for value in sorted(values)),
                    "one for all",
                )
        for population in description.populations.values():
            if population.readout is None:
                continue
            if population.neuron != "LeakyIntegrate":
                self._refuse(population.node, "a readout of spiking neurons", "a LeakyIntegrator")
            elif population.readout not in ("AvgVar", "SumVar", "Var"):
                self._refuse(
                    population.node,
                    "a decoder that e-prop does not know",
                    "MeanPotential, SumPotential or FinalPotential",
                )
