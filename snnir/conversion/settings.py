"""What a user asks of a conversion."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from snnir.passes.few_spike import lower as few_spike
from snnir.passes.rate import lower as rate

MethodName = Literal["auto", rate.Method, "few-spike"]
Encoder = Literal[rate.Encoder, few_spike.Encoder]
Decoder = rate.Decoder

METHOD_NAMES: Final[tuple[MethodName, ...]] = get_args(MethodName)
ENCODERS: Final[tuple[Encoder, ...]] = get_args(Encoder)
DECODERS: Final[tuple[Decoder, ...]] = get_args(Decoder)


@dataclass(frozen=True)
class Settings:
    """How to convert. None stands for the method's default.

    Attributes:
        method: How a network is made to spike.
        steps: Presentation length, for methods of rate coding.
        bits: Time steps of a phase, for few-spike.
        target_drop: Instead of ``steps`` or ``bits``: choose the smallest that loses at most so
            many percentage points of accuracy.
        percentile: Percentile of the activations that becomes the threshold, instead of their
            maximum.
        per_channel: Whether each channel has its own threshold, or each layer one.
        encoder: How static inputs drive the network.
        decoder: What the answer is taken from.
        seed: Seed of the Poisson encoder.
    """

    method: MethodName = "auto"
    steps: int | None = None
    bits: int | None = None
    target_drop: float | None = None
    percentile: float | None = None
    per_channel: bool | None = None
    encoder: Encoder | None = None
    decoder: Decoder | None = None
    seed: int | None = None

    def given(self) -> dict[str, Any]:
        """The options of a method that were asked for, by name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in found.items()
            if value is not None and name not in ("method", "target_drop")
        }
