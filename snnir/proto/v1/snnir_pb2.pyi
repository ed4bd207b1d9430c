from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_BOOL: _ClassVar[DataType]
    DATA_TYPE_INT4: _ClassVar[DataType]
    DATA_TYPE_INT8: _ClassVar[DataType]
    DATA_TYPE_UINT8: _ClassVar[DataType]
    DATA_TYPE_INT16: _ClassVar[DataType]
    DATA_TYPE_INT32: _ClassVar[DataType]
    DATA_TYPE_INT64: _ClassVar[DataType]
    DATA_TYPE_FLOAT16: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]
    DATA_TYPE_FLOAT64: _ClassVar[DataType]
    DATA_TYPE_BFLOAT16: _ClassVar[DataType]

class Rounding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUNDING_UNSPECIFIED: _ClassVar[Rounding]
    ROUNDING_HALF_EVEN: _ClassVar[Rounding]
    ROUNDING_HALF_AWAY: _ClassVar[Rounding]
    ROUNDING_FLOOR: _ClassVar[Rounding]
    ROUNDING_TOWARD_ZERO: _ClassVar[Rounding]

class Timing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIMING_UNSPECIFIED: _ClassVar[Timing]
    TIMING_STATIC: _ClassVar[Timing]
    TIMING_PER_STEP: _ClassVar[Timing]
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_BOOL: DataType
DATA_TYPE_INT4: DataType
DATA_TYPE_INT8: DataType
DATA_TYPE_UINT8: DataType
DATA_TYPE_INT16: DataType
DATA_TYPE_INT32: DataType
DATA_TYPE_INT64: DataType
DATA_TYPE_FLOAT16: DataType
DATA_TYPE_FLOAT32: DataType
DATA_TYPE_FLOAT64: DataType
DATA_TYPE_BFLOAT16: DataType
ROUNDING_UNSPECIFIED: Rounding
ROUNDING_HALF_EVEN: Rounding
ROUNDING_HALF_AWAY: Rounding
ROUNDING_FLOOR: Rounding
ROUNDING_TOWARD_ZERO: Rounding
TIMING_UNSPECIFIED: Timing
TIMING_STATIC: Timing
TIMING_PER_STEP: Timing

class Model(_message.Message):
    __slots__ = ("magic", "header_sha256", "ir_version", "producer", "opsets", "time", "graph", "examples", "metadata", "padding", "blobs")
    MAGIC_FIELD_NUMBER: _ClassVar[int]
    HEADER_SHA256_FIELD_NUMBER: _ClassVar[int]
    IR_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    OPSETS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    magic: int
    header_sha256: bytes
    ir_version: int
    producer: Producer
    opsets: _containers.RepeatedCompositeFieldContainer[OpsetImport]
    time: TimeBase
    graph: Graph
    examples: _containers.RepeatedCompositeFieldContainer[Example]
    metadata: _containers.RepeatedCompositeFieldContainer[MetadataEntry]
    padding: _containers.RepeatedScalarFieldContainer[bytes]
    blobs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, magic: _Optional[int] = ..., header_sha256: _Optional[bytes] = ..., ir_version: _Optional[int] = ..., producer: _Optional[_Union[Producer, _Mapping]] = ..., opsets: _Optional[_Iterable[_Union[OpsetImport, _Mapping]]] = ..., time: _Optional[_Union[TimeBase, _Mapping]] = ..., graph: _Optional[_Union[Graph, _Mapping]] = ..., examples: _Optional[_Iterable[_Union[Example, _Mapping]]] = ..., metadata: _Optional[_Iterable[_Union[MetadataEntry, _Mapping]]] = ..., padding: _Optional[_Iterable[bytes]] = ..., blobs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Producer(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class OpsetImport(_message.Message):
    __slots__ = ("domain", "version")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    domain: str
    version: int
    def __init__(self, domain: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class TimeBase(_message.Message):
    __slots__ = ("dt", "steps")
    DT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    dt: float
    steps: int
    def __init__(self, dt: _Optional[float] = ..., steps: _Optional[int] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("name", "inputs", "nodes", "outputs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    inputs: _containers.RepeatedCompositeFieldContainer[GraphInput]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    outputs: _containers.RepeatedCompositeFieldContainer[GraphOutput]
    def __init__(self, name: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[GraphInput, _Mapping]]] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[GraphOutput, _Mapping]]] = ...) -> None: ...

class GraphInput(_message.Message):
    __slots__ = ("name", "type", "scale", "offset", "layout")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: ValueType
    scale: Tensor
    offset: Tensor
    layout: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[ValueType, _Mapping]] = ..., scale: _Optional[_Union[Tensor, _Mapping]] = ..., offset: _Optional[_Union[Tensor, _Mapping]] = ..., layout: _Optional[str] = ...) -> None: ...

class GraphOutput(_message.Message):
    __slots__ = ("name", "value", "labels")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., value: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("name", "op", "inputs", "output_ports", "attributes", "parameters", "output_types", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PORTS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TYPES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    op: str
    inputs: _containers.RepeatedCompositeFieldContainer[Binding]
    output_ports: _containers.RepeatedScalarFieldContainer[str]
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    output_types: _containers.RepeatedCompositeFieldContainer[ValueType]
    source: str
    def __init__(self, name: _Optional[str] = ..., op: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[Binding, _Mapping]]] = ..., output_ports: _Optional[_Iterable[str]] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., output_types: _Optional[_Iterable[_Union[ValueType, _Mapping]]] = ..., source: _Optional[str] = ...) -> None: ...

class Binding(_message.Message):
    __slots__ = ("port", "value", "delay_steps")
    PORT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DELAY_STEPS_FIELD_NUMBER: _ClassVar[int]
    port: str
    value: int
    delay_steps: int
    def __init__(self, port: _Optional[str] = ..., value: _Optional[int] = ..., delay_steps: _Optional[int] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("name", "b", "i", "f", "s", "ints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    I_FIELD_NUMBER: _ClassVar[int]
    F_FIELD_NUMBER: _ClassVar[int]
    S_FIELD_NUMBER: _ClassVar[int]
    INTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    b: bool
    i: int
    f: float
    s: str
    ints: Ints
    def __init__(self, name: _Optional[str] = ..., b: bool = ..., i: _Optional[int] = ..., f: _Optional[float] = ..., s: _Optional[str] = ..., ints: _Optional[_Union[Ints, _Mapping]] = ...) -> None: ...

class Ints(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "tensor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    tensor: Tensor
    def __init__(self, name: _Optional[str] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "inline", "blob", "quantization")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    INLINE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    dtype: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    inline: bytes
    blob: BlobRef
    quantization: Quantization
    def __init__(self, dtype: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., inline: _Optional[bytes] = ..., blob: _Optional[_Union[BlobRef, _Mapping]] = ..., quantization: _Optional[_Union[Quantization, _Mapping]] = ...) -> None: ...

class BlobRef(_message.Message):
    __slots__ = ("index", "sha256")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    index: int
    sha256: bytes
    def __init__(self, index: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class Quantization(_message.Message):
    __slots__ = ("scale", "zero_point", "axis", "bits", "rounding", "saturated", "signed")
    SCALE_FIELD_NUMBER: _ClassVar[int]
    ZERO_POINT_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    ROUNDING_FIELD_NUMBER: _ClassVar[int]
    SATURATED_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    scale: _containers.RepeatedScalarFieldContainer[float]
    zero_point: _containers.RepeatedScalarFieldContainer[int]
    axis: int
    bits: int
    rounding: Rounding
    saturated: bool
    signed: bool
    def __init__(self, scale: _Optional[_Iterable[float]] = ..., zero_point: _Optional[_Iterable[int]] = ..., axis: _Optional[int] = ..., bits: _Optional[int] = ..., rounding: _Optional[_Union[Rounding, str]] = ..., saturated: bool = ..., signed: bool = ...) -> None: ...

class Dim(_message.Message):
    __slots__ = ("size", "symbol")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    size: int
    symbol: str
    def __init__(self, size: _Optional[int] = ..., symbol: _Optional[str] = ...) -> None: ...

class ValueType(_message.Message):
    __slots__ = ("dtype", "shape", "timing", "quantization")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    dtype: DataType
    shape: _containers.RepeatedCompositeFieldContainer[Dim]
    timing: Timing
    quantization: Quantization
    def __init__(self, dtype: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[_Union[Dim, _Mapping]]] = ..., timing: _Optional[_Union[Timing, str]] = ..., quantization: _Optional[_Union[Quantization, _Mapping]] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("name", "inputs", "steps", "expected", "origin")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    inputs: _containers.RepeatedCompositeFieldContainer[NamedTensor]
    steps: int
    expected: _containers.RepeatedCompositeFieldContainer[Expected]
    origin: str
    def __init__(self, name: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[NamedTensor, _Mapping]]] = ..., steps: _Optional[int] = ..., expected: _Optional[_Iterable[_Union[Expected, _Mapping]]] = ..., origin: _Optional[str] = ...) -> None: ...

class NamedTensor(_message.Message):
    __slots__ = ("name", "tensor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    tensor: Tensor
    def __init__(self, name: _Optional[str] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...

class Expected(_message.Message):
    __slots__ = ("name", "tensor", "tolerance")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    tensor: Tensor
    tolerance: Tolerance
    def __init__(self, name: _Optional[str] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ..., tolerance: _Optional[_Union[Tolerance, _Mapping]] = ...) -> None: ...

class Tolerance(_message.Message):
    __slots__ = ("exact", "spike_shift_steps", "rate", "close")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    SPIKE_SHIFT_STEPS_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    exact: Exact
    spike_shift_steps: int
    rate: float
    close: Close
    def __init__(self, exact: _Optional[_Union[Exact, _Mapping]] = ..., spike_shift_steps: _Optional[int] = ..., rate: _Optional[float] = ..., close: _Optional[_Union[Close, _Mapping]] = ...) -> None: ...

class Exact(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Close(_message.Message):
    __slots__ = ("absolute", "relative")
    ABSOLUTE_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    absolute: float
    relative: float
    def __init__(self, absolute: _Optional[float] = ..., relative: _Optional[float] = ...) -> None: ...

class MetadataEntry(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
