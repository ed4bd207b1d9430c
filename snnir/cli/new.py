"""Make a spiking classifier with fresh weights, ready to be trained.

RECIPE is its architecture; `snnir new --list` shows all, with their options and defaults. An
option that a recipe does not have is an error. Times are in seconds.

  snnir new --recipe rsnn --inputs 64 --hidden 256 --outputs 10 --steps 80 -o net.snnir
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from snnir.cli.common import (
    STDIO,
    Exit,
    UsageError,
    note,
    out,
    out_json,
    plural,
    positive,
    save_model,
    shown,
    table,
)

_KINDS: Final = {"int": int, "float": float, "float | None": float}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from snnir.recipes import CHOICES, Settings

    parser.add_argument("--list", action="store_true", help="list the recipes and their options")
    parser.add_argument("--recipe", metavar="RECIPE", help="the architecture")
    parser.add_argument(
        "--inputs", metavar="N[,N...]", type=sizes, help="input neurons, or their shape"
    )
    parser.add_argument(
        "--hidden", metavar="N[,N...]", type=sizes, help="neurons of the hidden layers"
    )
    parser.add_argument("--outputs", metavar="N", type=positive, help="number of classes")
    parser.add_argument(
        "--labels", metavar="A,B,...", help="names of the classes (default: their numbers)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="where to, or - for standard output")
    group = parser.add_argument_group("options of recipes (defaults: see --list)")
    for entry in dataclasses.fields(Settings):
        option = "--" + entry.name.replace("_", "-")
        help_text = entry.metadata["doc"]
        if entry.name in CHOICES:
            group.add_argument(option, choices=CHOICES[entry.name], help=help_text)
        else:
            kind = _KINDS[str(entry.type)]
            metavar = "N" if kind is int else "X"
            group.add_argument(option, type=kind, metavar=metavar, help=help_text)


def sizes(text: str) -> int | list[int]:
    """One number or several, for argparse."""
    numbers = [positive(part) for part in text.split(",")]
    return numbers if len(numbers) > 1 else numbers[0]


def run(args: argparse.Namespace) -> int:
    """Make a network."""
    from snnir.recipes import Settings, build

    if args.list:
        _list(args)
        return Exit.OK
    needed = ("recipe", "inputs", "hidden", "outputs", "output")
    missing = [f"--{name}" for name in needed if getattr(args, name) is None]
    if missing:
        raise UsageError(f"needed: {', '.join(missing)} (or --list)")
    if args.json and args.output == STDIO:
        raise UsageError("--json and the model cannot both go to standard output")
    given = {entry.name: getattr(args, entry.name) for entry in dataclasses.fields(Settings)}
    model = build(
        args.recipe,
        inputs=args.inputs,
        hidden=args.hidden,
        outputs=args.outputs,
        labels=() if args.labels is None else args.labels.split(","),
        **{name: value for name, value in given.items() if value is not None},
    )
    save_model(model, args.output)
    parameters = sum(
        tensor.size
        for node in model.graph.nodes.values()
        for name, tensor in node.parameters.items()
        if name == "weight"
    )
    if args.json:
        out_json({"recipe": args.recipe, "file": args.output, "weights": parameters})
    else:
        count = plural(parameters, "weight")
        note(args, shown(f"'{args.output}': {args.recipe}, {count}; no training yet"))
    return Exit.OK


def _list(args: argparse.Namespace) -> None:
    from snnir.recipes import RECIPES

    if args.json:
        out_json(
            {
                name: {
                    "summary": recipe.summary,
                    "reference": recipe.reference,
                    "hidden_layers": recipe.layers,
                    "options": {
                        entry.name: {
                            "default": recipe.default(entry.name),
                            "help": entry.metadata["doc"],
                        }
                        for entry in recipe.options()
                    },
                }
                for name, recipe in RECIPES.items()
            }
        )
        return
    for line in _lines():
        out(line)


def _lines() -> Iterator[str]:
    from snnir.recipes import RECIPES, Settings

    yield from table((name, recipe.summary) for name, recipe in RECIPES.items())
    yield ""
    rows: list[tuple[str, ...]] = []
    for entry in dataclasses.fields(Settings):
        having = [r for r in RECIPES.values() if entry in r.options()]
        defaults = {r.name: _shown(r.default(entry.name)) for r in having}
        usual = _shown(entry.default)
        text = usual if usual in defaults.values() else ""
        text += "".join(f", {name}: {value}" for name, value in defaults.items() if value != usual)
        only = "" if len(having) == len(RECIPES) else f" ({', '.join(r.name for r in having)})"
        option = "--" + entry.name.replace("_", "-")
        rows.append((option, text, entry.metadata["doc"] + only))
    yield from table(rows)


def _shown(value: Any) -> str:
    return "scaled" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
