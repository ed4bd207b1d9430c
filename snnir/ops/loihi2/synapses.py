"""Synapses with weights of 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from snnir.ir.types import DType, Shape, format_shape
from snnir.ops import dims, kernels
from snnir.ops.dims import per_axis
from snnir.ops.loihi2.common import LAVA, integer
from snnir.ops.schema import (
    Array,
    Attribute,
    Bound,
    Flow,
    InferContext,
    Inputs,
    OpDef,
    Outputs,
    Port,
    State,
)

MAX_DELAY: Final = 62

X: Final = Port("x", "Spikes or graded messages.", dtype=DType.INT32)
A_OUT: Final = Port("a_out", "Dendritic input of the targets.", dtype=DType.INT32)
EXACT: Final[tuple[tuple[np.dtype[Any], int], ...]] = (
    (np.dtype(np.float32), 24),
    (np.dtype(np.float64), 53),
    (np.dtype(np.int64), 63),
)
"""Types by the bits of the integers that they hold exactly; BLAS knows the first two."""

LATENCY_NOTE: Final = (
    "The step that a spike takes on the chip is the delay_steps = 1 of the binding into this "
    "operator."
)


# Exact sums by way of BLAS -------------------------------------------------------------------


class Product:
    """A linear map of integers, computed in the narrowest float type that is exact.

    Args:
        weight: Integer weights, the outputs along the last axis.
        make: Makes the map of a weight of some type.
    """

    def __init__(self, weight: Array, make: Callable[[Array], Callable[[Array], Array]]) -> None:
        flat = np.abs(weight.reshape(-1, weight.shape[-1]).astype(np.int64))
        self._reach = int(flat.sum(axis=0).max(initial=0))
        self._weight = weight
        self._make = make
        self._maps: dict[np.dtype[Any], Callable[[Array], Array]] = {}
        self._shape: tuple[int, ...] | None = None

    def __call__(self, x: Array) -> Array:
        """The map of int32 ``x``, as int64."""
        largest = max(int(x.max(initial=0)), -int(x.min(initial=0)))
        if not largest:  # as in most steps of a sigma-delta network
            if self._shape is None:
                self._shape = self(np.ones_like(x[:1])).shape[1:]
            return np.zeros((len(x), *self._shape), np.int64)
        bits = (self._reach * largest).bit_length()
        kind = next((kind for kind, exact in EXACT if bits <= exact), EXACT[-1][0])
        if kind not in self._maps:
            self._maps[kind] = self._make(self._weight.astype(kind))
        return self._maps[kind](x.astype(kind)).astype(np.int64)


# Dense ---------------------------------------------------------------------------------------


def is_mixed(weight: Array) -> bool:
    """Whether there are weights above and below 0."""
    return bool(weight.size and weight.min() < 0 < weight.max())


def _infer_dense(context: InferContext) -> Sequence[Shape]:
    (inputs,) = context.expect_rank("x", 1)
    weight = context.expect_parameter("weight", (inputs, None))
    if 0 in weight:
        context.fail("type.shape", "parameter 'weight'", format_shape(weight), "lengths above 0")
    delay = context.parameter_shape("delay")
    if delay and (
        len(delay) != 2 or any(d not in (1, w) for d, w in zip(delay, weight, strict=True))
    ):
        allowed = f"[] or a shape that broadcasts to {format_shape(weight)}, with two axes"
        context.fail("type.shape", "parameter 'delay'", format_shape(delay), allowed)
    return [(weight[1],)]


def _validate_dense(context: InferContext) -> None:
    tensor = context.tensor("weight")
    if tensor is None:
        return
    weight = tensor.numpy().astype(np.int64)
    mixed = is_mixed(weight)
    bits: int = context.attribute("num_weight_bits")
    grain = 1 << (8 - bits + mixed)
    if mixed and weight.max() > 254:
        context.report(
            "value.range", "parameter 'weight'", str(weight.max()), "-256 to 254 with both signs"
        )
    if not mixed and weight.min() < -255:
        context.report(
            "value.range", "parameter 'weight'", str(weight.min()), "-255 to 0 with one sign"
        )
    if np.any(weight % grain):
        odd = int(weight[weight % grain != 0][0])
        signs = "both signs" if mixed else "one sign"
        context.report(
            "value.relation",
            "parameter 'weight'",
            f"a weight of {odd}",
            f"multiples of {grain}: weights of {bits} bits with {signs}",
        )


def _prepare_dense(bound: Bound) -> list[tuple[int, Product]]:
    weight = bound.parameters["weight"]
    delays = np.broadcast_to(bound.parameters["delay"], weight.shape)
    return [
        (int(delay), Product(np.where(delays == delay, weight, 0), _matmul))
        for delay in np.unique(delays)
    ]


def _matmul(weight: Array) -> Callable[[Array], Array]:
    return lambda x: x @ weight


def _history(bound: Bound) -> Array:
    longest = int(np.max(bound.parameters["delay"], initial=0))
    length = longest + 1 if longest else 0
    return np.zeros((bound.batch, length, *bound.shape("x")), np.int32)


def _step_dense(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    ring, x = states["history"], inputs["x"]
    length = ring.shape[1]
    if length:
        ring[:, bound.t % length] = x
    exponent = bound.attributes["weight_exp"]
    total: Array | int = 0
    for delay, product in bound.prepared:
        found = product(ring[:, (bound.t - delay) % length] if length else x)
        total = total + (found << exponent if exponent > 0 else found >> -exponent)
    return (np.asarray(total).astype(np.int32),)


DENSE: Final = OpDef(
    domain="loihi2",
    name="Dense",
    summary="Full connection with weights of 8 bits, a common exponent, and delays.",
    flow=Flow.PER_STEP,
    inputs=(X,),
    outputs=(A_OUT,),
    attributes=(
        Attribute(
            "weight_exp",
            "Bits by which each sum is shifted left; to the right if it is below 0.",
            "int",
            default=0,
            minimum=-8,
            maximum=7,
            unit="bits",
        ),
        Attribute(
            "num_weight_bits",
            "Bits that a stored weight has. Nothing depends on it but which weights are allowed.",
            "int",
            default=8,
            minimum=1,
            maximum=8,
            unit="bits",
        ),
    ),
    parameters=(
        integer(
            "weight",
            "Weights. If all are at least 0, or all are at most 0: multiples of "
            "2**(8 - num_weight_bits); otherwise one bit is the sign, they are multiples of "
            "2**(9 - num_weight_bits), and the largest is 254.",
            -256,
            255,
            shape="[in, out]",
        ),
        integer(
            "delay",
            "Delay of each synapse, beyond that of the binding.",
            0,
            MAX_DELAY,
            default=0,
            shape="[], [in, out], [in, 1] (axonal) or [1, out]",
            unit="steps",
        ),
    ),
    state=(
        State(
            "history",
            "Past inputs as a ring: the input of step t is at index t mod (longest delay + 1) of "
            "the first feature axis. Empty without delays.",
            "0",
            _history,
        ),
    ),
    formula=(
        "for each delay d: z_d(t, j) = sum over i with delay[i, j] = d of "
        "weight[i, j] * x(t - d, i), where x is 0 before step 0\n"
        "y_d = z_d * 2**weight_exp, rounded down to an integer\n"
        "a_out = sum over d of y_d, modulo 2**32\n"
        "no weight has more than num_weight_bits bits, its sign included: see parameter weight"
    ),
    latex=r"a_{t,j} = \sum_d \Bigl\lfloor 2^{e} \sum_{i : d_{ij} = d} W_{ij} x_{t-d,i} "
    r"\Bigr\rfloor",
    notes=LATENCY_NOTE
    + " A recurrent connection is this operator between the spikes of a population and its a_in.",
    references=(LAVA + "dense",),
    infer=_infer_dense,
    prepare=_prepare_dense,
    step=_step_dense,
    validate=_validate_dense,
)


# Convolution ---------------------------------------------------------------------------------


def window_rule(attributes: Callable[[str], Any], sizes: Sequence[int]) -> dims.WindowRule:
    """How the windows of a ``Conv2D`` lie.

    Args:
        attributes: Gives an attribute's value, defaults filled in.
        sizes: Height and width of the kernel.
    """
    rows, columns = attributes("pads")
    return dims.WindowRule(
        tuple(sizes),
        attributes("strides"),
        attributes("dilations"),
        "explicit",
        (rows, rows, columns, columns),
    )


def _infer_conv(context: InferContext) -> Sequence[Shape]:
    shape = context.expect_rank("x", 3)
    dims.check_count(context, "pads", context.attribute("pads"), 2)
    groups: int = context.attribute("groups")
    channels = shape[-1]
    if isinstance(channels, int) and channels % groups:
        context.fail(
            "op.attribute", "attribute 'groups'", str(groups), f"a divisor of {channels} channels"
        )
    inputs = channels // groups if isinstance(channels, int) else None
    weight = context.expect_parameter("weight", (None, None, inputs, None))
    if 0 in weight:
        context.fail("type.shape", "parameter 'weight'", format_shape(weight), "lengths above 0")
    if weight[-1] % groups:
        context.fail(
            "op.attribute",
            "attribute 'groups'",
            str(groups),
            f"a divisor of {weight[-1]} filters",
        )
    lengths = dims.window_lengths(context, shape, window_rule(context.attribute, weight[:2]))
    return [(*lengths, weight[-1])]


def _validate_conv(context: InferContext) -> None:
    tensor = context.tensor("weight")
    if tensor is None:
        return
    weight = tensor.numpy().astype(np.int64)
    if not is_mixed(weight):
        return
    narrow = weight.min() >= -128 and weight.max() <= 127
    even = not np.any(weight % 2) and weight.max() <= 254
    if not (narrow or even):
        context.report(
            "value.range",
            "parameter 'weight'",
            f"{weight.min()} to {weight.max()}, with both signs",
            "-128 to 127, or even numbers of -256 to 254",
        )


def _prepare_conv(bound: Bound) -> Product:
    weight = bound.parameters["weight"]
    groups: int = bound.attributes["groups"]
    axes = window_rule(bound.attributes.__getitem__, weight.shape[:2]).on(bound.shape("x")[:2])

    def make(cast: Array) -> Callable[[Array], Array]:
        if groups > 1 and cast.shape[2] == 1:
            taps = cast.reshape(*cast.shape[:2], -1)
            return partial(kernels.convolve_depthwise, taps=taps, axes=axes)
        matrices = kernels.convolution_matrices(cast, groups)
        return partial(kernels.convolve, matrices=matrices, axes=axes)

    return Product(weight, make)


def _step_conv(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    half = 1 << 23
    total: Array = (bound.prepared(inputs["x"]) + half) % (2 * half) - half
    return (total.astype(np.int32),)


def _pair(name: str, doc: str, default: int, unit: str = "elements") -> Attribute:
    return Attribute(
        name, f"{doc}: height, width.", "ints", (default,) * 2, minimum=default, unit=unit
    )


CONV2D: Final = OpDef(
    domain="loihi2",
    name="Conv2D",
    summary="A convolution along height and width with weights of 8 bits.",
    flow=Flow.PER_STEP,
    inputs=(Port("x", X.doc[:-1] + ": [height, width, channels].", dtype=DType.INT32),),
    outputs=(A_OUT,),
    attributes=(
        _pair("strides", "Elements of the input from one output element to the next", 1),
        _pair("dilations", "Elements from one tap of the kernel to the next", 1),
        _pair("pads", "Zeros added at both ends", 0),
        Attribute(
            "groups",
            "Groups into which the channels are split; each output group sees one input group. As "
            "many as channels: a depthwise convolution.",
            "int",
            default=1,
            minimum=1,
        ),
    ),
    parameters=(
        integer(
            "weight",
            "The kernels; they are not flipped. If there are both signs, they are at least -128 "
            "and at most 127, or all even and at most 254.",
            -256,
            255,
            shape="[height, width, in / groups, out]",
        ),
    ),
    formula=(
        f"{dims.spatial_axes(2)}: n_a is the input's length, k_a that of weight, "
        "s_a = strides[a], d_a = dilations[a], K_a = (k_a - 1) * d_a + 1, p_a = pads[a]\n"
        "out_a = floor((n_a + 2 * p_a - K_a) / s_a) + 1\n"
        "z[o_0, o_1, j] = sum over u_0, u_1, i of "
        f"x[{per_axis('o_@ * s_@ + u_@ * d_@ - p_@', 2)}, g * I + i] * weight[u_0, u_1, i, j], "
        "where I = in / groups, g = floor(j / (out / groups)) and x is 0 outside of the input\n"
        "a_out = ((z + 2**23) mod 2**24) - 2**23: it wraps to 24 bits"
    ),
    latex=r"a_{o, j} = \operatorname{wrap}_{24} \sum_{u, i} w_{u, i, j} x_{s o + d u - p, g I + i}",
    notes=LATENCY_NOTE,
    references=(LAVA + "conv",),
    infer=_infer_conv,
    prepare=_prepare_conv,
    step=_step_conv,
    validate=_validate_conv,
)

OPERATORS: Final = (DENSE, CONV2D)
