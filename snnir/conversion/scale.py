"""Does the data have the scale that the network was trained on? Only evidence counts.

Images come as 0 to 255 or as 0 to 1, and which of them a network wants is not written anywhere.
Three things tell, each by comparing the data as given with the data on the other scale:

- labels: the network is right more often on the other scale;
- batch normalisation: what arrives there has, over the training data, the stored mean and
  variance;
- saturation: trained with cross-entropy, a network is rarely so sure that every other class has
  a probability below what float32 tells from 0 beside 1 (5.96e-8); fed with numbers 255 times
  as large it always is. Fed with numbers 255 times too small it says the same of everything.
  A network that ends in a linear layer may give logits, whose softmax was trained, or other
  numbers, which may be large. Those shrink with the data until little but biases is left of
  them: it is doubted only if on the other scale it tells classes apart and is sure of them.

Data that does not look like images (negative numbers, other ranges) is only doubted by the first
batch normalisation.
"""

from __future__ import annotations

import math
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
from snnir.ir.traversal import topological_order
from snnir.passes.weights import WEIGHTED
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


LINEAR: Final = WEIGHTED | {"Bias", "Scale"}
"""Operators whose numbers may be logits where the network ends in one."""

SMALLER: Final = 1 / 255
"""From raw images to numbers up to 1."""

_DEVIATION: Final = "the first batch normalisation sees {:.3g} times the deviation of its training"


@dataclass(frozen=True)
class _Behaviour:
    """What the network makes of the data on one scale."""

    accuracy: float | None
    deviation: float | None
    certain: float | None
    confidence: float | None
    classes: int
    logits: bool = False

    @property
    def is_discerning(self) -> bool:
        """Whether it tells classes apart, and is as sure as trained networks are."""
        sure = self.confidence is not None and self.confidence > SURE
        return self.classes > 1 and sure and (self.certain or 0.0) < SATURATED


def scale_findings(
    model: Model,
    arrays: Mapping[str, Array],
    labels: Array | None = None,
    output: str | None = None,
) -> list[Diagnostic]:
    """A warning, with the evidence, if the data is not on the scale of the training data.

    Args:
        model: The original network.
        arrays: Samples for each input, as they are fed.
        labels: The class of each sample.
        output: Name of the output that the labels belong to; by default the first.
    """
    if len(arrays) != 1 or not model.graph.outputs:
        return []
    ((name, given),) = arrays.items()
    given = given[:EVIDENCE_SAMPLES]
    truth = None if labels is None else labels[:EVIDENCE_SAMPLES]
    if len(given) < LEAST_SAMPLES:
        return []
    here = _behaviour(model, name, given, truth, output)
    factor = _other_scale(given) if model.graph.inputs[0].type.dtype.is_float else None
    found = remedy = ""
    if factor is not None:
        other = given.astype(np.float32) * np.float32(factor)
        found = _evidence(here, _behaviour(model, name, other, truth, output))
    if found:
        found += f" with x {'/' if factor == SMALLER else '*'} 255"
        remedy = (
            "If they are raw images: --input-scale 1/255 (input_scale=1/255)."
            if factor == SMALLER
            else "If the network takes raw images, give them as they are: 0 to 255."
        )
    elif here.deviation is not None and _is_off(here):
        found = _DEVIATION.format(here.deviation)
    if not found:
        return []
    low, high = float(given.min()), float(given.max())
    return [
        Diagnostic(
            "convert.scale",
            f"input '{name}'",
            f"numbers from {low:g} to {high:g}: {found}",
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
        return SMALLER
    if high <= 1:
        raw = x[: min(len(x), LEAST_SAMPLES)].astype(np.float64) * 255
        return 255.0 if np.allclose(raw, np.rint(raw), atol=1e-3) else None
    return None


def _behaviour(
    model: Model, name: str, x: Array, truth: Array | None, output: str | None
) -> _Behaviour:
    graph = model.graph
    chosen = next((o for o in graph.outputs if o.name == output), graph.outputs[0])
    order, _ = topological_order(graph)
    norms = [node for node in order if node.op == "ann.BatchNorm"][:1]
    recording = (
        find_backend("layerwise")
        .prepare(model)
        .run({name: x}, record=[node.inputs[0].source for node in norms])
    )
    found = recording[chosen.name]
    decided = decision(graph, chosen, infer(model)).decide(found)
    head = graph.nodes.get(chosen.value.partition(":")[0])
    certain = confidence = None
    logits = head is not None and head.operator in LINEAR
    if head is not None and (logits or head.operator == "Softmax") and _is_classes(found):
        ranked = np.sort(_softmax(found) if logits else found, axis=1)
        certain = float((ranked[:, -2] < CERTAIN).mean())
        confidence = float(ranked[:, -1].mean())
    deviations = [_deviation(node, recording[node.inputs[0].source]) for node in norms]
    return _Behaviour(
        None if truth is None else float((decided == truth).mean()),
        deviations[0] if deviations else None,
        certain,
        confidence,
        len(np.unique(decided)),
        logits,
    )


def _is_classes(output: Array) -> bool:
    return output.ndim == 2 and output.shape[1] > 1


def _softmax(logits: Array) -> Array:
    with np.errstate(all="ignore"):  # what is not finite stays so, and proves nothing
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Array = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def _deviation(node: Node, x: Array) -> float:
    """How far from its mean a batch normalisation's input is, relative to training: about 1.

    The root mean square of the distance from the stored mean, or, if that is further from 1,
    the standard deviation; over the stored one; median over channels.
    """
    axis = int(node.attributes.get("axis", -1))  # type: ignore[arg-type]
    last = np.moveaxis(x, axis if axis < 0 else axis + 1, -1).astype(np.float64)
    rows = last.reshape(-1, last.shape[-1])
    mean: Array = node.parameters["mean"].values()
    variance: Array = node.parameters["variance"].values()
    epsilon = float(node.attributes.get("epsilon", 1e-3))  # type: ignore[arg-type]
    distance, spread = (
        float(np.median(np.sqrt((square + epsilon) / (variance + epsilon))))
        for square in (np.square(rows - mean).mean(0), rows.var(0))
    )
    return distance if distance * spread >= 1 else spread


def _is_off(behaviour: _Behaviour) -> bool:
    """Whether the first batch normalisation sees something else than in training."""
    return abs(_log_deviation(behaviour)) > math.log(OFF_BY)


def _log_deviation(behaviour: _Behaviour) -> float:
    return 0.0 if behaviour.deviation is None else math.log(max(behaviour.deviation, 1e-9))


def _evidence(here: _Behaviour, there: _Behaviour) -> str:
    """What was found on this scale, and on the other, if that speaks for the other."""
    if here.accuracy is not None and there.accuracy is not None:
        if there.accuracy >= here.accuracy + ACCURACY_GAIN:
            return f"accuracy {100 * here.accuracy:.1f} %, but {100 * there.accuracy:.1f} %"
        if here.accuracy >= there.accuracy + ACCURACY_GAIN:
            return ""
    if here.deviation is not None:
        if not _is_off(here) or abs(_log_deviation(there)) >= abs(_log_deviation(here)) / 2:
            return ""
        return f"{_DEVIATION.format(here.deviation)}, but {there.deviation:.3g} times"
    if here.certain is None or there.certain is None:
        return ""
    sober = there.certain <= SOBER and (there.is_discerning or not here.logits)
    if here.certain >= SATURATED and sober:
        text = f"the softmax is saturated for {100 * here.certain:.0f} % of the samples"
        return f"{text}, but for {100 * there.certain:.0f} %"
    surer = (there.confidence or 0.0) > (here.confidence or 0.0)
    if here.classes == 1 and there.is_discerning and surer:
        return f"the answer is the same for every sample, but there are {there.classes}"
    return ""
