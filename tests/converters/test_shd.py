"""Reading files in the layout of SHD and SSC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnir.data import read_events
from snnir.errors import DataError, FileError, FormatError, MissingDependency, SnnirWarning
from tests.converters.forging import h5py

TIMES = [[0.0125, 0.5, 0.031], [], [0.999, 0.0, 0.25]]
UNITS = [[699, 0, 3], [], [1, 2, 500]]


def shd(path: Path, dtype: str = "f2", *, storage: Any = None, **changed: Any) -> Path:
    """A file as the data sets' authors wrote it: growing arrays in chunks."""
    content = {"times": TIMES, "units": UNITS, "labels": [4, 0, 19], **changed}
    storage = {"maxshape": (None,), "chunks": (2,)} if storage is None else storage
    with h5py().File(path, "w") as file:
        for name, kind in (("times", dtype), ("units", "u2")):
            if content[name] is not None:
                lists = content[name]
                shape = (len(lists),)
                made = file.create_dataset(
                    f"spikes/{name}", shape, h5py().vlen_dtype(np.dtype(kind)), **storage
                )
                for number, values in enumerate(lists):
                    made[number] = np.array(values, kind)
        file.create_dataset("labels", data=np.array(content["labels"], "u2"), **storage)
        file.create_dataset("extra/keys", data=np.array([b"null"] * 20))
        file.create_dataset("extra/speaker", data=np.zeros(len(content["labels"]), "u2"))
    return path


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("storage", [None, {}, {"chunks": (1,), "compression": "gzip"}], ids=str)
def test_what_is_read(tmp_path: Path, dtype: str, storage: Any) -> None:
    path = shd(tmp_path / "a.h5", dtype, storage=storage)
    data = read_events(path, steps=100, dt=0.01, empty="allow")
    assert (data.shape, data.steps, data.dt, data.classes) == ((700,), 100, 0.01, 20)
    assert data.required_labels().tolist() == [4, 0, 19]
    assert [part.tolist() for part in data.events(0)] == [[1, 3, 50], [699, 3, 0]]
    assert data.counts.tolist() == [3, 0, 3]
    assert [part.tolist() for part in data.events(2)] == [[0, 25, 99], [2, 500, 1]]


def test_late_events_and_unknown_neurons(tmp_path: Path) -> None:
    path = shd(tmp_path / "a.h5", "f4")
    with pytest.raises(DataError, match="step 50"):
        read_events(path, steps=40, dt=0.01, empty="allow")
    with pytest.warns(SnnirWarning, match=r"\[spikes.cut\].*2 of 6"):
        read_events(path, steps=40, dt=0.01, empty="allow", beyond="cut")
    with pytest.raises(DataError, match="neuron 699 in sample 0"):
        read_events(path, steps=100, dt=0.01, empty="allow", neurons=600)
    with pytest.warns(SnnirWarning, match=r"\[spikes.empty\]"):
        read_events(path, steps=100, dt=0.01)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"dtype": "i4"}, "spikes.array"),
        ({"units": [[1], [], [1, 2, 3]]}, "spikes.array"),
        ({"units": UNITS[:2]}, "spikes.array"),
        ({"labels": [0, 1]}, "spikes.label"),
        ({"labels": [0, 1, 20]}, "spikes.label"),
    ],
    ids=str,
)
def test_what_does_not_fit(tmp_path: Path, changed: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError, match=rf"\[{code}\]"):
        read_events(shd(tmp_path / "a.h5", **changed), steps=100, dt=0.01, empty="allow")


def test_an_empty_data_set(tmp_path: Path) -> None:
    path = shd(tmp_path / "a.h5", times=[], units=[], labels=[])
    assert len(read_events(path, steps=10)) == 0


def test_files_of_other_formats(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_bytes(b"hello")
    damaged = shd(tmp_path / "damaged.h5").read_bytes()[:900]
    (tmp_path / "damaged.h5").write_bytes(damaged)
    for name in ("text.h5", "damaged.h5", shd(tmp_path / "no.h5", units=None).name):
        with pytest.raises(FormatError, match=r"\[file.unknown-format\].*shd"):
            read_events(tmp_path / name, steps=10)
    with pytest.raises(FileError, match="no such file"):
        read_events(tmp_path / "absent.h5", steps=10)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shd(tmp_path / "a.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingDependency, match=r"snnir\[shd\]"):
        read_events(path, steps=10)
