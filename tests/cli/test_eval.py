"""snnir eval."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.conversion import read
from tests.cli.conftest import Install, Run, Save
from tests.cli.helpers import assert_golden, digits, snnir_process
from tests.conversion.nets import spots, spotter, two_outputs
from tests.data import mnist, shared

IMAGES, LABELS = spots(300)
PIXELS = IMAGES / np.float32(255)


@pytest.fixture
def name(save: Save) -> str:
    """A spiking model, the network it came from, and data."""
    model, _ = snnir.convert(spotter(), calibration=PIXELS, method="data-norm", steps=6)
    save(spotter(), "ann.snnir")
    wrong = np.where(np.arange(300) % 3 == 0, (LABELS + 1) % 4, LABELS)
    np.savez("test.npz", x=PIXELS, y=wrong)
    return save(model, "snn.snnir")


def test_accuracy_and_spikes(run: Run, name: str) -> None:
    code, out, err = run("eval", name, "--data", "test.npz")
    assert (code, err) == (0, "")
    assert_golden("eval.txt", out)
    report = json.loads(run("eval", name, "--data", "test.npz", "--json")[1])
    recording = snnir.run(snnir.load(name), PIXELS, record=["active"])
    with np.load("test.npz") as file:
        right = recording["quarter"].argmax(1) == file["y"]
    assert (report["correct"], report["answers"]) == (right.sum(), 300)
    assert report["spikes"] == np.abs(recording["active"]).sum() / 300
    assert report["interval"][0] < report["accuracy"] < report["interval"][1]


def test_the_original_for_comparison(run: Run, name: str) -> None:
    code, out, _ = run("eval", "ann.snnir", "--data", "test.npz")
    assert code == 0
    assert_golden("eval_original.txt", out)
    assert run("eval", "ann.snnir", "--data", "test.npz", "--steps", "3")[0] == 2


@pytest.mark.parametrize("size", [1, 7, 300, 1000])
@pytest.mark.parametrize("backend", ["layerwise", "reference"])
def test_neither_batches_nor_backends_change_the_result(
    run: Run, name: str, size: int, backend: str
) -> None:
    expected = json.loads(run("eval", name, "--data", "test.npz", "--limit", 40, "--json")[1])
    options = ["--batch-size", size, "--backend", backend, "--limit", 40]
    found = json.loads(run("eval", name, "--data", "test.npz", *options, "--json")[1])
    assert found == {**expected, "backend": backend}


def test_steps_and_limit(run: Run, name: str) -> None:
    options = ["--steps", "2", "--limit", "10", "--json"]
    report = json.loads(run("eval", name, "--data", "test.npz", *options)[1])
    assert (report["steps"], report["samples"], report["answers"]) == (2, 10, 10)


def test_memory_stays_small_whatever_the_size_of_the_data(run: Run, name: str) -> None:
    """100 times as much data as may be held at a time."""
    tracemalloc = pytest.importorskip("tracemalloc")
    count = 40_000
    with zipfile.ZipFile("big.npz", "w") as archive:
        for key, array in (("x", PIXELS), ("y", LABELS)):
            header = {"descr": array.dtype.str, "fortran_order": False}
            shape = (count, *array.shape[1:])
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array_header_1_0(member, {**header, "shape": shape})
                for start in range(0, count, 100):
                    member.write(array[start % 300 : start % 300 + 100].tobytes())
    tracemalloc.start()
    code, out, _ = run("eval", name, "--data", "big.npz", "--batch-size", "100", "--steps", "1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == 0 and "40000 samples" in out
    assert peak < count * 36 * 4 / 2


def test_progress_is_shown_on_a_terminal_only(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["eval", name, "--data", "test.npz", "--batch-size", "200"]
    assert run(*arguments)[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(*arguments)[2] == "\rsample 200 of 300\rsample 300 of 300\r\033[K"


@pytest.mark.parametrize(
    ("arrays", "exit_code", "text"),
    [
        ({"x": PIXELS}, 3, "an array 'y'"),
        ({"y": LABELS}, 3, "array 'image' or 'x'"),
        ({"x": PIXELS, "y": LABELS[:9]}, 1, "[9, 300] samples"),
        ({"x": PIXELS, "y": LABELS + 4}, 1, "4 to 7"),
        ({"x": PIXELS, "y": LABELS + 0.5}, 1, "whole numbers"),
        ({"x": PIXELS[:, :5], "y": LABELS}, 1, "[300, 5, 6, 1]"),
        ({"x": PIXELS[:0], "y": LABELS[:0]}, 1, "no sample"),
        ({"x": np.full_like(PIXELS, np.nan), "y": LABELS}, 1, "NaN"),
        ({"x": PIXELS, "y": np.array(["a"] * 300)}, 3, "numbers"),
    ],
)
def test_bad_data(
    run: Run, name: str, arrays: dict[str, np.ndarray], exit_code: int, text: str
) -> None:
    np.savez("bad.npz", **arrays)
    code, out, err = run("eval", name, "--data", "bad.npz")
    assert (code, out) == (exit_code, "")
    assert text in err


def test_other_bad_input(run: Run, name: str) -> None:
    np.save("x.npy", PIXELS)
    assert run("eval", name, "--data", "x.npy")[0] == 3
    assert run("eval", name, "--data", "absent.npz")[0] == 3
    assert run("eval", "absent.keras", "--data", "test.npz")[0] == 3
    assert run("eval", "test.npz", "--data", "test.npz")[0] == 3
    assert run("eval", name)[0] == 2
    assert run("eval", "-", "--data", "-")[0] == 2
    assert run("eval", name, "--data", "test.npz", "--backend", "abacus")[0] == 1


def test_one_of_several_outputs(run: Run, save: Save) -> None:
    name = save(two_outputs(), "two.snnir")
    x = np.random.default_rng(0).uniform(0, 1, (50, 3)).astype(np.float32)
    np.savez("test.npz", x=x, y=x.argmin(1))
    code, _, err = run("eval", name, "--data", "test.npz")
    assert (code, "--labels-of" in err) == (1, True)
    code, out, _ = run("eval", name, "--data", "test.npz", "--labels-of", "smallest")
    assert (code, out[:18]) == (0, "accuracy 100.00 % ")


def test_a_backend_that_cannot_record_gives_accuracy_alone(
    run: Run, name: str, install: Install
) -> None:
    source = """
from snnir.errors import CapabilityError, Diagnostic
from snnir.runtime.reference import ReferenceBackend
class Backend(ReferenceBackend):
    def prepare(self, model, **options):
        prepared = super().prepare(model, **options)
        inner = prepared.run
        def run(inputs, *, steps=None, record=()):
            if record:
                raise CapabilityError(Diagnostic("run.capability", "record", "some", "none"))
            return inner(inputs, steps=steps)
        prepared.run = run
        return prepared
"""
    install(source, backends={"blind": "acme:Backend"})
    report = json.loads(run("eval", name, "--data", "test.npz", "--backend", "blind", "--json")[1])
    assert report["spikes"] is None and report["accuracy"] > 0.5
    assert "spikes" not in run("eval", name, "--data", "test.npz", "--backend", "blind")[1]


def test_a_true_process(name: str) -> None:
    found = snnir_process(
        "eval", "-", "--data", Path("test.npz").resolve(), stdin=Path(name).read_bytes()
    )
    assert found.returncode == 0 and found.stdout.startswith(b"accuracy ")


def test_a_model_with_more_than_a_classifier(run: Run, save: Save) -> None:
    name = save(digits(), "digits.snnir")
    x = np.zeros((4, 2, 2, 1), np.uint8)
    np.savez("d.npz", image=x, y=np.zeros(4, int))
    assert run("eval", name, "--data", "d.npz", "--labels-of", "class")[0] == 0


def test_a_keras_file_has_the_accuracy_in_its_name(run: Run, save: Save) -> None:
    pytest.importorskip("h5py")
    images = mnist()
    save(spotter(), "m.snnir")
    x = (images.test_x / np.float32(255)).reshape(-1, 784)
    np.savez("mnist.npz", x=x, y=images.test_y)
    path = shared("keras/snntb_mnist_mlp_98.15.keras")
    assert read(path).graph.outputs
    code, out, _ = run("eval", path, "--data", "mnist.npz")
    assert (code, out.split(" (")[0]) == (0, "accuracy 98.15 %")
