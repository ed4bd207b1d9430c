"""Trained networks and the data that they are tried on: what conversion is measured with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STEPS: Final = (4, 8, 16, 32, 64)
CALIBRATION_IMAGES: Final = 256
CALIBRATION_SAMPLES: Final = 200


@dataclass(frozen=True)
class Data:
    """Labelled samples.

    Attributes:
        x: What the networks are fed with, float32.
        y: Labels.
        calibration: Samples for calibration.
        held_out: Index of the first sample that was not used for calibration.
    """

    x: Array
    y: Array
    calibration: Array
    held_out: int = 0


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        name: What the tables call it.
        file: Where it is in the data folder.
        data: Reads its data from that folder.
        bars: Largest allowed drop in points, by steps; the key 0 is few-spike.
    """

    name: str
    file: str
    data: Callable[[Path], Data]
    bars: Mapping[int, float]


def default_folder() -> Path:
    """Where the data are unless the command line says something else."""
    return Path(
        os.environ.get("SNNIR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
    )


@cache
def mnist(folder: Path) -> Data:
    """All test images; calibration on training images."""
    from snnir.testing import images

    found = images.mnist()
    test, train = (
        np.asarray(x, np.float32)[..., np.newaxis] / np.float32(255)
        for x in (found.test_x, found.train_x[:CALIBRATION_IMAGES])
    )
    return Data(test, found.test_y, train)


@cache
def cifar(folder: Path) -> Data:
    """1,000 test images, the first for calibration."""
    stored = np.load(folder / "cifar10" / "test1000_lossless.npz")
    x = stored["x"].astype(np.float32) / np.float32(255)
    return Data(x, stored["y"], x[:CALIBRATION_SAMPLES], CALIBRATION_SAMPLES)


@cache
def keywords(folder: Path) -> Data:
    """1,000 spoken words as coefficients, the first for calibration."""
    stored = np.load(folder / "kws" / "kws_mfcc_1000.npz")
    x = (stored["mfcc"].astype(np.float32) - np.float32(83)) * np.float32(0.58470)
    x = x[..., np.newaxis]
    return Data(x, stored["label"], x[:CALIBRATION_SAMPLES], CALIBRATION_SAMPLES)


_MNIST_BARS: Final = {4: 0.3, 8: 0.1, 16: 0.1, 32: 0.05, 64: 0.05, 0: 0.2}

NETWORKS: Final = (
    Network("snntb_mnist_mlp", "keras/snntb_mnist_mlp_98.15.keras", mnist, _MNIST_BARS),
    Network(
        "snntb_mnist_cnn_avgpool", "keras/snntb_mnist_cnn_avgpool_99.20.keras", mnist, _MNIST_BARS
    ),
    Network("snntb_lenet5", "keras/snntb_lenet5_99.14.keras", mnist, _MNIST_BARS),
    Network(
        "snntb_cifar_cnn_avgpool",
        "keras/snntb_cifar_cnn_avgpool_83.62.keras",
        cifar,
        {4: 5.0, 8: 2.5, 16: 1.0, 32: 0.5, 64: 0.3, 0: 0.2},
    ),
    Network(
        "kws_dscnn", "kws/kws_dscnn.keras", keywords, {8: 5.0, 16: 2.0, 32: 1.0, 64: 0.5, 0: 0.2}
    ),
)


def named(name: str) -> Network:
    """The network of that name."""
    return next(network for network in NETWORKS if network.name == name)
