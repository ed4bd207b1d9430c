"""A network as mlGeNN has it: populations and connections, every setting written out.

Nothing here needs mlGeNN. Classes and arguments are named as mlGeNN names them, times are in
milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Setting = bool | float | None | Array

READOUTS: Final = {
    "SpikeCount": "SpikeCount",
    "FinalPotential": "Var",
    "SumPotential": "SumVar",
    "MeanPotential": "AvgVar",
    "MaxPotential": "MaxVar",
    "ExponentialPotential": "AvgVarExpWeight",
    "FirstSpikeTime": "FirstSpikeTime",
}
"""mlGeNN's readout for each decoder."""


@dataclass(frozen=True)
class Population:
    """Neurons of one kind.

    Attributes:
        name: Unique, of letters, digits and underscores.
        neuron: Class of ``ml_genn.neurons``.
        shape: Shape of a sample's value.
        settings: Arguments of the class; an array holds one number for each neuron, flat.
        readout: Class of ``ml_genn.readouts``, or None.
        node: Name of the node or graph input that it stands for.
        lag: Steps by which it is late: it does in step ``t + lag`` what the model does in ``t``.
        starts_at_rest: Whether it stays as it is while it waits for its first input.
    """

    name: str
    neuron: str
    shape: tuple[int, ...]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    readout: str | None = None
    node: str = ""
    lag: int = 0
    starts_at_rest: bool = True

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    @property
    def is_input(self) -> bool:
        """Whether it is fed from outside."""
        return self.neuron.endswith("Input")


@dataclass(frozen=True)
class Connection:
    """Synapses from one population to another.

    Attributes:
        name: Unique, of letters, digits and underscores.
        source: Name of the population.
        target: Name of the population.
        connectivity: Class of ``ml_genn.connectivity``.
        settings: Arguments of the class beside weight and delay; ``pre_ind`` and ``post_ind``
            are set after construction.
        weight: Weights as the class takes them.
        delay: Steps of delay beyond the one that every synapse of GeNN has; shaped as the
            weights if not one number.
        tau: Time constant of an exponential synapse in ms; None for a delta synapse.
        scale_i: Argument of the exponential synapse.
        node: Name of the node that holds the weights; empty if there is none.
        factor: ``weight`` is the node's weight times this number, which has one entry for each
            target neuron if it is not one number.
        lead: Steps by which delays of the node itself exceed ``delay``.
    """

    name: str
    source: str
    target: str
    connectivity: str
    settings: Mapping[str, Any]
    weight: Array
    delay: int | Array = 0
    tau: float | None = None
    scale_i: bool = False
    node: str = ""
    factor: float = 1.0
    lead: int = 0

    @property
    def max_delay(self) -> int:
        """The longest delay in steps."""
        return int(np.max(self.delay))


@dataclass(frozen=True)
class Host:
    """What feeds an input population.

    Attributes:
        input: Name of the graph input.
        encoder: Name of the node that makes its spikes, which runs on the host; empty if the
            input holds spikes.
    """

    input: str
    encoder: str = ""


@dataclass(frozen=True)
class Description:
    """A network.

    Attributes:
        name: Name of the graph.
        dt: Length of a step in ms.
        steps: Steps of a presentation in the model.
        latency: Further steps after which the outputs have seen all of it.
        populations: By name, in an order in which sources mostly come first.
        connections: By name.
        inputs: What feeds each input population.
        outputs: Graph outputs by name, and the populations that give them.
    """

    name: str
    dt: float
    steps: int
    latency: int
    populations: Mapping[str, Population]
    connections: Mapping[str, Connection]
    inputs: Mapping[str, Host]
    outputs: Mapping[str, str]

    @property
    def timesteps(self) -> int:
        """Steps that mlGeNN has to simulate for a presentation."""
        return self.steps + self.latency

    def incoming(self, population: str) -> list[Connection]:
        """Connections that end in a population."""
        return [each for each in self.connections.values() if each.target == population]

    def outgoing(self, population: str) -> list[Connection]:
        """Connections that begin in a population."""
        return [each for each in self.connections.values() if each.source == population]


def time_constant(decay: float, dt: float) -> float:
    """The time constant, in the unit of ``dt``, with ``exp(-dt / tau)`` equal to ``decay``.

    The one with the fewest digits of those that give the same decay in float32; infinite for 1.
    """
    if decay >= 1:
        return math.inf
    exact = -dt / math.log(decay)
    for digits in range(1, 17):
        tau = float(f"{exact:.{digits}g}")
        if np.float32(math.exp(-dt / tau)) == np.float32(decay):
            return tau
    return exact


def refractory_time(steps: int, dt: float) -> float:
    """A time that GeNN, subtracting ``dt`` in float32, needs exactly ``steps`` steps to count down.

    A multiple of ``dt`` where its rounding allows, otherwise half a step less.
    """
    time, step, count = np.float32(steps * dt), np.float32(dt), 0
    while time > 0 and count <= steps:
        time, count = np.float32(time - step), count + 1
    return steps * dt if count == steps else (steps - 0.5) * dt


def input_gain(tau: float | None, dt: float, scale_i: bool) -> float:
    """Factor of mlGeNN's exponential synapse with ``scale_i``: tau / dt * (1 - exp(-dt / tau))."""
    return tau / dt * -math.expm1(-dt / tau) if scale_i and tau else 1.0
