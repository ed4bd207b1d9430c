"""Files that are damaged, malicious or not what they seem: a clear error, and nothing else."""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion import read
from snnir.errors import (
    ConversionError,
    FileError,
    FormatError,
    MissingDependency,
    SnnirError,
    UnsupportedFeature,
    UnsupportedVersion,
)
from snnir_converters.keras import FRONTEND, _archive, _build, _network, read_keras
from tests.converters.forging import (
    SMALL,
    SMALL_H5,
    SMALL_WEIGHTS,
    archive,
    dense,
    h5py,
    input_layer,
    layer,
    legacy_file,
    sequential,
    weights_file,
)


def error(path: Path, kind: type[SnnirError] = FormatError) -> SnnirError:
    """The error that reading a file gives; of exactly this class."""
    with pytest.raises(SnnirError) as caught:
        read_keras(path)
    assert type(caught.value) is kind
    return caught.value


def test_the_files_that_are_spoiled_here_are_sound(tmp_path: Path) -> None:
    for path in (
        archive(tmp_path / "model.keras"),
        legacy_file(tmp_path / "model.h5", SMALL, SMALL_WEIGHTS),
    ):
        assert FRONTEND.recognises(path)
        (found,) = snnir.run(read_keras(path), np.ones((1, 3), np.float32)).outputs.values()
        assert found.tolist() == [[7.0, 10.0]]


# What is no model ----------------------------------------------------------------------------


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.keras"):
        assert error(path, FileError).code == "file.unreadable"
    with pytest.raises(FileError):
        read_keras("zero\0byte.keras")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x89HDF", b"x" * 100, b"PK\x05\x06" + bytes(18)])
def test_what_is_neither_archive_nor_hdf5(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    assert error(path).code == "keras.not-keras"
    assert not FRONTEND.recognises(path)


def test_other_archives_and_other_hdf5_files(tmp_path: Path) -> None:
    other = archive(tmp_path / "other.keras", config__json=None)
    assert error(other).code == "keras.not-keras"
    assert not FRONTEND.recognises(other)
    path = tmp_path / "weights.h5"
    path.write_bytes(weights_file(SMALL_H5))
    assert "weights alone" in str(error(path)) and "whole model" in str(error(path))
    assert not FRONTEND.recognises(path)


def test_other_objects() -> None:
    for source in (None, 3, [1.0], object()):
        with pytest.raises(FormatError) as caught:
            read_keras(source)
        assert caught.value.code == "keras.not-keras"


def test_objects_that_only_look_like_a_model() -> None:
    class Odd:
        name = "odd"
        layers = ()

        def get_config(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(UnsupportedFeature) as caught:
        read_keras(Odd())
    assert caught.value.code == "keras.model"


def test_h5py_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        archive(tmp_path / "model.keras"),
        legacy_file(tmp_path / "model.h5", SMALL, SMALL_WEIGHTS),
    ]
    monkeypatch.setitem(sys.modules, "h5py", None)
    for path in paths:
        found = error(path, MissingDependency)
        assert found.diagnostics[0].remedy == 'pip install "snnir[keras]"'
        with pytest.raises(MissingDependency):
            read(path)
        other = path.rename(path.with_suffix(".model"))
        with pytest.raises(MissingDependency):
            read(other)


# Archives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["metadata__json", "model__weights__h5"])
def test_archives_with_a_member_missing(member: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras", **{member: None})
    assert error(path).code == "keras.archive"


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/passwd", "a/../../b", "..\\config.json", "C:/config.json"]
)
def test_archives_with_a_path_that_leaves_them(name: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(zipfile.ZipInfo(name), b"x")
    assert error(path).code == "keras.archive"


def test_archives_with_a_member_twice(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras")
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr("config.json", b"{}")
    assert "twice" in str(error(path))


def test_archives_with_weights_that_are_no_hdf5(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras", model__weights__h5=b"nothing of the kind")
    assert error(path).code == "hdf5.malformed"
    path = archive(
        tmp_path / "npz.keras", model__weights__h5=None, **{"model__weights__npz": b"PK"}
    )
    assert error(path, UnsupportedFeature).code == "keras.model"


def directory_entry(path: Path, name: str) -> tuple[bytearray, int]:
    """A file's bytes, and where the entry of a member begins in the archive's directory."""
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
    return data, place


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [
        (8, "<H", 1),  # encrypted
        (10, "<H", 14),  # another compression
        (24, "<I", 0xFFFFFFF0),  # claims to be 4 GiB
        (42, "<I", 0x7FFFFFFF),  # begins beyond the end
        (16, "<I", 12345),  # another checksum
    ],
)
def test_archives_with_a_false_directory(
    offset: int, layout: str, value: int, tmp_path: Path
) -> None:
    path = archive(tmp_path / "model.keras")
    data, place = directory_entry(path, "config.json")
    struct.pack_into(layout, data, place + offset, value)
    path.write_bytes(data)
    assert error(path).code == "keras.archive"


def test_archives_that_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b" " * (1 << 24))
        file.writestr("metadata.json", b"{}")
    monkeypatch.setattr(_archive, "MAX_CONFIG_BYTES", 1 << 20)
    assert error(path).code == "keras.limit"
    data, place = directory_entry(path, "config.json")
    struct.pack_into("<I", data, place + 24, 1000)  # says that it is small
    path.write_bytes(data)
    assert error(path).code == "keras.archive"


def test_archives_with_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "MAX_MEMBERS", 2)
    assert error(archive(tmp_path / "model.keras")).code == "keras.limit"


def test_archives_that_compress_their_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with (
        zipfile.ZipFile(archive(tmp_path / "plain.keras")) as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert len(read_keras(path).graph.nodes) == 1


# Configurations ------------------------------------------------------------------------------

CONFIGS: dict[str, tuple[Any, str]] = {
    "empty": (b"", "keras.config"),
    "garbage": (bytes(range(256)), "keras.config"),
    "no object": ([1, 2], "keras.config"),
    "deep list": (b"[" * 100_000 + b"]" * 100_000, "keras.limit"),
    "deep object": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "keras.limit"),
    "key twice": (b'{"class_name": "Sequential", "class_name": "Model"}', "keras.config"),
    "huge number": (b'{"class_name": ' + b"9" * 10_000 + b"}", "keras.config"),
    "no class": ({"config": {}}, "keras.config"),
    "no config": ({"class_name": "Sequential"}, "keras.config"),
    "no layers": (sequential(), "keras.config"),
    "layers of numbers": (sequential(3), "keras.config"),  # type: ignore[arg-type]
    "layer without config": (sequential({"class_name": "Dense"}), "keras.config"),
    "name is a list": (sequential(layer("Dense", [])), "keras.config"),  # type: ignore[arg-type]
    "units is text": (sequential(input_layer(3), dense(units="2")), "keras.config"),
    "units is huge": (sequential(input_layer(3), dense(units=1 << 70)), "keras.config"),
    "units is 0": (sequential(input_layer(3), dense(units=0)), "keras.config"),
    "bias is text": (sequential(input_layer(3), dense(use_bias="yes")), "keras.config"),
    "two layers of a name": (sequential(input_layer(3), dense(), dense()), "keras.config"),
    "no shape": (sequential(dense()), "keras.config"),
    "shape is text": (
        sequential(layer("InputLayer", "x", batch_shape="3"), dense()),
        "keras.config",
    ),
    "shape is huge": (sequential(input_layer(1 << 40), dense()), "keras.config"),
    "shape is negative": (sequential(input_layer(-3), dense()), "keras.config"),
    "other shape": (sequential(input_layer(4), dense()), "keras.weights"),
    "no axes": (sequential(input_layer(), dense()), "keras.config"),
    "not a number": (
        sequential(input_layer(3), layer("Rescaling", "r", scale=float("nan"))),
        "keras.config",
    ),
    "infinity": (
        sequential(input_layer(3), layer("Rescaling", "r", scale=float("inf"))),
        "keras.config",
    ),
    "ragged numbers": (
        sequential(input_layer(3), layer("Rescaling", "r", scale=[[1.0], [2.0, 3.0]])),
        "keras.config",
    ),
    "wrong broadcast": (
        sequential(input_layer(3), layer("Rescaling", "r", scale=[1.0, 2.0])),
        "type.shape",
    ),
    "reshape to another size": (
        sequential(input_layer(3), layer("Reshape", "r", target_shape=[5])),
        "type.shape",
    ),
    "window larger than the image": (
        sequential(input_layer(2, 2, 1), layer("MaxPooling2D", "p", pool_size=[3, 3])),
        "type.shape",
    ),
    "permutation": (
        sequential(input_layer(3, 4), layer("Permute", "p", dims=[1, 1])),
        "keras.config",
    ),
    "cropping everything": (
        sequential(input_layer(3, 4), layer("Cropping1D", "c", cropping=[2, 2])),
        "op.attribute",
    ),
    "negative padding": (
        sequential(input_layer(3, 4), layer("ZeroPadding1D", "c", padding=[-1, 0])),
        "keras.config",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_that_make_no_sense(name: str, tmp_path: Path) -> None:
    config, code = CONFIGS[name]
    assert error(archive(tmp_path / "model.keras", config)).code == code
    text = config if isinstance(config, bytes) else json.dumps(config)
    weights = {"dense": SMALL_WEIGHTS["dense"]}
    if len(text) < 60_000 and b"\0" not in str(text).encode() and name != "garbage":
        assert error(legacy_file(tmp_path / "model.h5", text, weights)).code == code


def functional(
    layers: list[tuple[dict[str, Any], list[Any]]], inputs: Any, outputs: Any
) -> dict[str, Any]:
    """A functional model in the format of Keras 2: each layer with what it is called on."""
    entries = [
        {**entry, "name": entry["config"]["name"], "inbound_nodes": nodes}
        for entry, nodes in layers
    ]
    config = {"name": "m", "layers": entries, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


X = (input_layer(3), [])
IN = [["x", 0, 0]]


def called(*names: str) -> list[Any]:
    """One call on the first outputs of these layers."""
    return [[[name, 0, 0, {}] for name in names]]


GRAPHS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown layer": (
        functional([X, (dense(), called("y"))], IN, [["dense", 0, 0]]),
        "keras.config",
    ),
    "unknown call": (functional([X, (dense(), called("x"))], IN, [["x", 0, 5]]), "keras.config"),
    "negative call": (functional([X, (dense(), called("x"))], IN, [["x", 0, -1]]), "keras.config"),
    "cycle": (
        functional([X, (layer("Add", "a"), called("x", "a"))], IN, [["a", 0, 0]]),
        "keras.config",
    ),
    "long cycle": (
        functional(
            [
                X,
                (layer("Add", "a", trainable=True), called("x", "c")),
                (layer("ReLU", "b"), called("a")),
                (layer("ReLU", "c"), called("b")),
            ],
            IN,
            [["b", 0, 0]],
        ),
        "keras.config",
    ),
    "never called": (functional([X, (dense(), [])], IN, [["dense", 0, 0]]), "keras.config"),
    "input is a layer": (
        functional([X, (dense(), called("x"))], [["dense", 0, 0]], [["dense", 0, 0]]),
        "keras.config",
    ),
    "input twice": (
        functional([X, (dense(), called("x"))], IN * 2, [["dense", 0, 0]]),
        "keras.config",
    ),
    "input that is none": (
        functional(
            [X, (input_layer(3, name="z"), []), (dense(), called("z"))], IN, [["dense", 0, 0]]
        ),
        "keras.config",
    ),
    "two inputs of a layer of one": (
        functional([X, (dense(), called("x", "x"))], IN, [["dense", 0, 0]]),
        "keras.config",
    ),
    "structure": (functional([X, (dense(), called("x"))], IN, {"a": 3}), "keras.config"),
    "nodes": (functional([X, (dense(), [3])], IN, [["dense", 0, 0]]), "keras.config"),
    "no outputs at all": (
        {"class_name": "Functional", "config": {"name": "m", "layers": [], "input_layers": []}},
        "keras.config",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_make_no_sense(name: str, tmp_path: Path) -> None:
    config, code = GRAPHS[name]
    path = legacy_file(tmp_path / "model.h5", config, SMALL_WEIGHTS, "2.15.0")
    assert error(path).code == code


def test_models_that_multiply_when_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sequential(input_layer(3), layer("ReLU", "r"))
    for level in range(20):
        model["config"]["name"] = f"m{level}"
        twice = [[[f"m{level}", 1, 0, {}]]]
        model = functional(
            [X, (model, called("x") + twice), (layer("ReLU", "r"), [[[f"m{level}", 2, 0, {}]]])],
            IN,
            [["r", 0, 0]],
        )
    monkeypatch.setattr(_build, "MAX_CALLS", 1000)
    path = legacy_file(tmp_path / "model.h5", model, {}, "2.15.0")
    assert error(path).code == "keras.limit"


def test_models_in_models_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sequential(input_layer(3), layer("ReLU", "r"))
    for _ in range(50):
        model = sequential(model)
    path = legacy_file(tmp_path / "model.h5", model, {})
    assert error(path).code == "keras.limit"
    monkeypatch.setattr(_network, "MAX_LAYERS", 3)
    many = sequential(input_layer(3), *(layer("ReLU", f"r{i}") for i in range(5)))
    assert error(legacy_file(tmp_path / "many.h5", many, {})).code == "keras.limit"


def test_a_long_chain_of_layers(tmp_path: Path) -> None:
    chain = sequential(input_layer(3), *(layer("ReLU", f"r{i}") for i in range(3000)))
    path = archive(tmp_path / "chain.keras", chain, weights_file({}))
    assert len(read_keras(path).graph.nodes) == 3000


# Layers that are code ------------------------------------------------------------------------


def test_code_is_named_and_does_not_run(tmp_path: Path) -> None:
    code = {"class_name": "__lambda__", "config": {"code": "YWJj", "defaults": None}}
    entries = [
        layer("Lambda", "double", function=code),
        {**layer("Dense", "mine", units=2), "module": "mymodule", "registered_name": "My>Dense"},
        {**layer("Dense", "theirs", units=2), "registered_name": "package>Dense"},
        {**layer("Loader", "loads"), "module": "os"},
        dense("fused", activation={"class_name": "function", "config": "f", "module": "os"}),
    ]
    path = archive(tmp_path / "model.keras", sequential(input_layer(3), *entries))
    found = error(path, UnsupportedFeature)
    assert isinstance(found, ConversionError)
    assert [d.source for d in found.diagnostics] == ["double", "mine", "theirs", "loads", "fused"]
    assert all(d.remedy for d in found.diagnostics)
    for word in ("My>Dense", "package>Dense", "os.Loader", "os.f"):
        assert word in str(found)


def test_arguments_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    network = sequential(input_layer(3), dense(kernel_twist=3), layer("ReLU", "r", bend=1))
    found = error(archive(tmp_path / "model.keras", network), UnsupportedFeature)
    assert [d.code for d in found.diagnostics] == ["keras.argument"] * 2
    assert "kernel_twist" in str(found) and "bend" in str(found)


# Weights -------------------------------------------------------------------------------------


def test_weights_that_are_missing_or_too_many(tmp_path: Path) -> None:
    kernel, bias = SMALL_H5["dense"]
    for arrays in ({}, {"dense": [kernel]}, {"dense": [kernel, bias, bias]}, {"dense_1": [kernel]}):
        path = archive(tmp_path / "model.keras", weights=weights_file(arrays))
        found = error(path)
        assert found.code == "keras.weights" and "kernel, bias" in str(found)
    for own in ({}, {"kernel": kernel}, {"bias": bias, "kernel": kernel}):
        assert error(legacy_file(tmp_path / "m.h5", SMALL, {"dense": own})).code == "keras.weights"
    assert error(legacy_file(tmp_path / "m.h5", SMALL, {})).code == "hdf5.missing"


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (3,), (3, 2, 1), (0, 2), ()])
def test_weights_of_another_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    weights = {"dense": {"kernel": np.zeros(shape, "f4"), "bias": np.zeros(2, "f4")}}
    assert error(legacy_file(tmp_path / "m.h5", SMALL, weights)).code == "keras.weights"


def test_weights_that_are_no_floats(tmp_path: Path) -> None:
    kernel: Any
    for kernel in (np.zeros((3, 2), int), np.zeros((3, 2), bool)):
        weights = {"dense": {"kernel": kernel, "bias": np.zeros(2, "f4")}}
        assert error(legacy_file(tmp_path / "m.h5", SMALL, weights)).code == "keras.weights"
    weights = {"dense": {"kernel": "text", "bias": np.zeros(2, "f4")}}
    assert error(legacy_file(tmp_path / "m.h5", SMALL, weights)).code == "keras.weights"


def test_weights_of_another_layer(tmp_path: Path) -> None:
    stream = io.BytesIO(weights_file(SMALL_H5))
    with h5py().File(stream, "r+") as file:
        file["layers/dense/vars"].attrs["name"] = "another"
    found = error(archive(tmp_path / "model.keras", weights=stream.getvalue()))
    assert found.code == "keras.weights" and "'another'" in str(found)


def test_weights_that_are_not_finite_are_for_check_to_report(tmp_path: Path) -> None:
    weights = {"dense": {"kernel": np.full((3, 2), np.nan, "f4"), "bias": np.zeros(2, "f4")}}
    model = read_keras(legacy_file(tmp_path / "m.h5", SMALL, weights))
    assert [finding.code for finding in snnir.check(model)] == ["value.not-finite"]


def hostile_weights(kind: str, folder: Path) -> bytes:
    """A `model.weights.h5` whose kernel is not what it seems."""
    secret = folder / "secret"
    secret.write_bytes(bytes(24))
    stream = io.BytesIO()
    module = h5py()
    with module.File(stream, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["1"] = np.zeros(2, np.float32)
        if kind == "external link":
            group["0"] = module.ExternalLink(str(secret), "/x")
        elif kind == "soft link":
            file["away"] = module.ExternalLink(str(secret), "/")
            group["0"] = module.SoftLink("/away/x")
        elif kind == "external storage":
            group.create_dataset("0", (3, 2), "f4", external=[(str(secret), 0, 24)])
        elif kind == "virtual":
            layout = module.VirtualLayout((3, 2), "f4")
            layout[:] = module.VirtualSource(str(secret), "x", (3, 2))
            group.create_virtual_dataset("0", layout)
        elif kind == "objects":
            group.create_dataset("0", (3, 2), module.ref_dtype)
        else:
            group.create_dataset("0", (3, 2), "f4")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("external link", "hdf5.link"),
        ("soft link", "hdf5.link"),
        ("external storage", "hdf5.storage"),
        ("virtual", "hdf5.storage"),
        ("objects", "hdf5.type"),
        ("never written", "hdf5.storage"),
    ],
)
def test_weights_that_lead_elsewhere(kind: str, code: str, tmp_path: Path) -> None:
    weights = hostile_weights(kind, tmp_path)
    assert error(archive(tmp_path / "model.keras", weights=weights)).code == code


def test_huge_weights_in_a_small_file(tmp_path: Path) -> None:
    size = 1 << 30
    stream = io.BytesIO()
    with h5py().File(stream, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", (size, size), "f4")
        group.create_dataset("1", (size,), "f4")
    network = sequential(input_layer(size), dense(units=size))
    found = error(archive(tmp_path / "model.keras", network, stream.getvalue()))
    assert found.code in ("hdf5.limit", "hdf5.storage")


# Versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2.2", "4.0.0", "", "new"])
def test_versions_that_are_not_supported(version: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras", version=version)
    assert error(path, UnsupportedVersion).code == "keras.version"
    path = legacy_file(tmp_path / "model.h5", SMALL, SMALL_WEIGHTS, version)
    assert error(path, UnsupportedVersion).code == "keras.version"


def test_weights_of_a_backend_with_another_layout(tmp_path: Path) -> None:
    path = legacy_file(tmp_path / "model.h5", SMALL, SMALL_WEIGHTS, "2.2.4")
    with h5py().File(path, "r+") as file:
        file.attrs["backend"] = "theano"
    assert "theano" in str(error(path, UnsupportedVersion))


# Damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_damage_is_an_error_of_this_library_or_goes_unnoticed(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    network = sequential(
        input_layer(4, 3), dense(), layer("BatchNormalization", "norm"), layer("ReLU", "relu")
    )
    norm = {name: np.ones(2, "f4") for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    if suffix == ".h5":
        legacy_file(path, network, {**SMALL_WEIGHTS, "norm": norm})
    else:
        weights = weights_file({**SMALL_H5, "batch_normalization": list(norm.values())})
        archive(path, network, weights)
    assert len(read_keras(path).graph.nodes) == 3
    sound = path.read_bytes()
    rng = np.random.default_rng(2)
    for trial in range(300):
        damaged = bytearray(sound)
        if trial % 3 == 0:
            del damaged[int(rng.integers(len(sound))) :]
        else:
            for _ in range(int(rng.integers(1, 5))):
                damaged[int(rng.integers(len(sound)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        FRONTEND.recognises(path)
        try:
            read_keras(path)
        except SnnirError:
            continue
