"""What a backend is, and finding one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnir import plugins
from snnir.errors import Diagnostic, PluginError, RunError
from snnir.ir.graph import Graph, GraphInput, Node
from snnir.ir.model import Model
from snnir.ir.types import NUMPY, ValueType, format_shape
from snnir.ops.registry import Resolver

Array = npt.NDArray[Any]
Inputs = Mapping[str, npt.ArrayLike] | npt.ArrayLike


@dataclass(frozen=True)
class Recording:
    """What a run returns.

    Attributes:
        outputs: Array for each graph output: batch, then time for a per-step value, then
            features.
        recorded: Array for each further value that was asked for, under the name asked for.
        steps: Presentation length.
        backend: What ran.
        details: What the backend has to say about the run (device, build, timings).
    """

    outputs: dict[str, Array]
    recorded: dict[str, Array]
    steps: int
    backend: str
    details: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        """The output or recorded value of that name."""
        return self.outputs[name] if name in self.outputs else self.recorded[name]


@runtime_checkable
class Prepared(Protocol):
    """A model made ready to run on a backend, any number of times."""

    def run(
        self, inputs: Inputs, *, steps: int | None = None, record: Sequence[str] = ()
    ) -> Recording:
        """Run a batch of samples, each from the initial state.

        Args:
            inputs: Array for each graph input by name, or the one array of a graph with one
                input. Batch first, then time for a per-step input, then features.
            steps: Presentation length; by default that of the per-step inputs, else the model's.
            record: Further values to return: ``node:port``, ``node:state``, the name of a node
                with one output, or a graph input.

        Raises:
            RunError: If an input, the steps or a name to record do not fit the model.
        """


@runtime_checkable
class Backend(Protocol):
    """Something that runs models."""

    @property
    def name(self) -> str:
        """Name by which it is chosen."""

    def prepare(self, model: Model, **options: Any) -> Prepared:
        """Make a model ready to run.

        Raises:
            ModelError: If the model is not valid.
            CapabilityError: If the backend cannot run it exactly; with all that does not fit.
        """


_BUILTIN: Final = ("reference", "layerwise")


def backend_names() -> list[str]:
    """Names of the installed backends."""
    return [*_BUILTIN, *(n for n in plugins.names("backends") if n not in _BUILTIN)]


def find_backend(name: str = "reference") -> Backend:
    """The backend of that name.

    Raises:
        PluginError: If it is unknown or does not load.
    """
    if name == "reference":
        from snnir.runtime.reference import ReferenceBackend

        return ReferenceBackend()
    if name == "layerwise":
        from snnir.runtime.layerwise import LayerwiseBackend

        return LayerwiseBackend()
    found = plugins.load_optional("backends", name)
    if found is None:
        raise PluginError(
            Diagnostic("plugin.unknown", "backends", f"'{name}'", ", ".join(backend_names()))
        )
    return found() if isinstance(found, type) else found  # type: ignore[no-any-return]


def named_inputs(graph: Graph, inputs: Inputs) -> dict[str, Array]:
    """Arrays by input name; a single array belongs to the only input.

    Raises:
        RunError: If names are missing or unknown, or something is no array.
    """
    wanted = [entry.name for entry in graph.inputs]
    if not isinstance(inputs, Mapping):
        if len(wanted) != 1:
            raise RunError(
                Diagnostic(
                    "run.input",
                    "inputs",
                    "one array without a name",
                    "arrays named " + ", ".join(wanted),
                )
            )
        inputs = {wanted[0]: inputs}
    if set(inputs) != set(wanted):
        raise RunError(
            Diagnostic(
                "run.input",
                "inputs",
                ", ".join(map(str, inputs)) or "nothing",
                ", ".join(wanted) or "nothing",
            )
        )
    arrays: dict[str, Array] = {}
    findings = []
    for name in wanted:
        try:
            arrays[name] = np.asarray(inputs[name])
        except ValueError:
            found = "lists of different lengths"
            findings.append(Diagnostic("run.input", f"input '{name}'", found, "an array"))
    if findings:
        raise RunError(findings)
    return arrays


def check_inputs(
    graph: Graph, arrays: Mapping[str, Array], steps: int | None, default_steps: int
) -> tuple[int, int, dict[str, ValueType]]:
    """Number of samples, presentation length, and input types with symbols bound.

    Raises:
        RunError: With everything that does not fit.
    """
    findings: list[Diagnostic] = []
    symbols: dict[str, int] = {}
    batches: dict[int, str] = {}
    lengths: dict[int, str] = {}
    types: dict[str, ValueType] = {}

    def report(entry: GraphInput, found: str, allowed: str) -> None:
        findings.append(Diagnostic("run.input", f"input '{entry.name}'", found, allowed))

    for entry in graph.inputs:
        array = arrays[entry.name]
        _check_dtype(entry, array, report)
        lead = 2 if entry.type.is_per_step else 1
        described = (
            "["
            + ", ".join(["samples", *(["steps"] if lead == 2 else []), *map(str, entry.type.shape)])
            + "]"
        )
        feature = array.shape[lead:]
        bound = []
        for have, want in zip(feature, entry.type.shape, strict=False):
            bound.append(symbols.setdefault(want, have) if isinstance(want, str) else want)
        if array.ndim != lead + len(entry.type.shape) or tuple(bound) != feature:
            report(entry, f"shape {format_shape(array.shape)}", described)
            continue
        batches.setdefault(array.shape[0], entry.name)
        if lead == 2:
            lengths.setdefault(array.shape[1], entry.name)
        inside = entry.value_type
        types[entry.name] = ValueType(inside.dtype, feature, inside.timing, inside.quantization)
    if len(batches) > 1:
        findings.append(
            Diagnostic("run.input", "inputs", f"{sorted(batches)} samples", "the same number")
        )
    if 0 in batches:
        findings.append(Diagnostic("run.input", "inputs", "no sample", "at least one"))
    if len(lengths) > 1:
        findings.append(
            Diagnostic("run.input", "inputs", f"{sorted(lengths)} steps", "the same number")
        )
    if steps is None:
        steps = next(iter(lengths), default_steps)
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        findings.append(Diagnostic("run.steps", "run", f"{steps!r}", "a whole number above 0"))
    elif lengths and next(iter(lengths)) != steps:
        findings.append(
            Diagnostic(
                "run.steps", "run", f"{steps} steps", f"{next(iter(lengths))}, as the inputs have"
            )
        )
    if findings:
        raise RunError(findings)
    return next(iter(batches), 1), int(steps), types


def _check_dtype(entry: GraphInput, array: Array, report: Any) -> None:
    target = NUMPY[entry.type.dtype]
    if array.dtype.kind not in "biuf":
        report(entry, f"NumPy type {array.dtype}", entry.type.dtype.label)
    elif target.kind in "biu":
        if not np.can_cast(array.dtype, target, "safe"):
            report(
                entry,
                f"NumPy type {array.dtype}",
                f"{entry.type.dtype.label}, or what fits into it",
            )
    elif array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        report(entry, "NaN or infinite numbers", "finite numbers")


def state_names(model: Model) -> dict[str, list[str]]:
    """Names of the state variables of each node whose operator is installed."""
    resolve = Resolver(model.opsets)
    return {
        name: [state.name for state in opdef.state]
        for name, node in model.graph.nodes.items()
        if (opdef := resolve(node.op)) is not None
    }


def resolve_record(graph: Graph, states: Mapping[str, Sequence[str]], name: str) -> str:
    """The full name of a value or state to record.

    Args:
        graph: The graph.
        states: Names of the state variables of each node.
        name: ``node:port``, ``node:state``, a node with one output, an output or an input.

    Raises:
        RunError: If there is no such value.
    """
    for output in graph.outputs:
        if output.name == name:
            return output.value
    if graph.input(name) is not None:
        return name
    node_name, colon, item = name.partition(":")
    node: Node | None = graph.nodes.get(node_name)
    if node is None:
        known = ", ".join([*graph.nodes][:8]) + (", ..." if len(graph.nodes) > 8 else "")
        raise RunError(
            Diagnostic("run.record", f"record '{name}'", f"no node '{node_name}'", known)
        )
    if not colon and len(node.outputs) == 1:
        return node.values()[0]
    if item in node.outputs or item in states.get(node_name, ()):
        return name
    items = [*node.outputs, *states.get(node_name, ())]
    raise RunError(
        Diagnostic(
            "run.record",
            f"record '{name}'",
            f"'{item}'",
            ", ".join(f"'{node_name}:{known}'" for known in items),
        )
    )
