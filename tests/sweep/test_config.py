"""Configurations of sweeps: what they stand for, and what they may not say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from snnir.errors import ConversionError, FileError
from snnir.sweep.config import parse_sweep, read_sweep

STEP: dict[str, Any] = {"command": "info", "arguments": ["{model}", "--x={rate}"]}
BASE: dict[str, Any] = {"steps": [STEP], "grid": {"model": ["a", "b"], "rate": [1, 0.5]}}

TOML = """
draws = 2
seed = 5
report = ["measure.accuracy"]

[[steps]]
command = "quantise"
arguments = ["net.snnir", "-o", "{folder}/q.snnir", "--bits", "{bits}", "{flag}"]
[[steps]]
command = "eval"
name = "measure"
arguments = ["{folder}/q.snnir", "--limit", "{limit}"]

[grid]
bits = [8, 4]
flag = ["", "--report"]

[random]
limit = { low = 1, high = 1000, log = true, integer = true }
"""


def test_grids_are_all_combinations() -> None:
    points = parse_sweep(BASE).points
    assert [(p["model"], p["rate"]) for p in points] == [
        ("a", 1),
        ("a", 0.5),
        ("b", 1),
        ("b", 0.5),
    ]


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(TOML)
    sweep = read_sweep(tmp_path / "sweep.toml")
    assert [step.name for step in sweep.steps] == ["quantise", "measure"]
    assert len(sweep.points) == 8 and sweep.report == ("measure.accuracy",)
    assert all(1 <= int(point["limit"]) <= 1000 for point in sweep.points)
    values = {**sweep.points[0], "folder": "here"}
    assert sweep.steps[0].filled(values) == [
        *("quantise", "net.snnir", "-o", "here/q.snnir", "--bits", "8"),
    ], "an empty argument is none"
    content = {
        "draws": 2,
        "seed": 5,
        "report": ["measure.accuracy"],
        "steps": [
            {"command": step.command, "name": step.name, "arguments": list(step.arguments)}
            for step in sweep.steps
        ],
        "grid": {"bits": [8, 4], "flag": ["", "--report"]},
        "random": {"limit": {"low": 1, "high": 1000, "log": True, "integer": True}},
    }
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    assert read_sweep(tmp_path / "sweep.json") == sweep


def drawn(rule: dict[str, Any], draws: int = 300, seed: int = 0) -> list[Any]:
    steps = [{"command": "info", "arguments": ["{value}"]}]
    content = {"steps": steps, "random": {"value": rule}, "draws": draws, "seed": seed}
    return [point["value"] for point in parse_sweep(content).points]


def test_draws_are_seeded_and_more_of_them_keep_the_first() -> None:
    rule = {"low": 0.0, "high": 1.0}
    assert drawn(rule, 5) == drawn(rule, 9)[:5] != drawn(rule, 5, seed=1)


def test_draws_are_spread_as_they_are_said_to_be() -> None:
    uniform = drawn({"low": 2.0, "high": 4.0})
    assert min(uniform) < 2.1 and max(uniform) > 3.9 and abs(sum(uniform) / 300 - 3) < 0.17
    log = drawn({"low": 1e-4, "high": 1e-2, "log": True})
    below = sum(value < 1e-3 for value in log)
    assert abs(below - 150) < 5 * math.sqrt(75), "half of them in each decade"
    assert set(drawn({"low": 1, "high": 3, "integer": True})) == {1, 2, 3}
    assert set(drawn({"choices": ["a", 2]})) == {"a", 2}
    whole = drawn({"low": 1, "high": 4, "log": True, "integer": True})
    assert set(whole) == {1, 2, 3, 4} and all(isinstance(value, int) for value in whole)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"stepz": []}, "top level"),
        ({"grid": [1]}, "grid"),
        ({"grid": {"model": ["a"], "rate": []}}, "grid, 'rate'"),
        ({"grid": {"model": ["a"], "rate": 3}}, "grid, 'rate'"),
        ({"grid": {"model": ["a"], "rate": [True]}}, "grid, 'rate'"),
        ({"grid": {"model": ["a"], "rate": [1, "1"]}}, "grid, 'rate'"),
        ({"grid": {"model": ["a"], "rate": [1], "more": [2]}}, "parameter 'more'"),
        ({"grid": {"model": ["a"], "rate": [1], "folder": [2]}}, "parameter 'folder'"),
        ({"grid": {"model": ["a"]}}, "step 1, arguments"),
        ({"draws": 3}, "draws"),
        ({"seed": -1}, "seed"),
        ({"report": "accuracy"}, "report"),
        ({"steps": []}, "steps"),
        ({"steps": ["info"]}, "step 1"),
        ({"steps": [{**STEP, "command": "sweep"}]}, "step 1, command"),
        ({"steps": [{**STEP, "args": []}]}, "step 1"),
        ({"steps": [STEP, STEP]}, "step 2, name"),
        ({"steps": [{**STEP, "arguments": "x"}]}, "step 1, arguments"),
        ({"steps": [{**STEP, "arguments": ["{model}", "{rate}", "-o", "out"]}]}, "step 1, output"),
        (
            {"steps": [{**STEP, "arguments": ["{model}", "{rate}", "--checkpoints=kept"]}]},
            "step 1, output",
        ),
        ({"steps": [{**STEP, "arguments": ["{model}{rate}", "--output=o"]}]}, "step 1, output"),
        ({"grid": {"model": [str(n) for n in range(1001)], "rate": list(range(1000))}}, "points"),
    ],
    ids=str,
)
def test_what_it_may_not_say(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ConversionError) as caught:
        parse_sweep({**BASE, **change})
    places = [finding.where.removeprefix("sweep, ") for finding in caught.value.diagnostics]
    assert place in places
    assert {finding.code for finding in caught.value.diagnostics} == {"sweep.config"}


@pytest.mark.parametrize(
    "rule",
    [
        {},
        3,
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": "a", "high": "b"},
        {"low": 0, "high": 1, "log": True},
        {"low": 0.5, "high": 2, "integer": True},
        {"low": 1, "high": 2, "log": 1},
        {"choices": []},
        {"choices": [1], "low": 2},
        {"low": 1, "high": 2, "step": 3},
    ],
    ids=str,
)
def test_rules_that_draw_nothing(rule: Any) -> None:
    with pytest.raises(ConversionError, match=r"\[sweep.config\].*random, 'value'"):
        drawn(rule)


def test_all_findings_come_at_once() -> None:
    content = {
        "steps": [{"command": "fly", "arguments": ["{wings}"]}, {"command": "info"}],
        "grid": {"bits": []},
        "random": {"bits": {"low": 1}},
        "draws": 0,
        "seed": "x",
    }
    with pytest.raises(ConversionError) as caught:
        parse_sweep(content)
    assert len(caught.value.diagnostics) >= 7


@pytest.mark.parametrize("text", ["steps = [", "{", "[1, 2", '{"a": 1'])
def test_files_that_are_neither(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(FileError, match=r"\[sweep.file\]"):
        read_sweep(tmp_path / "sweep.toml")
    with pytest.raises(FileError, match="no such file"):
        read_sweep(tmp_path / "absent.toml")
