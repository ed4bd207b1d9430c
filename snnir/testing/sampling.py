"""Random numbers for random models, and the account of the bits that values need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from snnir.ir.builder import Value
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization
from snnir.ops.schema import Attribute, OpDef, Parameter

Array = npt.NDArray[Any]
T = TypeVar("T")

EXACT_BITS: Final = 23
"""Bits of a float32's mantissa, one kept in reserve."""

LARGEST: Final = 1e6
"""Bound of values of models that are not dyadic."""

FEEDBACK: Final = 4.0
"""Bound of what feedback adds to an input; it is a multiple of 1/4."""

FEEDBACK_BITS: Final = 2


@dataclass(frozen=True)
class Known:
    """A value of a model under construction.

    Attributes:
        value: The value.
        shape: Its feature shape.
        per_step: Whether it changes over time.
        late: Whether it is known only when the presentation has ended.
        bits: It is a multiple of ``2**-bits``.
        bound: It is at most that large.
    """

    value: Value
    shape: tuple[int, ...]
    per_step: bool
    late: bool
    bits: int
    bound: float


@dataclass
class Plan:
    """How an operator is going to be used.

    Attributes:
        arguments: Attributes and parameters.
        bits: The output is a multiple of ``2**-bits``.
        bound: The output is at most that large.
        inside: Bits and bound of whatever is computed on the way.
        feedback: Whether bits and bound allow for feedback to the input.
    """

    arguments: dict[str, Any]
    bits: int
    bound: float
    inside: list[tuple[int, float]] = field(default_factory=list)
    feedback: bool = False


Recipe = Callable[["Draw", OpDef, Sequence[Known]], "Plan | None"]
"""Plans a node from its inputs; None if it cannot be used there."""


class Draw:
    """Draws what models are made of.

    Attributes:
        rng: Where the randomness comes from.
        dyadic: Whether all numbers are small multiples of a power of two.
        steps: Longest presentation for which results are exact.
        recurrent: Whether inputs that add get room for feedback.
    """

    def __init__(
        self, rng: np.random.Generator, *, dyadic: bool, steps: int, recurrent: bool
    ) -> None:
        self.rng = rng
        self.dyadic = dyadic
        self.steps = steps
        self.recurrent = recurrent

    def fits(self, bits: int, bound: float) -> bool:
        """Whether float32 holds every multiple of ``2**-bits`` up to ``bound`` exactly."""
        if not self.dyadic:
            return bound < LARGEST
        return bits + math.ceil(math.log2(bound + 1)) <= EXACT_BITS

    def coin(self, probability: float = 0.5) -> bool:
        """Heads or tails."""
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def integers(self, count: int, low: int, high: int) -> tuple[int, ...]:
        """So many of them."""
        return tuple(self.integer(low, high) for _ in range(count))

    def choice(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.integer(0, len(options) - 1)]

    def numbers(self, shape: Sequence[int], low: float, high: float, bits: int = 2) -> Array:
        """Numbers between ``low`` and ``high``, multiples of ``2**-bits`` if dyadic."""
        if not self.dyadic:
            return self.rng.uniform(low, high, tuple(shape)).astype(np.float32)
        scale = 1 << bits
        first, last = math.ceil(low * scale), math.floor(high * scale)
        return (self.rng.integers(first, last + 1, tuple(shape)) / scale).astype(np.float32)

    def feature(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A shape that broadcasts against the trailing axes of a feature shape."""
        own = tuple(shape)[self.integer(0, len(shape)) :]
        return tuple(1 if self.coin(0.2) else length for length in own)

    def quantity(self, shape: Sequence[int], low: float, high: float, bits: int = 2) -> Array:
        """A parameter for a feature shape: a number, one for each channel, neuron, ..."""
        return self.numbers(self.feature(shape), low, high, bits)

    def maybe(self, probability: float, make: Callable[[], T]) -> T | None:
        """Something, or nothing."""
        return make() if self.coin(probability) else None

    def weights(self, shape: Sequence[int], limit: float = 1.0) -> Tensor:
        """Weights up to ``limit``, multiples of 1/4, in any way of storing them."""
        values = self.numbers(shape, -limit, limit)
        kind = self.choice(("plain", "plain", "plain", "float64", "bfloat16", "float16", "int8"))
        if kind == "int8" and self.dyadic and limit < 32:
            integers = np.rint(values * 4)
            axes = 0 if 0 in shape else len(shape)
            axis = self.maybe(0.5, lambda: self.integer(0, axes - 1)) if axes else None
            scale = (0.25,) * (1 if axis is None else shape[axis])
            return Tensor.from_array(integers, DType.INT8, Quantization(scale, 8, axis=axis))
        if kind in ("plain", "int8"):
            return Tensor.from_array(values)
        return Tensor.from_array(values, DType.parse(kind))

    def decays(self, shape: Sequence[int], bits: int, bound: float) -> tuple[Array, int] | None:
        """Factors from 0 to 1, and the bits that a value has after decaying in every step.

        Args:
            shape: Feature shape.
            bits: Bits of what decays.
            bound: Bound of what decays.

        Returns:
            None if there are not enough bits.
        """
        for own in (2, 1, 0):
            if self.fits(bits + own * self.steps, bound):
                return self.quantity(shape, 0.0, 1.0, own), bits + own * self.steps
        return None


def together(inputs: Sequence[Known]) -> tuple[int, float]:
    """Bits and bound of the sum of several values."""
    return max(known.bits for known in inputs), sum(known.bound for known in inputs)


# Any operator --------------------------------------------------------------------------------


def generic(draw: Draw, opdef: OpDef, inputs: Sequence[Known]) -> Plan | None:
    """Plan an operator from its definition alone; its result is not known to be exact."""
    if draw.dyadic:
        return None
    arguments: dict[str, Any] = {}
    for attribute in opdef.attributes:
        value = _attribute(draw, attribute)
        if value is None and attribute.required:
            return None
        if value is not None and (attribute.required or draw.coin()):
            arguments[attribute.name] = value
    for parameter in opdef.parameters:
        if parameter.shape != "feature":
            if parameter.required:
                return None
            continue
        if parameter.required or draw.coin(0.3):
            arguments[parameter.name] = _parameter(draw, parameter, inputs[0].shape)
    return Plan(arguments, FEEDBACK_BITS, 8 * max(known.bound for known in inputs))


def _attribute(draw: Draw, attribute: Attribute) -> Any:
    if attribute.choices:
        return draw.choice(attribute.choices)
    low = 0.0 if attribute.minimum is None else attribute.minimum
    high = low + 2 if attribute.maximum is None else min(attribute.maximum, low + 2)
    if attribute.kind == "bool":
        return draw.coin()
    if attribute.kind == "int" and attribute.name != "axis":
        return draw.integer(math.ceil(low), math.floor(high))
    if attribute.kind == "float":
        return float(draw.rng.uniform(low, high))
    return None


def _parameter(draw: Draw, parameter: Parameter, shape: Sequence[int]) -> Array:
    low = -1.0 if parameter.minimum is None else parameter.minimum
    low += 0.25 if parameter.exclusive_minimum else 0.0
    high = low + 2 if parameter.maximum is None else min(parameter.maximum, low + 2)
    own = draw.feature(shape)
    if parameter.dtypes[0].is_float:
        return draw.numbers(own, low, high)
    return draw.rng.integers(math.ceil(low), math.floor(high) + 1, own).astype(np.int32)
