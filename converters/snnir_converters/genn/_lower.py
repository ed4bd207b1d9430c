"""From a divided network to a plan for GeNN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.graph import Binding, Node
from snnir.ir.model import Model
from snnir.ir.traversal import producer
from snnir.ops import kernels
from snnir.ops.schema import Array, Flow, start_of
from snnir.passes.linear_map import LinearMap
from snnir.passes.synapses import Convolution, as_convolution, linear_maps, offset
from snnir.runtime.evaluate import bind
from snnir_converters.genn._cells import IDENTITIES, INPUT, POOLS, Cells, Unit, divide
from snnir_converters.genn._operators import EMITTERS, Writer, is_binary, relay
from snnir_converters.genn._plan import (
    Code,
    Connection,
    Dense,
    Fed,
    Feed,
    Pairs,
    Place,
    Plan,
    Population,
    Synapses,
    Variable,
)

Link = LinearMap | tuple[str, int]
"""A linear map, or a node and which of its bindings: made into a map when it is needed."""

Chain = tuple[Link, ...]

MAX_DELAY_STEPS: Final = 65535
"""Longest delay in GeNN, whose delay slots are kept for every population."""


@dataclass
class Sum:
    """What arrives at a port, as a sum.

    Attributes:
        arriving: By cell, delay in steps and first step that counts: from the cell's value.
        steady: By value that is the same in every step and first step that counts.
        offsets: Numbers for each element, and the first step in which they are added.
    """

    arriving: dict[tuple[str, int, int], Chain] = field(default_factory=dict)
    steady: dict[tuple[str, int], Chain] = field(default_factory=dict)
    offsets: list[tuple[Array, int]] = field(default_factory=list)


def lower(model: Model, *, precision: str = "float") -> tuple[Plan, Cells]:
    """The plan of a model.

    Args:
        model: A valid model.
        precision: ``"float"`` or ``"double"``.

    Raises:
        CapabilityError: With all that GeNN cannot carry out.
    """
    plan = Plan(precision=precision)
    cells = divide(model, plan.dtype)
    _Lowering(cells, plan).run()
    return plan, cells


class _Lowering:
    def __init__(self, cells: Cells, plan: Plan) -> None:
        self.cells = cells
        self.plan = plan
        self.nodes = cells.retimed.model.graph.nodes
        self._sums: dict[str, Sum] = {}
        self._maps: dict[str, list[LinearMap]] = {}

    def run(self) -> None:
        """Fill the plan."""
        for entry in self.cells.model.graph.inputs:
            if INPUT + entry.name in self.cells.members:
                self._add_input(entry.name)
        for name, members in self.cells.members.items():
            if members:
                self._add_population(name, members)
        self.plan.connections = [
            replace(connection, graded=not self.plan.populations[connection.source].binary)
            for connection in self.plan.connections
        ]
        self._check_delays()

    # Populations -----------------------------------------------------------------------------

    def _add_input(self, name: str) -> None:
        """A population that emits what a per-step input of the graph says."""
        population = Population(INPUT + name, self.cells.size(name), Code())
        code = population.code
        code.variables["y"] = Variable("y")
        code.variables["offset"] = Variable("offset", "uint64_t", True)
        code.tables["sequence"] = "scalar"
        code.lines = [
            "const uint32_t now = (uint32_t)t;",
            "y = sequence[offset + (now * num_neurons) + id];",
        ]
        code.emission = "y"
        population.feeds.append(Feed(Fed.SEQUENCE, "sequence", name))
        self.plan.populations[population.name] = population

    def _add_population(self, name: str, members: list[str]) -> None:
        value = self.cells.units[members[0]].node.values()[0]
        population = Population(name, self.cells.size(value), Code(), nodes=list(members))
        self.plan.populations[name] = population
        code = population.code
        code.lines.append("const int now = (int)t;")
        steps: dict[int, str] = {}
        outputs: dict[str, str] = {}
        emitted = self.cells.emits.get(name, "")
        for number, member in enumerate(members):
            prefix = f"n{number}"
            start = start_of(self.nodes[member])
            if start not in steps:
                steps[start] = self._step(population, start, len(steps))
            outputs[member] = self._add_node(population, member, prefix, steps[start], outputs)
        if emitted:
            code.emission = outputs[producer(emitted)]
            unit = self.cells.units[producer(emitted)]
            population.binary = is_binary(unit.node, unit.attributes)
            place = self.plan.places[emitted]
            self.plan.places[emitted] = Place(
                place.population, place.variable, place.lag, population.binary
            )

    def _step(self, population: Population, start: int, number: int) -> str:
        if not start:
            return "now"
        item = f"start{number}"
        population.code.parameters[item] = "int"
        population.numbers[item] = start
        population.code.lines.append(f"const int step{number} = now - {item};")
        return f"step{number}"

    def _add_node(
        self, population: Population, name: str, prefix: str, step: str, outputs: dict[str, str]
    ) -> str:
        """Code of one node; returns the variable of its value."""
        unit = self.cells.units[name]
        retimed = self.nodes[name]
        shape = self.cells.shape(unit.node.values()[0])
        inputs: dict[str, str] = {}
        source = ""
        if unit.opdef.flow is Flow.ENCODE:
            source = unit.node.inputs[0].source
        elif unit.node.op in POOLS:
            inputs = self._pool_inputs(population, retimed, prefix)
        elif name in self.cells.relays:
            terms = self._outcome(retimed)
            inputs = {"x": self._add_terms(population, retimed, terms, prefix) or "0.0"}
        else:
            inputs = self._port_inputs(population, retimed, prefix, outputs)
        writer = Writer(
            population=population,
            node=unit.node,
            opdef=unit.opdef,
            attributes=unit.attributes,
            parameters=unit.parameters,
            shape=shape,
            prefix=prefix,
            inputs=inputs,
            source=source,
            step=step,
        )
        emit = relay if name in self.cells.relays else EMITTERS[unit.node.op]
        result = emit(writer)
        code, lag = population.code, self.cells.retimed.lags[name]
        y = ""
        if result:
            y = f"{prefix}_value"
            code.variables[y] = Variable(y)
            writer.line(f"{y} = {result};")
            self.plan.places[unit.node.values()[0]] = Place(population.name, y, lag)
        if writer.initial:
            code.lines.append(f"if (now == 0) {{ {' '.join(writer.initial)} }}")
        if step == "now":
            code.lines += writer.body
        else:
            code.lines += [f"{y} = 0.0;"] if y else []
            code.lines += [f"if ({step} >= 0) {{", *(f"    {line}" for line in writer.body), "}"]
        for state, variable in writer.states.items():
            self.plan.places[f"{name}:{state}"] = Place(population.name, variable, lag)
        return y

    # Inputs of nodes -------------------------------------------------------------------------

    def _port_inputs(
        self, population: Population, node: Node, prefix: str, outputs: dict[str, str]
    ) -> dict[str, str]:
        terms: dict[str, list[str]] = {}
        for number, binding in enumerate(node.inputs):
            terms.setdefault(binding.port, [])
            value = self.cells.base(binding.source)
            inside = self.cells.cell_of.get(producer(value)) == population.name
            if inside and not binding.delay_steps:
                terms[binding.port].append(outputs[producer(value)])
            else:
                found = self._add_terms(
                    population, node, self._arriving(binding), f"{prefix}_{number}"
                )
                terms[binding.port] += [found] if found else []
        return {port: _added(parts) for port, parts in terms.items()}

    def _pool_inputs(self, population: Population, node: Node, prefix: str) -> dict[str, str]:
        """A sum for each element of a window; which are outside, if there are any."""
        (binding,) = node.inputs
        arriving = self._arriving(binding)
        inputs: dict[str, str] = {}
        for number, (window, inside) in enumerate(self._windows(node)):
            part = self._through(arriving, window)
            inputs[str(number)] = (
                self._add_terms(population, node, part, f"{prefix}_{number}") or "0.0"
            )
            if not inside.all():
                item = f"{prefix}_inside{number}"
                population.code.variables[item] = Variable(item, "scalar", True)
                population.values[item] = inside.astype(self.plan.dtype)
                inputs[f"inside{number}"] = item
        return inputs

    def _windows(self, node: Node) -> Iterator[tuple[LinearMap, Array]]:
        """For each place in a window: where it is in the input, and whether it is there."""
        shape = self.cells.shape(node.inputs[0].source)
        out = self.cells.shape(node.values()[0])
        bound = bind(node, {"x": [shape]}, {"y": out}, batch=1, dtype=np.dtype(np.float64))
        count = int(np.prod(shape, dtype=np.int64))
        places = np.arange(1, count + 1, dtype=np.float64).reshape(1, *shape)
        windows = kernels.flat_windows(places, bound.prepared)[0].astype(np.int64) - 1
        for number in range(windows.shape[-2]):
            found = windows[..., number, :].reshape(-1)
            inside = found >= 0
            targets = np.flatnonzero(inside)
            yield (
                LinearMap.from_entries(
                    count,
                    found.size,
                    found[inside].astype(np.int32),
                    targets.astype(np.int32),
                    np.ones(targets.size, np.float32),
                ),
                inside,
            )

    def _add_terms(self, population: Population, node: Node, terms: Sum, prefix: str) -> str:
        """Connections and constants for a sum; the expression of it, or nothing.

        What counts only from some step on is masked, unless the node starts no earlier.
        """
        parts: list[str] = []
        start = start_of(node)
        for number, ((cell, delay, since), chain) in enumerate(terms.arriving.items()):
            synapses = self._synapses(self.cells.emits[cell], chain, population.size)
            if isinstance(synapses, Pairs) and not synapses.weight.size:
                continue
            item = f"{prefix}_in{number}"
            population.code.inputs.append(item)
            self.plan.connections.append(
                Connection(
                    name=f"{cell}>{population.name}:{item}",
                    source=cell,
                    target=population.name,
                    input=item,
                    delay_steps=delay,
                    synapses=synapses,
                    graded=True,
                )
            )
            parts.append(item if since <= start else _from(since, item))
        for number, ((value, since), chain) in enumerate(terms.steady.items()):
            item = f"{prefix}_steady{number}"
            population.code.variables[item] = Variable(item, "scalar", True)
            through = self._map(chain, self.cells.size(value))
            feed = Feed(Fed.STATIC, item, value, None if through.is_identity else through)
            population.feeds.append(feed)
            parts.append(item if since <= start else _from(since, item))
        for number, (values, since) in enumerate(terms.offsets):
            item = f"{prefix}_offset{number}"
            if values.size and (values == values[0]).all():
                population.code.parameters[item] = "scalar"
                population.numbers[item] = float(values[0])
            else:
                population.code.variables[item] = Variable(item, "scalar", True)
                population.values[item] = values.astype(self.plan.dtype)
            parts.append(item if since <= start else _from(since, item))
        return _added(parts) if parts else ""

    # Sums ------------------------------------------------------------------------------------

    def _arriving(self, binding: Binding) -> Sum:
        return self._shifted(self._sum(binding.source), binding.delay_steps)

    def _sum(self, value: str) -> Sum:
        """A value as a sum over cells, constants and offsets."""
        if value in self._sums:
            return self._sums[value]
        found = Sum()
        base = self.cells.base(value)
        cell = self.cells.cell_of_value(base)
        if self.cells.is_constant(base):
            found.steady[base, 0] = ()
        elif cell is not None:
            found.arriving[cell, 0, 0] = ()
        else:
            found = self._outcome(self.nodes[producer(value)])
        self._sums[value] = found
        return found

    def _outcome(self, node: Node) -> Sum:
        """What a linear node makes of its inputs."""
        found = Sum()
        for number, binding in enumerate(node.inputs):
            self._add(found, self._applied(self._arriving(binding), node, number))
        added = self._offset(node)
        if added is not None:
            found.offsets.append((added, start_of(node)))
        return found

    def _applied(self, terms: Sum, node: Node, number: int) -> Sum:
        """A sum that goes through one binding of a linear node."""
        start = start_of(node)
        found = Sum()
        for (cell, delay, since), chain in terms.arriving.items():
            found.arriving[cell, delay, max(since, start)] = chain
        for (value, since), chain in terms.steady.items():
            found.steady[value, max(since, start)] = chain
        found.offsets = [(values, max(since, start)) for values, since in terms.offsets]
        if found.offsets or any(p in node.parameters for p in ("delay_steps",)):
            return self._through(found, self._node_maps(node)[number])
        link: Link = (node.name, number)
        found.arriving = {key: (*chain, link) for key, chain in found.arriving.items()}
        found.steady = {key: (*chain, link) for key, chain in found.steady.items()}
        return found

    def _through(self, terms: Sum, link: LinearMap) -> Sum:
        """A sum that goes through a map, whose delays are taken apart."""
        found = Sum()
        for steps, part in link.by_delay().items():
            shifted = self._shifted(terms, steps)
            applied = Sum()
            for key, chain in shifted.arriving.items():
                applied.arriving[key] = (*chain, part)
            for steady, chain in shifted.steady.items():
                applied.steady[steady] = (*chain, part)
            applied.offsets = [(_product(part, v), since) for v, since in shifted.offsets]
            self._add(found, applied)
        return found

    def _shifted(self, terms: Sum, steps: int) -> Sum:
        if not steps:
            return terms
        return Sum(
            {
                (c, d + steps, since + steps): chain
                for (c, d, since), chain in terms.arriving.items()
            },
            {(value, since + steps): chain for (value, since), chain in terms.steady.items()},
            [(values, since + steps) for values, since in terms.offsets],
        )

    def _add(self, total: Sum, more: Sum) -> None:
        for key, chain in more.arriving.items():
            total.arriving[key] = self._joined(
                total.arriving.get(key), chain, self.cells.emits[key[0]]
            )
        for steady, chain in more.steady.items():
            total.steady[steady] = self._joined(total.steady.get(steady), chain, steady[0])
        total.offsets += more.offsets

    def _joined(self, one: Chain | None, other: Chain, value: str) -> Chain:
        """Two chains from the same value as one."""
        if one is None:
            return other
        size = self.cells.size(value)
        return (self._map(one, size).plus(self._map(other, size)),)

    # Maps ------------------------------------------------------------------------------------

    def _node_maps(self, node: Node) -> list[LinearMap]:
        if node.name not in self._maps:
            unit = self.cells.units[node.name]
            self._maps[node.name] = linear_maps(
                unit.node, unit.opdef, *self._shapes(node), dtype=self.plan.dtype
            )
        return self._maps[node.name]

    def _shapes(self, node: Node) -> tuple[dict[str, list[tuple[int, ...]]], tuple[int, ...]]:
        shapes: dict[str, list[tuple[int, ...]]] = {}
        for binding in node.inputs:
            shapes.setdefault(binding.port, []).append(self.cells.shape(binding.source))
        return shapes, self.cells.shape(node.values()[0])

    def _offset(self, node: Node) -> Array | None:
        unit = self.cells.units[node.name]
        shape = self.cells.shape(node.values()[0])
        return offset(unit.node, unit.opdef, shape, self.plan.dtype)

    def _map(self, chain: Chain, size: int) -> LinearMap:
        found = LinearMap.identity(size)
        for link in chain:
            part = (
                link
                if isinstance(link, LinearMap)
                else self._node_maps(self.nodes[link[0]])[link[1]]
            )
            found = found.then(part)
        return found

    def _synapses(self, value: str, chain: Chain, size: int) -> Synapses:
        found = self._layer(chain) or self._gathered(value, chain)
        if found is not None:
            return found
        link = self._map(chain, self.cells.size(value)).without_zeros()
        weight = link.weights.astype(self.plan.dtype, copy=False)
        if link.is_dense:
            return Dense(weight.reshape(link.inputs, link.outputs))
        return Pairs(link.sources, link.targets, weight)

    def _layer(self, chain: Chain) -> Dense | Convolution | None:
        """A chain that is one layer, perhaps of pooled values: its weights stay as they are."""
        links = [link[0] for link in chain if not isinstance(link, LinearMap)]
        units = [self.cells.units[name] for name in links]
        units = [unit for unit in units if unit.node.op not in IDENTITIES]
        if len(links) < len(chain) or not 1 <= len(units) <= 2:
            return None
        last, shape = units[-1], self._input_shape(units[-1])
        if last.node.op == "snn.Dense" and len(units) == len(shape) == 1:
            return Dense(last.parameters["weight"])
        found = as_convolution(last.node, last.opdef, shape, self.plan.dtype)
        if found is None or len(units) == 1:
            return found
        return found.of_pooled(units[0].node, units[0].opdef, self._input_shape(units[0]))

    def _gathered(self, value: str, chain: Chain) -> Dense | None:
        """A dense layer of values that each come from one of several, as of pooled ones."""
        last = chain[-1] if chain else None
        if last is None or isinstance(last, LinearMap):
            return None
        unit = self.cells.units[last[0]]
        if unit.node.op != "snn.Dense" or len(self._input_shape(unit)) != 1:
            return None
        before = self._map(chain[:-1], self.cells.size(value))
        if before.longest_delay or not (np.diff(before.sources) > 0).all():
            return None
        weight = unit.parameters["weight"]
        rows = np.zeros((before.inputs, weight.shape[1]), self.plan.dtype)
        rows[before.sources] = before.weights[:, np.newaxis] * weight[before.targets]
        return Dense(rows)

    def _input_shape(self, unit: Unit) -> tuple[int, ...]:
        return self.cells.shape(unit.node.inputs[0].source)

    def _check_delays(self) -> None:
        findings = [
            Diagnostic(
                "genn.delay",
                f"connection '{connection.name}'",
                f"{connection.delay_steps} steps",
                f"1 to {MAX_DELAY_STEPS} steps",
                "shorten the delay, or use a longer time step",
            )
            for connection in self.plan.connections
            if connection.delay_steps > MAX_DELAY_STEPS
        ]
        if findings:
            raise CapabilityError(findings)


def _added(parts: Iterable[str]) -> str:
    """A sum from left to right."""
    total = ""
    for part in parts:
        total = f"({total} + {part})" if total else part
    return total or "0.0"


def _from(since: int, item: str) -> str:
    return f"((now >= {since}) ? {item} : 0.0)"


def _product(link: LinearMap, values: Array) -> Array:
    """What a map makes of numbers for each element."""
    products = link.weights.astype(np.float64) * values.astype(np.float64)[link.sources]
    return np.bincount(link.targets, products, minlength=link.outputs)
