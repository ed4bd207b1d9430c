"""Cases of whole networks: what operators alone do not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from snnir.ir.builder import GraphBuilder
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization
from tests.conformance.cases import HAND, RATIONAL, Case, finish
from tests.conformance.exact import Array, Numbers, exact, float32, fractions, total, zeros
from tests.conformance.few_spikes import relu_code
from tests.conformance.scalar_neurons import Neuron
from tests.conformance.windows import Rule, convolution, pooled

SIMULATED = "a simulation of the network in plain Python, " + RATIONAL


def layer(kind: str, count: int, settings: dict[str, Any], **p: float) -> list[Neuron]:
    """Neurons in their initial state."""
    return [Neuron(kind, settings, {k: Fraction(v) for k, v in p.items()}) for _ in range(count)]


def fire(neurons: Sequence[Neuron], currents: Sequence[Fraction]) -> list[Fraction]:
    """One step of a layer."""
    return [neuron.step(current) for neuron, current in zip(neurons, currents, strict=True)]


def times(matrix: Array, x: Sequence[Fraction]) -> list[Fraction]:
    """A row times a matrix."""
    weights = fractions(matrix)
    return [
        total(value * weights[i, j] for i, value in enumerate(x)) for j in range(weights.shape[1])
    ]


def added(*vectors: Sequence[Fraction]) -> list[Fraction]:
    """The sum of vectors."""
    return [total(terms) for terms in zip(*vectors, strict=True)]


def ago(history: Sequence[Sequence[Fraction]], steps: int, width: int) -> Sequence[Fraction]:
    """What was put out so many steps before the one that comes next; 0 before the first."""
    return history[-steps] if steps <= len(history) else [Fraction(0)] * width


# Recurrence ----------------------------------------------------------------------------------


def recurrent_cases() -> Iterator[Case]:
    numbers = Numbers(91)
    feed, back, slow = (
        numbers.grid((3, 4)),
        numbers.grid((4, 4), -6, 4),
        numbers.grid((4, 4), -4, 6),
    )
    x = numbers.spikes((1, 12, 3), 2)
    x = np.concatenate([x, numbers.spikes((1, 12, 3), 3), x])

    b = GraphBuilder("recurrent", steps=12)
    fed = b.snn.Dense(b.input("x", [3], timing="per_step"), weight=feed, name="feed")
    current = b.snn.ExponentialSynapse(fed, decay=0.5, name="synapse")
    spikes = b.snn.LIF(current, decay=0.5, threshold=1.0, refractory_steps=1, name="neurons")
    b.connect(b.snn.Dense(spikes, weight=back, name="fast"), "synapse", "x", delay_steps=1)
    b.connect(b.snn.Dense(spikes, weight=slow, name="slow"), "synapse", "x", delay_steps=3)
    b.output("spikes", spikes)
    b.output("counts", b.snn.SpikeCount(spikes, name="counts"))

    found, potentials, counts = zeros((3, 12, 4)), zeros((3, 12, 4)), zeros((3, 4))
    for sample in range(3):
        neurons = layer("LIF", 4, {"refractory_steps": 1}, decay=0.5)
        left, history = [Fraction(0)] * 4, []
        for t in range(12):
            arriving = added(
                left,
                times(feed, fractions(x[sample, t])),
                times(back, ago(history, 1, 4)),
                times(slow, ago(history, 3, 4)),
            )
            left = [exact(current_ / 2) for current_ in arriving]
            history.append(fire(neurons, arriving))
            found[sample, t] = history[-1]
            potentials[sample, t] = [neuron.v for neuron in neurons]
        counts[sample] = [total(train) for train in zip(*history, strict=True)]
    yield finish(
        "system.recurrent",
        "cuba-lif",
        "A recurrent population of CUBA-LIF: exponential synapse, LIF, two delayed feedbacks. "
        "The first and the last sample are equal, and so are their spikes.",
        b.build(),
        {"x": x},
        {
            "spikes": float32(found),
            "counts": float32(counts),
            "neurons:v": float32(potentials),
        },
        steps=12,
        origin=SIMULATED,
    )

    b = GraphBuilder("autapse", steps=9)
    spikes = b.snn.IF(b.input("x", [2], timing="per_step"), name="neurons")
    b.connect(spikes, "neurons", "current", delay_steps=2)
    b.output("spikes", spikes)
    pulse = np.zeros((1, 9, 2))
    pulse[0, 1, 0], pulse[0, [0, 1], 1] = 1, 1
    echo = np.zeros((1, 9, 2))
    echo[0, 1::2, 0], echo[0, :, 1] = 1, 1
    yield finish(
        "system.recurrent",
        "autapse",
        "A population that feeds itself with a delay of 2: one spike echoes in every other step.",
        b.build(),
        {"x": pulse},
        {"spikes": echo},
        steps=9,
        origin=HAND,
    )

    b = GraphBuilder("inhibition", steps=8)
    x_in = b.input("x", [1], timing="per_step")
    first = b.snn.IF(x_in, name="first")
    second = b.snn.IF(first, name="second")
    b.connect(b.snn.Scale(second, scale=-1.0, name="inhibit"), "first", "current", delay_steps=1)
    b.output("first", first)
    b.output("second", second)
    # Both fire in the same step; the step after, the input is cancelled.
    alternating = np.array([[[1.0], [0.0]] * 4])
    yield finish(
        "system.recurrent",
        "feedback-inhibition",
        "A loop over two populations with a single delay: they fire in the same step.",
        b.build(),
        {"x": np.ones((1, 8, 1))},
        {"first": alternating, "second": alternating},
        steps=8,
        origin=HAND,
    )


# Delays --------------------------------------------------------------------------------------


def delay_cases() -> Iterator[Case]:
    numbers = Numbers(92)
    widths = (3, 4, 4, 3)
    weights = [numbers.grid((a, c)) for a, c in pairwise(widths)]
    skip = numbers.grid((4, 3))
    x = numbers.spikes((2, 10, 3), 2)

    b = GraphBuilder("skip", steps=10)
    x_in = b.input("x", [3], timing="per_step")
    one = b.snn.IF(b.snn.Dense(x_in, weight=weights[0]), name="one")
    two = b.snn.IF(b.snn.Dense(one.delayed(1), weight=weights[1]), name="two")
    three = b.snn.IF(
        [
            b.snn.Dense(two, weight=weights[2]),
            b.snn.Dense(one, weight=skip).delayed(3),
            x_in.delayed(2),
            x_in,
        ],
        name="three",
    )
    b.output("two", two)
    b.output("three", three)

    seen = {name: zeros((2, 10, width)) for name, width in (("two", 4), ("three", 3))}
    for sample in range(2):
        layers = [layer("IF", width, {}) for width in widths[1:]]
        given, ones = fractions(x[sample]), []
        for t in range(10):
            before = ago(ones, 1, 4)
            ones.append(fire(layers[0], times(weights[0], given[t])))
            twos = fire(layers[1], times(weights[1], before))
            threes = fire(
                layers[2],
                added(
                    times(weights[2], twos),
                    times(skip, ones[t - 3] if t >= 3 else [Fraction(0)] * 4),
                    given[t - 2] if t >= 2 else [Fraction(0)] * 3,
                    given[t],
                ),
            )
            seen["two"][sample, t], seen["three"][sample, t] = twos, threes
    yield finish(
        "system.delays",
        "skip-connection",
        "Paths of different delay into one population, two of them from the same value.",
        b.build(),
        {"x": x},
        {name: float32(array) for name, array in seen.items()},
        steps=10,
        origin=SIMULATED,
    )

    b = GraphBuilder("same-step", steps=3)
    value = b.input("x", [1], timing="per_step")
    for name in ("one", "two", "three", "four"):
        value = b.snn.IF(value, name=name)
    b.output("spikes", value)
    impulse = np.array([[[0.0], [1.0], [0.0], [0.0], [1.0]]])
    yield finish(
        "system.delays",
        "same-step",
        "Without a delay a spike crosses any number of layers in its own step.",
        b.build(),
        {"x": impulse},
        {"spikes": impulse, "two:spikes": impulse, "four:v": np.zeros((1, 5, 1))},
        steps=5,
        origin=HAND,
    )

    b = GraphBuilder("long", steps=6)
    value = b.input("x", [2], timing="per_step")
    late, lost = value.delayed(5), value.delayed(1000)
    b.output("late", b.snn.Scale(late, scale=1.0))
    b.output("lost", b.snn.Bias(lost, bias=0.5))
    b.output("both", b.snn.Add([late, value.delayed(1), lost]))
    counting = np.arange(1.0, 13.0).reshape(1, 6, 2)
    arriving = np.zeros((1, 6, 2))
    arriving[0, 5] = [1, 2]
    shifted = np.concatenate([np.zeros((1, 1, 2)), counting[:, :-1]], axis=1)
    yield finish(
        "system.delays",
        "longer-than-the-presentation",
        "Delays of edges from a graph input: 1, the last step, and beyond the end.",
        b.build(),
        {"x": counting},
        {"late": arriving, "lost": np.full((1, 6, 2), 0.5), "both": shifted + arriving},
        steps=6,
        origin=HAND,
    )

    b = GraphBuilder("bias", steps=4)
    value = b.input("x", [1], timing="per_step")
    biased = b.snn.Dense(value, weight=np.array([[2.0]], np.float32), bias=[0.5])
    b.output("edge", b.snn.Scale(biased.delayed(2), scale=1.0))
    b.output("synapse", b.snn.Delay(biased, delay_steps=2))
    steps = np.array([[[0.0], [0.0], [2.5], [0.5]]])
    yield finish(
        "system.delays",
        "delayed-bias",
        "A delayed value is 0 before it arrives, whatever it would have been: the bias, too.",
        b.build(),
        {"x": np.array([[[1.0], [0.0], [3.0], [4.0]]])},
        {"edge": steps, "synapse": steps},
        steps=4,
        origin=HAND,
    )


# Images --------------------------------------------------------------------------------------


def image_cases() -> Iterator[Case]:
    numbers = Numbers(93)
    kernels, more = numbers.grid((3, 3, 1, 2)), numbers.grid((2, 2, 2, 2))
    classes, offset = numbers.grid((2, 3)), numbers.grid((3,), 0, 2)
    images = numbers.grid((2, 6, 6, 1), 0, 255, 1).astype(np.uint8)
    scale, shift = 2.0**-8, -0.125

    b = GraphBuilder("images", steps=8)
    x = b.input("image", [6, 6, 1], dtype="uint8", scale=scale, offset=shift, layout="HWC")
    current = b.snn.Conv2D(
        b.snn.ConstantCurrent(x), weight=kernels, padding="same", strides=(2, 2), name="conv1"
    )
    one = b.snn.IF(current, threshold=np.array([0.75, 1.5], np.float32), name="one")
    smaller = b.snn.AveragePool2D(one, pool_size=(2, 2), strides=(1, 1), name="pool")
    two = b.snn.IF(b.snn.Conv2D(smaller, weight=more, name="conv2"), name="two")
    last = b.snn.Dense(b.snn.Flatten(two), weight=classes, bias=offset, name="classes")
    counts = b.snn.SpikeCount(b.snn.IF(last, initial_potential=0.5, name="three"), name="counts")
    b.output("class", counts, labels=("cat", "dog", "axolotl"))

    first, answer, potentials = zeros((2, 8, 3, 3, 2)), zeros((2, 3)), zeros((2, 8, 3))
    for sample in range(2):
        pixels = fractions(images[sample : sample + 1]) * Fraction(scale) + Fraction(shift)
        drive = convolution(pixels, kernels, Rule((3, 3), (2, 2), (1, 1), "same"))
        ones = {
            place: Neuron("IF", {}, {"threshold": Fraction((0.75, 1.5)[place[2]])})
            for place in np.ndindex(3, 3, 2)
        }
        twos, threes = layer("IF", 2, {}), layer("IF", 3, {}, initial_potential=0.5)
        for t in range(8):
            fired = zeros((1, 3, 3, 2))
            for place, neuron in ones.items():
                fired[(0, *place)] = neuron.step(drive[(0, *place)])
            means = pooled(fired, Rule((2, 2), (1, 1), (1, 1)), "average")
            deeper = convolution(means, more, Rule((2, 2), (1, 1), (1, 1)))
            out = fire(twos, list(deeper[0, 0, 0]))
            spikes = fire(threes, added(times(classes, out), fractions(offset)))
            first[sample, t] = fired[0]
            answer[sample] = [a + s for a, s in zip(answer[sample], spikes, strict=True)]
            potentials[sample, t] = [neuron.v for neuron in threes]
    yield finish(
        "system.images",
        "convolutional",
        "From raw bytes to classes: scale and offset of the input, constant current, two "
        "convolutions, average pooling, counts.",
        b.build(),
        {"image": images},
        {"class": float32(answer), "one:spikes": float32(first), "three:v": float32(potentials)},
        steps=8,
        origin=SIMULATED,
    )


def domain_cases() -> Iterator[Case]:
    """Static operators before and after the presentation, and several inputs."""
    numbers = Numbers(94)
    before, after = numbers.grid((3, 4), 0, 6), numbers.grid((6, 2))
    image, events = numbers.grid((2, 3), 0, 8, 8), numbers.spikes((2, 8, 2), 2)

    b = GraphBuilder("mixed", steps=8)
    still = b.input("image", [3])
    hidden = b.ann.ReLU(b.ann.Dense(still, weight=before), max_value=2.0, name="hidden")
    coded = b.snn.RateEncoder(hidden, name="coded")
    moving = b.input("events", [2], timing="per_step")
    joined = b.snn.Concat([coded, moving])
    spikes = b.snn.LIF(joined, decay=0.5, threshold=0.75, name="neurons")
    counts = b.snn.SpikeCount(spikes, start=2, name="counts")
    b.output("logits", b.ann.Dense(counts, weight=after))
    b.output("first", b.snn.FirstSpikeTime(spikes))
    b.output("hidden", hidden)

    layers = {name: zeros((2, width)) for name, width in (("hidden", 4), ("first", 6))}
    logits = zeros((2, 2))
    for sample in range(2):
        activation = [min(max(v, Fraction(0)), Fraction(2)) for v in
                      times(before, fractions(image[sample]))]  # fmt: skip
        encoders, neurons = layer("IF", 4, {}), layer("LIF", 6, {}, decay=0.5, threshold=0.75)
        trains = []
        for t in range(8):
            joint = [*fire(encoders, activation), *fractions(events[sample, t])]
            trains.append(fire(neurons, joint))
        own = list(zip(*trains, strict=True))
        layers["hidden"][sample] = activation
        layers["first"][sample] = [
            Fraction(next((t for t, s in enumerate(train) if s), 8)) for train in own
        ]
        logits[sample] = times(after, [total(train[2:]) for train in own])
    yield finish(
        "system.mixed",
        "several-inputs",
        "A static and a per-step input; static layers before encoders and after decoders.",
        b.build(),
        {"image": image, "events": events},
        {"logits": float32(logits), **{name: float32(a) for name, a in layers.items()}},
        steps=8,
        origin=SIMULATED,
    )

    x = numbers.grid((2, 4))
    b = GraphBuilder("order")
    value = b.ann.Bias(b.ann.Scale(b.input("x", [4]), scale=2.0), bias=-1.0)
    b.output("y", b.ann.ReLU(value))
    b.output("again", value)
    model = b.build()
    model.graph.nodes = dict(reversed(model.graph.nodes.items()))
    doubled = 2.0 * x - 1
    yield finish(
        "system.mixed",
        "order-of-nodes",
        "The order of nodes in the file has no meaning; edges decide.",
        model,
        {"x": x},
        {"y": np.maximum(doubled, 0), "again": doubled},
        steps=1,
        origin=HAND,
    )


def few_spike_cases() -> Iterator[Case]:
    tables = {
        name: np.array([1, 0.5, 0.25, 0.125], np.float32)
        for name in ("threshold", "reset", "weight")
    }
    numbers = Numbers(95)
    weight, last = numbers.grid((3, 4), -4, 4, 4), numbers.grid((4, 2))
    bias = numbers.grid((4,), 0, 4, 8)
    x = numbers.grid((3, 3), 0, 15, 8)

    b = GraphBuilder("few", steps=8)
    coded = b.snn.FewSpikeEncoder(b.input("x", [3]), name="coded", **tables)
    hidden = b.snn.FewSpike(b.snn.Dense(coded, weight=weight), bias=bias, name="hidden", **tables)
    b.output("y", b.snn.SumPotential(b.snn.Dense(hidden, weight=last), start=4, stop=8))

    found = zeros((3, 2))
    for sample in range(3):
        drive = added(times(weight, fractions(x[sample])), fractions(bias))
        rectified = [total(Fraction(part) for part in relu_code(float(v))) for v in drive]
        found[sample] = times(last, rectified)
    yield finish(
        "system.few-spikes",
        "relu-network",
        "Two layers of few-spike coding with 4 digits compute a quantised ReLU network, each "
        "layer a phase later.",
        b.build(),
        {"x": x},
        {"y": float32(found)},
        steps=8,
        origin="closed form: W2 ReLU(W1 x + b), rounded down to multiples of 1/8, at most 15/8",
    )


def quantised_cases() -> Iterator[Case]:
    numbers = Numbers(96)
    integers = numbers.grid((3, 4), -128, 127, 1)
    scales = (2.0**-6, 2.0**-7, 2.0**-5, 2.0**-6)
    nibbles, zero = numbers.grid((4, 2), -8, 7, 1), 2
    feed = Tensor.from_array(integers, DType.INT8, Quantization(scales, 8, axis=1))
    out = Tensor.from_array(nibbles, DType.INT4, Quantization((0.25,), 4, (zero,)))
    threshold = Tensor.from_array(
        np.array([3, 5]), DType.UINT8, Quantization((0.25,), 8, signed=False)
    )
    x = numbers.spikes((2, 9, 3), 2)
    b = GraphBuilder("quantised", steps=9)
    one = b.snn.LIF(
        b.snn.Dense(b.input("x", [3], timing="per_step"), weight=feed), decay=0.5, name="one"
    )
    two = b.snn.IF(b.snn.Dense(one, weight=out), threshold=threshold, name="two")
    b.output("one", one)
    b.output("two", two)
    first, second = zeros((2, 9, 4)), zeros((2, 9, 2))
    for sample in range(2):
        ones = layer("LIF", 4, {}, decay=0.5)
        twos = [*layer("IF", 1, {}, threshold=0.75), *layer("IF", 1, {}, threshold=1.25)]
        for t in range(9):
            first[sample, t] = fire(
                ones, times(integers * np.array(scales), fractions(x[sample, t]))
            )
            second[sample, t] = fire(twos, times((nibbles - zero) * 0.25, first[sample, t]))
    yield finish(
        "system.quantised",
        "int8-int4",
        "Weights of int8 with a scale for each output, of int4 with a zero point; a threshold of "
        "uint8.",
        b.build(),
        {"x": x},
        {"one": float32(first), "two": float32(second)},
        steps=9,
        origin=SIMULATED,
    )


def symbolic_cases() -> Iterator[Case]:
    numbers = Numbers(97)
    weight = numbers.grid((3, 2, 2))
    b = GraphBuilder("symbolic", steps=4)
    x_in = b.input("x", ["length", 2], timing="per_step")
    spikes = b.snn.IF(
        b.snn.Conv1D(x_in, weight=weight, padding="same", name="conv"), name="neurons"
    )
    b.output("spikes", spikes)
    b.output("halved", b.snn.SumPool1D(spikes, pool_size=(2,), name="pool"))
    b.output("places", b.snn.SumPotential(b.snn.Flatten(spikes)))
    vector: Case | None = None
    for name, length in (("five", 5), ("two", 2)):
        x = numbers.grid((2, 4, length, 2))
        found = zeros((2, 4, length, 2))
        for sample in range(2):
            neurons = layer("IF", 2 * length, {})
            for t in range(4):
                y = convolution(x[sample, t : t + 1], weight, Rule((3,), (1,), (1,), "same"))
                found[sample, t] = np.reshape(fire(neurons, list(y.reshape(-1))), (length, 2))
        pairs = length // 2
        halved = found[:, :, : 2 * pairs].reshape(2, 4, pairs, 2, 2).sum(axis=3)
        case = finish(
            "system.symbolic",
            "length",
            "A symbolic length: the same model runs inputs of length 5 and 2.",
            b.build(),
            {"x": x},
            {
                "spikes": float32(found),
                "halved": float32(halved),
                "places": float32(found.sum(axis=1).reshape(2, -1)),
            },
            steps=4,
            origin=SIMULATED,
        )
        example = case.model.examples["example"]
        case.model.examples = {**(vector.model.examples if vector else {}), name: example}
        vector = case
    assert vector is not None
    yield vector


def cases() -> Iterator[Case]:
    """All cases of this family."""
    yield from recurrent_cases()
    yield from delay_cases()
    yield from image_cases()
    yield from domain_cases()
    yield from few_spike_cases()
    yield from quantised_cases()
    yield from symbolic_cases()
