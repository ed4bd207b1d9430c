"""Whatever the model, it comes back; whatever the bytes, a model or an error of ours comes out."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import snnir
from snnir import ModelError, SnnirError
from snnir.errors import Diagnostic
from snnir.ir.model import Model
from snnir.ir.printer import format_model
from tests.serde.craft import rich_model, small_file
from tests.serde.strategies import damaged, disturbed, models, mutated, networks

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
few = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
some = settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
many = settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
thousands = settings(max_examples=5000, deadline=None, suppress_health_check=SLOW)


def errors(model: Model) -> list[str]:
    return [str(finding) for finding in snnir.check(model) if finding.severity == "error"]


@few
@given(models() | networks())
@example(rich_model())
def test_a_valid_model_round_trips_to_an_equal_model_and_equal_bytes(model: Model) -> None:
    assert errors(model) == []
    data = snnir.to_bytes(model)
    again = snnir.loads(data)
    assert again == model
    assert again.findings == ()
    assert snnir.to_bytes(again) == data
    assert snnir.digest(again) == snnir.digest(model)
    assert snnir.diff(again, model) == []
    assert errors(again) == []
    bare = snnir.to_bytes(model, digests=False)
    assert len(bare) <= len(data)
    assert snnir.loads(bare) == model


def survive(data: bytes) -> None:
    """Read, and use what was read in every way that takes a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", snnir.SnnirWarning)
        try:
            model = snnir.loads(data)
        except SnnirError as error:
            assert str(error).replace("\n", "").isprintable()
            assert all(isinstance(finding, Diagnostic) for finding in error.diagnostics)
            return
    look(model)
    # What can be read can be written, and comes back the same (NaN differs from itself).
    written = snnir.to_bytes(model)
    again = snnir.loads(written)
    assert snnir.to_bytes(again) == written
    assert snnir.digest(again) == snnir.digest(model)


def look(model: Model) -> list[Diagnostic]:
    """Use a model, valid or not, in every way that promises to cope with it."""
    findings = snnir.check(model)
    assert all(str(finding).isprintable() for finding in findings)
    assert set(findings) >= set(snnir.check(model, values=False))
    assert repr(model)
    assert format_model(model)
    assert snnir.diff(model, model) == []
    snnir.digest(model)
    try:
        snnir.infer(model)
    except ModelError as error:
        assert set(error.diagnostics) <= set(findings)
    for _, tensor in model.graph.tensors():
        use(tensor)
    return findings


def use(tensor: snnir.Tensor) -> None:
    assert tensor.numpy().shape == tensor.shape
    assert sum(chunk.size for chunk in tensor.chunks()) == tensor.size
    try:
        assert tensor.values().shape == tensor.shape
        tensor.verify()
    except SnnirError:
        pass


@many
@given(st.data())
def test_a_damaged_file_is_a_model_or_an_error(data: Any) -> None:
    survive(data.draw(damaged(small_file())))


@some
@given(st.data())
def test_a_damaged_file_of_any_model_is_a_model_or_an_error(data: Any) -> None:
    survive(data.draw(damaged(snnir.to_bytes(data.draw(models())))))


@many
@given(st.data())
def test_a_changed_message_is_a_model_or_an_error(data: Any) -> None:
    survive(data.draw(mutated(small_file())))


@some
@given(st.data())
def test_a_changed_message_of_any_model_is_a_model_or_an_error(data: Any) -> None:
    survive(data.draw(mutated(snnir.to_bytes(data.draw(models())))))


@some
@given(st.data())
def test_a_changed_network_is_a_model_or_an_error(data: Any) -> None:
    survive(data.draw(mutated(snnir.to_bytes(data.draw(networks())))))


@many
@given(st.binary(max_size=200), st.sampled_from([b"", b"\rSNNIR ", b"\rSNNIR " + bytes(32)]))
def test_any_bytes_are_a_model_or_an_error(data: bytes, start: bytes) -> None:
    survive(start + data)


@some
@given(disturbed())
def test_whatever_a_model_holds_it_is_checked_and_saved_or_refused(model: Model) -> None:
    findings = look(model)
    try:
        data = snnir.to_bytes(model)
    except ModelError:
        assert [finding for finding in findings if finding.severity == "error"]
    else:
        assert snnir.to_bytes(snnir.loads(data)) == data


@pytest.mark.slow
@thousands
@given(disturbed())
def test_whatever_many_models_hold_they_are_checked(model: Model) -> None:
    look(model)


@pytest.mark.slow
@thousands
@given(st.data())
def test_many_changed_messages_are_models_or_errors(data: Any) -> None:
    original = data.draw(st.sampled_from([small_file()]) | networks().map(snnir.to_bytes))
    survive(data.draw(mutated(original)))
