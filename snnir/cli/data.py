"""Data files of the command line, a stretch of samples at a time, and results as ``.npz``."""

from __future__ import annotations

import contextlib
import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Literal

import numpy.typing as npt

from snnir.cli.common import STDIO, write_atomically
from snnir.data.arrays import (
    NPY,
    ZIP,
    Archive,
    Samples,
    array_samples,
    fail,
    npz_writer,
    readable,
)
from snnir.errors import Diagnostic, RunError
from snnir.ir.model import Model
from snnir.ir.types import format_shape

Array = npt.NDArray[Any]
Labels = Literal["no", "optional", "required"]

ONLY: Final = "x"
"""Name of the array in a data file for a model with one input, besides the input's own."""

LABELS: Final = "y"
"""Name of the array of labels in a data file, and of its samples among those opened."""


@contextlib.contextmanager
def open_samples(
    name: str, inputs: Sequence[str], *, labels: Labels = "no"
) -> Iterator[dict[str, Samples]]:
    """The arrays of a data file by the names of a model's inputs.

    Args:
        name: A ``.npy`` or ``.npz`` file (told by its content), or ``-`` for standard input.
        inputs: Names of the model's inputs. One array alone belongs to the only input; in an
            ``.npz`` it may also be called ``x``. What else the file holds is left alone. A file
            of spike data (see :mod:`snnir.data`) belongs to the only input, too: its samples
            are dense, with an axis of steps.
        labels: Whether the array ``y`` (the labels of spike data) is wanted, too. An input of
            that name keeps it.

    Raises:
        FileError: If the file is not such a file, or lacks an array.
    """
    where = "standard input" if name == STDIO else f"data file '{name}'"
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_open(name, where))
        head = file.read(len(NPY))
        file.seek(0)
        if head == NPY:
            if len(inputs) != 1 or labels == "required":
                names = [*inputs, *([LABELS] if labels == "required" else [])]
                fail(where, "one array", f"an .npz file with arrays {', '.join(names)}")
            yield {inputs[0]: array_samples(file, where, _size_left(file))}
        elif head[:4] in ZIP:
            archive = Archive(file, where)
            if _holds_spikes(archive, inputs):
                yield _spike_samples(archive, inputs, labels)
                return
            chosen = _chosen(archive, inputs)
            if labels != "no" and LABELS not in inputs and LABELS in archive.members:
                chosen[LABELS] = LABELS
            elif labels == "required":
                fail(where, "no array of labels", f"an array '{LABELS}' that is no input")
            found: dict[str, Samples] = {}
            for key, member in chosen.items():
                stream = stack.enter_context(archive.open(member))
                size = archive.members[member].file_size
                found[key] = array_samples(stream, archive.place(member), size)
            yield found
        else:
            start = f"bytes {head!r}" if head else "an empty file"
            fail(where, start, "a .npy or .npz file of NumPy")


@contextlib.contextmanager
def _open(name: str, where: str) -> Iterator[BinaryIO]:
    with readable(where):
        file: BinaryIO = sys.stdin.buffer if name == STDIO else open(name, "rb")  # noqa: SIM115
        if name == STDIO or not file.seekable():
            file = io.BytesIO(file.read())
    with file:
        yield file


def _size_left(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def _chosen(archive: Archive, inputs: Sequence[str]) -> dict[str, str]:
    members = archive.members
    if len(inputs) == 1 and inputs[0] not in members and ONLY in members:
        return {inputs[0]: ONLY}
    missing = [key for key in inputs if key not in members]
    if missing:
        allowed = "arrays " + ", ".join(f"'{key}'" for key in inputs)
        if len(inputs) == 1:
            allowed = f"an array '{inputs[0]}' or '{ONLY}'"
        found = ", ".join(f"'{key}'" for key in list(members)[:8]) or "no array"
        fail(archive.where, found, allowed)
    return {key: key for key in inputs}


def _holds_spikes(archive: Archive, inputs: Sequence[str]) -> bool:
    from snnir.data.files import REQUIRED

    return archive.members.keys() >= REQUIRED.keys() and not archive.members.keys() >= set(inputs)


def _spike_samples(archive: Archive, inputs: Sequence[str], labels: Labels) -> dict[str, Samples]:
    from snnir.data.files import read_archive
    from snnir.data.spikes import LabelSamples, SpikeSamples

    if len(inputs) != 1:
        fail(archive.where, "spike data for one input", f"inputs {', '.join(inputs)}")
    data = read_archive(archive)
    found: dict[str, Samples] = {inputs[0]: SpikeSamples(archive.where, data)}
    if labels != "no" and LABELS not in inputs and data.labels is not None:
        found[LABELS] = LabelSamples(archive.place("labels"), data)
    elif labels == "required":
        fail(archive.where, "no array of labels", "an array 'labels'")
    return found


def sample_count(model: Model, samples: Mapping[str, Samples], limit: int | None) -> int:
    """How many samples there are, or are wanted.

    Args:
        model: The model that they are for.
        samples: Its inputs' arrays, and those that go with them.
        limit: Most that are wanted.

    Raises:
        RunError: If the arrays do not fit the inputs; nothing has been read by then.
    """
    findings: list[Diagnostic] = []
    for entry in model.graph.inputs:
        given = samples[entry.name]
        shape = given.shape
        lead = ("samples", "steps") if entry.type.is_per_step else ("samples",)
        wanted = (*lead, *entry.type.shape)
        if len(shape) != len(wanted) or any(
            isinstance(want, int) and have != want for have, want in zip(shape, wanted, strict=True)
        ):
            found = f"shape {format_shape(shape)} in {given.where}"
            findings.append(
                Diagnostic("run.input", f"input '{entry.name}'", found, format_shape(wanted))
            )
        if given.dt is not None and not math.isclose(given.dt, model.time.dt, rel_tol=1e-6):
            found = f"steps of {given.dt:g} s in {given.where}"
            allowed = f"steps of {model.time.dt:g} s, as the model has"
            findings.append(Diagnostic("run.input", f"input '{entry.name}'", found, allowed))
    counts = {array.shape[0] for array in samples.values()}
    if not findings and len(counts) > 1:
        found = f"{sorted(counts)} samples"
        findings.append(Diagnostic("run.input", "inputs", found, "the same number"))
    if findings:
        raise RunError(findings)
    count = counts.pop()
    return count if limit is None else min(count, limit)


def write_npz(name: str, arrays: Mapping[str, Array]) -> None:
    """Write arrays as an ``.npz`` file, whole or not at all. Equal arrays give equal bytes.

    Raises:
        FileError: If it cannot be written; a file that was there is unchanged.
    """
    write_atomically(name, npz_writer(arrays))
