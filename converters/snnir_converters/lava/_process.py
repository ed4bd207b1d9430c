"""The process in which Lava runs, seen from outside: started when needed, ended when it fails."""

from __future__ import annotations

import atexit
import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import IO, Final, NoReturn

from snnir.errors import Diagnostic, MissingDependency, RunError

PACKAGES: Final = {"lava-nc": "0.10.0", "lava-dl": "0.6.0"}
"""What has to be installed: these versions are the last ones."""

WORKER: Final = (str(Path(__file__).with_name("_worker.py")),)
"""What the process runs: a file, so that nothing is imported from the current folder."""

_POLL_S: Final = 0.2
_GRACE_S: Final = 3.0


def require_lava() -> dict[str, str]:
    """Check that Lava is installed, without importing it.

    Returns:
        Installed version of each package.

    Raises:
        MissingDependency: If one is not installed.
    """
    found: dict[str, str] = {}
    for package, version in PACKAGES.items():
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError as error:
            raise MissingDependency(
                Diagnostic(
                    "plugin.missing-dependency",
                    "backend 'lava'",
                    f"no package '{package}'",
                    f"{package} {version}, on CPython 3.10",
                    hint='pip install "snnir[lava]"; pip install --no-deps lava-dl==0.6.0',
                )
            ) from error
    return found


class LavaProcess:
    """A running worker; see :mod:`snnir_converters.lava._worker`."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self._replies = reading
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        command = [sys.executable, "-W", "ignore", *WORKER]
        try:
            self._process = subprocess.Popen(
                [*command, str(writing)],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(writing,),
                start_new_session=True,
                env={"OMP_NUM_THREADS": "1", **os.environ},
            )
        finally:
            os.close(writing)

    @property
    def is_running(self) -> bool:
        """Whether it can be given work."""
        return self._process.poll() is None

    @property
    def group(self) -> int:
        """Number of the process, and of the group of all that it starts."""
        return self._process.pid

    def run(self, folder: Path, timeout_s: float) -> None:
        """Let it run what a folder holds, and wait.

        Args:
            folder: See the worker.
            timeout_s: Longest time without a sign of life.

        Raises:
            RunError: If Lava fails, or takes too long. Then the process, and all that it
                started, has ended.
        """
        try:
            self._send(folder)
            self._wait(folder, timeout_s)
        except BaseException:
            self.stop()
            raise

    def _send(self, folder: Path) -> None:
        stream = self._process.stdin
        if stream is None:
            self._fail(folder, "it has no input")
        try:
            stream.write(os.fsencode(folder) + b"\n")
            stream.flush()
        except OSError as error:
            self._fail(folder, str(error))

    def _wait(self, folder: Path, timeout_s: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            self._wait_on(selector, folder, timeout_s)

    def _wait_on(self, selector: selectors.BaseSelector, folder: Path, timeout_s: float) -> None:
        seen = time.monotonic()
        received = b""
        while True:
            ready = selector.select(_POLL_S)
            data = os.read(self._replies, 1 << 16) if ready else b""
            if not data and not self.is_running:
                # Those that it started may go on, and keep its replies open.
                self._fail(folder, f"its process ended with {self._process.wait()}")
            if data:
                seen = time.monotonic()
            received += data
            *lines, received = received.split(b"\n")
            for line in lines:
                if line == b"done":
                    return
                if line.startswith(b"failed "):
                    self._fail(folder, line[7:].decode(errors="replace"))
            if (folder / "errors.txt").exists():
                self._fail(folder, "one of its processes ended")
            if time.monotonic() - seen > timeout_s:
                found = f"nothing for {timeout_s:g} s"
                raise RunError(Diagnostic("lava.timeout", "backend 'lava'", found, "progress"))

    def _fail(self, folder: Path, reason: str) -> NoReturn:
        """Raise what is known about a failure: best, what a process of Lava itself raised."""
        time.sleep(_POLL_S)  # the text may still be on its way
        errors = folder / "errors.txt"
        if errors.exists():
            reason = _last_line(errors.read_text(errors="replace"))
        else:
            self._log.seek(0)
            said = _last_line(self._log.read().decode(errors="replace"))
            reason = f"{reason}; {said}" if said and said not in reason else reason
        raise RunError(
            Diagnostic("lava.failed", "backend 'lava'", reason[:500], "a run of the network")
        )

    def stop(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            # Gently first: then what Lava has in shared memory is freed by the last of them.
            os.killpg(self.group, signal.SIGTERM)
            deadline = time.monotonic() + _GRACE_S
            while time.monotonic() < deadline:
                self._process.poll()
                os.killpg(self.group, 0)
                time.sleep(_POLL_S / 10)
            os.killpg(self.group, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with contextlib.suppress(OSError):
            os.close(self._replies)
        self._log.close()


class _Pool:
    """One worker at most, which serves one run after the other of the process that started it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: LavaProcess | None = None
        self._owner = os.getpid()

    def run(self, folder: Path, timeout_s: float) -> None:
        with self._lock:
            if self._owner != os.getpid():
                self._worker, self._owner = None, os.getpid()
            if self._worker is None or not self._worker.is_running:
                self._worker = LavaProcess()
            worker, self._worker = self._worker, None
            worker.run(folder, timeout_s)
            self._worker = worker

    def close(self) -> None:
        with self._lock:
            worker, self._worker = self._worker, None
            if worker is not None and self._owner == os.getpid():
                worker.stop()


_POOL: Final = _Pool()
atexit.register(_POOL.close)


def run_job(folder: Path, timeout_s: float) -> None:
    """Let Lava run what a folder holds; see :meth:`LavaProcess.run`.

    Raises:
        RunError: If Lava fails, or takes too long.
    """
    _POOL.run(folder, timeout_s)


def stop_lava() -> None:
    """End the process in which Lava runs, if there is one; the next run starts another."""
    _POOL.close()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
