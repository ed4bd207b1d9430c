"""Models as bytes: the only code that uses protobuf."""

from snnir.serde.file import load, loads, save, to_bytes

__all__ = ["load", "loads", "save", "to_bytes"]
