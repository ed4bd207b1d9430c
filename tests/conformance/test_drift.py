"""The vectors that are shipped are those that the generator computes."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="some expected values come from ONNX")
pytest.importorskip("scipy", reason="some expected values come from SciPy")

from tests.conformance.make_vectors import drifted, generate, stored

LARGEST_FILE = 16 << 10
LARGEST_SET = 3 << 19


@pytest.fixture(scope="module")
def differing() -> list[str]:
    return drifted()


def test_vectors_are_what_the_generator_computes(differing: list[str]) -> None:
    assert differing == [], "run `make vectors`"


def test_one_operator_can_be_computed_alone() -> None:
    files = generate("snn.IF")
    assert files
    assert all(name.startswith("snn/IF/") for name in files)
    assert files == stored("snn.IF")


def test_vectors_are_small() -> None:
    sizes = {name: len(content) for name, content in stored().items()}
    assert not {name: size for name, size in sizes.items() if size > LARGEST_FILE}
    assert sum(sizes.values()) < LARGEST_SET
