"""Conversion of trained networks: what it costs in accuracy, and how fast the result runs.

    python benchmarks/conversion.py [--data FOLDER] [--networks NAME ...] [--steps N ...]
        [--limit N] [--torch-python PYTHON] [--threads N] [--repetitions N] [--quick] [--json FILE]

The folder holds the networks and data named in ``_networks.py``; what is absent is said to be
absent. SpikingJelly and snnTorch are measured if ``--torch-python`` (or the environment variable
``SNNIR_TORCH_PYTHON``) names an interpreter that has them. ``--quick`` takes 1,000 samples.
On a busy machine ``--threads 1`` is fairer: threads that wait for each other suffer most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from _measure import (
    Bar,
    Options,
    Report,
    Table,
    at_most,
    main,
    scratch,
)
from _networks import NETWORKS, STEPS, Data, Network, default_folder, named
from _torch import PEERS, Peer, export, torch_python

Array = npt.NDArray[Any]

BATCH: Final = 500
FEW_SPIKE_BITS: Final = 8
QUICK_SAMPLES: Final = 1_000
SPEED_NETWORK: Final = "snntb_mnist_cnn_avgpool"
SPEED_STEPS: Final = 32
SPEED_SAMPLES: Final = 1_000
SPEED_ROUNDS: Final = 7
SPEED_BAR: Final = 1.5
METHOD_SAMPLES: Final = 2_000
METHOD_STEPS: Final = (8, 16)
METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    "calibrated": {},
    "data-norm": {"method": "data-norm"},
    "data-norm, 99.9 %": {"method": "data-norm", "percentile": 99.9},
    "spike-norm": {"method": "spike-norm"},
}
PAUSE: Final = 0.3
"""Seconds before each repetition: idle threads of the one before have gone to sleep by then."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this script alone."""
    group = parser.add_argument_group("conversion")
    group.add_argument(
        "--networks", nargs="+", metavar="NAME", choices=[network.name for network in NETWORKS]
    )
    group.add_argument("--steps", nargs="+", type=int, metavar="N", help="[4 8 16 32 64]")
    group.add_argument(
        "--threads", type=int, default=os.cpu_count(), metavar="N", help="of every candidate [all]"
    )


def measure(options: Options) -> Report:
    """Measure everything."""
    given = options.arguments
    folder = given.data or default_folder()
    chosen = [n for n in NETWORKS if given.networks is None or n.name in given.networks]
    present = [network for network in chosen if (folder / network.file).exists()]
    report = Report("conversion")
    report.absent += [f"{n.name} ({folder / n.file})" for n in chosen if n not in present]
    limit = given.limit or (QUICK_SAMPLES if options.quick else None)
    if present:
        _drops(report, present, folder, tuple(given.steps or STEPS), limit)
        _methods(report, present, folder, min(limit or METHOD_SAMPLES, METHOD_SAMPLES))
    if named(SPEED_NETWORK) in present:
        _speed(report, options, folder, limit)
    return report


# What is measured ----------------------------------------------------------------------------


def original(path: Path) -> Any:
    """The network as it was trained, ready for conversion."""
    from snnir.passes.canonicalise import canonicalise
    from snnir_converters.keras import read_keras

    return canonicalise(read_keras(path))


def rate_coded(model: Any, calibration: Array, steps: int, **options: Any) -> Any:
    """The network in rate coding, by the default method unless the options say otherwise."""
    from snnir.passes.rate import RateOptions, lower_to_rates

    entry = model.graph.inputs[0].name
    spiking, _ = lower_to_rates(model, {entry: calibration}, RateOptions(steps, **options))
    return spiking


def few_spike(model: Any, calibration: Array) -> Any:
    """The network in few-spike coding."""
    from snnir.passes.few_spike import FewSpikeOptions, lower_to_few_spikes

    entry = model.graph.inputs[0].name
    options = FewSpikeOptions(bits=FEW_SPIKE_BITS)
    spiking, _ = lower_to_few_spikes(model, {entry: calibration}, options)
    return spiking


def answers(model: Any, x: Array) -> Array:
    """The first output for all samples, some at a time."""
    import snnir

    found = [
        next(iter(snnir.run(model, x[start : start + BATCH], backend="layerwise").outputs.values()))
        for start in range(0, len(x), BATCH)
    ]
    return np.concatenate(found)


def accuracy(scores: Array, y: Array) -> float:
    """Per cent of the labels."""
    return 100 * float(np.mean(scores.argmax(1) == y))


# Drop in accuracy ----------------------------------------------------------------------------


def _drops(
    report: Report, networks: list[Network], folder: Path, steps: tuple[int, ...], limit: int | None
) -> None:
    table = Table(
        "Drop in accuracy, ANN - SNN, in points",
        (
            "",
            "samples",
            "ANN %",
            *(f"T={count}" for count in steps),
            f"few-spike K={FEW_SPIKE_BITS}",
            "convert s",
        ),
        notes=[
            "Allowed in brackets. convert: seconds for one conversion, median over T.",
            "MNIST: calibrated on training images. Others: calibrated on the first samples, with "
            "a row for those that were not used and one for all.",
        ],
    )
    for network in networks:
        data = network.data(folder)
        x, y = data.x[:limit], data.y[:limit]
        model = original(folder / network.file)
        x, calibration = (_shaped(model, array) for array in (x, data.calibration))
        expected = answers(model, x)
        found: dict[int, Array] = {}
        seconds = []
        for count in steps:
            start = time.perf_counter()
            spiking = rate_coded(model, calibration, count)
            seconds.append(time.perf_counter() - start)
            found[count] = answers(spiking, x)
        found[0] = answers(few_spike(model, calibration), x)
        for title, part in _parts(network, data, len(x)).items():
            before = accuracy(expected[part], y[part])
            drops = {
                count: before - accuracy(scores[part], y[part]) for count, scores in found.items()
            }
            table.rows.append(
                (
                    title,
                    f"{len(y[part]):,}",
                    f"{before:.2f}",
                    *(_cell(drops, network.bars, count) for count in (*steps, 0)),
                    f"{statistics.median(seconds):.1f}" if seconds else "",
                )
            )
            table.figures[title] = {
                "ann": before,
                "samples": len(y[part]),
                "drop": {str(count): drop for count, drop in drops.items()},
                "convert": seconds,
            }
            report.bars += [
                at_most(
                    f"{title}: drop, " + (f"T={count}" if count else f"K={FEW_SPIKE_BITS}"),
                    network.bars[count],
                    drop,
                    " points",
                )
                for count, drop in drops.items()
                if count in network.bars
            ]
    report.add(table)


def _methods(report: Report, networks: list[Network], folder: Path, limit: int) -> None:
    """The methods of rate coding side by side."""
    columns = [f"{name}, T={count}" for count in METHOD_STEPS for name in METHODS]
    table = Table(
        "Drop in accuracy by method of rate coding, in points",
        ("", "samples", *columns),
        notes=["Samples that were not calibrated on."],
    )
    for network in networks:
        data = network.data(folder)
        model = original(folder / network.file)
        x, y = (a[data.held_out : data.held_out + limit] for a in (data.x, data.y))
        x, calibration = (_shaped(model, array) for array in (x, data.calibration))
        before = accuracy(answers(model, x), y)
        drops = {
            f"{name}, T={count}": before
            - accuracy(answers(rate_coded(model, calibration, count, **options), x), y)
            for count in METHOD_STEPS
            for name, options in METHODS.items()
        }
        table.rows.append((network.name, f"{len(y):,}", *(f"{drops[c]:.2f}" for c in columns)))
        table.figures[network.name] = drops
    report.add(table)


def _shaped(model: Any, x: Array) -> Array:
    return x.reshape(len(x), *model.graph.inputs[0].type.shape)


def _parts(network: Network, data: Data, count: int) -> dict[str, slice]:
    """What a network is rated on, by title."""
    if not data.held_out:
        return {network.name: slice(None)}
    whole = {f"{network.name}, all": slice(None)}
    if count <= data.held_out:
        return whole
    return {f"{network.name}, held out": slice(data.held_out, None), **whole}


def _cell(drops: Mapping[int, float], bars: Mapping[int, float], count: int) -> str:
    if count not in drops:
        return "-"
    allowed = f" ({bars[count]:g})" if count in bars else ""
    return f"{drops[count] + 0.0:.2f}{allowed}"


# Speed ---------------------------------------------------------------------------------------


def _start_peers(
    report: Report, options: Options, network: Path, directory: Path, peers: dict[str, Peer]
) -> None:
    """Add the peers that there are, by their names."""
    python, threads = torch_python(options.arguments), options.arguments.threads
    for name in PEERS:
        try:
            if python is None:
                raise RuntimeError("no --torch-python")
            peer = Peer(python, name, network, directory / f"{name}.npz", threads)
        except RuntimeError as error:
            report.absent.append(f"{name} ({error})")
        else:
            peers[peer.name] = peer


def _speed(report: Report, options: Options, folder: Path, limit: int | None) -> None:
    from snnir.runtime.layerwise import LayerwiseBackend

    given = options.arguments
    network = named(SPEED_NETWORK)
    data = network.data(folder)
    count = min(SPEED_SAMPLES, limit or SPEED_SAMPLES)
    model = original(folder / network.file)
    x, calibration = (_shaped(model, array) for array in (data.x[:count], data.calibration))
    y = data.y[:count]
    plain = rate_coded(model, calibration, SPEED_STEPS, method="data-norm", percentile=99.9)
    models = {
        "snnir": plain,
        "snnir, default conversion": rate_coded(model, calibration, SPEED_STEPS),
    }
    seconds: dict[str, list[tuple[float, float]]] = {}
    scores: dict[str, Array] = {}

    def ours(prepared: Any, name: str) -> tuple[float, float]:
        start, cpu = time.perf_counter(), time.process_time()
        recording = prepared.run(x)
        taken = time.perf_counter() - start, time.process_time() - cpu
        scores[name] = next(iter(recording.outputs.values()))
        return taken

    with scratch(options) as directory:
        path = directory / "network.npz"
        export(plain, x, path)
        peers: dict[str, Peer] = {}
        try:
            _start_peers(report, options, path, directory, peers)
            jobs: dict[str, Callable[[], tuple[float, float]]] = {}
            for name, spiking in models.items():
                prepared = LayerwiseBackend().prepare(spiking, threads=given.threads)
                jobs[name] = lambda prepared=prepared, name=name: ours(prepared, name)  # type: ignore[misc]
            jobs |= {name: peer.run for name, peer in peers.items()}
            for turn in range(-1, min(options.repetitions, SPEED_ROUNDS)):
                for name, job in jobs.items():
                    time.sleep(PAUSE)
                    taken = job()
                    if turn >= 0:
                        seconds.setdefault(name, []).append(taken)
            scores |= {name: peer.finish() for name, peer in peers.items()}
        finally:
            for peer in peers.values():
                peer.stop()
    _speed_table(report, seconds, scores, y, peers)


def _speed_table(
    report: Report,
    seconds: Mapping[str, list[tuple[float, float]]],
    scores: Mapping[str, Array],
    y: Array,
    peers: Mapping[str, Peer],
) -> None:
    medians = {name: statistics.median(t for t, _ in taken) for name, taken in seconds.items()}
    cpu = {name: statistics.median(t for _, t in taken) for name, taken in seconds.items()}
    fastest = min(peers, key=lambda name: medians[name]) if peers else None
    table = Table(
        f"{SPEED_NETWORK}, T={SPEED_STEPS}: {len(y):,} samples",
        ("", "ms/sample", "least", "CPU", "x fastest peer", "accuracy %", "same answer %", "n"),
        notes=[
            "Medians of n, taken in turn; CPU: time of all cores. The same network for all: "
            "data-norm, soft reset. The default conversion has spikes that are taken back, which "
            "the peers do not have.",
            *(
                f"{name}: {peer.about['way']}, the fastest of {len(peer.about['tried'])} ways; "
                f"{peer.about['threads']} threads, PyTorch {peer.about['torch']}"
                for name, peer in peers.items()
            ),
        ],
    )
    for name, taken in seconds.items():
        ratio = f"{medians[name] / medians[fastest]:.2f}" if fastest else "-"
        same = 100 * float(np.mean(scores[name].argmax(1) == scores["snnir"].argmax(1)))
        table.rows.append(
            (
                name,
                f"{1e3 * medians[name] / len(y):.2f}",
                f"{1e3 * min(t for t, _ in taken) / len(y):.2f}",
                f"{1e3 * cpu[name] / len(y):.2f}",
                ratio,
                f"{accuracy(scores[name], y):.2f}",
                f"{same:.2f}",
                str(len(taken)),
            )
        )
        table.figures[name] = {
            "seconds": [elapsed for elapsed, _ in taken],
            "CPU seconds": [busy for _, busy in taken],
            "accuracy": accuracy(scores[name], y),
            "same answer": same,
            **({"about": peers[name].about} if name in peers else {}),
        }
    report.add(table)
    if fastest is None:
        return
    beside = "; ".join(f"{name} {1e3 * medians[name] / len(y):.2f} ms" for name in peers)
    for name in seconds:
        if name in peers:
            difference = abs(accuracy(scores[name], y) - accuracy(scores["snnir"], y))
            report.bars.append(
                at_most(f"speed: accuracy beside {name}, difference", 0.3, difference, " points")
            )
        else:
            ratio_bar: Bar = at_most(
                f"speed: {name} / {fastest}",
                SPEED_BAR,
                medians[name] / medians[fastest],
                "x",
                f"{1e3 * medians[name] / len(y):.2f} ms; {beside}",
            )
            report.bars.append(ratio_bar)


if __name__ == "__main__":
    sys.exit(main("Measure conversion.", [sys.modules[__name__]]))
