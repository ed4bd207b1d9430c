"""Situations of the passes' error codes; see ``tests/test_codes.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnir.errors import CapabilityError, UnsupportedFeature
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.passes.canonicalise import canonicalise
from snnir.passes.loihi2 import lower_to_loihi2
from snnir.passes.quantise import QuantiseOptions, quantise
from snnir.passes.rate import RateOptions, lower_to_rates
from snnir.passes.retiming import retime
from snnir.passes.upgrade import upgrade
from tests.plugins import install_plugin

TWO_VERSIONS = """
import dataclasses
from snnir.ops.registry import find
old = dataclasses.replace(find("snn.LIF"), domain="acme", name="Cell", since_version=1)
OPERATORS = (old, dataclasses.replace(old, since_version=2))
"""


def _no_way_up(folder: Path) -> None:
    install_plugin(folder, TWO_VERSIONS, "[snnir.ops]", "acme = acme_plugin:OPERATORS")
    b = GraphBuilder()
    x = b.input("x", [2], timing="per_step")
    b.output("y", b.domain("acme").Cell(x, decay=0.5))
    model = b.build()
    model.opsets["acme"] = 1
    upgrade(model)


def _tanh_in_the_middle(folder: Path) -> None:
    lower_to_rates(with_activation("Tanh"), {"x": np.ones((4, 2))}, RateOptions(8))


def _nine_bits(folder: Path) -> None:
    quantise(with_activation("ReLU"), options=QuantiseOptions(bits=9))


def _no_weights(folder: Path) -> None:
    b = GraphBuilder()
    b.output("y", b.ann.ReLU(b.input("x", [2])))
    quantise(b.build())


def _tanh_on_the_chip(folder: Path) -> None:
    lower_to_loihi2(with_activation("Tanh"), {"x": np.ones((4, 2), np.float32)})


def _a_late_start(folder: Path) -> None:
    b = GraphBuilder()
    x = b.input("x", [2], timing="per_step")
    b.output("y", b.ann.ReLU(x, start_step=1))
    canonicalise(b.build())


def _too_little_delay(folder: Path) -> None:
    b = GraphBuilder(steps=4)
    spikes = b.snn.IF(b.input("x", [2], timing="per_step"), name="cells")
    b.connect(spikes, "cells", "current", delay_steps=1)
    b.output("y", spikes)
    retime(b.build(), lambda node, binding: 2)


def _a_window_that_cannot_end(folder: Path) -> None:
    b = GraphBuilder(steps=4)
    x = b.input("x", [2], timing="per_step")
    b.output("y", b.snn.SpikeCount(b.snn.IF(x, name="cells"), start=3, start_step=3, name="n"))
    b.output("z", b.snn.IF(b.snn.IF(x)))
    retime(
        b.build(),
        lambda node, binding: int(binding.source != "cells:spikes"),
        together=[("cells", "n")],
    )


def with_activation(operator: str) -> Model:
    """Two dense layers with an activation between them."""
    b = GraphBuilder()
    eye = np.eye(2, dtype=np.float32)
    hidden = b.ann.Dense(b.input("x", [2]), weight=eye)
    active = b.add(f"ann.{operator}", hidden, source="layer")
    b.output("y", b.ann.Dense(active, weight=eye))
    return b.build()


CASES = [
    ("op.upgrade", CapabilityError, _no_way_up),
    ("convert.method", UnsupportedFeature, _tanh_in_the_middle),
    ("convert.start-step", CapabilityError, _a_late_start),
    ("retime.cycle", CapabilityError, _too_little_delay),
    ("retime.window", CapabilityError, _a_window_that_cannot_end),
    ("quantise.option", UnsupportedFeature, _nine_bits),
    ("quantise.nothing", UnsupportedFeature, _no_weights),
    ("loihi2.unsupported", CapabilityError, _tanh_on_the_chip),
]
