"""Frontend for Keras: `.keras`, legacy `.h5` and live models become ``ann`` graphs.

Files are read with h5py alone: neither Keras nor TensorFlow is imported, and no code of the
model runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Protocol

from snnir.errors import (
    Diagnostic,
    FormatError,
    MissingDependency,
    SnnirError,
    UnsupportedFeature,
)
from snnir.ir.model import Model
from snnir_converters import _hdf5
from snnir_converters.keras import _archive, _source
from snnir_converters.keras._build import Imported, NetworkBuilder, check_network
from snnir_converters.keras._network import MODELS, MODULES, NetworkReader

__all__ = ["FRONTEND", "Frontend", "KerasFrontend", "LiveFrontend", "import_keras", "read_keras"]


class Frontend(Protocol):
    """Reads models of another framework: entry point group ``snnir.frontends``."""

    name: str
    """What it is called."""

    extras: str
    """The extra of this project that installs what it needs."""

    suffixes: tuple[str, ...]
    """Endings of files that it reads: they decide where the content does not tell."""

    def recognises(self, path: Path) -> bool:
        """Whether a file is certainly one that it reads, by its content.

        Raises:
            MissingDependency: If a package is missing that could tell. Nothing else is raised.
        """

    def read(self, source: Any, **options: Any) -> Model:
        """The model, in the operators of domain ``ann``.

        Raises:
            SnnirError: If it cannot be read.
        """


class LiveFrontend(Frontend, Protocol):
    """A frontend that reads models in memory, too."""

    def recognises_live(self, source: object) -> bool:
        """Whether an object is one that it reads; told without importing its framework."""


def read_keras(source: Any, *, max_bytes: int = _hdf5.MAX_BYTES) -> Model:
    """Read a Keras network.

    Args:
        source: Path of a `.keras` or legacy `.h5` file, or a live model.
        max_bytes: Most bytes of weights that are read.

    Returns:
        A model in the operators of domain ``ann``. ``Node.source`` is the Keras layer (with the
        names of the models around it, if it is nested). Its ``findings`` say what was changed.

    Raises:
        FileError: If the file cannot be read.
        FormatError: If it is not a Keras network, or damaged.
        UnsupportedFeature: If layers or arguments cannot be carried over: all of them are named.
        MissingDependency: If h5py is not installed.
    """
    return import_keras(source, max_bytes=max_bytes).model


def import_keras(source: Any, *, max_bytes: int = _hdf5.MAX_BYTES) -> Imported:
    """Like :func:`read_keras`, together with the value that each call of a layer became."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        with _source.open_saved(path, max_bytes) as saved:
            return _import(saved, path.name)
    if hasattr(source, "get_config") and hasattr(source, "layers"):
        return _import(_source.live(source), "live model")
    raise FormatError(
        Diagnostic(
            "keras.not-keras",
            "the source",
            f"an object of type {type(source).__name__}",
            "a path or a Keras model",
        )
    )


def _import(saved: _source.Saved, origin: str) -> Imported:
    version = saved.numbers
    model = NetworkReader(version).read(saved.config)
    if model.network is None:
        found = model.custom or model.class_name
        raise UnsupportedFeature(
            Diagnostic("keras.model", saved.name, f"class {found[:80]}", " or ".join(MODELS[:2]))
        )
    findings = check_network(model)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise UnsupportedFeature(errors)
    metadata = {"source": origin, "keras.version": saved.version, "keras.model": model.name}
    builder = NetworkBuilder(version, metadata)
    builder.declare_inputs(model)
    saved.find(model)
    imported = builder.build(model)
    imported.model.findings = tuple(findings)
    return imported


class KerasFrontend:
    """The frontend for Keras networks."""

    name: Final = "keras"
    extras: Final = "keras"
    suffixes: Final = (".keras", ".h5", ".hdf5")

    def recognises(self, path: Path) -> bool:
        """Whether a file is certainly a saved Keras network, by its content.

        Raises:
            MissingDependency: If it is an HDF5 file and h5py is not installed.
        """
        try:
            with path.open("rb") as file:
                start = file.read(8)
            if start == _hdf5.SIGNATURE:
                with _hdf5.open_hdf5(path) as root:
                    return root.attribute("model_config") is not None
            if start[:4] == _source.ZIP_SIGNATURE:
                with _archive.open_archive(path) as archive:
                    return _archive.CONFIG in archive
        except MissingDependency:
            raise
        except (OSError, ValueError, SnnirError):
            return False
        return False

    def recognises_live(self, source: object) -> bool:
        """Whether an object is a model of Keras: ``keras``, ``tf_keras`` or TensorFlow's own."""
        return any(
            f"{cls.__module__}.".startswith(tuple(f"{module}." for module in MODULES))
            for cls in type(source).__mro__
        )

    def read(self, source: Any, **options: Any) -> Model:
        """Read a file or a live model; see :func:`read_keras`.

        Args:
            source: Path or live model.
            options: ``max_bytes``.

        Raises:
            SnnirError: See :func:`read_keras`; :class:`UnsupportedFeature` for other options.
        """
        unknown = sorted(set(options) - {"max_bytes"})
        if unknown:
            raise UnsupportedFeature(
                Diagnostic(
                    "keras.argument", "frontend 'keras'", f"option {unknown[0]}", "'max_bytes'"
                )
            )
        return read_keras(source, **options)


FRONTEND: Final = KerasFrontend()
"""What the entry point ``keras`` of group ``snnir.frontends`` names."""
