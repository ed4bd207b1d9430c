"""Operators of others: what goes wrong in their code is a finding, not a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import snnir
from snnir import GraphBuilder, ModelError, plugins
from snnir.errors import Diagnostic, PluginError, RunError
from snnir.ir.types import Shape
from snnir.ops import registry
from snnir.ops.schema import (
    Arity,
    Attribute,
    Flow,
    InferContext,
    OpDef,
    Parameter,
    Port,
    same_shape,
)
from tests.check.nets import array, codes, model, node, only, scalar

Infer = Callable[[InferContext], Sequence[Shape]]


SAME = same_shape("x")


def operator(infer: Infer = SAME, **fields: Any) -> OpDef:
    defaults: dict[str, Any] = {
        "domain": "acme",
        "name": "Thing",
        "summary": "Does something.",
        "formula": "y = x",
        "flow": Flow.SAME,
        "inputs": (Port("x", "Something."),),
        "outputs": (Port("y", "Something."),),
        "step": lambda bound, inputs, state: (inputs["x"],),
    }
    return OpDef(infer=infer, **{**defaults, **fields})


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[object], None]]:
    """Makes a plugin provide domain ``acme``: an iterable of operators, or an error."""

    def installed(provided: object) -> None:
        original = plugins.load_optional

        def load_optional(kind: str, name: str) -> Any:
            if (kind, name) != ("ops", "acme"):
                return original(kind, name)
            if isinstance(provided, Exception):
                raise provided
            return provided

        monkeypatch.setattr(plugins, "load_optional", load_optional)
        registry.refresh()

    yield installed
    monkeypatch.undo()
    registry.refresh()


def given(**fields: Any) -> snnir.Model:
    return model(node("n", "acme.Thing", {"x": "x"}, **fields), opsets={"acme": 1})


def test_an_operator_that_works(install: Callable[[object], None]) -> None:
    install([operator()])
    assert snnir.check(given()) == []
    b = GraphBuilder()
    y = b.domain("acme").Thing(b.input("x", [3]))
    assert b.types[y.name].shape == (3,)
    assert b.build().graph.nodes["thing1"].output_types == (b.types[y.name],)


def fail(context: InferContext) -> Any:
    raise ZeroDivisionError("no\nway")


@pytest.mark.parametrize(
    "infer", [fail, lambda context: [], lambda context: [(1,), (2,)], lambda context: None]
)
def test_types_that_cannot_be_inferred(infer: Infer, install: Callable[[object], None]) -> None:
    install([operator(infer)])
    finding = only(given(), "plugin.broken", where="node 'n' (acme.Thing), infer")
    assert str(finding).isprintable()
    with pytest.raises(ModelError) as caught:
        snnir.infer(given())
    assert caught.value.code == "plugin.broken"
    b = GraphBuilder()
    with pytest.raises(ModelError, match=r"plugin\.broken"):
        b.domain("acme").Thing(b.input("x", [3]))


def test_values_that_cannot_be_validated(install: Callable[[object], None]) -> None:
    install([operator(validate=fail)])
    only(given(), "plugin.broken", where="validate", found="ZeroDivisionError")
    assert snnir.check(given(), values=False) == []


def test_an_operator_without_inputs(install: Callable[[object], None]) -> None:
    source = operator(
        lambda context: [(3,)], inputs=(), flow=Flow.PER_STEP, parameters=(Parameter("rate", ""),)
    )
    install([source])

    def of(rate: snnir.Tensor) -> snnir.Model:
        return model(node("n", "acme.Thing", rate=rate), inputs={}, opsets={"acme": 1})

    for good in (scalar(1), array(1, 2, 3)):
        assert codes(snnir.check(of(good))) == ["graph.unused-input"]
    found = snnir.check(of(array(1, 2)))
    assert codes(found) == ["graph.unused-input", "type.shape"]


def test_an_attribute_that_every_operator_has_is_not_defined_again() -> None:
    for again in (
        {"attributes": (Attribute("start_step", "Mine.", "int"),)},
        {"parameters": (Parameter("start_step", "Mine."),)},
        {"inputs": (Port("start_step", "Mine."),)},
    ):
        with pytest.raises(ValueError, match="start_step"):
            operator(**again)


def test_a_decoder_that_starts_after_the_end(install: Callable[[object], None]) -> None:
    """Also one that does not look at the length of the presentation."""
    decoder = operator(
        flow=Flow.DECODE,
        step=lambda bound, inputs, state: (),
        finish=lambda bound, state: (bound.filled(bound.shape("x"), bound.steps),),
    )
    install([decoder])
    b = GraphBuilder(steps=5)
    x = b.input("x", [3], timing="per_step")
    b.output("y", b.domain("acme").Thing(x, start_step=3))
    assert snnir.run(b.build(), np.zeros((1, 5, 3)))["y"].tolist() == [[2, 2, 2]]
    with pytest.raises(RunError, match=r"run\.steps.*3 steps.*more than 3"):
        snnir.run(b.build(), np.zeros((1, 3, 3)))


def test_a_port_that_takes_a_list_may_have_a_value_twice(
    install: Callable[[object], None],
) -> None:
    install([operator(inputs=(Port("x", "Some.", Arity.LIST),))])
    entry = node("n", "acme.Thing", {"x": ["x", "x"]})
    assert snnir.check(model(entry, opsets={"acme": 1})) == []


@pytest.mark.parametrize("provided", [7, [3], [operator(domain="other")], [object()]])
def test_a_plugin_that_provides_something_else(
    provided: object, install: Callable[[object], None]
) -> None:
    install(provided)
    only(given(), "plugin.broken")


def test_a_plugin_that_does_not_load(install: Callable[[object], None]) -> None:
    install(PluginError(Diagnostic("plugin.broken", "plugin 'acme'", "SyntaxError", "an import")))
    only(given(), "plugin.broken", where="plugin 'acme'")
    # The others are of no concern to a model that does not use it.
    assert "acme" not in str(snnir.check(model(node("n", "other.Thing", {"x": "x"}))))


def test_a_plugin_that_is_older_than_the_file(install: Callable[[object], None]) -> None:
    install([operator(), operator(since_version=3)])
    found = model(node("n", "acme.Thing", {"x": "x"}), opsets={"acme": 4})
    only(found, "version.opset", found="version 4", allowed="up to 3")
