"""Keras in tests: random weights, the outputs of every layer, and comparison with an import."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import snnir
from snnir_converters.keras import import_keras
from snnir_converters.keras._build import Imported

Array = npt.NDArray[Any]

TOLERANCE = 1e-5
"""Of the largest magnitude in a layer's output.

Both sides compute in float32, but sum in different orders; what an element can lose that way is
proportional to the terms that were summed, hence to the layer's scale, not to the element.
"""


def keras() -> Any:
    """Keras; the test is skipped if it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("keras", reason="needs Keras")
    logging.getLogger("absl").setLevel(logging.ERROR)
    return module


def randomise(model: Any, seed: int = 0) -> Any:
    """Give every variable of a model random values that keep activations of order 1."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        name = variable.path.rsplit("/", 1)[-1]
        if "variance" in name or "stddev" in name:
            value = rng.uniform(0.5, 2.0, shape)
        elif name == "gamma":
            value = rng.uniform(-2.0, 2.0, shape)
        elif len(shape) > 1 and name != "alpha":
            value = rng.normal(size=shape) / np.sqrt(max(np.prod(shape[:-1]), 1))
        elif name == "count":
            value = np.asarray(7)
        else:
            value = rng.normal(size=shape)
        variable.assign(value.astype("int64" if "int" in str(variable.dtype) else "float32"))
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return model


def sample(model: Any, count: int = 2, seed: int = 1) -> dict[str, Array]:
    """Random inputs, by the name of the input."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for tensor in model.inputs:
        shape = (count, *(n or 6 for n in tensor.shape[1:]))
        if "int" in str(tensor.dtype):
            found[tensor.name] = rng.integers(0, 100, shape).astype(tensor.dtype)
        else:
            found[tensor.name] = rng.normal(size=shape).astype(np.float32)
    return found


def layer_outputs(model: Any) -> dict[str, Any]:
    """The symbolic output of every call in a model, by the name that an import gives it."""
    functional = model
    if type(model).__name__ == "Sequential":
        functional = model._functional
    found: dict[str, Any] = {}
    own = {node for nodes in functional._nodes_by_depth.values() for node in nodes}
    for operation in functional.operations:
        index = 0
        for node in operation._inbound_nodes:
            if node in own:
                found[f"{operation.name}.{index}" if index else operation.name] = (
                    node.output_tensors[0]
                )
                index += 1
    return found


def keras_values(model: Any, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], list[Array]]:
    """What Keras computes, for every call and for the outputs."""
    symbolic = layer_outputs(model)
    probe = keras().Model(list(model.inputs), [*symbolic.values(), *model.outputs])
    values = probe([inputs[tensor.name] for tensor in model.inputs], training=False)
    arrays = [np.asarray(value) for value in values]
    return dict(zip(symbolic, arrays, strict=False)), arrays[len(symbolic) :]


def imported_values(imported: Imported, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the import computes, for every call."""
    wanted = {name: value for name, value in imported.outputs.items() if ":" in value}
    run = snnir.run(imported.model, dict(inputs), record=sorted(set(wanted.values())))
    return {name: run.recorded[value] for name, value in wanted.items()}


def difference(found: Array, expected: Array) -> float:
    """Largest difference, relative to the largest magnitude."""
    assert found.shape == expected.shape
    scale = float(np.max(np.abs(expected), initial=0.0)) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - expected), initial=0.0)) / scale


def assert_same(imported: Imported, model: Any, inputs: Mapping[str, Array] | None = None) -> None:
    """An import is valid and computes what Keras computes, in every layer."""
    assert [str(d) for d in snnir.check(imported.model) if d.severity == "error"] == []
    inputs = sample(model) if inputs is None else inputs
    renamed = dict(zip((e.name for e in imported.model.graph.inputs), inputs.values(), strict=True))
    expected, outputs = keras_values(model, inputs)
    found = imported_values(imported, renamed)
    assert set(expected) <= set(imported.outputs)
    for name, value in expected.items():
        # A layer that does nothing leaves no node: its output is that of the layer before.
        kept = found.get(name, renamed.get(imported.outputs[name]))
        assert kept is not None, name
        assert difference(kept, value) <= TOLERANCE, name
    run = snnir.run(imported.model, renamed)
    for value, output in zip(run.outputs.values(), outputs, strict=True):
        assert difference(value, output) <= TOLERANCE


FORMATS: dict[str, Callable[[Any, Path], Any]] = {
    "live": lambda model, folder: model,
    "keras": lambda model, folder: _saved(model, folder / "model.keras"),
    "h5": lambda model, folder: _saved(model, folder / "model.h5"),
}
"""The ways in which a model reaches the frontend."""


def _saved(model: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def assert_same_in_every_format(model: Any, folder: Path) -> None:
    """A model, live and saved in both formats, imports to what Keras computes."""
    for form in FORMATS.values():
        assert_same(import_keras(form(model, folder)), model)
