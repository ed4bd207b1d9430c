"""Train a spiking network.

The data is a file of spike data with labels, or an .npz file with samples 'x' (samples, steps,
features...) of zeros and ones and labels 'y'. Where the model encodes its input, 'x' is what the
encoder takes. OUT is the model with trained weights; its metadata says how
they came about. What cannot be trained is refused before anything is compiled.

  snnir train net.snnir --data train.npz --method eventprop --epochs 20 -o trained.snnir
  snnir train net.snnir --data train.npz --checkpoints run1 --resume -o trained.snnir
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from snnir.cli.common import (
    Exit,
    Progress,
    UsageError,
    add_model_argument,
    load_model,
    note,
    out_json,
    require_different_files,
    require_one_stdin,
    save_model,
)
from snnir.cli.data import LABELS, open_samples
from snnir.errors import FileError
from snnir.files import require_writable
from snnir.ir.model import Model
from snnir.training.report import Epoch
from snnir.training.settings import TrainSettings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="where to, or - for standard output"
    )
    parser.add_argument("--data", metavar="D", required=True, help="an .npz file to train on")
    parser.add_argument("--validation-data", metavar="D", help="an .npz file to validate on")
    parser.add_argument(
        "--checkpoints", metavar="FOLDER", help="keep a checkpoint after each epoch here"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest checkpoint, if there is one"
    )
    parser.add_argument("--log", metavar="FILE", help="a table of epochs, .csv or .json")
    parser.add_argument("--plot", metavar="FILE", help="a plot of loss and accuracy, .png or .svg")
    group = parser.add_argument_group("settings")
    for entry in dataclasses.fields(TrainSettings):
        _add_setting(group, entry)


def _add_setting(group: Any, entry: dataclasses.Field[Any]) -> None:
    rule, default = entry.metadata, entry.default
    flag = "--" + entry.name.replace("_", "-")
    text = rule["doc"].replace("%", "%%")
    methods = rule["methods"]
    if len(methods) == 1:
        text += f" ({methods[0]})"
    if isinstance(default, bool):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=default, help=text)
        return
    if default is not None and default != () and "default" not in text:
        text += f" (default: {default})"
    options: dict[str, Any] = {"default": default, "help": text}
    if rule["choices"]:
        options["choices"] = rule["choices"]
    elif default == ():
        options |= {"type": _names, "metavar": "NODES"}
    elif "Mapping" in str(entry.type):
        options |= {"type": _strength, "metavar": "X|NODE=X,..."}
    elif rule["whole"]:
        options |= {"type": int, "metavar": "N"}
    elif any(rule[bound] is not None for bound in ("minimum", "above")):
        options |= {"type": float, "metavar": "X"}
    else:
        options["metavar"] = "NAME"
    group.add_argument(flag, **options)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _strength(text: str) -> float | dict[str, float]:
    try:
        if "=" not in text:
            return float(text)
        pairs = [entry.split("=") for entry in text.split(",")]
        return {name: float(value) for name, value in pairs}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is neither X nor NODE=X,...") from error


def run(args: argparse.Namespace) -> int:
    """Train a model."""
    from snnir.training.report import plot_format
    from snnir.training.run import Watch, train

    require_one_stdin(args.model, args.data)
    require_different_files(
        {"MODEL": args.model, "the data": args.data, "the validation data": args.validation_data},
        {"OUT": args.output, "the log": args.log, "the plot": args.plot},
    )
    if args.resume and args.checkpoints is None:
        raise UsageError("--resume needs --checkpoints")
    if args.json and args.output == "-":
        raise UsageError("--json and the model cannot both go to standard output")
    for name in (args.output, args.log, args.plot):
        if name not in (None, "-"):
            require_writable(name)
    if args.plot:
        plot_format(args.plot)
    settings = TrainSettings(
        **{entry.name: getattr(args, entry.name) for entry in dataclasses.fields(TrainSettings)}
    )
    model = load_model(args.model)
    data, labels = _read(args.data, model)
    validation = None if args.validation_data is None else _read(args.validation_data, model)

    def after(history: Sequence[Epoch]) -> None:
        progress.clear()
        note(args, str(history[-1]))
        with contextlib.suppress(FileError):  # said at the end, when the model is safe
            _write_history(args, history)

    with Progress(args, "sample", len(labels)) as progress:
        trained, report = train(
            model,
            data,
            labels,
            settings=settings,
            validation=validation,
            checkpoints=args.checkpoints,
            resume=args.resume,
            watch=Watch(progress.update, after),
        )
    save_model(trained, args.output)
    _write_history(args, report.history)
    if args.json:
        out_json(report.to_json())
        return Exit.OK
    if report.resumed_from:
        note(args, f"went on after epoch {report.resumed_from}")
    if report.stopped_early:
        note(args, "stopped early: no better epoch came")
    note(args, f"the weights are those after epoch {report.returned}")
    return Exit.OK


def _write_history(args: argparse.Namespace, history: Sequence[Epoch]) -> None:
    """The log and the plot, as far as they are asked for."""
    from snnir.training.report import write_log, write_plot

    if args.log:
        write_log(history, args.log)
    if args.plot:
        write_plot(history, args.plot)


def _read(name: str, model: Model) -> tuple[Any, Any]:
    """Samples and labels of a data file."""
    spikes = _read_spikes(name)
    if spikes is not None:
        return spikes, spikes.required_labels()
    inputs = [entry.name for entry in model.graph.inputs]
    with open_samples(name, inputs, labels="required") as opened:
        arrays = {key: samples.read(samples.shape[0]) for key, samples in opened.items()}
    labels = arrays.pop(LABELS)
    return arrays, labels


def _read_spikes(name: str) -> Any | None:
    """Spike data, if that is what a file holds."""
    from snnir.data import arrays, files

    where = f"data file '{name}'"
    with arrays.open_file(name, where) as file:
        if file.read(len(arrays.ZIP[0])) not in arrays.ZIP:
            return None
        archive = arrays.Archive(file, where)
        return (
            files.read_archive(archive)
            if files.REQUIRED.keys() <= archive.members.keys()
            else (None)
        )
