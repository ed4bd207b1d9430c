"""The file and the graph: opening, reading, writing, many nodes, import time.

    python benchmarks/core.py [--quick] [--large] [--dir DIRECTORY] [--json FILE]

Needs about 4 GB of disk and of memory, ``--large`` 6 GB. ``--quick`` gives NIR a tenth of the
nodes and leaves its gzip out.
"""

from __future__ import annotations

import hashlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import _formats
import numpy as np
from _formats import FORMATS, NUMPY, SNNIR, SNNIR_PLAIN, Format, Weights
from _measure import (
    MB,
    Bar,
    Job,
    Options,
    Report,
    Table,
    Times,
    at_most,
    free_bytes,
    in_fresh_process,
    interleave,
    is_present,
    main,
    megabytes,
    milliseconds,
    peak_rise,
    scratch,
)

PEERS: Final = ("nir", "h5py", "onnx", "safetensors")
SLOW_REPETITIONS: Final = 3
NODES: Final = 10_000
WIDTH: Final = 16


def measure(options: Options) -> Report:
    """Measure everything."""
    report = Report("core", absent=[name for name in PEERS if not is_present(name)])
    with scratch(options) as directory:
        for count, shape in ((1, (10_000, 10_000)), (100, (1_000, 1_000))):
            _weights(report, options, directory, count, shape)
        _nodes(report, options, directory)
        if options.large:
            _large(report, directory)
        _imports(report, options)
    return report


# Many weights --------------------------------------------------------------------------------


def make_weights(count: int, shape: tuple[int, int], seed: int = 0) -> list[Weights]:
    """Random weights; no two arrays are equal."""
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape, np.float32) for _ in range(count)]


def _warm_up(form: Format, directory: Path) -> None:
    """Import and initialise whatever the format needs."""
    path = directory / "warm"
    form.write(make_weights(2, (64, 64), 1), path)
    form.total(path)
    path.unlink()


def memory_of_opening(name: str, path: Path) -> int:
    """Rise of the peak of memory while a file is opened."""
    form = _formats.named(name)
    _warm_up(form, path.parent)
    return peak_rise(lambda: form.open(path))


def memory_of_writing(name: str, directory: Path, count: int, shape: tuple[int, int]) -> int:
    """Rise of the peak of memory while arrays are written."""
    form = _formats.named(name)
    _warm_up(form, directory)
    weights = make_weights(count, shape)
    path = directory / "memory"
    try:
        return peak_rise(lambda: form.write(weights, path))
    finally:
        path.unlink()


def hash_all(weights: Sequence[Weights]) -> bytes:
    """SHA-256 of the bytes, alone: what bounds a writer that computes it."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(weight.data)
    return digest.digest()


def _repetitions(form: Format, options: Options) -> int:
    if "gzip" in form.name:
        return 1
    return min(SLOW_REPETITIONS, options.repetitions) if form.slow else options.repetitions


def _weights(
    report: Report, options: Options, directory: Path, count: int, shape: tuple[int, int]
) -> None:
    weights = make_weights(count, shape)
    size = sum(weight.nbytes for weight in weights)
    forms = [
        form for form in FORMATS if form.present and not (options.quick and "gzip" in form.name)
    ]
    paths = {form.name: directory / f"weights{index}" for index, form in enumerate(forms)}

    # Each repetition writes a file that does not exist; what the last one wrote is opened below.
    writing = interleave(
        [
            Job(
                form.name,
                partial(form.write, weights),
                partial(_fresh, paths[form.name]),
                _repetitions(form, options),
            )
            for form in forms
        ]
        + [Job("SHA-256 alone", lambda _: hash_all(weights))],
        options.repetitions,
    )
    weights.clear()
    sizes = {form.name: paths[form.name].stat().st_size for form in forms}
    written_memory = {
        form.name: in_fresh_process(memory_of_writing, form.name, directory, count, shape)
        for form in forms
    }

    def reading(act: Callable[[Format], Callable[[Path], object]]) -> dict[str, Times]:
        jobs = [
            Job(
                form.name,
                act(form),
                partial(Path, paths[form.name]),
                _repetitions(form, options),
            )
            for form in forms
        ]
        return interleave(jobs, options.repetitions)

    opening = reading(lambda form: form.open)
    totals = reading(lambda form: form.total)
    opened_memory = {
        form.name: in_fresh_process(memory_of_opening, form.name, paths[form.name])
        for form in forms
    }
    reference = SNNIR.total(paths[SNNIR.name])
    for form in forms:
        total = form.total(paths[form.name]) if "gzip" not in form.name else reference
        if abs(total - reference) > 1e-5 * size:
            raise RuntimeError(f"{form.name}: another sum")
        paths[form.name].unlink()

    title = f"1e8 float32 weights ({size / MB:,.0f} MB) in {count} array{'s' * (count > 1)}"
    table = Table(
        title,
        ("", "write ms", "least", "extra MB", "file MB", "open ms", "extra MB", "open+sum ms", "n"),
        notes=[
            "ms: median; least: the fastest; extra MB: peak memory above what was there before;",
            "n: repetitions of each. From arrays in memory to a new file, and back; cached.",
        ],
    )
    for form in forms:
        name = form.name
        table.rows.append(
            (
                name,
                milliseconds(writing[name].median),
                milliseconds(writing[name].least),
                megabytes(written_memory[name]),
                megabytes(sizes[name]),
                milliseconds(opening[name].median),
                megabytes(opened_memory[name]),
                milliseconds(totals[name].median),
                str(len(opening[name].seconds)),
            )
        )
        table.figures[name] = {
            "write": writing[name].seconds,
            "open": opening[name].seconds,
            "open and sum": totals[name].seconds,
            "write extra bytes": written_memory[name],
            "open extra bytes": opened_memory[name],
            "file bytes": sizes[name],
        }
    alone = writing["SHA-256 alone"]
    table.rows.append(
        (
            "SHA-256 of the bytes alone",
            milliseconds(alone.median),
            milliseconds(alone.least),
            *[""] * 5,
            str(len(alone.seconds)),
        )
    )
    table.figures["SHA-256 alone"] = {"write": alone.seconds}
    report.add(table)

    peers = [form.name for form in forms if form not in (SNNIR, SNNIR_PLAIN)]
    label = f"{count} x {shape[0]:,} x {shape[1]:,}"
    mine, plain, base = SNNIR.name, SNNIR_PLAIN.name, NUMPY.name
    opened = opening[mine].median
    report.bars += [
        at_most(
            f"open, {label}",
            1,
            opened * 1e3,
            " ms",
            _beside(peers, opening),
        ),
        at_most(f"open, {label}: extra memory", 1, opened_memory[mine] / MB, " MB"),
        at_most(
            f"open + sum / np.memmap + sum, {label}",
            1.15,
            totals[mine].median / totals[base].median,
            "x",
            _beside(peers, totals),
        ),
        at_most(
            f"write / tofile, {label}",
            1.3,
            writing[mine].median / writing[base].median,
            "x",
            f"least / least {writing[mine].least / writing[base].least:.2f}x; "
            + _beside(peers, writing),
        ),
        at_most(
            f"write / tofile, {label}, digests=False",
            1.3,
            writing[plain].median / writing[base].median,
            "x",
            f"least / least {writing[plain].least / writing[base].least:.2f}x",
        ),
        at_most(f"write, {label}: extra memory", 1, written_memory[mine] / MB, " MB"),
    ]


def _fresh(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


def _beside(names: Sequence[str], times: Mapping[str, Times]) -> str:
    """The peers' medians as multiples of that of snnir."""
    parts = []
    for name in names:
        ratio = times[name].median / times[SNNIR.name].median
        parts.append(f"{name} {ratio:,.0f}x" if ratio >= 10 else f"{name} {ratio:.2g}x")
    return "; ".join(parts)


# Many nodes ----------------------------------------------------------------------------------


class _Snnir:
    name = "snnir"
    requires = ("snnir",)

    def build(self, weights: Sequence[Weights]) -> Any:
        import snnir

        builder = snnir.GraphBuilder("benchmark")
        dense, lif = builder.snn.Dense, builder.snn.LIF
        value = builder.snn.ConstantCurrent(builder.input("x", [WIDTH]))
        for weight in weights:
            value = lif(dense(value, weight=weight), decay=0.9)
        builder.output("y", builder.snn.SpikeCount(value))
        return builder.build()

    def check(self, model: Any) -> None:
        import snnir

        findings = snnir.check(model)
        if findings:
            raise RuntimeError(str(findings[0]))
        snnir.infer(model)

    def write(self, model: Any, path: Path) -> None:
        import snnir

        snnir.save(model, path)

    def open(self, path: Path) -> Any:
        import snnir

        return snnir.load(path)


class _Onnx:
    name = "ONNX (Gemm, Relu)"
    requires = ("onnx",)

    def build(self, weights: Sequence[Weights]) -> Any:
        from onnx import TensorProto, helper, numpy_helper

        nodes, tensors = [], []
        for i, weight in enumerate(weights):
            tensors.append(numpy_helper.from_array(weight, f"w{i}"))
            nodes.append(helper.make_node("Gemm", [f"v{i}", f"w{i}"], [f"u{i}"]))
            nodes.append(helper.make_node("Relu", [f"u{i}"], [f"v{i + 1}"]))
        ends = [
            helper.make_tensor_value_info(f"v{i}", TensorProto.FLOAT, [1, WIDTH])
            for i in (0, len(weights))
        ]
        graph = helper.make_graph(nodes, "benchmark", ends[:1], ends[1:], tensors)
        return helper.make_model(graph)

    def check(self, model: Any) -> None:
        import onnx

        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model)

    def write(self, model: Any, path: Path) -> None:
        import onnx

        onnx.save(model, path)

    def open(self, path: Path) -> Any:
        import onnx

        return onnx.load(path)


class _Nir:
    name = "NIR, gzip (default)"
    requires = ("nir", "h5py")
    compression: str | None = "gzip"

    def build(self, weights: Sequence[Weights]) -> Any:
        import nir

        one = np.ones(WIDTH, np.float32)
        nodes: dict[str, Any] = {"input": nir.Input(np.array([WIDTH]))}
        for i, weight in enumerate(weights):
            nodes[f"dense{i}"] = nir.Linear(weight)
            nodes[f"lif{i}"] = nir.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one)
        nodes["output"] = nir.Output(np.array([WIDTH]))
        return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)))

    def check(self, model: Any) -> None:
        """It checks types when it builds and when it reads."""

    def write(self, model: Any, path: Path) -> None:
        import nir

        nir.write(path, model, compression=self.compression)

    def open(self, path: Path) -> Any:
        import nir

        return nir.read(path)


class _NirUncompressed(_Nir):
    name = "NIR, uncompressed"
    compression = None


Library = _Snnir | _Onnx | _Nir


def _nodes(report: Report, options: Options, directory: Path) -> None:
    libraries: list[Library] = [
        library
        for library in (_Snnir(), _Onnx(), _NirUncompressed(), _Nir())
        if all(map(is_present, library.requires)) and not (options.quick and type(library) is _Nir)
    ]
    figures: dict[str, dict[str, Any]] = {library.name: {} for library in libraries}
    pairs: dict[str, int] = {}

    def timed(what: str, act: Callable[[Library], Callable[[Any], object]], prepare: Any) -> None:
        jobs = [
            Job(
                library.name,
                act(library),
                partial(prepare, library),
                1 if isinstance(library, _Nir) else options.repetitions,
            )
            for library in libraries
        ]
        for name, times in interleave(jobs, options.repetitions).items():
            figures[name][what] = times

    weights = make_weights(NODES // 2, (WIDTH, WIDTH))
    shorter = weights[: len(weights) // 10]
    paths = {library.name: directory / f"nodes{i}" for i, library in enumerate(libraries)}
    models: dict[str, Any] = {}

    def given(library: Library) -> list[Weights]:
        chosen = shorter if options.quick and isinstance(library, _Nir) else weights
        pairs[library.name] = len(chosen)
        return chosen

    def model(library: Library) -> Any:
        """Only one library's model is alive at a time, unless it takes too long to make."""
        if isinstance(library, _Nir):
            if library.name not in models:
                models[library.name] = library.build(given(library))
            return models[library.name]
        return library.build(given(library))

    timed("build", lambda library: library.build, given)
    timed("check", lambda library: library.check, model)
    timed(
        "write",
        lambda library: lambda argument: library.write(*argument),
        lambda library: (model(library), _fresh(paths[library.name])),
    )
    models.clear()
    timed("open", lambda library: library.open, lambda library: paths[library.name])

    table = Table(
        f"{NODES:,} nodes: {NODES // 2:,} x [Dense {WIDTH} x {WIDTH}, LIF {WIDTH}]",
        ("", "nodes", "build ms", "check+infer ms", "write ms", "open ms", "file/weights", "n"),
        notes=[
            "Medians of n. ONNX has no spiking neuron: Relu. NIR checks when it builds and opens.",
        ],
    )
    if options.quick:
        table.notes.append("NIR with a tenth of the nodes; its times grow faster than their number")
    for library in libraries:
        name = library.name
        found = figures[name]
        payload = pairs[name] * WIDTH * WIDTH * 4
        ratio = paths[name].stat().st_size / payload
        check = milliseconds(found["check"].median) if not isinstance(library, _Nir) else "-"
        table.rows.append(
            (
                name,
                f"{2 * pairs[name]:,}",
                milliseconds(found["build"].median),
                check,
                milliseconds(found["write"].median),
                milliseconds(found["open"].median),
                f"{ratio:.2f}",
                str(len(found["open"].seconds)),
            )
        )
        table.figures[name] = {
            **{what: times.seconds for what, times in found.items()},
            "nodes": 2 * pairs[name],
            "file / weights": ratio,
        }
    report.add(table)
    mine = figures["snnir"]
    for what, bar, title in (
        ("build", 0.5, "build"),
        ("check", 1.0, "check+infer"),
        ("write", 0.15, "write"),
        ("open", 0.1, "open"),
    ):
        others = [
            library.name
            for library in libraries[1:]
            if not (isinstance(library, _Nir) and (options.quick or what == "check"))
        ]
        report.bars.append(
            at_most(
                f"{NODES:,} nodes: {title}",
                bar,
                mine[what].median,
                " s",
                f"least {mine[what].least:.3f} s; "
                + _beside(others, {name: found[what] for name, found in figures.items()}),
                decimals=3,
            )
        )
    report.bars.append(
        at_most(
            f"{NODES:,} nodes: file / weights",
            1.15,
            table.figures["snnir"]["file / weights"],
            "x",
            "; ".join(f"{row[0]} {row[-2]}x" for row in table.rows[1:]),
        )
    )


# More than 2 GiB -----------------------------------------------------------------------------

_LAYERS: Final = 6
_SIDE: Final = 10_000


def memory_of_one_layer(path: Path) -> tuple[int, int, float]:
    """Extra bytes of opening, then of summing one layer of many, and the seconds of the latter."""
    import snnir

    _warm_up(SNNIR, path.parent)
    opened: list[Any] = []
    opening = peak_rise(lambda: opened.append(snnir.load(path)))
    _, tensor = list(opened[0].graph.tensors())[_LAYERS // 2]
    start = time.perf_counter()
    one = peak_rise(lambda: float(tensor.numpy().sum()))
    return opening, one, time.perf_counter() - start


def _large(report: Report, directory: Path) -> None:
    layer = _SIDE * _SIDE * 4
    size = _LAYERS * layer
    table = Table(
        f"A model of {size / (1 << 30):.2f} GiB: {_LAYERS} layers of {layer / MB:,.0f} MB",
        ("", "ms", "extra MB"),
        notes=["One repetition. One layer: mapped, and all of its weights added up."],
    )
    if free_bytes(directory) < 1.2 * size:
        table.notes.append(f"Not measured: it takes {1.2 * size / MB:,.0f} MB of disk.")
        report.add(table)
        return
    path = directory / "large"
    weights = make_weights(_LAYERS, (_SIDE, _SIDE))
    writing: list[float] = []

    def write() -> None:
        start = time.perf_counter()
        SNNIR.write(weights, path)
        writing.append(time.perf_counter() - start)

    _warm_up(SNNIR, directory)
    write_memory = peak_rise(write)
    start = time.perf_counter()
    tensors = list(SNNIR.arrays(SNNIR.open(path)))
    opening = time.perf_counter() - start
    same = all(np.array_equal(found, given) for found, given in zip(tensors, weights, strict=True))
    del tensors
    weights.clear()
    open_memory, one_memory, one = in_fresh_process(memory_of_one_layer, path)
    file_size = path.stat().st_size
    path.unlink()
    for what, seconds, memory in (
        ("write", writing[0], write_memory),
        ("open", opening, open_memory),
        ("one layer", one, one_memory),
    ):
        table.rows.append((what, milliseconds(seconds), megabytes(memory)))
        table.figures[what] = {"seconds": seconds, "extra bytes": memory}
    table.notes.append("ONNX: protobuf's limit of 2 GiB; weights would have to be other files.")
    report.add(table)
    report.bars += [
        Bar("above 2 GiB: same weights", "yes", "yes" if same else "no", same),
        Bar(
            "above 2 GiB: file",
            f"> {1 << 31:,} B",
            f"{file_size:,} B",
            file_size > 1 << 31,
        ),
        at_most("above 2 GiB: open", 1, opening * 1e3, " ms"),
        at_most("above 2 GiB: open, extra memory", 1, open_memory / MB, " MB"),
        at_most("above 2 GiB: one layer, extra memory / layer", 1.1, one_memory / layer, "x"),
    ]


# Import --------------------------------------------------------------------------------------

_IMPORT: Final = """\
import sys, time
start = time.perf_counter()
for name in sys.argv[1:]:
    __import__(name)
print(time.perf_counter() - start)
"""


def import_time(*modules: str) -> float:
    """Seconds that a new interpreter takes to import the modules."""
    command = [sys.executable, "-c", _IMPORT, *modules]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _imports(report: Report, options: Options) -> None:
    candidates = {
        "numpy": ("numpy",),
        "snnir": ("snnir",),
        "snnir, and all that load needs": ("snnir", "snnir.serde"),
        **{f"{name}": (name,) for name in ("nir", "onnx") if is_present(name)},
        **({"safetensors.numpy": ("safetensors.numpy",)} if is_present("safetensors") else {}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(-1, max(15, options.repetitions)):
        for name, modules in candidates.items():
            found = import_time(*modules)
            if turn >= 0:
                seconds[name].append(found)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    table = Table(
        "Import, in a new interpreter",
        ("", "ms", "over numpy", "least", "n"),
        notes=["ms: median, less that of `import numpy` in the second column."],
    )
    for name, taken in seconds.items():
        table.rows.append(
            (
                name,
                milliseconds(medians[name]),
                milliseconds(medians[name] - medians["numpy"]) if name != "numpy" else "",
                milliseconds(min(taken)),
                str(len(taken)),
            )
        )
        table.figures[name] = {"import": taken}
    report.add(table)
    over = medians["snnir"] - medians["numpy"]
    report.bars.append(
        at_most(
            "import snnir, over import numpy",
            0.15,
            over,
            " s",
            "; ".join(
                f"{name} {medians[name] - medians['numpy']:.3f} s" for name in list(medians)[2:]
            ),
            decimals=3,
        )
    )


if __name__ == "__main__":
    sys.exit(main("Measure the file format and the graph.", [sys.modules[__name__]]))
