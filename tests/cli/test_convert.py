"""snnir convert."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.cli.convert import numbers
from snnir.conversion import convert
from tests.cli.conftest import Install, Run, Save
from tests.cli.helpers import assert_golden, snnir_process
from tests.conversion.nets import refused, spots, spotter
from tests.data import mnist, shared
from tests.test_targets import PLUGIN

IMAGES, LABELS = spots(400)
PIXELS = IMAGES / np.float32(255)


@pytest.fixture
def name(save: Save) -> str:
    """A network that does not spike yet, and data."""
    np.savez("train.npz", x=PIXELS, y=LABELS)
    np.savez("raw.npz", x=IMAGES, y=LABELS)
    return save(spotter(), "ann.snnir")


BASE = ("-o", "out.snnir", "--calibration", "train.npz")


def test_a_spiking_network_and_its_report(run: Run, name: str) -> None:
    options = ["--method", "data-norm", "--steps", "6", "--report", "r.json"]
    code, out, err = run("convert", name, *BASE, *options)
    assert (code, err) == (0, "wrote 'out.snnir' (target snnir)\n")
    assert_golden("convert.txt", out)
    model, report = convert(name, calibration=PIXELS, labels=LABELS, method="data-norm", steps=6)
    assert snnir.digest(snnir.load("out.snnir")) == snnir.digest(model)
    assert json.loads(Path("r.json").read_text()) == json.loads(json.dumps(report.to_json()))
    assert run("verify", "out.snnir")[0] == 0


def test_json(run: Run, name: str) -> None:
    code, out, err = run("convert", name, *BASE, "--json", "--steps", "2")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["file"], found["target"], found["report"]["steps"]) == ("out.snnir", "snnir", 2)


def test_options_reach_the_conversion(run: Run, name: str) -> None:
    options = ["--method", "data-norm", "--percentile", "99", "--per-layer", "--steps", "8"]
    options += ["--encoder", "poisson", "--decoder", "spike-count", "--seed", "7"]
    assert run("convert", name, *BASE, *options)[0] == 0
    model, _ = convert(
        name,
        calibration=PIXELS,
        method="data-norm",
        percentile=99.0,
        per_channel=False,
        encoder="poisson",
        decoder="spike-count",
        seed=7,
        steps=8,
    )
    assert snnir.digest(snnir.load("out.snnir")) == snnir.digest(model)


def test_the_smallest_number_of_steps(run: Run, name: str) -> None:
    code, out, _ = run("convert", name, *BASE, "--target-drop", "0.5")
    assert code == 0 and "tried: 1: drop" in out
    options = ["--method", "data-norm", "--percentile", "0", "--target-drop", "0.5"]
    Path("out.snnir").unlink()
    code, out, err = run("convert", name, *BASE, *options)
    assert (code, out) == (1, "")
    assert "[convert.target-drop]" in err and "points at best" in err
    assert not Path("out.snnir").exists()


def test_raw_images(run: Run, name: str) -> None:
    options = ["--calibration", "raw.npz", "--steps", "4", "-o", "out.snnir"]
    code, _, err = run("convert", name, *options)
    assert code == 0 and "saturated" in err and "--input-scale 1/255" in err
    code, _, err = run(
        "convert", name, *options, "--input-scale", "1/255", "--input-dtype", "uint8"
    )
    assert (code, err) == (0, "wrote 'out.snnir' (target snnir)\n")
    found = json.loads(run("eval", "out.snnir", "--data", "raw.npz", "--json")[1])
    assert found["accuracy"] >= 0.99
    assert run("convert", name, *options, "--input-scale", "1,2,3")[0] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1/255", 1 / 255), ("0.5", 0.5), ("-1e-3", -1e-3), ("1,2/4,3", [1, 0.5, 3])],
)
def test_numbers_and_fractions(text: str, expected: object) -> None:
    np.testing.assert_array_equal(numbers(text), expected)


def test_a_model_through_standard_input_and_output(name: str) -> None:
    data = Path("train.npz").resolve()
    arguments = ["convert", "-", "-o", "-", "--calibration", data, "--steps", "2"]
    found = snnir_process(*arguments, stdin=Path(name).read_bytes())
    assert (found.returncode, found.stderr) == (0, b"")
    assert snnir.loads(found.stdout).time.steps == 2


def test_progress_is_shown_on_a_terminal_only(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\r" not in run("convert", name, *BASE, "--steps", "2")[2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    err = run("convert", name, *BASE, "--steps", "2")[2]
    steps = [f"\rcalibrating layer {n} of 5" for n in range(1, 6)]
    assert err.startswith("".join(steps) + "\r\033[K\rmeasuring sample ")
    assert "\r" not in run("convert", name, *BASE, "--steps", "2", "-q")[2]


@pytest.mark.parametrize(
    ("scale", "offset"), [("-1/2", "-0.25"), ("-.5", "-1e-1"), ("-1,-1", "-0.5,-0.5")]
)
def test_numbers_below_zero(run: Run, save: Save, scale: str, offset: str) -> None:
    """As arguments of their own: argparse takes them for options."""
    np.savez("train.npz", x=np.random.default_rng(0).uniform(0, 1, (120, 2)))
    b = snnir.GraphBuilder()
    b.output("y", b.ann.ReLU(b.input("x", [2])))
    name = save(b.build(), "two.snnir")
    options = ["--steps", "2", "--input-scale", scale, "--input-offset", offset]
    assert run("convert", name, *BASE, *options)[0] == 0
    entry = snnir.load("out.snnir").graph.inputs[0]
    assert entry.scale is not None and entry.offset is not None
    np.testing.assert_allclose(entry.scale.values(), numbers(scale), rtol=1e-6)
    np.testing.assert_allclose(entry.offset.values(), numbers(offset), rtol=1e-6)


# Targets -------------------------------------------------------------------------------------


def test_a_target_by_name_or_ending(run: Run, name: str, install: Install) -> None:
    install(PLUGIN, targets={"listing": "acme:TARGET"})
    assert run("convert", name, *BASE, "--steps", "2")[0] == 0
    for options in (["--to", "listing", "-o", "a.txt"], ["-o", "a.list"]):
        code, out, err = run("convert", "out.snnir", *options, "-O", "note=n", "-O", "width=2")
        assert (code, out, err) == (1, "", err)
        assert "[run.capability]" in err and "logits.decoder" in err
        assert not Path(options[-1]).exists()


def test_options_of_a_target(run: Run, save: Save, install: Install) -> None:
    install(PLUGIN, targets={"listing": "acme:TARGET"})
    b = snnir.GraphBuilder(steps=1)
    cells = b.snn.IF(b.input("x", [1], timing="per_step"), name="a")
    b.output("y", b.snn.SpikeCount(cells, name="c"))
    name = save(b.build(), "tiny.snnir")
    options = ["--to", "listing", "-o", "a.list"]
    assert run("convert", name, *options, "-O", "width=2")[0] == 0
    assert Path("a.list").read_text() == "{'width': 2}a c"
    code, out, _ = run("convert", name, *options, "-O", "help")
    assert code == 0 and "width   a whole number  10       Longest name." in out
    assert json.loads(run("convert", name, *options, "-O", "help", "--json")[1])["options"]
    code, out, err = run("convert", name, *options, "-O", "wide=2")
    assert (code, out) == (2, "") and "width=VALUE, note=VALUE" in err
    assert "has no options" in run("convert", name, "-o", "b.snnir", "-O", "help")[1]


def test_a_target_that_does_not_exist(run: Run, name: str) -> None:
    code, out, err = run("convert", name, *BASE, "--to", "abacus")
    assert (code, out) == (1, "") and "[plugin.unknown]" in err


def test_a_spiking_model_needs_no_calibration(run: Run, name: str) -> None:
    run("convert", name, *BASE, "--steps", "2")
    code, out, err = run("convert", "out.snnir", "-o", "again.snnir")
    assert (code, out, err) == (0, "", "wrote 'again.snnir' (target snnir)\n")
    assert Path("again.snnir").read_bytes() == Path("out.snnir").read_bytes()
    code, _, err = run("convert", "out.snnir", "-o", "again.snnir", "--steps", "4")
    assert code == 2 and "spikes already: --steps" in err


# Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-o", "out.snnir"], "give --calibration"),
        (["--calibration", "train.npz"], "-o/--output"),
        ([*BASE, "--steps", "0"], "above 0"),
        ([*BASE, "--steps", "4", "--bits", "4"], "not allowed with"),
        ([*BASE, "--steps", "4", "--target-drop", "1"], "not allowed with"),
        ([*BASE, "--percentile", "99"], "with method data-norm"),
        ([*BASE, "--percentile", "nan"], "not a number"),
        ([*BASE, "--method", "magic"], "invalid choice"),
        ([*BASE, "--input-scale", "1/0"], "numbers separated by commas"),
        ([*BASE, "--input-scale", "a"], "numbers separated by commas"),
        ([*BASE, "--seed", "-1"], "not a whole number"),
        ([*BASE, "--input-offset", "-1/0"], "numbers separated by commas"),
        ([*BASE, "--bits", "17"], "1 to 16"),
        ([*BASE, "-o", "-", "--json"], "only one of"),
        ([*BASE, "-O", "a=1"], "no option"),
        (["-o", "./ann.snnir", "--calibration", "train.npz"], "OUT is SRC"),
    ],
)
def test_wrong_usage(run: Run, name: str, options: list[str], text: str) -> None:
    code, out, err = run("convert", name, *options)
    assert (code, out) == (2, "")
    assert text in err
    assert not Path("out.snnir").exists()


LINKS = {"same": None, "symbolic": os.symlink, "hard": os.link}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    ("first", "second", "options"),
    [
        ("SRC", "OUT", ("ann.snnir", "train.npz", "ONE", None)),
        ("SRC", "the report", ("ann.snnir", "train.npz", "out.snnir", "ONE")),
        ("the calibration data", "OUT", ("ann.snnir", "train.npz", "ONE", None)),
        ("the calibration data", "the report", ("ann.snnir", "train.npz", "out.snnir", "ONE")),
        ("OUT", "the report", ("ann.snnir", "train.npz", "there.snnir", "ONE")),
    ],
)
def test_no_file_is_overwritten_that_is_read_or_written_besides(
    run: Run,
    name: str,
    link: str,
    first: str,
    second: str,
    options: tuple[str, str, str, str | None],
) -> None:
    Path("there.snnir").write_bytes(b"precious")
    one = {"SRC": name, "the calibration data": "train.npz", "OUT": "there.snnir"}[first]
    make = LINKS[link]
    other = f"./{one}" if make is None else "link"
    if make is not None:
        make(one, "link")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    source, data, out, report = (other if given == "ONE" else given for given in options)
    arguments = ["convert", str(source), "--calibration", str(data), "-o", str(out), "--steps", "2"]
    code, _, err = run(*arguments, *(["--report", report] if report else []))
    assert code == 2 and f"{second} is {first}" in err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_out_and_report_of_one_name_that_is_not_there_yet(run: Run, name: str) -> None:
    code, _, err = run("convert", name, *BASE, "--report", "./out.snnir")
    assert code == 2 and "the report is OUT" in err and not Path("out.snnir").exists()


@pytest.mark.parametrize(
    ("arrays", "exit_code", "text"),
    [
        ({"y": LABELS}, 3, "array 'image' or 'x'"),
        ({"x": PIXELS, "y": LABELS[:9]}, 1, "9 of 'y'"),
        ({"x": PIXELS, "y": LABELS + 4}, 1, "4 to 7"),
        ({"x": PIXELS[:, :5]}, 1, "[400, 5, 6, 1]"),
        ({"x": PIXELS[:0]}, 1, "no sample"),
        ({"x": np.full_like(PIXELS, np.inf)}, 1, "infinite"),
        ({"x": np.array(["a", "b"])}, 3, "numbers"),
        ({"x": np.array([None, {}])}, 3, "array"),
    ],
)
def test_bad_data(
    run: Run, name: str, arrays: dict[str, np.ndarray], exit_code: int, text: str
) -> None:
    np.savez("bad.npz", **arrays)
    code, out, err = run("convert", name, "-o", "out.snnir", "--calibration", "bad.npz")
    assert (code, out) == (exit_code, "")
    assert text in err
    assert not Path("out.snnir").exists()


@pytest.mark.parametrize(
    "content", [None, b"", b"text", b"PK\x03\x04 zip", b"\x89HDF\r\n\x1a\n" + bytes(99)]
)
def test_a_bad_source(run: Run, name: str, content: bytes | None) -> None:
    if content is not None:
        Path("bad.keras").write_bytes(content)
    code, out, err = run("convert", "bad.keras", *BASE)
    assert (code, out) == (3, "")
    assert "bad.keras" in err and not Path("out.snnir").exists()


ZIP = b"PK\x03\x04"
HDF5 = b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize(
    ("file", "content", "texts"),
    [
        ("net.keras", ZIP + b"cut off", ["[keras.archive]"]),
        ("net.keras", b"text", ["[keras.not-keras]", "a .keras archive"]),
        ("net.h5", HDF5 + bytes(99), ["[hdf5.malformed]"]),
        ("NET.H5", HDF5, ["[hdf5.malformed]"]),
        ("net.model", HDF5 + bytes(99), ["[file.unknown-format]", ".snnir, .keras, .h5", "HDF5"]),
        ("net.txt", b"three layers", ["[file.unknown-format]", ".snnir, .keras, .h5"]),
        ("net.keras", b"\x0dsnnir1 and no more", ["[keras.not-keras]"]),
    ],
)
def test_a_bad_source_is_explained_by_what_reads_it(
    run: Run, name: str, file: str, content: bytes, texts: list[str]
) -> None:
    pytest.importorskip("h5py")
    Path(file).write_bytes(content)
    code, out, err = run("convert", file, *BASE)
    assert (code, out) == (3, "")
    for text in texts:
        assert text in err


def test_weights_alone_and_damaged_archives_say_what_to_do(run: Run, name: str) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File("net.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros(3)
    assert "Save the whole model" in run("convert", "net.weights.h5", *BASE)[2]
    with zipfile.ZipFile("net.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("../config.json", "{}")
    assert "a path that leaves the archive" in run("convert", "net.keras", *BASE)[2]


def test_all_unsupported_layers_are_named(run: Run, save: Save) -> None:
    np.savez("train.npz", x=PIXELS)
    name = save(refused(), "ann.snnir")
    code, out, err = run("convert", name, *BASE, "--method", "calibrated")
    assert (code, out) == (1, "")
    assert_golden("convert_refused.txt", err)


def test_an_output_that_cannot_be_written_is_said_before_the_work(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("snnir.conversion.pipeline.convert_model", work)
    Path("folder").mkdir()
    for options in (
        ["-o", "no/out.snnir"],
        ["-o", "folder"],
        ["-o", "out.snnir", "--report", "no/r.json"],
    ):
        code, out, err = run("convert", name, "--calibration", "train.npz", *options)
        assert (code, out) == (3, "")
        assert "[file.unwritable]" in err
    if os.geteuid():
        Path("folder").chmod(0o500)
        options = ["-o", "folder/out.snnir", "--calibration", "train.npz"]
        assert run("convert", name, *options)[0] == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_report_that_cannot_be_written_leaves_no_out(run: Run, name: str) -> None:
    code, out, err = run("convert", name, *BASE, "--steps", "2", "--report", "/dev/full")
    assert (code, out) == (3, "") and "[file.unwritable]" in err
    assert not Path("out.snnir").exists()


def test_a_target_that_refuses_leaves_no_report(run: Run, name: str, install: Install) -> None:
    install(PLUGIN, targets={"listing": "acme:TARGET"})
    before = sorted(Path().iterdir())
    options = ["--to", "listing", "--steps", "2", "--report", "r.json"]
    assert run("convert", name, *BASE, *options)[0] == 1
    assert sorted(Path().iterdir()) == before


def test_a_report_on_standard_output(name: str) -> None:
    data, out = Path("train.npz").resolve(), Path("out.snnir").resolve()
    arguments = [Path(name).resolve(), "-o", out, "--calibration", data, "--steps", "2"]
    found = snnir_process("convert", *arguments, "--report", "-")
    assert found.returncode == 0 and json.loads(found.stdout)["steps"] == 2 and out.exists()


def test_a_file_that_was_there_stays_if_anything_fails(run: Run, name: str) -> None:
    Path("out.snnir").write_bytes(b"precious")
    np.savez("bad.npz", x=PIXELS[:, :5])
    assert run("convert", name, "-o", "out.snnir", "--calibration", "bad.npz")[0] == 1
    assert Path("out.snnir").read_bytes() == b"precious"
    assert sorted(p.name for p in Path().iterdir()) == sorted(
        ["ann.snnir", "bad.npz", "out.snnir", "raw.npz", "train.npz"]
    )


def test_without_h5py_the_install_command_is_given(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that has no h5py: the package is hidden by one that cannot be found."""
    pytest.importorskip("h5py")
    path = shared("keras/snntb_mnist_mlp_98.15.keras")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['h5py'] = None\n")
    (tmp_path / "net.model").write_bytes(HDF5 + bytes(99))
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    for source in (path, tmp_path / "net.model"):
        found = snnir_process(
            "convert",
            source,
            *("-o", tmp_path / "out.snnir", "--calibration", tmp_path / "train.npz"),
            environment={"PYTHONPATH": places},
        )
        assert found.returncode == 4
        assert b'pip install "snnir[keras]"' in found.stderr


def test_a_keras_file(run: Run, name: str) -> None:
    pytest.importorskip("h5py")
    images = mnist()
    x, test = ((images.train_x[:1000], images.train_y[:1000]), (images.test_x, images.test_y))
    np.savez("mnist.npz", x=x[0].reshape(-1, 784), y=x[1])
    np.savez("test.npz", x=test[0].reshape(-1, 784), y=test[1])
    path = shared("keras/snntb_mnist_mlp_98.15.keras")
    code, out, _ = run(
        *("convert", path, "-o", "mlp.snnir", "--calibration", "mnist.npz"),
        *("--steps", "16", "--input-scale", "1/255", "--input-dtype", "uint8"),
    )
    assert code == 0 and "measured on 744 other samples" in out
    report = json.loads(run("eval", "mlp.snnir", "--data", "test.npz", "--json")[1])
    assert report["accuracy"] >= 0.9805
    assert run("verify", "mlp.snnir")[0] == 0
