"""The smallest situation for each code of the GeNN backend; none of them needs PyGeNN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnir import GraphBuilder
from snnir.errors import CapabilityError, Diagnostic, MissingDependency, RunError
from snnir.ir.model import Model
from snnir_converters.genn import GennBackend
from snnir_converters.genn._cache import FOLDER_VARIABLE, keep
from snnir_converters.genn._engine import Engine, Settings
from snnir_converters.genn._install import CPU, compiler_command
from snnir_converters.genn._lower import lower
from tests.converters.genn.tools import (
    fake_pygenn,
    installation,
    installed,
    programs,
    runs_the_compiler,
)
from tests.situations import Situations

CASES = Situations()
raises = CASES.raises


def small(*, delay_steps: int = 0, symbol: bool = False, foreign: bool = False) -> Model:
    """Two neurons in a row."""
    b = GraphBuilder(steps=3)
    x = b.input("x", ["n" if symbol else 2], timing="per_step")
    if foreign:
        x = b.ann.ReLU(x, name="relu")
    first = b.snn.IF(x, name="first")
    b.output("y", b.snn.IF(first.delayed(delay_steps) if delay_steps else first, name="second"))
    return b.build()


@raises("genn.operator", CapabilityError)
def _(folder: Path) -> None:
    GennBackend().prepare(small(foreign=True))


@raises("genn.shape", CapabilityError)
def _(folder: Path) -> None:
    GennBackend().prepare(small(symbol=True))


@raises("genn.delay", CapabilityError)
def _(folder: Path) -> None:
    GennBackend().prepare(small(delay_steps=70_000))


@raises("genn.missing", MissingDependency)
def _(folder: Path) -> None:
    with installed(None):
        GennBackend().prepare(small())


@raises("genn.version", MissingDependency)
def _(folder: Path) -> None:
    with installed(fake_pygenn(version="4.9.0")):
        GennBackend().prepare(small())


@raises("genn.defect", MissingDependency)
def _(folder: Path) -> None:
    with installed(fake_pygenn(integers=float)):
        GennBackend().prepare(small())


@raises("genn.backend", CapabilityError)
def _(folder: Path) -> None:
    with installed(fake_pygenn()):
        GennBackend().prepare(small(), genn_backend="cuda")


@raises("genn.compiler", MissingDependency)
def _(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        compiler_command(CPU)


@raises("genn.compiler", MissingDependency)
def _(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", "g++ 'with an open quotation")
        compiler_command(CPU)


@raises("genn.build", RunError)
def _(folder: Path) -> None:
    path = programs(folder / "bin", gpp="echo 'no such thing as a neuron' >&2; exit 1", make="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        patch.delenv("CXX", raising=False)
        patch.setenv(FOLDER_VARIABLE, str(folder))
        package = installation(fake_pygenn(build=runs_the_compiler))
        Engine(lower(small())[0], package, Settings(CPU))


@raises("genn.cache", None)
def _(folder: Path) -> list[Diagnostic]:
    file = folder / "file"
    file.write_bytes(np.ones(3).tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(file))
        return keep("key", folder)
