"""The target ``genn``: a folder with a PyGeNN script that needs nothing of this project."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.errors import CapabilityError, Diagnostic
from snnir.files import write_folder
from snnir.ir.model import Model
from snnir.targets import Ready, TargetOption
from snnir_converters.genn._script import MARK, README, SCRIPT, WEIGHTS, Script, write_script

Array = npt.NDArray[np.generic]

PRECISIONS: Final = {"float32": "float", "float64": "double"}
"""GeNN's name of each type of the computation."""

_MADE_AGAIN: Final = frozenset({SCRIPT, WEIGHTS, README, "__pycache__"})


def _precision(text: str) -> str:
    if text not in PRECISIONS:
        raise ValueError(text)
    return text


def _steps(text: str) -> int:
    steps = int(text)
    if steps < 1:
        raise ValueError(text)
    return steps


OPTIONS: Final = (
    TargetOption(
        "precision", "type of the computation", _precision, ", ".join(PRECISIONS), "float32"
    ),
    TargetOption(
        "steps",
        "presentation length of a run that states none",
        _steps,
        "a whole number above 0",
        "the model's",
    ),
)


class GennTarget:
    """Writes a script, its weights and a page that explains them."""

    name: str = "genn"
    extras: str = ""
    suffixes: tuple[str, ...] = ()
    writes_folder: bool = True
    takes_original: bool = False
    options: Sequence[TargetOption] = OPTIONS

    def prepare(
        self, model: Model, calibration: Mapping[str, Array] | None, options: Mapping[str, Any]
    ) -> Ready:
        """The model, with the presentation length of the options.

        Raises:
            CapabilityError: With all options that are not known or not allowed.
        """
        checked = _checked(options)
        if "steps" not in checked:
            return Ready(model)
        return Ready(replace(model, time=replace(model.time, steps=checked["steps"])))

    def check(self, model: Model) -> list[Diagnostic]:
        """All that does not fit."""
        findings = [finding for finding in check(model) if finding.severity == "error"]
        if not findings:
            try:
                write_script(model)
            except CapabilityError as error:
                findings += error.diagnostics
        return findings

    def emit(self, model: Model, path: Path, **options: Any) -> None:
        """Write the folder, whole or not at all; the same model gives the same bytes.

        Raises:
            CapabilityError: With all that does not fit; nothing has been written.
            FileError: If it cannot be written, or files of others are there; they are unchanged.
        """
        precision = _checked(options).get("precision", "float32")
        script = write_script(model, precision=PRECISIONS[precision])
        write_folder(path, lambda folder: _fill(folder, script), is_ours=_is_ours)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    known = {option.name: option for option in OPTIONS}
    findings: list[Diagnostic] = []
    checked: dict[str, Any] = {}
    for name, value in options.items():
        where = f"target 'genn', option '{name}'"
        if name not in known:
            findings.append(Diagnostic("target.option", where, repr(name), ", ".join(known)))
            continue
        try:
            checked[name] = known[name].parse(str(value))
        except ValueError:
            findings.append(Diagnostic("target.option", where, repr(value), known[name].allowed))
    if findings:
        raise CapabilityError(findings)
    return checked


def _fill(folder: str, script: Script) -> None:
    for name, text in ((SCRIPT, script.text), (README, script.readme)):
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    arrays: dict[str, Any] = dict(script.weights)
    with open(os.path.join(folder, WEIGHTS), "wb") as data:
        np.savez(data, **arrays)


def _is_ours(folder: str) -> bool:
    """Whether there is nothing in it but what this target wrote there."""
    if not set(os.listdir(folder)) <= _MADE_AGAIN:
        return False
    try:
        with open(os.path.join(folder, SCRIPT), encoding="utf-8", errors="replace") as file:
            return file.read(len(MARK)) == MARK
    except FileNotFoundError:
        return False
