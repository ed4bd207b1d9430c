"""snnir new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import snnir
from snnir.ir.digest import digest
from snnir.recipes import RECIPES, build
from tests.cli.conftest import Run
from tests.cli.helpers import assert_golden

SIZES = ["--inputs", "6", "--hidden", "5", "--outputs", "3"]


def test_it_writes_what_the_function_builds(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.snnir"
    options = ["--steps", 40, "--tau-mem", 0.01, "--reset", "subtract", "--seed", 3]
    code, out, err = run("new", "--recipe", "rsnn", *SIZES, *options, "-o", path)
    assert (code, out) == (0, "")
    assert "rsnn, 70 weights" in err
    expected = build(
        "rsnn", inputs=6, hidden=5, outputs=3, steps=40, tau_mem=0.01, reset="subtract", seed=3
    )
    assert digest(snnir.load(path)) == digest(expected)


def test_json_shapes_and_labels(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.snnir"
    sizes = ["--inputs", "2,3", "--hidden", "4,5", "--outputs", "2", "--labels", "no,yes"]
    code, out, err = run("new", "--recipe", "two-layer", *sizes, "-o", path, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"recipe": "two-layer", "file": str(path), "weights": 54}
    model = snnir.load(path)
    assert model.graph.inputs[0].type.shape == (2, 3)
    assert model.graph.outputs[0].labels == ("no", "yes")


def test_the_list_of_recipes(run: Run) -> None:
    code, out, err = run("new", "--list")
    assert (code, err) == (0, "")
    assert_golden("recipes.txt", out)
    listed = json.loads(run("new", "--list", "--json")[1])
    assert list(listed) == list(RECIPES)
    assert listed["alif"]["options"]["tau_syn"]["default"] == 0
    assert "tau_adapt" not in listed["rsnn"]["options"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--recipe", "rsnn", "-o", "net.snnir"],
        ["--recipe", "rsnn", *SIZES],
        ["--recipe", "rsnn", *SIZES, "-o", "n.snnir", "--hidden", "5,0"],
        ["--recipe", "rsnn", *SIZES, "-o", "n.snnir", "--decoder", "vote"],
        ["--recipe", "rsnn", *SIZES, "-o", "n.snnir", "--dt", "fast"],
        ["--recipe", "rsnn", *SIZES, "-o", "-", "--json"],
    ],
    ids=str,
)
def test_wrong_usage(
    run: Run, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("new", *arguments)
    assert (code, out) == (2, "") and "error: " in err
    assert list(tmp_path.iterdir()) == []


def test_findings_come_at_once_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.snnir"
    path.write_text("precious")
    options = ["--tau-adapt", "1", "--dt", "-1"]
    code, _, err = run("new", "--recipe", "rsnn", *SIZES, *options, "-o", path)
    assert code == 1
    assert err.count("[recipe.option]") == 2
    assert path.read_text() == "precious"
    code, _, err = run("new", "--recipe", "nothing", *SIZES, "-o", path)
    assert code == 1 and "[recipe.unknown]" in err
