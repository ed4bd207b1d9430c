"""Generate the checked-in protobuf code of snnir.

    python proto/generate.py            write snnir/proto/v1/snnir_pb2.py and .pyi
    python proto/generate.py --check    exit 1, with a diff, if they are out of date
    python proto/generate.py --release  write the baseline of the breaking-change check

Needs the compiler pinned by `pip install snnir[proto]`: code that a newer one writes refuses
older protobuf runtimes.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.resources
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "snnir/proto/v1/snnir.proto"
GENERATED = ("snnir/proto/v1/snnir_pb2.py", "snnir/proto/v1/snnir_pb2.pyi")
BASELINE = ROOT / "proto/released/v1.binpb"


def compile_proto(*outputs: str) -> None:
    well_known_types = importlib.resources.files("grpc_tools") / "_proto"
    include = [f"-I{ROOT / 'proto'}", f"-I{well_known_types}"]
    if protoc.main(["protoc", *include, *outputs, SOURCE]) != 0:
        sys.exit(f"protoc failed on {SOURCE}")


def generate() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as directory:
        compile_proto(f"--python_out={directory}", f"--pyi_out={directory}")
        return {name: Path(directory, name).read_text("utf-8") for name in GENERATED}


def diff(name: str, expected: str) -> str:
    path = ROOT / name
    found = path.read_text("utf-8") if path.exists() else ""
    lines = difflib.unified_diff(
        found.splitlines(keepends=True),
        expected.splitlines(keepends=True),
        f"{name} (checked in)",
        f"{name} (generated)",
    )
    return "".join(line[:100].rstrip() + "\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate the protobuf code of snnir.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="exit 1 if the code is out of date")
    mode.add_argument("--release", action="store_true", help=f"write {BASELINE.relative_to(ROOT)}")
    arguments = parser.parse_args()

    if arguments.release:
        BASELINE.parent.mkdir(exist_ok=True)
        compile_proto("--include_imports", f"--descriptor_set_out={BASELINE}")
        return 0

    generated = generate()
    if arguments.check:
        changes = "".join(diff(name, text) for name, text in generated.items())
        if changes:
            print(changes, "run `make proto`", sep="\n", file=sys.stderr)
        return bool(changes)

    for name, text in generated.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
