"""The steps of a conversion, in order, with what is measured of each."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence, Set
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.conversion import account, costs, methods
from snnir.conversion.calibration import Calibration, few_samples
from snnir.conversion.measure import (
    Meter,
    Reporter,
    Score,
    batches,
    bound_types,
    decision,
    largest_difference,
)
from snnir.conversion.methods import Method
from snnir.conversion.report import (
    Accuracy,
    Attempt,
    ConversionReport,
    Cost,
    Input,
    Layer,
    SampleCounts,
)
from snnir.conversion.scale import scale_findings
from snnir.conversion.settings import Settings
from snnir.conversion.sources import is_spiking
from snnir.errors import ConversionError, Diagnostic, RunError, SnnirWarning
from snnir.infer import infer
from snnir.ir.model import Close, Example, Model
from snnir.ir.types import DType
from snnir.passes.canonicalise import canonicalise
from snnir.passes.preprocessing import take_preprocessing, with_preprocessing
from snnir.runtime.verify import make_example

Array = npt.NDArray[Any]

STORED_SAMPLES: Final = 2
"""Samples that are stored in the file with what the network makes of them."""

STORED_TOLERANCE: Final = Close(absolute=1e-4, relative=1e-4)
"""Sums in another order may tip a spike, which moves a mean by a threshold over the steps."""


def prepared_source(
    model: Model,
    input_scale: npt.ArrayLike | None = None,
    input_offset: npt.ArrayLike | None = None,
    input_dtype: str | None = None,
) -> Model:
    """A model that can be converted, with the preprocessing that was asked for.

    Raises:
        ConversionError: If it spikes already, or an option has no such value.
        ModelError: If the preprocessing does not fit its inputs.
    """
    if is_spiking(model):
        domains = sorted({node.domain for node in model.graph.nodes.values()} - {"ann"})
        raise ConversionError(
            Diagnostic(
                "convert.source",
                "source",
                f"operators of domain {', '.join(domains)}",
                "a network of domain 'ann'",
            )
        )
    dtype = None
    if input_dtype is not None:
        try:
            dtype = DType.parse(input_dtype)
        except KeyError as error:
            known = ", ".join(entry.label for entry in DType)
            raise ConversionError(
                Diagnostic("convert.option", "option 'input_dtype'", repr(input_dtype), known)
            ) from error
    return with_preprocessing(model, input_scale, input_offset, dtype)


def convert_model(
    model: Model,
    samples: Calibration,
    settings: Settings,
    *,
    source: str,
    progress: Reporter | None = None,
) -> tuple[Model, ConversionReport]:
    """Make a spiking network; see :func:`convert`.

    Args:
        model: What :func:`prepared_source` gives.
        samples: Calibration samples that fit it.
        settings: How.
        source: What to call it in the report.
        progress: Is told how far the work is.

    Raises:
        SnnirError: If it cannot be converted.
    """
    return _Conversion(model, samples, settings, source, progress or _silent).run()


def warned_doubts(model: Model, samples: Calibration) -> list[Diagnostic]:
    """What is doubtful about the samples for a network; it is warned of."""
    found = [
        *few_samples(samples.split.given),
        *scale_findings(model, samples.measure, samples.labels, samples.output),
    ]
    for finding in found:
        warnings.warn(str(finding), SnnirWarning, stacklevel=5)
    return found


def original_for_target(model: Model, samples: Calibration) -> Model:
    """The original network for a target that makes its own of it.

    Preprocessing layers at its inputs are moved into the inputs' contract, exactly.

    Warns:
        SnnirWarning: If the samples are doubtful.
    """
    warned_doubts(model, samples)
    moved, _ = take_preprocessing(model)
    return moved


def _silent(what: str, done: int, total: int) -> None:
    return


@dataclasses.dataclass
class _Candidate:
    """A spiking network, with what was measured of it."""

    method: Method
    resolution: int
    model: Model
    layers: Sequence[Any]
    meter: Meter
    scores: dict[tuple[str, int], Score]
    difference: float

    def accuracy(self, labelled: str | None, decided: Set[str]) -> Sequence[Accuracy]:
        entries = []
        for (output, steps), score in self.scores.items():
            count = max(score.answers, 1)
            known = output == labelled
            entries.append(
                Accuracy(
                    output,
                    steps,
                    score.error,
                    score.agreeing / count if known or output in decided else None,
                    score.original / count if known else None,
                    score.spiking / count if known else None,
                )
            )
        return sorted(entries, key=lambda entry: (entry.output, entry.steps))


class _Conversion:
    def __init__(
        self,
        model: Model,
        samples: Calibration,
        settings: Settings,
        source: str,
        progress: Reporter,
    ) -> None:
        self.usable = methods.candidates(settings)
        self.original = model
        self.samples = samples
        self.settings = settings
        self.source = source
        self.progress = progress
        self.expected: dict[str, Array] = {}
        self.attempts: list[Attempt] = []
        types = infer(model)
        self._decisions = {o.name: decision(model.graph, o, types) for o in model.graph.outputs}

    def run(self) -> tuple[Model, ConversionReport]:
        if self.settings.target_drop is not None and self.samples.labels is None:
            raise RunError(
                Diagnostic("convert.labels", "labels", "nothing", "labels, to measure what is lost")
            )
        doubts = warned_doubts(self.original, self.samples)
        moved, gone = take_preprocessing(self.original)
        ann = canonicalise(moved)
        found = self._choose(ann)
        found.model.examples["calibration"] = self._example(found.model)
        found.model.metadata["snnir.convert"] = " ".join(
            f"{key}={value}"
            for key, value in {
                "method": found.method.name,
                **self.settings.given(),
                found.method.resolution: found.resolution,
            }.items()
        )
        return found.model, self._report(found, ann, gone, doubts)

    # Trying ------------------------------------------------------------------------------

    def _choose(self, ann: Model) -> _Candidate:
        """The network that was asked for, or the smallest that loses little enough.

        The smallest is found by doubling, then bisecting between the last that loses too much
        and the first that does not: it is one less that loses too much. Losses need not fall
        with every step more, so that a smaller one may exist that was not tried.
        """
        drop = self.settings.target_drop
        if drop is None:
            return self._attempt(ann, lambda method: method.resolution_of(self.settings))
        number, too_small = 1, 0
        found = self._attempt(ann, _always(number))
        method = found.method
        self.usable = [method]
        while self.attempts[-1].drop > drop:
            if number == method.most:
                raise ConversionError(self._missed(method, drop))
            number, too_small = min(2 * number, method.most), number
            found = self._attempt(ann, _always(number))
        while found.resolution - too_small > 1:
            number = (found.resolution + too_small) // 2
            finer = self._attempt(ann, _always(number))
            if self.attempts[-1].drop <= drop:
                found = finer
            else:
                too_small = number
        return self._measured(method, found.resolution, found.model, found.layers)

    def _missed(self, method: Method, drop: float) -> Diagnostic:
        best = min(self.attempts, key=lambda attempt: attempt.drop)
        tried = ", ".join(str(attempt.resolution) for attempt in self.attempts)
        return Diagnostic(
            "convert.target-drop",
            f"method '{method.name}'",
            f"a drop of {best.drop:.2f} points at best, with {best.resolution} "
            f"{method.resolution} (tried: {tried})",
            f"at most {drop:g} points",
        )

    def _attempt(self, ann: Model, resolution: Callable[[Method], int]) -> _Candidate:
        lowered = methods.lower(
            self.usable,
            ann,
            self.samples.calibrate,
            self.settings,
            resolution,
            lambda done, total: self.progress("calibrating layer", done, total),
        )
        searching = self.settings.target_drop is not None
        found = self._measured(*lowered, early=not searching)
        if searching:
            score = found.scores[self.samples.output or "", found.model.time.steps]
            lost = 100 * (score.original - score.spiking) / max(score.answers, 1)
            self.attempts.append(Attempt(found.resolution, lost))
        return found

    def _measured(
        self,
        method: Method,
        resolution: int,
        model: Model,
        layers: Sequence[Any],
        *,
        early: bool = True,
    ) -> _Candidate:
        """What a network does on the samples, with answers after fewer steps if ``early``."""
        arrays = self.samples.measure
        if not self.expected:
            self.expected = self._answers(self.original)
        lengths = _lengths(model.time.steps) if early and method.readable_early else ()
        meter = Meter(model, arrays, lengths=lengths)
        scores: dict[tuple[str, int], Score] = {}
        difference, count = 0.0, len(next(iter(arrays.values())))
        for part, batch in batches(arrays, meter.batch_size):
            answers = meter.run(batch)
            truth = None if self.samples.labels is None else self.samples.labels[part]
            for steps, outputs in answers.items():
                for name, output in outputs.items():
                    score = scores.setdefault((name, steps), Score())
                    known = truth if name == self.samples.output else None
                    score.add(
                        self.expected[name][part], output, known, self._decisions[name].decide
                    )
            expected = {name: array[part] for name, array in self.expected.items()}
            difference = max(difference, largest_difference(expected, answers[model.time.steps]))
            self.progress("measuring sample", part.stop, count)
        return _Candidate(method, resolution, model, layers, meter, scores, difference)

    def _answers(self, model: Model) -> dict[str, Array]:
        """What a network without time answers to the measured samples."""
        meter = Meter(model, self.samples.measure)
        parts = [
            next(iter(meter.run(batch).values()))
            for _, batch in batches(self.samples.measure, meter.batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    # Reporting ---------------------------------------------------------------------------

    def _example(self, model: Model) -> Example:
        """The first samples, and what the reference makes of them."""
        first = {name: array[:STORED_SAMPLES] for name, array in self.samples.measure.items()}
        return make_example(model, first, tolerance=STORED_TOLERANCE)

    def _report(
        self, found: _Candidate, ann: Model, gone: Sequence[str], doubts: Sequence[Diagnostic]
    ) -> ConversionReport:
        samples, split = self.samples, self.samples.split
        types = bound_types(ann, samples.measure)
        return ConversionReport(
            source=self.source,
            method=found.method.name,
            reason=self._reason(found.method),
            options=self.settings.given(),
            steps=found.model.time.steps,
            inputs=tuple(
                Input(
                    entry.name,
                    str(entry.type),
                    None if entry.scale is None else entry.scale.values().tolist(),
                    None if entry.offset is None else entry.offset.values().tolist(),
                )
                for entry in found.model.graph.inputs
            ),
            samples=SampleCounts(
                split.given,
                len(split.calibrate),
                len(split.measure),
                split.held_out,
                samples.labels is not None,
            ),
            passes=tuple(
                account.passes(
                    self.original,
                    ann,
                    gone,
                    found.model,
                    found.method,
                    self.settings,
                    found.layers,
                    samples.measure,
                    (largest_difference(self.expected, self._answers(ann)), found.difference),
                )
            ),
            accuracy=tuple(
                found.accuracy(
                    None if samples.labels is None else samples.output,
                    {o.name for o in self.original.graph.outputs if self._decisions[o.name].sure},
                )
            ),
            layers=tuple(_layers(found)),
            costs=tuple(_costs(found)),
            original_multiply_accumulates=costs.multiply_accumulates(ann.graph, types),
            attempts=tuple(self.attempts),
            warnings=tuple(doubts),
        )

    def _reason(self, method: Method) -> str:
        if self.settings.method != "auto":
            return ""
        if method.name == methods.AUTO[0]:
            return "auto: loses least at the same number of steps"
        if methods.AUTO[0] in {usable.name for usable in methods.candidates(self.settings)}:
            return f"auto: {methods.AUTO[0]} does not carry this network"
        return f"auto: what was asked for belongs to {method.name}"


def _always(number: int) -> Callable[[Method], int]:
    return lambda method: number


def _lengths(steps: int) -> list[int]:
    """1, 2, 4, ... below the presentation length."""
    return [1 << power for power in range(steps.bit_length()) if 1 << power < steps]


_MEASURED: Final = frozenset({"node", "source", "neurons", "rate"})
"""What a layer's report says is measured here, on samples that were not calibrated on."""


def _layers(found: _Candidate) -> Sequence[Layer]:
    """What each activation became; several nodes may make up one (``name.part``)."""
    activity = found.meter.activity
    reports = {layer.node: layer for layer in found.layers}
    members: dict[str, list[str]] = {name: [] for name in reports}
    for name in activity.spikes:
        owners = [known for known in reports if name == known or name.startswith(f"{known}.")]
        members.setdefault(max(owners, key=len, default=name), []).append(name)
    result = []
    for name, parts in members.items():
        known = dataclasses.asdict(reports[name]) if name in reports else {}
        node = found.model.graph.nodes.get(parts[0] if parts else name)
        neurons = sum(activity.neurons[part] for part in parts)
        spikes = sum(activity.spikes[part] for part in parts) / activity.samples
        result.append(
            Layer(
                name,
                "" if node is None else node.source,
                neurons,
                spikes / max(neurons * activity.steps, 1),
                spikes,
                known.pop("threshold", None),
                known.pop("error", None),
                {key: value for key, value in known.items() if key not in _MEASURED},
            )
        )
    return result


def _costs(found: _Candidate) -> Sequence[Cost]:
    meter, graph = found.meter, found.model.graph
    result = []
    for node in costs.weighted_nodes(graph):
        if node.name in meter.activity.operations:
            operations = meter.activity.operations[node.name] / meter.activity.samples
            result.append(Cost(node.name, node.source, operations, 0))
        else:
            shape = tuple(int(dim) for dim in meter.types[node.inputs[0].source].shape)
            counts = costs.fan_out(node, shape)
            once = 0 if counts is None else int(counts.sum())
            result.append(Cost(node.name, node.source, 0.0, once))
    return result
