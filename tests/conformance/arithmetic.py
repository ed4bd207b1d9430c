"""Cases of arithmetic and normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from snnir.ir.model import Close
from snnir.ir.types import Timing
from tests.conformance.cases import DECIMAL, HAND, RATIONAL, Case, near, same, single
from tests.conformance.exact import (
    DIGITS,
    Array,
    Numbers,
    element,
    exact,
    float32,
    fractions,
    zeros,
)
from tests.conformance.reference_onnx import ONNX, run

ROUNDED = Close(absolute=2.0**-20, relative=2.0**-20)
"""A square root, a division, a product and a sum in float32, of values of up to 16."""


def subtract_cases() -> Iterator[Case]:
    numbers = Numbers(71)
    a, b = numbers.grid((2, 2, 3)), numbers.grid((2, 2, 3))
    found = a.astype(np.float64) - b
    same(found, run("Sub", a, b), "Subtract")
    yield single(
        "ann.Subtract", "two", "a - b, not b - a.", {"a": a, "b": b}, {"y": found}, origin=ONNX
    )
    yield single(
        "ann.Subtract",
        "per-step",
        "Values that change from step to step, without axes.",
        {"a": np.array([[1.0, 2.0, -3.0]]), "b": np.array([[0.5, 2.0, 4.0]])},
        {"y": np.array([[0.5, 0.0, -7.0]])},
        origin=HAND,
        timing=Timing.PER_STEP,
    )


def multiply_cases() -> Iterator[Case]:
    numbers = Numbers(72)
    values = [numbers.grid((2, 2, 3)) for _ in range(3)]
    found = np.prod(np.array(values, np.float64), axis=0)
    yield single(
        "ann.Multiply",
        "three",
        "Three values of one shape.",
        {"x": values},
        {"y": found},
        origin=RATIONAL,
    )
    column, row = numbers.grid((2, 2, 1)), numbers.grid((2, 1, 3))
    same(column * row, run("Mul", column, row), "Multiply")
    yield single(
        "ann.Multiply",
        "outer",
        "An axis of length 1 is repeated, in either value.",
        {"x": [column, row]},
        {"y": column * row},
        origin=ONNX,
    )
    yield single(
        "ann.Multiply",
        "one",
        "A single value stays as it is.",
        {"x": [values[0]]},
        {"y": values[0]},
        origin=HAND,
    )


def batch_norm(x: Any, axis: int, p: dict[str, Any], epsilon: float) -> Array:
    """Batch normalisation in decimal arithmetic."""
    given = np.asarray(x, np.float64)
    found = np.zeros(given.shape, np.float32)
    along = axis if axis < 0 else axis + 1
    with localcontext() as context:
        context.prec = DIGITS

        def number(name: str, c: int, default: float) -> Decimal:
            return Decimal(float(p[name][c]) if p.get(name) is not None else default)

        for place in np.ndindex(given.shape):
            c = place[along]
            deviation = (number("variance", c, 0) + Decimal(epsilon)).sqrt()
            centred = Decimal(given[place]) - number("mean", c, 0)
            y = centred / deviation * number("gamma", c, 1) + number("beta", c, 0)
            found[place] = np.float32(float(y))
    return found


def batch_norm_cases() -> Iterator[Case]:
    numbers = Numbers(73)
    x = numbers.grid((2, 2, 3, 4))
    exact_: dict[str, Any] = {
        "mean": np.array([0.5, -1.0, 0.0, 2.25]),
        "variance": np.array([3.75, 0.75, 0.0, 15.75]),
        "gamma": np.array([2.0, -0.5, 1.0, 4.0]),
        "beta": np.array([0.25, 0.0, -1.5, 1.0]),
    }

    def case(
        name: str, what: str, fed: Array, axis: int | None, epsilon: float | None, p: dict[str, Any]
    ) -> Case:
        y = batch_norm(fed, -1 if axis is None else axis, p, 1e-3 if epsilon is None else epsilon)
        return single(
            "ann.BatchNorm",
            name,
            what,
            {"x": fed},
            {"y": y},
            origin=DECIMAL,
            tolerance=None if epsilon is not None else ROUNDED,
            axis=axis,
            epsilon=epsilon,
            **p,
        )

    yield case("last-axis", "Each channel of the last axis by itself.", x, None, 0.25, exact_)
    yield case(
        "first-axis",
        "Channels along the first feature axis.",
        np.moveaxis(x, -1, 1),
        0,
        0.25,
        exact_,
    )
    yield case(
        "middle-axis",
        "Axes are counted from the end, too.",
        np.moveaxis(x, -1, 2),
        -2,
        0.25,
        exact_,
    )
    no_scale = {name: exact_[name] for name in ("mean", "variance")}
    yield case(
        "no-gamma-no-beta", "An absent gamma is 1, an absent beta 0.", x, None, 0.25, no_scale
    )
    whole = {**no_scale, "variance": np.array([4.0, 1.0, 0.25, 16.0])}
    yield case("epsilon-zero", "Without epsilon the variance alone counts.", x, None, 0.0, whole)
    general = {
        "mean": numbers.grid((4,)),
        "variance": numbers.grid((4,), 0, 16),
        "gamma": numbers.grid((4,)),
        "beta": numbers.grid((4,)),
    }
    general["variance"][0] = 0
    near(
        batch_norm(np.moveaxis(x, -1, 1), 0, general, 1e-3),
        run(
            "BatchNormalization",
            np.moveaxis(x, -1, 1),
            general["gamma"],
            general["beta"],
            general["mean"],
            general["variance"],
            epsilon=1e-3,
        ),
        "BatchNorm",
        1e-4,
    )
    tame = {**general, "variance": general["variance"] + 0.5}
    yield case("default-epsilon", "The default epsilon is 1e-3.", x, None, None, tame)


def rescale_cases() -> Iterator[Case]:
    numbers = Numbers(74)
    x = numbers.grid((2, 2, 3), 0, 255, 1)
    given = fractions(x)

    def case(name: str, what: str, **p: Any) -> Case:
        scale, offset = fractions(p["scale"]), fractions(p.get("offset", 0))
        found = zeros(given.shape)
        for place in np.ndindex(given.shape):
            scaled = exact(given[place] * element(scale, place[1:]))
            found[place] = exact(scaled + element(offset, place[1:]))
        return single(
            "ann.Rescale", name, what, {"x": x}, {"y": float32(found)}, origin=RATIONAL, **p
        )

    yield case(
        "scale-then-offset", "The product first, then the offset.", scale=2.0**-7, offset=-1.0
    )
    yield case("no-offset", "Without an offset nothing is added.", scale=0.5)
    yield case(
        "per-channel",
        "Scale of each channel, offset of each row.",
        scale=np.array([0.25, -1.0, 2.0]),
        offset=np.array([[0.5], [-4.0]]),
    )


def normalize_cases() -> Iterator[Case]:
    numbers = Numbers(75)
    x = numbers.grid((2, 2, 3))
    given = fractions(x)
    mean = np.array([0.5, -1.0, 0.25])
    variance = np.array([4.0, 0.0625, 1.0])
    found = zeros(given.shape)
    for place in np.ndindex(given.shape):
        c = place[-1]
        deviation = fractions([2.0, 0.25, 1.0])[c]
        found[place] = exact((given[place] - fractions(mean)[c]) / deviation)
    yield single(
        "ann.Normalize",
        "per-channel",
        "Minus the mean, divided by the square root of the variance.",
        {"x": x},
        {"y": float32(found)},
        origin=RATIONAL,
        mean=mean,
        variance=variance,
    )
    yield single(
        "ann.Normalize",
        "no-variance",
        "Where the variance is 0 the divisor is 1e-7.",
        {"x": np.array([[0.5, 0.5], [0.75, 0.25]])},
        {"y": np.array([[0.0, 0.5], [np.float32(2.5e6), 0.25]])},
        origin=HAND,
        tolerance=Close(relative=2.0**-21),
        mean=np.array([0.5, 0.0]),
        variance=np.array([0.0, 1.0]),
    )
    wide = numbers.grid((2, 4))
    means, variances = numbers.grid((4,)), numbers.grid((4,), 1, 32)
    with localcontext() as context:
        context.prec = DIGITS
        y = np.array(
            [
                [
                    float((Decimal(float(value)) - Decimal(float(m))) / Decimal(float(v)).sqrt())
                    for value, m, v in zip(row, means, variances, strict=True)
                ]
                for row in wide
            ]
        ).astype(np.float32)
    yield single(
        "ann.Normalize",
        "any-variance",
        "Variances whose roots are no binary fractions.",
        {"x": wide},
        {"y": y},
        origin=DECIMAL,
        tolerance=ROUNDED,
        mean=means,
        variance=variances,
    )


def dropout_cases() -> Iterator[Case]:
    x = Numbers(76).grid((2, 3, 2))
    for name, what, rate in (
        ("rate", "Nothing is dropped, nothing is scaled.", 0.5),
        ("no-rate", "The rate may be left out.", None),
        ("rate-one", "Even a rate of 1 drops nothing.", 1.0),
    ):
        yield single("ann.Dropout", name, what, {"x": x}, {"y": x}, origin=HAND, rate=rate)


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from subtract_cases()
    yield from multiply_cases()
    yield from batch_norm_cases()
    yield from rescale_cases()
    yield from normalize_cases()
    yield from dropout_cases()
