"""Finding operator definitions: the built-in domains, and those of plugins by entry point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from snnir import plugins
from snnir.errors import Diagnostic, PluginError
from snnir.ops.schema import OpDef

BUILTIN_DOMAINS: Final = ("ann", "snn", "loihi2")
"""Domains that every installation has."""


class Domain:
    """An operator set: every version of every operator."""

    def __init__(self, name: str, definitions: Iterable[OpDef]) -> None:
        self.name = name
        self._versions: dict[str, list[OpDef]] = {}
        for definition in definitions:
            if definition.domain != name:
                raise PluginError(
                    Diagnostic(
                        "plugin.broken",
                        f"operator set '{name}'",
                        f"operator {definition.op}",
                        f"operators of domain '{name}'",
                    )
                )
            self._versions.setdefault(definition.name, []).append(definition)
        for versions in self._versions.values():
            versions.sort(key=lambda definition: definition.since_version)
        self.version = max(
            (d.since_version for versions in self._versions.values() for d in versions), default=1
        )

    def __iter__(self) -> Iterator[OpDef]:
        """The newest definition of every operator, by name."""
        return iter(self._versions[name][-1] for name in sorted(self._versions))

    def find(self, operator: str, version: int | None = None) -> OpDef | None:
        """The definition that holds in a version of the set (by default the newest)."""
        versions = self._versions.get(operator, ())
        return next(
            (d for d in reversed(versions) if version is None or d.since_version <= version), None
        )

    def history(self, operator: str) -> list[OpDef]:
        """All definitions of an operator, oldest first."""
        return list(self._versions.get(operator, ()))


@cache
def _load(name: str) -> Domain | None:
    if name == "snn":
        from snnir.ops.snn import OPERATORS as snn

        return Domain(name, snn)
    if name == "ann":
        from snnir.ops.ann import OPERATORS as ann

        return Domain(name, ann)
    if name == "loihi2":
        from snnir.ops.loihi2 import OPERATORS as loihi2

        return Domain(name, loihi2)
    definitions = plugins.load_optional("ops", name)
    if definitions is None:
        return None
    try:
        return Domain(name, definitions)
    except (TypeError, AttributeError) as error:
        raise PluginError(
            Diagnostic(
                "plugin.broken", f"operator set '{name}'", str(error), "an iterable of OpDef"
            )
        ) from error


def domain(name: str) -> Domain | None:
    """The operator set of that name, or None if nothing installed provides it.

    Raises:
        PluginError: If a plugin provides it but is broken.
    """
    return _load(name)


def domains() -> list[Domain]:
    """All installed operator sets, built-in first."""
    names = [*BUILTIN_DOMAINS, *(n for n in plugins.names("ops") if n not in BUILTIN_DOMAINS)]
    return [found for name in names if (found := _load(name)) is not None]


def find(op: str, version: int | None = None) -> OpDef | None:
    """The definition of ``"domain.Operator"``, or None."""
    name, _, operator = op.rpartition(".")
    found = _load(name)
    return None if found is None else found.find(operator, version)


class Resolver:
    """Definitions as a model's operator sets pin them."""

    def __init__(self, opsets: dict[str, int]) -> None:
        self._opsets = opsets
        self._cache: dict[str, OpDef | None] = {}

    def __call__(self, op: str) -> OpDef | None:
        """The definition of ``"domain.Operator"``, or None."""
        if op not in self._cache:
            self._cache[op] = find(op, self._opsets.get(op.rpartition(".")[0]))
        return self._cache[op]


def refresh() -> None:
    """Forget what was loaded, so that newly installed plugins are found."""
    _load.cache_clear()
    plugins.refresh()
