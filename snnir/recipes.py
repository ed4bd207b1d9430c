"""Recipes: the usual spiking classifiers, with fresh weights, ready to be trained.

All have one per-step input of spikes, hidden layers of leaky integrate-and-fire neurons and a
leaky integrator for each class, whose potential over the presentation is the answer. Input
currents are exponential (CUBA-LIF) or, with ``tau_syn=0``, a step long.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeGuard, get_args

import numpy as np
import numpy.typing as npt

from snnir import limits
from snnir.errors import Diagnostic, ModelError, raise_errors
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Model

Array = npt.NDArray[Any]

Reset = Literal["to_value", "subtract"]
RefractoryMode = Literal["hold", "integrate"]
Gain = Literal["leak", "one"]
Decoder = Literal["mean", "sum", "max", "final", "exponential"]
Sizes = int | Sequence[int]

DECODERS: Final[Mapping[Decoder, str]] = {
    "mean": "MeanPotential",
    "sum": "SumPotential",
    "max": "MaxPotential",
    "final": "FinalPotential",
    "exponential": "ExponentialPotential",
}

_EVENTPROP: Final = (
    "Nowotny, Turner and Knight, Loss shaping enhances exact gradient learning with Eventprop in "
    "spiking neural networks, Neuromorphic Computing and Engineering 2025"
)
_EPROP: Final = (
    "Bellec et al., A solution to the learning dilemma for recurrent networks of spiking neurons, "
    "Nature Communications 2020"
)
_DELAYS: Final = (
    "Mészáros, Knight and Nowotny, Efficient event-based delay learning in spiking neural "
    "networks, arXiv:2501.07331, 2025"
)


def _about(doc: str, minimum: float | None = None, *, above: bool = False) -> dict[str, Any]:
    return {"doc": doc, "minimum": minimum, "above": above}


@dataclass(frozen=True)
class Settings:
    """What can be chosen of a recipe besides its sizes; times in seconds.

    The weights are drawn from normal distributions. A standard deviation that is not given is the
    recipe's factor divided by the square root of the number of neurons that the weights come from.
    """

    steps: int = field(default=100, metadata=_about("presentation length in steps", 1))
    dt: float = field(default=1e-3, metadata=_about("length of a step", 0, above=True))
    tau_mem: float = field(
        default=20e-3, metadata=_about("time constant of hidden neurons", 0, above=True)
    )
    tau_syn: float = field(
        default=5e-3, metadata=_about("time constant of synaptic currents; 0: they last a step", 0)
    )
    tau_out: float = field(
        default=20e-3, metadata=_about("time constant of the readout", 0, above=True)
    )
    threshold: float = field(
        default=1.0, metadata=_about("threshold of hidden neurons", 0, above=True)
    )
    reset: Reset = field(
        default="to_value",
        metadata=_about("what a spike does: to_value (0) or subtract the threshold"),
    )
    refractory_steps: int = field(default=0, metadata=_about("steps without a spike after one", 0))
    refractory_mode: RefractoryMode = field(
        default="hold", metadata=_about("what the potential does meanwhile")
    )
    gain: Gain = field(
        default="leak", metadata=_about("factor on currents: leak (1 - exp(-dt / tau)) or one")
    )
    decoder: Decoder = field(
        default="mean", metadata=_about("what of the potentials is the answer")
    )
    input_mean: float = field(default=0.0, metadata=_about("mean of the input weights"))
    input_sd: float | None = field(
        default=None, metadata=_about("standard deviation of the input weights", 0)
    )
    recurrent_sd: float | None = field(
        default=None, metadata=_about("standard deviation of the recurrent weights", 0)
    )
    output_sd: float | None = field(
        default=None, metadata=_about("standard deviation of the output weights", 0)
    )
    tau_adapt: float = field(
        default=2.0, metadata=_about("time constant of the adaptation", 0, above=True)
    )
    adaptation_strength: float = field(
        default=0.0174, metadata=_about("rise of the threshold with each spike", 0)
    )
    max_delay_steps: int = field(
        default=20, metadata=_about("longest delay; drawn uniformly from 0 to it", 0)
    )
    seed: int = field(default=0, metadata=_about("seed of the weights and delays", 0))


_EVENTPROP_SCALES: Final = {"input_sd": 2.5, "recurrent_sd": 1.5, "output_sd": 2.0}
"""As in the example `pattern_recognition` of EventProp in mlGeNN 2.3."""

_EPROP_SCALES: Final = {"input_sd": 1.0, "recurrent_sd": 1.0, "output_sd": 1.0}
"""As in the examples of e-prop in mlGeNN 2.3."""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "reset": get_args(Reset),
    "refractory_mode": get_args(RefractoryMode),
    "gain": get_args(Gain),
    "decoder": get_args(Decoder),
}
"""What may be chosen of options that are no numbers."""

_SPECIAL: Final = {
    "recurrent_sd": "recurrent",
    "tau_adapt": "adaptive",
    "adaptation_strength": "adaptive",
    "max_delay_steps": "delayed",
}
"""Options that only some recipes have, by the property that makes them have it."""


@dataclass(frozen=True)
class Recipe:
    """One way to build a network.

    Attributes:
        name: Name by which it is chosen.
        summary: What it is, in a line.
        reference: Where it comes from.
        layers: Number of hidden layers.
        recurrent: Whether hidden neurons are connected with those of their layer, a step later.
        adaptive: Whether their threshold rises with every spike (ALIF).
        delayed: Whether each input and recurrent synapse has a delay of its own.
        scales: Factors of the standard deviations; see :class:`Settings`.
        defaults: Settings that differ from those of :class:`Settings`.
    """

    name: str
    summary: str
    reference: str
    layers: int = 1
    recurrent: bool = False
    adaptive: bool = False
    delayed: bool = False
    scales: Mapping[str, float] = field(default_factory=lambda: _EVENTPROP_SCALES)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def options(self) -> list[dataclasses.Field[Any]]:
        """The settings that it has."""
        return [
            entry
            for entry in dataclasses.fields(Settings)
            if entry.name not in _SPECIAL or getattr(self, _SPECIAL[entry.name])
        ]

    def default(self, option: str) -> Any:
        """What an option is if it is not given."""
        return self.defaults.get(option, getattr(Settings, option))


RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Recipe("feed-forward", "one hidden layer of LIF neurons", _EVENTPROP),
        Recipe("two-layer", "two hidden layers of LIF neurons", _EVENTPROP, layers=2),
        Recipe("rsnn", "one recurrent hidden layer of LIF neurons", _EVENTPROP, recurrent=True),
        Recipe(
            "alif",
            "one recurrent hidden layer of adaptive LIF neurons, as e-prop trains it",
            _EPROP,
            recurrent=True,
            adaptive=True,
            scales=_EPROP_SCALES,
            defaults={
                "tau_syn": 0.0,
                "reset": "subtract",
                "refractory_steps": 5,
                "refractory_mode": "integrate",
                "gain": "one",
                "decoder": "sum",
                "threshold": 0.6,
            },
        ),
        Recipe(
            "delays",
            "as rsnn, with a delay for each input and recurrent synapse",
            _DELAYS,
            recurrent=True,
            delayed=True,
        ),
    )
}


def build(
    recipe: str,
    *,
    inputs: Sizes,
    hidden: Sizes,
    outputs: int,
    labels: Sequence[str] = (),
    **options: Any,
) -> Model:
    """A network with fresh weights; the same arguments give the same network.

    Args:
        recipe: A name in ``RECIPES``.
        inputs: Number of input neurons, or their shape.
        hidden: Number of neurons of the hidden layers: one for all, or one for each.
        outputs: Number of classes.
        labels: Their names; by default their numbers.
        options: Settings of the recipe; see :class:`Settings`.

    Raises:
        ModelError: If the recipe is unknown or anything does not fit it; with all findings.
    """
    found = RECIPES.get(recipe)
    if found is None:
        allowed = ", ".join(RECIPES)
        raise ModelError(Diagnostic("recipe.unknown", "recipe", f"'{recipe}'", allowed))
    raise_errors(_findings(found, inputs, hidden, outputs, labels, options), ModelError)
    settings = Settings(**{**found.defaults, **options})
    return _Network(found, settings).build(
        [inputs] if isinstance(inputs, int) else list(inputs),
        [hidden] * found.layers if isinstance(hidden, int) else list(hidden),
        outputs,
        labels or [str(number) for number in range(outputs)],
    )


# What is allowed -------------------------------------------------------------------------------


def _findings(
    recipe: Recipe,
    inputs: Sizes,
    hidden: Sizes,
    outputs: int,
    labels: Sequence[str],
    options: Mapping[str, Any],
) -> Iterator[Diagnostic]:
    where = f"recipe '{recipe.name}'"

    def wrong(what: str, found: object, allowed: str) -> Diagnostic:
        return Diagnostic("recipe.option", f"{where}, {what}", repr(found), allowed)

    for what, sizes in (("inputs", inputs), ("hidden", hidden), ("outputs", outputs)):
        several = isinstance(sizes, Sequence) and what != "outputs"
        listed: Sequence[Any] = sizes if several else [sizes]  # type: ignore[assignment]
        if not listed or not all(_is_whole(size) and size >= 1 for size in listed):
            yield wrong(what, sizes, "whole numbers of at least 1")
    if isinstance(hidden, Sequence) and len(hidden) != recipe.layers:
        yield wrong("hidden", hidden, f"one number, or {recipe.layers}")
    if labels and _is_whole(outputs) and len(labels) != outputs:
        yield wrong("labels", f"{len(labels)} labels", f"one for each of {outputs} classes")
    known = {entry.name: entry for entry in recipe.options()}
    for name, value in options.items():
        entry = known.get(name)
        if entry is None:
            yield wrong(name, value, f"options {', '.join(known)}")
        elif name in CHOICES:
            if value not in CHOICES[name]:
                yield wrong(name, value, ", ".join(CHOICES[name]))
        elif not _is_number(entry, value):
            kind = "a whole number" if entry.type == "int" else "a number"
            yield wrong(name, value, kind)
        elif (minimum := entry.metadata["minimum"]) is not None and value is not None:
            above = entry.metadata["above"]
            if value < minimum or (above and value == minimum):
                yield wrong(name, value, f"{'above' if above else 'at least'} {minimum}")
    steps = options.get("steps", 1)
    if _is_whole(steps) and steps > limits.MAX_STEPS:
        yield wrong("steps", steps, f"at most {limits.MAX_STEPS}")
    delay = options.get("max_delay_steps", 0)
    if _is_whole(delay) and delay > limits.MAX_DELAY_STEPS:
        yield wrong("max_delay_steps", delay, f"at most {limits.MAX_DELAY_STEPS}")


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(entry: dataclasses.Field[Any], value: object) -> bool:
    if value is None:
        return entry.default is None
    if entry.type == "int":
        return _is_whole(value)
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


# Building --------------------------------------------------------------------------------------


class _Network:
    """A network under construction."""

    def __init__(self, recipe: Recipe, settings: Settings) -> None:
        self._recipe, self._settings = recipe, settings
        self._rng = np.random.default_rng(settings.seed)
        made = {entry.name: getattr(settings, entry.name) for entry in recipe.options()}
        self._builder = GraphBuilder(
            recipe.name.replace("-", "_"),
            dt=settings.dt,
            steps=settings.steps,
            metadata={"snnir.recipe": json.dumps({"recipe": recipe.name, **made})},
        )

    def build(
        self, inputs: list[int], hidden: list[int], outputs: int, labels: Sequence[str]
    ) -> Model:
        b, settings = self._builder, self._settings
        spikes = b.input("spikes", inputs, timing="per_step")
        if len(inputs) > 1:
            spikes = b.ann.Flatten(spikes, name="flat")
        size = math.prod(inputs)
        for number, neurons in enumerate(hidden, 1):
            spikes = self._hidden(spikes, size, neurons, f"hidden{number}")
            size = neurons
        weight = self._weights("output_sd", size, outputs)
        current, _, _ = self._current(
            b.snn.Dense(spikes, weight=weight, name="output_in"), "output"
        )
        decay = self._decay(settings.tau_out)
        potential = b.snn.LeakyIntegrator(
            current, decay=decay, gain=self._gain(decay), name="output"
        )
        answer = b.add(f"snn.{DECODERS[settings.decoder]}", potential, name="decoder")
        b.output("class", answer, labels=labels)
        return b.build()

    def _hidden(self, spikes: Value, size: int, neurons: int, name: str) -> Value:
        b, settings, recipe = self._builder, self._settings, self._recipe
        weight = self._weights("input_sd", size, neurons, settings.input_mean)
        arriving = self._connection(spikes, weight, f"{name}_in")
        current, node, port = self._current(arriving, name)
        decay = self._decay(settings.tau_mem)
        adaptation: dict[str, Any] = {}
        if recipe.adaptive:
            adaptation = {
                "adaptation_decay": self._decay(settings.tau_adapt),
                "adaptation_strength": settings.adaptation_strength,
            }
        sent: Value = b.add(
            "snn.ALIF" if recipe.adaptive else "snn.LIF",
            current,
            decay=decay,
            gain=self._gain(decay),
            threshold=settings.threshold,
            reset=settings.reset,
            refractory_steps=settings.refractory_steps,
            refractory_mode=settings.refractory_mode,
            name=name,
            **adaptation,
        )
        if recipe.recurrent:
            weight = self._weights("recurrent_sd", neurons, neurons)
            back = self._connection(sent, weight, f"{name}_recurrent")
            b.connect(back, node or name, port, delay_steps=1)
        return sent

    def _connection(self, spikes: Value, weight: Array, name: str) -> Value:
        b, most = self._builder, self._settings.max_delay_steps
        if not self._recipe.delayed:
            plain: Value = b.snn.Dense(spikes, weight=weight, name=name)
            return plain
        delays = self._rng.integers(0, most, weight.shape, np.int32, endpoint=True)
        delayed: Value = b.snn.DelayedDense(spikes, weight=weight, delay_steps=delays, name=name)
        return delayed

    def _current(self, arriving: Value, name: str) -> tuple[Value, str, str]:
        """The synaptic current, and the node (empty: the neuron) and port where more may arrive."""
        if not self._settings.tau_syn:
            return arriving, "", "current"
        decay = self._decay(self._settings.tau_syn)
        node = f"{name}_synapse"
        return self._builder.snn.ExponentialSynapse(arriving, decay=decay, name=node), node, "x"

    def _weights(self, option: str, inputs: int, outputs: int, mean: float = 0.0) -> Array:
        sd = getattr(self._settings, option)
        scale = self._recipe.scales[option] / math.sqrt(inputs) if sd is None else sd
        return self._rng.normal(mean, scale, (inputs, outputs)).astype(np.float32)

    def _decay(self, tau: float) -> np.float32:
        return np.float32(math.exp(-self._settings.dt / tau))

    def _gain(self, decay: np.float32) -> np.float32 | None:
        return np.float32(1) - decay if self._settings.gain == "leak" else None
