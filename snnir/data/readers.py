"""Reading files of events in other formats, recognised by their content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from snnir import plugins
from snnir.data.arrays import open_file
from snnir.data.events import Beyond
from snnir.data.spikes import Empty, SpikeData
from snnir.errors import Diagnostic, FormatError, MissingDependency


class Reader(Protocol):
    """Reads one format; named by an entry point of the group ``snnir.data``."""

    name: str

    def recognises(self, path: Path) -> bool:
        """Whether a file is of this format, by its content.

        Raises:
            MissingDependency: If a package is missing that could tell.
        """

    def read(
        self,
        path: Path,
        *,
        neurons: int | None,
        steps: int,
        dt: float,
        beyond: Beyond,
        empty: Empty,
    ) -> SpikeData:
        """The events of a file; see :func:`read_events`."""


def read_events(
    path: str | os.PathLike[str],
    *,
    steps: int,
    dt: float = 1e-3,
    neurons: int | None = None,
    beyond: Beyond = "refuse",
    empty: Empty = "warn",
) -> SpikeData:
    """Spike data from a file of events in any format that a plugin reads.

    An event at time ``t`` belongs to step ``floor(t / dt)``; see :func:`snnir.data.from_events`.

    Args:
        path: The file.
        steps: Presentation length in steps.
        dt: Length of a step in seconds.
        neurons: Number of neurons, where the file does not say it; by default the format's.
        beyond: Whether events after the last step are an error or left out.
        empty: What to do about samples without events.

    Raises:
        FileError: If the file cannot be read.
        FormatError: If it is damaged, or of no known format.
        DataError: If its events do not fit.
        MissingDependency: If a package is missing that opens it.

    Warns:
        SnnirWarning: Of events that were merged or cut, and of samples without events.
    """
    file = Path(path)
    with open_file(file, f"file '{file}'"):
        pass
    readers: list[Reader] = [plugins.load("data", name) for name in plugins.names("data")]
    missing: MissingDependency | None = None
    for reader in readers:
        try:
            recognised = reader.recognises(file)
        except MissingDependency as error:
            missing = missing or error
            continue
        if recognised:
            return reader.read(
                file, neurons=neurons, steps=steps, dt=dt, beyond=beyond, empty=empty
            )
    if missing is not None:
        raise missing
    formats = ", ".join(reader.name for reader in readers) or "no reader is installed"
    raise FormatError(
        Diagnostic("file.unknown-format", f"file '{file}'", "no known format of events", formats)
    )
