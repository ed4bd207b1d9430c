"""What a trainer is, and finding one: entry point group ``snnir.trainers``, by learning rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnir import plugins
from snnir.errors import Diagnostic, PluginError
from snnir.ir.model import Model
from snnir.training.data import Samples
from snnir.training.settings import TrainSettings

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
"""Called with the number of samples done and that of all."""

Parameters = Mapping[tuple[str, str], npt.NDArray[np.generic]]
"""Trained values by node and parameter."""


@dataclass(frozen=True)
class Score:
    """How good the answers to some samples were.

    Attributes:
        loss: Mean loss, as the network was when each sample came.
        accuracy: Part of the samples whose class was right; None without classes.
    """

    loss: float
    accuracy: float | None


@runtime_checkable
class Session(Protocol):
    """A network that is being trained."""

    def train(
        self, samples: Samples, order: Array, epoch: int, rate: float, progress: Progress
    ) -> Score:
        """One pass over samples, which are those that the session was opened for or as many.

        Args:
            samples: What to learn from.
            order: Their numbers in the order in which they come.
            epoch: Number of the epoch, from 0.
            rate: Learning rate.
            progress: Told after each batch.
        """

    def evaluate(self, samples: Samples, progress: Progress) -> Score:
        """Run samples without learning; leaves what :meth:`state` returns as it is."""

    def parameters(self) -> Parameters:
        """The trained values, as the model holds them."""

    def state(self) -> dict[str, Array]:
        """All that the next epoch depends on besides samples, order and rate."""

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state that :meth:`state` returned in a session for the same model.

        Raises:
            RunError: If it does not fit.
        """

    def details(self) -> dict[str, Any]:
        """What else there is to say about the run, e.g. times of kernels."""


@runtime_checkable
class Trainer(Protocol):
    """A learning rule: entry point group ``snnir.trainers``."""

    @property
    def method(self) -> str:
        """Name of the learning rule."""

    def check(self, model: Model, settings: TrainSettings) -> list[Diagnostic]:
        """All that keeps a network from being trained so, before anything is compiled."""

    def inputs(self, model: Model) -> Mapping[str, str]:
        """The value that spikes are needed of, for each graph input.

        It is the input itself, or ``node:port`` of the encoder that makes spikes of it.
        """

    def open(
        self, model: Model, settings: TrainSettings, samples: Samples, validation: Samples | None
    ) -> AbstractContextManager[Session]:
        """Compile a network; what was built is gone when the context ends.

        Args:
            model: A model for which :meth:`check` finds no error.
            settings: How to train.
            samples: What it will be trained on.
            validation: What it will be validated on.

        Raises:
            MissingDependency: If a package is not installed.
            CapabilityError: If what is installed cannot do it.
            RunError: If it cannot be compiled or run.
        """

    def versions(self) -> dict[str, str]:
        """Versions of the tools that took part."""


def trainer_names() -> list[str]:
    """Learning rules that are installed."""
    return plugins.names("trainers")


def find_trainer(method: str) -> Trainer:
    """The trainer for a learning rule.

    Raises:
        PluginError: If there is none.
    """
    found = plugins.load_optional("trainers", method)
    if found is None:
        allowed = ", ".join(trainer_names()) or "none is installed"
        raise PluginError(Diagnostic("plugin.unknown", "trainers", f"'{method}'", allowed))
    return found  # type: ignore[no-any-return]
