"""NetX files made by hand, and random networks of domain ``loihi2``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir import GraphBuilder
from snnir.ir.model import Model
from snnir.runtime.backend import find_backend
from tests.converters.forging import h5py

Array = npt.NDArray[Any]
Fields = Mapping[str, Any]

CUBA = {"type": "CUBA", "vThMant": 64, "iDecay": 1000, "vDecay": 400}
"""A group ``neuron``."""

RELU = {"type": "SDNN", "vThMant": 1, "activation": "relu"}
"""Sigma-delta neurons."""


def netx_file(path: Path, *layers: Fields, **more: Any) -> Path:
    """A NetX file; a mapping is a group, everything else a dataset."""
    with h5py().File(path, "w") as file:
        fill(file, {"layer": {str(i): layer for i, layer in enumerate(layers)}, **more})
    return path


def fill(group: Any, fields: Fields) -> None:
    """Write groups and datasets."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            fill(group.create_group(name), value)
        else:
            group[name] = value


def dense(weight: npt.ArrayLike, neuron: Fields | None = CUBA, **more: Any) -> dict[str, Any]:
    """A dense layer; ``weight`` is (out, in)."""
    array = np.asarray(weight)
    fields = {"type": np.array([b"dense"], "S10"), "shape": np.array([len(array)]), "weight": array}
    return {**fields, **({} if neuron is None else {"neuron": neuron}), **more}


def conv(
    weight: npt.ArrayLike, shape: tuple[int, int, int], neuron: Fields = CUBA, **more: Any
) -> dict[str, Any]:
    """A convolution; ``weight`` is (out, in, height, width), ``shape`` that of the output."""
    settings = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    fields = {"type": b"conv", "shape": np.array(shape), "weight": np.asarray(weight)}
    return {**fields, **settings, "neuron": neuron, **more}


def input_layer(*shape: int, **more: Any) -> dict[str, Any]:
    """An input layer; ``shape`` has the channels first."""
    return {"type": b"input", "shape": np.array(shape), **more}


# Random networks -------------------------------------------------------------------------------


def random_weights(
    rng: np.random.Generator, shape: tuple[int, ...], signs: str, *, even: bool
) -> tuple[Array, int]:
    """Stored weights and their exponent.

    Args:
        rng: Source of randomness.
        shape: Of the weights.
        signs: ``"mixed"``, ``"positive"`` or ``"negative"``.
        even: Whether they go up to 254, in steps of 2; otherwise to 127, in steps of 1.
    """
    low, high = {"mixed": (-80, 127), "positive": (0, 127), "negative": (-127, 0)}[signs]
    weight = rng.integers(low, high, shape, endpoint=True)
    weight.reshape(-1)[0] = 101 if high else -101
    weight.reshape(-1)[-1] = 64 if signs == "positive" else -64
    return weight * 2, 0 if even else -1


class RandomNetwork:
    """Builds one layer after the other."""

    def __init__(self, seed: int, steps: int = 20) -> None:
        self.rng = np.random.default_rng(seed)
        self.steps = steps
        self._builder = GraphBuilder("netx", steps=steps)
        self._operators = self._builder.domain("loihi2")
        self._layers = 0
        self.value: Any = None
        self.shape: tuple[int, ...] = ()
        self._driven = False

    def feed(self, *shape: int) -> None:
        """Declare the input."""
        layout = "HWC" if len(shape) == 3 else ""
        self.value = self._builder.input(
            "input", shape, timing="per_step", dtype="int32", layout=layout
        )
        self.shape = shape

    def drive(self, operator: str = "CubaLIF") -> None:
        """Neurons that the input drives."""
        self._layers += 1
        self._driven = True
        self.value = self._neurons(self.value, operator, bias=False)

    def dense(
        self,
        size: int,
        *,
        signs: str = "mixed",
        even: bool = False,
        delay: str = "",
        operator: str = "CubaLIF",
        bias: bool = True,
        recurrent: bool = False,
    ) -> None:
        """A dense layer, with everything flattened before it."""
        self._layers += 1
        name = f"layer{self._layers}"
        if len(self.shape) == 3:
            moved = self._operators.Permute(self.value, axes=(2, 0, 1), name=f"{name}/permute")
            self.value = self._operators.Flatten(moved, name=f"{name}/flatten")
            self.shape = (int(np.prod(self.shape)),)
        weight, exponent = random_weights(self.rng, (*self.shape, size), signs, even=even)
        current = self._operators.Dense(
            self.value.delayed(1),
            weight=weight.astype(np.int16),
            weight_exp=exponent or None,
            delay=self._delay(delay, weight.shape),
            name=f"{name}/synapse",
        )
        self.shape = (size,)
        self.value = self._neurons(current, operator, bias=bias)
        if recurrent:
            back, _ = random_weights(self.rng, (size, size), "mixed", even=even)
            self._operators.Dense(
                self.value.delayed(1),
                weight=back.astype(np.int16),
                weight_exp=exponent or None,
                name=f"{name}/recurrent",
            )
            source = self.value._replace(name=f"{name}/recurrent:a_out")
            self._builder.connect(source, f"{name}/neuron", "a_in", delay_steps=0)
            declared = (self._builder.types[source.name],)
            self._builder.graph.nodes[f"{name}/recurrent"].output_types = declared

    def conv(
        self,
        filters: int,
        kernel: tuple[int, int],
        *,
        operator: str = "CubaLIF",
        bias: str = "channel",
        wide: bool = False,
        **attributes: Any,
    ) -> None:
        """A convolution."""
        self._layers += 1
        name = f"layer{self._layers}"
        groups = attributes.get("groups") or 1
        shape = (*kernel, self.shape[2] // groups, filters)
        weight = self.rng.integers(-40, 64, shape) * (2 if wide else 1)
        current = self._operators.Conv2D(
            self.value.delayed(1),
            weight=weight.astype(np.int8 if abs(weight).max() < 128 else np.int16),
            name=f"{name}/synapse",
            **attributes,
        )
        self.shape = tuple(self._builder.types[current.name].shape)  # type: ignore[arg-type]
        self.value = self._neurons(current, operator, bias=bias)

    def model(self) -> Model:
        """The network."""
        self._builder.output("output", self.value)
        return self._builder.build()

    def spikes(self, samples: int = 2, rate: float = 0.3) -> Array:
        """Input spikes, or pulses of current if neurons are driven."""
        shape = self._builder.graph.inputs[0].type.shape
        spikes = self.rng.random((samples, self.steps, *shape)) < rate  # type: ignore[arg-type]
        return spikes.astype(np.int32) * (150 if self._driven else 1)

    def levels(self, samples: int = 2, largest: int = 40) -> Array:
        """Graded input that changes now and then."""
        shape = self._builder.graph.inputs[0].type.shape
        values = self.rng.integers(0, largest, (samples, self.steps, *shape))  # type: ignore[arg-type]
        changes = self.rng.random((1, self.steps, *([1] * len(shape)))) < 0.3
        held = np.maximum.accumulate(
            np.where(changes[0, :, ...], np.arange(self.steps).reshape(-1, *([1] * len(shape))), 0),
            axis=0,
        ).reshape(-1)
        return values[:, held].astype(np.int32)

    def _neurons(self, current: Any, operator: str, *, bias: bool | str) -> Any:
        add: Callable[..., Any] = getattr(self._operators, operator)
        parameters: dict[str, Any] = {}
        shape = self.shape[-1:] if bias != "neuron" else self.shape
        if bias and operator in ("CubaLIF", "CubaLI", "SigmaDelta"):
            parameters["bias"] = self.rng.integers(-10, 60, shape).astype(np.int8)
        if operator in ("CubaLIF", "CubaLI"):
            parameters["i_decay"] = int(self.rng.choice([4096, 2000, 300, 0]))
            parameters["v_decay"] = int(self.rng.choice([4096, 1000, 100, 0]))
        if operator == "CubaLIF":
            parameters["threshold"] = int(self.rng.integers(5, 300))
        if operator in ("Delta", "SigmaDelta"):
            parameters["threshold"] = int(self.rng.integers(1, 4))
        return add(current, name=f"layer{self._layers}/neuron", **parameters)

    def _delay(self, kind: str, shape: tuple[int, ...]) -> Array | None:
        if not kind:
            return None
        sizes = {"scalar": (), "axons": (shape[0], 1), "targets": (1, shape[1]), "synapses": shape}
        delay = self.rng.integers(1, 12, sizes[kind])
        return np.asarray(delay, np.int8)


def random_network(seed: int) -> tuple[Model, Array]:
    """A network of any kind, and input for it."""
    rng = np.random.default_rng(seed)
    kinds = (dense_network, recurrent_network, conv_network, delay_network, sigma_delta_network)
    return kinds[seed % len(kinds)](seed, rng)


def dense_network(seed: int, rng: np.random.Generator) -> tuple[Model, Array]:
    """Dense layers with weights of any signs."""
    made = RandomNetwork(seed)
    made.feed(int(rng.integers(2, 12)))
    if rng.random() < 0.3:
        made.drive()
    for _ in range(rng.integers(1, 3)):
        made.dense(
            int(rng.integers(2, 10)),
            signs=str(rng.choice(["mixed", "positive", "negative"])),
            even=bool(rng.random() < 0.5),
            bias=bool(rng.random() < 0.7),
        )
    made.dense(3, operator=str(rng.choice(["CubaLIF", "CubaLI"])))
    return made.model(), made.spikes()


def recurrent_network(seed: int, rng: np.random.Generator) -> tuple[Model, Array]:
    """A recurrent layer and a readout."""
    made = RandomNetwork(seed)
    made.feed(int(rng.integers(2, 12)))
    made.dense(int(rng.integers(2, 10)), recurrent=True, even=bool(rng.random() < 0.5))
    made.dense(4, bias=False)
    return made.model(), made.spikes()


def delay_network(seed: int, rng: np.random.Generator) -> tuple[Model, Array]:
    """Dense layers with delays of all kinds."""
    made = RandomNetwork(seed)
    made.feed(int(rng.integers(2, 8)))
    made.dense(6, delay=str(rng.choice(["scalar", "axons", "targets", "synapses"])))
    made.dense(3, delay=str(rng.choice(["", "synapses"])), signs="positive")
    return made.model(), made.spikes()


def conv_network(seed: int, rng: np.random.Generator) -> tuple[Model, Array]:
    """Convolutions with strides, padding, dilation, groups; then a dense layer."""
    made = RandomNetwork(seed, steps=12)
    made.feed(int(rng.integers(7, 10)), int(rng.integers(6, 9)), 2)
    if rng.random() < 0.3:
        made.drive()
    made.conv(
        4,
        (3, 2),
        strides=(int(rng.integers(1, 3)), 1) if rng.random() < 0.5 else None,
        pads=(1, 0) if rng.random() < 0.5 else None,
        groups=2 if rng.random() < 0.5 else None,
        bias=str(rng.choice(["channel", "neuron"])),
        wide=bool(rng.random() < 0.3),
    )
    made.conv(4, (2, 2), dilations=(1, 2), groups=4, bias="")
    made.dense(3, even=bool(rng.random() < 0.5))
    return made.model(), made.spikes(rate=0.2)


def sigma_delta_network(seed: int, rng: np.random.Generator) -> tuple[Model, Array]:
    """Delta, SigmaDelta (convolution and dense), Sigma."""
    made = RandomNetwork(seed, steps=14)
    images = bool(rng.random() < 0.5)
    made.feed(*((6, 5, 2) if images else (7,)))
    made.drive("Delta")
    if images:
        made.conv(3, (3, 3), operator="SigmaDelta", pads=(1, 1))
    made.dense(5, operator="SigmaDelta", bias=bool(rng.random() < 0.7))
    made.dense(3, operator="Sigma", even=bool(rng.random() < 0.5))
    return made.model(), made.levels()


# Networks of other domains ---------------------------------------------------------------------


def relu_network() -> tuple[Model, dict[str, Any]]:
    """Two dense layers of domain ``ann``, and samples."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("relu")
    x = b.input("x", [6])
    hidden = b.ann.ReLU(b.ann.Dense(x, weight=rng.normal(0, 0.5, (6, 8)), bias=np.full(8, 0.1)))
    b.output("y", b.ann.Dense(hidden, weight=rng.normal(0, 0.5, (8, 3))))
    return b.build(), {"x": rng.random((50, 6), np.float32)}


def recurrent_snn() -> Model:
    """A spiking network as training leaves it: exponential synapses, reset to 0."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("recurrent", steps=30)
    spikes = b.input("spikes", [20], timing="per_step")
    fed = b.snn.Dense(spikes, weight=rng.normal(0, 0.3, (20, 30)))
    synapse = b.snn.ExponentialSynapse(fed, decay=0.8, name="synapse")
    cells = b.snn.LIF(synapse, decay=0.95, reset="to_value", compare=">", name="cells")
    back = b.snn.Dense(cells, weight=rng.normal(0, 0.1, (30, 30)))
    b.connect(back, "synapse", "x", delay_steps=1)
    readout = b.snn.Dense(cells, weight=rng.normal(0, 0.3, (30, 4)))
    potential = b.snn.LeakyIntegrator(readout, decay=0.9, name="readout")
    b.output("class", b.snn.MeanPotential(potential))
    return b.build()


# What networks do --------------------------------------------------------------------------------


def everything(model: Model) -> list[str]:
    """What all neurons send, and their states."""
    neurons = [n for n in model.graph.nodes.values() if n.inputs[0].port == "a_in"]
    states = {
        "CubaLIF": ("u", "v"),
        "CubaLI": ("u", "v"),
        "Delta": ("act", "residue"),
        "SigmaDelta": ("sigma", "act", "residue"),
        "Sigma": ("sigma",),
    }
    return [
        name
        for node in neurons
        for name in (node.values()[0], *(f"{node.name}:{s}" for s in states[node.operator]))
    ]


def reference(model: Model, x: Array, record: list[str]) -> dict[str, Array]:
    """What the reference interpreter makes of it."""
    recording = find_backend("reference").prepare(model).run(x, record=record)
    return {name: recording[name] for name in [*record, *recording.outputs]}


def effective_weights(model: Model) -> dict[str, Array]:
    """What one spike adds to the dendritic input, by synapse."""
    return {
        node.name: node.parameters["weight"].numpy()
        * 2.0 ** int(node.attributes.get("weight_exp", 0))  # type: ignore[arg-type]
        for node in model.graph.nodes.values()
        if "weight" in node.parameters
    }
