"""A plan as a script: text, weights and a page that explains them.

The script has three parts: this network (written here), what every network is made of
(the text of :mod:`snnir_converters.genn._models`), and how one is built and run (the text of
:mod:`snnir_converters.genn._runtime`).
"""

from __future__ import annotations

import ast
import importlib.resources
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from snnir.errors import CapabilityError, Diagnostic
from snnir.ir.graph import GraphInput
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.types import NUMPY
from snnir.ops.schema import Array
from snnir.passes.synapses import Convolution
from snnir_converters.genn._cells import Cells
from snnir_converters.genn._engine import convolution_parameters
from snnir_converters.genn._host import Host, Sheet, names_key, quoted
from snnir_converters.genn._install import INSTALLATION
from snnir_converters.genn._lower import lower
from snnir_converters.genn._models import CPU
from snnir_converters.genn._plan import (
    Connection,
    Dense,
    Fed,
    Plan,
    Population,
    Variable,
    genn_name,
)

SCRIPT: Final = "network.py"
WEIGHTS: Final = "weights.npz"
README: Final = "README.md"

MARK: Final = '"""A spiking network for PyGeNN, written by snnir.'
"""What every script begins with."""


@dataclass(frozen=True)
class Script:
    """What is written.

    Attributes:
        text: The script.
        weights: Arrays that it loads, by name.
        readme: The page that explains it.
    """

    text: str
    weights: Mapping[str, Array]
    readme: str


def write_script(model: Model, *, precision: str = "float") -> Script:
    """The script of a model; the same model gives the same script.

    Args:
        model: A valid model.
        precision: ``"float"`` or ``"double"``.

    Raises:
        CapabilityError: With all that GeNN, or the script's host part, cannot carry out.
    """
    plan, cells = lower(model, precision=precision)
    return _Writer(model, plan, cells).script()


def comment(text: str) -> str:
    """Text that stays a comment, or a line, whatever names it holds."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass
class _Writer:
    model: Model
    plan: Plan
    cells: Cells
    sheet: Sheet = field(default_factory=Sheet)

    def script(self) -> Script:
        host = Host(self.model, self.plan, self.cells, self.sheet)
        findings: list[Diagnostic] = []
        if not self.plan.populations:
            findings.append(
                Diagnostic("genn.script", "graph", "no neurons", "a network with neurons")
            )
        build, run = self._build(), self._run(host)
        findings += host.findings
        if findings:
            raise CapabilityError(findings)
        text = "\n".join(
            [
                *self._head(),
                *build,
                *run,
                *("", ""),
                _body("_models.py"),
                _body("_runtime.py"),
                *(
                    "",
                    "",
                    'if __name__ == "__main__":',
                    "    main(build, run, INPUTS, OUTPUTS)",
                    "",
                ),
            ]
        )
        return Script(text, self.sheet.arrays, self._readme(host))

    # Head ------------------------------------------------------------------------------------

    def _head(self) -> list[str]:
        graph, time = self.model.graph, self.model.time
        lines = [
            f"{MARK}",
            "",
            "build() makes the network, run() presents samples to it. On the command line:",
            "",
            f"    python {SCRIPT} inputs.npz -o outputs.npz",
            "",
            f"See {README}.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            *_imports(),
            "",
            comment(f"# The network {graph.name!r}; a step stands for {time.dt!r} s."),
            "",
            f'PRECISION = "{self.plan.precision}"',
            f"STEPS = {time.steps}  # presentation length, unless a run or its inputs say another",
            "",
            "INPUTS: dict[str, dict[str, Any]] = {",
        ]
        for entry in graph.inputs:
            lines += [
                f"    {quoted(entry.name)}: {{",
                f'        "dtype": "{NUMPY[entry.type.dtype].name}",',
                f'        "shape": {self.cells.shape(entry.name)!r},',
                f'        "layout": {quoted(entry.layout)},',
                f'        "per_step": {entry.type.is_per_step},',
                "    },",
            ]
        lines += ["}", "OUTPUTS: dict[str, dict[str, Any]] = {"]
        for output in graph.outputs:
            lines += [
                f"    {quoted(output.name)}: {{",
                f'        "shape": {self.cells.shape(output.value)!r},',
                f'        "labels": [{", ".join(map(quoted, output.labels))}],',
                f'        "per_step": {self.cells.types[output.value].is_per_step},',
                "    },",
            ]
        return [*lines, "}"]

    # Building --------------------------------------------------------------------------------

    def _build(self) -> list[str]:
        lines = [
            "",
            "",
            f'def build(genn_backend: str = "{CPU}", folder: str | None = None) -> Network:',
            '    """Make the network and compile it, in a folder that is given or goes with it."""',
            "    w = load_weights(__file__)",
            "    network = Network(PRECISION, genn_backend)",
        ]
        for population in self.plan.populations.values():
            lines += self._population(population)
        used: dict[str, int] = {}
        for connection in self.plan.connections:
            lines += self._connection(connection, used)
        return [*lines, "", "    network.compile(folder)", "    return network"]

    def _population(self, population: Population) -> list[str]:
        code = population.code
        run = {feed.item for feed in population.feeds if feed.kind in (Fed.START, Fed.STOP)}
        name = genn_name(population.name)
        lines = [
            "",
            *self._about(population),
            "    network.add_neurons(",
            f"        {quoted(population.name)},",
            f"        {population.size},",
            f'        "{name}",',
            '        code="""',
            *(f"            {line}" for line in code.text.splitlines()),
            '        """,',
        ]
        if code.emission:
            lines.append(f'        emits="{code.emission}",')
        if code.inputs:
            lines.append(f"        receives=[{', '.join(map(quoted, code.inputs))}],")
        numbers = {
            item: f'("{kind}", {_number(population.numbers[item], kind)})'
            for item, kind in code.parameters.items()
            if item not in run
        }
        lines += _mapping("numbers", numbers)
        lines += _mapping(
            "run_numbers",
            {item: f'"{kind}"' for item, kind in code.parameters.items() if item in run},
        )
        variables = code.variables.values()
        lines += _mapping("state", {v.name: f'"{v.type}"' for v in variables if not v.read_only})
        fixed = {
            v.name: f'("{v.type}", {self._fixed(population, v)})' for v in variables if v.read_only
        }
        lines += _mapping("fixed", fixed)
        tables = {
            item: self.sheet.keep(f"{name}.{item}", population.tables[item].astype(self.plan.dtype))
            if item in population.tables
            else "None"
            for item in code.tables
        }
        return [*lines, *_mapping("tables", tables), "    )"]

    def _fixed(self, population: Population, variable: Variable) -> str:
        values = population.values.get(variable.name)
        if values is None:
            return "0"
        return self.sheet.keep(f"{genn_name(population.name)}.{variable.name}", values)

    def _about(self, population: Population) -> list[str]:
        """Comments that say what a population is."""
        if not population.nodes:
            return [comment(f"    # {population.name}: emits what the input says.")]
        lines = []
        for node in population.nodes:
            unit, lag = self.cells.units[node], self.cells.retimed.lags[node]
            source = f", from layer {unit.node.source!r}" if unit.node.source else ""
            late = f"; its lag behind the model is {_steps(lag)}" if lag else ""
            lines.append(comment(f"    # Node {node!r} ({unit.node.op}{source}){late}."))
        return lines

    def _connection(self, connection: Connection, used: dict[str, int]) -> list[str]:
        key = f"{genn_name(connection.source)}_to_{genn_name(connection.target)}"
        used[key] = number = used.get(key, 0) + 1
        if number > 1:
            key = f"{key}_no{number}"
        how = [
            f'        adds_to="{connection.input}",',
            f"        delay={connection.delay_steps},",
            f"        graded={connection.graded},",
            "    )",
        ]
        synapses = connection.synapses
        if isinstance(synapses, Convolution):
            kind = "convolution"
            sizes = convolution_parameters(synapses, CPU)
            del sizes["span"]
            weights = [
                f"        {self.sheet.keep(key, np.ascontiguousarray(synapses.kernel))},",
                f"        dict({', '.join(f'{item}={size}' for item, size in sizes.items())}),",
            ]
        elif isinstance(synapses, Dense):
            kind = "dense"
            weights = [f"        {self.sheet.keep(key, np.ascontiguousarray(synapses.weight))},"]
        else:
            kind = "pairs"
            arrays = (synapses.sources, synapses.targets, synapses.weight)
            weights = [f"        {self.sheet.keep_pairs(key, *arrays)},"]
        return [
            "",
            f"    network.connect_{kind}(",
            f'        "{key}",',
            f"        {quoted(connection.source)},",
            f"        {quoted(connection.target)},",
            *weights,
            *how,
        ]

    # Running ---------------------------------------------------------------------------------

    def _run(self, host: Host) -> list[str]:
        lines = [
            "",
            "",
            "def run(x: Any, *, steps: int | None = None, network: Network | None = None) -> "
            "dict[str, Any]:",
            '    """Present samples to the network.',
            "",
            "    Args:",
            "        x: An array, samples first, or one for each input by its name; see INPUTS.",
            "        steps: Presentation length.",
            "        network: What build() made; without, it is built.",
            "",
            "    Returns:",
            "        Outputs by name, samples first; see OUTPUTS.",
            '    """',
            "    network = network or build()",
            "    w = load_weights(__file__)",
            "    inputs, samples, steps = given(x, INPUTS, steps, STEPS)",
            "",
            "    # Before the network: inputs as the network sees them, and what does not change "
            "over time.",
            "    v: dict[str, Any] = {}",
        ]
        lines += self._inputs(host)
        arguments, windows = self._fed(host)
        lines += [f"    {line}" for line in host.take()]
        for output in self.model.graph.outputs:
            host.need(output.value)
        after = host.take()
        for name, places in (("sums", host.sums), ("series", host.series)):
            arguments[name] = {quoted(v): self._place(place) for v, place in places.items()}
        lines += [
            "",
            "    # The network. Windows of decoders: first step, and the one after the last.",
            "    windows = {",
            *(f"        {quoted(name)}: {host.window(name)}," for name in windows),
            "    }",
            "    ran = network.present(",
            "        samples,",
            "        steps,",
        ]
        for name, entries in arguments.items():
            lines += _mapping(name, entries, always=True, texts=False)
        lines += [
            "    )",
            "",
            "    # After the network: what answers are computed from, and what follows them.",
            *(f"    {line}" for line in after),
            "    return {",
        ]
        for output in self.model.graph.outputs:
            end = f"OUTPUTS[{quoted(output.name)}]"
            lines.append(
                f"        {quoted(output.name)}: shaped(v[{quoted(output.value)}], {end}, steps),"
            )
        return [*lines, "    }"]

    def _fed(self, host: Host) -> tuple[dict[str, dict[str, str]], list[str]]:
        """What a run puts into the populations, by argument, and decoders that have windows."""
        arguments: dict[str, dict[str, str]] = {
            name: {} for name in ("fed", "sequences", "numbers", "tables")
        }
        windows: dict[str, None] = {}
        for population in self.plan.populations.values():
            for feed in population.feeds:
                item = f"({quoted(population.name)}, {quoted(feed.item)})"
                value = f"v[{quoted(feed.value)}]"
                if feed.kind is Fed.SEQUENCE:
                    arguments["sequences"][item] = value
                elif feed.kind is Fed.STATIC:
                    host.need(feed.value)
                    key = f"{genn_name(population.name)}.{feed.item}.map"
                    through = feed.through
                    arguments["fed"][item] = (
                        value if through is None else host.mapped(value, through, key)
                    )
                else:
                    windows[feed.value] = None
                    if feed.kind is Fed.WEIGHTS:
                        arguments["tables"][item] = host.window_weights(feed.value)
                    else:
                        index = 0 if feed.kind is Fed.START else 1
                        arguments["numbers"][item] = f"windows[{quoted(feed.value)}][{index}]"
        return arguments, list(windows)

    def _place(self, name: str) -> str:
        place = self.plan.places[name]
        return f"({quoted(place.population)}, {quoted(place.variable)}, {place.lag})"

    def _inputs(self, host: Host) -> Iterable[str]:
        for entry in self.model.graph.inputs:
            value = (
                f"values(inputs[{quoted(entry.name)}], INPUTS[{quoted(entry.name)}], network.dtype)"
            )
            for sign, part, tensor in (("*", "scale", entry.scale), ("+", "offset", entry.offset)):
                if tensor is not None:
                    value = f"{value} {sign} {self._factor(entry, part, tensor)}"
            host.known.add(entry.name)
            yield f"    v[{quoted(entry.name)}] = {value}"

    def _factor(self, entry: GraphInput, part: str, tensor: Tensor) -> str:
        numbers = tensor.values().astype(self.plan.dtype)
        if numbers.size == 1:
            return f"network.dtype.type({float(numbers.reshape(()))!r})"
        full = np.broadcast_to(numbers, self.cells.shape(entry.name)).reshape(-1)
        return self.sheet.keep(f"{names_key('input', entry.name)}.{part}", full)

    # Explaining ------------------------------------------------------------------------------

    def _readme(self, host: Host) -> str:
        graph, lags = self.model.graph, self.cells.retimed.lags
        lines = [
            comment(f"# {graph.name}"),
            "",
            f"A spiking network for PyGeNN, written by snnir: `{SCRIPT}` builds and runs it, "
            f"`{WEIGHTS}` has its weights. Nothing else is needed but NumPy, "
            f"[PyGeNN]({INSTALLATION}) 5, make and a C++ compiler.",
            "",
            "```",
            f"python {SCRIPT} inputs.npz -o outputs.npz",
            "```",
            "",
            "`inputs.npz` holds samples as array `x`, or an array for each input, and may hold "
            "labels `y`; a `.npy` file holds one array. In Python, `network = build()` and "
            "`run(x, steps=..., network=network)` do the same. `--genn-backend cuda` runs it on a "
            "GPU, one sample at a time like the CPU; which backend ran is said on standard error.",
            "",
            "| input | type | shape of a sample | layout |",
            "|---|---|---|---|",
        ]
        for entry in graph.inputs:
            axes = [*(["steps"] if entry.type.is_per_step else []), *map(str, entry.type.shape)]
            dtype = NUMPY[entry.type.dtype].name
            lines.append(_row(entry.name, dtype, f"[{', '.join(axes)}]", entry.layout))
        lines += ["", "| output | shape for a sample | labels |", "|---|---|---|"]
        for output in graph.outputs:
            kind = self.cells.types[output.value]
            axes = [*(["steps"] if kind.is_per_step else []), *map(str, kind.shape)]
            lines.append(_row(output.name, f"[{', '.join(axes)}]", ", ".join(output.labels)))
        slow = max(lags.values(), default=0)
        lines += [
            "",
            f"A sample is presented for {_steps(self.model.time.steps)} of "
            f"{self.model.time.dt!r} s, unless `--steps` or the input says otherwise. On GeNN a "
            "spike takes at least a step from neurons to neurons. Populations therefore work "
            f"later than in the model, here by at most {_steps(slow)}: a run takes so much longer, "
            "and what it returns is shifted back, so that outputs are those of the model.",
            "",
        ]
        if host.computed:
            lines.append("NumPy, not GeNN, computes these nodes:")
            lines += ["", *(f"- {_text(text)}" for text in host.computed), ""]
        return "\n".join(lines)


def _steps(count: int) -> str:
    return f"{count} step" + ("s" if count != 1 else "")


def _text(text: str) -> str:
    return comment(text).replace("|", "\\|").replace("<", "\\<").replace("`", "\\`")


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _number(number: float, kind: str) -> str:
    return repr(float(number)) if kind == "scalar" else repr(int(number))


def _mapping(
    name: str, entries: Mapping[str, str], *, always: bool = False, texts: bool = True
) -> list[str]:
    """An argument that is a dictionary."""
    if not entries:
        return [f"        {name}={{}},"] if always else []
    return [
        f"        {name}={{",
        *(f"            {repr(key) if texts else key}: {value}," for key, value in entries.items()),
        "        },",
    ]


def _source(module: str) -> str:
    return importlib.resources.files(__package__).joinpath(module).read_text("utf-8")


def _imports() -> list[str]:
    """Imports of both modules but those from this project, in order."""
    found: set[str] = set()
    from_imports: dict[str, set[str]] = {}
    for module in ("_models.py", "_runtime.py"):
        for node in ast.parse(_source(module)).body:
            if isinstance(node, ast.Import):
                found.add(ast.unparse(node))
            elif isinstance(node, ast.ImportFrom) and node.module not in ("__future__",):
                name = str(node.module)
                if not name.startswith("snnir"):
                    from_imports.setdefault(name, set()).update(a.name for a in node.names)
    others = ("import numpy as np", "import pygenn")
    standard = sorted(found - set(others))
    standard += [
        f"from {name} import {', '.join(sorted(names))}"
        for name, names in sorted(from_imports.items())
    ]
    return [*standard, "", *others]


def _body(module: str) -> str:
    """A module's text after its imports."""
    text = _source(module)
    imports = [n for n in ast.parse(text).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    lines = text.splitlines()[imports[-1].end_lineno or 0 :]
    return "\n".join(lines).strip("\n") + ("\n\n" if module == "_models.py" else "")
