"""Where windows lie, and sums over them, one element at a time, from the operators' formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from tests.conformance.exact import Array, exact, fractions, total, zeros


class Rule(NamedTuple):
    """Attributes of a windowed operator, one entry a spatial axis."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    pads: tuple[int, ...] | None = None
    ceil_mode: bool = False

    def padded(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """Padding at begin and end of each axis."""
        found = []
        for a, n in enumerate(lengths):
            reach = (self.sizes[a] - 1) * self.dilations[a] + 1
            if self.padding == "explicit":
                assert self.pads is not None
                found.append((self.pads[2 * a], self.pads[2 * a + 1]))
            elif self.padding == "same":
                out = -(-n // self.strides[a])
                missing = max((out - 1) * self.strides[a] + reach - n, 0)
                found.append((missing // 2, missing - missing // 2))
            else:
                found.append((0, 0))
        return found

    def counts(self, lengths: Sequence[int]) -> list[int]:
        """Length of the output along each axis."""
        found = []
        for a, (n, (begin, end)) in enumerate(zip(lengths, self.padded(lengths), strict=True)):
            reach = (self.sizes[a] - 1) * self.dilations[a] + 1
            span = Fraction(n + begin + end - reach, self.strides[a])
            count = (math.ceil(span) if self.ceil_mode else math.floor(span)) + 1
            if self.ceil_mode and (count - 1) * self.strides[a] >= n + begin:
                count -= 1
            found.append(count)
        return found

    def taps(
        self, lengths: Sequence[int], out: Sequence[int]
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Every tap of a window and the place it sees, which may be outside of the input."""
        pads = self.padded(lengths)
        for tap in itertools.product(*map(range, self.sizes)):
            yield (
                tap,
                tuple(
                    o * s + u * d - begin
                    for o, s, u, d, (begin, _) in zip(
                        out, self.strides, tap, self.dilations, pads, strict=True
                    )
                ),
            )


def inside(place: Sequence[int], lengths: Sequence[int]) -> bool:
    """Whether a place is an element of the input."""
    return all(0 <= i < n for i, n in zip(place, lengths, strict=True))


def convolution(x: Any, weight: Any, rule: Rule, groups: int = 1, bias: Any = None) -> Array:
    """A convolution, by its definition; ``weight`` is ``(*sizes, in / groups, out)``."""
    given, kernels = fractions(x), fractions(weight)
    offsets = None if bias is None else fractions(bias)
    lengths, filters = given.shape[1:-1], kernels.shape[-1]
    per_group = given.shape[-1] // groups
    found = zeros((len(given), *rule.counts(lengths), filters))
    for place in np.ndindex(found.shape):
        sample, *out, j = place
        first = j // (filters // groups) * per_group
        value = total(
            given[(sample, *seen, first + i)] * kernels[(*tap, i, j)]
            for tap, seen in rule.taps(lengths, out)
            if inside(seen, lengths)
            for i in range(per_group)
        )
        found[place] = value if offsets is None else exact(value + offsets[j])
    return found


def depthwise(x: Any, weight: Any, rule: Rule, bias: Any = None) -> Array:
    """A depthwise convolution; ``weight`` is ``(*sizes, in, multiplier)``."""
    given, kernels = fractions(x), fractions(weight)
    offsets = None if bias is None else fractions(bias)
    lengths, multiplier = given.shape[1:-1], kernels.shape[-1]
    found = zeros((len(given), *rule.counts(lengths), given.shape[-1] * multiplier))
    for place in np.ndindex(found.shape):
        sample, *out, j = place
        c, r = divmod(j, multiplier)
        value = total(
            given[(sample, *seen, c)] * kernels[(*tap, c, r)]
            for tap, seen in rule.taps(lengths, out)
            if inside(seen, lengths)
        )
        found[place] = value if offsets is None else exact(value + offsets[j])
    return found


class Transposed(NamedTuple):
    """Attributes of a transposed convolution."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str = "valid"
    pads: tuple[int, ...] | None = None
    output_padding: tuple[int, ...] | None = None

    def axis(self, a: int, n: int) -> tuple[int, int, int]:
        """All that is reached, length of the output, and where it begins."""
        s, reach = self.strides[a], (self.sizes[a] - 1) * self.dilations[a] + 1
        full = (n - 1) * s + reach
        extra = None if self.output_padding is None else self.output_padding[a]
        if self.padding == "explicit":
            assert self.pads is not None
            begin, end = self.pads[2 * a : 2 * a + 2]
            return full, full - begin - end + (extra or 0), begin
        if self.padding == "same":
            out = n * s if extra is None else (n - 1) * s + reach % 2 + extra
            return full, out, max(full - out, 0) // 2
        return full, full + (max(s - reach, 0) if extra is None else extra), 0


def transposed(x: Any, weight: Any, rule: Transposed, bias: Any = None) -> Array:
    """A transposed convolution, every product where it belongs; weight ``(*sizes, out, in)``."""
    given, kernels = fractions(x), fractions(weight)
    axes = [rule.axis(a, n) for a, n in enumerate(given.shape[1:-1])]
    terms: dict[tuple[int, ...], list[Fraction]] = {}
    for sample, *place, c in np.ndindex(given.shape):
        for *tap, j in np.ndindex(kernels.shape[:-1]):
            reached = [
                i * s + u * d - begin
                for i, s, u, d, (_, _, begin) in zip(
                    place, rule.strides, tap, rule.dilations, axes, strict=True
                )
            ]
            terms.setdefault((sample, *reached, j), []).append(
                given[(sample, *place, c)] * kernels[(*tap, j, c)]
            )
    found = zeros((len(given), *(out for _, out, _ in axes), kernels.shape[-2]))
    offsets = None if bias is None else fractions(bias)
    for where in np.ndindex(found.shape):
        value = total(terms.get(where, ()))
        found[where] = value if offsets is None else exact(value + offsets[where[-1]])
    return found


def pooled(x: Any, rule: Rule, kind: str, count_include_pad: bool = False) -> Array:
    """Average, sum or maximum of each window."""
    given = fractions(x)
    lengths = given.shape[1:-1]
    around = rule.padded(lengths)
    found = zeros((len(given), *rule.counts(lengths), given.shape[-1]))
    for place in np.ndindex(found.shape):
        sample, *out, c = place
        seen = [where for _, where in rule.taps(lengths, out)]
        elements = [given[(sample, *where, c)] for where in seen if inside(where, lengths)]
        if kind == "max":
            found[place] = max(elements)
            continue
        value = total(elements)
        if kind == "average":
            counted = sum(
                all(
                    -begin <= i < n + end
                    for i, n, (begin, end) in zip(where, lengths, around, strict=True)
                )
                if count_include_pad
                else inside(where, lengths)
                for where in seen
            )
            value /= counted
        found[place] = value
    return found
