"""The operators' formulas as code for GeNN's neurons.

Every statement rounds as the formula says: GeNN's ``scalar`` is the type of the computation, and
the compiler is told not to contract or reorder. Shifts to the right are divisions, because GeNN's
scanner knows ``>>`` only as ``><``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, isinf
from typing import Any, Final

import numpy as np

from snnir.ir.graph import Node
from snnir.ops.schema import OpDef
from snnir.ops.snn.encoders import stream_start
from snnir_converters.genn._plan import Array, Code, Fed, Feed, Population, Variable

_MIX: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_GOLDEN: Final = 0x9E3779B97F4A7C15


@dataclass
class Writer:
    """Writes one node's part of a population's code.

    Attributes:
        population: The population.
        node: The node.
        opdef: Its operator.
        attributes: Its attributes, defaults filled in.
        parameters: Its parameters in the type of the computation, defaults filled in.
        shape: Feature shape of the population.
        prefix: What the node's names in the code begin with.
        inputs: What arrives at each port, as an expression.
        source: Value of the original graph that an encoder encodes.
        step: Expression for the step, from the node's start.
        initial: Statements for every step up to the node's first.
        body: Statements for every step.
        states: Names of variables by name of state.
    """

    population: Population
    node: Node
    opdef: OpDef
    attributes: Mapping[str, Any]
    parameters: Mapping[str, Array]
    shape: tuple[int, ...]
    prefix: str
    inputs: Mapping[str, str]
    source: str = ""
    step: str = "step"
    initial: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> Code:
        """The population's code."""
        return self.population.code

    def line(self, text: str) -> None:
        """Add a statement for every step."""
        self.body.append(text)

    def has(self, parameter: str) -> bool:
        """Whether the node has the parameter."""
        return parameter in self.node.parameters

    def number(self, name: str) -> str:
        """A parameter: what all neurons share, or a variable of each, or its default."""
        values = self.parameters[name]
        if not self.has(name):
            return literal(float(values))
        return self.values(name, values)

    def values(self, name: str, values: Array) -> str:
        """Numbers that broadcast against the features."""
        full = f"{self.prefix}_{name}"
        if values.ndim == 0 or values.size == 1:
            return self.shared(name, float(values.reshape(())), "scalar")
        spread = np.broadcast_to(values, self.shape).reshape(-1)
        return self.variable(name, np.ascontiguousarray(spread), full)

    def shared(self, name: str, value: float, kind: str) -> str:
        """A parameter of the population."""
        full = f"{self.prefix}_{name}"
        self.code.parameters[full] = kind
        self.population.numbers[full] = value
        return full

    def variable(self, name: str, values: Array, full: str = "", kind: str = "scalar") -> str:
        """A read-only variable with these values."""
        full = full or f"{self.prefix}_{name}"
        self.code.variables[full] = Variable(full, kind, True)
        self.population.values[full] = values
        return full

    def state(self, name: str, initial: str, kind: str = "scalar") -> str:
        """A state variable; it has its initial value until the node starts."""
        full = f"{self.prefix}_{name}"
        self.code.variables[full] = Variable(full, kind)
        self.initial.append(f"{full} = {initial};")
        self.states[name] = full
        return full

    def encoded(self, name: str = "x") -> str:
        """The static value that an encoder encodes."""
        full = f"{self.prefix}_{name}"
        self.code.variables[full] = Variable(full, "scalar", True)
        self.population.feeds.append(Feed(Fed.STATIC, full, self.source))
        return full

    def local(self, name: str, expression: str, kind: str = "scalar") -> str:
        """A variable of this step."""
        full = f"{self.prefix}_{name}"
        self.line(f"{kind} {full} = {expression};")
        return full

    def table(self, name: str, values: Array) -> str:
        """An entry of a table in step ``step`` of the node, by :meth:`row`."""
        full = f"{self.prefix}_{name}"
        self.code.tables[full] = "scalar"
        if values.ndim == 1:
            self.population.tables[full] = np.ascontiguousarray(values)
            return f"{full}[{{row}}]"
        rows = values.reshape(
            len(values), *[1] * (len(self.shape) + 1 - values.ndim), *values.shape[1:]
        )
        spread = np.broadcast_to(rows, (len(values), *self.shape))
        self.population.tables[full] = spread.reshape(-1)
        return f"{full}[({{row}} * num_neurons) + id]"


def literal(number: float) -> str:
    """A number in the code, exact in the type of the computation."""
    if isinf(number):
        return "(1.0 / 0.0)" if number > 0 else "(-1.0 / 0.0)"
    return repr(float(number))


def _word(value: int) -> str:
    return f"(((uint64_t){value >> 32}u << 32) | (uint64_t){value & 0xFFFFFFFF}u)"


def _shift(value: str, bits: int) -> str:
    return f"({value} / ((uint64_t)1 << {bits}))"


def _above(w: Writer, u: str, threshold: str) -> str:
    return f"{u} {w.attributes['compare']} {threshold}"


def _fire(w: Writer, u: str, threshold: str) -> str:
    """The part that all spiking neurons share (``FIRE_TEXT`` of the operators)."""
    attributes = w.attributes
    v = w.states["v"]
    if w.has("lower_bound"):
        w.line(f"{u} = fmax({u}, {w.number('lower_bound')});")
    free = ""
    if attributes["refractory_steps"]:
        refractory = w.state("refractory", "0", "int")
        held = w.local("held", f"{refractory}", "const int")
        free = f"{held} <= 0 && "
        if attributes["refractory_mode"] == "hold":
            w.line(f"if ({held} > 0) {{ {u} = {v}; }}")
    spike = w.local("spikes", "0.0")
    w.line(f"if ({free}{_above(w, u, threshold)}) {{ {spike} = 1.0; }}")
    negative = w.has("negative_threshold")
    corrective = attributes["negative_spikes"] == "corrective"
    if negative:
        bound = w.number("negative_threshold")
        sign = "<" if attributes["compare"] == ">=" else "<="
        emitted = w.state("emitted", "0.0")
        allowed = f" && {emitted} > 0.0" if corrective else ""
        w.line(f"else if ({free}{u} {sign} -{bound}{allowed}) {{ {spike} = -1.0; }}")
        w.line(f"{emitted} = {emitted} + {spike};")
    reset = w.number("reset_potential")
    if attributes["reset"] == "subtract":
        step = f"({w.number('threshold')} - {reset})"
        if negative and not corrective:
            w.line(f"if ({spike} > 0.0) {{ {u} = {u} - {step}; }}")
            w.line(f"else if ({spike} < 0.0) {{ {u} = {u} + ({bound} - {reset}); }}")
        else:
            w.line(f"{u} = {u} - ({spike} * {step});")
    elif attributes["reset"] == "to_value":
        w.line(f"if ({spike} != 0.0) {{ {u} = {reset}; }}")
    w.line(f"{v} = {u};")
    if attributes["refractory_steps"]:
        steps = w.shared("refractory_steps", attributes["refractory_steps"], "int")
        w.line(f"{refractory} = ({spike} != 0.0) ? {steps} : max({held} - 1, 0);")
    return spike


def _drive(w: Writer) -> str:
    current = w.inputs["current"]
    return f"({current} * {w.number('gain')})" if w.has("gain") else current


def _potential(w: Writer, decays: bool) -> str:
    """The potential after integration."""
    v = w.state("v", w.number("initial_potential"))
    left = f"({w.number('decay')} * {v})" if decays else v
    u = f"({left} + {_drive(w)})"
    return w.local("u", f"{u} + {w.number('bias')}" if w.has("bias") else u)


def _if(w: Writer) -> str:
    return _fire(w, _potential(w, False), w.number("threshold"))


def _lif(w: Writer) -> str:
    return _fire(w, _potential(w, True), w.number("threshold"))


def _alif(w: Writer) -> str:
    u = _potential(w, True)
    a = w.state("a", "0.0")
    decayed = w.local("adaptation", f"{w.number('adaptation_decay')} * {a}")
    threshold = w.local(
        "raised", f"{w.number('threshold')} + ({w.number('adaptation_strength')} * {decayed})"
    )
    spike = _fire(w, u, threshold)
    w.line(f"{a} = {decayed} + fabs({spike});")
    return spike


def _integrator(w: Writer) -> str:
    u = _potential(w, w.has("decay"))
    w.line(f"{w.states['v']} = {u};")
    return w.states["v"]


def _exponential(w: Writer) -> str:
    i = w.state("i", "0.0")
    current = w.local("current", f"{i} + {w.inputs['x']}")
    w.line(f"{i} = {w.number('decay')} * {current};")
    return current


def _emit_few_spike(w: Writer, row: str) -> str:
    v = w.states["v"]
    tables = {
        name: w.table(name, w.parameters[name]).format(row=row)
        for name in ("threshold", "reset", "weight")
    }
    fired = w.local("fired", "0.0")
    w.line(f"if ({_above(w, v, tables['threshold'])}) {{ {fired} = 1.0; }}")
    w.line(f"{v} = {v} - ({tables['reset']} * {fired});")
    return w.local("spikes", f"{tables['weight']} * {fired}")


def _phase(w: Writer) -> str:
    length = w.shared("phase", len(w.parameters["threshold"]), "int")
    return w.local("row", f"{w.step} % {length}", "const int")


def _few_spike(w: Writer) -> str:
    row = _phase(w)
    v, total = w.state("v", "0.0"), w.state("sum", "0.0")
    w.line(f"if ({row} == 0) {{ {v} = {total} + {w.number('bias')}; {total} = 0.0; }}")
    spikes = _emit_few_spike(w, row)
    w.line(f"{total} = {total} + {w.inputs['current']};")
    return spikes


def _few_spike_encoder(w: Writer) -> str:
    row = _phase(w)
    v = w.state("v", "0.0")
    w.line(f"if ({row} == 0) {{ {v} = {w.encoded()}; }}")
    return _emit_few_spike(w, row)


def _constant(w: Writer) -> str:
    return w.encoded()


def _poisson(w: Writer) -> str:
    start = stream_start(w.attributes["seed"])
    high = w.shared("stream_high", start >> 32, "uint32_t")
    low = w.shared("stream_low", start & 0xFFFFFFFF, "uint32_t")
    count = "(uint64_t)num_neurons"
    index = f"((((uint64_t){w.step} * {count}) + (uint64_t)id) + (uint64_t)1)"
    z = w.local(
        "z",
        f"((((uint64_t){high} << 32) | (uint64_t){low}) + ({index} * {_word(_GOLDEN)}))",
        "uint64_t",
    )
    for bits, factor in _MIX:
        w.line(f"{z} = ({z} ^ {_shift(z, bits)}) * {_word(factor)};")
    w.line(f"{z} = {z} ^ {_shift(z, 31)};")
    draw = w.local("draw", f"(scalar){_shift(z, 40)} * {literal(2.0**-24)}")
    p = w.local("p", f"{w.encoded()} * {w.number('gain')}")
    spike = w.local("spikes", "0.0")
    if w.attributes["signed"]:
        w.line(f"if ({draw} < fabs({p})) {{ {spike} = ({p} < 0.0) ? -1.0 : 1.0; }}")
    else:
        w.line(f"if ({draw} < {p}) {{ {spike} = 1.0; }}")
    return spike


def _latency(w: Writer) -> str:
    x = w.encoded()
    last = w.shared("last", w.attributes["window_steps"] - 1, "scalar")
    due = w.local("due", f"rint((1.0 - fmin(fmax({x}, 0.0), 1.0)) * {last})")
    spike = w.local("spikes", "0.0")
    minimum = w.number("minimum")
    w.line(f"if ({due} == (scalar){w.step} && {x} >= {minimum} && {x} > 0.0) {{ {spike} = 1.0; }}")
    return spike


def _rate(w: Writer) -> str:
    v = w.state("v", w.number("initial_potential"))
    u = w.local("u", f"{v} + ({w.encoded()} * {w.number('gain')})")
    spike = w.local("spikes", "0.0")
    threshold, reset = w.number("threshold"), w.number("reset_potential")
    after = {"subtract": f"{u} - ({threshold} - {reset})", "to_value": reset, "none": u}
    w.line(
        f"if ({_above(w, u, threshold)}) {{ {spike} = 1.0; {u} = {after[w.attributes['reset']]}; }}"
    )
    w.line(f"{v} = {u};")
    return spike


def _scale(w: Writer) -> str:
    return w.local("y", f"{w.inputs['x']} * {w.number('scale')}")


def relay(w: Writer) -> str:
    """Code of a linear node that carries a value from step to step: what arrives is its result."""
    return w.local("y", w.inputs["x"])


def _decode(
    accumulate: Callable[[Writer, str, str], str], initial: float = 0.0
) -> Callable[[Writer], str]:
    """A decoder: one sum over the steps of its window; the answer is computed from it."""

    def emit(w: Writer) -> str:
        x = w.inputs["x"]
        total = w.state("sum", literal(initial))
        start, stop = f"{w.prefix}_start", f"{w.prefix}_stop"
        for name, kind in ((start, Fed.START), (stop, Fed.STOP)):
            w.code.parameters[name] = "int"
            w.population.numbers[name] = 0
            w.population.feeds.append(Feed(kind, name, w.node.name))
        w.line(
            f"if ({w.step} >= {start} && {w.step} < {stop}) "
            f"{{ {total} = {accumulate(w, total, x)}; }}"
        )
        return ""

    return emit


def _weighted(w: Writer, total: str, x: str) -> str:
    table = f"{w.prefix}_weights"
    w.code.tables[table] = "scalar"
    w.population.feeds.append(Feed(Fed.WEIGHTS, table, w.node.name))
    row = f"({w.step} - {w.prefix}_start)"
    tau = w.parameters.get("time_constant")
    if tau is None or tau.size == 1:
        return f"{total} + ({table}[{row}] * {x})"
    return f"{total} + ({table}[({row} * num_neurons) + id] * {x})"


def _sign(w: Writer, total: str, x: str) -> str:
    return f"{total} + (({x} > 0.0) ? 1.0 : (({x} < 0.0) ? -1.0 : 0.0))"


def _first(w: Writer, total: str, x: str) -> str:
    time = f"(scalar)({w.step} - {w.prefix}_start)"
    return f"({total} < 0.0 && {x} != 0.0) ? {time} : {total}"


def _max_pool(w: Writer) -> str:
    """Maximum pooling: every element of the window arrives as a sum of its own.

    Their expressions are the inputs ``0``, ``1``, ... An input ``inside0``, ... tells where an
    element may be missing because of padding.
    """
    count = sum(port.isdecimal() for port in w.inputs)
    rule = w.attributes["rule"]
    elements = [w.inputs[str(number)] for number in range(count)]
    if rule != "any":
        totals = [w.state(f"total{number}", "0.0") for number in range(count)]
        for total, x in zip(totals, elements, strict=True):
            w.line(f"{total} = {total} + {x};")
        del w.states["total0"]
        for number in range(1, count):
            del w.states[f"total{number}"]
    compared = elements if rule == "any" else totals
    peak = w.local("largest", "0.0")
    found = w.local("found", "0", "int")
    winner = w.local("passes", "0.0") if rule == "gated" else ""
    for number in range(count):
        inside = w.inputs.get(f"inside{number}")
        guard = f"{inside} > 0.0 && " if inside else ""
        passed = f" {winner} = {elements[number]};" if winner else ""
        w.line(
            f"if ({guard}({found} == 0 || {compared[number]} > {peak})) "
            f"{{ {peak} = {compared[number]}; {found} = 1;{passed} }}"
        )
    if rule == "any":
        return peak
    if rule == "gated":
        return winner
    before = w.state("peak", "0.0")
    y = w.local("y", f"{peak} - {before}")
    w.line(f"{before} = {peak};")
    return y


Emitter = Callable[[Writer], str]

EMITTERS: Final[Mapping[str, Emitter]] = {
    "snn.IF": _if,
    "snn.LIF": _lif,
    "snn.ALIF": _alif,
    "snn.LeakyIntegrator": _integrator,
    "snn.FewSpike": _few_spike,
    "snn.FewSpikeEncoder": _few_spike_encoder,
    "snn.ExponentialSynapse": _exponential,
    "snn.ConstantCurrent": _constant,
    "snn.PoissonEncoder": _poisson,
    "snn.LatencyEncoder": _latency,
    "snn.RateEncoder": _rate,
    "snn.Scale": _scale,
    "snn.SpikeCount": _decode(_sign),
    "snn.FinalPotential": _decode(lambda w, total, x: x),
    "snn.SumPotential": _decode(lambda w, total, x: f"{total} + {x}"),
    "snn.MeanPotential": _decode(lambda w, total, x: f"{total} + {x}"),
    "snn.MaxPotential": _decode(lambda w, total, x: f"fmax({total}, {x})", -inf),
    "snn.ExponentialPotential": _decode(_weighted),
    "snn.FirstSpikeTime": _decode(_first, -1.0),
    "snn.MaxPool1D": _max_pool,
    "snn.MaxPool2D": _max_pool,
}
"""Code of each operator that neurons carry out, by its name."""

BINARY: Final = frozenset(
    {"snn.IF", "snn.LIF", "snn.ALIF", "snn.LatencyEncoder", "snn.RateEncoder"}
)
"""Operators whose spikes are ones, unless there are negative ones."""


def is_binary(node: Node, attributes: Mapping[str, Any]) -> bool:
    """Whether a node emits nothing but zeros and ones."""
    if node.op == "snn.PoissonEncoder":
        return not attributes["signed"]
    return node.op in BINARY and "negative_threshold" not in node.parameters
