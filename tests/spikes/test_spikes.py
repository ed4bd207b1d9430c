"""Spike data: what it refuses, its parts, its dense form and its files."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy_format

from snnir import data as spike_data
from snnir.data import SpikeData, concatenate, from_dense, from_events, from_structured
from snnir.errors import DataError, FileError, SnnirError, SnnirWarning

SOUND: dict[str, Any] = {
    "offsets": [0, 2, 2, 5],
    "times": [0, 3, 1, 1, 4],
    "neurons": [5, 0, 2, 3, 2],
    "shape": (2, 3),
    "steps": 5,
    "dt": 2e-3,
    "labels": [1, 0, 1],
    "classes": 3,
    "empty": "allow",
}


def sound(**changed: Any) -> SpikeData:
    return SpikeData(**{**SOUND, **changed})


def codes(**changed: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        sound(**changed)
    return [finding.code for finding in caught.value.diagnostics]


def test_what_it_holds() -> None:
    data = sound()
    assert (len(data), data.shape, data.neuron_count, data.steps) == (3, (2, 3), 6, 5)
    types = (data.offsets.dtype, data.times.dtype, data.neurons.dtype, data.required_labels().dtype)
    assert types == (np.int64, np.int32, np.int32, np.int64)
    assert data.counts.tolist() == [2, 0, 3]
    assert [events.tolist() for events in data.events(2)] == [[1, 1, 4], [2, 3, 2]]
    assert "3 samples, 5 events, 2x3 neurons, 5 steps of 0.002 s, 3 classes" in repr(data)


def test_all_findings_come_at_once_and_say_where() -> None:
    with pytest.raises(DataError) as caught:
        SpikeData(
            [0, 3, 5],
            [4, 1, 9, 0, -1],
            [0, 0, 1, 7, 1],
            shape=4,
            steps=5,
            labels=[0, 5, 1],
            classes=2,
        )
    found = {finding.code: finding.found for finding in caught.value.diagnostics}
    assert found["spikes.time"] == "2 of 5, first event 2 of sample 0 in step 9"
    assert found["spikes.neuron"] == "1 of 5, first event 3 of sample 1 at neuron 7"
    assert found["spikes.order"] == (
        "2 of 5, first event 1 of sample 0: step 1, neuron 0 after step 4, neuron 0"
    )
    labels = [f.found for f in caught.value.diagnostics if f.code == "spikes.label"]
    assert labels == ["3 labels", "1, first 5 at sample 1"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"offsets": []}, ["spikes.offsets", "spikes.label"]),
        ({"offsets": [1, 2, 2, 5]}, ["spikes.offsets"]),
        ({"offsets": [0, 3, 2, 5]}, ["spikes.offsets"]),
        ({"offsets": [0, 2, 2, 4]}, ["spikes.offsets"]),
        ({"neurons": [5, 0, 2, 3]}, ["spikes.array"]),
        ({"neurons": [5, 0, 2, 2, 2]}, ["spikes.order"]),
        ({"neurons": [5, 0, 3, 2, 2]}, ["spikes.order"]),
        ({"times": [[0, 3, 1, 1, 4]]}, ["spikes.array"]),
        ({"times": np.array([0, 3, 1, 1, 2**32 + 4])}, ["spikes.time"]),
        ({"neurons": np.array([5, 0, 2, 3, 2**64 - 1], np.uint64)}, ["spikes.neuron"]),
        ({"shape": (2, 0)}, ["spikes.array"]),
        ({"shape": ()}, ["spikes.array"]),
        ({"steps": 0, "dt": float("nan")}, ["spikes.array", "spikes.array"]),
        ({"labels": [0, 1, 3]}, ["spikes.label"]),
        ({"empty": "refuse"}, ["spikes.empty-sample"]),
    ],
    ids=str,
)
def test_what_it_refuses(changed: dict[str, Any], expected: list[str]) -> None:
    assert codes(**changed) == expected


def test_faults_are_found_across_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is checked against the one before it, wherever a stretch begins."""
    monkeypatch.setattr("snnir.data.spikes._STRETCH", 2)
    sound()
    assert codes(times=[0, 3, 1, 0, 4]) == ["spikes.order"]
    assert codes(times=[0, 3, 1, 1, 0]) == ["spikes.order"]
    assert codes(times=[3, 0, 1, 1, 4]) == ["spikes.order"]
    with pytest.raises(DataError, match="1 of 5, first event 4 of sample 2"):
        sound(times=[0, 3, 1, 1, 5])


def test_empty_samples_are_warned_of() -> None:
    with pytest.warns(SnnirWarning, match=r"\[spikes.empty\].*1 of 3, first sample 1"):
        sound(empty="warn")


@pytest.mark.parametrize("kind", ["u1", "i2", ">u4", "u8", "i8"])
def test_integers_of_any_type_are_taken(kind: str) -> None:
    names = ("offsets", "times", "neurons", "labels")
    data = sound(**{name: np.array(SOUND[name], kind) for name in names}, classes=None)
    assert data.digest() == sound(classes=2).digest()


def test_labels_are_there_or_said_to_be_missing() -> None:
    data = sound(labels=None, classes=None)
    assert data.labels is None and data.classes == 0
    with pytest.raises(DataError, match="none"):
        data.required_labels()


# Parts -----------------------------------------------------------------------------------------


@st.composite
def datasets(draw: st.DrawFn) -> SpikeData:
    count, steps, size = (draw(st.integers(0, 6)), draw(st.integers(1, 7)), draw(st.integers(1, 5)))
    places = st.tuples(st.integers(0, steps - 1), st.integers(0, size - 1))
    samples = [sorted(draw(st.sets(places, max_size=12))) for _ in range(count)]
    events = np.array([event for sample in samples for event in sample], np.int32).reshape(-1, 2)
    return SpikeData(
        np.cumsum([0, *map(len, samples)]),
        events[:, 0],
        events[:, 1],
        shape=size,
        steps=steps,
        labels=draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)),
        classes=4,
        empty="allow",
    )


def check_again(data: SpikeData) -> None:
    """What a part holds is sound, by the same rules."""
    SpikeData(
        data.offsets,
        data.times,
        data.neurons,
        shape=data.shape,
        steps=data.steps,
        labels=data.labels,
        classes=data.classes,
        empty="allow",
    )


@given(datasets(), st.data())
def test_parts_are_the_parts_of_the_dense_array(data: SpikeData, draw: st.DataObject) -> None:
    whole = data.dense()
    assert whole.shape == (len(data), data.steps, *data.shape)
    start, stop = draw.draw(st.integers(-7, 7)), draw.draw(st.integers(-7, 7))
    selections: list[Any] = [slice(start, stop), slice(start, stop, 2), slice(None, None, -1)]
    if len(data):
        numbers = st.integers(-len(data), len(data) - 1)
        selections.append(draw.draw(st.lists(numbers, max_size=8)))
        selections.append(
            np.array(draw.draw(st.lists(st.booleans(), min_size=len(data), max_size=len(data))))
        )
    for selection in selections:
        part = data[selection]
        check_again(part)
        place = np.array([], int) if isinstance(selection, list) and not selection else selection
        assert np.array_equal(part.dense(), whole[place])
        assert np.array_equal(part.required_labels(), data.required_labels()[place])
    parts = list(data.batches(2))
    if parts:
        assert concatenate(parts).digest() == data.digest()


@given(datasets(), st.integers(1, 5))
def test_bins_sum_the_dense_array(data: SpikeData, bins: int) -> None:
    part = np.arange(data.steps) * bins // data.steps
    expected = np.zeros((len(data), bins, data.neuron_count), int)
    for step, place in enumerate(part):
        expected[:, place] += data.dense()[:, step].astype(int)
    assert np.array_equal(data.binned(bins), expected)


@given(datasets())
def test_dense_and_back(data: SpikeData) -> None:
    back = from_dense(data.dense(), data.labels, classes=4, empty="allow")
    assert back.digest() == data.digest()


@given(datasets(), st.integers(0, 100))
def test_splits_share_no_sample_and_lose_none(data: SpikeData, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbered = SpikeData.trusted(data, data.offsets, data.times, data.neurons, np.arange(len(data)))
    for first, second in (numbered.split(len(data) // 2), numbered.split(0.3, rng)):
        found = np.concatenate([first.required_labels(), second.required_labels()])
        assert sorted(found.tolist()) == list(range(len(data)))
    assert sorted(numbered.shuffled(rng).required_labels().tolist()) == list(range(len(data)))


def test_shuffling_is_the_generators() -> None:
    data = sound()
    one, other = (data.shuffled(np.random.default_rng(3)) for _ in range(2))
    assert one.digest() == other.digest()


@pytest.mark.parametrize("selection", [[3], [0.5], [[0]], [True], "all"], ids=str)
def test_samples_that_are_not_there(selection: Any) -> None:
    with pytest.raises(DataError, match=r"\[spikes.option\]"):
        sound()[selection]


def test_what_cannot_be_concatenated() -> None:
    for other in (sound(steps=6), sound(labels=None), sound(shape=6), sound(dt=1e-3)):
        with pytest.raises(DataError, match="equal shape"):
            concatenate([sound(), other])
    with pytest.raises(DataError, match="nothing"):
        concatenate([])


def test_the_digest_is_of_all_that_is_meant() -> None:
    changes: list[dict[str, Any]] = [
        {"steps": 6},
        {"dt": 1e-3},
        {"shape": 6},
        {"labels": [1, 0, 0]},
        {"classes": 4},
        {"labels": None},
        {"times": [0, 2, 1, 1, 4]},
        {"neurons": [5, 0, 2, 3, 3]},
        {"offsets": [0, 1, 2, 5]},
    ]
    digests = {sound().digest(), *(sound(**change).digest() for change in changes)}
    assert len(digests) == len(changes) + 1
    head = b"snnir spike data 1: (2, 3) 5 0x1.0624dd2f1a9fcp-9 3 False 3\n"
    content = struct.pack("<4q5i5i3q", 0, 2, 2, 5, 0, 3, 1, 1, 4, 5, 0, 2, 3, 2, 1, 0, 1)
    assert sound().digest() == hashlib.sha256(head + content).hexdigest()


# Files -----------------------------------------------------------------------------------------


def test_files_give_back_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "spikes.npz"
    spike_data.save(sound(), path)
    first = path.read_bytes()
    back = spike_data.load(path, empty="allow")
    assert back.digest() == sound().digest()
    assert isinstance(back.times, np.memmap), "the events stay in the file"
    spike_data.save(back, path)  # onto the file that it is mapped from
    assert path.read_bytes() == first
    with np.load(path) as arrays:
        assert arrays["steps"] == 5 and arrays["shape"].tolist() == [2, 3]


@given(data=datasets())
@settings(max_examples=20)
def test_any_data_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory, data: SpikeData
) -> None:
    path = tmp_path_factory.mktemp("any") / "spikes.npz"
    spike_data.save(data, path)
    assert spike_data.load(path, empty="allow").digest() == data.digest()


def test_compressed_files_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "small.npz", **arrays(), speaker=np.zeros(3))
    back = spike_data.load(tmp_path / "small.npz", empty="allow")
    assert back.digest() == sound().digest()


def test_empty_samples_of_a_file(tmp_path: Path) -> None:
    spike_data.save(sound(), tmp_path / "spikes.npz")
    with pytest.warns(SnnirWarning, match="spikes.npz', samples"):
        spike_data.load(tmp_path / "spikes.npz")
    with pytest.raises(FileError, match=r"\[spikes.empty-sample\]"):
        spike_data.load(tmp_path / "spikes.npz", empty="refuse")


def arrays() -> dict[str, Any]:
    data = sound()
    return {
        "offsets": data.offsets,
        "times": data.times,
        "neurons": data.neurons,
        "shape": np.array([2, 3]),
        "steps": np.int64(5),
        "dt": np.float64(2e-3),
        "labels": data.labels,
        "classes": np.int64(3),
    }


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"times": None, "dt": None}, ["spikes.array", "spikes.array"]),
        ({"classes": None}, ["spikes.array"]),
        ({"times": np.zeros(5), "neurons": np.zeros(5, np.int64)}, ["spikes.array"] * 2),
        ({"times": np.array([0, 3, 1, 1, 4], ">i4")}, ["spikes.array"]),
        ({"steps": np.array([5])}, ["spikes.array"]),
        ({"steps": np.int64(4), "classes": np.int64(1)}, ["spikes.time", "spikes.label"]),
        ({"shape": np.array([2, -3])}, ["spikes.array"]),
        ({"times": np.array([{}, 3, 1, 1, 4], object)}, ["file.data"]),
    ],
    ids=str,
)
def test_bad_files_are_refused_with_all_findings(
    tmp_path: Path, changed: dict[str, Any], expected: list[str]
) -> None:
    path = tmp_path / "bad.npz"
    content = {**arrays(), **changed}
    np.savez(path, **{name: array for name, array in content.items() if array is not None})
    with pytest.raises(FileError) as caught:
        spike_data.load(path, empty="allow")
    assert [finding.code for finding in caught.value.diagnostics] == expected
    assert all("bad.npz" in finding.where for finding in caught.value.diagnostics)


def test_a_file_that_is_cut_off_or_damaged_anywhere(tmp_path: Path) -> None:
    """Whatever becomes of its bytes, only this library's errors come out, or the same data."""
    path, digest = tmp_path / "spikes.npz", sound().digest()
    spike_data.save(sound(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        for damaged in (whole[:place], bytes(flipped)):
            path.write_bytes(damaged)
            try:
                back = spike_data.load(path, empty="allow")
            except SnnirError:
                continue
            assert back.digest() == digest, place


def test_a_flipped_bit_in_the_events_does_not_go_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "spikes.npz"
    spike_data.save(sound(), path)
    whole = bytearray(path.read_bytes())
    content = np.array(SOUND["neurons"], np.int32).tobytes()
    whole[bytes(whole).index(content)] ^= 1  # 5 becomes 4, which would be fine
    path.write_bytes(whole)
    with pytest.raises(FileError, match="CRC"):
        spike_data.load(path, empty="allow")


def test_a_header_that_promises_more_than_may_be_read(tmp_path: Path) -> None:
    """A small compressed file that claims 40 GB is refused before anything is allocated."""
    path = tmp_path / "bomb.npz"
    head = io.BytesIO()
    claimed = {"descr": "<i4", "fortran_order": False, "shape": (5 * 10**9,)}
    npy_format.write_array_header_1_0(head, claimed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays().items():
            stream = io.BytesIO()
            npy_format.write_array(stream, np.asarray(array))
            bomb = name in ("times", "neurons")
            archive.writestr(f"{name}.npy", head.getvalue() if bomb else stream.getvalue())
    raw = bytearray(path.read_bytes())
    with pytest.raises(FileError, match="for shape"):
        spike_data.load(path)
    for name in (b"times.npy", b"neurons.npy"):  # the archive's directory claims the bytes, too
        entry = raw.rindex(name) - 46
        raw[entry + 24 : entry + 28] = (0xFFFFFF00).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(FileError, match="for shape"):
        spike_data.load(path)


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "spikes.npz"
    path.write_bytes(b"hello")
    with pytest.raises(FileError, match="hell"):
        spike_data.load(path)
    with pytest.raises(FileError, match="no such file"):
        spike_data.load(tmp_path / "absent.npz")


# Events from anywhere --------------------------------------------------------------------------


def test_events_in_any_order_are_sorted_and_merged() -> None:
    samples = [([0.0042, 0.001, 0.0043], [2, 1, 2]), ([], []), ([0.0], [3])]
    with pytest.warns(SnnirWarning, match=r"\[spikes.merged\].*1 of 4"):
        data = from_events(samples, [0, 1, 0], shape=4, steps=5, empty="allow")
    assert data.times.tolist() == [1, 4, 0]
    assert data.neurons.tolist() == [1, 2, 3]
    assert data.offsets.tolist() == [0, 2, 2, 3]
    check_again(data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_time_on_a_boundary_belongs_to_the_step_that_begins_there(dtype: Any) -> None:
    """Whichever way k * dt is rounded."""
    steps = 2000
    times = (np.arange(steps) * 1e-3).astype(dtype)
    data = from_events([(times, np.zeros(steps, int))], shape=1, steps=steps)
    assert data.times.tolist() == list(range(steps))


def test_late_events_are_refused_or_cut() -> None:
    samples = [([1, 7], [0, 0])]
    with pytest.raises(DataError, match="first step 7 in sample 0"):
        from_events(samples, shape=1, steps=5, dt=1.0)
    with pytest.warns(SnnirWarning, match=r"\[spikes.cut\].*1 of 2"):
        data = from_events(samples, shape=1, steps=5, dt=1.0, beyond="cut")
    assert data.times.tolist() == [1]


@pytest.mark.parametrize(
    "sample",
    [
        ([0.1], [4]),
        ([-0.1], [0]),
        ([0.1], [0.5]),
        ([0.1, 0.2], [0]),
        ([np.nan], [0]),
        ([[0.1]], [[0]]),
    ],
    ids=str,
)
def test_events_that_cannot_be(sample: Any) -> None:
    with pytest.raises(DataError):
        from_events([sample], shape=4, steps=500)


def test_structured_events_as_tonic_gives_them() -> None:
    kind = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
    events = np.array([(3, 1, 2500, True), (0, 0, 10, False)], kind)
    data = from_structured([events], [4], sensor=(4, 2, 2), steps=10)
    assert data.shape == (2, 4, 2)
    dense = data.dense()
    assert dense.sum() == 2 and dense[0, 2, 1, 3, 1] == 1 and dense[0, 0, 0, 0, 0] == 1
    sound_events = np.array([(17, 2500, 1)], [("x", int), ("t", int), ("p", int)])
    heard = from_structured([sound_events], sensor=(700, 1, 1), steps=10)
    assert heard.shape == (700,) and heard.neurons.tolist() == [17]


def test_structured_events_that_do_not_fit() -> None:
    kind = np.dtype([("x", int), ("t", int)])
    with pytest.raises(DataError) as caught:
        from_structured([np.zeros(2, kind)], sensor=(4, 2, 2), steps=10)
    assert "fields p, t, x, y" in str(caught.value)
    with pytest.raises(DataError, match="x = 9"):
        from_structured([np.array([(9, 0)], kind)], sensor=(4, 1, 1), steps=10)
    with pytest.raises(DataError, match="numbers of x, y and p"):
        from_structured([], sensor=(4, 1), steps=10)


@pytest.mark.parametrize(
    "array", [np.full((1, 2, 3), 0.5), np.zeros((2, 3)), np.full((1, 1, 1), "a")]
)
def test_dense_arrays_that_are_no_spikes(array: Any) -> None:
    with pytest.raises(DataError, match="0 and 1"):
        from_dense(array)


def test_nothing_is_warned_of_when_nothing_is_lost() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_events([([0.001, 0.002], [0, 0])], [0], shape=1, steps=5)
