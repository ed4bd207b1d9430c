"""From floats to integers and back: where the host meets the chip."""

from __future__ import annotations

from typing import Final

import numpy as np

from snnir.ir.types import DType
from snnir.ops.schema import (
    Array,
    Attribute,
    Bound,
    Flow,
    InferContext,
    Inputs,
    OpDef,
    Outputs,
    Parameter,
    Port,
    same_shape,
)

_LIMIT: Final = 1 << 23


def _scale(doc: str) -> Parameter:
    return Parameter("scale", doc, default=1.0)


def _end(name: str, default: int) -> Attribute:
    return Attribute(
        name,
        f"The {'smallest' if name == 'minimum' else 'largest'} number that comes out.",
        "int",
        default=default,
        minimum=-_LIMIT,
        maximum=_LIMIT - 1,
    )


def _step_quantize(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    scaled = np.rint(inputs["x"] * bound.parameters["scale"])
    low, high = bound.attributes["minimum"], bound.attributes["maximum"]
    return (np.clip(np.nan_to_num(scaled, nan=0.0), low, high).astype(np.int32),)


def _step_dequantize(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    return (inputs["x"].astype(bound.dtype) * bound.parameters["scale"],)


def _step_send_once(bound: Bound, inputs: Inputs, states: dict[str, Array]) -> Outputs:
    return (inputs["x"] if bound.t == 0 else np.zeros_like(inputs["x"]),)


def _validate_quantize(context: InferContext) -> None:
    low, high = context.attribute("minimum"), context.attribute("maximum")
    if low > high:
        context.report(
            "value.relation", "attribute 'minimum'", str(low), f"at most maximum = {high}"
        )


QUANTIZE: Final = OpDef(
    domain="loihi2",
    name="Quantize",
    summary="Numbers as integers, in units of 1 / scale.",
    flow=Flow.SAME,
    inputs=(Port("x", "What is rounded."),),
    outputs=(Port("y", "The nearest integers.", dtype=DType.INT32),),
    attributes=(_end("minimum", -_LIMIT), _end("maximum", _LIMIT - 1)),
    parameters=(_scale("Units in 1."),),
    formula=(
        "r = x * scale, rounded to the nearest integer, halves to the even one; NaN becomes 0\n"
        "y = r clipped to minimum .. maximum"
    ),
    latex=r"y = \operatorname{clip}(\lfloor s x \rceil)",
    references=("IEEE 754-2019, roundTiesToEven",),
    infer=same_shape("x"),
    step=_step_quantize,
    validate=_validate_quantize,
)

DEQUANTIZE: Final = OpDef(
    domain="loihi2",
    name="Dequantize",
    summary="The numbers that integers stand for.",
    flow=Flow.SAME,
    inputs=(Port("x", "Integers.", dtype=DType.INT32),),
    outputs=(Port("y", "Numbers."),),
    parameters=(_scale("What 1 stands for."),),
    formula="y = x, rounded to the type of the computation, times scale",
    latex=r"y = s x",
    references=("Jacob et al., Quantization and training of neural networks, CVPR 2018, eq. 1",),
    infer=same_shape("x"),
    step=_step_dequantize,
)

SEND_ONCE: Final = OpDef(
    domain="loihi2",
    name="SendOnce",
    summary="A static value as the one message that sigma-delta neurons need of it.",
    flow=Flow.ENCODE,
    inputs=(Port("x", "What is sent.", dtype=DType.INT32),),
    outputs=(Port("message", "x in step 0, otherwise 0.", dtype=DType.INT32),),
    formula="message = x in step 0, and 0 in every later step",
    latex=r"m_t = x\, [t = 0]",
    notes="It is the change of a value that does not change; behind it comes a synapse.",
    references=("O'Connor and Welling, Sigma delta quantized networks, ICLR 2017, section 2",),
    infer=same_shape("x"),
    step=_step_send_once,
)

OPERATORS: Final = (QUANTIZE, DEQUANTIZE, SEND_ONCE)
