"""Every supported layer, randomly configured, against Keras; and what handlers mention."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from snnir.errors import FormatError, UnsupportedFeature
from snnir_converters.keras import import_keras, read_keras
from snnir_converters.keras._activations import NAMES
from snnir_converters.keras._layers import HANDLERS
from tests.converters.forging import input_layer, layer, legacy_file, sequential
from tests.converters.keras_tools import FORMATS, assert_same, keras, randomise

Draw = Callable[[st.SearchStrategy[Any]], Any]
Case = tuple[dict[str, Any], list[tuple[int, ...]]]
"""Arguments of a layer, and the shapes that it is called on."""

EXAMPLES = 10

pytestmark = pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")

# Arguments -----------------------------------------------------------------------------------


def number(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def pair(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(number(low, high), number(low, high))


def size(draw: Draw, rank: int, low: int, high: int) -> Any:
    """One number for all axes, or one for each."""
    many = st.lists(number(low, high), min_size=rank, max_size=rank).map(tuple)
    return draw(st.one_of(number(low, high), many))


def image(draw: Draw, rank: int, low: int = 5, channels: int | None = None) -> tuple[int, ...]:
    lengths = draw(st.lists(number(low, 9), min_size=rank, max_size=rank))
    return (*lengths, channels or draw(number(1, 4)))


def some_shape(draw: Draw, least: int = 1) -> tuple[int, ...]:
    return tuple(draw(st.lists(number(1, 5), min_size=least, max_size=3)))


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, width=32)


ACTIVATION = st.sampled_from([None, *NAMES])


def strides_or_dilation(draw: Draw, rank: int, equal: bool = False) -> dict[str, Any]:
    """Keras allows one of them to differ from 1; some layers want equal strides."""
    key = draw(st.sampled_from(["strides", "dilation_rate"]))
    value = size(draw, rank, 1, 3)
    if equal and isinstance(value, tuple):
        value = value[0]
    return {key: value}


def dense(draw: Draw) -> Case:
    arguments = {
        "units": draw(number(1, 5)),
        "activation": draw(ACTIVATION),
        "use_bias": draw(st.booleans()),
    }
    return arguments, [some_shape(draw)]


def convolution(rank: int) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        groups = draw(number(1, 3))
        paddings = ["valid", "same", "causal"] if rank == 1 else ["valid", "same"]
        arguments = {
            "filters": groups * draw(number(1, 3)),
            "kernel_size": size(draw, rank, 1, 3),
            "padding": draw(st.sampled_from(paddings)),
            "groups": groups,
            "activation": draw(ACTIVATION),
            "use_bias": draw(st.booleans()),
            **strides_or_dilation(draw, rank),
        }
        return arguments, [image(draw, rank, 7, groups * draw(number(1, 2)))]

    return case


def depthwise(rank: int, separable: bool) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        arguments = {
            "kernel_size": size(draw, rank, 1, 3),
            "padding": draw(st.sampled_from(["valid", "same"])),
            "depth_multiplier": draw(number(1, 3)),
            "activation": draw(ACTIVATION),
            "use_bias": draw(st.booleans()),
            **strides_or_dilation(draw, rank, equal=True),
        }
        if separable:
            arguments["filters"] = draw(number(1, 4))
        return arguments, [image(draw, rank, 7)]

    return case


def transposed(draw: Draw) -> Case:
    strides = draw(pair(1, 3))
    kernel = (draw(number(strides[0], 4)), draw(number(strides[1], 4)))
    arguments: dict[str, Any] = {
        "filters": draw(number(1, 3)),
        "kernel_size": kernel,
        "strides": strides,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "activation": draw(ACTIVATION),
        "use_bias": draw(st.booleans()),
    }
    if strides != (1, 1) and draw(st.booleans()) and min(strides) > 1:
        arguments["output_padding"] = tuple(draw(number(0, s - 1)) for s in strides)
    return arguments, [image(draw, 2, 3)]


def batch_norm(draw: Draw) -> Case:
    shape = some_shape(draw)
    arguments = {
        "axis": draw(st.sampled_from([-1, *range(1, len(shape) + 1)])),
        "epsilon": draw(floats(0.0009765625, 0.5)),
        "center": draw(st.booleans()),
        "scale": draw(st.booleans()),
        "momentum": draw(floats(0.5, 0.875)),
    }
    return arguments, [shape]


def normalization(draw: Draw) -> Case:
    shape = some_shape(draw)
    axes = draw(st.lists(number(1, len(shape)), unique=True, max_size=len(shape)))
    axis = draw(st.sampled_from([None, -1, sorted(axes)]))
    arguments: dict[str, Any] = {"axis": axis}
    if draw(st.booleans()):
        kept = [len(shape)] if axis == -1 else (axis or [])
        spread = [n if i + 1 in kept else 1 for i, n in enumerate(shape)]
        if tuple(map(int, keras().__version__.split(".")[:2])) >= (3, 14):
            spread = [n for i, n in enumerate(shape) if i + 1 in kept]
        rng = np.random.default_rng(draw(number(0, 99)))
        if draw(st.booleans()):
            arguments.update(mean=0.25, variance=2.0)
        else:
            arguments["mean"] = rng.normal(size=spread).astype("float32").tolist()
            arguments["variance"] = rng.uniform(0.5, 2, spread).astype("float32").tolist()
    return arguments, [shape]


def rescaling(draw: Draw) -> Case:
    shape = some_shape(draw)
    arguments: dict[str, Any] = {"scale": draw(floats(-2, 2))}
    kind = draw(st.sampled_from(["none", "number", "list"]))
    if kind == "number":
        arguments["offset"] = draw(floats(-1, 1))
    elif kind == "list":
        length = st.lists(floats(-1, 1), min_size=shape[-1], max_size=shape[-1])
        arguments.update(scale=draw(length), offset=draw(length))
    return arguments, [shape]


def relu(draw: Draw) -> Case:
    arguments = {
        "max_value": draw(st.one_of(st.none(), floats(0, 2))),
        "negative_slope": draw(st.one_of(st.just(0.0), floats(0, 1))),
        "threshold": draw(st.one_of(st.just(0.0), floats(0, 1))),
    }
    return arguments, [some_shape(draw)]


def prelu(draw: Draw) -> Case:
    shape = some_shape(draw)
    shared = draw(st.lists(number(1, len(shape)), unique=True, max_size=len(shape)))
    return {"shared_axes": shared or None}, [shape]


def softmax(draw: Draw) -> Case:
    shape = some_shape(draw)
    return {"axis": draw(st.sampled_from([-1, *range(1, len(shape) + 1)]))}, [shape]


def pooling(rank: int) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        arguments = {
            "pool_size": size(draw, rank, 1, 3),
            "strides": draw(st.none()) if draw(st.booleans()) else size(draw, rank, 1, 3),
            "padding": draw(st.sampled_from(["valid", "same"])),
        }
        return arguments, [image(draw, rank)]

    return case


def global_pooling(rank: int) -> Callable[[Draw], Case]:
    return lambda draw: ({"keepdims": draw(st.booleans())}, [image(draw, rank)])


def merging(least: int, most: int) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        shape = some_shape(draw)
        return {}, [shape] * draw(number(least, most))

    return case


def multiply(draw: Draw) -> Case:
    shape = some_shape(draw)
    other = tuple(n if draw(st.booleans()) else 1 for n in shape)
    return {}, [shape, other]


def concatenate(draw: Draw) -> Case:
    shape = some_shape(draw)
    axis = draw(st.sampled_from([-1, *range(1, len(shape) + 1)]))
    place = axis - 1 if axis > 0 else len(shape) - 1
    shapes = [
        (*shape[:place], draw(number(1, 4)), *shape[place + 1 :]) for _ in range(draw(number(2, 3)))
    ]
    return {"axis": axis}, shapes


def reshape(draw: Draw) -> Case:
    shape = some_shape(draw)
    target = list(draw(st.permutations(shape)))
    if draw(st.booleans()):
        target[draw(number(0, len(target) - 1))] = -1
    return {"target_shape": tuple(target)}, [shape]


def permute(draw: Draw) -> Case:
    shape = some_shape(draw)
    return {"dims": tuple(draw(st.permutations(range(1, len(shape) + 1))))}, [shape]


def edges(rank: int, key: str) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        if rank == 1:
            value: Any = draw(st.one_of(number(0, 2), pair(0, 2)))
        else:
            value = draw(st.one_of(number(0, 2), pair(0, 2), st.tuples(pair(0, 2), pair(0, 2))))
        return {key: value}, [image(draw, rank)]

    return case


def upsampling2d(draw: Draw) -> Case:
    interpolation = draw(st.sampled_from(["nearest", "bilinear"]))
    arguments = {"size": size(draw, 2, 1, 4), "interpolation": interpolation}
    return arguments, [image(draw, 2, 1)]


def one_float(key: str, low: float, high: float) -> Callable[[Draw], Case]:
    return lambda draw: ({key: draw(floats(low, high))}, [some_shape(draw)])


def dropout(rank: int | None, key: str = "rate") -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        shape = some_shape(draw) if rank is None else image(draw, rank)
        return {key: draw(floats(0.125, 0.875))}, [shape]

    return case


CASES: dict[str, Callable[[Draw], Case]] = {
    "Dense": dense,
    "Conv1D": convolution(1),
    "Conv2D": convolution(2),
    "Conv2DTranspose": transposed,
    "DepthwiseConv1D": depthwise(1, False),
    "DepthwiseConv2D": depthwise(2, False),
    "SeparableConv1D": depthwise(1, True),
    "SeparableConv2D": depthwise(2, True),
    "BatchNormalization": batch_norm,
    "Normalization": normalization,
    "Rescaling": rescaling,
    "Activation": lambda draw: ({"activation": draw(ACTIVATION)}, [some_shape(draw)]),
    "ReLU": relu,
    "LeakyReLU": one_float("negative_slope", 0, 2),
    "PReLU": prelu,
    "ELU": one_float("alpha", 0.125, 2),
    "Softmax": softmax,
    "MaxPooling1D": pooling(1),
    "MaxPooling2D": pooling(2),
    "AveragePooling1D": pooling(1),
    "AveragePooling2D": pooling(2),
    "GlobalMaxPooling1D": global_pooling(1),
    "GlobalMaxPooling2D": global_pooling(2),
    "GlobalAveragePooling1D": global_pooling(1),
    "GlobalAveragePooling2D": global_pooling(2),
    "Add": merging(2, 4),
    "Subtract": merging(2, 2),
    "Multiply": multiply,
    "Average": merging(2, 4),
    "Concatenate": concatenate,
    "Flatten": lambda draw: ({}, [some_shape(draw)]),
    "Reshape": reshape,
    "Permute": permute,
    "ZeroPadding1D": edges(1, "padding"),
    "ZeroPadding2D": edges(2, "padding"),
    "Cropping1D": edges(1, "cropping"),
    "Cropping2D": edges(2, "cropping"),
    "UpSampling1D": lambda draw: ({"size": draw(number(1, 4))}, [image(draw, 1)]),
    "UpSampling2D": upsampling2d,
    "Dropout": dropout(None),
    "SpatialDropout1D": dropout(1),
    "SpatialDropout2D": dropout(2),
    "AlphaDropout": dropout(None),
    "GaussianDropout": dropout(None),
    "GaussianNoise": dropout(None, "stddev"),
    "ActivityRegularization": dropout(None, "l2"),
    "Identity": lambda draw: ({}, [some_shape(draw)]),
}
"""How to draw arguments and input shapes for each layer."""

KERAS_2_ONLY = {"ThresholdedReLU"}


def test_every_supported_layer_is_drawn() -> None:
    assert set(CASES) == set(HANDLERS) - {"InputLayer"} - KERAS_2_ONLY


def network(class_name: str, arguments: dict[str, Any], shapes: list[tuple[int, ...]]) -> Any:
    """A model of one layer, with random weights."""
    layers = keras().layers
    inputs = [layers.Input(shape) for shape in shapes]
    layer = getattr(layers, class_name)(**arguments)
    return randomise(keras().Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0])))


# Equality ------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_name", CASES)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_a_layer_computes_what_keras_computes(class_name: str, data: st.DataObject) -> None:
    keras()
    arguments, shapes = CASES[class_name](data.draw)
    model = network(class_name, arguments, shapes)
    form = data.draw(st.sampled_from(sorted(FORMATS)))
    with tempfile.TemporaryDirectory() as folder:
        assert_same(import_keras(FORMATS[form](model, Path(folder))), model)


@pytest.mark.parametrize("name", NAMES)
def test_an_activation_computes_what_keras_computes(name: str) -> None:
    model = network("Activation", {"activation": name}, [(400,)])
    grid = np.concatenate([np.linspace(-8, 8, 398), [-50, 50]]).astype(np.float32)[None]
    assert_same(import_keras(model), model, {model.inputs[0].name: grid})


def test_a_layer_may_stand_in_the_place_of_an_activation(tmp_path: Path) -> None:
    layers = keras().layers
    for activation in (layers.LeakyReLU(0.125), layers.ReLU(2.0, 0.5), layers.ELU(0.5)):
        model = network("Dense", {"units": 3, "activation": activation}, [(4,)])
        for form in FORMATS.values():
            assert_same(import_keras(form(model, tmp_path)), model)


def test_hard_sigmoid_of_keras_2_has_another_slope(tmp_path: Path) -> None:
    def slope(version: str) -> float:
        config = sequential(
            {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 3]}},
            {"class_name": "Activation", "config": {"name": "a", "activation": "hard_sigmoid"}},
        )
        model = read_keras(legacy_file(tmp_path / "m.h5", config, {"a": {}}, version))
        return float(model.graph.nodes["a"].attributes["slope"])

    assert slope("2.15.0") == 0.2
    assert slope("3.12.0") == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("version", "mean", "axis", "shape"),
    [
        ("2.15.0", [1.0, 2.0], 1, (2, 1)),
        ("2.15.0", 1.0, [1, 2], (1, 1)),
        ("3.13.0", [1.0, 2.0], -1, (1, 2)),
        ("3.13.0", [[1.0], [2.0]], 1, (2, 1)),
        ("3.13.0", [1.0, 2.0], 1, None),
        ("3.14.0", [1.0, 2.0], 1, (2, 1)),
        ("3.14.0", [1.0, 2.0], [1, 2], (1, 2)),
        ("3.14.0", 1.0, None, (1, 1)),
    ],
)
def test_means_of_normalization_belong_to_axes_as_the_version_says(
    version: str, mean: Any, axis: Any, shape: tuple[int, ...] | None, tmp_path: Path
) -> None:
    variance = np.ones(np.shape(mean)).tolist()
    config = sequential(
        input_layer(2, 2), layer("Normalization", "n", axis=axis, mean=mean, variance=variance)
    )
    path = legacy_file(tmp_path / "m.h5", config, {"n": {}}, version)
    if shape is None:
        with pytest.raises(FormatError):
            read_keras(path)
        return
    found = read_keras(path).graph.nodes["n"].parameters["mean"].numpy()
    assert found.reshape(-1).tolist() == np.ravel(mean).tolist()
    assert found.shape == shape


def test_bilinear_upsampling_of_very_old_versions_is_refused(tmp_path: Path) -> None:
    config = sequential(input_layer(2, 2, 1), layer("UpSampling2D", "u", interpolation="bilinear"))
    read_keras(legacy_file(tmp_path / "m.h5", config, {"u": {}}, "2.4.0"))
    with pytest.raises(UnsupportedFeature):
        read_keras(legacy_file(tmp_path / "m.h5", config, {"u": {}}, "2.2.4"))


# Arguments -----------------------------------------------------------------------------------

MINIMAL: dict[str, dict[str, Any]] = {
    "AveragePooling1D": {"pool_size": 2},
    "AveragePooling2D": {"pool_size": 2},
    "Dense": {"units": 1},
    "Conv1D": {"filters": 1, "kernel_size": 1},
    "Conv2D": {"filters": 1, "kernel_size": 1},
    "Conv2DTranspose": {"filters": 1, "kernel_size": 1},
    "DepthwiseConv1D": {"kernel_size": 1},
    "DepthwiseConv2D": {"kernel_size": 1},
    "SeparableConv1D": {"filters": 1, "kernel_size": 1},
    "SeparableConv2D": {"filters": 1, "kernel_size": 1},
    "Rescaling": {"scale": 1.0},
    "Activation": {"activation": "relu"},
    "Reshape": {"target_shape": (1,)},
    "Permute": {"dims": (1,)},
    "Dropout": {"rate": 0.5},
    "SpatialDropout1D": {"rate": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
    "AlphaDropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "InputLayer": {"shape": (1,)},
}


@pytest.mark.parametrize("class_name", sorted(set(HANDLERS) - KERAS_2_ONLY))
def test_a_handler_mentions_every_argument_of_its_layer(class_name: str) -> None:
    layer = getattr(keras().layers, class_name)(**MINIMAL.get(class_name, {}))
    handler = HANDLERS[class_name]
    assert [key for key in layer.get_config() if not handler.mentions(key)] == []


def refused(model: Any) -> UnsupportedFeature:
    with pytest.raises(UnsupportedFeature) as caught:
        import_keras(model)
    return caught.value


REFUSED: list[tuple[str, dict[str, Any], tuple[int, ...], str]] = [
    (
        "Conv2D",
        {"filters": 1, "kernel_size": 1, "data_format": "channels_first"},
        (1, 4, 4),
        "data",
    ),
    ("Flatten", {"data_format": "channels_first"}, (2, 3, 3), "data_format"),
    ("Dense", {"units": 2, "activation": "mish"}, (3,), "mish"),
    ("Dense", {"units": 2, "activation": "exponential"}, (3,), "exponential"),
    ("Activation", {"activation": "selu"}, (3,), "selu"),
    ("Normalization", {"invert": True, "mean": 0.0, "variance": 1.0}, (3,), "invert"),
    ("UpSampling2D", {"interpolation": "bicubic"}, (3, 3, 1), "bicubic"),
    ("LayerNormalization", {}, (3,), "BatchNormalization"),
    ("LSTM", {"units": 2}, (3, 3), "recurrent"),
    ("Softmax", {"axis": (1, 2)}, (3, 3), "axis"),
    ("UnitNormalization", {}, (3,), "UnitNormalization"),
    ("Dense", {"units": 2, "dtype": "int8_from_float32"}, (3,), "quantis"),
]


@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: f"{entry[0]}-{entry[3]}")
def test_what_has_no_counterpart_is_refused(
    entry: tuple[str, dict[str, Any], tuple[int, ...], str],
) -> None:
    class_name, arguments, shape, word = entry
    layers = keras().layers
    x = layers.Input(shape)
    if "dtype" in arguments:
        model = keras().Sequential([x, layers.Dense(2)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.layers[0].quantize("int8")
    else:
        try:
            y = getattr(layers, class_name)(**arguments)(x)
        except (ValueError, NotImplementedError) as error:
            pytest.skip(f"this Keras cannot build it: {error}")
        model = keras().Model(x, y)
    error = refused(model)
    assert word in str(error)
    assert all(finding.hint or finding.remedy for finding in error.diagnostics)
    for finding in error.diagnostics:  # why it is refused belongs to what was found
        assert not re.search(r"\b(no|not|because|cannot)\b", finding.allowed), finding.allowed
    assert all(finding.source for finding in error.diagnostics)


def test_time_distributed_and_lambda_are_refused_with_what_to_do(tmp_path: Path) -> None:
    layers = keras().layers
    x = layers.Input((4, 3))
    y = layers.TimeDistributed(layers.Dense(2))(x)
    y = layers.Lambda(lambda value: value * 2, output_shape=(4, 2), name="double")(y)
    error = refused(FORMATS["keras"](keras().Model(x, y), tmp_path))
    assert [finding.code for finding in error.diagnostics] == ["keras.layer"] * 2
    time, code = error.diagnostics
    assert "TimeDistributed" in time.where and "Dense acts on the last axis" in time.remedy
    assert "'double'" in code.where and "Replace it by layers" in code.remedy


def test_every_problem_is_in_one_error() -> None:
    layers = keras().layers
    x = layers.Input((8, 8, 3))
    y = layers.Conv2D(2, 3, activation="mish", name="first")(x)
    y = layers.UpSampling2D(interpolation="lanczos3", name="second")(y)
    y = layers.LayerNormalization(name="third")(y)
    inner = keras().Sequential([layers.Input((12, 12, 2)), layers.UnitNormalization(name="deep")])
    y = layers.Add(name="fourth")([inner(y), y])
    error = refused(keras().Model(x, layers.MultiHeadAttention(1, 1, name="fifth")(y, y)))
    found = [finding.source.rsplit("/", 1)[-1] for finding in error.diagnostics]
    assert sorted(found) == ["deep", "fifth", "first", "second", "third"]


def test_broadcasting_is_refused_where_it_has_no_counterpart() -> None:
    layers = keras().layers
    x, y = layers.Input((4, 3)), layers.Input((1, 3))
    error = refused(keras().Model([x, y], layers.Add()([x, y])))
    assert error.code == "keras.call" and "broadcasting" in str(error)
    x, y = layers.Input((4, 3)), layers.Input((3,))
    error = refused(keras().Model([x, y], layers.Multiply()([x, y])))
    assert "Reshape" in error.diagnostics[0].remedy


def test_dropout_that_stays_on_is_refused() -> None:
    layers = keras().layers
    x = layers.Input((4,))
    error = refused(keras().Model(x, layers.Dropout(0.5)(x, training=True)))
    assert error.code == "keras.call" and "training" in str(error)


def test_the_same_value_twice(tmp_path: Path) -> None:
    layers = keras().layers
    x = layers.Input((4,))
    y = layers.Concatenate()([layers.Add()([x, x]), layers.Multiply()([x, x, x]), x])
    assert_same(import_keras(keras().Model(x, y)), keras().Model(x, y))


def test_operations_of_two_values_or_a_value_and_a_number(tmp_path: Path) -> None:
    layers = keras().layers
    x, y = layers.Input((4,)), layers.Input((4,))
    z = ((x + y) * 2.0 - x) * y + 1.5
    z = (3.0 - z) / 4.0
    model = keras().Model([x, y], z)
    for form in FORMATS.values():
        assert_same(import_keras(form(model, tmp_path)), model)
    error = refused(keras().Model(x, keras().ops.sqrt(x)))
    assert error.code == "keras.layer" and "Sqrt" in str(error)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float64"])
def test_other_precisions_are_carried_as_float32_and_said(policy: str, tmp_path: Path) -> None:
    layers = keras().layers
    model = randomise(
        keras().Sequential([layers.Input((4,)), layers.Dense(3, dtype=policy, name="odd")])
    )
    for form in FORMATS.values():
        read = import_keras(form(model, tmp_path)).model
        (finding,) = read.findings
        assert finding.severity == "warning" and policy in str(finding) and "odd" in finding.where
        expected = np.asarray(model.layers[0].kernel.numpy()).astype(np.float32)
        assert np.array_equal(read.graph.nodes["odd"].parameters["weight"].numpy(), expected)
