"""The smallest situation for each code of the Keras frontend and the HDF5 reader."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from snnir.errors import (
    Diagnostic,
    FormatError,
    UnsupportedFeature,
    UnsupportedVersion,
)
from snnir_converters._hdf5 import Group, open_hdf5
from snnir_converters.keras import read_keras
from tests.converters.forging import (
    SMALL_WEIGHTS,
    archive,
    dense,
    h5py,
    input_layer,
    layer,
    legacy_file,
    sequential,
)
from tests.situations import Situations

CASES = Situations()
raises = CASES.raises


def hdf5(fill: Callable[[Any], object], use: Callable[[Group], object], **options: Any) -> None:
    """Write an HDF5 file, then use it."""
    stream = io.BytesIO()
    with h5py().File(stream, "w") as file:
        fill(file)
    with open_hdf5(stream.getvalue(), **options) as root:
        use(root)


@raises("hdf5.malformed", FormatError)
def _(folder: Path) -> None:
    with open_hdf5(b"something else"):
        pass


@raises("hdf5.missing", FormatError)
def _(folder: Path) -> None:
    hdf5(lambda file: None, lambda root: root.dataset("x"))


@raises("hdf5.link", FormatError)
def _(folder: Path) -> None:
    def fill(file: Any) -> None:
        file["x"] = h5py().ExternalLink("other.h5", "/x")

    hdf5(fill, lambda root: root.dataset("x"))


@raises("hdf5.storage", FormatError)
def _(folder: Path) -> None:
    hdf5(lambda file: file.create_dataset("x", (9,), "f4"), lambda root: root.dataset("x").read())


@raises("hdf5.type", FormatError)
def _(folder: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", (1,), h5py().ref_dtype)

    hdf5(fill, lambda root: root.dataset("x"))


@raises("hdf5.filter", FormatError)
def _(folder: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", data=np.ones(9), chunks=(9,), compression="lzf")

    hdf5(fill, lambda root: root.dataset("x").read())


@raises("hdf5.limit", FormatError)
def _(folder: Path) -> None:
    def fill(file: Any) -> None:
        file["x"] = np.ones(9)

    hdf5(fill, lambda root: root.dataset("x").read(), max_bytes=10)


@raises("keras.not-keras", FormatError)
def _(folder: Path) -> None:
    path = folder / "model.keras"
    path.write_bytes(b"not a model at all")
    read_keras(path)


@raises("keras.archive", FormatError)
def _(folder: Path) -> None:
    path = archive(folder / "model.keras")
    path.write_bytes(path.read_bytes()[:-30])
    read_keras(path)


@raises("keras.config", FormatError)
def _(folder: Path) -> None:
    read_keras(archive(folder / "model.keras", b"{"))


@raises("keras.weights", FormatError)
def _(folder: Path) -> None:
    network = sequential(input_layer(3), dense(units=3))
    read_keras(legacy_file(folder / "model.h5", network, SMALL_WEIGHTS))


@raises("keras.limit", FormatError)
def _(folder: Path) -> None:
    read_keras(archive(folder / "model.keras", b'{"a":' * 300 + b"1" + b"}" * 300))


@raises("keras.version", UnsupportedVersion)
def _(folder: Path) -> None:
    read_keras(archive(folder / "model.keras", version="4.0.0"))


@raises("keras.model", UnsupportedFeature)
def _(folder: Path) -> None:
    config = {"class_name": "Mine", "module": "mine", "registered_name": "Mine", "config": {}}
    read_keras(archive(folder / "model.keras", config))


@raises("keras.layer", UnsupportedFeature)
def _(folder: Path) -> None:
    read_keras(archive(folder / "model.keras", sequential(input_layer(3), layer("Lambda", "code"))))


@raises("keras.argument", UnsupportedFeature)
def _(folder: Path) -> None:
    network = sequential(input_layer(3), dense(activation="mish"))
    read_keras(archive(folder / "model.keras", network))


@raises("keras.call", UnsupportedFeature)
def _(folder: Path) -> None:
    network = sequential(input_layer(3), layer("Conv2D", "conv", filters=1, kernel_size=[1, 1]))
    weights = {"conv": {"kernel": np.ones((1, 1, 3, 1), "f4"), "bias": np.ones(1, "f4")}}
    read_keras(legacy_file(folder / "model.h5", network, weights))


def precision(folder: Path) -> Iterable[Diagnostic]:
    """A finding of a model that is read all the same."""
    network = sequential(input_layer(3), dense(dtype="mixed_float16"))
    return read_keras(archive(folder / "model.keras", network)).findings


CASES.append(("keras.precision", None, precision))
