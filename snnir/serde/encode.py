"""IR to protobuf messages."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from snnir import limits
from snnir.errors import Diagnostic, ModelError
from snnir.ir.graph import AttributeValue, GraphInput, Node
from snnir.ir.model import (
    IR_VERSION,
    Close,
    Exact,
    Example,
    Model,
    Rate,
    SpikeShift,
    Tolerance,
)
from snnir.ir.tensor import Tensor
from snnir.ir.types import Dim, Quantization, ValueType, shape_problem
from snnir.proto.v1 import snnir_pb2 as pb

_PROBE: Final = 256

_UNFIT: Final = (TypeError, ValueError, AttributeError, OverflowError)
"""What protobuf and Python raise for a value of the wrong type or out of range."""


class BlobTable:
    """Which tensors become blobs. Tensors with the same bytes share one."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.references: list[pb.BlobRef] = []
        """Every reference to a blob in the message; their digests are still to be filled in."""
        self.digests: list[bytes] = []
        """SHA-256 of each blob, where it has been computed."""
        self._by_identity: dict[int, int] = {}
        self._alike: dict[tuple[int, bytes, bytes], list[int]] = {}
        self._by_digest: dict[bytes, int] = {}

    def index(self, tensor: Tensor) -> int:
        """Number of the blob with this tensor's bytes; a new one if there is none yet."""
        number = self._by_identity.get(tensor.identity)
        if number is None:
            number = self._by_identity[tensor.identity] = self._find(tensor)
        return number

    def _find(self, tensor: Tensor) -> int:
        """Bytes are hashed only where length, start and end agree with those of another."""
        with tensor.raw() as raw:
            key = (raw.nbytes, bytes(raw[:_PROBE]), bytes(raw[-_PROBE:]))
        alike = self._alike.setdefault(key, [])
        digest = b""
        if alike:
            digest = self._digest(tensor)
            if len(alike) == 1:
                self._by_digest[self._digest_of(alike[0])] = alike[0]
            known = self._by_digest.get(digest)
            if known is not None:
                return known
            self._by_digest[digest] = len(self.tensors)
        alike.append(len(self.tensors))
        self.tensors.append(tensor)
        self.digests.append(digest)
        return alike[-1]

    def _digest_of(self, number: int) -> bytes:
        if not self.digests[number]:
            self.digests[number] = self._digest(self.tensors[number])
        return self.digests[number]

    @staticmethod
    def _digest(tensor: Tensor) -> bytes:
        with tensor.raw() as raw:
            return hashlib.sha256(raw).digest()


def encode_model(model: Model, blobs: BlobTable) -> pb.Model:
    """The header as a message; large tensors go into ``blobs``.

    Raises:
        ModelError: If the model holds something that the format cannot say.
    """
    if model.ir_version != IR_VERSION:
        raise ModelError(
            Diagnostic("version.ir", "model", f"version {model.ir_version}", f"{IR_VERSION}")
        )
    message = pb.Model(ir_version=model.ir_version)
    with _fitting("producer, operator sets, time base or metadata"):
        message.producer.name = model.producer.name
        message.producer.version = model.producer.version
        for domain, version in sorted(model.opsets.items()):
            _require(limits.DOMAIN.fullmatch(domain) and version > 0, f"{domain!r} {version}")
            message.opsets.add(domain=domain, version=version)
        message.time.dt = model.time.dt
        message.time.steps = model.time.steps
        for key, value in sorted(model.metadata.items()):
            message.metadata.add(key=_key(key), value=value)
    _encode_graph(model, message.graph, blobs)
    for name in sorted(model.examples):
        with _fitting(f"example '{name}'"):
            _encode_example(name, model.examples[name], message.examples.add(), blobs)
    return message


@contextlib.contextmanager
def _fitting(where: str) -> Iterator[None]:
    """Turns what protobuf and Python raise into an error that names the place."""
    try:
        yield
    except _UNFIT as error:
        raise _unfit(where, error) from error


def _unfit(where: str, error: BaseException | str) -> ModelError:
    return ModelError(Diagnostic("format.unfit", where, str(error), "see proto/spec/format.md"))


def _require(condition: object, found: str) -> None:
    if not condition:
        raise ValueError(found)


def _key(name: str) -> str:
    _require(name, "an empty name")
    return name


def _encode_example(name: str, example: Example, message: pb.Example, blobs: BlobTable) -> None:
    message.name = _key(name)
    message.steps = example.steps
    message.origin = example.origin
    for key, tensor in sorted(example.inputs.items(), key=_by_name):
        encode_tensor(tensor, message.inputs.add(name=_key(key)).tensor, blobs)
    for key, expected in sorted(example.expected.items(), key=_by_name):
        entry = message.expected.add(name=_key(key))
        encode_tensor(expected.tensor, entry.tensor, blobs)
        _encode_tolerance(expected.tolerance, entry.tolerance)


def _by_name(item: tuple[str, object]) -> str:
    return item[0]


def _encode_graph(model: Model, message: pb.Graph, blobs: BlobTable) -> None:
    graph = model.graph
    numbers: dict[str, int] = {}
    names: set[str] = set()
    for entry in graph.inputs:
        with _fitting(f"input '{entry.name}'"):
            _encode_input(entry, message.inputs.add(), blobs)
        _number_value(entry.name, numbers)
        names.add(entry.name)
    for key, node in graph.nodes.items():
        if key != node.name or key in names:
            raise ModelError(
                Diagnostic(
                    "graph.duplicate-name", "graph", f"node '{node.name}'", "a name of its own"
                )
            )
        for value in node.values():
            _number_value(value, numbers)
    add_node = message.nodes.add
    for node in graph.nodes.values():
        try:
            _encode_node(node, add_node(), numbers, blobs)
        except _UNFIT as error:
            raise _unfit(f"node '{node.name}'", error) from error
    with _fitting("graph name or outputs"):
        message.name = graph.name
        for output in graph.outputs:
            message.outputs.add(
                name=output.name,
                value=_number(numbers, output.value, f"output '{output.name}'"),
                labels=output.labels,
            )


def _number_value(value: str, numbers: dict[str, int]) -> None:
    if value in numbers:
        raise ModelError(
            Diagnostic("graph.duplicate-name", "graph", f"value '{value}'", "unique values")
        )
    numbers[value] = len(numbers)


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
            _encode_attribute(node.attributes[name], message.attributes.add(name=_key(name)))
    if node.parameters:
        for name in sorted(node.parameters):
            parameter = message.parameters.add()
            parameter.name = _key(name)
            encode_tensor(node.parameters[name], parameter.tensor, blobs)
    if node.output_types:
        _require(len(node.output_types) == len(node.outputs), "output types, but not one an output")
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
    """A tensor, inline or as a reference to a blob; inline there is no digest to tell of damage."""
    message.dtype = cast(Any, tensor.dtype.value)
    shape, size = tensor.shape, tensor.size
    if shape:
        message.shape.extend(shape)
        if len(shape) > limits.MAX_RANK or not 0 < size <= limits.MAX_ELEMENTS:
            _check_shape(shape)
    nbytes = tensor.dtype.nbytes(size)
    raw = tensor.raw()
    if raw.nbytes != nbytes:
        raise ValueError(f"{raw.nbytes} bytes for {tensor}, which takes {nbytes}")
    if nbytes <= limits.INLINE_BYTES and tensor.is_intact():
        message.inline = bytes(raw)
    else:
        reference = message.blob
        reference.SetInParent()
        reference.index = blobs.index(tensor)
        blobs.references.append(reference)
    if tensor.quantization is not None:
        _encode_quantization(tensor.quantization, message.quantization)


def _encode_quantization(quantization: Quantization, message: pb.Quantization) -> None:
    message.scale.extend(quantization.scale)
    message.zero_point.extend(quantization.zero_point)
    if quantization.axis is not None:
        message.axis = quantization.axis
    message.bits = quantization.bits
    message.rounding = cast(Any, quantization.rounding.value)
    message.saturated = quantization.saturated
    message.signed = quantization.signed


def _check_shape(shape: Sequence[Dim]) -> None:
    if (problem := shape_problem(shape)) is not None:
        raise ValueError(problem[0])


def encode_type(value_type: ValueType, message: pb.ValueType) -> None:
    """The type of a value."""
    message.dtype = cast(Any, value_type.dtype.value)
    message.timing = cast(Any, value_type.timing.value)
    _check_shape(value_type.shape)
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
    else:
        raise TypeError(f"a tolerance of type {type(tolerance).__name__}")
