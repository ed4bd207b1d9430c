"""The model: a graph with all that is needed to run it and to prove the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from snnir._version import __version__
from snnir.errors import Diagnostic
from snnir.ir.graph import Graph
from snnir.ir.tensor import Tensor

IR_VERSION: Final = 1
"""The newest version of the file format that this library reads, and the one it writes."""


@dataclass(frozen=True)
class TimeBase:
    """What a time step stands for.

    Attributes:
        dt: Length of a step in seconds.
        steps: Presentation length, in steps, of a run that states none.
    """

    dt: float = 1e-3
    steps: int = 1


@dataclass(frozen=True)
class Producer:
    """Which program wrote a file."""

    name: str = "snnir"
    version: str = __version__


@dataclass(frozen=True)
class Exact:
    """Every element is equal."""

    def __str__(self) -> str:
        return "exact"


@dataclass(frozen=True)
class SpikeShift:
    """Each spike of a neuron has its partner at most ``steps`` away; counts are equal."""

    steps: int

    def __str__(self) -> str:
        return f"spikes within {self.steps} steps"


@dataclass(frozen=True)
class Rate:
    """The mean over time differs by at most ``bound``."""

    bound: float

    def __str__(self) -> str:
        return f"rate within {self.bound!r}"


@dataclass(frozen=True)
class Close:
    """``|found - expected| <= absolute + relative * |expected|``."""

    absolute: float = 0.0
    relative: float = 0.0

    def __str__(self) -> str:
        return f"within {self.absolute!r} + {self.relative!r} * |expected|"


Tolerance = Exact | SpikeShift | Rate | Close


@dataclass(frozen=True)
class Expected:
    """What a value must be, and how far a backend may be from it."""

    tensor: Tensor
    tolerance: Tolerance = Exact()


@dataclass(slots=True)
class Example:
    """A stored run.

    Attributes:
        inputs: Array for each graph input: batch, then time for a per-step value, then features.
        steps: Presentation length.
        expected: Expected value by name: a graph output, ``node:port`` or ``node:state``.
        origin: Where the expected values come from.
    """

    inputs: dict[str, Tensor]
    steps: int
    expected: dict[str, Expected]
    origin: str = ""


@dataclass(slots=True)
class Model:
    """A spiking (or ordinary) network.

    Attributes:
        graph: Nodes and edges.
        opsets: Version of each operator domain in use.
        time: Length of a step and of a presentation.
        examples: Stored runs by name.
        metadata: Free text by key.
        producer: Which program made the model.
        ir_version: Version of the file format it was read from, or will be written in.
        findings: What a reader had to report, e.g. unknown fields. Not part of the model.
    """

    graph: Graph
    opsets: dict[str, int]
    time: TimeBase = TimeBase()
    examples: dict[str, Example] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    producer: Producer = Producer()
    ir_version: int = IR_VERSION
    findings: tuple[Diagnostic, ...] = field(default=(), compare=False)
