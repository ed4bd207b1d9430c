"""Files that are damaged, hostile or not models at all: one error class, a code, no surprise."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import snnir
from snnir import limits
from snnir.errors import FileError, FormatError, SnnirError, UnsupportedVersion
from snnir.ir.model import Model
from snnir.serde import file as file_module
from tests.serde.craft import (
    HEADER_START,
    changed,
    craft,
    field,
    header_end,
    node,
    parameters,
    parse,
    rich_model,
    seal,
    small_file,
    tensor,
    varint,
)

SMALL = small_file()
WRITTEN = snnir.to_bytes(rich_model())
DAMAGED = {
    "format.not-snnir",
    "format.truncated",
    "format.malformed",
    "format.header-digest",
    "format.blob-index",
    "format.length",
}


def refused(data: bytes, kind: type[SnnirError] = FormatError) -> SnnirError:
    """The error that reading gives; its class is exactly the one that is expected."""
    with pytest.raises(SnnirError) as caught:
        snnir.loads(data)
    assert type(caught.value) is kind
    return caught.value


# Damage --------------------------------------------------------------------------------------


def test_the_files_that_are_damaged_below_are_good() -> None:
    assert snnir.loads(SMALL) == rich_model(3)
    assert snnir.loads(WRITTEN) == rich_model()


def test_a_file_cut_off_at_any_byte_is_refused() -> None:
    codes = {refused(SMALL[:length]).code for length in range(len(SMALL))}
    assert codes <= DAMAGED
    assert {"format.not-snnir", "format.truncated", "format.header-digest"} <= codes


def test_a_file_of_the_writer_cut_off_where_a_part_ends_is_refused() -> None:
    end = header_end(WRITTEN)
    places = {*range(end - 8, end + 128), *range(len(WRITTEN) - 8, len(WRITTEN))}
    assert {refused(WRITTEN[:length]).code for length in places} <= DAMAGED


def test_a_file_cut_off_on_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.snnir"
    for length in (0, 3, 5, 20, 39, 40, 500, len(SMALL) - 1):
        path.write_bytes(SMALL[:length])
        with pytest.raises(FormatError) as caught:
            snnir.load(path)
        assert caught.value.code in DAMAGED


def test_any_flipped_bit_of_start_or_header_is_found() -> None:
    end = header_end(SMALL)
    codes = set()
    for position in range(end):
        for bit in range(8):
            data = bytearray(SMALL)
            data[position] ^= 1 << bit
            codes.add(refused(bytes(data)).code)
    assert codes <= DAMAGED


def test_any_flipped_bit_of_a_blob_is_found_by_check_and_verify() -> None:
    blobs = parse(SMALL).blobs
    starts = [SMALL.rindex(content) for content in blobs]
    names = ("big", "bigger")
    for start, content, name in zip(starts, blobs, names, strict=True):
        for position in range(start, start + len(content)):
            data = bytearray(SMALL)
            data[position] ^= 1 << position % 8
            model = snnir.loads(bytes(data))
            findings = [f for f in snnir.check(model) if f.severity == "error"]
            assert [f.code for f in findings] == ["format.blob-digest"]
            assert f"'block/foreign' (acme.Mixer), parameter '{name}'" in findings[0].where
            with pytest.raises(FormatError) as caught:
                model.graph.nodes["block/foreign"].parameters[name].verify()
            assert caught.value.code == "format.blob-digest"


def test_a_flipped_bit_between_the_blobs_is_an_error_or_changes_nothing() -> None:
    content = [range(WRITTEN.rindex(b), WRITTEN.rindex(b) + len(b)) for b in parse(WRITTEN).blobs]
    places = [
        place
        for place in range(header_end(WRITTEN), len(WRITTEN))
        if not any(place in blob for blob in content)
    ]
    assert len(places) > 20
    for place in places:
        for bit in range(8):
            data = bytearray(WRITTEN)
            data[place] ^= 1 << bit
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    model = snnir.loads(bytes(data))
            except FormatError as error:
                assert error.code in DAMAGED
            else:
                found = [f for f in snnir.check(model) if f.severity == "error"]
                assert model == rich_model() or caught or found


@pytest.mark.parametrize("name", ["big", "bigger"])
def test_a_wrong_sha256_of_a_blob_is_found_by_check(name: str) -> None:
    def change(message: Any) -> None:
        tensor(message, "block/foreign", name).blob.sha256 = bytes(32)

    model = snnir.loads(changed(SMALL, change))
    errors = [f for f in snnir.check(model) if f.severity == "error"]
    assert [f.code for f in errors] == ["format.blob-digest"]
    assert errors[0].allowed == "00" * 32


def test_without_its_sha256_a_blob_is_taken_as_it_is() -> None:
    def change(message: Any) -> None:
        tensor(message, "block/foreign", "big").blob.sha256 = b""

    assert snnir.loads(changed(SMALL, change)) == rich_model(3)


# What is not a model -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "format.not-snnir"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "format.not-snnir"),
        (b"SNNIR", "format.not-snnir"),
        (bytes(1000), "format.not-snnir"),
        (b"\r", "format.truncated"),
        (b"\rSNN", "format.truncated"),
        (b"\rSNNIR", "format.truncated"),
        (b"\rSNNIR " + bytes(31), "format.truncated"),
        (b"\rSNNIR " + bytes(32), "format.header-digest"),
        (b"\rSNNIX " + bytes(32), "format.malformed"),
        (b"\rSNNIR!" + bytes(32), "format.malformed"),
        (b"\rSNNIR " + bytes(33), "format.truncated"),
        (b"\rSNNIR " + bytes(34), "format.malformed"),
    ],
)
def test_other_bytes_are_refused(data: bytes, code: str) -> None:
    assert refused(data).code == code


HEADER = parse(SMALL)
for _name in ("magic", "header_sha256", "blobs", "padding"):
    HEADER.ClearField(_name)
HEADER_BYTES = HEADER.SerializeToString()


@pytest.mark.parametrize(
    ("data", "code", "found"),
    [
        (seal(HEADER_BYTES, b"\xf2"), "format.truncated", "end of the file"),
        (seal(HEADER_BYTES, b"\xfa\x01"), "format.truncated", "end of the file"),
        (seal(HEADER_BYTES, b"\xfa\x01\x05abcd"), "format.truncated", "5 bytes with 4 left"),
        (
            seal(HEADER_BYTES, b"\xfa\x01" + varint((1 << 63) - 1)),
            "format.truncated",
            "9223372036854775807 bytes with 0 left",
        ),
        (seal(HEADER_BYTES, b"\xfa\x01" + b"\xff" * 9 + b"\x01"), "format.truncated", "bytes with"),
        (seal(HEADER_BYTES, b"\xfa\x01" + b"\xff" * 9 + b"\x02"), "format.malformed", "64 bits"),
        (seal(HEADER_BYTES, b"\xfa\x01" + b"\x80" * 20), "format.malformed", "64 bits"),
        (seal(HEADER_BYTES + b"\x80" * 9), "format.truncated", "end of the file"),
        (seal(HEADER_BYTES + b"\x98\x06"), "format.truncated", "end of the file"),
        (seal(HEADER_BYTES + b"\x99\x06" + bytes(7)), "format.truncated", "8 bytes with 7 left"),
        (seal(HEADER_BYTES + b"\x9d\x06" + bytes(3)), "format.truncated", "4 bytes with 3 left"),
        (seal(HEADER_BYTES + field(0, 0, b"\x01")), "format.malformed", "field number 0"),
        (seal(HEADER_BYTES + field(1 << 29, 0, b"\x01")), "format.malformed", "field number"),
        (seal(HEADER_BYTES + field(99, 3, b"\x9c\x06")), "format.malformed", "wire type 3"),
        (seal(HEADER_BYTES + field(99, 4, b"")), "format.malformed", "wire type 4"),
        (seal(HEADER_BYTES + field(99, 6, b"")), "format.malformed", "wire type 6"),
        (seal(HEADER_BYTES + field(99, 7, b"")), "format.malformed", "wire type 7"),
        (seal(field(1, 5, b"SNNI") + HEADER_BYTES), "format.malformed", "field 1 again"),
        (seal(HEADER_BYTES + field(10, 2, bytes(32))), "format.malformed", "field 10 again"),
        (
            seal(HEADER_BYTES, field(31, 2, b"") + field(17, 2, b"")),
            "format.malformed",
            "header field 17 behind a blob",
        ),
        (
            seal(HEADER_BYTES, field(30, 2, b"") + field(11, 0, b"\x01")),
            "format.malformed",
            "header field 11 behind a blob",
        ),
        (seal(b"\x7a\x02\xff\xff"), "format.malformed", "messag"),
        (seal(b"\x7a\x05\x1a\x03"), "format.truncated", "5 bytes with 2 left"),
    ],
)
def test_an_ill_formed_top_level_is_refused(data: bytes, code: str, found: str) -> None:
    error = refused(data)
    assert error.code == code
    assert found in error.diagnostics[0].found.lower()


def test_text_that_is_not_utf8_is_refused() -> None:
    for name in (b"lif", b"acme.Mixer", b"someone", b"by hand", b"height"):
        bad = HEADER_BYTES.replace(name, b"\xff\xfe" + name[2:])
        assert bad != HEADER_BYTES
        assert refused(seal(bad)).code == "format.malformed"


def groups(depth: int) -> bytes:
    """An unknown field of groups within each other."""
    return field(50, 3, b"") * depth + field(50, 4, b"") * depth


def test_deep_nesting_is_an_error_or_an_unknown_field() -> None:
    graph = parse(SMALL).graph.SerializeToString()
    start = pb_without_graph()
    data = seal(start + field(15, 2, graph + groups(20)))
    data += SMALL[header_end(SMALL) :]
    with pytest.warns(snnir.SnnirWarning, match="field 50"):
        assert snnir.loads(data) == rich_model(3)
    for depth in (10_000, 1_000_000):
        assert refused(seal(start + field(15, 2, graph + groups(depth)))).code == "format.malformed"
    for open_or_wrong in (field(50, 3, b""), field(50, 3, b"") + field(51, 4, b"")):
        refused(seal(start + field(15, 2, graph + open_or_wrong)))


def pb_without_graph() -> bytes:
    message = parse(seal(HEADER_BYTES))
    for name in ("magic", "header_sha256", "graph"):
        message.ClearField(name)
    return bytes(message.SerializeToString())


# Messages that break a rule ------------------------------------------------------------------

Change = Callable[[Any], object]


def clear(path: str) -> Change:
    def change(message: Any) -> None:
        *parents, last = path.split(".")
        for name in parents:
            message = getattr(message, name)
        message.ClearField(last)

    return change


def swap(path: str) -> Change:
    """Swaps the first two entries of a repeated field."""

    def change(message: Any) -> None:
        for name in path.split("."):
            message = message[int(name)] if name.isdigit() else getattr(message, name)
        first, second = type(message[0])(), type(message[0])()
        first.CopyFrom(message[0])
        second.CopyFrom(message[1])
        message[0].CopyFrom(second)
        message[1].CopyFrom(first)

    return change


def repeat(path: str) -> Change:
    """Makes the second entry of a repeated field equal to the first."""

    def change(message: Any) -> None:
        for name in path.split("."):
            message = message[int(name)] if name.isdigit() else getattr(message, name)
        message[1].CopyFrom(message[0])

    return change


def setting(path: str, value: Any) -> Change:
    def change(message: Any) -> None:
        *parents, last = path.split(".")
        for name in parents:
            message = message[int(name)] if name.isdigit() else getattr(message, name)
        if isinstance(value, (list, tuple)):
            getattr(message, last)[:] = value
        else:
            setattr(message, last, value)

    return change


def in_tensor(name: str, path: str, value: Any) -> Change:
    return lambda message: setting(path, value)(tensor(message, "block/foreign", name))


def add_dims(count: int) -> Change:
    def change(message: Any) -> None:
        for _ in range(count):
            message.graph.inputs[0].type.shape.add(size=1)

    return change


FOREIGN = "graph.nodes.2"
EXAMPLE = "examples.0"
TYPE = "graph.inputs.0.type"

RULES: list[tuple[str, Change]] = [
    # Versions and what must be there
    ("format.missing", clear("ir_version")),
    ("format.missing", setting("ir_version", 0)),
    ("format.missing", clear("time")),
    ("format.missing", clear("graph")),
    ("format.missing", lambda m: m.graph.inputs[0].ClearField("type")),
    ("format.missing", lambda m: m.graph.inputs[0].type.shape[0].Clear()),
    ("format.missing", lambda m: node(m, "block/foreign").attributes[0].ClearField("f")),
    ("format.missing", lambda m: parameters(m, "lif")[0].ClearField("tensor") or fix_dtype(m)),
    ("format.missing", lambda m: m.examples[0].expected[0].ClearField("tolerance")),
    ("format.missing", lambda m: m.examples[0].expected[0].tolerance.Clear()),
    # Enums
    ("format.enum", setting(f"{TYPE}.dtype", 0)),
    ("format.enum", setting(f"{TYPE}.dtype", 12)),
    ("format.enum", setting(f"{TYPE}.dtype", -1)),
    ("format.enum", setting(f"{TYPE}.timing", 0)),
    ("format.enum", setting(f"{TYPE}.timing", 3)),
    ("format.enum", setting(f"{TYPE}.quantization.rounding", 0)),
    ("format.enum", setting(f"{TYPE}.quantization.rounding", 5)),
    ("format.enum", setting(f"{FOREIGN}.output_types.0.dtype", 99)),
    ("format.enum", setting(f"{FOREIGN}.output_types.1.timing", 99)),
    ("format.enum", in_tensor("small", "dtype", 0)),
    ("format.enum", in_tensor("small", "dtype", (1 << 31) - 1)),
    ("format.enum", in_tensor("big", "dtype", 12)),
    ("format.enum", in_tensor("quantised", "quantization.rounding", 77)),
    ("format.enum", setting("graph.inputs.0.scale.dtype", 0)),
    ("format.enum", setting("graph.inputs.0.offset.dtype", 12)),
    ("format.enum", setting(f"{EXAMPLE}.inputs.0.tensor.dtype", 12)),
    ("format.enum", setting(f"{EXAMPLE}.expected.0.tensor.dtype", 12)),
    ("format.enum", lambda m: parameters(m, "lif")[0].ClearField("tensor")),
    # Lists that are to be sorted
    ("format.order", swap("opsets")),
    ("format.order", repeat("opsets")),
    ("format.order", swap("metadata")),
    ("format.order", repeat("metadata")),
    ("format.order", setting("metadata.0.key", "")),
    ("format.order", swap(f"{FOREIGN}.attributes")),
    ("format.order", repeat(f"{FOREIGN}.attributes")),
    ("format.order", setting(f"{FOREIGN}.attributes.0.name", "")),
    ("format.order", swap(f"{FOREIGN}.parameters")),
    ("format.order", repeat(f"{FOREIGN}.parameters")),
    ("format.order", setting(f"{FOREIGN}.parameters.0.name", "")),
    ("format.order", swap(f"{EXAMPLE}.inputs")),
    ("format.order", repeat(f"{EXAMPLE}.inputs")),
    ("format.order", swap(f"{EXAMPLE}.expected")),
    ("format.order", repeat(f"{EXAMPLE}.expected")),
    ("format.order", setting(f"{EXAMPLE}.name", "")),
    ("format.order", lambda m: m.examples.add().CopyFrom(m.examples[0])),
    # Operator sets
    ("format.malformed", setting("opsets.0.version", 0)),
    ("format.malformed", setting("opsets.0.domain", "Acme")),
    ("format.malformed", setting("opsets.0.domain", "a" * 65)),
    ("format.malformed", setting("opsets.0.domain", "a.b")),
    # Names
    ("graph.duplicate-name", setting("graph.inputs.1.name", "image")),
    ("graph.duplicate-name", setting("graph.nodes.1.name", "lif")),
    ("graph.duplicate-name", setting("graph.nodes.1.name", "image")),
    ("graph.duplicate-name", setting(f"{FOREIGN}.output_ports", ["same", "same"])),
    ("graph.duplicate-name", setting("graph.inputs.0.name", "lif:spikes")),
    # Numbers of values
    ("format.value-index", setting("graph.nodes.0.inputs.0.value", 6)),
    ("format.value-index", setting("graph.nodes.0.inputs.0.value", (1 << 32) - 1)),
    ("format.value-index", setting("graph.outputs.0.value", 6)),
    # Output types
    ("format.malformed", lambda m: node(m, "block/foreign").output_types.pop()),
    ("format.malformed", lambda m: node(m, "block/foreign").output_ports.append("third")),
    # Tensors
    ("format.blob-index", in_tensor("big", "blob.index", 2)),
    ("format.blob-index", in_tensor("big", "blob.index", (1 << 32) - 1)),
    ("format.malformed", in_tensor("big", "blob.sha256", bytes(31))),
    ("format.malformed", in_tensor("big", "blob.sha256", bytes(64))),
    ("format.length", in_tensor("big", "blob.index", 1)),
    ("format.length", in_tensor("big", "shape", [2])),
    ("format.length", in_tensor("big", "shape", [])),
    ("format.length", in_tensor("big", "dtype", 10)),
    ("format.length", in_tensor("small", "shape", [2, 3])),
    ("format.length", in_tensor("small", "shape", [0, 3])),
    ("format.length", in_tensor("small", "inline", b"")),
    ("format.length", in_tensor("small", "inline", bytes(17))),
    ("format.length", in_tensor("small", "dtype", 2)),
    ("format.length", in_tensor("small", "shape", [1 << 20, 1 << 20])),
    ("format.limit", in_tensor("small", "shape", [1 << 32, 1 << 32])),
    ("format.limit", in_tensor("small", "shape", [0, 1 << 32, 1 << 32])),
    ("format.limit", in_tensor("small", "shape", [1 << 32, 0, 1 << 32])),
    ("format.limit", in_tensor("small", "shape", [(1 << 48) + 1])),
    ("format.limit", in_tensor("small", "shape", [(1 << 64) - 1] * 4)),
    ("format.limit", in_tensor("big", "shape", [(1 << 64) - 1])),
    ("format.limit", in_tensor("small", "shape", [1] * 15 + [2, 2])),
    ("format.limit", setting("graph.inputs.0.scale.shape", [1] * 17)),
    ("format.limit", add_dims(15)),
    ("format.limit", setting(f"{TYPE}.shape.1.size", (1 << 48) + 1)),
    ("format.limit", lambda m: [m.graph.inputs[0].type.shape.add(size=1 << 40) for _ in "ab"]),
]


def fix_dtype(message: Any) -> None:
    parameters(message, "lif")[0].tensor.dtype = 9


@pytest.mark.parametrize(
    ("code", "change"), RULES, ids=[f"{index}-{code}" for index, (code, _) in enumerate(RULES)]
)
def test_a_message_that_breaks_a_rule_is_refused(code: str, change: Change) -> None:
    error = refused(changed(SMALL, change))
    assert error.code == code
    assert len(error.diagnostics) == 1
    assert str(error).isprintable()


@pytest.mark.parametrize("version", [2, 3, (1 << 32) - 1])
def test_a_newer_version_of_the_format_says_so_whatever_else_is_there(version: int) -> None:
    def change(message: Any) -> None:
        message.ir_version = version
        message.ClearField("graph")
        message.opsets[0].version = 0

    error = refused(changed(SMALL, change), UnsupportedVersion)
    assert error.code == "version.ir"
    assert error.diagnostics[0].found == f"version {version}"


def test_a_tensor_of_no_elements_is_read() -> None:
    def change(message: Any) -> None:
        small = tensor(message, "block/foreign", "small")
        small.shape[:] = [3, 0, 1 << 40]
        small.inline = b""

    model = snnir.loads(changed(SMALL, change))
    found = model.graph.nodes["block/foreign"].parameters["small"]
    assert (found.shape, found.size, found.nbytes) == ((3, 0, 1 << 40), 0, 0)
    assert found.numpy().shape == (3, 0, 1 << 40)
    assert list(found.chunks()) == []


# Valid form, invalid model: it opens, check tells, and it can be saved ------------------------

INVALID: list[tuple[str, Change]] = [
    ("graph.name", setting("graph.nodes.0.name", "1st")),
    ("graph.name", setting("graph.nodes.0.name", "")),
    ("graph.name", setting("graph.nodes.0.name", "a:b")),
    ("graph.name", setting("graph.nodes.0.name", "a\x1b[31m\n")),
    ("graph.name", setting("graph.nodes.0.name", "n" * 257)),
    ("graph.name", setting("graph.inputs.1.name", "é")),
    ("graph.name", setting("graph.outputs.1.name", "two words")),
    ("graph.name", setting("graph.name", "")),
    ("graph.name", setting(f"{FOREIGN}.inputs.0.port", "a b")),
    ("graph.name", setting(f"{FOREIGN}.output_ports", ["first", "2nd"])),
    ("graph.name", setting(f"{FOREIGN}.attributes.4.name", "s s")),
    ("graph.name", setting(f"{FOREIGN}.parameters.3.name", "t t")),
    ("graph.name", setting(f"{TYPE}.shape.0.symbol", "")),
    ("graph.name", setting(f"{EXAMPLE}.name", "an example")),
    ("graph.duplicate-name", setting("graph.outputs.1.name", "class")),
    ("graph.undelayed-cycle", setting("graph.nodes.0.inputs.1.delay_steps", 0)),
    ("graph.delay", setting("graph.nodes.0.inputs.1.delay_steps", (1 << 32) - 1)),
    ("graph.duplicate-edge", lambda m: repeat("graph.nodes.0.inputs")(m)),
    ("graph.no-output", clear("graph.outputs")),
    ("op.opset", lambda m: m.opsets.pop()),
    ("op.unknown", setting("graph.nodes.0.op", "snn.Nothing")),
    ("op.unknown", setting("graph.nodes.0.op", "snn.")),
    ("op.opset", setting("graph.nodes.0.op", "")),
    ("op.opset", setting("graph.nodes.0.op", "LIF")),
    ("op.opset", setting("graph.nodes.0.op", "other.LIF")),
    ("version.opset", setting("opsets.1.version", 2)),
    ("version.opset", setting("opsets.1.version", (1 << 32) - 1)),
    ("op.attribute", setting("graph.nodes.0.attributes.0.i", -1)),
    ("op.attribute", setting("graph.nodes.0.attributes.0.s", "three")),
    ("op.parameter", setting("graph.nodes.0.parameters.1.name", "unknown")),
    ("op.port", setting("graph.nodes.0.inputs.0.port", "x")),
    ("op.port", setting("graph.nodes.0.output_ports", ["spikes", "more"])),
    ("type.shape", setting(f"{TYPE}.shape.1.size", 0)),
    ("type.shape", setting("graph.inputs.0.layout", "HWC")),
    ("type.shape", setting("graph.outputs.0.labels", ["a"])),
    ("type.dtype", setting("graph.inputs.1.type.dtype", 10)),
    ("type.timing", setting("graph.inputs.1.type.timing", 1)),
    ("type.quantisation", setting(f"{TYPE}.quantization.scale", [])),
    ("type.quantisation", setting(f"{TYPE}.quantization.scale", [float("nan")])),
    ("type.quantisation", setting(f"{TYPE}.quantization.scale", [-1.0])),
    ("type.quantisation", setting(f"{TYPE}.quantization.bits", 9)),
    ("type.quantisation", setting(f"{TYPE}.quantization.zero_point", [1, 2])),
    ("type.quantisation", setting(f"{TYPE}.quantization.axis", 7)),
    ("type.quantisation", setting(f"{TYPE}.dtype", 9)),
    ("type.quantisation", in_tensor("quantised", "quantization.axis", 2)),
    ("type.quantisation", in_tensor("quantised", "quantization.axis", (1 << 32) - 1)),
    ("type.quantisation", in_tensor("quantised", "quantization.bits", 0)),
    ("type.quantisation", in_tensor("quantised", "quantization.bits", 3)),
    ("type.quantisation", in_tensor("quantised", "dtype", 1)),
    ("value.not-finite", in_tensor("quantised", "quantization.scale", [1.0, 1e300])),
    ("value.not-finite", in_tensor("small", "inline", b"\x00\x00\x80\x7f" * 4)),
    ("value.range", in_tensor("small", "dtype", 1)),
    ("value.time", setting("time.dt", 0.0)),
    ("value.time", setting("time.dt", float("nan"))),
    ("value.time", setting("time.dt", float("-inf"))),
    ("value.time", setting("time.steps", 0)),
    ("value.time", setting("time.steps", 1 << 31)),
    ("example.invalid", setting(f"{EXAMPLE}.steps", 0)),
    ("example.invalid", setting(f"{EXAMPLE}.steps", (1 << 32) - 1)),
    ("example.invalid", setting(f"{EXAMPLE}.inputs.0.name", "imag")),
    ("example.invalid", setting(f"{EXAMPLE}.expected.3.name", "lif:w")),
    ("example.invalid", lambda m: m.examples[0].ClearField("expected")),
    ("example.invalid", setting(f"{EXAMPLE}.expected.0.tolerance.rate", float("nan"))),
    ("example.invalid", setting(f"{EXAMPLE}.expected.0.tolerance.close.absolute", -1.0)),
    ("example.invalid", setting(f"{EXAMPLE}.inputs.0.tensor.shape", [1, 6, 4])),
]


@pytest.mark.parametrize(
    ("code", "change"), INVALID, ids=[f"{index}-{code}" for index, (code, _) in enumerate(INVALID)]
)
def test_an_invalid_model_opens_and_check_tells(code: str, change: Change) -> None:
    if code == "value.range":  # of a byte that is no bool
        bad = change
        change = lambda m: (bad(m), setting("shape", [16])(tensor(m, "block/foreign", "small")))  # noqa: E731
    model = snnir.loads(changed(SMALL, change))
    findings = snnir.check(model)
    assert code in {finding.code for finding in findings}
    assert all(str(finding).isprintable() for finding in findings)
    assert snnir.loads(snnir.to_bytes(model)) == model or "nan" in repr(model)
    snnir.digest(model)


# Bounds --------------------------------------------------------------------------------------


def test_many_dimensions_are_refused_in_linear_time() -> None:
    def change(message: Any) -> None:
        tensor(message, "block/foreign", "small").shape[:] = [(1 << 63) - 1] * 300_000

    data = changed(SMALL, change)
    start = time.perf_counter()
    error = refused(data)
    assert error.code == "format.limit"
    assert len(str(error)) < 2000
    assert time.perf_counter() - start < 2


def test_more_top_level_fields_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FIELDS", 20)
    assert snnir.loads(SMALL) == rich_model(3)
    for extra in (field(11, 0, b"\x01") * 20, field(99, 0, b"\x01") * 20):
        assert refused(seal(HEADER_BYTES + extra)).code == "format.limit"
    assert refused(SMALL + field(30, 2, b"") * 20).code == "format.limit"


def test_more_blobs_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BLOBS", 2)
    assert snnir.loads(SMALL) == rich_model(3)
    assert refused(SMALL + field(31, 2, b"")).code == "format.limit"


def test_a_header_above_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    size = header_end(SMALL) - HEADER_START
    monkeypatch.setattr(limits, "MAX_HEADER_BYTES", size)
    assert snnir.loads(SMALL) == rich_model(3)
    monkeypatch.setattr(limits, "MAX_HEADER_BYTES", size - 1)
    assert refused(SMALL).code == "format.limit"


def test_a_claim_of_many_things_costs_no_more_than_their_bytes() -> None:
    many = 100_000
    start = pb_without_graph()
    for number in (2, 3, 4):
        data = seal(start + field(15, 2, field(number, 2, b"") * many))
        began = time.perf_counter()
        assert refused(data).code in (
            "format.missing",
            "graph.duplicate-name",
            "format.value-index",
        )
        assert time.perf_counter() - began < 5


GARBAGE = """
    import resource, sys, time
    import snnir

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    try:
        snnir.load(sys.argv[1])
    except snnir.FormatError as error:
        taken = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(error.code, taken, used / 1024)
"""
MEBI = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("noise", "format.not-snnir"),
        ("zeros", "format.malformed"),
        ("one field", "format.header-digest"),
        pytest.param("fields", "format.limit", marks=pytest.mark.slow),
        pytest.param("blobs", "format.limit", marks=pytest.mark.slow),
        pytest.param("padding", "format.limit", marks=pytest.mark.slow),
    ],
)
def test_100_mb_of_garbage_are_refused_in_bounded_time_and_memory(
    kind: str, code: str, tmp_path: Path
) -> None:
    size = 100 * MEBI
    start = b"\rSNNIR " + bytes(32)
    content = {
        "noise": lambda: os.urandom(size),
        "zeros": lambda: start + bytes(size),
        "one field": lambda: start + field(15, 2, bytes(size)),
        "fields": lambda: start + field(99, 0, b"\x01") * (size // 3),
        "blobs": lambda: start + field(31, 2, b"") * (size // 3),
        "padding": lambda: start + field(30, 2, b"") * (size // 3),
    }[kind]()
    path = tmp_path / "garbage.snnir"
    path.write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(GARBAGE), str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found, seconds, mebibytes = result.stdout.split()
    assert found == code
    assert float(seconds) < (30 if code == "format.limit" else 5)
    # What is mapped counts while it is resident; of it, nothing is copied.
    assert float(mebibytes) < (250 if kind == "blobs" else 130)


def test_many_tensors_in_one_blob_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(message: Any) -> None:
        target = node(message, "block/foreign")
        for index in range(500):
            target.parameters.add(name=f"x{index:03}").tensor.CopyFrom(
                tensor(message, "block/foreign", "big")
            )

    model = snnir.loads(changed(SMALL, change))
    views = []
    original = snnir.ir.tensor.MappedBytes.view
    monkeypatch.setattr(
        snnir.ir.tensor.MappedBytes, "view", lambda self: views.append(self.index) or original(self)
    )
    assert not [f for f in snnir.check(model) if f.severity == "error"]
    lengths = len(model.graph.nodes["block/foreign"].parameters)
    # Once for the digest, once for the range; the length costs a view each, which is no I/O.
    assert views.count(0) <= lengths + 4


# What cannot be opened -----------------------------------------------------------------------


def unreadable(path: str | os.PathLike[str]) -> FileError:
    with pytest.raises(SnnirError) as caught:
        snnir.load(path)
    assert type(caught.value) is FileError
    assert caught.value.code == "file.unreadable"
    return caught.value


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "no such file" in str(unreadable(tmp_path / "none.snnir"))
    unreadable(tmp_path / "none" / "none.snnir")
    (tmp_path / "file").write_bytes(SMALL)
    unreadable(tmp_path / "file" / "none.snnir")


def test_a_directory(tmp_path: Path) -> None:
    assert "is a directory" in str(unreadable(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in str(unreadable(tmp_path / "fifo"))


def test_a_device() -> None:
    if not os.path.exists("/dev/zero"):
        pytest.skip("no such device here")
    assert "not a regular file" in str(unreadable("/dev/zero"))


def test_a_loop_of_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    unreadable(tmp_path / "a")


def test_a_name_that_no_file_can_have() -> None:
    unreadable("nul\0byte.snnir")
    unreadable("n" * 5000)
    unreadable("\ud800.snnir")
    assert str(unreadable("escape\x1b[31m.snnir")).isprintable()


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.snnir"
    path.write_bytes(SMALL)
    path.chmod(0)
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # root may read anything

        def denied(*args: object, **options: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(file_module, "open", denied, raising=False)
    assert "permission denied" in str(unreadable(path)).lower()


def test_a_file_that_cannot_be_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.snnir"
    path.write_bytes(SMALL)

    def denied(*args: object, **options: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(file_module.mmap, "mmap", denied)
    assert "no such device" in str(unreadable(path))


def test_paths_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "m.snnir"
    path.write_bytes(SMALL)
    for name in (path, str(path), os.fsencode(path)):
        assert snnir.load(name) == rich_model(3)


def test_an_error_can_be_pickled_by_multiprocessing() -> None:
    import copy

    error = refused(b"")
    again = copy.copy(error)
    assert (type(again), again.diagnostics) == (type(error), error.diagnostics)


def test_a_crafted_file_is_what_the_writer_writes_but_for_padding() -> None:
    message = parse(WRITTEN)
    message.ClearField("padding")
    assert snnir.to_bytes(snnir.loads(craft(message))) == WRITTEN


def test_a_model_read_is_a_model() -> None:
    assert isinstance(snnir.loads(SMALL), Model)
