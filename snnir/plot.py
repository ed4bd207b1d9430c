"""Pictures of what was recorded. Needs matplotlib: ``pip install 'snnir[report]'``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, MissingDependency, RunError, raise_errors
from snnir.runtime.backend import Recording

Array = npt.NDArray[Any]

_COLOURS: Final = {1: "#1f3b73", -1: "#c0392b"}
"""Of spikes above and below 0."""

_FEW: Final = 20
"""A panel with at most so many neurons names each of them."""

_WIDTH: Final = 8.0
_HEIGHT: Final = 7.0
"""Inches: of the figure, and of all panels together, unless legible ones need more."""

_LEAST_HEIGHT: Final = 0.7
_ROW: Final = 0.14
"""Inches of a panel: at least, and for each neuron that is named."""


@dataclass(frozen=True)
class Raster:
    """The spikes of some neurons for one sample.

    Attributes:
        name: What they were recorded as.
        neurons: Number of neurons, in the order of the flattened features.
        steps: Presentation length.
        step: Step of each spike.
        neuron: Neuron of each spike.
        sign: 1, or -1 for a negative spike.
    """

    name: str
    neurons: int
    steps: int
    step: Array
    neuron: Array
    sign: Array

    @property
    def title(self) -> str:
        """Name, number of neurons and of spikes."""
        negative = int((self.sign < 0).sum())
        parts = [_counted(self.neurons, "neuron"), _counted(len(self.step), "spike")]
        return f"{self.name}: {', '.join(parts + [f'{negative:,} negative'] * (negative > 0))}"


def rasters(
    recording: Recording, names: Sequence[str] | None = None, *, sample: int = 0
) -> list[Raster]:
    """The spikes that were recorded of one sample; whatever is not 0 is a spike.

    Args:
        recording: What a run returned.
        names: What to take of it; by default all that it recorded.
        sample: Index of the sample.

    Raises:
        RunError: If something was not recorded, or not for every step, or there is no such
            sample.
    """
    findings: list[Diagnostic] = []
    known = {**recording.recorded, **recording.outputs}
    found = []
    for name in list(recording.recorded) if names is None else names:
        array = known.get(name)
        if array is None:
            allowed = ", ".join(known)
            findings.append(Diagnostic("run.record", f"raster of '{name}'", "no record", allowed))
        elif array.ndim < 2 or array.shape[1] != recording.steps:
            shape = f"shape {list(array.shape)}"
            allowed = f"[samples, {recording.steps}, ...]: a value of every step"
            findings.append(Diagnostic("run.record", f"raster of '{name}'", shape, allowed))
        elif not 0 <= sample < len(array):
            allowed = f"0 to {len(array) - 1}"
            where = f"raster of '{name}'"
            findings.append(Diagnostic("run.record", where, f"sample {sample}", allowed))
        else:
            flat = array[sample].reshape(recording.steps, -1)
            step, neuron = np.nonzero(flat)
            sign = np.sign(flat[step, neuron]).astype(np.int64)
            found.append(Raster(name, flat.shape[1], recording.steps, step, neuron, sign))
    if not found and not findings:
        hint = "name what to record: run(..., record=[...])"
        findings.append(Diagnostic("run.record", "raster", "nothing", "a recorded value", hint))
    raise_errors(findings, RunError)
    return found


def raster(
    recording: Recording,
    names: Sequence[str] | None = None,
    *,
    sample: int = 0,
    title: str = "",
) -> Any:
    """A raster plot of one sample: steps on x, a panel for each name with its neurons on y.

    >>> found = snnir.run(model, x, record=["hidden", "output"])       # doctest: +SKIP
    >>> raster(found, title="the first image").savefig("raster.png")   # doctest: +SKIP

    The first name is at the top. Spikes are blue, negative ones red.

    Args:
        recording: What a run returned.
        names: What to draw; by default all that was recorded.
        sample: Index of the sample.
        title: Title of the figure.

    Returns:
        A ``matplotlib.figure.Figure``, which knows ``savefig``; pyplot is not used.

    Raises:
        RunError: As :func:`rasters`.
        MissingDependency: If matplotlib is not installed.
    """
    drawn = rasters(recording, names, sample=sample)
    figures = _matplotlib()
    # Larger layers are higher, but not in proportion: small ones stay legible.
    weights = np.cbrt([panel.neurons for panel in drawn])
    least = [max(_LEAST_HEIGHT, _ROW * p.neurons * (p.neurons <= _FEW)) for p in drawn]
    heights = np.maximum(least, _HEIGHT * weights / weights.sum())
    figure = figures.Figure(
        figsize=(_WIDTH, float(heights.sum()) + 1.0), dpi=150, layout="constrained"
    )
    axes = figure.subplots(
        len(drawn), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for panel, ax, height in zip(drawn, axes, heights, strict=True):
        _draw(ax, panel, float(height))
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    if title:
        figure.suptitle(title)
    return figure


def _matplotlib() -> Any:
    try:
        from matplotlib import figure
    except ImportError as error:
        raise MissingDependency(
            Diagnostic(
                "plugin.missing-dependency",
                "raster plot",
                str(error),
                "matplotlib",
                "pip install 'snnir[report]'",
            )
        ) from None
    return figure


def _draw(ax: Any, panel: Raster, height: float) -> None:
    for sign, colour in _COLOURS.items():
        chosen = panel.sign == sign
        step, neuron = panel.step[chosen], panel.neuron[chosen]
        # A mark is as high as its neuron's row, but can be seen.
        high = float(np.clip(72 * 0.8 * height / panel.neurons, 1.5, 12))
        wide = float(np.clip(72 * 0.2 * _WIDTH / panel.steps, 0.8, 2.5))
        ax.scatter(step, neuron, s=high**2, marker="|", linewidths=wide, color=colour)
    ax.set_xlim(-0.5, panel.steps - 0.5)
    margin = max(0.5, 0.01 * panel.neurons)
    ax.set_ylim(panel.neurons - 1 + margin, -margin)
    if panel.neurons <= _FEW:
        ax.set_yticks(range(panel.neurons))
    else:
        ax.yaxis.get_major_locator().set_params(integer=True)
    ax.tick_params(labelsize=8)
    ax.set_ylabel("neuron", fontsize=9)
    ax.set_title(panel.title, loc="left", fontsize=9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
