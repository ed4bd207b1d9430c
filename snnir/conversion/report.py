"""What a conversion did, as data and as a readable table."""

from __future__ import annotations

import dataclasses
import itertools
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from snnir.errors import Diagnostic

FORMAT: Final = 1
"""Version of the JSON form."""

_WHAT_WIDTH: Final = 64
"""Columns for what a pass did, in the readable form."""


@dataclass(frozen=True)
class SampleCounts:
    """Which samples were used for what.

    Attributes:
        given: Samples there were.
        calibrated: Samples that thresholds and biases were calibrated on.
        measured: Samples that accuracy, spikes and operations were measured on.
        held_out: Whether no measured sample was calibrated on.
        labelled: Whether the right answers were known.
    """

    given: int
    calibrated: int
    measured: int
    held_out: bool
    labelled: bool


@dataclass(frozen=True)
class Accuracy:
    """How an output of the spiking network compares with the original after some steps.

    Attributes:
        output: Name of the output.
        steps: When the answer is read.
        error: Root mean square of the difference, relative to that of the original.
        agreement: Part of the answers that are the same; None for what is no classifier.
        original: Part of the answers that the original has right; None without labels.
        spiking: Part of the answers that the spiking network has right; None without labels.
    """

    output: str
    steps: int
    error: float
    agreement: float | None = None
    original: float | None = None
    spiking: float | None = None

    @property
    def drop(self) -> float | None:
        """Loss of accuracy in percentage points."""
        if self.original is None or self.spiking is None:
            return None
        return 100 * (self.original - self.spiking)


@dataclass(frozen=True)
class Layer:
    """What became of one activation, or how an input is encoded.

    Attributes:
        node: Name of the neurons.
        source: Layer of the original network.
        neurons: Number of neurons.
        rate: Part of the steps in which a neuron spikes, on average.
        spikes: Spikes for a sample.
        threshold: Smallest, mean and largest threshold; None where it is no activation.
        error: Root mean square of (mean output - original activation), relative to that of the
            original activation, on the calibration samples; None where it is no activation.
        details: What else the method says of it.
    """

    node: str
    source: str
    neurons: int
    rate: float
    spikes: float
    threshold: tuple[float, float, float] | None = None
    error: float | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What the synapses of one node cost for a sample.

    Attributes:
        node: Name of the node.
        source: Layer of the original network.
        synaptic_operations: Spikes (or other numbers that are not 0) that arrive at a neuron.
        multiply_accumulates: What is computed once from what does not change over time.
    """

    node: str
    source: str
    synaptic_operations: float
    multiply_accumulates: int


@dataclass(frozen=True)
class Pass:
    """One step of the conversion.

    Attributes:
        name: What it is called.
        exact: Whether the network computes the same afterwards, up to rounding.
        what: What it did.
        difference: Measured: largest difference, relative to the largest value: of an output
            from the original's; for maximum pooling, of its mean output from the maximum of its
            mean inputs. None where it shows only in the difference of the whole.
    """

    name: str
    exact: bool
    what: str
    difference: float | None = None


@dataclass(frozen=True)
class Input:
    """What the spiking network is fed with: it sees ``float32(x) * scale + offset``.

    Attributes:
        name: Name of the input.
        type: Element type and shape.
        scale: Numbers that broadcast against the trailing axes, or None.
        offset: See ``scale``.
    """

    name: str
    type: str
    scale: Any = None
    offset: Any = None

    def __str__(self) -> str:
        scale = "" if self.scale is None else f" * {_numbers(self.scale)}"
        offset = "" if self.offset is None else f" + {_numbers(self.offset)}"
        return f"{self.name} {self.type}{scale}{offset}"


@dataclass(frozen=True)
class Attempt:
    """One number of steps (or bits) that was tried, and the loss of accuracy in points."""

    resolution: int
    drop: float


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did, measured.

    Attributes:
        source: What was converted.
        method: How.
        reason: Why this method, where it was not asked for by name.
        options: Options of the method that were asked for.
        steps: Presentation length.
        inputs: What the spiking network is fed with.
        samples: Which samples were used for what.
        passes: What was done, in order.
        accuracy: For each output, after 1, 2, 4, ... steps and at the end.
        layers: What became of each activation, and how inputs are encoded.
        costs: What each layer's synapses cost for a sample.
        original_multiply_accumulates: Multiply-accumulates of the original for a sample.
        attempts: What ``target_drop`` tried, in order.
        warnings: What is doubtful.
    """

    source: str
    method: str
    reason: str
    options: Mapping[str, Any]
    steps: int
    inputs: tuple[Input, ...]
    samples: SampleCounts
    passes: tuple[Pass, ...]
    accuracy: tuple[Accuracy, ...]
    layers: tuple[Layer, ...]
    costs: tuple[Cost, ...]
    original_multiply_accumulates: int
    attempts: tuple[Attempt, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def final(self) -> tuple[Accuracy, ...]:
        """Each output at the end of the presentation."""
        return tuple(entry for entry in self.accuracy if entry.steps == self.steps)

    @property
    def spikes(self) -> float:
        """Spikes of the whole network for a sample, on average."""
        return math.fsum(layer.spikes for layer in self.layers)

    @property
    def synaptic_operations(self) -> float:
        """Synaptic operations of the whole network for a sample, on average."""
        return math.fsum(cost.synaptic_operations for cost in self.costs)

    @property
    def multiply_accumulates(self) -> int:
        """Multiply-accumulates that are left: before the first spike, once for a sample."""
        return sum(cost.multiply_accumulates for cost in self.costs)

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            "format": FORMAT,
            **{name: _plain(value) for name, value in fields.items()},
            "accuracy": [{**_plain(a), "drop": _plain(a.drop)} for a in self.accuracy],
            "warnings": [finding.to_json() for finding in self.warnings],
            "spikes": self.spikes,
            "synaptic_operations": self.synaptic_operations,
            "multiply_accumulates": self.multiply_accumulates,
        }

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _plain(value: Any) -> Any:
    """Lists, objects and numbers as JSON has them; what is not finite is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return value


# The readable form ---------------------------------------------------------------------------


def _lines(report: ConversionReport) -> Iterator[str]:
    because = f" ({report.reason})" if report.reason else ""
    yield f"{report.source}: method {report.method}{because}, {report.steps} steps"
    yield _sample_text(report.samples)
    if report.options:
        yield "options: " + ", ".join(f"{name} {value}" for name, value in report.options.items())
    yield "takes: " + ", ".join(map(str, report.inputs))
    yield ""
    yield from _accuracy_lines(report)
    yield ""
    yield from _table(
        ("layer", "neurons", "threshold", "error", "rate", "spikes/sample"),
        (
            (
                layer.node,
                str(layer.neurons),
                _range(layer.threshold),
                "-" if layer.error is None else f"{100 * layer.error:.1f} %",
                f"{layer.rate:.4f}",
                f"{layer.spikes:.1f}",
            )
            for layer in report.layers
        ),
    )
    yield "error: of the mean output, relative to the activation; rate: spikes of a neuron a step"
    yield ""
    yield from _operations(report)
    yield ""
    yield from _table(
        ("pass", "", "largest difference", "what it did"),
        itertools.chain.from_iterable(map(_pass_rows, report.passes)),
        left=(0, 1, 3),
    )
    if report.attempts:
        yield ""
        yield "tried: " + ", ".join(f"{a.resolution}: drop {a.drop:.2f}" for a in report.attempts)
    for finding in report.warnings:
        yield ""
        yield str(finding)


def _pass_rows(step: Pass) -> Iterator[tuple[str, ...]]:
    first, *rest = textwrap.wrap(step.what, _WHAT_WIDTH) or [""]
    difference = "-" if step.difference is None else f"{step.difference:.1e}"
    yield step.name, "exact" if step.exact else "approximate", difference, first
    for line in rest:
        yield "", "", "", line


def _sample_text(samples: SampleCounts) -> str:
    rest = samples.given - samples.measured - (samples.calibrated if samples.held_out else 0)
    which = "other samples" if samples.held_out else "samples, those of calibration among them"
    unused = f"; {rest} were not needed" if rest > 0 else ""
    return f"calibrated on {samples.calibrated} samples, measured on {samples.measured} {which}" + (
        unused
    )


def _accuracy_lines(report: ConversionReport) -> Iterator[str]:
    outputs = list(dict.fromkeys(entry.output for entry in report.accuracy))
    for output in outputs:
        rows = [entry for entry in report.accuracy if entry.output == output]
        if len(outputs) > 1:
            yield f"output '{output}':"
        yield from _table(
            ("steps", "error", "agreement", "original", "spiking", "drop"),
            (
                (
                    str(entry.steps),
                    f"{100 * entry.error:.1f} %",
                    _percent(entry.agreement),
                    _percent(entry.original),
                    _percent(entry.spiking),
                    "-" if entry.drop is None else f"{entry.drop:.2f}",
                )
                for entry in rows
            ),
            left=(),
        )


def _operations(report: ConversionReport) -> Iterator[str]:
    once = report.multiply_accumulates
    before = f", {_count(once)} multiply-accumulates before the first spike" if once else ""
    yield (
        f"for a sample: {_count(report.spikes)} spikes, {_count(report.synaptic_operations)} "
        f"synaptic operations{before}"
    )
    yield f"original: {_count(report.original_multiply_accumulates)} multiply-accumulates"


def _numbers(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, (int, float)) else "(one for each channel)"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.2f} %"


def _range(threshold: tuple[float, float, float] | None) -> str:
    if threshold is None:
        return "-"
    low, mean, high = threshold
    return f"{mean:.3g}" if low == high else f"{mean:.3g} ({low:.3g} to {high:.3g})"


def _count(number: float) -> str:
    return f"{round(number):,}"


def _table(
    head: tuple[str, ...], rows: Iterable[tuple[str, ...]], left: Sequence[int] = (0,)
) -> Iterator[str]:
    """Lines with aligned columns: those of ``left`` to the left, others to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
