"""GeNN: the backend ``genn``, and the target of that name, a self-contained script."""

from snnir_converters.genn._backend import GennBackend
from snnir_converters.genn._target import GennTarget

BACKEND = GennBackend

TARGET = GennTarget

__all__ = ["BACKEND", "TARGET", "GennBackend", "GennTarget"]
