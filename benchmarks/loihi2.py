"""Loihi 2: what quantisation and lowering cost, and how fast the exact simulation is.

    python benchmarks/loihi2.py [--quick] [--dir DIRECTORY] [--json FILE]

The trained networks and their data are in the folder that ``SNNIR_TEST_DATA`` names (by default
``../shared/data``); MNIST is downloaded. What is not there is left out and said to be absent.
``--quick`` uses 1,000 test images of MNIST. Networks are calibrated on samples that do not count
in the columns "others"; 20 samples of each network are compared with Lava where that is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from _measure import Bar, Options, Report, Table, at_most, is_present, main
from _networks import default_folder, named

from snnir import GraphBuilder, Model
from snnir.conversion import read
from snnir.errors import SnnirError
from snnir.passes.canonicalise import canonicalise
from snnir.passes.loihi2 import Loihi2Options, lower_to_loihi2
from snnir.passes.quantise import SCALES, QuantiseOptions, quantise
from snnir.runtime.backend import find_backend

Array = npt.NDArray[Any]

BARS: Final = {
    "snntb_mnist_mlp": 0.1,
    "snntb_mnist_cnn_avgpool": 0.1,
    "snntb_cifar_cnn_avgpool": 0.5,
    "kws_dscnn": 0.5,
}
"""Allowed loss of accuracy in percentage points."""

QUICK_SAMPLES: Final = 1000
IN_LAVA: Final = 20
BITS: Final = (8, 6, 4)
FASTER: Final = 50.0


@dataclass(frozen=True)
class Network:
    """A trained network and its test data.

    Attributes:
        name: Its name.
        model: The network, in canonical form.
        calibration: Samples to calibrate on.
        x: Test samples.
        y: Their classes.
        others: The first test sample that was not calibrated on.
        bar: Allowed loss of accuracy in percentage points.
    """

    name: str
    model: Model
    calibration: Array
    x: Array
    y: Array
    others: int
    bar: float

    @property
    def input(self) -> str:
        """Name of the input."""
        return self.model.graph.inputs[0].name

    def classes(self, model: Model, x: Array) -> Array:
        """The class of each sample."""
        found = find_backend("layerwise").prepare(model).run({self.input: x})
        (answer,) = found.outputs.values()
        classes: Array = answer.argmax(1)
        return classes


def networks(quick: bool, absent: list[str]) -> Iterator[Network]:
    """The networks that are there."""
    folder = default_folder()
    for name, bar in BARS.items():
        found = named(name)
        if not (folder / found.file).exists():
            absent.append(found.file)
            continue
        model = canonicalise(read(folder / found.file))
        data = found.data(folder)
        shape = model.graph.inputs[0].type.shape
        calibration, x = (a.reshape(len(a), *shape) for a in (data.calibration, data.x))
        count = QUICK_SAMPLES if quick else len(x)
        yield Network(name, model, calibration, x[:count], data.y[:count], data.held_out, bar)


def measure(options: Options) -> Report:
    """Measure everything."""
    report = Report("loihi2")
    lava = is_present("lava.lib.dl.netx") and is_present("snnir_converters.lava")
    if not lava:
        report.absent.append("lava")
    sigma = Table(
        "Sigma-delta networks of 8 bits in the exact simulation",
        ("network", "float", "loihi2", "drop", "power-of-two", "drop", "drop, others", "seconds"),
    )
    integers = Table("Accuracy with integer weights", ("network, bits", *SCALES, "auto"))
    for network in networks(options.quick, report.absent):
        _sigma_delta(report, sigma, network, lava)
        _integers(integers, network)
        if network.name == "snntb_mnist_mlp":
            _hard_reset(report, network)
    report.add(sigma)
    report.add(integers)
    _speed(report, lava)
    return report


def _percent(right: Array) -> float:
    return 100 * float(right.mean())


def _sigma_delta(report: Report, table: Table, network: Network, lava: bool) -> None:
    calibration = {network.input: network.calibration}
    wanted = network.classes(network.model, network.x) == network.y
    drops, figures = [], {}
    lowered = None
    for scale in ("auto", "power-of-two"):
        started = time.perf_counter()
        made, _ = lower_to_loihi2(network.model, calibration, Loihi2Options(scale=scale))
        found = network.classes(made, network.x) == network.y
        drops.append((_percent(wanted) - _percent(found), time.perf_counter() - started))
        figures[scale] = {"accuracy": _percent(found)}
        if scale == "auto":
            lowered, right = made, found
    others = _percent(wanted[network.others :]) - _percent(right[network.others :])
    report.bars.append(at_most(f"{network.name}: drop, sigma-delta", network.bar, drops[0][0], ""))
    if network.others:
        report.bars.append(
            at_most(f"{network.name}: drop on samples not calibrated on", network.bar, others, "")
        )
    table.rows.append(
        (
            network.name,
            f"{_percent(wanted):.2f} %",
            f"{_percent(right):.2f} %",
            f"{drops[0][0]:.2f}",
            f"{figures['power-of-two']['accuracy']:.2f} %",
            f"{drops[1][0]:.2f}",
            f"{others:.2f}",
            f"{drops[0][1]:.0f}",
        )
    )
    table.figures[network.name] = {"float": {"accuracy": _percent(wanted)}, **figures}
    if lava and lowered is not None:
        _in_lava(report, network, lowered)


def _in_lava(report: Report, network: Network, lowered: Model) -> None:
    name = f"{network.name}: samples equal in Lava"
    x = {network.input: network.x[:IN_LAVA]}
    ours = find_backend("reference").prepare(lowered).run(x)
    try:
        theirs = find_backend("lava").prepare(lowered).run(x)
    except SnnirError as error:
        report.bars.append(Bar(name, str(IN_LAVA), str(error), False))
        return
    (a,), (b,) = ours.outputs.values(), theirs.outputs.values()
    equal = int((a == b).reshape(len(a), -1).all(1).sum())
    report.bars.append(Bar(name, str(IN_LAVA), str(equal), equal == IN_LAVA))


def _integers(table: Table, network: Network) -> None:
    x, y = network.x[:1000], network.y[:1000]
    for bits in BITS:
        row = [f"{network.name}, {bits}"]
        for scale in (*SCALES, "auto"):
            options = QuantiseOptions(bits, scale)  # type: ignore[arg-type]
            made, _ = quantise(network.model, {network.input: network.calibration}, options)
            row.append(f"{_percent(network.classes(made, x) == y):.1f} %")
        table.rows.append(tuple(row))


def _hard_reset(report: Report, network: Network) -> None:
    table = Table(
        "The same MLP as spiking neurons with a reset to 0 (approximate), 8 bits",
        ("steps", "float", "loihi2", "drop"),
    )
    wanted = _percent(network.classes(network.model, network.x) == network.y)
    for steps in (32, 64, 128):
        options = Loihi2Options(approximate=("hard-reset",), steps=steps)
        made, _ = lower_to_loihi2(network.model, {network.input: network.calibration}, options)
        found = _percent(network.classes(made, network.x) == network.y)
        table.rows.append(
            (str(steps), f"{wanted:.2f} %", f"{found:.2f} %", f"{wanted - found:.2f}")
        )
        if steps == 64:
            report.bars.append(at_most("mlp, reset to 0, T = 64: drop", 1.0, wanted - found, ""))
    report.add(table)


# Speed ---------------------------------------------------------------------------------------


def spiking_mlp(rng: np.random.Generator, steps: int) -> Model:
    """784-128-10 CUBA neurons with random weights."""
    b = GraphBuilder("mlp", steps=steps)
    value = b.input("spikes", [784], timing="per_step", dtype="int32")
    for inputs, outputs, threshold in ((784, 128, 900), (128, 10, 300)):
        weight = 2 * rng.integers(-127, 128, (inputs, outputs)).astype(np.int16)
        value = b.loihi2.CubaLIF(
            b.loihi2.Dense(value.delayed(1), weight=weight, weight_exp=-1),
            i_decay=np.int32(2048),
            v_decay=np.int32(512),
            threshold=np.int32(threshold),
        )
    b.output("count", b.snn.SpikeCount(b.loihi2.Dequantize(value)))
    return b.build()


def _speed(report: Report, lava: bool) -> None:
    steps, samples = 100, 64
    rng = np.random.default_rng(0)
    model = spiking_mlp(rng, steps)
    x = (rng.random((samples, steps, 784)) < 0.1).astype(np.int32)
    seconds: dict[str, float] = {}
    table = Table(
        f"784-128-10 CUBA neurons, {samples} samples of {steps} steps",
        ("backend", "seconds", "microseconds a sample and step"),
    )
    counts: dict[str, Array] = {}
    for name in ("layerwise", "reference", *(("lava",) if lava else ())):
        try:
            prepared = find_backend(name).prepare(model)
            repetitions = 1 if name == "lava" else 3
            times = []
            for _ in range(repetitions):
                started = time.perf_counter()
                counts[name] = prepared.run({"spikes": x}).outputs["count"]
                times.append(time.perf_counter() - started)
        except SnnirError as error:
            table.notes.append(f"{name}: {error}")
            continue
        seconds[name] = float(np.median(times))
        table.rows.append(
            (name, f"{seconds[name]:.3f}", f"{1e6 * seconds[name] / samples / steps:.1f}")
        )
        table.figures[name] = {"run": {"seconds": seconds[name]}}
    report.add(table)
    if "lava" in seconds:
        ratio = seconds["lava"] / min(seconds["layerwise"], seconds["reference"])
        equal = all(np.array_equal(counts["lava"], found) for found in counts.values())
        report.bars.append(
            Bar(
                "exact simulation, times as fast as Lava on the same samples",
                f">= {FASTER:g}",
                f"{ratio:.0f}{'' if equal else ', but not equal'}",
                ratio >= FASTER and equal,
            )
        )


if __name__ == "__main__":
    sys.exit(main("Measure quantisation and lowering to Loihi 2.", [sys.modules[__name__]]))
