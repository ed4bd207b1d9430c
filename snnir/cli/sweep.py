"""Run commands for many settings and put the results in one table.

CONFIG (TOML or JSON) names the commands of a point with placeholders {parameter}, and the values
of each parameter: lists (all combinations) or ranges to draw from. {folder} is a folder of the
point's own. Points run on Dask: on this machine, or by the scheduler at ADDRESS, whose workers
must see the same files.

Each result is kept in FOLDER under a digest of what the point does. Run again, the sweep skips
points that have a result; those that failed are run again with --retry. The table goes to
FOLDER/table.csv and table.json, and is printed.

  [[steps]]
  command = "quantise"
  arguments = ["net.snnir", "-o", "{folder}/q.snnir", "--bits", "{bits}"]
  [[steps]]
  command = "eval"
  arguments = ["{folder}/q.snnir", "--data", "test.npz"]
  [grid]
  bits = [8, 6, 4]

  snnir sweep bits.toml -o bits
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from snnir.cli.common import (
    Exit,
    Progress,
    UsageError,
    err,
    format_diagnostic,
    note,
    out,
    out_json,
    plural,
    positive,
    shown,
    table,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("config", metavar="CONFIG", help="a TOML or JSON file")
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where results go")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=positive,
        help="points at a time on this machine (default: one for each processor)",
    )
    parser.add_argument("--retry", action="store_true", help="run points that failed again")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the commands of each point and run none"
    )


def run(args: argparse.Namespace) -> int:
    """Run a sweep."""
    from snnir.sweep import read_sweep, run_sweep
    from snnir.sweep.run import points_of

    if args.scheduler is not None and args.workers is not None:
        raise UsageError("--workers is for this machine; the scheduler has its own")
    sweep = read_sweep(args.config)
    if args.dry_run:
        points = points_of(sweep, Path(args.output))
        if args.json:
            out_json([{"values": point.values, "commands": point.commands} for point in points])
        else:
            for point in points:
                for _, command in point.commands:
                    out(shown(f"snnir {shlex.join(command)}"))
        return Exit.OK
    with Progress(args, "point", len(sweep.points)) as progress:
        found = run_sweep(
            sweep,
            args.output,
            scheduler=args.scheduler,
            workers=args.workers,
            retry=args.retry,
            progress=lambda done, _: progress.update(done),
        )
    found.write(args.output)
    if args.json:
        findings = [finding.to_json() for finding in found.findings]
        out_json({**found.to_json(), "diagnostics": findings})
    else:
        for line in table(found.lines()):
            out(shown(line))
        for finding in found.findings:
            err(format_diagnostic(finding))
        if found.unfinished:
            count = plural(found.unfinished, "point")
            note(args, f"{count} did not finish; --retry runs them again")
    return Exit.FINDINGS if found.unfinished or found.findings else Exit.OK
