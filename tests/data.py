"""Real data for tests, where there is some."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

from snnir.errors import FileError
from snnir.testing import images

SHARED = Path(
    os.environ.get("SNNIR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
"""A folder of trained networks and recordings that are not part of the project."""


def shared(path: str) -> Path:
    """A file of that folder; the test is skipped if it is not there."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"needs {path} (set SNNIR_TEST_DATA to the folder that holds it)")
    return found


@lru_cache(maxsize=1)
def _mnist() -> images.Images | str:
    try:
        return images.mnist()
    except FileError as error:
        return str(error)


def mnist() -> images.Images:
    """MNIST; the test is skipped if it is not to be had."""
    found = _mnist()
    if isinstance(found, str):
        pytest.skip(found)
    return found
