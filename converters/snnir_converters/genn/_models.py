"""What every network on GeNN is made of, whether it is built in process or by a script.

The script has the text of this module, which therefore needs nothing but the standard library;
its functions are given PyGeNN.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

CPU: Final = "single_threaded_cpu"
"""GeNN's backend that needs no GPU."""

FLAGS: Final = ("-O3", "-ffp-contract=off")
"""Compiler flags: fast, but every operation rounds as it is written."""

NVCC_FLAGS: Final = "--fmad=false"
"""The same for CUDA."""


def build_environment(compiler: Sequence[str]) -> dict[str, str]:
    """Environment variables by which GeNN calls a compiler with these flags.

    AMD's hipcc takes them from a variable of its own; NVIDIA's calls nvcc.
    """
    values = {"CXX": " ".join([*compiler, *FLAGS])}
    appended = {"NVCC_APPEND_FLAGS": NVCC_FLAGS}
    if os.environ.get("HIP_PLATFORM") != "nvidia":
        appended["HIPCC_COMPILE_FLAGS_APPEND"] = FLAGS[-1]
    for name, flags in appended.items():
        values[name] = " ".join([*filter(None, [os.environ.get(name)]), flags])
    return values


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the programs that are called."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def delta_model(pygenn: Any) -> Any:
    """A synapse that delivers in one step all that arrived, as it is."""
    return pygenn.create_postsynaptic_model("Delta", sim_code="injectCurrent(inSyn); inSyn = 0.0;")


def adds_atomically(backend: str, connectivity: str) -> bool:
    """Whether spikes have to be added by :func:`pulse_model`'s atomic operations.

    On a GPU, GeNN's threads add up what arrives at a small population in shared memory, as if no
    two of them ever had the same target: but those of one spike do if there are two synapses
    between the same neurons, and those of different spikes as they do not wait for each other.
    With dense connections, each thread has a target of its own (PyGeNN 5.4,
    ``presynapticUpdateStrategySIMT.cc``).
    """
    return backend != CPU and connectivity != "DENSE"


def pulse_model(pygenn: Any, graded: bool, atomic: bool) -> Any:
    """A weight for each spike, times the spike's value if it is graded.

    GeNN adds atomically, on every backend, what is delayed at the dendrite, here by no steps.
    """
    pulse = "g * value" if graded else "g"
    return pygenn.create_weight_update_model(
        f"{'Graded' if graded else ''}{'Atomic' if atomic else ''}Pulse",
        vars=[("g", "scalar", pygenn.VarAccess.READ_ONLY)],
        pre_neuron_var_refs=[("value", "scalar")] if graded else [],
        pre_spike_syn_code=f"addToPostDelay({pulse}, 0);" if atomic else f"addToPost({pulse});",
    )


CONVOLUTION: Final = """\
const int blocks = (outputs / groups) / span;
const int block = id_diag % blocks;
const int kernelRow = (id_diag / blocks) / kernel_columns;
const int kernelColumn = (id_diag / blocks) % kernel_columns;
for_each_synapse {
    const int channel = id_pre % inputs;
    const int rowAbove = ((id_pre / inputs) / columns) + pad_rows - (kernelRow * dilation_rows);
    const int columnLeft =
        ((id_pre / inputs) % columns) + pad_columns - (kernelColumn * dilation_columns);
    if (rowAbove >= 0 && columnLeft >= 0
        && rowAbove % stride_rows == 0 && columnLeft % stride_columns == 0) {
        const int row = rowAbove / stride_rows;
        const int column = columnLeft / stride_columns;
        if (row < out_rows && column < out_columns) {
            const int perGroup = inputs / groups;
            const int first = ((channel / perGroup) * (outputs / groups)) + (block * span);
            const int start = (((row * out_columns) + column) * outputs) + first;
            for (int filter = 0; filter < span; filter++) {
                addSynapse(start + filter, kernelRow, kernelColumn, channel % perGroup,
                           first + filter);
            }
        }
    }
}
"""
"""The synapses of spikes through a place of a kernel.

GeNN runs it for each "diagonal". On the CPU a diagonal is a place of the kernel, so that the inner
loop adds up all filters side by side; on a GPU each filter is a diagonal, for a thread of its own.
"""

CONVOLUTION_PARAMETERS: Final = (
    *("kernel_rows", "kernel_columns", "stride_rows", "stride_columns"),
    *("dilation_rows", "dilation_columns", "pad_rows", "pad_columns", "groups", "columns"),
    *("inputs", "out_rows", "out_columns", "outputs", "span"),
)


def convolution_model(pygenn: Any) -> Any:
    """Connections by which a kernel is moved over the places of its input."""
    return pygenn.create_toeplitz_connect_init_snippet(
        "Convolution",
        params=[(name, "int") for name in CONVOLUTION_PARAMETERS],
        diagonal_build_code=CONVOLUTION,
        calc_max_row_len_func=lambda _pre, _post, p: (
            p["kernel_rows"] * p["kernel_columns"] * (p["outputs"] // p["span"] // p["groups"])
        ),
        calc_kernel_size_func=lambda p: [
            p["kernel_rows"],
            p["kernel_columns"],
            p["inputs"] // p["groups"],
            p["outputs"],
        ],
    )


def filters_at_once(outputs: int, groups: int, backend: str) -> int:
    """Filters that a "diagonal" of a convolution adds up."""
    return outputs // groups if backend == CPU else 1
