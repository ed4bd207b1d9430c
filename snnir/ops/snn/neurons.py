"""Neurons: what integrates a current over time and emits spikes or a potential."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from snnir.ir.types import Shape
from snnir.ops.schema import (
    Arity,
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
    State,
    same_shape,
)

CURRENT: Final = Port(
    "current", "Synaptic current of this step; several are added left to right.", Arity.SUM
)
SPIKES: Final = Port("spikes", "1 in a step with a spike, -1 for a negative one, otherwise 0.")

COMPARE: Final = Attribute(
    "compare",
    "How the potential is compared with the threshold.",
    "str",
    default=">=",
    choices=(">=", ">"),
)
RESET: Final = Attribute(
    "reset",
    "What a spike does to the potential: subtract threshold - reset_potential, set it to "
    "reset_potential, or nothing.",
    "str",
    default="subtract",
    choices=("subtract", "to_value", "none"),
)
REFRACTORY: Final = Attribute(
    "refractory_steps",
    "A neuron that spiked in step t cannot spike again before step t + refractory_steps + 1.",
    "int",
    default=0,
    minimum=0,
    maximum=(1 << 31) - 1,
    unit="steps",
)
REFRACTORY_MODE: Final = Attribute(
    "refractory_mode",
    "While refractory the potential is held (input is lost), or goes on integrating.",
    "str",
    default="hold",
    choices=("hold", "integrate"),
)

THRESHOLD: Final = Parameter("threshold", "Threshold of the membrane potential.", default=1.0)
DECAY: Final = Parameter(
    "decay",
    "Factor by which the membrane potential decays in a step, exp(-dt / tau).",
    required=True,
    minimum=0.0,
    maximum=1.0,
    unit="1 per step",
)
BIAS: Final = Parameter("bias", "Constant current added in every step.", default=0.0)
GAIN: Final = Parameter(
    "gain",
    "Factor on the summed current, e.g. 1 - decay; the bias is not scaled.",
    default=1.0,
)
INITIAL: Final = Parameter(
    "initial_potential", "Membrane potential at the start of a presentation.", default=0.0
)
RESET_POTENTIAL: Final = Parameter(
    "reset_potential", "Potential that a spike leads to; see attribute reset.", default=0.0
)
LOWER_BOUND: Final = Parameter(
    "lower_bound",
    "After integration the potential is raised to it; a reset may lead below. Absent: no bound.",
)
NEGATIVE_THRESHOLD: Final = Parameter(
    "negative_threshold",
    "A potential below minus this emits a negative spike; see attribute negative_spikes. Absent: "
    "there are none.",
    minimum=0.0,
)
NEGATIVE_SPIKES: Final = Attribute(
    "negative_spikes",
    "With a negative threshold: negative spikes come freely and are worth negative_threshold, or "
    "each one takes back an earlier positive one and is worth threshold.",
    "str",
    default="free",
    choices=("free", "corrective"),
)

FIRING: Final = (
    THRESHOLD,
    RESET_POTENTIAL,
    INITIAL,
    BIAS,
    GAIN,
    LOWER_BOUND,
    NEGATIVE_THRESHOLD,
)
FIRING_ATTRIBUTES: Final = (RESET, COMPARE, NEGATIVE_SPIKES, REFRACTORY, REFRACTORY_MODE)

POTENTIAL: Final = State(
    "v",
    "Membrane potential, after the reset of the step.",
    "initial_potential",
    lambda bound: bound.filled(_feature(bound), bound.parameters["initial_potential"]),
)
REFRACTORY_LEFT: Final = State(
    "refractory",
    "Steps for which the neuron still cannot spike.",
    "0",
    lambda bound: _zeros_unless_used(bound, bool(bound.attributes["refractory_steps"]), np.int64),
    unit="steps",
)

EMITTED: Final = State(
    "emitted",
    "Sum of the spikes so far; counted if there is a negative_threshold.",
    "0",
    lambda bound: _zeros_unless_used(bound, "negative_threshold" in bound.parameters, bound.dtype),
)

FIRE_TEXT: Final = """\
u = max(u, lower_bound), if there is a lower_bound
held = refractory > 0
where held and refractory_mode is 'hold': u = v
above = u >= threshold (compare '>=') or u > threshold (compare '>')
s = 1 where above and not held, otherwise 0
below = u < -negative_threshold (compare '>=') or u <= -negative_threshold (compare '>')
n = 1 where below and not held and s = 0, otherwise 0; n = 0 without a negative_threshold
negative_spikes 'corrective': n = 0 where emitted <= 0
spikes = s - n
emitted = emitted + spikes, if there is a negative_threshold
w = negative_threshold (negative_spikes 'free') or threshold (negative_spikes 'corrective')
reset 'subtract': v = u - (threshold - reset_potential) where s = 1; \
v = u + (w - reset_potential) where n = 1; otherwise v = u
reset 'to_value': v = reset_potential where s = 1 or n = 1, otherwise v = u
reset 'none': v = u
refractory = refractory_steps where s = 1 or n = 1, otherwise max(refractory - 1, 0)"""

FIRE_LATEX: Final = r"""\begin{aligned}
s_t &= [u_t \ge \theta] & \text{spikes}_t &= s_t \\
v_t &= u_t - (\theta - v_{reset})\, s_t & & \text{(subtract)} \\
v_t &= (1 - s_t)\, u_t + s_t\, v_{reset} & & \text{(to value)}
\end{aligned}"""

ORDER_NOTE: Final = (
    "Statements are executed in the order given, each operation rounded to the type of the "
    "computation; a default gain of 1 and bias of 0 change nothing. A free "
    "negative spike that subtracts leads from -negative_threshold to -reset_potential."
)


def _feature(bound: Bound) -> tuple[int, ...]:
    return bound.shape(bound_port(bound))


def _zeros_unless_used(bound: Bound, used: bool, dtype: npt.DTypeLike) -> Array:
    """Zeros; without memory of their own where nothing is ever written to them."""
    shape = (bound.batch, *_feature(bound))
    return np.zeros(shape, dtype) if used else np.broadcast_to(np.zeros((), dtype), shape)


def bound_port(bound: Bound) -> str:
    """Name of the operator's one input port."""
    return next(iter(bound.input_shapes))


def spread(bound: Bound) -> dict[str, Array]:
    """The parameters, one number for each neuron unless there is one for all.

    Arrays of equal shape are combined in one go; rows of a few channels are not.
    """
    shape = _feature(bound)
    return {
        name: np.ascontiguousarray(np.broadcast_to(array, shape)) if array.ndim else array
        for name, array in bound.parameters.items()
    }


def drive(bound: Bound, current: Array) -> Array:
    """``gain * current``; the bias is added by :func:`add_bias` after the potential."""
    return current * bound.prepared["gain"] if "gain" in bound.node.parameters else current


def add_bias(bound: Bound, u: Array) -> Array:
    """``u + bias``."""
    return u + bound.prepared["bias"] if "bias" in bound.node.parameters else u


def fire(bound: Bound, state: dict[str, Array], u: Array, threshold: Array) -> Array:
    """The part that all spiking neurons share: see ``FIRE_TEXT``. Returns the spikes.

    Args:
        bound: The operator; :func:`spread` has prepared it.
        state: Holds ``v`` (and ``refractory``); both are replaced.
        u: Potential after integration, shape (batch, features); a new array, which is changed.
        threshold: Threshold that holds in this step.
    """
    parameters, attributes = bound.prepared, bound.attributes
    at_least = attributes["compare"] == ">="
    lower = parameters.get("lower_bound")
    if lower is not None:
        u = np.maximum(u, lower)
    refractory_steps = attributes["refractory_steps"]
    held = state["refractory"] > 0 if refractory_steps else None
    if held is not None and attributes["refractory_mode"] == "hold":
        u = np.where(held, state["v"], u)
    fired = u >= threshold if at_least else u > threshold
    if held is not None:
        fired &= ~held
    negative = parameters.get("negative_threshold")
    corrective = attributes["negative_spikes"] == "corrective"
    below = None
    if negative is not None:
        below = (u < -negative if at_least else u <= -negative) & ~fired
        if held is not None:
            below &= ~held
        if corrective:
            below &= state["emitted"] > 0
    signs = fired.view(np.int8)
    if below is not None:
        signs = signs - below.view(np.int8)
    spikes = bound.result(signs)
    if negative is not None:
        state["emitted"] = state["emitted"] + spikes
    reset_potential = parameters["reset_potential"]
    mode = attributes["reset"]
    if mode == "subtract":
        step = parameters["threshold"] - reset_potential
        if below is None or corrective:
            u -= spikes * step
        else:
            u = np.where(fired, u - step, np.where(below, u + (negative - reset_potential), u))
    elif mode == "to_value":
        u = np.where(signs, reset_potential, u)
    state["v"] = u.astype(bound.dtype, copy=False)
    if held is not None:
        state["refractory"] = np.where(
            signs, refractory_steps, np.maximum(state["refractory"] - 1, 0)
        )
    return spikes


def validate_firing(context: InferContext) -> None:
    """Thresholds must lie above the reset potential and the lower bound."""
    threshold, reset = (
        _numbers(context, "threshold", 1.0),
        _numbers(context, "reset_potential", 0.0),
    )
    if context.attribute("reset") != "none" and np.any(threshold <= reset):
        context.report(
            "value.relation",
            "parameter 'threshold'",
            f"a threshold of {np.min(threshold):g} with a reset potential of {np.max(reset):g}",
            "a threshold above the reset potential",
        )
    if context.tensor("lower_bound") is not None:
        lower = _numbers(context, "lower_bound", 0.0)
        if np.any(lower >= threshold):
            context.report(
                "value.relation",
                "parameter 'lower_bound'",
                f"a lower bound of {np.max(lower):g}",
                "a lower bound below the threshold",
            )
    if context.tensor("negative_threshold") is None:
        return
    negative = _numbers(context, "negative_threshold", 0.0)
    if context.attribute("negative_spikes") == "free" and np.any(negative <= 0):
        context.report(
            "value.relation",
            "parameter 'negative_threshold'",
            f"{np.min(negative):g} with free negative spikes",
            "above 0, unless negative_spikes is 'corrective'",
        )


def _numbers(context: InferContext, name: str, default: float) -> npt.NDArray[np.float64]:
    tensor = context.tensor(name)
    return np.asarray(default if tensor is None else tensor.values(), np.float64)


def _step_if(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    u = add_bias(bound, state["v"] + drive(bound, inputs["current"]))
    return (fire(bound, state, u, bound.prepared["threshold"]),)


def _step_lif(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    u = bound.prepared["decay"] * state["v"] + drive(bound, inputs["current"])
    return (fire(bound, state, add_bias(bound, u), bound.prepared["threshold"]),)


def _step_alif(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    parameters: dict[str, Array] = bound.prepared
    u = parameters["decay"] * state["v"] + drive(bound, inputs["current"])
    adaptation = parameters["adaptation_decay"] * state["a"]
    threshold = parameters["threshold"] + parameters["adaptation_strength"] * adaptation
    spikes = fire(bound, state, add_bias(bound, u), threshold)
    state["a"] = adaptation + np.abs(spikes)
    return (spikes,)


def _step_integrator(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    u = bound.prepared["decay"] * state["v"] + drive(bound, inputs["current"])
    state["v"] = add_bias(bound, u)
    return (state["v"],)


def _infer_few_spike(context: InferContext) -> Sequence[Shape]:
    port = context.opdef.inputs[0].name
    shape = context.shape(port)
    steps: set[int] = set()
    for name in ("threshold", "reset", "weight"):
        found = context.parameter_shape(name)
        if not found:
            context.fail("type.shape", f"parameter '{name}'", "no axes", "[K, ...]")
        steps.add(found[0])
        tail = shape[len(shape) - len(found) + 1 :] if len(found) > 1 else ()
        if len(found) - 1 > len(shape) or any(
            have not in (1, want) and not isinstance(want, str)
            for have, want in zip(found[1:], tail, strict=True)
        ):
            context.fail(
                "type.shape",
                f"parameter '{name}'",
                str(list(found)),
                f"[K, ...] that broadcasts against the trailing axes of {list(shape)}",
            )
    if len(steps) != 1 or 0 in steps:
        context.fail(
            "type.shape",
            "parameters 'threshold', 'reset', 'weight'",
            f"K = {', '.join(map(str, sorted(steps)))}",
            "one K of at least 1",
        )
    return [shape]


def _emit_few_spike(bound: Bound, state: dict[str, Array], k: int) -> Array:
    v, threshold = state["v"], bound.parameters["threshold"][k]
    fired = v >= threshold if bound.attributes["compare"] == ">=" else v > threshold
    spikes = fired.astype(bound.dtype)
    state["v"] = v - bound.parameters["reset"][k] * spikes
    worth: Array = bound.parameters["weight"][k] * spikes
    return worth


def _step_few_spike(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    k = bound.t % len(bound.parameters["threshold"])
    if k == 0:
        state["v"] = state["sum"] + bound.parameters["bias"]
        state["sum"] = np.zeros_like(state["sum"])
    y = _emit_few_spike(bound, state, k)
    state["sum"] = state["sum"] + inputs["current"]
    return (y,)


def _step_few_spike_encoder(bound: Bound, inputs: Inputs, state: dict[str, Array]) -> Outputs:
    k = bound.t % len(bound.parameters["threshold"])
    if k == 0:
        state["v"] = inputs["x"].astype(bound.dtype, copy=False)
    return (_emit_few_spike(bound, state, k),)


_FEW_SPIKE_TABLES: Final = (
    Parameter(
        "threshold", "Threshold T[k] in step k of a phase.", shape="[K] or [K, ...]", required=True
    ),
    Parameter(
        "reset",
        "What a spike in step k subtracts from the potential, h[k].",
        shape="[K] or [K, ...]",
        required=True,
    ),
    Parameter(
        "weight", "What a spike in step k is worth, d[k].", shape="[K] or [K, ...]", required=True
    ),
)
_FEW_SPIKE_REFERENCE: Final = (
    "Stöckl and Maass, Optimized spiking neurons can classify images with high accuracy "
    "through temporal coding with two spikes, Nature Machine Intelligence 2021, eqs. 1-3"
)
_GRADED: Final = Port("spikes", "weight[k] in a step with a spike, otherwise 0.")


def _zero_state(name: str, doc: str) -> State:
    return State(name, doc, "0", lambda bound: bound.filled(_feature(bound)))


IF = OpDef(
    domain="snn",
    name="IF",
    summary="Integrate-and-fire neuron without leak.",
    flow=Flow.PER_STEP,
    inputs=(CURRENT,),
    outputs=(SPIKES,),
    attributes=FIRING_ATTRIBUTES,
    parameters=FIRING,
    state=(POTENTIAL, REFRACTORY_LEFT, EMITTED),
    formula="u = (v + gain * current) + bias\n" + FIRE_TEXT,
    latex=r"u_t = v_{t-1} + g I_t + b,\quad " + FIRE_LATEX,
    notes=ORDER_NOTE,
    references=(
        "Rueckauer et al., Conversion of continuous-valued deep networks to efficient "
        "event-driven networks, Frontiers in Neuroscience 2017, eqs. 1-3",
    ),
    infer=same_shape("current"),
    prepare=spread,
    step=_step_if,
    validate=validate_firing,
)

LIF = OpDef(
    domain="snn",
    name="LIF",
    summary="Leaky integrate-and-fire neuron; behind an ExponentialSynapse it is CUBA-LIF.",
    flow=Flow.PER_STEP,
    inputs=(CURRENT,),
    outputs=(SPIKES,),
    attributes=FIRING_ATTRIBUTES,
    parameters=(DECAY, *FIRING),
    state=(POTENTIAL, REFRACTORY_LEFT, EMITTED),
    formula="u = ((decay * v) + (gain * current)) + bias\n" + FIRE_TEXT,
    latex=r"u_t = \alpha v_{t-1} + g I_t + b,\quad " + FIRE_LATEX,
    notes=ORDER_NOTE,
    references=(
        "Gerstner, Kistler, Naud and Paninski, Neuronal Dynamics, 2014, section 1.3, "
        "solved exactly over one step of constant current",
    ),
    infer=same_shape("current"),
    prepare=spread,
    step=_step_lif,
    validate=validate_firing,
)

ALIF = OpDef(
    domain="snn",
    name="ALIF",
    summary="Leaky integrate-and-fire neuron whose threshold rises with every spike.",
    flow=Flow.PER_STEP,
    inputs=(CURRENT,),
    outputs=(SPIKES,),
    attributes=FIRING_ATTRIBUTES,
    parameters=(
        DECAY,
        Parameter(
            "adaptation_decay",
            "Factor by which the adaptation decays in a step, exp(-dt / tau_adapt).",
            required=True,
            minimum=0.0,
            maximum=1.0,
            unit="1 per step",
        ),
        Parameter(
            "adaptation_strength",
            "Rise of the threshold for each unit of adaptation.",
            required=True,
        ),
        *FIRING,
    ),
    state=(
        POTENTIAL,
        REFRACTORY_LEFT,
        EMITTED,
        _zero_state("a", "Adaptation, after the step's spike."),
    ),
    formula=(
        "u = ((decay * v) + (gain * current)) + bias\n"
        "a = adaptation_decay * a\n"
        "the threshold of this step, for comparing only, is "
        "threshold + adaptation_strength * a\n" + FIRE_TEXT + "\na = a + |spikes|"
    ),
    latex=(
        r"a_t = \rho a_{t-1} + |s_t|,\quad \theta_t = \theta + \beta \rho a_{t-1},\quad "
        r"u_t = \alpha v_{t-1} + g I_t + b"
    ),
    notes=ORDER_NOTE + " The reset subtracts the resting threshold, not the raised one.",
    references=(
        "Bellec et al., A solution to the learning dilemma for recurrent networks of spiking "
        "neurons, Nature Communications 2020, eqs. 6-8",
    ),
    infer=same_shape("current"),
    prepare=spread,
    step=_step_alif,
    validate=validate_firing,
)

LEAKY_INTEGRATOR = OpDef(
    domain="snn",
    name="LeakyIntegrator",
    summary="Membrane potential that never spikes; a readout.",
    flow=Flow.PER_STEP,
    inputs=(CURRENT,),
    outputs=(Port("potential", "Membrane potential after the step."),),
    parameters=(
        Parameter(
            "decay",
            "Factor by which the membrane potential decays in a step; 1 integrates without leak.",
            default=1.0,
            minimum=0.0,
            maximum=1.0,
            unit="1 per step",
        ),
        INITIAL,
        BIAS,
        GAIN,
    ),
    state=(POTENTIAL,),
    formula="v = ((decay * v) + (gain * current)) + bias\npotential = v",
    latex=r"v_t = \alpha v_{t-1} + g I_t + b",
    notes=ORDER_NOTE,
    references=("Neuronal Dynamics, 2014, section 1.3, without threshold",),
    infer=same_shape("current"),
    prepare=spread,
    step=_step_integrator,
)

FEW_SPIKE = OpDef(
    domain="snn",
    name="FewSpike",
    summary="Neuron that encodes any activation function in the few spikes of a phase.",
    flow=Flow.PER_STEP,
    inputs=(CURRENT,),
    outputs=(_GRADED,),
    attributes=(COMPARE,),
    parameters=(
        *_FEW_SPIKE_TABLES,
        Parameter("bias", "Added to the potential at the start of each phase.", default=0.0),
    ),
    state=(
        _zero_state("v", "Potential of the current phase."),
        _zero_state("sum", "Input collected for the next phase."),
    ),
    formula=(
        "k = t mod K, where t is the step and K the length of the tables\n"
        "if k = 0: v = sum + bias; sum = 0\n"
        "z = 1 where v >= threshold[k] (or > threshold[k], by compare), otherwise 0\n"
        "v = v - reset[k] * z\n"
        "spikes = weight[k] * z\n"
        "sum = sum + current"
    ),
    latex=(
        r"z_k = [v_k \ge T_k],\quad v_{k+1} = v_k - h_k z_k,\quad y_k = d_k z_k,\quad "
        r"v_0 = b + \sum_{\text{previous phase}} I"
    ),
    notes=(
        "All phases of a graph start at multiples of K, so each layer adds K steps of latency. "
        "Input of one phase is emitted in the next."
    ),
    references=(_FEW_SPIKE_REFERENCE,),
    infer=_infer_few_spike,
    step=_step_few_spike,
)

FEW_SPIKE_ENCODER = OpDef(
    domain="snn",
    name="FewSpikeEncoder",
    summary="Encodes a static value in the few spikes of every phase.",
    flow=Flow.ENCODE,
    inputs=(Port("x", "Value to encode."),),
    outputs=(_GRADED,),
    attributes=(COMPARE,),
    parameters=_FEW_SPIKE_TABLES,
    state=(_zero_state("v", "Potential of the current phase."),),
    formula=(
        "k = t mod K, where t is the step and K the length of the tables\n"
        "if k = 0: v = x\n"
        "z = 1 where v >= threshold[k] (or > threshold[k], by compare), otherwise 0\n"
        "v = v - reset[k] * z\n"
        "spikes = weight[k] * z"
    ),
    latex=r"z_k = [v_k \ge T_k],\quad v_{k+1} = v_k - h_k z_k,\quad y_k = d_k z_k,\quad v_0 = x",
    references=(_FEW_SPIKE_REFERENCE,),
    infer=_infer_few_spike,
    step=_step_few_spike_encoder,
)

OPERATORS: Final = (IF, LIF, ALIF, LEAKY_INTEGRATOR, FEW_SPIKE, FEW_SPIKE_ENCODER)
