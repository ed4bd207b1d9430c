"""GeNN: are the spikes those of the reference, and how fast are they?

    python benchmarks/genn.py [--data FOLDER] [--limit N] [--torch-python PYTHON]
        [--parts PART ...] [--quick] [--repetitions N] [--dir DIRECTORY] [--json FILE]

Needs PyGeNN. Trained networks and their data are in the folder that ``--data`` or
``SNNIR_TEST_DATA`` names (by default ``../shared/data``); MNIST is downloaded. mlGeNN is measured
where it is installed, GPUs where PyGeNN has a backend for one, PyTorch on these if
``--torch-python`` (or ``SNNIR_TORCH_PYTHON``) names an interpreter that has SpikingJelly or
snnTorch. What is absent is said to be absent. ``--quick`` takes fewer vectors, graphs and samples.

The first run compiles some hundred small models, which takes many minutes; they stay in the cache.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from _genn_networks import (
    TUTORIAL_FILES,
    Pair,
    one_kernel,
    recurrent,
    tutorial,
    two_kernels,
)
from _measure import (
    Bar,
    Job,
    Options,
    Report,
    Table,
    at_most,
    in_fresh_process,
    interleave,
    is_present,
    main,
    milliseconds,
    scratch,
    version,
)
from _networks import default_folder, named

import snnir
from snnir.errors import CapabilityError, FileError, MissingDependency
from snnir.ir.builder import GraphBuilder
from snnir.ir.model import Model
from snnir.ops import registry
from snnir.runtime.backend import find_backend
from snnir.testing.conformance import run_vector, vectors
from snnir.testing.random_models import random_inputs, random_model

Array = npt.NDArray[Any]

CPU: Final = "single_threaded_cpu"
STEPS: Final = 32
GRAPHS: Final = 60
LEAST_GRAPHS: Final = 50
TUTORIAL_ACCURACY: Final = 97.47
TUTORIAL_TIES: Final = 0.05
CONVERTED: Final = (
    "snntb_mnist_mlp",
    "snntb_mnist_cnn_avgpool",
    "snntb_lenet5",
    "snntb_cifar_cnn_avgpool",
)
CONVERTED_SAMPLES: Final = 1_000
SAME_PREDICTIONS: Final = 99.9
BATCH: Final = 250
SPEED_SAMPLES: Final = 100
SPEED_REPETITIONS: Final = 9
FLAGS: Final = "-O3 -ffp-contract=off"
"""What snnir compiles with, hence what mlGeNN is given, too."""
FAST_FLAGS: Final = "-O3 -ffast-math"
"""What mlGeNN compiles with if it is told to optimise, besides."""
BUILD_SECONDS: Final = 0.2
GPU_BATCH: Final = 1024
GPU_NETWORK: Final = "snntb_mnist_cnn_avgpool"


PARTS: Final = ("vectors", "graphs", "samples", "trained", "builds", "gpu", "speed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this script alone."""
    group = parser.add_argument_group("genn")
    group.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="[all]")


def measure(options: Options) -> Report:
    """Measure everything, or the parts that are asked for."""
    report = Report("genn")
    try:
        found = _installation()
    except MissingDependency as error:
        report.absent.append(f"everything: {error}")
        return report
    parts = options.arguments.parts
    folder = options.arguments.data or default_folder()
    if "vectors" in parts:
        _vectors(report, options)
    if "graphs" in parts:
        _graphs(report, options)
    if "samples" in parts:
        _potentials(report)
        _in_a_row(report, options)
    if "trained" in parts:
        _tutorial(report, options, folder)
        _converted(report, options, folder)
    with scratch(options) as directory:
        if "builds" in parts:
            _builds(report, folder, directory)
        if "gpu" in parts:
            _gpu(report, options, folder, directory, found.backends)
        if "speed" in parts:
            _speed(report, options, folder, directory)
    return report


def _installation() -> Any:
    from snnir_converters.genn._install import require_pygenn

    return require_pygenn()


def _prepare(model: Model, **settings: Any) -> Any:
    settings.setdefault("genn_backend", CPU)
    return find_backend("genn").prepare(model, **settings)


# The same values -----------------------------------------------------------------------------


def _vectors(report: Report, options: Options) -> None:
    """Conformance vectors of the spiking operators and of whole networks."""
    chosen = vectors(["snn", "system"])
    if options.quick:
        chosen = list({vector.op: vector for vector in chosen}.values())
    backend = find_backend("genn")
    results = [run_vector(vector, backend, genn_backend=CPU) for vector in chosen]
    table = Table("Conformance vectors", ("", "vectors", "operators"))
    operators = {f"snn.{opdef.name}" for opdef in registry.domain("snn") or ()}
    groups = {
        "as defined": [result for result in results if result.passed],
        "otherwise": [result for result in results if result.failed],
        "refused": [result for result in results if result.skipped],
    }
    for name, group in groups.items():
        found = {result.op for result in group} & operators
        table.rows.append((name, str(len(group)), str(len(found))))
        table.figures[name] = {"vectors": [result.name for result in group]}
    table.notes += [f"otherwise: {result.name}: {result.detail}" for result in groups["otherwise"]]
    reasons = Counter(result.skipped.splitlines()[0] for result in groups["refused"])
    table.notes += [f"refused ({count}): {reason}" for reason, count in reasons.items()]
    report.add(table)
    passed = {result.op for result in groups["as defined"]} & operators
    failed = len(groups["otherwise"])
    report.bars += [
        Bar("vectors with other values than defined", "0", str(failed), failed == 0),
        Bar(
            "operators of 'snn' that run as defined",
            str(len(operators)),
            str(len(passed)),
            passed == operators,
            "missing: " + ", ".join(sorted(operators - passed)) if passed != operators else "",
        ),
    ]


def _graphs(report: Report, options: Options) -> None:
    """Random graphs whose sums are exact: every value in every step."""
    wanted = 10 if options.quick else GRAPHS
    outcomes: Counter[str] = Counter()
    compared = 0
    seed = 0
    while outcomes["identical"] + outcomes["different"] < wanted and seed < 4 * wanted:
        rng = np.random.default_rng(seed)
        seed += 1
        model = random_model(rng, nodes=int(rng.integers(3, 13)))
        inputs = random_inputs(rng, model, samples=2)
        record = [value for node in model.graph.nodes.values() for value in node.values()]
        try:
            found = _prepare(model).run(inputs, record=record)
        except CapabilityError:
            outcomes["refused"] += 1
            continue
        expected = find_backend("reference").prepare(model).run(inputs, record=record)
        same = all(
            np.array_equal(found[name], expected[name]) for name in (*record, *expected.outputs)
        )
        outcomes["identical" if same else "different"] += 1
        compared += len(record)
    table = Table("Random graphs, sums exact in float32", ("", "graphs"))
    table.rows += [(name, str(outcomes[name])) for name in ("identical", "different", "refused")]
    table.notes.append(f"All {compared} values of all nodes in every step, two samples each.")
    table.figures["graphs"] = dict(outcomes)
    report.add(table)
    least = min(LEAST_GRAPHS, wanted)
    report.bars.append(
        Bar(
            "random graphs: identical to the reference",
            f">= {least}, none else",
            f"{outcomes['identical']}, {outcomes['different']} different",
            outcomes["identical"] >= least and not outcomes["different"],
        )
    )


def cuba(rng: np.random.Generator) -> tuple[Model, Array]:
    """20 inputs to 50 recurrent CUBA-LIF neurons for 200 steps.

    Weights are multiples of 2**-6, so that sums are exact; decays are arbitrary.
    """
    steps, inputs, cells = 200, 20, 50
    b = GraphBuilder("cuba", steps=steps)

    def weight(before: int) -> Array:
        return (rng.integers(-8, 17, (before, cells)) / 64).astype(np.float32)

    x = b.input("x", [inputs], timing="per_step")
    current = b.snn.ExponentialSynapse(
        b.snn.Dense(x.delayed(1), weight=weight(inputs)),
        decay=rng.uniform(0.6, 0.95, cells).astype(np.float32),
        name="current",
    )
    spikes = b.snn.LIF(
        current, decay=rng.uniform(0.8, 0.99, cells).astype(np.float32), name="cells"
    )
    b.connect(b.snn.Dense(spikes, weight=weight(cells) / 4), "current", "x", delay_steps=1)
    b.output("spikes", spikes)
    return b.build(), (rng.random((4, steps, inputs)) < 0.2).astype(np.float32)


def _potentials(report: Report) -> None:
    model, x = cuba(np.random.default_rng(0))
    record = ["cells:v"]
    found, expected = (
        find_backend(name).prepare(model).run(x, record=record) for name in ("genn", "reference")
    )
    difference = float(np.abs(found["cells:v"] - expected["cells:v"]).max())
    same = np.array_equal(found["spikes"], expected["spikes"])
    table = Table("Recurrent CUBA-LIF, 200 steps, 4 samples", ("", "genn against reference"))
    table.rows += [
        ("spikes", f"{int(expected['spikes'].sum())}, {'identical' if same else 'different'}"),
        ("largest difference of a potential", f"{difference:g}"),
    ]
    table.figures["cuba"] = {"difference": difference, "same spikes": same}
    report.add(table)
    report.bars.append(
        Bar("recurrent CUBA-LIF: difference of potentials", "0", f"{difference:g}", not difference)
    )


def _in_a_row(report: Report, options: Options) -> None:
    """Nothing of a sample is left for the next one."""
    count = 5 if options.quick else 20
    pair = recurrent(np.random.default_rng(1), count)
    record = ["cells0", "cells0:v", "cells0_current:i", "cells1:v"]
    together = _prepare(pair.model).run(pair.x, record=record)
    same = 0
    for index in range(count):
        alone = _prepare(pair.model).run(pair.x[index : index + 1], record=record)
        same += all(
            np.array_equal(alone[name][0], together[name][index]) for name in ("count", *record)
        )
    report.bars.append(
        Bar(
            "recurrent network: samples in a row as each alone",
            f"{count} of {count}",
            f"{same}",
            same == count,
            f"{together['cells0'].sum() / count:.0f} recurrent spikes per sample",
        )
    )


def _classes(backend: str, model: Model, x: Array) -> tuple[Array, float]:
    """The class of each sample, and the CPU's seconds for each, without what happens once."""
    prepared = _prepare(model) if backend == "genn" else find_backend(backend).prepare(model)

    def run(part: Array) -> Array:
        return next(iter(prepared.run(part).outputs.values())).argmax(1)

    run(x[:1])
    started = time.process_time()
    found = np.concatenate([run(x[start : start + BATCH]) for start in range(0, len(x), BATCH)])
    return found, (time.process_time() - started) / len(x)


def _tutorial(report: Report, options: Options, folder: Path) -> None:
    try:
        images = snnir_mnist()
    except FileError as error:
        report.absent.append(f"MNIST: {error}")
        return
    if missing := [file for file in TUTORIAL_FILES if not (folder / file).exists()]:
        report.absent += missing
        return
    count = 1_000 if options.quick else len(images.test_x)
    pair = tutorial(folder, images.test_x[:count])
    found, seconds = _classes("genn", pair.model, pair.x)
    expected, _ = _classes("layerwise", pair.model, pair.x)
    right = 100 * float((found == images.test_y[:count]).mean())
    same = 100 * float((found == expected).mean())
    table = Table(
        f"The network of the PyGeNN tutorial, {pair.steps} steps",
        ("samples", "accuracy %", "same as layerwise %", "CPU ms/sample"),
    )
    row = (f"{count:,}", f"{right:.2f}", f"{same:.2f}", milliseconds(seconds))
    table.rows.append(row)
    table.figures["tutorial"] = {"accuracy": right, "same": same, "seconds": seconds}
    report.add(table)
    if count == len(images.test_x):
        off = abs(right - TUTORIAL_ACCURACY)
        report.bars.append(
            at_most(f"tutorial: accuracy off {TUTORIAL_ACCURACY} %", TUTORIAL_TIES, off, " points")
        )


def snnir_mnist() -> Any:
    """MNIST as it is, values from 0 to 255."""
    from snnir.testing import images

    return images.mnist()


@dataclass(frozen=True)
class Converted:
    """A converted network and its test samples."""

    name: str
    model: Model
    x: Array
    y: Array


def _converted(report: Report, options: Options, folder: Path) -> None:
    """Trained networks in rate coding, by the default conversion."""
    limit = options.arguments.limit or (100 if options.quick else CONVERTED_SAMPLES)
    table = Table(
        f"Converted networks, T={STEPS}",
        ("network", "samples", "genn %", "layerwise %", "same answer %", "genn ms", "layerwise ms"),
        notes=["ms: CPU time of all cores per sample, of one run each."],
    )
    for converted in _networks(report, folder, limit):
        scores, seconds = {}, {}
        for backend in ("genn", "layerwise"):
            scores[backend], seconds[backend] = _classes(backend, converted.model, converted.x)
        same = 100 * float((scores["genn"] == scores["layerwise"]).mean())
        right = {n: 100 * float((found == converted.y).mean()) for n, found in scores.items()}
        table.rows.append(
            (
                converted.name,
                f"{len(converted.x):,}",
                *(f"{value:.2f}" for value in right.values()),
                f"{same:.2f}",
                *(milliseconds(value) for value in seconds.values()),
            )
        )
        table.figures[converted.name] = {"accuracy": right, "same": same, "seconds": seconds}
        report.bars.append(
            Bar(
                f"{converted.name}: same predictions",
                f">= {SAME_PREDICTIONS} %",
                f"{same:.2f} %",
                same >= SAME_PREDICTIONS,
            )
        )
    if table.rows:
        report.add(table)


def _miss(report: Report, what: str) -> None:
    """Say once that something is absent."""
    if what not in report.absent:
        report.absent.append(what)


def _networks(report: Report, folder: Path, limit: int) -> Iterator[Converted]:
    from conversion import original, rate_coded

    for name in CONVERTED:
        network = named(name)
        if not (folder / network.file).exists():
            _miss(report, network.file)
            continue
        try:
            data = network.data(folder)
        except FileError as error:
            _miss(report, f"{name}: {error}")
            continue
        ann = original(folder / network.file)
        shape = ann.graph.inputs[0].type.shape
        x, calibration = (a.reshape(len(a), *shape) for a in (data.x, data.calibration))
        yield Converted(name, rate_coded(ann, calibration, STEPS), x[:limit], data.y[:limit])


# Time beside mlGeNN --------------------------------------------------------------------------


def _pairs(report: Report, folder: Path, count: int) -> list[Pair]:
    rng = np.random.default_rng(0)
    pairs = [recurrent(rng, count)]
    try:
        images = snnir_mnist().test_x[:count]
    except FileError:
        return pairs
    if all((folder / file).exists() for file in TUTORIAL_FILES):
        pairs.insert(0, tutorial(folder, images))
    return [*pairs, one_kernel(rng, images), two_kernels(rng, images)]


def _speed(report: Report, options: Options, folder: Path, directory: Path) -> None:
    """Evaluation of the same networks by snnir and mlGeNN, taking turns."""
    if not is_present("ml_genn"):
        report.absent.append("mlGeNN")
        return
    count = 20 if options.quick else SPEED_SAMPLES
    table = Table(
        "Time per sample on the CPU beside mlGeNN's InferenceCompiler",
        (
            *("network", "mlGeNN's flags", "snnir ms", "mlGeNN ms", "ratio"),
            *("elapsed: snnir", "mlGeNN", "ratio", "same, apart", "in a row"),
        ),
        notes=[
            f"Medians of {min(options.repetitions, SPEED_REPETITIONS)} runs of {count} samples, "
            "taken in turn: CPU time, which is what they take on an idle machine, as both use one "
            f"core; then the elapsed time. snnir is always compiled with g++ {FLAGS}.",
            "Included: Prepared.run and CompiledNetwork.predict without callbacks: inputs, all "
            "steps, reset, spike counts. Not included: building, loading, and for mlGeNN the "
            "sorting of input spikes (preprocess_spikes).",
            "The same network: weights, IF and LIF reset to 0, one step of delay for each "
            "connection. 'Same': samples with the same counts in both; apart: each "
            "after a silent sample in mlGeNN, whose spikes in flight stay for the next one.",
            f"mlGeNN {version('ml_genn')}, PyGeNN {version('pygenn')}. Convolutions in mlGeNN: "
            "the faster of sparse and Toeplitz, where GeNN can do both.",
        ],
    )
    pairs = _pairs(report, folder, count)
    # Loading what is compiled with -ffast-math can make the whole process flush subnormals: last.
    for flags in (FLAGS, FAST_FLAGS):
        for pair in pairs:
            ratio = _beside_mlgenn(options, table, pair, flags, directory)
            if flags == FLAGS:
                what = f"time, {pair.name}: snnir / mlGeNN"
                report.bars.append(at_most(what, 1.0, ratio, "x", "with the same flags"))
    report.add(table)


def _beside_mlgenn(
    options: Options, table: Table, pair: Pair, flags: str, directory: Path
) -> float:
    """Add a row; returns the ratio of CPU time to that of mlGeNN at its fastest."""
    from _mlgenn import Peer

    prepared = _prepare(pair.model)
    ours = prepared.run(pair.x)["count"]
    best: tuple[float, tuple[str, ...], dict[str, Any]] | None = None
    for in_memory in pair.storages:
        folder = directory / f"{pair.name}{len(table.rows)}{in_memory}"
        with Peer(pair, folder, f"g++ {flags}", in_memory) as peer:
            row = peer.run(pair.x)
            apart = peer.run(_with_silence(pair.x))[1::2]
            trains = peer.samples(pair.x)
            jobs = [
                Job("snnir", lambda _: prepared.run(pair.x)),
                Job("mlGeNN", peer.predict, lambda trains=trains: trains),  # type: ignore[misc]
            ]
            times = interleave(jobs, min(options.repetitions, SPEED_REPETITIONS))
        ratio, elapsed = (
            getattr(times["snnir"], kind) / getattr(times["mlGeNN"], kind)
            for kind in ("cpu_median", "median")
        )
        if best is not None and ratio <= best[0]:
            continue
        count = len(pair.x)
        cells = (
            f"{pair.name}, {pair.steps} steps",
            flags,
            *(milliseconds(times[job.name].cpu_median / count) for job in jobs),
            f"{ratio:.2f}",
            *(milliseconds(times[job.name].median / count) for job in jobs),
            f"{elapsed:.2f}",
            *(f"{100 * (found == ours).all(1).mean():.0f} %" for found in (apart, row)),
        )
        figures = {n: {**vars(found), "samples": count} for n, found in times.items()}
        best = ratio, cells, figures
    if best is None:
        raise ValueError("no way to store the connections")
    ratio, cells, figures = best
    table.rows.append(cells)
    table.figures[f"{pair.name}, {flags}"] = figures
    return ratio


def _with_silence(x: Array) -> Array:
    """Every sample after one of zeros."""
    return np.stack([np.zeros_like(x), x], axis=1).reshape(-1, *x.shape[1:])


# Builds --------------------------------------------------------------------------------------


def build(path: Path, cache: Path) -> dict[str, float]:
    """Prepare a model in a process that has prepared none, and run it on zeros; seconds."""
    os.environ["SNNIR_CACHE_DIR"] = str(cache)
    model = snnir.load(path)
    _installation()
    started, cpu = time.perf_counter(), _cpu_seconds()
    prepared = _prepare(model)
    seconds, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
    (entry,) = model.graph.inputs
    shape = [1, *([model.time.steps] if entry.type.is_per_step else []), *entry.type.shape]
    details = prepared.run(np.zeros(shape, np.float32)).details
    return {
        "prepare": seconds,
        "prepare, CPU": cpu,
        "build": details["build_seconds"],
        "cached": float(details["build_cached"]),
    }


def _cpu_seconds() -> float:
    """Of this process and the programs that it has called."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _builds(report: Report, folder: Path, directory: Path) -> None:
    """First and second builds, each in a process of its own."""
    table = Table(
        "Building, seconds",
        ("network", "first build", "second build", "second prepare", "second prepare, CPU"),
        notes=[
            "Each in a fresh process; the second is the median of 5. Build: describing the model "
            "to GeNN, generating code, copying from and to the cache, compiling the first time. "
            "Prepare: all that precedes the first sample but the import of PyGeNN, hence checks, "
            "dividing and retiming, too."
        ],
    )
    models = {network.name: network.model for network in _networks(report, folder, 1)}
    models["recurrent_lif"] = recurrent(np.random.default_rng(0), 1).model
    for name, model in models.items():
        path = directory / f"{name}.snnir"
        snnir.save(model, path)
        first, *later = (in_fresh_process(build, path, directory / "cache") for _ in range(6))
        seconds = {key: float(np.median([run[key] for run in later])) for key in first}
        again = (seconds[key] for key in ("build", "prepare", "prepare, CPU"))
        table.rows.append((name, f"{first['build']:.2f}", *(f"{value:.3f}" for value in again)))
        table.figures[name] = {"first": first, "second": seconds}
        report.bars.append(
            at_most(
                f"second build: {name}",
                BUILD_SECONDS,
                seconds["build"],
                " s",
                f"elapsed; prepare {seconds['prepare, CPU']:.3f} s CPU"
                + ("" if seconds["cached"] else ", compiled again"),
                decimals=3,
            )
        )
    report.add(table)


# GPU -----------------------------------------------------------------------------------------


def _gpu(
    report: Report,
    options: Options,
    folder: Path,
    directory: Path,
    backends: Sequence[str],
) -> None:
    """A batch on a GPU, beside the CPU and PyTorch on the same GPU."""
    from conversion import original, rate_coded

    gpus = [backend for backend in backends if backend != CPU]
    if not gpus:
        report.absent.append("a GPU backend of PyGeNN (it has " + ", ".join(backends) + ")")
        return
    network = named(GPU_NETWORK)
    if not (folder / network.file).exists():
        return
    try:
        data = network.data(folder)
    except FileError:
        return
    ann = original(folder / network.file)
    # Without corrective spikes, which the peers do not have.
    model = rate_coded(ann, data.calibration, STEPS, method="data-norm", percentile=99.9)
    x = data.x[:GPU_BATCH]
    runs: dict[str, Callable[[], float]] = {}

    def ours(prepared: Any, samples: Array) -> float:
        started = time.perf_counter()
        prepared.run(samples)
        return (time.perf_counter() - started) / len(samples)

    for backend in gpus:
        prepared = _prepare(model, genn_backend=backend, batch=GPU_BATCH)
        runs[backend] = lambda prepared=prepared: ours(prepared, x)  # type: ignore[misc]
    on_cpu = _prepare(model)
    runs[CPU] = lambda: ours(on_cpu, x[:BATCH])
    peers = _torch_peers(report, options, directory, model, x)
    runs |= {name: lambda peer=peer: peer.run()[0] / len(x) for name, peer in peers.items()}  # type: ignore[misc]
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    try:
        for turn in range(-1, SPEED_REPETITIONS):
            for name, run in runs.items():
                taken = run()
                if turn >= 0:
                    seconds[name].append(taken)
    finally:
        for peer in peers.values():
            peer.stop()
    medians = {name: float(np.median(found)) for name, found in seconds.items()}
    table = Table(
        f"{GPU_NETWORK}, T={STEPS}, {GPU_BATCH} samples at once",
        ("", "ms/sample"),
        notes=[f"The CPU runs {BATCH} of the samples, one at a time."],
    )
    table.rows += [(name, milliseconds(found)) for name, found in medians.items()]
    table.figures |= {name: {"seconds": found} for name, found in medians.items()}
    report.add(table)
    for name in peers:
        ratio = min(medians[gpu] for gpu in gpus) / medians[name]
        report.bars.append(at_most(f"GPU: snnir / {name}", 1.0, ratio, "x"))


def _torch_peers(
    report: Report, options: Options, directory: Path, model: Model, x: Array
) -> dict[str, Any]:
    from _torch import PEERS, Peer, export, torch_python

    python = torch_python(options.arguments)
    path = directory / "network.npz"
    found: dict[str, Any] = {}
    try:
        export(model, x, path)
    except ValueError as error:
        report.absent.append(f"PyTorch: {error}")
        return found
    for name in PEERS:
        try:
            if python is None:
                raise RuntimeError("no --torch-python")
            peer = Peer(python, name, path, directory / f"{name}.npz", 1, device="cuda")
            found[peer.name] = peer
        except RuntimeError as error:
            report.absent.append(f"{name} on the GPU ({error})")
    return found


if __name__ == "__main__":
    sys.exit(main("Measure GeNN.", [sys.modules[__name__]]))
