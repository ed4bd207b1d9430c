"""``snnir quantise``, and ``snnir info --target loihi2``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.ir.builder import GraphBuilder
from snnir.ir.digest import digest
from snnir.passes.quantise import QuantiseOptions, quantise
from tests.cli.conftest import Run, Save
from tests.cli.helpers import digits
from tests.passes.test_quantise import recurrent, spikes


def classifier() -> snnir.Model:
    """A network of ReLUs."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("relu")
    x = b.input("image", [6])
    weight = rng.normal(0, 0.5, (6, 10)).astype("f4")
    hidden = b.ann.ReLU(b.ann.Dense(x, weight=weight, name="first"), name="hidden")
    logits = b.ann.Dense(hidden, weight=rng.normal(0, 0.5, (10, 3)).astype("f4"), name="logits")
    b.output("class", b.ann.Softmax(logits), labels=["a", "b", "c"])
    return b.build()


def data(path: Path, *, labels: bool = True) -> str:
    x = np.random.default_rng(1).uniform(0, 1, (40, 6)).astype(np.float32)
    y = snnir.run(classifier(), x)["class"].argmax(1)
    np.savez(path, x=x, **({"y": y} if labels else {}))
    return str(path)


@pytest.mark.parametrize("bits", [8, 6, 4])
@pytest.mark.parametrize("scale", ["max", "mse", "power-of-two"])
def test_it_writes_what_the_pass_makes(run: Run, save: Save, bits: int, scale: str) -> None:
    source = save(recurrent(), "in.snnir")
    code, out, _ = run("quantise", source, "-o", "out.snnir", "--bits", str(bits), "--scale", scale)
    assert (code, out) == (0, "")
    expected, _ = quantise(recurrent(), options=QuantiseOptions(bits, scale))  # type: ignore[arg-type]
    found = snnir.load("out.snnir")
    assert snnir.check(found) == []
    assert digest(found) == digest(expected)
    assert digest(snnir.load(source)) == digest(recurrent()), "the masters are untouched"


def test_the_report_compares_floats_integers_and_the_chip(
    run: Run, save: Save, tmp_path: Path
) -> None:
    source, samples = save(classifier(), "in.snnir"), data(tmp_path / "data.npz")
    code, out, err = run(
        "quantise", source, "-o", "out.snnir", "--calibration", samples, "--report"
    )
    assert (code, out) == (0, "")
    for word in ("clipped", "rounding", "headroom", "float", "int8", "loihi2", "sigma-delta"):
        assert word in err
    assert "100.00 %" in err
    code, out, _ = run(
        "quantise", source, "-o", "out.snnir", "--calibration", samples, "--json", "--bits", "4"
    )
    report = json.loads(out)
    assert code == 0 and report["bits"] == 4
    assert [row["form"] for row in report["quality"]] == ["float", "int4", "loihi2"]
    assert report["quality"][0]["accuracy"] == 1
    assert all(0 <= row["accuracy"] <= 1 for row in report["quality"])
    assert [layer["node"] for layer in report["layers"]] == ["first", "logits"]


def test_labels_are_optional(run: Run, save: Save, tmp_path: Path) -> None:
    source, samples = save(classifier(), "in.snnir"), data(tmp_path / "x.npz", labels=False)
    code, out, _ = run("quantise", source, "-o", "out.snnir", "--calibration", samples, "--json")
    assert code == 0
    rows = json.loads(out)["quality"]
    assert [row["accuracy"] for row in rows] == [None] * 3
    assert rows[1]["agreement"] > 0.9


def test_a_model_that_the_chip_cannot_run_is_quantised_all_the_same(
    run: Run, save: Save, tmp_path: Path
) -> None:
    model = recurrent()
    model.graph.nodes["cells"].attributes["reset"] = "subtract"
    np.savez(tmp_path / "spikes.npz", x=spikes())
    code, _, err = run(
        "quantise", save(model, "in.snnir"), "-o", "out.snnir",
        "--calibration", tmp_path / "spikes.npz",
    )  # fmt: skip
    assert code == 0 and Path("out.snnir").exists()
    assert "node 'cells' (snn.LIF): reset 'subtract'" in err


def test_quiet_says_nothing(run: Run, save: Save, tmp_path: Path) -> None:
    source, samples = save(classifier(), "in.snnir"), data(tmp_path / "data.npz")
    arguments = ("quantise", source, "-o", "out.snnir", "--calibration", samples, "--report", "-q")
    assert run(*arguments) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--bits", "5"), 2, "invalid choice"),
        (("--scale", "guess"), 2, "invalid choice"),
        (("--calibration", "missing.npz"), 3, "file.unreadable"),
    ],
)
def test_wrong_usage(
    run: Run, save: Save, arguments: tuple[str, ...], code: int, text: str
) -> None:
    source = save(classifier(), "in.snnir")
    found, _, err = run("quantise", source, "-o", "out.snnir", *arguments)
    assert found == code and text in err
    assert not Path("out.snnir").exists()


def test_bad_models_and_data_leave_nothing(run: Run, save: Save, tmp_path: Path) -> None:
    broken = classifier()
    broken.graph.nodes["first"].parameters["weight"] = snnir.Tensor.from_array(
        np.full((6, 10), np.nan, np.float32)
    )
    no_weights = GraphBuilder()
    no_weights.output("y", no_weights.ann.ReLU(no_weights.input("x", [2])))
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, x=np.zeros((3, 7), np.float32))
    for source, extra, text in (
        (save(broken, "nan.snnir"), (), "value.not-finite"),
        (save(no_weights.build(), "none.snnir"), (), "quantise.nothing"),
        (save(classifier(), "in.snnir"), ("--calibration", wrong), "run.input"),
    ):
        code, _, err = run("quantise", source, "-o", "out.snnir", *extra)
        assert code == 1 and text in err, err
        assert not Path("out.snnir").exists()


def test_json_and_model_cannot_share_standard_output(run: Run, save: Save) -> None:
    code, _, err = run("quantise", save(classifier(), "in.snnir"), "-o", "-", "--json")
    assert code == 2 and "standard output" in err


# Resources -----------------------------------------------------------------------------------


def test_info_of_a_model_that_is_lowered_first(run: Run, save: Save, tmp_path: Path) -> None:
    source, samples = save(classifier(), "in.snnir"), data(tmp_path / "data.npz")
    code, out, err = run("info", source, "--target", "loihi2", "--calibration", samples, "--json")
    assert code == 0 and "sigma-delta" in err
    report = json.loads(out)
    assert [layer["neurons"] for layer in report["layers"]] == [10, 3]
    assert all(layer["operations"] > 0 for layer in report["layers"])
    assert report["samples"] == 40
    assert {limit["what"]: limit["estimate"] for limit in report["limits"]} == {
        "neurons of a chip": False,
        "synapses of a chip": False,
        "cores of a chip": True,
        "delay in steps": False,
    }
    code, out, _ = run("info", source, "--target", "loihi2", "--calibration", samples)
    assert code == 0 and "estimates" in out and "hidden" in out


def test_info_of_a_spiking_model_needs_no_samples(run: Run, save: Save) -> None:
    code, out, _ = run("info", save(recurrent(), "in.snnir"), "--target", "loihi2", "--json")
    layers = json.loads(out)["layers"]
    assert code == 0
    assert [(layer["node"], layer["neurons"]) for layer in layers] == [
        ("cells", 20),
        ("readout", 4),
    ]
    assert layers[0]["axons"] == 12 + 20
    assert layers[0]["messages"] is None


def test_info_says_what_does_not_fit(run: Run, save: Save) -> None:
    code, _, err = run("info", save(classifier(), "in.snnir"), "--target", "loihi2")
    assert code == 1 and "calibration" in err
    code, _, err = run("info", save(digits(), "digits.snnir"), "--target", "loihi2")
    assert code == 1 and "loihi2.unsupported" in err
    code, _, err = run("info", save(classifier(), "in.snnir"), "--calibration", "x.npz")
    assert code == 2 and "--target" in err
