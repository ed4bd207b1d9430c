"""Shape arithmetic: where windows lie along an axis, and how long outputs are.

A length that depends on a symbol becomes the symbol ``"<node>.<axis>"``, unless it is certain
to be the same length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from snnir.ir.types import Dim, Shape, format_shape
from snnir.ops.schema import Attribute, InferContext

AXIS_NAMES: Final = {1: ("length",), 2: ("height", "width")}
"""Names of the spatial axes, by their number."""

EDGES: Final = {1: "begin, end", 2: "top, bottom, left, right"}
"""The order of numbers that belong to the ends of the spatial axes, by their number."""

Getter = Callable[[str], Any]
"""Gives the value of an attribute, or None if it is absent."""


def per_axis(template: str, rank: int) -> str:
    """The template once a spatial axis, ``@`` replaced by its number, joined by commas."""
    return ", ".join(template.replace("@", str(axis)) for axis in range(rank))


def each_axis(rank: int) -> str:
    """For documentation: the order of numbers that belong to the spatial axes."""
    return f": {', '.join(AXIS_NAMES[rank])}" if rank > 1 else ""


def spatial_axes(rank: int) -> str:
    """For formulas: what ``a`` stands for."""
    names = ", ".join(f"{axis} is the {name}" for axis, name in enumerate(AXIS_NAMES[rank]))
    return f"for each spatial axis a ({names})"


# Windows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Windows:
    """How windows lie along one spatial axis of known length.

    Attributes:
        length: Elements of the input.
        size: Elements (taps) of a window.
        stride: Elements from one window to the next.
        dilation: Elements from one tap to the next.
        begin: Padding before the first element.
        end: Padding after the last element.
        count: Number of windows, i.e. length of the output; below 1 if none fits.
    """

    length: int
    size: int
    stride: int
    dilation: int
    begin: int
    end: int
    count: int

    @property
    def extent(self) -> int:
        """Elements from the first tap to the last, both included."""
        return extent(self.size, self.dilation)

    @property
    def reach(self) -> int:
        """Padding after the last element that the last window needs."""
        last = (self.count - 1) * self.stride + self.extent - self.begin
        return max(last - self.length, 0)


@dataclass(frozen=True)
class WindowRule:
    """What decides how windows lie, one entry a spatial axis.

    Attributes:
        sizes: Taps of a window.
        strides: Elements from one window to the next.
        dilations: Elements from one tap to the next.
        padding: ``"valid"``, ``"same"`` or ``"explicit"``.
        pads: Begin and end of every axis, for ``"explicit"``.
        ceil_mode: Whether a last, incomplete window counts.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str
    pads: tuple[int, ...] | None
    ceil_mode: bool = False

    def keeps(self, axis: int) -> bool:
        """Whether the output is as long as the input, whatever that is."""
        if self.strides[axis] != 1:
            return False
        added = sum(self.pads[2 * axis : 2 * axis + 2]) if self.pads else 0
        return self.padding == "same" or added + 1 == extent(self.sizes[axis], self.dilations[axis])

    def along(self, axis: int, length: int) -> Windows:
        """Where the windows of one axis lie."""
        size, stride, dilation = self.sizes[axis], self.strides[axis], self.dilations[axis]
        reach = extent(size, dilation)
        begin = end = 0
        if self.padding == "same":
            total = max((-(-length // stride) - 1) * stride + reach - length, 0)
            begin, end = total // 2, total - total // 2
        elif self.pads:
            begin, end = self.pads[2 * axis : 2 * axis + 2]
        spare = length + begin + end - reach
        count = spare // stride + 1
        if self.ceil_mode:
            count = -(-spare // stride) + 1
            if (count - 1) * stride >= length + begin:
                count -= 1
        return Windows(length, size, stride, dilation, begin, end, count)

    def on(self, lengths: Sequence[int]) -> tuple[Windows, ...]:
        """Where the windows lie, for an input of these spatial lengths."""
        return tuple(self.along(axis, length) for axis, length in enumerate(lengths))


def extent(size: int, dilation: int) -> int:
    """Elements from the first of ``size`` dilated taps to the last, both included."""
    return (size - 1) * dilation + 1


def window_lengths(context: InferContext, shape: Shape, rule: WindowRule) -> Shape:
    """Output lengths of the spatial axes of a channels-last shape; reports what does not fit."""
    check_rule(context, rule)
    lengths: list[Dim] = []
    for axis in range(len(rule.sizes)):
        length = shape[axis]
        if isinstance(length, str):
            lengths.append(length if rule.keeps(axis) else symbol(context, axis))
            continue
        windows = rule.along(axis, length)
        if windows.count < 1:
            least = windows.extent - windows.begin - windows.end
            if rule.ceil_mode:
                least -= windows.stride - 1
            context.fail(
                "type.shape",
                "input 'x'",
                format_shape(shape),
                f"at least {least} along axis {axis}",
            )
        lengths.append(windows.count)
    return tuple(lengths)


def check_rule(context: InferContext, rule: WindowRule | TransposedRule) -> None:
    """Report attributes that do not suit the number of spatial axes or each other."""
    rank = len(rule.sizes)
    check_count(context, "strides", rule.strides, rank)
    check_count(context, "dilations", rule.dilations, rank)
    if rule.padding == "explicit":
        check_count(context, "pads", rule.pads, 2 * rank)
    elif rule.pads is not None:
        context.fail(
            "op.attribute",
            "attribute 'pads'",
            f"pads with padding '{rule.padding}'",
            "pads only with padding 'explicit'",
        )


def check_count(
    context: InferContext, attribute: str, values: tuple[int, ...] | None, count: int
) -> None:
    """Report an attribute that is not a list of ``count`` numbers."""
    if values is None or len(values) != count:
        found = "nothing" if values is None else f"{len(values)} numbers"
        context.fail("op.attribute", f"attribute '{attribute}'", found, f"{count} numbers")


# Transposed convolution ----------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How a transposed convolution spreads one spatial axis of known length.

    Attributes:
        length: Elements of the input.
        size: Taps of the kernel.
        stride: Elements of the output from one input element to the next.
        dilation: Elements of the output from one tap to the next.
        begin: Elements cropped from the start of all that the taps reach.
        count: Length of the output.
    """

    length: int
    size: int
    stride: int
    dilation: int
    begin: int
    count: int

    @property
    def full(self) -> int:
        """Elements that the taps reach."""
        return (self.length - 1) * self.stride + extent(self.size, self.dilation)


@dataclass(frozen=True)
class TransposedRule:
    """What decides how a transposed convolution spreads, one entry a spatial axis.

    Attributes:
        sizes: Taps of the kernel.
        strides: Elements of the output from one input element to the next.
        dilations: Elements of the output from one tap to the next.
        padding: ``"valid"``, ``"same"`` or ``"explicit"``.
        pads: Elements cropped at begin and end of every axis, for ``"explicit"``.
        output_padding: Elements added to the output, or None for Keras's default.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str
    pads: tuple[int, ...] | None
    output_padding: tuple[int, ...] | None

    def along(self, axis: int, length: int) -> Spread:
        """How one axis is spread."""
        size, stride, dilation = self.sizes[axis], self.strides[axis], self.dilations[axis]
        reach = extent(size, dilation)
        full = (length - 1) * stride + reach
        extra = None if self.output_padding is None else self.output_padding[axis]
        begin = 0
        if self.padding == "same":
            count = length * stride if extra is None else full - reach + reach % 2 + extra
            begin = max(full - count, 0) // 2
        elif self.pads:
            begin, end = self.pads[2 * axis : 2 * axis + 2]
            count = full - begin - end + (extra or 0)
        else:
            count = full + (max(stride - reach, 0) if extra is None else extra)
        return Spread(length, size, stride, dilation, begin, count)

    def on(self, lengths: Sequence[int]) -> tuple[Spread, ...]:
        """How an input of these spatial lengths is spread."""
        return tuple(self.along(axis, length) for axis, length in enumerate(lengths))


def transposed_lengths(context: InferContext, shape: Shape, rule: TransposedRule) -> Shape:
    """Output lengths of the spatial axes of a channels-last shape; reports what does not fit."""
    check_rule(context, rule)
    if rule.output_padding is not None:
        check_count(context, "output_padding", rule.output_padding, len(rule.sizes))
    lengths: list[Dim] = []
    for axis in range(len(rule.sizes)):
        length = shape[axis]
        if isinstance(length, str):
            lengths.append(symbol(context, axis))
            continue
        count = rule.along(axis, length).count
        if count < 1:
            context.fail(
                "type.shape",
                "output 'y'",
                f"{count} along axis {axis}",
                "at least 1 along each axis",
            )
        lengths.append(count)
    return tuple(lengths)


# Any shape -----------------------------------------------------------------------------------


def symbol(context: InferContext, axis: int) -> str:
    """The symbol for the length of an output axis that depends on another symbol."""
    return f"{context.node.name}.{axis}"


def feature_axis(context: InferContext, attribute: str, rank: int) -> int:
    """The feature axis that an attribute names, counted from 0; -1 is the last."""
    axis: int = context.attribute(attribute)
    if not -rank <= axis < rank:
        allowed = f"{-rank} to {rank - 1}" if rank else "nothing: the input has no axes"
        context.fail("op.attribute", f"attribute '{attribute}'", str(axis), allowed)
    return axis % rank


def array_axis(axis: int) -> int:
    """The axis of a batch-first array that is this feature axis; negative ones stay."""
    return axis if axis < 0 else axis + 1


def same_length(a: Dim, b: Dim) -> bool:
    """Whether two lengths may be equal: a symbol may stand for any."""
    return a == b or isinstance(a, str) or isinstance(b, str)


def known(a: Dim, b: Dim) -> Dim:
    """The more exact of two lengths that are equal."""
    return b if isinstance(a, str) and isinstance(b, int) else a


def equal_shapes(context: InferContext, item: str, shapes: Sequence[Shape]) -> Shape:
    """The shape that all have; a finding at ``item`` if they differ."""
    common = shapes[0]
    for shape in shapes[1:]:
        if len(shape) != len(common) or not all(map(same_length, common, shape)):
            found = " and ".join(map(format_shape, shapes))
            context.fail("type.shape", item, found, "equal shapes")
        common = tuple(map(known, common, shape))
    return common


# Attributes that operators share -------------------------------------------------------------


def axis_attribute(doc: str) -> Attribute:
    """The attribute ``axis``, by default the last."""
    order = "counted from 0 without the batch; a negative one from the end"
    return Attribute("axis", f"{doc}, {order}.", "int", default=-1)


PADDING_DOC: Final = (
    '"valid": no padding. "same": as much as makes the output ceil(input / stride) long, the odd '
    'element at the end. "explicit": as pads says.'
)


def padding_attributes(
    rank: int, padding_doc: str = PADDING_DOC, pads_doc: str = "Elements added"
) -> tuple[Attribute, Attribute]:
    """The attributes ``padding`` and ``pads``."""
    return (
        Attribute(
            "padding", padding_doc, "str", default="valid", choices=("valid", "same", "explicit")
        ),
        Attribute(
            "pads",
            f'{pads_doc} at {EDGES[rank]}. Required with padding "explicit", else forbidden.',
            "ints",
            minimum=0,
            unit="elements",
        ),
    )


def strides_attribute(rank: int, doc: str, default: tuple[int, ...] | None) -> Attribute:
    """The attribute ``strides``."""
    text = f"{doc}{each_axis(rank)}."
    return Attribute("strides", text, "ints", default, minimum=1, unit="elements")


def dilations_attribute(rank: int) -> Attribute:
    """The attribute ``dilations``."""
    doc = f"Elements from one tap of the kernel to the next{each_axis(rank)}."
    return Attribute("dilations", doc, "ints", (1,) * rank, minimum=1, unit="elements")


PADDING_FORMULA: Final = """\
if padding is "valid": begin_a = 0; end_a = 0
if padding is "explicit": begin_a = pads[2 * a]; end_a = pads[2 * a + 1]
if padding is "same": total_a = max((ceil(n_a / s_a) - 1) * s_a + K_a - n_a, 0); \
begin_a = floor(total_a / 2); end_a = total_a - begin_a"""
"""How much padding there is along spatial axis a."""

COUNT_FORMULA: Final = "out_a = floor((n_a + begin_a + end_a - K_a) / s_a) + 1"
"""How many windows there are along spatial axis a."""
