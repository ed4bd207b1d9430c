"""Bringing models to the newest versions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

import snnir
from snnir.errors import (
    CapabilityError,
    Diagnostic,
    ModelError,
    PluginError,
    RunError,
    SnnirError,
    UnsupportedVersion,
)
from snnir.ir.graph import Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ops import registry
from snnir.ops.schema import OpDef
from snnir.passes import upgrade as module
from snnir.passes.upgrade import upgrade

Hook = Callable[[Node], Node]
Provide = Callable[..., None]


@pytest.fixture
def provide(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provide]:
    """Makes a domain 'acme' of the given definitions known."""
    load = registry._load.__wrapped__
    domains: dict[str, registry.Domain] = {}

    def provide(*definitions: OpDef) -> None:
        domains["acme"] = registry.Domain("acme", definitions)
        monkeypatch.setattr(registry, "_load", lambda name: domains.get(name) or load(name))

    return provide


def neuron(version: int, hook: Hook | None = None, name: str = "Neuron") -> OpDef:
    lif = registry.find("snn.LIF")
    assert lif is not None
    return replace(lif, domain="acme", name=name, since_version=version, upgrade=hook)


def append(text: str) -> Hook:
    """A hook that leaves a trace of the order in which hooks ran."""

    def hook(node: Node) -> Node:
        node.attributes["trace"] = str(node.attributes.get("trace", "")) + text
        node.parameters["decay"] = Tensor.from_array(0.25)
        node.inputs[0] = node.inputs[0]._replace(delay_steps=1)
        return node

    return hook


def model(version: int = 1, op: str = "acme.Neuron") -> Model:
    b = snnir.GraphBuilder(steps=4)
    x = b.input("x", [2], timing="per_step")
    h = b.snn.LIF(x, decay=0.5, name="h", source="layer")
    b.output("y", b.snn.LIF(h, decay=0.5, name="g"))
    built = b.build()
    built.graph.nodes["h"].op = op
    built.opsets["acme"] = version
    return built


def test_a_model_that_is_up_to_date_stays_as_it_is() -> None:
    b = snnir.GraphBuilder()
    b.output("y", b.snn.IF(b.input("x", [2], timing="per_step")))
    built = b.build()
    upgraded, notes = upgrade(built)
    assert notes == []
    assert snnir.diff(built, upgraded) == []
    assert upgraded is not built


def test_every_later_hook_runs_in_order(provide: Provide) -> None:
    provide(neuron(1), neuron(4, append("d")), neuron(2, append("b")))
    upgraded, notes = upgrade(model())
    assert upgraded.graph.nodes["h"].attributes == {"trace": "bd"}
    assert upgraded.opsets["acme"] == 4
    assert notes == [
        "operator set 'acme' version 1 -> 4",
        "node 'h' (acme.Neuron) version 1 -> 2 -> 4",
    ]


def test_hooks_of_versions_that_the_model_has_do_not_run(provide: Provide) -> None:
    provide(neuron(1), neuron(2, append("b")), neuron(4, append("d")))
    upgraded, notes = upgrade(model(version=3))
    assert upgraded.graph.nodes["h"].attributes == {"trace": "d"}
    assert notes[1] == "node 'h' (acme.Neuron) version 2 -> 4"


def test_an_operator_that_did_not_change_is_taken_over(provide: Provide) -> None:
    provide(neuron(1), neuron(2, name="Other"))
    upgraded, notes = upgrade(model())
    assert upgraded.opsets["acme"] == 2
    assert notes == ["operator set 'acme' version 1 -> 2"]
    assert [change.where for change in snnir.diff(model(), upgraded)] == ["operator set 'acme'"]


def test_the_model_given_is_not_modified(provide: Provide) -> None:
    provide(neuron(1), neuron(2, append("b")))
    given = model()
    given.metadata["a"] = "b"
    before = copy.deepcopy(given)
    upgraded, _ = upgrade(given)
    assert given == before
    upgraded.metadata.clear()
    upgraded.graph.nodes["g"].attributes["x"] = 1
    upgraded.graph.nodes["g"].inputs.clear()
    upgraded.graph.outputs.clear()
    upgraded.graph.inputs.clear()
    assert given == before


def test_tensors_are_shared(provide: Provide) -> None:
    provide(neuron(1))
    given = model()
    upgraded, _ = upgrade(given)
    decay = given.graph.nodes["g"].parameters["decay"]
    assert upgraded.graph.nodes["g"].parameters["decay"] is decay


def test_an_operator_that_changed_without_a_hook_is_an_error(provide: Provide) -> None:
    provide(neuron(1), neuron(2, append("b")), neuron(3))
    given = model()
    given.graph.nodes["g"].op = "acme.Neuron"
    with pytest.raises(CapabilityError) as caught:
        upgrade(given)
    assert [finding.where for finding in caught.value.diagnostics] == [
        "node 'h' (acme.Neuron)",
        "node 'g' (acme.Neuron)",
    ]
    assert caught.value.diagnostics[0].source == "layer"
    assert "version 1, which cannot be upgraded to 3" in caught.value.diagnostics[0].found


def test_a_domain_that_is_not_installed_is_left_alone_and_said_so() -> None:
    given = model(version=7)
    upgraded, notes = upgrade(given)
    assert snnir.diff(given, upgraded) == []
    assert notes == ["operator set 'acme' stays at version 7: nothing installed provides it"]


def test_a_model_newer_than_the_plugin_is_an_error(provide: Provide) -> None:
    provide(neuron(1))
    given = model(version=2)
    given.opsets["snn"] = 99
    with pytest.raises(UnsupportedVersion) as caught:
        upgrade(given)
    assert [finding.found for finding in caught.value.diagnostics] == [
        "domain 'acme' version 2",
        "domain 'snn' version 99",
    ]


def test_the_format_version_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IR_VERSION", 2)
    b = snnir.GraphBuilder()
    b.output("y", b.snn.IF(b.input("x", [2], timing="per_step")))
    built = b.build()
    upgraded, notes = upgrade(built)
    assert (built.ir_version, upgraded.ir_version) == (1, 2)
    assert notes == ["format version 1 -> 2"]
    monkeypatch.setattr(module, "IR_VERSION", 0)
    with pytest.raises(UnsupportedVersion):
        upgrade(built)


def test_an_operator_that_the_named_version_does_not_have_is_an_error(provide: Provide) -> None:
    provide(neuron(1), neuron(2, name="Newer"))
    with pytest.raises(ModelError) as caught:
        upgrade(model(op="acme.Newer"))
    assert caught.value.code == "op.unknown"
    given = model()
    del given.opsets["acme"]
    with pytest.raises(ModelError) as caught:
        upgrade(given)
    assert caught.value.code == "op.opset"


def renamed(node: Node) -> Node:
    node.name = "other"
    return node


def silenced(node: Node) -> Node:
    node.outputs = ()
    return node


def failing(node: Node) -> Node:
    raise KeyError("decay")


@pytest.mark.parametrize(
    ("hook", "found"),
    [
        (renamed, "node 'other' (acme.Neuron)"),
        (silenced, "output ports none"),
        (failing, "KeyError: 'decay'"),
        (lambda node: None, "a NoneType"),
    ],
)
def test_a_hook_that_does_not_work_is_an_error(provide: Provide, hook: Hook, found: str) -> None:
    provide(neuron(1), neuron(2, hook))
    with pytest.raises(PluginError) as caught:
        upgrade(model())
    assert caught.value.code == "plugin.broken"
    assert caught.value.diagnostics[0].where == "node 'h' (acme.Neuron), upgrade to version 2"
    assert caught.value.diagnostics[0].found == found


def test_what_a_hook_has_to_say_is_passed_on(provide: Provide) -> None:
    error = RunError(Diagnostic("run.steps", "a", "b", "c"))

    def hook(node: Node) -> Node:
        raise error

    provide(neuron(1), neuron(2, hook))
    with pytest.raises(SnnirError) as caught:
        upgrade(model())
    assert caught.value is error


def test_the_result_runs_as_the_model_did(provide: Provide) -> None:
    """A hook that keeps the meaning, and an example that proves it."""

    def hook(node: Node) -> Node:
        node.attributes["compare"] = ">="  # version 2 has no default for it
        return node

    provide(neuron(1), neuron(2, hook))
    given = model(version=1)
    inputs = np.ones((1, 4, 2), np.float32)
    given.examples["first"] = snnir.make_example(given, inputs)
    upgraded, _ = upgrade(given)
    assert upgraded.examples == given.examples
    assert snnir.verify(upgraded).passed
