"""What the tests of the command line share: small models, plugins, golden files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import snnir
from snnir.ir.graph import Binding, GraphOutput, Node
from snnir.ir.model import Close, Model, Producer
from snnir.ir.tensor import Tensor
from snnir.ir.types import DType, Quantization, Timing, ValueType

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"


def assert_golden(name: str, text: str) -> None:
    """Compare with a golden file; SNNIR_BLESS=1 makes the text the golden file instead."""
    path = GOLDEN / name
    if os.environ.get("SNNIR_BLESS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    assert text == path.read_text("utf-8"), f"{name} differs; `make bless` accepts the new text"


def snnir_process(
    *arguments: str | Path, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """A true run of ``python -m snnir``."""
    return subprocess.run(
        [sys.executable, "-m", "snnir", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        timeout=120,
        check=False,
    )


def digits() -> Model:
    """A recurrent classifier with a bit of everything; all numbers are exact."""
    b = snnir.GraphBuilder("digits", dt=1e-3, steps=8, metadata={"dataset": "made up"})
    image = b.input(
        "image",
        [2, 2, 1],
        dtype="uint8",
        scale=1 / 256,
        offset=np.array([0.25], np.float32),
        layout="HWC",
    )
    flat = b.ann.Flatten(image, name="flat")
    spikes = b.snn.RateEncoder(flat, name="encoder")
    weight = np.arange(12, dtype=np.float32).reshape(4, 3) / 16
    current = b.snn.Dense(spikes, weight=weight, name="fc1", source="dense_1")
    hidden = b.snn.LIF(
        current,
        decay=0.5,
        threshold=np.array([0.5, 1, 1], np.float32),
        reset="to_value",
        name="h",
        source="dense_1",
    )
    quantized = Tensor.from_array(
        np.eye(3, dtype=np.int8), quantization=Quantization((1 / 8,), bits=8)
    )
    recurrent = b.snn.Dense(hidden, weight=quantized, name="block/recurrent")
    b.connect(recurrent, "h", "current", delay_steps=2)
    b.output("class", b.snn.SpikeCount(hidden, name="count"), labels=["zero", "one", "two"])
    b.output("block/spikes", hidden)
    model = b.build()
    model.producer = Producer("golden", "1.0")
    return model


def images(count: int) -> np.ndarray:
    """Data for :func:`digits`."""
    return (np.arange(count * 4, dtype=np.uint8) * 37).reshape(count, 2, 2, 1)


def digits_with_example() -> Model:
    """The same with a stored run."""
    model = digits()
    model.examples["first"] = snnir.make_example(
        model, images(2), record=["h:v"], tolerance={"h:v": Close(1e-6)}
    )
    return model


def with_unknown_operator(model: Model) -> Model:
    """A model with a node of a domain that no plugin provides."""
    declared = ValueType(DType.FLOAT32, (3,), Timing.PER_STEP)
    model.graph.nodes["odd"] = Node(
        "odd",
        "nowhere.Neuron",
        [Binding("x", "h:spikes")],
        ("y",),
        {"gains": (1, 2), "leaky": True},
        {"gain": Tensor.from_array(1.5)},
        (declared,),
    )
    model.graph.outputs.append(GraphOutput("odd", "odd:y"))
    model.opsets["nowhere"] = 3
    return model


def large() -> Model:
    """A model whose weights do not fit into the header."""
    b = snnir.GraphBuilder("large", steps=2)
    x = b.input("x", [64], timing="per_step")
    weight = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    b.output("y", b.snn.Dense(x, weight=weight, name="fc"))
    model = b.build()
    model.producer = Producer("golden", "1.0")
    return model
