"""Writing NetX files: what is written means the same, and what does not fit is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import snnir
from snnir import GraphBuilder
from snnir.errors import CapabilityError, FileError
from snnir.ir.diff import diff
from snnir.ir.graph import Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.plugins import load
from snnir.runtime.backend import find_backend
from snnir_converters.netx import TARGET, read_netx, write_netx
from tests.converters.forging import h5py
from tests.converters.netx.tools import (
    RandomNetwork,
    effective_weights,
    everything,
    random_network,
    recurrent_snn,
    reference,
    relu_network,
)
from tests.data import mnist, shared


def codes(model: Model) -> list[str]:
    """Codes of what does not fit."""
    return [finding.code for finding in TARGET.check(model)]


def node(model: Model, name: str) -> Node:
    return model.graph.nodes[name]


def set_parameter(model: Model, name: str, parameter: str, value: Any) -> None:
    model.graph.nodes[name].parameters[parameter] = Tensor.from_array(np.asarray(value))


# What comes back -----------------------------------------------------------------------------


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 1 << 32))
def test_what_is_written_comes_back(tmp_path: Path, seed: int) -> None:
    model, x = random_network(seed)
    assert [f for f in TARGET.check(model) if f.severity == "error"] == []
    write_netx(model, tmp_path / "a.net")
    found = read_netx(tmp_path / "a.net")
    assert found.findings == ()
    assert found.time == model.time
    assert [*found.graph.nodes] == [*model.graph.nodes]
    # A weight may be held as twice itself with an exponent of one less: what counts is the same.
    ours, theirs = effective_weights(model), effective_weights(found)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    record = everything(model)
    expected = reference(model, x, record)
    for name, array in reference(found, x, record).items():
        assert np.array_equal(array, expected[name]), name
    # What was read is in the loader's own terms, and does not change any more.
    before = (tmp_path / "a.net").read_bytes()
    write_netx(found, tmp_path / "a.net")
    assert (tmp_path / "a.net").read_bytes() == before
    assert diff(read_netx(tmp_path / "a.net"), found) == []


def test_the_loader_gets_numbers_that_it_takes(tmp_path: Path) -> None:
    made = RandomNetwork(0)
    made.feed(6, 5, 2)
    made.conv(4, (3, 3), strides=(2, 1), groups=2)
    made.dense(3)
    write_netx(made.model(), tmp_path / "a.net")
    with h5py().File(tmp_path / "a.net") as file:
        layers = file["layer"]
        assert [layers[str(i)]["type"][0] for i in range(4)] == [
            b"input",
            b"conv",
            b"flatten",
            b"dense",
        ]
        assert layers["0/shape"][()].tolist() == [2, 6, 5]
        assert layers["1/weight"].shape == (4, 1, 3, 3)
        assert layers["1/stride"][()].tolist() == [2, 1]
        assert layers["3/weight"].shape == (3, 4 * 2 * 3)
        for name in ("vThMant", "iDecay", "vDecay"):
            assert layers[f"1/neuron/{name}"].shape == ()
        datasets: list[Any] = []
        file.visititems(lambda _, item: datasets.append(item))
        weights = [d for d in datasets if d.name.endswith(("weight", "bias"))]
        assert all(d.dtype.kind == "i" for d in weights)


def test_dense_layers_of_equal_size_keep_the_axis_of_their_delays(tmp_path: Path) -> None:
    made = RandomNetwork(1)
    made.feed(4)
    made.dense(4, delay="axons")
    model = made.model()
    write_netx(model, tmp_path / "a.net")
    found = node(read_netx(tmp_path / "a.net"), "layer1/synapse").parameters["delay"].numpy()
    expected = node(model, "layer1/synapse").parameters["delay"].numpy()
    assert found.tolist() == expected.tolist()


def test_the_target_is_found() -> None:
    assert load("targets", "netx") is TARGET
    assert TARGET.suffixes == (".net",)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    model, _ = random_network(0)
    TARGET.emit(model, path)
    before = path.read_bytes()
    set_parameter(model, "layer1/neuron", "bias", 4095)
    node(model, "layer1/neuron").attributes["bias_exp"] = 7
    with pytest.raises(CapabilityError):
        TARGET.emit(model, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.net"]
    with pytest.raises(FileError):
        TARGET.emit(random_network(0)[0], tmp_path / "absent" / "a.net")


# What does not fit -----------------------------------------------------------------------------


def dense_model(signs: str = "mixed", **options: Any) -> Model:
    made = RandomNetwork(2)
    made.feed(4)
    made.dense(3, signs=signs, **options)
    return made.model()


def change(name: str, parameter: str, value: Any) -> Callable[[Model], None]:
    return lambda model: set_parameter(model, name, parameter, value)


def attribute(name: str, key: str, value: Any) -> Callable[[Model], None]:
    return lambda model: model.graph.nodes[name].attributes.update({key: value})


SYNAPSE, NEURON = "layer1/synapse", "layer1/neuron"


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (change(SYNAPSE, "weight", np.zeros((4, 3), np.int8)), "netx.weights"),
        (attribute(SYNAPSE, "weight_exp", 3), "netx.weights"),
        (attribute(SYNAPSE, "weight_exp", -3), "netx.weights"),
        (change(NEURON, "threshold", np.array([1, 2, 3])), "netx.unsupported"),
        (change(NEURON, "v_decay", np.array([1, 2, 3])), "netx.unsupported"),
        (attribute(NEURON, "bias_exp", 0), "netx.range"),
        (change(NEURON, "threshold", 1 << 17), "value.range"),
        (attribute(SYNAPSE, "start_step", 1), "convert.start-step"),
        (attribute(NEURON, "start_step", 1), "convert.start-step"),
    ],
)
def test_values_that_do_not_fit(edit: Callable[[Model], None], code: str) -> None:
    model = dense_model()
    assert codes(model) == []
    edit(model)
    assert code in codes(model)


@pytest.mark.parametrize("k", range(7))
def test_constant_negative_powers_of_two_are_refused(k: int) -> None:
    model = dense_model("negative")
    weight = np.full((4, 3), -(1 << k) * 2, np.int16)
    set_parameter(model, SYNAPSE, "weight", weight)
    assert codes(model) == ["netx.weights"]
    set_parameter(model, SYNAPSE, "weight", weight + 2 if k else weight - 2)
    assert codes(model) == (["netx.weights"] if k in (0, 1) else [])


def test_a_bias_of_another_exponent_is_written_where_that_is_exact(tmp_path: Path) -> None:
    model = dense_model()
    set_parameter(model, NEURON, "bias", np.array([8, -16, 24]))
    node(model, NEURON).attributes["bias_exp"] = 3
    write_netx(model, tmp_path / "a.net")
    found = node(read_netx(tmp_path / "a.net"), NEURON).parameters["bias"].numpy()
    assert found.tolist() == [1, -2, 3]


def test_delays_of_recurrent_layers_are_refused() -> None:
    model = dense_model(recurrent=True, delay="synapses")
    assert codes(model) == ["netx.unsupported"]
    model = dense_model(recurrent=True)
    set_parameter(model, "layer1/recurrent", "delay", np.int8(3))
    assert codes(model) == ["netx.unsupported"]


def test_an_exponent_of_one_part_of_a_recurrent_layer_is_that_of_both() -> None:
    model = dense_model(recurrent=True)
    node(model, "layer1/recurrent").attributes["weight_exp"] = 0
    # Twice the weights: no longer within 8 bits next to odd ones.
    assert codes(model) == ["netx.weights"]


def test_layers_that_netx_cannot_have() -> None:
    made = RandomNetwork(0)
    made.feed(4)
    made.drive("SigmaDelta")
    made.dense(3, operator="Delta")
    assert codes(made.model()) == ["netx.unsupported", "netx.unsupported"]


def test_more_groups_than_lava_counts() -> None:
    made = RandomNetwork(0)
    made.feed(2, 2, 128)
    made.conv(128, (1, 1), groups=128, bias="")
    assert codes(made.model()) == ["netx.range"]


def test_messages_have_six_fraction_bits() -> None:
    made = RandomNetwork(0)
    made.feed(4)
    made.drive("Delta")
    model = made.model()
    node(model, NEURON).attributes["spike_exp"] = 5
    assert codes(model) == ["netx.unsupported"]


def _two_inputs(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    first = loihi.Dense(x.delayed(1), weight=_EYE, name="a")
    second = loihi.Dense(x.delayed(1), weight=_EYE, name="b")
    return loihi.CubaLIF([first, second], i_decay=4096, v_decay=0, threshold=3)


def _skip(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    first = _neurons(loihi, loihi.Dense(x.delayed(1), weight=_EYE))
    second = _neurons(loihi, loihi.Dense(first.delayed(1), weight=_EYE))
    third = _neurons(loihi, loihi.Dense(first.delayed(1), weight=_EYE))
    b.output("other", third)
    return second


def _two_chains(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    y = b.input("other", [2], timing="per_step", dtype="int32")
    b.output("second", _neurons(loihi, loihi.Dense(y.delayed(1), weight=_EYE)))
    return _neurons(loihi, loihi.Dense(x.delayed(1), weight=_EYE))


def _no_latency(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    return _neurons(loihi, loihi.Dense(x, weight=_EYE))


def _late_neurons(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    return _neurons(loihi, loihi.Dense(x.delayed(1), weight=_EYE).delayed(1))


def _shared_synapse(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    current = loihi.Dense(x.delayed(1), weight=_EYE)
    b.output("current", current)
    return _neurons(loihi, current)


def _other_order(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    image = b.input("image", [1, 2, 1], timing="per_step", dtype="int32")
    first = _neurons(loihi, image)
    return _neurons(loihi, loihi.Dense(loihi.Flatten(first).delayed(1), weight=_EYE))


def _through_the_host(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    first = _neurons(loihi, loihi.Dense(x.delayed(1), weight=_EYE))
    back = loihi.Quantize(loihi.Dequantize(first))
    return _neurons(loihi, loihi.Dense(back.delayed(1), weight=_EYE))


def _no_neurons(b: GraphBuilder, x: Any, loihi: Any) -> Any:
    return loihi.Dense(x.delayed(1), weight=_EYE)


_EYE = np.array([[2, 4], [-6, 8]], np.int8)


def _neurons(loihi: Any, current: Any) -> Any:
    return loihi.CubaLIF(current, i_decay=4096, v_decay=0, threshold=3)


@pytest.mark.parametrize(
    "make",
    [
        _two_inputs,
        _skip,
        _two_chains,
        _no_latency,
        _late_neurons,
        _shared_synapse,
        _other_order,
        _through_the_host,
        _no_neurons,
    ],
)
def test_anything_but_a_chain_is_refused(make: Any) -> None:
    b = GraphBuilder(steps=4)
    x = b.input("x", [2], timing="per_step", dtype="int32")
    b.output("y", make(b, x, b.domain("loihi2")))
    found = codes(b.build())
    assert "netx.chain" in found
    assert set(found) <= {"netx.chain", "netx.host"}


def test_what_the_host_does_is_said() -> None:
    b = GraphBuilder(steps=4)
    loihi = b.domain("loihi2")
    image = b.input("image", [2], dtype="uint8", scale=1 / 255)
    fed = loihi.Quantize(b.snn.ConstantCurrent(image), scale=10.0)
    sent = _neurons(loihi, loihi.Dense(fed.delayed(1), weight=_EYE))
    b.output("class", b.snn.SpikeCount(loihi.Dequantize(sent)), labels=["a", "b"])
    findings = TARGET.check(b.build())
    assert {finding.code for finding in findings} == {"netx.host"}
    assert [finding.where for finding in findings] == ["graph", "input 'image'", "output 'class'"]
    assert "'quantize1'" in findings[0].found


# From other domains ------------------------------------------------------------------------------


def test_networks_of_relus_become_sigma_delta_networks(tmp_path: Path) -> None:
    model, samples = relu_network()
    ready = TARGET.prepare(model, samples, {}).model
    assert [f for f in TARGET.check(ready) if f.severity == "error"] == []
    TARGET.emit(ready, tmp_path / "a.net", bits=8)
    kinds = [n.operator for n in read_netx(tmp_path / "a.net").graph.nodes.values()]
    assert kinds == ["Dense", "SigmaDelta", "Dense", "Sigma"]
    expected = find_backend().prepare(model).run(samples)["y"]
    found = find_backend().prepare(ready).run(samples)["y"]
    # 8 bits: half a level of 127 in each of 8 products of at most 1, and of the 6 before.
    assert np.abs(found - expected).max() < 0.05


def test_trained_recurrent_networks_are_carried_over(tmp_path: Path) -> None:
    ready = TARGET.prepare(recurrent_snn(), None, {"bits": 6}).model
    TARGET.emit(ready, tmp_path / "a.net")
    found = read_netx(tmp_path / "a.net")
    assert [n.operator for n in found.graph.nodes.values()] == [
        "Dense",
        "CubaLIF",
        "Dense",
        "Dense",
        "CubaLI",
    ]


def test_a_model_of_loihi2_stays_as_it_is() -> None:
    model, _ = random_network(0)
    assert TARGET.prepare(model, None, {}).model is model


def test_settings_from_text() -> None:
    settings = {setting.name: setting for setting in TARGET.options}
    assert settings["bits"].parse("4") == 4
    assert settings["scale"].parse("mse") == "mse"
    assert settings["steps"].parse("32") == 32
    assert settings["approximate"].parse("hard-reset,early-bias") == ("hard-reset", "early-bias")
    wrong = {"bits": "9", "scale": "best", "steps": "0", "approximate": "everything"}
    for name, text in wrong.items():
        with pytest.raises(ValueError):
            settings[name].parse(text)
    with pytest.raises(CapabilityError, match="'colour'"):
        TARGET.prepare(relu_network()[0], None, {"colour": 1})


def test_a_keras_network_goes_to_the_chip_in_one_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--to netx` and `--to loihi2` start from the original, and say what they did."""
    from snnir.cli.main import main

    path = shared("keras/snntb_mnist_mlp_98.15.keras")
    images = mnist()
    np.savez(tmp_path / "x.npz", x=images.train_x[:200].reshape(200, 784))
    chip, net = tmp_path / "chip.snnir", tmp_path / "chip.net"
    common = ["--calibration", str(tmp_path / "x.npz"), "--input-scale", "1/255"]
    common += ["--input-dtype", "uint8", "-O", "bits=8"]
    for target, out in (("loihi2", chip), ("netx", net)):
        report = tmp_path / f"{target}.json"
        arguments = ["convert", str(path), "-o", str(out), "--to", target, *common]
        assert main([*arguments, "--report", str(report)]) == 0
        assert "sigma-delta" in capsys.readouterr().out
        assert json.loads(report.read_text())["target"]["route"] == "sigma-delta"
    lowered = snnir.load(chip)
    x = images.test_x[:1000].reshape(1000, 784)
    found = snnir.run(lowered, x)[lowered.graph.outputs[0].name].argmax(1)
    assert (found == images.test_y[:1000]).mean() > 0.97
    synapses = [node for node in read_netx(net).graph.nodes.values() if node.op == "loihi2.Dense"]
    expected = [node for node in lowered.graph.nodes.values() if node.op == "loihi2.Dense"]
    for ours, theirs in zip(expected, synapses, strict=True):
        weights = [
            node.parameters["weight"].numpy().astype(float)
            * 2.0 ** int(node.attributes.get("weight_exp", 0))  # type: ignore[arg-type]
            for node in (ours, theirs)
        ]
        assert np.array_equal(*weights)
    assert main(["convert", str(path), "-o", str(net), *common, "--steps", "8"]) == 2
    assert "makes its own network" in capsys.readouterr().err
