"""Targets: found by name or ending, checked before a byte is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.errors import CapabilityError, FileError, PluginError, SnnirError
from snnir.ops import registry
from snnir.targets import (
    SnnirTarget,
    Target,
    emit,
    find_target,
    parse_options,
    target_for,
    target_names,
)
from tests.plugins import install_plugin

PLUGIN = '''
from snnir.errors import Diagnostic
from snnir.targets import Ready, TargetOption

class Listing:
    """Writes the names of the nodes."""
    name, extras, suffixes, writes_folder = "listing", "", (".list",), False
    takes_original = False
    options = (
        TargetOption("width", "Longest name.", int, "a whole number", "10"),
        TargetOption("note", "A note.", str, "text"),
    )

    def prepare(self, model, calibration, options):
        self.seen = calibration, options
        return Ready(model)

    def check(self, model):
        return [
            Diagnostic("run.capability", f"node '{name}'", name, "shorter names")
            for name in model.graph.nodes if len(name) > 5
        ]

    def emit(self, model, path, **options):
        path.write_text(str(options) + " ".join(model.graph.nodes))

TARGET = Listing()
'''


def model(node: str = "cells") -> snnir.Model:
    b = snnir.GraphBuilder(steps=2)
    cells = b.snn.IF(b.snn.ConstantCurrent(b.input("x", [2]), name="in"), name=node)
    b.output("y", b.snn.SpikeCount(cells, name="out"))
    return b.build()


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    install_plugin(folder, PLUGIN, "[snnir.targets]", "listing = acme_plugin:TARGET")
    yield lambda: find_target("listing")
    monkeypatch.undo()
    registry.refresh()


def test_the_built_in_target_saves(tmp_path: Path) -> None:
    target = SnnirTarget()
    assert isinstance(target, Target)
    emit(model(), tmp_path / "m.snnir", target)
    assert snnir.digest(snnir.load(tmp_path / "m.snnir")) == snnir.digest(model())


def test_a_model_that_is_not_valid_is_not_written(tmp_path: Path) -> None:
    wrong = model()
    wrong.graph.nodes["cells"].parameters["threshold"] = snnir.Tensor.from_array(np.float32("nan"))
    with pytest.raises(CapabilityError, match="NaN"):
        emit(wrong, tmp_path / "m.snnir", SnnirTarget())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        emit(model(), tmp_path / "no" / "m.snnir", SnnirTarget())


def test_plugins_are_found_by_name_and_by_ending(listing: Callable[[], Any]) -> None:
    assert target_names()[0] == "snnir" and "listing" in target_names()
    assert isinstance(listing(), Target)
    assert target_for("net.list").name == target_for("NET.LIST").name == "listing"
    for name in ("net.snnir", "net", "net.other", "-"):
        assert target_for(name).name == "snnir"
    with pytest.raises(PluginError, match=r"snnir, loihi2.*listing"):
        find_target("other")


def test_all_that_does_not_fit_is_said_and_nothing_written(
    listing: Callable[[], Any], tmp_path: Path
) -> None:
    long = model("many-cells")
    long.graph.outputs[0] = snnir.ir.graph.GraphOutput("y", "out:y")
    with pytest.raises(CapabilityError, match="many-cells"):
        emit(long, tmp_path / "m.list", listing())
    assert not (tmp_path / "m.list").exists()


def test_options_reach_the_target(listing: Callable[[], Any], tmp_path: Path) -> None:
    target = listing()
    options = parse_options(target, ["width=3", "note=a=b"])
    assert options == {"width": 3, "note": "a=b"}
    data = {"x": np.zeros((1, 2))}
    emit(model(), tmp_path / "m.list", target, calibration=data, options=options)
    assert target.seen == (data, options)
    assert (tmp_path / "m.list").read_text() == "{'width': 3, 'note': 'a=b'}in cells out"


def test_options_that_are_not_there(listing: Callable[[], Any]) -> None:
    with pytest.raises(SnnirError) as caught:
        parse_options(listing(), ["width=x", "height=3", "note"])
    assert [finding.code for finding in caught.value.diagnostics] == ["target.option"] * 3
    with pytest.raises(CapabilityError, match="no option"):
        parse_options(SnnirTarget(), ["a=1"])
