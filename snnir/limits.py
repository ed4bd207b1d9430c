"""Bounds that hold for every model, enforced before anything is allocated."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,255}")
"""A node, input, output, port, attribute or parameter."""

DOMAIN: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""An operator set."""

MAX_HEADER_BYTES: Final = 1 << 28
"""All of a file but its blobs."""

MAX_RANK: Final = 16
MAX_ELEMENTS: Final = 1 << 48
"""Elements of one tensor; above it the number of bytes could leave 64 bits."""

MAX_BLOBS: Final = 1 << 20
MAX_FIELDS: Final = 1 << 22
"""Top-level fields of a file: header, padding and blobs together."""

MAX_DELAY_STEPS: Final = 1 << 20
MAX_STEPS: Final = 1 << 31
MAX_UNKNOWN: Final = 100
"""Places with unknown fields that a reader names one by one."""

MAX_UNKNOWN_BYTES: Final = 1 << 20
"""Unknown content of a header above which a reader says how much it is, not where."""

INLINE_BYTES: Final = 4096
"""A writer stores a tensor of at most this many bytes in the header."""

BLOB_ALIGNMENT: Final = 64
"""A writer starts the content of every blob at a multiple of this."""

MAX_NEURONS: Final = 1 << 31
"""Neurons that spike data may have; they are numbered in int32."""

MAX_PLACES: Final = 1 << 62
"""Samples times steps times neurons of spike data; they are numbered in int64."""

MAX_SPIKE_BYTES: Final = 1 << 34
"""Bytes of the arrays in one file of spike data."""
