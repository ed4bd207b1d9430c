"""Structural differences between two models."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np

from snnir.ir.graph import AttributeValue, Binding, GraphInput, GraphOutput, Node
from snnir.ir.model import Example, Expected, Model
from snnir.ir.printer import (
    format_attribute,
    format_node,
    format_quantization,
    format_tensor,
    format_type,
    quote,
)
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization, ValueType, format_shape
from snnir.ops.registry import BUILTIN_DOMAINS, Resolver
from snnir.ops.schema import OpDef, default_attribute

T = TypeVar("T")

Kind = Literal["added", "removed", "changed"]

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        where: The place, e.g. ``"node 'fc1', parameter 'weight'"``.
        kind: Whether it is there only in the second model, only in the first, or differs.
        before: What the first model has; empty if it has nothing.
        after: What the second model has; empty if it has nothing. For the content of a tensor,
            how it differs; ``before`` is empty then.
        in_digest: Whether it is among what :func:`snnir.digest` covers: what a model means. A
            producer, metadata, an example or the name of an original layer is not.
    """

    where: str
    kind: Kind
    before: str
    after: str
    in_digest: bool = True

    def __str__(self) -> str:
        text = {
            "added": self.after,
            "removed": self.before,
            "changed": f"{self.before} -> {self.after}" if self.before else self.after,
        }[self.kind]
        return f"{_SIGNS[self.kind]} {self.where}: {text}"

    def to_json(self) -> dict[str, str | bool]:
        """The difference as a JSON object."""
        return {
            "where": self.where,
            "kind": self.kind,
            "before": self.before,
            "after": self.after,
            "in_digest": self.in_digest,
        }


def diff(a: Model, b: Model) -> list[Change]:
    """How two models differ; empty if they are equal in all that they hold.

    Nodes are compared by name; their order counts for nothing. As for the digest, a setting of
    a built-in operator that equals its default counts as absent. Two models have the same
    :func:`snnir.digest` if and only if no change has ``in_digest``.

    Weights are looked at a stretch at a time, and not at all where both files give the same
    digest for them.

    Args:
        a: The first model: what was.
        b: The second model: what is.

    Returns:
        Changes in the order of the first graph, then what only the second has.
    """
    changes = _Changes()
    _compare_header(changes, a, b)
    _compare_graph(changes, a, b)
    _compare_examples(changes, a, b)
    return changes.found


class _Changes:
    """Collects changes."""

    def __init__(self) -> None:
        self.found: list[Change] = []

    def add(
        self, where: str, before: str | None, after: str | None, *, in_digest: bool = True
    ) -> None:
        """A place that has ``before`` (None: is not there) and then ``after``."""
        kind: Kind = "added" if before is None else "removed" if after is None else "changed"
        self.found.append(Change(where, kind, before or "", after or "", in_digest))

    def settle(
        self,
        where: str,
        before: T,
        after: T,
        text: Callable[[T], str | None],
        *,
        in_digest: bool = True,
    ) -> None:
        """Add a change if two values are not the same."""
        if not _same(before, after):
            self.add(where, text(before), text(after), in_digest=in_digest)

    def members(
        self,
        what: str,
        before: Mapping[str, T],
        after: Mapping[str, T],
        text: Callable[[T], str],
        *,
        in_digest: bool = True,
    ) -> Iterator[tuple[str, T, T]]:
        """Add what only one of them has; yield the place of what both have, and both."""
        for key in (*before, *(key for key in after if key not in before)):
            where = f"{what} '{key}'"
            if key in before and key in after:
                yield where, before[key], after[key]
            else:
                self.add(
                    where,
                    text(before[key]) if key in before else None,
                    text(after[key]) if key in after else None,
                    in_digest=in_digest,
                )


def _same(a: object, b: object) -> bool:
    """Equality as the digest sees it: it tells 1 from 1.0, True, and 0.0 from -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return a == b


def _compare_header(changes: _Changes, a: Model, b: Model) -> None:
    changes.settle("format version", a.ir_version, b.ir_version, str, in_digest=False)
    changes.settle(
        "producer",
        a.producer,
        b.producer,
        lambda producer: f"{producer.name} {producer.version}".strip(),
        in_digest=False,
    )
    used = {node.domain for m in (a, b) for node in m.graph.nodes.values()}
    for domain in sorted({*a.opsets, *b.opsets}):
        versions = a.opsets.get(domain), b.opsets.get(domain)
        where = f"operator set '{domain}'"
        changes.settle(where, *versions, _version, in_digest=domain in used)
    changes.settle("time step", a.time.dt, b.time.dt, lambda dt: f"{dt!r} s")
    changes.settle("presentation length", a.time.steps, b.time.steps, lambda n: f"{n} steps")
    for where, before, after in changes.members(
        "metadata", a.metadata, b.metadata, quote, in_digest=False
    ):
        changes.settle(where, before, after, quote, in_digest=False)


def _version(number: int | None) -> str | None:
    return None if number is None else f"version {number}"


def _compare_graph(changes: _Changes, a: Model, b: Model) -> None:
    changes.settle("graph name", a.graph.name, b.graph.name, quote, in_digest=False)
    _compare_inputs(changes, a.graph.inputs, b.graph.inputs)
    resolve_a, resolve_b = Resolver(a.opsets), Resolver(b.opsets)
    for _, before, after in changes.members(
        "node", a.graph.nodes, b.graph.nodes, lambda node: format_node(node)
    ):
        _NodeChanges(changes, before, after, resolve_a, resolve_b).compare()
    _compare_outputs(changes, a.graph.outputs, b.graph.outputs)


def _keyed(entries: Iterable[T], name: Callable[[T], str]) -> dict[str, T]:
    """Entries by name; a name that is there again (which no valid model has) gets a number."""
    result: dict[str, T] = {}
    for entry in entries:
        key, count = name(entry), 1
        while key in result:
            count += 1
            key = f"{name(entry)}#{count}"
        result[key] = entry
    return result


def _compare_order(
    changes: _Changes, what: str, before: Mapping[str, T], after: Mapping[str, T]
) -> None:
    """The order of what both have."""
    old = [key for key in before if key in after]
    new = [key for key in after if key in before]
    if old != new:
        changes.add(f"order of {what}", _listed(old), _listed(new))


def _compare_inputs(
    changes: _Changes, before: Sequence[GraphInput], after: Sequence[GraphInput]
) -> None:
    a, b = (_keyed(entries, lambda entry: entry.name) for entries in (before, after))
    for where, old, new in changes.members("input", a, b, lambda entry: format_type(entry.type)):
        changes.settle(f"{where}, type", old.type, new.type, format_type)
        _compare_optional(changes, f"{where}, scale", old.scale, new.scale)
        _compare_optional(changes, f"{where}, offset", old.offset, new.offset)
        changes.settle(f"{where}, layout", old.layout, new.layout, quote)
    _compare_order(changes, "inputs", a, b)


def _compare_outputs(
    changes: _Changes, before: Sequence[GraphOutput], after: Sequence[GraphOutput]
) -> None:
    a, b = (_keyed(entries, lambda entry: entry.name) for entries in (before, after))
    for where, old, new in changes.members("output", a, b, lambda entry: f"%{entry.value}"):
        changes.settle(f"{where}, value", old.value, new.value, lambda value: f"%{value}")
        if len(old.labels) != len(new.labels):
            changes.add(f"{where}, labels", _listed(old.labels), _listed(new.labels))
        elif old.labels != new.labels:
            for index, (was, now) in enumerate(zip(old.labels, new.labels, strict=True)):
                changes.settle(f"{where}, label {index}", was, now, quote)
    _compare_order(changes, "outputs", a, b)


class _NodeChanges:
    """Compares two nodes of one name."""

    def __init__(
        self, changes: _Changes, a: Node, b: Node, resolve_a: Resolver, resolve_b: Resolver
    ) -> None:
        self.changes = changes
        self.a = a
        self.b = b
        self.where = f"node '{a.name}'"
        self.opdef_a = resolve_a(a.op) if a.domain in BUILTIN_DOMAINS else None
        self.opdef_b = resolve_b(b.op) if b.domain in BUILTIN_DOMAINS else None

    def compare(self) -> None:
        a, b, where = self.a, self.b, self.where
        self.changes.settle(f"{where}, operator", a.op, b.op, str)
        self._compare_bindings()
        if a.outputs != b.outputs:
            self.changes.add(f"{where}, output ports", _listed(a.outputs), _listed(b.outputs))
        self._compare_parameters()
        self._compare_attributes()
        self._compare_types()
        self.changes.settle(f"{where}, source", a.source, b.source, quote, in_digest=False)

    def _compare_bindings(self) -> None:
        if self.a.inputs == self.b.inputs:
            return
        ports: dict[str, tuple[list[Binding], list[Binding]]] = {}
        for side, node in enumerate((self.a, self.b)):
            for binding in node.inputs:
                ports.setdefault(binding.port, ([], []))[side].append(binding)
        found = len(self.changes.found)
        for port, (before, after) in ports.items():
            where = f"{self.where}, input '{port}'"
            gone = list((Counter(before) - Counter(after)).elements())
            new = list((Counter(after) - Counter(before)).elements())
            if len(gone) == len(new) == 1:
                self.changes.add(where, f"%{gone[0]}", f"%{new[0]}")
                continue
            for binding in gone:
                self.changes.add(where, f"%{binding}", None)
            for binding in new:
                self.changes.add(where, None, f"%{binding}")
            if before != after and not gone and not new:
                orders = (_listed([f"%{binding}" for binding in side]) for side in (before, after))
                self.changes.add(f"{where}, order", *orders)
        if len(self.changes.found) == found:
            orders = (_listed([b.port for b in node.inputs]) for node in (self.a, self.b))
            self.changes.add(f"{self.where}, order of inputs", *orders)

    def _compare_parameters(self) -> None:
        a, b = self.a.parameters, self.b.parameters
        for name in sorted({*a, *b}):
            where = f"{self.where}, parameter '{name}'"
            before = _stored_parameter(self.opdef_a, name, a.get(name))
            after = _stored_parameter(self.opdef_b, name, b.get(name))
            if before is not None and after is not None:
                _compare_tensors(self.changes, where, before, after)
            elif before is not after:
                self.changes.add(
                    where,
                    _or_default(_tensor(before), _default_parameter(self.opdef_a, name)),
                    _or_default(_tensor(after), _default_parameter(self.opdef_b, name)),
                )

    def _compare_attributes(self) -> None:
        a, b = self.a.attributes, self.b.attributes
        for name in sorted({*a, *b}):
            default_a = default_attribute(self.opdef_a, name)
            default_b = default_attribute(self.opdef_b, name)
            before = a.get(name) if a.get(name) != default_a else None
            after = b.get(name) if b.get(name) != default_b else None
            if not _same(before, after):
                self.changes.add(
                    f"{self.where}, attribute '{name}'",
                    _or_default(_attribute(before), default_a),
                    _or_default(_attribute(after), default_b),
                )

    def _compare_types(self) -> None:
        """Declared types, which mean something only where they cannot be inferred."""
        a, b = self.a.output_types, self.b.output_types
        if a == b:
            return
        in_digest = self.opdef_a is None or self.opdef_b is None
        where = f"{self.where}, declared types"
        self.changes.add(where, _types(a), _types(b), in_digest=in_digest)


def _tensor(tensor: Tensor | None) -> str | None:
    return None if tensor is None else format_tensor(tensor)


def _attribute(value: AttributeValue | None) -> str | None:
    return None if value is None else format_attribute(value)


def _types(value_types: tuple[ValueType, ...]) -> str | None:
    return ", ".join(map(format_type, value_types)) or None


def _default_parameter(opdef: OpDef | None, name: str) -> float | None:
    parameter = opdef.parameter(name) if opdef is not None else None
    return None if parameter is None else parameter.default


def _stored_parameter(opdef: OpDef | None, name: str, tensor: Tensor | None) -> Tensor | None:
    """The tensor; None if it is absent or equal to the default of a built-in operator."""
    default = _default_parameter(opdef, name)
    if (
        tensor is None
        or default is None
        or tensor.shape
        or tensor.quantization is not None
        or tensor.numpy().item() != default
    ):
        return tensor
    return None


def _or_default(text: str | None, default: AttributeValue | None) -> str | None:
    if text is not None or default is None:
        return text
    return f"{format_attribute(default)} (default)"


def _compare_examples(changes: _Changes, a: Model, b: Model) -> None:
    def text(example: Example) -> str:
        return f"{example.steps} steps, {_listed(sorted(example.expected))}"

    for where, before, after in changes.members(
        "example", a.examples, b.examples, text, in_digest=False
    ):
        changes.settle(f"{where}, steps", before.steps, after.steps, str, in_digest=False)
        changes.settle(f"{where}, origin", before.origin, after.origin, quote, in_digest=False)
        for place, old, new in changes.members(
            f"{where}, input", before.inputs, after.inputs, format_tensor, in_digest=False
        ):
            _compare_tensors(changes, place, old, new, in_digest=False)
        for place, was, now in changes.members(
            f"{where}, expected", before.expected, after.expected, _expected, in_digest=False
        ):
            _compare_tensors(changes, place, was.tensor, now.tensor, in_digest=False)
            tolerances = was.tolerance, now.tolerance
            changes.settle(f"{place}, tolerance", *tolerances, str, in_digest=False)


def _expected(expected: Expected) -> str:
    return f"{format_tensor(expected.tensor)}, {expected.tolerance}"


def _compare_optional(
    changes: _Changes, where: str, before: Tensor | None, after: Tensor | None
) -> None:
    if before is not None and after is not None:
        _compare_tensors(changes, where, before, after)
    elif before is not after:
        changes.add(where, _tensor(before), _tensor(after))


def _compare_tensors(
    changes: _Changes, where: str, a: Tensor, b: Tensor, *, in_digest: bool = True
) -> None:
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        changes.add(where, format_tensor(a), format_tensor(b), in_digest=in_digest)
        return
    if a.quantization != b.quantization:
        changes.add(
            f"{where}, quantisation",
            *map(_quantization, (a.quantization, b.quantization)),
            in_digest=in_digest,
        )
    if a is b or (a.recorded_sha256 and a.recorded_sha256 == b.recorded_sha256):
        return
    found = _difference(a, b)
    if found is None:
        if not (a.recorded_sha256 and b.recorded_sha256):
            return
        found = "equal bytes under two digests: one file is damaged, and `snnir check` tells which"
    if a.shape:
        changes.add(where, "", found, in_digest=in_digest)
    else:
        changes.add(where, format_tensor(a), format_tensor(b), in_digest=in_digest)


def _quantization(quantization: Quantization | None) -> str | None:
    if quantization is None:
        return None
    text = format_quantization(quantization)
    if len(quantization.scale) <= 1:
        return text
    return f"{text} with scales {min(quantization.scale):g} to {max(quantization.scale):g}"


def _difference(a: Tensor, b: Tensor) -> str | None:
    """How the elements of two tensors of one type differ, or None if their bytes are equal."""
    count = start = 0
    first: int | None = None
    most: float = 0
    against_nan = False
    for left, right in zip(a.chunks(), b.chunks(), strict=True):
        bits = np.dtype(f"u{left.dtype.itemsize}")
        differing = left.view(bits) != right.view(bits)
        if differing.any():
            count += int(np.count_nonzero(differing))
            first = start + int(np.argmax(differing)) if first is None else first
            largest, nan = _largest(left[differing], right[differing])
            most, against_nan = max(most, largest), against_nan or nan
        start += left.size
    if first is None:
        if a.dtype is not DType.INT4 or bytes(a.raw()[-1:]) == bytes(b.raw()[-1:]):
            return None
        return "the padding behind the last element differs"
    text = f"{count} of {a.size} elements differ"
    if a.dtype is not DType.BOOL:
        unit = " (stored integers)" if a.quantization or b.quantization else ""
        text += f", by at most {most:.6g}{unit}"
    if against_nan:
        text += " or NaN against a number"
    index = [int(i) for i in np.unravel_index(first, a.shape)]
    return f"{text}, the first at {format_shape(index)}"


def _largest(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> tuple[float, bool]:
    """The largest difference of two flat arrays, and whether NaN stands against a number."""
    if a.dtype.kind == "b":
        return 1, False
    if a.dtype.kind == "f":
        with np.errstate(all="ignore"):
            wide = np.abs(a.astype(np.float64) - b.astype(np.float64))
        wide[(a == b) | np.isnan(wide)] = 0.0
        return float(wide.max()), bool((np.isnan(a) != np.isnan(b)).any())
    high, low = np.maximum(a, b).astype(np.int64), np.minimum(a, b).astype(np.int64)
    return int((high.view(np.uint64) - low.view(np.uint64)).max()), False


def _listed(names: Sequence[str], limit: int = 8) -> str:
    """Names with commas, no more than a reader wants."""
    shown = ", ".join(names[:limit])
    return f"{shown}, ... ({len(names)})" if len(names) > limit else shown or "none"
