"""The training run: from a model and data to a trained model and a report."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.data import SpikeData, from_dense
from snnir.errors import (
    CapabilityError,
    Diagnostic,
    FormatError,
    RunError,
    SnnirWarning,
    raise_errors,
)
from snnir.infer import Types, infer
from snnir.ir.digest import digest
from snnir.ir.graph import Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.runtime.partial import run_part
from snnir.training import checkpoint
from snnir.training.data import Array, Samples, check_targets
from snnir.training.report import Epoch, TrainReport
from snnir.training.settings import TrainSettings
from snnir.training.trainer import Parameters, Session, Trainer, find_trainer

Given = SpikeData | npt.ArrayLike
Augment = Callable[[SpikeData, np.random.Generator], SpikeData]
"""Makes the samples of an epoch of those that were given; see :mod:`snnir.data.augment`."""

_CHUNK: Final = 256


@dataclasses.dataclass
class Watch:
    """Called while a run is under way; each does nothing by default.

    Attributes:
        batch: Number of samples done in this epoch, and of all.
        epoch: Results of all epochs so far, after each epoch, when its checkpoint is written.
    """

    batch: Callable[[int, int], None] = lambda done, total: None
    epoch: Callable[[Sequence[Epoch]], None] = lambda history: None


def train(
    model: Model,
    data: Given | Mapping[str, Given],
    labels: npt.ArrayLike | None = None,
    *,
    settings: TrainSettings | None = None,
    validation: tuple[Given | Mapping[str, Given], npt.ArrayLike] | None = None,
    augment: Augment | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    **options: Any,
) -> tuple[Model, TrainReport]:
    """Train a spiking network.

    Args:
        model: The network; not modified.
        data: Samples for each graph input by name, or of the only input: spike data, an array
            (samples, steps, features...) of zeros and ones, or what the input's encoder takes.
        labels: Class of each sample, or the wanted values of shape (samples, steps, features...)
            for a mean square error. By default those that spike data has.
        settings: How to train.
        validation: Samples and labels to validate on; by default the part of ``data`` that the
            settings say.
        augment: Makes the training samples of each epoch, for a model with one input; given a
            generator that depends on seed and epoch only.
        checkpoints: Folder for a checkpoint after each epoch.
        resume: Go on from the newest checkpoint there, if there is one. The result is that of a
            run without interruption, to the bit.
        watch: Called while the run is under way.
        options: Fields of :class:`TrainSettings`, which change ``settings``.

    Returns:
        The trained network, and what was done.

    Raises:
        ModelError: If the model is not valid.
        RunError: If settings or data do not fit: with all findings.
        CapabilityError: If the network cannot be trained so: with all findings, before
            anything is compiled.
        PluginError: If there is no such method, or a package is missing.
        FormatError: If the checkpoint is of another run.
        FileError: If a checkpoint cannot be written.

    Warns:
        SnnirWarning: Of what is said without refusing.
    """
    known = {entry.name for entry in dataclasses.fields(TrainSettings)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise RunError(
            Diagnostic(
                "train.setting", "settings", ", ".join(map(repr, unknown)), ", ".join(sorted(known))
            )
        )
    settings = dataclasses.replace(settings or TrainSettings(), **options)
    raise_errors(settings.check(), RunError)
    trainer = find_trainer(settings.method)
    steps = settings.steps or model.time.steps
    model = dataclasses.replace(model, time=dataclasses.replace(model.time, steps=steps))
    findings = trainer.check(model, settings)
    raise_errors(findings, CapabilityError)
    report = TrainReport(findings=[f for f in findings if f.severity == "warning"])
    samples, held_out = _samples(model, trainer, settings, data, labels, validation)
    if model.examples:
        report.findings.append(
            Diagnostic(
                "train.examples",
                "model",
                ", ".join(map(repr, model.examples)),
                "examples of the trained network",
            )
        )
    _say(report.findings)
    identity = {
        "model": digest(model),
        "data": samples.digest(),
        "validation": held_out.digest() if held_out else "none",
        "settings": _resumable(settings),
        "augmentation": _named(augment),
    }
    folder = None if checkpoints is None else Path(checkpoints)
    start = _start(folder, identity, settings, resume)
    with trainer.open(model, settings, samples, held_out) as session:
        best = _run(
            session,
            settings,
            samples,
            held_out,
            augment,
            folder,
            start,
            identity,
            watch or Watch(),
            report,
        )
        report.details = session.details()
    report.provenance = {
        "training.method": settings.method,
        "training.settings": settings.text(),
        "training.seed": str(settings.seed),
        "training.epochs": str(report.returned),
        "training.samples": str(len(samples)),
        "training.augmentation": identity["augmentation"],
        "training.data.sha256": identity["data"],
        "training.model.digest": identity["model"],
        "training.versions": json.dumps(trainer.versions(), sort_keys=True),
    }
    return with_parameters(model, best, report.provenance), report


def _resumable(settings: TrainSettings) -> str:
    """The settings that the weights after an epoch depend on."""
    fields: dict[str, Any] = {"patience": None, "keep_best": True, "kernel_profiling": False}
    if settings.schedule != "cosine":
        fields["epochs"] = 1
    return dataclasses.replace(settings, **fields).text()


def _named(augment: Augment | None) -> str:
    """What an augmentation is called, as far as can be told."""
    if augment is None:
        return "none"
    return str(getattr(augment, "__qualname__", type(augment).__qualname__))


def _start(
    folder: Path | None, identity: Mapping[str, str], settings: TrainSettings, resume: bool
) -> checkpoint.Checkpoint | None:
    """What to go on from; the folder is ready for more.

    Raises:
        FormatError: If the checkpoints there are not those of this run.
        FileError: If the folder cannot be read or written.
        RunError: If there is no folder to resume from.
    """
    if folder is None:
        if resume:
            raise RunError(Diagnostic("train.setting", "resume", "no folder of checkpoints", "one"))
        return None
    checkpoint.prepare(folder, resume=resume)
    start = checkpoint.read_latest(folder, identity) if resume else None
    if start is not None and start.epochs > settings.epochs:
        raise FormatError(
            Diagnostic(
                "train.checkpoint",
                f"folder '{folder}'",
                f"a run after {start.epochs} epochs",
                f"at most {settings.epochs}: the setting 'epochs'",
            )
        )
    return start


def _run(
    session: Session,
    settings: TrainSettings,
    samples: Samples,
    held_out: Samples | None,
    augment: Augment | None,
    folder: Path | None,
    start: checkpoint.Checkpoint | None,
    identity: Mapping[str, str],
    watch: Watch,
    report: TrainReport,
) -> Parameters:
    """Run the epochs; returns the trained values."""
    best: Parameters = {}
    if start is not None:
        session.restore(start.state)
        report.history = start.history
        report.resumed_from = start.epochs
        best = start.best
    first = session.parameters()
    leader = max(report.history, key=lambda each: each.merit, default=None)
    for number in range(len(report.history), settings.epochs):
        if _is_over(report.history, leader, settings):
            break
        began = time.monotonic()
        rng = np.random.default_rng([settings.seed, number])
        given = samples if augment is None else _augmented(samples, augment, rng)
        order = rng.permutation(len(given)) if settings.shuffle else np.arange(len(given))
        rate = settings.rate(number)
        score = session.train(given, order, number, rate, watch.batch)
        checked = None if held_out is None else session.evaluate(held_out, watch.batch)
        epoch = Epoch(
            number + 1,
            rate,
            score.loss,
            score.accuracy,
            checked.loss if checked else None,
            checked.accuracy if checked else None,
            time.monotonic() - began,
        )
        parameters = session.parameters()
        _require_finite(parameters, epoch)
        if not report.history:
            report.findings += _say(_unchanged(first, parameters))
        report.history.append(epoch)
        if leader is None or epoch.merit > leader.merit:
            leader = epoch
            if held_out is not None:
                best = dict(parameters)
        if folder is not None:
            checkpoint.write(
                folder,
                checkpoint.Checkpoint(
                    number + 1,
                    identity,
                    report.history,
                    session.state(),
                    best,
                ),
            )
        watch.epoch(report.history)
    report.stopped_early = len(report.history) < settings.epochs
    if settings.keep_best and best and leader is not None:
        report.returned = leader.epoch
        return best
    report.returned = len(report.history)
    return session.parameters()


def _augmented(samples: Samples, augment: Augment, rng: np.random.Generator) -> Samples:
    (name, data), *others = samples.inputs.items()
    if others or samples.targets.ndim > 1:
        raise RunError(
            Diagnostic(
                "train.data",
                "augmentation",
                "several inputs, or no classes",
                "one input and classes",
            )
        )
    made = augment(
        SpikeData.trusted(data, data.offsets, data.times, data.neurons, samples.targets), rng
    )
    if not len(made) or made.steps != data.steps or made.shape != data.shape:
        raise RunError(Diagnostic("train.data", "augmentation", repr(made), f"samples as {data!r}"))
    return Samples({name: made}, made.required_labels())


def _is_over(history: list[Epoch], leader: Epoch | None, settings: TrainSettings) -> bool:
    if settings.patience is None or leader is None:
        return False
    return len(history) - leader.epoch >= settings.patience


def _say(findings: list[Diagnostic]) -> list[Diagnostic]:
    """Warn of findings."""
    for finding in findings:
        warnings.warn(str(finding), SnnirWarning, stacklevel=3)
    return findings


def _unchanged(before: Parameters, after: Parameters) -> list[Diagnostic]:
    """Nodes of which no trained value is another."""
    same = {key: np.array_equal(values, after[key]) for key, values in before.items()}
    return [
        Diagnostic("train.unchanged", f"node '{name}'", "the weights before it", "other weights")
        for name in dict.fromkeys(node for node, _ in same)
        if all(equal for (node, _), equal in same.items() if node == name)
    ]


def _require_finite(parameters: Parameters, epoch: Epoch) -> None:
    findings = [
        Diagnostic(
            "train.diverged",
            f"node '{node}', parameter '{name}'",
            f"NaN or infinite numbers after epoch {epoch.epoch}",
            "finite numbers",
        )
        for (node, name), values in parameters.items()
        if not np.all(np.isfinite(values))
    ]
    raise_errors(findings, RunError)


def with_parameters(model: Model, parameters: Parameters, metadata: Mapping[str, str]) -> Model:
    """A copy of a model with other values, without stored examples.

    Args:
        model: The model; not modified.
        parameters: New values by node and parameter.
        metadata: Entries to add.
    """
    graph = copy.copy(model.graph)
    graph.nodes = dict(graph.nodes)
    for (name, parameter), values in parameters.items():
        node: Node = copy.copy(graph.nodes[name])
        node.parameters = {**node.parameters, parameter: Tensor.from_array(values)}
        graph.nodes[name] = node
    return dataclasses.replace(
        model, graph=graph, examples={}, metadata={**model.metadata, **metadata}
    )


# Data ------------------------------------------------------------------------------------------


def _samples(
    model: Model,
    trainer: Trainer,
    settings: TrainSettings,
    data: Given | Mapping[str, Given],
    labels: npt.ArrayLike | None,
    validation: tuple[Given | Mapping[str, Given], npt.ArrayLike] | None,
) -> tuple[Samples, Samples | None]:
    if validation is not None and settings.validation_split:
        raise RunError(
            Diagnostic(
                "train.setting",
                "setting 'validation_split'",
                f"{settings.validation_split:g}, and samples to validate on",
                "one of the two",
            )
        )
    if labels is None:
        labels = getattr(data, "labels", None)
    if labels is None:
        raise RunError(Diagnostic("train.data", "labels", "none", "one for each sample"))
    types = infer(model)
    samples = read_samples(model, trainer, settings, types, data, labels)
    if validation is None:
        first, second = samples.split(settings.validation_split)
        if not len(first):
            raise RunError(
                Diagnostic("train.data", "samples", "none beside those for validation", "some")
            )
        return first, second
    return samples, read_samples(model, trainer, settings, types, *validation)


def read_samples(
    model: Model,
    trainer: Trainer,
    settings: TrainSettings,
    types: Types,
    data: Given | Mapping[str, Given],
    labels: npt.ArrayLike,
) -> Samples:
    """Samples as a trainer takes them: encoders have run, everything is in range.

    Raises:
        RunError: With everything that does not fit.
    """
    wanted = trainer.inputs(model)
    if not isinstance(data, Mapping):
        if len(wanted) != 1:
            raise RunError(
                Diagnostic("train.data", "inputs", "one without a name", ", ".join(wanted))
            )
        data = {next(iter(wanted)): data}
    if set(data) != set(wanted):
        raise RunError(
            Diagnostic("train.data", "inputs", ", ".join(map(str, data)), ", ".join(wanted))
        )
    inputs: dict[str, SpikeData] = {}
    findings: list[Diagnostic] = []
    for name, value in wanted.items():
        found = _spikes(model, types, name, value, data[name])
        if isinstance(found, SpikeData):
            inputs[name] = found
        else:
            findings += found
    raise_errors(findings, RunError)
    counts = {name: len(events) for name, events in inputs.items()}
    if len(set(counts.values())) > 1:
        found_counts = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
        raise RunError(Diagnostic("train.data", "samples", found_counts, "as many of each"))
    (output,) = model.graph.outputs
    shape = types[output.value].shape
    targets, findings = check_targets(
        labels,
        next(iter(counts.values())),
        settings.loss,
        model.time.steps,
        tuple(int(size) for size in shape),
    )
    raise_errors(findings, RunError)
    return Samples(inputs, targets)


def _spikes(
    model: Model, types: Types, name: str, value: str, given: Given
) -> SpikeData | list[Diagnostic]:
    """The spikes of one input, from whatever was given; or what is wrong with it."""
    where = f"input '{name}'"

    def wrong(found: str, allowed: str) -> list[Diagnostic]:
        return [Diagnostic("train.data", where, found, allowed)]

    shape = tuple(int(size) for size in types[value].shape)
    steps, dt = model.time.steps, model.time.dt
    if isinstance(given, SpikeData):
        if value != name:
            return wrong("spikes", "values for the input's encoder")
        found = f"{given.steps} steps of {given.dt:g} s, shape {list(given.shape)}"
        allowed = f"{steps} steps of {dt:g} s, shape {list(shape)}"
        fits = given.steps == steps and np.isclose(given.dt, dt, rtol=1e-6, atol=0)
        return given if fits and given.shape == shape else wrong(found, allowed)
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" or not array.ndim or not len(array):
        return wrong(f"shape {list(array.shape)} of type {array.dtype}", "numbers of some samples")
    if value != name:
        array = _encoded(model, types, name, value, array)
    if array.shape[1:] != (steps, *shape):
        found = f"shape {list(array.shape)}"
        return wrong(found, f"[samples, {', '.join(map(str, (steps, *shape)))}]")
    if np.any((array != 0) & (array != 1)):
        return wrong("other values", "0 and 1: spikes")
    return from_dense(array, dt=dt, empty="allow")


def _encoded(model: Model, types: Types, name: str, value: str, array: Array) -> Array:
    """Spikes of an encoder, by the reference.

    Raises:
        RunError: If the samples do not fit it.
    """
    steps = model.time.steps
    pieces = [
        run_part(model, types, [value], {name: array[start : start + _CHUNK]}, steps=steps)[value]
        for start in range(0, len(array), _CHUNK)
    ]
    return np.concatenate(pieces)
