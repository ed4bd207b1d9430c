"""Settings of the target, and bringing a network of any domain into the form that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.model import Model
from snnir.passes.loihi2 import APPROXIMATIONS, Loihi2Options, lower_to_loihi2
from snnir.passes.quantise import Choice
from snnir.targets import Ready, TargetOption
from snnir_converters.netx._chain import NEURONS

Array = npt.NDArray[np.generic]


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def _scale(text: str) -> str:
    if text not in SCALES:
        raise ValueError(text)
    return text


def _approximations(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(APPROXIMATIONS):
        raise ValueError(text)
    return names


SCALES: Final[tuple[str, ...]] = get_args(Choice)

SETTINGS: Final = (
    TargetOption("bits", "bits of a weight", _whole(2, 8), "2 to 8", "8"),
    TargetOption(
        "scale", "how the units of weights are chosen", _scale, ", ".join(SCALES), "auto: the best"
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


def prepare(
    model: Model, calibration: Mapping[str, Array] | None, options: Mapping[str, Any]
) -> Ready:
    """The model in domain ``loihi2``: itself if it has such neurons, otherwise lowered.

    Raises:
        CapabilityError: If an option is not known, or something cannot be carried over.
        SnnirError: See :func:`~snnir.passes.loihi2.lower_to_loihi2`.
    """
    known = [setting.name for setting in SETTINGS]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise CapabilityError(
            Diagnostic("netx.option", "target 'netx'", f"'{unknown[0]}'", ", ".join(known))
        )
    nodes = model.graph.nodes.values()
    if any(node.domain == "loihi2" and node.operator in NEURONS for node in nodes):
        return Ready(model)
    return Ready(*lower_to_loihi2(model, calibration, Loihi2Options(**options)))
