"""The entry point: which subcommand, and what becomes of its errors."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Final, TextIO

from snnir._version import __version__
from snnir.cli import common
from snnir.cli.common import Exit, UsageError
from snnir.errors import FileError, SnnirError, SnnirWarning

COMMANDS: Final = {
    "convert": "make a spiking network of a trained one, or bring one to a target",
    "eval": "measure accuracy and spikes on labelled data",
    "new": "make a spiking network with fresh weights, to be trained",
    "encode": "make spike data of arrays, sound or event files",
    "check": "find all that is wrong with a model",
    "info": "show what a model is, without touching its weights",
    "print": "print a model as text",
    "diff": "compare two models",
    "run": "run a model on data",
    "verify": "replay a model's stored examples",
    "train": "train a spiking network",
    "quantise": "give a model weights of few bits",
    "sweep": "run commands for many settings, results in one table",
    "upgrade": "bring a model to the newest versions of its operators",
    "op": "show the documentation of an operator",
    "plugins": "list what is installed",
    "conform": "run the conformance vectors on a backend",
}
"""Subcommands and what they do; each is the module of that name in this package."""

_NEGATIVE: Final = re.compile(r"-[\d.]")
"""What a negative number begins like."""

_EPILOG: Final = """\
exit codes: 0 ok, 1 findings (not valid, different, failed), 2 wrong usage, 3 bad file,
4 missing dependency. `snnir COMMAND --help` tells the rest.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: The arguments; by default those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            with _ended_in_order():
                code = _run(arguments)
        except SystemExit as stop:  # argparse: --help, --version, wrong usage
            code = stop.code if isinstance(stop.code, int) else Exit.USAGE
        if sys.stdout is not None:  # None in a process that began with it closed
            with common.writing_stdout():
                sys.stdout.flush()
        return int(code)
    except KeyboardInterrupt:
        common.err("interrupted")
        return int(Exit.INTERRUPTED)
    except _Terminated:
        common.err("terminated")
        return int(Exit.TERMINATED)
    except BrokenPipeError:
        _give_up_stdout()
        return int(Exit.BROKEN_PIPE)
    except FileError as error:  # from writing_stdout: nothing else is left
        _give_up_stdout()
        for finding in error.diagnostics:
            common.err(common.format_diagnostic(finding))
        return int(Exit.BAD_FILE)


class _Terminated(BaseException):
    """SIGTERM came."""


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends the block like an error: temporary files go, and nothing is half written."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise _Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(arguments: list[str]) -> int:
    parser, chosen = _parsers(arguments)
    args = parser.parse_args(_joined(arguments))
    if args.command is None or chosen is None:
        parser.print_help(sys.stderr)
        return Exit.USAGE
    with warnings.catch_warnings():
        _show_warnings_in_one_line(args)
        try:
            code: int = import_module(f"snnir.cli.{args.command}").run(args)
            return code
        except UsageError as error:
            chosen.error(str(error))
        except SnnirError as error:
            return common.report_error(error, args)
        except MemoryError:
            common.err("error: there is not enough memory for this")
            return Exit.FINDINGS


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments; what begins like a negative number belongs to the option before it.

    argparse takes ``-1/2`` and ``-1,2`` for options; no option begins with a digit.
    """
    result: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[number:]]
        option = result[-1] if result else ""
        if _NEGATIVE.match(argument) and option.startswith("--") and "=" not in option:
            result[-1] = f"{option}={argument}"
        else:
            result.append(argument)
    return result


def _parsers(
    arguments: Sequence[str],
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser | None]:
    """The parser, and that of the chosen subcommand: the only one whose module is imported."""
    parser = argparse.ArgumentParser(
        prog="snnir",
        description="Tools for snnir models: portable, executable spiking neural networks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"snnir {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    chosen = None
    for command, summary in COMMANDS.items():
        if command != name:
            commands.add_parser(command, help=summary, add_help=False)
            continue
        module = import_module(f"snnir.cli.{command}")
        chosen = commands.add_parser(
            command,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.configure(chosen)
        common.add_common_arguments(chosen)
    return parser, chosen


def _show_warnings_in_one_line(args: argparse.Namespace) -> None:
    """What the library warns of is for the user; the place in its code is not."""
    warnings.simplefilter("ignore" if args.quiet else "always", SnnirWarning)
    default = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, SnnirWarning):
            common.err(common.shown(" ".join(str(message).split())))
        else:
            default(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def _give_up_stdout() -> None:
    """Let nothing more reach standard output, so that closing it does not fail again."""
    try:
        number = sys.stdout.fileno()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)
    except (OSError, ValueError):
        return
