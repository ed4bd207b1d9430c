"""The reference interpreter: what every other backend is compared with.

Clarity comes first. Floats are computed in float32, in the order of the operators' formulas, or
in float64 on request. Within a step, nodes are evaluated along undelayed edges; all state
starts anew with every presentation. A node with a ``start_step`` is left alone until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from snnir.check import check
from snnir.errors import (
    CapabilityError,
    Diagnostic,
    ModelError,
    PluginError,
    RunError,
    SnnirError,
    raise_errors,
)
from snnir.infer import Types, infer_types
from snnir.ir.graph import Binding, GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.traversal import topological_order
from snnir.ir.types import NUMPY, ValueType
from snnir.ops.registry import BUILTIN_DOMAINS, Resolver
from snnir.ops.schema import START_STEP, Arity, Array, Bound, Flow, OpDef, Outputs
from snnir.runtime.backend import (
    Inputs,
    Recording,
    check_inputs,
    named_inputs,
    resolve_record,
    state_names,
)
from snnir.runtime.evaluate import operands

Precision = Literal["float32", "float64"]


class ReferenceBackend:
    """Runs any model whose operators are installed, with NumPy alone."""

    name: Final = "reference"

    def prepare(
        self, model: Model, *, precision: Precision = "float32", **options: Any
    ) -> ReferencePrepared:
        """Make a model ready to run.

        Args:
            model: The model.
            precision: Type of the computation for floats.
            options: None is known.

        Raises:
            ModelError: If the model is not valid.
            CapabilityError: If an operator is not installed, or an option is not known.
        """
        if options or precision not in ("float32", "float64"):
            raise CapabilityError(
                Diagnostic(
                    "run.capability",
                    "backend 'reference'",
                    ", ".join(options) or f"precision {precision!r}",
                    "precision 'float32' or 'float64'",
                )
            )
        raise_errors(check(model), ModelError)
        return ReferencePrepared(model, np.dtype(precision))


@dataclass(slots=True)
class Unit:
    """A node, its definition and its parameters in the type of the computation."""

    node: Node
    opdef: OpDef
    attributes: dict[str, Any]
    parameters: dict[str, Array]
    bindings: dict[str, list[Binding]]

    @property
    def start(self) -> int:
        """The first step in which the node does anything."""
        start: int = self.attributes[START_STEP.name]
        return start


@dataclass(slots=True)
class Plan:
    """Units by when they run: before, during and after the presentation."""

    before: list[Unit] = field(default_factory=list)
    during: list[Unit] = field(default_factory=list)
    after: list[Unit] = field(default_factory=list)


class ReferencePrepared:
    """A model ready to run on the reference interpreter."""

    backend = "reference"

    def __init__(self, model: Model, dtype: np.dtype[Any]) -> None:
        self.model = model
        self.dtype = dtype
        self._resolve = Resolver(model.opsets)
        missing = [
            Diagnostic(
                "op.not-executable",
                f"node '{node.name}'",
                f"'{node.op}'",
                "operators of installed domains",
                source=node.source,
            )
            for node in model.graph.nodes.values()
            if self._resolve(node.op) is None
        ]
        if missing:
            raise CapabilityError(missing)
        order, _ = topological_order(model.graph)
        self._units = [self._unit(node) for node in order]
        self._states = state_names(model)

    def _unit(self, node: Node) -> Unit:
        opdef = self._resolve(node.op)
        if opdef is None:
            raise ModelError(
                Diagnostic("op.unknown", f"node '{node.name}'", node.op, "an operator")
            )
        attributes, parameters = operands(node, opdef, self.dtype)
        bindings: dict[str, list[Binding]] = {}
        for binding in node.inputs:
            bindings.setdefault(binding.port, []).append(binding)
        return Unit(node, opdef, attributes, parameters, bindings)

    def run(
        self, inputs: Inputs, *, steps: int | None = None, record: Sequence[str] = ()
    ) -> Recording:
        """Run a batch of samples; see :meth:`snnir.runtime.backend.Prepared.run`."""
        graph = self.model.graph
        arrays = named_inputs(graph, inputs)
        batch, length, input_types = check_inputs(graph, arrays, steps, self.model.time.steps)
        findings: list[Diagnostic] = []
        types = infer_types(graph, self._resolve, findings, input_types)
        raise_errors(findings)
        names = {name: resolve_record(graph, self._states, name) for name in record}
        for output in graph.outputs:
            names[f"\0{output.name}"] = output.value
        values = {
            entry.name: fed_value(entry, arrays[entry.name], self.dtype) for entry in graph.inputs
        }
        with np.errstate(all="ignore"):
            found = self.execute(types, batch, length, set(names.values()), values)
        return Recording(
            outputs={output.name: found[output.value] for output in graph.outputs},
            recorded={name: found[names[name]] for name in record},
            steps=length,
            backend=self.backend,
            details={"precision": self.dtype.name},
        )

    def execute(
        self, types: Types, batch: int, steps: int, wanted: set[str], values: dict[str, Array]
    ) -> dict[str, Array]:
        """The wanted values of a run whose inputs have been checked and scaled."""
        return Run(self, types, batch, steps, wanted).execute(values)

    @property
    def units(self) -> list[Unit]:
        """Nodes in execution order."""
        return self._units

    def numpy_type(self, value_type: ValueType) -> np.dtype[Any]:
        """NumPy type of a value in this computation."""
        return self.dtype if value_type.dtype.is_float else NUMPY[value_type.dtype]


def fed_value(entry: GraphInput, array: Array, dtype: np.dtype[Any]) -> Array:
    """What a network sees of a graph input: scaled and moved as the input's contract says.

    Args:
        entry: The input.
        array: What a caller gives, checked.
        dtype: Type of the computation for floats.
    """
    if entry.scale is None and entry.offset is None:
        return array.astype(
            dtype if entry.type.dtype.is_float else NUMPY[entry.type.dtype], copy=False
        )
    array = array.astype(dtype)
    if entry.scale is not None:
        array = array * entry.scale.values().astype(dtype, copy=False)
    if entry.offset is not None:
        array = array + entry.offset.values().astype(dtype, copy=False)
    return array


class Run:
    """One batch from the initial state to the last step."""

    def __init__(
        self, prepared: ReferencePrepared, types: Types, batch: int, steps: int, wanted: set[str]
    ) -> None:
        self.prepared = prepared
        self.types = types
        self.batch = batch
        self.steps = steps
        self.wanted = wanted
        self.values: dict[str, Array] = {}
        self.found: dict[str, Array] = {}
        self.bound: dict[str, Bound] = {}
        self.state: dict[str, dict[str, Array]] = {}
        self.history: dict[str, Array] = {}
        self.plan = self._make_plan()

    def _make_plan(self) -> Plan:
        plan = Plan()
        late: set[str] = set()
        longest: dict[str, int] = {}
        for unit in self.prepared.units:
            node = unit.node
            sources = [binding.source for binding in node.inputs]
            per_step = unit.opdef.flow is not Flow.SAME or self.types[node.values()[0]].is_per_step
            if unit.opdef.flow is Flow.DECODE or any(source in late for source in sources):
                late.update(node.values())
            if per_step:
                plan.during.append(unit)
            elif late.isdisjoint(node.values()):
                plan.before.append(unit)
            else:
                plan.after.append(unit)
            for binding in node.inputs:
                if binding.delay_steps:
                    longest[binding.source] = max(
                        longest.get(binding.source, 0), binding.delay_steps
                    )
        for value, delay in longest.items():
            self.history[value] = np.zeros(
                (min(delay, self.steps), self.batch, *self.feature_shape(value)),
                self.prepared.numpy_type(self.types[value]),
            )
        return plan

    def execute(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All wanted values, by full name."""
        per_step_inputs = {k: v for k, v in inputs.items() if self.types[k].is_per_step}
        for name, array in inputs.items():
            if name not in per_step_inputs:
                self._put(name, array)
        for unit in (*self.plan.before, *self.plan.during, *self.plan.after):
            self.bind(unit)
        for unit in self.plan.before:
            self._evaluate(unit, 0)
        for unit in self.plan.during:
            self.reset(unit)
        for t in range(self.steps):
            for name, array in per_step_inputs.items():
                self._put(name, array[:, t], t)
            for unit in self.plan.during:
                self._evaluate(unit, t)
            for name, ring in self.history.items():
                ring[t % len(ring)] = self.values[name]
        for unit in self.plan.during:
            if unit.opdef.finish is not None:
                name = unit.node.name
                self._store(
                    unit, self.call(unit, unit.opdef.finish, self.bound[name], self.state[name])
                )
        for unit in self.plan.after:
            self._evaluate(unit, self.steps - 1)
        return self.found

    def bind(self, unit: Unit) -> None:
        """Bind a node's operator to this batch."""
        node = unit.node
        bound = Bound(
            node=node,
            attributes=unit.attributes,
            parameters=unit.parameters,
            dtype=self.prepared.dtype,
            input_shapes={
                port: [self.feature_shape(binding.source) for binding in bindings]
                for port, bindings in unit.bindings.items()
            },
            output_shapes={port: self.feature_shape(node.value(port)) for port in node.outputs},
            batch=self.batch,
            steps=max(self.steps - unit.start, 0),
        )
        if unit.opdef.prepare is not None:
            bound.prepared = self.call(unit, unit.opdef.prepare, bound)
        self.bound[node.name] = bound

    def reset(self, unit: Unit) -> None:
        """Give a node's state its initial values.

        Raises:
            RunError: If it is a decoder that would see nothing of the presentation.
        """
        node, bound = unit.node, self.bound[unit.node.name]
        self.state[node.name] = {
            state.name: self.call(unit, state.create, bound) for state in unit.opdef.state
        }
        if unit.opdef.flow is Flow.DECODE and not bound.steps:
            raise RunError(
                Diagnostic(
                    "run.steps",
                    f"node '{node.name}' ({node.op})",
                    f"{self.steps} steps",
                    f"more than {unit.start}: the decoder starts there",
                )
            )

    def silence(self, unit: Unit) -> Outputs:
        """A node's outputs in a step before its first."""
        return tuple(
            np.zeros(
                (self.batch, *self.feature_shape(value)),
                self.prepared.numpy_type(self.types[value]),
            )
            for value in unit.node.values()
        )

    def feature_shape(self, value: str) -> tuple[int, ...]:
        """Shape of a value without batch and time."""
        shape = self.types[value].shape
        return tuple(dim for dim in shape if isinstance(dim, int))

    def _arriving(self, binding: Binding, t: int) -> Array:
        if not binding.delay_steps:
            return self.values[binding.source]
        ring = self.history[binding.source]
        if binding.delay_steps > t:
            return np.zeros_like(ring[0])
        past: Array = ring[(t - binding.delay_steps) % len(ring)]
        return past.copy()

    def _evaluate(self, unit: Unit, t: int) -> None:
        name, state = unit.node.name, self.state.get(unit.node.name, {})
        outputs = self._compute(unit, t, state) if t >= unit.start else self.silence(unit)
        if unit.opdef.finish is None:
            self._store(unit, outputs, t)
        for variable, array in state.items():
            key = f"{name}:{variable}"
            if key in self.wanted and variable not in unit.node.outputs:
                self._record(key, array, t, True)

    def _compute(self, unit: Unit, t: int, state: dict[str, Array]) -> Outputs:
        inputs: dict[str, Any] = {}
        for port in unit.opdef.inputs:
            arriving = [self._arriving(binding, t) for binding in unit.bindings[port.name]]
            if port.arity is Arity.LIST:
                inputs[port.name] = arriving
            else:
                total = arriving[0]
                for more in arriving[1:]:
                    total = total + more
                inputs[port.name] = total
        bound = self.bound[unit.node.name]
        bound.t = t - unit.start
        outputs: Outputs = self.call(unit, unit.opdef.step, bound, inputs, state)
        return outputs

    def _store(self, unit: Unit, outputs: Outputs, t: int = 0) -> None:
        for port, array in zip(unit.node.outputs, outputs, strict=True):
            self._put(unit.node.value(port), array, t)

    def _put(self, name: str, array: Array, t: int = 0) -> None:
        self.values[name] = array
        if name in self.wanted:
            self._record(name, array, t, self.types[name].is_per_step)

    def _record(self, name: str, array: Array, t: int, per_step: bool) -> None:
        if not per_step:
            self.found[name] = array
            return
        if name not in self.found:
            self.found[name] = np.empty((self.batch, self.steps, *array.shape[1:]), array.dtype)
        self.found[name][:, t] = array

    def call(self, unit: Unit, function: Any, *arguments: Any) -> Any:
        """Call an operator's code; what a plugin raises becomes a PluginError."""
        try:
            return function(*arguments)
        except SnnirError:
            raise
        except Exception as error:
            if unit.node.domain in BUILTIN_DOMAINS:
                raise
            raise PluginError(
                Diagnostic(
                    "plugin.broken",
                    f"node '{unit.node.name}' ({unit.node.op})",
                    f"{type(error).__name__}: {error}",
                    "an operator that runs",
                    source=unit.node.source,
                )
            ) from error
