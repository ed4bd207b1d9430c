"""Does the data have the scale that the network was trained on? Only evidence counts.

Images come as 0 to 255 or as 0 to 1, and which of them a network wants is not written anywhere.
Three things tell, each by comparing the data as given with the data on the other scale:

- labels: the network is right more often on the other scale;
- batch normalisation: what arrives there has, over the training data, the stored mean and
  variance, so its standardised root mean square is about 1;
- saturation: trained with cross-entropy, a network is rarely so sure that every other class has
  a probability below what float32 tells from 0 beside 1 (5.96e-8); fed with numbers 255 times
  as large it always is. Fed with numbers 255 times too small it says the same of everything.

Data that does not look like images (negative numbers, other ranges) is never doubted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.conversion.measure import decision
from snnir.errors import Diagnostic
from snnir.infer import infer
from snnir.ir.graph import Node
from snnir.ir.model import Model
from snnir.runtime.backend import find_backend

Array = npt.NDArray[Any]

EVIDENCE_SAMPLES: Final = 128
"""Most samples that are looked at."""

LEAST_SAMPLES: Final = 16
"""With fewer, nothing is said."""

ACCURACY_GAIN: Final = 0.1
"""By this much the other scale must be right more often."""

OFF_BY: Final = 5.0
"""Factor by which batch statistics must be off."""

CERTAIN: Final = float(np.finfo(np.float32).eps) / 2
"""Probabilities below are lost beside 1 in float32."""

SATURATED: Final = 0.9
"""Part of the samples that a network must be certain of to be called saturated..."""

SOBER: Final = 0.8
"""...and at most, on the other scale, to be called sober."""

SURE: Final = 0.5
"""Mean probability of the answer that is a lot more than guessing among ten."""


@dataclass(frozen=True)
class _Behaviour:
    """What the network makes of the data on one scale."""

    accuracy: float | None
    deviation: float | None
    certain: float | None
    confidence: float | None
    classes: int


def scale_findings(
    model: Model,
    arrays: Mapping[str, Array],
    labels: Array | None = None,
    output: str | None = None,
) -> list[Diagnostic]:
    """A warning, with the evidence, if the other scale fits the network better.

    Args:
        model: The original network.
        arrays: Samples for each input, as they are fed.
        labels: The class of each sample.
        output: Name of the output that the labels belong to; by default the first.
    """
    if len(arrays) != 1:
        return []
    ((name, given),) = arrays.items()
    given = given[:EVIDENCE_SAMPLES]
    factor = _other_scale(given)
    if factor is None or len(given) < LEAST_SAMPLES or not model.graph.outputs:
        return []
    truth = None if labels is None else labels[:EVIDENCE_SAMPLES]
    other = given.astype(np.float32) * np.float32(factor)
    entry = model.graph.inputs[0]
    if not entry.type.dtype.is_float:
        return []
    here, there = (_behaviour(model, name, x, truth, output) for x in (given, other))
    evidence = _evidence(here, there)
    if evidence is None:
        return []
    low, high = float(given.min()), float(given.max())
    remedy = (
        "If they are raw images: --input-scale 1/255 (input_scale=1/255)."
        if factor < 1
        else "If the network takes raw images: give them as they are, 0 to 255."
    )
    return [
        Diagnostic(
            "convert.scale",
            f"input '{name}'",
            f"numbers from {low:g} to {high:g}: {evidence[0]} - {evidence[1]} with x "
            + ("/ 255" if factor < 1 else "* 255"),
            "the scale of the training data",
            remedy,
        )
    ]


def _other_scale(x: Array) -> float | None:
    """By what to multiply to come to the other scale of images, if these look like images."""
    if not x.size:
        return None
    low, high = float(x.min()), float(x.max())
    if low < 0 or high <= 0:
        return None
    if 2 < high <= 255:
        return 1 / 255
    if high <= 1:
        raw = x[: min(len(x), LEAST_SAMPLES)].astype(np.float64) * 255
        return 255.0 if np.allclose(raw, np.rint(raw), atol=1e-3) else None
    return None


def _behaviour(
    model: Model, name: str, x: Array, truth: Array | None, output: str | None
) -> _Behaviour:
    graph = model.graph
    chosen = next((o for o in graph.outputs if o.name == output), graph.outputs[0])
    norms = [node for node in graph.nodes.values() if node.op == "ann.BatchNorm"]
    recording = (
        find_backend("layerwise")
        .prepare(model)
        .run({name: x}, record=[node.inputs[0].source for node in norms])
    )
    found = recording[chosen.name]
    decided = decision(graph, chosen, infer(model)).decide(found)
    head = graph.nodes.get(chosen.value.partition(":")[0])
    certain = confidence = None
    if head is not None and head.operator == "Softmax" and found.ndim == 2 and found.shape[1] > 1:
        ranked = np.sort(found, axis=1)
        certain = float((ranked[:, -2] < CERTAIN).mean())
        confidence = float(ranked[:, -1].mean())
    deviations = [_deviation(node, recording[node.inputs[0].source]) for node in norms]
    return _Behaviour(
        None if truth is None else float((decided == truth).mean()),
        float(np.median(deviations)) if deviations else None,
        certain,
        confidence,
        len(np.unique(decided)),
    )


def _deviation(node: Node, x: Array) -> float:
    """Root mean square of what a batch normalisation standardises; about 1 in training."""
    axis = node.attributes.get("axis", -1)
    if not isinstance(axis, int):
        return 1.0
    last = np.moveaxis(x, axis if axis < 0 else axis + 1, -1)
    mean: Array = node.parameters["mean"].values()
    variance: Array = node.parameters["variance"].values()
    epsilon = float(node.attributes.get("epsilon", 1e-3))  # type: ignore[arg-type]
    scaled = np.square(last - mean, dtype=np.float64) / (variance + epsilon)
    return float(np.sqrt(scaled.mean()))


def _evidence(here: _Behaviour, there: _Behaviour) -> tuple[str, str] | None:
    """What was found on this scale, and on the other, if that speaks for the other."""
    if here.accuracy is not None and there.accuracy is not None:
        if there.accuracy >= here.accuracy + ACCURACY_GAIN:
            return f"accuracy {100 * here.accuracy:.1f} %", f"{100 * there.accuracy:.1f} %"
        if here.accuracy >= there.accuracy + ACCURACY_GAIN:
            return None
    if here.deviation is not None and there.deviation is not None:
        off, better = (abs(np.log(max(b, 1e-9))) for b in (here.deviation, there.deviation))
        if off <= np.log(OFF_BY) or better >= off / 2:
            return None
        text = "batch normalisation sees {:.3g} times the deviation of its training"
        return text.format(here.deviation), f"{there.deviation:.3g} times"
    if here.certain is None or there.certain is None:
        return None
    if here.certain >= SATURATED and there.certain <= SOBER:
        text = f"the softmax is saturated for {100 * here.certain:.0f} % of the samples"
        return text, f"for {100 * there.certain:.0f} %"
    least = max(SURE, here.confidence or 0.0)
    awake = there.classes > 1 and there.certain < SATURATED and (there.confidence or 0.0) > least
    if here.classes == 1 and awake:
        return "the answer is the same for every sample", f"{there.classes} different answers"
    return None
