"""Static arrays to spikes, by the encoders of domain ``snn`` themselves."""

from __future__ import annotations

import math
import warnings
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.data.events import from_dense
from snnir.data.spikes import Empty, SpikeData, concatenate, empty_findings
from snnir.errors import DataError, Diagnostic, SnnirWarning, raise_errors
from snnir.ir.builder import GraphBuilder

_AT_A_TIME: Final = 1 << 24
"""Numbers in the dense spikes of a stretch of samples."""


def latency(
    x: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    steps: int,
    window_steps: int | None = None,
    minimum: float = 0.0,
    scale: float = 1.0,
    dt: float = 1e-3,
    classes: int | None = None,
    empty: Empty = "warn",
) -> SpikeData:
    """Time to first spike: the spikes of ``snn.LatencyEncoder``, one for each value above 0.

    Args:
        x: Values from 0 to 1 after scaling, (samples, features).
        labels: Class of each sample.
        steps: Presentation length in steps.
        window_steps: Steps in which values spike; by default all.
        minimum: Smaller values emit no spike.
        scale: Factor on the values, e.g. 1 / 255 for pixels.
        dt: Length of a step in seconds.
        classes: Number of classes; by default one more than the largest label.
        empty: What to do about samples without events.

    Raises:
        DataError: If the values or labels do not fit.
        ModelError: If a setting is none that the encoder takes.
    """
    window = steps if window_steps is None else window_steps
    if window > steps:
        found, allowed = f"{window} steps", f"at most the {steps} steps of the presentation"
        raise DataError(Diagnostic("spikes.option", "window_steps", found, allowed))
    options = {"window_steps": window, "minimum": np.float32(minimum)}
    return _encoded("snn.LatencyEncoder", x, labels, scale, steps, dt, classes, empty, options)


def poisson(
    x: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    steps: int,
    gain: float = 1.0,
    seed: int = 0,
    scale: float = 1.0,
    dt: float = 1e-3,
    classes: int | None = None,
    empty: Empty = "warn",
) -> SpikeData:
    """Rate code: the spikes of ``snn.PoissonEncoder``; a value is the probability in a step.

    As its definition has it, all samples meet the same random numbers.

    Args:
        x: Values, (samples, features).
        labels: Class of each sample.
        steps: Presentation length in steps.
        gain: Factor of the encoder on the values.
        seed: Seed of the encoder.
        scale: Factor on the values before, e.g. 1 / 255 for pixels.
        dt: Length of a step in seconds.
        classes: Number of classes; by default one more than the largest label.
        empty: What to do about samples without events.

    Raises:
        DataError: If the values or labels do not fit.
        ModelError: If a setting is none that the encoder takes.
    """
    options = {"gain": np.float32(gain), "seed": seed}
    return _encoded("snn.PoissonEncoder", x, labels, scale, steps, dt, classes, empty, options)


def _encoded(
    encoder: str,
    x: npt.ArrayLike,
    labels: npt.ArrayLike | None,
    scale: float,
    steps: int,
    dt: float,
    classes: int | None,
    empty: Empty,
    options: dict[str, Any],
) -> SpikeData:
    """What an encoder emits, a stretch of samples at a time, on the reference."""
    from snnir.runtime.backend import find_backend

    values = np.asarray(x)
    if values.ndim < 2 or 0 in values.shape[1:] or values.dtype.kind not in "biuf":
        found = f"{values.dtype}{list(values.shape)}"
        raise DataError(Diagnostic("spikes.array", "x", found, "numbers, (samples, features)"))
    if not np.isfinite(values).all():
        raise DataError(Diagnostic("spikes.array", "x", "NaN or infinity", "finite numbers"))
    builder = GraphBuilder("encoder", dt=dt, steps=steps)
    entry = builder.input("x", values.shape[1:], scale=None if scale == 1 else np.float32(scale))
    builder.output("spikes", builder.add(encoder, entry, **options))
    prepared = find_backend("reference").prepare(builder.build())
    size = max(1, _AT_A_TIME // (steps * math.prod(values.shape[1:])))
    parts = [
        from_dense(
            prepared.run(values[start : start + size].astype(np.float32), steps=steps)["spikes"],
            dt=dt,
            empty="allow",
        )
        for start in range(0, len(values), size)
    ]
    whole = concatenate(parts or [from_dense(np.zeros((0, steps, *values.shape[1:])), dt=dt)])
    findings = list(empty_findings(whole.offsets, empty))
    raise_errors(findings, DataError)
    for finding in findings:
        warnings.warn(str(finding), SnnirWarning, stacklevel=3)
    return SpikeData(
        whole.offsets,
        whole.times,
        whole.neurons,
        shape=whole.shape,
        steps=steps,
        dt=dt,
        labels=labels,
        classes=classes,
        empty="allow",
    )
