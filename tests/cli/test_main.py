"""Exit codes, streams and errors: what holds for every subcommand."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import snnir
from snnir.cli import common, info
from snnir.cli.main import COMMANDS, main
from snnir.errors import Diagnostic, FormatError, SnnirWarning
from tests.cli.conftest import Run, Save
from tests.cli.helpers import ROOT, digits, digits_with_example, snnir_process


class Stdin:
    """A standard input that holds bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"snnir {snnir.__version__}\n", "")


def test_without_a_command_the_help_goes_to_stderr(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert all(f"\n    {command} " in err for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_the_common_options(run: Run, command: str) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert all(option in out for option in ("--json", "-q, --quiet", "-v, --verbose"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["check"],
        ["check", "a", "b"],
        ["info", "--no-such-option", "a"],
        ["info", "-q", "-v", "a"],
        ["diff", "-", "-"],
        ["run", "a", "--steps", "0"],
        ["run", "a", "--batch-size", "many"],
        ["upgrade", "a"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: snnir")
    assert "error: " in err.splitlines()[-1]


MODEL_READERS = [
    ["check"],
    ["info"],
    ["print"],
    ["diff", "good.snnir"],
    ["run", "--input", "x.npy"],
    ["verify"],
    ["upgrade", "-o", "out.snnir"],
]


@pytest.mark.parametrize("command", MODEL_READERS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "file.unreadable"),
        (b"", "format.not-snnir"),
        (b"\x89HDF\r\n\x1a\nand so on", "format.not-snnir"),
        (b"\rSNNIR \x00", "format.truncated"),
    ],
    ids=["absent", "empty", "hdf5", "cut"],
)
def test_a_bad_file_is_exit_code_3(
    run: Run, save: Save, command: list[str], content: bytes | None, code: str
) -> None:
    save(digits(), "good.snnir")
    if content is not None:
        Path("bad").write_bytes(content)
    status, out, err = run(*command, "bad")
    assert (status, out) == (3, "")
    if command[0] == "run":  # takes models of other formats, too
        code = code.replace("format.not-snnir", "file.unknown-format")
    assert f"[{code}]" in err
    assert "file 'bad'" in err
    assert "remedy:" in err

    status, out, err = run(*command, "bad", "--json")
    assert (status, err) == (3, "")
    report = json.loads(out)
    assert report["exit_code"] == 3
    assert [finding["code"] for finding in report["diagnostics"]] == [code]
    assert not Path("out.snnir").exists()


def test_another_known_format_is_named(run: Run, save: Save) -> None:
    save(digits(), "good.snnir")
    Path("net.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "an HDF5 file (Keras .h5, NIR or NetX)" in run("check", "net.h5")[2]


def test_a_directory_is_a_bad_file(run: Run, tmp_path: Path) -> None:
    code, _, err = run("info", tmp_path)
    assert code == 3
    assert "[file.unreadable]" in err


def test_a_model_is_read_from_standard_input(
    run: Run, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = save(digits(), "m.snnir")
    monkeypatch.setattr(sys, "stdin", Stdin(Path(name).read_bytes()))
    assert run("print", "-") == run("print", name)


def test_rubbish_on_standard_input_is_not_read_to_its_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert 0 <= size < 1000
            return b"y" * size

    stdin = Stdin(b"")
    stdin.buffer = Endless()  # type: ignore[assignment]
    monkeypatch.setattr(sys, "stdin", stdin)
    code, _, err = run("check", "-")
    assert code == 3
    assert "where:   standard input, byte 0" in err


def test_what_a_file_says_cannot_steer_the_terminal(run: Run, save: Save) -> None:
    model = digits()
    model.graph.nodes["h"].source = "\x1b[2J\n\x9bfoo"
    model.graph.nodes["h"].attributes["compare"] = "\x1b]0;hello"
    model.metadata["key"] = "\x1b[31mred\u202e"
    model.graph.outputs[0].labels = ("\x07", "a", "b")
    name = save(model, "m.snnir")
    other = save(digits(), "n.snnir")
    for arguments in (("check", name), ("info", name), ("print", name), ("diff", other, name)):
        for option in ((), ("--json",)):
            _, out, err = run(*arguments, *option)
            assert all(c.isprintable() or c == "\n" for c in out + err), arguments


def test_warnings_are_one_line_each(run: Run, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save(digits(), "m.snnir")
    original = common.load_model

    def load(file: str) -> snnir.Model:
        finding = Diagnostic("format.unknown-field", "byte 7", "a field\x1b", "known\nfields")
        warnings.warn(str(finding), SnnirWarning, stacklevel=2)
        return original(file)

    monkeypatch.setattr(info, "load_model", load)
    code, _, err = run("info", name)
    assert code == 0
    assert err.startswith("warning [format.unknown-field] byte 7: ")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "warn(" not in err
    assert run("info", name, "--quiet")[2] == ""


def test_an_interrupt_is_exit_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> snnir.Model:
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "load_model", interrupted)
    assert run("info", "m") == (130, "", "interrupted\n")


def test_too_little_memory_is_an_error_and_not_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(_: str) -> snnir.Model:
        raise MemoryError

    monkeypatch.setattr(info, "load_model", too_large)
    assert run("info", "m") == (1, "", "error: there is not enough memory for this\n")


def test_every_finding_of_an_error_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> snnir.Model:
        raise FormatError(
            [
                Diagnostic("format.missing", "here", "nothing", "a", hint="do this"),
                Diagnostic("format.enum", "there", "7", "b", source="conv"),
            ]
        )

    monkeypatch.setattr(info, "load_model", broken)
    assert run("info", "m") == (
        3,
        "",
        "error: a required field is absent [format.missing]\n"
        "  where:   here\n"
        "  found:   nothing\n"
        "  allowed: a\n"
        "  remedy:  do this\n"
        "error: an enum has a value that is not allowed [format.enum]\n"
        "  where:   there (from layer 'conv')\n"
        "  found:   7\n"
        "  allowed: b\n"
        "  remedy:  Write the file again with a correct writer.\n",
    )


# True processes ------------------------------------------------------------------------------


def test_a_process_reads_stdin_and_returns_the_exit_code() -> None:
    data = snnir.to_bytes(digits_with_example())
    done = snnir_process("verify", "-", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines()[-1].endswith("all as expected")
    assert snnir_process("info", "-", stdin=b"PK").returncode == 3
    assert snnir_process("info").returncode == 2


def test_a_closed_pipe_ends_it_quietly(tmp_path: Path) -> None:
    path = tmp_path / "m.snnir"
    snnir.save(digits(), path)
    process = subprocess.Popen(
        [sys.executable, "-m", "snnir", "print", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 141
    assert err == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["print"], ["print", "--json"], ["upgrade", "-o", "-"]])
def test_a_full_standard_output_is_exit_code_3(tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "m.snnir"
    snnir.save(digits(), path)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "snnir", *arguments, str(path)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 3
    assert b"[file.unwritable]" in done.stderr
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_labels_outside_the_encoding_of_stdout_are_escaped(tmp_path: Path) -> None:
    model = digits()
    model.graph.outputs[0].labels = ("null", "één", "二")
    path = tmp_path / "m.snnir"
    snnir.save(model, path)
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = snnir_process("print", path, environment=environment)
    assert done.returncode == 0
    assert rb'labels "null", "\xe9\xe9n", "\u4e8c"' in done.stdout
    done = snnir_process("print", path, environment={"PYTHONIOENCODING": "utf-8"})
    assert 'labels "null", "één", "二"' in done.stdout.decode()


def loaded_modules(*arguments: str) -> set[str]:
    program = (
        "import sys; from snnir.cli.main import main; "
        "main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_only_what_a_command_needs_is_imported() -> None:
    version = loaded_modules("--version")
    assert not {"google.protobuf", "snnir.cli.run", "snnir.ops.registry.ann"} & version
    op = loaded_modules("op", "snn.LIF")
    assert "snnir.cli.op" in op
    assert not {"google.protobuf", "snnir.cli.run", "snnir.cli.check"} & op


def test_main_takes_the_arguments_of_the_process_by_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["snnir", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("snnir ")


@pytest.mark.parametrize(("closed", "name", "code"), [(1, "m.snnir", 0), (2, "absent", 3)])
def test_a_stream_that_is_closed_from_the_beginning(
    closed: int, name: str, code: int, tmp_path: Path
) -> None:
    """What would go there goes nowhere: neither to the other stream nor into a traceback."""
    snnir.save(digits(), tmp_path / "m.snnir")
    command = f'exec "$@" {closed}>&-'
    arguments = (sys.executable, "-m", "snnir", "info", str(tmp_path / name))
    found = subprocess.run(["sh", "-c", command, "sh", *arguments], cwd=ROOT, capture_output=True)
    assert (found.returncode, found.stdout, found.stderr) == (code, b"", b"")
