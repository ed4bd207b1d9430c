"""Cases of the synapses: time courses, delays, sparse connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tests.conformance.cases import HAND, RATIONAL, Case, also, same, single
from tests.conformance.exact import Array, Numbers, element, exact, float32, fractions, total, zeros


def exponential(given: Sequence[Array], decay: Any) -> Array:
    """Currents of exponential synapses."""
    arrays = [fractions(array) for array in given]
    rates, shape = fractions(decay), arrays[0].shape
    found = zeros(shape)
    for sample in range(shape[0]):
        for index in np.ndindex(shape[2:]):
            left = Fraction(0)
            for t in range(shape[1]):
                place = (sample, t, *index)
                current = total([left, *(array[place] for array in arrays)])
                found[place] = current
                left = exact(element(rates, index) * current)
    return found


def exponential_cases() -> Iterator[Case]:
    op = "snn.ExponentialSynapse"

    def case(name: str, what: str, x: Any, decay: Any, closed: Any = None) -> Case:
        found = exponential(x if isinstance(x, list) else [x], decay)
        origin = RATIONAL
        if closed is not None:
            same(found, closed, name)
            origin = also("closed form", RATIONAL)
        return single(
            op, name, what, {"x": x}, {"current": float32(found)}, origin=origin, decay=decay
        )

    impulse = np.zeros((1, 8, 2))
    impulse[0, 1, 0], impulse[0, 2, 1] = 1, -3
    powers = np.zeros((1, 8, 2))
    powers[0, 1:, 0] = 0.5 ** np.arange(7)
    powers[0, 2:, 1] = -3 * 0.25 ** np.arange(6)
    yield case(
        "impulse",
        "An input is in the current of its own step, undecayed, and decays from the next on.",
        impulse,
        np.array([0.5, 0.25]),
        powers,
    )
    constant = np.ones((1, 8, 1))
    yield case(
        "constant",
        "Constant input 1 gives (1 - decay**(t + 1)) / (1 - decay).",
        constant,
        0.5,
        2 * (1 - 0.5 ** np.arange(1, 9))[None, :, None],
    )
    yield case("decay-zero", "With a decay of 0 the current is the input.", impulse, 0.0, impulse)
    yield case(
        "decay-one",
        "With a decay of 1 the current never falls.",
        constant,
        1.0,
        np.arange(1, 9)[None, :, None],
    )
    numbers = Numbers(11)
    yield case(
        "several-inputs",
        "Several edges add up; decay of each target.",
        [numbers.spikes((2, 6, 2, 3), 2, True), numbers.grid((2, 6, 2, 3))],
        np.array([[0.5, 0.75, 0.0], [1.0, 0.25, 0.5]]),
    )
    sample = numbers.spikes((1, 5, 3), 2)
    yield case(
        "samples-start-anew",
        "The current left over at the end of a sample does not reach the next.",
        np.concatenate([sample, sample, sample]),
        0.5,
    )


# Delays --------------------------------------------------------------------------------------


def delayed(x: Any, delays: Any) -> Array:
    """Each element of ``delays`` steps ago."""
    given, found = np.asarray(x), np.zeros(np.shape(x))
    steps = np.asarray(delays)
    for place in np.ndindex(given.shape):
        t = place[1] - int(element(steps, place[2:]))
        if t >= 0:
            found[place] = given[(place[0], t, *place[2:])]
    return found


def delay_cases() -> Iterator[Case]:
    op = "snn.Delay"

    def case(name: str, what: str, x: Any, delays: Any, table: Any = None) -> Case:
        found = delayed(x, delays)
        origin = RATIONAL
        if table is not None:
            same(found, table, name)
            origin = also(HAND, RATIONAL)
        return single(op, name, what, {"x": x}, {"y": found}, origin=origin, delay_steps=delays)

    counting = np.arange(1.0, 7.0)[None, :, None] * np.array([1.0, 10.0, -1.0])
    yield case("zero", "A delay of 0 is the identity.", counting, 0, counting)
    yield case(
        "scalar",
        "One delay for all; 0 before there is an input.",
        counting[:, :, :1],
        2,
        np.array([[[0], [0], [1], [2], [3], [4]]]),
    )
    yield case(
        "per-element",
        "Elements with delays of their own, one of them 0, one as long as the presentation.",
        counting,
        np.array([1, 0, 6], np.int32),
        np.array([[[0, 10, 0], [1, 20, 0], [2, 30, 0], [3, 40, 0], [4, 50, 0], [5, 60, 0]]]),
    )
    yield case(
        "longer-than-the-presentation",
        "What would arrive after the end is lost.",
        counting,
        np.array([5, 7, 1000], np.int32),
        np.array([[[0, 0, 0]] * 5 + [[1, 0, 0]]]),
    )
    numbers = Numbers(12)
    images = numbers.grid((2, 7, 2, 3))
    yield case("per-channel", "A delay for each channel.", images, np.array([3, 0, 1], np.int64))
    yield case(
        "per-neuron",
        "A delay for each neuron, as int16.",
        images,
        np.array([[2, 0, 5], [1, 4, 3]], np.int16),
    )
    yield case(
        "small-integers",
        "Delays stored as uint8: step minus delay must not wrap at 256.",
        numbers.grid((1, 9, 4)),
        np.array([6, 0, 1, 5], np.uint8),
    )
    long = np.zeros((1, 270, 2))
    long[0, [0, 120, 130, 250, 265], 0] = [1, 2, 3, 4, 5]
    long[0, [3, 127, 128, 260], 1] = [1, 2, 3, 4]
    yield case(
        "more-steps-than-the-integer-type-counts",
        "Delays stored as int8, in a presentation of more than 127 and 255 steps.",
        long,
        np.array([4, 127], np.int8),
    )
    sample = numbers.spikes((1, 5, 3), 2, True)
    yield case(
        "samples-start-anew",
        "What is in flight at the end of a sample does not arrive in the next.",
        np.concatenate([sample, sample, sample]),
        3,
    )


# Weighted connections ------------------------------------------------------------------------


Synapse = tuple[int, int, Fraction, int]
"""Input, output, weight, delay."""


def connected(x: Any, synapses: Sequence[Synapse], outputs: int, bias: Any = None) -> Array:
    """Sums over synapses, one at a time."""
    given = fractions(x)
    samples, steps = given.shape[:2]
    offsets = None if bias is None else fractions(bias)
    found = zeros((samples, steps, outputs))
    for sample, t, j in np.ndindex(found.shape):
        arriving = total(
            weight * given[sample, t - delay, i]
            for i, target, weight, delay in synapses
            if target == j and t >= delay
        )
        found[sample, t, j] = arriving if offsets is None else exact(arriving + offsets[j])
    return found


def dense(weight: Array, delays: Array) -> list[Synapse]:
    """The synapses of a matrix."""
    return [
        (i, j, Fraction(float(weight[i, j])), int(delays[i, j]))
        for i, j in np.ndindex(weight.shape)
    ]


def delayed_dense_cases() -> Iterator[Case]:
    op = "snn.DelayedDense"

    def case(name: str, what: str, x: Any, weight: Array, delays: Array, bias: Any = None) -> Case:
        found = connected(x, dense(weight, delays), weight.shape[1], bias)
        return single(
            op,
            name,
            what,
            {"x": x},
            {"y": float32(found)},
            origin=RATIONAL,
            weight=weight,
            delay_steps=delays,
            bias=bias,
        )

    numbers = Numbers(13)

    def delays(shape: tuple[int, int], longest: int, dtype: Any = np.int32) -> Array:
        return (numbers.grid(shape, 0, longest, 1)).astype(dtype)

    weight = numbers.grid((3, 4))
    yield case(
        "per-synapse",
        "Every synapse has its own delay; the bias is there from step 0.",
        numbers.spikes((2, 8, 3), 2, True),
        weight,
        delays((3, 4), 3),
        np.array([0.25, 0.0, -0.5, 1.0]),
    )
    yield case(
        "no-delay",
        "With delays of 0 it is Dense.",
        numbers.grid((2, 3, 3)),
        weight,
        np.zeros((3, 4), np.int32),
    )
    yield case(
        "longer-than-the-presentation",
        "Synapses whose delay exceeds the presentation deliver nothing.",
        numbers.spikes((1, 5, 3), 2),
        weight,
        np.array([[0, 4, 5, 6], [9, 1, 100, 2], [3, 3, 4, 5]], np.int32),
    )
    yield case(
        "small-integers",
        "Delays stored as uint8: step minus delay must not wrap at 256.",
        numbers.spikes((1, 9, 2), 2),
        numbers.grid((2, 3)),
        np.array([[6, 0, 1], [4, 5, 2]], np.uint8),
    )
    sample = numbers.spikes((1, 4, 3), 2)
    yield case(
        "samples-start-anew",
        "What is in flight at the end of a sample does not arrive in the next.",
        np.concatenate([sample, sample]),
        weight,
        delays((3, 4), 3),
    )


def sparse_cases() -> Iterator[Case]:
    op = "snn.Sparse"

    def case(
        name: str,
        what: str,
        x: Any,
        synapses: Sequence[Synapse],
        outputs: int,
        bias: Any = None,
        *,
        delays: Any = None,
        index_type: Any = np.int32,
    ) -> Case:
        found = connected(x, synapses, outputs, bias)
        counts = [sum(i == row for i, *_ in synapses) for row in range(np.shape(x)[2])]
        return single(
            op,
            name,
            what,
            {"x": x},
            {"y": float32(found)},
            origin=RATIONAL,
            outputs=outputs,
            weight=np.array([float(weight) for _, _, weight, _ in synapses]),
            indices=np.array([j for _, j, _, _ in synapses], index_type),
            row_starts=np.concatenate([[0], np.cumsum(counts)]).astype(index_type),
            delay_steps=None if delays is None else np.array([d for *_, d in synapses], delays),
            bias=bias,
        )

    numbers = Numbers(14)
    quarter = Fraction(1, 4)
    some: list[Synapse] = [
        (0, 3, 3 * quarter, 0),
        (0, 1, -quarter, 2),
        (2, 0, 2 * quarter, 1),
        (2, 3, 5 * quarter, 5),
        (2, 1, 7 * quarter, 0),
        (3, 3, -3 * quarter, 3),
    ]
    undelayed = [(i, j, weight, 0) for i, j, weight, _ in some]
    yield case(
        "no-delay",
        "Rows without a synapse, outputs in any order, and an output without a synapse.",
        numbers.grid((2, 3, 4)),
        undelayed,
        5,
        np.array([0.25, -0.5, 0.0, 1.0, 2.0]),
    )
    yield case(
        "delays",
        "Synapses with delays of their own.",
        numbers.spikes((2, 9, 4), 2, True),
        some,
        4,
        delays=np.int32,
    )
    yield case(
        "parallel-synapses",
        "Synapses that share input and output add up, each with its own delay.",
        numbers.spikes((1, 7, 2), 2),
        [(0, 0, quarter, 0), (0, 0, 2 * quarter, 0), (0, 0, 4 * quarter, 3), (1, 0, quarter, 1)],
        1,
        delays=np.int64,
    )
    yield case(
        "no-synapse",
        "Without a synapse the output is the bias.",
        numbers.grid((2, 2, 3)),
        [],
        2,
        np.array([0.5, -1.0]),
        delays=np.int32,
    )
    yield case(
        "small-integers",
        "Delays, outputs and rows stored as uint8: step minus delay must not wrap at 256.",
        numbers.spikes((1, 9, 4), 2),
        [(i, j, weight, delay + 1) for i, j, weight, delay in some],
        4,
        delays=np.uint8,
        index_type=np.uint8,
    )
    yield case(
        "longer-than-the-presentation",
        "Synapses whose delay exceeds the presentation deliver nothing.",
        numbers.spikes((1, 4, 4), 2),
        [(i, j, weight, delay * 7) for i, j, weight, delay in some],
        4,
        np.array([0.5, 0.5, 0.5, 0.5]),
        delays=np.int16,
    )
    sample = numbers.spikes((1, 5, 4), 2)
    yield case(
        "samples-start-anew",
        "What is in flight at the end of a sample does not arrive in the next.",
        np.concatenate([sample, sample]),
        some,
        4,
        delays=np.int32,
    )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from exponential_cases()
    yield from delay_cases()
    yield from delayed_dense_cases()
    yield from sparse_cases()
