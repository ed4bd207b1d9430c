"""The target: a folder with a script and weights, or a live network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic, raise_errors
from snnir.files import write_folder
from snnir.ir.model import Model
from snnir.targets import Ready, TargetOption
from snnir_converters.mlgenn import _script
from snnir_converters.mlgenn._describe import describe, rest_findings
from snnir_converters.mlgenn._description import Description
from snnir_converters.mlgenn._live import Live, build_network

Array = npt.NDArray[np.generic]


class MlGennTarget:
    """The target for mlGeNN."""

    name: str = "mlgenn"
    extras: str = ""
    suffixes: tuple[str, ...] = ()
    writes_folder: bool = True
    takes_original: bool = False
    options: Sequence[TargetOption] = ()

    def prepare(
        self, model: Model, calibration: Mapping[str, Array] | None, options: Mapping[str, Any]
    ) -> Ready:
        """The model itself.

        Raises:
            CapabilityError: If an option is given; there are none.
        """
        if options:
            found = ", ".join(map(repr, options))
            raise CapabilityError(Diagnostic("target.option", "target 'mlgenn'", found, "none"))
        return Ready(model)

    def check(self, model: Model) -> list[Diagnostic]:
        """All that does not fit, and (warnings) what is not quite the same."""
        return _described(model)[1]

    def emit(self, model: Model, path: Path, **options: Any) -> None:
        """Write a folder with ``network.py`` and ``weights``; one that it wrote is replaced.

        Raises:
            FileError: If it cannot be written; what was there is unchanged.
            CapabilityError: If something does not fit; with all findings.
        """
        files = _script.files(_checked(model))

        def fill(folder: str) -> None:
            for name, content in files.items():
                place = Path(folder, *name.split("/"))
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(content)

        write_folder(path, fill, is_ours=_is_ours)


def _is_ours(folder: str) -> bool:
    """Whether there is nothing in a folder but what this target wrote there."""
    script, weights = Path(folder, _script.SCRIPT), Path(folder, _script.WEIGHTS)
    others = {entry.name for entry in Path(folder).iterdir()} - {script.name, weights.name}
    arrays = weights.iterdir() if weights.is_dir() else ()
    if others - {"__pycache__"} or any(entry.suffix != ".npy" for entry in arrays):
        return False
    return script.is_file() and script.read_bytes().startswith(_script.MARK.encode())


TARGET: Final = MlGennTarget()
"""What the entry point ``mlgenn`` of group ``snnir.targets`` names."""


def to_network(model: Model) -> Live:
    """A live network of mlGeNN, with maps of its inputs and outputs.

    Raises:
        CapabilityError: If something does not fit; with all findings.
        MissingDependency: If mlGeNN is not installed.
    """
    return build_network(_checked(model))


def _described(model: Model) -> tuple[Description | None, list[Diagnostic]]:
    description, findings = describe(model)
    if description is not None:
        findings = [*findings, *rest_findings(description, model)]
    return description, findings


def _checked(model: Model) -> Description:
    description, findings = _described(model)
    raise_errors(findings, CapabilityError)
    if description is None:
        raise CapabilityError(findings)
    return description
