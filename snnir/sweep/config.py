"""The configuration of a sweep: what it may say, and the points that it stands for."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from snnir.cli.main import COMMANDS
from snnir.errors import (
    ConversionError,
    Diagnostic,
    FileError,
    MissingDependency,
    raise_errors,
)

FOLDER: Final = "folder"
"""The placeholder that stands for the folder of a point's own files."""

MAX_POINTS: Final = 1_000_000

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OUTPUTS: Final = ("-o", "--output", "--checkpoints", "--log", "--plot")
"""Options of commands that name what they write."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS: Final = ("steps", "grid", "random", "draws", "seed", "report")
_STEP_KEYS: Final = ("command", "arguments", "name")
_DRAW_KEYS: Final = ("low", "high", "log", "integer", "choices")

Value = str | int | float
"""Of a parameter."""


@dataclass(frozen=True)
class Step:
    """One command of a point.

    Attributes:
        name: What its result is called in the table.
        command: A subcommand of ``snnir``.
        arguments: Its arguments, with placeholders.
    """

    name: str
    command: str
    arguments: tuple[str, ...]

    def filled(self, values: Mapping[str, Value]) -> list[str]:
        """The command line; an argument that becomes empty is left out."""

        def value(match: re.Match[str]) -> str:
            return str(values[match[1]])

        filled = (_PLACEHOLDER.sub(value, argument) for argument in self.arguments)
        return [self.command, *(argument for argument in filled if argument)]


@dataclass(frozen=True)
class Sweep:
    """A valid configuration.

    Attributes:
        steps: Commands that are run one after the other for each point.
        points: Values of the parameters, for each point.
        report: Columns of the table, as ``step.key.key``; empty: all numbers of the last step.
    """

    steps: tuple[Step, ...]
    points: tuple[dict[str, Value], ...]
    report: tuple[str, ...]


def read_sweep(path: str | os.PathLike[str]) -> Sweep:
    """The sweep that a TOML or JSON file describes.

    Raises:
        FileError: If the file cannot be read or is neither.
        MissingDependency: If there is no reader of TOML (before Python 3.11).
        ConversionError: If it describes no sweep; with all findings.
    """
    where = f"sweep '{os.fsdecode(path)}'"
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise FileError(Diagnostic("file.unreadable", where, reason, "a TOML file")) from error
    try:
        content = json.loads(text) if text.lstrip().startswith("{") else _toml().loads(text)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FileError(Diagnostic("sweep.file", where, reason, "TOML, or JSON")) from error
    return parse_sweep(content, where)


def _toml() -> Any:
    try:
        return import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "TOML files",
                "no package 'tomli'",
                "tomli installed, Python 3.11, or JSON",
                hint='pip install "snnir[sweep]"',
            )
        ) from error


def parse_sweep(content: Mapping[str, Any], where: str = "sweep") -> Sweep:
    """The sweep that a configuration describes.

    Raises:
        ConversionError: If it describes none; with all findings.
    """
    raise_errors(_findings(content, where), ConversionError)
    steps = tuple(
        Step(
            step.get("name", step["command"]),
            step["command"],
            tuple(map(str, step.get("arguments", ()))),
        )
        for step in content["steps"]
    )
    return Sweep(steps, tuple(_points(content)), tuple(content.get("report", ())))


def _points(content: Mapping[str, Any]) -> Iterator[dict[str, Value]]:
    """Every draw with every point of the grid; more draws leave those before as they are."""
    grid, random = content.get("grid", {}), content.get("random", {})
    for number in range(content["draws"] if random else 1):
        rng = np.random.default_rng([content.get("seed", 0), number])
        drawn = {name: _draw(random[name], rng) for name in sorted(random)}
        for values in itertools.product(*grid.values()):
            yield {**dict(zip(grid, values, strict=True)), **drawn}


def _draw(rule: Mapping[str, Any], rng: np.random.Generator) -> Value:
    if "choices" in rule:
        chosen: Value = rule["choices"][int(rng.integers(len(rule["choices"])))]
        return chosen
    low, high = rule["low"], rule["high"]
    if rule.get("integer") and not rule.get("log"):
        return int(rng.integers(low, high, endpoint=True))
    part = rng.random()
    if rule.get("log"):
        value = math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
    else:
        value = low + part * (high - low)
    return min(max(round(value), low), high) if rule.get("integer") else float(value)


# What is allowed -------------------------------------------------------------------------------


def _findings(content: Mapping[str, Any], where: str) -> Iterator[Diagnostic]:
    def wrong(place: str, found: object, allowed: str) -> Diagnostic:
        text = found if isinstance(found, str) else repr(found)
        return Diagnostic("sweep.config", f"{where}, {place}", text[:200], allowed)

    for key in content:
        if key not in _KEYS:
            yield wrong("top level", f"'{key}'", ", ".join(_KEYS))
    grid, random = content.get("grid", {}), content.get("random", {})
    for kind, table in (("grid", grid), ("random", random)):
        if not isinstance(table, Mapping):
            yield wrong(kind, table, "a table of parameters")
    grid, random = (table if isinstance(table, Mapping) else {} for table in (grid, random))
    for name in [*grid, *random]:
        if not _NAME.fullmatch(name) or name == FOLDER:
            yield wrong(f"parameter '{name}'", name, f"letters, digits and _, not '{FOLDER}'")
    for name in grid.keys() & random.keys():
        yield wrong(f"parameter '{name}'", "in grid and in random", "one of them")
    for name, values in grid.items():
        yield from _value_findings(values, f"grid, '{name}'", wrong)
    for name, rule in random.items():
        yield from _rule_findings(rule, f"random, '{name}'", wrong)
    yield from _count_findings(content, grid, random, wrong)
    used: set[str] = set()
    yield from _step_findings(content.get("steps"), {*grid, *random, FOLDER}, used, wrong)
    for name in [*grid, *random]:
        if name not in used:
            yield wrong(f"parameter '{name}'", "no argument uses it", f"'{{{name}}}' in one")
    report = content.get("report", [])
    if not isinstance(report, list) or not all(isinstance(entry, str) for entry in report):
        yield wrong("report", report, "a list of columns 'step.key'")


def _value_findings(values: Any, place: str, wrong: Any) -> Iterator[Diagnostic]:
    if not isinstance(values, list) or not values:
        yield wrong(place, values, "a list of values")
    elif not all(map(_is_value, values)):
        yield wrong(place, values, "texts and finite numbers")
    elif len(set(map(str, values))) < len(values):
        yield wrong(place, values, "each value once")


def _is_value(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _rule_findings(rule: Any, place: str, wrong: Any) -> Iterator[Diagnostic]:
    forms = "{low, high, log, integer} or {choices}"
    if not isinstance(rule, Mapping) or not rule or not rule.keys() <= set(_DRAW_KEYS):
        yield wrong(place, rule, forms)
        return
    if "choices" in rule:
        if len(rule) > 1:
            yield wrong(place, rule, forms)
        yield from _value_findings(rule["choices"], place, wrong)
        return
    low: Any = rule.get("low")
    high: Any = rule.get("high")
    numbers = all(_is_value(end) and not isinstance(end, str) for end in (low, high))
    if not numbers or not low < high:
        yield wrong(place, rule, "numbers low < high")
        return
    if rule.get("log") and low <= 0:
        yield wrong(place, rule, "low > 0 with log")
    if rule.get("integer") and not (isinstance(low, int) and isinstance(high, int)):
        yield wrong(place, rule, "whole numbers low and high with integer")
    for key in ("log", "integer"):
        if not isinstance(rule.get(key, False), bool):
            yield wrong(f"{place}, {key}", rule[key], "true or false")


def _count_findings(
    content: Mapping[str, Any], grid: Mapping[str, Any], random: Mapping[str, Any], wrong: Any
) -> Iterator[Diagnostic]:
    draws, seed = content.get("draws"), content.get("seed", 0)
    if random and (not isinstance(draws, int) or isinstance(draws, bool) or draws < 1):
        yield wrong("draws", draws, "how many points to draw, with random")
        draws = 1
    elif not random and draws is not None:
        yield wrong("draws", draws, "nothing without random")
        draws = 1
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        yield wrong("seed", seed, "a whole number of at least 0")
    sizes = [len(values) for values in grid.values() if isinstance(values, list)]
    count = math.prod(sizes) * (draws or 1)
    if count > MAX_POINTS:
        yield wrong("points", f"{count}", f"at most {MAX_POINTS}")


def _step_findings(steps: Any, known: set[str], used: set[str], wrong: Any) -> Iterator[Diagnostic]:
    if not isinstance(steps, list) or not steps:
        yield wrong("steps", steps, "a list of commands [[steps]]")
        return
    names: set[str] = set()
    commands = [command for command in COMMANDS if command != "sweep"]
    for number, step in enumerate(steps, 1):
        place = f"step {number}"
        if not isinstance(step, Mapping):
            yield wrong(place, step, "a table with command and arguments")
            continue
        for key in step:
            if key not in _STEP_KEYS:
                yield wrong(place, f"'{key}'", ", ".join(_STEP_KEYS))
        command, arguments = step.get("command"), step.get("arguments", [])
        if command not in commands:
            yield wrong(f"{place}, command", command, ", ".join(commands))
        name = step.get("name", command)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in names:
            yield wrong(f"{place}, name", name, "a name of its own: letters, digits and _")
        else:
            names.add(name)
        if not isinstance(arguments, list) or not all(map(_is_value, arguments)):
            yield wrong(f"{place}, arguments", arguments, "a list of texts and numbers")
            continue
        yield from _output_findings(list(map(str, arguments)), place, wrong)
        for argument in map(str, arguments):
            for match in _PLACEHOLDER.finditer(argument):
                used.add(match[1])
                if match[1] not in known:
                    allowed = ", ".join(f"{{{name}}}" for name in sorted(known))
                    yield wrong(f"{place}, arguments", f"'{argument}'", allowed)


def _output_findings(arguments: list[str], place: str, wrong: Any) -> Iterator[Diagnostic]:
    """What points write has to be their own."""
    for number, argument in enumerate(arguments):
        option, _, name = argument.partition("=")
        if option not in _OUTPUTS:
            continue
        if not name:
            name = arguments[number + 1] if number + 1 < len(arguments) else ""
        if f"{{{FOLDER}}}" not in name:
            yield wrong(f"{place}, output", f"'{name}'", f"a name with {{{FOLDER}}}")
