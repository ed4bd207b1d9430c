"""Operators that shift and scale by constants, and dropout, which does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from snnir.ir.types import Shape
from snnir.ops import dims
from snnir.ops.layout import elementwise
from snnir.ops.schema import Array, Attribute, Bound, InferContext, Parameter

SMALLEST_DEVIATION: Final = 1e-7
"""Normalize divides by no less than this."""


# Batch normalisation -------------------------------------------------------------------------


def _infer_batch_norm(context: InferContext) -> Sequence[Shape]:
    shape = context.shape("x")
    channels = shape[dims.feature_axis(context, "axis", len(shape))]
    for parameter in context.opdef.parameters:
        context.check_parameter(parameter.name, (channels,))
    return [shape]


def _validate_batch_norm(context: InferContext) -> None:
    variance = context.tensor("variance")
    if variance is None or context.attribute("epsilon") > 0:
        return
    if np.min(variance.values(), initial=1) == 0:
        context.report(
            "value.relation", "parameter 'variance'", "0 with epsilon 0", "a sum above 0"
        )


def _prepare_batch_norm(bound: Bound) -> tuple[Array, Array]:
    parameters = bound.parameters
    factor = 1 / np.sqrt(parameters["variance"] + bound.dtype.type(bound.attributes["epsilon"]))
    gamma, beta = bound.optional("gamma"), bound.optional("beta")
    if gamma is not None:
        factor = factor * gamma
    offset = -parameters["mean"] * factor
    if beta is not None:
        offset = beta + offset
    rank = len(bound.shape("x"))
    along = (-1, *(1,) * (rank - 1 - bound.attributes["axis"] % rank))
    return factor.reshape(along), offset.reshape(along)


def _batch_norm(bound: Bound, x: Array) -> Array:
    factor, offset = bound.prepared
    y: Array = x * factor + offset
    return y


def _statistics(doc: str, name: str, **fields: Any) -> Parameter:
    return Parameter(name, doc, "[channels]", **fields)


_BATCH_NORM: Final = elementwise(
    "ann",
    "BatchNorm",
    _batch_norm,
    summary="Normalisation of each channel by the mean and variance seen in training.",
    formula="\n".join(
        (
            "factor = 1 / sqrt(variance + epsilon)",
            "factor = factor * gamma, if there is a gamma",
            "offset = beta - mean * factor, where an absent beta is 0",
            "y[..., c, ...] = x[..., c, ...] * factor[c] + offset[c], where c is the index along "
            "axis",
        )
    ),
    latex=r"y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta",
    attributes=(
        dims.axis_attribute("The axis of the channels"),
        Attribute("epsilon", "Added to the variance.", "float", default=1e-3, minimum=0.0),
    ),
    parameters=(
        _statistics("Mean of each channel.", "mean", required=True),
        _statistics("Variance of each channel.", "variance", required=True, minimum=0.0),
        _statistics("Factor of each channel. Absent: 1.", "gamma"),
        _statistics("Offset of each channel. Absent: 0.", "beta"),
    ),
    infer=_infer_batch_norm,
    prepare=_prepare_batch_norm,
    validate=_validate_batch_norm,
    references=(
        "Keras 3: keras.layers.BatchNormalization",
        "TensorFlow: tf.nn.batch_normalization",
        "ONNX: BatchNormalization",
    ),
)


# Constants -----------------------------------------------------------------------------------


def _rescale(bound: Bound, x: Array) -> Array:
    y: Array = x * bound.parameters["scale"] + bound.parameters["offset"]
    return y


_RESCALE: Final = elementwise(
    "ann",
    "Rescale",
    _rescale,
    summary="Each element times a constant, plus another.",
    formula="y = x * scale + offset",
    latex=r"y = s x + b",
    parameters=(
        Parameter("scale", "The factors.", required=True),
        Parameter("offset", "What is added to the product.", default=0.0),
    ),
    references=("Keras 3: keras.layers.Rescaling",),
)


def _prepare_normalize(bound: Bound) -> Array:
    deviation: Array = np.sqrt(bound.parameters["variance"])
    smallest: Array = np.maximum(deviation, bound.dtype.type(SMALLEST_DEVIATION))
    return smallest


def _normalize(bound: Bound, x: Array) -> Array:
    y: Array = (x - bound.parameters["mean"]) / bound.prepared
    return y


_NORMALIZE: Final = elementwise(
    "ann",
    "Normalize",
    _normalize,
    summary="Each element minus a mean, divided by a standard deviation.",
    formula="y = (x - mean) / max(sqrt(variance), 1e-7)",
    latex=r"y = \frac{x - \mu}{\max(\sqrt{\sigma^2}, 10^{-7})}",
    parameters=(
        Parameter("mean", "The means.", required=True),
        Parameter("variance", "The variances.", required=True, minimum=0.0),
    ),
    prepare=_prepare_normalize,
    references=("Keras 3: keras.layers.Normalization",),
)

_DROPOUT: Final = elementwise(
    "ann",
    "Dropout",
    lambda bound, x: x,
    summary="Nothing: dropout acts in training only.",
    formula="y = x",
    latex=r"y = x",
    attributes=(
        Attribute(
            "rate",
            "Fraction of the elements that training drops; for the record.",
            "float",
            minimum=0.0,
            maximum=1.0,
        ),
    ),
    references=("Keras 3: keras.layers.Dropout", "ONNX: Dropout"),
)

NORMALISATION: Final = (_BATCH_NORM, _RESCALE, _NORMALIZE, _DROPOUT)
"""The normalising operators."""
