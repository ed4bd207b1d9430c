"""Random valid models, for property tests.

The same generator state gives the same model. In dyadic models every number is a small multiple
of a power of two, and account is kept of how many bits each value can need: results are exact in
float32, whatever the order of a sum, for up to ``model.time.steps`` steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import ModelError
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Model
from snnir.ops import registry
from snnir.ops.schema import START_STEP, Arity, Flow, OpDef
from snnir.testing.recipes import RECIPES
from snnir.testing.sampling import FEEDBACK, Draw, Known, Plan, generic

__all__ = ["random_inputs", "random_model"]

Array = npt.NDArray[Any]

_LARGEST_VALUE: Final = 256
"""Elements of a sample of a value that is built upon."""

_ATTEMPTS: Final = 200
"""For each node."""

_INPUT_BITS: Final = 3
_BYTE_BITS: Final = 7


def random_model(
    rng: np.random.Generator,
    *,
    nodes: int,
    dyadic: bool = True,
    recurrent: bool = True,
    domains: Sequence[str] = ("snn",),
) -> Model:
    """A random model in which :func:`snnir.check` finds nothing.

    It has static and per-step inputs, skip connections, delays, late starts, convolutions,
    pooling, encoders, decoders, quantised weights: whatever the operators of the domains allow.
    Every value that no node uses is an output.

    Args:
        rng: Where the randomness comes from.
        nodes: How many nodes it has.
        dyadic: Whether results are exact in float32; operators whose results are not are left
            out.
        recurrent: Whether it may have delayed cycles.
        domains: Operator sets to choose from. Operators of plugins are used, in models that
            are not dyadic, if all that they require follows from the shape of their input.

    Raises:
        ValueError: If no operator of the domains can be used.
    """
    return _Maker(rng, nodes, dyadic, recurrent, domains).make()


def random_inputs(
    rng: np.random.Generator, model: Model, *, samples: int, steps: int | None = None
) -> dict[str, Array]:
    """Inputs for a random model: multiples of 1/8 from -1 to 1, zeros and ones, or bytes.

    Args:
        rng: Where the randomness comes from.
        model: A model; symbols stand for the length 3.
        samples: Number of samples.
        steps: Presentation length; by default the model's.
    """
    found: dict[str, Array] = {}
    for entry in model.graph.inputs:
        shape = [samples, *(dim if isinstance(dim, int) else 3 for dim in entry.type.shape)]
        if entry.type.is_per_step:
            shape.insert(1, model.time.steps if steps is None else steps)
        if not entry.type.dtype.is_float:
            found[entry.name] = rng.integers(0, 1 << _BYTE_BITS, shape).astype(np.uint8)
        elif entry.type.is_per_step and rng.random() < 0.5:
            found[entry.name] = rng.integers(0, 2, shape).astype(np.float32)
        else:
            grain = 1 << _INPUT_BITS
            whole = rng.integers(-grain, grain + 1, shape)
            found[entry.name] = (whole / grain).astype(np.float32)
    return found


@dataclass(frozen=True)
class _Target:
    """A port that has room for feedback."""

    node: str
    port: str
    shape: tuple[int, ...]


class _Maker:
    """Builds one model."""

    def __init__(
        self,
        rng: np.random.Generator,
        nodes: int,
        dyadic: bool,
        recurrent: bool,
        domains: Sequence[str],
    ) -> None:
        self.rng = rng
        self.nodes = nodes
        self.builder = GraphBuilder(
            "random",
            dt=float(rng.choice([1e-3, 1e-4, 0.5])),
            steps=int(rng.integers(1, 9)),
            metadata={"origin": "random_model"} if rng.random() < 0.5 else None,
        )
        steps = self.builder.time.steps
        self.draw = Draw(rng, dyadic=dyadic, steps=steps, recurrent=recurrent)
        self.pool: list[Known] = []
        self.used: set[str] = set()
        self.targets: list[_Target] = []
        self.definitions = [opdef for name in domains for opdef in registry.domain(name) or ()]

    def make(self) -> Model:
        """The model."""
        self._add_inputs()
        graph = self.builder.graph
        attempts = 0
        while len(graph.nodes) < self.nodes:
            attempts += 1
            if attempts > _ATTEMPTS * self.nodes or not self.definitions:
                raise ValueError("no operator of the domains can be used")
            if self.draw.recurrent and self.targets and self.draw.coin(0.15):
                self._add_feedback()
            else:
                self._add_node(self.draw.choice(self.definitions))
        for known in self.pool:
            if known.value.name not in self.used:
                self._add_output(known.value, known)
        return self.builder.build()

    def _add_inputs(self) -> None:
        draw = self.draw
        for number in range(draw.integer(1, 3)):
            rank = draw.integer(0 if number else 1, 3)
            shape = draw.integers(rank, 2, 6)[:-1] + draw.integers(min(rank, 1), 1, 4)
            per_step = draw.coin(0.6)
            integers = not per_step and draw.coin(0.3)
            value = self.builder.input(
                f"input{number}",
                shape,
                timing="per_step" if per_step else "static",
                dtype="uint8" if integers else "float32",
                scale=2.0**-_BYTE_BITS if integers else None,
                layout="HWC" if rank == 3 and draw.coin() else "",
            )
            bits = _BYTE_BITS if integers else _INPUT_BITS
            self.pool.append(Known(value, shape, per_step, False, bits, 1.0))

    def _add_output(self, value: Value, known: Known | None = None) -> None:
        labels: list[str] = []
        if known and not known.per_step and len(known.shape) == 1 and self.draw.coin(0.3):
            labels = [f"class {number}" for number in range(known.shape[0])]
        self.builder.output(f"y{len(self.builder.graph.outputs)}", value, labels=labels)

    # Nodes -----------------------------------------------------------------------------------

    def _add_node(self, opdef: OpDef) -> None:
        """A node with that operator, if there is something that it fits."""
        inputs = self._inputs(opdef)
        if not inputs:
            return
        plan = RECIPES.get(opdef.op, generic)(self.draw, opdef, inputs)
        if plan is None or not self._fits(plan):
            return
        bindings = self._bindings(opdef, inputs)
        if len({value for values in bindings.values() for value in values}) < len(inputs):
            return
        source = f"layer {len(self.pool)}" if self.draw.coin(0.1) else ""
        try:
            arguments = {**bindings, **plan.arguments, **self._start(opdef, inputs)}
            found = self.builder.add(opdef.op, source=source, **arguments)
        except ModelError:
            return
        self.used.update(known.value.name for known in inputs)
        late = opdef.flow is Flow.DECODE or any(known.late for known in inputs)
        for value in (found,) if isinstance(found, Value) else found:
            self._keep(value, late, plan)
        if plan.feedback:
            node = next(reversed(self.builder.graph.nodes))
            self.targets.append(_Target(node, opdef.inputs[0].name, inputs[0].shape))

    def _start(self, opdef: OpDef, inputs: Sequence[Known]) -> dict[str, int]:
        """Sometimes a step to start at; not for decoders, whose windows must not be empty."""
        if opdef.flow is Flow.ENCODE or (inputs[0].per_step and opdef.flow is not Flow.DECODE):
            start = self.draw.maybe(0.1, lambda: self.draw.integer(0, 4))
            return {} if start is None else {START_STEP.name: start}
        return {}

    def _fits(self, plan: Plan) -> bool:
        return all(
            self.draw.fits(bits, bound) for bits, bound in [(plan.bits, plan.bound), *plan.inside]
        )

    def _keep(self, value: Value, late: bool, plan: Plan) -> None:
        value_type = self.builder.types[value.name]
        shape = tuple(dim for dim in value_type.shape if isinstance(dim, int))
        if int(np.prod(shape, dtype=np.int64)) > _LARGEST_VALUE:
            self._add_output(value)
            return
        self.pool.append(Known(value, shape, value_type.is_per_step, late, plan.bits, plan.bound))

    def _inputs(self, opdef: OpDef) -> list[Known]:
        """Values for an operator's inputs: of one shape and timing; empty if there are none."""

        def suits(known: Known) -> bool:
            if opdef.flow is Flow.ENCODE:
                return not known.per_step and not known.late
            return known.per_step or opdef.flow is Flow.SAME

        fitting = [known for known in self.pool if suits(known)]
        if not fitting or not opdef.inputs:
            return []
        first = fitting[max(len(fitting) - 1 - int(self.rng.exponential(3.0)), 0)]
        alike = [
            known
            for known in fitting
            if known is not first
            and known.shape == first.shape
            and known.per_step == first.per_step
        ]
        order = [alike[int(place)] for place in self.rng.permutation(len(alike))]
        if len(opdef.inputs) > 1:
            found = [first, *order[: len(opdef.inputs) - 1]]
            return found if len(found) == len(opdef.inputs) else []
        several = opdef.inputs[0].arity is not Arity.ONE
        return [first, *order[: self.draw.integer(0, 2)]] if several else [first]

    def _bindings(self, opdef: OpDef, inputs: Sequence[Known]) -> dict[str, list[Value]]:
        """The values, some of them delayed, by port."""
        values = [self._maybe_delayed(known) for known in inputs]
        if len(opdef.inputs) > 1:
            return {port.name: [v] for port, v in zip(opdef.inputs, values, strict=True)}
        if opdef.inputs[0].arity is Arity.SUM:
            values[0] = inputs[0].value  # which decides the type, whatever feedback comes
        return {opdef.inputs[0].name: values}

    def _maybe_delayed(self, known: Known) -> Value:
        if not known.per_step or self.draw.coin(0.8):
            return known.value
        return known.value.delayed(self.draw.choice((1, 1, 2, 3, 12)))

    # Recurrence ------------------------------------------------------------------------------

    def _add_feedback(self) -> None:
        """A delayed edge from spikes to a port that adds, if there are some that fit."""
        number = self.draw.integer(0, len(self.targets) - 1)
        target = self.targets[number]
        spikes = [known for known in self.pool if known.per_step and known.bits == 0]
        alike = [known for known in spikes if known.shape == target.shape and known.bound <= 1]
        flat = [known for known in spikes if len(known.shape) == 1 and known.bound <= 1]
        if flat and len(target.shape) == 1 and (self.draw.coin() or not alike):
            source = self.draw.choice(flat)
            limit = FEEDBACK / max(source.shape[0], 4)
            weight = self.draw.weights((source.shape[0], target.shape[0]), limit)
            value = self.builder.add("snn.Dense", source.value, weight=weight)
        elif alike:
            source = self.draw.choice(alike)
            value = source.value
        else:
            return
        delay_steps = self.draw.integer(1, 5)
        bindings = self.builder.graph.nodes[target.node].inputs
        if any(b.source == value.name and b.delay_steps == delay_steps for b in bindings):
            return
        self.builder.connect(value, target.node, target.port, delay_steps=delay_steps)
        del self.targets[number]
