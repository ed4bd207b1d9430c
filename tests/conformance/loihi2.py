"""Cases of domain ``loihi2``: every corner of its integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snnir.ir.types import Timing
from tests.conformance import scalar_loihi2 as scalar
from tests.conformance.cases import HAND, Case, also, same, single
from tests.conformance.exact import Array

INTEGERS = "the formula, number by number, in Python's integers"


def at(value: Any, index: tuple[int, ...]) -> int:
    """The element of a parameter that belongs to a neuron."""
    array = np.asarray(value)
    place = index[len(index) - array.ndim :] if array.ndim else ()
    return int(array[tuple(i if n > 1 else 0 for i, n in zip(place, array.shape, strict=True))])


def drawn(seed: int, shape: tuple[int, ...], low: int, high: int, density: float = 1.0) -> Array:
    """Integers of ``low`` to ``high``, some of them 0."""
    rng = np.random.default_rng(seed)
    return (rng.integers(low, high + 1, shape) * (rng.random(shape) < density)).astype(np.int32)


def steps(*values: int) -> Array:
    """One sample of one neuron."""
    return np.array(values, np.int32)[None, :, None]


# Neurons -------------------------------------------------------------------------------------


def cuba(
    name: str, what: str, x: Any, table: Any = None, *, fires: bool = True, **given: Any
) -> Case:
    """A case of CubaLIF, or of CubaLI; ``x`` is a list where several inputs are added."""
    several = x if isinstance(x, list) else [x]
    total = np.sum(several, axis=0)
    settings = {"bias": 0, "bias_exp": 6, **given}

    def make(index: tuple[int, ...]) -> scalar.Cuba:
        return scalar.Cuba(
            at(settings["i_decay"], index),
            at(settings["v_decay"], index),
            at(settings["threshold"], index) if fires else None,
            at(settings["bias"], index),
            settings["bias_exp"],
        )

    found = scalar.run(make, total, ("u", "v"))
    origin = INTEGERS
    if table is not None:
        same(found["y"], steps(*table), name)
        origin = also(HAND, INTEGERS)
    op, port = ("CubaLIF", "spikes") if fires else ("CubaLI", "potential")
    expected = {port: found["y"], "u": found["u"], "v": found["v"]}
    return single(f"loihi2.{op}", name, what, {"a_in": x}, expected, origin=origin, **given)


def cuba_cases() -> Iterator[Case]:
    memoryless = {"i_decay": 4096, "v_decay": 0}
    yield cuba(
        "strict",
        "A potential of exactly the threshold does not fire, one above it does.",
        steps(10, 0, 1, 5, 6, 10, 11),
        (0, 0, 1, 0, 1, 0, 1),
        threshold=10,
        **memoryless,
    )
    yield cuba(
        "hard-reset",
        "A spike resets the potential to 0, whatever it was; the current stays.",
        steps(100, 0, 0, 0, 0),
        (1, 1, 1, 1, 0),
        threshold=10,
        i_decay=2048,
        v_decay=4096,
    )
    yield cuba(
        "toward-zero",
        "Decay truncates toward 0: what is left of 64 and of -64 differs in sign only.",
        np.array([[[1, -1], [0, 0], [0, 0], [0, 0]]], np.int32),
        i_decay=1,
        v_decay=3,
        threshold=1000,
    )
    yield cuba(
        "current-wraps-up",
        "A current above 2**23 wraps to the other end; 2**23 itself does not.",
        steps(65536, 65536, 131072, 1, 1),
        threshold=131071,
        i_decay=0,
        v_decay=4096,
    )
    yield cuba(
        "current-wraps-down",
        "A current of -2**23 wraps to 2**23.",
        steps(-65536, -65535, -1, -131072, -1),
        threshold=131071,
        i_decay=0,
        v_decay=4096,
    )
    yield cuba(
        "potential-saturates",
        "A potential stays within 24 bits; saturated it is above the largest threshold.",
        steps(131071, 1, 1, -131071, -131071, -131071, 5),
        threshold=131071,
        **memoryless,
    )
    yield cuba(
        "saturates-at-the-largest-threshold",
        "131071 can fire: a saturated potential is above 131071 * 64.",
        steps(131071, 131071, 131071),
        (0, 1, 0),
        threshold=131071,
        **memoryless,
    )
    yield cuba(
        "bias",
        "The bias has a mantissa for each neuron and an exponent for all.",
        drawn(1, (2, 6, 3), -3, 3),
        threshold=20,
        bias=np.array([4095, -4096, 40], np.int16),
        bias_exp=3,
        i_decay=4096,
        v_decay=100,
    )
    yield cuba(
        "bias-default-exponent",
        "Without bias_exp a unit of bias is a unit of input.",
        steps(0, 0, 0, 0),
        (0, 1, 0, 1),
        threshold=10,
        bias=6,
        **memoryless,
    )
    yield cuba(
        "per-neuron",
        "Several inputs; decays and thresholds of each neuron.",
        [drawn(2, (2, 9, 2, 3), -60, 120), drawn(3, (2, 9, 2, 3), -100, 100)],
        i_decay=np.array([0, 700, 4096], np.int16),
        v_decay=np.array([[1000], [37]], np.int16),
        threshold=np.array([[100, 150, 50], [300, 200, 90]], np.int32),
        bias=np.array([[5, -9, 0], [0, 20, 1]], np.int16),
    )
    alike = drawn(4, (1, 5, 4), 0, 90)
    yield cuba(
        "samples-start-anew",
        "Current and potential left over do not reach the next sample.",
        np.concatenate([alike, alike, alike]),
        threshold=70,
        i_decay=500,
        v_decay=200,
    )
    yield cuba(
        "accumulates",
        "Without decay of the current and with full decay of the potential: a running sum.",
        steps(5, -7, 0, 100),
        (320, -128, -128, 6272),
        fires=False,
        i_decay=0,
        v_decay=4096,
    )
    yield cuba(
        "never-fires",
        "A saturated potential is kept, and comes down when the input does.",
        steps(131071, 131071, -3, -131071, -131071, -131071),
        fires=False,
        bias=1,
        **memoryless,
    )
    yield cuba(
        "current-wraps",
        "The current wraps above 2**23 and at -2**23, not at 2**23.",
        steps(65536, 65536, 1, 131071, -131071, -131071, -131071),
        fires=False,
        i_decay=0,
        v_decay=4096,
    )
    yield cuba(
        "leaky",
        "Decays, biases and exponent of a readout.",
        [drawn(5, (2, 7, 2, 3), -90, 90), drawn(6, (2, 7, 2, 3), -9, 9)],
        fires=False,
        i_decay=np.array([1, 1000, 4096], np.int16),
        v_decay=np.array([[10], [4000]], np.int16),
        bias=np.array([3, -5, 7], np.int8),
        bias_exp=0,
    )


def sigma_delta(name: str, what: str, x: Any, table: Any = None, **given: Any) -> Case:
    """A case of SigmaDelta, or of Delta if there is no ``bias``."""
    several = x if isinstance(x, list) else [x]
    sums = "bias" in given
    settings = {"threshold": 0, "bias": 0, "spike_exp": 6, **given}

    def make(index: tuple[int, ...]) -> scalar.SigmaDelta:
        return scalar.SigmaDelta(
            sums,
            at(settings["threshold"], index),
            at(settings["bias"], index),
            settings["spike_exp"],
        )

    states = ("sigma", "act", "residue") if sums else ("act", "residue")
    found = scalar.run(make, np.sum(several, axis=0), states)
    origin = INTEGERS
    if table is not None:
        same(found["y"], steps(*table), name)
        origin = also(HAND, INTEGERS)
    expected = {"message": found["y"], **{state: found[state] for state in states}}
    op = "loihi2.SigmaDelta" if sums else "loihi2.Delta"
    return single(op, name, what, {"a_in": x}, expected, origin=origin, **given)


def sigma_delta_cases() -> Iterator[Case]:
    yield sigma_delta(
        "changes",
        "What does not change is not sent; an input of 1 is a message of 64.",
        steps(3, 3, 3, 1, -2, -2, 0),
        (192, 0, 0, -128, -192, 0, 128),
    )
    yield sigma_delta(
        "threshold",
        "A smaller change waits, and is sent together with the next; the threshold itself is sent.",
        steps(1, 2, 2, 3, 4, 2, 1, 0),
        (0, 0, 0, 192, 0, 0, 0, -192),
        threshold=3,
    )
    yield sigma_delta(
        "whole-messages",
        "With a spike_exp of 0 messages are whole inputs; thresholds of each neuron.",
        [drawn(7, (2, 6, 2, 3), -5, 9), drawn(8, (2, 6, 2, 3), -5, 5)],
        spike_exp=0,
        threshold=np.array([0, 4, 9], np.int8),
    )
    alike = drawn(9, (1, 4, 3), -3, 3)
    yield sigma_delta(
        "samples-start-anew",
        "The activation and the residue of a sample do not reach the next.",
        np.concatenate([alike, alike, alike]),
        threshold=2,
    )
    yield sigma_delta(
        "rectifies",
        "A negative sum counts as 0; what cuts off 6 bits rounds down and is lost.",
        steps(100, -200, 0, 90, 63, -64),
        (1, -2, 0, 0, 0, -1),
        bias=0,
    )
    yield sigma_delta(
        "bias-first",
        "A positive bias is sent before any input; one unit is 4096.",
        steps(0, -4096, -8192, 4096 * 3),
        (128, -64, -64, 128),
        bias=2,
    )
    yield sigma_delta(
        "wraps-at-32-bits",
        "Sums are modulo 2**32; there is no limit at 24 bits.",
        steps(1 << 24, 1 << 30, 1 << 30, -(1 << 30)),
        bias=1,
    )
    yield sigma_delta(
        "per-neuron",
        "Several inputs; thresholds and biases of each neuron.",
        [drawn(10, (2, 8, 2, 3), -9000, 9999), drawn(11, (2, 8, 2, 3), -999, 999)],
        threshold=np.array([[0, 1, 2], [3, 0, 5]], np.int32),
        bias=np.array([-2, 0, 3], np.int16),
    )
    yield sigma_delta(
        "few-fraction-bits",
        "Threshold and bias follow spike_exp.",
        drawn(12, (1, 8, 3), -900, 999),
        threshold=2,
        bias=np.array([-2, 0, 3], np.int16),
        spike_exp=2,
    )
    again = drawn(13, (1, 4, 3), -4000, 8000)
    yield sigma_delta(
        "samples-start-anew",
        "Sum, activation and residue of a sample do not reach the next.",
        np.concatenate([again, again, again]),
        threshold=1,
        bias=1,
    )


def sigma(name: str, what: str, x: Any) -> Case:
    total = np.sum(x if isinstance(x, list) else [x], axis=0)
    found = np.zeros(total.shape, np.int32)
    for sample in range(total.shape[0]):
        for index in np.ndindex(total.shape[2:]):
            sums = 0
            for t in range(total.shape[1]):
                sums = scalar.wrapped(sums + int(total[(sample, t, *index)]))
                found[(sample, t, *index)] = sums
    return single(
        "loihi2.Sigma", name, what, {"a_in": x}, {"sum": found, "sigma": found}, origin=INTEGERS
    )


def sigma_cases() -> Iterator[Case]:
    yield sigma("sums", "A running sum modulo 2**32.", steps(5, -9, 1 << 30, 1 << 30, 1 << 30))
    alike = drawn(14, (1, 4, 2, 2), -99, 99)
    yield sigma(
        "several-inputs",
        "Several inputs add up; every sample starts at 0.",
        [np.concatenate([alike, alike]), drawn(15, (2, 4, 2, 2), -9, 9)],
    )


# Synapses ------------------------------------------------------------------------------------


def dense(name: str, what: str, x: Array, weight: Array, table: Any = None, **given: Any) -> Case:
    found = scalar.dense(x, weight, given.get("weight_exp", 0), given.get("delay", 0))
    origin = INTEGERS
    if table is not None:
        same(found, table, name)
        origin = also(HAND, INTEGERS)
    return single(
        "loihi2.Dense",
        name,
        what,
        {"x": x},
        {"a_out": found},
        origin=origin,
        weight=weight,
        **given,
    )


def dense_cases() -> Iterator[Case]:
    spikes = drawn(20, (2, 5, 6), 1, 1, 0.5)
    yield dense(
        "doubled",
        "Odd weights are stored doubled, on the even grid, and halved by the exponent.",
        spikes,
        2 * drawn(21, (6, 4), -127, 127).astype(np.int16),
        weight_exp=-1,
    )
    yield dense(
        "rounds-down",
        "A shift to the right rounds down, below 0 as well; the sum is shifted, not its terms.",
        np.array([[[1, 0], [1, 1], [-1, 0], [0, 1]]], np.int32),
        np.array([[2, -2, 6], [-6, 4, 2]], np.int16),
        np.array([[[0, -1, 1], [-1, 0, 2], [-1, 0, -2], [-2, 1, 0]]]),
        weight_exp=-2,
    )
    yield dense(
        "exponent-above-0",
        "A shift to the left.",
        spikes,
        2 * drawn(22, (6, 3), -128, 127).astype(np.int16),
        weight_exp=3,
    )
    yield dense(
        "one-sign",
        "Weights of one sign have 8 bits for their size.",
        spikes,
        drawn(23, (6, 3), 0, 255).astype(np.uint8),
    )
    yield dense(
        "negative",
        "Weights of the other sign, down to -255.",
        spikes,
        -drawn(24, (6, 3), 0, 255).astype(np.int16),
    )
    yield dense(
        "four-bits",
        "Signed weights of 4 bits are multiples of 32.",
        spikes,
        (32 * drawn(25, (6, 3), -8, 7)).astype(np.int16),
        num_weight_bits=4,
        weight_exp=-5,
    )
    yield dense(
        "graded",
        "Messages are multiplied as they are; sums are modulo 2**32.",
        np.array([[[1 << 30, 7, -5], [-(1 << 31), 1 << 24, 3]]], np.int32),
        np.array([[254, 2], [-256, 100], [8, -2]], np.int16),
    )
    x = drawn(26, (2, 7, 3), -3, 3)
    weight = 2 * drawn(27, (3, 4), -9, 9).astype(np.int16)
    yield dense("delay-one", "One delay for all, beyond that of the binding.", x, weight, delay=2)
    yield dense(
        "delay-of-each-synapse",
        "Every synapse has a delay of its own; each delay's sum is shifted by itself.",
        x,
        weight,
        delay=np.array([[0, 1, 2, 62], [3, 0, 1, 2], [1, 1, 0, 6]], np.int8),
        weight_exp=-2,
    )
    yield dense(
        "delay-axonal",
        "A delay of each input.",
        x,
        weight,
        delay=np.array([[0], [3], [1]], np.int8),
    )
    yield dense(
        "delay-of-targets",
        "A delay of each output.",
        x,
        weight,
        delay=np.array([[2, 0, 1, 5]], np.int8),
    )
    yield dense(
        "delay-beyond-the-end",
        "What would arrive after the presentation does not arrive in the next sample.",
        np.concatenate([x[:1], x[:1]]),
        weight,
        delay=np.array([[6, 7, 8, 62]], np.int8),
    )


def convolution(name: str, what: str, x: Array, weight: Array, **given: Any) -> Case:
    found = scalar.convolution(x, weight, **given)
    return single(
        "loihi2.Conv2D",
        name,
        what,
        {"x": x},
        {"a_out": found},
        origin=INTEGERS,
        weight=weight,
        **given,
    )


def convolution_cases() -> Iterator[Case]:
    image = drawn(30, (2, 2, 5, 6, 4), -2, 3)
    yield convolution(
        "plain", "A kernel is not flipped.", image, drawn(31, (2, 3, 4, 3), -128, 127)
    )
    yield convolution(
        "strides",
        "Strides of height and width.",
        image,
        drawn(32, (2, 2, 4, 2), -9, 9),
        strides=(2, 1),
    )
    yield convolution(
        "dilations", "Taps with gaps.", image, drawn(33, (2, 2, 4, 2), -9, 9), dilations=(2, 3)
    )
    yield convolution(
        "pads", "Zeros at both ends of an axis.", image, drawn(34, (3, 2, 4, 2), -9, 9), pads=(2, 1)
    )
    yield convolution(
        "groups", "Groups of channels.", image, drawn(35, (2, 2, 2, 6), -9, 9), groups=2
    )
    yield convolution(
        "depthwise",
        "As many groups as channels: average pooling by 2 x 2 with weights of one sign.",
        image,
        np.full((2, 2, 1, 4), 16, np.uint8),
        groups=4,
        strides=(2, 2),
    )
    yield convolution(
        "depthwise-multiplier",
        "Two filters for each channel.",
        image,
        drawn(36, (3, 2, 1, 8), -9, 9),
        groups=4,
        pads=(1, 0),
    )
    yield convolution(
        "wraps-at-24-bits",
        "Sums wrap to 24 bits: 2**23 becomes -2**23.",
        np.array([1 << 22, (1 << 22) - 1, -(1 << 22), -(1 << 30), 3], np.int32)[
            None, :, None, None, None
        ],
        np.array([2, -2, 200, 254], np.int16).reshape(1, 1, 1, 4),
    )


# Casts and layout ----------------------------------------------------------------------------


def quantize(name: str, what: str, x: Any, y: Any, **given: Any) -> Case:
    return single(
        "loihi2.Quantize",
        name,
        what,
        {"x": np.asarray(x, np.float32)},
        {"y": np.asarray(y, np.int32)},
        origin=HAND,
        **given,
    )


def cast_cases() -> Iterator[Case]:
    yield quantize(
        "halves-to-even",
        "Halves go to the even number.",
        [[0.5, 1.5, 2.5, -0.5, -1.5, 0.75, -0.25]],
        [[0, 2, 2, 0, -2, 1, 0]],
    )
    yield quantize(
        "ends",
        "What lies outside becomes the end; by default the ends are those of 24 bits.",
        [[3.0e7, -3.0e7, 8388607.0, -8388608.0]],
        [[8388607, -8388608, 8388607, -8388608]],
    )
    yield quantize(
        "clipped",
        "Ends and scales of one's own; every sample for itself.",
        [[0.25, 10.0, 3.0], [-9.0, 1.0, -4.0]],
        [[1, 5, 5], [-2, 2, -2]],
        scale=np.array([4.0, 2.0, 8.0]),
        minimum=-2,
        maximum=5,
    )
    yield single(
        "loihi2.Quantize",
        "per-step",
        "Values that change over time.",
        {"x": np.array([[[1.5], [-2.0]]])},
        {"y": np.array([[[3], [-4]]], np.int32)},
        origin=HAND,
        timing=Timing.PER_STEP,
        scale=2.0,
    )
    op = "loihi2.Dequantize"
    yield single(
        op,
        "per-element",
        "A scale for each element.",
        {"x": np.array([[1, -3, 40], [7, 0, 2]])},
        {"y": np.array([[0.25, -6.0, 40.0], [1.75, 0.0, 2.0]])},
        origin=HAND,
        scale=np.array([0.25, 2.0, 1.0]),
    )
    yield single(
        op,
        "default-scale",
        "Without a scale the integers themselves, up to 24 bits.",
        {"x": np.array([[(1 << 24) - 1, -(1 << 24), 0, -1]])},
        {"y": np.array([[float((1 << 24) - 1), -float(1 << 24), 0.0, -1.0]])},
        origin=HAND,
    )


def once_cases() -> Iterator[Case]:
    for name, what, x, length in (
        ("several-steps", "In step 0 only, for every sample.", [[5, -7], [0, 1 << 30]], 3),
        ("one-step", "A presentation of one step.", [[1], [2]], 1),
    ):
        y = np.zeros((2, length, len(x[0])), np.int32)
        y[:, 0] = x
        yield single(
            "loihi2.SendOnce",
            name,
            what,
            {"x": np.array(x, np.int32)},
            {"message": y},
            origin=HAND,
            steps=length,
        )


def layout_cases() -> Iterator[Case]:
    image = np.arange(24, dtype=np.int32).reshape(1, 2, 3, 4) + (1 << 24)
    image = np.concatenate([image, -image])
    for op, given, y in (
        ("Flatten", {}, image.reshape(2, 24)),
        ("Permute", {"axes": (2, 0, 1)}, image.transpose(0, 3, 1, 2)),
        ("Reshape", {"shape": (4, -1)}, image.reshape(2, 4, 6)),
    ):
        yield single(
            f"loihi2.{op}",
            "integers",
            "Integers of more than 24 bits keep their value.",
            {"x": image},
            {"y": y},
            origin=HAND,
            **given,
        )
        yield single(
            f"loihi2.{op}",
            "per-step",
            "Each step for itself.",
            {"x": np.stack([image, image + 1], 1)},
            {"y": np.stack([y, y + 1], 1)},
            origin=HAND,
            timing=Timing.PER_STEP,
            **given,
        )


def cases() -> Iterator[Case]:
    yield from cuba_cases()
    yield from sigma_delta_cases()
    yield from sigma_cases()
    yield from dense_cases()
    yield from convolution_cases()
    yield from cast_cases()
    yield from once_cases()
    yield from layout_cases()
