"""Reading any source: a file of a known format, recognised by its content, or a live object."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from snnir import plugins
from snnir.errors import Diagnostic, FormatError, MissingDependency
from snnir.ir.model import Model


def read(source: Any) -> Model:
    """A model from a file of any known format, or from a live object of a known framework.

    Args:
        source: A path, a ``Model``, or e.g. a live ``keras.Model``.

    Raises:
        FileError: If there is no such file.
        FormatError: If no frontend recognises it.
        SnnirError: If it cannot be carried over.
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        found = read_foreign(path)
        if found is not None:
            return found
        from snnir.serde.file import load

        try:
            return load(path)
        except FormatError as error:
            raise type(error)(map(of_any_format, error.diagnostics)) from error
    frontends = [plugins.load("frontends", name) for name in plugins.names("frontends")]
    readers = [frontend for frontend in frontends if hasattr(frontend, "recognises_live")]
    for frontend in readers:
        if frontend.recognises_live(source):
            live: Model = frontend.read(source)
            return live
    names = ", ".join(frontend.name for frontend in readers)
    raise FormatError(
        Diagnostic(
            "file.unknown-format",
            "source",
            f"an object of {type(source).__module__}.{type(source).__qualname__}",
            f"a path, a Model or a live model of {names}" if names else "a path or a Model",
        )
    )


def read_foreign(path: Path) -> Model | None:
    """The model in a file of another framework; None if no frontend recognises it.

    A file is recognised by its content, and where that tells nothing (it is damaged, or a
    package is missing that would open it) by its ending.

    Raises:
        SnnirError: If a frontend recognises it and cannot read it.
        MissingDependency: If a package is missing that could tell.
    """
    if is_snnir(path):
        return None
    frontends = [plugins.load("frontends", name) for name in plugins.names("frontends")]
    missing: MissingDependency | None = None
    for frontend in frontends:
        try:
            recognised = frontend.recognises(path)
        except MissingDependency as error:
            missing = missing or error
            continue
        if recognised:
            found: Model = frontend.read(path)
            return found
    for frontend in frontends:
        if path.suffix.lower() in frontend.suffixes:
            named: Model = frontend.read(path)
            return named
    if missing is not None:
        raise missing
    return None


def is_snnir(path: Path) -> bool:
    """Whether a file begins as a file of this project does."""
    from snnir.serde.wire import MAGIC

    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def of_any_format(finding: Diagnostic) -> Diagnostic:
    """The finding that a file is not of this project, where it may be of any known format."""
    if finding.code != "format.not-snnir":
        return finding
    endings = [".snnir"]
    for name in plugins.names("frontends"):
        endings += plugins.load("frontends", name).suffixes
    return dataclasses.replace(finding, code="file.unknown-format", allowed=", ".join(endings))


def describe(source: Any) -> str:
    """What to call a source in a report."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    name = getattr(getattr(source, "graph", source), "name", "")
    return f"{type(source).__name__} '{name}'" if isinstance(name, str) else type(source).__name__


def is_spiking(model: Model) -> bool:
    """Whether a model spikes already: it holds more than operators of domain ``ann``."""
    return any(node.domain != "ann" for node in model.graph.nodes.values())
