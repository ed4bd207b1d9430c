"""Run the conformance vectors that are shipped with snnir on a backend.

Each vector is a small model with inputs and expected results that come from elsewhere than
this code. A vector that a backend says it cannot run is skipped, with its reason.
Exit code 1 if a vector fails.
"""

from __future__ import annotations

import argparse
from typing import Any

from snnir.cli.common import (
    Exit,
    add_backend_argument,
    backend_options,
    err,
    note,
    out,
    out_json,
    plural,
    shown,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_backend_argument(parser)
    parser.add_argument(
        "--op",
        metavar="NAME",
        action="append",
        help="only vectors of this operator or domain, e.g. snn.LIF; may be given again",
    )


def run(args: argparse.Namespace) -> int:
    """Run the conformance vectors."""
    from snnir.testing.conformance import run_conformance

    report = run_conformance(args.backend, ops=args.op, **backend_options(args))
    results = list(report.results)
    skipped = [result for result in results if result.skipped]
    failed = [result for result in results if not result.passed and not result.skipped]
    passed = bool(report.passed and results)
    code = Exit.OK if passed else Exit.FINDINGS
    if args.json:
        out_json(
            {
                "backend": args.backend,
                "passed": passed,
                "results": [_json(result) for result in results],
            }
        )
        return code
    for result in results:
        if result.skipped:
            if args.verbose:
                out(shown(f"skipped  {result.name} ({result.op}): {result.skipped}"))
        elif not result.passed:
            out(shown(f"FAILED   {result.name} ({result.op})"))
            for line in str(result.detail).splitlines():
                out(shown(f"         {line}"))
        elif args.verbose:
            out(shown(f"ok       {result.name} ({result.op})"))
    good = len(results) - len(skipped) - len(failed)
    out(
        f"{plural(len(results), 'vector')} on backend '{shown(args.backend)}': "
        f"{good} passed, {len(failed)} failed, {len(skipped)} skipped"
    )
    if not results:
        err("no vector was run: nothing is proved")
    elif skipped and not args.verbose:
        note(args, "-v tells why vectors were skipped")
    return code


def _json(result: Any) -> dict[str, Any]:
    return {
        "name": result.name,
        "op": result.op,
        "passed": bool(result.passed),
        "skipped": str(result.skipped),
        "detail": str(result.detail),
    }
