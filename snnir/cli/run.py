"""Run a model (or a saved Keras network) on data, a batch of samples at a time.

The data is a .npy file, or an .npz file with one array for each input, named after it ('x' for
a model with one input): samples first, then steps where the input changes over time, then
features. A file of spike data (docs/data.md) belongs to the only input.

The results go to an .npz file, one array for each output and recorded value, under its name:
numpy.load("OUT.npz")["h:spikes"]. Without -o a summary is printed.

With --example NAME the run is kept in the model instead, for `snnir verify` to replay: all
samples in one batch (use --limit), what every output gave, and what was recorded. -o then
names the model to write; --in-place replaces MODEL.

  snnir run model.snnir --input images.npz -o counts.npz
  snnir run model.snnir --input images.npz --limit 2 --example first --in-place
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from snnir.cli.common import (
    STDIO,
    Exit,
    Progress,
    UsageError,
    add_backend_argument,
    add_model_argument,
    backend_options,
    backend_text,
    detail,
    load_any_model,
    load_model,
    note,
    out,
    out_json,
    plural,
    positive,
    profile_lines,
    require_one_stdin,
    save_model,
    shown,
)
from snnir.cli.data import Array, open_samples, sample_count, write_npz
from snnir.ir.model import Close, Exact, Model, Rate, SpikeShift, Tolerance
from snnir.ir.types import format_shape

if TYPE_CHECKING:
    from snnir.runtime.backend import Prepared, Recording

_BATCH: Final = 128
_SAMPLES_SHOWN: Final = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    parser.add_argument(
        "--input", metavar="X", help="data: a .npy or .npz file, or - for standard input"
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="an .npz file (a model, with --example), or -"
    )
    parser.add_argument(
        "--steps", metavar="N", type=positive, help="presentation length (default: the model's)"
    )
    parser.add_argument(
        "--record",
        metavar="NAME",
        action="append",
        default=[],
        help="also return this value: node:port, node:state or a node; may be given again",
    )
    add_backend_argument(parser)
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=_BATCH,
        help=f"samples at a time (default: {_BATCH}); does not change the results",
    )
    parser.add_argument("--limit", metavar="N", type=positive, help="only the first N samples")
    parser.add_argument(
        "--float64", action="store_true", help="compute in float64 (of the reference backend)"
    )
    example = parser.add_argument_group("keeping the run as an example")
    example.add_argument("--example", metavar="NAME", help="keep it in the model under this name")
    example.add_argument("--in-place", action="store_true", help="replace MODEL")
    example.add_argument(
        "--tolerance",
        metavar="T",
        type=tolerance,
        help="how far a backend may be off: exact (default), spikes:STEPS, rate:BOUND or "
        "close:ABSOLUTE[,RELATIVE]",
    )


def tolerance(text: str) -> Tolerance:
    """A tolerance, for argparse."""
    kind, _, numbers = text.partition(":")
    with contextlib.suppress(ValueError):
        values = [float(number) for number in numbers.split(",")] if numbers else []
        usable = all(math.isfinite(value) and value >= 0 for value in values)
        if kind == "exact" and not values:
            return Exact()
        if kind == "spikes" and len(values) == 1 and usable and values[0].is_integer():
            return SpikeShift(int(values[0]))
        if kind == "rate" and len(values) == 1 and usable:
            return Rate(values[0])
        if kind == "close" and len(values) in (1, 2) and usable:
            return Close(*values)
    raise argparse.ArgumentTypeError(
        f"'{text}' is not exact, spikes:STEPS, rate:BOUND or close:ABSOLUTE[,RELATIVE]"
    )


def run(args: argparse.Namespace) -> int:
    """Run a model."""
    _check_usage(args)
    model = load_model(args.model) if args.in_place else load_any_model(args.model)
    inputs = [entry.name for entry in model.graph.inputs]
    if inputs and args.input is None:
        raise UsageError("the model has inputs " + shown(", ".join(inputs)) + ": give --input")
    options = backend_options(args) | ({"precision": "float64"} if args.float64 else {})
    if args.example is not None:
        _keep_example(model, args, options)
        return Exit.OK
    from snnir.runtime.backend import find_backend

    prepared = find_backend(args.backend).prepare(model, **options)
    arrays, steps, details = _run_batches(model, prepared, args)
    detail(args, f"{plural(steps, 'step')} on {shown(backend_text(args.backend, details))}")
    if args.output is not None:
        write_npz(args.output, arrays)
    labels = {output.name: output.labels for output in model.graph.outputs}
    if args.json:
        _print_json(arrays, steps, labels, details, args)
    elif args.output is None:
        for line in _summary(arrays, labels):
            out(shown(line))
    if not args.json and args.output != STDIO:
        if "device" in details:
            note(args, shown(f"ran on {backend_text(args.backend, details)}"))
        for line in profile_lines(details):
            note(args, shown(line))
    return Exit.OK


def _check_usage(args: argparse.Namespace) -> None:
    require_one_stdin(args.model, args.input)
    if args.json and args.output == STDIO:
        raise UsageError("--json and the results cannot both go to standard output")
    if args.example is None:
        if args.in_place or args.tolerance is not None:
            raise UsageError("--in-place and --tolerance belong to --example")
        return
    if (args.output is None) == (not args.in_place):
        raise UsageError("--example writes a model: give either -o MODEL or --in-place")
    if args.in_place and args.model == STDIO:
        raise UsageError("--in-place needs a file, not standard input")


# Running -------------------------------------------------------------------------------------


def _run_batches(
    model: Model, prepared: Prepared, args: argparse.Namespace
) -> tuple[dict[str, Array], int, dict[str, Any]]:
    """All results by name, the presentation length, and what the backend says of the last run."""
    names = [entry.name for entry in model.graph.inputs]
    if not names:
        recording = prepared.run({}, steps=args.steps, record=args.record)
        return _named(recording), recording.steps, recording.details
    results: dict[str, Array] = {}
    with open_samples(args.input, names) as samples:
        total = sample_count(model, samples, args.limit)
        steps, details = 0, {}
        with Progress(args, "sample", total) as progress:
            for done in range(0, max(total, 1), args.batch_size):
                count = min(args.batch_size, total - done)
                batch = {name: array.read(count) for name, array in samples.items()}
                recording = prepared.run(batch, steps=args.steps, record=args.record)
                steps, details = recording.steps, recording.details
                for name, array in _named(recording).items():
                    if name not in results:
                        results[name] = np.empty((total, *array.shape[1:]), array.dtype)
                    results[name][done : done + count] = array
                progress.update(done + count)
    return results, steps, details


def _named(recording: Recording) -> dict[str, Array]:
    return {**recording.recorded, **recording.outputs}


def _keep_example(model: Model, args: argparse.Namespace, options: dict[str, Any]) -> None:
    """Run all samples at once and store the run in the model."""
    from snnir.runtime.verify import make_example

    names = [entry.name for entry in model.graph.inputs]
    inputs: dict[str, Array] = {}
    if names:
        with open_samples(args.input, names) as samples:
            total = sample_count(model, samples, args.limit)
            inputs = {name: array.read(total) for name, array in samples.items()}
    replaced = args.example in model.examples
    model.examples[args.example] = example = make_example(
        model,
        inputs,
        steps=args.steps,
        record=args.record,
        tolerance=args.tolerance,
        backend=args.backend,
        **options,
    )
    target = args.model if args.in_place else args.output
    save_model(model, target)
    if args.json:
        values = sorted(example.expected)
        out_json({"example": args.example, "replaced": replaced, "values": values, "file": target})
    else:
        verb = "replaced" if replaced else "stored"
        note(args, shown(f"example '{args.example}' {verb}; `snnir verify {target}` replays it"))


# What is printed -----------------------------------------------------------------------------


def _facts(array: Array) -> dict[str, Any]:
    low, mean, high = (
        (float(array.min()), float(array.mean(dtype=np.float64)), float(array.max()))
        if array.size
        else (math.nan,) * 3
    )
    shape = list(array.shape)
    return {"shape": shape, "dtype": array.dtype.name, "min": low, "mean": mean, "max": high}


def _winners(array: Array) -> Sequence[int]:
    """Index of the largest element of the first samples, if a sample is a vector of several."""
    if array.ndim != 2 or array.shape[1] < 2:
        return ()
    return [int(index) for index in array[:_SAMPLES_SHOWN].argmax(axis=1)]


def _summary(arrays: Mapping[str, Array], labels: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for name, array in arrays.items():
        facts = _facts(array)
        yield (
            f"{name}: {facts['dtype']}{format_shape(array.shape)}, "
            f"min {facts['min']:g}, mean {facts['mean']:g}, max {facts['max']:g}"
        )
        for sample, index in enumerate(_winners(array)):
            label = _label(labels.get(name, ()), index)
            text = f" {label!r}" if label is not None else ""
            yield f"  sample {sample}: largest at {index}{text}, {array[sample, index]:g}"
        if len(array) > _SAMPLES_SHOWN and len(_winners(array)):
            yield f"  ... {len(array) - _SAMPLES_SHOWN} more samples; -o writes them all"


def _label(labels: Sequence[str], index: int) -> str | None:
    return labels[index] if index < len(labels) else None


def _print_json(
    arrays: Mapping[str, Array],
    steps: int,
    labels: Mapping[str, tuple[str, ...]],
    details: Mapping[str, Any],
    args: argparse.Namespace,
) -> None:
    results = {}
    for name, array in arrays.items():
        winners = [
            {"index": index, "label": _label(labels.get(name, ()), index)}
            for index in _winners(array)
        ]
        results[name] = {**_facts(array), "largest": winners}
    out_json(
        {
            "backend": args.backend,
            "details": details,
            "steps": steps,
            "file": args.output,
            "results": results,
        }
    )
