"""Every error code: the smallest situation that yields it, and what it then says.

Situations of converters are in files `code_cases.py` next to their tests: a list `CASES` of
(code, class of the error or None, situation), the latter as the functions here are.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir import GraphBuilder, SnnirError, Tensor, plugins
from snnir.cli.data import open_samples
from snnir.codes import CODES
from snnir.errors import (
    CapabilityError,
    Diagnostic,
    FileError,
    FormatError,
    MissingDependency,
    ModelError,
    PluginError,
    RunError,
    UnsupportedVersion,
)
from snnir.ir.graph import Binding, Graph, GraphInput, GraphOutput, Node
from snnir.ir.model import Example, Expected, Model, TimeBase
from snnir.ir.types import DType, Quantization, Timing, ValueType
from snnir.ops import registry
from snnir.passes.upgrade import upgrade
from snnir.proto.v1 import snnir_pb2 as pb
from snnir.runtime.backend import find_backend
from tests.plugins import install_plugin

Situation = Callable[[Path], Iterable[Diagnostic] | None]


@dataclass(frozen=True)
class Case:
    """How a code comes about: as the error that is raised, or (None) as a finding returned."""

    code: str
    raised: type[SnnirError] | None
    situation: Situation


CASES: list[Case] = []


def raises(code: str, error: type[SnnirError]) -> Callable[[Situation], Situation]:
    """Declare a situation in which exactly this class is raised, with this code."""

    def declare(situation: Situation) -> Situation:
        CASES.append(Case(code, error, situation))
        return situation

    return declare


def finds(code: str) -> Callable[[Situation], Situation]:
    """Declare a situation that returns findings, one of which has this code."""

    def declare(situation: Situation) -> Situation:
        CASES.append(Case(code, None, situation))
        return situation

    return declare


# Models to spoil -------------------------------------------------------------------------------


def small_model(**neuron: Any) -> Model:
    """x -> encoder -> dense -> neuron -> counts, all of length 2."""
    b = GraphBuilder("small", steps=4)
    x = b.input("x", [2])
    current = b.snn.ConstantCurrent(x, name="encoder")
    current = b.snn.Dense(current, weight=np.eye(2, dtype=np.float32), name="dense")
    spikes = b.snn.LIF(current, **{"decay": 0.5, "name": "neuron", "source": "layer", **neuron})
    b.output("counts", b.snn.SpikeCount(spikes, name="counter"))
    return b.build()


def spoiled(**neuron: Any) -> Model:
    """A model whose neuron has these attributes and parameters, right or wrong."""
    model = small_model()
    node = model.graph.nodes["neuron"]
    for name, value in neuron.items():
        if isinstance(value, Tensor):
            node.parameters[name] = value
        else:
            node.attributes[name] = value
    return model


def large_model() -> Model:
    """A model with a blob."""
    b = GraphBuilder("large", steps=2)
    x = b.input("x", [40], timing="per_step")
    b.output("y", b.snn.Dense(x, weight=np.ones((40, 40), np.float32), name="dense"))
    return b.build()


def foreign_model(domain: str = "acme") -> Model:
    """A node of an operator set that is not installed."""
    per_step = ValueType(DType.FLOAT32, (2,), Timing.PER_STEP)
    node = Node("n", f"{domain}.Neuron", [Binding("x", "x")], ("y",), {}, {}, (per_step,))
    graph = Graph("main", [GraphInput("x", per_step)], {"n": node}, [GraphOutput("y", "n:y")])
    return Model(graph, {domain: 1})


def number(value: float) -> Tensor:
    return Tensor.from_array(np.float32(value))


def rewritten(model: Model, change: Callable[[Any], object]) -> bytes:
    """The file of a model with a changed header: digest and form of the file are right."""
    data = snnir.to_bytes(model)
    whole, header = pb.Model.FromString(data), pb.Model.FromString(data)
    for name in ("magic", "header_sha256", "padding", "blobs"):
        header.ClearField(name)
    change(header)
    content = header.SerializeToString()
    tail = pb.Model(blobs=whole.blobs).SerializeToString()
    return b"\rSNNIR " + hashlib.sha256(content).digest() + content + tail


def read_rewritten(change: Callable[[Any], object], model: Model | None = None) -> None:
    snnir.loads(rewritten(model or small_model(), change))


ONES = np.ones((1, 2), np.float32)


# Files -----------------------------------------------------------------------------------------


@raises("file.unreadable", FileError)
def _(folder: Path) -> None:
    snnir.load(folder / "absent.snnir")


@raises("file.unreadable", FileError)
def _(folder: Path) -> None:
    snnir.load(folder)


@raises("file.unwritable", FileError)
def _(folder: Path) -> None:
    snnir.save(small_model(), folder / "absent" / "model.snnir")


@raises("file.data", FileError)
def _(folder: Path) -> None:
    table = folder / "x.csv"
    table.write_text("1, 2\n", "utf-8")
    with open_samples(str(table), ["x"]):
        pass


@raises("format.not-snnir", FormatError)
def _(folder: Path) -> None:
    snnir.loads(b"")


@raises("format.not-snnir", FormatError)
def _(folder: Path) -> None:
    snnir.loads(b"PK\x03\x04 something else entirely, of some length")


@raises("file.unknown-format", FormatError)
def _(folder: Path) -> None:
    (folder / "net.txt").write_text("three layers", "utf-8")
    snnir.conversion.read(folder / "net.txt")


@raises("format.truncated", FormatError)
def _(folder: Path) -> None:
    snnir.loads(snnir.to_bytes(large_model())[:-1])


@raises("format.malformed", FormatError)
def _(folder: Path) -> None:
    header = b"\x0b"  # a group, which proto3 does not have
    snnir.loads(b"\rSNNIR " + hashlib.sha256(header).digest() + header)


@raises("format.malformed", FormatError)
def _(folder: Path) -> None:
    read_rewritten(lambda header: header.opsets.add(domain="Z Z", version=1), Model(Graph(), {}))


@raises("format.header-digest", FormatError)
def _(folder: Path) -> None:
    data = bytearray(snnir.to_bytes(small_model()))
    data[7] ^= 1
    snnir.loads(bytes(data))


@finds("format.blob-digest")
def _(folder: Path) -> list[Diagnostic]:
    data = bytearray(snnir.to_bytes(large_model()))
    data[-1] ^= 1
    return snnir.check(snnir.loads(bytes(data)))


@raises("format.blob-digest", FormatError)
def _(folder: Path) -> None:
    data = bytearray(snnir.to_bytes(large_model()))
    data[-1] ^= 1
    snnir.loads(bytes(data)).graph.nodes["dense"].parameters["weight"].verify()


@raises("format.blob-index", FormatError)
def _(folder: Path) -> None:
    def change(header: Any) -> None:
        header.graph.nodes[0].parameters[0].tensor.blob.index = 1

    read_rewritten(change, large_model())


@raises("format.length", FormatError)
def _(folder: Path) -> None:
    def change(header: Any) -> None:
        header.graph.nodes[1].parameters[0].tensor.inline += b"\0"

    read_rewritten(change)


@raises("format.value-index", FormatError)
def _(folder: Path) -> None:
    def change(header: Any) -> None:
        header.graph.outputs[0].value = 5

    read_rewritten(change)


@raises("format.enum", FormatError)
def _(folder: Path) -> None:
    def change(header: Any) -> None:
        header.graph.inputs[0].type.dtype = 0

    read_rewritten(change)


@raises("format.missing", FormatError)
def _(folder: Path) -> None:
    read_rewritten(lambda header: header.ClearField("time"))


@raises("format.order", FormatError)
def _(folder: Path) -> None:
    read_rewritten(lambda header: header.opsets.add(domain="ann", version=1))


@raises("format.limit", FormatError)
def _(folder: Path) -> None:
    def change(header: Any) -> None:
        header.graph.nodes[1].parameters[0].tensor.shape[:] = [1 << 32, 1 << 32]

    read_rewritten(change)


@raises("format.unfit", ModelError)
def _(folder: Path) -> None:
    snnir.to_bytes(spoiled(refractory_steps=1 << 64))


@finds("format.unknown-field")
def _(folder: Path) -> tuple[Diagnostic, ...]:
    def change(header: Any) -> None:
        header.MergeFromString(b"\xa2\x06\x03new")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = snnir.loads(rewritten(small_model(), change))
    assert [warning.category for warning in caught] == [snnir.SnnirWarning]
    return model.findings


@raises("version.ir", UnsupportedVersion)
def _(folder: Path) -> None:
    def change(header: Any) -> None:
        header.ir_version = 2

    read_rewritten(change)


@finds("version.opset")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.opsets["snn"] = 99
    return snnir.check(model)


@raises("version.opset", UnsupportedVersion)
def _(folder: Path) -> None:
    model = small_model()
    model.opsets["snn"] = 99
    upgrade(model)


# Graph -----------------------------------------------------------------------------------------


@finds("graph.name")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.outputs[0].name = "../counts"
    return snnir.check(model)


@raises("graph.duplicate-name", ModelError)
def _(folder: Path) -> None:
    b = GraphBuilder()
    b.input("x", [1])
    b.input("x", [1])


@raises("graph.duplicate-name", FormatError)
def _(folder: Path) -> None:
    def change(header: Any) -> None:
        header.graph.nodes[0].name = "x"

    read_rewritten(change)


@finds("graph.duplicate-name")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.outputs *= 2
    return snnir.check(model)


@finds("graph.duplicate-edge")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["neuron"].inputs *= 2
    return snnir.check(model)


@finds("graph.dangling-edge")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["neuron"].inputs[0] = Binding("current", "nobody:y")
    return snnir.check(model)


@finds("graph.undelayed-cycle")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["neuron"].inputs.append(Binding("current", "neuron:spikes"))
    return snnir.check(model)


@finds("graph.unreachable")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.outputs[0].value = "dense:y"
    return snnir.check(model)


@finds("graph.no-output")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.outputs.clear()
    return snnir.check(model)


@finds("graph.unused-input")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.inputs.append(GraphInput("spare", model.graph.inputs[0].type))
    return snnir.check(model)


@finds("graph.delay")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["encoder"].inputs[0] = Binding("x", "x", 1)
    return snnir.check(model)


# Operators and types ---------------------------------------------------------------------------


@finds("op.unknown-domain")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(foreign_model())


@finds("op.unknown")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["neuron"].op = "snn.Nerve"
    return snnir.check(model)


@raises("op.not-executable", CapabilityError)
def _(folder: Path) -> None:
    snnir.run(foreign_model(), np.ones((1, 1, 2), np.float32))


@finds("op.opset")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.opsets.clear()
    return snnir.check(model)


@finds("op.port")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["neuron"].inputs.clear()
    return snnir.check(model)


@finds("op.attribute")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(spoiled(reset="soft"))


@finds("op.parameter")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(spoiled(colour=number(1)))


@finds("type.shape")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(spoiled(threshold=Tensor.from_array(np.ones(3, np.float32))))


@finds("type.dtype")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(spoiled(threshold=Tensor.from_array(np.int32(1))))


@finds("type.timing")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["dense"].inputs[0] = Binding("x", "x")
    return snnir.check(model)


@finds("type.declared")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    declared = ValueType(DType.FLOAT32, (3,), Timing.PER_STEP)
    model.graph.nodes["neuron"].output_types = (declared,)
    return snnir.check(model)


@finds("type.open")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.graph.nodes["neuron"].inputs[0] = Binding("current", "neuron:spikes", 1)
    return snnir.check(model)


@finds("type.quantisation")
def _(folder: Path) -> list[Diagnostic]:
    tensor = Tensor.from_array(np.ones(2, np.int8), None, Quantization((0.5, 0.5), 8))
    return snnir.check(spoiled(threshold=tensor))


# Values ----------------------------------------------------------------------------------------


@finds("value.not-finite")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(spoiled(bias=number(float("nan"))))


@finds("value.range")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(spoiled(decay=number(1.5)))


@finds("value.relation")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(spoiled(reset_potential=number(2)))


@finds("value.time")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.time = TimeBase(0.0, 1)
    return snnir.check(model)


@finds("value.metadata")
def _(folder: Path) -> list[Diagnostic]:
    model = small_model()
    model.metadata[""] = "no key"
    return snnir.check(model)


# Examples and running --------------------------------------------------------------------------


def with_example(counts: list[float], name: str = "counts") -> Model:
    model = small_model()
    expected = {name: Expected(Tensor.from_array(np.array([counts], np.float32)))}
    model.examples["e"] = Example({"x": Tensor.from_array(ONES)}, 4, expected)
    return model


@finds("example.invalid")
def _(folder: Path) -> list[Diagnostic]:
    return snnir.check(with_example([0, 0], "nothing of that name"))


@raises("example.none", ModelError)
def _(folder: Path) -> None:
    snnir.verify(small_model())


@finds("example.mismatch")
def _(folder: Path) -> list[Diagnostic]:
    report = snnir.verify(with_example([99, 99]))
    assert not report.passed
    return report.diagnostics()


@raises("run.input", RunError)
def _(folder: Path) -> None:
    snnir.run(small_model(), np.ones((1, 3), np.float32))


@raises("run.record", RunError)
def _(folder: Path) -> None:
    snnir.run(small_model(), ONES, record=["neuron:w"])


@raises("run.steps", RunError)
def _(folder: Path) -> None:
    snnir.run(small_model(), ONES, steps=0)


@raises("run.capability", CapabilityError)
def _(folder: Path) -> None:
    snnir.run(small_model(), ONES, precision="float16")


# Plugins ---------------------------------------------------------------------------------------


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("acme_plugin", None)
    monkeypatch.undo()
    registry.refresh()


@raises("plugin.unknown", PluginError)
def _(folder: Path) -> None:
    find_backend("abacus")


@raises("plugin.broken", PluginError)
def _(folder: Path) -> None:
    install_plugin(folder, "1 / 0", "[snnir.backends]", "acme = acme_plugin:Backend")
    find_backend("acme")


@raises("plugin.missing-dependency", MissingDependency)
def _(folder: Path) -> None:
    install_plugin(
        folder, "import surely_not_installed", "[snnir.frontends]", "acme = acme_plugin:Reader"
    )
    plugins.load("frontends", "acme")


# Situations of other parts -------------------------------------------------------------------

TESTS = Path(__file__).resolve().parent
for path in sorted(TESTS.rglob("code_cases.py")):
    module = ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
    CASES += [Case(*entry) for entry in importlib.import_module(module).CASES]


# What holds for each ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_the_situation_gives_the_code(case: Case, plugin_folder: Path) -> None:
    if case.raised is None:
        findings = tuple(case.situation(plugin_folder) or ())
    else:
        with pytest.raises(SnnirError) as caught:
            case.situation(plugin_folder)
        assert type(caught.value) is case.raised
        findings = caught.value.diagnostics
        assert all(str(finding) in str(caught.value) for finding in findings)
    of_code = [finding for finding in findings if finding.code == case.code]
    assert of_code, [str(finding) for finding in findings]
    for finding in findings:
        assert finding.where and finding.found and finding.allowed and finding.remedy, finding
        assert finding.severity == CODES[finding.code].severity
        text = str(finding)
        for part in (finding.code, finding.where, finding.found, finding.allowed, finding.remedy):
            assert part in text
        assert set(finding.to_json().values()) >= {finding.code, finding.where, finding.found}


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_situation(code: str) -> None:
    assert code in {case.code for case in CASES}


def test_findings_name_the_original_layer() -> None:
    (finding,) = snnir.check(spoiled(decay=number(1.5)))
    assert (finding.source, "from layer 'layer'" in str(finding)) == ("layer", True)


# The codes in the source -----------------------------------------------------------------------

LOOKS_LIKE_A_CODE = re.compile(
    rf"(?:{'|'.join(sorted({code.partition('.')[0] for code in CODES}))})\.[a-z0-9]+(?:-[a-z0-9]+)*"
)
GIVE_A_CODE = {"Diagnostic", "report", "fail", "_fail", "malformed"}


def package_files() -> Iterator[Path]:
    """Every module of the packages, in the source tree or installed."""
    for package in ("snnir", "snnir_converters"):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(place).rglob("*.py"))


def codes_in(tree: ast.AST) -> list[str]:
    """Every text in a piece of source that looks like a code."""
    texts = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return [text for text in texts if LOOKS_LIKE_A_CODE.fullmatch(text)]


def test_every_code_is_used() -> None:
    used = {
        code
        for path in package_files()
        if path.parts[-2:] != ("snnir", "codes.py")
        for code in codes_in(ast.parse(path.read_text("utf-8")))
    }
    assert CODES.keys() - used == set()


def test_every_code_in_use_is_defined() -> None:
    unknown = [
        f"{os.path.relpath(path)}:{call.lineno}: {code}"
        for path in package_files()
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in GIVE_A_CODE
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
        for code in codes_in(argument)
        if code not in CODES
    ]
    assert unknown == []


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained(code: str) -> None:
    info = CODES[code]
    assert LOOKS_LIKE_A_CODE.fullmatch(code)
    assert info.title and not info.title.endswith(".")
    assert not info.title[:2].istitle(), "a title continues a sentence"
    assert info.remedy[0].isupper() or info.remedy[0] == "`"
    assert info.remedy.endswith(".")
    assert info.severity in ("error", "warning")
