"""What has to be there before GeNN runs, the cache, and what is caught. None needs PyGeNN."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnir import GraphBuilder
from snnir.errors import CapabilityError, Diagnostic, MissingDependency, RunError, SnnirWarning
from snnir.ir.model import Model
from snnir_converters.genn import _cache, _engine
from snnir_converters.genn._cache import FOLDER_VARIABLE, cache_folder, keep, take
from snnir_converters.genn._engine import Engine, Settings
from snnir_converters.genn._install import CPU, check_version, compiler_command, require_pygenn
from snnir_converters.genn._lower import lower
from snnir_converters.genn._models import build_environment, environment
from snnir_converters.genn._output import captured
from tests.converters.genn.code_cases import small
from tests.converters.genn.tools import (
    fake_pygenn,
    installation,
    installed,
    programs,
    runs_the_compiler,
)


def refused(call: Callable[[], object], error: Any = MissingDependency) -> tuple[Diagnostic, ...]:
    with pytest.raises(error) as caught:
        call()
    diagnostics: tuple[Diagnostic, ...] = caught.value.diagnostics
    return diagnostics


# PyGeNN ------------------------------------------------------------------------------------------


def test_without_pygenn_it_says_where_to_get_it() -> None:
    with installed(None):
        (finding,) = refused(require_pygenn)
    assert finding.code == "genn.missing" and "genn-team.github.io" in finding.remedy


@pytest.mark.parametrize("version", ["4.9.0", "5.2.9", "6.0.0", "6.0.0b1", "unknown", "", "5"])
def test_releases_that_are_not_supported(version: str) -> None:
    with installed(fake_pygenn(version=version)):
        (finding,) = refused(require_pygenn)
    assert finding.code == "genn.version" and finding.found == f"version {version}"
    assert "5.3" in finding.allowed


@pytest.mark.parametrize("version", ["5.3.0", "5.4.0", "5.10", "5.99.1.dev3"])
def test_releases_that_are(version: str) -> None:
    check_version(version)
    with installed(fake_pygenn(version=version)):
        assert require_pygenn().version == version


def test_a_build_that_makes_floats_of_integers() -> None:
    with installed(fake_pygenn(integers=float)):
        (finding,) = refused(require_pygenn)
    assert finding.code == "genn.defect" and "3.0" in finding.found
    assert "pybind11" in finding.remedy and "762" in finding.remedy


# Backends ----------------------------------------------------------------------------------------


def choose(wanted: str, *backends: str) -> str:
    with installed(fake_pygenn(backends=backends)):
        return require_pygenn().choose(wanted)


def test_auto_is_the_fastest_that_is_there() -> None:
    assert choose("auto", CPU) == CPU
    assert choose("auto", CPU, "hip") == "hip"
    assert choose("auto", CPU, "hip", "cuda") == "cuda"
    assert choose(CPU, CPU, "cuda") == CPU


@pytest.mark.parametrize("wanted", ["cuda", "hip", "fpga"])
def test_a_backend_that_is_not_there(wanted: str) -> None:
    (finding,) = refused(lambda: choose(wanted, CPU), CapabilityError)
    assert finding.code == "genn.backend" and wanted in finding.found
    assert finding.allowed == f"auto, {CPU}" and "driver" in finding.remedy


def test_a_pygenn_without_any_backend() -> None:
    (finding,) = refused(lambda: choose("auto"), CapabilityError)
    assert finding.code == "genn.backend"


# Programs ----------------------------------------------------------------------------------------


def test_all_programs_that_are_missing_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    found = [d.found for d in refused(lambda: compiler_command(CPU))]
    assert found == ["no 'g++'", "no 'make'"]
    found = [d.found for d in refused(lambda: compiler_command("cuda"))]
    assert len(found) == 3 and "nvcc" in found[2]
    monkeypatch.setenv("HIP_PATH", "/nowhere")
    found = [d.found for d in refused(lambda: compiler_command("hip"))]
    assert len(found) == 3 and "/nowhere/bin/hipcc" in found[2]


def test_what_to_install_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", gpp=""))
    monkeypatch.delenv("CXX", raising=False)
    (finding,) = refused(lambda: compiler_command(CPU))
    assert finding.found == "no 'make'" and "apt install make" in finding.remedy


def test_cxx_names_another_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", clang="", make=""))
    monkeypatch.setenv("CXX", "clang -m64")
    assert compiler_command(CPU) == ["clang", "-m64"]
    monkeypatch.setenv("CXX", "icc")
    (finding,) = refused(lambda: compiler_command(CPU))
    assert finding.found == "no 'icc'"


# Building ----------------------------------------------------------------------------------------


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a compiler with this text in the place of the true one; the cache is empty."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)

    def set_up(compiler: str) -> None:
        monkeypatch.setenv("PATH", programs(tmp_path / "bin", gpp=compiler, make=""))

    return set_up


def build(build: Any = runs_the_compiler) -> Engine:
    plan, _ = lower(small())
    return Engine(plan, installation(fake_pygenn(build=build)), Settings(CPU))


LIBRARY = "echo library > librunner.so"


def test_all_that_the_compiler_said_is_in_the_error(
    tools: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    tools(
        "echo to stdout; i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 2"
    )
    (finding,) = refused(build, RunError)
    assert finding.code == "genn.build" and "CalledProcessError" in finding.found
    lines = finding.output.splitlines()
    assert lines == ["to stdout", *(f"line {number}" for number in range(2000))]
    assert "line 1999" in str(finding)
    assert capfd.readouterr() == ("", "")


def test_the_flags_keep_rounding_as_it_is_written(tools: Callable[[str], None]) -> None:
    tools('echo "$@"; exit 1')
    (finding,) = refused(build, RunError)
    assert "-ffp-contract=off" in finding.output and "-ffast-math" not in finding.output


@pytest.mark.parametrize("how", ["compiler", "folder", "generator"])
def test_a_full_disk(
    how: str, tools: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    tools("echo 'cc1plus: error: No space left on device' >&2; exit 1")
    if how == "folder":
        monkeypatch.setattr(tempfile, "mkdtemp", full)
    (finding,) = refused(lambda: build(full if how == "generator" else runs_the_compiler), RunError)
    assert finding.code == "genn.build" and "TMPDIR" in finding.remedy


def test_a_library_that_cannot_be_loaded(tools: Callable[[str], None]) -> None:
    tools(LIBRARY)
    engine = build()
    engine.model.load.side_effect = RuntimeError("failed to map segment from shared object")
    for _ in range(2):
        (finding,) = refused(
            lambda: engine.run(
                samples=1,
                steps=1,
                length=1,
                **{name: {} for name in ("numbers", "tables", "statics", "sequences")},
                series={},
                finals={},
            ),
            RunError,
        )
        assert finding.code == "genn.build" and "map segment" in finding.found


def test_nothing_stays_in_the_temporary_folder(
    tools: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    tools(LIBRARY)
    engine = build()
    assert len(list(place.iterdir())) == 1
    del engine
    assert list(place.iterdir()) == []
    tools_that_fail = programs(tmp_path / "failing", gpp="exit 1", make="")
    monkeypatch.setenv("PATH", tools_that_fail)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "another"))
    refused(build, RunError)
    assert list(place.iterdir()) == []


def test_a_full_disk_that_no_program_mentions(
    tools: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GeNN writes empty files and says nothing; make then finds nothing to do."""
    tools("echo 'make: *** No targets.'; exit 2")
    (finding,) = refused(build, RunError)
    assert "TMPDIR" not in finding.remedy
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: types.SimpleNamespace(total=1, used=1, free=4096)
    )
    (finding,) = refused(build, RunError)
    assert "TMPDIR" in finding.remedy


def test_a_user_without_a_home_compiles_every_time(
    tools: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    tools(LIBRARY)
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    for _ in range(2):
        with pytest.warns(SnnirWarning, match=r"genn\.cache.*no home.*SNNIR_CACHE_DIR"):
            assert not build().cached


# GPUs --------------------------------------------------------------------------------------------


def connected(backend: str, model: Model) -> list[tuple[str, str, Any]]:
    """How GeNN's connections are made: kind, code of the synapses, longest dendritic delay."""
    package = fake_pygenn(build=runs_the_compiler)
    groups: list[Any] = []

    def add(name: str, kind: str, *_: Any) -> Any:
        group = types.SimpleNamespace(kind=kind, max_dendritic_delay_timesteps=None)
        group.set_sparse_connections = lambda *pairs: None
        groups.append(group)
        return group

    made = package.create_weight_update_model
    package.GeNNModel.return_value.add_synapse_population.side_effect = add
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_engine, "compiler_command", lambda backend: ["g++"])
        Engine(lower(model)[0], installation(package), Settings(backend, 4))
    codes = [call.kwargs["pre_spike_syn_code"] for call in made.call_args_list]
    return [
        (group.kind, code, group.max_dendritic_delay_timesteps)
        for group, code in zip(groups, codes, strict=True)
    ]


def three_kinds() -> Model:
    """A dense, a sparse, and a convolutional connection."""
    b = GraphBuilder(steps=2)
    x = b.input("x", [4, 4, 1], timing="per_step")
    first = b.snn.IF(x, name="first")
    conv = b.snn.Conv2D(first, weight=np.ones((2, 2, 1, 1), np.float32))
    second = b.snn.IF(conv, name="second")
    dense = b.snn.Dense(b.snn.Flatten(second), weight=np.ones((9, 2), np.float32))
    b.output("y", b.snn.IF(dense, name="third"))
    return b.build()


def test_on_a_gpu_synapses_of_different_threads_add_atomically(
    tools: Callable[[str], None],
) -> None:
    """What only a dense connection does without: each thread then has its own neuron."""
    tools(LIBRARY)
    assert connected("cuda", three_kinds()) == [
        ("SPARSE", "addToPostDelay(g * value, 0);", 1),
        ("TOEPLITZ", "addToPostDelay(g, 0);", 1),
        ("DENSE", "addToPost(g);", None),
    ]
    assert [(code, delay) for _, code, delay in connected(CPU, three_kinds())] == [
        ("addToPost(g * value);", None),
        ("addToPost(g);", None),
        ("addToPost(g);", None),
    ]


def test_compilers_of_gpus_round_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NVCC_APPEND_FLAGS", "HIPCC_COMPILE_FLAGS_APPEND", "HIP_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NVCC_APPEND_FLAGS", "-g")
    found = build_environment(["g++"])
    assert found["NVCC_APPEND_FLAGS"] == "-g --fmad=false"
    assert found["HIPCC_COMPILE_FLAGS_APPEND"] == "-ffp-contract=off"
    monkeypatch.setenv("HIP_PLATFORM", "nvidia")  # whose compiler is nvcc
    assert "HIPCC_COMPILE_FLAGS_APPEND" not in build_environment(["g++"])


# What a structure is -----------------------------------------------------------------------------


def test_what_was_built_is_not_built_again(tools: Callable[[str], None]) -> None:
    tools(LIBRARY)
    assert not build().cached
    assert build(lambda path_to_model: None).cached


def test_a_library_that_was_made_again_is_kept(tools: Callable[[str], None]) -> None:
    tools(LIBRARY)
    build()

    def builds_again(path_to_model: str) -> None:
        library = Path(path_to_model) / "snnir_CODE" / "librunner.so"
        library.write_text("another", "utf-8")
        os.utime(library, (2e9, 2e9))

    assert not build(builds_again).cached
    assert build(lambda path_to_model: None).cached


def test_a_cache_that_cannot_be_written_to_warns(
    tools: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools(LIBRARY)
    (tmp_path / "file").write_text("not a folder", "utf-8")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file"))
    with pytest.warns(SnnirWarning, match=r"genn\.cache.*SNNIR_CACHE_DIR"):
        engine = build()
    assert not engine.cached


# The cache ---------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder as GeNN makes it."""
    folder = tmp_path / "snnir_CODE"
    (folder / "more").mkdir(parents=True)
    (folder / "librunner.so").write_bytes(b"library")
    (folder / "more" / "neurons.cc").write_bytes(b"source")
    return folder


def test_the_folder_is_the_user_s_unless_a_variable_names_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "snnir" / "genn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "snnir" / "genn"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "snnir" / "genn"


def test_what_is_kept_can_be_taken(cache: Path, code: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert not take("key", target) and not target.exists()
    os.utime(code / "librunner.so", (1e9, 1e9))
    assert keep("key", code) == []
    assert take("key", target)
    assert (target / "more" / "neurons.cc").read_bytes() == b"source"
    assert (target / "librunner.so").stat().st_mtime == 1e9  # make looks at it
    assert not take("other", tmp_path / "nothing")


def test_what_is_kept_later_takes_the_place(cache: Path, code: Path, tmp_path: Path) -> None:
    keep("key", code)
    (code / "librunner.so").write_bytes(b"newer")
    (code / "more" / "neurons.cc").unlink()
    assert keep("key", code) == []
    assert take("key", tmp_path / "target")
    assert (tmp_path / "target" / "librunner.so").read_bytes() == b"newer"
    assert list((tmp_path / "target" / "more").iterdir()) == []
    assert os.listdir(cache) == ["key"]


def _cut(entry: Path) -> None:
    (entry / "code" / "librunner.so").write_bytes(b"lib")


def _flip(entry: Path) -> None:
    (entry / "code" / "librunner.so").write_bytes(b"librarY")


def _lose_a_file(entry: Path) -> None:
    (entry / "code" / "more" / "neurons.cc").unlink()


def _lose_the_digest(entry: Path) -> None:
    (entry / "digest").unlink()


def _move(entry: Path) -> None:
    (entry / "code" / "librunner.so").rename(entry / "code" / "other.so")


@pytest.mark.parametrize("damage", [_cut, _flip, _lose_a_file, _lose_the_digest, _move])
def test_a_damaged_entry_is_none(
    damage: Callable[[Path], object], cache: Path, code: Path, tmp_path: Path
) -> None:
    keep("key", code)
    damage(cache / "key")
    assert not take("key", tmp_path / "target") and not (tmp_path / "target").exists()
    assert keep("key", code) == [] and take("key", tmp_path / "target")


def test_a_folder_that_is_read_only_is_a_finding(
    cache: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    if os.access(cache, os.W_OK):  # the superuser may write anywhere

        def refuse(*_: Any, **__: Any) -> Any:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(_cache.shutil, "copytree", refuse)
    (finding,) = keep("key", code)
    cache.chmod(0o700)
    assert finding.code == "genn.cache" and "Permission denied" in finding.found
    assert str(cache) in finding.where and os.listdir(cache) == []


def test_an_entry_that_cannot_be_finished_leaves_the_old_one(
    cache: Path, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("key", code)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_cache, "_digest", full)
        (finding,) = keep("key", code)
    assert "No space" in finding.found
    assert take("key", tmp_path / "target") and os.listdir(cache) == ["key"]


def test_many_writers_and_readers_at_once(cache: Path, code: Path, tmp_path: Path) -> None:
    failures: list[Any] = []
    taken: list[bool] = []

    def work(number: int) -> None:
        for turn in range(10):
            failures.extend(keep("key", code))
            target = tmp_path / f"target-{number}-{turn}"
            if take("key", target):
                taken.append((target / "librunner.so").read_bytes() == b"library")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and taken and all(taken)
    assert os.listdir(cache) == ["key"] and take("key", tmp_path / "last")


# Printing ----------------------------------------------------------------------------------------


def test_what_is_printed_is_caught_even_from_other_processes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = [os.fstat(number).st_ino for number in (1, 2)]
    with captured() as output:
        print("from Python", flush=True)
        program = "import sys; print('from a child'); print('as an error', file=sys.stderr)"
        subprocess.run([sys.executable, "-c", program], check=True)
        os.write(2, b"\xff from C\n")
        text = output()
    assert [os.fstat(number).st_ino for number in (1, 2)] == before
    assert "from a child" in text and "as an error" in text and "� from C" in text
    os.write(1, b"afterwards")
    out, error = capfd.readouterr()
    assert "afterwards" in out and "child" not in out and error == ""


def test_descriptors_come_back_after_an_error() -> None:
    before = [os.fstat(number).st_ino for number in (1, 2)]
    with pytest.raises(KeyboardInterrupt), captured():
        raise KeyboardInterrupt
    assert [os.fstat(number).st_ino for number in (1, 2)] == before


def test_no_descriptor_is_lost() -> None:
    with captured():
        pass
    first = os.dup(1)
    os.close(first)
    for _ in range(5):
        with captured():
            pass
    last = os.dup(1)
    os.close(last)
    assert first == last


def test_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "clang")
    monkeypatch.delenv("NVCC_APPEND_FLAGS", raising=False)
    with pytest.raises(RuntimeError), environment({"CXX": "g++", "NVCC_APPEND_FLAGS": "x"}):
        assert os.environ["CXX"] == "g++"
        raise RuntimeError
    assert os.environ["CXX"] == "clang" and "NVCC_APPEND_FLAGS" not in os.environ


def test_nothing_warns_when_an_engine_goes(tools: Callable[[str], None]) -> None:
    tools(LIBRARY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build()


def descriptors(*closed: int) -> tuple[int, bytes]:
    """A process that has these descriptors closed and captures: its exit code and output."""
    program = (
        "import os, sys\n"
        "from snnir_converters.genn._output import captured\n"
        "with captured() as output:\n"
        "    os.write(1, b'one '); os.write(2, b'two')\n"
        "    text = output()\n"
        "left = []\n"
        "for number in (1, 2):\n"
        "    try: os.fstat(number)\n"
        "    except OSError: left.append(number)\n"
        "sys.exit(0 if (text, left) == ('one two', [%s]) else 1)\n"
    )
    redirections = "".join(f" {number}>&-" for number in closed)
    found = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$0" -c "$1"{redirections}',
            sys.executable,
            program % str([*closed])[1:-1],
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return found.returncode, found.stdout


@pytest.mark.parametrize("closed", [(), (1,), (2,), (1, 2)])
def test_descriptors_that_are_closed(closed: tuple[int, ...]) -> None:
    assert descriptors(*closed) == (0, b"")
