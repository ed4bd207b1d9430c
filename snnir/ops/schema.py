"""What an operator is: one :class:`OpDef` says everything about it.

Documentation, manifest, checker, reference runtime, property-test strategies and
conformance vectors derive from these definitions. A released definition never changes; a new
one gets a new ``since_version``.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic
from snnir.ir.graph import AttributeValue, Node
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Shape, Timing, ValueType, format_shape

Array = npt.NDArray[Any]


class Arity(enum.Enum):
    """How many bindings an input port takes."""

    ONE = "exactly one"
    SUM = "one or more, added in their order"
    LIST = "one or more, in their order"


class Flow(enum.Enum):
    """How the timing of an operator's outputs follows from its inputs."""

    SAME = "static in, static out; per step in, per step out"
    PER_STEP = "per step in, per step out"
    ENCODE = "static in, per step out"
    DECODE = "per step in, static out, known when the presentation has ended"


@dataclass(frozen=True)
class Port:
    """An input or output of an operator."""

    name: str
    doc: str
    arity: Arity = Arity.ONE
    dtype: DType = DType.FLOAT32


@dataclass(frozen=True)
class Attribute:
    """A setting that is not a physical quantity.

    Attributes:
        name: Its name.
        doc: What it sets.
        kind: Its type.
        default: Its value where a node has none; None if it is required or has no default.
        required: Whether a node must have it.
        choices: The allowed strings.
        minimum: Smallest allowed number (or element).
        maximum: Largest allowed number (or element).
        unit: Unit, e.g. ``"steps"``.
    """

    name: str
    doc: str
    kind: Literal["bool", "int", "float", "str", "ints"]
    default: AttributeValue | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""

    def problem(self, value: object) -> tuple[str, str] | None:
        """Found and allowed, if the value is not allowed."""
        kinds: dict[str, tuple[type, ...]] = {
            "bool": (bool,),
            "int": (int,),
            "float": (float, int),
            "str": (str,),
            "ints": (tuple,),
        }
        if not isinstance(value, kinds[self.kind]) or (
            self.kind != "bool" and isinstance(value, bool)
        ):
            return f"{value!r}", f"a value of type {self.kind}"
        if self.choices and value not in self.choices:
            return f"{value!r}", "one of " + ", ".join(map(repr, self.choices))
        if self.kind in ("int", "float", "ints"):
            for number in value if isinstance(value, tuple) else (value,):
                if not isinstance(number, (int, float)) or isinstance(number, bool):
                    return f"{value!r}", f"a value of type {self.kind}"
                if isinstance(number, float) and not math.isfinite(number):
                    return f"{value!r}", "finite numbers"
                if (self.minimum is not None and number < self.minimum) or (
                    self.maximum is not None and number > self.maximum
                ):
                    return f"{value!r}", self.range_text()
        return None

    def range_text(self) -> str:
        """The range in words."""
        if self.minimum is None and self.maximum is None:
            return "any"
        if self.maximum is None:
            return f">= {self.minimum}"
        if self.minimum is None:
            return f"<= {self.maximum}"
        return f"{self.minimum} to {self.maximum}"


START_STEP: Final = Attribute(
    "start_step",
    "First step in which the node does anything. Before it, its state keeps its initial value "
    "and its outputs are 0; from it on, the node's formula sees t - start_step as the step, and "
    "steps - start_step as the length of the presentation. Only 0 where the node has neither "
    "per-step inputs nor per-step outputs.",
    "int",
    default=0,
    minimum=0,
    unit="steps",
)
COMMON_ATTRIBUTES: Final = (START_STEP,)
"""Attributes that every operator of every domain has; definitions do not repeat them."""


def start_of(node: Node) -> int:
    """The ``start_step`` of a node."""
    start = node.attributes.get(START_STEP.name, START_STEP.default)
    return start if isinstance(start, int) else 0


@dataclass(frozen=True)
class Parameter:
    """A quantity: a tensor, or a number that stands for a tensor of shape ``[]``.

    Attributes:
        name: Its name.
        doc: What it is.
        shape: Its shape in words. ``"feature"`` means: broadcasts against the trailing axes of
            the feature shape (a scalar, one number a channel, one a neuron, ...). Any other
            text is documentation; the operator's own ``infer`` checks the shape.
        default: Its value where a node has none; None if it is required or simply absent.
        required: Whether a node must have it.
        minimum: Smallest allowed element.
        maximum: Largest allowed element.
        exclusive_minimum: Whether ``minimum`` itself is excluded.
        dtypes: Allowed element types. Quantised integers are allowed wherever floats are.
        unit: Unit, e.g. ``"1 per step"``.
    """

    name: str
    doc: str
    shape: str = "feature"
    default: float | None = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    dtypes: tuple[DType, ...] = (
        DType.FLOAT32,
        DType.FLOAT64,
        DType.FLOAT16,
        DType.BFLOAT16,
    )
    unit: str = ""

    def range_text(self) -> str:
        """The range in words."""
        sign = ">" if self.exclusive_minimum else ">="
        low = "" if self.minimum is None else f"{sign} {_exact(self.minimum)}"
        high = "" if self.maximum is None else f"<= {_exact(self.maximum)}"
        anything = "any finite number" if self.dtypes[0].is_float else "any integer"
        return " and ".join(part for part in (low, high) if part) or anything


def _exact(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(number)


INTEGERS: Final = (DType.INT32, DType.INT64, DType.INT16, DType.INT8, DType.UINT8)
"""Element types of parameters that count or index."""


@dataclass(frozen=True)
class State:
    """A state variable. It is set to its initial value at the start of every presentation.

    Attributes:
        name: Its name; may be recorded as ``node:name``.
        doc: What it is.
        initial: The initial value in words.
        create: Makes the initial array (batch axis first) for a bound operator.
        unit: Its unit.
    """

    name: str
    doc: str
    initial: str
    create: Callable[[Bound], Array]
    unit: str = ""


@dataclass(slots=True)
class Bound:
    """An operator bound to a node for one run: what ``step`` works with.

    Attributes:
        node: The node.
        attributes: Every attribute, defaults filled in.
        parameters: Every parameter that is there or has a default, in the type of the
            computation (floats) or as int64 (integers).
        dtype: Type of the computation for floats: float32, or float64 on request.
        input_shapes: Feature shape of each input port (a list for ports that take several).
        output_shapes: Feature shape of each output port.
        batch: Samples in this run.
        steps: Presentation length from the node's ``start_step`` on; 0 if it ends before that.
        t: Index of the current step, from 0, counted from the node's ``start_step``.
        prepared: What the operator's ``prepare`` returned.
        out: Where the backend would like this step's one output; see :meth:`result`.
    """

    node: Node
    attributes: Mapping[str, Any]
    parameters: Mapping[str, Array]
    dtype: np.dtype[Any]
    input_shapes: Mapping[str, list[tuple[int, ...]]]
    output_shapes: Mapping[str, tuple[int, ...]]
    batch: int
    steps: int
    t: int = 0
    prepared: Any = None
    out: Array | None = None

    def result(self, values: Array) -> Array:
        """The values as this step's output, in the type of the computation.

        For operators with one output that are not :attr:`Flow.DECODE`. It saves a backend that
        keeps all steps a copy; an operator may as well return any other array.
        """
        if self.out is None:
            return values.astype(self.dtype)
        self.out[...] = values
        return self.out

    def optional(self, parameter: str) -> Array | None:
        """The parameter, or None if it is absent and has no default."""
        return self.parameters.get(parameter)

    def shape(self, port: str) -> tuple[int, ...]:
        """Feature shape of an input port (of its first binding)."""
        return self.input_shapes[port][0]

    def filled(self, shape: Sequence[int], value: Array | float = 0.0) -> Array:
        """A new array of this run's batch and the given feature shape."""
        array = np.empty((self.batch, *shape), self.dtype)
        array[...] = value
        return array


class InferenceStopped(Exception):
    """The types of a node cannot be determined; its findings say why. Internal."""


@dataclass(slots=True)
class InferContext:
    """What an operator's ``infer`` and ``validate`` see of a node."""

    node: Node
    opdef: OpDef
    inputs: Mapping[str, list[ValueType]]
    findings: list[Diagnostic]

    def shape(self, port: str) -> Shape:
        """Feature shape at an input port (of its first binding)."""
        return self.inputs[port][0].shape

    def shapes(self, port: str) -> list[Shape]:
        """Feature shapes of all bindings of an input port."""
        return [value_type.shape for value_type in self.inputs[port]]

    def attribute(self, name: str) -> Any:
        """An attribute, its default filled in."""
        value = self.node.attributes.get(name)
        return self.opdef.attribute(name).default if value is None else value

    def tensor(self, name: str) -> Tensor | None:
        """A parameter, or None if it is absent."""
        return self.node.parameters.get(name)

    def parameter_shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a parameter, or None if it is absent."""
        tensor = self.node.parameters.get(name)
        return None if tensor is None else tensor.shape

    def place(self, item: str) -> str:
        """Where a finding is, in words."""
        return f"node '{self.node.name}' ({self.node.op}), {item}"

    def report(self, code: str, item: str, found: str, allowed: str, hint: str = "") -> None:
        """Add a finding."""
        self.findings.append(
            Diagnostic(code, self.place(item), found, allowed, hint, self.node.source)
        )

    def fail(self, code: str, item: str, found: str, allowed: str, hint: str = "") -> NoReturn:
        """Add a finding and give up on this node."""
        self.report(code, item, found, allowed, hint)
        raise InferenceStopped

    def expect_rank(self, port: str, rank: int) -> Shape:
        """The shape at a port, which must have that many axes."""
        shape = self.shape(port)
        if len(shape) != rank:
            self.fail("type.shape", f"input '{port}'", format_shape(shape), f"{rank} axes")
        return shape

    def expect_parameter(self, name: str, expected: Sequence[int | str | None]) -> tuple[int, ...]:
        """The shape of a parameter that must be there; None and symbols match any length."""
        found = self.parameter_shape(name)
        if found is None:
            self.fail("op.parameter", f"parameter '{name}'", "nothing", "a tensor")
        if len(found) != len(expected) or any(
            isinstance(want, int) and have != want
            for have, want in zip(found, expected, strict=True)
        ):
            text = "[" + ", ".join("any" if e is None else str(e) for e in expected) + "]"
            self.fail("type.shape", f"parameter '{name}'", format_shape(found), text)
        return found

    def check_parameter(self, name: str, expected: Sequence[int | str | None]) -> None:
        """Like :meth:`expect_parameter` if the parameter is there; otherwise nothing."""
        if name in self.node.parameters:
            self.expect_parameter(name, expected)


Outputs = tuple[Array, ...]
Inputs = Mapping[str, Any]
"""Array for each input port; a list of arrays for a port of arity LIST."""


@dataclass(frozen=True)
class OpDef:
    r"""Everything about an operator.

    Attributes:
        domain: Operator set it belongs to.
        name: Its name in the set.
        since_version: Version of the set from which this definition holds.
        summary: What it does, in one sentence.
        formula: The normative update, in words; one statement a line, in execution order.
        latex: The same as a formula.
        flow: How the timing of the outputs follows from the inputs.
        inputs: Input ports.
        outputs: Output ports.
        attributes: Settings, apart from :data:`COMMON_ATTRIBUTES`.
        parameters: Quantities.
        state: State variables.
        infer: Output feature shapes, from a checked :class:`InferContext`. It reports what does
            not fit by ``context.fail``.
        step: Outputs of one step (or of a static evaluation). It may replace entries of
            ``state``, and must not modify its inputs. Backends may call it in several threads at
            once, each with a :class:`Bound` and state of its own.
        finish: For :attr:`Flow.DECODE`: outputs when the presentation has ended. ``step`` then
            returns an empty tuple.
        prepare: Whatever ``step`` needs that depends on parameters and shapes only. It may be
            shared by runs in several threads, so ``step`` must not change it.
        validate: Further checks of parameter values; only called where shapes are right.
        references: Sources of the formula.
        notes: Further normative text.
        upgrade: Rewrites a node of the previous version of this operator into this one.
        targets: What a target needs to carry the operator out itself, by the target's name, e.g.
            source code; the target says what belongs there.
    """

    domain: str
    name: str
    summary: str
    formula: str
    flow: Flow
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    infer: Callable[[InferContext], Sequence[Shape]]
    step: Callable[[Bound, Inputs, dict[str, Array]], Outputs]
    attributes: tuple[Attribute, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    state: tuple[State, ...] = ()
    finish: Callable[[Bound, dict[str, Array]], Outputs] | None = None
    prepare: Callable[[Bound], Any] | None = None
    validate: Callable[[InferContext], None] | None = None
    latex: str = ""
    references: tuple[str, ...] = ()
    notes: str = ""
    since_version: int = 1
    upgrade: Callable[[Node], Node] | None = None
    targets: Mapping[str, Any] = field(default_factory=dict)
    _attributes: dict[str, Attribute] = field(init=False, repr=False, compare=False)
    _parameters: dict[str, Parameter] = field(init=False, repr=False, compare=False)
    _inputs: dict[str, Port] = field(init=False, repr=False, compare=False)
    output_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Names of the output ports."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_attributes", {a.name: a for a in self.all_attributes})
        object.__setattr__(self, "_parameters", {p.name: p for p in self.parameters})
        object.__setattr__(self, "_inputs", {p.name: p for p in self.inputs})
        object.__setattr__(self, "output_names", tuple(p.name for p in self.outputs))
        taken = {attribute.name for attribute in COMMON_ATTRIBUTES} & {
            *(attribute.name for attribute in self.attributes),
            *(parameter.name for parameter in self.parameters),
            *(port.name for port in self.inputs),
        }
        if taken:
            raise ValueError(
                f"operator {self.op} names something {', '.join(sorted(taken))}, as an attribute "
                "of every operator is named"
            )

    @property
    def all_attributes(self) -> tuple[Attribute, ...]:
        """The operator's own attributes, then those of every operator."""
        return (*self.attributes, *COMMON_ATTRIBUTES)

    @property
    def op(self) -> str:
        """``"domain.Operator"``."""
        return f"{self.domain}.{self.name}"

    def attribute(self, name: str) -> Attribute:
        """The attribute of that name.

        Raises:
            KeyError: If there is none.
        """
        return self._attributes[name]

    def has_attribute(self, name: str) -> bool:
        """Whether there is such an attribute."""
        return name in self._attributes

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, if there is one."""
        return self._parameters.get(name)

    def input(self, name: str) -> Port | None:
        """The input port of that name, if there is one."""
        return self._inputs.get(name)

    def output_timing(self, inputs: Timing) -> Timing:
        """Timing of the outputs, given that of the inputs."""
        if self.flow is Flow.SAME:
            return inputs
        return Timing.STATIC if self.flow is Flow.DECODE else Timing.PER_STEP

    def input_timing(self) -> Timing | None:
        """Timing that the inputs must have, or None if any will do as long as all agree."""
        if self.flow is Flow.SAME:
            return None
        return Timing.STATIC if self.flow is Flow.ENCODE else Timing.PER_STEP


def default_attribute(opdef: OpDef | None, name: str) -> AttributeValue | None:
    """Default of an attribute; of one of every operator, if the node's is not known."""
    known = COMMON_ATTRIBUTES if opdef is None else opdef.all_attributes
    return next((attribute.default for attribute in known if attribute.name == name), None)


def same_shape(port: str) -> Callable[[InferContext], Sequence[Shape]]:
    """An ``infer`` for operators whose outputs have the shape of one input."""

    def infer(context: InferContext) -> Sequence[Shape]:
        return [context.shape(port)] * len(context.opdef.outputs)

    return infer
