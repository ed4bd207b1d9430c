"""Plugins by entry point. Listing them imports nothing; each is imported when it is needed.

Groups: ``snnir.ops`` (operator sets: an iterable of ``OpDef``, named after its domain),
``snnir.backends``, ``snnir.frontends``, ``snnir.targets``, ``snnir.trainers`` (by learning rule)
and ``snnir.data`` (readers of event files).
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any, Final

from snnir.errors import Diagnostic, MissingDependency, PluginError

KINDS: Final = ("ops", "backends", "frontends", "targets", "trainers", "data")


@cache
def _entry_points(kind: str) -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=f"snnir.{kind}")}


def names(kind: str) -> list[str]:
    """Names of the installed plugins of a kind."""
    return sorted(_entry_points(kind))


def describe(kind: str) -> list[dict[str, str]]:
    """Name, place and package of the installed plugins of a kind."""
    return [
        {
            "name": point.name,
            "object": point.value,
            "package": f"{point.dist.name} {point.dist.version}" if point.dist else "",
        }
        for _, point in sorted(_entry_points(kind).items())
    ]


def load_optional(kind: str, name: str) -> Any | None:
    """The object that a plugin provides, or None if there is no such plugin.

    Raises:
        MissingDependency: If the plugin needs a package that is not installed.
        PluginError: If importing it fails.
    """
    point = _entry_points(kind).get(name)
    if point is None:
        return None
    where = f"plugin '{name}' of snnir.{kind} ({point.value})"
    try:
        return point.load()
    except ModuleNotFoundError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                where,
                f"no package '{error.name}'",
                "its dependencies installed",
                hint=f"pip install {error.name}",
            )
        ) from error
    except Exception as error:
        raise PluginError(
            Diagnostic("plugin.broken", where, f"{type(error).__name__}: {error}", "an import")
        ) from error


def load(kind: str, name: str) -> Any:
    """The object that a plugin provides.

    Raises:
        PluginError: If there is no such plugin, or it does not load.
    """
    found = load_optional(kind, name)
    if found is None:
        raise PluginError(
            Diagnostic(
                "plugin.unknown",
                f"snnir.{kind}",
                f"'{name}'",
                ", ".join(names(kind)) or "none is installed",
            )
        )
    return found


def refresh() -> None:
    """Forget what was found, so that newly installed plugins are seen."""
    _entry_points.cache_clear()
