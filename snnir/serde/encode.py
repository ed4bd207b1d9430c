"""IR to protobuf messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from snnir import limits
from snnir.errors import Diagnostic, ModelError
from snnir.ir.graph import AttributeValue, GraphInput, Node
from snnir.ir.model import Close, Exact, Model, Rate, SpikeShift, Tolerance
from snnir.ir.tensor import Tensor
from snnir.ir.types import Quantization, ValueType
from snnir.proto.v1 import snnir_pb2 as pb


_PROBE: Final = 256


class BlobTable:
    """Which tensors become blobs. Tensors with the same bytes share one."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._by_identity: dict[int, int] = {}
        self._alike: dict[tuple[int, bytes, bytes], list[int]] = {}

    def index(self, tensor: Tensor) -> int:
        """Number of the blob with this tensor's bytes; a new one if there is none yet."""
        number = self._by_identity.get(id(tensor))
        if number is None:
            number = self._by_identity[id(tensor)] = self._find(tensor)
        return number

    def _find(self, tensor: Tensor) -> int:
        with tensor.raw() as raw:
            key = (raw.nbytes, bytes(raw[:_PROBE]), bytes(raw[-_PROBE:]))
            alike = self._alike.setdefault(key, [])
            for number in alike:
                with self.tensors[number].raw() as other:
                    if raw == other:
                        return number
        alike.append(len(self.tensors))
        self.tensors.append(tensor)
        return alike[-1]


def encode_model(model: Model, blobs: BlobTable) -> pb.Model:
    """The header as a message; large tensors go into ``blobs``.

    Raises:
        ModelError: If the model holds something that the format cannot say.
    """
    message = pb.Model(ir_version=model.ir_version)
    message.producer.name = model.producer.name
    message.producer.version = model.producer.version
    for domain, version in sorted(model.opsets.items()):
        message.opsets.add(domain=domain, version=version)
    message.time.dt = model.time.dt
    message.time.steps = model.time.steps
    _encode_graph(model, message.graph, blobs)
    for name, example in sorted(model.examples.items()):
        stored = message.examples.add(name=name, steps=example.steps, origin=example.origin)
        for key, tensor in sorted(example.inputs.items()):
            encode_tensor(tensor, stored.inputs.add(name=key).tensor, blobs)
        for key, expected in sorted(example.expected.items()):
            entry = stored.expected.add(name=key)
            encode_tensor(expected.tensor, entry.tensor, blobs)
            _encode_tolerance(expected.tolerance, entry.tolerance)
    for key, value in sorted(model.metadata.items()):
        message.metadata.add(key=key, value=value)
    return message


def _encode_graph(model: Model, message: pb.Graph, blobs: BlobTable) -> None:
    graph = model.graph
    message.name = graph.name
    numbers = {name: number for number, name in enumerate(graph.value_names())}
    for entry in graph.inputs:
        _encode_input(entry, message.inputs.add(), blobs)
    add_node = message.nodes.add
    for node in graph.nodes.values():
        _encode_node(node, add_node(), numbers, blobs)
    for output in graph.outputs:
        message.outputs.add(
            name=output.name,
            value=_number(numbers, output.value, f"output '{output.name}'"),
            labels=output.labels,
        )


def _number(numbers: Mapping[str, int], value: str, where: str) -> int:
    number = numbers.get(value)
    if number is None:
        raise ModelError(
            Diagnostic(
                "graph.dangling-edge", where, f"value '{value}'", "a graph input or 'node:port'"
            )
        )
    return number


def _encode_input(entry: GraphInput, message: pb.GraphInput, blobs: BlobTable) -> None:
    message.name = entry.name
    message.layout = entry.layout
    encode_type(entry.type, message.type)
    if entry.scale is not None:
        encode_tensor(entry.scale, message.scale, blobs)
    if entry.offset is not None:
        encode_tensor(entry.offset, message.offset, blobs)


def _encode_node(
    node: Node, message: pb.Node, numbers: Mapping[str, int], blobs: BlobTable
) -> None:
    message.name = node.name
    message.op = node.op
    add_input = message.inputs.add
    for port, source, delay_steps in node.inputs:
        number = numbers.get(source)
        if number is None:
            number = _number(numbers, source, f"node '{node.name}', input '{port}'")
        binding = add_input()
        binding.port = port
        if number:
            binding.value = number
        if delay_steps:
            binding.delay_steps = delay_steps
    message.output_ports.extend(node.outputs)
    if node.attributes:
        for name in sorted(node.attributes):
            _encode_attribute(node.attributes[name], message.attributes.add(name=name))
    if node.parameters:
        for name in sorted(node.parameters):
            parameter = message.parameters.add()
            parameter.name = name
            encode_tensor(node.parameters[name], parameter.tensor, blobs)
    for value_type in node.output_types:
        encode_type(value_type, message.output_types.add())
    if node.source:
        message.source = node.source


def _encode_attribute(value: AttributeValue, message: pb.Attribute) -> None:
    if isinstance(value, bool):
        message.b = value
    elif isinstance(value, int):
        message.i = value
    elif isinstance(value, float):
        message.f = value
    elif isinstance(value, str):
        message.s = value
    else:
        message.ints.SetInParent()
        message.ints.values.extend(value)


def encode_tensor(tensor: Tensor, message: pb.Tensor, blobs: BlobTable) -> None:
    """A tensor, inline or as a reference to a blob."""
    message.dtype = tensor.dtype.value
    if tensor.shape:
        message.shape.extend(tensor.shape)
    if tensor.nbytes <= limits.INLINE_BYTES:
        message.inline = bytes(tensor.raw())
    else:
        message.blob.SetInParent()
        message.blob.index = blobs.index(tensor)
    if tensor.quantization is not None:
        _encode_quantization(tensor.quantization, message.quantization)


def _encode_quantization(quantization: Quantization, message: pb.Quantization) -> None:
    message.scale.extend(quantization.scale)
    message.zero_point.extend(quantization.zero_point)
    if quantization.axis is not None:
        message.axis = quantization.axis
    message.bits = quantization.bits
    message.rounding = quantization.rounding.value
    message.saturated = quantization.saturated
    message.signed = quantization.signed


def encode_type(value_type: ValueType, message: pb.ValueType) -> None:
    """The type of a value."""
    message.dtype = value_type.dtype.value
    message.timing = value_type.timing.value
    for dim in value_type.shape:
        if isinstance(dim, str):
            message.shape.add(symbol=dim)
        else:
            message.shape.add(size=dim)
    if value_type.quantization is not None:
        _encode_quantization(value_type.quantization, message.quantization)


def _encode_tolerance(tolerance: Tolerance, message: pb.Tolerance) -> None:
    if isinstance(tolerance, Exact):
        message.exact.SetInParent()
    elif isinstance(tolerance, SpikeShift):
        message.spike_shift_steps = tolerance.steps
    elif isinstance(tolerance, Rate):
        message.rate = tolerance.bound
    elif isinstance(tolerance, Close):
        message.close.SetInParent()
        message.close.absolute = tolerance.absolute
        message.close.relative = tolerance.relative


def blob_references(message: pb.Model) -> list[Any]:
    """The blob reference of every tensor that has one."""
    tensors: list[Any] = []
    for entry in message.graph.inputs:
        tensors += [entry.scale, entry.offset]
    tensors += [p.tensor for node in message.graph.nodes for p in node.parameters]
    for example in message.examples:
        tensors += [entry.tensor for entry in example.inputs]
        tensors += [entry.tensor for entry in example.expected]
    return [tensor.blob for tensor in tensors if tensor.HasField("blob")]
