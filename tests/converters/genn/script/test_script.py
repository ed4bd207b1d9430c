"""The script of target genn: what is written, and that it runs without snnir as the model does."""

from __future__ import annotations

import ast
import errno
import subprocess
import sys
import tokenize
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

import snnir
from snnir import GraphBuilder
from snnir.cli.main import main
from snnir.errors import CapabilityError, FileError
from snnir.ir.model import Model
from snnir.runtime.backend import find_backend
from snnir.targets import emit, find_target, make_ready
from snnir.testing.random_models import random_inputs, random_model
from snnir_converters.genn._install import require_pygenn
from snnir_converters.genn._models import CPU
from tests.cli.helpers import assert_golden, digits
from tests.converters.genn.script.networks import events, rates
from tests.data import mnist, shared

NETWORKS = {"rates": rates, "events": events, "digits": digits}

FILES = {"README.md", "network.py", "weights.npz"}


def write(model: Model, folder: Path, **options: Any) -> Path:
    emit(model, folder, find_target("genn"), options=options)
    return folder / "network.py"


def own_part(script: str) -> str:
    """The part that tells one network from another."""
    return script[: script.index("\nCPU: Final")]


# What is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_script_and_page_are_these(name: str, tmp_path: Path) -> None:
    script = write(NETWORKS[name](), tmp_path / "out").read_text("utf-8")
    assert_golden(f"genn/{name}.txt", own_part(script))
    assert_golden(f"genn/{name}.md", (tmp_path / "out/README.md").read_text("utf-8"))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_script_needs_numpy_and_pygenn_only(name: str, tmp_path: Path) -> None:
    script = write(NETWORKS[name](), tmp_path / "out")
    assert {path.name for path in script.parent.iterdir()} == FILES
    tree = ast.parse(script.read_text("utf-8"))
    modules = {
        (alias.name if isinstance(node, ast.Import) else str(node.module)).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert modules - set(sys.stdlib_module_names) == {"numpy", "pygenn"}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_is_loaded_and_every_loaded_one_is_there(name: str, tmp_path: Path) -> None:
    script = write(NETWORKS[name](), tmp_path / "out")
    used = {
        node.slice.value
        for node in ast.walk(ast.parse(script.read_text("utf-8")))
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "w"
        and isinstance(node.slice, ast.Constant)
    }
    with np.load(script.with_name("weights.npz"), allow_pickle=False) as weights:
        assert set(weights.files) == used


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write(rates(), tmp_path / name)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


HOSTILE = "'''\"\"\"\nimport os; os.abort() #\r\u2028`|</b>"


def test_texts_of_a_model_stay_texts(tmp_path: Path) -> None:
    model = rates((HOSTILE, "\\"))
    for node in model.graph.nodes.values():
        node.source = HOSTILE
    script = write(model, tmp_path / "out")
    tree = ast.parse(script.read_text("utf-8"))
    assert not any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == "os.abort"
        for node in ast.walk(tree)
    )
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert HOSTILE in texts and "\\" in texts
    with tokenize.open(script) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    assert any(t.type == tokenize.COMMENT and "import os;" in t.string for t in tokens)


def test_names_in_genn_are_names_it_takes(tmp_path: Path) -> None:
    script = write(rates(), tmp_path / "out").read_text("utf-8")
    assert '"a_2fhidden_2dlayer_2e1"' in script
    assert '"a_2fhidden_2dlayer_2e1_to_mean"' in script


def test_steps_and_precision_are_options(tmp_path: Path) -> None:
    script = write(rates(), tmp_path / "out", steps=9, precision="float64").read_text("utf-8")
    assert "STEPS = 9 " in script and 'PRECISION = "double"' in script


def test_all_unknown_options_are_named() -> None:
    with pytest.raises(CapabilityError) as caught:
        options = {"steps": 0, "precision": "int8", "speed": 1}
        make_ready(rates(), find_target("genn"), options=options)
    assert [finding.code for finding in caught.value.diagnostics] == ["target.option"] * 3


def test_all_that_numpy_cannot_do_is_named() -> None:
    b = GraphBuilder(steps=2)
    spikes = b.snn.IF(b.snn.ConstantCurrent(b.ann.ELU(b.input("x", [2]), name="before")))
    b.output("y", b.ann.GELU(b.snn.SpikeCount(spikes), name="after"))
    with pytest.raises(CapabilityError) as caught:
        make_ready(b.build(), find_target("genn"))
    where = [(finding.code, finding.where) for finding in caught.value.diagnostics]
    assert where == [("genn.script", "node 'before'"), ("genn.script", "node 'after'")]


def test_a_network_without_neurons_is_refused() -> None:
    b = GraphBuilder(steps=2)
    b.output("y", b.ann.Softmax(b.input("x", [2])))
    with pytest.raises(CapabilityError, match="no neurons"):
        make_ready(b.build(), find_target("genn"))


# Where it is written -----------------------------------------------------------------------------


def test_a_folder_of_ours_is_replaced(tmp_path: Path) -> None:
    write(digits(), tmp_path / "out")
    (tmp_path / "out/__pycache__").mkdir()
    (tmp_path / "link").symlink_to("out")
    script = write(rates(), tmp_path / "link")
    assert "a/hidden-layer.1" in script.read_text("utf-8")
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]
    assert {path.name for path in script.parent.iterdir()} == FILES


@pytest.mark.parametrize("name", ["outputs.npz", "network.py", "README.md"])
def test_files_of_others_are_left_alone(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(FileError):
        write(rates(), folder)
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileError, match="is no directory"):
        write(rates(), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_full_disk_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(digits(), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(FileError, match="no space left"):
        write(rates(), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_old_folder_comes_back_if_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(digits(), tmp_path / "out")
    rename = snnir.files.os.rename
    calls: list[str] = []

    def fails_once(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(snnir.files.os, "rename", fails_once)
    with pytest.raises(FileError, match="input/output error"):
        write(rates(), tmp_path / "out")
    assert '"h"' in (tmp_path / "out/network.py").read_text("utf-8")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_line_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snnir.save(rates(), tmp_path / "net.snnir")
    source, out = str(tmp_path / "net.snnir"), str(tmp_path / "out")
    assert main(["convert", source, "-o", out, "--to", "genn", "-O", "steps=3"]) == 0
    assert "STEPS = 3 " in (tmp_path / "out/network.py").read_text("utf-8")


# What NumPy computes -----------------------------------------------------------------------------


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The part that every script has; that of NumPy does without PyGeNN."""
    name = "snnir_converters.genn._runtime"
    if "pygenn" not in sys.modules:
        monkeypatch.setitem(sys.modules, "pygenn", ModuleType("pygenn"))
    monkeypatch.delitem(sys.modules, name, raising=False)
    found = __import__(name, fromlist=["x"])
    monkeypatch.delitem(sys.modules, name)
    return found


def test_values_over_time_are_delayed_and_begin_late(runtime: Any) -> None:
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 4, 1)
    steady = np.full((1, 1, 1), 7, np.float32)
    assert runtime.delayed(x, 1, 4).reshape(-1).tolist() == [0, 1, 2, 3]
    assert runtime.delayed(x, 9, 4).reshape(-1).tolist() == [0, 0, 0, 0]
    assert runtime.delayed(steady, 3, 4).reshape(-1).tolist() == [0, 0, 0, 7]
    assert runtime.since(x, 2, 4).reshape(-1).tolist() == [0, 0, 3, 4]
    assert runtime.since(steady, 3, 4).reshape(-1).tolist() == [0, 0, 0, 7]


def test_without_a_compiler_it_says_what_to_install(
    runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    network = object.__new__(runtime.Network)
    with pytest.raises(SystemExit, match=r"needs g\+\+.*apt install g\+\+ make"):
        network.compile()


@pytest.mark.parametrize(
    ("backend", "kind", "code", "longest"),
    [
        ("cuda", "DENSE", "addToPost(g);", None),
        ("cuda", "SPARSE", "addToPostDelay(g, 0);", 1),
        (CPU, "SPARSE", "addToPost(g);", None),
    ],
)
def test_on_a_gpu_synapses_of_different_threads_add_atomically(
    runtime: Any,
    backend: str,
    kind: str,
    code: str,
    longest: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, group = mock.MagicMock(), SimpleNamespace(max_dendritic_delay_timesteps=None)
    group.set_sparse_connections = lambda *pairs: None
    monkeypatch.setattr(runtime, "pygenn", package)
    package.genn_model.backend_modules = {backend: None}
    package._genn.NumericValue = lambda value: SimpleNamespace(value=value)
    package.GeNNModel.return_value.add_synapse_population.return_value = group
    network = runtime.Network("float", backend)
    network.populations = {"a": None, "b": None}
    how: dict[str, Any] = {"adds_to": "x", "delay": 3, "graded": False}
    if kind == "DENSE":
        network.connect_dense("c", "a", "b", np.ones((2, 2)), **how)
    else:
        network.connect_pairs("c", "a", "b", (np.arange(2), np.arange(2), np.ones(2)), **how)
    (call,) = package.create_weight_update_model.call_args_list
    assert call.kwargs["pre_spike_syn_code"] == code
    assert group.max_dendritic_delay_timesteps == longest
    assert (group.post_target_var, group.axonal_delay_steps) == ("x", 2)


def test_a_window_ends_with_the_presentation(runtime: Any) -> None:
    assert runtime.window(10, 0, 2, None) == (2, 10)
    assert runtime.window(10, 3, 2, 20) == (2, 7)
    assert runtime.window(10, 3, 2, 5) == (2, 5)
    with pytest.raises(SystemExit, match="at least 6 steps"):
        runtime.window(5, 3, 2, None)


ENTRY = {"dtype": "uint8", "shape": (2,), "per_step": False}
IN_TIME = {"dtype": "float32", "shape": (2,), "per_step": True}


@pytest.mark.parametrize(
    ("x", "inputs", "steps", "message"),
    [
        (np.zeros((3, 2)), {"x": ENTRY}, None, "not uint8"),
        (np.full((3, 4, 2), np.nan), {"x": IN_TIME}, None, "finite"),
        (np.zeros((3, 3), np.uint8), {"x": ENTRY}, None, "not \\[samples, 2\\]"),
        (np.zeros((3, 2)), {"x": IN_TIME}, None, "not \\[samples, steps, 2\\]"),
        (np.zeros((0, 2), np.uint8), {"x": ENTRY}, None, "at least one"),
        (np.zeros((3, 4, 2)), {"x": IN_TIME}, 5, "the run has 5"),
        ({"y": np.zeros((3, 2))}, {"x": ENTRY}, None, "inputs are x"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    x: Any, inputs: Any, steps: int | None, message: str, runtime: Any
) -> None:
    with pytest.raises(SystemExit, match=message):
        runtime.given(x, inputs, steps, 8)


# What runs ---------------------------------------------------------------------------------------


def _installed() -> bool:
    try:
        require_pygenn()
    except snnir.SnnirError:
        return False
    return True


needs_genn = [
    pytest.mark.genn,
    pytest.mark.skipif(not _installed(), reason="needs PyGeNN"),
]

WITHOUT_SNNIR = """
import runpy, sys
for name in ("snnir", "snnir_converters"):
    sys.modules[name] = None  # importing it is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def execute(script: Path, inputs: dict[str, Any], *arguments: str) -> tuple[Any, str, str]:
    """Outputs of a script in a process of its own, and what it said."""
    data, out = script.parents[1] / "in.npz", script.parents[1] / "out.npz"
    np.savez(data, **inputs)
    command = [sys.executable, "-I", "-c", WITHOUT_SNNIR, str(script), str(data), "-o", str(out)]
    ran = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    with np.load(out, allow_pickle=False) as found:
        return dict(found.items()), ran.stdout, ran.stderr


def assert_as_in_the_reference(
    model: Model, script: Path, inputs: dict[str, Any], *arguments: str, steps: int | None = None
) -> None:
    found, _, errors = execute(script, inputs, *arguments)
    assert f"backend {CPU}" in errors
    expected = find_backend("reference").prepare(model).run(inputs, steps=steps).outputs
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array, name)


class TestRunning:
    pytestmark = needs_genn

    def test_classes_and_accuracy_are_told(self, tmp_path: Path) -> None:
        model = rates()
        x = np.arange(12, dtype=np.uint8).reshape(3, 2, 2) * 20
        script = write(model, tmp_path / "out")
        expected = find_backend("reference").prepare(model).run(x)["probability"]
        found, said, _ = execute(script, {"x": x, "y": expected.argmax(1)})
        # exponentials of two builds of NumPy's loops may differ in the last place
        np.testing.assert_allclose(found["probability"], expected, rtol=1e-6)
        names = " ".join(np.array(["left", "right"])[expected.argmax(1)])
        assert said == f"probability: {names}\nprobability: 100.00 % correct\n"

    def test_spikes_and_sums_of_every_step(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        x = rng.integers(0, 2, (3, 7, 4, 4, 1)).astype(np.float32)
        model = events()
        found, _, _ = execute(write(model, tmp_path / "out"), {"x": x})
        expected = find_backend("reference").prepare(model).run(x).outputs
        for name in ("spikes", "sums", "first"):
            np.testing.assert_array_equal(found[name], expected[name], name)
        # a mean of weights that are exponentials: the reference rounds them in the same way
        np.testing.assert_allclose(found["early"], expected["early"], rtol=1e-6)

    @pytest.mark.parametrize("seed", range(2))
    def test_random_graphs_run_as_in_the_reference(self, seed: int, tmp_path: Path) -> None:
        self._check_random(seed, tmp_path)

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(2, 60))
    def test_many_random_graphs_run_as_in_the_reference(self, seed: int, tmp_path: Path) -> None:
        self._check_random(seed, tmp_path)

    @staticmethod
    def _check_random(seed: int, folder: Path) -> None:
        rng = np.random.default_rng(seed)
        model = random_model(rng, nodes=12)
        try:
            script = write(model, folder / "out", precision=("float32", "float64")[seed % 2])
        except CapabilityError as error:
            if error.code != "retime.cycle":
                raise
            pytest.skip("a cycle has fewer steps than connections, which GeNN cannot run")
        inputs = random_inputs(rng, model, samples=3)
        if any(entry.type.is_per_step for entry in model.graph.inputs):
            assert_as_in_the_reference(model, script, inputs)
        else:
            # results are exact up to the model's presentation length
            steps = max(model.time.steps - 1, 1)
            try:
                find_backend("reference").prepare(model).run(inputs, steps=steps)
            except snnir.SnnirError:
                steps = model.time.steps
            assert_as_in_the_reference(model, script, inputs, f"--steps={steps}", steps=steps)

    def test_the_tutorial_network(self, tmp_path: Path) -> None:
        images = mnist()
        b = GraphBuilder("tutorial", dt=1e-3, steps=100)
        image = b.input("image", [784], dtype="uint8", scale=0.01, layout="N")
        neuron = {"threshold": 5.0, "reset": "to_value"}
        value = b.snn.IF(b.snn.ConstantCurrent(image), **neuron)
        for file, shape in (("weights_0_1", (784, 128)), ("weights_1_2", (128, 10))):
            weight = np.load(shared(f"genn/{file}.npy")).reshape(shape)
            value = b.snn.IF(b.snn.Dense(value, weight=weight).delayed(1), **neuron)
        b.output("count", b.snn.SpikeCount(value), labels=map(str, range(10)))
        model = b.build()
        x, y = images.test_x[:50].reshape(50, 784), images.test_y[:50]
        found, said, _ = execute(write(model, tmp_path / "out"), {"x": x, "y": y})
        expected = find_backend("genn").prepare(model).run(x)["count"]
        np.testing.assert_array_equal(found["count"], expected)
        assert f"{100 * np.mean(expected.argmax(1) == y):.2f} % correct" in said

    @pytest.mark.slow
    def test_a_converted_network(self, tmp_path: Path) -> None:
        images = mnist()
        x = images.test_x[:50].reshape(50, 784).astype(np.float32) / 255
        np.savez(tmp_path / "cal.npz", x=images.train_x[:64].reshape(64, 784) / np.float32(255))
        source = str(shared("keras/snntb_mnist_mlp_98.15.keras"))
        net, out = str(tmp_path / "net.snnir"), str(tmp_path / "out")
        calibration = str(tmp_path / "cal.npz")
        command = ["convert", source, "-o", net, "--calibration", calibration, "--steps", "16"]
        assert main(command) == 0
        assert main(["convert", net, "-o", out, "--to", "genn"]) == 0
        found, _, _ = execute(Path(out, "network.py"), {"x": x})
        (answer,) = found.values()
        for backend in ("reference", "genn"):
            (expected,) = find_backend(backend).prepare(snnir.load(net)).run(x).outputs.values()
            np.testing.assert_array_equal(answer.argmax(1), expected.argmax(1), backend)

    @pytest.mark.slow
    def test_compiled_code_can_be_kept(self, tmp_path: Path) -> None:
        model = rates()
        x = np.full((1, 2, 2), 200, np.uint8)
        script = write(model, tmp_path / "out")
        kept = tmp_path / "kept"
        for _ in range(2):
            execute(script, {"image": x}, f"--folder={kept}")
            assert list(kept.glob("network_CODE/librunner*"))
        assert {path.name for path in script.parent.iterdir()} == FILES

    def test_a_missing_backend_is_named(self, tmp_path: Path) -> None:
        script = write(rates(), tmp_path / "out")
        data = tmp_path / "in.npy"
        np.save(data, np.zeros((1, 2, 2), np.uint8))
        command = [sys.executable, str(script), str(data), "--genn-backend", "abacus"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 1
        assert CPU in ran.stderr and "Traceback" not in ran.stderr
