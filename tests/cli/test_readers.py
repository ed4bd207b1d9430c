"""check, info, print and diff."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import snnir
from snnir.ir.graph import Binding
from snnir.ir.model import TimeBase
from snnir.ir.tensor import MappedBytes, Tensor
from tests.cli.conftest import Install, Run, Save
from tests.cli.helpers import (
    assert_golden,
    digits,
    digits_with_example,
    large,
    with_unknown_operator,
)


@pytest.fixture
def untouchable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes reading any byte of a blob an error."""

    def view(_: MappedBytes) -> memoryview:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(MappedBytes, "view", view)


# check ---------------------------------------------------------------------------------------


def test_check_of_a_valid_model(run: Run, save: Save) -> None:
    assert run("check", save(digits(), "m.snnir")) == (0, "m.snnir: no problems found\n", "")


def test_check_lists_all_findings(run: Run, save: Save) -> None:
    model = digits()
    threshold = np.array([0.5, np.nan, 1], np.float32)
    model.graph.nodes["h"].parameters["threshold"] = Tensor.from_array(threshold)
    model.graph.nodes["count"].attributes["strat"] = 1
    model.graph.nodes["fc1"].inputs.append(Binding("x", "encoder:spikes"))
    with_unknown_operator(model)
    code, out, err = run("check", save(model, "m.snnir"))
    assert (code, err) == (1, "")
    assert_golden("check.txt", out)


def test_check_as_json(run: Run, save: Save) -> None:
    model = digits()
    model.time = TimeBase(1e-3, 0)
    code, out, _ = run("check", save(model, "m.snnir"), "--json")
    report = json.loads(out)
    assert code == 1
    assert (report["valid"], report["errors"], report["warnings"]) == (False, 1, 0)
    assert report["diagnostics"][0]["code"] == "value.time"
    assert report["diagnostics"][0]["where"] == "time base, steps"


def test_warnings_count_as_errors_only_if_strict(run: Run, save: Save) -> None:
    name = save(with_unknown_operator(digits()), "m.snnir")
    assert run("check", name)[0] == 0
    code, out, _ = run("check", name, "--strict")
    assert code == 1
    assert out.splitlines()[-1] == "m.snnir: 1 warning"


def test_check_sees_changed_weights_unless_told_not_to_look(run: Run, save: Save) -> None:
    name = save(large(), "m.snnir")
    path = Path(name)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, out, _ = run("check", name)
    assert code == 1
    assert "[format.blob-digest]" in out
    code, out, _ = run("check", name, "--no-values")
    assert (code, out) == (0, "m.snnir: no problems found (weights were not looked at)\n")


# info ----------------------------------------------------------------------------------------


def test_info(run: Run, save: Save) -> None:
    model = with_unknown_operator(digits_with_example())
    code, out, err = run("info", save(model, "m.snnir"))
    assert (code, err) == (0, "")
    size = Path("m.snnir").stat().st_size
    assert f"m.snnir, {size / 1000:.3g} kB" in out
    assert_golden("info.txt", out.replace(f"{size / 1000:.3g} kB", "SIZE"))


def test_info_as_json(run: Run, save: Save) -> None:
    model = with_unknown_operator(digits_with_example())
    code, out, _ = run("info", save(model, "m.snnir"), "--json", "--digest")
    report = json.loads(out)
    assert code == 0
    assert report["file"] == {"name": "m.snnir", "bytes": Path("m.snnir").stat().st_size}
    assert report["format_version"] == 1
    assert report["producer"] == {"name": "golden", "version": "1.0"}
    assert report["opsets"] == {"ann": 1, "nowhere": 3, "snn": 1}
    assert report["missing_domains"] == ["nowhere"]
    assert report["time"] == {"dt": 0.001, "steps": 8}
    assert report["inputs"] == [
        {
            "name": "image",
            "type": {"dtype": "uint8", "shape": [2, 2, 1], "timing": "static"},
            "layout": "HWC",
        }
    ]
    assert report["outputs"][0] == {
        "name": "class",
        "value": "count:y",
        "type": {"dtype": "float32", "shape": [3], "timing": "static"},
        "labels": ["zero", "one", "two"],
    }
    assert report["nodes"]["count"] == 7
    assert report["nodes"]["by_operator"]["snn.Dense"] == 2
    tensors = [t for node in model.graph.nodes.values() for t in node.parameters.values()]
    assert report["parameters"] == {
        "tensors": len(tensors),
        "numbers": sum(tensor.size for tensor in tensors),
        "bytes": sum(tensor.nbytes for tensor in tensors),
    }
    assert report["examples"][0]["samples"] == 2
    assert report["digest"] == snnir.digest(model)


def test_info_gives_no_digest_unless_asked(run: Run, save: Save) -> None:
    assert "digest" not in json.loads(run("info", save(digits(), "m.snnir"), "--json")[1])


@pytest.mark.usefixtures("untouchable")
@pytest.mark.parametrize("command", ["info", "print"])
def test_no_weight_is_read(run: Run, save: Save, command: str) -> None:
    code, out, _ = run(command, save(large(), "m.snnir"))
    assert code == 0
    assert "float32[64] per step" in out


@pytest.mark.parametrize("command", ["info", "print"])
def test_garbage_in_place_of_weights_does_not_matter(run: Run, save: Save, command: str) -> None:
    name = save(large(), "m.snnir")
    expected = run(command, name)
    path = Path(name)
    data = bytearray(path.read_bytes())
    data[-64 * 64 * 4 :] = b"\xff" * (64 * 64 * 4)
    path.write_bytes(data)
    assert run(command, name) == expected


@pytest.mark.parametrize("command", ["info", "print"])
def test_an_invalid_model_is_shown_all_the_same(run: Run, save: Save, command: str) -> None:
    model = digits()
    model.graph.nodes["fc1"].inputs[0] = Binding("x", "h:spikes")  # a cycle without delay
    code, out, err = run(command, save(model, "m.snnir"))
    assert (code, err) == (0, "")
    assert "snn.LIF" in out


@pytest.mark.parametrize("command", ["info", "print"])
def test_a_broken_plugin_does_not_keep_a_model_from_being_shown(
    run: Run, save: Save, install: Install, command: str
) -> None:
    install("raise ValueError('oh')", ops={"nowhere": "acme:OPERATORS"})
    code, out, err = run(command, save(with_unknown_operator(digits()), "m.snnir"))
    assert code == 0
    assert "nowhere.Neuron" in out
    assert "types are not inferred" in err
    assert "ValueError: oh" in err


# print ---------------------------------------------------------------------------------------


def test_print(run: Run, save: Save) -> None:
    model = with_unknown_operator(digits_with_example())
    code, out, err = run("print", save(model, "m.snnir"))
    assert (code, err) == (0, "")
    assert_golden("print.txt", out)


def test_print_with_values_tells_weights_apart(run: Run, save: Save) -> None:
    model = digits()
    before = run("print", save(model, "m.snnir"), "--values")[1]
    weight = model.graph.nodes["fc1"].parameters["weight"].numpy().copy()
    weight[0, 0] += 1
    model.graph.nodes["fc1"].parameters["weight"] = Tensor.from_array(weight)
    after = run("print", save(model, "m.snnir"), "--values")[1]
    changed = [
        (old, new)
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True)
        if old != new
    ]
    assert len(changed) == 1
    assert changed[0][0].startswith("%fc1:y = snn.Dense(")


def test_print_as_json(run: Run, save: Save) -> None:
    name = save(digits(), "m.snnir")
    report = json.loads(run("print", name, "--json")[1])
    assert "\n".join(report["text"]) + "\n" == run("print", name)[1]


# diff ----------------------------------------------------------------------------------------


def changed_digits() -> snnir.Model:
    model = digits()
    nodes = model.graph.nodes
    weight = nodes["fc1"].parameters["weight"].numpy().copy()
    weight[1, 2] += 0.25
    nodes["fc1"].parameters["weight"] = Tensor.from_array(weight)
    nodes["fc1"].source = "dense_2"
    nodes["h"].parameters["decay"] = Tensor.from_array(0.75)
    nodes["h"].attributes.update(compare=">", refractory_mode="hold")
    nodes["h"].inputs[1] = Binding("current", "block/recurrent:y", 3)
    model.time = TimeBase(1e-3, 16)
    model.graph.outputs[0].labels = ("zero", "uno", "two")
    model.graph.outputs.pop()
    model.metadata["dataset"] = "new"
    return with_unknown_operator(model)


def test_diff(run: Run, save: Save) -> None:
    a, b = save(digits(), "a.snnir"), save(changed_digits(), "b.snnir")
    code, out, err = run("diff", a, b)
    assert (code, err) == (1, "")
    assert_golden("diff.txt", out)


def test_diff_of_equal_models(run: Run, save: Save) -> None:
    a, b = save(digits(), "a.snnir"), save(digits(), "b.snnir")
    assert run("diff", a, b) == (0, "no differences\n", "")
    assert json.loads(run("diff", a, b, "--json")[1]) == {"equal": True, "changes": []}


def test_diff_of_what_a_model_means_only(run: Run, save: Save) -> None:
    other = digits()
    other.metadata.clear()
    a, b = save(digits(), "a.snnir"), save(other, "b.snnir")
    code, out, _ = run("diff", a, b)
    assert code == 1
    assert out == ("- metadata 'dataset': \"made up\"\n1 difference; none changes the meaning\n")
    assert run("diff", "--meaning", a, b) == (0, "no differences\n", "")


def test_diff_as_json(run: Run, save: Save) -> None:
    a, b = save(digits(), "a.snnir"), save(changed_digits(), "b.snnir")
    code, out, _ = run("diff", a, b, "--json")
    report = json.loads(out)
    assert code == 1
    assert report["equal"] is False
    assert {
        "where": "node 'h', parameter 'decay'",
        "kind": "changed",
        "before": "0.5",
        "after": "0.75",
        "in_digest": True,
    } in report["changes"]


@pytest.mark.usefixtures("untouchable")
def test_diff_trusts_equal_digests(run: Run, save: Save) -> None:
    a, b = save(large(), "a.snnir"), save(large(), "b.snnir")
    assert run("diff", a, b) == (0, "no differences\n", "")
