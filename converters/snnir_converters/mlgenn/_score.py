"""Loss and accuracy of the answers of an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.training.settings import EPROP, TrainSettings
from snnir.training.trainer import Score

Array = npt.NDArray[Any]

_TINY: Final = 1e-30
_FARTHEST: Final = -700.0
"""Exponents below this are 0 in float64."""


@dataclass(frozen=True)
class Scoring:
    """How answers are judged.

    Attributes:
        settings: Settings of the training.
        readout: mlGeNN's readout.
        latest: Time in ms that no first spike comes after.
    """

    settings: TrainSettings
    readout: str | None
    latest: float

    def sums(self, answers: Array, decided: Array, truth: Array) -> Array:
        """Number of samples, sum of their losses, and number of right ones.

        Args:
            answers: What mlGeNN reads out, (samples, outputs).
            decided: What the decoder decides by, (samples, outputs).
            truth: Classes, or the values that are wanted in the last step.
        """
        if self.settings.loss == "mean_square_error":
            return np.array([len(truth), np.sum(np.mean((answers - truth) ** 2, axis=1)), 0.0])
        right = np.count_nonzero(decided.argmax(axis=1) == truth)
        return np.array([len(truth), np.sum(self._cross_entropy(answers, truth)), right])

    def _cross_entropy(self, answers: Array, truth: Array) -> Array:
        """Of each sample; e-prop reads out sums of probabilities."""
        own = np.arange(len(truth)), truth
        if self.settings.method == EPROP:
            parts = answers[own] / answers.sum(axis=1)
            return np.asarray(-np.log(np.maximum(parts, _TINY)))
        if self.readout == "FirstSpikeTime":
            answers = np.maximum(answers, -self.latest) / self.settings.softmax_temperature
        shifted = np.maximum(answers - answers.max(axis=1, keepdims=True), _FARTHEST)
        return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - shifted[own])

    def score(self, sums: Array) -> Score:
        """The score of all samples."""
        count, loss, right = sums
        classes = self.settings.loss != "mean_square_error"
        return Score(float(loss / count), float(right / count) if classes else None)


@cache
def collector() -> type[Any]:
    """A metric of mlGeNN that keeps the answers of all batches, to be judged at once."""
    from ml_genn.metrics import Metric

    class Collector(Metric):  # type: ignore[misc]
        def __init__(self, scoring: Scoring, collected: Any | None) -> None:
            self._scoring = scoring
            self._collected = collected
            self.reset()

        def reset(self) -> None:
            self._answers: list[Array] = []
            self._decided: list[Array] = []
            self._truth: list[Any] = []
            self._communicator: Any = None

        def update(self, y_true: Any, y_pred: Any, communicator: Any) -> None:
            self._answers.append(np.array(y_pred))
            self._truth.append(y_true[:, -1] if np.ndim(y_true) > 1 else y_true)
            self._communicator = communicator
            if self._collected is not None:
                self._collected.pull_from_device()
                values = np.array(self._collected.view)
                self._decided.append(values.reshape(-1, values.shape[-1])[: len(y_true)])

        @property
        def result(self) -> float | None:
            return self.score().accuracy

        def score(self) -> Score:
            truth = np.concatenate(self._truth)
            answers = np.concatenate(self._answers).astype(np.float64).reshape(len(truth), -1)
            decided = np.concatenate(self._decided) if self._decided else answers
            if truth.ndim > 1:
                truth = truth.reshape(len(truth), -1)
            sums = self._scoring.sums(answers, decided, truth)
            if self._communicator is not None:
                sums = np.array([self._communicator.reduce_sum(each) for each in sums])
            return self._scoring.score(sums)

    return Collector
