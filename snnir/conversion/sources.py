"""Reading any source: a file of a known format, recognised by its content, or a live object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from snnir import plugins
from snnir.errors import Diagnostic, FormatError
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

        return load(path)
    for name in plugins.names("frontends"):
        if any(cls.__module__.partition(".")[0] == name for cls in type(source).__mro__):
            live: Model = plugins.load("frontends", name).read(source)
            return live
    raise FormatError(
        Diagnostic(
            "format.not-snnir",
            "source",
            f"an object of {type(source).__module__}.{type(source).__qualname__}",
            "a path, a Model or an object of " + ", ".join(plugins.names("frontends")),
        )
    )


def read_foreign(path: Path) -> Model | None:
    """The model in a file of another framework; None if no frontend recognises it.

    Raises:
        SnnirError: If a frontend recognises it and cannot read it.
    """
    for name in plugins.names("frontends"):
        frontend = plugins.load("frontends", name)
        if frontend.recognises(path):
            found: Model = frontend.read(path)
            return found
    return None


def describe(source: Any) -> str:
    """What to call a source in a report."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    name = getattr(getattr(source, "graph", source), "name", "")
    return f"{type(source).__name__} '{name}'" if isinstance(name, str) else type(source).__name__


def is_spiking(model: Model) -> bool:
    """Whether a model spikes already: it holds more than operators of domain ``ann``."""
    return any(node.domain != "ann" for node in model.graph.nodes.values())
