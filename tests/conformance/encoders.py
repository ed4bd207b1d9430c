"""Cases of the encoders."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from tests.conformance.cases import HAND, RATIONAL, Case, also, same, single
from tests.conformance.exact import MASK, Array, Numbers, element, exact, fractions, mix
from tests.conformance.neurons import trains
from tests.conformance.scalar_neurons import Neuron, split

GOLDEN = 0x9E3779B97F4A7C15

PUBLISHED = {
    1234567: [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
}
"""The first outputs of SplitMix64 for a seed, as its published implementations give them."""

for _seed, _outputs in PUBLISHED.items():
    same(
        [float(mix((_seed + (n + 1) * GOLDEN) & MASK)) for n in range(len(_outputs))],
        [float(output) for output in _outputs],
        "SplitMix64",
    )


def constant_cases() -> Iterator[Case]:
    op = "snn.ConstantCurrent"
    x = np.array([[0.5, -2.0, 0.0], [1.0, 3.0, 0.25]])
    yield single(
        op,
        "every-step",
        "The value is the current of every step.",
        {"x": x},
        {"current": np.repeat(x[:, None], 4, axis=1)},
        origin=HAND,
        steps=4,
    )
    yield single(
        op,
        "one-step",
        "A value without axes, for one step.",
        {"x": np.array([-0.75, 8.0])},
        {"current": np.array([[-0.75], [8.0]])},
        origin=HAND,
        steps=1,
    )


# Poisson -------------------------------------------------------------------------------------


def poisson(x: Any, steps: int, gain: Any = 1.0, seed: int = 0, signed: bool = False) -> Array:
    """Spikes by SplitMix64 in Python's integers."""
    given, factors = fractions(x), fractions(gain)
    shape = given.shape[1:]
    count = int(np.prod(shape, dtype=int))
    found = np.zeros((given.shape[0], steps, *shape))
    for t in range(steps):
        for i, index in enumerate(np.ndindex(shape)):
            bits = mix((mix(seed) + (t * count + i + 1) * GOLDEN) & MASK)
            drawn = Fraction(bits >> 40, 1 << 24)
            for sample in range(given.shape[0]):
                p = exact(given[(sample, *index)] * element(factors, index))
                if drawn < (abs(p) if signed else p):
                    found[(sample, t, *index)] = -1 if p < 0 else 1
    return found


def poisson_cases() -> Iterator[Case]:
    op = "snn.PoissonEncoder"
    origin = "SplitMix64 and the comparison in Python's integers and rational numbers"

    def case(name: str, what: str, x: Any, steps: int, **arguments: Any) -> Case:
        return single(
            op,
            name,
            what,
            {"x": x},
            {"spikes": poisson(x, steps, **arguments)},
            origin=origin,
            steps=steps,
            **arguments,
        )

    values = np.array([[0.0, 0.125, 0.25, 0.5, 0.75, 0.875, 1.0]])
    yield case("seed-zero", "The default seed, 0.", values, 16)
    yield case("seed", "Another seed draws other numbers.", values, 16, seed=1234567)
    yield case("largest-seed", "The largest seed.", values, 8, seed=2**63 - 1)
    yield case(
        "outside-of-0-to-1",
        "A value of 1 or more always fires, one of 0 or less never.",
        np.array([[1.0, 1.5, 100.0, 0.0, -0.5, -1.0]]),
        8,
    )
    yield case(
        "signed",
        "With signs a negative value fires -1 with the probability of its size.",
        np.array([[-0.25, -0.5, -1.0, -2.0, 0.0, 0.5, 1.0]]),
        16,
        signed=True,
        seed=3,
    )
    yield case(
        "gain",
        "The gain comes first; a negative one turns the sign.",
        np.array([[0.25, 0.5, -0.5, 2.0]]),
        12,
        gain=np.array([2.0, 0.5, -1.0, 0.25]),
        seed=4,
    )
    image = Numbers(21).grid((2, 2, 3, 2), 0, 16, 16)
    yield case(
        "image",
        "Numbers are drawn in C order of the features, channels last.",
        image,
        5,
        seed=5,
    )
    yield case(
        "samples-draw-the-same",
        "The numbers do not depend on a sample's place in the batch.",
        np.concatenate([image[:1], image[:1] * 0.5, image[:1]]),
        4,
        seed=6,
    )


# Latency -------------------------------------------------------------------------------------


def latency(x: Any, steps: int, window_steps: int, minimum: Any = 0.0) -> Array:
    """The only spike of each value."""
    given, least = fractions(x), fractions(minimum)
    found = np.zeros((given.shape[0], steps, *given.shape[1:]))
    for place in np.ndindex(given.shape):
        value = given[place]
        wait = (1 - min(max(value, Fraction(0)), Fraction(1))) * (window_steps - 1)
        due = round(wait)  # of a Fraction: halves to the even integer
        if value > 0 and value >= element(least, place[1:]) and due < steps:
            found[(place[0], due, *place[1:])] = 1
    return found


def latency_cases() -> Iterator[Case]:
    op = "snn.LatencyEncoder"

    def case(name: str, what: str, x: Any, steps: int, table: Any = None, **arguments: Any) -> Case:
        found = latency(x, steps, **arguments)
        origin = RATIONAL
        if table is not None:
            same(found, table, name)
            origin = also(HAND, RATIONAL)
        return single(
            op,
            name,
            what,
            {"x": x},
            {"spikes": found},
            origin=origin,
            steps=steps,
            **arguments,
        )

    yield case(
        "ends-and-halves",
        "1 fires in step 0, 0 never, just above 0 last; halves round to the even step.",
        np.array([[1.0, 0.0, 2.0**-20, 0.875, 0.625, 0.375, 0.125, 0.5, 0.75]]),
        6,
        trains(6, [0], [], [4], [0], [2], [2], [4], [2], [1]),
        window_steps=5,
    )
    yield case(
        "outside-of-0-to-1",
        "Values above 1 fire in step 0, negative ones never.",
        np.array([[1.5, -0.5, -1.0, 1000.0]]),
        4,
        trains(4, [0], [], [], [0]),
        window_steps=4,
    )
    yield case(
        "minimum",
        "A value equal to the minimum fires, a smaller one does not.",
        np.array([[0.5, 0.25, 0.125, 1.0]]),
        5,
        trains(5, [2], [3], [], [0]),
        window_steps=5,
        minimum=np.array([0.5, 0.25, 0.25, 1.0]),
    )
    yield case(
        "window-of-one",
        "In a window of one step whatever fires does so in step 0.",
        np.array([[0.125, 0.0, 1.0]]),
        3,
        trains(3, [0], [], [0]),
        window_steps=1,
    )
    yield case(
        "cut-off",
        "Spikes due after the end of the presentation are lost.",
        np.array([[1.0, 0.75, 0.5, 0.25]]),
        3,
        trains(3, [0], [2], [], []),
        window_steps=9,
    )
    yield case(
        "image",
        "A batch of images, in a presentation longer than the window.",
        Numbers(22).grid((3, 2, 3, 2), -2, 18, 16),
        10,
        window_steps=8,
    )


# Rate ----------------------------------------------------------------------------------------


def rate(x: Any, steps: int, arguments: dict[str, Any]) -> tuple[Array, Array]:
    """Spikes and potentials of IF neurons fed with the value."""
    settings, quantities = split(arguments)
    given = fractions(x)
    spikes = np.zeros((given.shape[0], steps, *given.shape[1:]))
    potentials = np.zeros(spikes.shape)
    for place in np.ndindex(given.shape):
        own = {name: element(array, place[1:]) for name, array in quantities.items()}
        neuron = Neuron("IF", settings, own)
        for t in range(steps):
            where = (place[0], t, *place[1:])
            spikes[where] = neuron.step(given[place])
            potentials[where] = neuron.v
    return spikes, potentials


def rate_cases() -> Iterator[Case]:
    op = "snn.RateEncoder"

    def case(
        name: str,
        what: str,
        x: Any,
        steps: int,
        table: Any = None,
        *,
        state: bool = False,
        **arguments: Any,
    ) -> Case:
        spikes, potentials = rate(x, steps, arguments)
        origin = RATIONAL
        if table is not None:
            same(spikes, table, name)
            origin = also(HAND, RATIONAL)
        return single(
            op,
            name,
            what,
            {"x": x},
            {"spikes": spikes, **({"v": potentials} if state else {})},
            origin=origin,
            steps=steps,
            **arguments,
        )

    values = np.array([[0.25, 0.5, 1.0, 0.0, -1.0, 0.75]])
    yield case(
        "at-least",
        "Regular spikes at the rate of the value; negative values stay silent.",
        values,
        8,
        trains(8, [3, 7], [1, 3, 5, 7], range(8), [], [], [1, 2, 3, 5, 6, 7]),
    )
    yield case(
        "above",
        "With '>' a potential equal to the threshold waits for the next step.",
        values,
        8,
        trains(8, [4], [2, 4, 6], range(1, 8), [], [], [1, 2, 4, 5, 6]),
        compare=">",
    )
    yield case(
        "threshold-and-gain",
        "Threshold, gain and initial potential of each element.",
        values,
        7,
        state=True,
        threshold=np.array([0.5, 2.0, 1.5, 1.0, 1.0, 0.25]),
        gain=np.array([0.5, 2.0, 1.0, 1.0, -0.5, 0.5]),
        initial_potential=np.array([0.25, 1.0, 0.5, 1.0, 0.5, 0.0]),
    )
    yield case(
        "reset-to-value",
        "Reset to a value discards the excess.",
        values * 1.5,
        9,
        state=True,
        reset="to_value",
        reset_potential=np.array([-0.25, 0.0, 0.5, -1.0, -2.0, 0.25]),
    )
    yield case(
        "reset-none",
        "Without a reset an element that has reached the threshold fires in every step.",
        values,
        5,
        trains(5, [3, 4], [1, 2, 3, 4], range(5), [], [], [1, 2, 3, 4]),
        reset="none",
    )
    image = Numbers(23).grid((1, 2, 2, 2), 0, 8, 8)
    yield case(
        "samples-start-anew",
        "The potential starts anew with every sample.",
        np.concatenate([image, image / 2, image]),
        5,
        initial_potential=0.5,
    )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from constant_cases()
    yield from poisson_cases()
    yield from latency_cases()
    yield from rate_cases()
