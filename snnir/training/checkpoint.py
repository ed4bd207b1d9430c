"""Checkpoints: what an interrupted run goes on from.

One file for each epoch, ``epoch_0003.npz`` after the third: arrays named ``state/...`` (of the
trainer), ``best/NODE/PARAMETER`` (the best weights so far) and ``meta``, JSON as UTF-8 bytes.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir import files
from snnir.data.arrays import npz_writer
from snnir.errors import Diagnostic, FileError, FormatError

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
    history: list[dict[str, Any]]
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
        "history": checkpoint.history,
        "best": [list(key) for key in checkpoint.best],
    }
    arrays = {f"state/{name}": array for name, array in checkpoint.state.items()}
    arrays |= {f"best/{i}": array for i, array in enumerate(checkpoint.best.values())}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)

    path = folder / f"epoch_{checkpoint.epochs:04}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            Diagnostic("file.unwritable", f"folder '{folder}'", files.reason(error), "a folder")
        ) from error
    files.write_atomically(path, npz_writer(arrays))
    for old in _numbered(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


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
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        found = Checkpoint(
            int(meta["epochs"]),
            {str(key): str(value) for key, value in meta["identity"].items()},
            list(meta["history"]),
            {n.removeprefix("state/"): a for n, a in arrays.items() if n.startswith("state/")},
            {
                (str(node), str(name)): arrays[f"best/{i}"]
                for i, (node, name) in enumerate(meta["best"])
            },
        )
    except OSError as error:
        raise FileError(
            Diagnostic("file.unreadable", where, files.reason(error), "a readable file")
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise FormatError(
            Diagnostic(
                "train.checkpoint",
                where,
                f"{type(error).__name__}: {error}",
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
