"""Cases of the activation functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from snnir.ir.model import Close
from snnir.ir.types import Timing
from tests.conformance.cases import DECIMAL, RATIONAL, Case, also, near, same, single
from tests.conformance.exact import (
    DIGITS,
    Array,
    Numbers,
    element,
    erf,
    exact,
    float32,
    fractions,
    pi,
    zeros,
)
from tests.conformance.reference_onnx import GELU_OPSET, ONNX, run

SMOOTH = Close(absolute=2.0**-21, relative=2.0**-21)
"""Of float32, 8 units in the last place: exponentials of different libraries differ by a few."""

ROW = np.array([-8.0, -3.5, -2.0, -1.0, -0.75, -0.0625, 0.0, 0.125, 0.5, 1.0, 2.5, 6.0, 7.25])
X = np.stack([ROW, ROW[::-1] / 2])
FAR = np.array([[-100.0, -20.0, 20.0, 100.0], [50.0, 30.0, -10.0, -90.0]])
"""Where a careless formula overflows, or loses everything."""

ORIGIN = also(DECIMAL, f"{ONNX} but for rounding")


def each(x: Any, function: Callable[[Decimal], Decimal]) -> Array:
    """The function of every element, in decimal arithmetic."""
    given = np.asarray(x, np.float64)
    found = np.zeros(given.shape, np.float32)
    with localcontext() as context:
        context.prec = DIGITS
        for place in np.ndindex(given.shape):
            found[place] = np.float32(float(function(Decimal(given[place]))))
    return found


def linear_pieces(x: Any, function: Callable[[Fraction, tuple[int, ...]], Fraction]) -> Array:
    """A function that is exact, of every element and its index."""
    given = fractions(x)
    found = zeros(given.shape)
    for place in np.ndindex(given.shape):
        found[place] = exact(function(given[place], place[1:]))
    return float32(found)


# Pieces of lines -----------------------------------------------------------------------------


def relu_cases() -> Iterator[Case]:
    def case(
        name: str,
        what: str,
        max_value: float | None = None,
        negative_slope: float | None = None,
        threshold: float | None = None,
        onnx: Array | None = None,
        timing: Timing | None = None,
        x: Array = X,
    ) -> Case:
        limit = None if max_value is None else Fraction(max_value)
        slope, border = Fraction(negative_slope or 0), Fraction(threshold or 0)

        def function(value: Fraction, index: tuple[int, ...]) -> Fraction:
            if value > border:
                return value if limit is None else min(value, limit)
            return slope * (value - border)

        found = linear_pieces(x, function)
        origin = RATIONAL
        if onnx is not None:
            same(found, onnx, name)
            origin = also(RATIONAL, ONNX)
        return single(
            "ann.ReLU",
            name,
            what,
            {"x": x},
            {"y": found},
            origin=origin,
            timing=timing,
            max_value=max_value,
            negative_slope=negative_slope,
            threshold=threshold,
        )

    yield case("plain", "0 below 0.", onnx=run("Relu", X))
    yield case(
        "max-value",
        "No more than max_value (ReLU6).",
        6.0,
        onnx=run("Clip", X, np.float32(0), np.float32(6)),
    )
    yield case("max-value-zero", "A max_value of 0 is a limit.", 0.0)
    yield case(
        "negative-slope", "A slope below 0.", None, 0.25, onnx=run("LeakyRelu", X, alpha=0.25)
    )
    yield case(
        "threshold", "At the threshold and below: 0.", None, None, 1.0,
        run("ThresholdedRelu", X, alpha=1.0),
    )  # fmt: skip
    yield case("all", "Slope, threshold and limit together.", 2.0, 0.5, 0.5)
    yield case("limit-below-threshold", "What passes the threshold is limited.", 0.5, 0.25, 2.0)
    yield case(
        "per-step", "A value that changes from step to step.", timing=Timing.PER_STEP,
        x=np.stack([X, -X], axis=1),
    )  # fmt: skip


def leaky_cases() -> Iterator[Case]:
    def leaky(slope: Fraction) -> Callable[[Fraction, tuple[int, ...]], Fraction]:
        return lambda value, index: value if value >= 0 else value * slope

    for name, what, slope in (
        ("slope", "A slope below 0.", 0.125),
        ("negative", "A negative slope makes negative values positive.", -0.5),
        ("zero", "A slope of 0.", 0.0),
    ):
        found = linear_pieces(X, leaky(Fraction(slope)))
        same(found, run("LeakyRelu", X, alpha=slope), name)
        yield single(
            "ann.LeakyReLU",
            name,
            what,
            {"x": X},
            {"y": found},
            origin=also(RATIONAL, ONNX),
            negative_slope=slope,
        )
    yield single(
        "ann.LeakyReLU",
        "default",
        "The default slope is 0.3.",
        {"x": X},
        {"y": each(X, lambda value: value if value >= 0 else value * Decimal("0.3"))},
        origin=DECIMAL,
        tolerance=Close(relative=2.0**-22),
    )
    x = Numbers(81).grid((2, 2, 3))
    for name, what, slopes in (
        ("per-channel", "A slope of each channel.", np.array([0.25, -1.0, 0.0])),
        ("per-element", "A slope of each element.", np.array([[0.5, 1, 2], [0, -0.5, 0.125]])),
        ("per-row", "An axis of length 1 stands for any length.", np.array([[0.5], [0.25]])),
    ):
        own = fractions(slopes)
        found = linear_pieces(
            x, lambda value, index, own=own: value if value >= 0 else value * element(own, index)
        )
        same(found, run("PRelu", x, slopes), name)
        yield single(
            "ann.PReLU",
            name,
            what,
            {"x": x},
            {"y": found},
            origin=also(RATIONAL, ONNX),
            slope=slopes,
        )


def hard_sigmoid_cases() -> Iterator[Case]:
    found = linear_pieces(X, lambda value, index: min(max(value / 4 + Fraction(1, 2), 0), 1))
    same(found, run("HardSigmoid", X, alpha=0.25, beta=0.5), "HardSigmoid")
    yield single(
        "ann.HardSigmoid",
        "slope-and-offset",
        "A line, cut at 0 and 1.",
        {"x": X},
        {"y": found},
        origin=also(RATIONAL, ONNX),
        slope=0.25,
        offset=0.5,
    )
    yield single(
        "ann.HardSigmoid",
        "default",
        "The default slope is 1/6: 0 up to -3, 1 from 3 on.",
        {"x": X},
        {"y": each(X, lambda value: min(max(value / 6 + Decimal("0.5"), Decimal(0)), Decimal(1)))},
        origin=DECIMAL,
        tolerance=Close(absolute=2.0**-22),
    )
    found = linear_pieces(X, lambda value, index: min(max(-value / 2, 0), 1))
    yield single(
        "ann.HardSigmoid",
        "falling",
        "A falling line through 0.",
        {"x": X},
        {"y": found},
        origin=RATIONAL,
        slope=-0.5,
        offset=0.0,
    )


# Smooth --------------------------------------------------------------------------------------


def logistic(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def hyperbolic(x: Decimal) -> Decimal:
    return ((2 * x).exp() - 1) / ((2 * x).exp() + 1)


def half() -> Decimal:
    return Decimal("0.5")


def gelu(x: Decimal) -> Decimal:
    if abs(x) > 16:
        return x if x > 0 else Decimal(0)
    return half() * x * (1 + erf(x / Decimal(2).sqrt()))


def gelu_tanh(x: Decimal) -> Decimal:
    if abs(x) > 16:
        return x if x > 0 else Decimal(0)
    inner = (2 / pi()).sqrt() * (x + Decimal("0.044715") * x**3)
    return half() * x * (1 + hyperbolic(inner))


def elu(alpha: float) -> Callable[[Decimal], Decimal]:
    return lambda x: x if x > 0 else Decimal(alpha) * (x.exp() - 1)


Smooth = tuple[str, str, Callable[[Decimal], Decimal], dict[str, Any], Callable[[Array], Array]]
"""Operator, suffix, function, attributes, the same by ONNX."""

SMOOTH_FUNCTIONS: tuple[Smooth, ...] = (
    ("Sigmoid", "", logistic, {}, lambda x: run("Sigmoid", x)),
    ("Tanh", "", hyperbolic, {}, lambda x: run("Tanh", x)),
    ("SiLU", "", lambda x: x * logistic(x), {}, lambda x: x * run("Sigmoid", x)),
    ("ELU", "", elu(1.0), {}, lambda x: run("Elu", x)),
    ("ELU", "alpha-", elu(0.5), {"alpha": 0.5}, lambda x: run("Elu", x, alpha=0.5)),
    ("GELU", "", gelu, {}, lambda x: run("Gelu", x, opset=GELU_OPSET)),
    (
        "GELU",
        "tanh-",
        gelu_tanh,
        {"approximate": True},
        lambda x: run("Gelu", x, opset=GELU_OPSET, approximate="tanh"),
    ),
)


def smooth_cases() -> Iterator[Case]:
    for operator, prefix, function, attributes, onnx in SMOOTH_FUNCTIONS:
        for name, what, x in (
            ("values", "Values around 0.", X),
            ("far", "Values so far from 0 that nothing may overflow.", FAR),
        ):
            found = each(x, function)
            near(found, onnx(x.astype(np.float32)), f"{operator}/{name}")
            yield single(
                f"ann.{operator}",
                f"{prefix}{name}",
                what,
                {"x": x},
                {"y": found},
                origin=ORIGIN,
                tolerance=SMOOTH,
                **attributes,
            )


def softmax(x: Any, along: int) -> Array:
    """Softmax along an axis of the array, in decimal arithmetic."""
    given = np.moveaxis(np.asarray(x, np.float64), along, -1)
    found = np.zeros(given.shape, np.float32)
    with localcontext() as context:
        context.prec = DIGITS
        for row in np.ndindex(given.shape[:-1]):
            powers = [Decimal(value).exp() for value in given[row]]
            found[row] = [np.float32(float(power / sum(powers))) for power in powers]
    return np.moveaxis(found, -1, along)


def softmax_cases() -> Iterator[Case]:
    images = Numbers(82).grid((2, 2, 3, 2))
    for name, what, x, axis in (
        ("classes", "Over the last axis.", X, None),
        ("first-axis", "Over the first feature axis.", images, 0),
        ("middle-axis", "Axes are counted from the end, too.", images, -2),
        ("far", "Large values do not overflow; small ones vanish.", FAR * 10, None),
        ("one-class", "A single class has probability 1.", np.array([[3.0], [-5.0]]), None),
    ):
        along = -1 if axis is None else axis if axis < 0 else axis + 1
        found = softmax(x, along)
        near(found, run("Softmax", x, axis=along), name)
        yield single(
            "ann.Softmax",
            name,
            what,
            {"x": x},
            {"y": found},
            origin=ORIGIN,
            tolerance=SMOOTH,
            axis=axis,
        )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from relu_cases()
    yield from leaky_cases()
    yield from hard_sigmoid_cases()
    yield from smooth_cases()
    yield from softmax_cases()
