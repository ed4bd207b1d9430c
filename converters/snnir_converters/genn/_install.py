"""What has to be there before GeNN can run anything: PyGeNN, its backends, a compiler."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from typing import Any, Final

from snnir.errors import CapabilityError, Diagnostic, MissingDependency
from snnir_converters.genn._models import CPU as CPU

OLDEST: Final = (5, 3)
"""Oldest release of PyGeNN that is supported."""

INSTALLATION: Final = "https://genn-team.github.io/genn/documentation/5/installation.html"

BACKENDS: Final = ("cuda", "hip", CPU)
"""GeNN's backends, the fastest first."""

_GOOD: Final = f"PyGeNN {OLDEST[0]}.{OLDEST[1]} to 5.x"


@dataclass(frozen=True)
class Installation:
    """A usable PyGeNN.

    Attributes:
        pygenn: The package.
        version: Its version.
        backends: Those of its backends that can run here, the fastest first.
    """

    pygenn: Any
    version: str
    backends: tuple[str, ...]

    def choose(self, wanted: str) -> str:
        """The backend of that name, or the fastest for ``"auto"``.

        Raises:
            CapabilityError: If this PyGeNN does not have it.
        """
        if wanted == "auto" and self.backends:
            return self.backends[0]
        if wanted not in self.backends:
            hint = (
                "build PyGeNN with CUDA_PATH (HIP_PATH) set and check that the driver is loaded: "
                "PyGeNN leaves out a backend without one"
            )
            allowed = ", ".join(("auto", *self.backends))
            raise CapabilityError(
                Diagnostic("genn.backend", "backend of GeNN", f"'{wanted}'", allowed, hint)
            )
        return wanted


def require_pygenn() -> Installation:
    """PyGeNN, checked.

    Raises:
        MissingDependency: If it is not installed, too old, or a build with a known defect.
    """
    try:
        import pygenn
        from pygenn.genn_model import backend_modules
    except ImportError as error:
        raise MissingDependency(
            Diagnostic(
                "genn.missing",
                "backend 'genn'",
                str(error),
                _GOOD,
                f"PyGeNN is in no package index: install it as {INSTALLATION} says",
            )
        ) from None
    version = str(getattr(pygenn, "__version__", "unknown"))
    check_version(version)
    check_integers(pygenn)
    backends = tuple(name for name in BACKENDS if name in backend_modules)
    return Installation(pygenn, version, backends)


def check_version(version: str) -> None:
    """Refuse a release that is too old or too new.

    Raises:
        MissingDependency: If it is.
    """
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    if len(numbers) < 2 or not OLDEST <= tuple(numbers) < (OLDEST[0] + 1, 0):
        raise MissingDependency(
            Diagnostic(
                "genn.version",
                "PyGeNN",
                f"version {version}",
                _GOOD,
                f"install a newer one as {INSTALLATION} says",
            )
        )


def check_integers(pygenn: Any) -> None:
    """Refuse a build that turns whole numbers into floats.

    PyGeNN built against pybind11 3.1 or newer does (genn-team/genn issue 762); integer
    parameters then mean something else, or do not compile.

    Raises:
        MissingDependency: If it is such a build.
    """
    value = pygenn._genn.NumericValue(3).value
    if not isinstance(value, int):
        raise MissingDependency(
            Diagnostic(
                "genn.defect",
                "PyGeNN",
                f"a build that stores the integer 3 as {value!r}",
                "a build that keeps integers",
                "it was built against pybind11 3.1 or newer (genn-team/genn issue 762): "
                "rebuild it with 'pybind11<3.1'",
            )
        )


def compiler_command(backend: str) -> list[str]:
    """The compiler that GeNN will call, checked.

    Raises:
        MissingDependency: If it or make is missing.
    """
    given = os.environ.get("CXX", "")
    try:
        command = shlex.split(given) or ["g++"]
    except ValueError as error:
        finding = Diagnostic("genn.compiler", "CXX", f"{given!r}: {error}", "a command")
        raise MissingDependency(finding) from None
    tools = {command[0]: "a C++ compiler (Debian and Ubuntu: apt install g++)"}
    tools["make"] = "make (Debian and Ubuntu: apt install make)"
    if backend == "cuda":
        toolkit = os.environ.get("CUDA_PATH", "")
        tools[os.path.join(toolkit, "bin", "nvcc")] = "the CUDA toolkit that CUDA_PATH names"
    if backend == "hip":
        toolkit = os.environ.get("HIP_PATH", "/opt/rocm")  # as in GeNN's makefiles
        tools[os.path.join(toolkit, "bin", "hipcc")] = "the HIP toolkit that HIP_PATH names"
    findings = [
        Diagnostic(
            "genn.compiler", "building for GeNN", f"no '{tool}'", package, f"install {package}"
        )
        for tool, package in tools.items()
        if shutil.which(tool) is None
    ]
    if findings:
        raise MissingDependency(findings)
    return command
