"""Lava's fixed-point simulation against the reference: every spike and every state.

What Lava computes is the origin: the reference and the reader have to agree with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snnir import GraphBuilder
from snnir.errors import CapabilityError, MissingDependency, RunError
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.plugins import load
from snnir.runtime.backend import Backend, Prepared, find_backend
from snnir.runtime.verify import make_example, verify
from snnir_converters.lava import LavaBackend, _backend, _process
from snnir_converters.lava._process import LavaProcess, stop_lava
from snnir_converters.lava._worker import Job
from snnir_converters.netx import TARGET, read_netx, write_netx
from snnir_converters.netx._target import describe
from tests.converters.netx.tools import (
    CUBA,
    RELU,
    RandomNetwork,
    conv,
    dense,
    everything,
    input_layer,
    netx_file,
    random_network,
    recurrent_snn,
    reference,
    relu_network,
)
from tests.data import shared

Array = npt.NDArray[Any]


def _installed() -> bool:
    try:
        _process.require_lava()
    except MissingDependency:
        return False
    return True


needs_lava = [
    pytest.mark.lava,
    pytest.mark.skipif(not _installed(), reason="needs lava-nc and lava-dl, hence CPython 3.10"),
]


def assert_equal_in_lava(model: Model, x: Array, record: list[str] | None = None) -> dict[str, Any]:
    """Run a model in Lava and by the reference; return what both recorded."""
    names = everything(model) if record is None else record
    expected = reference(model, x, names)
    found = find_backend("lava").prepare(model).run(x, record=names)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert np.count_nonzero(found[name] != array) == 0, name
    return expected


# Networks ------------------------------------------------------------------------------------

pytestmark = needs_lava


@pytest.mark.parametrize("seed", range(5))
def test_networks_of_every_kind(seed: int) -> None:
    model, x = random_network(seed)
    recorded = assert_equal_in_lava(model, x[:, :8])
    assert np.count_nonzero(recorded["output"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 50))
def test_many_networks(seed: int) -> None:
    model, x = random_network(seed)
    assert_equal_in_lava(model, x)


@pytest.mark.slow
def test_oxford_and_tiny() -> None:
    model = read_netx(shared("netx/oxford.net"))
    x = np.load(shared("netx/oxford_in.npy")).T[np.newaxis, :300].astype(np.int32)
    spikes = assert_equal_in_lava(model, x, ["layer1/neuron", "layer2/neuron"])
    assert spikes["layer1/neuron"].sum() > 100
    model = read_netx(shared("netx/tiny.net"))
    bias = np.load(shared("netx/tinynet__input_bias.npy")).transpose(1, 0, 2).astype(np.int32)
    images = np.stack([bias, bias // 2, bias[::-1]])
    x = np.repeat(images[:, np.newaxis], 16, axis=1)
    assert assert_equal_in_lava(model, x)["output"].sum() > 0


@pytest.mark.slow
def test_states_at_the_ends_of_their_ranges() -> None:
    # u wraps around beyond 24 bits, v saturates, and thresholds are hardly in reach.
    made = RandomNetwork(7, steps=60)
    made.feed(40)
    made.dense(6, signs="positive", even=True, bias=False)
    made.dense(4, bias=True)
    model = made.model()
    for name in ("layer1/neuron", "layer2/neuron"):
        parameters = model.graph.nodes[name].parameters
        for key, value in {"i_decay": 0, "v_decay": 0, "threshold": 131071}.items():
            tensor = parameters[key]
            parameters[key] = type(tensor).from_array(np.int32(value))
    recorded = assert_equal_in_lava(model, made.spikes(rate=0.9))
    u, v = recorded["layer1/neuron:u"], recorded["layer1/neuron:v"]
    assert (np.diff(u, axis=1) < -(1 << 23)).any()
    assert (v == -(1 << 23) + 1).any() or recorded["layer1/neuron"].any()


# Files as others write them ------------------------------------------------------------------

WEIGHT = np.array([[60, -41, 52], [71, 80, -100]])

FILES: dict[str, list[dict[str, Any]]] = {
    "fractions and floats": [dense(WEIGHT + 0.7, bias=np.array([3.9, -2.9]))],
    "flat weights": [{**dense(WEIGHT), "weight": WEIGHT.reshape(-1)}],
    "a bias for all": [dense(WEIGHT, bias=np.array([7]))],
    "delays of outputs": [dense(WEIGHT, delay=np.array([2, 0]))],
    "delays of inputs": [dense(WEIGHT, delay=np.array([2, 0, 5]))],
    "one delay": [dense(WEIGHT, delay=3)],
    "constant -128": [dense(np.full((2, 3), -128)), dense([[9, -4]])],
    "-64 and 0": [dense([[-64, 0, -64], [-64, -64, 0]], bias=np.array([90, 80]))],
    "clipped weights": [dense([[300, -300, 8], [50, 60, -20]])],
    "sparse weights": [dense([[0, 0, 64], [0, 96, 0]])],
    "no neurons": [dense(WEIGHT), dense([[5, -9], [2, 3]], None)],
    "recurrent": [dense(WEIGHT, type=b"dense_rec", weight_rec=np.array([[3, -70], [50, 9]]))],
    "recurrent of one sign": [
        dense(WEIGHT, type=b"dense_rec", weight_rec=np.array([[3, 70], [50, 9]]))
    ],
    "lists of one": [dense(WEIGHT, {**CUBA, "vThMant": np.array([64]), "iDecay": np.array([0])})],
    "kernels": [
        input_layer(1, 3, 1),
        conv(
            np.array([[-40, 70], [33, 50]]).reshape(2, 1, 2, 1, 1),
            (2, 4, 1),
            padding=np.array([1, 0]),
            bias=np.arange(8).reshape(1, 4, 2) * 9,
        ),
        {"type": b"flatten"},
        dense([[5, 60, -7, 8, 3, 2, 1, 90]]),
    ],
    "an early flatten": [
        input_layer(1, 3, 1, neuron={**CUBA, "vThMant": 3}),
        {"type": b"flatten"},
        conv(np.array([[60], [70]]).reshape(2, 1, 1, 1), (2, 3, 1)),
        dense([[5, 60, -7, 8, 3, 2]]),
    ],
    "sigma-delta": [
        input_layer(3, neuron={"type": "SDNN", "vThMant": 0}),
        dense(WEIGHT, RELU, bias=np.array([3, -2])),
        dense([[64, -32]], {"type": "SDNN", "sigma_output": True}),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_what_the_loader_makes_of_a_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = netx_file(tmp_path / "a.net", *FILES[name])
    model = read_netx(path)
    shape = model.graph.inputs[0].type.shape
    x = np.random.default_rng(1).integers(0, 2, (1, 16, *shape)).astype(np.int32)  # type: ignore[arg-type]

    # Lava gets the file itself rather than what this library writes.
    def copy(target: Path, content: object, extra: str) -> None:
        target.write_bytes(path.read_bytes())

    # That is refused where the loader would once more change the weights that it has changed.
    monkeypatch.setattr(_backend, "describe", lambda model: replace(describe(model), findings=[]))
    monkeypatch.setattr(_backend, "write_hdf5", copy)
    assert_equal_in_lava(model, x)


def test_odd_weights_beyond_127_stay_in_the_simulation_only(
    tmp_path: Path,
) -> None:
    # 9 bits: no chip has them, so they are an error rather than what the simulation does.
    with pytest.raises(Exception, match="9 bits"):
        read_netx(netx_file(tmp_path / "a.net", dense([[201, -3]])))


# Runs ----------------------------------------------------------------------------------------


def test_samples_do_not_see_each_other() -> None:
    made = RandomNetwork(3, steps=6)
    made.feed(5)
    made.dense(4, delay="synapses", recurrent=False)
    made.dense(3, recurrent=True)
    model, x = made.model(), made.spikes(samples=3, rate=0.6)
    lava = find_backend("lava").prepare(model)
    together = lava.run(x)["output"]
    alone = np.concatenate([lava.run(x[i : i + 1])["output"] for i in range(3)])
    assert together.any()
    assert np.array_equal(together, alone)
    assert np.array_equal(together, reference(model, x, [])["output"])


def test_runs_in_turns_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = random_network(0)
    monkeypatch.setattr("snnir_converters.lava._backend.MAX_ELEMENTS", 1)
    assert_equal_in_lava(model, x[:, :4], [])


def host_model() -> Model:
    b = GraphBuilder(steps=12)
    loihi = b.domain("loihi2")
    image = b.input("image", [4], dtype="uint8", scale=1 / 255)
    fed = loihi.Quantize(b.snn.ConstantCurrent(image), scale=40.0, name="fed")
    first = loihi.CubaLIF(fed, i_decay=4096, v_decay=100, threshold=30, name="first")
    weight = np.random.default_rng(0).integers(-60, 100, (4, 3)) * 2
    current = loihi.Dense(first.delayed(1), weight=weight.astype(np.int16), weight_exp=-1)
    sent = loihi.CubaLIF(current, i_decay=4096, v_decay=100, threshold=30, name="sent")
    counts = b.snn.SpikeCount(loihi.Dequantize(sent, name="numbers"), name="counts")
    b.output("class", counts, labels=["a", "b", "c"])
    b.output("spikes", sent)
    return b.build()


def test_the_host_does_its_part() -> None:
    model = host_model()
    x = np.random.default_rng(2).integers(0, 256, (3, 4), dtype=np.uint8)
    record = ["fed", "first", "sent:v", "numbers", "image"]
    recorded = assert_equal_in_lava(model, x, record)
    assert recorded["class"].sum() > 0
    assert recorded["class"].shape == (3, 3)


def test_a_trained_recurrent_network_and_graded_input() -> None:
    rng = np.random.default_rng(1)
    model = TARGET.prepare(recurrent_snn(), None, {}).model
    spikes = (rng.random((2, model.time.steps, 20)) < 0.3).astype(np.float32)
    recorded = assert_equal_in_lava(model, spikes, ["cells", "readout"])
    assert recorded["cells"].sum() > 20
    network, samples = relu_network()
    model = TARGET.prepare(network, samples, {}).model
    # The first message of an input is a number: as a spike it would count as 1.
    assert_equal_in_lava(model, samples["x"][:3], [])


def test_verification_runs_in_lava() -> None:
    model = host_model()
    x = np.full((1, 4), 200, np.uint8)
    model.examples["one"] = make_example(model, x)
    assert verify(model, backend="lava").passed


def test_the_backend_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load("backends", "lava")
    assert isinstance(found, Backend) and found.name == "lava"
    assert isinstance(found.prepare(host_model()), Prepared)
    for options in ({"speed": 1}, {"timeout": 0}, {"timeout": "long"}):
        with pytest.raises(CapabilityError):
            found.prepare(host_model(), **options)
    monkeypatch.setattr(_process, "PACKAGES", {"no-such-lava": "1"})
    with pytest.raises(MissingDependency, match="--no-deps lava-dl"):
        LavaBackend().prepare(host_model())


def test_what_lava_cannot_run_is_refused() -> None:
    model = host_model()
    model.graph.nodes["sent"].attributes["bias_exp"] = 1
    model.graph.nodes["sent"].parameters["bias"] = Tensor.from_array(np.int8(1))
    with pytest.raises(CapabilityError, match=r"netx\.range"):
        LavaBackend().prepare(model)
    prepared = LavaBackend().prepare(host_model())
    with pytest.raises(RunError, match="within a synapse"):
        prepared.run(np.zeros((1, 4), np.uint8), record=["dense1"])


PROGRAM = """
import sys
import numpy as np
from snnir_converters.lava._worker import load_netx

hdf5 = load_netx()
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io

x = np.load("x.npy")
samples, steps, features = x.shape
net = hdf5.Network("a.net", reset_interval=steps, reset_offset=1)
layers = len(net)
total = samples * steps + layers
line = np.zeros((features, total), np.int32)
line[:, : samples * steps] = x.reshape(-1, features).T
source = io.source.RingBuffer(data=line)
source.s_out.connect(net.inp)
sink = io.sink.RingBuffer(shape=net.out.shape, buffer=total)
net.out.connect(sink.a_in)
net.run(RunSteps(num_steps=total), Loihi2SimCfg(select_tag="fixed_pt"))
found = sink.data.get()[:, layers:].T.reshape(samples, steps, -1)
net.stop()
np.save("y.npy", found)
"""
"""How samples follow each other on a chip: by Lava's own interval and a window that is late by the
number of layers."""


@pytest.mark.slow
def test_lavas_own_reset_interval_gives_layers_that_do_not_wait(tmp_path: Path) -> None:
    made = RandomNetwork(11, steps=15)
    made.feed(6)
    made.dense(8)
    made.dense(5, even=True)
    made.dense(3, signs="positive")
    model, x = made.model(), made.spikes(samples=6, rate=0.5)
    write_netx(model, tmp_path / "a.net")
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    # Each layer starts with the sample's first step: as if connections took no time.
    for node in model.graph.nodes.values():
        node.inputs = [binding._replace(delay_steps=0) for binding in node.inputs]
    expected = reference(model, x, [])["output"]
    assert expected.any()
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)


# What goes wrong -----------------------------------------------------------------------------


def test_an_error_in_one_of_lavas_processes_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    # A kernel for fewer channels than there are: only the process that convolves notices.
    made = RandomNetwork(0)
    made.feed(4, 4, 2)
    made.conv(2, (2, 2), groups=2)
    model = made.model()
    write = _backend.write_hdf5

    def damaged(path: Path, content: Any, extra: str) -> None:
        write(path, {**content, "layer/1/groups": 1}, extra=extra)

    monkeypatch.setattr(_backend, "write_hdf5", damaged)
    prepared = LavaBackend().prepare(model, timeout=60)
    started = time.monotonic()
    with pytest.raises(RunError, match=r"lava\.failed.*IndexError"):
        prepared.run(made.spikes())
    assert time.monotonic() - started < 40
    monkeypatch.undo()
    assert_equal_in_lava(model, made.spikes()[:, :3], [])


def test_an_error_of_the_loader_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = random_network(0)
    monkeypatch.setattr(
        _backend,
        "write_hdf5",
        lambda path, content, extra: netx_file(path, dense([[0, 0]])),
    )
    with pytest.raises(RunError, match="OverflowError"):
        LavaBackend().prepare(model).run(x)


def shared_memory(group: int) -> set[str]:
    """Files of shared memory that the processes of a group have."""
    found: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(maps.parent.name)) == group:
                found |= set(re.findall(r"/dev/shm/\S+", maps.read_text()))
    return found


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs /dev/shm")
def test_nothing_is_left_in_shared_memory(tmp_path: Path) -> None:
    netx_file(tmp_path / "net.net", dense([[5, -3]]))
    np.save(tmp_path / "inputs.npy", np.zeros((1, 1_000_000, 2), np.int32))
    job = Job(message_bits=0, drives_neurons=False, record=((0, "s"),))
    (tmp_path / "job.json").write_text(json.dumps(asdict(job)))
    process = LavaProcess()
    failures: list[RunError] = []

    def run() -> None:
        try:
            process.run(tmp_path, 60)
        except RunError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while not (used := shared_memory(process.group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.group, signal.SIGTERM)
    thread.join()
    assert used and failures
    assert not shared_memory(process.group)
    assert not [path for path in used if Path(path).exists()]


def test_lava_is_ended_when_it_takes_too_long() -> None:
    process = LavaProcess()
    model, x = random_network(0)
    with pytest.raises(RunError, match=r"lava\.timeout"):
        LavaBackend().prepare(model, timeout=0.01).run(x)
    assert process.is_running
    process.stop()
    assert not process.is_running


def test_the_program_itself_never_has_lava_in_it() -> None:
    import multiprocessing

    model, x = random_network(0)
    assert_equal_in_lava(model, x[:, :2], [])
    assert "lava" not in {name.partition(".")[0] for name in sys.modules}
    assert find_spec("torch") is None or "torch" not in sys.modules
    assert multiprocessing.get_start_method(allow_none=True) in (None, "fork")
    stop_lava()
    stop_lava()
