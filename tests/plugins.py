"""Plugins that are installed for a test, as far as this process can tell."""

from __future__ import annotations

import textwrap
from pathlib import Path

from snnir.ops import registry


def install_plugin(folder: Path, module: str, *entry_points: str) -> None:
    """A distribution with one module, in a folder that is on the path during each case."""
    (folder / "acme_plugin.py").write_text(textwrap.dedent(module), "utf-8")
    info = folder / "acme_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(entry_points) + "\n", "utf-8")
    registry.refresh()
