"""Runs models of domain ``loihi2`` in Lava's fixed-point simulation of Loihi 2."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.errors import CapabilityError, Diagnostic, ModelError, RunError, raise_errors
from snnir.infer import infer
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.runtime.backend import (
    Inputs,
    Recording,
    check_inputs,
    named_inputs,
    resolve_record,
    state_names,
)
from snnir.runtime.partial import needed_nodes, run_part
from snnir_converters._hdf5 import write_hdf5
from snnir_converters.lava._process import require_lava, run_job
from snnir_converters.lava._worker import Job
from snnir_converters.netx._chain import Chain
from snnir_converters.netx._target import Emission, describe

Array = npt.NDArray[Any]

TIMEOUT_S: Final = 300.0
"""Default of the longest time without a sign of life."""

MAX_ELEMENTS: Final = 1 << 25
"""Most elements of one value over the time line of a run; more samples are run in turns."""

GRADED_BITS: Final = 24
"""Bits of inputs that are not only 0 and 1."""


class LavaBackend:
    """Lava's simulation: the network as a NetX file, the host's part by the reference.

    Samples follow each other in one run, each from the initial state.
    """

    name: Final = "lava"

    def prepare(self, model: Model, *, timeout: float = TIMEOUT_S, **options: Any) -> LavaPrepared:
        """Make a model ready to run.

        Args:
            model: Its layers of domain ``loihi2`` have to be what the target ``netx`` takes.
            timeout: Longest time without a sign of life, in seconds.
            options: None is known.

        Raises:
            ModelError: If the model is not valid.
            CapabilityError: If a NetX file cannot hold it, with all that does not fit; or if an
                option is not known.
            MissingDependency: If Lava is not installed.
        """
        known = isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and timeout > 0
        if options or not known:
            found = ", ".join(options) or f"timeout {timeout!r}"
            raise CapabilityError(
                Diagnostic("run.capability", "backend 'lava'", found, "timeout, in seconds")
            )
        raise_errors(check(model), ModelError)
        emission = describe(model)
        raise_errors(emission.findings, CapabilityError)
        versions = require_lava()
        return LavaPrepared(model, emission, float(timeout), versions)


class LavaPrepared:
    """A model in Lava."""

    def __init__(
        self, model: Model, emission: Emission, timeout: float, versions: Mapping[str, str]
    ) -> None:
        if emission.chain is None:
            raise CapabilityError(emission.findings)
        self._model = model
        self._content = emission.content
        self._chain: Chain = emission.chain
        self._timeout = timeout
        self._versions = versions
        self._types = infer(model)
        self._states = state_names(model)
        self._records = dict(_records(self._chain, self._states))
        self._chip = {name.partition(":")[0] for name in self._records} | {
            node.name
            for layer in self._chain.layers
            for node in (layer.synapse, layer.recurrent)
            if node is not None
        }

    def run(
        self, inputs: Inputs, *, steps: int | None = None, record: Sequence[str] = ()
    ) -> Recording:
        """Run a batch of samples, each from the initial state.

        Raises:
            RunError: If an input, the steps or a name to record do not fit the model, or Lava
                fails.
        """
        graph = self._model.graph
        arrays = named_inputs(graph, inputs)
        _, steps, _ = check_inputs(graph, arrays, steps, self._model.time.steps)
        wanted = {name: resolve_record(graph, self._states, name) for name in record}
        wanted.update({output.name: output.value for output in graph.outputs})
        chip, host = self._split(set(wanted.values()))
        started = time.monotonic()
        found = self._run_chip(self._entry(arrays, steps), sorted(chip))
        seconds = time.monotonic() - started
        found.update(self._run_host(host, {**arrays, **found}, steps))
        return Recording(
            outputs={output.name: found[output.value] for output in graph.outputs},
            recorded={name: found[wanted[name]] for name in record},
            steps=steps,
            backend=LavaBackend.name,
            details={**self._versions, "seconds": seconds},
        )

    def _split(self, wanted: set[str]) -> tuple[set[str], set[str]]:
        """What Lava records, and what the host computes; the former with what the latter needs.

        Raises:
            RunError: If something is of the chip, but cannot be recorded.
        """
        chip = {name for name in wanted if producer(name) in self._chip}
        findings = [
            Diagnostic("lava.record", f"record '{name}'", "a value within a synapse", _RECORDABLE)
            for name in sorted(chip - set(self._records))
        ]
        if findings:
            raise RunError(findings)
        host = wanted - chip
        nodes = needed_nodes(self._model.graph, host, self._records)
        needed = {b.source for node in nodes for b in node.inputs if b.source in self._records}
        return chip | needed, host

    def _entry(self, arrays: Mapping[str, Array], steps: int) -> Array:
        """What the chip is fed: (samples, steps, features)."""
        entry = self._chain.entry
        if entry in arrays:
            return arrays[entry]
        return self._run_host({entry}, arrays, steps)[entry]

    def _run_host(
        self, wanted: set[str], known: Mapping[str, Array], steps: int
    ) -> dict[str, Array]:
        """Values and states of the host's nodes."""
        return run_part(self._model, self._types, sorted(wanted), known, steps=steps)

    def _run_chip(self, inputs: Array, wanted: Sequence[str]) -> dict[str, Array]:
        """What Lava records, each (samples, steps, features)."""
        if not wanted:
            return {}
        steps = inputs.shape[1]
        largest = max(
            math.prod(inputs.shape[2:]),
            *(self._features(name) for name in wanted),
        )
        batch = max(1, MAX_ELEMENTS // (largest * steps))
        parts = [
            self._run_part(inputs[start : start + batch], wanted)
            for start in range(0, len(inputs), batch)
        ]
        return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(wanted)}

    def _features(self, name: str) -> int:
        layer, _ = self._records[name]
        sizes = self._types[self._chain.layers[layer].value].shape
        return math.prod(size for size in sizes if isinstance(size, int))

    def _run_part(self, inputs: Array, wanted: Sequence[str]) -> list[Array]:
        spikes = bool(np.all((inputs == 0) | (inputs == 1)))
        job = Job(
            message_bits=0 if spikes else GRADED_BITS,
            drives_neurons=self._chain.layers[0].synapse is None,
            record=tuple(self._records[name] for name in wanted),
        )
        with tempfile.TemporaryDirectory(prefix="snnir-lava-") as name:
            folder = Path(name)
            write_hdf5(folder / "net.net", self._content, extra="lava")
            np.save(folder / "inputs.npy", _swapped(inputs).astype(np.int32))
            (folder / "job.json").write_text(json.dumps(asdict(job)))
            run_job(folder, self._timeout)
            return [
                _swapped(np.load(folder / f"{i}.npy", allow_pickle=False))
                for i in range(len(wanted))
            ]


_RECORDABLE: Final = "what neurons send, and their states"


def _records(
    chain: Chain, states: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, tuple[int, str]]]:
    """Where Lava has a value or state: layer, and ``s`` for what it sends, or a variable."""
    for number, layer in enumerate(chain.layers):
        # Readouts that never fire are read by their potential.
        sends = "v" if layer.neuron.operator == "CubaLI" else "s"
        yield layer.value, (number, sends)
        for name in states[layer.neuron.name]:
            yield f"{layer.neuron.name}:{name}", (number, name)


def _swapped(array: Array) -> Array:
    """Images between (height, width, channels) and Lava's (width, height, channels)."""
    return array.transpose(0, 1, 3, 2, 4) if array.ndim == 5 else array
