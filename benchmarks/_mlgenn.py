"""mlGeNN at work on the networks of ``_genn_networks.py``: its ``InferenceCompiler``.

Imported only where mlGeNN and PyGeNN are there. mlGeNN builds into the working folder and takes
one network at a time, so a :class:`Peer` is used as a context and left before the next is made.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _genn_networks import Layer, Pair

from snnir_converters.genn._models import environment
from snnir_converters.genn._output import captured

Array = npt.NDArray[Any]


class Peer:
    """A network compiled by mlGeNN, and samples in the form that it takes them.

    Args:
        pair: The network and its samples.
        folder: Where GeNN puts its code.
        compiler: The compiler with its flags.
        in_memory: Whether convolutions are stored as sparse matrices, which is mlGeNN's default,
            or as Toeplitz matrices.
    """

    def __init__(self, pair: Pair, folder: Path, compiler: str, in_memory: bool = True) -> None:
        self.pair = pair
        self.folder = folder
        self.compiler = compiler
        self.in_memory = in_memory

    def __enter__(self) -> Peer:
        from ml_genn.compilers import InferenceCompiler

        network, self._input, self._output = _network(self.pair)
        self.folder.mkdir(parents=True, exist_ok=True)
        compiler = InferenceCompiler(
            evaluate_timesteps=self.pair.model.time.steps,
            dt=1.0,
            backend="single_threaded_cpu",
            prefer_in_memory_connect=self.in_memory,
            reset_in_syn_between_batches=True,
        )
        quiet = (
            warnings.catch_warnings(),
            _inside(self.folder),
            environment({"CXX": self.compiler}),
            _silent(),
        )
        with contextlib.ExitStack() as stack:
            for context in quiet:
                stack.enter_context(context)
            warnings.simplefilter("ignore")
            self._compiled = compiler.compile(network, self.pair.name)
            self._compiled.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._compiled.__exit__(*error)

    def samples(self, x: Array) -> Any:
        """What :meth:`predict` takes: images, or spike trains sorted by neuron."""
        from ml_genn.utils.data import preprocess_spikes

        if not self.pair.spikes:
            return x
        trains = []
        for sample in x:
            times, neurons = np.nonzero(sample)
            trains.append(preprocess_spikes(times.astype(np.float32), neurons, sample.shape[1]))
        return trains

    def predict(self, samples: Any) -> Array:
        """Spike counts of all samples, shape [samples, classes]."""
        found, _ = self._compiled.predict({self._input: samples}, self._output, callbacks=[])
        (counts,) = found.values()
        return np.asarray(counts)

    def run(self, x: Array) -> Array:
        """Spike counts of samples as snnir takes them."""
        return self.predict(self.samples(x))


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What GeNN, make and the compiler print is not shown."""
    logging.getLogger("ml_genn").setLevel(logging.ERROR)
    with captured():
        yield


def _network(pair: Pair) -> tuple[Any, Any, Any]:
    """The network, its input and its output."""
    from ml_genn import Connection, Network, Population
    from ml_genn.neurons import IntegrateFireInput, SpikeInput

    network = Network()
    with network:
        if pair.spikes:
            most = int(pair.x.reshape(len(pair.x), -1).sum(1).max())
            neuron = SpikeInput(max_spikes=most)
        else:
            neuron = IntegrateFireInput(v_thresh=pair.input_threshold, v_reset=0.0)
        first = source = Population(neuron, pair.input_shape)
        for number, layer in enumerate(pair.layers):
            last = number == len(pair.layers) - 1
            target = Population(_neuron(layer, "spike_count" if last else None))
            Connection(source, target, _connectivity(layer), _synapse(layer))
            if layer.recurrent is not None:
                from ml_genn.connectivity import Dense

                Connection(target, target, Dense(layer.recurrent), _synapse(layer))
            source = target
    return network, first, source


def _neuron(layer: Layer, readout: str | None) -> Any:
    from ml_genn.neurons import IntegrateFire, LeakyIntegrateFire

    if layer.tau_membrane is None:
        return IntegrateFire(v_thresh=layer.threshold, v_reset=0.0, readout=readout)
    return LeakyIntegrateFire(
        v_thresh=layer.threshold,
        v_reset=0.0,
        tau_mem=layer.tau_membrane,
        relative_reset=False,
        readout=readout,
    )


def _synapse(layer: Layer) -> Any:
    from ml_genn.synapses import Delta, Exponential

    return Delta() if layer.tau_synapse is None else Exponential(tau=layer.tau_synapse)


def _connectivity(layer: Layer) -> Any:
    from ml_genn.connectivity import Conv2D, Dense

    if layer.weight.ndim == 2:
        return Dense(layer.weight)
    return Conv2D(
        layer.weight,
        filters=layer.weight.shape[3],
        conv_size=layer.weight.shape[:2],
        conv_strides=(layer.stride, layer.stride),
        flatten=layer.flatten,
    )
