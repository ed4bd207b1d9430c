"""snnir run."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.cli.run import tolerance
from snnir.ir.model import Close, Exact, Rate, SpikeShift, Tolerance
from tests.cli.conftest import Install, Run, Save
from tests.cli.helpers import (
    assert_golden,
    digits,
    images,
    snnir_process,
    with_unknown_operator,
)
from tests.converters.forging import archive, dense, input_layer, sequential, weights_file


@pytest.fixture
def name(save: Save) -> str:
    """The model, with data beside it in every accepted form."""
    model = save(digits(), "m.snnir")
    np.save("x.npy", images(5))
    np.savez("x.npz", x=images(5), y=np.arange(5))
    np.savez_compressed("named.npz", image=np.asfortranarray(images(5)), x=np.zeros(3))
    return model


def arrays(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file}


# Results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["x.npy", "x.npz", "named.npz"])
def test_outputs_are_written_under_their_names(run: Run, name: str, data: str) -> None:
    assert run("run", name, "--input", data, "-o", "out.npz") == (0, "", "")
    expected = snnir.run(digits(), images(5))
    found = arrays("out.npz")
    assert set(found) == {"class", "block/spikes"}
    for key, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[key])


def test_recorded_values_keep_the_name_that_was_asked_for(run: Run, name: str) -> None:
    record = ["h:v", "block/recurrent:y", "fc1", "class"]
    options = [option for key in record for option in ("--record", key)]
    assert run("run", name, "--input", "x.npy", "-o", "out.npz", *options)[0] == 0
    expected = snnir.run(digits(), images(5), record=record)
    found = arrays("out.npz")
    assert set(found) == {*record, "block/spikes"}
    for key in record:
        np.testing.assert_array_equal(found[key], expected[key])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("data", ["x.npy", "named.npz"])
def test_the_batch_size_does_not_change_the_file(run: Run, name: str, data: str, size: int) -> None:
    run("run", name, "--input", "x.npy", "-o", "whole.npz", "--record", "h:v")
    code, _, _ = run(
        *("run", name, "--input", data, "-o", "out.npz", "--record", "h:v"),
        *("--batch-size", size),
    )
    assert code == 0
    assert Path("out.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_limit_and_steps(run: Run, name: str) -> None:
    options = ["--limit", "3", "--batch-size", "2", "--steps", "5", "-v"]
    code, out, err = run("run", name, "--input", "x.npy", "-o", "out.npz", *options)
    assert (code, out, err) == (0, "", "5 steps on backend 'reference'\n")
    assert arrays("out.npz")["block/spikes"].shape == (3, 5, 3)
    run("run", name, "--input", "x.npy", "-o", "out.npz", "--limit", "99")
    assert len(arrays("out.npz")["class"]) == 5


def test_progress_is_shown_on_a_terminal_only(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run", name, "--input", "x.npy", "--batch-size", "2", "-o", "out.npz"]
    assert run(*arguments)[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(*arguments)[2] == ("\rsample 2 of 5\rsample 4 of 5\rsample 5 of 5\r\033[K")
    assert run(*arguments, "-q")[2] == ""


def test_float64(run: Run, name: str) -> None:
    run("run", name, "--input", "x.npy", "-o", "out.npz", "--float64", "--record", "h:v")
    assert arrays("out.npz")["h:v"].dtype == np.float64


def test_several_inputs_and_values_over_time(run: Run, save: Save) -> None:
    b = snnir.GraphBuilder(steps=9)
    one, two = (b.input(key, [3], timing="per_step") for key in ("one", "two"))
    b.output("sum", b.snn.Add([one, two]))
    name = save(b.build(), "m.snnir")
    data = {key: np.full((4, 6, 3), value, np.float32) for key, value in (("one", 1), ("two", 2))}
    np.savez("data.npz", **data)
    assert run("run", name, "--input", "data.npz", "-o", "out.npz", "--batch-size", "3")[0] == 0
    np.testing.assert_array_equal(arrays("out.npz")["sum"], np.full((4, 6, 3), 3, np.float32))

    np.savez("data.npz", one=data["one"])
    code, _, err = run("run", name, "--input", "data.npz")
    assert code == 3
    assert "found:   'one'" in err
    assert "allowed: arrays 'one', 'two'" in err
    np.savez("data.npz", one=data["one"], two=data["two"][:3])
    code, _, err = run("run", name, "--input", "data.npz")
    assert code == 1
    assert "[3, 4] samples" in err
    np.save("one.npy", data["one"])
    assert "an .npz file with arrays one, two" in run("run", name, "--input", "one.npy")[2]


def test_a_summary_is_printed_where_no_file_is_asked_for(run: Run, name: str) -> None:
    np.save("many.npy", images(12))
    code, out, err = run("run", name, "--input", "many.npy")
    assert (code, err) == (0, "")
    assert_golden("run.txt", out)


def test_a_summary_as_json(run: Run, name: str) -> None:
    code, out, _ = run("run", name, "--input", "x.npy", "--json", "-o", "out.npz")
    report = json.loads(out)
    assert code == 0
    counts = arrays("out.npz")["class"]
    assert (report["steps"], report["file"], report["backend"]) == (8, "out.npz", "reference")
    result = report["results"]["class"]
    assert result["shape"] == [5, 3]
    assert result["mean"] == pytest.approx(counts.mean())
    labels = digits().graph.outputs[0].labels
    assert result["largest"] == [
        {"index": index, "label": labels[index]} for index in counts.argmax(axis=1).tolist()
    ]
    assert "largest" in report["results"]["block/spikes"]


def test_data_from_stdin_and_results_to_stdout(name: str) -> None:
    done = snnir_process(
        "run", Path(name).resolve(), "--input", "-", "-o", "-", stdin=Path("x.npz").read_bytes()
    )
    assert (done.returncode, done.stderr) == (0, b"")
    with np.load(io.BytesIO(done.stdout)) as file:
        np.testing.assert_array_equal(file["class"], snnir.run(digits(), images(5))["class"])


SOURCE = """
import numpy as np
from snnir.ops.schema import Flow, OpDef, Port

OPERATORS = [
    OpDef(
        domain="acme",
        name="Clock",
        summary="A spike in every step.",
        formula="spikes = 1",
        flow=Flow.PER_STEP,
        inputs=(),
        outputs=(Port("spikes", "1."),),
        infer=lambda context: [(2,)],
        step=lambda bound, inputs, state: (np.ones((bound.batch, 2), bound.dtype),),
    )
]
"""


def test_a_model_without_inputs_needs_no_data(run: Run, save: Save, install: Install) -> None:
    install(SOURCE, ops={"acme": "acme:OPERATORS"})
    b = snnir.GraphBuilder(steps=5)
    b.output("count", b.snn.SpikeCount(b.domain("acme").Clock(name="clock")))
    name = save(b.build(), "m.snnir")
    assert run("run", name, "-o", "out.npz", "--record", "clock") == (0, "", "")
    found = arrays("out.npz")
    np.testing.assert_array_equal(found["count"], [[5, 5]])
    assert found["clock"].shape == (1, 5, 2)
    assert run("run", name, "--example", "first", "--in-place", "-q")[0] == 0
    assert run("verify", name)[0] == 0


# Wrong use -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the model has inputs image: give --input"),
        (["--input", "x.npy", "--in-place"], "belong to --example"),
        (["--input", "x.npy", "--tolerance", "exact"], "belong to --example"),
        (["--input", "x.npy", "--example", "e"], "either -o MODEL or --in-place"),
        (["--input", "x.npy", "--example", "e", "-o", "m", "--in-place"], "either -o"),
        (["--input", "x.npy", "--json", "-o", "-"], "cannot both go to standard output"),
        (["--input", "x.npy", "--tolerance", "about"], "'about' is not exact, spikes:STEPS"),
        (["--input", "x.npy", "--limit", "-1"], "not a whole number above 0"),
    ],
)
def test_wrong_use(run: Run, name: str, options: list[str], message: str) -> None:
    code, out, err = run("run", name, *options)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]


def test_stdin_is_not_read_twice(run: Run) -> None:
    assert run("run", "-", "--input", "-")[0] == 2
    assert run("run", "-", "--input", "x.npy", "--example", "e", "--in-place")[0] == 2


def test_binary_results_are_not_written_to_a_terminal(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = run("run", name, "--input", "x.npy", "-o", "-")
    assert (code, out) == (2, "")
    assert "name a file" in err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--record", "nothing"], "run.record"),
        (["--record", "h:w"], "run.record"),
        (["--backend", "nothing"], "plugin.unknown"),
    ],
)
def test_what_the_model_does_not_have(run: Run, name: str, options: list[str], code: str) -> None:
    status, out, err = run("run", name, "--input", "x.npy", "-o", "out.npz", *options)
    assert (status, out) == (1, "")
    assert f"[{code}]" in err
    assert not Path("out.npz").exists()


def test_an_operator_that_is_not_installed(run: Run, save: Save) -> None:
    name = save(with_unknown_operator(digits()), "m.snnir")
    np.save("x.npy", images(1))
    code, out, err = run("run", name, "--input", "x.npy")
    assert (code, out) == (1, "")
    assert "[op.not-executable]" in err
    assert "nowhere.Neuron" in err


# Data files ----------------------------------------------------------------------------------


def npy_header(text: str, version: int = 1) -> bytes:
    header = text.encode() + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + len(header).to_bytes(2, "little") + header


def npz(member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


def saved(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


GOOD = saved(images(5))
HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776, 2, 2, 1), }"

BAD_DATA = {
    "empty": b"",
    "text": b"1 2 3\n",
    "pickle": b"\x80\x04K\x01.",
    "object array": saved(np.array([{}, 1], object)),
    "strings": saved(["a", "b"]),
    "records": saved(np.zeros(3, [("a", "f4")])),
    "complex": saved(np.zeros(3, complex)),
    "a single number": saved(3.0),
    "cut": GOOD[:-1],
    "cut in the header": GOOD[:20],
    "magic only": GOOD[:6],
    "huge": npy_header(HUGE),
    "huge in an archive": npz("x.npy", npy_header(HUGE)),
    "negative": npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 2), }"),
    "nested": npy_header("(" * 9000),
    "not a header": npy_header("__import__('os').abort()"),
    "bad dtype": npy_header("{'descr': 'zz', 'fortran_order': False, 'shape': (1,), }"),
    "unknown version": npy_header(HUGE, 9),
    "not an archive": b"PK\x03\x04" + bytes(100),
    "empty archive": npz("x.npy", b""),
    "no such array": npz("z.npy", GOOD),
    "member is no array": npz("x.npy", b"hello"),
    "member is cut": npz("x.npy", GOOD[:-1]),
    "archive is cut": npz("x.npy", GOOD)[:-30],
}


@pytest.mark.parametrize("content", BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_is_exit_code_3(run: Run, name: str, content: bytes) -> None:
    Path("bad").write_bytes(content)
    code, out, err = run("run", name, "--input", "bad", "-o", "out.npz")
    assert (code, out) == (3, "")
    assert "[file.data]" in err
    assert "data file 'bad'" in err
    assert not Path("out.npz").exists()


def test_every_flipped_byte_of_an_archive_is_noticed_or_harmless(run: Run, name: str) -> None:
    np.savez("good.npz", x=images(1))
    good = Path("good.npz").read_bytes()
    for position in range(0, len(good), 3):
        data = bytearray(good)
        data[position] ^= 0x21
        Path("bad").write_bytes(data)
        assert run("run", name, "--input", "bad")[0] in (0, 1, 3)


def test_a_header_that_python_2_wrote_is_read_without_a_warning(run: Run, name: str) -> None:
    header = npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (5L, 2L, 2L, 1L), }")
    Path("old.npy").write_bytes(header + images(5).tobytes())
    assert run("run", name, "--input", "old.npy") == run("run", name, "--input", "x.npy")


def test_an_absent_data_file(run: Run, name: str) -> None:
    for path in ("nothing.npz", "."):
        code, _, err = run("run", name, "--input", path)
        assert code == 3
        assert "[file.unreadable]" in err


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((3, 2, 2), np.uint8), "shape [3, 2, 2] in data file 'bad.npy'"),
        (np.zeros((3, 4, 4, 1), np.uint8), "shape [3, 4, 4, 1] in data file 'bad.npy'"),
        (np.zeros((3, 2, 2, 1), np.int64), "NumPy type int64"),
        (np.zeros((0, 2, 2, 1), np.uint8), "no sample"),
    ],
)
def test_data_that_does_not_fit_the_model(
    run: Run, name: str, array: np.ndarray, found: str
) -> None:
    np.save("bad.npy", array)
    code, out, err = run("run", name, "--input", "bad.npy")
    assert (code, out) == (1, "")
    assert "[run.input]" in err
    assert found in err


# Writing -------------------------------------------------------------------------------------


def test_results_replace_a_file_whole_or_not_at_all(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out.npz").write_bytes(b"precious")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array", full)
    before = sorted(Path().iterdir())
    code, _, err = run("run", name, "--input", "x.npy", "-o", "out.npz")
    assert code == 3
    assert "[file.unwritable]" in err
    assert "no space left on device" in err
    assert Path("out.npz").read_bytes() == b"precious"
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("target", [".", "nowhere/out.npz"])
def test_results_that_cannot_be_written(run: Run, name: str, target: str) -> None:
    code, _, err = run("run", name, "--input", "x.npy", "-o", target)
    assert code == 3
    assert "[file.unwritable]" in err
    assert f"file '{target}'" in err


# Examples ------------------------------------------------------------------------------------


def test_a_run_is_kept_as_an_example(run: Run, name: str) -> None:
    before = Path(name).read_bytes()
    options = ["--example", "first", "--limit", "2", "--record", "h:v", "--steps", "6"]
    code, out, err = run("run", name, "--input", "x.npy", *options, "-o", "new.snnir")
    assert (code, out) == (0, "")
    assert err == "example 'first' stored; `snnir verify new.snnir` replays it\n"
    assert Path(name).read_bytes() == before
    example = snnir.load("new.snnir").examples["first"]
    assert example.steps == 6
    assert example.inputs["image"].shape == (2, 2, 2, 1)
    assert set(example.expected) == {"class", "block/spikes", "h:v"}
    assert all(expected.tolerance == Exact() for expected in example.expected.values())
    assert run("verify", "new.snnir")[0] == 0
    assert run("check", "new.snnir")[0] == 0


def test_an_example_in_place(run: Run, name: str) -> None:
    options = ["--example", "first", "--tolerance", "close:0.5", "--in-place"]
    assert run("run", name, "--input", "x.npz", *options, "-q") == (0, "", "")
    model = snnir.load(name)
    assert snnir.diff(digits(), model)[0].where == "example 'first'"
    assert model.examples["first"].expected["class"].tolerance == Close(0.5)
    code, out, _ = run("run", name, "--input", "x.npz", *options, "--limit", "1", "--json")
    assert code == 0
    assert json.loads(out) == {
        "example": "first",
        "replaced": True,
        "values": ["block/spikes", "class"],
        "file": "m.snnir",
    }
    assert snnir.load(name).examples["first"].inputs["image"].shape[0] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exact", Exact()),
        ("spikes:2", SpikeShift(2)),
        ("rate:0.25", Rate(0.25)),
        ("close:1e-6", Close(1e-6)),
        ("close:1e-6,1e-5", Close(1e-6, 1e-5)),
    ],
)
def test_tolerances(text: str, expected: Tolerance) -> None:
    assert tolerance(text) == expected


@pytest.mark.parametrize(
    "text", ["", "exact:1", "spikes", "spikes:1.5", "rate:", "rate:nan", "close:-1", "close:1,2,3"]
)
def test_what_is_no_tolerance(run: Run, text: str) -> None:
    code, _, err = run("run", "m", "--example", "e", "-o", "x", "--tolerance", text)
    assert code == 2
    assert "close:ABSOLUTE[,RELATIVE]" in err


def test_a_saved_keras_network_runs_too(run: Run, tmp_path: Path, save: Save) -> None:
    weights = weights_file({"dense": (2 * np.eye(3, dtype=np.float32), np.ones(3, np.float32))})
    save(digits(), "other.snnir")
    archive(Path("net.keras"), sequential(input_layer(3), dense("dense", 3)), weights)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save("x.npy", x)
    assert run("run", "net.keras", "--input", "x.npy", "-o", "out.npz") == (0, "", "")
    ((_, found),) = arrays("out.npz").items()
    np.testing.assert_array_equal(found, 2 * x + 1)
    before = Path("net.keras").read_bytes()
    example = ["run", "net.keras", "--input", "x.npy", "--example", "e"]
    assert run(*example, "--in-place")[0] == 3
    assert Path("net.keras").read_bytes() == before
    assert run(*example, "-o", "ann.snnir")[0] == 0
    assert run("verify", "ann.snnir")[0] == 0
