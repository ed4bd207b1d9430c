"""Backend for Lava: ``lava-nc`` 0.10.0 and the NetX loader of ``lava-dl`` 0.6.0, on CPython 3.10.

Lava is not imported here but in a process of its own.
"""

from __future__ import annotations

from typing import Final

from snnir_converters.lava._backend import LavaBackend, LavaPrepared

__all__ = ["BACKEND", "LavaBackend", "LavaPrepared"]

BACKEND: Final = LavaBackend()
"""What the entry point ``lava`` of group ``snnir.backends`` names."""
