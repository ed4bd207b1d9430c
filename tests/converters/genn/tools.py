"""What the tests of the GeNN backend share: a stand-in for PyGeNN, and comparing runs."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest

from snnir.ir.model import Model
from snnir.runtime.backend import Prepared, Recording, find_backend, state_names
from snnir_converters.genn import GennBackend
from snnir_converters.genn._install import CPU, Installation

Array = npt.NDArray[Any]

HAS_PYGENN = find_spec("pygenn") is not None


def genn(function: Any) -> Any:
    """Mark a test (or class of tests) that runs PyGeNN."""
    reason = "needs PyGeNN, installed as its documentation says"
    return pytest.mark.genn(pytest.mark.skipif(not HAS_PYGENN, reason=reason)(function))


# Without PyGeNN ----------------------------------------------------------------------------------


def fake_pygenn(
    *,
    version: str = "5.4.0",
    backends: Iterable[str] = (CPU,),
    integers: type = int,
    build: Any = None,
) -> mock.MagicMock:
    """Something that answers as PyGeNN does, as far as it is asked before a model runs.

    Args:
        version: Its version.
        backends: Backends that it has.
        integers: What it makes of a whole number.
        build: Called as ``GeNNModel.build``, with ``path_to_model``.
    """
    package = mock.MagicMock()
    package.__version__ = version
    package.__path__ = []
    package.__spec__ = None
    package._genn.NumericValue = lambda value: types.SimpleNamespace(value=integers(value))
    package.genn_model.backend_modules = dict.fromkeys(backends)
    if build is not None:
        package.GeNNModel.return_value.build.side_effect = build
    return package


@contextlib.contextmanager
def installed(package: Any | None) -> Iterator[None]:
    """Make this the PyGeNN that is imported; None: there is none."""
    model = None if package is None else package.genn_model
    modules = {"pygenn": package, "pygenn.genn_model": model}
    with mock.patch.dict(sys.modules, modules):
        yield


def installation(package: Any) -> Installation:
    """The stand-in, as if it had been checked."""
    return Installation(package, package.__version__, (CPU,))


def runs_the_compiler(path_to_model: str) -> None:
    """What GeNN's build does: it calls a program, which writes into the model's folder."""
    import os

    code = Path(path_to_model) / "snnir_CODE"
    code.mkdir(exist_ok=True)
    subprocess.run(shlex.split(os.environ["CXX"]), cwd=code, check=True)


def programs(folder: Path, **scripts: str) -> str:
    """A folder with programs, to be the PATH: their texts, by name."""
    folder.mkdir()
    for name, text in scripts.items():
        path = folder / name.replace("gpp", "g++")
        path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        path.chmod(0o755)
    return str(folder)


# With PyGeNN -------------------------------------------------------------------------------------


def everything(model: Model) -> list[str]:
    """All that can be recorded: inputs, values and states."""
    values = [value for node in model.graph.nodes.values() for value in node.values()]
    states = [f"{node}:{name}" for node, found in state_names(model).items() for name in found]
    return [*(entry.name for entry in model.graph.inputs), *values, *states]


def differences(wanted: Recording, found: Recording) -> list[str]:
    """Names of outputs and recordings that are not the same, to the last bit and in type."""
    assert wanted.outputs.keys() == found.outputs.keys()
    assert wanted.recorded.keys() == found.recorded.keys()
    different = []
    for name in (*wanted.outputs, *wanted.recorded):
        one, other = wanted[name], found[name]
        if one.dtype != other.dtype or one.shape != other.shape:
            different.append(f"{name}: {one.dtype}{one.shape} {other.dtype}{other.shape}")
        elif not np.array_equal(one, other):
            different.append(f"{name}: {one.ravel()} {other.ravel()}")
    return different


def prepare(model: Model, **options: Any) -> Prepared:
    """The model on GeNN."""
    return GennBackend().prepare(model, **options)


def check_same(
    model: Model,
    inputs: Mapping[str, Any] | Array,
    *,
    steps: int | None = None,
    prepared: Prepared | None = None,
    **options: Any,
) -> Prepared:
    """Every value and state on GeNN is that of the reference, bit for bit, run after run."""
    names = everything(model)
    wanted = find_backend("reference").prepare(model, **options)
    reference = wanted.run(inputs, steps=steps, record=names)
    prepared = prepared or prepare(model, **options)
    for record in (names, [], names):
        found = prepared.run(inputs, steps=steps, record=record)
        expected = Recording(
            reference.outputs,
            {name: reference.recorded[name] for name in record},
            reference.steps,
            "reference",
        )
        assert not differences(expected, found)
    return prepared


def spikes(rng: np.random.Generator, *shape: int) -> Array:
    """Zeros and ones."""
    return rng.integers(0, 2, shape).astype(np.float32)


def dyadic(rng: np.random.Generator, *shape: int) -> Array:
    """Multiples of 1/8 from -1 to 1, so that sums of few are exact in any order."""
    return (rng.integers(-8, 9, shape) / 8).astype(np.float32)
