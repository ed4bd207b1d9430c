"""What a training run did: a table of epochs, as CSV, JSON or a plot."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from snnir import files
from snnir.errors import Diagnostic, FileError, MissingDependency


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch.

    Attributes:
        epoch: Its number, from 1.
        rate: Learning rate.
        loss: Mean loss while training.
        accuracy: Part of the training samples that were right when they came; None without
            classes.
        validation_loss: Mean loss on validation samples after the epoch; None if there are none.
        validation_accuracy: Likewise.
        seconds: How long training and validation took.
    """

    epoch: int
    rate: float
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float

    @property
    def merit(self) -> tuple[float, float]:
        """The better an epoch is, the larger this is: validation accuracy, then minus loss."""
        loss = self.loss if self.validation_loss is None else self.validation_loss
        accuracy = self.accuracy if self.validation_loss is None else self.validation_accuracy
        return (0.0 if accuracy is None else accuracy, -loss)

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch}: loss {self.loss:.4f}"]
        if self.accuracy is not None:
            parts.append(f"accuracy {100 * self.accuracy:.2f} %")
        if self.validation_loss is not None:
            parts.append(f"validation loss {self.validation_loss:.4f}")
        if self.validation_accuracy is not None:
            parts.append(f"accuracy {100 * self.validation_accuracy:.2f} %")
        return ", ".join([*parts, f"{self.seconds:.1f} s"])


@dataclass
class TrainReport:
    """What was done.

    Attributes:
        history: Results of each epoch.
        returned: Number of the epoch whose weights were returned, from 1.
        stopped_early: Whether fewer epochs were run than asked for.
        resumed_from: Number of epochs that a checkpoint had done already.
        provenance: What goes into the model's metadata.
        findings: What was said without refusing.
        details: What the trainer has to say.
    """

    history: list[Epoch] = field(default_factory=list)
    returned: int = 0
    stopped_early: bool = False
    resumed_from: int = 0
    provenance: dict[str, str] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "returned": self.returned,
            "stopped_early": self.stopped_early,
            "resumed_from": self.resumed_from,
            "provenance": self.provenance,
            "findings": [finding.to_json() for finding in self.findings],
            "details": self.details,
        }

    def __str__(self) -> str:
        lines = [*map(str, self.findings), *map(str, self.history)]
        if self.stopped_early:
            lines.append("stopped early: no better epoch came")
        return "\n".join([*lines, f"the weights are those after epoch {self.returned}"])


def write_log(history: Sequence[Epoch], path: str | os.PathLike[str]) -> None:
    """Write the table of epochs: JSON if the name ends so, otherwise CSV.

    Raises:
        FileError: If it cannot be written.
    """
    if Path(path).suffix.lower() == ".json":
        text = json.dumps([asdict(epoch) for epoch in history], indent=2) + "\n"
    else:
        stream = io.StringIO()
        table = csv.DictWriter(stream, [entry.name for entry in fields(Epoch)])
        table.writeheader()
        table.writerows(asdict(epoch) for epoch in history)
        text = stream.getvalue()
    files.write_atomically(path, lambda file: file.write(text.encode()))


def figure_class() -> Any:
    """Matplotlib's class of figures.

    Raises:
        MissingDependency: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "plot",
                f"no package '{error.name}'",
                "matplotlib",
                "pip install 'snnir[report]'",
            )
        ) from error
    return Figure


def plot_format(path: str | os.PathLike[str]) -> str:
    """The format of a plot, which the ending of its name says; PNG without one.

    Raises:
        MissingDependency: If matplotlib is not installed.
        FileError: If matplotlib does not write it.
    """
    kind = Path(path).suffix.lstrip(".").lower() or "png"
    known = figure_class()().canvas.get_supported_filetypes()
    if kind not in known:
        allowed = ", ".join(f".{name}" for name in sorted(known))
        raise FileError(Diagnostic("file.unwritable", f"plot '{path}'", f"'.{kind}'", allowed))
    return kind


def write_plot(history: Sequence[Epoch], path: str | os.PathLike[str]) -> None:
    """Plot loss and, where there are classes, accuracy over epochs; see :func:`plot_format`.

    Raises:
        MissingDependency: If matplotlib is not installed.
        FileError: If it cannot be written.
    """
    kind = plot_format(path)
    scales = {"loss": 1, "accuracy": 100}
    curves = {
        name: {
            label: [None if (value := getattr(e, key)) is None else scale * value for e in history]
            for label, key in (("training", name), ("validation", f"validation_{name}"))
            if any(getattr(epoch, key) is not None for epoch in history)
        }
        for name, scale in scales.items()
    }
    drawn = {name: lines for name, lines in curves.items() if lines}
    figure = figure_class()(figsize=(4 * max(len(drawn), 1), 4), layout="constrained")
    number = [epoch.epoch for epoch in history]
    for place, (name, lines) in enumerate(drawn.items(), 1):
        axes = figure.add_subplot(1, len(drawn), place)
        for label, values in lines.items():
            axes.plot(number, values, ".-", label=label)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("accuracy in %" if name == "accuracy" else name)
        axes.legend()
    files.write_atomically(path, lambda file: figure.savefig(file, format=kind))
