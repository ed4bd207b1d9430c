"""Cases of the decoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from snnir.ir.model import Close, Tolerance
from tests.conformance.cases import DECIMAL, HAND, RATIONAL, Case, also, same, single
from tests.conformance.exact import DIGITS, Array, Numbers, element, exact, fractions, total

WEIGHTED = Close(absolute=2.0**-20, relative=2.0**-20)
"""Sixteen products and sums in float32, each off by at most 2**-24 of values of up to 4."""

Answer = Callable[[Sequence[Fraction]], Fraction]


def decoded(x: Any, answer: Answer, start: int, stop: int | None) -> Array:
    """The answer for each neuron, of its values within the window."""
    given = fractions(x)
    last = given.shape[1] if stop is None else min(stop, given.shape[1])
    found = np.zeros((given.shape[0], *given.shape[2:]))
    for place in np.ndindex(found.shape):
        train = [given[(place[0], t, *place[1:])] for t in range(start, last)]
        found[place] = float(exact(answer(train)))
    return found


def sign(value: Fraction) -> Fraction:
    return Fraction((value > 0) - (value < 0))


def first(train: Sequence[Fraction]) -> Fraction:
    return Fraction(next((t for t, x in enumerate(train) if x != 0), len(train)))


ANSWERS: dict[str, Answer] = {
    "SpikeCount": lambda train: total(sign(x) for x in train),
    "FinalPotential": lambda train: train[-1],
    "SumPotential": total,
    "MeanPotential": lambda train: total(train) / len(train),
    "MaxPotential": max,
    "FirstSpikeTime": first,
}

WINDOWS = (
    ("start", "The window begins at start.", 2, None),
    ("stop", "The window ends before stop.", 0, 4),
    ("start-and-stop", "The window is start <= t < stop.", 3, 5),
    ("one-step", "A window of a single step.", 4, 5),
    ("stop-beyond-the-end", "A stop beyond the presentation is its end.", 4, 100),
)


def case(
    operator: str,
    name: str,
    what: str,
    x: Any,
    table: Any = None,
    *,
    start: int | None = None,
    stop: int | None = None,
) -> Case:
    """A case of a decoder whose answer is exact."""
    found = decoded(x, ANSWERS[operator], start or 0, stop)
    origin = RATIONAL
    if table is not None:
        same(found, table, f"{operator}/{name}")
        origin = also(HAND, RATIONAL)
    return single(
        f"snn.{operator}",
        name,
        what,
        {"x": x},
        {"y": found},
        origin=origin,
        start=start,
        stop=stop,
    )


def spike_count_cases() -> Iterator[Case]:
    x = np.array([[[1, -1, 0, 1], [1, 0, 0, -1], [0, -1, 0, 1], [1, 1, 0, 0]]])
    yield case("SpikeCount", "signed", "Negative spikes count -1.", x, [[3, -1, 0, 1]])
    graded = np.array([[[0.25, -8.0, 0.0], [4.0, 0.5, 0.0], [0.0, -0.125, 0.0]]])
    yield case("SpikeCount", "graded", "A graded spike counts once.", graded, [[2, -1, 0]])


def final_cases() -> Iterator[Case]:
    x = np.array([[[1.0, -2.0], [0.5, 0.0], [-3.0, 8.0]]])
    yield case("FinalPotential", "last", "The value of the last step.", x, [[-3.0, 8.0]])


def sum_cases() -> Iterator[Case]:
    x = np.array([[[1.0, -2.0], [0.5, 0.0], [-3.0, 8.0]]])
    yield case("SumPotential", "sum", "The values add up, negative ones too.", x, [[-1.5, 6.0]])


def mean_cases() -> Iterator[Case]:
    x = np.array([[[1.0, -2.0], [0.5, 0.0], [-3.0, 8.0], [0.0, 1.0]]])
    yield case("MeanPotential", "mean", "The mean over all steps.", x, [[-0.375, 1.75]])
    x = np.array([[[3.0, 1.0], [1.5, 1.0], [0.0, 1.0], [7.0, 7.0], [7.0, 7.0]]])
    yield case(
        "MeanPotential",
        "window-of-three",
        "The sum is divided by the length of the window, not of the presentation.",
        x,
        [[1.5, 1.0]],
        stop=3,
    )


def max_cases() -> Iterator[Case]:
    x = np.array([[[-1.0, -2.0, 0.0], [-0.5, -4.0, -1.0], [-3.0, -8.0, -2.0]]])
    yield case("MaxPotential", "negative", "Negative maxima are not lost.", x, [[-0.5, -2.0, 0.0]])


def first_spike_cases() -> Iterator[Case]:
    x = np.zeros((1, 6, 5))
    x[0, 0, 0] = x[0, 3, 0] = 1
    x[0, 5, 1] = 1
    x[0, 2, 3] = -1
    x[0, 1, 4] = x[0, 4, 4] = 0.25
    yield case(
        "FirstSpikeTime",
        "first",
        "A spike in step 0 gives 0, in the last step n - 1, none gives n; any sign or size counts.",
        x,
        [[0, 5, 6, 2, 1]],
    )
    yield case(
        "FirstSpikeTime",
        "from-the-start-of-the-window",
        "Time counts from the start of the window; earlier spikes do not.",
        x,
        [[1, 3, 4, 0, 2]],
        start=2,
    )
    yield case(
        "FirstSpikeTime",
        "none-in-the-window",
        "Without a spike in the window the answer is its length.",
        x,
        [[0, 2, 2, 2, 1]],
        start=3,
        stop=5,
    )


# Exponentially weighted ----------------------------------------------------------------------


def weighted(x: Any, start: int, stop: int | None, constants: Any) -> Array:
    """Means weighted by exp(-t / time_constant), in decimal arithmetic."""
    given = np.asarray(x, np.float64)
    last = given.shape[1] if stop is None else min(stop, given.shape[1])
    count = last - start
    taus = np.asarray(count if constants is None else constants, np.float64)
    found = np.zeros((given.shape[0], *given.shape[2:]), np.float32)
    with localcontext() as context:
        context.prec = DIGITS
        for place in np.ndindex(found.shape):
            tau = Decimal(float(element(taus, place[1:])))
            answer = sum(
                (-Decimal(t) / tau).exp() * Decimal(float(given[(place[0], start + t, *place[1:])]))
                for t in range(count)
            ) / Decimal(count)
            found[place] = np.float32(float(answer))
    return found


def exponential_cases() -> Iterator[Case]:
    def weighted_case(
        name: str,
        what: str,
        x: Any,
        start: int | None = None,
        stop: int | None = None,
        time_constant: Any = None,
        tolerance: Tolerance = WEIGHTED,
    ) -> Case:
        return single(
            "snn.ExponentialPotential",
            name,
            what,
            {"x": x},
            {"y": weighted(x, start or 0, stop, time_constant)},
            origin=DECIMAL,
            tolerance=tolerance,
            start=start,
            stop=stop,
            time_constant=time_constant,
        )

    numbers = Numbers(31)
    x = numbers.grid((2, 6, 3))
    yield weighted_case(
        "default-time-constant",
        "Without a time constant it is the length of the window.",
        x,
    )
    yield weighted_case(
        "first-step-weighs-1",
        "The first step of the window has weight 1; the sum is divided by the window's length.",
        np.array([[[4.0], [0.0], [0.0], [0.0]]]),
        time_constant=2.0,
    )
    yield weighted_case(
        "per-neuron",
        "A time constant of each neuron.",
        x,
        time_constant=np.array([0.5, 2.0, 64.0]),
    )
    yield weighted_case("start", "Time counts from the start of the window.", x, 2, None, 2.0)
    yield weighted_case(
        "default-in-a-window",
        "The default time constant and the divisor are the window's length, cut at the end.",
        x,
        1,
        4,
    )
    yield weighted_case(
        "stop-beyond-the-end", "A stop beyond the presentation is its end.", x, 2, 9
    )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from spike_count_cases()
    yield from final_cases()
    yield from sum_cases()
    yield from mean_cases()
    yield from max_cases()
    yield from first_spike_cases()
    yield from exponential_cases()
    numbers = Numbers(32)
    spikes = numbers.spikes((2, 6, 2, 2), 3, True)
    potentials = numbers.grid((2, 6, 2, 2))
    for operator in ANSWERS:
        x = spikes if operator in ("SpikeCount", "FirstSpikeTime") else potentials
        for name, what, start, stop in WINDOWS:
            yield case(operator, name, what, x, start=start or None, stop=stop)
        yield case(
            operator,
            "samples-start-anew",
            "Every sample is decoded on its own.",
            np.concatenate([x[:1], 2 * x[1:], x[:1]])[:, :4],
        )
