"""Fields of a newer schema are reported wherever they are, and the rest is read."""

from __future__ import annotations

import inspect
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import snnir
from snnir import SnnirWarning, limits
from snnir.errors import Diagnostic
from tests.serde.craft import (
    HEADER_START,
    changed,
    craft,
    field,
    header_end,
    parse,
    rich_model,
    seal,
    small_file,
)

SMALL = small_file()
UNKNOWN = field(1000, 2, b"from the future")


def read(data: bytes) -> tuple[snnir.Model, tuple[Diagnostic, ...]]:
    """The model and what was reported; both ways of reporting agree."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = snnir.loads(data)
    assert [w.category for w in caught] == [SnnirWarning] * len(model.findings)
    assert [str(w.message) for w in caught] == [str(finding) for finding in model.findings]
    assert list(model.findings) == snnir.check(model)[: len(model.findings)]
    assert {f.code for f in model.findings} <= {"format.unknown-field"}
    assert {f.severity for f in model.findings} <= {"warning"}
    return model, model.findings


def extend(message: Any, unknown: bytes = UNKNOWN) -> None:
    message.MergeFromString(unknown)


LEVELS: dict[str, Callable[[Any], Any]] = {
    "Model": lambda m: m,
    "Model.producer": lambda m: m.producer,
    "Model.opsets[1]": lambda m: m.opsets[1],
    "Model.time": lambda m: m.time,
    "Model.graph": lambda m: m.graph,
    "Model.graph.inputs[1]": lambda m: m.graph.inputs[1],
    "Model.graph.inputs[0].type": lambda m: m.graph.inputs[0].type,
    "Model.graph.inputs[0].type.shape[1]": lambda m: m.graph.inputs[0].type.shape[1],
    "Model.graph.inputs[0].type.quantization": lambda m: m.graph.inputs[0].type.quantization,
    "Model.graph.inputs[0].scale": lambda m: m.graph.inputs[0].scale,
    "Model.graph.inputs[0].offset": lambda m: m.graph.inputs[0].offset,
    "Model.graph.nodes[2]": lambda m: m.graph.nodes[2],
    "Model.graph.nodes[2].inputs[1]": lambda m: m.graph.nodes[2].inputs[1],
    "Model.graph.nodes[2].attributes[0]": lambda m: m.graph.nodes[2].attributes[0],
    "Model.graph.nodes[2].attributes[3].ints": lambda m: m.graph.nodes[2].attributes[3].ints,
    "Model.graph.nodes[2].parameters[0]": lambda m: m.graph.nodes[2].parameters[0],
    "Model.graph.nodes[2].parameters[0].tensor": lambda m: m.graph.nodes[2].parameters[0].tensor,
    "Model.graph.nodes[2].parameters[0].tensor.blob": lambda m: (
        m.graph.nodes[2].parameters[0].tensor.blob
    ),
    "Model.graph.nodes[2].parameters[2].tensor.quantization": lambda m: (
        m.graph.nodes[2].parameters[2].tensor.quantization
    ),
    "Model.graph.nodes[2].output_types[1]": lambda m: m.graph.nodes[2].output_types[1],
    "Model.graph.outputs[0]": lambda m: m.graph.outputs[0],
    "Model.examples[0]": lambda m: m.examples[0],
    "Model.examples[0].inputs[0]": lambda m: m.examples[0].inputs[0],
    "Model.examples[0].expected[1]": lambda m: m.examples[0].expected[1],
    "Model.examples[0].expected[1].tolerance": lambda m: m.examples[0].expected[1].tolerance,
    "Model.examples[0].expected[1].tolerance.exact": lambda m: (
        m.examples[0].expected[1].tolerance.exact
    ),
    "Model.examples[0].expected[0].tolerance.close": lambda m: (
        m.examples[0].expected[0].tolerance.close
    ),
    "Model.metadata[0]": lambda m: m.metadata[0],
}


def test_a_file_of_today_has_none() -> None:
    for data in (SMALL, snnir.to_bytes(rich_model())):
        assert read(data)[1] == ()


@pytest.mark.parametrize("place", LEVELS)
def test_an_unknown_field_is_reported_at_every_level(place: str) -> None:
    model, findings = read(changed(SMALL, lambda m: extend(LEVELS[place](m))))
    assert [(f.where, f.found) for f in findings] == [(place, "field 1000")]
    assert model == rich_model(3)


def test_every_message_of_the_schema_is_among_the_levels() -> None:
    message = parse(SMALL)
    reached = {LEVELS[place](message).DESCRIPTOR.name for place in LEVELS}
    assert (
        set(message.DESCRIPTOR.file.message_types_by_name) - reached
        == {
            "NamedTensor",  # the same as Model.examples[0].inputs[0]
            "Expected",
        }
        - reached
    )


def test_all_are_reported_at_once() -> None:
    def change(message: Any) -> None:
        for reach in LEVELS.values():
            extend(reach(message))

    model, findings = read(changed(SMALL, change))
    assert sorted(f.where for f in findings) == sorted(LEVELS)
    assert model == rich_model(3)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (0, b"\x07"),
        (1, bytes(8)),
        (2, b""),
        (2, b"abc"),
        (5, bytes(4)),
        (3, field(5, 0, b"\x01") + field(1000, 4, b"")),
        (3, field(1001, 3, field(1001, 4, b"")) + field(1000, 4, b"")),
    ],
)
def test_unknown_fields_of_every_wire_type_are_reported(kind: int, payload: bytes) -> None:
    unknown = field(1000, kind, payload)
    _, findings = read(changed(SMALL, lambda m: extend(m.graph.nodes[0], unknown)))
    assert [(f.where, f.found) for f in findings] == [("Model.graph.nodes[0]", "field 1000")]
    if kind == 3:  # a group at top level is not looked into
        with pytest.raises(snnir.FormatError, match="wire type 3"):
            snnir.loads(craft(parse(SMALL), header=unknown))
    else:
        _, findings = read(craft(parse(SMALL), header=unknown))
        assert [(f.where, f.found) for f in findings] == [("Model", "field 1000")]
        _, findings = read(craft(parse(SMALL), tail=unknown))
        assert [(f.where, f.found) for f in findings] == [(f"byte {len(SMALL)}", "field 1000")]


def test_a_known_number_of_another_type_is_an_unknown_field() -> None:
    unknown = field(3, 5, b"1234")  # nodes of a graph, as a fixed32
    model, findings = read(changed(SMALL, lambda m: extend(m.graph, unknown)))
    assert [(f.where, f.found) for f in findings] == [("Model.graph", "field 3")]
    assert model == rich_model(3)


def test_fields_behind_and_between_blobs_are_reported() -> None:
    end = header_end(SMALL)
    data = SMALL[: end + 15] + UNKNOWN + SMALL[end + 15 :] + field(18, 0, b"\x01") + UNKNOWN
    assert SMALL[end : end + 3] == b"\xfa\x01\x0c"  # a blob of 12 bytes
    model, findings = read(data)
    assert [(f.where, f.found) for f in findings] == [
        (f"byte {end + 15}", "field 1000, 2 times from here on"),
        (f"byte {len(SMALL) + len(UNKNOWN)}", "field 18"),
    ]
    assert model == rich_model(3)


def test_they_are_not_kept() -> None:
    model, findings = read(changed(SMALL, lambda m: extend(m.graph)))
    assert findings
    again, none = read(snnir.to_bytes(model))
    assert not none
    assert again == model  # findings are not part of a model


def test_the_same_field_in_many_places_is_one_finding() -> None:
    def change(message: Any) -> None:
        for target in message.graph.nodes:
            extend(target)
            extend(target, field(1001, 0, b"\x01") * 2)

    _, findings = read(changed(SMALL, change))
    assert [(f.where, f.found) for f in findings] == [
        ("Model.graph.nodes[0]", "field 1000, 3 times from here on"),
        ("Model.graph.nodes[0]", "field 1001, 6 times from here on"),
    ]


def test_more_places_than_anyone_reads_are_counted() -> None:
    many = b"".join(field(2000 + number, 0, b"\x01") for number in range(150))
    _, findings = read(changed(SMALL, lambda m: extend(m.graph, many)))
    assert len(findings) == limits.MAX_UNKNOWN + 1
    assert findings[-1].found == "50 more unknown fields"
    _, findings = read(SMALL + many)
    assert len(findings) == limits.MAX_UNKNOWN + 1


def test_a_flood_of_unknown_fields_costs_bounded_time() -> None:
    flood = field(1000, 0, b"\x01") * 1_000_000
    start = time.perf_counter()
    _, findings = read(changed(SMALL, lambda m: extend(m.graph, flood)))
    (finding,) = findings
    assert finding.where == "header"
    assert re.fullmatch(r"about 300000\d bytes of unknown fields", finding.found)
    assert time.perf_counter() - start < 5


def test_large_unknown_content_is_reported() -> None:
    large = field(1000, 2, bytes(limits.MAX_UNKNOWN_BYTES))
    model, findings = read(changed(SMALL, lambda m: extend(m.graph, large)))
    assert [f.where for f in findings] == ["header"]
    assert model == rich_model(3)


def test_other_encodings_of_known_fields_are_not_unknown() -> None:
    """Unpacked lists, numbers in more bytes than needed, defaults written out, another order."""
    header = SMALL[HEADER_START : header_end(SMALL)]
    packed, unpacked = field(2, 2, b"\x04"), field(2, 0, b"\x84\x00")  # a shape of [4]
    assert header.count(packed) >= 2
    version, rest = header[:2], header[2:].replace(packed, unpacked)
    assert version == field(11, 0, b"\x01")
    default = field(14, 2, field(2, 0, b"\x00"))
    data = seal(default + rest + field(11, 0, b"\x81\x80\x00"), SMALL[header_end(SMALL) :])
    model, findings = read(data)
    assert findings == ()
    assert model == rich_model(3)


def test_the_warning_points_to_the_caller(tmp_path: Any) -> None:
    path = tmp_path / "m.snnir"
    path.write_bytes(changed(SMALL, lambda m: extend(m.graph)))
    with pytest.warns(SnnirWarning) as caught:
        snnir.load(path)
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)
    with pytest.warns(SnnirWarning) as caught:
        snnir.loads(path.read_bytes())
    assert caught[0].filename == __file__


def test_as_an_error_the_warning_stops_the_reading() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SnnirWarning, match="field 1000"):
            snnir.loads(changed(SMALL, lambda m: extend(m)))
