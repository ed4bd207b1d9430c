"""Building models in Python."""

from __future__ import annotations

import contextlib
import enum
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from snnir import limits
from snnir.errors import Diagnostic, ModelError, raise_errors
from snnir.infer import Types, check_delay, infer_node
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
        """The same value of ``steps`` steps ago.

        Raises:
            ModelError: If that is not a whole number of at least 0.
        """
        return Value(self.name, self.delay_steps + _steps(steps, f"value '{self.name}'"))


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
        self.time = TimeBase(float(dt), _integer(steps, "time base, steps", "value.time"))
        self.metadata = dict(metadata or {})
        self.types: Types = {}
        self._counters: dict[str, int] = {}
        self._edges: dict[str, set[Binding]] = {}
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

    @property
    def loihi2(self) -> Any:
        """Adds operators of domain ``loihi2``."""
        return _Domain(self, "loihi2")

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
            ModelError: If the name is taken or not allowed, or anything else does not fit.
        """
        raise_errors(self._name_findings(name))
        where = f"input '{name}'"
        dims = tuple(
            dim if isinstance(dim, str) else _integer(dim, where, "type.shape") for dim in shape
        )
        if isinstance(timing, str):
            timing = _member(Timing, timing, "type.timing", where)
        if isinstance(dtype, str):
            dtype = _member(DType, dtype, "type.dtype", where)
        entry = GraphInput(
            name,
            ValueType(dtype, dims, timing),
            self._preprocessing(scale, f"{where}, scale"),
            self._preprocessing(offset, f"{where}, offset"),
            layout,
        )
        self.graph.inputs.append(entry)
        self.types[name] = entry.value_type
        return Value(name)

    def add(self, op: str, *inputs: Any, name: str = "", source: str = "", **arguments: Any) -> Any:
        """Add a node.

        Args:
            op: ``"domain.Operator"``.
            inputs: A value for each input port in order; a list for a port that takes several.
            name: Name of the node; by default the operator's with a number.
            source: Layer of the original model that it came from.
            arguments: Inputs, attributes and parameters by name, ``start_step`` among them,
                which every operator has. A parameter is a tensor, an array or a number; one
                that is None is left out.

        Returns:
            The output value, or a tuple of them if the operator has several.

        Raises:
            ModelError: If the operator is not installed, or anything does not fit.
        """
        opdef = self._definition(op)
        name = name or self._name(opdef.name)
        where = f"node '{name}' ({op})"
        if len(inputs) > len(opdef.inputs):
            raise ModelError(
                Diagnostic("op.port", where, f"{len(inputs)} inputs", f"{len(opdef.inputs)}")
            )
        bindings: list[Binding] = []
        for port, given in zip(opdef.inputs, inputs, strict=False):
            bindings += _bindings(port.name, given, where)
        attributes: dict[str, AttributeValue] = {}
        parameters: dict[str, Tensor] = {}
        for key, value in arguments.items():
            if value is None:
                continue
            parameter = opdef.parameter(key)
            if opdef.input(key) is not None:
                bindings += _bindings(key, value, where)
            elif parameter is not None:
                default = parameter.dtypes[0]
                with _placed(f"{where}, parameter '{key}'"):
                    parameters[key] = as_tensor(value, None if default.is_float else default)
            else:
                attributes[key] = _attribute(value, f"{where}, attribute '{key}'")
        node = Node(
            name,
            op,
            bindings,
            opdef.output_names,
            attributes,
            parameters,
            (),
            source,
        )
        findings = self._name_findings(name)
        edges: set[Binding] = set()
        for binding in bindings:
            findings += self._edge_findings(node, binding, edges)
            edges.add(binding)
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
            ModelError: If there is no such value, node or port, the port takes one binding
                only, or the edge is there already.
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
        delay_steps = _steps(delay_steps, f"node '{node}', input '{port}'")
        binding = Binding(port, value.name, value.delay_steps + delay_steps)
        edges = self._edges.get(node)
        if edges is None:
            edges = self._edges[node] = set(target.inputs)
        raise_errors(self._edge_findings(target, binding, edges))
        edges.add(binding)
        target.inputs.append(binding)

    def output(self, name: str, value: Value, *, labels: Iterable[str] = ()) -> None:
        """Declare an output.

        Args:
            name: Name under which a run returns it.
            value: The value.
            labels: A classifier's classes.

        Raises:
            ModelError: If there is no such value, it is delayed, or the name is taken or not
                allowed.
        """
        where = f"output '{name}'"
        findings = _bad_name(name, "outputs")
        if any(name == known.name for known in self.graph.outputs):
            findings.append(
                Diagnostic("graph.duplicate-name", "outputs", f"'{name}'", "a new name")
            )
        if value.name not in self.types:
            findings.append(_dangling(where, value.name))
        if value.delay_steps:
            findings.append(Diagnostic("graph.delay", where, f"{value.delay_steps}", "no delay"))
        raise_errors(findings)
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

    @staticmethod
    def _preprocessing(value: npt.ArrayLike | None, where: str) -> Tensor | None:
        with _placed(where):
            return None if value is None else as_tensor(value)

    def _name(self, kind: str) -> str:
        while True:
            number = self._counters[kind] = self._counters.get(kind, 0) + 1
            name = f"{kind.lower()}{number}"
            if name not in self.graph.nodes and not self.graph.input(name):
                return name

    def _name_findings(self, name: str) -> list[Diagnostic]:
        findings = _bad_name(name, "graph")
        if name in self.graph.nodes or self.graph.input(name):
            findings.append(Diagnostic("graph.duplicate-name", "graph", f"'{name}'", "a new name"))
        return findings

    def _takes_a_list(self, op: str, port: str) -> bool:
        found = self._definition(op).input(port)
        return found is not None and found.arity is Arity.LIST

    def _edge_findings(
        self, node: Node, binding: Binding, others: set[Binding]
    ) -> list[Diagnostic]:
        where = f"node '{node.name}' ({node.op}), input '{binding.port}'"
        findings: list[Diagnostic] = []
        if binding.source not in self.types:
            findings.append(_dangling(where, binding.source))
        elif binding in others and not self._takes_a_list(node.op, binding.port):
            findings.append(
                Diagnostic("graph.duplicate-edge", where, f"'{binding}' again", "each edge once")
            )
        if binding.delay_steps:
            check_delay(node, binding, self.types, findings)
        return findings


EnumT = TypeVar("EnumT", bound=enum.Enum)


def _member(kind: type[EnumT], label: str, code: str, where: str) -> EnumT:
    for member in kind:
        if member.name == label.upper():
            return member
    allowed = ", ".join(f"'{member.name.lower()}'" for member in kind)
    raise ModelError(Diagnostic(code, where, f"'{label}'", allowed))


def _bad_name(name: str, where: str) -> list[Diagnostic]:
    if isinstance(name, str) and limits.NAME.fullmatch(name):
        return []
    return [Diagnostic("graph.name", where, f"{name!r}"[:80], limits.NAME.pattern)]


def _dangling(where: str, value: str) -> Diagnostic:
    return Diagnostic("graph.dangling-edge", where, f"value '{value}'", "a value of this graph")


def _integer(value: SupportsIndex, where: str, code: str) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise ModelError(Diagnostic(code, where, repr(value), "a whole number")) from error


def _steps(value: SupportsIndex, where: str) -> int:
    steps = _integer(value, where, "graph.delay")
    if steps < 0:
        raise ModelError(Diagnostic("graph.delay", where, f"{steps} steps", "at least 0"))
    return steps


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


@contextlib.contextmanager
def _placed(where: str) -> Iterator[None]:
    """Makes findings about a tensor say where it was to go."""
    try:
        yield
    except ModelError as error:
        raise ModelError(replace(d, where=where) for d in error.diagnostics) from error


def _bindings(port: str, given: Any, where: str) -> list[Binding]:
    several = isinstance(given, Iterable) and not isinstance(given, (Value, str))
    values = list(given) if several else [given]
    for value in values:
        if not isinstance(value, Value):
            raise ModelError(
                Diagnostic(
                    "op.port",
                    f"{where}, input '{port}'",
                    f"a {type(value).__name__}",
                    "a value of this builder, or a list of them",
                )
            )
    return [Binding(port, value.name, value.delay_steps) for value in values]


def _attribute(value: Any, where: str) -> AttributeValue:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return tuple(_integer(entry, where, "op.attribute") for entry in value)
    result: AttributeValue = value
    return result
