"""Reading NetX files: real ones against what was recorded from them, and all variants."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion import read
from snnir.errors import FormatError, MissingDependency, UnsupportedFeature
from snnir.ir.diff import diff
from snnir.ir.model import Model
from snnir.plugins import load
from snnir_converters.netx import FRONTEND, read_netx
from snnir_converters.netx._weights import UnloadableWeights, load_weights
from tests.converters.forging import SMALL, SMALL_WEIGHTS, legacy_file
from tests.converters.netx.tools import (
    CUBA,
    RELU,
    conv,
    dense,
    effective_weights,
    input_layer,
    netx_file,
    reference,
)
from tests.data import mnist, shared

WEIGHT = np.array([[3, -4, 5], [7, 8, -100]])


def codes(model: Model) -> list[str]:
    """Codes of what was found while reading."""
    return [finding.code for finding in model.findings]


def refused(path: Path, **options: Any) -> dict[str, str]:
    """Codes of the errors of a file, with what was found."""
    with pytest.raises((FormatError, UnsupportedFeature)) as caught:
        read_netx(path, **options)
    return {d.code: f"{d.where}: {d.found}" for d in caught.value.diagnostics}


# Real networks -------------------------------------------------------------------------------


def test_oxford_gives_the_recorded_spikes() -> None:
    model = read_netx(shared("netx/oxford.net"))
    x = np.load(shared("netx/oxford_in.npy")).T[np.newaxis].astype(np.int32)
    expected = np.load(shared("netx/oxford_layer0_out.npy")).T
    found = snnir.run(model, x, record=["layer1/neuron"])["layer1/neuron"][0]
    assert expected.sum() == 1826
    assert np.count_nonzero(found != expected) == 0


def test_tiny_gives_the_recorded_currents_and_outputs() -> None:
    # SLAYER recorded it, whose layers do not wait for each other, from its second step on.
    model = read_netx(shared("netx/tiny.net"))
    for node in model.graph.nodes.values():
        node.inputs = [binding._replace(delay_steps=0) for binding in node.inputs]

    def recorded(name: str) -> Any:
        return np.load(shared(f"netx/tinynet__{name}.npy"))[0].transpose(3, 1, 2, 0)[1:]

    bias = np.load(shared("netx/tinynet__input_bias.npy")).transpose(1, 0, 2).astype(np.int32)
    x = np.broadcast_to(bias, (1, 15, *bias.shape))
    values = ["layer1/neuron", "layer2/synapse", "layer2/neuron", "layer3/neuron"]
    found = reference(model, x, values)
    for value, name in zip(values, ["input", "current", "layer1", "output"], strict=True):
        expected = recorded(name)
        assert np.count_nonzero(expected) > 50
        assert np.count_nonzero(found[value][0] != expected) == 0, name
    assert codes(model) == ["netx.ignored", "netx.ignored"]


@pytest.mark.slow
def test_mnist_has_the_accuracy_of_its_training() -> None:
    model = read_netx(shared("netx/mnist_784-128-64-10.net"))
    images, steps = mnist(), 32
    counts = []
    for start in range(0, 10_000, 1000):
        x = images.test_x[start : start + 1000].reshape(-1, 784) / 255
        v, spikes = np.zeros(x.shape), np.zeros((len(x), steps + 3, 784), np.int32)
        for t in range(steps):
            v += x
            spikes[:, t] = v > 1
            v[v > 1] = 0
        counts.append(snnir.run(model, spikes)["output"].sum(axis=1))
    accuracy = np.mean(np.concatenate(counts).argmax(axis=1) == images.test_y)
    assert round(100 * accuracy, 2) == 95.23


# Weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "stored", "exponent", "bits"),
    [
        ([[127, -128, 3]], [[254, -256, 6]], -1, 8),
        ([[254, -256, 2]], [[254, -256, 2]], 0, 8),
        ([[1, -1, 0]], [[128, -128, 0]], -7, 2),
        ([[255, 1, 0]], [[255, 1, 0]], 0, 8),
        ([[-255, -1]], [[-255, -1]], 0, 8),
        ([[-127, -126]], [[-254, -252]], -1, 7),
        ([[64, 64]], [[128, 128]], -1, 1),
        ([[300, -300, 8]], [[254, -256, 8]], 0, 8),
    ],
)
def test_weights_are_shifted_up_as_by_lava(
    weight: Any, stored: Any, exponent: int, bits: int
) -> None:
    loaded = load_weights([np.array(weight)])
    assert loaded.matrices[0].tolist() == stored
    assert (loaded.exponent, loaded.bits) == (exponent, bits)
    assert loaded.changed == sum(abs(w) == 300 for w in weight[0])


@pytest.mark.parametrize(
    ("matrices", "reason"),
    [
        ([[[0, 0]]], "only zeros"),
        ([[[256, 1]]], "exceeds 8 bits"),
        ([[[-300, -1]]], "exceeds 8 bits"),
        ([[[-300, 0]]], "exceeds 8 bits"),
        ([[[201, -1]]], "9 bits"),
        ([[[3, 5]], [[-201, 2]]], "9 bits"),
    ],
)
def test_weights_that_lava_does_not_load(matrices: Any, reason: str) -> None:
    with pytest.raises(UnloadableWeights, match=reason):
        load_weights([np.array(matrix) for matrix in matrices])


@pytest.mark.parametrize("k", range(8))
def test_negative_powers_of_two_are_clipped_by_lava(k: int) -> None:
    # -2**k is shifted to -256, which is not there if no weight is above 0: 255 is cut to 0.
    loaded = load_weights([np.full((2, 3), -(1 << k))])
    assert loaded.matrices[0].tolist() == [[0] * 3] * 2
    assert loaded.changed == 6


# Variants ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["S10", "bytes", "text"])
@pytest.mark.parametrize("size", [(), (1,)])
def test_numbers_and_strings_of_any_encoding(tmp_path: Path, kind: str, size: Any) -> None:
    def text(value: str) -> Any:
        return {"S10": np.array([value.encode()], "S10"), "bytes": value.encode(), "text": value}[
            kind
        ]

    def number(value: int) -> Any:
        return np.full(size, value, np.float32)

    neuron = {
        "type": text("LOIHI"),
        "vThMant": number(64),
        "iDecay": number(1000),
        "vDecay": number(400),
        "refDelay": number(1),
    }
    plain = read_netx(netx_file(tmp_path / "a.net", dense(WEIGHT)))
    other = read_netx(netx_file(tmp_path / "b.net", dense(WEIGHT, neuron, type=text("dense"))))
    assert [str(change) for change in diff(plain, other)] == [
        '~ metadata \'source\': "a.net" -> "b.net"'
    ]


@pytest.mark.parametrize("dtype", ["i1", "i8", "f4", "f8", ">f4"])
def test_weights_of_any_type_and_shape(tmp_path: Path, dtype: str) -> None:
    path = netx_file(
        tmp_path / "a.net", {**dense(WEIGHT), "weight": WEIGHT.astype(dtype).reshape(-1)}
    )
    assert effective_weights(read_netx(path))["layer1/synapse"].tolist() == WEIGHT.T.tolist()


def test_fractions_are_cut_off_as_by_netx(tmp_path: Path) -> None:
    model = read_netx(netx_file(tmp_path / "a.net", dense([[2.7, -2.7], [1, -100.99]])))
    assert effective_weights(model)["layer1/synapse"].T.tolist() == [[2, -2], [1, -100]]
    assert codes(model) == ["netx.fraction"]


def test_kernels_with_an_axis_of_time_and_numbers_for_both_axes(tmp_path: Path) -> None:
    kernel = np.arange(-8, 8).reshape(2, 2, 2, 2)
    plain = conv(kernel, (2, 3, 4), stride=np.array([2, 1]), padding=np.array([1, 0]))
    other = dict(plain, weight=kernel[..., np.newaxis], groups=np.array([1]))
    paths = [
        netx_file(tmp_path / f"{i}.net", input_layer(2, 4, 5), layer)
        for i, layer in enumerate((plain, other))
    ]
    a, b = map(read_netx, paths)
    assert len(diff(a, b)) == 1  # the file's name
    node = a.graph.nodes["layer1/synapse"]
    assert node.attributes == {"strides": (2, 1), "pads": (1, 0)}
    assert node.parameters["weight"].numpy()[0, 1, :, 1].tolist() == kernel[1, :, 0, 1].tolist()


def test_a_layer_without_neurons_sums_up(tmp_path: Path) -> None:
    path = netx_file(tmp_path / "a.net", dense(WEIGHT), dense([[5, -1]], None))
    model = read_netx(path)
    node = model.graph.nodes["layer2/neuron"]
    assert node.op == "loihi2.CubaLI"
    assert codes(model) == ["netx.default"]
    x = np.ones((1, 20, 3), np.int32)
    found = reference(model, x, ["layer1/neuron", "layer2/neuron:u"])
    spikes = found["layer1/neuron"][0]
    assert spikes.sum() > 0
    expected = np.cumsum(64 * spikes @ [5, -1])
    assert found["layer2/neuron:u"][0, 1:, 0].tolist() == expected[:-1].tolist()


def test_thresholds_out_of_reach_are_all_the_same(tmp_path: Path) -> None:
    neuron = {**CUBA, "vThMant": (1 << 18) - 1}
    model = read_netx(netx_file(tmp_path / "a.net", dense(WEIGHT, neuron)))
    assert model.graph.nodes["layer1/neuron"].op == "loihi2.CubaLI"


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (3, 3),
        (np.array([3, 3]), 3),
        (np.array([3, 4]), [[3, 4]]),
        (np.array([0, 4, 62]), [[0], [4], [62]]),
        (np.array([[1, 2, 3], [4, 5, 6]]), [[1, 4], [2, 5], [3, 6]]),
    ],
)
def test_delays_of_outputs_inputs_and_synapses(tmp_path: Path, delay: Any, expected: Any) -> None:
    model = read_netx(netx_file(tmp_path / "a.net", dense(WEIGHT, delay=delay)))
    found = model.graph.nodes["layer1/synapse"].parameters["delay"].numpy()
    assert found.tolist() == expected


def test_delays_are_clipped_as_by_netx(tmp_path: Path) -> None:
    model = read_netx(netx_file(tmp_path / "a.net", dense(WEIGHT, delay=np.array([70, 1, 2]))))
    found = model.graph.nodes["layer1/synapse"].parameters["delay"].numpy()
    assert found.tolist() == [[62], [1], [2]]
    assert codes(model) == ["netx.clipped"]


def test_what_netx_does_not_use_is_reported(tmp_path: Path) -> None:
    neuron = {**CUBA, "refDelay": 2, "gradedSpike": True, "wgtExp": 1, "theta": 1600, "odd": 1}
    layers = [
        input_layer(1, 3, 3),
        conv(np.full((1, 1, 2, 2), 50), (1, 2, 2), delay=np.array([3]), neuron=neuron),
        {"type": b"flatten"},
        dense([[5, -1, 2, 3]], {**CUBA, "vThMant": 100}, strange=np.ones(3)),
    ]
    findings = read_netx(netx_file(tmp_path / "a.net", *layers)).findings
    assert {finding.code for finding in findings} == {"netx.ignored"}
    assert [finding.where for finding in findings] == [
        "layer 1 (conv), 'delay'",
        "layer 1 (conv), neuron, 'odd'",
        "layer 1 (conv), neuron, 'gradedSpike'",
        "layer 1 (conv), neuron, 'refDelay'",
        "layer 1 (conv), neuron, 'wgtExp'",
        "layer 3 (dense), 'strange'",
    ]


def test_images_are_flattened_with_the_channels_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-100, 100, (3, 2 * 3 * 4))
    layers = [input_layer(2, 3, 4, neuron={**RELU, "vThMant": 0}), {"type": b"flatten"}]
    path = netx_file(
        tmp_path / "a.net", *layers, dense(weight, {"type": "SDNN", "sigma_output": 1})
    )
    x = rng.integers(0, 9, (1, 3, 3, 4, 2)).astype(np.int32)
    found = reference(read_netx(path), x, [])["output"][0, -1]
    assert found.tolist() == (64 * weight @ x[0, 1].transpose(2, 0, 1).reshape(-1)).tolist()


def test_a_first_flatten_takes_flat_input(tmp_path: Path) -> None:
    layers = [input_layer(2, 1, 2), {"type": b"flatten"}, dense([[1, 2, 3, -4]])]
    model = read_netx(netx_file(tmp_path / "a.net", *layers))
    assert model.graph.inputs[0].type.shape == (4,)


def test_the_time_base_of_slayer(tmp_path: Path) -> None:
    path = netx_file(tmp_path / "a.net", dense(WEIGHT), simulation={"Ts": 2, "tSample": 64})
    time = read_netx(path).time
    assert (time.dt, time.steps) == (0.002, 64)
    path = netx_file(tmp_path / "b.net", dense(WEIGHT), simulation={"Ts": -1, "tSample": 0.5})
    model = read_netx(path)
    assert (model.time.dt, model.time.steps) == (0.001, 1)
    assert codes(model) == ["netx.ignored", "netx.ignored"]


def test_the_shape_of_the_input_can_be_given(tmp_path: Path) -> None:
    path = netx_file(tmp_path / "a.net", conv(np.full((1, 1, 2, 2), 50), (1, 2, 3)))
    assert "netx.shape" in refused(path)
    assert read_netx(path, input_shape=(3, 4, 1)).graph.inputs[0].type.shape == (3, 4, 1)


def test_the_frontend_is_found_and_recognises_its_files(tmp_path: Path) -> None:
    path = netx_file(tmp_path / "network", dense(WEIGHT))
    assert load("frontends", "netx") is FRONTEND
    assert FRONTEND.recognises(path)
    assert not FRONTEND.recognises(Path(__file__))
    assert not FRONTEND.recognises(netx_file(tmp_path / "empty"))
    assert not FRONTEND.recognises(tmp_path / "absent")
    kinds = [node.op for node in FRONTEND.read(path).graph.nodes.values()]
    assert kinds == ["loihi2.Dense", "loihi2.CubaLIF"]


def test_files_of_several_frontends_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are HDF5: by what they hold, and if that does not tell, by the ending."""
    disguised = netx_file(tmp_path / "network.h5", dense(WEIGHT))
    assert "loihi2.CubaLIF" in {node.op for node in read(disguised).graph.nodes.values()}
    keras = legacy_file(tmp_path / "network.net", SMALL, SMALL_WEIGHTS)
    assert {node.domain for node in read(keras).graph.nodes.values()} == {"ann"}
    damaged = tmp_path / "damaged.net"
    damaged.write_bytes(disguised.read_bytes()[:200])
    with pytest.raises(FormatError, match=r"damaged\.net"):
        read(damaged)
    monkeypatch.setitem(sys.modules, "h5py", None)
    for path, extra in ((damaged, "netx"), (tmp_path / "network.h5", "keras")):
        with pytest.raises(MissingDependency, match=extra):
            read(path)
