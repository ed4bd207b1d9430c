"""snnir encode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnir import data
from snnir.data import FrontEnd, SpikeData
from tests.cli.conftest import Run
from tests.converters.test_shd import shd

rng = np.random.default_rng(0)
PIXELS = rng.integers(1, 256, (30, 4, 4), np.uint8)
LABELS = rng.integers(0, 3, 30)
SOUND = (rng.normal(0, 3000, 9000) * np.repeat([1, 0, 1], 3000)).astype(np.int16)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and sound, in the working directory."""
    monkeypatch.chdir(tmp_path)
    np.savez("digits.npz", x=PIXELS, y=LABELS, fold=np.arange(30))
    np.save("digits.npy", PIXELS)
    np.savez("sound.npz", samples=SOUND, offsets=[0, 3000, 5000, 9000], word=[2, 0, 1], y=[0])


def encoded(run: Run, *arguments: Any) -> SpikeData:
    code, out, err = run("encode", *arguments, "-o", "out.npz", "--json")
    assert code == 0, err
    found = data.load("out.npz", empty="allow")
    told = json.loads(out)
    assert (told["digest"], told["samples"]) == (found.digest(), len(found))
    return found


def test_codes_of_arrays_are_those_of_the_functions(run: Run) -> None:
    found = encoded(
        run, "digits.npz", "--method", "latency", "--scale", "1/255", "--steps", 9, "--dt", 0.002
    )
    expected = data.latency(PIXELS, LABELS, steps=9, scale=1 / 255, dt=0.002)
    assert found.digest() == expected.digest()
    found = encoded(
        run, "digits.npy", "--method", "poisson", "--gain", "1/400", "--steps", 9, "--seed", 4
    )
    assert found.digest() == data.poisson(PIXELS, steps=9, gain=1 / 400, seed=4).digest()


def test_samples_are_chosen_by_an_array_of_the_file(run: Run) -> None:
    arguments = ["--method", "latency", "--scale", "1/255", "--steps", 9]
    parts = {
        condition: encoded(run, "digits.npz", *arguments, "--where", condition)
        for condition in ("fold<5", "fold >= 5", "fold==7", "fold!=7", "fold>28", "fold<=-1")
    }
    assert [len(part) for part in parts.values()] == [5, 25, 1, 29, 1, 0]
    assert parts["fold==7"].required_labels().tolist() == [LABELS[7]]
    whole = data.latency(PIXELS, LABELS, steps=9, scale=1 / 255)
    assert np.array_equal(parts["fold >= 5"].dense(), whole[5:].dense())


def test_sound_goes_through_the_front_end(run: Run) -> None:
    options = ["--rate", 8000, "--bands", 6, "--steps", 70, "--labels", "word"]
    found = encoded(run, "sound.npz", "--method", "audio", *options, "--empty", "allow")
    parts = [SOUND[:3000], SOUND[3000:5000], SOUND[5000:]]
    front = FrontEnd(8000, bands=6, steps=70)
    assert found.digest() == front.encode(parts, [2, 0, 1], empty="allow").digest()
    assert found.counts[1] == 0
    code, _, err = run("encode", "sound.npz", "--method", "audio", *options, "-o", "o.npz")
    assert code == 0 and "[spikes.empty]" in err and "3 samples" in err
    options[5] = 20
    code, _, err = run("encode", "sound.npz", "--method", "audio", *options, "-o", "o.npz")
    assert code == 1 and "[spikes.time]" in err


def test_event_files_are_read_by_their_plugin(run: Run) -> None:
    shd(Path("speech.h5"))
    found = encoded(run, "speech.h5", "--method", "events", "--steps", 100, "--dt", 0.01)
    assert (
        found.digest() == data.read_events("speech.h5", steps=100, dt=0.01, empty="allow").digest()
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["digits.npz"],
        ["digits.npz", "--method", "latency"],
        ["digits.npz", "--method", "latency", "--steps", "5", "--seed", "1"],
        ["digits.npz", "--method", "latency", "--steps", "5", "--scale", "1/0"],
        ["digits.npz", "--method", "latency", "--steps", "5", "--where", "fold"],
        ["digits.npy", "--method", "latency", "--steps", "5", "--where", "fold<5"],
        ["sound.npz", "--method", "audio"],
        ["-", "--method", "latency", "--steps", "5"],
        ["out.npz", "--method", "latency", "--steps", "5"],
    ],
    ids=str,
)
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    code, out, err = run("encode", *arguments, "-o", "out.npz")
    assert (code, out) == (2, "") and "error: " in err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["absent.npz", "--method", "latency", "--steps", "5"], 3, "[file.unreadable]"),
        (["sound.npz", "--method", "latency", "--steps", "5"], 3, "an array 'x'"),
        (["digits.npz", "--method", "audio", "--rate", "8000"], 3, "an array 'samples'"),
        (["sound.npz", "--method", "audio", "--rate", "8000"], 3, "a number for each of 3"),
        (["digits.npz", "--method", "latency", "--steps", "5", "--labels", "z"], 3, "array 'z'"),
        (["digits.npz", "--method", "latency", "--steps", "5", "--labels", "x"], 3, "for each"),
        (["digits.npz", "--method", "events", "--steps", "5"], 3, "[file.unknown-format]"),
        (["sound.npz", "--method", "audio", "--rate", "100"], 1, "[spikes.option]"),
    ],
    ids=str,
)
def test_sources_that_do_not_fit(run: Run, arguments: list[str], code: int, text: str) -> None:
    Path("out.npz").write_text("precious")
    found, _, err = run("encode", *arguments, "-o", "out.npz")
    assert found == code and text in err
    assert Path("out.npz").read_text() == "precious"
