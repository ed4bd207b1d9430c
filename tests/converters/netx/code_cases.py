"""The smallest situation for each code of NetX and Lava."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnir import GraphBuilder
from snnir.errors import (
    CapabilityError,
    Diagnostic,
    FormatError,
    RunError,
    UnsupportedFeature,
)
from snnir_converters.lava import LavaPrepared
from snnir_converters.lava._process import LavaProcess
from snnir_converters.netx import FRONTEND, TARGET, read_netx, write_netx
from snnir_converters.netx._target import describe
from tests.converters.netx.tools import CUBA, RandomNetwork, dense, netx_file
from tests.situations import Situations

CASES = Situations()
raises = CASES.raises

WEIGHT = [[5, -3]]


def read(folder: Path, *layers: Any) -> tuple[Diagnostic, ...]:
    """Read a file of these layers."""
    return read_netx(netx_file(folder / "a.net", *layers)).findings


def network(**settings: Any) -> RandomNetwork:
    """A dense layer."""
    made = RandomNetwork(0)
    made.feed(2)
    made.dense(3, **settings)
    return made


@raises("netx.not-netx", FormatError)
def _(folder: Path) -> None:
    read(folder)


@raises("netx.missing", FormatError)
def _(folder: Path) -> None:
    read(folder, {"type": b"dense", "shape": np.array([1]), "neuron": CUBA})


@raises("netx.value", FormatError)
def _(folder: Path) -> None:
    read(folder, dense([[np.nan, 1]]))


@raises("netx.shape", FormatError)
def _(folder: Path) -> None:
    read(folder, dense(WEIGHT), dense(WEIGHT))


@raises("netx.layer", UnsupportedFeature)
def _(folder: Path) -> None:
    read(folder, {"type": b"average"})


@raises("netx.neuron", UnsupportedFeature)
def _(folder: Path) -> None:
    read(folder, dense(WEIGHT, {**CUBA, "type": "ALIF"}))


@raises("netx.weights", FormatError)
def _(folder: Path) -> None:
    read(folder, dense([[0, 0]]))


@raises("netx.option", UnsupportedFeature)
def _(folder: Path) -> None:
    FRONTEND.read(folder / "a.net", layers=2)


@raises("netx.fraction", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    return read(folder, dense([[5.5, -3]]))


@raises("netx.clipped", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    return read(folder, dense([[300, -2]]))


@raises("netx.ignored", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    return read(folder, dense(WEIGHT, {**CUBA, "refDelay": 3}))


@raises("netx.default", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    return read(folder, dense(WEIGHT, None))


@raises("netx.chain", CapabilityError)
def _(folder: Path) -> None:
    builder = GraphBuilder(steps=2)
    builder.output("y", builder.snn.Flatten(builder.input("x", [2], timing="per_step")))
    write_netx(builder.build(), folder / "a.net")


@raises("netx.unsupported", CapabilityError)
def _(folder: Path) -> None:
    made = network(operator="CubaLI")
    made.dense(2)
    write_netx(made.model(), folder / "a.net")


@raises("netx.range", CapabilityError)
def _(folder: Path) -> None:
    model = network().model()
    model.graph.nodes["layer1/neuron"].attributes["bias_exp"] = 0
    write_netx(model, folder / "a.net")


@raises("netx.host", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    model = network().model()
    model.graph.outputs[0].labels = ("a", "b", "c")
    return TARGET.check(model)


@raises("lava.record", RunError)
def _(folder: Path) -> None:
    made = network()
    model, x = made.model(), made.spikes()
    LavaPrepared(model, describe(model), 1.0, {}).run(x, record=["layer1/synapse"])


@raises("lava.failed", RunError)
def _(folder: Path) -> None:
    with _worker("import sys; sys.exit('no Lava here')") as process:
        process.run(folder, 60.0)


@raises("lava.timeout", RunError)
def _(folder: Path) -> None:
    with _worker("import time; time.sleep(60)") as process:
        process.run(folder, 0.1)


class _worker:
    """A worker that runs this program instead."""

    def __init__(self, program: str) -> None:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("snnir_converters.lava._process.WORKER", ("-c", program))

    def __enter__(self) -> LavaProcess:
        return LavaProcess()

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
