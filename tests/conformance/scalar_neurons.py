"""Neurons one at a time, in rational numbers, as their formulas say. Shares no code with snnir."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.conformance.exact import Array, element, exact, fractions, total, zeros

ONE = Fraction(1)
NOTHING = Fraction(0)

DEFAULTS = {"threshold": ONE, "reset_potential": NOTHING, "bias": NOTHING, "gain": ONE}


class Neuron:
    """IF, LIF or ALIF."""

    def __init__(
        self, kind: str, settings: Mapping[str, Any], quantities: Mapping[str, Fraction]
    ) -> None:
        self.kind = kind
        self.compare = settings.get("compare", ">=")
        self.reset = settings.get("reset", "subtract")
        self.steps = settings.get("refractory_steps", 0)
        self.mode = settings.get("refractory_mode", "hold")
        self.p = {**DEFAULTS, **quantities}
        self.corrective = settings.get("negative_spikes", "free") == "corrective"
        self.v = quantities.get("initial_potential", NOTHING)
        self.refractory = 0
        self.emitted = 0
        self.a = NOTHING

    def reached(self, potential: Fraction, threshold: Fraction) -> bool:
        """Whether a potential is high enough."""
        return potential >= threshold if self.compare == ">=" else potential > threshold

    def step(self, current: Fraction) -> Fraction:
        """The spike of one step."""
        p = self.p
        leaked = self.v if self.kind == "IF" else exact(p["decay"] * self.v)
        u = exact(exact(leaked + exact(p["gain"] * current)) + p["bias"])
        threshold = p["threshold"]
        if self.kind == "ALIF":
            self.a = exact(p["adaptation_decay"] * self.a)
            threshold = exact(threshold + exact(p["adaptation_strength"] * self.a))
        if "lower_bound" in p and u < p["lower_bound"]:
            u = p["lower_bound"]
        held = self.refractory > 0
        if held and self.mode == "hold":
            u = self.v
        spike = 0
        if not held:
            if self.reached(u, threshold):
                spike = 1
            elif (
                "negative_threshold" in p
                and not self.reached(u, -p["negative_threshold"])
                and (self.emitted > 0 or not self.corrective)
            ):
                spike = -1
        self.emitted += spike
        if spike and self.reset == "to_value":
            u = p["reset_potential"]
        elif spike == 1 and self.reset == "subtract":
            u = exact(u - exact(p["threshold"] - p["reset_potential"]))
        elif spike == -1 and self.reset == "subtract":
            worth = p["threshold" if self.corrective else "negative_threshold"]
            u = exact(u + exact(worth - p["reset_potential"]))
        self.v = u
        self.refractory = self.steps if spike else max(self.refractory - 1, 0)
        self.a = exact(self.a + abs(spike))
        return Fraction(spike)


SETTINGS = ("compare", "reset", "negative_spikes", "refractory_steps", "refractory_mode")


def split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Attributes, and parameters as rational arrays."""
    settings = {k: v for k, v in arguments.items() if k in SETTINGS}
    quantities = {k: fractions(v) for k, v in arguments.items() if k not in SETTINGS}
    return settings, quantities


def population(
    kind: str, currents: Sequence[npt.ArrayLike], arguments: Mapping[str, Any]
) -> dict[str, Array]:
    """Spikes and states of neurons whose currents add up, each sample from rest.

    Args:
        kind: ``"IF"``, ``"LIF"`` or ``"ALIF"``.
        currents: Arrays of shape ``(samples, steps, *features)``.
        arguments: Attributes and parameters of the node.
    """
    settings, quantities = split(arguments)
    given = [fractions(current) for current in currents]
    shape = given[0].shape
    found = {name: zeros(shape) for name in ("spikes", "v", "a", "emitted")}
    refractory = np.zeros(shape, np.int64)
    for sample in range(shape[0]):
        for index in np.ndindex(shape[2:]):
            own = {name: element(array, index) for name, array in quantities.items()}
            neuron = Neuron(kind, settings, own)
            for t in range(shape[1]):
                place = (sample, t, *index)
                found["spikes"][place] = neuron.step(total(array[place] for array in given))
                found["v"][place] = neuron.v
                found["a"][place] = neuron.a
                found["emitted"][place] = Fraction(neuron.emitted)
                refractory[place] = neuron.refractory
    return {**found, "refractory": refractory}


def integrator(currents: npt.ArrayLike, arguments: Mapping[str, Any]) -> Array:
    """Potentials of leaky integrators."""
    quantities = {"decay": fractions(1), "bias": fractions(0), "gain": fractions(1)}
    quantities |= {name: fractions(value) for name, value in arguments.items()}
    given = fractions(currents)
    found = zeros(given.shape)
    for sample in range(given.shape[0]):
        for index in np.ndindex(given.shape[2:]):
            p = {name: element(array, index) for name, array in quantities.items()}
            v = p.get("initial_potential", NOTHING)
            for t in range(given.shape[1]):
                place = (sample, t, *index)
                driven = exact(exact(p["decay"] * v) + exact(p["gain"] * given[place]))
                v = found[place] = exact(driven + p["bias"])
    return found


class FewSpikes:
    """One few-spike neuron (``of_value`` of a static value, or ``step`` on a current)."""

    def __init__(
        self,
        threshold: Sequence[Fraction],
        reset: Sequence[Fraction],
        weight: Sequence[Fraction],
        bias: Fraction = NOTHING,
        compare: str = ">=",
    ) -> None:
        self.tables = list(zip(threshold, reset, weight, strict=True))
        self.bias = bias
        self.at_least = compare == ">="
        self.v = self.sum = NOTHING

    def emit(self, k: int) -> Fraction:
        """What step k of a phase puts out."""
        threshold, reset, weight = self.tables[k]
        if self.v > threshold or (self.at_least and self.v == threshold):
            self.v = exact(self.v - reset)
            return weight
        return NOTHING

    def of_value(self, x: Fraction, steps: int) -> list[Fraction]:
        """The spikes of a static value."""
        found = []
        for t in range(steps):
            k = t % len(self.tables)
            if k == 0:
                self.v = x
            found.append(self.emit(k))
        return found

    def step(self, t: int, current: Fraction) -> Fraction:
        """The spike of one step."""
        k = t % len(self.tables)
        if k == 0:
            self.v, self.sum = exact(self.sum + self.bias), NOTHING
        found = self.emit(k)
        self.sum = exact(self.sum + current)
        return found
