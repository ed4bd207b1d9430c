"""Spoken digits: from sound to a chip, with a recurrent spiking network trained by EventProp.

Recordings become spikes (a filter bank, events where energies change). A recurrent network of LIF
neurons with exponential synapses is trained on them in GeNN, by mlGeNN's EventProp, and then runs
as floats, in 8-bit integers and in Loihi 2's arithmetic. It is written as a NetX file.

SOUNDS is an .npz file: samples (16-bit, of all recordings one after the other), offsets (where
each begins, and their end), digit and index; recordings whose index is below 5 are for the test.
The Free Spoken Digit Dataset, https://github.com/Jakobovski/free-spoken-digit-dataset, has such
recordings at 8 kHz. Needs PyGeNN and mlGeNN; where Lava is installed it runs some recordings, too.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import snnir
from snnir import data
from snnir.data.audio import FrontEnd
from snnir.errors import SnnirError, SnnirWarning
from snnir.passes.loihi2 import Loihi2Options, lower_to_loihi2, padded
from snnir.passes.quantise import QuantiseOptions, quantise
from snnir.recipes import build
from snnir.runtime.backend import find_backend
from snnir.training import Watch, train
from snnir_converters.netx import TARGET, read_netx

Array = np.ndarray

RATE, BANDS, STEPS, DT = 8000, 40, 80, 0.01
TEST_INDICES = 5
DIGITS = [str(digit) for digit in range(10)]


def recordings(path: Path) -> tuple[data.SpikeData, data.SpikeData]:
    """Spikes of the recordings for training and for the test."""
    with np.load(path) as file:
        samples, offsets, digits, indices = (
            file[name] for name in ("samples", "offsets", "digit", "index")
        )
    sounds = [samples[start:stop] for start, stop in pairwise(offsets)]
    front_end = FrontEnd(RATE, bands=BANDS, steps=STEPS, dt=DT)
    with warnings.catch_warnings():  # a few recordings are longer
        warnings.simplefilter("ignore", SnnirWarning)
        spikes = front_end.encode(sounds, digits, classes=len(DIGITS), beyond="cut")
    return spikes[indices >= TEST_INDICES], spikes[indices < TEST_INDICES]


def network(hidden: int) -> snnir.Model:
    """The network before training."""
    return build(
        "rsnn",
        inputs=2 * BANDS,
        hidden=hidden,
        outputs=len(DIGITS),
        labels=DIGITS,
        steps=STEPS,
        dt=DT,
        tau_mem=0.04,
        tau_syn=0.02,
        tau_out=0.1,
        decoder="exponential",
        input_mean=0.1,
    )


@dataclass
class Row:
    """How good a form of the network is."""

    form: str
    accuracy: float
    agreement: float

    def __str__(self) -> str:
        return f"{self.form:<22}{100 * self.accuracy:7.2f} %{100 * self.agreement:11.2f} %"


def classes(model: snnir.Model, x: Array, backend: str = "layerwise") -> Array:
    """The answer for each sample."""
    return find_backend(backend).prepare(model).run(padded(model, {"spikes": x}))["class"].argmax(1)


def table(trained: snnir.Model, samples: Array, test: data.SpikeData) -> dict[str, Any]:
    """Print how good each form of the trained network is.

    Returns:
        The forms: ``float``, ``int8`` and ``loihi2``; and ``rows``.
    """
    x, y = test.dense(), test.required_labels()
    calibration = {"spikes": samples}
    forms = {
        "float": trained,
        "int8": quantise(trained, calibration, QuantiseOptions(8))[0],
        "loihi2": lower_to_loihi2(trained, calibration, Loihi2Options(8))[0],
    }
    wanted = classes(trained, x)
    rows = []
    for form, model in forms.items():
        found = wanted if model is trained else classes(model, x)
        rows.append(Row(form, float((found == y).mean()), float((found == wanted).mean())))
    try:
        found = classes(trained, x, "genn")
        rows.insert(
            1, Row("float in GeNN", float((found == y).mean()), float((found == wanted).mean()))
        )
    except SnnirError as error:
        print(f"not run in GeNN: {error.diagnostics[0]}")
    print(f"\nOn {len(x)} recordings:\n{'':22} accuracy  agreement")
    for row in rows:
        print(row)
    return {**forms, "rows": rows}


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", metavar="SOUNDS", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("spoken-digits-output"))
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lava", type=int, default=5, help="recordings that Lava runs")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    for_training, test = recordings(options.sounds)
    print(f"training: {for_training!r}\ntest:     {test!r}")
    data.save(for_training, options.folder / "train.npz")
    data.save(test, options.folder / "test.npz")

    started = time.monotonic()
    with warnings.catch_warnings():  # the readout's window is two steps longer in mlGeNN
        warnings.simplefilter("ignore", SnnirWarning)
        trained, _ = train(
            network(options.hidden),
            for_training,
            method="eventprop",
            epochs=options.epochs,
            learning_rate=2e-3,
            schedule="cosine",
            reg_lambda_upper=1e-9,
            reg_lambda_lower=1e-9,
            reg_nu_upper=8.0,
            watch=Watch(epoch=lambda history: print(history[-1])),
        )
    print(f"Trained in {time.monotonic() - started:.0f} s.")

    spread = np.linspace(0, len(for_training) - 1, 512).astype(int)
    samples = for_training.dense(spread)
    forms = table(trained, samples, test)
    for form in ("float", "int8", "loihi2"):
        snnir.save(forms[form], options.folder / f"{form}.snnir")
    path = options.folder / "spoken-digits.net"
    TARGET.emit(forms["loihi2"], path)
    print(f"Files are in {options.folder}.")
    compare_netx(forms["loihi2"], path, test, options.lava)


def compare_netx(lowered: snnir.Model, path: Path, test: data.SpikeData, lava: int) -> None:
    """Whether the NetX file, read back, and Lava compute the same potentials."""
    given = padded(lowered, {"spikes": test.dense(slice(0, 32))})
    expected = snnir.run(lowered, given, backend="layerwise", record=["output"])["output"]
    found = snnir.run(
        read_netx(path),
        given["spikes"].astype(np.int32),
        steps=lowered.time.steps,
        backend="layerwise",
    )["output"]
    print(
        f"The NetX file, read back: {'the same' if np.array_equal(found, expected) else 'OTHER'} "
        "potentials"
    )
    try:
        prepared = find_backend("lava").prepare(lowered)
        few = {"spikes": given["spikes"][:lava]}
        found = prepared.run(few, record=["output"])["output"]
    except SnnirError as error:
        print(f"not run in Lava: {error.diagnostics[0]}")
        return
    same = np.array_equal(found, expected[:lava])
    print(f"{lava} recordings in Lava: {'the same' if same else 'OTHER'} potentials")


if __name__ == "__main__":
    main()
