"""Cases of the neurons and encoders that emit a few weighted spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from tests.conformance.cases import RATIONAL, Case, also, same, single
from tests.conformance.exact import Numbers, element, float32, fractions, zeros
from tests.conformance.scalar_neurons import FewSpikes

BINARY = [2.0 ** (1 - k) / 2 for k in range(4)]
"""1, 1/2, 1/4, 1/8: with it as threshold, reset and weight, a phase emits ReLU(x), quantised."""


def tables(arguments: dict[str, Any]) -> Callable[[tuple[int, ...]], FewSpikes]:
    """Makes the scalar neuron at an index."""
    arrays = {name: fractions(arguments[name]) for name in ("threshold", "reset", "weight")}
    bias = fractions(arguments.get("bias", 0))

    def make(index: tuple[int, ...]) -> FewSpikes:
        columns = {
            name: [element(np.asarray(row, object), index) for row in array]
            for name, array in arrays.items()
        }
        return FewSpikes(
            **columns, bias=element(bias, index), compare=arguments.get("compare", ">=")
        )

    return make


def few_spike(currents: Any, arguments: dict[str, Any]) -> Any:
    """Graded spikes of few-spike neurons."""
    given = fractions(currents)
    found = zeros(given.shape)
    make = tables(arguments)
    for sample in range(given.shape[0]):
        for index in np.ndindex(given.shape[2:]):
            neuron = make(index)
            for t in range(given.shape[1]):
                found[(sample, t, *index)] = neuron.step(t, given[(sample, t, *index)])
    return float32(found)


def few_spike_encoder(x: Any, steps: int, arguments: dict[str, Any]) -> Any:
    """Graded spikes of few-spike encoders."""
    given = fractions(x)
    found = zeros((given.shape[0], steps, *given.shape[1:]))
    make = tables(arguments)
    for place in np.ndindex(given.shape):
        emitted = make(place[1:]).of_value(given[place], steps)
        for t, spike in enumerate(emitted):
            found[(place[0], t, *place[1:])] = spike
    return float32(found)


def relu_code(x: float) -> list[float]:
    """ReLU(x) in four binary digits of 1/8, the largest first; clipped at 15/8."""
    digits = int(min(max(Fraction(x) * 8, 0), 15))
    return [BINARY[k] * (digits >> (3 - k) & 1) for k in range(4)]


def cases() -> Iterator[Case]:
    """All cases of this family."""
    op = "snn.FewSpike"
    relu: dict[str, Any] = {name: np.array(BINARY) for name in ("threshold", "reset", "weight")}

    def case(name: str, what: str, currents: Any, closed: Any = None, **arguments: Any) -> Case:
        found = few_spike(currents, arguments)
        origin = RATIONAL
        if closed is not None:
            same(found, closed, name)
            origin = also("closed form: binary digits of ReLU", RATIONAL)
        return single(
            op, name, what, {"current": currents}, {"spikes": found}, origin=origin, **arguments
        )

    values = [0.0, 0.125, 0.625, 1.0, 1.875, 2.5, -1.0, 0.1875]
    fed = np.zeros((1, 12, 8))
    for index, x in enumerate(values):
        fed[0, :4, index] = [x, 0, 0, 0]
        fed[0, 4:8, index] = [x / 4] * 4
    quiet = np.zeros((1, 4, 8))
    code = np.array([relu_code(x) for x in values]).T[None]
    yield case(
        "relu-code",
        "Input of one phase comes out in the next, as the binary digits of ReLU.",
        fed,
        np.concatenate([quiet, code, code], axis=1),
        **relu,
    )
    yield case(
        "above",
        "With '>' a potential equal to a threshold emits nothing in that step.",
        fed[:, :8],
        compare=">",
        **relu,
    )
    yield case(
        "bias",
        "The bias is added at the start of each phase, the first included.",
        np.zeros((1, 9, 3)),
        np.array([relu_code(x) for x in (0.625, 1.875, 0.0)]).T[None][
            :, [0, 1, 2, 3, 0, 1, 2, 3, 0]
        ],
        bias=np.array([0.625, 1.875, -0.5]),
        **relu,
    )
    yield case(
        "cut-off",
        "A presentation may end within a phase; what was collected is lost.",
        np.full((1, 6, 2), 0.25),
        **relu,
    )
    numbers = Numbers(5)
    yield case(
        "per-channel",
        "Tables of each channel, with resets and weights of their own.",
        numbers.grid((2, 7, 2, 2), 0, 8),
        threshold=np.array([[1.0, 0.5], [0.5, 0.25], [0.0, 0.0]]),
        reset=np.array([[1.0, 0.75], [0.25, 0.5], [0.5, 0.125]]),
        weight=np.array([[2.0, -1.0], [0.5, 0.25], [0.125, 4.0]]),
    )
    sample = numbers.grid((1, 6, 3), 0, 4)
    yield case(
        "samples-start-anew",
        "What the last phase collected does not reach the next sample.",
        np.concatenate([sample, sample]),
        **relu,
    )

    op = "snn.FewSpikeEncoder"

    def encoded(
        name: str, what: str, x: Any, steps: int, closed: Any = None, **arguments: Any
    ) -> Case:
        found = few_spike_encoder(x, steps, arguments)
        origin = RATIONAL
        if closed is not None:
            same(found, closed, name)
            origin = also("closed form: binary digits of ReLU", RATIONAL)
        return single(
            op, name, what, {"x": x}, {"spikes": found}, origin=origin, steps=steps, **arguments
        )

    yield encoded(
        "relu-code",
        "A value comes out in the same phase, as the binary digits of ReLU.",
        np.array([values]),
        8,
        np.concatenate([code, code], axis=1),
        **relu,
    )
    yield encoded(
        "above",
        "With '>' a value equal to a threshold emits nothing in that step.",
        np.array([values]),
        4,
        compare=">",
        **relu,
    )
    yield encoded(
        "cut-off",
        "A presentation may be shorter than a phase.",
        np.array([[1.875], [0.625]]),
        3,
        np.array([[1.0, 0.5, 0.25], [0.0, 0.5, 0.0]])[:, :, None],
        **relu,
    )
    yield encoded(
        "per-neuron",
        "Tables of each neuron; K of 1.",
        numbers.grid((2, 2, 2), 0, 8),
        3,
        threshold=np.array([[[0.5, 1.0], [1.5, 2.0]]]),
        reset=np.array([[[0.5, 1.0], [1.5, 2.0]]]),
        weight=np.array([[[1.0, -1.0], [0.5, 2.0]]]),
    )
