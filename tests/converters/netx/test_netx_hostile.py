"""NetX files that are damaged, malicious or incomplete: coded errors, all at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnir.errors import FormatError, SnnirError, UnsupportedFeature
from snnir_converters.netx import FRONTEND, read_netx
from tests.converters.forging import h5py
from tests.converters.netx.tools import CUBA, RELU, conv, dense, input_layer, netx_file

WEIGHT = np.array([[3, -4, 5], [7, 8, -100]])
IMAGES = input_layer(2, 5, 5)
KERNEL = np.ones((4, 2, 3, 3))


def refused(path: Path) -> list[str]:
    """Codes of all errors of a file."""
    with pytest.raises((FormatError, UnsupportedFeature)) as caught:
        read_netx(path)
    return [finding.code for finding in caught.value.diagnostics if finding.severity == "error"]


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ([dense(WEIGHT, type=b"foo")], "netx.layer"),
        ([dense(WEIGHT, type=b"dense_comp")], "netx.layer"),
        *(([IMAGES, {"type": kind}], "netx.layer") for kind in (b"pool", b"convT", b"unpool")),
        *(([IMAGES, {"type": kind}], "netx.layer") for kind in (b"average", b"concat")),
        ([without(dense(WEIGHT), "type")], "hdf5.missing"),
        ([dense(WEIGHT, type=np.array([b"dense", b"conv"]))], "hdf5.type"),
        ([dense(WEIGHT, type=7)], "hdf5.type"),
        ([without(dense(WEIGHT), "shape")], "netx.missing"),
        ([without(dense(WEIGHT), "weight")], "netx.missing"),
        ([dense(WEIGHT, shape=np.array([3]))], "netx.shape"),
        ([dense(WEIGHT, shape=np.array([0]))], "netx.value"),
        ([dense(WEIGHT, shape=np.array([1 << 40]))], "netx.value"),
        ([dense(WEIGHT, shape=np.array([2, 2, 2, 2]))], "netx.value"),
        ([dense(WEIGHT, shape=np.array([1.5]))], "netx.value"),
        ([dense(WEIGHT, shape=np.array([b"2"]))], "hdf5.type"),
        ([dense(WEIGHT * np.inf)], "netx.value"),
        ([dense(WEIGHT * 1e30)], "netx.value"),
        ([dense(np.full((2, 3), 999))], "netx.weights"),
        ([dense(np.zeros((2, 3)))], "netx.weights"),
        ([dense([[201, -1]])], "netx.weights"),
        ([dense(np.empty((2, 0)))], "netx.shape"),
        ([dense(WEIGHT, bias=np.ones(3))], "netx.shape"),
        ([dense(WEIGHT, bias=np.array([5000, 0]))], "netx.value"),
        ([dense(WEIGHT, bias=np.array([np.nan, 0]))], "netx.value"),
        ([dense(WEIGHT, RELU, bias=np.array([1 << 20, 0]))], "netx.value"),
        ([dense(WEIGHT, {"type": "SDNN", "sigma_output": 1}, bias=np.ones(2))], "netx.value"),
        ([dense(WEIGHT, delay=np.ones(4))], "netx.shape"),
        ([dense(WEIGHT, delay=-1)], "netx.value"),
        ([dense(WEIGHT, delay=0.5)], "netx.value"),
        ([dense(WEIGHT, weight_rec=np.eye(2) * 5, type=b"dense_rec", delay=1)], "netx.layer"),
        ([dense(WEIGHT, weight_rec=np.ones((3, 3)), type=b"dense_rec")], "netx.shape"),
        ([dense(WEIGHT, type=b"dense_rec")], "netx.missing"),
        ([{**dense(WEIGHT), "weight": {"real": WEIGHT, "imag": WEIGHT}}], "netx.layer"),
        ([dense(WEIGHT, {**CUBA, "type": "RF"})], "netx.neuron"),
        ([dense(WEIGHT, {**CUBA, "type": "ALIF"})], "netx.neuron"),
        ([dense(WEIGHT, {**CUBA, "messageBits": 8})], "netx.neuron"),
        ([dense(WEIGHT, {**RELU, "activation": "tanh"})], "netx.neuron"),
        ([dense(WEIGHT, without(CUBA, "vThMant"))], "netx.missing"),
        ([dense(WEIGHT, {**CUBA, "vThMant": np.array([1, 2])})], "netx.value"),
        ([dense(WEIGHT, {**CUBA, "vThMant": -1})], "netx.value"),
        ([dense(WEIGHT, {**CUBA, "vThMant": 6.5})], "netx.value"),
        ([dense(WEIGHT, {**CUBA, "iDecay": 4097})], "netx.value"),
        ([dense(WEIGHT, {**CUBA, "vDecay": -1})], "netx.value"),
        ([dense(WEIGHT, np.ones(2))], "netx.missing"),  # type: ignore[arg-type]
        ([dense(WEIGHT, None), dense([[1, 2]])], "netx.neuron"),
        ([dense(WEIGHT), dense(WEIGHT)], "netx.shape"),
        ([dense(WEIGHT), IMAGES, dense(WEIGHT)], "netx.layer"),
        ([dense(WEIGHT), {"type": b"flatten"}, dense([[1, 2]])], "netx.shape"),
        ([IMAGES], "netx.not-netx"),
        ([conv(KERNEL, (4, 3, 3))], "netx.shape"),
        ([IMAGES, conv(KERNEL, (4, 3, 4))], "netx.shape"),
        ([IMAGES, conv(KERNEL, (3, 3, 3))], "netx.shape"),
        ([IMAGES, conv(KERNEL[..., 0], (4, 3, 3))], "netx.shape"),
        ([IMAGES, conv(KERNEL, (4, 3, 3), groups=2)], "netx.shape"),
        ([IMAGES, conv(KERNEL, (4, 3, 3), groups=0)], "netx.value"),
        ([IMAGES, conv(KERNEL, (4, 3, 3), groups=128)], "netx.value"),
        ([IMAGES, conv(KERNEL, (4, 3, 3), stride=0)], "netx.value"),
        ([IMAGES, conv(KERNEL, (4, 3, 3), padding=np.array([1, 1, 1]))], "netx.value"),
        ([IMAGES, conv(KERNEL * 300, (4, 3, 3))], "netx.weights"),
        ([IMAGES, without(conv(KERNEL, (4, 3, 3)), "neuron")], "netx.missing"),
        ([IMAGES, without(conv(KERNEL, (4, 3, 3)), "stride")], "netx.missing"),
        ([IMAGES, conv(KERNEL, (4, 3, 3), bias=np.ones(9))], "netx.shape"),
        ([IMAGES, conv(KERNEL, (4, 3, 3)), dense(np.ones((2, 36)))], "netx.shape"),
    ],
)
def test_what_is_wrong_has_a_code(tmp_path: Path, layers: Any, code: str) -> None:
    assert code in refused(netx_file(tmp_path / "a.net", *layers))


def test_everything_is_reported_at_once(tmp_path: Path) -> None:
    layers = [
        dense(WEIGHT * np.nan, {**CUBA, "vThMant": -1, "iDecay": 9999}),
        {"type": b"average"},
        dense([[0, 0]], bias=np.array([9999, 1, 1])),
        dense(WEIGHT, {**CUBA, "type": "ALIF"}),
    ]
    found = refused(netx_file(tmp_path / "a.net", *layers))
    assert found.count("netx.value") == 3
    assert {"netx.layer", "netx.neuron", "netx.shape"} <= set(found)


def test_layers_that_do_not_fit_together_are_reported_at_once(tmp_path: Path) -> None:
    layers = [dense(WEIGHT), dense(WEIGHT), dense([[0, 0]]), dense([[201, -1]])]
    found = refused(netx_file(tmp_path / "a.net", *layers))
    assert found == ["netx.shape", "netx.weights", "netx.shape"]


def _external_link(file: Any, folder: Path) -> None:
    netx_file(folder / "other.net", dense(WEIGHT))
    file["layer/0/weight"] = h5py().ExternalLink(str(folder / "other.net"), "layer/0/weight")


def _soft_link(file: Any, folder: Path) -> None:
    file["layer/0/weight"] = h5py().SoftLink("/layer/0/weight")


def _external_storage(file: Any, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(48))
    file.create_dataset("layer/0/weight", (2, 3), "f8", external=[(str(folder / "secret"), 0, 48)])


def _huge(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", (1 << 40, 3), "f8", chunks=(1024, 3), compression=9)


def _unwritten(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", (1 << 20, 3), "f8")


def _virtual(file: Any, folder: Path) -> None:
    source = h5py().VirtualSource(str(folder / "other.net"), "w", (2, 3), "f8")
    layout = h5py().VirtualLayout((2, 3), "f8")
    layout[:] = source
    file.create_virtual_dataset("layer/0/weight", layout)


def _references(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", data=[file["layer"].ref], dtype=h5py().ref_dtype)


def _complex(file: Any, folder: Path) -> None:
    file["layer/0/weight"] = WEIGHT * 1j


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (_external_link, "hdf5.link"),
        (_soft_link, "hdf5.link"),
        (_external_storage, "hdf5.storage"),
        (_huge, "hdf5.limit"),
        (_unwritten, "hdf5.storage"),
        (_virtual, "hdf5.storage"),
        (_references, "hdf5.type"),
        (_complex, "hdf5.type"),
    ],
)
def test_hostile_storage_is_refused(
    tmp_path: Path, forge: Callable[[Any, Path], None], code: str
) -> None:
    path = netx_file(tmp_path / "a.net", without(dense(WEIGHT), "weight"))
    with h5py().File(path, "r+") as file:
        forge(file, tmp_path)
    assert code in refused(path)


def test_gaps_and_strange_names_of_layers(tmp_path: Path) -> None:
    path = netx_file(tmp_path / "a.net", dense(WEIGHT))
    with h5py().File(path, "r+") as file:
        file.move("layer/0", "layer/1")
    assert refused(path) == ["netx.missing"]


def test_files_that_are_no_netx(tmp_path: Path) -> None:
    assert refused(netx_file(tmp_path / "a.net", layers=1)) == ["netx.not-netx"]
    with h5py().File(tmp_path / "b.net", "w") as file:
        file["layer"] = 1
    assert refused(tmp_path / "b.net") == ["netx.not-netx"]
    (tmp_path / "c.net").write_bytes(b"something else")
    assert refused(tmp_path / "c.net") == ["hdf5.malformed"]
    with pytest.raises(FormatError, match=r"netx\.not-netx"):
        FRONTEND.read(42)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_give_errors_of_this_library(tmp_path: Path, seed: int) -> None:
    layers = [input_layer(1, 4, 4), conv(np.ones((2, 1, 2, 2)), (2, 3, 3)), {"type": b"flatten"}]
    whole = netx_file(tmp_path / "a.net", *layers, dense(np.ones((3, 18)))).read_bytes()
    rng = np.random.default_rng(seed)
    path = tmp_path / "b.net"
    read = 0
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 20)):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.2 else data)
        with contextlib.suppress(SnnirError):
            read += read_netx(path) is not None
    assert read < 60
