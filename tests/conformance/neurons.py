"""Cases of the spiking neurons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tests.conformance.cases import HAND, RATIONAL, Case, also, same, single
from tests.conformance.exact import Numbers, float32
from tests.conformance.scalar_neurons import integrator, population

CLOSED = "closed form"


def firing(
    op: str,
    name: str,
    what: str,
    currents: Any,
    *,
    spikes: Any = None,
    v: Any = None,
    states: Sequence[str] = (),
    closed: str = "",
    **arguments: Any,
) -> Case:
    """A case of IF, LIF or ALIF.

    Args:
        op: The operator.
        name: Name of the case.
        what: What it pins down.
        currents: An array ``(samples, steps, *features)``, or a list of them that add up.
        spikes: What must come out, worked out by hand or in closed form, if it was.
        v: The potentials worked out by hand, if they were.
        states: States to store.
        closed: The closed form that ``spikes`` are of; empty if by hand.
        arguments: Attributes and parameters.
    """
    several = currents if isinstance(currents, list) else [currents]
    found = population(op.rpartition(".")[2], several, arguments)
    origin = RATIONAL
    if spikes is not None:
        same(found["spikes"], spikes, f"{op}/{name}")
        origin = also(f"{CLOSED}: {closed}" if closed else HAND, RATIONAL)
    if v is not None:
        same(found["v"], v, f"{op}/{name}, potential")
    expected = {"spikes": float32(found["spikes"])}
    for state in states:
        values = found[state]
        expected[state] = values if state == "refractory" else float32(values)
    return single(op, name, what, {"current": currents}, expected, origin=origin, **arguments)


def steps_of(*neurons: Sequence[float]) -> np.ndarray[Any, Any]:
    """One sample: a sequence over time for each neuron."""
    return np.array(neurons, np.float64).T[None]


def trains(steps: int, *neurons: Sequence[int]) -> np.ndarray[Any, Any]:
    """One sample of spikes: the steps in which each neuron fires, negative ones as ``~t``."""
    found = np.zeros((1, steps, len(neurons)))
    for index, times in enumerate(neurons):
        for t in times:
            found[0, t if t >= 0 else ~t, index] = 1 if t >= 0 else -1
    return found


def constant(steps: int, *values: float) -> np.ndarray[Any, Any]:
    """One sample of constant currents."""
    return np.broadcast_to(np.array(values, np.float64), (1, steps, len(values)))


RAMP = constant(8, 0.25, 0.5, 1.0, 0.0)


SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("subtract", {}),
    ("subtract-above", {"compare": ">", "refractory_steps": 1}),
    ("subtract-integrate", {"refractory_steps": 2, "refractory_mode": "integrate"}),
    ("subtract-corrective", {"negative_spikes": "corrective"}),
    ("to-value", {"reset": "to_value", "refractory_steps": 1}),
    ("to-value-corrective", {"reset": "to_value", "negative_spikes": "corrective", "compare": ">"}),
    ("none", {"reset": "none", "refractory_steps": 1, "refractory_mode": "integrate"}),
)
"""Combinations of settings, for neurons of which each has parameters of its own."""


def combined_cases(kind: str, seed: int) -> Iterator[Case]:
    numbers = Numbers(seed)
    for name, settings in SETTINGS:
        arguments: dict[str, Any] = {
            **settings,
            "threshold": numbers.grid((2, 3), 4, 10),
            "reset_potential": numbers.grid((2, 3), -3, 3),
            "initial_potential": numbers.grid((2, 3), -6, 6),
            "bias": numbers.grid((2, 3), -2, 3),
            "gain": numbers.grid((2, 3), 1, 4, 2),
            "lower_bound": numbers.grid((2, 3), -14, -6),
            "negative_threshold": numbers.grid((2, 3), 1, 6),
        }
        if kind != "IF":
            arguments["decay"] = numbers.grid((2, 3), 0, 2, 2)
        if kind == "ALIF":
            arguments["adaptation_decay"] = numbers.grid((2, 3), 0, 2, 2)
            arguments["adaptation_strength"] = numbers.grid((2, 3), 1, 4)
        yield firing(
            f"snn.{kind}",
            f"combined-{name}",
            "Every parameter is another for each neuron.",
            numbers.grid((2, 10, 2, 3), -8, 10),
            states=["v"],
            **arguments,
        )


def if_cases() -> Iterator[Case]:
    case = partial(firing, "snn.IF")
    yield case(
        "threshold-hit-at-least",
        "With '>=' a potential equal to the threshold spikes, in the same step.",
        RAMP,
        spikes=trains(8, [3, 7], [1, 3, 5, 7], range(8), []),
    )
    yield case(
        "threshold-hit-above",
        "With '>' a potential equal to the threshold does not spike.",
        RAMP,
        compare=">",
        spikes=trains(8, [4], [2, 4, 6], range(1, 8), []),
    )
    yield case(
        "reset-subtract",
        "Reset by subtraction keeps the excess: threshold - reset_potential is subtracted.",
        steps_of([0.75] * 6, [2.5, 0, 0, 0, 0, 0], [0.75] * 6),
        reset_potential=np.array([0.0, 0.0, -0.5]),
        spikes=trains(6, [1, 2, 3, 5], [0, 1], [1, 3, 5]),
        v=steps_of(
            [0.75, 0.5, 0.25, 0.0, 0.75, 0.5],
            [1.5, 0.5, 0.5, 0.5, 0.5, 0.5],
            [0.75, 0.0, 0.75, 0.0, 0.75, 0.0],
        ),
        states=["v"],
    )
    yield case(
        "reset-to-value",
        "Reset to a value discards the excess.",
        steps_of([0.75] * 6, [2.5, 0, 0, 0, 0, 0], [0.75] * 6),
        reset="to_value",
        reset_potential=np.array([0.0, 0.25, -0.5]),
        spikes=trains(6, [1, 3, 5], [0], [1, 3, 5]),
        v=steps_of(
            [0.75, 0.0, 0.75, 0.0, 0.75, 0.0],
            [0.25] * 6,
            [0.75, -0.5, 0.25, -0.5, 0.25, -0.5],
        ),
        states=["v"],
    )
    yield case(
        "reset-none",
        "Without a reset a neuron above its threshold fires in every step.",
        steps_of([0.5, 0.5, 0, 0, 0, -0.25, 0, 0.25]),
        reset="none",
        spikes=trains(8, [1, 2, 3, 4, 7]),
        v=steps_of([0.5, 1, 1, 1, 1, 0.75, 0.75, 1]),
        states=["v"],
    )
    yield case(
        "reset-none-threshold-zero",
        "A threshold of 0 is reached by a potential of 0 with '>=', without any input.",
        steps_of([0, 0, -0.5, 0, 0.5]),
        reset="none",
        threshold=0.0,
        spikes=trains(5, [0, 1, 4]),
    )
    yield case(
        "refractory-hold",
        "Refractory for 2 steps: the interval is 3, and input is lost meanwhile.",
        constant(13, 1.0, 0.5, 0.75),
        refractory_steps=2,
        spikes=trains(13, [0, 3, 6, 9, 12], [1, 5, 9], [1, 4, 7, 11]),
        states=["v", "refractory"],
    )
    yield case(
        "refractory-integrate",
        "Refractory for 2 steps with integration: the interval is 3, and input is kept.",
        constant(13, 1.0, 0.5, 0.25),
        refractory_steps=2,
        refractory_mode="integrate",
        spikes=trains(13, [0, 3, 6, 9, 12], [1, 4, 7, 10], [3, 7, 11]),
        states=["v", "refractory"],
    )
    for count in (1, 5, 40):
        times = range(0, 16, count + 1)
        yield case(
            f"refractory-{count}",
            "The interval between spikes is refractory_steps + 1.",
            constant(16, 1.0),
            refractory_steps=count,
            spikes=trains(16, times),
            closed="spikes at multiples of refractory_steps + 1",
        )
    yield case(
        "lower-bound",
        "The bound holds after integration and before the comparison; nothing below is stored.",
        steps_of([-2, 0.5, 0.5, 0.5, -4, 1.75, 1.5, 0.25]),
        lower_bound=-0.5,
        spikes=trains(8, [3, 5, 6, 7]),
        v=steps_of([-0.5, 0, 0.5, 0, -0.5, 0.25, 0.75, 0]),
        states=["v"],
    )
    yield case(
        "negative-at-least",
        "With '>=' a potential below minus the negative threshold emits -1 and rises by it; one "
        "equal to it does not.",
        steps_of([-0.5, -0.5, 0, -2, 0, 0, 1, 1], [0.5] * 8),
        negative_threshold=1.0,
        spikes=trains(8, [~3, ~4, 7], [1, 3, 5, 7]),
        states=["v"],
    )
    yield case(
        "negative-above",
        "With '>' a potential equal to minus the negative threshold emits -1, too.",
        steps_of([-0.5, -0.5, -0.5, 0, -2, 0, 0, 2.5], [-1.0] * 8),
        compare=">",
        negative_threshold=np.array([1.0, 0.5]),
        threshold=np.array([1.0, 4.0]),
        spikes=trains(8, [~1, ~4, ~5, 7], [~t for t in range(8)]),
        states=["v"],
    )
    yield case(
        "corrective",
        "A corrective spike takes back an earlier spike: there are never more of them.",
        steps_of([-0.5, 2, -0.75, -1, -1, 0], [1, 1, -1, -1, -1, 3], [1, 0, 0, 0, 0, 0]),
        negative_threshold=0.0,
        negative_spikes="corrective",
        spikes=trains(6, [1, ~2], [0, 1, ~2, ~3, 5], [0]),
        states=["v", "emitted"],
    )
    yield case(
        "corrective-above",
        "With '>' a potential equal to minus the negative threshold takes a spike back.",
        steps_of([-0.5, 2, -0.75, -1, -1, 0], [1.5, 1, -1.5, -1, -1, 3], [2, -1, 0, 0, 0, 0]),
        compare=">",
        negative_threshold=0.0,
        negative_spikes="corrective",
        states=["v", "emitted"],
    )
    yield case(
        "corrective-worth",
        "A corrective spike is worth the threshold, whatever the negative threshold is.",
        steps_of([4, -2, -1, -1, -4, 0], [3, 0, -3, -3, 0, 8]),
        threshold=np.array([2.0, 1.5]),
        negative_threshold=np.array([0.5, 1.25]),
        negative_spikes="corrective",
        reset_potential=0.25,
        states=["v"],
    )
    yield case(
        "corrective-refractory",
        "Corrective spikes start the refractory time, and are suppressed in it.",
        steps_of([3, -4, -4, -1, -1, 9, 9], [1, 0, 1, -1, -1, -1, -1]),
        negative_threshold=0.5,
        negative_spikes="corrective",
        refractory_steps=1,
        refractory_mode="integrate",
        states=["v", "emitted"],
    )
    sample = Numbers(7).grid((1, 8, 4), -8, 12)
    yield case(
        "corrective-samples-start-anew",
        "A spike of one sample cannot be taken back in the next.",
        np.concatenate([sample, -sample, -sample]),
        negative_threshold=0.25,
        negative_spikes="corrective",
    )
    yield case(
        "negative-to-value",
        "A negative spike resets to the same value as a positive one.",
        steps_of([-3, 0.5, 0.75, -2, 1, 1], [3, -1, -1, 0.5, 0.5, -2]),
        reset="to_value",
        reset_potential=0.25,
        negative_threshold=0.75,
        states=["v"],
    )
    yield case(
        "negative-subtract-reset-potential",
        "A negative spike adds negative_threshold - reset_potential.",
        steps_of([-3, 0, 0, 0, 0, 3], [-1.5, 2, -2, 1, -0.5, -0.25]),
        reset_potential=0.25,
        negative_threshold=0.75,
        threshold=1.5,
        states=["v"],
    )
    yield case(
        "negative-refractory",
        "Negative spikes start the refractory time, and are suppressed in it.",
        steps_of([-1, -1, -1, 1, 1, 1, -3, -3], [1, -2, -2, -2, -2, 0, 0, 0]),
        refractory_steps=1,
        negative_threshold=1.0,
        refractory_mode="integrate",
        states=["v", "refractory"],
    )
    yield case(
        "positive-wins",
        "Where a potential satisfies both conditions the spike is positive.",
        steps_of([-1.5, 0, 0, 1]),
        threshold=-2.0,
        reset_potential=-3.0,
        negative_threshold=1.0,
        states=["v"],
    )
    numbers = Numbers(1)
    currents = numbers.grid((2, 7, 2, 3))
    yield case(
        "per-channel-threshold",
        "A parameter with one axis belongs to the last feature axis.",
        currents,
        threshold=np.array([0.5, 1.0, 2.25]),
    )
    yield case(
        "per-neuron",
        "Threshold and initial potential of each neuron, bias of each row, gain of each column.",
        currents,
        threshold=np.array([[0.5, 1.0, 2.25], [0.75, 1.5, 3.0]]),
        initial_potential=np.array([[0.5, 0.75, 0.0], [-1.0, 1.0, 2.75]]),
        bias=np.array([[0.25], [-0.125]]),
        gain=np.array([[1.0, 0.5, 2.0]]),
    )
    yield case(
        "initial-potential",
        "The first step integrates onto the initial potential; it is not compared by itself.",
        steps_of([0, 0, 0, 0.5], [0.25, 0.25, 0.25, 0.25], [-1.5, 0, 0, 1.5]),
        initial_potential=np.array([1.0, 0.5, 1.5]),
        spikes=trains(4, [0], [1], [3]),
        states=["v"],
    )
    yield case(
        "gain-and-bias",
        "The gain scales the sum of the currents, the bias is added unscaled.",
        [steps_of([1, 1, 1, 1, 1, 1]), steps_of([0, 2, -1, 1, 0, 0.5])],
        gain=0.25,
        bias=0.125,
        threshold=2.0,
        states=["v"],
    )
    yield case(
        "several-currents",
        "Several edges into one port add up.",
        [numbers.grid((1, 6, 4)), numbers.grid((1, 6, 4)), numbers.grid((1, 6, 4))],
    )
    sample = numbers.grid((1, 9, 5))
    yield case(
        "samples-start-anew",
        "Every sample starts from the initial state: equal samples give equal spikes.",
        np.concatenate([sample, 2 * sample, sample]),
        refractory_steps=1,
        initial_potential=0.25,
        negative_threshold=1.5,
    )
    yield case(
        "one-neuron",
        "A value without axes, one step, and a batch of one.",
        np.array([[1.0]]),
        spikes=np.array([[1.0]]),
        states=["v", "refractory"],
    )


def lif_cases() -> Iterator[Case]:
    case = partial(firing, "snn.LIF")
    yield case(
        "decay-then-input",
        "The potential decays before the input is added; the input is not scaled by the decay.",
        steps_of([1, 0, 0, 0, 1, 1, 1], [1.5] * 7, [0.5, 0.75, 1, 0, 1, 1, 1]),
        decay=0.5,
        threshold=1.75,
        spikes=trains(7, [6], [1, 2, 4, 5], [6]),
        states=["v"],
    )
    yield case(
        "threshold-approached",
        "Constant input 1 - decay: the potential reaches 1 - decay**t, never the threshold.",
        constant(12, 0.5),
        decay=0.5,
        spikes=np.zeros((1, 12, 1)),
        v=steps_of([1 - 0.5 ** (t + 1) for t in range(12)]),
        states=["v"],
        closed="v = 1 - 0.5**(t + 1)",
    )
    yield case(
        "threshold-hit-at-least",
        "With '>=' a decayed potential that with its input equals the threshold spikes.",
        steps_of([1, 0.5, 0.75, 0.5], [0.5, 0.75, 0.5, 0.25]),
        decay=0.5,
        spikes=trains(4, [0, 2], [1]),
        states=["v"],
    )
    yield case(
        "threshold-hit-above",
        "With '>' a decayed potential that with its input equals the threshold does not spike.",
        steps_of([1, 0.5, 0.75, 0.5], [0.5, 0.75, 0.5, 0.25]),
        decay=0.5,
        compare=">",
        spikes=trains(4, [2], []),
        states=["v"],
    )
    yield case(
        "decay-zero",
        "With a decay of 0 only the current of the step counts.",
        steps_of([0.5, 0.5, 1, 0.75, 2, -1]),
        decay=0.0,
        spikes=trains(6, [2, 4]),
        closed="spikes where the current reaches the threshold",
    )
    yield case(
        "decay-one",
        "With a decay of 1 it is IF.",
        RAMP,
        decay=1.0,
        spikes=trains(8, [3, 7], [1, 3, 5, 7], range(8), []),
    )
    numbers = Numbers(2)
    currents = numbers.grid((2, 6, 2, 3), -2, 8)
    yield case(
        "decay-per-neuron",
        "Decay, threshold, bias and initial potential of each neuron.",
        currents,
        decay=np.array([[0.5, 0.75, 0.25], [0.0, 1.0, 0.5]]),
        threshold=np.array([[1.0, 1.5, 2.0], [0.75, 3.0, 2.5]]),
        bias=np.array([0.25, 0.0, 0.5]),
        initial_potential=np.array([[1.0, 0.0, 0.5], [0.25, -1.0, 2.0]]),
    )
    yield case(
        "hold-does-not-decay",
        "A held potential does not decay; an integrating one does.",
        steps_of([2.5, 0, 0, 0, 0, 0.75], [2.5, 1, 1, 1, 0, 0.5]),
        decay=0.5,
        refractory_steps=3,
        spikes=trains(6, [0, 5], [0]),
        states=["v", "refractory"],
    )
    yield case(
        "refractory-integrate",
        "While refractory the potential goes on decaying and integrating.",
        steps_of([2.5, 0, 0, 0, 0, 0.75], [2.5, 1, 1, 1, 0, 0.5]),
        decay=0.5,
        refractory_steps=3,
        refractory_mode="integrate",
        states=["v", "refractory"],
    )
    yield case(
        "gain-one-minus-decay",
        "With gain 1 - decay a constant current is the potential's limit; bias is unscaled.",
        constant(6, 4.0, 1.0),
        decay=0.75,
        gain=0.25,
        bias=np.array([0.0, 0.5]),
        threshold=2.0,
        states=["v"],
    )
    yield case(
        "reset-to-value",
        "Reset to a value below 0, from which the potential decays towards 0.",
        constant(8, 1.5, 2.0),
        decay=0.5,
        reset="to_value",
        reset_potential=-0.5,
        threshold=2.0,
        states=["v"],
    )
    yield case(
        "reset-none",
        "Without a reset the neuron fires until the potential has decayed.",
        steps_of([4, 0, 0, 0, 0], [1, 1, 1, 1, 1]),
        decay=0.5,
        reset="none",
        spikes=trains(5, [0, 1, 2], range(5)),
    )
    yield case(
        "lower-bound",
        "The bound applies to the decayed potential with its input.",
        steps_of([-4, 0, 0.25, -0.25, 2, -8, 1]),
        decay=0.5,
        lower_bound=-0.25,
        states=["v"],
    )
    yield case(
        "negative-spikes",
        "Signed spikes of a leaky neuron, with a lower bound and a refractory step.",
        numbers.grid((2, 9, 4), -12, 12),
        decay=0.5,
        negative_threshold=1.25,
        lower_bound=-1.5,
        refractory_steps=1,
        states=["v"],
    )
    yield case(
        "corrective",
        "Corrective spikes of a leaky neuron, reset to a value.",
        numbers.grid((2, 9, 4), -12, 12),
        decay=0.5,
        negative_threshold=0.25,
        negative_spikes="corrective",
        reset="to_value",
        reset_potential=0.125,
        states=["v"],
    )
    sample = numbers.grid((1, 7, 5), -4, 8)
    yield case(
        "samples-start-anew",
        "Every sample starts from the initial state: equal samples give equal spikes.",
        np.concatenate([sample, -sample, sample]),
        decay=0.5,
        refractory_steps=2,
        initial_potential=0.5,
    )


def alif_cases() -> Iterator[Case]:
    case = partial(firing, "snn.ALIF")
    yield case(
        "adaptation-follows-the-spike",
        "A spike raises the threshold of later steps only; then it decays before it is used.",
        constant(9, 1.0),
        decay=0.0,
        adaptation_decay=0.5,
        adaptation_strength=1.0,
        threshold=1.0,
        # a before the spike: 0, 1/2, 1/4, 1/8, ...: only the first spike, as 1 < 1 + a.
        spikes=trains(9, [0]),
        states=["a"],
    )
    yield case(
        "order",
        "Adaptation decays, is compared, and only then grows by the spike.",
        steps_of([1, 1.5, 1.5, 1.5, 1, 1, 1, 1], [3] * 8, [2, 0, 2, 0, 2, 0, 2, 0]),
        decay=0.0,
        adaptation_decay=0.5,
        adaptation_strength=1.0,
        states=["a", "v"],
    )
    yield case(
        "subtract-resting-threshold",
        "The reset subtracts the resting threshold, not the raised one.",
        constant(8, 1.5, 3.0),
        decay=1.0,
        adaptation_decay=0.5,
        adaptation_strength=0.5,
        states=["v", "a"],
    )
    yield case(
        "threshold-hit-above",
        "With '>' a potential equal to the raised threshold does not spike.",
        steps_of([2, 1.5, 1.25, 1.125, 1.0625, 2]),
        decay=0.0,
        adaptation_decay=0.5,
        adaptation_strength=1.0,
        compare=">",
        spikes=trains(6, [0, 5]),
    )
    yield case(
        "threshold-hit-at-least",
        "With '>=' a potential equal to the raised threshold spikes.",
        steps_of([2, 1.5, 0, 0, 1.1875, 0]),
        decay=0.0,
        adaptation_decay=0.5,
        adaptation_strength=1.0,
        spikes=trains(6, [0, 1, 4]),
        states=["a"],
    )
    yield case(
        "negative-spikes",
        "Negative spikes adapt, too; the negative threshold is not raised.",
        steps_of([-1, -1, -1, 2, -1, 1.5], [1.5, -1, 1.5, -1, 1.5, -1]),
        decay=0.0,
        adaptation_decay=0.5,
        adaptation_strength=1.0,
        negative_threshold=1.0,
        states=["a"],
    )
    yield case(
        "corrective",
        "Corrective spikes adapt; they are worth the resting threshold.",
        steps_of([2, 2, -3, -1, -1, 2], [2.5, -1, -1, -1, 3, -8]),
        decay=1.0,
        adaptation_decay=0.5,
        adaptation_strength=1.0,
        negative_threshold=0.5,
        negative_spikes="corrective",
        states=["v", "a"],
    )
    yield case(
        "refractory",
        "Adaptation decays while the neuron is refractory.",
        constant(10, 1.5, 2.25),
        decay=0.5,
        adaptation_decay=0.5,
        adaptation_strength=0.5,
        refractory_steps=1,
        states=["a", "refractory"],
    )
    numbers = Numbers(3)
    yield case(
        "per-neuron",
        "Decays and strength of each neuron.",
        numbers.grid((2, 6, 2, 2), 0, 8),
        decay=np.array([[0.5, 0.25], [1.0, 0.0]]),
        adaptation_decay=np.array([[0.5, 1.0], [0.0, 0.25]]),
        adaptation_strength=np.array([0.25, 1.0]),
    )
    yield case(
        "no-adaptation",
        "With a strength of 0 it is LIF.",
        RAMP,
        decay=1.0,
        adaptation_decay=0.5,
        adaptation_strength=0.0,
        spikes=trains(8, [3, 7], [1, 3, 5, 7], range(8), []),
    )
    sample = numbers.grid((1, 6, 3), 2, 8)
    yield case(
        "samples-start-anew",
        "Adaptation starts anew with every sample.",
        np.concatenate([sample, sample, sample]),
        decay=0.5,
        adaptation_decay=0.75,
        adaptation_strength=0.5,
    )


def integrator_cases() -> Iterator[Case]:
    op = "snn.LeakyIntegrator"

    def case(name: str, what: str, currents: Any, closed: Any = None, **arguments: Any) -> Case:
        found = integrator(currents, arguments)
        origin = RATIONAL
        if closed is not None:
            same(found, closed, name)
            origin = also(CLOSED, RATIONAL)
        expected = float32(found)
        return single(
            op,
            name,
            what,
            {"current": currents},
            {"potential": expected, "v": expected},
            origin=origin,
            **arguments,
        )

    yield case(
        "geometric",
        "Constant input I gives I (1 - decay**t) / (1 - decay).",
        constant(10, 1.0, -2.0),
        steps_of(
            [2 * (1 - 0.5**t) for t in range(1, 11)], [-4 * (1 - 0.5**t) for t in range(1, 11)]
        ),
        decay=0.5,
    )
    yield case(
        "impulse",
        "An input is undecayed in its own step.",
        steps_of([8, 0, 0, 0, 0]),
        steps_of([8, 2, 0.5, 0.125, 0.03125]),
        decay=0.25,
    )
    yield case(
        "no-leak",
        "The default decay of 1 sums the input; it never resets.",
        constant(6, 1.0, 3.0, -1.0),
        np.arange(1, 7)[None, :, None] * np.array([1.0, 3.0, -1.0]),
    )
    numbers = Numbers(4)
    yield case(
        "per-neuron",
        "Decay, gain, bias and initial potential of each neuron.",
        numbers.grid((2, 6, 2, 2)),
        decay=np.array([[0.5, 0.0], [1.0, 0.25]]),
        gain=np.array([0.5, 2.0]),
        bias=np.array([[0.25], [-0.5]]),
        initial_potential=np.array([[4.0, 1.0], [-2.0, 0.5]]),
    )
    yield single(
        op,
        "several-currents",
        "Several edges add up, and are scaled as one.",
        {"current": [constant(3, 1.0), constant(3, 0.5), constant(3, -2.0)]},
        {"potential": steps_of([-0.25, -0.375, -0.4375])},
        origin=HAND,
        decay=0.5,
        gain=0.5,
    )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from if_cases()
    yield from combined_cases("IF", 101)
    yield from lif_cases()
    yield from combined_cases("LIF", 102)
    yield from alif_cases()
    yield from combined_cases("ALIF", 103)
    yield from integrator_cases()
