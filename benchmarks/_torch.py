"""PyTorch libraries that simulate the same network, in an interpreter of their own.

TensorFlow and PyTorch rarely live in the same environment, so the network and the samples are
handed over in a file; what runs there is ``_torch_peer.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PEERS: Final = ("spikingjelly", "snntorch")
SCRIPT: Final = Path(__file__).with_name("_torch_peer.py")


def export(model: Any, x: Array, path: Path) -> None:
    """Write a chain of layers and its samples as the peers take them.

    Their neurons have threshold 1 and no bias: the threshold divides the weights before it and
    the bias joins theirs.

    Args:
        model: A chain of Conv2D, Dense, IF, AveragePool2D and Flatten in rate coding.
        x: Samples, channels last.
        path: The file.
    """
    import snnir

    types = snnir.infer(model)
    nodes = [n for n in model.graph.nodes.values() if n.domain == "snn" or n.operator == "Conv2D"]
    chain: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    image: tuple[int, ...] | None = None
    for number, node in enumerate(nodes):
        values = {name: tensor.values() for name, tensor in node.parameters.items()}
        if node.operator in ("Conv2D", "Dense"):
            after = nodes[number + 1 :]
            follower = next((n for n in after if n.operator != "ConstantCurrent"), None)
            threshold: Array = np.ones((), np.float32)
            bias = values["bias"]
            if follower is not None and follower.operator == "IF":
                threshold = follower.parameters["threshold"].values()
                if "bias" in follower.parameters:
                    bias = bias + follower.parameters["bias"].values()
            names = {"weight": f"weight{number}", "bias": f"bias{number}"}
            arrays[names["weight"]] = (values["weight"] / threshold).astype(np.float32)
            arrays[names["bias"]] = (bias / threshold).astype(np.float32)
            layer: dict[str, Any] = {"kind": "dense", **names}
            if node.operator == "Conv2D":
                layer |= {"kind": "conv", "padding": node.attributes["padding"]}
            elif image is not None:
                layer["image"], image = image, None
            chain.append(layer)
        elif node.operator == "IF":
            start = values["initial_potential"] / values["threshold"]
            chain.append({"kind": "if", "start": float(start.flat[0])})
        elif node.operator == "AveragePool2D":
            chain.append({"kind": "pool", "size": list(node.attributes["pool_size"])})
        elif node.operator == "Flatten":
            image = tuple(int(dim) for dim in types[node.inputs[0].source].shape)
            chain.append({"kind": "flatten"})
        elif node.operator not in ("ConstantCurrent", "MeanPotential"):
            raise ValueError(f"{node.op} is not part of the chain that the peers are given")
    given: dict[str, Any] = {"x": x, "steps": model.time.steps, "chain": json.dumps(chain)}
    np.savez(path, **given, **arrays)


def torch_python(given: argparse.Namespace) -> Path | None:
    """The interpreter with PyTorch that the command line or the environment names."""
    by_environment = os.environ.get("SNNIR_TORCH_PYTHON")
    found = given.torch_python or (Path(by_environment) if by_environment else None)
    return found if found is not None and found.is_file() else None


class Peer:
    """A library at work in another interpreter.

    Raises:
        RuntimeError: If it does not start; with what it said.
    """

    def __init__(
        self,
        python: Path,
        name: str,
        network: Path,
        answers: Path,
        threads: int,
        device: str = "cpu",
    ) -> None:
        self.answers = answers
        self.process = subprocess.Popen(
            [python, "-W", "ignore", SCRIPT, name, network, answers, str(threads), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self.about = self._answer()
        except BaseException:
            self.stop()
            raise
        self.name: str = self.about["peer"]

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"exit code {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self) -> tuple[float, float]:
        """Run all samples once; seconds by its own clock: elapsed, and of the CPU."""
        if self.process.stdin is None:
            raise RuntimeError("no way to tell it")
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        elapsed, cpu = self._answer()["seconds"]
        return elapsed, cpu

    def finish(self) -> Array:
        """End it and return its last answers."""
        self.process.communicate()
        answers: Array = np.load(self.answers)["y"]
        return answers

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.wait()
