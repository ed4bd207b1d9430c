"""Raster plots draw the spikes that were recorded, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snnir
from snnir.errors import MissingDependency, RunError
from snnir.plot import Raster, raster, rasters
from snnir.runtime.backend import Recording


def recording(**recorded: Any) -> Recording:
    arrays = {name: np.asarray(array, np.float32) for name, array in recorded.items()}
    steps = next(iter(arrays.values())).shape[1]
    return Recording({"answer": np.zeros((2, 3), np.float32)}, arrays, steps, "reference")


def figure(*args: Any, **options: Any) -> Any:
    pytest.importorskip("matplotlib")
    return raster(*args, **options)


def drawn(ax: Any) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for marks in ax.collections for x, y in marks.get_offsets()}


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**16), st.integers(0, 1))
def test_every_spike_once_with_its_sign(steps: int, neurons: int, seed: int, sample: int) -> None:
    spikes = np.random.default_rng(seed).integers(-1, 2, (2, steps, neurons, 2))
    (found,) = rasters(recording(cells=spikes), sample=sample)
    assert (found.name, found.neurons, found.steps) == ("cells", 2 * neurons, steps)
    back = np.zeros((steps, 2 * neurons), np.int64)
    np.add.at(back, (found.step, found.neuron), found.sign)
    assert (back == spikes[sample].reshape(steps, -1)).all()
    assert len(found.step) == np.count_nonzero(spikes[sample])


def test_a_graded_spike_is_a_spike() -> None:
    (found,) = rasters(recording(cells=[[[0, 2.5], [-0.25, 0]]]))
    assert list(zip(found.step, found.neuron, found.sign, strict=True)) == [(0, 1, 1), (1, 0, -1)]


def test_outputs_can_be_named_and_the_order_is_kept() -> None:
    found = Recording({"out": np.ones((1, 2, 1))}, {"a": np.ones((1, 2, 3))}, 2, "reference")
    assert [panel.name for panel in rasters(found)] == ["a"]
    assert [panel.name for panel in rasters(found, ["out", "a"])] == ["out", "a"]


def test_all_that_does_not_fit_is_said() -> None:
    given = recording(a=np.zeros((2, 4, 3)))
    with pytest.raises(RunError) as caught:
        rasters(given, ["nothing", "answer", "a"], sample=2)
    found = [(d.where, d.found) for d in caught.value.diagnostics]
    assert found == [
        ("raster of 'nothing'", "no record"),
        ("raster of 'answer'", "shape [2, 3]"),
        ("raster of 'a'", "sample 2"),
    ]
    assert {d.code for d in caught.value.diagnostics} == {"run.record"}
    for empty in (Recording({}, {}, 4, "reference"), given):
        with pytest.raises(RunError, match="nothing"):
            rasters(empty, [])


@pytest.mark.parametrize(
    ("signs", "title"),
    [
        ([], "cells: 1 neuron, 0 spikes"),
        ([1], "cells: 1 neuron, 1 spike"),
        ([1, -1, -1], "cells: 1 neuron, 3 spikes, 2 negative"),
    ],
)
def test_the_title_counts(signs: list[int], title: str) -> None:
    sign = np.array(signs, np.int64)
    assert Raster("cells", 1, 3, np.arange(len(sign)), 0 * sign, sign).title == title


def test_a_panel_for_each_name_with_all_its_spikes() -> None:
    rng = np.random.default_rng(0)
    hidden = (rng.random((2, 7, 5, 30)) < 0.1).astype(int)
    output = rng.integers(-1, 2, (2, 7, 10))
    given = recording(hidden=hidden, output=output)
    found = figure(given, sample=1, title="one image")
    assert found.get_suptitle() == "one image"
    above, below = found.axes
    assert below.get_xlabel() == "step" and below.get_xlim() == (-0.5, 6.5)
    for ax, array in ((above, hidden), (below, output)):
        assert drawn(ax) == set(zip(*np.nonzero(array[1].reshape(7, -1)), strict=True))
        bottom, top = ax.get_ylim()
        assert bottom > array[1, 0].size - 1 and top < 0  # neuron 0 is at the top
        assert ax.get_title(loc="left").startswith(("hidden: 150", "output: 10"))
    assert list(below.get_yticks()) == list(range(10))
    positive, negative = below.collections
    assert len(negative.get_offsets()) == (output[1] < 0).sum()
    assert (positive.get_edgecolor() != negative.get_edgecolor()).any()
    assert above.get_position().height > below.get_position().height


def test_it_is_written_without_a_display(tmp_path: Path) -> None:
    path = tmp_path / "raster.png"
    figure(recording(cells=np.zeros((1, 3, 2)))).savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match=r"snnir\[report\]"):
        raster(recording(cells=np.zeros((1, 3, 2))))


def test_importing_it_loads_no_matplotlib() -> None:
    program = "import sys, snnir.plot; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_run_records_can_be_drawn() -> None:
    b = snnir.GraphBuilder("net", steps=5)
    x = b.input("x", [2])
    cells = b.snn.IF(b.snn.ConstantCurrent(x), threshold=1.0, name="cells")
    b.output("count", b.snn.SpikeCount(cells))
    found = snnir.run(b.build(), np.array([[1, 0.5]], np.float32), record=["cells"])
    (panel,) = rasters(found)
    spikes = sorted(zip(panel.neuron.tolist(), panel.step.tolist(), strict=True))
    assert spikes == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 3)]
