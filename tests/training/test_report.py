"""The plot of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snnir.errors import FileError
from snnir.training.report import Epoch, write_plot


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were written."""
    figure = pytest.importorskip("matplotlib.figure", reason="needs matplotlib").Figure
    saved: list[Any] = []
    save = figure.savefig

    def keep(self: Any, *arguments: Any, **options: Any) -> None:
        saved.append(self)
        save(self, *arguments, **options)

    monkeypatch.setattr(figure, "savefig", keep)
    return saved


def lines(figure: Any) -> dict[str, dict[str, list[float]]]:
    """Values by axis and curve."""
    return {
        axes.get_ylabel(): {line.get_label(): list(line.get_ydata()) for line in axes.lines}
        for axes in figure.axes
    }


def test_all_curves_are_drawn(figures: list[Any], tmp_path: Path) -> None:
    history = [Epoch(1, 0.1, 2.0, 0.25, 3.0, 0.125, 1.0), Epoch(2, 0.1, 1.0, 0.5, 2.0, 0.375, 1.0)]
    write_plot(history, tmp_path / "plot.png")
    assert lines(figures[0]) == {
        "loss": {"training": [2.0, 1.0], "validation": [3.0, 2.0]},
        "accuracy in %": {"training": [25.0, 50.0], "validation": [12.5, 37.5]},
    }
    for axes in figures[0].axes:
        assert list(axes.lines[0].get_xdata()) == [1, 2]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "training",
            "validation",
        ]


@pytest.mark.filterwarnings("error")
def test_there_is_no_accuracy_without_classes(figures: list[Any], tmp_path: Path) -> None:
    write_plot([Epoch(1, 0.1, 2.0, None, None, None, 1.0)], tmp_path / "plot.svg")
    assert lines(figures[0]) == {"loss": {"training": [2.0]}}


def test_a_plot_that_was_there_outlives_a_failure(figures: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "plot.xyz"
    path.write_text("precious")
    with pytest.raises(FileError, match=r"\.png"):
        write_plot([], path)
    assert path.read_text() == "precious"
    assert figures == []
