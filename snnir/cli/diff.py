"""Compare two models: what was added (+), removed (-) or changed (~) from A to B.

Nodes are compared by name, and their order counts for nothing; a setting that equals its
default counts as absent. Exit code 1 if the models differ.
"""

from __future__ import annotations

import argparse

from snnir.cli.common import (
    Exit,
    add_model_argument,
    load_model,
    out,
    out_json,
    plural,
    require_one_stdin,
    shown,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser, "a")
    add_model_argument(parser, "b")
    parser.add_argument(
        "--meaning",
        action="store_true",
        help="only what the digest covers: not producer, metadata, examples, original layers",
    )


def run(args: argparse.Namespace) -> int:
    """Compare two models."""
    from snnir.ir.diff import diff

    require_one_stdin(args.a, args.b)
    changes = diff(load_model(args.a), load_model(args.b))
    if args.meaning:
        changes = [change for change in changes if change.in_digest]
    if args.json:
        out_json({"equal": not changes, "changes": [change.to_json() for change in changes]})
    else:
        for change in changes:
            out(shown(str(change)))
        text = plural(len(changes), "difference") if changes else "no differences"
        if changes and not any(change.in_digest for change in changes):
            text += "; none changes the meaning"
        out(text)
    return Exit.FINDINGS if changes else Exit.OK
