"""Compiled models, kept for models of the same structure.

An entry holds the folder that GeNN made, and its digest. The folder is copied to a private place
for every use, so that runs at the same time never share a library or write to the same file; GeNN
and make then see that it is up to date, or make what has changed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Final

from snnir.errors import Diagnostic

FOLDER_VARIABLE: Final = "SNNIR_CACHE_DIR"
"""Environment variable that names another cache folder."""

_CODE: Final = "code"
_DIGEST: Final = "digest"


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
    """Copy an entry; False if there is none, or it is not what it was."""
    entry = cache_folder() / key
    try:
        shutil.copytree(entry / _CODE, target)
        if (entry / _DIGEST).read_bytes() == _digest(target):
            return True
    except (OSError, shutil.Error):
        pass
    shutil.rmtree(target, ignore_errors=True)
    return False


def keep(key: str, source: Path) -> list[Diagnostic]:
    """Make a folder the entry for a key.

    Returns:
        A finding if it cannot be written; the next run then compiles again.
    """
    folder = cache_folder()
    mine = folder / f".{key}-{uuid.uuid4().hex}"
    try:
        shutil.copytree(source, mine / _CODE)
        (mine / _DIGEST).write_bytes(_digest(mine / _CODE))
        _replace(mine, folder / key)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(mine, ignore_errors=True)
        return [Diagnostic("genn.cache", f"folder {folder}", str(error), "a folder to write to")]
    return []


def _replace(mine: Path, entry: Path) -> None:
    """Rename a folder to an entry; another one that is there goes."""
    with contextlib.suppress(FileNotFoundError):
        gone = mine.with_name(mine.name + "-old")
        entry.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    try:
        mine.rename(entry)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(mine, ignore_errors=True)  # another run was faster


def _digest(folder: Path) -> bytes:
    """Digest of names and contents of all files in a folder."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest().encode()
