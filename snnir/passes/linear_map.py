"""Sparse matrices with delays: what lies between two populations, whatever operators made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic

Array = npt.NDArray[Any]

INDEX: Final = np.int32
"""Type of sources, targets and delays."""

PIECE: Final = 1 << 20
"""Products that a composition works on at once, unless one synapse makes more of them."""

_SPARE: Final = 4
"""Cells for each product up to which products are summed in cells rather than by sorting."""


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A sparse matrix, an entry a synapse, from flattened features to flattened features.

    ``y(t, j) = sum over k with targets[k] = j of weights[k] * x(t - delays[k], sources[k])``,
    where features are numbered in C order. Entries are in order of source, target, delay, and no
    two agree in all three. Entries whose weight is 0 are entries. Arrays are not to be modified:
    maps share them, also with the model's tensors.

    Attributes:
        inputs: Length of x.
        outputs: Length of y.
        sources: Index into x of each entry, int32.
        targets: Index into y of each entry, int32.
        weights: Weight of each entry, float32 or float64.
        delays: Delay of each entry in steps, int32; None if all are 0.
    """

    inputs: int
    outputs: int
    sources: Array
    targets: Array
    weights: Array
    delays: Array | None = None

    def __post_init__(self) -> None:
        _key_base(self.inputs, self.outputs, self.longest_delay)

    # Making one ------------------------------------------------------------------------------

    @classmethod
    def from_entries(
        cls,
        inputs: int,
        outputs: int,
        sources: Array,
        targets: Array,
        weights: Array,
        delays: Array | None = None,
    ) -> LinearMap:
        """From entries in any order. Those that agree in all but the weight become one.

        Their weights are added in float64, and then all weights are float64; otherwise weights
        keep their type. The arguments are the attributes.

        Raises:
            CapabilityError: If source, target and delay do not fit 63 bits together.
        """
        longest = 0 if delays is None else int(delays.max(initial=0))
        base = _key_base(inputs, outputs, longest)
        keys = _keys(base, sources, targets, delays)
        places: Any = slice(None)
        if np.any(keys[1:] <= keys[:-1]):
            places = np.argsort(keys, kind="stable")
            starts = np.flatnonzero(_firsts(keys[places]))
            weights = weights[places]
            if len(starts) < len(places):
                weights = np.add.reduceat(weights, starts, dtype=np.float64)
                places = places[starts]
        return cls(
            inputs,
            outputs,
            sources[places].astype(INDEX),
            targets[places].astype(INDEX),
            weights,
            None if delays is None else delays[places].astype(INDEX),
        )

    @classmethod
    def diagonal(cls, weights: Array, delays: Array | None = None) -> LinearMap:
        """Each feature times its weight.

        Args:
            weights: A weight for each feature, float32 or float64.
            delays: A delay for each feature, or None.
        """
        places = np.arange(len(weights), dtype=INDEX)
        steps = None if delays is None else delays.astype(INDEX)
        return cls(len(weights), len(weights), places, places, weights, steps)

    @classmethod
    def identity(cls, count: int) -> LinearMap:
        """Every one of ``count`` features as it is."""
        return cls.diagonal(np.ones(count, np.float32))

    # What it is ------------------------------------------------------------------------------

    @property
    def entries(self) -> int:
        """Number of entries."""
        return len(self.weights)

    @property
    def longest_delay(self) -> int:
        """The longest delay in steps; 0 without entries."""
        return 0 if self.delays is None else int(self.delays.max(initial=0))

    @property
    def is_identity(self) -> bool:
        """Whether y = x."""
        if not self.inputs == self.outputs == self.entries or self.longest_delay:
            return False
        places = np.arange(self.inputs, dtype=INDEX)
        return bool(
            np.all(self.weights == 1)
            and np.array_equal(self.sources, places)
            and np.array_equal(self.targets, places)
        )

    @property
    def is_dense(self) -> bool:
        """Whether every source has one entry to every target."""
        if self.entries != self.inputs * self.outputs:
            return False
        if self.delays is None:
            return True
        pairs = _keys(_key_base(self.inputs, self.outputs, 0), self.sources, self.targets, None)
        return bool(_firsts(pairs).all())

    def row_starts(self) -> Array:
        """[inputs + 1], int64: entries row_starts[i] to row_starts[i + 1] - 1 are of source i."""
        counts = np.bincount(self.sources, minlength=self.inputs)
        return np.concatenate([[0], np.cumsum(counts)])

    def to_dense(self) -> Array:
        """The matrix [inputs, outputs], float64.

        Raises:
            ValueError: If there are delays; :meth:`by_delay` takes them apart.
        """
        if self.longest_delay:
            raise ValueError("a matrix has no place for delays")
        matrix = np.zeros((self.inputs, self.outputs))
        matrix[self.sources, self.targets] = self.weights
        return matrix

    def by_delay(self) -> dict[int, LinearMap]:
        """Maps without delays whose delayed results add up to this one's, by ascending delay."""
        if self.delays is None:
            return {0: self}
        order = np.argsort(self.delays, kind="stable")
        delays, starts = np.unique(self.delays[order], return_index=True)
        bounds = np.append(starts, len(order))
        found = {}
        for delay, start, stop in zip(delays, bounds[:-1], bounds[1:], strict=True):
            places = order[start:stop]
            found[int(delay)] = LinearMap(
                self.inputs,
                self.outputs,
                self.sources[places],
                self.targets[places],
                self.weights[places],
            )
        return found

    # Changing it -----------------------------------------------------------------------------

    def scaled(self, factor: Array | float) -> LinearMap:
        """The result times a factor, or a factor for each target; in float64."""
        factors = np.broadcast_to(np.asarray(factor, np.float64), (self.outputs,))
        return replace(self, weights=factors[self.targets] * self.weights)

    def delayed(self, steps: int) -> LinearMap:
        """Every delay longer by ``steps``."""
        if not steps:
            return self
        delays = np.zeros(self.entries, INDEX) if self.delays is None else self.delays
        return replace(self, delays=delays + INDEX(steps))

    def rounded(self) -> LinearMap:
        """With weights rounded to float32."""
        return replace(self, weights=self.weights.astype(np.float32, copy=False))

    def without_zeros(self) -> LinearMap:
        """Without the entries whose weight is 0."""
        kept = self.weights != 0
        if kept.all():
            return self
        return replace(
            self,
            sources=self.sources[kept],
            targets=self.targets[kept],
            weights=self.weights[kept],
            delays=None if self.delays is None else self.delays[kept],
        )

    def plus(self, other: LinearMap) -> LinearMap:
        """The sum of the results of two maps of the same lengths; see :meth:`from_entries`."""
        if (self.inputs, self.outputs) != (other.inputs, other.outputs):
            raise ValueError("the maps differ in their lengths")
        delays = None
        if self.delays is not None or other.delays is not None:
            delays = np.concatenate(
                [
                    np.zeros(part.entries, INDEX) if part.delays is None else part.delays
                    for part in (self, other)
                ]
            )
        return LinearMap.from_entries(
            self.inputs,
            self.outputs,
            np.concatenate([self.sources, other.sources]),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
            delays,
        )

    def then(self, other: LinearMap) -> LinearMap:
        """What ``other`` makes of the result. Weights are multiplied and delays added.

        Products and their sums are float64, so :meth:`rounded` of a chain rounds once. What is
        joined to an identity stays as it is. Time grows with the number of products; memory is at
        most 2.5 times the result, and some 100 bytes for each of :data:`PIECE` products.

        Raises:
            ValueError: If ``other`` does not take as many inputs as there are outputs.
            CapabilityError: If source, target and delay do not fit 63 bits together.
        """
        if self.outputs != other.inputs:
            raise ValueError(f"{self.outputs} outputs, {other.inputs} inputs")
        if self.is_identity:
            return other
        if other.is_identity:
            return self
        delayed = self.delays is not None or other.delays is not None
        base = _key_base(self.inputs, other.outputs, self.longest_delay + other.longest_delay)
        row = base[0] * base[1]
        starts = other.row_starts()
        keys, weights = np.zeros(0, np.int64), np.zeros(0)
        parts = [(*_decode(base, keys), weights)]
        for piece in self._pieces(np.diff(starts)):
            more, products = self._products(piece, other, starts, base)
            keys, weights = _merged(
                np.concatenate([keys, more]), np.concatenate([weights, products]), row
            )
            # The entries of the last source wait: the next piece may have more of them.
            done = int(np.searchsorted(keys, keys[-1] // row * row)) if keys.size else 0
            parts.append((*_decode(base, keys[:done]), weights[:done].copy()))
            keys, weights = keys[done:], weights[done:]
        parts.append((*_decode(base, keys), weights))
        sources, targets, delays, found = (
            np.concatenate([part[field] for part in parts]) for field in range(4)
        )
        return LinearMap(
            self.inputs, other.outputs, sources, targets, found, delays if delayed else None
        )

    def _pieces(self, fan_out: Array) -> Iterator[slice]:
        """Consecutive entries that make at most :data:`PIECE` products, unless one makes more.

        Args:
            fan_out: Products that an entry makes, by its target.
        """
        for start in range(0, self.entries, PIECE):
            ends = np.cumsum(fan_out[self.targets[start : start + PIECE]])
            done = 0
            while done < len(ends):
                before = ends[done - 1] if done else 0
                stop = max(int(np.searchsorted(ends, before + PIECE, side="right")), done + 1)
                yield slice(start + done, start + stop)
                done = stop

    def _products(
        self, piece: slice, other: LinearMap, starts: Array, base: tuple[int, int]
    ) -> tuple[Array, Array]:
        """Keys and weights of all products of a piece's entries with those of ``other``."""
        middle = self.targets[piece]
        counts = starts[middle + 1] - starts[middle]
        ends = np.cumsum(counts)
        mine = np.repeat(np.arange(piece.start, piece.start + len(middle)), counts)
        its = np.arange(ends[-1] if len(ends) else 0)
        its += np.repeat(starts[middle] - ends + counts, counts)
        keys = _keys(base, self.sources[mine], other.targets[its], None)
        for part, places in ((self, mine), (other, its)):
            if part.delays is not None:
                keys += part.delays[places]
        return keys, np.multiply(self.weights[mine], other.weights[its], dtype=np.float64)


# Keys: source, target and delay as one number ------------------------------------------------


def _key_base(inputs: int, outputs: int, longest_delay: int) -> tuple[int, int]:
    """Number of targets and of delays, by which :func:`_keys` numbers entries.

    Raises:
        CapabilityError: If source, target and delay do not fit 63 bits together.
    """
    delays = longest_delay + 1
    if max(inputs, outputs) > np.iinfo(INDEX).max or inputs * outputs * delays >= 1 << 63:
        raise CapabilityError(
            Diagnostic(
                "run.capability",
                "the synapses between two populations",
                f"{inputs} sources, {outputs} targets, delays up to {longest_delay} steps",
                "lengths below 2**31 and a product of all three below 2**63",
            )
        )
    return outputs, delays


def _keys(base: tuple[int, int], sources: Array, targets: Array, delays: Array | None) -> Array:
    """Numbers in the order of source, target, delay; int64."""
    outputs, span = base
    keys = sources.astype(np.int64)
    keys *= outputs
    keys += targets
    keys *= span
    if delays is not None:
        keys += delays
    return keys


def _decode(base: tuple[int, int], keys: Array) -> tuple[Array, Array, Array]:
    """Sources, targets and delays."""
    outputs, span = base
    pairs, delays = np.divmod(keys, span)
    sources, targets = np.divmod(pairs, max(outputs, 1))
    return sources.astype(INDEX), targets.astype(INDEX), delays.astype(INDEX)


def _firsts(keys: Array) -> Array:
    """Which of sorted numbers differ from the one before."""
    first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return first


def _merged(keys: Array, weights: Array, row: int) -> tuple[Array, Array]:
    """Ascending keys, each once, and the sums of their weights.

    Args:
        keys: Keys in any order.
        weights: Their weights, float64.
        row: Keys that one source may have.
    """
    if not keys.size:
        return keys, weights
    low = int(keys.min()) // row * row
    cells = (int(keys.max()) // row + 1) * row - low
    if cells <= _SPARE * len(keys):
        keys = keys - low
        used = np.zeros(cells, np.bool_)
        used[keys] = True
        found = np.flatnonzero(used)
        return found + low, np.bincount(keys, weights, cells)[found]
    order = np.argsort(keys, kind="stable")
    keys, weights = keys[order], weights[order]
    starts = np.flatnonzero(_firsts(keys))
    return keys[starts], np.add.reduceat(weights, starts)
