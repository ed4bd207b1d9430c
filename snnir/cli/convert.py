"""Make a spiking network of a trained network, or bring a spiking network to a target.

SRC is a saved Keras network (.keras or .h5), a model of domain 'ann', or a spiking model; which
is told by its content. A network that does not spike yet is converted, which takes calibration
data: an .npz file with samples 'x' (or one array for each input, named after it), as the network
takes them, and, to measure accuracy, labels 'y'. A few hundred samples are enough.

The report says what was measured: accuracy over time steps, error, threshold and firing rate of
every layer, spikes and synaptic operations for a sample. --report keeps it as JSON.

OUT goes to the target that --to names or, without, that its ending stands for: else it is a
.snnir file. `snnir plugins` lists targets; -O help lists a target's options.

  snnir convert net.keras -o net.snnir --calibration train.npz
  snnir convert net.keras -o net.snnir --calibration raw.npz --input-scale 1/255 --target-drop 0.5
  snnir convert net.snnir -o net.out --to T -O option=value
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from snnir.cli.common import (
    STDIO,
    Exit,
    Progress,
    UsageError,
    load_any_model,
    note,
    out,
    out_json,
    positive,
    require_different_files,
    require_one_stdin,
    save_model,
    shown,
    table,
)
from snnir.cli.data import LABELS, Array, open_samples
from snnir.conversion.settings import DECODERS, ENCODERS, METHOD_NAMES, Settings
from snnir.errors import CapabilityError, ConversionError, Diagnostic, RunError
from snnir.files import require_writable, staged
from snnir.ir.model import Model
from snnir.targets import (
    SnnirTarget,
    Target,
    TargetReport,
    find_target,
    make_ready,
    parse_options,
    target_for,
)

if TYPE_CHECKING:
    from snnir.conversion import ConversionReport
    from snnir.conversion.calibration import Calibration

_STRETCH: Final = 1024
"""Samples that are read at a time."""

_OF_SPIKING: Final = (
    *("method", "steps", "bits", "target_drop", "percentile", "per_layer", "encoder", "decoder"),
    "seed",
)
"""Options that say how a network is made to spike."""

_OF_CONVERSION: Final = (
    *_OF_SPIKING,
    *("input_scale", "input_offset", "input_dtype", "labels_of", "report"),
)
"""Options that only mean something where a network is made to spike."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", metavar="SRC", help="a file, or - for a model on standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to; - is standard output"
    )
    parser.add_argument("--calibration", metavar="X", help="an .npz file, or - for standard input")
    parser.add_argument("--report", metavar="R", help="write the report as JSON, too")
    how = parser.add_argument_group("how it is made to spike")
    how.add_argument("--method", choices=METHOD_NAMES, help="default: auto")
    length = how.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", metavar="N", type=positive, help="presentation length in rate coding (32)"
    )
    length.add_argument(
        "--bits",
        metavar="K",
        type=positive,
        help="steps of a phase in few-spike coding, 1 to 16 (8)",
    )
    length.add_argument(
        "--target-drop",
        metavar="P",
        type=_number,
        help="choose the smallest N or K that loses at most P points of accuracy",
    )
    how.add_argument(
        "--percentile",
        metavar="P",
        type=_number,
        help="of data-norm: thresholds are this percentile instead of the maximum",
    )
    how.add_argument(
        "--per-layer",
        action="store_true",
        default=None,
        help="of methods chosen by name, but not calibrated: one threshold for each layer instead "
        "of each channel",
    )
    how.add_argument("--encoder", choices=ENCODERS, help="of static inputs (constant)")
    how.add_argument("--decoder", choices=DECODERS, help="of the answer (potential)")
    how.add_argument("--seed", metavar="S", type=_seed, help="of the Poisson encoder (0)")
    what = parser.add_argument_group("what it is fed with")
    what.add_argument(
        "--input-scale",
        metavar="A",
        type=numbers,
        help="the network sees A * x + B: a number, a fraction such as 1/255, or one for each "
        "channel, separated by commas",
    )
    what.add_argument("--input-offset", metavar="B", type=numbers, help="see --input-scale")
    what.add_argument(
        "--input-dtype", metavar="T", help="element type that is fed, e.g. uint8 for raw images"
    )
    what.add_argument(
        "--labels-of", metavar="NAME", help="the output that the labels belong to, of several"
    )
    where = parser.add_argument_group("where it goes")
    where.add_argument("--to", metavar="T", help="the target")
    where.add_argument(
        "-O",
        dest="target_options",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of the target; may be given again",
    )


def _number(text: str) -> float:
    """A finite number, for argparse."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if math.isfinite(number):
            return number
    raise argparse.ArgumentTypeError(f"'{text}' is not a number")


def _seed(text: str) -> int:
    """A whole number, for argparse."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


def numbers(text: str) -> Array:
    """A number, or several separated by commas; each may be a fraction. For argparse."""
    found = []
    for part in text.split(","):
        above, slash, below = part.partition("/")
        with contextlib.suppress(ValueError, ZeroDivisionError):
            value = float(above) / (float(below) if slash else 1.0)
            if math.isfinite(value):
                found.append(value)
                continue
        raise argparse.ArgumentTypeError(f"'{text}' is not numbers separated by commas")
    return np.asarray(found if len(found) > 1 else found[0])


def run(args: argparse.Namespace) -> int:
    """Convert a model."""
    require_one_stdin(args.source, args.calibration)
    target = target_for(args.output) if args.to is None else find_target(args.to)
    if "help" in args.target_options:
        return _list_options(target, args)
    settings, options = _usage(args, target)
    for name in (args.output, args.report):
        if name not in (None, STDIO):
            folder = target.writes_folder and name == args.output
            require_writable(name, folder=folder)
    model = load_any_model(args.source)
    report: ConversionReport | None = None
    calibration: Mapping[str, Array] | None = None
    from snnir.conversion.sources import is_spiking

    if is_spiking(model):
        given = [name for name in _OF_CONVERSION if getattr(args, name) is not None]
        if given:
            names = ", ".join("--" + name.replace("_", "-") for name in given)
            raise UsageError(f"the model spikes already: {names} cannot change it")
        if args.calibration is not None:
            calibration = _samples(model, args).calibrate
    elif target.takes_original:
        model, calibration = _original(model, target, args)
    else:
        model, report, calibration = _convert(model, settings, args)
    ready = make_ready(model, target, calibration=calibration, options=options)
    reports = _Reports(report, ready.report)
    with _reported(reports, args):
        if args.output == STDIO:
            save_model(ready.model, STDIO)
        else:
            target.emit(ready.model, Path(args.output), **options)
    _print(reports, target, args)
    return Exit.OK


@dataclass(frozen=True)
class _Reports:
    """What the conversion did, and what bringing the network to the target did."""

    conversion: ConversionReport | None
    target: TargetReport | None

    def __bool__(self) -> bool:
        return self.conversion is not None or self.target is not None

    def to_json(self) -> dict[str, Any]:
        """The conversion's report, with the target's as its entry 'target'."""
        content = {} if self.conversion is None else self.conversion.to_json()
        return content if self.target is None else {**content, "target": self.target.to_json()}

    def __str__(self) -> str:
        return "\n\n".join(str(part) for part in (self.conversion, self.target) if part is not None)


def _usage(args: argparse.Namespace, target: Target) -> tuple[Settings, dict[str, Any]]:
    """Settings of conversion and target.

    Raises:
        UsageError: If options do not go together.
    """
    from snnir.conversion.methods import candidates

    on_stdout = [args.output == STDIO, args.report == STDIO, args.json]
    if sum(on_stdout) > 1:
        raise UsageError("only one of OUT, --report and --json can go to standard output")
    require_different_files(
        {"SRC": args.source, "the calibration data": args.calibration},
        {"OUT": args.output, "the report": args.report},
    )
    if args.output == STDIO and target.name != SnnirTarget.name:
        raise UsageError(f"target '{target.name}' does not write to standard output")
    settings = Settings(
        method=args.method or "auto",
        steps=args.steps,
        bits=args.bits,
        target_drop=args.target_drop,
        percentile=args.percentile,
        per_channel=False if args.per_layer else None,
        encoder=args.encoder,
        decoder=args.decoder,
        seed=args.seed,
    )
    try:
        candidates(settings)
        return settings, parse_options(target, args.target_options)
    except (CapabilityError, ConversionError) as error:
        raise UsageError(
            "; ".join(
                shown(f"{f.where}: found {f.found}; allowed: {f.allowed}")
                for f in error.diagnostics
            )
        ) from error


def _reported(
    report: _Reports, args: argparse.Namespace
) -> contextlib.AbstractContextManager[None]:
    """The report where --report says: written before the block, there only if it succeeds."""
    if not report or args.report is None:
        return contextlib.nullcontext()
    content = report.to_json()
    if args.report == STDIO:
        out_json(content)
        return contextlib.nullcontext()
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return staged(args.report, lambda file: file.write(text.encode()))


def _convert(
    model: Model, settings: Settings, args: argparse.Namespace
) -> tuple[Model, ConversionReport, dict[str, Array]]:
    from snnir.conversion.pipeline import convert_model, prepared_source

    if args.calibration is None:
        raise UsageError("the model does not spike yet: give --calibration")
    ready = prepared_source(model, args.input_scale, args.input_offset, args.input_dtype)
    samples = _samples(ready, args)
    with contextlib.ExitStack() as stack:
        bar = _Bar(args, stack)
        found, report = convert_model(
            ready, samples, settings, source=args.source, progress=bar.report
        )
    return found, report, samples.calibrate


def _original(
    model: Model, target: Target, args: argparse.Namespace
) -> tuple[Model, dict[str, Array]]:
    """The original network and samples, for a target that makes its own network of them."""
    from snnir.conversion.pipeline import original_for_target, prepared_source

    given = [name for name in _OF_SPIKING if getattr(args, name) is not None]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(
            f"target '{target.name}' makes its own network of the original: {names} cannot "
            "change it; -O help lists its options"
        )
    if args.calibration is None:
        raise UsageError("the model does not spike yet: give --calibration")
    ready = prepared_source(model, args.input_scale, args.input_offset, args.input_dtype)
    samples = _samples(ready, args)
    return original_for_target(ready, samples), samples.calibrate


class _Bar:
    """One line of progress after the other."""

    def __init__(self, args: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        self._args = args
        self._stack = stack
        self._what = ""
        self._progress: Progress | None = None

    def report(self, what: str, done: int, total: int) -> None:
        """Say how much is done."""
        if what != self._what or self._progress is None:
            self._stack.close()
            self._what = what
            self._progress = self._stack.enter_context(Progress(self._args, what, total))
        self._progress.update(done)


def _samples(model: Model, args: argparse.Namespace) -> Calibration:
    """The samples of the data file that a conversion uses; the others are not kept."""
    from snnir.conversion.calibration import calibration_of, split

    names = [entry.name for entry in model.graph.inputs]
    if not names:
        raise UsageError("the model has no input to calibrate on")
    with open_samples(args.calibration, names, labels="optional") as opened:
        counts = {name: samples.shape[0] for name, samples in opened.items()}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
            raise RunError(
                Diagnostic(
                    "convert.calibration", opened[names[0]].where, found, "the same number of each"
                )
            )
        parts = split(counts[names[0]])
        used = parts.used
        arrays = {
            name: np.empty((len(used), *samples.shape[1:]), samples.dtype)
            for name, samples in opened.items()
        }
        last = int(used[-1]) + 1 if len(used) else 0
        for start in range(0, last, _STRETCH):
            stop = min(start + _STRETCH, last)
            low, high = np.searchsorted(used, (start, stop))
            for name, samples in opened.items():
                arrays[name][low:high] = samples.read(stop - start)[used[low:high] - start]
    labels = None if LABELS in names else arrays.pop(LABELS, None)
    return calibration_of(model, arrays, labels, args.labels_of, parts)


# What is printed -----------------------------------------------------------------------------


def _list_options(target: Target, args: argparse.Namespace) -> int:
    if args.json:
        keys = ("name", "doc", "allowed", "default")
        out_json({"options": [{k: getattr(o, k) for k in keys} for o in target.options]})
        return Exit.OK
    rows = [(o.name, o.allowed, o.default or "-", o.doc) for o in target.options]
    for line in table([("option", "allowed", "default", ""), *rows]) if rows else ():
        out(shown(line))
    if not rows:
        out(f"target '{target.name}' has no options")
    return Exit.OK


def _print(report: _Reports, target: Target, args: argparse.Namespace) -> None:
    if args.json:
        content = report.to_json() if report else None
        out_json({"file": args.output, "target": target.name, "report": content})
        return
    if report and STDIO not in (args.output, args.report):
        for line in str(report).splitlines():
            out(shown(line))
    if args.output != STDIO:
        note(args, shown(f"wrote '{args.output}' (target {target.name})"))
