"""Settings of a training run, and what is wrong with them.

The fields are the one place where a setting is described: the command line makes its options of
them, and a trainer reads them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Final

import numpy as np

from snnir.errors import Diagnostic

EVENTPROP: Final = "eventprop"
EPROP: Final = "eprop"
BOTH: Final = (EVENTPROP, EPROP)

LOSSES: Final = ("sparse_categorical_crossentropy", "mean_square_error")
SCHEDULES: Final = "constant, cosine, exponential:FACTOR or step:EPOCHS:FACTOR"


def _setting(
    default: Any,
    doc: str,
    *,
    methods: Sequence[str] = BOTH,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    whole: bool = False,
) -> Any:
    """A field with what it means and what is allowed.

    Args:
        default: Its default.
        doc: What it does, in a line.
        methods: Methods that know it.
        minimum: The least that is allowed.
        above: A number that it must exceed.
        maximum: The most that is allowed.
        choices: All that is allowed.
        whole: Whether it is a whole number.
    """
    return field(
        default=default,
        metadata={
            "doc": doc,
            "methods": tuple(methods),
            "minimum": minimum,
            "above": above,
            "maximum": maximum,
            "choices": tuple(choices),
            "whole": whole,
        },
    )


_ONE: Final = (EVENTPROP,)
_TWO: Final = (EPROP,)


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained; see the documentation of each field."""

    method: str = _setting(EVENTPROP, "learning rule")
    epochs: int = _setting(10, "passes over the data", minimum=1, whole=True)
    batch_size: int = _setting(1, "samples for each update of the weights", minimum=1, whole=True)
    steps: int | None = _setting(
        None, "presentation length in steps (default: the model's)", minimum=1, whole=True
    )
    loss: str = _setting(LOSSES[0], "what is minimised", choices=LOSSES)
    learning_rate: float = _setting(1e-3, "of Adam", above=0.0)
    beta1: float = _setting(0.9, "decay of Adam's first moment", minimum=0.0, maximum=1.0)
    beta2: float = _setting(0.999, "decay of Adam's second moment", minimum=0.0, maximum=1.0)
    epsilon: float = _setting(1e-8, "of Adam", above=0.0)
    schedule: str = _setting("constant", f"of the learning rate: {SCHEDULES}")
    seed: int = _setting(0, "of shuffling and augmentation", minimum=0, whole=True)
    shuffle: bool = _setting(True, "a new order of the samples in every epoch")
    validation_split: float = _setting(
        0.0, "part of the samples, the last ones, kept for validation", minimum=0.0, maximum=0.99
    )
    patience: int | None = _setting(
        None, "stop after so many epochs without a better one", minimum=1, whole=True
    )
    keep_best: bool = _setting(
        True, "with validation samples: return the weights of the best epoch instead of the last"
    )
    backend: str = _setting("single_threaded_cpu", "backend of GeNN, or auto")
    optimise_code: bool = _setting(True, "compile with optimisation")
    kernel_profiling: bool = _setting(False, "measure the time of each kernel")
    communicator: str | None = _setting(None, "several GPUs: mpi, under mpirun", choices=("mpi",))
    per_timestep_loss: bool = _setting(
        False, "a loss in every step instead of one for a sample", methods=_ONE
    )
    reg_lambda_upper: float | Mapping[str, float] = _setting(
        0.0, "strength against more spikes than reg_nu_upper", methods=_ONE, minimum=0.0
    )
    reg_lambda_lower: float | Mapping[str, float] = _setting(
        0.0, "strength against fewer spikes than reg_nu_upper", methods=_ONE, minimum=0.0
    )
    reg_nu_upper: float = _setting(
        0.0,
        "spikes of a neuron for a sample that regularisation aims at",
        methods=_ONE,
        minimum=0.0,
    )
    max_spikes: int | None = _setting(
        None,
        "spikes of a neuron in two samples that there is memory for (default: all that can come)",
        methods=_ONE,
        minimum=2,
        whole=True,
    )
    strict_buffer_checking: bool = _setting(
        False,
        "end the process when a neuron spikes more than max_spikes times; otherwise such "
        "spikes do not take part in learning",
        methods=_ONE,
    )
    ttfs_alpha: float = _setting(
        0.01, "weight of early spikes with FirstSpikeTime", methods=_ONE, minimum=0.0
    )
    softmax_temperature: float = _setting(
        1.0, "of the softmax with FirstSpikeTime", methods=_ONE, above=0.0
    )
    learn_delays: tuple[str, ...] = _setting(
        (), "nodes (DelayedDense) whose delays are learned, too", methods=_ONE
    )
    delay_learning_rate: float | None = _setting(
        None, "of Adam for delays (default: learning_rate)", methods=_ONE, above=0.0
    )
    max_delay_steps: int | None = _setting(
        None,
        "longest delay that can be learned",
        methods=_ONE,
        minimum=1,
        maximum=65534,
        whole=True,
    )
    tau_reg: float = _setting(
        500.0, "time constant of the rates that regularisation sees, in ms", methods=_TWO, above=0.0
    )
    c_reg: float = _setting(0.001, "strength of regularisation", methods=_TWO, minimum=0.0)
    f_target: float = _setting(
        10.0, "rate that regularisation aims at, in Hz", methods=_TWO, minimum=0.0
    )
    train_output_bias: bool = _setting(True, "learn biases of the readout", methods=_TWO)

    def check(self) -> list[Diagnostic]:
        """Everything that is not allowed."""
        findings: list[Diagnostic] = []
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            for each in value.values() if isinstance(value, Mapping) else (value,):
                allowed = _violated(each, entry)
                if allowed:
                    findings.append(_finding(entry.name, repr(each), allowed))
            methods = entry.metadata["methods"]
            if value != entry.default and self.method in BOTH and self.method not in methods:
                found = f"{value!r} with method '{self.method}'"
                findings.append(_finding(entry.name, found, f"it with method '{methods[0]}' only"))
        try:
            if isinstance(self.schedule, str):
                _schedule(self.schedule, 1)
        except ValueError:
            findings.append(_finding("schedule", f"'{self.schedule}'", SCHEDULES))
        return findings

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, by its schedule.

        Raises:
            ValueError: If there is no such schedule.
        """
        return self.learning_rate * _schedule(self.schedule, self.epochs)(epoch)

    def to_json(self) -> dict[str, Any]:
        """Every setting that differs from its default, and the method."""
        return {
            entry.name: _plain(getattr(self, entry.name))
            for entry in dataclasses.fields(self)
            if entry.name == "method" or getattr(self, entry.name) != entry.default
        }

    def text(self) -> str:
        """The settings as JSON."""
        return json.dumps(self.to_json(), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return value.item() if isinstance(value, np.generic) else value


def _finding(name: str, found: str, allowed: str) -> Diagnostic:
    return Diagnostic("train.setting", f"setting '{name}'", found, allowed)


_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
    "str": (str, "a text"),
    "bool": (bool, "true or false"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "tuple[str, ...]": ((tuple, list), "names of nodes"),
}
"""What a value of each type may be, and what to call it."""


def _violated(value: Any, entry: dataclasses.Field[Any]) -> str:
    """What is allowed, if a value is not; otherwise empty."""
    rule = entry.metadata
    kind, *others = str(entry.type).split(" | ")
    if value is None and "None" in others:
        return ""
    types, called = _KINDS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
        return called
    if kind == "tuple[str, ...]":
        return "" if all(isinstance(name, str) for name in value) else called
    if rule["choices"]:
        return "" if value in rule["choices"] else ", ".join(rule["choices"])
    if kind not in ("int", "float"):
        return ""
    if not math.isfinite(value):
        return "a finite number"
    if rule["minimum"] is not None and value < rule["minimum"]:
        return f"at least {rule['minimum']:g}"
    if rule["above"] is not None and value <= rule["above"]:
        return f"above {rule['above']:g}"
    if rule["maximum"] is not None and value > rule["maximum"]:
        return f"at most {rule['maximum']:g}"
    return ""


def _schedule(text: str, epochs: int) -> Callable[[int], float]:
    kind, *numbers = text.split(":")
    if kind == "constant" and not numbers:
        return lambda epoch: 1.0
    if kind == "cosine" and not numbers:
        return lambda epoch: (1 + math.cos(math.pi * epoch / epochs)) / 2
    if kind == "exponential" and len(numbers) == 1:
        factor = _factor(numbers[0])
        return lambda epoch: factor**epoch
    if kind == "step" and len(numbers) == 2 and int(numbers[0]) > 0:
        period, factor = int(numbers[0]), _factor(numbers[1])
        return lambda epoch: factor ** (epoch // period)
    raise ValueError(text)


def _factor(text: str) -> float:
    factor = float(text)
    if not 0 < factor <= 1:
        raise ValueError(text)
    return factor
