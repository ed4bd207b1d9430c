"""Find all that is wrong with a model, or worth knowing, at once.

Exit code 1 if there is an error; warnings alone do not count.
"""

from __future__ import annotations

import argparse
import warnings

from snnir.cli.common import (
    Exit,
    add_model_argument,
    format_diagnostic,
    load_model,
    out,
    out_json,
    plural,
    shown,
)
from snnir.errors import SnnirWarning


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    parser.add_argument(
        "--no-values",
        dest="values",
        action="store_false",
        help="do not look at weights: neither digests nor numbers",
    )
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")


def run(args: argparse.Namespace) -> int:
    """Check a model."""
    from snnir.check import check

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SnnirWarning)  # they are among the findings
        model = load_model(args.model)
    findings = check(model, values=args.values)
    errors = sum(finding.severity == "error" for finding in findings)
    others = len(findings) - errors
    failed = bool(errors or (args.strict and others))
    if args.json:
        out_json(
            {
                "file": args.model,
                "valid": not failed,
                "errors": errors,
                "warnings": others,
                "diagnostics": [finding.to_json() for finding in findings],
            }
        )
    else:
        for finding in findings:
            out(format_diagnostic(finding) + "\n")
        counts = ", ".join(
            plural(count, noun) for count, noun in ((errors, "error"), (others, "warning")) if count
        )
        scope = "" if args.values else " (weights were not looked at)"
        out(shown(f"{args.model}: {counts or 'no problems found'}{scope}"))
    return Exit.FINDINGS if failed else Exit.OK
