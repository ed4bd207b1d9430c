"""A trainer for tests: what it learns is a function of all that it was given, in order."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import snnir
from snnir.errors import Diagnostic
from snnir.ir.model import Model
from snnir.training.data import Samples
from snnir.training.settings import TrainSettings
from snnir.training.trainer import Parameters, Progress, Score, Session

SIZE, CLASSES, STEPS = 4, 3, 5


def network(encoder: str = "") -> Model:
    """Weights between spikes and a readout."""
    b = snnir.GraphBuilder("toy", steps=STEPS)
    if encoder:
        spikes = b.add(f"snn.{encoder}", b.input("x", [SIZE]), window_steps=STEPS, name="encoder")
    else:
        spikes = b.input("spikes", [SIZE], timing="per_step")
    weight = np.zeros((SIZE, CLASSES), np.float32)
    potential = b.snn.LeakyIntegrator(b.snn.Dense(spikes, weight=weight, name="w"), name="v")
    b.output("class", b.snn.SumPotential(potential))
    return b.build()


def samples(count: int = 10) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Dense spikes and labels."""
    rng = np.random.default_rng(0)
    spikes = rng.integers(0, 2, (count, STEPS, SIZE)).astype(np.float32)
    return spikes, rng.integers(0, CLASSES, count)


@dataclass
class ToySession:
    """Weights that are hashes of the past."""

    losses: Callable[[int], float]
    fails_in: int | None
    learns: bool = True
    memory: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(8, np.uint8))
    epochs: int = 0

    def train(
        self, samples: Samples, order: Any, epoch: int, rate: float, progress: Progress
    ) -> Score:
        """Take everything into the memory."""
        if epoch == self.fails_in:
            raise KeyboardInterrupt
        state = hashlib.sha256(self.memory.tobytes())
        state.update(np.asarray(order, "<i8").tobytes())
        state.update(f"{epoch} {rate!r} {samples.digest()}".encode())
        self.memory = np.frombuffer(state.digest()[:8], np.uint8).copy()
        self.epochs = epoch + 1
        for done in range(len(samples)):
            progress(done + 1, len(samples))
        return Score(self.losses(epoch), 0.5)

    def evaluate(self, samples: Samples, progress: Progress) -> Score:
        """As good as the losses say."""
        return Score(self.losses(self.epochs - 1), None)

    def parameters(self) -> Parameters:
        """Numbers of the memory."""
        weight = np.resize(self.memory, (SIZE, CLASSES)).astype(np.float32)
        if not self.learns:
            weight[:] = 0
        if self.epochs and self.losses(self.epochs - 1) > 1e6:
            weight[0, 0] = np.nan
        return {("w", "weight"): weight}

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The memory."""
        return {"memory": self.memory, "epochs": np.array(self.epochs)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the memory over."""
        self.memory, self.epochs = state["memory"], int(state["epochs"])

    def details(self) -> dict[str, Any]:
        """Nothing much."""
        return {"kind": "toy"}


@dataclass
class ToyTrainer:
    """Opens toy sessions.

    Attributes:
        losses: Loss of each epoch.
        fails_in: Epoch in which it is interrupted.
        opened: Number of sessions that were opened.
        method: Its learning rule.
        learns: Whether weights change at all.
    """

    losses: Callable[[int], float] = lambda epoch: 1 / (epoch + 1)
    fails_in: int | None = None
    opened: int = 0
    method: str = "eventprop"
    learns: bool = True

    def check(self, model: Model, settings: TrainSettings) -> list[Diagnostic]:
        """Nothing is wrong."""
        return []

    def inputs(self, model: Model) -> dict[str, str]:
        """Spikes of the encoder, if there is one."""
        name = model.graph.inputs[0].name
        return {name: "encoder:spikes" if "encoder" in model.graph.nodes else name}

    def versions(self) -> dict[str, str]:
        """One version."""
        return {"toy": "1"}

    @contextlib.contextmanager
    def open(
        self, model: Model, settings: TrainSettings, samples: Samples, validation: Samples | None
    ) -> Iterator[Session]:
        """A session."""
        self.opened += 1
        yield ToySession(self.losses, self.fails_in, self.learns)
