"""GeNN: the backend ``genn``, and the target of that name, a self-contained script."""

from snnir_converters.genn._backend import GennBackend

BACKEND = GennBackend

__all__ = ["BACKEND", "GennBackend"]
