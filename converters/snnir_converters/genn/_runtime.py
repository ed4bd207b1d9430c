"""The part of every script that is the same. The script has its text; nothing imports it.

It needs NumPy, PyGeNN and the standard library; see :mod:`snnir_converters.genn._script`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pygenn

from snnir_converters.genn._models import (
    CONVOLUTION_PARAMETERS,
    CPU,
    adds_atomically,
    build_environment,
    convolution_model,
    delta_model,
    environment,
    filters_at_once,
    pulse_model,
)

# What every such script has in common ----------------------------------------------------------


class Network:
    """A network on GeNN that presents one sample at a time.

    A population does in one step: add up what its connections delivered, run its code, and emit
    a spike where the variable that it emits is not 0. A spike acts ``delay`` steps later, at
    least 1. Every step is 1 ms to GeNN, so that its time ``t`` counts steps.

    Every sample begins with the timestep at 0, and that is a whole reset: the code of every
    neuron sets its state in step 0, and what a connection delivers before the step ``delay``,
    which can only be spikes of the sample before, is masked (``now >= delay``) unless the node
    begins no earlier than that.
    """

    def __init__(self, precision: str, genn_backend: str) -> None:
        available = sorted(pygenn.genn_model.backend_modules)
        if genn_backend not in available:
            raise SystemExit(f"this PyGeNN has the backends {', '.join(available)}")
        if not isinstance(pygenn._genn.NumericValue(3).value, int):
            raise SystemExit(
                "this build of PyGeNN turns whole numbers into floats (genn-team/genn issue "
                "762): rebuild it with 'pybind11<3.1'"
            )
        self.backend = genn_backend
        self.dtype = np.dtype(np.float32 if precision == "float" else np.float64)
        self.model = pygenn.GeNNModel(
            precision, "network", backend=genn_backend, time_precision="double"
        )
        self.model.dt = 1.0
        self.model.batch_size = 1
        self.populations: dict[str, Any] = {}
        self._emits: dict[str, str] = {}
        self._delta = delta_model(pygenn)
        self._convolution = convolution_model(pygenn)
        self._loaded = False

    # Building ------------------------------------------------------------------------------------

    def add_neurons(
        self,
        name: str,
        size: int,
        genn_name: str,
        *,
        code: str,
        emits: str = "",
        receives: Sequence[str] = (),
        numbers: Mapping[str, tuple[str, Any]] | None = None,
        run_numbers: Mapping[str, str] | None = None,
        state: Mapping[str, str] | None = None,
        fixed: Mapping[str, tuple[str, Any]] | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a population.

        Args:
            name: Its name here.
            size: Number of neurons.
            genn_name: Its name in GeNN.
            code: What a neuron does in a step.
            emits: The variable that its spikes carry.
            receives: Sums that connections add to.
            numbers: Type and value of numbers that all neurons share.
            run_numbers: Type of such numbers that a run sets.
            state: Type of variables that the code writes.
            fixed: Type and value of variables that it only reads; a run may set them.
            tables: Contents of arrays of the population; None for those that a run sets.
        """
        numbers, run_numbers, fixed = numbers or {}, run_numbers or {}, fixed or {}
        state, tables = state or {}, tables or {}
        access = pygenn.VarAccess
        neuron = pygenn.create_neuron_model(
            "Neuron",
            params=[(key, kind) for key, (kind, _) in numbers.items()] + list(run_numbers.items()),
            vars=[(key, kind, access.READ_WRITE) for key, kind in state.items()]
            + [(key, kind, access.READ_ONLY) for key, (kind, _) in fixed.items()],
            extra_global_params=[(key, "scalar*") for key in tables],
            additional_input_vars=[(key, "scalar", 0.0) for key in receives],
            sim_code=code,
            threshold_condition_code=f"{emits} != 0.0" if emits else None,
        )
        group = self.model.add_neuron_population(
            genn_name,
            size,
            neuron,
            {key: value for key, (_, value) in numbers.items()} | dict.fromkeys(run_numbers, 0),
            dict.fromkeys(state, 0) | {key: value for key, (_, value) in fixed.items()},
        )
        for key in run_numbers:
            group.set_param_dynamic(key)
        for key, values in tables.items():
            if values is not None:
                group.extra_global_params[key].set_init_values(values)
        self.populations[name] = group
        self._emits[name] = emits

    def connect_dense(self, name: str, source: str, target: str, weights: Any, **how: Any) -> None:
        """Connect all with all; weights are [source, target]."""
        self._connect(name, "DENSE", source, target, weights.reshape(-1), **how)

    def connect_pairs(
        self, name: str, source: str, target: str, pairs: tuple[Any, Any, Any], **how: Any
    ) -> None:
        """Connect single neurons: number in the source, in the target, and weight of each pair."""
        sources, targets, weights = pairs
        group = self._connect(name, "SPARSE", source, target, weights, **how)
        group.set_sparse_connections(sources, targets)

    def connect_convolution(
        self, name: str, source: str, target: str, kernel: Any, sizes: Mapping[str, int], **how: Any
    ) -> None:
        """Connect by a kernel [rows, columns, inputs of a group, outputs]."""
        values = dict(sizes)
        values["span"] = filters_at_once(values["outputs"], values["groups"], self.backend)
        snippet = pygenn.init_toeplitz_connectivity(
            self._convolution, {key: values[key] for key in CONVOLUTION_PARAMETERS}
        )
        self._connect(name, "TOEPLITZ", source, target, kernel.reshape(-1), snippet, **how)

    def _connect(
        self,
        name: str,
        kind: str,
        source: str,
        target: str,
        weights: Any,
        *snippet: Any,
        adds_to: str,
        delay: int,
        graded: bool,
    ) -> Any:
        before = self.populations[source]
        references = {}
        if graded:
            value = pygenn.create_var_ref(before, self._emits[source])
            references["pre_var_refs"] = {"value": value}
        atomic = adds_atomically(self.backend, kind)
        pulse = pulse_model(pygenn, graded, atomic)
        group = self.model.add_synapse_population(
            name,
            kind,
            before,
            self.populations[target],
            pygenn.init_weight_update(pulse, {}, {"g": weights}, **references),
            pygenn.init_postsynaptic(self._delta),
            *snippet,
        )
        group.post_target_var = adds_to
        # GeNN delivers a spike a step after it was emitted, and this many steps later.
        group.axonal_delay_steps = delay - 1
        if atomic:
            group.max_dendritic_delay_timesteps = 1
        return group

    def compile(self, folder: str | None = None) -> None:
        """Generate and compile the code, in a folder of its own that goes with this object.

        Args:
            folder: A folder that is kept instead; unchanged code is then not compiled again.
        """
        compiler = shlex.split(os.environ.get("CXX", "")) or ["g++"]
        for program in (compiler[0], "make"):
            if shutil.which(program) is None:
                raise SystemExit(
                    f"GeNN needs {program}, which is not installed (Debian and Ubuntu: "
                    "apt install g++ make)"
                )
        if folder is None:
            own = tempfile.TemporaryDirectory(prefix="genn-", ignore_cleanup_errors=True)
            weakref.finalize(self, own.cleanup)
            folder = own.name
        os.makedirs(folder, exist_ok=True)
        with environment(build_environment(compiler)), _stdout_to_stderr():
            self.model.build(path_to_model=folder)

    # Running -------------------------------------------------------------------------------------

    def present(
        self,
        samples: int,
        steps: int,
        *,
        fed: Mapping[tuple[str, str], Any],
        sequences: Mapping[tuple[str, str], Any],
        numbers: Mapping[tuple[str, str], int],
        tables: Mapping[tuple[str, str], Any],
        sums: Mapping[str, tuple[str, str, int]],
        series: Mapping[str, tuple[str, str, int]],
    ) -> dict[str, Any]:
        """Present samples, one after the other.

        Args:
            samples: How many.
            steps: Presentation length.
            fed: Variables by population and name, [samples, 1, size].
            sequences: Tables that hold a value for each step, [samples, steps, size].
            numbers: Numbers of this run.
            tables: Tables of this run.
            sums: Variables to return after the last step: population, name and lag.
            series: Variables to return for every step, each from the step "lag" on.

        Returns:
            Arrays [samples, 1, size] for sums and [samples, steps, size] for series.
        """
        last = steps + max((lag for _, _, lag in (*sums.values(), *series.values())), default=0)
        self._load(last, sequences, numbers, tables)
        found = {
            key: np.zeros((samples, count, self.populations[name].num_neurons), self.dtype)
            for places, count in ((sums, 1), (series, steps))
            for key, (name, _, _) in places.items()
        }
        for sample in range(samples):
            for (name, key), values in fed.items():
                variable = self.populations[name].vars[key]
                variable.view[...] = values[sample, 0]
                variable.push_to_device()
            for (name, key), values in sequences.items():
                table = self.populations[name].extra_global_params[key]
                table.view[: values[sample].size] = values[sample].reshape(-1)
                table.push_to_device()
            self.model.timestep = 0
            for t in range(last):
                self.model.step_time()
                for key, (name, variable, lag) in series.items():
                    if lag <= t < lag + steps:
                        found[key][sample, t - lag] = self._read(name, variable)
            for key, (name, variable, _) in sums.items():
                found[key][sample, 0] = self._read(name, variable)
        return found

    def _load(
        self,
        steps: int,
        sequences: Mapping[tuple[str, str], Any],
        numbers: Mapping[tuple[str, str], int],
        tables: Mapping[tuple[str, str], Any],
    ) -> None:
        if self._loaded:
            self.model.unload()
        for (name, key), values in tables.items():
            self.populations[name].extra_global_params[key].set_init_values(values)
        for name, key in sequences:
            group = self.populations[name]
            room = np.zeros(steps * group.num_neurons, self.dtype)
            group.extra_global_params[key].set_init_values(room)
        self.model.load()
        self._loaded = True
        for (name, key), number in numbers.items():
            self.populations[name].set_dynamic_param_value(key, number)

    def _read(self, name: str, key: str) -> Any:
        variable = self.populations[name].vars[key]
        if self.backend != CPU:
            variable.pull_from_device()
        return variable.current_view.reshape(-1)


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What make and the compiler say is no result."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


# The host's part. Values are arrays [samples, steps, features]; steps is 1 for what has no time.


def dense(x: Any, weights: Any) -> Any:
    """Weighted sums, added in float64 and rounded once; weights are [inputs, outputs]."""
    return (x.astype(np.float64) @ weights.astype(np.float64)).astype(x.dtype)


def sparse(x: Any, pairs: tuple[Any, Any, Any], outputs: int) -> Any:
    """The same for single synapses: input, output and weight of each."""
    sources, targets, weights = pairs
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    found = np.zeros((len(rows), outputs), x.dtype)
    for row, values in zip(found, rows, strict=True):
        row[...] = np.bincount(targets, weights * values[sources], outputs)
    return found.reshape(*x.shape[:-1], outputs)


def every_step(x: Any, steps: int) -> Any:
    """A value for every step."""
    return np.broadcast_to(x, (len(x), steps, x.shape[2]))


def delayed(x: Any, delay: int, steps: int) -> Any:
    """What was there some steps before, 0 in the first ones."""
    found = np.zeros((len(x), steps, x.shape[2]), x.dtype)
    found[:, delay:] = every_step(x, steps)[:, : max(steps - delay, 0)]
    return found


def since(x: Any, start: int, steps: int) -> Any:
    """0 before the step ``start``."""
    found = np.array(every_step(x, steps))
    found[:, :start] = 0
    return found


def softmax(x: Any, shape: Sequence[int], axis: int) -> Any:
    """Exponentials that sum to 1 along an axis of features of that shape."""
    y = x.reshape(*x.shape[:2], *shape)
    e = np.exp(y - y.max(axis=axis, keepdims=True))
    return (e / e.sum(axis=axis, keepdims=True)).reshape(x.shape)


def window(steps: int, first: int, start: int, stop: int | None) -> tuple[int, int]:
    """First step of a decoder's window and the one after its last, from its own first step."""
    end = steps - first if stop is None else min(stop, steps - first)
    if end <= start:
        raise SystemExit(f"at least {first + start + 1} steps: a decoder's window starts there")
    return start, end


def exponential_weights(count: int, tau: Any, size: int, dtype: Any) -> Any:
    """Weights exp(-t / tau) of the steps of a window, for each neuron if tau is one for each."""
    weights = [np.exp(-np.float64(t) / np.asarray(tau, np.float64)) for t in range(count)]
    found = np.array(weights).astype(dtype)
    return found if found.ndim == 1 else found.reshape(count * size)


def load_weights(script: str) -> dict[str, Any]:
    """The arrays that lie beside the script."""
    with np.load(Path(script).resolve().with_name("weights.npz"), allow_pickle=False) as file:
        return dict(file.items())


def given(
    x: Any, inputs: Mapping[str, Mapping[str, Any]], steps: int | None, default: int
) -> tuple[dict[str, Any], int, int]:
    """Inputs by name, number of samples and presentation length, checked."""
    arrays = x if isinstance(x, Mapping) else dict.fromkeys(list(inputs)[:1], x)
    if set(arrays) != set(inputs):
        raise SystemExit(f"inputs are {', '.join(inputs)}; these are {', '.join(arrays)}")
    found = {name: np.asarray(arrays[name]) for name in inputs}
    samples, lengths = set(), set()
    for name, entry in inputs.items():
        array, lead = found[name], 2 if entry["per_step"] else 1
        dtype = np.dtype(entry["dtype"])
        if dtype.kind != "f" and not np.can_cast(array.dtype, dtype, "safe"):
            raise SystemExit(f"input {name} is {array.dtype}, not {dtype}")
        if array.dtype.kind not in "biuf" or not np.all(np.isfinite(array)):
            raise SystemExit(f"input {name} has to be finite numbers")
        if array.ndim != lead + len(entry["shape"]) or array.shape[lead:] != entry["shape"]:
            axes = ["samples", "steps"][:lead] + [str(size) for size in entry["shape"]]
            raise SystemExit(f"input {name} is {list(array.shape)}, not [{', '.join(axes)}]")
        samples.add(array.shape[0])
        lengths |= {array.shape[1]} if lead == 2 else set()
    length = steps if steps is not None else min(lengths, default=default)
    if len(samples) > 1 or 0 in samples:
        raise SystemExit("all inputs need the same number of samples, at least one")
    if length < 1 or lengths - {length}:
        raise SystemExit(f"inputs have {sorted(lengths)} steps, the run has {length}")
    return found, min(samples, default=1), length


def values(array: Any, entry: Mapping[str, Any], dtype: Any) -> Any:
    """An input as the host calculates with it."""
    lead = array.shape[:2] if entry["per_step"] else (len(array), 1)
    return array.astype(dtype).reshape(*lead, -1)


def shaped(x: Any, output: Mapping[str, Any], steps: int) -> Any:
    """A value as it is returned."""
    if output["per_step"]:
        return np.array(every_step(x, steps)).reshape(len(x), steps, *output["shape"])
    return x.reshape(len(x), *output["shape"])


# The command line ------------------------------------------------------------------------------

_SHOWN: Final = 20


def main(
    build: Callable[..., Network],
    run: Callable[..., dict[str, Any]],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Run samples from a file."""
    parser = argparse.ArgumentParser(description="run this network on GeNN")
    parser.add_argument(
        "inputs", help=".npy, or .npz with 'x' or an array for each input, and labels 'y'"
    )
    parser.add_argument("-o", "--output", help=".npz file for the outputs")
    parser.add_argument("--steps", type=int, help="presentation length")
    parser.add_argument("--genn-backend", default=CPU, help="single_threaded_cpu, cuda or hip")
    parser.add_argument("--folder", help="keep the compiled code here")
    arguments = parser.parse_args()
    x, labels = _load(arguments.inputs, inputs)
    network = build(arguments.genn_backend, arguments.folder)
    found = run(x, steps=arguments.steps, network=network)
    sys.stderr.write(f"ran on PyGeNN {pygenn.__version__}, backend {network.backend}\n")
    for name, array in found.items():
        sys.stdout.write("\n".join(_report(name, array, outputs[name], labels)) + "\n")
    if arguments.output:
        with open(arguments.output, "wb") as file:
            np.savez(file, **found)


def _load(path: str, inputs: Mapping[str, Any]) -> tuple[Any, Any]:
    data = np.load(path, allow_pickle=False)
    if isinstance(data, np.ndarray):
        return data, None
    labels = data["y"] if "y" in data and "y" not in inputs else None
    if set(inputs) <= set(data.files):
        return {name: data[name] for name in inputs}, labels
    if "x" in data and len(inputs) == 1:
        return data["x"], labels
    raise SystemExit(f"{path} has {', '.join(data.files)}; wanted: x, or {', '.join(inputs)}")


def _report(name: str, array: Any, output: Mapping[str, Any], labels: Any) -> list[str]:
    """Classes of the first samples and accuracy; the shape of what is no answer of classes."""
    if output["per_step"] or array.ndim != 2:
        return [f"{name}: {list(array.shape)}"]
    classes = array.argmax(1)
    names = output["labels"]
    shown = [names[index] if names else str(index) for index in classes[:_SHOWN]]
    more = " ..." if len(classes) > _SHOWN else ""
    lines = [f"{name}: {' '.join(shown)}{more}"]
    if labels is not None and len(labels) == len(classes):
        lines.append(f"{name}: {100 * float(np.mean(classes == labels)):.2f} % correct")
    return lines
