"""Bring a model to the newest versions of the format and of its operator sets.

The result means the same; if the model stores examples, `snnir verify` proves it. A model that
is up to date is written as it is.
"""

from __future__ import annotations

import argparse

from snnir.cli.common import (
    STDIO,
    Exit,
    UsageError,
    add_model_argument,
    load_model,
    note,
    out_json,
    save_model,
    shown,
)
from snnir.errors import raise_errors


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("-o", "--output", metavar="OUT", help="where to, or - for standard output")
    target.add_argument("--in-place", action="store_true", help="replace MODEL")


def run(args: argparse.Namespace) -> int:
    """Upgrade a model."""
    from snnir.check import check
    from snnir.passes.upgrade import upgrade

    if args.in_place and args.model == STDIO:
        raise UsageError("--in-place needs a file, not standard input")
    if args.json and args.output == STDIO:
        raise UsageError("--json and the model cannot both go to standard output")
    upgraded, notes = upgrade(load_model(args.model))
    raise_errors(check(upgraded, values=False))
    save_model(upgraded, args.model if args.in_place else args.output)
    if args.json:
        out_json({"notes": notes, "opsets": upgraded.opsets, "format_version": upgraded.ir_version})
    else:
        for line in notes or ["the model is up to date"]:
            note(args, shown(line))
    return Exit.OK
