"""mlGeNN: networks for training by EventProp and e-prop, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from snnir.errors import Diagnostic, UnsupportedFeature
from snnir.ir.model import Model
from snnir_converters.mlgenn._backend import MlGennBackend
from snnir_converters.mlgenn._read import is_live, read_mlgenn
from snnir_converters.mlgenn._target import TARGET, MlGennTarget, to_network
from snnir_converters.mlgenn._training import TRAINERS

__all__ = [
    "BACKEND",
    "EPROP",
    "EVENTPROP",
    "FRONTEND",
    "TARGET",
    "MlGennBackend",
    "MlGennFrontend",
    "MlGennTarget",
    "read_mlgenn",
    "to_network",
]


class MlGennFrontend:
    """The frontend for live networks of mlGeNN; it keeps none in files."""

    name: Final = "mlgenn"
    extras: Final = ""
    suffixes: Final[tuple[str, ...]] = ()

    def recognises(self, path: Path) -> bool:
        """No file is one of mlGeNN: those hold weights alone."""
        return False

    def recognises_live(self, source: object) -> bool:
        """Whether an object is a network of mlGeNN, compiled or not."""
        return is_live(source)

    def read(self, source: Any, **options: Any) -> Model:
        """Read a live network; see :func:`read_mlgenn`.

        Args:
            source: The network.
            options: ``dt``, ``steps``, ``checkpoint``, ``keys``.

        Raises:
            SnnirError: See :func:`read_mlgenn`; :class:`UnsupportedFeature` for other options.
        """
        known = ("dt", "steps", "checkpoint", "keys")
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise UnsupportedFeature(
                Diagnostic(
                    "mlgenn.option",
                    "frontend 'mlgenn'",
                    f"option {unknown[0]}",
                    ", ".join(map(repr, known)),
                )
            )
        return read_mlgenn(source, **options)


FRONTEND: Final = MlGennFrontend()
"""What the entry point ``mlgenn`` of group ``snnir.frontends`` names."""

BACKEND: Final = MlGennBackend()
"""What the entry point ``mlgenn`` of group ``snnir.backends`` names."""

EVENTPROP: Final = TRAINERS["eventprop"]
"""What the entry point ``eventprop`` of group ``snnir.trainers`` names."""

EPROP: Final = TRAINERS["eprop"]
"""What the entry point ``eprop`` of group ``snnir.trainers`` names."""
