"""Whether stored examples fit the model they are stored in."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from itertools import islice

from snnir import limits
from snnir.check.values import TensorChecker
from snnir.errors import Diagnostic
from snnir.ir.model import Close, Example, Model, Rate, SpikeShift, Tolerance
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import producer
from snnir.ir.types import Shape, ValueType, format_shape
from snnir.opsets import Resolve


def check_examples(
    model: Model,
    types: Mapping[str, ValueType],
    resolve: Resolve,
    tensors: TensorChecker | None,
    findings: list[Diagnostic],
) -> None:
    """Check names, types and shapes of all examples.

    Args:
        model: The model.
        types: Types of its values.
        resolve: Gives the definition of an operator, or None.
        tensors: Checks the tensors' content; None if it is not to be looked at.
        findings: Takes the diagnostics.
    """
    checker = _Checker(model, types, resolve, tensors, findings)
    for name, example in model.examples.items():
        checker.check(name, example)


class _Checker:
    def __init__(
        self,
        model: Model,
        types: Mapping[str, ValueType],
        resolve: Resolve,
        tensors: TensorChecker | None,
        findings: list[Diagnostic],
    ) -> None:
        self.nodes = {node.name: node for node in model.graph.nodes.values()}
        self.inputs = {entry.name: entry.type for entry in model.graph.inputs}
        self.outputs = {output.name: output.value for output in model.graph.outputs}
        self.types = types
        self.resolve = resolve
        self.tensors = tensors
        self.findings = findings

    def check(self, name: str, example: Example) -> None:
        def report(item: str, found: str, allowed: str) -> None:
            where = f"example '{name}', {item}" if item else f"example '{name}'"
            self.findings.append(Diagnostic("example.invalid", where, found, allowed))

        if not limits.NAME.fullmatch(name):
            self.findings.append(
                Diagnostic("graph.name", "examples", f"{name[:80]!r}", limits.NAME.pattern)
            )
        steps: int | str = example.steps
        if not 1 <= example.steps < limits.MAX_STEPS:
            report("steps", f"{example.steps}", f"1 to {limits.MAX_STEPS - 1}")
            steps = "steps"
        if example.inputs.keys() != self.inputs.keys():
            report("inputs", _few(example.inputs), _few(self.inputs))
        batches: set[int] = set()
        for key, tensor in example.inputs.items():
            self._check_content(tensor, f"example '{name}', input '{key}'")
            fed = self.inputs.get(key)
            if fed is None:
                continue
            if tensor.dtype is not fed.dtype:
                report(f"input '{key}'", tensor.dtype.label, fed.dtype.label)
            self._shape(tensor, fed, f"input '{key}'", steps, batches, report)
        for key, expected in example.expected.items():
            item = f"expected '{key}'"
            if (bound := _tolerance_problem(expected.tolerance)) is not None:
                report(item, bound, "finite bounds of at least 0")
            self._check_content(expected.tensor, f"example '{name}', {item}")
            if not self._names_something(key):
                report(item, "no such value", "an output, 'node:port' or 'node:state'")
                continue
            value_type = self.types.get(self.outputs.get(key, key))
            if value_type is not None:
                self._shape(expected.tensor, value_type, item, steps, batches, report)
            elif expected.tensor.shape:
                batches.add(expected.tensor.shape[0])
        if not example.expected:
            report("expected", "nothing", "at least one value")
        if len(batches) > 1:
            found = ", ".join(map(str, sorted(batches)[:8]))
            report("", f"{found} samples", "the same number of samples everywhere")

    def _check_content(self, tensor: Tensor, where: str) -> None:
        if self.tensors is not None:
            self.tensors.check(tensor, where)

    @staticmethod
    def _shape(
        tensor: Tensor,
        value_type: ValueType,
        item: str,
        steps: int | str,
        batches: set[int],
        report: Callable[[str, str, str], None],
    ) -> None:
        wanted: Shape = (
            "batch",
            *((steps,) if value_type.is_per_step else ()),
            *value_type.shape,
        )
        if len(tensor.shape) != len(wanted) or any(
            isinstance(want, int) and have != want
            for have, want in zip(tensor.shape, wanted, strict=True)
        ):
            report(item, format_shape(tensor.shape), format_shape(wanted))
        else:
            batches.add(tensor.shape[0])

    def _names_something(self, key: str) -> bool:
        if key in self.outputs or key in self.inputs:
            return True
        node = self.nodes.get(producer(key))
        if node is None:
            return False
        port = key.partition(":")[2]
        opdef = self.resolve(node.op)
        if opdef is None:
            return bool(port)
        return port in node.outputs or any(state.name == port for state in opdef.state)


def _few(names: Collection[str]) -> str:
    """Not more than can be read; neither in their number nor in their length."""
    shown = [f"'{name[:80]}'" for name in islice(sorted(names), 8)]
    return ", ".join(shown + ["..."] * (len(names) > 8)) or "none"


def _tolerance_problem(tolerance: Tolerance) -> str | None:
    """What is there, if a bound is not finite or is negative."""
    bounds: tuple[float, ...] = ()
    if isinstance(tolerance, SpikeShift):
        bounds = (tolerance.steps,)
    elif isinstance(tolerance, Rate):
        bounds = (tolerance.bound,)
    elif isinstance(tolerance, Close):
        bounds = (tolerance.absolute, tolerance.relative)
    return None if all(math.isfinite(b) and b >= 0 for b in bounds) else f"{tolerance}"
