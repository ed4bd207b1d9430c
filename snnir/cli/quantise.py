"""Give a model weights of few bits.

Weights become symmetric integers with one unit for all that meets in a neuron: biases and
thresholds become multiples of it, decays multiples of 1/4096. The result runs anywhere. MODEL
keeps the float weights; OUT names it by its digest. With --calibration the report compares
floats, integers and the arithmetic of Loihi 2 on those samples.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from snnir.cli.common import (
    STDIO,
    Exit,
    UsageError,
    add_model_argument,
    load_model,
    note,
    out_json,
    require_different_files,
    require_one_stdin,
    save_model,
    shown,
)
from snnir.cli.data import LABELS, open_samples
from snnir.errors import ModelError, raise_errors
from snnir.ir.model import Model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.generic]

_SCALES = ("auto", "max", "percentile", "mse", "output", "power-of-two")
_ROUNDINGS = ("auto", "nearest", "compensated")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to, or - for standard output"
    )
    parser.add_argument(
        "--bits", type=int, choices=(8, 6, 4), default=8, help="bits of a weight (default: 8)"
    )
    parser.add_argument(
        "--scale",
        choices=_SCALES,
        default="auto",
        help="how the unit of a layer is chosen (default: auto, as measures best)",
    )
    parser.add_argument(
        "--rounding",
        choices=_ROUNDINGS,
        default="auto",
        help="each weight to the nearest integer, or so that errors cancel in the potentials, as "
        "far as --calibration tells (default: auto, as measures best)",
    )
    parser.add_argument(
        "--calibration",
        metavar="DATA",
        help="a .npy or .npz file of samples, and labels y if there are some",
    )
    parser.add_argument("--report", action="store_true", help="print what became of each layer")


def run(args: argparse.Namespace) -> int:
    """Quantise a model."""
    from snnir.check import check
    from snnir.passes.quantise import QuantiseOptions, quantise
    from snnir.passes.quantise.measure import HEADER, compare

    require_one_stdin(args.model, args.calibration)
    require_different_files(
        {"MODEL": args.model, "the calibration data": args.calibration}, {"OUT": args.output}
    )
    if args.json and args.output == STDIO:
        raise UsageError("--json and the model cannot both go to standard output")
    model = load_model(args.model)
    raise_errors(check(model), ModelError)
    samples, labels = (None, None) if args.calibration is None else _read(args.calibration, model)
    quantised, report = quantise(
        model, samples, QuantiseOptions(args.bits, args.scale, args.rounding)
    )
    rows = [] if samples is None else compare(model, quantised, report, samples, labels)
    save_model(quantised, args.output)
    if args.json:
        from dataclasses import asdict

        out_json({**report.to_json(), "quality": [asdict(row) for row in rows]})
        return Exit.OK
    if args.report:
        for line in str(report).splitlines():
            note(args, shown(line))
    if rows:
        note(args, HEADER)
    for row in rows:
        note(args, shown(str(row)))
    return Exit.OK


def _read(name: str, model: Model) -> tuple[dict[str, Array], Array | None]:
    """All samples of a data file, and its labels if it has some."""
    inputs = [entry.name for entry in model.graph.inputs]
    with open_samples(name, inputs, labels="optional") as found:
        arrays = {key: samples.read(samples.shape[0]) for key, samples in found.items()}
    labels = None if LABELS in inputs else arrays.pop(LABELS, None)
    return arrays, labels if labels is None or labels.ndim == 1 else None
