"""Building models in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, ModelError, raise_errors
from snnir.infer import Types, infer_node
from snnir.ir.graph import AttributeValue, Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import Model, TimeBase
from snnir.ir.tensor import Tensor
from snnir.ir.types import Dim, DType, Timing, ValueType
from snnir.ops import registry
from snnir.ops.schema import Arity, OpDef


class Value(NamedTuple):
    """A value of a graph under construction, possibly delayed."""

    name: str
    delay_steps: int = 0

    def delayed(self, steps: int) -> Value:
        """The same value of ``steps`` steps ago."""
        return Value(self.name, self.delay_steps + steps)


class _Domain:
    """``builder.snn.LIF(...)`` for ``builder.add("snn.LIF", ...)``."""

    def __init__(self, builder: GraphBuilder, name: str) -> None:
        self._builder = builder
        self._name = name

    def __getattr__(self, operator: str) -> Any:
        if operator.startswith("_"):
            raise AttributeError(operator)

        def add(*inputs: Any, **arguments: Any) -> Any:
            return self._builder.add(f"{self._name}.{operator}", *inputs, **arguments)

        return add


class GraphBuilder:
    """Builds a model node by node; what does not fit is an error where it is added.

    Example:
        >>> import numpy as np
        >>> b = GraphBuilder("xor", dt=1e-3, steps=20)
        >>> x = b.input("x", [2])
        >>> current = b.snn.Dense(b.snn.ConstantCurrent(x), weight=np.eye(2, dtype=np.float32))
        >>> spikes = b.snn.LIF(current, decay=0.9, name="neurons")
        >>> b.output("counts", b.snn.SpikeCount(spikes))
        >>> model = b.build()
    """

    def __init__(
        self,
        name: str = "main",
        *,
        dt: float = 1e-3,
        steps: int = 1,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Start an empty graph.

        Args:
            name: Name of the graph.
            dt: Length of a step in seconds.
            steps: Default presentation length in steps.
            metadata: Free text by key.
        """
        self.graph = Graph(name)
        self.time = TimeBase(dt, steps)
        self.metadata = dict(metadata or {})
        self.types: Types = {}
        self._counters: dict[str, int] = {}
        self._opsets: dict[str, int] = {}
        self._definitions: dict[str, OpDef] = {}

    @property
    def snn(self) -> Any:
        """Adds operators of domain ``snn``: ``builder.snn.LIF(current, decay=0.9)``."""
        return _Domain(self, "snn")

    @property
    def ann(self) -> Any:
        """Adds operators of domain ``ann``."""
        return _Domain(self, "ann")

    def domain(self, name: str) -> Any:
        """Adds operators of any installed domain: ``builder.domain("acme").Neuron(x)``."""
        return _Domain(self, name)

    def input(
        self,
        name: str,
        shape: Sequence[Dim],
        *,
        timing: Timing | str = Timing.STATIC,
        dtype: DType | str = DType.FLOAT32,
        scale: npt.ArrayLike | None = None,
        offset: npt.ArrayLike | None = None,
        layout: str = "",
    ) -> Value:
        """Add a graph input.

        Args:
            name: Its name.
            shape: Shape of one sample (of one step, if per step); a string is a symbol.
            timing: ``"static"`` or ``"per_step"``.
            dtype: Element type that is fed.
            scale: The graph sees ``float32(x) * scale + offset``.
            offset: See ``scale``.
            layout: Meaning of the axes, e.g. ``"HWC"``.

        Raises:
            ModelError: If the name is taken.
        """
        if isinstance(timing, str):
            timing = Timing[timing.upper()]
        if isinstance(dtype, str):
            dtype = DType.parse(dtype)
        if name in self.graph.nodes or self.graph.input(name):
            raise ModelError(
                Diagnostic("graph.duplicate-name", "graph", f"'{name}'", "a new name")
            )
        entry = GraphInput(
            name,
            ValueType(dtype, tuple(shape), timing),
            None if scale is None else as_tensor(scale),
            None if offset is None else as_tensor(offset),
            layout,
        )
        self.graph.inputs.append(entry)
        self.types[name] = entry.value_type
        return Value(name)

    def add(
        self, op: str, *inputs: Any, name: str = "", source: str = "", **arguments: Any
    ) -> Any:
        """Add a node.

        Args:
            op: ``"domain.Operator"``.
            inputs: A value for each input port in order; a list for a port that takes several.
            name: Name of the node; by default the operator's with a number.
            source: Layer of the original model that it came from.
            arguments: Inputs, attributes and parameters by name. A parameter is a tensor, an
                array or a number; one that is None is left out.

        Returns:
            The output value, or a tuple of them if the operator has several.

        Raises:
            ModelError: If the operator is not installed, or anything does not fit.
        """
        opdef = self._definition(op)
        bindings: list[Binding] = []
        for port, given in zip(opdef.inputs, inputs, strict=False):
            bindings += _bindings(port.name, given)
        if len(inputs) > len(opdef.inputs):
            raise ModelError(
                Diagnostic("op.port", op, f"{len(inputs)} inputs", f"{len(opdef.inputs)}")
            )
        attributes: dict[str, AttributeValue] = {}
        parameters: dict[str, Tensor] = {}
        for key, value in arguments.items():
            if value is None:
                continue
            parameter = opdef.parameter(key)
            if opdef.input(key) is not None:
                bindings += _bindings(key, value)
            elif parameter is not None:
                parameters[key] = as_tensor(
                    value, None if parameter.dtypes[0].is_float else parameter.dtypes[0]
                )
            else:
                attributes[key] = _attribute(value)
        node = Node(
            name or self._name(opdef.name),
            op,
            bindings,
            opdef.output_names,
            attributes,
            parameters,
            (),
            source,
        )
        findings: list[Diagnostic] = []
        if node.name in self.graph.nodes or self.graph.input(node.name):
            findings.append(
                Diagnostic("graph.duplicate-name", "graph", f"'{node.name}'", "a new name")
            )
        for binding in bindings:
            if binding.source not in self.types:
                findings.append(
                    Diagnostic(
                        "graph.dangling-edge",
                        f"node '{node.name}' ({op}), input '{binding.port}'",
                        f"value '{binding.source}'",
                        "a value of this graph",
                    )
                )
        raise_errors(findings)
        infer_node(node, opdef, self.types, findings)
        raise_errors(findings)
        if opdef.domain not in registry.BUILTIN_DOMAINS:
            node.output_types = tuple(self.types[value] for value in node.values())
        self.graph.nodes[node.name] = node
        values = tuple(Value(value) for value in node.values())
        return values[0] if len(values) == 1 else values

    def connect(self, value: Value, node: str, port: str, *, delay_steps: int = 1) -> None:
        """Add an edge to a node that exists, e.g. a recurrent one.

        Args:
            value: What arrives.
            node: Name of the node.
            port: Its input port; it must take several bindings.
            delay_steps: Steps of delay, in addition to those of ``value``.

        Raises:
            ModelError: If there is no such node or port, or it takes one binding only.
        """
        target = self.graph.nodes.get(node)
        if target is None:
            raise ModelError(
                Diagnostic("graph.dangling-edge", "graph", f"node '{node}'", "a node of this graph")
            )
        definition = self._definition(target.op).input(port)
        if definition is None or (definition.arity is Arity.ONE and target.bindings(port)):
            raise ModelError(
                Diagnostic(
                    "op.port",
                    f"node '{node}' ({target.op}), input '{port}'",
                    "one more binding",
                    "an unknown port" if definition is None else definition.arity.value,
                )
            )
        target.inputs.append(Binding(port, value.name, value.delay_steps + delay_steps))

    def output(self, name: str, value: Value, *, labels: Iterable[str] = ()) -> None:
        """Declare an output.

        Args:
            name: Name under which a run returns it.
            value: The value.
            labels: A classifier's classes.

        Raises:
            ModelError: If the value is delayed.
        """
        if value.delay_steps:
            raise ModelError(
                Diagnostic("graph.delay", f"output '{name}'", f"{value.delay_steps}", "no delay")
            )
        self.graph.outputs.append(GraphOutput(name, value.name, tuple(labels)))

    def build(self) -> Model:
        """The model. :func:`snnir.check` tells whether it is complete."""
        return Model(
            graph=self.graph, opsets=dict(self._opsets), time=self.time, metadata=self.metadata
        )

    def _definition(self, op: str) -> OpDef:
        opdef = self._definitions.get(op)
        if opdef is None:
            name = op.rpartition(".")[0]
            opdef = registry.find(op)
            if opdef is None:
                found = registry.domain(name)
                raise ModelError(
                    Diagnostic(
                        "op.unknown",
                        "graph builder",
                        f"'{op}'",
                        ", ".join(d.op for d in found)
                        if found
                        else "domains " + ", ".join(d.name for d in registry.domains()),
                    )
                )
            self._definitions[op] = opdef
            domain = registry.domain(name)
            if domain is not None:
                self._opsets[name] = domain.version
        return opdef

    def _name(self, operator: str) -> str:
        while True:
            number = self._counters[operator] = self._counters.get(operator, 0) + 1
            name = f"{operator.lower()}{number}"
            if name not in self.graph.nodes and not self.graph.input(name):
                return name


def as_tensor(value: Tensor | npt.ArrayLike, dtype: DType | None = None) -> Tensor:
    """A tensor of what a user gives: a tensor, an array, a list or a number.

    Numbers and lists become float32 unless ``dtype`` says otherwise.

    Raises:
        ModelError: If a value does not fit ``dtype``.
    """
    if isinstance(value, Tensor):
        return value
    if dtype is None and not isinstance(value, (np.ndarray, np.generic)):
        dtype = DType.FLOAT32
    elif dtype is not None and isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        dtype = None
    return Tensor.from_array(value, dtype)


def _bindings(port: str, given: Any) -> list[Binding]:
    values = [given] if isinstance(given, Value) else list(given)
    return [Binding(port, value.name, value.delay_steps) for value in values]


def _attribute(value: Any) -> AttributeValue:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, np.ndarray)):
        return tuple(int(entry) for entry in value)
    result: AttributeValue = value
    return result
