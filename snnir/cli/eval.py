"""Measure accuracy on labelled data, a batch of samples at a time.

MODEL is a spiking model, or the network that it came from (.keras, .h5, or a model of domain
'ann'), for comparison. The data is an .npz file with samples 'x' (or one array for each input,
named after it) and labels 'y', the number of each sample's class, or one of labelled spike data.
Besides accuracy, with its
95 % confidence interval (Wilson), spikes and synaptic operations for a sample are counted.

  snnir eval net.snnir --data test.npz --steps 16
  snnir eval net.keras --data test.npz
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from snnir.cli.common import (
    Exit,
    Progress,
    UsageError,
    add_backend_argument,
    add_model_argument,
    backend_options,
    backend_text,
    load_any_model,
    out,
    out_json,
    positive,
    profile_lines,
    require_one_stdin,
    shown,
)
from snnir.cli.data import LABELS, open_samples, sample_count
from snnir.errors import Diagnostic, RunError, raise_errors
from snnir.infer import infer
from snnir.ir.model import Model


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    parser.add_argument(
        "--data", metavar="D", required=True, help="an .npz file, or - for standard input"
    )
    parser.add_argument("--limit", metavar="N", type=positive, help="only the first N samples")
    parser.add_argument(
        "--steps", metavar="N", type=positive, help="presentation length (default: the model's)"
    )
    add_backend_argument(parser, default="layerwise")
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        help="samples at a time (default: what fits into little memory); does not change the "
        "results",
    )
    parser.add_argument(
        "--answers-only",
        action="store_true",
        help="count no spikes: faster where spikes have to be fetched, as with --backend genn",
    )
    parser.add_argument(
        "--labels-of", metavar="NAME", help="the output that the labels belong to, of several"
    )


def run(args: argparse.Namespace) -> int:
    """Measure a model."""
    require_one_stdin(args.model, args.data)
    model = load_any_model(args.model)
    found = _measure(model, args)
    if args.json:
        out_json(found)
        return Exit.OK
    low, high = found["interval"]
    out(
        f"accuracy {100 * found['accuracy']:.2f} % ({found['correct']} of {found['answers']}; "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
    )
    if found["spikes"] is not None:
        out(
            f"for a sample: {found['spikes']:.1f} spikes, "
            f"{found['synaptic_operations']:.0f} synaptic operations"
        )
    time = f"{found['steps']} steps, " if found["spiking"] else "no time steps, "
    ran = backend_text(found["backend"], found["details"])
    out(shown(f"{found['samples']} samples, {time}{ran}"))
    for line in profile_lines(found["details"]):
        out(shown(line))
    return Exit.OK


def _measure(model: Model, args: argparse.Namespace) -> dict[str, Any]:
    from snnir.conversion.calibration import check_labels, find_output
    from snnir.conversion.measure import Meter, decision, wilson_interval
    from snnir.conversion.sources import is_spiking

    names = [entry.name for entry in model.graph.inputs]
    if not names:
        raise UsageError("the model has no input")
    spiking = is_spiking(model)
    if args.steps is not None and not spiking:
        raise UsageError("the model has no time steps: leave out --steps")
    output = find_output(model.graph, args.labels_of)
    types = infer(model)
    decide = decision(model.graph, output, types).decide
    with open_samples(args.data, names, labels="required") as opened:
        total = sample_count(model, opened, args.limit)
        if not total:
            raise RunError(Diagnostic("run.input", "inputs", "no sample", "at least one"))
        truth = opened[LABELS].read(min(total, opened[LABELS].shape[0]))
        labels, findings = check_labels(truth, types[output.value].shape, total)
        raise_errors(findings, RunError)
        one = {name: np.zeros((1, *opened[name].shape[1:]), opened[name].dtype) for name in names}
        meter = Meter(
            model,
            one,
            backend=args.backend,
            options=backend_options(args),
            steps=args.steps,
            observe=not args.answers_only,
        )
        size = args.batch_size or meter.batch_size
        correct = 0
        with Progress(args, "sample", total) as progress:
            for done in range(0, total, size):
                count = min(size, total - done)
                (answers,) = meter.run({name: opened[name].read(count) for name in names}).values()
                right = decide(answers[output.name]) == labels[done : done + count]
                correct += int(np.count_nonzero(right))
                progress.update(done + count)
    activity, observed = meter.activity, spiking and meter.observed
    return {
        "model": args.model,
        "backend": args.backend,
        "details": meter.details,
        "spiking": spiking,
        "steps": activity.steps if spiking else None,
        "samples": total,
        "answers": labels.size,
        "correct": correct,
        "accuracy": correct / labels.size,
        "interval": list(wilson_interval(correct, labels.size)),
        "spikes": sum(activity.spikes.values()) / total if observed else None,
        "synaptic_operations": sum(activity.operations.values()) / total if observed else None,
    }
