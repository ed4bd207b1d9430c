"""From a file, or a live model, to a configuration and weights."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from snnir.errors import (
    Diagnostic,
    FileError,
    FormatError,
    SnnirError,
    UnsupportedFeature,
    UnsupportedVersion,
)
from snnir_converters import _hdf5
from snnir_converters.keras import _archive, _json, _weights
from snnir_converters.keras._json import Json
from snnir_converters.keras._network import Layer

ZIP_SIGNATURE: Final = b"PK\x03\x04"

_BACKENDS: Final = ("", "tensorflow", "jax", "torch", "numpy", "openvino")


@dataclass
class Saved:
    """A network as it was saved.

    Attributes:
        name: What to call it in messages.
        config: The configuration of the model.
        version: Of the Keras that wrote it, e.g. ``"3.12.0"``.
        find: Finds the variables of the layers.
    """

    name: str
    config: Json
    version: str
    find: Any

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers."""
        return tuple(int(number) for number in re.findall(r"\d+", self.version)[:3])


@contextmanager
def open_saved(path: Path, max_bytes: int) -> Iterator[Saved]:
    """Open a `.keras` or legacy `.h5` file, told apart by their content.

    Raises:
        SnnirError: If it cannot be read, or is neither.
    """
    name = f"'{path}'"
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(Diagnostic("file.unreadable", name, reason, "a readable file")) from error
    if start == _hdf5.SIGNATURE:
        with _hdf5.open_hdf5(path, max_bytes=max_bytes) as root:
            yield _legacy(root, name)
    elif start[:4] == ZIP_SIGNATURE:
        with _archive.open_archive(path) as archive:
            config, version = _read_archive(archive, name)
            weights = _read_weights(archive, name, max_bytes)
        where = f"{name}, {_archive.WEIGHTS}"
        with _hdf5.open_hdf5(weights, name=where, max_bytes=max_bytes) as root:
            del weights
            saved = Saved(name, config, version, None)
            numbers = _checked(saved)
            saved.find = lambda model: _weights.find_in_archive(root, model, numbers, where)
            yield saved
    else:
        raise FormatError(
            Diagnostic(
                "keras.not-keras",
                name,
                f"a file that starts with {start!r}",
                "a .keras archive or an HDF5 file",
            )
        )


def _checked(saved: Saved) -> tuple[int, ...]:
    """The version as numbers; one that is too old or not known is an error."""
    numbers = saved.numbers
    if not numbers or numbers[0] not in (2, 3):
        raise UnsupportedVersion(
            Diagnostic(
                "keras.version", saved.name, f"Keras {saved.version[:40] or '1'}", "Keras 2 or 3"
            )
        )
    return numbers


def _read_archive(archive: _archive.Archive, name: str) -> tuple[Json, str]:
    if _archive.CONFIG not in archive:
        found = f"an archive without {_archive.CONFIG}"
        raise FormatError(Diagnostic("keras.not-keras", name, found, "a .keras archive"))
    content = archive.read(_archive.CONFIG, _archive.MAX_CONFIG_BYTES)
    config = _json.parse(content, f"{name}, {_archive.CONFIG}")
    where = f"{name}, {_archive.METADATA}"
    metadata = _json.parse(archive.read(_archive.METADATA, _archive.MAX_METADATA_BYTES), where)
    return config, _json.string(metadata.get("keras_version"), f"{where}, keras_version")


def _read_weights(archive: _archive.Archive, name: str, max_bytes: int) -> bytes:
    if _archive.WEIGHTS not in archive and "model.weights.npz" in archive:
        raise UnsupportedFeature(
            Diagnostic("keras.model", name, "weights in .npz", "weights in HDF5")
        )
    return archive.read(_archive.WEIGHTS, max_bytes)


def _legacy(root: _hdf5.Group, name: str) -> Saved:
    config = root.attribute("model_config")
    if config is None:
        known = root.get("layer_names") is not None or root.attribute("layer_names") is not None
        weights = known or root.get("layers") is not None
        raise FormatError(
            Diagnostic(
                "keras.not-keras",
                name,
                "an HDF5 file with weights alone" if weights else "an HDF5 file without a model",
                "an HDF5 file with the attribute 'model_config'",
                "Save the whole model: model.save('name.keras')." if weights else "",
            )
        )
    where = f"{name}, attribute 'model_config'"
    parsed = _json.parse(_json.string(config, where), where)
    version = _string(root, "keras_version")
    backend = _string(root, "backend")
    if backend not in _BACKENDS:
        raise UnsupportedVersion(
            Diagnostic(
                "keras.version", name, f"weights of backend '{backend[:40]}'", "TensorFlow's layout"
            )
        )
    saved = Saved(name, parsed, version, lambda model: _weights.find_in_legacy(root, model))
    _checked(saved)
    return saved


def _string(root: _hdf5.Group, attribute: str) -> str:
    for group in (root, root.get("model_weights")):
        found = group.attribute(attribute) if isinstance(group, _hdf5.Group) else None
        if isinstance(found, str):
            return found
    return ""


# Live models ---------------------------------------------------------------------------------


def live(model: Any) -> Saved:
    """A model that is in memory.

    Raises:
        UnsupportedFeature: If it is not one whose configuration says what it does.
    """
    kind = type(model)
    name = f"the live model '{getattr(model, 'name', kind.__name__)}'"
    try:
        config = _plain(model.get_config())
    except SnnirError:
        raise
    except Exception as error:
        config = {"error": f"{type(error).__name__}"}
    if kind.__name__ not in ("Sequential", "Functional", "Model") or "layers" not in config:
        raise UnsupportedFeature(
            Diagnostic("keras.model", name, f"class {kind.__name__}", "Sequential or Functional")
        )
    _json.check_depth(config, name)
    entry = {"class_name": kind.__name__, "module": kind.__module__, "config": config}
    package = sys.modules.get(kind.__module__.split(".")[0])
    version = str(getattr(package, "__version__", "3"))
    if kind.__module__.startswith("tensorflow."):
        version = "2"
    saved = Saved(name, entry, version, lambda layer: _find_live(model, layer))
    _checked(saved)
    return saved


def _find_live(model: Any, layer: Layer) -> None:
    _weights.find_in_live(model.layers, layer)


def _plain(value: Any, depth: int = 0) -> Json:
    """A configuration as JSON would give it back; what JSON has no form for stays."""
    if depth > _json.MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {str(key): _plain(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, depth + 1) for entry in value]
    if not isinstance(value, str) and hasattr(value, "tolist"):
        return value.tolist()
    return value
