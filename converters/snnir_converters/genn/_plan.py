"""A network as GeNN sees it: plain data, from which both the model and the script are made.

A population does in one step of GeNN: add up what its connections delivered, run its code, and
emit a spike where its value is not 0. A connection delivers ``weight * value`` of a spike
``delay_steps`` steps after it was emitted. Every time step is 1 (ms) to GeNN, so that its time
``t`` counts steps.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.passes.linear_map import LinearMap
from snnir.passes.synapses import Convolution

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Variable:
    """A number of each neuron.

    Attributes:
        name: Its name in the code.
        type: Its type in the code.
        read_only: Whether the code only reads it.
    """

    name: str
    type: str = "scalar"
    read_only: bool = False


@dataclass
class Code:
    """What the neurons of a population do in a step.

    Attributes:
        lines: Statements in GeNN's dialect of C.
        parameters: Names and types of numbers that all neurons share.
        variables: Numbers of each neuron.
        tables: Names and element types of arrays of the population.
        inputs: Names of the sums that connections add to.
        emission: The variable that spikes carry, where it is not 0; empty if there are none.
    """

    lines: list[str] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    emission: str = ""

    @property
    def text(self) -> str:
        """The statements."""
        return "\n".join(self.lines)


class Fed(enum.Enum):
    """What a run puts into a parameter, variable or table."""

    STATIC = "a value of this sample, flattened"
    SEQUENCE = "a value of this sample in every step, flattened"
    START = "first step of a decoder's window, from the population's start"
    STOP = "end of a decoder's window"
    WEIGHTS = "weights of a decoder's window, for each step"


@dataclass(frozen=True)
class Feed:
    """Something that depends on the sample or the presentation length.

    Attributes:
        kind: What it is.
        item: Name of the parameter, variable or table of the population.
        value: Value of the original graph (STATIC, SEQUENCE), or name of the decoder.
        through: Linear map from the value to the population; None for the value itself.
    """

    kind: Fed
    item: str
    value: str
    through: LinearMap | None = None


@dataclass(frozen=True)
class Place:
    """Where a value or state of the original graph is found.

    Attributes:
        population: Name of the population.
        variable: Its variable.
        lag: Steps by which it comes later than in the original.
        spikes: Whether it is the spikes that the population emits, all of them ones.
    """

    population: str
    variable: str
    lag: int
    spikes: bool = False


@dataclass
class Population:
    """Neurons with the same code.

    Attributes:
        name: Its name in the original graph; see :func:`genn_name`.
        size: Number of neurons.
        code: What they do.
        numbers: Parameters.
        values: Values of read-only variables, shape [size].
        tables: Contents of tables that do not depend on the run.
        feeds: What a run puts in.
        nodes: The nodes of the graph that it carries out.
        binary: Whether it emits nothing but ones.
    """

    name: str
    size: int
    code: Code
    numbers: dict[str, float] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    tables: dict[str, Array] = field(default_factory=dict)
    feeds: list[Feed] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    binary: bool = False


@dataclass(frozen=True)
class Dense:
    """Every neuron to every neuron.

    Attributes:
        weight: Shape [inputs, outputs].
    """

    weight: Array


@dataclass(frozen=True)
class Pairs:
    """Single synapses.

    Attributes:
        sources: Neuron of the source, for each synapse.
        targets: Neuron of the target.
        weight: Weight.
    """

    sources: Array
    targets: Array
    weight: Array


Synapses = Dense | Convolution | Pairs


@dataclass(frozen=True)
class Connection:
    """Synapses between two populations.

    Attributes:
        name: Its name.
        source: Name of the population that emits.
        target: Name of the population that receives.
        input: Which of the target's sums it adds to.
        delay_steps: Steps from the emission to the step in which it acts, at least 1.
        synapses: Who is connected with whom.
        graded: Whether the weight is multiplied by the value of the spike.
    """

    name: str
    source: str
    target: str
    input: str
    delay_steps: int
    synapses: Synapses
    graded: bool


@dataclass
class Plan:
    """A network for GeNN.

    Attributes:
        populations: Populations by name.
        connections: Connections.
        places: Where values and states of the original graph are found.
        precision: Type of floats.
    """

    populations: dict[str, Population] = field(default_factory=dict)
    connections: list[Connection] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    precision: str = "float"

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type of floats."""
        return np.dtype(np.float32 if self.precision == "float" else np.float64)


_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def genn_name(name: str) -> str:
    """A name of letters, digits and underscores, from which :func:`original_name` gets it back.

    An underscore becomes two, any other character ``_`` and two digits of its hexadecimal code:
    GeNN takes nothing else.
    """
    return "".join(c if c in _SAFE else "__" if c == "_" else f"_{ord(c):02x}" for c in name)


def original_name(name: str) -> str:
    """What :func:`genn_name` was given."""
    parts: list[str] = []
    index = 0
    while index < len(name):
        if name[index] != "_":
            parts.append(name[index])
            index += 1
        elif name[index + 1] == "_":
            parts.append("_")
            index += 2
        else:
            parts.append(chr(int(name[index + 1 : index + 3], 16)))
            index += 3
    return "".join(parts)
