"""Replay a model's stored examples on a backend, and compare what it gives with what they expect.

For every value that differs the first difference is named: step, sample, index, what was
expected, what was found. On a backend other than the reference, so is the first value of the
whole graph that differs from the reference: everything upstream of it agrees.
Exit code 1 if anything differs by more than the example allows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from snnir.cli.common import (
    Exit,
    add_backend_argument,
    add_model_argument,
    backend_options,
    load_model,
    out,
    out_json,
    plural,
    shown,
)
from snnir.ir.model import Model

if TYPE_CHECKING:
    from snnir.runtime.compare import Mismatch
    from snnir.runtime.verify import Comparison, VerifyReport


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    add_backend_argument(parser)
    parser.add_argument(
        "--example",
        metavar="NAME",
        action="append",
        help="replay this example only; may be given again",
    )


def run(args: argparse.Namespace) -> int:
    """Replay a model's examples."""
    from snnir.runtime.verify import verify

    model = load_model(args.model)
    report = verify(model, args.backend, examples=args.example, **backend_options(args))
    if args.json:
        out_json(_json(report))
    else:
        for line in _lines(model, report):
            out(shown(line))
    return Exit.OK if report.passed else Exit.FINDINGS


def _lines(model: Model, report: VerifyReport) -> Iterator[str]:
    producers = {output.name: output.value for output in model.graph.outputs}
    for comparison in report.comparisons:
        value = comparison.value
        origin = f" (%{producers[value]})" if value in producers else ""
        verdict = "ok    " if comparison.mismatch is None else "FAILED"
        yield (
            f"{verdict}  example '{comparison.example}', value '{value}'{origin}, "
            f"{comparison.tolerance}"
        )
        if comparison.mismatch is not None:
            yield from _mismatch(comparison.mismatch)
    if report.origin is not None:
        yield (
            f"first difference from the reference: example '{report.origin.example}', "
            f"value '{report.origin.value}'"
        )
        yield from _mismatch(report.origin.mismatch)
    failed = sum(comparison.mismatch is not None for comparison in report.comparisons)
    verdict = f"{failed} not as expected" if failed else "all as expected"
    count = plural(len(report.comparisons), "value")
    yield f"{count} compared on backend '{report.backend}': {verdict}"


def _mismatch(mismatch: Mismatch) -> Iterator[str]:
    step = "" if mismatch.step is None else f"step {mismatch.step}, "
    place = f"{step}sample {mismatch.sample}, index {list(mismatch.index)}"
    yield f"        {plural(mismatch.count, 'element')} off, the first at {place}"
    yield f"        expected {mismatch.expected}"
    yield f"        found    {mismatch.found}"


def _json(report: VerifyReport) -> dict[str, Any]:
    origin = report.origin
    return {
        "backend": report.backend,
        "passed": report.passed,
        "comparisons": [_comparison_json(comparison) for comparison in report.comparisons],
        "origin": None
        if origin is None
        else {
            "example": origin.example,
            "value": origin.value,
            "mismatch": _mismatch_json(origin.mismatch),
        },
        "diagnostics": [finding.to_json() for finding in report.diagnostics()],
    }


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "example": comparison.example,
        "value": comparison.value,
        "tolerance": str(comparison.tolerance),
        "passed": comparison.mismatch is None,
        "mismatch": None if comparison.mismatch is None else _mismatch_json(comparison.mismatch),
    }


def _mismatch_json(mismatch: Mismatch) -> dict[str, Any]:
    return {
        "step": mismatch.step,
        "sample": mismatch.sample,
        "index": list(mismatch.index),
        "expected": mismatch.expected,
        "found": mismatch.found,
        "count": mismatch.count,
    }
