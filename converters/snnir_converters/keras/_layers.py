"""The handler of every supported layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np

from snnir.errors import Diagnostic
from snnir.ir.builder import Value
from snnir.ir.types import Dim, Shape, format_shape
from snnir_converters.keras import _activations
from snnir_converters.keras._handler import (
    Handler,
    LayerCall,
    Only,
    Variable,
    argument_finding,
    because,
)
from snnir_converters.keras._json import LayerConfig, show
from snnir_converters.keras._network import Layer

# Arguments that several layers have ----------------------------------------------------------

_CHANNELS_LAST: Final = Only(
    ("channels_last",),
    "values are channels-last in this format, and weights would have to be rearranged",
    "Build the network with data_format='channels_last', copy the weights and save it.",
)
_NO_LORA: Final = Only(
    (), "adapters are not part of the kernel", "Merge them: save the model with lora merged."
)
_NO_QUANTIZATION: Final = Only(
    (), "Keras's own quantisation is not carried over", "Save the model before model.quantize()."
)
_DATA_FORMAT: Final = {"data_format": _CHANNELS_LAST}
_TRAINED: Final = {
    "lora_rank": _NO_LORA,
    "lora_alpha": Only((), "it belongs to lora_rank"),
    "quantization_config": _NO_QUANTIZATION,
}


def _variables(*names: str | tuple[str, ...]) -> tuple[Variable, ...]:
    return tuple(Variable((name,) if isinstance(name, str) else name) for name in names)


def _with_bias(*names: str | tuple[str, ...]) -> Callable[[LayerConfig], Sequence[Variable]]:
    """The variables of a layer that may have a bias."""

    def variables(config: LayerConfig) -> Sequence[Variable]:
        bias = ("bias",) if config.flag("use_bias", True) else ()
        return _variables(*names, *bias)

    return variables


def activate(call: LayerCall, value: Value) -> Value:
    """Apply the layer's fused activation, if it has one."""
    found = _activations.parse(call.config.get("activation"), call.layer)
    if found.layer is not None:
        base = f"{call.base}/{found.name.lower()}"
        inner = replace(call, layer=found.layer, inputs=[value], base=base, variables=())
        return HANDLERS[found.layer.class_name].build(inner)
    if found.name == _activations.LINEAR:
        return value
    op, attributes = _activations.operator(found.name, call.version[0])
    return call.emit(op, value, suffix="" if value in call.inputs else found.name, **attributes)


# Dense and convolution -----------------------------------------------------------------------


def _bias(call: LayerCall, length: int) -> Any:
    return call.weight("bias", (length,)) if call.config.flag("use_bias", True) else None


def _dense(call: LayerCall) -> Value:
    units = call.config.integer("units", minimum=1)
    weight = call.weight("kernel", (call.channels(), units))
    y = call.emit("ann.Dense", call.x, weight=weight, bias=_bias(call, units))
    return activate(call, y)


def _windows(call: LayerCall, rank: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Length of the kernel, and the attributes that say how windows lie."""
    config = call.config
    sizes = config.integers("kernel_size", rank, minimum=1)
    strides = config.integers("strides", rank, (1,) * rank, minimum=1)
    dilations = config.integers("dilation_rate", rank, (1,) * rank, minimum=1)
    padding = config.text("padding", "valid").lower()
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations}
    if padding == "causal" and rank == 1:
        attributes.update(padding="explicit", pads=((sizes[0] - 1) * dilations[0], 0))
    elif padding in ("valid", "same"):
        attributes["padding"] = padding
    else:
        call.malformed(f"padding {show(padding)}", "'valid' or 'same'")
    return sizes, attributes


def _check_rank(call: LayerCall, rank: int) -> None:
    if len(call.shape()) != rank + 1:
        call.refuse(
            f"an input of shape {format_shape(call.shape())}",
            f"{rank + 1} axes, without the batch",
            "Put a Reshape layer before it.",
        )


def _convolution(rank: int, call: LayerCall) -> Value:
    _check_rank(call, rank)
    filters = call.config.integer("filters", minimum=1)
    groups = call.config.integer("groups", 1, minimum=1)
    sizes, windows = _windows(call, rank)
    channels = call.channels()
    if channels is not None and channels % groups:
        call.malformed(f"{groups} groups", f"a divisor of {channels} channels")
    inputs = None if channels is None else channels // groups
    weight = call.weight("kernel", (*sizes, inputs, filters))
    y = call.emit(
        f"ann.Conv{rank}D",
        call.x,
        weight=weight,
        bias=_bias(call, filters),
        groups=groups,
        **windows,
    )
    return activate(call, y)


def _depthwise(rank: int, call: LayerCall) -> Value:
    _check_rank(call, rank)
    sizes, windows = _windows(call, rank)
    channels, multiplier = call.channels(), call.config.integer("depth_multiplier", 1, minimum=1)
    if channels is None:
        call.refuse("an unknown number of channels", "a known number of channels")
    shape = (*sizes, channels, multiplier)
    bias = _bias(call, channels * multiplier)
    if rank == 2:
        weight = call.weight("kernel", shape)
        y = call.emit("ann.DepthwiseConv2D", call.x, weight=weight, bias=bias, **windows)
    else:
        weight = call.shared("grouped", partial(_grouped, call, "kernel", shape))
        y = call.emit("ann.Conv1D", call.x, weight=weight, bias=bias, groups=channels, **windows)
    return activate(call, y)


def _grouped(call: LayerCall, name: str, shape: tuple[int, ...]) -> Any:
    """A depthwise kernel as that of a convolution in as many groups as channels."""
    return call.array(name, shape).reshape(*shape[:-2], 1, -1)


def _separable(rank: int, call: LayerCall) -> Value:
    _check_rank(call, rank)
    filters = call.config.integer("filters", minimum=1)
    multiplier = call.config.integer("depth_multiplier", 1, minimum=1)
    sizes, windows = _windows(call, rank)
    channels = call.channels()
    if channels is None:
        call.refuse("an unknown number of channels", "a known number of channels")
    depthwise = (*sizes, channels, multiplier)
    pointwise = call.weight("pointwise_kernel", (*(1,) * rank, channels * multiplier, filters))
    bias = _bias(call, filters)
    if rank == 2:
        y = call.emit(
            "ann.SeparableConv2D",
            call.x,
            depthwise_weight=call.weight("depthwise_kernel", depthwise),
            pointwise_weight=pointwise,
            bias=bias,
            **windows,
        )
    else:
        grouped = call.shared("grouped", partial(_grouped, call, "depthwise_kernel", depthwise))
        y = call.emit(
            "ann.Conv1D", call.x, suffix="depthwise", weight=grouped, groups=channels, **windows
        )
        y = call.emit("ann.Conv1D", y, weight=pointwise, bias=bias)
    return activate(call, y)


def _transposed(call: LayerCall) -> Value:
    _check_rank(call, 2)
    filters = call.config.integer("filters", minimum=1)
    sizes, windows = _windows(call, 2)
    extra = call.config.get("output_padding")
    if extra is not None:
        windows["output_padding"] = call.config.integers("output_padding", 2)
    y = call.emit(
        "ann.ConvTranspose2D",
        call.x,
        weight=call.weight("kernel", (*sizes, filters, call.channels())),
        bias=_bias(call, filters),
        **windows,
    )
    return activate(call, y)


_CONVOLUTION_KEYS: Final = frozenset(
    (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "dilation_rate",
        "activation",
        "use_bias",
    )
)


def _convolution_handler(
    build: Callable[[LayerCall], Value], *names: str | tuple[str, ...], carried: Sequence[str] = ()
) -> Handler:
    return Handler(
        build,
        _CONVOLUTION_KEYS.union(carried),
        {**_DATA_FORMAT, **_TRAINED},
        variables=_with_bias(*names),
    )


def _depthwise_handler(rank: int) -> Handler:
    return Handler(
        partial(_depthwise, rank),
        (_CONVOLUTION_KEYS | {"depth_multiplier"}) - {"filters"},
        {
            **_DATA_FORMAT,
            **_TRAINED,
            # Some versions record what the base class was given.
            "filters": Only((), "a depthwise convolution has no number of filters"),
            "groups": Only((1,), "a depthwise convolution has no groups"),
        },
        variables=_with_bias(("kernel", "depthwise_kernel")),
    )


def _separable_handler(rank: int) -> Handler:
    return Handler(
        partial(_separable, rank),
        _CONVOLUTION_KEYS | {"depth_multiplier"},
        {**_DATA_FORMAT, **_TRAINED, "groups": Only((1,), "a separable convolution has no groups")},
        variables=_with_bias("depthwise_kernel", "pointwise_kernel"),
    )


# Normalisation -------------------------------------------------------------------------------


def _batch_norm_variables(config: LayerConfig) -> Sequence[Variable]:
    trained = [n for n, key in (("gamma", "scale"), ("beta", "center")) if config.flag(key, True)]
    fixed = ["moving_mean", "moving_variance"]
    if config.flag("renorm", False):
        fixed += ["moving_stddev", "renorm_mean", "renorm_stddev"]
    return [*_variables(*trained), *(Variable((name,), False) for name in fixed)]


def _batch_norm(call: LayerCall) -> Value:
    axes = call.config.axes("axis", (-1,))
    if len(axes) != 1:
        call.refuse_argument("axis", list(axes), "one axis")
    axis = call.feature_axis("axis", axes[0])
    length = call.shape()[axis]
    known = (length if isinstance(length, int) else None,)
    return call.emit(
        "ann.BatchNorm",
        call.x,
        axis=axis - len(call.shape()),
        epsilon=call.config.number("epsilon", 1e-3),
        mean=call.weight("moving_mean", known),
        variance=call.weight("moving_variance", known),
        gamma=call.weight("gamma", known) if call.config.flag("scale", True) else None,
        beta=call.weight("beta", known) if call.config.flag("center", True) else None,
    )


def _normalization_variables(config: LayerConfig) -> Sequence[Variable]:
    if config.get("mean") is not None:
        return ()
    return [Variable((name,), False) for name in ("mean", "variance", "count")]


def _normalization(call: LayerCall) -> Value:
    shape = call.shape()
    axes = sorted({call.feature_axis("axis", axis) for axis in call.config.axes("axis")})
    spread: list[Dim] = [length if axis in axes else 1 for axis, length in enumerate(shape)]
    lengths = [spread[axis] for axis in axes]
    if not all(isinstance(length, int) for length in lengths):
        call.malformed(f"axis {axes} of {format_shape(shape)}", "axes of known length")
    target = tuple(length for length in spread if isinstance(length, int))
    stored = tuple(length for length in lengths if isinstance(length, int))

    def statistic(name: str) -> Any:
        if call.config.get("mean") is None:
            return call.array(name, stored).reshape(target)
        array = call.constant(name)
        # Keras 3.0 to 3.13 aligned the last axes with those of the input, others with ``axis``.
        to_input = (3, 0) <= call.version[:2] < (3, 14)
        wanted = (1, *target) if to_input else stored
        own = (1,) * (len(wanted) - array.ndim) + array.shape
        leading = len(own) - len(wanted)
        if math.prod(own[:leading]) == 1:
            own = own[leading:]
        if len(own) != len(wanted) or not all(
            h in (1, w) for h, w in zip(own, wanted, strict=True)
        ):
            call.malformed(f"{name} of shape {array.shape}", f"shape {wanted}")
        if to_input:
            return array.reshape(own[1:])
        lengths = dict(zip(axes, own, strict=True))
        return array.reshape([lengths.get(axis, 1) for axis in range(len(target))])

    if (call.config.get("mean") is None) != (call.config.get("variance") is None):
        call.malformed("one of mean and variance", "both or none")
    mean = call.shared("mean", partial(statistic, "mean"))
    variance = call.shared("variance", partial(statistic, "variance"))
    return call.emit("ann.Normalize", call.x, mean=mean, variance=variance)


def _rescaling(call: LayerCall) -> Value:
    scale = call.shared("scale", partial(call.constant, "scale"))
    offset = call.shared("offset", partial(_offset, call))
    return call.emit("ann.Rescale", call.x, scale=scale, offset=offset)


def _offset(call: LayerCall) -> Any:
    if call.config.get("offset") is None:
        return np.zeros((), np.float32)
    return call.constant("offset")


# Activations ---------------------------------------------------------------------------------


def _relu(call: LayerCall) -> Value:
    config = call.config
    limit = config.get("max_value")
    attributes: dict[str, Any] = {}
    if limit is not None:
        attributes["max_value"] = config.number("max_value")
    return call.emit(
        "ann.ReLU",
        call.x,
        negative_slope=config.number("negative_slope", 0.0),
        threshold=config.number("threshold", 0.0),
        **attributes,
    )


def _thresholded_relu(call: LayerCall) -> Value:
    return call.emit("ann.ReLU", call.x, threshold=call.config.number("theta", 1.0))


def _leaky_relu(call: LayerCall) -> Value:
    key = "alpha" if "alpha" in call.config.values else "negative_slope"
    return call.emit("ann.LeakyReLU", call.x, negative_slope=call.config.number(key, 0.3))


def _prelu(call: LayerCall) -> Value:
    shape: list[int | None] = [n if isinstance(n, int) else None for n in call.shape()]
    for axis in call.config.axes("shared_axes"):
        shape[call.feature_axis("shared_axes", axis)] = 1
    return call.emit("ann.PReLU", call.x, slope=call.weight("alpha", shape))


def _elu(call: LayerCall) -> Value:
    return call.emit("ann.ELU", call.x, alpha=call.config.number("alpha", 1.0))


def _softmax(call: LayerCall) -> Value:
    axes = call.config.axes("axis", (-1,))
    if len(axes) != 1:
        call.refuse_argument("axis", list(axes), "one axis")
    axis = call.feature_axis("axis", axes[0])
    return call.emit("ann.Softmax", call.x, axis=axis - len(call.shape()))


def _activation(call: LayerCall) -> Value:
    return activate(call, call.x)


# Pooling -------------------------------------------------------------------------------------


def _pooling(kind: str, rank: int, call: LayerCall) -> Value:
    _check_rank(call, rank)
    sizes = call.config.integers("pool_size", rank, (2,) * rank, minimum=1)
    padding = call.config.text("padding", "valid").lower()
    if padding not in ("valid", "same"):
        call.malformed(f"padding {show(padding)}", "'valid' or 'same'")
    return call.emit(
        f"ann.{kind}Pool{rank}D",
        call.x,
        pool_size=sizes,
        strides=call.config.integers("strides", rank, sizes, minimum=1),
        padding=padding,
    )


def _global_pooling(kind: str, rank: int, call: LayerCall) -> Value:
    _check_rank(call, rank)
    keepdims = call.config.flag("keepdims", False)
    return call.emit(f"ann.Global{kind}Pool{rank}D", call.x, keepdims=keepdims)


# Several inputs ------------------------------------------------------------------------------


def _distinct(call: LayerCall) -> list[Value]:
    """The inputs; one that is there again becomes a value of its own."""
    seen: set[Value] = set()
    found: list[Value] = []
    for value in call.inputs:
        again = call.emit("ann.Scale", value, suffix="copy", scale=1.0) if value in seen else value
        seen.add(again)
        found.append(again)
    return found


def _same_shapes(call: LayerCall, values: Sequence[Value]) -> None:
    shapes = [call.shape(value) for value in values]
    first = shapes[0]
    for shape in shapes[1:]:
        if len(shape) != len(first) or not all(map(_compatible, shape, first)):
            call.refuse(
                because(
                    "inputs of shapes " + " and ".join(map(format_shape, shapes)),
                    "broadcasting is not carried over",
                ),
                "inputs of equal shapes",
                "Repeat the smaller input (UpSampling, Concatenate) before the layer.",
            )


def _compatible(a: Dim, b: Dim) -> bool:
    return a == b or isinstance(a, str) or isinstance(b, str)


def _several(call: LayerCall, least: int = 1) -> list[Value]:
    if len(call.inputs) < least:
        call.malformed(f"{len(call.inputs)} inputs", f"at least {least}")
    return _distinct(call)


def _add(call: LayerCall) -> Value:
    values = _several(call)
    _same_shapes(call, values)
    return call.emit("ann.Add", values)


def _average(call: LayerCall) -> Value:
    values = _several(call)
    _same_shapes(call, values)
    total = call.emit("ann.Add", values, suffix="sum")
    return call.emit("ann.Scale", total, scale=1 / len(values))


def _subtract(call: LayerCall) -> Value:
    values = _several(call, 2)
    if len(values) != 2:
        call.malformed(f"{len(values)} inputs", "2")
    _same_shapes(call, values)
    return call.emit("ann.Subtract", *values)


def _multiply(call: LayerCall) -> Value:
    values = _several(call)
    shapes: list[Shape] = [call.shape(value) for value in values]
    if len(set(map(len, shapes))) > 1:
        call.refuse(
            "inputs of shapes " + " and ".join(map(format_shape, shapes)),
            "inputs with as many axes each",
            "Put a Reshape layer before it that adds axes of length 1.",
        )
    return call.emit("ann.Multiply", values)


def _concatenate(call: LayerCall) -> Value:
    values = _several(call)
    axis = call.feature_axis("axis", call.config.integer("axis", -1))
    return call.emit("ann.Concat", values, axis=axis - len(call.shape(values[0])))


# Layout --------------------------------------------------------------------------------------


def _flatten(call: LayerCall) -> Value:
    return call.emit("ann.Flatten", call.x)


def _reshape(call: LayerCall) -> Value:
    shape = call.config.axes("target_shape")
    return call.emit("ann.Reshape", call.x, shape=tuple(shape))


def _permute(call: LayerCall) -> Value:
    dims = call.config.axes("dims")
    if sorted(dims) != list(range(1, len(call.shape()) + 1)):
        call.malformed(f"dims {show(list(dims))}", f"an order of the {len(call.shape())} axes")
    return call.emit("ann.Permute", call.x, axes=tuple(axis - 1 for axis in dims))


def _edges(rank: int, op: str, attribute: str, key: str, call: LayerCall) -> Value:
    _check_rank(call, rank)
    value = call.config.get(key)
    if rank == 1:
        pairs = [call.config.integers(key, 2)]
    elif isinstance(value, int):
        pairs = [call.config.integers(key, 2)] * rank
    else:
        pairs = []
        for axis, entry in enumerate(value if isinstance(value, (list, tuple)) else ()):
            inner = LayerConfig({key: entry}, f"{call.config.where}, axis {axis}")
            pairs.append(inner.integers(key, 2))
    if len(pairs) != rank:
        call.malformed(f"{key} {show(value)}", f"{rank} pairs")
    numbers: dict[str, Any] = {attribute: tuple(n for pair in pairs for n in pair)}
    return call.emit(f"ann.{op}{rank}D", call.x, **numbers)


def _upsampling(rank: int, call: LayerCall) -> Value:
    _check_rank(call, rank)
    factors = call.config.integers("size", rank, (2,) * rank, minimum=1)
    if rank == 1:
        return call.emit("ann.Upsample1D", call.x, factors=factors)
    if call.config.get("interpolation") == "bilinear" and call.version[:2] < (2, 4):
        reason = "this version of Keras interpolated between other points than all newer ones"
        call.refuse_argument("interpolation", "bilinear", "nearest", reason)
    return call.emit(
        "ann.Upsample2D",
        call.x,
        factors=factors,
        interpolation=call.config.text("interpolation", "nearest"),
    )


# What does nothing at inference --------------------------------------------------------------


def _dropout(call: LayerCall) -> Value:
    return call.emit("ann.Dropout", call.x, rate=call.config.number("rate"))


def _identity(call: LayerCall) -> Value:
    return call.x


# The table -----------------------------------------------------------------------------------


def _keys(*names: str) -> frozenset[str]:
    return frozenset(names)


def _pooling_handlers() -> dict[str, Handler]:
    found: dict[str, Handler] = {}
    for rank in (1, 2):
        for kind, name in (("Max", "Max"), ("Average", "Average")):
            found[f"{name}Pooling{rank}D"] = Handler(
                partial(_pooling, kind, rank),
                _keys("pool_size", "strides", "padding"),
                _DATA_FORMAT,
            )
            found[f"Global{name}Pooling{rank}D"] = Handler(
                partial(_global_pooling, kind, rank), _keys("keepdims"), _DATA_FORMAT
            )
    return found


_NOT_SPARSE: Final = Only((False,), "sparse and ragged inputs have no counterpart")

HANDLERS: Final[Mapping[str, Handler]] = {
    "InputLayer": Handler(
        _identity,
        _keys("batch_shape", "shape", "dtype"),
        {
            "sparse": _NOT_SPARSE,
            "ragged": _NOT_SPARSE,
            "optional": Only((False,), "an input that may be absent has no counterpart"),
        },
        _keys("batch_size"),
    ),
    "Dense": Handler(
        _dense, _keys("units", "activation", "use_bias"), _TRAINED, variables=_with_bias("kernel")
    ),
    "Conv1D": _convolution_handler(partial(_convolution, 1), "kernel", carried=["groups"]),
    "Conv2D": _convolution_handler(partial(_convolution, 2), "kernel", carried=["groups"]),
    "Conv2DTranspose": Handler(
        _transposed,
        _CONVOLUTION_KEYS | {"output_padding"},
        {
            **_DATA_FORMAT,
            **_TRAINED,
            "groups": Only((1,), "a transposed convolution in groups has no counterpart"),
        },
        variables=_with_bias("kernel"),
    ),
    "DepthwiseConv1D": _depthwise_handler(1),
    "DepthwiseConv2D": _depthwise_handler(2),
    "SeparableConv1D": _separable_handler(1),
    "SeparableConv2D": _separable_handler(2),
    "BatchNormalization": Handler(
        _batch_norm,
        # Renormalisation changes training; at inference the moving statistics are used as ever.
        _keys("axis", "epsilon", "center", "scale", "renorm"),
        {
            "virtual_batch_size": Only((), "virtual batches have no counterpart"),
            "adjustment": Only((), "an adjustment is code"),
        },
        _keys("momentum", "synchronized", "renorm_clipping", "renorm_momentum", "fused"),
        _batch_norm_variables,
    ),
    "Normalization": Handler(
        _normalization,
        _keys("axis", "mean", "variance"),
        {"invert": Only((False,), "the inverse has no counterpart", "Use Rescaling.")},
        variables=_normalization_variables,
    ),
    "Rescaling": Handler(_rescaling, _keys("scale", "offset")),
    "Activation": Handler(_activation, _keys("activation")),
    "ReLU": Handler(_relu, _keys("max_value", "negative_slope", "threshold")),
    "ThresholdedReLU": Handler(_thresholded_relu, _keys("theta")),
    "LeakyReLU": Handler(_leaky_relu, _keys("negative_slope", "alpha")),
    "PReLU": Handler(_prelu, _keys("shared_axes"), variables=lambda config: _variables("alpha")),
    "ELU": Handler(_elu, _keys("alpha")),
    "Softmax": Handler(_softmax, _keys("axis")),
    **_pooling_handlers(),
    "Add": Handler(_add),
    "Subtract": Handler(_subtract),
    "Multiply": Handler(_multiply),
    "Average": Handler(_average),
    "Concatenate": Handler(_concatenate, _keys("axis")),
    "Flatten": Handler(_flatten, only=_DATA_FORMAT),
    "Reshape": Handler(_reshape, _keys("target_shape")),
    "Permute": Handler(_permute, _keys("dims")),
    "ZeroPadding1D": Handler(
        partial(_edges, 1, "ZeroPad", "pads", "padding"), _keys("padding"), _DATA_FORMAT
    ),
    "ZeroPadding2D": Handler(
        partial(_edges, 2, "ZeroPad", "pads", "padding"), _keys("padding"), _DATA_FORMAT
    ),
    "Cropping1D": Handler(partial(_edges, 1, "Crop", "crops", "cropping"), _keys("cropping")),
    "Cropping2D": Handler(
        partial(_edges, 2, "Crop", "crops", "cropping"), _keys("cropping"), _DATA_FORMAT
    ),
    "UpSampling1D": Handler(partial(_upsampling, 1), _keys("size")),
    "UpSampling2D": Handler(
        partial(_upsampling, 2),
        _keys("size"),
        {
            **_DATA_FORMAT,
            "interpolation": Only(("nearest", "bilinear"), "it has no counterpart"),
        },
    ),
    "Dropout": Handler(_dropout, _keys("rate"), ignored=_keys("seed", "noise_shape")),
    "SpatialDropout1D": Handler(_dropout, _keys("rate"), ignored=_keys("seed", "noise_shape")),
    "SpatialDropout2D": Handler(
        _dropout, _keys("rate"), ignored=_keys("seed", "noise_shape", "data_format")
    ),
    "AlphaDropout": Handler(_dropout, _keys("rate"), ignored=_keys("seed", "noise_shape")),
    "GaussianDropout": Handler(_identity, ignored=_keys("rate", "seed")),
    "GaussianNoise": Handler(_identity, ignored=_keys("stddev", "seed")),
    "ActivityRegularization": Handler(_identity, ignored=_keys("l1", "l2")),
    "Identity": Handler(_identity),
}
"""How each supported class of layers is carried over."""

SUPPORTED: Final = ", ".join(sorted(HANDLERS))
"""Their names, for messages."""

REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "Lambda": (
        "it runs code that only Python has",
        "Replace it by layers (Rescaling, Reshape, Add, ...) and save the network again.",
    ),
    "TimeDistributed": (
        "time is not an axis of a value here",
        "Dense acts on the last axis by itself; for others, fold the time axis into a "
        "convolution, or convert the inner network alone.",
    ),
    "LayerNormalization": (
        "it divides by statistics of each sample, which cannot be folded into weights",
        "Use BatchNormalization and train the network again.",
    ),
    "TFOpLambda": (
        "it calls a TensorFlow function",
        "Replace it by a layer (Add, Multiply, Rescaling, Reshape, ...) and save again.",
    ),
    "SlicingOpLambda": ("it calls a TensorFlow function", "Use Cropping and save again."),
}
"""Reason and remedy for classes that people ask for."""

_RECURRENT: Final = (
    "RNN", "LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional"
)  # fmt: skip


def reason(class_name: str) -> tuple[str, str]:
    """Why a class of layers is not supported, and what to do."""
    if class_name in _RECURRENT:
        return "recurrent layers have no counterpart", "Use convolutions over time (Conv1D)."
    return REASONS.get(class_name, ("", ""))


def variables_of(layer: Layer) -> Sequence[Variable]:
    """The variables of a supported layer, in the order of Keras."""
    handler = HANDLERS.get(layer.class_name)
    return () if handler is None or layer.operation else handler.variables(layer.config)


def check_layer(layer: Layer) -> list[Diagnostic]:
    """Everything about a layer that cannot be carried over, as far as its arguments tell."""
    if layer.custom:
        return [
            Diagnostic(
                "keras.layer",
                layer.where,
                because(f"the custom class {show(layer.custom)}", "a file holds no code"),
                "layers of Keras itself",
                "Build the network with Keras's own layers, copy the weights and save it.",
                layer.path,
            )
        ]
    handler = HANDLERS.get(layer.class_name)
    if handler is None:
        why, hint = reason(layer.class_name)
        found = because(layer.class_name[:80], why)
        return [Diagnostic("keras.layer", layer.where, found, SUPPORTED, hint, layer.path)]
    findings: list[Diagnostic] = []
    for key in layer.config.values:
        value = layer.config.get(key)
        if key in handler.only:
            only = handler.only[key]
            if value is not None and value not in only.values:
                findings.append(
                    argument_finding(layer, key, value, only.allowed, only.reason, only.hint)
                )
        elif not handler.mentions(key):
            allowed = "an argument that this version knows"
            finding = argument_finding(layer, key[:80], value, allowed, hint="Update snnir.")
            findings.append(finding)
        elif key == "activation":
            findings += _check_activation(layer, value)
    return findings


def _check_activation(layer: Layer, value: Any) -> list[Diagnostic]:
    found = _activations.parse(value, layer)
    if found.layer is not None:
        return check_layer(found.layer)
    if found.is_known:
        return []
    allowed = "one of " + ", ".join(_activations.NAMES)
    return [argument_finding(layer, "activation", found.name, allowed, hint="Use one of them.")]
