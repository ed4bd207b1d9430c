"""Files of spike data: an ``.npz`` of plain arrays, and whatever a plugin reads.

The arrays are those of :class:`snnir.data.SpikeData`: ``offsets`` (int64), ``times`` (int32),
``neurons`` (int32), ``labels`` (int64, optional), and of its numbers ``shape`` (int64), ``steps``
(int64), ``dt`` (float64) and ``classes`` (int64, with labels). What else is in it is left alone.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, Final

import numpy as np

from snnir import limits
from snnir.data.arrays import ZIP, Archive, Array, fail, npz_writer, open_file
from snnir.data.spikes import Empty, SpikeData, content_findings, size_findings
from snnir.errors import Diagnostic, FileError, SnnirWarning, raise_errors
from snnir.files import write_atomically

REQUIRED: Final[dict[str, tuple[Any, int]]] = {
    "offsets": (np.int64, 1),
    "times": (np.int32, 1),
    "neurons": (np.int32, 1),
    "shape": (np.int64, 1),
    "steps": (np.int64, 0),
    "dt": (np.float64, 0),
}
"""NumPy type and number of axes of the arrays that every file has."""

LABELLED: Final[dict[str, tuple[Any, int]]] = {"labels": (np.int64, 1), "classes": (np.int64, 0)}
"""Those that a file with labels has."""


def save(data: SpikeData, path: str | os.PathLike[str]) -> None:
    """Write spike data, whole or not at all; equal data gives equal bytes.

    Raises:
        FileError: If it cannot be written; a file that was there is unchanged.
    """
    arrays: dict[str, Any] = {
        "offsets": data.offsets,
        "times": data.times,
        "neurons": data.neurons,
        "shape": np.asarray(data.shape, np.int64),
        "steps": np.int64(data.steps),
        "dt": np.float64(data.dt),
    }
    if data.labels is not None:
        arrays |= {"labels": data.labels, "classes": np.int64(data.classes)}
    write_atomically(path, npz_writer(arrays))


def load(path: str | os.PathLike[str], *, empty: Empty = "warn") -> SpikeData:
    """Spike data from an ``.npz`` file; arrays that are stored as they are stay in the file.

    Args:
        path: The file.
        empty: What to do about samples without events.

    Raises:
        FileError: If it cannot be read, or anything in it is wrong; with all findings.

    Warns:
        SnnirWarning: Of samples without events, unless ``empty`` says otherwise.
    """
    name = os.fsdecode(path)
    where = f"data file '{name}'"
    with open_file(name, where) as file:
        head = file.read(4)
        if head not in ZIP:
            found = f"bytes {head!r}" if head else "an empty file"
            fail(where, found, "an .npz file of spike data")
        return read_archive(Archive(file, where), empty=empty)


def read_archive(archive: Archive, *, empty: Empty = "warn") -> SpikeData:
    """Spike data from an open ``.npz`` file; see :func:`load`.

    Raises:
        FileError: If anything in it is wrong; with all findings.
    """
    where = archive.where
    wanted = dict(REQUIRED)
    if LABELLED.keys() & archive.members.keys():
        wanted |= LABELLED
    findings = [
        Diagnostic("spikes.array", where, f"no array '{name}'", _described(*kind))
        for name, kind in wanted.items()
        if name not in archive.members
    ]
    present = {name: kind for name, kind in wanted.items() if name in archive.members}
    total = 0
    for name, (dtype, axes) in present.items():
        header = archive.header(name)
        total += header.nbytes
        if header.dtype != np.dtype(dtype) or len(header.shape) != axes:
            found = f"{header.dtype}{list(header.shape)}"
            allowed = _described(dtype, axes)
            findings.append(Diagnostic("spikes.array", archive.place(name), found, allowed))
    if total > limits.MAX_SPIKE_BYTES:
        allowed = f"{limits.MAX_SPIKE_BYTES} bytes"
        findings.append(Diagnostic("spikes.limit", where, f"{total} bytes", allowed))
    raise_errors(findings, FileError)
    arrays: dict[str, Array] = {name: archive.array(name) for name in present}
    data = SpikeData.__new__(SpikeData)
    data.shape = tuple(map(int, arrays["shape"]))
    data.steps, data.dt = int(arrays["steps"]), float(arrays["dt"])
    data.offsets, data.times, data.neurons = (
        arrays[name] for name in ("offsets", "times", "neurons")
    )
    data.labels = arrays.get("labels")
    data.classes = int(arrays.get("classes", 0))
    findings = [
        Diagnostic(f.code, f"{where}, {f.where}", f.found, f.allowed) for f in size_findings(data)
    ]
    content = (data.offsets, data.times, data.neurons, data.labels)
    if not findings:
        findings += content_findings(data, *content, empty=empty, where=where)
    raise_errors(findings, FileError)
    for finding in findings:
        warnings.warn(str(finding), SnnirWarning, stacklevel=3)
    return data


def _described(dtype: Any, axes: int) -> str:
    return f"an array of {np.dtype(dtype).name} along one axis" if axes else f"one {dtype.__name__}"
