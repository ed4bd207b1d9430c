"""NetX: the HDF5 files that ``lava.lib.dl.netx`` loads onto Loihi 2 or Lava's simulator.

Reading and writing them needs h5py only. What a file means is what Lava's fixed-point simulation
computes from it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import (
    CapabilityError,
    Diagnostic,
    FormatError,
    MissingDependency,
    SnnirError,
    UnsupportedFeature,
    raise_errors,
)
from snnir.ir.model import Model
from snnir.targets.loihi2 import Loihi2Target
from snnir_converters import _hdf5
from snnir_converters.netx._file import is_netx, read_file
from snnir_converters.netx._graph import build_model
from snnir_converters.netx._target import describe

__all__ = ["FRONTEND", "TARGET", "NetXFrontend", "NetXTarget", "read_netx", "write_netx"]

Array = npt.NDArray[np.generic]


def read_netx(
    source: str | os.PathLike[str],
    *,
    input_shape: Sequence[int] | None = None,
    max_bytes: int = _hdf5.MAX_BYTES,
) -> Model:
    """Read a NetX file.

    Args:
        source: Its path.
        input_shape: Height, width and channels of the input, for a file that begins with a
            convolution and does not say.
        max_bytes: Most bytes that are read.

    Returns:
        A model in the operators of domain ``loihi2``. Its ``findings`` say what the file holds
        that Lava, and therefore the model, does not use or changes.

    Raises:
        FileError: If the file cannot be read.
        FormatError: If it is not NetX, damaged, or does not fit together: with all findings.
        UnsupportedFeature: If it holds layers or neurons that cannot be carried over.
        MissingDependency: If h5py is not installed.
    """
    name = Path(source).name
    file = read_file(source, max_bytes=max_bytes)
    return build_model(file, {"source": name}, tuple(input_shape) if input_shape else None)


def write_netx(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model as a NetX file, whole or not at all; the same model gives the same bytes.

    Args:
        model: A chain of layers of domain ``loihi2``; what stays with the host is not written.
        path: Where to.

    Raises:
        CapabilityError: With everything that does not fit; nothing has been written.
        FileError: If the file cannot be written; one that was there is unchanged.
        MissingDependency: If h5py is not installed.
    """
    emission = describe(model)
    raise_errors(emission.findings, CapabilityError)
    _hdf5.write_hdf5(path, emission.content, extra="netx")


class NetXFrontend:
    """The frontend for NetX files."""

    name: Final = "netx"
    extras: Final = "netx"
    suffixes: Final = (".net",)

    def recognises(self, path: Path) -> bool:
        """Whether a file is certainly NetX, by its content.

        Raises:
            MissingDependency: If it is an HDF5 file and h5py is not installed.
        """
        try:
            return is_netx(path)
        except MissingDependency:
            raise
        except SnnirError:
            return False

    def read(self, source: Any, **options: Any) -> Model:
        """Read a file; see :func:`read_netx`.

        Args:
            source: Its path.
            options: ``input_shape``, ``max_bytes``.

        Raises:
            SnnirError: See :func:`read_netx`; :class:`UnsupportedFeature` for other options.
        """
        unknown = sorted(set(options) - {"input_shape", "max_bytes"})
        if unknown:
            raise UnsupportedFeature(
                Diagnostic(
                    "netx.option",
                    "frontend 'netx'",
                    f"option {unknown[0]}",
                    "'input_shape', 'max_bytes'",
                )
            )
        if not isinstance(source, (str, os.PathLike)):
            raise FormatError(
                Diagnostic(
                    "netx.not-netx", "the source", f"a {type(source).__name__}", "a path of a file"
                )
            )
        return read_netx(source, **options)


FRONTEND: Final = NetXFrontend()
"""What the entry point ``netx`` of group ``snnir.frontends`` names."""


class NetXTarget(Loihi2Target):
    """The target for NetX files."""

    name = "netx"
    extras = "netx"
    suffixes = (".net",)

    def check(self, model: Model) -> list[Diagnostic]:
        """All that does not fit, and (warnings) what stays with the host."""
        return describe(model).findings

    def emit(self, model: Model, path: Path, **options: Any) -> None:
        """Write a file; see :func:`write_netx`.

        Raises:
            SnnirError: See :func:`write_netx`.
        """
        write_netx(model, path)


TARGET: Final = NetXTarget()
"""What the entry point ``netx`` of group ``snnir.targets`` names."""
