"""Whether stored examples fit the model they are stored in."""

from __future__ import annotations

from collections.abc import Mapping

from snnir.check.values import check_tensor
from snnir.errors import Diagnostic
from snnir.ir.model import Example, Model
from snnir.ir.traversal import producer
from snnir.ir.types import ValueType, format_shape
from snnir.ops.registry import Resolver


def check_examples(
    model: Model,
    types: Mapping[str, ValueType],
    resolve: Resolver,
    findings: list[Diagnostic],
) -> None:
    """Check names, types and shapes of all examples."""
    for name, example in model.examples.items():
        _check_example(name, example, model, types, resolve, findings)


def _check_example(
    name: str,
    example: Example,
    model: Model,
    types: Mapping[str, ValueType],
    resolve: Resolver,
    findings: list[Diagnostic],
) -> None:
    def report(item: str, found: str, allowed: str) -> None:
        where = f"example '{name}', {item}" if item else f"example '{name}'"
        findings.append(Diagnostic("example.invalid", where, found, allowed))

    if example.steps < 1:
        report("steps", f"{example.steps}", "at least 1")
    wanted = {entry.name: entry for entry in model.graph.inputs}
    if set(example.inputs) != set(wanted):
        report("inputs", ", ".join(sorted(example.inputs)), ", ".join(sorted(wanted)))
    batches: set[int] = set()
    for key, tensor in example.inputs.items():
        if not check_tensor(tensor, f"example '{name}', input '{key}'", findings):
            continue
        if key not in wanted:
            continue
        fed = wanted[key].type
        lead = (None, example.steps) if fed.is_per_step else (None,)
        if tensor.dtype is not fed.dtype:
            report(f"input '{key}'", tensor.dtype.label, fed.dtype.label)
        if not _fits(tensor.shape, (*lead, *fed.shape)):
            report(
                f"input '{key}'",
                format_shape(tensor.shape),
                format_shape(tuple("batch" if d is None else d for d in (*lead, *fed.shape))),
            )
        elif tensor.shape:
            batches.add(tensor.shape[0])
    for key, expected in example.expected.items():
        if not check_tensor(expected.tensor, f"example '{name}', expected '{key}'", findings):
            continue
        if not _names_something(key, model, resolve):
            report(f"expected '{key}'", "no such value", "an output, 'node:port' or 'node:state'")
        elif expected.tensor.shape:
            batches.add(expected.tensor.shape[0])
    if not example.expected:
        report("expected", "nothing", "at least one value")
    if len(batches) > 1:
        report("", f"{sorted(batches)} samples", "the same number of samples everywhere")


def _fits(shape: tuple[int, ...], wanted: tuple[int | str | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        not isinstance(want, int) or have == want
        for have, want in zip(shape, wanted, strict=True)
    )


def _names_something(key: str, model: Model, resolve: Resolver) -> bool:
    graph = model.graph
    if any(key == output.name for output in graph.outputs) or graph.input(key):
        return True
    node = graph.nodes.get(producer(key))
    if node is None:
        return False
    port = key.partition(":")[2]
    opdef = resolve(node.op)
    if opdef is None:
        return bool(port)
    return port in node.outputs or any(state.name == port for state in opdef.state)
