"""Checkpoints: what an interrupted run goes on from.

One file for each epoch, ``epoch_0003.npz`` after the third: arrays named ``state/...`` (of the
trainer), ``best/NODE/PARAMETER`` (the best weights so far) and ``meta``, JSON as UTF-8 bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir import files
from snnir.data import arrays
from snnir.errors import Diagnostic, FileError, FormatError
from snnir.training.report import Epoch

Array = npt.NDArray[Any]

_NAME: Final = re.compile(r"epoch_(\d{4,9})\.npz")


@dataclass(frozen=True)
class Checkpoint:
    """A run after some epochs.

    Attributes:
        epochs: How many are done.
        identity: What the run depends on, by name; a run with another one cannot go on from it.
        history: Results of the epochs.
        state: State of the trainer.
        best: The best trained values so far, by node and parameter; empty if none are kept.
    """

    epochs: int
    identity: Mapping[str, str]
    history: list[Epoch]
    state: Mapping[str, Array]
    best: Mapping[tuple[str, str], Array] = field(default_factory=dict)


def write(folder: Path, checkpoint: Checkpoint, *, keep: int = 2) -> Path:
    """Write a checkpoint, whole or not at all, and remove all but the last ``keep``.

    Raises:
        FileError: If it cannot be written; earlier ones are unchanged.
    """
    meta = {
        "epochs": checkpoint.epochs,
        "identity": dict(checkpoint.identity),
        "history": [asdict(epoch) for epoch in checkpoint.history],
        "best": [list(key) for key in checkpoint.best],
    }
    members = {f"state/{name}": array for name, array in checkpoint.state.items()}
    members |= {f"best/{i}": array for i, array in enumerate(checkpoint.best.values())}
    members["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)

    path = folder / _name(checkpoint.epochs)
    files.write_atomically(path, arrays.npz_writer(members))
    for old in _numbered(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def prepare(folder: Path, *, resume: bool) -> None:
    """Make the folder, and find out whether a run can keep its checkpoints there.

    Raises:
        FileError: If it cannot be written.
        FormatError: If there are checkpoints that the run does not go on from.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            Diagnostic("file.unwritable", f"folder '{folder}'", files.reason(error), "a folder")
        ) from error
    files.require_writable(folder / _name(1))
    numbered = _numbered(folder)
    if numbered and not resume:
        raise FormatError(
            Diagnostic(
                "train.checkpoint",
                f"folder '{folder}'",
                f"'{numbered[-1].name}' of an earlier run",
                "no checkpoints, for a run that begins anew",
                "Resume, remove them or name another folder.",
            )
        )


def _name(epochs: int) -> str:
    return f"epoch_{epochs:04}.npz"


def _numbered(folder: Path) -> list[Path]:
    """Checkpoints of a folder, oldest first."""
    found = [path for path in folder.glob("epoch_*.npz") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.stem.rpartition("_")[2]))


def read_latest(folder: Path, identity: Mapping[str, str]) -> Checkpoint | None:
    """The newest checkpoint of a folder; None if there is none.

    Args:
        folder: Where to look.
        identity: What the run depends on.

    Raises:
        FormatError: If it is damaged, or of another run; all differences are named.
    """
    numbered = _numbered(folder)
    if not numbered:
        return None
    path = numbered[-1]
    where = f"checkpoint '{path}'"
    with arrays.open_file(path, where) as file:
        try:
            archive = arrays.Archive(file, where)
            found = _parsed({name: archive.array(name) for name in archive.members})
        except (FileError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, FileError):
                reason = error.diagnostics[0].found
            raise FormatError(
                Diagnostic(
                    "train.checkpoint",
                    where,
                    reason,
                    "a whole checkpoint",
                    "Remove the file to go on from the one before.",
                )
            ) from error
    names = sorted({*identity, *found.identity})
    different = [
        Diagnostic(
            "train.checkpoint",
            f"{where}, {name}",
            found.identity.get(name, "nothing"),
            identity.get(name, "nothing"),
        )
        for name in names
        if identity.get(name) != found.identity.get(name)
    ]
    if different:
        raise FormatError(different)
    return found


def _parsed(members: dict[str, Array]) -> Checkpoint:
    meta = json.loads(members.pop("meta").tobytes())
    return Checkpoint(
        int(meta["epochs"]),
        {str(key): str(value) for key, value in meta["identity"].items()},
        [Epoch(**entry) for entry in meta["history"]],
        {n.removeprefix("state/"): a for n, a in members.items() if n.startswith("state/")},
        {
            (str(node), str(name)): members[f"best/{i}"]
            for i, (node, name) in enumerate(meta["best"])
        },
    )
