"""Activations and normalisation, against closed forms, `math` and ONNX; and all of `ann`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

from snnir.ops.ann import OPERATORS as ANN
from snnir.ops.ann.activations import erf
from snnir.ops.schema import OpDef
from tests.ops.harness import Array, Refused, find, infer, onnx_run, run

X = np.concatenate([np.linspace(-12, 12, 961), [-1e4, -88.0, 88.0, 1e4]])[None]


# The error function --------------------------------------------------------------------------


def test_erf() -> None:
    x = np.concatenate([np.linspace(-7, 7, 100_001), [1e-300, 1e300, math.inf, -math.inf]])
    expected = np.vectorize(math.erf)(x)
    assert np.max(np.abs(erf(x) - expected)) < 1e-15
    assert erf(x).dtype == np.float64
    np.testing.assert_array_equal(erf(-x), -erf(x))
    narrow = x[:-4].astype(np.float32)
    assert erf(narrow).dtype == np.float32
    exact = np.vectorize(math.erf)(narrow.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(erf(narrow), exact, rtol=0, atol=2**-24)


# Activations ---------------------------------------------------------------------------------


def keras_relu(x: float, limit: float, threshold: float, slope: float) -> float:
    return min(x, limit) if x > threshold else slope * (x - threshold)


@pytest.mark.parametrize("limit", [None, 6.0, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_relu(limit: float | None, threshold: float, slope: float) -> None:
    attributes = {"max_value": limit, "threshold": threshold, "negative_slope": slope}
    top = math.inf if limit is None else limit
    expected = [keras_relu(v, top, threshold, slope) for v in X[0]]
    y = run(find(ANN, "ReLU"), X, attributes, dtype=np.float64)
    np.testing.assert_array_equal(y[0], expected)


def test_relu_at_its_corners_equals_keras() -> None:
    """Keras 3.12 on TensorFlow 2.21: an input equal to the threshold does not pass."""
    x = np.array([[-1.0, 0.0, 0.5, 3.0, 3.5, 5.0, 6.0]])
    y = run(find(ANN, "ReLU"), x, {"threshold": 3.0, "max_value": 5.0, "negative_slope": 0.5})
    np.testing.assert_array_equal(y[0], [-2.0, -1.5, -1.25, 0.0, 3.5, 5.0, 5.0])


CLOSED_FORMS: list[tuple[str, dict[str, Any], Callable[[Array], Array]]] = [
    ("LeakyReLU", {}, lambda x: np.where(x < 0, 0.3 * x, x)),
    ("LeakyReLU", {"negative_slope": 0.1}, lambda x: np.where(x < 0, 0.1 * x, x)),
    ("ELU", {}, lambda x: np.where(x < 0, scipy.special.expm1(np.minimum(x, 0)), x)),
    ("ELU", {"alpha": 0.5}, lambda x: np.where(x < 0, 0.5 * np.expm1(np.minimum(x, 0)), x)),
    ("SiLU", {}, lambda x: x * scipy.special.expit(x)),
    ("GELU", {}, lambda x: x * scipy.special.ndtr(x)),
    ("Sigmoid", {}, scipy.special.expit),
    ("Tanh", {}, lambda x: 2 * scipy.special.expit(2 * x) - 1),
    ("HardSigmoid", {}, lambda x: np.clip(x + 3, 0, 6) / 6),
    ("HardSigmoid", {"slope": 0.2, "offset": 0.25}, lambda x: np.clip(x / 5 + 0.25, 0, 1)),
    ("Softmax", {}, lambda x: scipy.special.softmax(x, axis=-1)),
]


@pytest.mark.parametrize(("operator", "attributes", "expected"), CLOSED_FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_closed_forms(
    operator: str, attributes: dict[str, Any], expected: Callable[[Array], Array], dtype: Any
) -> None:
    x = X.astype(dtype)
    y = run(find(ANN, operator), x, attributes, dtype=dtype)
    tolerance = 8 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(
        y, expected(x.astype(np.float64)), rtol=tolerance, atol=12 * tolerance
    )


ONNX: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("ReLU", {}, "Relu", {}),
    ("ReLU", {"threshold": 2.0}, "ThresholdedRelu", {"alpha": 2.0}),
    ("LeakyReLU", {"negative_slope": 0.125}, "LeakyRelu", {"alpha": 0.125}),
    ("ELU", {"alpha": 0.5}, "Elu", {"alpha": 0.5}),
    ("GELU", {}, "Gelu", {}),
    ("GELU", {"approximate": True}, "Gelu", {"approximate": "tanh"}),
    ("Sigmoid", {}, "Sigmoid", {}),
    ("Tanh", {}, "Tanh", {}),
    ("HardSigmoid", {"slope": 0.2, "offset": 0.5}, "HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
    ("Softmax", {}, "Softmax", {}),
]


@pytest.mark.parametrize(("operator", "attributes", "onnx_operator", "settings"), ONNX)
def test_onnx(
    operator: str, attributes: dict[str, Any], onnx_operator: str, settings: dict[str, Any]
) -> None:
    x = np.linspace(-9, 9, 721, dtype=np.float32)[None]
    expected = onnx_run(onnx_operator, {"x": x}, **settings)
    np.testing.assert_allclose(run(find(ANN, operator), x, attributes), expected, atol=2e-6)


@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (3, 4)])
def test_prelu(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    slope = np.random.default_rng(1).random(shape)
    y = run(find(ANN, "PReLU"), x, parameters={"slope": slope}, dtype=np.float64)
    np.testing.assert_array_equal(y, np.where(x < 0, x * slope, x))


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_softmax_axis(axis: int) -> None:
    x = 100 * np.random.default_rng(0).standard_normal((2, 3, 4))
    y = run(find(ANN, "Softmax"), x, {"axis": axis}, dtype=np.float64)
    along = axis if axis < 0 else axis + 1
    np.testing.assert_allclose(y, scipy.special.softmax(x, axis=along), atol=1e-15)


@pytest.mark.parametrize("operator", ["Sigmoid", "SiLU", "ELU", "Softmax", "GELU", "Tanh"])
def test_nothing_overflows(operator: str) -> None:
    x = np.array([[-1e30, -1e3, 0.0, 1e3, 1e10]])
    assert np.all(np.isfinite(run(find(ANN, operator), x)))


# Normalisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -3])
@pytest.mark.parametrize("present", [(), ("gamma",), ("beta",), ("gamma", "beta")])
def test_batch_norm(axis: int, present: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 3, 4, 5))
    along = axis if axis < 0 else axis + 1
    parameters = {name: random.random(x.shape[along]) for name in ("mean", "variance", *present)}
    y = run(find(ANN, "BatchNorm"), x, {"axis": axis, "epsilon": 0.01}, parameters, np.float64)
    moved = np.moveaxis(x, along, -1)
    expected = (moved - parameters["mean"]) / np.sqrt(parameters["variance"] + 0.01)
    expected = expected * parameters.get("gamma", 1.0) + parameters.get("beta", 0.0)
    np.testing.assert_allclose(np.moveaxis(y, along, -1), expected, rtol=1e-12)


def test_batch_norm_keeps_to_the_order_of_its_formula() -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal((50, 8)).astype(np.float32)
    mean, variance, gamma, beta = random.random((4, 8)).astype(np.float32)
    factor = (np.float32(1) / np.sqrt(variance + np.float32(1e-3))) * gamma
    y = run(
        find(ANN, "BatchNorm"),
        x,
        parameters={"mean": mean, "variance": variance, "gamma": gamma, "beta": beta},
    )
    np.testing.assert_array_equal(y, x * factor + (beta - mean * factor))


def test_batch_norm_equals_onnx() -> None:
    random = np.random.default_rng(2)
    x = random.standard_normal((2, 4, 5, 3)).astype(np.float32)
    names = ("gamma", "beta", "mean", "variance")
    parameters = {name: random.random(3).astype(np.float32) for name in names}
    y = run(find(ANN, "BatchNorm"), x, {"epsilon": 0.125}, parameters)
    arrays = {"x": x.transpose(0, 3, 1, 2), **parameters}
    expected = onnx_run("BatchNormalization", arrays, epsilon=0.125)
    np.testing.assert_allclose(y, expected.transpose(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rescale(dtype: Any) -> None:
    x = np.arange(12.0).reshape(2, 2, 3)
    scale, offset = np.array([0.5, 0.25, 2.0]), np.array([1.0, -1.0, 0.0])
    y = run(find(ANN, "Rescale"), x, {}, {"scale": scale, "offset": offset}, dtype)
    np.testing.assert_array_equal(y, x * scale + offset)
    y = run(find(ANN, "Rescale"), x, {}, {"scale": np.array(0.5)}, dtype)
    np.testing.assert_array_equal(y, x / 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalize_never_divides_by_less_than_1e_7(dtype: Any) -> None:
    x = np.array([[3.0, 5.0, 2.0]])
    parameters = {"mean": np.array([1.0, 5.0, 1.0]), "variance": np.array([16.0, 0.0, 0.0])}
    y = run(find(ANN, "Normalize"), x, {}, parameters, dtype)
    np.testing.assert_array_equal(y, [[0.5, 0.0, dtype(1) / dtype(1e-7)]])


def test_dropout_does_nothing() -> None:
    np.testing.assert_array_equal(run(find(ANN, "Dropout"), X, {"rate": 0.5}), np.float32(X))


# Inference -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "shape", "attributes", "parameters", "message"),
    [
        ("Softmax", (3,), {"axis": 1}, {}, r"attribute 'axis'.*found 1; allowed: -1 to 0"),
        ("Softmax", (), {}, {}, r"attribute 'axis'.*the input has no axes"),
        (
            "BatchNorm",
            (3,),
            {"axis": -2},
            {"mean": np.zeros(3), "variance": np.ones(3)},
            r"attribute 'axis'.*found -2; allowed: -1 to 0",
        ),
        (
            "BatchNorm",
            (3, 4),
            {},
            {"mean": np.zeros(4), "variance": np.ones(3)},
            r"parameter 'variance'.*found \[3\]; allowed: \[4\]",
        ),
        (
            "BatchNorm",
            (3, 4),
            {"axis": 0},
            {"mean": np.zeros(3), "variance": np.ones(3), "beta": np.zeros((1, 3))},
            r"parameter 'beta'.*found \[1, 3\]; allowed: \[3\]",
        ),
        (
            "BatchNorm",
            (2,),
            {"epsilon": 0.0},
            {"mean": np.zeros(2), "variance": np.array([1.0, 0.0])},
            r"parameter 'variance'.*found 0 with epsilon 0; allowed: a sum above 0",
        ),
    ],
)
def test_refusals(
    operator: str,
    shape: tuple[int, ...],
    attributes: dict[str, Any],
    parameters: dict[str, Array],
    message: str,
) -> None:
    with pytest.raises(Refused, match=message):
        infer(find(ANN, operator), shape, attributes, parameters)


def test_batch_norm_of_symbolic_channels() -> None:
    parameters = {"mean": np.zeros(3), "variance": np.ones(3)}
    assert infer(find(ANN, "BatchNorm"), ("n", "c"), {}, parameters) == ("n", "c")


# The set -------------------------------------------------------------------------------------


def test_names_are_unique() -> None:
    assert len({opdef.name for opdef in ANN}) == len(ANN)


@pytest.mark.parametrize("opdef", ANN, ids=lambda opdef: opdef.name)
def test_every_definition_is_documented(opdef: OpDef) -> None:
    assert opdef.domain == "ann"
    assert opdef.summary.endswith(".")
    assert opdef.formula
    assert opdef.latex
    assert opdef.references
    for item in (*opdef.inputs, *opdef.outputs, *opdef.attributes, *opdef.parameters):
        assert item.doc.endswith("."), item
    for attribute in opdef.attributes:
        if attribute.default is not None:
            assert attribute.problem(attribute.default) is None
