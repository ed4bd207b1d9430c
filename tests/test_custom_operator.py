"""Operators of others: a plugin package adds a domain, and files outlive its absence."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.ops import registry
from snnir.runtime.backend import find_backend

PACKAGE = Path(__file__).parent / "custom_operator"


def _entry_points() -> str:
    """The package's entry points as its installer would write them."""
    lines = []
    for line in (PACKAGE / "pyproject.toml").read_text().splitlines():
        if match := re.fullmatch(r'\[project\.entry-points\."(.*)"\]', line):
            lines.append(f"[{match[1]}]")
        elif line.startswith("[") or not line:
            lines.append("")
        elif lines and lines[-1] and (match := re.fullmatch(r'(\w+) = "(.*)"', line)):
            lines.append(f"{match[1]} = {match[2]}")
    return "\n".join(lines)


Install = Callable[[bool], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs or removes the package, as far as this process can tell."""
    info = tmp_path / "acme_neurons-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-neurons\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_entry_points())
    paths = [str(tmp_path), str(PACKAGE / "src")]
    before = list(sys.path)

    def set_installed(present: bool) -> None:
        sys.path[:] = [*paths, *before] if present else before
        for name in [name for name in sys.modules if name.startswith("acme_neurons")]:
            del sys.modules[name]
        registry.refresh()

    yield set_installed
    set_installed(False)


def _model() -> Model:
    b = GraphBuilder("izhikevich", dt=1e-3, steps=100)
    x = b.input("x", [3])
    cells = b.domain("acme").Izhikevich(b.snn.ConstantCurrent(x), d=2.0, name="cells")
    b.output("counts", b.snn.SpikeCount(cells, name="counts"))
    return b.build()


def _izhikevich(current: float, steps: int) -> int:
    """Spikes of one neuron, from the paper's two equations, in plain Python."""
    v, u, count = -65.0, 0.2 * -65.0, 0
    for _ in range(steps):
        w = v + 0.04 * v * v + 5 * v + 140 - u + current
        u += 0.02 * (0.2 * v - u)
        v = w
        if v >= 30:
            v, u, count = -65.0, u + 2, count + 1
    return count


def test_it_runs_as_its_formula_says(install: Install) -> None:
    install(True)
    model = _model()
    assert snnir.check(model) == []
    currents = [0.0, 10.0, 20.0]
    found = snnir.run(model, np.array([currents]), precision="float64")["counts"]
    assert found.tolist() == [[_izhikevich(current, 100) for current in currents]]
    assert found[0, 1] > 0


def test_a_file_outlives_the_plugin(install: Install, tmp_path: Path) -> None:
    install(True)
    model = _model()
    path = tmp_path / "model.snnir"
    snnir.save(model, path)
    digest = snnir.digest(model)
    install(False)

    opaque = snnir.load(path)
    assert opaque == model
    assert snnir.digest(opaque) == digest
    assert snnir.to_bytes(opaque) == path.read_bytes()
    findings = snnir.check(opaque)
    assert [finding.code for finding in findings] == ["op.unknown-domain"]
    assert "acme" in findings[0].found
    types = snnir.infer(opaque)
    assert types["cells:spikes"].shape == (3,)
    assert types["counts:y"].shape == (3,)

    with pytest.raises(snnir.CapabilityError) as caught:
        snnir.run(opaque, np.zeros((1, 3)))
    assert caught.value.code == "op.not-executable"
    assert "acme.Izhikevich" in str(caught.value)
    assert "snnir.ops" in str(caught.value)

    install(True)
    assert snnir.run(snnir.load(path), np.full((1, 3), 10.0))["counts"].min() > 0


def test_a_simulator_that_does_not_know_it_refuses_it(install: Install) -> None:
    backend = find_backend("genn")
    install(True)
    model = _model()
    for present in (True, False):
        install(present)
        with pytest.raises(snnir.CapabilityError) as caught:
            backend.prepare(model)
        (finding,) = caught.value.diagnostics
        assert (finding.code, finding.found) == ("genn.operator", "acme.Izhikevich")


def test_its_attributes_and_parameters_are_checked(install: Install) -> None:
    install(True)
    b = GraphBuilder()
    x = b.input("x", [3], timing="per_step", dtype="int32")
    with pytest.raises(snnir.ModelError, match="2 to 32"):
        b.domain("acme").SaturatingCounter(x, bits=40)
    with pytest.raises(snnir.ModelError, match="unknown"):
        b.domain("acme").SaturatingCounter(x, width=4)


def test_integers_stay_integers(install: Install) -> None:
    install(True)
    b = GraphBuilder(steps=4)
    x = b.input("x", [2], timing="per_step", dtype="int32")
    b.output("y", b.domain("acme").SaturatingCounter(x, bits=4))
    model = b.build()
    assert snnir.check(model) == []
    x_values = np.array([[[3, -5], [3, -5], [3, 1], [-1, 1]]], np.int32)
    found = snnir.run(model, x_values)["y"]
    assert found.dtype == np.int32
    assert found.tolist() == [[[3, -5], [6, -8], [7, -7], [6, -6]]]
    with pytest.raises(snnir.RunError, match="int32"):
        snnir.run(model, x_values.astype(np.float32))


def test_floats_do_not_flow_into_integers(install: Install) -> None:
    install(True)
    b = GraphBuilder()
    x = b.input("x", [2], timing="per_step")
    with pytest.raises(snnir.ModelError) as caught:
        b.domain("acme").SaturatingCounter(x)
    assert caught.value.code == "type.dtype"


def test_a_target_finds_its_code_in_the_definition(install: Install) -> None:
    install(True)
    b = GraphBuilder(steps=5)
    x = b.input("x", [3], timing="per_step")
    b.output("spikes", b.domain("acme").Izhikevich(x))
    inputs = np.full((2, 50, 3), 15, np.float32)
    ours = snnir.run(b.build(), inputs, backend="acme")
    assert np.array_equal(ours["spikes"], snnir.run(b.build(), inputs)["spikes"])
    assert ours["spikes"].any()
    with pytest.raises(snnir.CapabilityError) as caught:
        snnir.run(_model(), np.zeros((1, 3)), backend="acme")
    assert {d.found for d in caught.value.diagnostics} == {"snn.ConstantCurrent", "snn.SpikeCount"}


def test_what_a_plugin_raises_becomes_our_error(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(True)
    model = _model()
    definition = registry.find("acme.Izhikevich")
    assert definition is not None

    def broken(*arguments: object) -> tuple[()]:
        raise ZeroDivisionError("in the plugin")

    object.__setattr__(definition, "step", broken)
    with pytest.raises(snnir.PluginError, match="in the plugin"):
        snnir.run(model, np.zeros((1, 3)))
