r"""Maximum pooling of few-spike codes: a tournament of rectifiers. Exact.

.. math::  \max(a, b) = b + \max(a - b, 0)

Where a and b are codes of the same quantum, so is their difference, and a rectifier of K bits
has no error. A window of n elements takes n - 1 neurons and ceil(log2 n) phases. Every player
of a later round is a sum of elements and of earlier rectifiers, so all that is needed are linear
maps, no other kind of neuron. Padding counts as 0, which no code falls below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnir.ir.builder import Value
from snnir.ir.graph import Binding, Node
from snnir.ir.tensor import Tensor
from snnir.ops.pooling import pool_rule
from snnir.passes.few_spike.tables import Ramp
from snnir.passes.rate.signals import apply

Array = npt.NDArray[Any]
Emit = Callable[[str, Ramp, Sequence[Value], Array], tuple[Value, Array]]
Add = Callable[[Node, Sequence[Value]], Value]


@dataclass(frozen=True)
class Bracket:
    """Who meets whom. Coefficients are for the elements of a window, then all rectifiers.

    Attributes:
        rounds: For each round the differences that are rectified, (rectifiers, coefficients).
        winner: What adds up to the maximum, (1, coefficients).
    """

    rounds: tuple[Array, ...]
    winner: Array


def bracket(size: int) -> Bracket:
    """The tournament of so many elements."""
    unit = np.eye(2 * size - 1, dtype=np.float32)
    players, rounds, used = list(unit[:size]), [], size
    while len(players) > 1:
        pairs = list(zip(players[::2], players[1::2], strict=False))
        rounds.append(np.stack([first - second for first, second in pairs]))
        left = players[2 * len(pairs) :]
        players = [second + unit[used + i] for i, (_, second) in enumerate(pairs)] + left
        used += len(pairs)
    return Bracket(tuple(rounds), players[0][None])


def tournament(
    node: Node,
    value: Value,
    sums: Array,
    ramp: Ramp,
    name: Callable[[str], str],
    add: Add,
    emit: Emit,
) -> tuple[Value, int]:
    """Pool a value whose sums over a phase are codes.

    Args:
        node: The pooling operator, of windows.
        value: The value.
        sums: Its sums over a phase on the calibration samples.
        ramp: The rectifier of its codes; its quantum is a scalar or one for each channel.
        name: A free name for a node, from one that would do.
        add: Adds a stateless node to the network.
        emit: Adds neurons, from their name, tables, currents and the sum of the currents; gives
            what they emit and its sums over a phase.

    Returns:
        The value whose sums over a phase are the maxima, and how many phases later.
    """
    channels = sums.shape[-1]
    axes = pool_rule(lambda key: node.attributes.get(key, _DEFAULTS.get(key))).on(sums.shape[1:-1])
    rank, sizes = len(axes), tuple(axis.size for axis in axes)
    pads = tuple(edge for axis in axes for edge in (axis.begin, axis.reach))
    window: dict[str, Any] = {"strides": tuple(axis.stride for axis in axes)}
    if any(pads):
        window |= {"padding": "explicit", "pads": pads}
    games = bracket(int(np.prod(sizes)))
    players: list[tuple[Value, Array, tuple[int, ...], dict[str, Any]]] = [
        (value, sums, sizes, window)
    ]

    def mixed(coefficients: Array, label: str) -> tuple[list[Value], Array]:
        """Linear maps of all players so far, one output for each row; and the sum of the maps."""
        values: list[Value] = []
        total: Array = np.zeros((), np.float32)
        begin = 0
        for index, (player, array, kernel, attributes) in enumerate(players):
            count = int(np.prod(kernel)) * (array.shape[-1] // channels)
            part = coefficients[:, begin : begin + count]
            begin += count
            if not np.any(part):
                continue
            inputs = array.shape[-1] // channels
            weight = np.tile(part.T.reshape(*kernel, inputs, len(part)), channels)
            linear = Node(
                name(f"{node.name}.{label}{index}"),
                f"snn.Conv{rank}D",
                [Binding("x", "")],
                ("y",),
                {**attributes, "groups": channels},
                {"weight": Tensor.from_array(weight.astype(np.float32))},
                (),
                node.source,
            )
            values.append(add(linear, [player]))
            total = total + apply(linear, [array])
        return values, total

    for number, differences in enumerate(games.rounds):
        currents, total = mixed(differences, f"round{number}.")
        quantum = ramp.quantum
        if quantum.ndim:
            quantum = np.repeat(quantum, len(differences))
        rectifier = Ramp(ramp.start, quantum, ramp.slope, ramp.bits)
        found, sums = emit(f"{node.name}.round{number}", rectifier, currents, total)
        players.append((found, sums, (1,) * rank, {}))
    values, _ = mixed(games.winner, "winner")
    inputs = [Binding("x", "")] * len(values)
    result = Node(node.name, "snn.Add", inputs, ("y",), {}, {}, (), node.source)
    return add(result, values), len(games.rounds)


_DEFAULTS = {"padding": "valid", "ceil_mode": False}
