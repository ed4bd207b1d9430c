"""A model as text: stable, one line a node, and safe to show whatever the file holds.

The text is for people and for line-by-line comparison; it is not read back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from snnir import limits
from snnir.ir.graph import AttributeValue, GraphInput, GraphOutput, Node
from snnir.ir.model import Example, Model
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization, Rounding, ValueType, format_shape

_INDENT: Final = "    "
_WIDTH: Final = 100
_DIGEST_DIGITS: Final = 8


def format_model(
    model: Model, *, types: Mapping[str, ValueType] | None = None, values: bool = False
) -> str:
    r"""A model as text that ends with a newline.

    Nodes come in the order of the graph; what a dict holds comes sorted by name. The time is
    linear in the size of the text. Names that the format does not allow, and characters that
    a terminal would obey, are quoted.

    Args:
        model: The model; it need not be valid, and its operators need not be installed.
        types: Types of values, e.g. what :func:`snnir.infer` found. Without them a node shows
            the types that it declares.
        values: Whether to show what identifies the content of a tensor: the first digits of
            its SHA-256. This reads every tensor whose file gives no digest; without it no
            weight is read.

    Example:
        >>> from snnir import GraphBuilder
        >>> b = GraphBuilder("tiny", dt=1e-3, steps=10)
        >>> spikes = b.snn.LIF(b.input("current", [2], timing="per_step"), decay=0.5, name="h")
        >>> b.output("spikes", spikes)
        >>> print(format_model(b.build(), types=b.types))  # doctest: +ELLIPSIS
        model tiny  # format 1, written by snnir ...
        opset snn 1
        time dt=0.001 s, steps=10
        <BLANKLINE>
        input %current: float32[2] per step
        <BLANKLINE>
        %h:spikes = snn.LIF(current=%current, decay=0.5)  # float32[2] per step
        <BLANKLINE>
        output spikes = %h:spikes  # float32[2] per step
        <BLANKLINE>
    """
    known = {entry.name: entry.value_type for entry in model.graph.inputs}
    return "\n".join(_lines(model, {**known, **(types or {})}, values)) + "\n"


def _lines(model: Model, types: Mapping[str, ValueType], values: bool) -> Iterator[str]:
    graph = model.graph
    yield from _header(model)
    sections: tuple[Iterable[str], ...] = (
        (_input(entry, values) for entry in graph.inputs),
        (format_node(node, types=types, values=values) for node in graph.nodes.values()),
        (line for output in graph.outputs for line in _output(output, types)),
    )
    for section in sections:
        lines = list(section)
        if lines:
            yield ""
            yield from lines
    for name in sorted(model.examples):
        yield ""
        yield from _example(name, model.examples[name], values)


def _header(model: Model) -> Iterator[str]:
    producer = f"{model.producer.name} {model.producer.version}".strip()
    written = f", written by {_plain(producer)}" if producer else ""
    yield f"model {_name(model.graph.name)}  # format {model.ir_version}{written}"
    for domain, version in sorted(model.opsets.items()):
        yield f"opset {_name(domain)} {version}"
    yield f"time dt={model.time.dt!r} s, steps={model.time.steps}"
    for key, text in sorted(model.metadata.items()):
        yield f"metadata {_name(key)} = {quote(text)}"


def _input(entry: GraphInput, values: bool) -> str:
    parts = [f"input {_value(entry.name)}: {format_type(entry.type)}"]
    for name, tensor in (("scale", entry.scale), ("offset", entry.offset)):
        if tensor is not None:
            parts.append(f"{name}={format_tensor(tensor, values=values)}")
    if entry.layout:
        parts.append(f"layout={quote(entry.layout)}")
    comment = f"  # {format_type(entry.value_type)}" if entry.value_type != entry.type else ""
    return ", ".join(parts) + comment


def _output(output: GraphOutput, types: Mapping[str, ValueType]) -> Iterator[str]:
    value_type = types.get(output.value)
    comment = f"  # {format_type(value_type)}" if value_type is not None else ""
    yield f"output {_name(output.name)} = {_value(output.value)}{comment}"
    if output.labels:
        yield from _filled("labels ", [quote(label) for label in output.labels])


def _example(name: str, example: Example, values: bool) -> Iterator[str]:
    origin = f"  # from {_plain(example.origin)}" if example.origin else ""
    yield f"example {_name(name)}: steps={example.steps}{origin}"
    for key, tensor in sorted(example.inputs.items()):
        yield f"{_INDENT}input {_name(key)} = {format_tensor(tensor, values=values)}"
    for key, expected in sorted(example.expected.items()):
        text = format_tensor(expected.tensor, values=values)
        name_or_value = _value(key) if ":" in key else _name(key)
        yield f"{_INDENT}expect {name_or_value} = {text}, {expected.tolerance}"


def format_node(
    node: Node, *, types: Mapping[str, ValueType] | None = None, values: bool = False
) -> str:
    """One node as one line; see :func:`format_model`."""
    outputs = ", ".join(map(_value, node.values())) or "()"
    ports: dict[str, list[str]] = {}
    for binding in node.inputs:
        delay = f" @-{binding.delay_steps}" if binding.delay_steps else ""
        ports.setdefault(binding.port, []).append(_value(binding.source) + delay)
    arguments = [
        f"{_name(port)}={sources[0] if len(sources) == 1 else '[' + ', '.join(sources) + ']'}"
        for port, sources in ports.items()
    ]
    for name in sorted(node.parameters):
        arguments.append(f"{_name(name)}={format_tensor(node.parameters[name], values=values)}")
    for name in sorted(node.attributes):
        arguments.append(f"{_name(name)}={format_attribute(node.attributes[name])}")
    line = f"{outputs} = {_name(node.op)}({', '.join(arguments)})"
    comments = []
    if found := _output_types(node, types or {}):
        comments.append(", ".join(found))
    if node.source:
        comments.append(f"from layer '{_plain(node.source)}'")
    return line + ("  # " + ", ".join(comments) if comments else "")


def _output_types(node: Node, types: Mapping[str, ValueType]) -> list[str]:
    """Types of all outputs, or none if no type is known."""
    declared = dict(zip(node.values(), node.output_types, strict=False))
    found = [types.get(value) or declared.get(value) for value in node.values()]
    if not any(found):
        return []
    return ["unknown" if entry is None else format_type(entry) for entry in found]


def format_type(value_type: ValueType) -> str:
    """The type of a value, e.g. ``float32[28, 28, 1] per step``."""
    dims = ", ".join(_plain(dim) if isinstance(dim, str) else str(dim) for dim in value_type.shape)
    text = f"{value_type.dtype.label}[{dims}]"
    if value_type.quantization is not None:
        text += f" {format_quantization(value_type.quantization)}"
    return f"{text} per step" if value_type.is_per_step else text


def format_tensor(tensor: Tensor, *, values: bool = False) -> str:
    """A tensor: a scalar in memory by its number, any other by its type.

    A float32 is shown by the shortest digits that no other float32 is nearer to; a number of
    any other type is shown as ``int32(3)``.

    Args:
        tensor: The tensor.
        values: Whether to append ``#`` and the first digits of the SHA-256 of its content.
    """
    if tensor.shape or tensor.is_mapped:
        text = f"{tensor.dtype.label}{format_shape(tensor.shape)}"
        if values:
            text += f"#{tensor.sha256().hex()[:_DIGEST_DIGITS]}"
    else:
        text = _number(tensor)
    if tensor.quantization is not None:
        text += f" {format_quantization(tensor.quantization)}"
    return text


def _number(tensor: Tensor) -> str:
    element = tensor.numpy()[()]
    if tensor.dtype is DType.BOOL:
        return "true" if element else "false"
    text = str(element)
    return text if tensor.dtype is DType.FLOAT32 else f"{tensor.dtype.label}({text})"


def format_quantization(quantization: Quantization) -> str:
    """What integers stand for, e.g. ``q8(scale=0.0078125)``; usual settings are left out."""
    scale, zero = quantization.scale, quantization.zero_point
    parts = [f"scale={scale[0]!r}" if len(scale) == 1 else f"scale=[{len(scale)}]"]
    if any(zero):
        parts.append(f"zero_point={zero[0]!r}" if len(zero) == 1 else f"zero_point=[{len(zero)}]")
    if quantization.axis is not None:
        parts.append(f"axis={quantization.axis}")
    if quantization.rounding is not Rounding.HALF_EVEN:
        parts.append(quantization.rounding.label)
    if quantization.saturated:
        parts.append("saturated")
    return f"{'q' if quantization.signed else 'uq'}{quantization.bits}({', '.join(parts)})"


def format_attribute(value: AttributeValue) -> str:
    """An attribute, as JSON writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, (int, float)):
        return repr(value)
    return "[" + ", ".join(map(str, value)) + "]"


def quote(text: str) -> str:
    """Text in double quotes; what cannot be printed is escaped."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    ascii_only = json.dumps(text)[1:-1]
    return ascii_only.replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    """Text without quotes; what cannot be printed is escaped."""
    return text if text.isprintable() else _escaped(text)


def _name(name: str) -> str:
    """A name, quoted if the format does not allow it."""
    return name if limits.NAME.fullmatch(name) else quote(name)


def _value(name: str) -> str:
    """``%input`` or ``%node:port``."""
    node, colon, port = name.partition(":")
    if limits.NAME.fullmatch(node) and (not colon or limits.NAME.fullmatch(port)):
        return f"%{name}"
    return f"%{quote(name)}"


def _filled(prefix: str, words: list[str]) -> Iterator[str]:
    """Words with commas between them, in indented lines of bounded width."""
    line = _INDENT + prefix
    empty = True
    for position, word in enumerate(words):
        piece = word + ("," if position < len(words) - 1 else "")
        if not empty and len(line) + 1 + len(piece) > _WIDTH:
            yield line
            line, empty = _INDENT + " " * len(prefix), True
        line += piece if empty else f" {piece}"
        empty = False
    yield line
