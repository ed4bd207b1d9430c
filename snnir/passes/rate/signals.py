"""What a value of the growing spiking network does on the calibration samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.ir.builder import Value
from snnir.ir.graph import Node
from snnir.runtime.evaluate import evaluate

Array = npt.NDArray[Any]


@dataclass
class Signal:
    """A value of the spiking network that stands for one of the original network.

    Attributes:
        value: The value.
        per_step: Whether it changes from step to step; otherwise it is the original value.
        scale: The original value is about ``scale`` times the mean of this one over time.
            Broadcasts against the features.
        mean: Mean over time on the calibration samples, (samples, ...).
        trains: Every step, (steps, samples, ...), if it is kept; small integers for spikes.
        node: For a value without kept steps: the stateless node that computes it.
        inputs: What arrives at that node, in order.
    """

    value: Value
    per_step: bool
    scale: Array
    mean: Array
    trains: Array | None = None
    node: Node | None = None
    inputs: Sequence[Signal] = ()

    @property
    def estimate(self) -> Array:
        """The original value as the spiking network has it on the calibration samples."""
        return self.mean * self.scale

    def steps(self, samples: slice, count: int) -> Array:
        """Every step of some samples, (steps, samples, ...)."""
        if not self.per_step:
            return np.broadcast_to(self.mean[samples], (count, *self.mean[samples].shape))
        if self.trains is not None:
            return self.trains[:, samples].astype(np.float32)
        if self.node is None:
            return np.broadcast_to(self.mean[samples], (count, *self.mean[samples].shape))
        arrays = [signal.steps(samples, count) for signal in self.inputs]
        found = apply(self.node, [array.reshape(-1, *array.shape[2:]) for array in arrays])
        return found.reshape(count, -1, *found.shape[1:])


def apply(node: Node, arrays: Sequence[Array]) -> Array:
    """The output of a stateless node with one input port, or several bound in order."""
    inputs: dict[str, list[Array]] = {}
    for binding, array in zip(node.inputs, arrays, strict=True):
        inputs.setdefault(binding.port, []).append(array)
    return evaluate(node, inputs)
