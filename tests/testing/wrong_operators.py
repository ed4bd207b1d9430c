"""Particular mistakes in particular operators: those that implementers make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.ops import kernels
from snnir.ops.schema import Bound, OpDef
from tests.testing import wrong_loihi2
from tests.testing.mutants import Mutation, Step, around, attribute, bound_by, output, parameter

Array = npt.NDArray[Any]
Inputs = Mapping[str, Any]
State = dict[str, Array]
Outputs = tuple[Array, ...]

NEURONS = ("snn.IF", "snn.LIF", "snn.ALIF")
LEAKY = ("snn.LIF", "snn.ALIF")


def scaled_input(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The input decays in its own step."""
    decay = bound.parameters["decay"]
    return step(bound, {port: decay * x for port, x in inputs.items()}, state)


def gain_on_bias(bound: Bound) -> Bound:
    """The gain scales the bias, too."""
    p = bound.parameters
    return replace(bound, parameters={**p, "bias": p["bias"] * p["gain"]})


def decay_while_held(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """A held potential leaks."""
    held = state["refractory"] > 0
    found = step(bound, inputs, state)
    if bound.attributes["refractory_mode"] == "hold":
        state["v"] = np.where(held, bound.parameters["decay"] * state["v"], state["v"])
    return found


def leak_after_reset(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The potential decays at the end of a step instead of its start."""
    undecayed = replace(
        bound,
        parameters={**bound.parameters, "decay": np.ones_like(bound.parameters["decay"])},
    )
    found = step(undecayed, inputs, state)
    state["v"] = (bound.parameters["decay"] * state["v"]).astype(bound.dtype)
    return found


def bound_after_comparison(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The lower bound applies to what is stored only."""
    p = dict(bound.parameters)
    lower = p.pop("lower_bound", None)
    found = step(replace(bound, parameters=p), inputs, state)
    if lower is not None:
        state["v"] = np.maximum(state["v"], lower)
    return found


def silent_first_step(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """There is no spike in step 0, though the potential is reset."""
    found = step(bound, inputs, state)
    return (np.zeros_like(found[0]) if bound.t == 0 else found[0],)


def two_spikes_at_once(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """A potential of twice the threshold emits two spikes in one step."""
    (spikes,) = step(bound, inputs, state)
    if bound.attributes["reset"] == "subtract":
        p = bound.parameters
        more = (spikes > 0) & (state["v"] >= p["threshold"])
        spikes = spikes + more
        state["v"] = np.where(more, state["v"] - p["threshold"], state["v"]).astype(bound.dtype)
    return (spikes,)


def counted_from_the_next_step(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The step of the spike counts as refractory."""
    found = step(bound, inputs, state)
    state["refractory"] = np.maximum(state["refractory"] - (found[0] != 0), 0)
    return found


def adapts_at_once(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Adaptation decays after the comparison instead of before."""
    rate = bound.parameters["adaptation_decay"]
    slow = replace(bound, parameters={**bound.parameters, "adaptation_decay": np.ones_like(rate)})
    found = step(slow, inputs, state)
    state["a"] = rate * (state["a"] - np.abs(found[0])) + np.abs(found[0])
    return found


def subtracts_raised_threshold(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The reset subtracts the threshold that held in the step."""
    p = bound.parameters
    raised = p["adaptation_strength"] * p["adaptation_decay"] * state["a"]
    found = step(bound, inputs, state)
    if bound.attributes["reset"] == "subtract":
        state["v"] = (state["v"] - raised * (found[0] > 0)).astype(bound.dtype)
    return found


def negative_does_not_adapt(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Only positive spikes adapt."""
    found = step(bound, inputs, state)
    state["a"] = state["a"] - (found[0] < 0)
    return found


def decays_first(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The synaptic current decays in the step of its input."""
    (current,) = step(bound, inputs, state)
    return (bound.parameters["decay"] * current,)


def first_binding(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Of several values only the first counts."""
    return step(bound, {port: [values[0]] for port, values in inputs.items()}, state)


def reversed_list(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Several values in the wrong order."""
    return step(bound, {port: values[::-1] for port, values in inputs.items()}, state)


def collects_first(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Input of a phase's first step counts for that phase."""
    if bound.t % len(bound.parameters["threshold"]) == 0:
        state["sum"] = state["sum"] + inputs["current"]
        inputs = {"current": np.zeros_like(inputs["current"])}
    return step(bound, inputs, state)


def never_cleared(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """What a phase has collected is kept for the phase after the next."""
    before = state["sum"]
    found = step(bound, inputs, state)
    if bound.t % len(bound.parameters["threshold"]) == 0:
        state["sum"] = state["sum"] + before
    return found


def first_phase_only(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The value is encoded once, not in every phase."""
    found = step(bound, inputs, state)
    if bound.t >= len(bound.parameters["threshold"]):
        return (np.zeros_like(found[0]),)
    return found


def at_step(shift: int) -> Mutation:
    """The operator counts steps from another number."""
    return bound_by(lambda bound: replace(bound, t=bound.t + shift))


def other_steps(bound: Bound) -> Bound:
    return replace(bound, steps=bound.steps + 1)


def flipped(axes: tuple[int, ...]) -> Callable[[Array], Array]:
    """A kernel turned around."""
    return lambda weight: np.ascontiguousarray(np.flip(weight, axes))


def interleaved(bound: Bound, y: Array, inputs: Inputs) -> Array:
    """Output channels in order of the multiplier first."""
    channels = bound.shape("x")[-1]
    order = np.arange(y.shape[-1]).reshape(channels, -1).T.reshape(-1)
    return y[..., order]


def shuffled_groups(bound: Bound, y: Array, inputs: Inputs) -> Array:
    """Outputs interleave the groups."""
    groups = bound.attributes["groups"]
    order = np.arange(y.shape[-1]).reshape(groups, -1).T.reshape(-1)
    return y[..., order]


def flattened_in_columns(bound: Bound, y: Array, inputs: Inputs) -> Array:
    """The first axis varies fastest."""
    x = inputs["x"]
    return x.transpose(0, *reversed(range(1, x.ndim))).reshape(y.shape)


def inverse_permutation(opdef: OpDef) -> OpDef:
    """Axis axes[a] of the output is axis a of the input."""

    def step(bound: Bound, inputs: Inputs, state: State) -> Outputs:
        axes = bound.attributes["axes"]
        order = tuple(axes.index(a) for a in range(len(axes)))
        return opdef.step(
            replace(bound, attributes={**bound.attributes, "axes": order}), inputs, state
        )

    return replace(opdef, step=step)


def counts_size(bound: Bound, y: Array, inputs: Inputs) -> Array:
    """The divisor of an average is the size of the window, whatever it covers."""
    size = np.prod(bound.attributes["pool_size"])
    return (y * elements(bound) / size).astype(y.dtype)


def elements(bound: Bound) -> Array:
    """How many elements each window counts."""
    return kernels.window_elements(bound.prepared, bound.attributes["count_include_pad"])


def floor_instead(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The time of a spike is rounded down."""
    last = bound.attributes["window_steps"] - 1
    x = np.clip(inputs["x"], 0, 1)
    due = np.floor((1 - x) * last)
    fires = (inputs["x"] >= bound.parameters["minimum"]) & (inputs["x"] > 0)
    return (((due == bound.t) & fires).astype(bound.dtype),)


def half_up(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The time of a spike is rounded to the nearest step, halves up."""
    last = bound.attributes["window_steps"] - 1
    x = np.clip(inputs["x"], 0, 1)
    due = np.floor((1 - x) * last + 0.5)
    fires = (inputs["x"] >= bound.parameters["minimum"]) & (inputs["x"] > 0)
    return (((due == bound.t) & fires).astype(bound.dtype),)


def zero_spikes(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """A value of 0 spikes in the last step of the window."""
    (spikes,) = step(bound, inputs, state)
    last = bound.t == bound.attributes["window_steps"] - 1
    return (np.where((inputs["x"] == 0) & last, 1, spikes).astype(bound.dtype),)


def other_draws(bound: Bound) -> Bound:
    """Random numbers that depend on the presentation's length."""
    seed = bound.attributes["seed"]
    return replace(bound, attributes={**bound.attributes, "seed": seed ^ bound.steps})


def per_sample_draws(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Every sample of a batch draws other numbers."""
    found = []
    for sample in range(bound.batch):
        shifted = replace(
            bound, attributes={**bound.attributes, "seed": bound.attributes["seed"] + sample}
        )
        found.append(step(shifted, {"x": inputs["x"][sample : sample + 1]}, state)[0])
    return (np.concatenate(found),)


def absolute(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    return step(bound, {"x": np.abs(inputs["x"])}, state)


def rectified(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    return step(bound, {"x": np.maximum(inputs["x"], 0)}, state)


def graded_count(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """A graded spike counts by its value."""
    start, stop = bound.attributes["start"], bound.attributes["stop"] or bound.steps
    if start <= bound.t < stop:
        state["sum"] = state["sum"] + inputs["x"]
    return ()


def last_spike(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """The time of the last spike."""
    state["sum"] = np.where(inputs["x"] != 0, np.full_like(state["sum"], -1), state["sum"])
    return step(bound, inputs, state)


def from_the_start(bound: Bound, y: Array, inputs: Inputs) -> Array:
    """Time from the start of the presentation."""
    return y + bound.attributes["start"]


def mean_over_all(bound: Bound, y: Array, inputs: Inputs) -> Array:
    """The divisor is the length of the presentation."""
    start, stop = bound.attributes["start"], bound.attributes["stop"]
    n = min(stop or bound.steps, bound.steps) - start
    return y * n / bound.steps


def from_zero(bound: Bound, y: Array, inputs: Inputs) -> Array:
    return np.maximum(y, 0)


def epsilon_outside(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Epsilon is added to the deviation instead of the variance."""
    p = bound.parameters
    epsilon = bound.attributes["epsilon"]
    variance = (np.sqrt(p["variance"]) + epsilon) ** 2 - epsilon
    opdef_bound = replace(bound, parameters={**p, "variance": variance})
    return step(opdef_bound, inputs, state)


def at_threshold(bound: Bound, y: Array, inputs: Inputs) -> Array:
    """The threshold itself passes."""
    return np.where(inputs["x"] == bound.attributes["threshold"], inputs["x"], y)


def swapped(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    return step(bound, {"a": inputs["b"], "b": inputs["a"]}, state)


def last_of_equals(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Of equal sums the last one wins."""
    if bound.attributes["rule"] != "gated":
        return step(bound, inputs, state)
    share = np.arange(1, inputs["x"][0].size + 1).reshape(inputs["x"].shape[1:]) * 2.0**-12
    state["total"] = state["total"] + (share if bound.t == 0 else 0)
    return step(bound, inputs, state)


def corners(step: Step, bound: Bound, inputs: Inputs, state: State) -> Outputs:
    """Interpolation with aligned corners instead of half-pixel centres."""
    if bound.attributes["interpolation"] != "bilinear":
        return step(bound, inputs, state)
    x = inputs["x"]
    for axis, factor in enumerate(bound.attributes["factors"], 1):
        n = x.shape[axis]
        place = np.linspace(0, n - 1, n * factor)
        low = np.minimum(place.astype(int), max(n - 2, 0))
        share = (place - low).reshape(-1, *(1,) * (x.ndim - axis - 1))
        first, second = np.take(x, low, axis), np.take(x, np.minimum(low + 1, n - 1), axis)
        x = first + (second - first) * share
    return (x.astype(bound.dtype),)


CONVOLUTIONS = {
    "Conv1D": ("weight", (0,)),
    "Conv2D": ("weight", (0, 1)),
    "DepthwiseConv2D": ("weight", (0, 1)),
    "ConvTranspose2D": ("weight", (0, 1)),
}

MISTAKES: list[tuple[str, str, Mutation]] = [
    *((op, "the gain scales the bias", bound_by(gain_on_bias)) for op in NEURONS),
    *((op, "the bound comes last", around(bound_after_comparison)) for op in NEURONS),
    *((op, "several spikes in a step", around(two_spikes_at_once)) for op in NEURONS),
    *((op, "refractory from its own step", around(counted_from_the_next_step)) for op in NEURONS),
    *((op, "no spike in step 0", around(silent_first_step)) for op in NEURONS),
    *((op, "the input decays", around(scaled_input)) for op in (*LEAKY, "snn.LeakyIntegrator")),
    *((op, "a held potential decays", around(decay_while_held)) for op in LEAKY),
    *((op, "decay at the end", around(leak_after_reset)) for op in LEAKY),
    ("snn.LeakyIntegrator", "decay at the end", around(leak_after_reset)),
    ("snn.LeakyIntegrator", "the gain scales the bias", bound_by(gain_on_bias)),
    ("snn.ALIF", "adaptation decays last", around(adapts_at_once)),
    ("snn.ALIF", "the raised threshold is subtracted", around(subtracts_raised_threshold)),
    ("snn.ALIF", "negative spikes do not adapt", around(negative_does_not_adapt)),
    ("snn.ExponentialSynapse", "input decays in its own step", around(decays_first)),
    ("snn.FewSpike", "the first input counts at once", around(collects_first)),
    ("snn.FewSpike", "the sum is not cleared", around(never_cleared)),
    ("snn.FewSpike", "phases are shifted", at_step(1)),
    ("snn.FewSpikeEncoder", "one phase only", around(first_phase_only)),
    ("snn.FewSpikeEncoder", "phases are shifted", at_step(1)),
    ("snn.PoissonEncoder", "numbers start at another step", at_step(1)),
    ("snn.PoissonEncoder", "numbers depend on the length", bound_by(other_draws)),
    ("snn.PoissonEncoder", "numbers depend on the sample", around(per_sample_draws)),
    ("snn.LatencyEncoder", "rounded down", around(floor_instead)),
    ("snn.LatencyEncoder", "halves up", around(half_up)),
    ("snn.LatencyEncoder", "0 spikes last", around(zero_spikes)),
    ("snn.SpikeCount", "sizes instead of signs", around(graded_count)),
    ("snn.SpikeCount", "negative spikes count 1", around(absolute)),
    ("snn.SpikeCount", "negative spikes do not count", around(rectified)),
    ("snn.SumPotential", "negative values are lost", around(rectified)),
    ("snn.MaxPotential", "negative values are lost", output(from_zero)),
    ("snn.MaxPotential", "of sizes", around(absolute)),
    ("snn.MeanPotential", "divided by all steps", output(mean_over_all)),
    ("snn.ExponentialPotential", "divided by all steps", output(mean_over_all)),
    ("snn.ExponentialPotential", "the default constant is all steps", bound_by(other_steps)),
    ("snn.FirstSpikeTime", "the last spike", around(last_spike)),
    ("snn.FirstSpikeTime", "from the start of the presentation", output(from_the_start)),
    ("snn.FirstSpikeTime", "positive spikes only", around(rectified)),
    *(
        (f"{domain}.{name}", "flipped kernels", parameter(weight, flipped(axes)))
        for name, (weight, axes) in CONVOLUTIONS.items()
        for domain in ("ann", "snn")
    ),
    ("ann.SeparableConv2D", "flipped kernels", parameter("depthwise_weight", flipped((0, 1)))),
    ("ann.SeparableConv2D", "no pointwise product", parameter("pointwise_weight", np.ones_like)),
    *(
        (f"{domain}.DepthwiseConv2D", "multiplier before channel", output(interleaved))
        for domain in ("ann", "snn")
    ),
    *(
        (f"{domain}.{name}", "groups interleave", output(shuffled_groups))
        for domain in ("ann", "snn")
        for name in ("Conv1D", "Conv2D")
    ),
    *((f"{d}.Flatten", "in columns", output(flattened_in_columns)) for d in ("ann", "snn")),
    *((f"{d}.Permute", "the inverse", inverse_permutation) for d in ("ann", "snn")),
    *((f"{d}.Concat", "in reverse", around(reversed_list)) for d in ("ann", "snn")),
    *((f"{d}.Add", "the first only", around(first_binding)) for d in ("ann", "snn")),
    *((f"{d}.Upsample2D", "aligned corners", around(corners)) for d in ("ann", "snn")),
    *(
        (f"{d}.AveragePool{rank}D", "divided by the size", output(counts_size))
        for d in ("ann", "snn")
        for rank in (1, 2)
    ),
    ("snn.MaxPool1D", "the last of equals", around(last_of_equals)),
    ("snn.MaxPool2D", "the last of equals", around(last_of_equals)),
    ("ann.Multiply", "the first only", around(first_binding)),
    ("ann.Subtract", "b - a", around(swapped)),
    ("ann.ReLU", "the threshold itself passes", output(at_threshold)),
    ("ann.BatchNorm", "channels last, always", attribute("axis", lambda axis: -1)),
    ("ann.Softmax", "over the last axis, always", attribute("axis", lambda axis: -1)),
    *wrong_loihi2.MISTAKES,
]
"""Operator, mistake, and how to make it."""
