"""From another framework's network to a spiking network, in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from snnir import plugins
from snnir.errors import Diagnostic, FormatError, RunError
from snnir.ir.model import Close, Example, Model
from snnir.passes.canonicalise import canonicalise
from snnir.passes.rate import LayerReport, RateOptions, lower_to_rates
from snnir.passes.rate.lower import Decoder, Encoder
from snnir.passes.rate.lower import Method as RateMethod
from snnir.runtime.backend import check_inputs, find_backend, named_inputs
from snnir.runtime.verify import make_example

Array = npt.NDArray[Any]
Method = Literal["auto", "calibrated", "data-norm", "spike-norm"]

STEPS_TRIED: Final = (4, 8, 16, 32, 64, 128, 256)
"""Presentation lengths that ``target_drop`` chooses from."""

CALIBRATION_SAMPLES: Final = 256
"""Most samples that calibration uses; more are used for measuring only."""

STORED_SAMPLES: Final = 2
"""Samples that are stored in the file with what the network makes of them."""


@dataclass(frozen=True)
class Accuracy:
    """How a spiking network compares with the original on the calibration data.

    Attributes:
        steps: Presentation length.
        agreement: Part of the samples for which both give the same answer.
        original: Part of the samples that the original gets right; None without labels.
        spiking: Part of the samples that the spiking network gets right; None without labels.
    """

    steps: int
    agreement: float
    original: float | None
    spiking: float | None

    @property
    def drop(self) -> float | None:
        """Loss of accuracy in percentage points."""
        if self.original is None or self.spiking is None:
            return None
        return 100 * (self.original - self.spiking)


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did, measured on the calibration data.

    Attributes:
        source: What was converted.
        method: How.
        steps: Presentation length.
        samples: Calibration samples.
        layers: What became of each activation.
        accuracy: One entry for each presentation length that was tried.
        spikes: Spikes for a sample, on average, in the whole network.
    """

    source: str
    method: str
    steps: int
    samples: int
    layers: tuple[LayerReport, ...]
    accuracy: tuple[Accuracy, ...]
    spikes: float

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.source}: method {self.method}, {self.steps} steps, calibrated on "
            f"{self.samples} samples",
            "",
            f"{'steps':>6} {'agreement':>10} {'original':>9} {'spiking':>9} {'drop':>7}",
        ]
        for entry in self.accuracy:
            original = "-" if entry.original is None else f"{100 * entry.original:.2f} %"
            spiking = "-" if entry.spiking is None else f"{100 * entry.spiking:.2f} %"
            drop = "-" if entry.drop is None else f"{entry.drop:.2f}"
            lines.append(
                f"{entry.steps:>6} {100 * entry.agreement:>8.2f} % {original:>9} {spiking:>9} "
                f"{drop:>7}"
            )
        width = max([5, *(len(layer.node) for layer in self.layers)])
        lines += [
            "",
            f"{'layer':<{width}} {'neurons':>9} {'threshold (mean)':>17} {'error':>8} {'rate':>7}",
        ]
        for layer in self.layers:
            lines.append(
                f"{layer.node:<{width}} {layer.neurons:>9} {layer.threshold[1]:>17.4g} "
                f"{100 * layer.error:>6.1f} % {layer.rate:>7.3f}"
            )
        lines += [
            "",
            f"spikes for a sample: {self.spikes:.0f}",
            "error: of the mean output against the original activation, root mean square; "
            "rate: spikes of a neuron in a step",
            "exact: linear layers, average pooling, additions, concatenations, maximum pooling of "
            "totals; approximate: the activations above",
        ]
        return "\n".join(lines)


def read(source: Any) -> Model:
    """A model from a file of any known format, or from a live object of a known framework.

    Raises:
        FileError: If there is no such file.
        FormatError: If no frontend recognises it.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        for name in plugins.names("frontends"):
            frontend = plugins.load("frontends", name)
            if frontend.recognises(path):
                found: Model = frontend.read(path)
                return found
        from snnir.serde.file import load

        return load(path)
    if isinstance(source, Model):
        return source
    module = type(source).__module__.partition(".")[0]
    for name in plugins.names("frontends"):
        if any(cls.__module__.partition(".")[0] == name for cls in type(source).__mro__):
            live: Model = plugins.load("frontends", name).read(source)
            return live
    raise FormatError(
        Diagnostic(
            "format.not-snnir",
            "source",
            f"an object of {module}.{type(source).__name__}",
            "a path, a Model or an object of " + ", ".join(plugins.names("frontends")),
        )
    )


def convert(
    source: Any,
    *,
    calibration: Mapping[str, npt.ArrayLike] | npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    method: Method = "auto",
    steps: int | None = None,
    target_drop: float | None = None,
    percentile: float | None = None,
    per_channel: bool = True,
    encoder: Encoder = "constant",
    decoder: Decoder = "potential",
    seed: int = 0,
) -> tuple[Model, ConversionReport]:
    """Make a spiking network of a trained network.

    Args:
        source: A file (Keras `.keras` or `.h5`, or a model of domain ``ann``), a ``Model``, or a
            live ``keras.Model``.
        calibration: Samples for each input by name, or the array of the only input; as the
            network takes them. A few hundred are enough.
        labels: Class of each calibration sample, to measure accuracy.
        method: ``"auto"`` is ``"calibrated"``, which measured best.
        steps: Presentation length; 32 by default.
        target_drop: Instead of ``steps``: the smallest length that loses at most so many
            percentage points on the labelled calibration samples.
        percentile: For ``data-norm``: percentile instead of maximum.
        per_channel: For ``data-norm`` and ``spike-norm``: one threshold for each channel.
        encoder: How static inputs drive the network.
        decoder: What the answer is taken from.
        seed: Seed of the Poisson encoder.

    Returns:
        The spiking network, with stored examples, and what was measured.

    Raises:
        SnnirError: If the source cannot be read or converted, or the calibration data does not
            fit it.
    """
    original = read(source)
    arrays = named_inputs(original.graph, calibration)
    samples, _, _ = check_inputs(original.graph, arrays, None, original.time.steps)
    truth = None if labels is None else _labels(labels, samples)
    ann = canonicalise(original)
    chosen: RateMethod = "calibrated" if method == "auto" else method
    used = {name: array[:CALIBRATION_SAMPLES] for name, array in arrays.items()}
    answer = original.graph.outputs[0].name
    expected = find_backend("layerwise").prepare(ann).run(arrays)[answer]
    if target_drop is not None and truth is None:
        raise RunError(
            Diagnostic("run.input", "labels", "nothing", "labels, to choose the number of steps")
        )
    tried: list[Accuracy] = []
    for length in STEPS_TRIED if target_drop is not None else (steps or 32,):
        options = RateOptions(
            length, chosen, percentile, per_channel, encoder=encoder, decoder=decoder, seed=seed
        )
        model, layers = lower_to_rates(ann, used, options)
        found = find_backend("layerwise").prepare(model).run(arrays)[answer]
        tried.append(_measure(length, expected, found, truth))
        drop = tried[-1].drop
        if target_drop is not None and drop is not None and drop <= target_drop:
            break
    model.examples["calibration"] = _example(model, arrays)
    model.metadata["snnir.convert"] = f"method={chosen} encoder={encoder} decoder={decoder}"
    report = ConversionReport(
        source=str(source) if isinstance(source, (str, os.PathLike)) else type(source).__name__,
        method=chosen,
        steps=length,
        samples=min(samples, CALIBRATION_SAMPLES),
        layers=tuple(layers),
        accuracy=tuple(tried),
        spikes=sum(layer.rate * layer.neurons for layer in layers) * length,
    )
    return model, report


def _labels(labels: npt.ArrayLike, samples: int) -> Array:
    truth = np.asarray(labels).reshape(-1)
    if truth.dtype.kind not in "iu" or len(truth) != samples:
        raise RunError(
            Diagnostic(
                "run.input",
                "labels",
                f"{len(truth)} values of type {truth.dtype}",
                f"{samples} whole numbers, one for each sample",
            )
        )
    return truth


def _measure(steps: int, expected: Array, found: Array, truth: Array | None) -> Accuracy:
    """Compare answers by their largest element."""
    ours, theirs = (a.reshape(len(a), -1).argmax(1) for a in (found, expected))
    return Accuracy(
        steps,
        float((ours == theirs).mean()),
        None if truth is None else float((theirs == truth).mean()),
        None if truth is None else float((ours == truth).mean()),
    )


def _example(model: Model, arrays: Mapping[str, Array]) -> Example:
    """The first samples, and what the reference makes of them.

    Sums in another order may tip a spike, which moves a mean by a threshold over the steps; that
    is why the tolerance is not exact.
    """
    first = {name: array[:STORED_SAMPLES] for name, array in arrays.items()}
    return make_example(model, first, tolerance=Close(absolute=1e-4, relative=1e-4))
