"""Random networks and what they are when every activation has K bits, in NumPy alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Model

Array = np.ndarray[Any, Any]
Values = dict[str, Array]


def dyadic(rng: np.random.Generator, shape: tuple[int, ...], unit: float = 0.25) -> Array:
    """Small multiples of a power of two."""
    return (rng.integers(-3, 4, shape) * unit).astype(np.float32)


def quantise(model: Model, name: str, x: Array) -> Array:
    """What the neurons of that name make of a value: rounded to the nearest of their levels."""
    parameters = model.graph.nodes[name].parameters
    reset, threshold = (
        parameters[key].numpy().astype(np.float64) for key in ("reset", "threshold")
    )
    quantum = reset[-1]
    start = threshold[-1] - quantum / 2
    levels = np.floor((x - start) / quantum + 0.5)
    return start + quantum * np.clip(levels, 0, 2 ** len(reset) - 1)


def convolved(x: Array, weight: Array, depthwise: bool = False) -> Array:
    """A convolution of kernel 3 with zeros around."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    total: Any = 0.0
    for i in range(3):
        for j in range(3):
            seen = padded[:, i : i + height, j : j + width]
            total = total + (seen * weight[i, j, :, 0] if depthwise else seen @ weight[i, j])
    return np.asarray(total)


def blocks(x: Array) -> Array:
    """Windows of two by two, on the axes 2 and 4."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels)


def overlapping_max(x: Array) -> Array:
    """The maximum of three by three elements around each."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    height, width = x.shape[1:3]
    seen = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.asarray(np.max(seen, axis=0))


class Net:
    """A network under construction, and beside it the same in NumPy.

    Attributes:
        steps: What to compute, in order: fills in values by name, given the spiking network for
            the levels of its neurons.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = GraphBuilder("net")
        self.steps: list[Callable[[Model, Values], None]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        """A graph input."""
        self.shapes[name] = shape
        return self.builder.input(name, shape)

    def node(self, op: str, values: list[Value], function: Any, **arguments: Any) -> Value:
        """A node, and the function of its inputs (and of its name, with the spiking network)."""
        many = op in ("Add", "Concat")
        out: Value = self.builder.add(f"ann.{op}", *([values] if many else values), **arguments)
        name = out.name.partition(":")[0]
        self.shapes[out.name] = tuple(int(d) for d in self.builder.types[out.name].shape)

        def step(model: Model, found: Values) -> None:
            arrays = [found[value.name] for value in values]
            found[out.name] = function(model, name, *arrays)

        self.steps.append(step)
        return out

    def linear(self, value: Value) -> Value:
        """A convolution, plain or of each channel alone, with bias."""
        channels = self.shapes[value.name][-1]
        if self.rng.random() < 0.3:
            weight = dyadic(self.rng, (3, 3, channels, 1))
            bias = dyadic(self.rng, (channels,), 0.125)
            kind, depthwise = "DepthwiseConv2D", True
        else:
            filters = int(self.rng.integers(1, 4))
            weight = dyadic(self.rng, (3, 3, channels, filters))
            bias = dyadic(self.rng, (filters,), 0.125)
            kind, depthwise = "Conv2D", False
        return self.node(
            kind,
            [value],
            lambda m, n, x: convolved(x, weight.astype(np.float64), depthwise) + bias,
            weight=weight,
            bias=bias,
            padding="same",
        )

    def relu(self, value: Value) -> Value:
        """Rectification: quantised."""
        return self.node("ReLU", [value], quantise)

    def pool(self, value: Value) -> Value:
        """Average or maximum pooling, with or without overlap."""
        shape, kind = self.shapes[value.name], int(self.rng.integers(3))
        if kind == 2 or shape[0] % 2:
            return self.node(
                "MaxPool2D",
                [value],
                lambda m, n, x: overlapping_max(coded(m, n, x)),
                pool_size=[3, 3],
                strides=[1, 1],
                padding="same",
            )
        if kind == 1:
            return self.node(
                "MaxPool2D",
                [value],
                lambda m, n, x: blocks(coded(m, n, x)).max((2, 4)),
                pool_size=[2, 2],
            )
        return self.node(
            "AveragePool2D", [value], lambda m, n, x: blocks(x).mean((2, 4)), pool_size=[2, 2]
        )

    def join(self, first: Value, second: Value) -> Value:
        """A residual, a difference or channels side by side."""
        same = self.shapes[first.name] == self.shapes[second.name]
        kind = int(self.rng.integers(3)) if same and first != second else 2
        if kind == 0:
            return self.node("Add", [first, second], lambda m, n, x, y: x + y)
        if kind == 1:
            return self.node("Subtract", [first, second], lambda m, n, x, y: x - y)
        return self.node(
            "Concat", [first, second], lambda m, n, x, y: np.concatenate([x, y], axis=-1)
        )

    def evaluate(self, model: Model, inputs: Values) -> Values:
        """All values, in float64, with the levels of the neurons of the spiking network."""
        found = {name: array.astype(np.float64) for name, array in inputs.items()}
        for step in self.steps:
            step(model, found)
        return found


def coded(model: Model, name: str, x: Array) -> Array:
    """What maximum pooling sees: codes, if what arrives has to be made some first."""
    codes = f"{name}.codes"
    return quantise(model, codes, x) if codes in model.graph.nodes else x


def random_net(seed: int, length: int) -> tuple[Net, list[str]]:
    """A random network of so many nodes, with skips, and the values that are its outputs.

    Those are linear maps of every value that nothing uses, and of one from the middle.
    """
    net = Net(seed)
    values = [net.input("x", (4, 4, 2))]
    for _ in range(length):
        value = values[int(net.rng.integers(max(len(values) - 3, 0), len(values)))]
        kind = int(net.rng.integers(6))
        if kind == 0 and net.shapes[value.name][0] > 1:
            values.append(net.pool(value))
        elif kind == 1:
            shape = net.shapes[value.name][:2]
            others = [v for v in values if net.shapes[v.name][:2] == shape]
            other = others[int(net.rng.integers(len(others)))]
            values.append(net.join(value, other))
        elif kind == 2:
            values.append(net.linear(value))
        else:
            values.append(net.relu(net.linear(value)))
    used = {b.source for node in net.builder.graph.nodes.values() for b in node.inputs}
    outputs = [value.name for value in values if value.name not in used]
    linear = []
    for index, name in enumerate([*outputs, values[len(values) // 2].name]):
        # Behind a linear layer, so that no activation is kept as a head
        value = net.linear(Value(name))
        net.builder.output(f"y{index}", value)
        linear.append(value.name)
    return net, linear
