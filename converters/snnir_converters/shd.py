"""Reader of the HDF5 layout of the Spiking Heidelberg Digits and Speech Commands (SHD, SSC).

``spikes/times`` (seconds) and ``spikes/units`` hold a list for each sample, ``labels`` its class,
``extra/keys`` the names of the classes. Cramer et al., The Heidelberg spiking data sets for the
systematic evaluation of spiking neural networks, IEEE TNNLS 2022, section II.D.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from snnir.data.events import Beyond, from_events
from snnir.data.spikes import Empty, SpikeData
from snnir.errors import DataError, Diagnostic, FormatError, raise_errors
from snnir_converters._hdf5 import SIGNATURE, Dataset, open_hdf5

NEURONS: Final = 700
"""Channels of the cochlea model that made the data sets."""


class ShdReader:
    """Reads files of this layout."""

    name = "shd"

    def recognises(self, path: Path) -> bool:
        """Whether an HDF5 file holds ``spikes/times`` and ``spikes/units``."""
        try:
            with path.open("rb") as file:
                if file.read(len(SIGNATURE)) != SIGNATURE:
                    return False
            with open_hdf5(path, extra="shd") as root:
                return all(
                    isinstance(root.get(f"spikes/{part}"), Dataset) for part in ("times", "units")
                )
        except (OSError, ValueError, FormatError):
            return False

    def read(
        self,
        path: Path,
        *,
        neurons: int | None = None,
        steps: int,
        dt: float = 1e-3,
        beyond: Beyond = "refuse",
        empty: Empty = "warn",
    ) -> SpikeData:
        """The events of a file; see :func:`snnir.data.read_events`.

        What else is under ``extra`` is about speakers, and left alone.

        Raises:
            FileError: If the file cannot be read.
            FormatError: If it is damaged, or lacks something.
            DataError: If its events do not fit.
        """
        with open_hdf5(path, extra="shd") as root:
            bounds, times = root.dataset("spikes/times").lists()
            unit_bounds, units = root.dataset("spikes/units").lists()
            labels = root.dataset("labels").read()
            keys = root.get("extra/keys")
            classes = keys.shape[0] if isinstance(keys, Dataset) and len(keys.shape) == 1 else None
        findings: list[Diagnostic] = []
        if times.size and times.dtype.kind != "f":
            allowed = "seconds, in a floating-point type"
            findings.append(
                Diagnostic("spikes.array", f"'{path}', spikes/times", str(times.dtype), allowed)
            )
        if not np.array_equal(bounds, unit_bounds):
            found = f"{len(bounds) - 1} and {len(unit_bounds) - 1} lists, {times.size} and "
            found += f"{units.size} numbers"
            allowed = "lists of equal lengths"
            findings.append(Diagnostic("spikes.array", f"'{path}', spikes", found, allowed))
        raise_errors(findings, DataError)
        return from_events(
            zip(np.split(times, bounds[1:-1]), np.split(units, bounds[1:-1]), strict=True)
            if len(bounds) > 1
            else [],
            labels,
            shape=NEURONS if neurons is None else neurons,
            steps=steps,
            dt=dt,
            classes=classes,
            beyond=beyond,
            empty=empty,
        )


READER: Final = ShdReader()
