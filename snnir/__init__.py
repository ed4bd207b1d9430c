"""snnir: a portable, executable file format for spiking neural networks, and its tools.

>>> import snnir
>>> model, report = snnir.convert("net.keras", calibration=samples)  # doctest: +SKIP
>>> model = snnir.load("model.snnir")           # doctest: +SKIP
>>> snnir.check(model)                          # doctest: +SKIP
>>> snnir.run(model, images)["class"]           # doctest: +SKIP

What needs protobuf or runs models is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnir._version import __version__
from snnir.check import check
from snnir.errors import (
    CapabilityError,
    ConversionError,
    Diagnostic,
    FileError,
    FormatError,
    MissingDependency,
    ModelError,
    PluginError,
    RunError,
    SnnirError,
    SnnirWarning,
    UnsupportedFeature,
    UnsupportedVersion,
)
from snnir.infer import infer
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor

if TYPE_CHECKING:
    from snnir.api import make_example, run, verify
    from snnir.conversion import ConversionReport, convert
    from snnir.ir.diff import diff
    from snnir.ir.digest import digest
    from snnir.serde.file import load, loads, save, to_bytes
    from snnir.training import TrainReport, TrainSettings, train

_LAZY = {
    "ConversionReport": "snnir.conversion",
    "convert": "snnir.conversion",
    "diff": "snnir.ir.diff",
    "digest": "snnir.ir.digest",
    "load": "snnir.serde.file",
    "loads": "snnir.serde.file",
    "make_example": "snnir.api",
    "run": "snnir.api",
    "save": "snnir.serde.file",
    "to_bytes": "snnir.serde.file",
    "train": "snnir.training",
    "TrainReport": "snnir.training",
    "TrainSettings": "snnir.training",
    "verify": "snnir.api",
}

__all__ = [
    "CapabilityError",
    "ConversionError",
    "ConversionReport",
    "Diagnostic",
    "FileError",
    "FormatError",
    "GraphBuilder",
    "MissingDependency",
    "Model",
    "ModelError",
    "PluginError",
    "RunError",
    "SnnirError",
    "SnnirWarning",
    "Tensor",
    "TrainReport",
    "TrainSettings",
    "UnsupportedFeature",
    "UnsupportedVersion",
    "__version__",
    "check",
    "convert",
    "diff",
    "digest",
    "infer",
    "load",
    "loads",
    "make_example",
    "run",
    "save",
    "to_bytes",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    home = _LAZY.get(name)
    if home is None:
        raise AttributeError(f"module 'snnir' has no attribute '{name}'")
    from importlib import import_module

    globals()[name] = getattr(import_module(home), name)
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
