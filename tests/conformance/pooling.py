"""Cases of pooling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tests.conformance.cases import HAND, RATIONAL, Case, also, same, shared, single
from tests.conformance.exact import Array, Numbers, float32, fractions, total, zeros
from tests.conformance.reference_onnx import ONNX, channels_first, channels_last, onnx_pads, run
from tests.conformance.windows import Rule, inside, pooled

DIVISIBLE = 36
"""Means of up to four, and of six, eight, nine or twelve multiples of it are exact."""

Setting = tuple[str, str, Sequence[int], dict[str, Any]]
"""Name, what, shape of the input, attributes."""

POOL_2D: tuple[Setting, ...] = (
    ("default-strides", "Windows that do not overlap; what is left over at the end is not seen.",
     (5, 7, 2), {"pool_size": (2, 3)}),
    ("overlapping", "Strides below the window's lengths.", (4, 5, 1),
     {"pool_size": (3, 2), "strides": (1, 1)}),
    ("gaps", "Strides above the window's lengths leave elements out.", (5, 5, 1),
     {"pool_size": (1, 2), "strides": (2, 3)}),
    ("same-even", "Even windows: the odd element of padding is at the end.", (3, 4, 1),
     {"pool_size": (2, 4), "strides": (1, 1), "padding": "same"}),
    ("same-strides", "Padding depends on length and stride.", (5, 4, 1),
     {"pool_size": (3, 3), "strides": (2, 3), "padding": "same"}),
    ("same-larger-window", "The window is larger than the input.", (2, 3, 1),
     {"pool_size": (4, 3), "strides": (1, 2), "padding": "same"}),
    ("explicit", "Different padding at every side.", (3, 4, 1),
     {"pool_size": (3, 2), "strides": (1, 2), "padding": "explicit", "pads": (2, 0, 1, 1)}),
    ("ceil", "In ceil_mode a last window counts that reaches beyond the end.", (5, 4, 1),
     {"pool_size": (2, 3), "strides": (2, 2), "ceil_mode": True}),
    ("ceil-drops", "In ceil_mode no window starts beyond input and begin of padding.", (4, 3, 1),
     {"pool_size": (2, 2), "strides": (3, 3), "padding": "explicit", "pads": (1, 1, 1, 1),
      "ceil_mode": True}),
    ("ceil-larger-window", "In ceil_mode a window larger than the input counts.", (2, 3, 1),
     {"pool_size": (3, 4), "strides": (2, 2), "ceil_mode": True}),
    ("ceil-explicit", "In ceil_mode windows may cover input, padding, and what is beyond.",
     (4, 5, 1), {"pool_size": (3, 3), "strides": (2, 3), "padding": "explicit",
                 "pads": (1, 0, 0, 1), "ceil_mode": True}),
)  # fmt: skip

POOL_1D: tuple[Setting, ...] = (
    ("default-stride", "Windows that do not overlap; what is left over is not seen.", (7, 2),
     {"pool_size": (3,)}),
    ("same-even", "Even windows: the odd element of padding is at the end.", (5, 2),
     {"pool_size": (2,), "strides": (1,), "padding": "same"}),
    ("same-stride", "Padding depends on length and stride.", (7, 1),
     {"pool_size": (4,), "strides": (3,), "padding": "same"}),
    ("explicit", "Padding at the begin only.", (4, 1),
     {"pool_size": (3,), "strides": (2,), "padding": "explicit", "pads": (2, 0)}),
    ("ceil", "In ceil_mode a last window counts that reaches beyond the end.", (6, 1),
     {"pool_size": (3,), "strides": (2,), "ceil_mode": True}),
    ("one-element", "A window of one element.", (3, 2), {"pool_size": (1,)}),
)  # fmt: skip

KINDS = {"AveragePool": "average", "SumPool": "sum", "MaxPool": "max"}


def rule_of(attributes: dict[str, Any]) -> Rule:
    """Where the windows lie."""
    sizes = attributes["pool_size"]
    return Rule(
        sizes,
        attributes.get("strides", sizes),
        (1,) * len(sizes),
        attributes.get("padding", "valid"),
        attributes.get("pads"),
        attributes.get("ceil_mode", False),
    )


def onnx_pool(operator: str, x: Array, rule: Rule, include: bool) -> Array:
    """The same by ONNX, whose ceil mode is avoided: what it adds goes into the padding."""
    pads = []
    for a, n in enumerate(x.shape[1:-1]):
        begin, _ = rule.padded(x.shape[1:-1])[a]
        count = rule.counts(x.shape[1:-1])[a]
        end = (count - 1) * rule.strides[a] + rule.sizes[a] - begin - n
        pads.append((begin, max(end, 0)))
        x = np.take(x, range(n + min(end, 0)), a + 1)
    if operator == "MaxPool":  # of maxima it gets the padding wrong
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=-1000)
        pads = [(0, 0)] * len(pads)
    return channels_last(
        run(
            operator,
            channels_first(x),
            kernel_shape=list(rule.sizes),
            strides=list(rule.strides),
            pads=onnx_pads(pads),
            **({"count_include_pad": 1} if include else {}),
        )
    )


def window_cases(operator: str, rank: int, seed: int) -> Iterator[Case]:
    numbers, kind = Numbers(seed), KINDS[operator]
    domains = {"SumPool": ["snn"], "MaxPool": ["ann"]}.get(operator, ["ann", "snn"])
    for name, what, shape, attributes in POOL_1D if rank == 1 else POOL_2D:
        x = numbers.grid((2, *shape))
        if kind == "average":
            x = x * DIVISIBLE
        elif kind == "max":
            x = x - 16  # so that a padding of 0 would win
        rule = rule_of(attributes)
        for include in (False, True) if kind == "average" else (False,):
            padded = any(map(any, rule.padded(shape[:-1]))) or rule.ceil_mode
            if include and not padded:
                continue
            found = pooled(x, rule, kind, include)
            origin = RATIONAL
            if kind != "sum" and not (include and rule.ceil_mode):
                same(found, onnx_pool(operator, x, rule, include), f"{operator}{rank}D/{name}")
                origin = also(RATIONAL, ONNX)
            yield from shared(
                f"{operator}{rank}D",
                f"{name}-include-pad" if include else name,
                f"{what} Padding counts, what is beyond it does not." if include else what,
                x,
                float32(found),
                origin=origin,
                domains=domains,
                count_include_pad=True if include else None,
                **attributes,
            )


def global_cases() -> Iterator[Case]:
    numbers = Numbers(53)
    for rank in (1, 2):
        x = numbers.grid((2, *(3, 4)[:rank], 2)) * DIVISIBLE - 4 * DIVISIBLE
        rows = x.reshape(2, -1, 2)
        places = range(rows.shape[1])
        for operator, domains in (("Average", ["ann", "snn"]), ("Max", ["ann"])):
            found = zeros((2, 2))
            for sample, c in np.ndindex(2, 2):
                elements = [fractions(rows)[sample, place, c] for place in places]
                found[sample, c] = (
                    max(elements) if operator == "Max" else total(elements) / len(elements)
                )
            name = f"Global{operator}Pool"
            wide = x.reshape(2, -1, (1, 4)[rank - 1], 2)  # its maximum is wrong for one axis
            same(found, channels_last(run(name, channels_first(wide)))[:, 0, 0], name)
            yield from shared(
                f"{name}{rank}D",
                "channels",
                "All places of each channel; negative values only.",
                x,
                float32(found),
                origin=also(RATIONAL, ONNX),
                domains=domains,
            )
            yield from shared(
                f"{name}{rank}D",
                "keepdims",
                "The spatial axes stay, with length 1.",
                x,
                float32(found).reshape(2, *(1,) * rank, 2),
                origin=also(RATIONAL, ONNX),
                domains=domains,
                keepdims=True,
            )
            yield from shared(
                f"{name}{rank}D",
                "one-place",
                "Of a single place it is that place.",
                x[(slice(None), *(slice(1),) * rank)],
                x[(slice(None), *(0,) * rank)],
                origin=HAND,
                domains=domains,
            )


# Maximum of spikes ---------------------------------------------------------------------------


def spiking_maximum(x: Any, rule: Rule, kind: str) -> tuple[Array, Array, Array]:
    """Outputs, totals and peaks of one rule, window by window."""
    given = fractions(x)
    lengths = given.shape[2:-1]
    counts = rule.counts(lengths)
    shape = (*given.shape[:2], *counts, given.shape[-1])
    y, totals, peaks = zeros(shape), zeros(given.shape), zeros(shape)
    for sample in range(given.shape[0]):
        for t in range(given.shape[1]):
            if kind != "any":
                for place in np.ndindex(given.shape[2:]):
                    before = totals[(sample, t - 1, *place)] if t else Fraction(0)
                    totals[(sample, t, *place)] = before + given[(sample, t, *place)]
            for place in np.ndindex(shape[2:]):
                *out, c = place
                seen = [s for _, s in rule.taps(lengths, out) if inside(s, lengths)]
                now = [given[(sample, t, *s, c)] for s in seen]
                sums = [totals[(sample, t, *s, c)] for s in seen]
                where = (sample, t, *place)
                if kind == "any":
                    y[where] = max(now)
                elif kind == "gated":
                    y[where] = now[sums.index(max(sums))]
                else:
                    before = peaks[(sample, t - 1, *place)] if t else Fraction(0)
                    peaks[where] = max(sums)
                    y[where] = max(sums) - before
    return y, totals, peaks


def spiking_cases() -> Iterator[Case]:
    numbers = Numbers(54)

    def case(
        op: str,
        name: str,
        what: str,
        x: Any,
        table: Any = None,
        state: bool = False,
        **attributes: Any,
    ) -> Case:
        kind = attributes.get("rule", "cumulative")
        y, totals, peaks = spiking_maximum(x, rule_of(attributes), kind)
        origin = RATIONAL
        if table is not None:
            same(y, table, f"{op}/{name}")
            origin = also(HAND, RATIONAL)
        expected = {"y": float32(y)}
        if state:
            expected |= {"total": float32(totals), "peak": float32(peaks)}
        return single(op, name, what, {"x": x}, expected, origin=origin, **attributes)

    # Two windows of two neurons; the second neuron starts later and overtakes the first.
    train = np.array(
        [[1, 0, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]]
    )
    x = train.T[None, :, :, None].astype(np.float64)

    def outputs(*rows: Sequence[float]) -> Array:
        return np.array(rows, np.float64).T[None, :, :, None]

    pair: dict[str, Any] = {"pool_size": (2,)}
    op = "snn.MaxPool1D"
    yield case(
        op,
        "cumulative",
        "The outputs add up to the largest sum in the window so far.",
        x,
        outputs([1, 0, 1, 0, 1, 1], [0, 1, 0, 1, 0, 0]),
        **pair,
    )
    yield case(
        op,
        "gated",
        "What passes is the spike of the element with the largest sum; of equal sums the first.",
        x,
        outputs([1, 0, 1, 0, 1, 1], [0, 1, 0, 1, 0, 0]),
        rule="gated",
        **pair,
    )
    yield case(
        op,
        "any",
        "What passes is the largest value of this step.",
        x,
        outputs([1, 0, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1]),
        rule="any",
        **pair,
    )
    signed = numbers.spikes((2, 8, 5, 2), 2, True)
    for kind in ("cumulative", "gated", "any"):
        yield case(
            op,
            f"{kind}-signed",
            "Signed spikes and overlapping windows with padding, which never wins.",
            signed,
            None,
            kind == "cumulative",
            rule=kind,
            pool_size=(3,),
            strides=(2,),
            padding="explicit",
            pads=(1, 2),
        )
    op = "snn.MaxPool2D"
    images = numbers.spikes((2, 5, 3, 4, 2), 2)
    for kind in ("cumulative", "gated", "any"):
        yield case(
            op,
            kind,
            "Images of spikes; of equal sums the first in C order decides.",
            images,
            None,
            kind == "cumulative",
            rule=kind,
            pool_size=(2, 2),
        )
        yield case(
            op,
            f"{kind}-same",
            "Graded spikes, windows with padding.",
            numbers.grid((1, 5, 3, 4, 1)),
            rule=kind,
            pool_size=(2, 3),
            strides=(1, 2),
            padding="same",
        )
        yield case(
            op,
            f"{kind}-ceil",
            "In ceil_mode a last window counts that reaches beyond the end.",
            numbers.spikes((1, 4, 3, 3, 1), 2, True),
            rule=kind,
            pool_size=(2, 2),
            ceil_mode=True,
        )
    rules = ("cumulative", "gated", "any")
    for rank, settings in ((1, POOL_1D), (2, POOL_2D)):
        for number, (name, what, shape, attributes) in enumerate(settings):
            yield case(
                f"snn.MaxPool{rank}D",
                f"windows-{name}",
                what,
                numbers.spikes((2, 4, *shape), 2, True),
                rule=rules[number % 3],
                **attributes,
            )
    yield case(
        op,
        "samples-start-anew",
        "The sums start anew with every sample.",
        np.concatenate([images[:1], images[:1]]),
        pool_size=(2, 2),
    )


def cases() -> Iterator[Case]:
    """All cases of this family."""
    for number, operator in enumerate(KINDS):
        yield from window_cases(operator, 1, 55 + number)
        yield from window_cases(operator, 2, 58 + number)
    yield from global_cases()
    yield from spiking_cases()
