"""What holds for the source tree as a whole: layering, hygiene, packaging."""

from __future__ import annotations

import ast
import importlib.resources
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOTS = {"snnir": ROOT, "snnir_converters": ROOT / "converters"}
GENERATED = ROOT / "snnir/proto/v1"
MAX_LINES = 800

in_source_tree = pytest.mark.skipif(
    not (ROOT / "snnir").is_dir(), reason="the source tree is not here (testing an installed wheel)"
)


def library_files() -> list[Path]:
    """Every hand-written module of the two packages."""
    return sorted(
        path
        for package, source_root in SOURCE_ROOTS.items()
        for path in (source_root / package).rglob("*.py")
        if GENERATED not in path.parents
    )


def module_name(path: Path) -> str:
    source_root = next(r for p, r in SOURCE_ROOTS.items() if path.is_relative_to(r / p))
    parts = path.relative_to(source_root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


IMPORT_FUNCTIONS = {"__import__", "import_module", "importlib.import_module"}


def imported_modules(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and absolute name of all that a file imports, at any level, for any reason."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])
        elif isinstance(node, ast.Call) and called_name(node) in IMPORT_FUNCTIONS:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield node.lineno, str(argument.value)


def called_name(call: ast.Call) -> str:
    return ast.unparse(call.func) if isinstance(call.func, ast.Name | ast.Attribute) else ""


def imports_outside(allowed: list[str], *modules: str) -> list[str]:
    """Imports of `modules` in library files that are not at or below an `allowed` path."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in library_files()
        if not any(path.is_relative_to(ROOT / place) for place in allowed)
        for line, name in imported_modules(path, ast.parse(path.read_text("utf-8")))
        if any(f"{name}.".startswith(f"{module}.") for module in modules)
    ]


@in_source_tree
def test_only_serde_imports_protobuf() -> None:
    allowed = ["snnir/serde", "snnir/proto"]
    assert not imports_outside(allowed, "google.protobuf", "snnir.proto")


@in_source_tree
def test_only_the_guard_imports_h5py() -> None:
    assert not imports_outside(["converters/snnir_converters/_hdf5.py"], "h5py")


@in_source_tree
def test_nothing_unpickles() -> None:
    assert not imports_outside([], "pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")


FORBIDDEN_CALLS = {"eval", "exec", "exit", "quit", "print", "sys.exit", "os._exit"}
ALLOWED_IN_CLI = {"print", "sys.exit"}


def forbidden_constructs(path: Path) -> Iterator[tuple[int, str]]:
    allowed = ALLOWED_IN_CLI if path.is_relative_to(ROOT / "snnir/cli") else set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert"
        elif isinstance(node, ast.Call):
            if called_name(node) in FORBIDDEN_CALLS - allowed:
                yield node.lineno, called_name(node)
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    yield node.lineno, "allow_pickle"


@in_source_tree
def test_library_code_neither_asserts_nor_prints_nor_exits_nor_evaluates() -> None:
    assert not [
        f"{path.relative_to(ROOT)}:{line}: {construct}"
        for path in library_files()
        for line, construct in forbidden_constructs(path)
    ]


@in_source_tree
def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in library_files()}
    assert not {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_LINES}


def committed_files() -> list[Path]:
    """What is in the git index, or would be after `git add --all`."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    try:
        listing = subprocess.run(
            [*command, "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listing.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


MACHINE_PATH = re.compile(rb"(?<![\w.~})*-])/(?:home|root|work|tmp|Users)(?![\w.-])")


@in_source_tree
def test_no_committed_file_names_a_path_of_one_machine() -> None:
    assert not [
        str(path.relative_to(ROOT))
        for path in committed_files()
        if MACHINE_PATH.search(path.read_bytes())
    ]


@in_source_tree
def test_this_tree_is_what_is_tested() -> None:
    import snnir
    import snnir_converters

    assert Path(snnir.__file__).is_relative_to(ROOT)
    assert Path(snnir_converters.__file__).is_relative_to(ROOT)


@pytest.mark.parametrize("package", ["snnir", "snnir_converters"])
def test_type_information_is_shipped(package: str) -> None:
    assert importlib.resources.files(package).joinpath("py.typed").is_file()


HEAVY = {
    "google.protobuf",
    "h5py",
    "keras",
    "lava",
    "matplotlib",
    "ml_genn",
    "nir",
    "onnx",
    "onnxruntime",
    "pygenn",
    "scipy",
    "snnir_converters",
    "tensorflow",
    "torch",
}


def test_importing_snnir_loads_nothing_heavy() -> None:
    program = "import sys, snnir; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert not HEAVY.intersection(result.stdout.split())
