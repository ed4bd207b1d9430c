"""The conformance vectors and their runner: who is right passes, who is wrong does not."""

from __future__ import annotations

import unittest
from collections import Counter
from typing import Any

import pytest

import snnir
from snnir.ir.model import Close, Exact, Model
from snnir.ops import dims
from snnir.runtime.reference import ReferenceBackend
from snnir.testing.conformance import (
    ConformanceCase,
    ConformanceReport,
    ConformanceResult,
    conformance_cases,
    run_conformance,
    vectors,
)
from tests.testing import mutants, wrong_backends, wrong_loihi2
from tests.testing.mutants import definitions, install, of_every_operator
from tests.testing.wrong_operators import MISTAKES

# Who is right --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", conformance_cases(), ids=str)
def test_the_reference_conforms(case: ConformanceCase) -> None:
    case()


def test_the_reference_conforms_in_float64() -> None:
    report = run_conformance(precision="float64")
    assert report.passed, report.summary()
    assert not any(result.skipped for result in report.results)


def test_a_backend_that_runs_sample_by_sample_conforms() -> None:
    backend = wrong_backends.Running("single", wrong_backends.sample_by_sample)
    report = run_conformance(backend)
    assert report.passed, report.summary()
    assert report.backend == "single"


# What the vectors are ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {vector.name: vector.model() for vector in vectors()}


def test_every_vector_is_a_valid_model(models: dict[str, Model]) -> None:
    assert not {name: found for name, model in models.items() if (found := snnir.check(model))}


def test_every_operator_has_vectors() -> None:
    counts = Counter(vector.op for vector in vectors())
    assert not [opdef.op for opdef in definitions() if counts[opdef.op] < 2]
    assert sum(count for op, count in counts.items() if op.startswith("system.")) >= 10


def test_every_vector_says_what_it_is_for(models: dict[str, Model]) -> None:
    for name, model in models.items():
        assert model.metadata["case"] == name.replace("/", ".", 1)
        assert model.metadata["what"].endswith(".")
        assert all(example.origin for example in model.examples.values())


def test_what_is_exact_is_compared_exactly(models: dict[str, Model]) -> None:
    kinds = {
        type(expected.tolerance)
        for model in models.values()
        for example in model.examples.values()
        for expected in example.expected.values()
    }
    assert kinds == {Exact, Close}
    for name, model in models.items():
        if name.startswith("snn/") and not name.startswith(("snn/Exp", "snn/Upsample2D")):
            for example in model.examples.values():
                assert all(e.tolerance == Exact() for e in example.expected.values()), name


def test_every_attribute_and_parameter_is_set_somewhere(models: dict[str, Model]) -> None:
    used = {
        (node.op, name)
        for model in models.values()
        for node in model.graph.nodes.values()
        for name in (*node.attributes, *node.parameters)
    }
    declared = {
        (opdef.op, entry.name)
        for opdef in definitions()
        for entry in (*opdef.attributes, *opdef.parameters)
    }
    assert not declared - used


# Who is wrong --------------------------------------------------------------------------------


def failures(op: str) -> list[ConformanceResult]:
    return run_conformance("reference", [op]).failures


@pytest.mark.parametrize("opdef", list(definitions()), ids=lambda opdef: opdef.op)
def test_every_setting_and_quantity_matters(opdef: Any) -> None:
    survivors = []
    for name, mutation in of_every_operator(opdef):
        if (opdef.op, name) in mutants.EQUIVALENT:
            continue
        with pytest.MonkeyPatch.context() as patch:
            install(patch, opdef.op, mutation)
            if not failures(opdef.op):
                survivors.append(name)
    assert not survivors


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda n: ": ".join(MISTAKES[n][:2]))
def test_a_mistake_is_noticed(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    op, _, mutation = MISTAKES[number]
    install(monkeypatch, op, mutation)
    assert failures(op)


@pytest.mark.parametrize("op", ["loihi2.CubaLIF", "loihi2.CubaLI"])
def test_the_mistakes_of_cuba_neurons_are_wrong_in_one_detail(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, op, wrong_loihi2.CORRECT)
    assert not failures(op)


@pytest.mark.parametrize(
    "op", sorted({opdef.op for opdef in definitions() if opdef.state} - mutants.OVERWRITTEN)
)
def test_state_that_outlives_a_sample_is_noticed(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leak = mutants.Leak()
    install(monkeypatch, op, leak)

    class Leaking(wrong_backends.Running):
        def prepare(self, model: Model, **options: Any) -> Any:
            leak.left.clear()
            return super().prepare(model, **options)

    backend = Leaking("leaking", wrong_backends.sample_by_sample)
    assert run_conformance(backend, [op]).failures


def test_odd_padding_at_the_begin_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def along(self: dims.WindowRule, axis: int, length: int) -> dims.Windows:
        found = true_along(self, axis, length)
        if self.padding != "same":
            return found
        return found._replace(begin=found.end, end=found.begin)

    true_along = dims.WindowRule.along
    monkeypatch.setattr(dims.WindowRule, "along", along)
    failing = {result.op for result in run_conformance("reference", ["ann", "snn"]).failures}
    windowed = [
        opdef.op
        for opdef in definitions()
        if "Conv" in opdef.name or opdef.name.startswith(("Average", "Max", "Sum"))
        if opdef.has_attribute("padding") and opdef.name != "ConvTranspose2D"
    ]
    assert len(windowed) >= 14
    assert failing >= set(windowed)


def test_an_odd_crop_at_the_begin_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def along(self: dims.TransposedRule, axis: int, length: int) -> dims.Spread:
        found = true_along(self, axis, length)
        if self.padding != "same":
            return found
        return found._replace(begin=-(-max(found.full - found.count, 0) // 2))

    true_along = dims.TransposedRule.along
    monkeypatch.setattr(dims.TransposedRule, "along", along)
    assert failures("ann.ConvTranspose2D")
    assert failures("snn.ConvTranspose2D")


@pytest.mark.parametrize("backend", wrong_backends.WRONG, ids=lambda backend: backend.name)
def test_a_wrong_backend_fails(backend: Any) -> None:
    report = run_conformance(backend)
    assert not report.passed
    assert report.failures
    assert any(result.passed for result in report.results)
    assert report.summary().startswith(f"backend '{backend.name}': ")
    assert report.failures[0].name in report.summary()


# The runner ----------------------------------------------------------------------------------


def test_what_a_backend_refuses_is_skipped_and_not_passed() -> None:
    backend = wrong_backends.Refusing(refused=frozenset({"snn.ALIF"}))
    report = run_conformance(backend, ["snn.ALIF", "snn.LIF"])
    by_op = {result.op: result for result in report.results}
    assert report.passed
    assert by_op["snn.LIF"].passed and not by_op["snn.LIF"].skipped
    refused = by_op["snn.ALIF"]
    assert not refused.passed and not refused.failed
    assert "snn.ALIF" in refused.skipped
    assert "skipped" in report.summary()


def test_a_backend_that_refuses_everything_has_not_passed() -> None:
    report = run_conformance(wrong_backends.Refusing(), ["snn.IF"])
    assert not report.failures
    assert not report.passed
    assert not ConformanceReport("none", ()).passed


class Broken(ReferenceBackend):
    """Raises whatever comes to its mind."""

    name = "broken"  # type: ignore[misc]

    def prepare(self, model: Model, **options: Any) -> Any:
        raise KeyError("no such layer")


def test_an_exception_is_a_failure() -> None:
    report = run_conformance(Broken(), ["snn.IF"])
    assert len(report.failures) == len(report.results) > 0
    assert "KeyError" in report.failures[0].detail


def test_cases_speak_the_language_of_test_frameworks() -> None:
    (first, *_) = conformance_cases("reference", ["snn.IF"])
    assert str(first) == first.vector.name == str(first.vector)
    assert first().passed
    (first, *_) = conformance_cases(wrong_backends.Refusing(), ["snn.IF"])
    with pytest.raises(unittest.SkipTest, match=r"run\.capability"):
        first()
    (first, *_) = conformance_cases(Broken(), ["snn.IF"])
    with pytest.raises(AssertionError, match="no such layer"):
        first()


def test_vectors_are_found_by_operator_domain_and_topic() -> None:
    assert {vector.op for vector in vectors(["snn.IF", "ann.Dense"])} == {"snn.IF", "ann.Dense"}
    assert {vector.op.partition(".")[0] for vector in vectors(["system"])} == {"system"}
    assert {vector.op for vector in vectors(["system.delays"])} == {"system.delays"}
    assert vectors() == sorted(vectors(), key=lambda vector: vector.path)


def test_an_unknown_operator_or_backend_is_an_error() -> None:
    with pytest.raises(snnir.ModelError, match=r"snn\.Unheard") as caught:
        run_conformance("reference", ["snn.IF", "snn.Unheard"])
    assert caught.value.code == "op.unknown"
    with pytest.raises(snnir.PluginError, match="nobody"):
        run_conformance("nobody")
    with pytest.raises(snnir.PluginError, match="nobody"):
        conformance_cases("nobody")


def test_options_reach_the_backend() -> None:
    report = run_conformance("reference", ["snn.IF"], precision="float128")
    assert all("float128" in result.skipped for result in report.results)
