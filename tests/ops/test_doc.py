"""The operator documentation is complete, up to date, and backed by vectors."""

from __future__ import annotations

import importlib.resources
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnir.codes import CODES
from snnir.ops import doc, registry
from snnir.ops.schema import COMMON_ATTRIBUTES, Arity, Flow, OpDef, Parameter

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "proto/spec"
in_source_tree = pytest.mark.skipif(
    not SPEC.is_dir(), reason="proto/spec is not here (testing an installed wheel)"
)

OPERATORS: list[OpDef] = [
    definition
    for name in registry.BUILTIN_DOMAINS
    if (domain := registry.domain(name)) is not None
    for operator in domain
    for definition in domain.history(operator.name)
]
every_operator = pytest.mark.parametrize("opdef", OPERATORS, ids=lambda opdef: opdef.op)

NOT_IN_THE_FORMULA = {
    ("ann.Dropout", "rate"),  # for the record: it does nothing
    ("snn.Sparse", "outputs"),  # the length of y, which the weights do not tell
    ("keepdims",),  # axes of length 1 that stay
}
"""Attributes by operator and name, or by name alone, that no formula can or need name."""

MIN_VECTORS = 2


# The generated files ---------------------------------------------------------------------------


@in_source_tree
def test_the_generated_files_are_up_to_date() -> None:
    assert doc.drifted_files(ROOT) == [], "run `make docs`"


def test_drifted_and_missing_files_are_named(tmp_path: Path) -> None:
    files = doc.generated_files()
    assert doc.drifted_files(tmp_path) == list(files)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    assert doc.drifted_files(tmp_path) == []
    (tmp_path / "proto/spec/errors.md").write_text("something else", "utf-8")
    assert doc.drifted_files(tmp_path) == ["proto/spec/errors.md"]


def test_write_and_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "proto/snnir/proto/v1/snnir.proto"
    schema.parent.mkdir(parents=True)
    schema.touch()
    monkeypatch.setattr(doc, "SOURCE_TREE", tmp_path)
    assert doc.main(["--check"]) == 1
    complaint = capsys.readouterr().err
    assert all(name in complaint for name in doc.generated_files())
    assert doc.main(["--write"]) == 0
    assert capsys.readouterr().out.splitlines() == list(doc.generated_files())
    assert doc.main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")
    path = tmp_path / "proto/spec/opset.json"
    path.write_bytes(path.read_bytes().replace(b"snn", b"nns", 1))
    assert doc.main(["--check"]) == 1
    assert "proto/spec/opset.json" in capsys.readouterr().err


def test_without_a_source_tree_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doc, "SOURCE_TREE", tmp_path)
    with pytest.raises(SystemExit, match="this is an installed package"):
        doc.main(["--check"])
    assert list(tmp_path.iterdir()) == []


@in_source_tree
def test_the_command_line_of_the_makefile() -> None:
    command = [sys.executable, "-m", "snnir.ops.doc", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_manifest_says_all_that_the_definitions_say() -> None:
    content = json.loads(doc.opset_json())
    found = {
        (domain["name"], operator["name"], operator["since_version"]): operator
        for domain in content["domains"]
        for operator in domain["operators"]
    }
    assert len(found) == len(OPERATORS)
    common = [entry["name"] for entry in content["attributes_of_every_operator"]]
    assert common == [attribute.name for attribute in COMMON_ATTRIBUTES] == ["start_step"]
    for opdef in OPERATORS:
        manifest = found[opdef.domain, opdef.name, opdef.since_version]
        assert manifest == json.loads(json.dumps(doc.operator_manifest(opdef)))
        assert [entry["name"] for entry in manifest["inputs"]] == [p.name for p in opdef.inputs]
        assert [Arity[e["arity"].upper()] for e in manifest["inputs"]] == [
            port.arity for port in opdef.inputs
        ]
        assert [entry["name"] for entry in manifest["outputs"]] == list(opdef.output_names)
        for attribute, entry in zip(opdef.attributes, manifest["attributes"], strict=True):
            default = entry["default"]
            default = tuple(default) if isinstance(default, list) else default
            assert (entry["name"], default) == (attribute.name, attribute.default)
        for parameter, entry in zip(opdef.parameters, manifest["parameters"], strict=True):
            assert (entry["name"], entry["default"], entry["minimum"], entry["maximum"]) == (
                parameter.name,
                parameter.default,
                parameter.minimum,
                parameter.maximum,
            )
        assert "\n".join(manifest["formula"]) == opdef.formula


def test_the_reference_lists_every_operator_and_every_link_leads_somewhere() -> None:
    text = doc.operators_markdown()
    headings = re.findall(r"^### (\w+\.\w+)$", text, re.M)
    assert sorted(headings) == sorted(opdef.op for opdef in OPERATORS)
    anchors = {heading.lower().replace(".", "") for heading in headings}
    assert set(re.findall(r"\]\(#(\w+)\)", text)) == anchors


def test_every_table_has_as_many_cells_in_each_row() -> None:
    for text in (doc.operators_markdown(), doc.errors_markdown()):
        for table in re.findall(r"(?:^\|.*\|$\n)+", text, re.M):
            widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(widths) == 1, table


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_listed_with_its_remedy(code: str) -> None:
    (row,) = re.findall(rf"^\| `{re.escape(code)}` \| .*$", doc.errors_markdown(), re.M)
    assert f"| {CODES[code].severity} |" in row
    assert CODES[code].title[1:] in row
    assert CODES[code].remedy in row


# Each operator ---------------------------------------------------------------------------------


@every_operator
def test_everything_about_the_operator_is_documented(opdef: OpDef) -> None:
    assert re.fullmatch(r"[A-Z]\w*", opdef.name)
    assert opdef.summary.endswith(".") and "\n" not in opdef.summary
    assert opdef.formula.strip() and opdef.latex.strip()
    assert opdef.references and all(map(str.strip, opdef.references))
    items: list[Any] = [*opdef.inputs, *opdef.outputs, *opdef.attributes]
    for item in (*items, *opdef.parameters, *opdef.state):
        assert re.fullmatch(r"[a-z]\w*", item.name)
        assert len(item.doc.strip()) > 1, item.name
    for state in opdef.state:
        assert state.initial.strip(), state.name
    markdown = doc.operator_markdown(opdef)
    for text in (opdef.formula, opdef.latex, opdef.since_version, opdef.flow.value):
        assert str(text) in markdown


@every_operator
def test_names_do_not_clash(opdef: OpDef) -> None:
    inputs = [
        item.name for items in (opdef.inputs, opdef.attributes, opdef.parameters) for item in items
    ]
    assert len(set(inputs)) == len(inputs), "the builder takes them by the same keywords"
    recorded = [*opdef.output_names, *(state.name for state in opdef.state)]
    assert len(set(recorded)) == len(recorded), "a run records them as node:name"


@every_operator
def test_the_formula_names_all_that_it_is_about(opdef: OpDef) -> None:
    names = {
        item.name
        for items in (opdef.inputs, opdef.outputs, opdef.attributes, opdef.parameters)
        for item in items
        if (item.name,) not in NOT_IN_THE_FORMULA
        and (opdef.op, item.name) not in NOT_IN_THE_FORMULA
    }
    text = " ".join([opdef.formula, *(state.initial for state in opdef.state)])
    words = set(re.findall(r"[A-Za-z]\w*", text))
    words |= {re.sub(r"_\w$", "", word) for word in words}  # x_0 is the first value at x
    assert names - words == set()


@every_operator
def test_defaults_and_ranges_agree(opdef: OpDef) -> None:
    for attribute in opdef.attributes:
        if attribute.default is not None:
            assert not attribute.required, attribute.name
            assert attribute.problem(attribute.default) is None, attribute.name
    for parameter in opdef.parameters:
        if parameter.default is not None:
            assert not parameter.required, parameter.name
            assert in_range(parameter, parameter.default), parameter.name


def in_range(parameter: Parameter, value: float) -> bool:
    if parameter.minimum is not None and (
        value < parameter.minimum or (parameter.exclusive_minimum and value == parameter.minimum)
    ):
        return False
    return parameter.maximum is None or value <= parameter.maximum


@every_operator
def test_state_and_end_suit_the_timing(opdef: OpDef) -> None:
    if opdef.flow is Flow.SAME:
        assert not opdef.state, "it may be evaluated where there are no steps"
    assert (opdef.finish is not None) == (opdef.flow is Flow.DECODE)


@every_operator
def test_the_operator_has_conformance_vectors(opdef: OpDef) -> None:
    vectors = importlib.resources.files("snnir") / "testing/vectors" / opdef.domain / opdef.name
    names = [entry.name for entry in vectors.iterdir()] if vectors.is_dir() else []
    found = [name for name in names if name.endswith(".snnir")]
    assert len(found) >= MIN_VECTORS, f"{opdef.op} has {len(found)} of {MIN_VECTORS} vectors"


# Text ------------------------------------------------------------------------------------------


def test_special_characters_stay_what_they_are() -> None:
    opdef = OpDef(
        domain="acme",
        name="Odd",
        summary="A * b | c <d> a < b \\ `x * y | z`.",
        formula="y = x | 1",
        flow=Flow.SAME,
        inputs=(),
        outputs=(),
        infer=lambda context: [],
        step=lambda bound, inputs, state: (),
    )
    markdown = doc.operator_markdown(opdef)
    assert r"A \* b \| c \<d> a < b \\ `x * y \| z`." in markdown
    assert "```text\ny = x | 1\n```" in markdown
