"""The target mlgenn: a readable script with weights; none of it needs mlGeNN."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from snnir.errors import CapabilityError, FileError
from snnir.targets import emit, find_target
from snnir_converters.mlgenn._describe import describe
from snnir_converters.mlgenn._script import files
from tests.cli.helpers import assert_golden
from tests.converters.mlgenn import nets


def test_the_script_is_as_it_was() -> None:
    description, _ = describe(nets.delays())
    assert description is not None
    text = files(description)["network.py"].decode()
    assert_golden("mlgenn_script.txt", text.replace(text.split("snnir ")[1].split(".\n")[0], "X"))


@pytest.mark.parametrize("name", [name for name in nets.RUNNABLE if name != "held"])
def test_every_script_is_python_that_loads_what_is_there(name: str, tmp_path: Path) -> None:
    emit(nets.RUNNABLE[name](), tmp_path / "net", find_target("mlgenn"))
    tree = ast.parse((tmp_path / "net/network.py").read_text("utf-8"))
    loaded = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "load"
        and isinstance(call.args[0], ast.Constant)
    }
    assert loaded == {path.stem for path in (tmp_path / "net/weights").iterdir()}
    for path in (tmp_path / "net/weights").iterdir():
        assert np.isfinite(np.load(path)).all()


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = find_target("mlgenn")
    emit(nets.delays(), tmp_path / "net", target)
    emit(nets.feed_forward(), tmp_path / "net", target)
    assert sorted(path.name for path in (tmp_path / "net/weights").iterdir()) == [
        "into_spikes_hidden-weight.npy",
        "out_hidden_readout-weight.npy",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_file_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "net").write_text("precious")
    with pytest.raises(FileError, match="directory"):
        emit(nets.feed_forward(), tmp_path / "net", find_target("mlgenn"))
    assert (tmp_path / "net").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("other", ["notes.txt", "weights/notes.txt"])
def test_a_folder_with_other_files_stays(tmp_path: Path, other: str) -> None:
    emit(nets.feed_forward(), tmp_path / "net", find_target("mlgenn"))
    (tmp_path / "net" / other).write_text("precious")
    with pytest.raises(FileError, match="folder"):
        emit(nets.delays(), tmp_path / "net", find_target("mlgenn"))
    assert (tmp_path / "net" / other).read_text() == "precious"


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError) as caught:
        emit(nets.adaptive(), tmp_path / "net", find_target("mlgenn"))
    assert caught.value.code == "mlgenn.late"
    assert list(tmp_path.iterdir()) == []
