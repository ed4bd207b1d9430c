"""The smallest situation for each code of mlGeNN."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from snnir.errors import CapabilityError, Diagnostic, FormatError, UnsupportedFeature
from snnir.targets import emit, find_target
from snnir_converters.mlgenn import FRONTEND, read_mlgenn
from snnir_converters.mlgenn._describe import describe
from tests.converters.mlgenn import nets
from tests.situations import Situations

CASES = Situations()
raises = CASES.raises


def made(kind: str, **fields: Any) -> Any:
    """An object of a class of that name, as mlGeNN has it."""
    return type(kind, (SimpleNamespace,), {"__module__": "ml_genn"})(**fields)


def network(delay: Any = 0) -> Any:
    """A live network, as far as the frontend can tell: one spiking neuron behind two inputs."""
    neuron = made(
        "LeakyIntegrateFire",
        v_thresh=1.0,
        v_reset=0.0,
        v=0.0,
        tau_mem=20.0,
        tau_refrac=None,
        relative_reset=True,
        integrate_during_refrac=True,
        scale_i=False,
        readout=None,
    )
    source = SimpleNamespace(name="source", shape=(2,), neuron=made("SpikeInput"))
    target = SimpleNamespace(name="target", shape=(1,), neuron=neuron)
    connection = SimpleNamespace(
        name="full",
        source=lambda: source,
        target=lambda: target,
        max_delay_steps=None,
        connectivity=made("Dense", weight=1.0, delay=delay),
        synapse=made("Delta"),
    )
    return made("Network", populations=[source, target], connections=[connection])


def emitted(model: Any, folder: Path) -> None:
    emit(model, folder / "out", find_target("mlgenn"))


@raises("mlgenn.unsupported", CapabilityError)
def _(folder: Path) -> None:
    emitted(nets.feed_forward(compare=">"), folder)


@raises("mlgenn.cycle", CapabilityError)
def _(folder: Path) -> None:
    net = nets.Net()
    first = net.cuba(net.dense(net.input, "w1", 4), "first")
    second = net.cuba(net.dense(first, "w2", 4), "second")
    net.b.connect(net.dense(second, "w3", 4), "first-synapse", "x", delay_steps=1)
    emitted(net.readout(net.dense(second, "out", 3)), folder)


@raises("mlgenn.late", CapabilityError)
def _(folder: Path) -> None:
    emitted(nets.feed_forward(initial_potential=0.5), folder)


@raises("mlgenn.readout", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    net = nets.Net()
    hidden = net.cuba(net.dense(net.input, "into", 4), "hidden")
    return describe(net.readout(net.dense(hidden, "out", 3), "MaxPotential"))[1]


@raises("mlgenn.network", UnsupportedFeature)
def _(folder: Path) -> None:
    read_mlgenn(network(delay="drawn at random"))


@raises("mlgenn.checkpoint", FormatError)
def _(folder: Path) -> None:
    read_mlgenn(network(), checkpoint=folder, keys=(3,))


@raises("mlgenn.time", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    return read_mlgenn(network()).findings


@raises("mlgenn.ignored", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    for name in ("3-full-g", "3-other-g"):
        np.save(folder / f"{name}.npy", np.ones(2, np.float32))
    return read_mlgenn(network(), checkpoint=folder, keys=(3,)).findings


@raises("mlgenn.option", UnsupportedFeature)
def _(folder: Path) -> None:
    FRONTEND.read(network(), speed=3)
