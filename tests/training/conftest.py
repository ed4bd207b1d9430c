"""Fixtures of the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from snnir.training import run
from tests.training.toy import ToyTrainer


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ToyTrainer]:
    """Makes a toy trainer the one that every method has."""

    def install(**settings: Any) -> ToyTrainer:
        trainer = ToyTrainer(**settings)
        monkeypatch.setattr(run, "find_trainer", lambda method: trainer)
        return trainer

    return install
