"""What a handler of a Keras layer is, and what it works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FormatError
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.tensor import Tensor
from snnir.ir.types import Shape, format_shape
from snnir_converters.keras._json import Json, LayerConfig, show
from snnir_converters.keras._network import Layer

Array = npt.NDArray[Any]


class Refused(Exception):
    """A layer cannot be carried over; the finding says why. Internal."""

    def __init__(self, finding: Diagnostic) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True)
class Variable:
    """A variable of a layer.

    Attributes:
        names: What Keras calls it; all names that versions of Keras have used.
        trainable: Whether training changes it, unless the layer is frozen.
    """

    names: tuple[str, ...]
    trainable: bool = True

    @property
    def name(self) -> str:
        """What the newest Keras calls it."""
        return self.names[0]


@dataclass(frozen=True)
class Only:
    """The values of an argument that can be carried over, because they change nothing.

    Attributes:
        values: These, and None.
        reason: Why others cannot be.
        hint: What to do about it.
    """

    values: tuple[Json, ...]
    reason: str
    hint: str = ""

    @property
    def allowed(self) -> str:
        """The values, in words."""
        return " or ".join(show(value) for value in (*self.values, None))


@dataclass(frozen=True)
class Handler:
    """How layers of a class are carried over.

    Attributes:
        build: Adds what the layer does to the graph; returns the layer's output.
        carried: Arguments that it translates.
        only: Arguments that must have certain values.
        ignored: Arguments that mean nothing at inference, in addition to :data:`IGNORED` and
            initializers, regularizers and constraints.
        variables: The layer's variables, in the order of Keras: those that train come first.
    """

    build: Callable[[LayerCall], Value]
    carried: frozenset[str] = frozenset()
    only: Mapping[str, Only] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    variables: Callable[[LayerConfig], Sequence[Variable]] = lambda config: ()

    def mentions(self, key: str) -> bool:
        """Whether the handler knows an argument."""
        return (
            key in self.carried
            or key in self.only
            or key in self.ignored
            or key in IGNORED
            or key.endswith(TRAINING_SUFFIXES)
        )


IGNORED: Final = frozenset(
    (
        "name",
        "trainable",
        "dtype",  # looked at for all layers alike
        "batch_input_shape",  # the shapes of inputs decide
        "build_input_shape",
        "dynamic",
    )
)
"""Arguments of every layer that are looked at elsewhere, or mean nothing at inference."""

TRAINING_SUFFIXES: Final = ("_initializer", "_regularizer", "_constraint")
"""What the names of arguments end with that concern training alone."""


class Naming:
    """Names of nodes: those of the layers, made legal and unique."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken

    def unique(self, wanted: str) -> str:
        """A name like the wanted one that no other node has."""
        name = legal(wanted)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{legal(wanted, 240)}.{number}"
        self._taken.add(name)
        return name


def legal(name: str, length: int = 256) -> str:
    """A name that the format allows, as close to the given one as possible."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_./-") else "_" for c in name)
    if not kept or not (kept[0].isalpha() or kept[0] == "_"):
        kept = f"_{kept}"
    return kept[:length]


@dataclass
class LayerCall:
    """A call of a layer that is being translated.

    Attributes:
        layer: The layer.
        inputs: The values that it is called on.
        constants: For an operation: what it is called on, None standing for the next value.
        builder: The graph.
        naming: Names of nodes.
        version: Of the Keras that wrote the file.
        base: Name of the first node of this call.
    """

    layer: Layer
    inputs: list[Value]
    builder: GraphBuilder
    naming: Naming
    version: tuple[int, ...]
    base: str
    read: Callable[[Any, str], Array]
    variables: Sequence[Variable] = ()
    constants: Sequence[float | None] = ()

    @property
    def config(self) -> LayerConfig:
        """The layer's arguments."""
        return self.layer.config

    @property
    def x(self) -> Value:
        """The only input."""
        if len(self.inputs) != 1:
            self.malformed(f"{len(self.inputs)} inputs", "one input")
        return self.inputs[0]

    def shape(self, value: Value | None = None) -> Shape:
        """Shape of a value, or of the only input: without the batch."""
        return self.builder.types[(value or self.x).name].shape

    def channels(self) -> int | None:
        """Length of the last axis of the only input; None if it is not known."""
        shape = self.shape()
        if not shape:
            self.malformed("an input without axes", "an input with channels")
        return shape[-1] if isinstance(shape[-1], int) else None

    def emit(self, op: str, *inputs: Any, suffix: str = "", **arguments: Any) -> Value:
        """Add a node.

        Args:
            op: The operator.
            inputs: Its inputs.
            suffix: What the name of any node but the first of a layer ends with.
            arguments: Attributes and parameters.
        """
        name = self.naming.unique(f"{self.base}/{suffix}" if suffix else self.base)
        value: Value = self.builder.add(op, *inputs, name=name, source=self.layer.path, **arguments)
        return value

    def weight(self, name: str, shape: Sequence[int | None]) -> Tensor:
        """A variable as float32; the same object at every call of the layer.

        Args:
            name: What the newest Keras calls it.
            shape: The shape that it must have; None fits any length.
        """
        key = name
        if key not in self.layer.tensors:
            self.layer.tensors[key] = Tensor.from_array(self.array(name, shape))
        found: Tensor = self.layer.tensors[key]
        self._check_shape(name, found.shape, shape)
        return found

    def array(self, name: str, shape: Sequence[int | None]) -> Array:
        """A variable as a float32 array; read anew at every call."""
        place = f"{self.layer.where}, variable '{name}'"
        index = next(i for i, variable in enumerate(self.variables) if variable.name == name)
        stored = (self.layer.stored or ())[index : index + 1]
        if not stored:
            self._misfit(name, "nothing", format_shape([str(n or "any") for n in shape]))
        self._check_shape(name, tuple(stored[0].shape), shape)
        return self.read(stored[0], place)

    def _check_shape(self, name: str, found: tuple[int, ...], wanted: Sequence[int | None]) -> None:
        if len(found) != len(wanted) or any(
            want not in (None, have) for have, want in zip(found, wanted, strict=True)
        ):
            allowed = format_shape(["any" if want is None else want for want in wanted])
            self._misfit(name, format_shape(found), allowed)

    def _misfit(self, name: str, found: str, allowed: str) -> NoReturn:
        where = f"{self.layer.where}, variable '{name}'"
        raise FormatError(
            Diagnostic("keras.weights", where, found, allowed, source=self.layer.path)
        )

    def shared(self, key: str, make: Callable[[], Array]) -> Tensor:
        """A tensor that is made once and is the same object at every call of the layer."""
        if key not in self.layer.tensors:
            self.layer.tensors[key] = Tensor.from_array(make())
        found: Tensor = self.layer.tensors[key]
        return found

    def constant(self, key: str) -> Array:
        """An argument that is a number, or numbers, as a float32 array."""
        values = self.config.numbers(key)
        try:
            return np.asarray(values, np.float32)
        except ValueError as error:
            raise FormatError(
                Diagnostic("keras.config", self.config.place(key), show(values), "an array")
            ) from error

    def feature_axis(self, key: str, axis: int) -> int:
        """The feature axis (no batch, from 0) that Keras counts with the batch, from 0."""
        rank = len(self.shape(self.inputs[0]))
        if not -rank - 1 <= axis <= rank:
            self.malformed(f"{key}={axis} for {rank + 1} axes", "an axis of the input")
        found = axis % (rank + 1) - 1
        if found < 0:
            reason = "the batch axis is not part of the network"
            self.refuse_argument(key, axis, "an axis of a sample", reason)
        return found

    def refuse_argument(self, key: str, value: Json, allowed: str, reason: str = "") -> NoReturn:
        """Give up on the layer because of an argument."""
        raise Refused(argument_finding(self.layer, key, value, allowed, reason))

    def refuse(self, found: str, allowed: str, hint: str = "") -> NoReturn:
        """Give up on the layer because of what it is called on."""
        raise Refused(
            Diagnostic("keras.call", self.layer.where, found, allowed, hint, self.layer.path)
        )

    def malformed(self, found: str, allowed: str) -> NoReturn:
        """Report what Keras itself would not accept."""
        raise FormatError(
            Diagnostic("keras.config", self.layer.where, found, allowed, source=self.layer.path)
        )


def because(found: str, reason: str) -> str:
    """What was found, and why it is refused."""
    return f"{found} ({reason})" if reason else found


def argument_finding(
    layer: Layer, key: str, value: Json, allowed: str, reason: str = "", hint: str = ""
) -> Diagnostic:
    """The finding that an argument cannot be carried over: what may be there, and why not this."""
    return Diagnostic(
        "keras.argument",
        f"{layer.where}, argument '{key}'",
        because(show(value), reason),
        allowed,
        hint,
        layer.path,
    )
