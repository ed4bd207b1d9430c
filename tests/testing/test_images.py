"""The image loaders: whichever way they come, the cache holds the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnir.errors import FileError
from snnir.testing import images
from tests.data import mnist


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no npm, and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "snnir" / "mnist"


def install_keras(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    fake = ModuleType("keras")
    fake.datasets = SimpleNamespace(mnist=SimpleNamespace(load_data=load))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", fake)


def test_kerass_arrays_give_the_original_files(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    real = mnist()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parents[1]))

    def load() -> Any:
        print("a progress bar")
        train_y, test_y = (y.astype(np.uint8) for y in (real.train_y, real.test_y))
        return (real.train_x, train_y), (real.test_x, test_y)

    install_keras(monkeypatch, load)
    found = images.mnist()
    np.testing.assert_array_equal(found.test_x, real.test_x)
    np.testing.assert_array_equal(found.train_y, real.train_y)
    assert len(list(cache.iterdir())) == 4
    assert capsys.readouterr().out == ""
    monkeypatch.delitem(sys.modules, "keras")
    images.mnist(download=False)


def test_other_data_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.uint8)
    install_keras(monkeypatch, lambda: (wrong, wrong))
    with pytest.raises(FileError, match="what keras gives is not what it was; npm is not inst"):
        images.mnist()
    assert list(cache.iterdir()) == []


def test_every_reason_is_given(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Any:
        raise OSError("no such host")

    install_keras(monkeypatch, load)
    with pytest.raises(FileError, match=r"not in the cache; .*no such host; npm is not installed"):
        images.mnist()
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(FileError, match="Keras is not installed"):
        images.mnist()
    with pytest.raises(FileError, match="not in the cache"):
        images.mnist(download=False)


def test_digits() -> None:
    pytest.importorskip("sklearn")
    found = images.digits()
    assert found.train_x.shape[1:] == (8, 8) and found.train_x.max() == 255
    assert len(found.train_x) + len(found.test_x) == 1797
