"""Diagnostics and the exceptions that carry them.

Whatever the input, the only exceptions that leave this library are subclasses of
:class:`SnnirError`. Each carries all findings, not just the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnir.codes import CODES, Severity


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: A key of :data:`snnir.codes.CODES`.
        where: The place, e.g. ``"node 'fc1', parameter 'weight'"``.
        found: What is there.
        allowed: What may be there.
        hint: What to do, if the code's own remedy can be said more exactly.
        source: The layer of the original model that the place came from, if known.
        output: What another program had to say about it, in full; may be many lines.
    """

    code: str
    where: str
    found: str
    allowed: str
    hint: str = ""
    source: str = ""
    output: str = ""

    @property
    def severity(self) -> Severity:
        """``"error"`` or ``"warning"``."""
        return CODES[self.code].severity

    @property
    def title(self) -> str:
        """The problem in a few words."""
        return CODES[self.code].title

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.hint or CODES[self.code].remedy

    def __str__(self) -> str:
        origin = f" (from layer '{self.source}')" if self.source else ""
        lines = [
            f"{self.severity} [{self.code}] {self.where}{origin}: {self.title}: "
            f"found {self.found}; allowed: {self.allowed.rstrip('.')}. {self.remedy}",
            *(f"  {line}" for line in self.output.expandtabs().splitlines()),
        ]
        return "\n".join(map(_one_line, lines))

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "source": self.source,
            "title": self.title,
            "found": self.found,
            "allowed": self.allowed,
            "remedy": self.remedy,
            **({"output": self.output} if self.output else {}),
        }


def _one_line(text: str) -> str:
    """Without characters that could act on a terminal: names in a file may hold any."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class SnnirError(Exception):
    """Base of all errors of this library.

    Attributes:
        diagnostics: All findings, at least one.
    """

    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))

    def __reduce__(self) -> tuple[type[SnnirError], tuple[tuple[Diagnostic, ...]]]:
        return type(self), (self.diagnostics,)

    @property
    def code(self) -> str:
        """The code of the first finding."""
        return self.diagnostics[0].code


class FileError(SnnirError):
    """A file cannot be opened, read or written."""


class FormatError(SnnirError):
    """A file is not a well-formed model."""


class UnsupportedVersion(FormatError):
    """A file needs a newer version of this library or of a plugin."""


class ModelError(SnnirError):
    """A model is not valid."""


class RunError(SnnirError):
    """A run was asked for that the model does not allow."""


class DataError(SnnirError):
    """Data, or what is to be made of it, is not as it must be."""


class ConversionError(SnnirError):
    """A model cannot be carried over."""


class UnsupportedFeature(ConversionError):
    """A source holds something that this library cannot express."""


class CapabilityError(ConversionError):
    """A backend or target cannot do what the model asks for."""


class PluginError(SnnirError):
    """A plugin is unknown or does not load."""


class MissingDependency(PluginError):
    """A package that a plugin needs is not installed."""


class SnnirWarning(UserWarning):
    """A finding that does not stop the work."""


def raise_errors(diagnostics: Iterable[Diagnostic], error: type[SnnirError] = ModelError) -> None:
    """Raise ``error`` with all findings if any of them is an error.

    Raises:
        UnsupportedVersion: If nothing is wrong but that a newer version is needed.
        SnnirError: Of the given class.
    """
    findings = tuple(diagnostics)
    codes = [finding.code for finding in findings if finding.severity == "error"]
    if codes and all(code.startswith("version.") for code in codes):
        raise UnsupportedVersion(findings)
    if codes:
        raise error(findings)
