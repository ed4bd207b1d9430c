"""A chain of layers simulated by a PyTorch library: runs in an interpreter of its own.

    python _torch_peer.py PEER NETWORK.npz ANSWERS.npz THREADS DEVICE

Needs PyTorch and the peer, and nothing of snnir. ``NETWORK.npz`` holds the samples ``x`` (channels
last), ``steps``, the chain as JSON in ``chain``, and the arrays that it names. Speaks lines of
JSON: it says what it found to be its fastest way, then runs all samples once for each line that
it reads and answers with the seconds (elapsed, and of the CPU). The answers of the last run are
stored in ``ANSWERS.npz``.

Each peer is given its fastest sensible way: inference mode, all that does not change
computed once, and of step by step or layer by layer (all steps of a layer at once), memory
layout and batch size, those that take the least time on the first samples.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, Final

import numpy as np
import torch
from torch import nn

BATCHES: Final = (5, 10, 25, 50)
GPU_BATCHES: Final = (256, 512, 1024)
TRIED_SAMPLES: Final = 50
ROUNDS: Final = 2


# Neurons: integrate and fire, soft reset, threshold 1, started at `start` ---------------------


class SpikingJelly(nn.Module):
    """``IFNode``, a step at a time or all at once."""

    def __init__(self, start: float) -> None:
        super().__init__()
        from spikingjelly.activation_based import neuron

        self.start = start
        self.cells = neuron.IFNode(v_threshold=1.0, v_reset=None)

    def begin(self) -> None:
        self.cells.reset()
        self.cells.v = self.start

    def one(self, current: torch.Tensor) -> torch.Tensor:
        self.cells.step_mode = "s"
        return self.cells(current)

    def all(self, current: torch.Tensor) -> torch.Tensor:
        self.cells.step_mode = "m"
        return self.cells(current)


class SnnTorch(nn.Module):
    """``Leaky`` without leak; it always takes a step at a time."""

    def __init__(self, start: float) -> None:
        super().__init__()
        import snntorch

        self.start = start
        self.cells = snntorch.Leaky(beta=1.0, threshold=1.0, reset_mechanism="subtract")
        self.potential: torch.Tensor | None = None

    def begin(self) -> None:
        self.potential = None

    def one(self, current: torch.Tensor) -> torch.Tensor:
        if self.potential is None:
            self.potential = torch.full_like(current, self.start)
        spikes, self.potential = self.cells(current, self.potential)
        return spikes

    def all(self, current: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.one(arriving) for arriving in current])


PEERS: Final = {
    "spikingjelly": (SpikingJelly, "SpikingJelly"),
    "snntorch": (SnnTorch, "snnTorch"),
}


# The chain -----------------------------------------------------------------------------------


def build(chain: list[dict[str, Any]], arrays: Any, neuron: Any) -> nn.ModuleList:
    """Modules for the chain; what flattens keeps the order of channels first."""
    layers = nn.ModuleList()
    for layer in chain:
        kind = layer["kind"]
        if kind in ("conv", "dense"):
            weight, bias = (torch.from_numpy(arrays[layer[k]]) for k in ("weight", "bias"))
            if kind == "conv":
                height, width, into, out = weight.shape
                made: nn.Module = nn.Conv2d(into, out, (height, width), padding=layer["padding"])
                weight = weight.permute(3, 2, 0, 1)
            else:
                made = nn.Linear(*weight.shape)
                if "image" in layer:
                    rows = weight.reshape(*layer["image"], -1)
                    weight = rows.permute(2, 0, 1, 3).reshape(*weight.shape)
                weight = weight.T
            made.weight.data = weight.contiguous()
            made.bias.data = bias
        elif kind == "pool":
            made = nn.AvgPool2d(layer["size"])
        elif kind == "flatten":
            made = nn.Flatten()
        else:
            made = neuron(layer["start"])
        layers.append(made)
    return layers


def begin(layers: nn.ModuleList) -> None:
    for layer in layers:
        if isinstance(layer, (SpikingJelly, SnnTorch)):
            layer.begin()


def layer_by_layer(layers: nn.ModuleList, x: torch.Tensor, steps: int) -> torch.Tensor:
    """All steps of a layer at once: (steps * samples, ...) for what has no state."""
    begin(layers)
    batch = len(x)
    current = layers[0](x).expand(steps, *(-1,) * x.ndim)
    for layer in layers[1:]:
        if isinstance(layer, (SpikingJelly, SnnTorch)):
            current = layer.all(current)
        else:
            y = layer(current.flatten(0, 1))
            current = y.view(steps, batch, *y.shape[1:])
    return current.mean(0)


def step_by_step(layers: nn.ModuleList, x: torch.Tensor, steps: int) -> torch.Tensor:
    """One step of all layers after the other."""
    begin(layers)
    constant = layers[0](x)
    total: torch.Tensor | None = None
    for _ in range(steps):
        current = constant
        for layer in layers[1:]:
            spiking = isinstance(layer, (SpikingJelly, SnnTorch))
            current = layer.one(current) if spiking else layer(current)
        total = current if total is None else total + current
    if total is None:
        raise ValueError("no steps")
    return total / steps


WAYS: Final[dict[str, Callable[[nn.ModuleList, torch.Tensor, int], torch.Tensor]]] = {
    "layer by layer": layer_by_layer,
    "step by step": step_by_step,
}
LAYOUTS: Final = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


def main() -> None:
    peer, network, answers, threads, device = sys.argv[1:]
    torch.set_num_threads(int(threads))
    neuron, distribution = PEERS[peer]
    given = np.load(network)
    steps = int(given["steps"])
    layers = build(json.loads(str(given["chain"])), given, neuron).eval().to(device)
    images = torch.from_numpy(given["x"]).permute(0, 3, 1, 2).contiguous().to(device)
    batches, tried_samples = (BATCHES, TRIED_SAMPLES) if device == "cpu" else (GPU_BATCHES, None)

    def run(way: str, batch: int, x: torch.Tensor) -> torch.Tensor:
        parts = [WAYS[way](layers, part, steps) for part in x.split(batch)]
        found = torch.cat(parts)
        if device != "cpu":
            torch.cuda.synchronize()
        return found

    def arranged(layout: str, x: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            layer.to(memory_format=LAYOUTS[layout])
        return x.contiguous(memory_format=LAYOUTS[layout])

    tried: dict[tuple[str, str, int], float] = {}
    for way, layout in itertools.product(WAYS, LAYOUTS):
        x = arranged(layout, images[:tried_samples])
        for batch in batches:
            times = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                run(way, batch, x)
                times.append(time.perf_counter() - start)
            tried[way, layout, batch] = min(times)
    way, layout, batch = min(tried, key=lambda choice: tried[choice])
    x = arranged(layout, images)
    found = run(way, batch, x)
    print(
        json.dumps(
            {
                "peer": f"{distribution} {metadata.version(peer)}",
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "way": f"{way}, {layout}, {batch} samples at a time",
                "tried": {", ".join(map(str, k)): v for k, v in tried.items()},
            }
        ),
        flush=True,
    )
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        found = run(way, batch, x)
        taken = time.perf_counter() - start, time.process_time() - cpu
        print(json.dumps({"seconds": taken}), flush=True)
    np.savez(answers, y=found.cpu().numpy())


if __name__ == "__main__":
    with torch.inference_mode():
        main()
