"""op, plugins, conform and upgrade."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

import snnir
from snnir.ops import registry
from tests.cli.conftest import Install, Run, Save
from tests.cli.helpers import digits, snnir_process, with_unknown_operator

# op ------------------------------------------------------------------------------------------


def test_op_lists_all_operators_with_their_summaries(run: Run) -> None:
    code, out, err = run("op")
    assert (code, err) == (0, "")
    opdefs = [opdef for domain in registry.domains() for opdef in domain]
    for line, opdef in zip(out.splitlines(), opdefs, strict=True):
        assert line.startswith(f"{opdef.op} ")
        assert line.endswith(opdef.summary)


def test_op_shows_all_of_an_operator(run: Run) -> None:
    code, out, err = run("op", "snn.LIF")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    text = " ".join(out.split())
    opdef = registry.find("snn.LIF")
    assert opdef is not None
    assert opdef.summary in text
    for item in (*opdef.inputs, *opdef.outputs, *opdef.attributes, *opdef.parameters, *opdef.state):
        assert f" {item.name}: " in text
        assert item.doc in text
    for statement in (*opdef.formula.splitlines(), opdef.notes, *opdef.references):
        assert " ".join(statement.split()) in text
    assert "decay: float, any shape that broadcasts, required, >= 0 and <= 1 [1 per step]" in text
    assert 'reset: str, default "subtract", one of "subtract", "to_value", "none"' in text


@pytest.mark.parametrize("domain", registry.BUILTIN_DOMAINS)
def test_op_shows_every_operator(run: Run, domain: str) -> None:
    found = registry.domain(domain)
    assert found is not None
    for opdef in found:
        code, out, _ = run("op", opdef.op)
        assert code == 0
        assert opdef.op in out


def test_the_domain_may_be_left_out_where_one_has_the_operator(run: Run) -> None:
    assert run("op", "lif") == run("op", "snn.LIF")
    code, _, err = run("op", "Dense")
    assert code == 1
    assert "allowed: ann.Dense, snn.Dense" in err


def test_an_unknown_operator_leads_to_those_of_similar_name(run: Run) -> None:
    code, out, err = run("op", "snn.SpikeCont")
    assert (code, out) == (1, "")
    assert "[op.unknown]" in err
    assert "snn.SpikeCount" in err


def test_op_as_json_and_as_markdown(run: Run) -> None:
    manifest = json.loads(run("op", "snn.LIF", "--json")[1])
    assert (manifest["domain"], manifest["name"]) == ("snn", "LIF")
    everything = json.loads(run("op", "--json")[1])
    assert manifest in everything["snn"]
    assert "| `decay` |" in run("op", "snn.LIF", "--markdown")[1]
    assert "### ann.Dense" in run("op", "--markdown")[1]


def test_a_broken_operator_set_does_not_hide_the_others(run: Run, install: Install) -> None:
    install("import nothing_like_it", ops={"acme": "acme:OPERATORS"})
    code, out, err = run("op")
    assert code == 0
    assert "snn.LIF" in out
    assert "plugin 'acme'" in err
    code, out, err = run("op", "acme.Neuron")
    assert (code, out) == (4, "")
    assert "pip install nothing_like_it" in err


# plugins -------------------------------------------------------------------------------------


def test_plugins_are_listed_without_being_imported(run: Run, install: Install) -> None:
    install(
        "raise AssertionError('imported')",
        ops={"acme": "acme:OPERATORS"},
        targets={"chip": "acme:Target"},
    )
    code, out, err = run("plugins")
    assert (code, err) == (0, "")
    assert "acme:OPERATORS" in out
    assert "acme 1.0" in out
    assert "acme" not in sys.modules
    report = json.loads(run("plugins", "--json")[1])
    assert {"name": "snn", "object": "", "package": "snnir"} in report["ops"]
    assert {"name": "reference", "object": "", "package": "snnir"} in report["backends"]
    chip = {"name": "chip", "object": "acme:Target", "package": "acme 1.0"}
    assert chip in report["targets"]
    snnir = {"name": "snnir", "object": "", "package": "snnir"}
    assert snnir in report["targets"]


def test_plugins_load_says_which_do_not(run: Run, install: Install) -> None:
    install(
        "import nothing_like_it", ops={"acme": "acme:OPERATORS"}, frontends={"acme": "acme:Read"}
    )
    code, out, _ = run("plugins", "--load")
    assert code == 1
    assert out.count("DOES NOT LOAD") == 2
    assert out.count("[plugin.missing-dependency]") == 2
    report = json.loads(run("plugins", "--load", "--json")[1])
    assert [entry["loads"] for entry in report["ops"]] == [True, True, True, False]
    assert len(report["diagnostics"]) == 2


# conform -------------------------------------------------------------------------------------


@dataclass
class Result:
    name: str
    op: str
    passed: bool = True
    skipped: str = ""
    detail: str = ""


@dataclass
class Report:
    results: list[Result] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(result.passed or result.skipped for result in self.results)


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """What the runner finds; and it finds nothing else."""
    results: list[Result] = []

    def run_conformance(backend: str = "reference", ops: list[str] | None = None) -> Report:
        assert backend == "reference"
        return Report([result for result in results if ops is None or result.op in ops])

    module = ModuleType("snnir.testing.conformance")
    module.run_conformance = run_conformance  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snnir.testing.conformance", module)
    return results


def test_conform_names_failures_and_counts_the_rest(run: Run, vectors: list[Result]) -> None:
    vectors += [
        Result("lif_rest", "snn.LIF"),
        Result("lif_edge", "snn.LIF", False, detail="step 3: expected 1.0\nfound 0.0"),
        Result("sparse", "snn.Sparse", False, skipped="no Sparse here"),
    ]
    code, out, err = run("conform")
    assert code == 1
    assert out == (
        "FAILED   lif_edge (snn.LIF)\n"
        "         step 3: expected 1.0\n"
        "         found 0.0\n"
        "3 vectors on backend 'reference': 1 passed, 1 failed, 1 skipped\n"
    )
    assert err == "-v tells why vectors were skipped\n"
    out = run("conform", "-v")[1]
    assert "skipped  sparse (snn.Sparse): no Sparse here\n" in out
    assert "ok       lif_rest (snn.LIF)\n" in out
    assert run("conform", "--op", "snn.Sparse", "-q")[::2] == (0, "")


def test_conform_as_json(run: Run, vectors: list[Result]) -> None:
    vectors.append(Result("lif_rest", "snn.LIF"))
    code, out, _ = run("conform", "--json")
    assert code == 0
    assert json.loads(out) == {
        "backend": "reference",
        "passed": True,
        "results": [
            {"name": "lif_rest", "op": "snn.LIF", "passed": True, "skipped": "", "detail": ""}
        ],
    }


def test_the_shipped_vectors_pass_on_the_reference(run: Run) -> None:
    code, out, err = run("conform", "--op", "snn.LIF")
    assert (code, err) == (0, "")
    assert " 0 failed, 0 skipped\n" in out
    code, _, err = run("conform", "--op", "snn.Nothing")
    assert code == 1
    assert "[op.unknown]" in err


def test_no_vector_is_no_proof(run: Run, vectors: list[Result]) -> None:
    code, _, err = run("conform")
    assert vectors == []
    assert code == 1
    assert "nothing is proved" in err


# upgrade -------------------------------------------------------------------------------------

OLD_AND_NEW = """
from dataclasses import replace
from snnir.ops.registry import find

V1 = replace(find("snn.SpikeCount"), domain="acme", name="Count")

def upgrade(node):
    node.attributes["start"] = node.attributes.get("start", 0) + 1
    return node

OPERATORS = (V1, replace(V1, since_version=2, upgrade=upgrade))
"""


def old_model() -> snnir.Model:
    model = digits()
    node = model.graph.nodes["count"]
    node.op = "acme.Count"
    model.opsets["acme"] = 1
    return model


def test_upgrade_writes_the_new_model_and_says_what_it_did(
    run: Run, save: Save, install: Install
) -> None:
    install(OLD_AND_NEW, ops={"acme": "acme:OPERATORS"})
    name = save(old_model(), "old.snnir")
    before = Path(name).read_bytes()
    code, out, err = run("upgrade", name, "-o", "new.snnir")
    assert (code, out) == (0, "")
    assert err == ("operator set 'acme' version 1 -> 2\nnode 'count' (acme.Count) version 1 -> 2\n")
    upgraded = snnir.load("new.snnir")
    assert upgraded.opsets["acme"] == 2
    assert upgraded.graph.nodes["count"].attributes == {"start": 1}
    assert Path(name).read_bytes() == before

    assert run("upgrade", name, "--in-place", "-q") == (0, "", "")
    assert Path(name).read_bytes() == Path("new.snnir").read_bytes()
    assert run("upgrade", name, "--in-place") == (0, "", "the model is up to date\n")


def test_upgrade_leaves_what_it_does_not_know(run: Run, save: Save) -> None:
    name = save(with_unknown_operator(digits()), "m.snnir")
    code, out, _ = run("upgrade", name, "-o", "new.snnir", "--json")
    assert code == 0
    assert json.loads(out) == {
        "notes": ["operator set 'nowhere' stays at version 3: nothing installed provides it"],
        "opsets": {"ann": 1, "nowhere": 3, "snn": 1},
        "format_version": 1,
    }


def test_upgrade_from_stdin_to_stdout() -> None:
    data = snnir.to_bytes(digits())
    done = snnir_process("upgrade", "-", "-o", "-", stdin=data)
    assert (done.returncode, done.stdout) == (0, data)
    assert done.stderr == b"the model is up to date\n"


@pytest.mark.parametrize(
    "arguments", [["-", "--in-place"], ["m", "-o", "-", "--json"], ["m", "-o", "x", "--in-place"]]
)
def test_upgrade_refuses_what_cannot_be_meant(run: Run, arguments: list[str]) -> None:
    code, out, _ = run("upgrade", *arguments)
    assert (code, out) == (2, "")
