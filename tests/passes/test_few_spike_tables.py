"""Tables against the functions they stand for, carried out step by step as the paper says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snnir
from snnir.ir.builder import GraphBuilder
from snnir.passes.few_spike import FewSpikeOptions, FewSpikeReport, lower_to_few_spikes, tables
from snnir.passes.few_spike.pooling import bracket
from snnir.passes.few_spike.tables import Ramp

Array = np.ndarray[Any, Any]


def spikes(ramp: Ramp, v: Array) -> tuple[Array, Array]:
    """Output and number of spikes of a neuron with these tables: eqs. 1-3 of the paper."""
    output, count = np.zeros_like(v), np.zeros_like(v)
    for threshold, reset, weight in zip(
        ramp.threshold.astype(np.float64),
        ramp.reset.astype(np.float64),
        ramp.weight.astype(np.float64),
        strict=True,
    ):
        z = v >= threshold
        v = v - reset * z
        output += weight * z
        count += z
    return output, count


@given(
    bits=st.integers(1, 12),
    start=st.integers(-40, 40),
    digits=st.integers(16, 31),
    exponent=st.integers(-8, 0),
    slope=st.integers(-8, 8),
)
def test_a_ramp_rounds_to_the_nearest_level(
    bits: int, start: int, digits: int, exponent: int, slope: int
) -> None:
    """All numbers are exact in float32 and float64; the potentials lie around the ramp."""
    quantum = digits * 2.0**exponent
    ramp = Ramp(
        np.float32(start / 8) * np.ones(()),
        np.asarray(quantum, np.float32),
        np.asarray(slope / 4, np.float32),
        bits,
    )
    end = (2**bits - 1) * quantum
    v = start / 8 + np.linspace(-1.25 * end - 1, 2.25 * end + 1, 257)
    output, count = spikes(ramp, v)
    clipped = np.clip(v - start / 8, 0, end)
    assert np.abs(output - slope / 4 * clipped).max() <= abs(slope / 4) * quantum / 2
    codes = ramp.codes(v)
    assert np.array_equal(ramp.worth(codes), output)
    assert ramp.spikes(codes) == pytest.approx(count.mean())


def test_exact_tables_need_no_more_than_float32() -> None:
    """A quantum of few digits: every level of 16 bits is a float32."""
    widths = np.random.default_rng(0).uniform(1e-6, 1e6, 1000)
    quanta = tables.quantum(widths, 16).astype(np.float64)
    mantissa, _ = np.frexp(quanta)
    assert np.array_equal(mantissa * 32, np.rint(mantissa * 32))
    kept = widths > tables.SMALLEST * widths.max()
    assert np.all(quanta[kept] * 65535 >= widths[kept] * (1 - 1e-12))
    assert np.all(quanta[kept] * 65535 <= widths[kept] * (1 + 1 / 16))


def test_the_end_of_a_rectifier_is_where_the_error_is_least() -> None:
    """Many small activations and one that is large: with few bits it is better clipped."""
    rng = np.random.default_rng(0)
    v = np.concatenate([rng.exponential(1, 4000), [40]]).astype(np.float32)[:, None]
    errors = []
    for clip in tables.CLIPS:
        ramp = Ramp(np.zeros(()), tables.quantum(clip * v.max(0), 3), np.ones(()), 3)
        errors.append(np.square(spikes(ramp, v.astype(np.float64))[0] - v).mean())
    chosen = tables.rectifier(v, v, v.max(0), None, 3)
    found = np.square(spikes(chosen, v.astype(np.float64))[0] - v).mean()
    assert found == pytest.approx(min(errors), rel=1e-5)
    assert np.all(chosen.quantum * 7 < v.max())


# Functions of a whole network ----------------------------------------------------------------

erf = np.vectorize(math.erf)
FUNCTIONS: dict[str, tuple[str, dict[str, Any], Callable[[Array], Array]]] = {
    "relu": ("ReLU", {}, lambda x: np.maximum(x, 0)),
    "relu6": ("ReLU", {"max_value": 2.0}, lambda x: np.clip(x, 0, 2)),
    "leaky": ("ReLU", {"negative_slope": 0.125}, lambda x: np.maximum(x, x / 8)),
    "leaky6": (
        "ReLU",
        {"negative_slope": 0.5, "max_value": 1.0},
        lambda x: np.minimum(np.maximum(x, x / 2), 1),
    ),
    "absolute": ("ReLU", {"negative_slope": -1.0}, np.abs),
    "prelu": ("PReLU", {"slope": [0.25]}, lambda x: np.maximum(x, x / 4)),
    "sigmoid": ("Sigmoid", {}, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": ("Tanh", {}, np.tanh),
    "silu": ("SiLU", {}, lambda x: x / (1 + np.exp(-x))),
    "gelu": ("GELU", {}, lambda x: x * (1 + erf(x / math.sqrt(2))) / 2),
    "gelu-tanh": (
        "GELU",
        {"approximate": True},
        lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    "elu": ("ELU", {"alpha": 1.5}, lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))),
    "hard-sigmoid": ("HardSigmoid", {}, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
}
LINES = {"relu", "relu6", "leaky", "leaky6", "absolute", "prelu", "hard-sigmoid"}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("reach", [(-5.0, 5.0), (-1.0, 2.5), (0.25, 4.0)])
def test_functions(name: str, bits: int, reach: tuple[float, float]) -> None:
    """Within a code of the range of values; half a level where the function is of lines.

    A rectifier may cut its largest values where that is better on average: not bounded here, but
    by the mean of the error.
    """
    operator, arguments, function = FUNCTIONS[name]
    b = GraphBuilder()
    x = b.input("x", [1])
    hidden = b.ann.Scale(x, scale=1.0)
    active = b.add(f"ann.{operator}", hidden, name="active", **arguments)
    b.output("y", b.ann.Dense(active, weight=np.eye(1)))
    points = np.linspace(*reach, 2001, dtype=np.float32)[:, None]
    spiking, layers = lower_to_few_spikes(b.build(), {"x": points}, FewSpikeOptions(bits))
    assert spiking.time.steps == bits
    exact = function(points.astype(np.float64))
    error = np.abs(snnir.run(spiking, points)["y"] - exact)
    (layer,) = layers
    assert isinstance(layer, FewSpikeReport)
    code = np.ptp(exact) / 2**bits
    # A potential just between two levels may go to either in float32
    assert layer.largest_error == pytest.approx(error.max(), abs=code / 8)
    if name in ("relu", "relu6"):
        width = exact.max()
        assert np.sqrt(np.square(error).mean()) <= 0.58 * width / 2**bits  # 1/sqrt(12) = 0.29
    elif name in LINES:
        # A quantum is rounded up by at most 1/16, and the widest of the two pieces counts
        widest = max(np.abs(points).max(), np.ptp(exact))
        assert error.max() <= 0.5 * 17 / 16 * widest / (2**bits - 1) * (1 + 1e-5)
        assert layer.fit < 1e-6
    else:
        assert error.max() <= code * 1.04  # 2**bits / (2**bits - 1) for the quantum of a piece
        assert layer.fit <= code / 2
        assert layer.pieces <= 16


def test_limits_of_pieces_are_kept_and_the_error_is_told() -> None:
    response = tables.fitted(np.tanh, -4.0, 4.0, [], 8, 4)
    x = np.linspace(-4, 4, 4001)
    found = response.offset + sum(spikes(ramp, x)[0] for ramp in response.ramps)
    assert len(response.ramps) == 4
    assert response.fit > 1 / 256
    # Pieces of 255 levels of at most half the range of values
    assert np.abs(found - np.tanh(x)).max() == pytest.approx(response.fit, abs=1 / 255)


@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_a_function_seen_at_one_place_only(value: float) -> None:
    response = tables.fitted(np.tanh, value, value, [], 8, 8)
    found = response.offset + sum(spikes(ramp, np.array([value]))[0] for ramp in response.ramps)
    assert np.abs(found - np.tanh(value)).max() < 1e-4


# Pooling -------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=13))
def test_a_tournament_finds_the_maximum(values: list[int]) -> None:
    games = bracket(len(values))
    known = np.zeros(2 * len(values) - 1)
    known[: len(values)] = values
    used = len(values)
    for differences in games.rounds:
        rectified = np.maximum(differences @ known, 0)
        known[used : used + len(rectified)] = rectified
        used += len(rectified)
    assert used == len(known)
    assert games.winner @ known == max(values)
    assert len(games.rounds) == math.ceil(math.log2(len(values)))
