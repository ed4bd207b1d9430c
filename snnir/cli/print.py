"""Print a model as text: one line a node, with the types of its outputs.

The text is stable, so that two of them can be compared line by line. No weight is read unless
--values asks for what identifies them.
"""

from __future__ import annotations

import argparse

from snnir.cli.common import (
    Exit,
    add_model_argument,
    load_model,
    out,
    out_json,
    types_of,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    parser.add_argument(
        "--values",
        action="store_true",
        help="show the first digits of each tensor's SHA-256",
    )


def run(args: argparse.Namespace) -> int:
    """Print a model."""
    from snnir.ir.printer import format_model

    model = load_model(args.model)
    text = format_model(model, types=types_of(model, args), values=args.values)
    if args.json:
        out_json({"file": args.model, "text": text.splitlines()})
    else:
        out(text.removesuffix("\n"))
    return Exit.OK
