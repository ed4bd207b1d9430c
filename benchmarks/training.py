"""Training by EventProp and e-prop: accuracy, what int8 and Loihi 2 cost, and time.

    python benchmarks/training.py [--quick] [--choose] [--dir DIRECTORY] [--json FILE]

Networks are trained in GeNN on the CPU, one sample at a time, and measured by the reference, where
every sample starts from the initial state. The handwritten digits are scikit-learn's; Yin-Yang and
the spoken digits are in the folder that ``SNNIR_TEST_DATA`` names (by default
``../shared/data``). What is not there is left out and said to be absent. ``--quick`` leaves out
the spoken digits.

Learning rate and schedule are chosen without test samples: ``--choose`` tries all combinations of
``GRIDS`` without the validation samples and prints how many of those are right. They are a fifth of
the training samples (every fifth digit, recordings 5 to 9 of each speaker and digit) and Yin-Yang's
own. ``CHOSEN`` are the best; with them, networks are then trained on all training samples. Sizes,
epochs, time constants and initial weights were set by hand before, with test results in view.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from _measure import Bar, Options, Report, Table, at_most, is_present, main
from _networks import default_folder

from snnir import Model
from snnir.data import SpikeData, from_events
from snnir.data.encoders import latency
from snnir.errors import SnnirWarning
from snnir.passes.loihi2 import Loihi2Options, lower_to_loihi2, padded
from snnir.recipes import build
from snnir.runtime.backend import find_backend
from snnir.testing.images import digits
from snnir.training import Watch, train

Array = npt.NDArray[Any]

STEPS: Final = 20
REPETITIONS: Final = 3
EPOCHS: Final = 3
NO_RATE: Final = 1e-9
"""A learning rate that changes nothing."""

CALIBRATION: Final = 512
"""Samples that quantisation is calibrated on."""

COMPARED: Final = 200
"""Samples that GeNN's answers are compared on."""


DIGITS: Final = "8x8 digits, 64-128-10"
RECURRENT: Final = "8x8 digits, recurrent"
YINYANG: Final = "Yin-Yang, 5-120-3"
SPOKEN: Final = "spoken digits, recurrent"

EPOCHS_OF: Final = {DIGITS: 10, RECURRENT: 10, YINYANG: 25, SPOKEN: 8}
BARS: Final = {DIGITS: 95.0, RECURRENT: 90.0, YINYANG: 95.0, SPOKEN: 90.0}
"""Least accuracy in percent."""

GRIDS: Final[dict[str, dict[str, tuple[Any, ...]]]] = {
    DIGITS: {"learning_rate": (1e-3, 2e-3, 4e-3, 8e-3), "schedule": ("constant", "cosine")},
    RECURRENT: {"learning_rate": (1e-3, 2e-3, 4e-3), "schedule": ("constant", "cosine")},
    YINYANG: {"learning_rate": (2e-3, 4e-3), "schedule": ("constant", "cosine")},
    SPOKEN: {"learning_rate": (5e-4, 1e-3, 2e-3), "schedule": ("cosine",)},
}
"""Settings that ``--choose`` tries."""

CHOSEN: Final[dict[str, dict[str, Any]]] = {
    DIGITS: {"learning_rate": 8e-3, "schedule": "cosine"},
    RECURRENT: {"learning_rate": 4e-3, "schedule": "cosine"},
    YINYANG: {"learning_rate": 4e-3, "schedule": "cosine"},
    SPOKEN: {"learning_rate": 2e-3, "schedule": "cosine"},
}
"""The best of those."""

GIVEN: Final[dict[str, dict[str, Any]]] = {
    SPOKEN: {"reg_lambda_upper": 1e-9, "reg_lambda_lower": 1e-9, "reg_nu_upper": 8.0}
}
"""Settings that were not varied."""


def spread(count: int) -> Array:
    """Indices of samples for calibration, evenly over data that may be in the order of classes."""
    return np.unique(np.linspace(0, count - 1, CALIBRATION).astype(int))


@dataclass(frozen=True)
class Task:
    """A network and its data.

    Attributes:
        name: What the table calls it.
        model: The network before training.
        train: Training samples.
        fit: Those that are trained on while settings are chosen.
        validation: Samples that settings are chosen by.
        test: Test samples.
    """

    name: str
    model: Model
    train: SpikeData
    fit: SpikeData
    validation: SpikeData
    test: SpikeData

    def settings(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """All settings of the training."""
        return {"epochs": EPOCHS_OF[self.name], **GIVEN.get(self.name, {}), **chosen}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this script."""
    parser.add_argument(
        "--choose", action="store_true", help="training: try settings, on validation samples"
    )


def percent(right: Array) -> float:
    """Part of what is true."""
    return 100 * float(np.mean(right))


def handwritten() -> tuple[SpikeData, SpikeData]:
    """8x8 digits; a pixel spikes once, the earlier the brighter it is."""
    images = digits()
    parts = []
    for x, y in ((images.train_x, images.train_y), (images.test_x, images.test_y)):
        flat = x.reshape(len(x), -1)
        parts.append(latency(flat, y, steps=STEPS, scale=1 / 255, classes=10))
    return parts[0], parts[1]


def yinyang(folder: Path) -> tuple[SpikeData, SpikeData, SpikeData]:
    """Yin-Yang: four values and a constant, each of which spikes once."""

    def spikes(kind: str) -> SpikeData:
        x = np.load(folder / f"{kind}_samples.npy")
        y = np.load(folder / f"{kind}_labels.npy")
        x = np.concatenate([x, np.zeros((len(x), 1))], axis=1)
        times = np.rint(x * 40).astype(np.int64)
        neurons = np.broadcast_to(np.arange(x.shape[1]), x.shape)
        events = zip(times, neurons, strict=True)
        return from_events(events, y, shape=x.shape[1], steps=45, time_unit=1e-3, classes=3)

    return spikes("train"), spikes("validation"), spikes("test")


def spoken(path: Path) -> tuple[Model, SpikeData, SpikeData, Array]:
    """The network and the data of the example; which training samples are for validation."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    from spoken_digits import TEST_INDICES, network, recordings

    with np.load(path) as file:
        indices = file["index"]
    held_out = indices[indices >= TEST_INDICES] < 2 * TEST_INDICES
    return network(128), *recordings(path), held_out


def tasks(options: Options, absent: list[str]) -> Iterator[Task]:
    """All that there is data for."""
    sizes = {"inputs": 64, "hidden": 128, "outputs": 10, "steps": STEPS, "input_mean": 0.2}
    first, second = handwritten()
    held_out = np.arange(len(first)) % 5 == 4
    for name, recipe in ((DIGITS, "feed-forward"), (RECURRENT, "rsnn")):
        model = build(recipe, **sizes)
        yield Task(name, model, first, first[~held_out], first[held_out], second)
    folder = default_folder()
    if (folder / "yinyang").exists():
        model = build(
            "feed-forward", inputs=5, hidden=120, outputs=3, steps=45, input_mean=1.5, input_sd=0.8
        )
        first, validation, second = yinyang(folder / "yinyang")
        yield Task(YINYANG, model, first, first, validation, second)
    else:
        absent.append("yinyang")
    sound = folder / "fsdd_8khz.npz"
    if options.quick or not sound.exists():
        absent.append(sound.name)
        return
    model, first, second, held_out = spoken(sound)
    yield Task(SPOKEN, model, first, first[~held_out], first[held_out], second)


def classes(model: Model, data: SpikeData) -> Array:
    """The answer for each sample."""
    prepared = find_backend("layerwise").prepare(model)
    found: Array = prepared.run(padded(model, {"spikes": data.dense()}))["class"].argmax(1)
    return found


def measure(options: Options) -> Report:
    """Measure everything."""
    report = Report("training")
    if not is_present("ml_genn") or not is_present("pygenn"):
        report.absent.append("ml_genn, pygenn")
        return report
    if options.arguments.choose:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SnnirWarning)
            for task in tasks(options, report.absent):
                report.add(_choice(task))
        return report
    table = Table(
        "Trained by EventProp on the CPU, tested from the initial state",
        ("network", "epochs", "seconds", "float", "loihi2, int8", "drop"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SnnirWarning)
        for task in tasks(options, report.absent):
            _train(report, table, task)
        report.add(table)
        _speed(report)
        _adaptive(report)
    return report


def _choice(task: Task) -> Table:
    """Accuracy on validation samples for all settings that are tried."""
    grid = GRIDS[task.name]
    table = Table(f"{task.name}: settings on validation samples", (*grid, "loss", "accuracy"))
    for values in itertools.product(*grid.values()):
        tried = dict(zip(grid, values, strict=True))
        _, done = train(
            task.model,
            task.fit,
            validation=(task.validation, task.validation.required_labels()),
            keep_best=False,
            **task.settings(tried),
        )
        last = done.history[-1]
        loss, accuracy = last.validation_loss or 0.0, 100 * (last.validation_accuracy or 0.0)
        table.rows.append((*map(str, values), f"{loss:.4f}", f"{accuracy:.2f} %"))
        table.figures[", ".join(map(str, values))] = {"float": {"accuracy": accuracy}}
    return table


def _train(report: Report, table: Table, task: Task) -> None:
    started = time.perf_counter()
    settings = task.settings(CHOSEN[task.name])
    trained, _ = train(task.model, task.train, **settings)
    seconds = time.perf_counter() - started
    truth = task.test.required_labels()
    accuracy = percent(classes(trained, task.test) == truth)
    samples = {"spikes": task.train.dense(spread(len(task.train)))}
    lowered, _ = lower_to_loihi2(trained, samples, Loihi2Options(8))
    on_chip = percent(classes(lowered, task.test) == truth)
    table.rows.append(
        (
            task.name,
            str(settings["epochs"]),
            f"{seconds:.0f}",
            f"{accuracy:.2f} %",
            f"{on_chip:.2f} %",
            f"{accuracy - on_chip:.2f}",
        )
    )
    table.figures[task.name] = {
        "float": {"accuracy": accuracy},
        "loihi2": {"accuracy": on_chip},
        "training": {"seconds": seconds},
    }
    report.bars.append(
        Bar(
            f"{task.name}: accuracy",
            f">= {BARS[task.name]:g} %",
            f"{accuracy:.2f} %",
            accuracy >= BARS[task.name],
        )
    )
    report.bars.append(at_most(f"{task.name}: drop on Loihi 2", 0.5, accuracy - on_chip, ""))
    if task.name == SPOKEN:
        report.bars.append(at_most(f"{task.name}: minutes", 30.0, seconds / 60, ""))


# Time ----------------------------------------------------------------------------------------


def _speed(report: Report) -> None:
    """An epoch of the same network, here and by mlGeNN alone, in turns; time of the processor.

    The learning rate is so small that both do the same work in every epoch.
    """
    first, _ = handwritten()
    model = build("rsnn", inputs=64, hidden=128, outputs=10, steps=STEPS, input_mean=0.2)
    times: dict[str, list[float]] = {"snnir": [], "mlGeNN": []}
    for _ in range(REPETITIONS):
        times["snnir"] += _by_snnir(model, first)
        times["mlGeNN"] += _by_mlgenn_alone(model, first)
    table = Table(
        f"An epoch of {len(first)} samples, 64-128-10 recurrent, least of {len(times['snnir'])}",
        ("", "seconds of the processor"),
    )
    for name, seconds in times.items():
        table.rows.append((name, f"{min(seconds):.3f}"))
        table.figures[name] = {"epoch": {"seconds": min(seconds)}}
    report.add(table)
    ratio = min(times["snnir"]) / min(times["mlGeNN"])
    report.bars.append(at_most("time of an epoch, times that of mlGeNN alone", 1.05, ratio, ""))


def _by_snnir(model: Model, data: SpikeData) -> list[float]:
    """Seconds of each epoch but the first, which prepares the data."""
    marks: list[float] = []
    watch = Watch(epoch=lambda history: marks.append(time.process_time()))
    train(model, data, epochs=EPOCHS, learning_rate=NO_RATE, watch=watch)
    return [float(seconds) for seconds in np.diff(marks)]


def _by_mlgenn_alone(model: Model, data: SpikeData) -> list[float]:
    """Seconds of each epoch but the first of mlGeNN's own compiler and loop."""
    from ml_genn.callbacks import Callback
    from ml_genn.compilers import EventPropCompiler
    from ml_genn.optimisers import Adam

    from snnir_converters.mlgenn import to_network
    from snnir_converters.mlgenn._live import build_quietly
    from snnir_converters.mlgenn._training import preprocessed

    marks: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, metrics: object) -> None:
            marks.append(time.process_time())

    live = to_network(model)
    timesteps = STEPS + 2
    compiler = EventPropCompiler(
        timesteps,
        losses="sparse_categorical_crossentropy",
        optimiser=Adam(NO_RATE),
        max_spikes=2 * timesteps + 2,
        backend="single_threaded_cpu",
        optimize_code=True,
    )
    compiled = compiler.compile(live.network, name="alone")
    with tempfile.TemporaryDirectory() as folder:
        build_quietly(compiled.genn_model, Path(folder))
        with compiled:
            compiled.train(
                {live.inputs["spikes"]: preprocessed(data, 1.0)},
                {live.outputs["class"]: data.required_labels()},
                num_epochs=EPOCHS,
                callbacks=[Clock()],
            )
    return [float(seconds) for seconds in np.diff(marks)]


# E-prop ----------------------------------------------------------------------------------------


def _adaptive(report: Report) -> None:
    """A network of adaptive neurons, trained by e-prop and read back from mlGeNN."""
    from snnir_converters.mlgenn import read_mlgenn, to_network

    first, second = handwritten()
    model = build(
        "alif",
        inputs=64,
        hidden=64,
        outputs=10,
        steps=STEPS,
        input_mean=0.1,
        input_sd=0.3,
        output_sd=0.2,
        threshold=1.0,
    )
    trained, done = train(
        model, first, method="eprop", epochs=5, learning_rate=2e-3, train_output_bias=False
    )
    accuracy = percent(classes(trained, second) == second.required_labels())
    back = read_mlgenn(to_network(trained).network, dt=1.0, steps=STEPS + 2)
    late = np.zeros((COMPARED, 2, 64), np.float32)
    x = np.concatenate([second.dense(slice(0, COMPARED)), late], axis=1)
    ours = find_backend("reference").prepare(back).run(x)
    theirs = find_backend("mlgenn").prepare(back).run(x)
    (a,), (b,) = ours.outputs.values(), theirs.outputs.values()
    same = percent(a.argmax(1) == b.argmax(1))
    table = Table(
        "ALIF neurons, recurrent, trained by e-prop and read back from mlGeNN",
        ("epochs", "seconds an epoch", "accuracy", "answers as GeNN's"),
    )
    seconds = min(epoch.seconds for epoch in done.history)
    table.rows.append(("5", f"{seconds:.1f}", f"{accuracy:.2f} %", f"{same:.2f} %"))
    table.figures["alif"] = {"float": {"accuracy": accuracy}, "same": {"percent": same}}
    report.add(table)
    report.bars.append(
        Bar(
            "ALIF, e-prop, read back: answers as GeNN's", ">= 99.5 %", f"{same:.2f} %", same >= 99.5
        )
    )


if __name__ == "__main__":
    sys.exit(main("Measure training by EventProp and e-prop.", [sys.modules[__name__]]))
