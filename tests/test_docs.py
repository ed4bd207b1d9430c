"""What the README shows is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from snnir.cli.main import main

README = Path(__file__).resolve().parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="the source tree is not here")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.S)


def test_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in _blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert "(5, 10) (5, 50, 6, 6, 4)" in capsys.readouterr().out
    assert (tmp_path / "digits.snnir").exists()

    commands = [
        line.removeprefix("$ snnir ")
        for block in _blocks("console")
        for line in block.splitlines()
        if line.startswith("$ snnir ")
    ]
    assert len(commands) >= 6
    for command in commands:
        assert main(shlex.split(command)) == 0, command


def test_its_links_lead_somewhere() -> None:
    for text in (README, README.parent / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", text.read_text()):
            assert (README.parent / target).exists(), target
