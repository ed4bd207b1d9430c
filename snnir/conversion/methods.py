"""The registry of methods: what each is, what options it takes, and how it is called."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.conversion.settings import (
    METHOD_NAMES,
    Decoder,
    Encoder,
    MethodName,
    Settings,
)
from snnir.errors import ConversionError, Diagnostic, UnsupportedFeature
from snnir.ir.model import Model

Array = npt.NDArray[Any]

Lower = Callable[[Model, Mapping[str, Array], Settings, int], tuple[Model, Sequence[Any]]]
"""Of a canonical model, calibration samples, settings and the number of steps or bits: the
spiking network, and a ``LayerReport`` for each activation."""

FEW_SPIKE_ACTIVATIONS: Final = frozenset({"Sigmoid", "Tanh", "SiLU", "GELU", "ELU", "HardSigmoid"})
"""Activations that ``few-spike`` carries and rate coding does not."""


@dataclass(frozen=True)
class Method:
    """One way to make a network spike.

    Attributes:
        name: Name by which it is chosen.
        summary: What it does, in a line.
        reference: Where it comes from.
        resolution: The option that trades latency for accuracy: ``"steps"`` or ``"bits"``.
        default: Its value if none is given.
        tries: Its values that ``target_drop`` chooses from, ascending.
        options: Names of the other options that it takes.
        encoders: Input encodings; the first is the default.
        decoders: Readouts; the first is the default.
        readable_early: Whether the answer after fewer steps is a coarser answer.
        lower: Does it.
    """

    name: MethodName
    summary: str
    reference: str
    resolution: str
    default: int
    tries: tuple[int, ...]
    options: frozenset[str]
    encoders: tuple[Encoder, ...]
    decoders: tuple[Decoder, ...]
    readable_early: bool
    lower: Lower

    @property
    def coarse(self) -> tuple[int, ...]:
        """Of ``tries``, those that are tried first; the others lie between them."""
        if self.resolution == "bits":
            return self.tries
        return tuple(number for number in self.tries if number & (number - 1) == 0)

    def resolution_of(self, settings: Settings) -> int:
        """The number of steps or bits that is asked for, or the default."""
        found: int | None = getattr(settings, self.resolution)
        return self.default if found is None else int(found)


# Rate coding ---------------------------------------------------------------------------------


def _rate(
    model: Model, calibration: Mapping[str, Array], settings: Settings, steps: int
) -> tuple[Model, Sequence[Any]]:
    from snnir.passes.rate import RateOptions, lower_to_rates

    given = {k: v for k, v in settings.given().items() if k not in ("steps", "bits")}
    options = RateOptions(steps=steps, method=settings.method, **given)  # type: ignore[arg-type]
    return lower_to_rates(model, calibration, options)


def _rate_method(
    name: MethodName, summary: str, reference: str, options: Iterable[str] = ()
) -> Method:
    return Method(
        name,
        summary,
        reference,
        resolution="steps",
        default=32,
        tries=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256),
        options=frozenset({"seed", *options}),
        encoders=("constant", "poisson", "rate", "latency"),
        decoders=("potential", "spike-count"),
        readable_early=True,
        lower=_rate,
    )


# Few spikes ----------------------------------------------------------------------------------


def _few_spikes(
    model: Model, calibration: Mapping[str, Array], settings: Settings, bits: int
) -> tuple[Model, Sequence[Any]]:
    from snnir.passes.few_spike import FewSpikeOptions, lower_to_few_spikes

    given = {k: v for k, v in settings.given().items() if k not in ("steps", "bits", "decoder")}
    options = FewSpikeOptions(bits=bits, **given)
    network, layers = lower_to_few_spikes(model, calibration, options)
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
            tries=(2, 3, 4, 5, 6, 7, 8, 10, 12),
            options=frozenset({"per_channel"}),
            encoders=("constant", "few-spike"),
            decoders=("potential",),
            readable_early=False,
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
) -> tuple[Method, int, Model, Sequence[Any]]:
    """The spiking network by the first method that carries the network over.

    Args:
        methods: Methods in order of preference.
        model: A canonical model of domain ``ann``.
        calibration: Samples for each input.
        settings: What was asked for.
        resolution: Gives the steps or bits of a method.

    Returns:
        The method, its steps or bits, the network, and what became of each activation.

    Raises:
        UnsupportedFeature: If none does: what the first one cannot carry, naming the method
            that can.
    """
    first: UnsupportedFeature | None = None
    for method in methods:
        chosen = resolution(method)
        named = dataclasses.replace(settings, method=method.name)
        try:
            with np.errstate(all="ignore"):  # as in a run
                return method, chosen, *method.lower(model, calibration, named, chosen)
        except UnsupportedFeature as error:
            first = first or error
    findings = () if first is None else first.diagnostics
    raise UnsupportedFeature([_naming_another(finding, model, methods) for finding in findings])


def _naming_another(finding: Diagnostic, model: Model, methods: Sequence[Method]) -> Diagnostic:
    """The finding; its remedy names few-spike where few-spike is not what failed and can."""
    name = finding.where.partition("'")[2].partition("'")[0]
    node = model.graph.nodes.get(name)
    tried = {method.name for method in methods}
    if (
        finding.code != "convert.method"
        or node is None
        or node.operator not in FEW_SPIKE_ACTIVATIONS
        or "few-spike" in tried
    ):
        return finding
    hint = f"Use method 'few-spike', which carries {node.operator}."
    return dataclasses.replace(finding, hint=hint)


def _values(settings: Settings) -> list[Diagnostic]:
    """Options whose value no method could use."""
    findings: list[Diagnostic] = []
    for name in ("steps", "bits"):
        value = getattr(settings, name)
        if value is not None and not _is_count(value):
            findings.append(_finding(name, repr(value), "a whole number of at least 1"))
    for name, least, most in (("percentile", 0.0, 100.0), ("target_drop", 0.0, 100.0)):
        value = getattr(settings, name)
        if value is None:
            continue
        if not isinstance(value, numbers.Real) or not least <= float(value) <= most:
            findings.append(_finding(name, repr(value), f"a number from {least:g} to {most:g}"))
    if settings.seed is not None and not _is_count(settings.seed, 0):
        findings.append(_finding("seed", repr(settings.seed), "a whole number of at least 0"))
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
        where = f"option '{name}'"
        if name not in {method.resolution, "encoder", "decoder"} | method.options:
            takers = [m.name for m in METHODS.values() if name in m.options | {m.resolution}]
            findings.append(
                Diagnostic(
                    "convert.option",
                    where,
                    f"{value!r} for method '{method.name}'",
                    f"only for {', '.join(takers)}",
                )
            )
    for name, known in (("encoder", method.encoders), ("decoder", method.decoders)):
        value = getattr(settings, name)
        if value is not None and value not in known:
            able = [m.name for m in METHODS.values() if value in getattr(m, f"{name}s")]
            findings.append(
                Diagnostic(
                    "convert.option",
                    f"option '{name}'",
                    f"{value!r} for method '{method.name}'",
                    ", ".join(map(repr, known)),
                    f"Use method {' or '.join(able)} for it." if able else "",
                )
            )
    return findings


def _finding(name: str, found: str, allowed: str, hint: str = "") -> Diagnostic:
    return Diagnostic("convert.option", f"option '{name}'", found, allowed, hint)
