"""The integers of Loihi 2, in this project's own file.

The file has what the chip does and what the host does before and after, and runs anywhere;
targets for files of the chip's tools build on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.model import Model
from snnir.passes.loihi2 import APPROXIMATIONS, Loihi2Options, lower_to_loihi2
from snnir.passes.quantise import ROUNDINGS, Choice
from snnir.targets import Ready, SnnirTarget, TargetOption

Array = npt.NDArray[np.generic]


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return parse


def _approximations(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(APPROXIMATIONS):
        raise ValueError(text)
    return names


SCALES: Final[tuple[str, ...]] = get_args(Choice)

SETTINGS: Final = (
    TargetOption("bits", "bits of a weight", _whole(2, 8), "2 to 8", "8"),
    TargetOption(
        "scale",
        "how the units of weights are chosen",
        _one_of(SCALES),
        ", ".join(SCALES),
        "auto: the best",
    ),
    TargetOption(
        "rounding",
        "how weights are rounded",
        _one_of(ROUNDINGS),
        ", ".join(ROUNDINGS),
        "auto: the best",
    ),
    TargetOption(
        "approximate",
        "what may be approximated, separated by commas",
        _approximations,
        ", ".join(APPROXIMATIONS),
        "nothing",
    ),
    TargetOption(
        "steps",
        "presentation length of hard-reset, where the model has none",
        _whole(1, 1 << 20),
        "a whole number above 0",
        "64",
    ),
)
"""Fields of :class:`~snnir.passes.loihi2.Loihi2Options`, from text."""


NEURONS: Final = frozenset({"CubaLIF", "CubaLI", "Delta", "SigmaDelta", "Sigma"})
"""Neurons of domain ``loihi2``: a network with some of them has been lowered already."""


class Loihi2Target(SnnirTarget):
    """Networks in the integers of Loihi 2."""

    name = "loihi2"
    suffixes: tuple[str, ...] = ()
    takes_original = True
    options = SETTINGS

    def prepare(
        self, model: Model, calibration: Mapping[str, Array] | None, options: Mapping[str, Any]
    ) -> Ready:
        """The model in the integers of Loihi 2.

        Args:
            model: Of domain ``loihi2``, which it then stays; or a network of ReLUs, rate-coded or
                not, which becomes sigma-delta neurons; or a spiking one with a reset to 0.
            calibration: Samples for each input; networks of ReLUs need them.
            options: ``bits``, ``scale``, ``approximate``, ``steps``; see
                :class:`~snnir.passes.loihi2.Loihi2Options`.

        Raises:
            CapabilityError: If an option is not known, or something cannot be carried over.
            SnnirError: See :func:`~snnir.passes.loihi2.lower_to_loihi2`.
        """
        known = [setting.name for setting in SETTINGS]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise CapabilityError(
                Diagnostic(
                    "target.option",
                    f"target '{self.name}'",
                    ", ".join(map(repr, unknown)),
                    ", ".join(known),
                )
            )
        nodes = model.graph.nodes.values()
        if any(node.domain == "loihi2" and node.operator in NEURONS for node in nodes):
            return Ready(model)
        return Ready(*lower_to_loihi2(model, calibration, Loihi2Options(**options)))
