"""``python -m snnir``: the command line."""

from __future__ import annotations

from snnir.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
