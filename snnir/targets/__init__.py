"""What a target is, and finding one: entry point group ``snnir.targets``.

A target is where a spiking network goes: a file of another format, code for a simulator, a
chip. The target ``snnir`` is this project's own file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnir import plugins
from snnir.errors import (
    CapabilityError,
    Diagnostic,
    PluginError,
    SnnirWarning,
    raise_errors,
)
from snnir.ir.model import Model

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class TargetOption:
    """A setting of a target: ``-O name=value`` on the command line, a keyword in Python.

    Attributes:
        name: Its name.
        doc: What it does, in a line.
        parse: Its value from text; raises ``ValueError`` for what is not allowed.
        allowed: What is allowed, in words.
        default: Its value if it is not given, in words.
    """

    name: str
    doc: str
    parse: Callable[[str], Any]
    allowed: str
    default: str = ""


class TargetReport(Protocol):
    """What bringing a network to a target did; ``str`` gives it as readable text."""

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""


@dataclass(frozen=True)
class Ready:
    """A model in a form that can be emitted.

    Attributes:
        model: The model.
        report: What was done to it; None if nothing was.
    """

    model: Model
    report: TargetReport | None = None


@runtime_checkable
class Target(Protocol):
    """Writes models for something else: entry point group ``snnir.targets``."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def extras(self) -> str:
        """The extra of this project that installs what it needs, or empty."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of output names that stand for it, e.g. ``(".net",)``; may be empty."""

    @property
    def writes_folder(self) -> bool:
        """Whether it writes a folder instead of a file."""

    @property
    def takes_original(self) -> bool:
        """Whether it makes its network of the original, where there is one (domain ``ann``)."""

    @property
    def options(self) -> Sequence[TargetOption]:
        """Its settings."""

    def prepare(
        self, model: Model, calibration: Mapping[str, Array] | None, options: Mapping[str, Any]
    ) -> Ready:
        """The model in a form that can be emitted: quantised, retimed, lowered.

        Args:
            model: A spiking network, or the original if the target takes that; not modified.
            calibration: Samples for each input, or None if there are none.
            options: Settings by name; those that were not given are absent.

        Raises:
            SnnirError: If that is not possible.
        """

    def check(self, model: Model) -> list[Diagnostic]:
        """All that does not fit, before a byte is written; empty if it can be emitted."""

    def emit(self, model: Model, path: Path, **options: Any) -> None:
        """Write it, whole or not at all.

        Raises:
            FileError: If it cannot be written; what was there is unchanged.
            SnnirError: If something does not fit.
        """


class SnnirTarget:
    """This project's own file: the model as it is."""

    name: str = "snnir"
    extras: str = ""
    suffixes: tuple[str, ...] = (".snnir",)
    writes_folder: bool = False
    takes_original: bool = False
    options: Sequence[TargetOption] = ()

    def prepare(
        self, model: Model, calibration: Mapping[str, Array] | None, options: Mapping[str, Any]
    ) -> Ready:
        """The model itself."""
        return Ready(model)

    def check(self, model: Model) -> list[Diagnostic]:
        """What is wrong with the model."""
        from snnir.check import check

        return [finding for finding in check(model) if finding.severity == "error"]

    def emit(self, model: Model, path: Path, **options: Any) -> None:
        """Save it."""
        from snnir.serde.file import save

        save(model, path)


BUILT_IN: Final = ("snnir", "loihi2")


def target_names() -> list[str]:
    """Names of the installed targets."""
    return [*BUILT_IN, *(name for name in plugins.names("targets") if name not in BUILT_IN)]


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        PluginError: If it is unknown or does not load.
    """
    if name == "snnir":
        return SnnirTarget()
    if name == "loihi2":
        from snnir.targets.loihi2 import Loihi2Target

        return Loihi2Target()
    found = plugins.load_optional("targets", name)
    if found is None:
        raise PluginError(
            Diagnostic("plugin.unknown", "targets", f"'{name}'", ", ".join(target_names()))
        )
    return found() if isinstance(found, type) else found  # type: ignore[no-any-return]


def target_for(path: str | os.PathLike[str]) -> Target:
    """The target that an output name stands for by its ending; ``snnir`` if none does.

    Raises:
        PluginError: If a target does not load.
    """
    suffix = Path(path).suffix.lower()
    for name in target_names() if suffix not in SnnirTarget.suffixes and suffix else ():
        target = find_target(name)
        if suffix in target.suffixes:
            return target
    return SnnirTarget()


def parse_options(target: Target, given: Sequence[str]) -> dict[str, Any]:
    """Settings from ``name=value`` texts.

    Raises:
        CapabilityError: With every one that the target does not know or allow.
    """
    known = {option.name: option for option in target.options}
    findings: list[Diagnostic] = []
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        where = f"target '{target.name}', option '{name}'"
        option = known.get(name)
        if option is None or not equals:
            allowed = ", ".join(f"{each}=VALUE" for each in known) or "no option"
            findings.append(Diagnostic("target.option", where, f"'{text}'", allowed))
            continue
        try:
            values[name] = option.parse(value)
        except ValueError:
            findings.append(Diagnostic("target.option", where, f"'{value}'", option.allowed))
    if findings:
        raise CapabilityError(findings)
    return values


def make_ready(
    model: Model,
    target: Target,
    *,
    calibration: Mapping[str, Array] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Ready:
    """Bring a network into the form that a target writes, and check that it fits.

    Args:
        model: A spiking network, or the original if the target takes that; not modified.
        target: The target.
        calibration: Samples for each input, for what the target has to calibrate.
        options: Settings of the target by name.

    Returns:
        What :func:`write` writes, and what was done to it.

    Raises:
        CapabilityError: With all that does not fit.
        SnnirError: If it cannot be prepared.

    Warns:
        SnnirWarning: Of what the target says without refusing, e.g. what stays with the host.
    """
    ready = target.prepare(model, calibration, dict(options or {}))
    findings = target.check(ready.model)
    raise_errors(findings, CapabilityError)
    for finding in findings:
        if finding.severity == "warning":
            warnings.warn(str(finding), SnnirWarning, stacklevel=2)
    return ready


def emit(
    model: Model,
    path: str | os.PathLike[str],
    target: Target,
    *,
    calibration: Mapping[str, Array] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Ready:
    """Bring a network to a target: :func:`make_ready`, and write it.

    Raises:
        FileError: If it cannot be written; what was there is unchanged.
        SnnirError: See :func:`make_ready`; nothing has been written.
    """
    ready = make_ready(model, target, calibration=calibration, options=options)
    target.emit(ready.model, Path(path), **(options or {}))
    return ready
