"""The registry of methods: what each is, what options it takes, and how it is called."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt

from snnir.conversion.settings import (
    METHOD_NAMES,
    Decoder,
    Encoder,
    MethodName,
    Settings,
)
from snnir.errors import ConversionError, Diagnostic, SnnirError, UnsupportedFeature
from snnir.ir.model import Model
from snnir.passes.few_spike import lower as few_spike
from snnir.passes.lowering import Progress
from snnir.passes.rate import lower as rate

Array = npt.NDArray[Any]

Lower = Callable[
    [Model, Mapping[str, Array], Settings, int, Progress | None], tuple[Model, Sequence[Any]]
]
"""Of a canonical model, calibration samples, settings, the number of steps or bits, and who is
told how far it is: the spiking network, and a ``LayerReport`` for each activation."""

PROBED_SAMPLES: Final = 16
"""Samples with which a method is asked whether it carries a network."""


@dataclass(frozen=True)
class Method:
    """One way to make a network spike.

    Attributes:
        name: Name by which it is chosen.
        summary: What it does, in a line.
        reference: Where it comes from.
        resolution: The option that trades latency for accuracy: ``"steps"`` or ``"bits"``.
        default: Its value if none is given.
        most: Its largest value that ``target_drop`` tries.
        options: Names of the other options that it takes.
        encoders: Input encodings; the first is the default.
        decoders: Readouts; the first is the default.
        readable_early: Whether the answer after fewer steps is a coarser answer.
        refits: Whether weights and biases are fitted to what spiking layers deliver.
        lower: Does it.
    """

    name: MethodName
    summary: str
    reference: str
    resolution: str
    default: int
    most: int
    options: frozenset[str]
    encoders: tuple[Encoder, ...]
    decoders: tuple[Decoder, ...]
    readable_early: bool
    refits: bool
    lower: Lower

    @property
    def takes(self) -> frozenset[str]:
        """Names of all options that it takes, but for encoder and decoder."""
        return self.options | {self.resolution}

    def resolution_of(self, settings: Settings) -> int:
        """The number of steps or bits that is asked for, or the default."""
        found: int | None = getattr(settings, self.resolution)
        return self.default if found is None else int(found)


# Rate coding ---------------------------------------------------------------------------------


def _rate(
    model: Model,
    calibration: Mapping[str, Array],
    settings: Settings,
    steps: int,
    progress: Progress | None,
) -> tuple[Model, Sequence[Any]]:
    given = {k: v for k, v in settings.given().items() if k not in ("steps", "bits")}
    options = rate.RateOptions(steps=steps, method=settings.method, **given)  # type: ignore[arg-type]
    return rate.lower_to_rates(model, calibration, options, progress=progress)


def _rate_method(
    name: MethodName,
    summary: str,
    reference: str,
    options: Iterable[str] = (),
    *,
    refits: bool = False,
) -> Method:
    return Method(
        name,
        summary,
        reference,
        resolution="steps",
        default=32,
        most=256,
        options=frozenset({"seed", *options}),
        encoders=get_args(rate.Encoder),
        decoders=get_args(rate.Decoder),
        readable_early=True,
        refits=refits,
        lower=_rate,
    )


# Few spikes ----------------------------------------------------------------------------------


def _few_spikes(
    model: Model,
    calibration: Mapping[str, Array],
    settings: Settings,
    bits: int,
    progress: Progress | None,
) -> tuple[Model, Sequence[Any]]:
    given = {k: v for k, v in settings.given().items() if k not in ("steps", "bits", "decoder")}
    options = few_spike.FewSpikeOptions(bits=bits, **given)
    network, layers = few_spike.lower_to_few_spikes(model, calibration, options, progress=progress)
    return network, layers


# The registry --------------------------------------------------------------------------------

METHODS: Final[Mapping[str, Method]] = {
    method.name: method
    for method in (
        _rate_method(
            "calibrated",
            "rate coding; each channel's threshold by the error of its mean output, weights and "
            "biases calibrated layer by layer",
            "Li et al. 2021 (A Free Lunch From ANN)",
            refits=True,
        ),
        _rate_method(
            "data-norm",
            "rate coding; thresholds from the largest original activations",
            "Diehl et al. 2015; Rueckauer et al. 2017",
            ("percentile", "per_channel"),
        ),
        _rate_method(
            "spike-norm",
            "rate coding; thresholds from the largest currents of the spiking network",
            "Sengupta et al. 2019",
            ("per_channel",),
        ),
        Method(
            "few-spike",
            "each activation in at most K graded spikes, one phase a layer",
            "Stöckl and Maass 2021",
            resolution="bits",
            default=8,
            most=few_spike.BITS[-1],
            options=frozenset({"per_channel"}),
            encoders=get_args(few_spike.Encoder),
            decoders=("potential",),
            readable_early=False,
            refits=False,
            lower=_few_spikes,
        ),
    )
}
"""What can be asked for by name. ``auto`` is the first of :data:`AUTO` that carries the network."""

AUTO: Final[tuple[MethodName, ...]] = ("calibrated", "few-spike")
"""In the order of preference: least latency and fewest spikes at the same accuracy first."""


def candidates(settings: Settings) -> list[Method]:
    """The methods to try, in this order, after a check of all options.

    Raises:
        ConversionError: If an option does not belong to the method, or has no such value; with
            all that does not fit.
    """
    findings = _values(settings)
    if settings.method not in METHOD_NAMES:
        findings.append(
            _finding("method", repr(settings.method), " or ".join(METHOD_NAMES), "Choose one.")
        )
    if findings:
        raise ConversionError(findings)
    if settings.method == "auto":
        findings = _undecided(settings)
        if findings:
            raise ConversionError(findings)
    names = AUTO if settings.method == "auto" else (settings.method,)
    refused = {name: _refused(METHODS[name], settings) for name in names}
    usable = [METHODS[name] for name in names if not refused[name]]
    if not usable:
        raise ConversionError(min(refused.values(), key=len))
    return usable


def lower(
    methods: Sequence[Method],
    model: Model,
    calibration: Mapping[str, Array],
    settings: Settings,
    resolution: Callable[[Method], int],
    progress: Progress | None = None,
) -> tuple[Method, int, Model, Sequence[Any]]:
    """The spiking network by the first method that carries the network over.

    Args:
        methods: Methods in order of preference.
        model: A canonical model of domain ``ann``.
        calibration: Samples for each input.
        settings: What was asked for.
        resolution: Gives the steps or bits of a method.
        progress: Is told how far it is.

    Returns:
        The method, its steps or bits, the network, and what became of each activation.

    Raises:
        UnsupportedFeature: If none does: what the first one cannot carry, naming the method
            that can.
    """
    refused: dict[str, Sequence[Diagnostic]] = {}
    for method in methods:
        chosen = resolution(method)
        named = dataclasses.replace(settings, method=method.name)
        try:
            with np.errstate(all="ignore"):  # as in a run
                found = method.lower(model, calibration, named, chosen, progress)
            return method, chosen, *found
        except UnsupportedFeature as error:
            refused[method.name] = error.diagnostics
    findings = next(iter(refused.values()))
    alike = {METHODS[name].lower for name in refused}
    for method in METHODS.values():
        if method.lower not in alike:
            refused[method.name] = _refusals(method, model, calibration)
            alike.add(method.lower)
    raise UnsupportedFeature([_advised(finding, refused, settings) for finding in findings])


def _refusals(
    method: Method, model: Model, calibration: Mapping[str, Array]
) -> Sequence[Diagnostic]:
    """What a method cannot carry, in its own words: it is tried on a few samples."""
    few = {name: array[:PROBED_SAMPLES] for name, array in calibration.items()}
    try:
        with np.errstate(all="ignore"):
            method.lower(model, few, Settings(method.name), 2, None)
    except SnnirError as error:
        return error.diagnostics
    return ()


def _advised(
    finding: Diagnostic, refused: Mapping[str, Sequence[Diagnostic]], settings: Settings
) -> Diagnostic:
    """The finding; its remedy names a method that carries the network, or this node."""
    if finding.code != "convert.method":
        return finding
    for name, others in refused.items():
        if not others:
            hint = f"Use method '{name}', which carries this network."
            spare = sorted({*settings.given()} - METHODS[name].takes - {"encoder", "decoder"})
            if spare:
                hint = f"{hint[:-1]}; it takes {METHODS[name].resolution}, not {', '.join(spare)}."
            return dataclasses.replace(finding, hint=hint)
    able = [
        name
        for name, others in refused.items()
        if finding.where not in {other.where for other in others}
    ]
    if not able:
        return finding
    hint = f"{finding.remedy} Method '{able[0]}' carries it, but not the rest of the network."
    return dataclasses.replace(finding, hint=hint)


def _undecided(settings: Settings) -> list[Diagnostic]:
    """Options that several methods take, but not the one that ``auto`` prefers."""
    findings: list[Diagnostic] = []
    for name in settings.given():
        takers = [method.name for method in METHODS.values() if name in method.takes]
        if len(takers) > 1 and AUTO[0] not in takers:
            found = f"{getattr(settings, name)!r} for method 'auto'"
            allowed = f"with method {_or(takers)}"
            findings.append(_finding(name, found, allowed, "Choose the method that is meant."))
    return findings


def _values(settings: Settings) -> list[Diagnostic]:
    """Options whose value no method could use."""
    findings: list[Diagnostic] = []
    if settings.steps is not None and not _is_count(settings.steps):
        findings.append(_finding("steps", repr(settings.steps), "a whole number of at least 1"))
    least_bits, most_bits = few_spike.BITS[0], few_spike.BITS[-1]
    if settings.bits is not None and not (
        _is_count(settings.bits, least_bits) and settings.bits <= most_bits
    ):
        allowed_bits = f"a whole number, {least_bits} to {most_bits}"
        findings.append(_finding("bits", repr(settings.bits), allowed_bits))
    for name, least, most in (("percentile", 0.0, 100.0), ("target_drop", 0.0, 100.0)):
        value = getattr(settings, name)
        if value is None:
            continue
        if not isinstance(value, numbers.Real) or not least <= float(value) <= most:
            findings.append(_finding(name, repr(value), f"a number from {least:g} to {most:g}"))
    if settings.seed is not None and not _is_count(settings.seed, 0):
        findings.append(_finding("seed", repr(settings.seed), "a whole number of at least 0"))
    if settings.seed is not None and settings.encoder != "poisson":
        encoder = repr(settings.encoder or "constant")
        findings.append(
            _finding("seed", f"a seed with encoder {encoder}", "with encoder 'poisson'")
        )
    if settings.target_drop is not None and (settings.steps or settings.bits):
        findings.append(
            _finding(
                "target_drop",
                "also steps or bits",
                "one of them",
                "Leave out steps and bits: they are what target_drop chooses.",
            )
        )
    return findings


def _is_count(value: object, least: int = 1) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__") and value >= least  # type: ignore[operator]


def _refused(method: Method, settings: Settings) -> list[Diagnostic]:
    """Options that the method does not take, or values that it does not know."""
    findings: list[Diagnostic] = []
    for name, value in settings.given().items():
        if name not in {"encoder", "decoder"} | method.takes:
            takers = [m.name for m in METHODS.values() if name in m.takes]
            findings.append(
                _finding(
                    name, f"{value!r} for method '{method.name}'", f"with method {_or(takers)}"
                )
            )
    for name, known in (("encoder", method.encoders), ("decoder", method.decoders)):
        value = getattr(settings, name)
        if value is not None and value not in known:
            able = [m.name for m in METHODS.values() if value in getattr(m, f"{name}s")]
            findings.append(
                _finding(
                    name,
                    f"{value!r} for method '{method.name}'",
                    _or(list(map(repr, known))),
                    f"Use method {_or(able)} for it." if able else "",
                )
            )
    return findings


def _or(names: Sequence[str]) -> str:
    """``a, b or c``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _finding(name: str, found: str, allowed: str, hint: str = "") -> Diagnostic:
    return Diagnostic("convert.option", f"option '{name}'", found, allowed, hint)
