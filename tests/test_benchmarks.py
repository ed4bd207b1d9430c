"""Every benchmark script can be run alone."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("[!_]*.py"))

pytestmark = pytest.mark.skipif(not SCRIPTS, reason="the source tree is not here")


def is_script(given: Any) -> bool:
    """Whether a benchmark can be run with it."""
    return isinstance(given, ModuleType) and callable(vars(given).get("measure"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_hands_over_what_can_be_measured(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    given: list[bool] = []
    stand_in = ModuleType("_measure")
    vars(stand_in).update(vars(__import__("_measure")))
    vars(stand_in)["main"] = lambda _, scripts: given.extend(map(is_script, scripts))
    monkeypatch.setitem(sys.modules, "_measure", stand_in)
    with pytest.raises(SystemExit):
        runpy.run_path(str(script), run_name="__main__")
    assert given and all(given)
