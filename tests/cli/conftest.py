"""Fixtures of the tests of the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import snnir
from snnir.cli.main import main
from snnir.ir.model import Model
from snnir.ops import registry

Run = Callable[..., tuple[int, str, str]]
Save = Callable[[Model, str], str]
Install = Callable[..., None]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process: exit code, standard output, standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Saves a model in a fresh working directory, so that its name is the same everywhere."""
    monkeypatch.chdir(tmp_path)

    def save(model: Model, name: str) -> str:
        snnir.save(model, name)
        return name

    return save


@pytest.fixture
def install(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Install]:
    """Installs a plugin package, as far as this process can tell."""
    folder = tmp_path_factory.mktemp("site")
    modules = set(sys.modules)

    def install(source: str, **groups: dict[str, str]) -> None:
        """A module ``acme`` of that source; entry points by kind, name and object."""
        (folder / "acme.py").write_text(source, "utf-8")
        info = folder / "acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        lines = []
        for kind, entries in groups.items():
            lines += [f"[snnir.{kind}]", *(f"{name} = {entries[name]}" for name in entries)]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
        registry.refresh()

    yield install
    monkeypatch.undo()
    for name in set(sys.modules) - modules:
        if name == "acme":
            del sys.modules[name]
    registry.refresh()
