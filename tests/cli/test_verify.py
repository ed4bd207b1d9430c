"""snnir verify."""

from __future__ import annotations

import json

import numpy as np

import snnir
from snnir.ir.tensor import Tensor
from tests.cli.conftest import Install, Run, Save
from tests.cli.helpers import assert_golden, digits, digits_with_example, images

ALMOST = """
import copy
from snnir.runtime.reference import ReferenceBackend

class Backend:
    \"\"\"Compares by > where the model says >=.\"\"\"

    name = "almost"

    def prepare(self, model, **options):
        model = copy.copy(model)
        model.graph = copy.deepcopy(model.graph)
        model.graph.nodes["encoder"].attributes["compare"] = ">"
        return ReferenceBackend().prepare(model, **options)
"""


def failing() -> snnir.Model:
    """An example that the model does not meet."""
    model = digits_with_example()
    model.graph.nodes["h"].parameters["threshold"] = Tensor.from_array(
        np.array([0.5, 1, 1.5], np.float32)
    )
    return model


def test_it_passes(run: Run, save: Save) -> None:
    name = save(digits_with_example(), "m.snnir")
    code, out, err = run("verify", name)
    assert (code, err) == (0, "")
    assert_golden("verify_ok.txt", out)
    report = json.loads(run("verify", name, "--json")[1])
    assert (report["passed"], report["backend"], report["origin"]) == (True, "reference", None)
    assert len(report["comparisons"]) == 3
    assert all(comparison["passed"] for comparison in report["comparisons"])
    assert report["diagnostics"] == []


def test_a_difference_is_named(run: Run, save: Save) -> None:
    name = save(failing(), "m.snnir")
    code, out, err = run("verify", name)
    assert (code, err) == (1, "")
    assert_golden("verify_failed.txt", out)
    code, out, _ = run("verify", name, "--json")
    report = json.loads(out)
    assert code == 1
    assert report["passed"] is False
    (spikes,) = (c for c in report["comparisons"] if c["value"] == "block/spikes")
    assert not spikes["passed"]
    mismatch = spikes["mismatch"]
    expected = failing().examples["first"].expected["block/spikes"].tensor.numpy()
    found = snnir.run(failing(), images(2))["block/spikes"]
    step = int(np.argwhere((expected != found).any(axis=(0, 2)))[0, 0])
    assert mismatch["step"] == step
    assert mismatch["count"] == np.count_nonzero(expected != found)
    place = (mismatch["sample"], step, *mismatch["index"])
    assert mismatch["expected"] == repr(float(expected[place]))
    assert mismatch["found"] == repr(float(found[place]))
    assert {finding["code"] for finding in report["diagnostics"]} == {"example.mismatch"}


def test_on_another_backend_the_origin_is_found(run: Run, save: Save, install: Install) -> None:
    install(ALMOST, backends={"almost": "acme:Backend"})
    name = save(digits_with_example(), "m.snnir")
    code, out, err = run("verify", name, "--backend", "almost")
    assert (code, err) == (1, "")
    assert_golden("verify_origin.txt", out)
    report = json.loads(run("verify", name, "--backend", "almost", "--json")[1])
    assert report["origin"]["value"] == "encoder:spikes"


def test_only_the_examples_asked_for(run: Run, save: Save) -> None:
    model = failing()
    model.examples["second"] = snnir.make_example(model, images(1))
    name = save(model, "m.snnir")
    assert run("verify", name, "--example", "second")[0] == 0
    assert run("verify", name, "--example", "second", "--example", "first")[0] == 1
    code, out, err = run("verify", name, "--example", "third")
    assert (code, out) == (1, "")
    assert "[example.none]" in err
    assert "allowed: first, second" in err


def test_a_model_without_examples_proves_nothing(run: Run, save: Save) -> None:
    code, out, err = run("verify", save(digits(), "m.snnir"))
    assert (code, out) == (1, "")
    assert "[example.none]" in err


def test_an_unknown_backend(run: Run, save: Save) -> None:
    code, out, err = run("verify", save(digits_with_example(), "m.snnir"), "--backend", "nope")
    assert (code, out) == (1, "")
    assert "[plugin.unknown]" in err


def test_a_backend_whose_package_is_missing_is_exit_code_4(
    run: Run, save: Save, install: Install
) -> None:
    install("import acme_simulator", backends={"acme": "acme:Backend"})
    name = save(digits_with_example(), "m.snnir")
    code, out, err = run("verify", name, "--backend", "acme")
    assert (code, out) == (4, "")
    assert "[plugin.missing-dependency]" in err
    assert "pip install acme_simulator" in err
    code, out, err = run("verify", name, "--backend", "acme", "--json")
    assert (code, err) == (4, "")
    assert json.loads(out)["exit_code"] == 4


def test_verbose_shows_why_a_plugin_is_broken(run: Run, save: Save, install: Install) -> None:
    install("1 / 0", backends={"acme": "acme:Backend"})
    name = save(digits_with_example(), "m.snnir")
    code, _, err = run("verify", name, "--backend", "acme")
    assert code == 1
    assert "ZeroDivisionError: division by zero" in err
    assert "acme.py" not in err
