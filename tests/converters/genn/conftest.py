"""What tests of the GeNN backend need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from snnir_converters.genn._cache import FOLDER_VARIABLE


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this session, so that the user's is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("genn-cache")))
        yield
