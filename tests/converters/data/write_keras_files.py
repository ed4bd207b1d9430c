"""Writes the networks of keras_versions.tar.xz with whatever Keras is installed.

For each of a few versions of TensorFlow or Keras (any backend), in an environment of its own:

    python write_keras_files.py FOLDER

Then pack the folders, each named after its version of Keras. Nothing of this project is used.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

try:
    import keras

    if not keras.__version__.startswith("3."):
        raise ImportError
except ImportError:
    from tensorflow import keras

layers = keras.layers


def randomise(model):
    """Random values that depend on names and shapes alone."""
    rng = np.random.default_rng(0)
    values = []
    for variable in model.weights:
        name = getattr(variable, "path", variable.name)
        if "variance" in name:
            values.append(rng.uniform(0.5, 2, variable.shape))
        elif "count" in name:
            values.append(np.asarray(5))
        elif len(variable.shape) > 1:
            fan = np.sqrt(np.prod(variable.shape[:-1]))
            values.append(rng.normal(size=variable.shape) / fan)
        else:
            values.append(rng.normal(size=variable.shape))
    model.set_weights(values)
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return model


def plain():
    """Layers one after the other, some with defaults that versions name differently."""
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.1),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3, activation="relu"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.SeparableConv2D(5, 2, activation="hard_sigmoid"),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Dense(6),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(7, activation="swish"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def graph():
    """Several inputs and outputs, and layers and models that are called several times."""
    first, second = keras.Input((8, 8, 3), name="image"), keras.Input((8, 8, 3))
    x = layers.Rescaling(1 / 3.0, -0.5)(layers.Normalization()(first))
    block = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 1, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(4),
        ],
        name="block",
    )
    inside = keras.Input((8, 8, 4))
    y = layers.Conv2D(4, 3, padding="same")(inside)
    y = layers.BatchNormalization(trainable=False)(y)
    y = layers.Conv2D(4, 3, padding="same", activation="tanh")(y)
    inner = keras.Model(inside, [y, layers.GlobalAveragePooling2D()(y)], name="inner")
    u, _ = inner(block(x))
    v, pooled = inner(block(second))
    shared = layers.Conv2D(4, 1)
    z = layers.Concatenate()([shared(layers.Add()([u, v])), shared(v)])
    z = layers.Conv2D(3, 1, trainable=False)(z)
    return keras.Model([first, second], [layers.GlobalMaxPooling2D()(z), pooled])


def deferred():
    """No input layer anywhere, and a model within."""
    inner = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    model = keras.Sequential(
        [
            layers.Dense(4, activation="relu"),
            layers.BatchNormalization(),
            inner,
            layers.Dense(2),
            layers.Dense(5),
        ]
    )
    model.build((None, 6))
    return model


def main(folder):
    """Write all networks, and what Keras computes with them."""
    folder.mkdir(parents=True, exist_ok=True)
    for build in (plain, graph, deferred):
        name = build.__name__
        model = randomise(build())
        rng = np.random.default_rng(1)
        shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs or []] or [(6,)]
        inputs = [rng.normal(size=(2, *shape)).astype(np.float32) for shape in shapes]
        outputs = model(inputs if len(inputs) > 1 else inputs[0])
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        arrays = {f"x{i}": array for i, array in enumerate(inputs)}
        arrays.update({f"y{i}": np.asarray(array) for i, array in enumerate(outputs)})
        np.savez_compressed(folder / f"{name}.npz", **arrays)
        for suffix in (".h5", ".keras"):
            try:
                model.save(folder / f"{name}{suffix}")
            except ValueError as error:  # Keras 3.0 to 3.3 cannot write some legacy files
                (folder / f"{name}{suffix}").unlink()
                sys.stderr.write(f"{name}{suffix}: {error}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
