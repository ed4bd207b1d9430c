"""What all subcommands share: arguments, models in and out, text, JSON and progress."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

from snnir import files
from snnir.errors import (
    Diagnostic,
    FileError,
    FormatError,
    MissingDependency,
    PluginError,
    SnnirError,
)
from snnir.infer import Types, infer_types
from snnir.ir.model import Model
from snnir.ir.types import ValueType

STDIO: Final = "-"
"""In place of a file name: standard input or output."""


class Exit(enum.IntEnum):
    """What the process returns."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    BAD_FILE = 3
    MISSING_DEPENDENCY = 4
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143

    @staticmethod
    def of(error: SnnirError) -> Exit:
        """The exit code that an error leads to."""
        if isinstance(error, (FileError, FormatError)):
            return Exit.BAD_FILE
        if isinstance(error, MissingDependency):
            return Exit.MISSING_DEPENDENCY
        return Exit.FINDINGS


class UsageError(Exception):
    """Arguments that each are fine and together are not."""


# Arguments -----------------------------------------------------------------------------------


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """``-q``, ``-v`` and ``--json``, which every subcommand has."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on standard output"
    )
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "-q", "--quiet", action="store_true", help="no warnings, notes or progress on stderr"
    )
    level.add_argument(
        "-v", "--verbose", action="store_true", help="more on stderr, e.g. the cause of an error"
    )


def add_model_argument(parser: argparse.ArgumentParser, name: str = "model") -> None:
    """A model file, or ``-`` for standard input."""
    parser.add_argument(name, metavar=name.upper(), help="a model file, or - for standard input")


def add_backend_argument(parser: argparse.ArgumentParser, default: str = "reference") -> None:
    """``--backend``."""
    parser.add_argument(
        "--backend",
        metavar="B",
        default=default,
        help=f"what to run on (default: {default}); `snnir plugins` lists what is installed",
    )
    parser.add_argument(
        "--genn-backend",
        metavar="G",
        help="with --backend genn: single_threaded_cpu, cuda, hip or auto (default: the fastest "
        "that can run here)",
    )
    parser.add_argument(
        "--profile", action="store_true", help="with --backend genn: time its kernels"
    )


def backend_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that were given for the backend; one that it does not know, it refuses."""
    options: dict[str, Any] = {}
    if args.genn_backend is not None:
        options["genn_backend"] = args.genn_backend
    if args.profile:
        options["profile"] = True
    if args.backend == "genn" and getattr(args, "batch_size", None):
        options["batch"] = args.batch_size
    return options


def backend_text(name: str, details: Mapping[str, Any]) -> str:
    """What ran, in words: the backend, and the device where it tells."""
    device = details.get("device")
    return f"backend '{name}'" + (f" on {device}" if device else "")


def profile_lines(details: Mapping[str, Any]) -> list[str]:
    """The times of a profiled run, a line each."""
    times: Mapping[str, float] = details.get("kernel_seconds", {})
    return [f"  {name.replace('_', ' ')}: {seconds:.6f} s" for name, seconds in times.items()]


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


# Text and JSON -------------------------------------------------------------------------------


@contextlib.contextmanager
def writing_stdout() -> Iterator[None]:
    """Say what is wrong with standard output; a closed pipe is left to the caller.

    Raises:
        FileError: If it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "Check where standard output goes, and the free space there."
        raise FileError(
            Diagnostic("file.unwritable", "standard output", reason, "a writable stream", hint)
        ) from error


def out(text: str) -> None:
    """Print lines on standard output, whatever its encoding.

    Raises:
        FileError: If it cannot be written.
    """
    with writing_stdout():
        try:
            print(text)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            print(text.encode(encoding, "backslashreplace").decode(encoding))


def out_json(value: Any) -> None:
    """Print a JSON document. Numbers that JSON does not have become null."""
    finite = _finite(value)
    text = json.dumps(finite, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.replace("\n", "").isprintable():
        text = json.dumps(finite, indent=2, allow_nan=False)
    out(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value


def err(text: str) -> None:
    """Print lines on standard error, if there is one."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except UnicodeEncodeError:
        print(text.encode("ascii", "backslashreplace").decode(), file=sys.stderr, flush=True)


def note(args: argparse.Namespace, text: str) -> None:
    """Say on standard error what was done, unless ``--quiet``."""
    if not args.quiet:
        err(text)


def detail(args: argparse.Namespace, text: str) -> None:
    """Say more on standard error, if ``--verbose``."""
    if args.verbose:
        err(text)


def shown(text: str) -> str:
    """Text of unknown origin, made safe for a terminal: what it would obey is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plural(count: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size_text(count: int) -> str:
    """A number of bytes, as people say it: ``813 bytes``, ``1.3 MB``."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return plural(count, "byte") if unit == "bytes" else f"{value:.3g} {unit}"


def format_diagnostic(finding: Diagnostic) -> str:
    """A finding in a few lines, and what another program had to say about it."""
    origin = f" (from layer '{finding.source}')" if finding.source else ""
    lines = (
        f"{finding.severity}: {finding.title} [{finding.code}]",
        f"  where:   {finding.where}{origin}",
        f"  found:   {finding.found}",
        f"  allowed: {finding.allowed}",
        f"  remedy:  {finding.remedy}",
        *(f"    {line}" for line in finding.output.expandtabs().splitlines()),
    )
    return "\n".join(map(shown, lines))


def report_error(error: SnnirError, args: argparse.Namespace) -> Exit:
    """Print an error: its findings on stderr, or as JSON on stdout."""
    code = Exit.of(error)
    if args.json:
        out_json(
            {
                "error": type(error).__name__,
                "exit_code": int(code),
                "diagnostics": [finding.to_json() for finding in error.diagnostics],
            }
        )
        return code
    for finding in error.diagnostics:
        err(format_diagnostic(finding))
    if isinstance(error, PluginError) and error.__cause__ is not None and args.verbose:
        import traceback

        lines = "".join(traceback.format_exception(error.__cause__)).splitlines()
        err("\n".join(map(shown, lines)))
    return code


class Progress:
    """A line on stderr that says how far the work is; only on a terminal."""

    def __init__(self, args: argparse.Namespace, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._active = not args.quiet and sys.stderr.isatty()

    def update(self, done: int, total: int | None = None) -> None:
        """Say how much is done, from now on of another total if one is given."""
        if total is not None and total != self._total:
            self.clear()
            self._total = total
        if self._active:
            text = f"\r{self._what} {done} of {self._total}"
            print(text, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for other lines."""
        if self._active:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


# Models --------------------------------------------------------------------------------------

_OTHER_FORMATS: Final = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras .h5, NIR or NetX)",
    b"PK\x03\x04": "a zip archive (Keras .keras, or NumPy .npz)",
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "a gzip file",
}


def load_model(name: str) -> Model:
    """Open a model file, or read a model from standard input.

    Raises:
        FileError: If the file cannot be read.
        FormatError: If it is not a well-formed model; every finding names the file.
    """
    from snnir.serde.file import load

    try:
        return _load_stdin() if name == STDIO else load(name)
    except FormatError as error:
        file = "standard input" if name == STDIO else f"file '{name}'"
        raise type(error)(
            dataclasses.replace(_recognised(finding, name), where=f"{file}, {finding.where}")
            for finding in error.diagnostics
        ) from error


def load_any_model(name: str) -> Model:
    """Open a model of any known format, told by its content, or read one from standard input.

    Raises:
        FileError: If the file cannot be read.
        FormatError: If it is no well-formed model of any known format.
        SnnirError: If it cannot be carried over.
    """
    from pathlib import Path

    from snnir.conversion.sources import of_any_format, read_foreign

    if name == STDIO:
        return load_model(name)
    found = read_foreign(Path(name))
    if found is not None:
        return found
    try:
        return load_model(name)
    except FormatError as error:
        raise type(error)(map(of_any_format, error.diagnostics)) from error


def _load_stdin() -> Model:
    from snnir.serde.file import loads
    from snnir.serde.wire import MAGIC

    try:
        head = sys.stdin.buffer.read(len(MAGIC))
        return loads(head + sys.stdin.buffer.read() if head == MAGIC else head)
    except OSError as error:
        raise FileError(
            Diagnostic("file.unreadable", "standard input", str(error), "a model")
        ) from error


def _recognised(finding: Diagnostic, name: str) -> Diagnostic:
    """The finding; if the file is of another well-known format, it says which."""
    if finding.code != "format.not-snnir" or name == STDIO:
        return finding
    with contextlib.suppress(OSError), open(name, "rb") as file:
        head = file.read(8)
        for magic, what in _OTHER_FORMATS.items():
            if head.startswith(magic):
                return dataclasses.replace(finding, found=what)
    return finding


def require_one_stdin(*names: str | None) -> None:
    """Refuse to read standard input twice.

    Raises:
        UsageError: If more than one name is ``-``.
    """
    if sum(name == STDIO for name in names) > 1:
        raise UsageError("only one of the inputs can be standard input")


def require_different_files(
    read: Mapping[str, str | None], written: Mapping[str, str | None]
) -> None:
    """Refuse to overwrite what is read, or what is written besides.

    Args:
        read: Names of files that are read, by what they are.
        written: Names of files that are written.

    Raises:
        UsageError: If two names stand for one file, and one of them is written.
    """
    names = {**read, **written}
    given = [(what, name) for what, name in names.items() if name is not None and name != STDIO]
    for (one, first), (other, second) in itertools.combinations(given, 2):
        if other in written and files.same_file(first, second):
            raise UsageError(f"{other} is {one}: give another name, so that neither is lost")


def types_of(model: Model, args: argparse.Namespace) -> Types:
    """Types of all values that can be inferred; the model need not be valid.

    What keeps a type from being inferred is left to ``snnir check``, except for a plugin that
    does not load.
    """
    from snnir.check.structure import check_structure
    from snnir.ops.registry import Resolver

    findings: list[Diagnostic] = []
    resolve = Resolver(model.opsets)
    try:
        if check_structure(model, resolve, findings):
            return infer_types(model.graph, resolve, findings)
    except PluginError as error:
        for finding in error.diagnostics:
            note(args, shown(f"types are not inferred: {finding}"))
    return {}


def type_json(value_type: ValueType | None) -> dict[str, Any] | None:
    """A type as a JSON object."""
    if value_type is None:
        return None
    result: dict[str, Any] = {
        "dtype": value_type.dtype.label,
        "shape": list(value_type.shape),
        "timing": value_type.timing.label,
    }
    if value_type.quantization is not None:
        entries = dataclasses.asdict(value_type.quantization)
        result["quantization"] = {**entries, "rounding": value_type.quantization.rounding.label}
    return result


# Output --------------------------------------------------------------------------------------


@contextlib.contextmanager
def stdout_bytes() -> Iterator[BinaryIO]:
    """Standard output, for bytes.

    Raises:
        UsageError: If it is a terminal.
        FileError: If it cannot be written.
    """
    if sys.stdout.isatty():
        raise UsageError("the result is binary: name a file, or redirect standard output")
    with writing_stdout():
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


def save_model(model: Model, name: str) -> None:
    """Write a model to a file, or to standard output.

    Raises:
        FileError: If it cannot be written; a file that was there is unchanged.
    """
    from snnir.serde.file import save, to_bytes

    if name == STDIO:
        with stdout_bytes() as stream:
            stream.write(to_bytes(model))
    else:
        save(model, name)


def write_atomically(name: str, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a new file that replaces ``name`` once it is complete.

    Raises:
        FileError: If it cannot be written; a file that was there is unchanged.
    """
    if name == STDIO:
        with stdout_bytes() as stream:
            write(stream)
        return
    files.write_atomically(name, write)


def table(rows: Iterable[tuple[str, ...]], gap: int = 2) -> Iterator[str]:
    """Lines with aligned columns; the last column is free."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*(line[:-1] for line in lines), strict=True)]
    for line in lines:
        cells = (cell.ljust(width + gap) for cell, width in zip(line[:-1], widths, strict=True))
        yield ("".join(cells) + line[-1]).rstrip()
