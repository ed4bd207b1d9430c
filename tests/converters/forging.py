"""Saved Keras models made by hand: what Keras would write, or would never write."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Weights = Mapping[str, Mapping[str, Any]]
"""Arrays by the name of the variable, by the name of the layer (or its folder)."""


def h5py() -> Any:
    """The package; the test is skipped if it is not installed."""
    return pytest.importorskip("h5py", reason="needs h5py")


def layer(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    """An entry of a configuration."""
    return {"class_name": class_name, "config": {"name": name, **config}}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a sequential model."""
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(layers)}}


def input_layer(*shape: int | None, name: str = "x") -> dict[str, Any]:
    """The entry of an input layer."""
    return layer("InputLayer", name, batch_shape=[None, *shape])


def dense(name: str = "dense", units: int = 2, **config: Any) -> dict[str, Any]:
    """The entry of a dense layer without activation."""
    return layer("Dense", name, units=units, **config)


SMALL = sequential(input_layer(3), dense())
"""A model of one dense layer."""

SMALL_WEIGHTS: Weights = {
    "dense": {"kernel": np.arange(6, dtype=np.float32).reshape(3, 2), "bias": np.ones(2, "f4")}
}


def legacy_file(path: Path, config: Any, weights: Weights, version: str = "3.12.0") -> Path:
    """A legacy `.h5` file."""
    with h5py().File(path, "w") as file:
        file.attrs["model_config"] = (
            config if isinstance(config, (str, bytes)) else json.dumps(config)
        )
        file.attrs["keras_version"] = version
        file.attrs["backend"] = "tensorflow"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, variables in weights.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = [f"{name}/{variable}".encode() for variable in variables]
            for variable, value in variables.items():
                own[f"{name}/{variable}"] = value
    return path


def weights_file(weights: Mapping[str, Sequence[Any]], root: str = "layers") -> bytes:
    """A `model.weights.h5`: arrays by the layer's folder."""
    stream = io.BytesIO()
    with h5py().File(stream, "w") as file:
        file.create_group("vars")
        for folder, arrays in weights.items():
            group = file.create_group(f"{root}/{folder}/vars")
            for number, array in enumerate(arrays):
                group[str(number)] = array
    return stream.getvalue()


SMALL_H5: Mapping[str, Sequence[Any]] = {"dense": tuple(SMALL_WEIGHTS["dense"].values())}


def archive(
    path: Path,
    config: Any = SMALL,
    weights: bytes | None = None,
    version: str = "3.12.0",
    **members: bytes | None,
) -> Path:
    """A `.keras` file; `members` replace or (None) leave out its members, `.` written `_`."""
    content: dict[str, bytes | None] = {
        "metadata.json": json.dumps({"keras_version": version}).encode(),
        "config.json": config if isinstance(config, bytes) else json.dumps(config).encode(),
        "model.weights.h5": weights_file(SMALL_H5) if weights is None else weights,
    }
    content.update({key.replace("__", "."): value for key, value in members.items()})
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            if data is not None:
                file.writestr(name, data)
    return path
