"""Compiled models, kept for models of the same structure.

An entry is the folder that GeNN made. It is copied to a private place for every use, so that
runs at the same time never share a library or write to the same file; GeNN and make then see
that it is up to date, or make what has changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import Final

from snnir.errors import Diagnostic, SnnirWarning

FOLDER_VARIABLE: Final = "SNNIR_CACHE_DIR"
"""Environment variable that names another cache folder."""


def cache_folder() -> Path:
    """Where compiled models are kept; it may not exist yet."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named) / "genn"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "snnir" / "genn"


def take(key: str, target: Path) -> bool:
    """Copy an entry; False if there is none."""
    entry = cache_folder() / key
    try:
        shutil.copytree(entry, target)
    except (OSError, shutil.Error):
        shutil.rmtree(target, ignore_errors=True)
        return False
    return True


def keep(key: str, source: Path) -> None:
    """Make a folder the entry for a key.

    Warns:
        SnnirWarning: If it cannot be written; the next run then compiles again.
    """
    folder = cache_folder()
    mine = folder / f".{key}-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, mine)
        _replace(mine, folder / key)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(mine, ignore_errors=True)
        finding = Diagnostic("genn.cache", f"folder {folder}", str(error), "a folder to write to")
        warnings.warn(str(finding), SnnirWarning, stacklevel=2)


def _replace(mine: Path, entry: Path) -> None:
    """Rename a folder to an entry; another one that is there goes."""
    with contextlib.suppress(FileNotFoundError):
        gone = mine.with_name(mine.name + "-old")
        entry.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    try:
        mine.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise
        shutil.rmtree(mine, ignore_errors=True)  # another run was faster


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of this run's own, which goes with the object."""
    return tempfile.TemporaryDirectory(prefix="snnir-genn-", ignore_cleanup_errors=True)
