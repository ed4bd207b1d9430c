"""The process in which Lava runs: ``python _worker.py DESCRIPTOR``.

Lava forks a process for every layer, sets the start method of the whole program, and does not
return when one of its processes fails. It is kept away from the program here: a parent sends
folders and may end this process, with all that it started, at any time.

Protocol: a line with a folder comes in. Lines go out, by the file descriptor that is the first
argument: ``at N`` after every few steps, then ``done`` or ``failed TEXT``. A folder holds
``net.net``, ``inputs.npy`` (samples, steps, then features in Lava's order) and ``job.json`` (see
:class:`Job`); the results are ``0.npy``, ``1.npy``, ... like the inputs. What fails in one of
Lava's processes is in ``errors.txt``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAX_STEPS: Final = 64
"""Most steps between two signs of life."""

STATES: Final = ("u", "v", "sigma", "act", "residue", "a_buff", "a_buf")
"""Variables that change during a run, initially 0: of neurons, then of synapses."""

_PATH: Final = "snnir_path"
"""The parameter of a recorder that says where to."""

_STAND_INS: Final = (
    "torch",
    "lava.lib.dl.slayer",
    "lava.lib.dl.slayer.neuron",
    "lava.lib.dl.slayer.neuron.rf",
)
"""What the reader of .net files imports only for names that no supported network needs."""


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        message_bits: 0 if the inputs are spikes; otherwise bits of a graded one.
        drives_neurons: The first layer is one of neurons, which the inputs drive.
        record: Number of a layer, and ``s`` for what it sends or the name of a state.
    """

    message_bits: int
    drives_neurons: bool
    record: tuple[tuple[int, str], ...]


def load_netx() -> Any:
    """``lava.lib.dl.netx.hdf5``, without PyTorch and what is for training only."""
    import lava.proc.conv.utils  # noqa: F401 - looks for PyTorch; before there seems to be one

    present = {str(name): sys.modules[name] for name in _STAND_INS if name in sys.modules}
    for name in _STAND_INS:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch"].__dict__["tensor"] = object
    sys.modules[_STAND_INS[-1]].__dict__["neuron_params"] = None
    try:
        from lava.lib.dl.netx import hdf5
    finally:
        for name in _STAND_INS:
            del sys.modules[name]
        sys.modules.update(present)
    return hdf5


def run(folder: Path, report: Callable[[str], None]) -> None:
    """Run what a folder holds."""
    hdf5 = load_netx()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    described = json.loads((folder / "job.json").read_text())
    job = Job(**{**described, "record": tuple(map(tuple, described["record"]))})
    inputs = np.load(folder / "inputs.npy", allow_pickle=False)
    samples, steps = inputs.shape[:2]
    total = samples * steps
    network = hdf5.Network(str(folder / "net.net"), input_message_bits=job.message_bits)
    line = np.moveaxis(inputs.reshape(total, *inputs.shape[2:]), 0, -1).astype(np.int32)
    source = io.source.RingBuffer(data=line)
    source.s_out.connect(network.in_layer.neuron.a_in if job.drives_neurons else network.inp)
    for number, (layer, name) in enumerate(job.record):
        block = network.layers[layer]
        shape = tuple(block.out.shape)
        path = folder / f"{number}.npy"
        np.save(path, np.zeros((samples, steps, *shape), np.int32))
        if name == "s":
            sink = io.sink.RingBuffer(shape=shape, buffer=1)
            block.out.connect(sink.a_in)
        else:
            sink = io.sink.Read(buffer=1)
            sink.connect_var(getattr(block.neuron, name))
        sink.proc_params[_PATH] = path
    models = {**_recorders(io.sink), **_resetting(steps)}
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
    for at in range(0, total, MAX_STEPS):
        condition = RunSteps(num_steps=min(MAX_STEPS, total - at))
        source.run(condition=condition, run_cfg=config)
        report(f"at {at}")
    source.stop()


def _resetting(steps: int) -> dict[Any, Any]:
    """Lava's models of neurons and synapses, which start anew with every sample.

    At the end of a step nothing is under way between processes, so this is as good as a new run.
    The interval at which ``LIFReset`` resets itself is not: it leaves the spikes that synapses
    hold back, and there is none for sigma-delta neurons.
    """
    from lava.proc.conv.models import Conv, PyConvModelFixed
    from lava.proc.dense.models import (
        DelayDense,
        Dense,
        PyDelayDenseModelBitAcc,
        PyDenseModelBitAcc,
    )
    from lava.proc.lif.models import LIF, PyLifModelBitAcc
    from lava.proc.sdn import models as sdn

    found = {
        LIF: PyLifModelBitAcc,
        Dense: PyDenseModelBitAcc,
        DelayDense: PyDelayDenseModelBitAcc,
        Conv: PyConvModelFixed,
        sdn.Delta: sdn.PyDeltaModelFixed,
        sdn.SigmaDelta: sdn.PySigmaDeltaModelFixed,
        sdn.Sigma: sdn.PySigmaModelFixed,
    }

    def resetting(model: Any) -> Any:
        class Resetting(model):  # type: ignore[misc]
            """The model, with all of its states set to 0 before the first step of a sample."""

            def run_spk(self) -> None:
                if (self.time_step - 1) % steps == 0:
                    for name in STATES:
                        if hasattr(self, name):
                            setattr(self, name, np.zeros_like(getattr(self, name)))
                super().run_spk()

        return Resetting

    return {process: resetting(model) for process, model in found.items()}


def _recorders(sink: Any) -> dict[Any, Any]:
    """What records, by what it takes the place of.

    Lava's own recorders keep everything, and hand it over number by number: that takes longer
    than the run. These write to files.
    """
    fixed_sink: Any = sink.PyReceiveModelFixed
    fixed_read: Any = sink.PyReadFixed

    class FileSink(fixed_sink):  # type: ignore[misc]
        """Writes what a port receives."""

        def run_spk(self) -> None:
            _row(self)[...] = self.a_in.recv()

    class FileRead(fixed_read):  # type: ignore[misc]
        """Writes a variable at the end of every step."""

        def run_post_mgmt(self) -> None:
            _row(self)[...] = self.state.read()

    return {sink.RingBuffer: FileSink, sink.Read: FileRead}


def _row(model: Any) -> Array:
    """Where a recorder writes what it has in this step."""
    if not hasattr(model, "line"):
        mapped = np.load(model.proc_params[_PATH], mmap_mode="r+")
        model.line = mapped.reshape(-1, *mapped.shape[2:])
    row: Array = model.line[model.time_step - 1]
    return row


def _watch_actors(folder: Path) -> Callable[[], None]:
    """Write down what fails in Lava's processes, which Lava only logs, until called back."""
    from lava.magma.runtime.message_infrastructure.multiprocessing import MultiProcessing

    build = MultiProcessing.build_actor

    def build_watched(self: Any, target: Callable[..., None], *args: Any, **kwargs: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> None:
            try:
                target(*args, **kwargs)
            except BaseException:
                with (folder / "errors.txt").open("a") as file:
                    file.write(traceback.format_exc())
                raise

        return build(self, watched, *args, **kwargs)

    def restore() -> None:
        MultiProcessing.build_actor = build

    MultiProcessing.build_actor = build_watched
    return restore


def main() -> None:
    """Serve until there are no more folders."""
    with os.fdopen(int(sys.argv[1]), "w") as replies:

        def report(line: str) -> None:
            replies.write(line + "\n")
            replies.flush()

        for line in sys.stdin:
            folder = Path(line.rstrip("\n"))
            restore = _watch_actors(folder)
            try:
                run(folder, report)
                report("done")
            except Exception as error:
                report(f"failed {type(error).__name__}: {' '.join(str(error).split())}")
            finally:
                restore()


if __name__ == "__main__":
    main()
