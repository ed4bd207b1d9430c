"""Activation functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.polynomial import chebyshev

from snnir.ir.types import Shape
from snnir.ops import dims
from snnir.ops.layout import elementwise
from snnir.ops.schema import Array, Attribute, Bound, InferContext, OpDef, Parameter

# The error function --------------------------------------------------------------------------

_ERF_END: Final = 6.0
_ERF_PIECES: Final = 48
_ERF_DEGREE: Final = 9


@lru_cache(maxsize=1)
def _erf_series() -> Array:
    """Chebyshev series ``(degree + 1, pieces)`` of erf on equal pieces of the range from 0.

    Each interpolates ``math.erf``: its difference from the middle of the piece, so that rounding
    is negligible.
    """
    exact = np.vectorize(math.erf)
    width = _ERF_END / _ERF_PIECES
    middles = (np.arange(_ERF_PIECES) + 0.5) * width
    nodes = chebyshev.chebpts1(_ERF_DEGREE + 1)
    rises = exact(middles + 0.5 * width * nodes[:, np.newaxis]) - exact(middles)
    series: Array = chebyshev.chebvander(nodes, _ERF_DEGREE).T @ rises * (2 / len(nodes))
    series[0] = series[0] / 2 + exact(middles)
    return series


def erf(x: Array) -> Array:
    """The error function, in float64 with an error of at most 1e-15, as the type of ``x``."""
    series = _erf_series()
    place = np.minimum(np.abs(x).astype(np.float64), _ERF_END) * (_ERF_PIECES / _ERF_END)
    piece = np.clip(place.astype(np.intp), 0, _ERF_PIECES - 1)
    u = 2.0 * (place - piece) - 1.0
    below = above = np.zeros_like(u)
    for coefficients in series[:0:-1]:
        below, above = coefficients[piece] + 2.0 * u * below - above, below
    size = np.minimum(series[0][piece] + u * below - above, 1.0)
    y: Array = np.copysign(size, x).astype(x.dtype)
    return y


# Functions -----------------------------------------------------------------------------------


def _relu(bound: Bound, x: Array) -> Array:
    limit: float | None = bound.attributes.get("max_value")
    slope: float = bound.attributes["negative_slope"]
    threshold: float = bound.attributes["threshold"]
    if slope == 0.0 and threshold == 0.0:
        return np.clip(x, 0.0, limit)
    upper = x if limit is None else np.minimum(x, limit)
    return np.where(x > threshold, upper, slope * (x - threshold))


def _leaky_relu(bound: Bound, x: Array) -> Array:
    return np.where(x >= 0, x, x * bound.attributes["negative_slope"])


def _prelu(bound: Bound, x: Array) -> Array:
    return np.where(x >= 0, x, x * bound.parameters["slope"])


def _elu(bound: Bound, x: Array) -> Array:
    alpha: float = bound.attributes["alpha"]
    y: Array = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return y


def sigmoid(x: Array) -> Array:
    """The logistic function; nothing overflows."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _gelu(bound: Bound, x: Array) -> Array:
    if bound.attributes["approximate"]:
        bent = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x)))
    else:
        bent = erf(x * math.sqrt(0.5))
    y: Array = 0.5 * x * (1 + bent)
    return y


def _hard_sigmoid(bound: Bound, x: Array) -> Array:
    line: Array = x * bound.attributes["slope"] + bound.attributes["offset"]
    return np.clip(line, 0.0, 1.0)


def _softmax(bound: Bound, x: Array) -> Array:
    axis = dims.array_axis(bound.attributes["axis"])
    e: Array = np.exp(x - x.max(axis=axis, keepdims=True))
    y: Array = e / e.sum(axis=axis, keepdims=True)
    return y


def _infer_softmax(context: InferContext) -> Sequence[Shape]:
    shape = context.shape("x")
    dims.feature_axis(context, "axis", len(shape))
    return [shape]


# Definitions ---------------------------------------------------------------------------------


def _slope(doc: str, default: float) -> Attribute:
    return Attribute("negative_slope", doc, "float", default=default)


ACTIVATIONS: Final[tuple[OpDef, ...]] = (
    elementwise(
        "ann",
        "ReLU",
        _relu,
        summary="Rectification, with an optional ceiling, threshold and negative slope.",
        formula="y = min(x, max_value) where x > threshold (x, if max_value is absent)\n"
        "y = negative_slope * (x - threshold) elsewhere",
        latex=r"y = \begin{cases} \min(x, m) & x > \theta \\ \alpha (x - \theta) & x \le \theta "
        r"\end{cases}",
        attributes=(
            Attribute("max_value", "The largest output. Absent: no limit.", "float", minimum=0.0),
            _slope("Slope at and below the threshold.", 0.0),
            Attribute("threshold", "Inputs above it pass.", "float", default=0.0, minimum=0.0),
        ),
        references=("Keras 3: keras.layers.ReLU", "ONNX: Relu, Clip, ThresholdedRelu"),
        notes="At x = threshold above 0, Keras computes negative_slope * 0, too, although its "
        "documentation says x.",
    ),
    elementwise(
        "ann",
        "LeakyReLU",
        _leaky_relu,
        summary="The identity at and above 0, a line of another slope below.",
        formula="y = x where x >= 0\ny = x * negative_slope elsewhere",
        latex=r"y = \begin{cases} x & x \ge 0 \\ \alpha x & x < 0 \end{cases}",
        attributes=(_slope("Slope below 0.", 0.3),),
        references=("Keras 3: keras.layers.LeakyReLU", "ONNX: LeakyRelu"),
    ),
    elementwise(
        "ann",
        "PReLU",
        _prelu,
        summary="The identity at and above 0, a line of a trained slope below.",
        formula="y = x where x >= 0\ny = x * slope elsewhere",
        latex=r"y = \begin{cases} x & x \ge 0 \\ \alpha x & x < 0 \end{cases}",
        parameters=(Parameter("slope", "Slope below 0.", required=True),),
        references=("Keras 3: keras.layers.PReLU", "ONNX: PRelu"),
    ),
    elementwise(
        "ann",
        "ELU",
        _elu,
        summary="The identity above 0, an exponential approach to -alpha below.",
        formula=(
            "y = x where x > 0\n"
            "y = alpha * expm1(x) elsewhere, where expm1(x) is exp(x) - 1 without cancellation"
        ),
        latex=r"y = \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}",
        attributes=(
            Attribute("alpha", "Minus the limit for large negative inputs.", "float", default=1.0),
        ),
        references=("Keras 3: keras.layers.ELU", "ONNX: Elu"),
    ),
    elementwise(
        "ann",
        "SiLU",
        lambda bound, x: x * sigmoid(x),
        summary="The input times its sigmoid (also called swish).",
        formula="y = x * (1 / (1 + exp(-x)))",
        latex=r"y = \frac{x}{1 + e^{-x}}",
        references=("Keras 3: keras.activations.silu", "ONNX: Swish"),
    ),
    elementwise(
        "ann",
        "GELU",
        _gelu,
        summary="The input times the probability that a standard normal variable is below it.",
        formula="y = 0.5 * x * (1 + erf(x / sqrt(2))) if approximate is false\n"
        "y = 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) if approximate is true",
        latex=r"y = \frac{x}{2} \left(1 + \operatorname{erf} \frac{x}{\sqrt{2}}\right)",
        attributes=(
            Attribute(
                "approximate", "Whether to use the formula with tanh.", "bool", default=False
            ),
        ),
        references=(
            "Keras 3: keras.activations.gelu (whose default is approximate=False)",
            "ONNX: Gelu",
        ),
    ),
    elementwise(
        "ann",
        "Sigmoid",
        lambda bound, x: sigmoid(x),
        summary="The logistic function.",
        formula="y = 1 / (1 + exp(-x)) where x >= 0\ny = exp(x) / (1 + exp(x)) elsewhere",
        latex=r"y = \frac{1}{1 + e^{-x}}",
        references=("Keras 3: keras.activations.sigmoid", "ONNX: Sigmoid"),
    ),
    elementwise(
        "ann",
        "Tanh",
        lambda bound, x: np.tanh(x),
        summary="The hyperbolic tangent.",
        formula="y = tanh(x)",
        latex=r"y = \tanh x",
        references=("Keras 3: keras.activations.tanh", "ONNX: Tanh"),
    ),
    elementwise(
        "ann",
        "HardSigmoid",
        _hard_sigmoid,
        summary="A line, limited to the range from 0 to 1.",
        formula="y = min(max(x * slope + offset, 0), 1): the product is rounded before the sum",
        latex=r"y = \min(\max(\alpha x + \beta, 0), 1)",
        attributes=(
            Attribute("slope", "Slope of the line.", "float", default=1 / 6),
            Attribute("offset", "Value of the line at 0.", "float", default=0.5),
        ),
        references=("Keras 3: keras.activations.hard_sigmoid", "ONNX: HardSigmoid"),
        notes="Keras computes relu6(x + 3) / 6, which differs by rounding only.",
    ),
    elementwise(
        "ann",
        "Softmax",
        _softmax,
        infer=_infer_softmax,
        summary="Exponentials that sum to 1 along an axis.",
        formula="m = maximum of x along axis\ne = exp(x - m)\ny = e / (sum of e along axis)",
        latex=r"y_i = \frac{e^{x_i - m}}{\sum_j e^{x_j - m}},\quad m = \max_j x_j",
        attributes=(dims.axis_attribute("The axis along which the outputs sum to 1"),),
        references=("Keras 3: keras.layers.Softmax", "ONNX: Softmax"),
    ),
)
"""The activation functions."""
