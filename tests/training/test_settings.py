"""Settings of training: what is allowed, schedules, and what is kept of them."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnir.errors import RunError
from snnir.training import TrainSettings, train
from tests.training.toy import network, samples


def test_defaults_are_allowed() -> None:
    for method in ("eventprop", "eprop"):
        assert TrainSettings(method=method).check() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 2.5},
        {"epochs": "3"},
        {"epochs": None},
        {"epochs": True},
        {"learning_rate": "fast"},
        {"learning_rate": None},
        {"schedule": 3},
        {"shuffle": "no"},
        {"learn_delays": "into"},
        {"backend": None},
        {"reg_lambda_upper": {"hidden": "much"}},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"beta1": 1.5},
        {"validation_split": 1.0},
        {"patience": 0},
        {"schedule": "sometimes"},
        {"schedule": "step:0:0.5"},
        {"schedule": "exponential:2"},
        {"loss": "hinge"},
        {"communicator": "pigeon"},
        {"reg_lambda_upper": {"hidden": -1.0}},
        {"softmax_temperature": 0.0},
        {"method": "eprop", "max_spikes": 3},
        {"method": "eventprop", "c_reg": 0.5},
    ],
)
def test_each_mistake_is_one_finding(wrong: dict[str, Any]) -> None:
    (finding,) = TrainSettings(**wrong).check()
    assert finding.code == "train.setting"
    assert list(wrong)[-1] in finding.where


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(RunError) as caught:
        train(network(), *samples(), epochs=0, learning_rate=-1.0, schedule="x", beta2=7.0)
    assert len(caught.value.diagnostics) == 4


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(RunError, match="'rate'"):
        train(network(), *samples(), rate=1.0)


def test_only_what_differs_is_kept() -> None:
    assert json.loads(TrainSettings(epochs=3, learn_delays=("a",)).text()) == {
        "method": "eventprop",
        "epochs": 3,
        "learn_delays": ["a"],
    }


def test_numbers_of_numpy_are_numbers() -> None:
    settings = TrainSettings(
        epochs=np.int64(3),  # type: ignore[arg-type]
        learning_rate=np.float32(0.5),  # type: ignore[arg-type]
        reg_lambda_upper={"hidden": np.float64(0.25)},
    )
    assert settings.check() == []
    assert json.loads(settings.text()) == {
        "method": "eventprop",
        "epochs": 3,
        "learning_rate": 0.5,
        "reg_lambda_upper": {"hidden": 0.25},
    }


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("exponential:0.5", [1, 0.5, 0.25, 0.125]),
        ("step:2:0.1", [1, 1, 0.1, 0.1]),
    ],
)
def test_schedules(schedule: str, factors: list[float]) -> None:
    settings = TrainSettings(schedule=schedule, epochs=4, learning_rate=2.0)
    assert [settings.rate(epoch) for epoch in range(4)] == pytest.approx(
        [2 * factor for factor in factors], rel=1e-12
    )


@given(st.integers(1, 50), st.sampled_from(["constant", "cosine", "exponential:0.9", "step:3:0.5"]))
def test_rates_never_rise(epochs: int, schedule: str) -> None:
    settings = TrainSettings(epochs=epochs, schedule=schedule)
    rates = [settings.rate(epoch) for epoch in range(epochs)]
    assert all(0 <= later <= earlier for earlier, later in pairwise(rates))


def test_every_setting_says_what_it_does() -> None:
    for entry in dataclasses.fields(TrainSettings):
        assert entry.metadata["doc"], entry.name
