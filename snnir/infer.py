"""Type and shape inference: which value has which type, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from snnir.errors import Diagnostic, raise_errors
from snnir.ir.graph import Binding, Graph, Node
from snnir.ir.model import Model
from snnir.ir.traversal import topological_order
from snnir.ir.types import Dim, Timing, ValueType, format_shape
from snnir.ops.registry import Resolver
from snnir.ops.schema import Arity, Flow, InferContext, InferenceStopped, OpDef

Types = dict[str, ValueType]


def infer(model: Model) -> Types:
    """Type of every value of a model, by name.

    Symbolic lengths stay symbolic. Values behind an operator that is not installed have their
    declared types, or are left out if they have none.

    Raises:
        ModelError: If types, ports, attributes or parameters do not fit; with all findings.
    """
    findings: list[Diagnostic] = []
    types = infer_types(model.graph, Resolver(model.opsets), findings)
    raise_errors(findings)
    return types


def infer_types(
    graph: Graph,
    resolve: Callable[[str], OpDef | None],
    findings: list[Diagnostic],
    input_types: Mapping[str, ValueType] | None = None,
) -> Types:
    """Types of all values that can be inferred; what does not fit is appended to ``findings``.

    Args:
        graph: The graph.
        resolve: Gives the definition of an operator, or None if it is not installed.
        findings: Takes the diagnostics.
        input_types: Types that replace those of graph inputs (e.g. with symbols bound).
    """
    types: Types = {entry.name: entry.value_type for entry in graph.inputs}
    if input_types:
        types.update(input_types)
    for node in graph.nodes.values():
        if node.output_types:
            types.update(zip(node.values(), node.output_types, strict=False))

    def types_depend_on(node: Node, binding: Binding) -> bool:
        if not binding.delay_steps:
            return True
        return all(b.delay_steps for b in node.inputs if b.port == binding.port)

    order, left = topological_order(graph, types_depend_on)
    for node in order:
        infer_node(node, resolve(node.op), types, findings)
    for node in left:
        _infer_left_over(node, resolve(node.op), types, findings)
    _check_delayed(graph, types, findings)
    _check_late(graph, order, resolve, findings)
    return types


def _infer_left_over(
    node: Node, opdef: OpDef | None, types: Types, findings: list[Diagnostic]
) -> None:
    """A node on a cycle all of whose edges decide its type: its declaration must do."""
    if all(value in types for value in node.values()):
        infer_node(node, opdef, types, findings)
    elif any(binding.delay_steps for binding in node.inputs):
        findings.append(
            Diagnostic(
                "type.open",
                f"node '{node.name}' ({node.op})",
                "a type that depends on itself",
                "declared output types",
                source=node.source,
            )
        )


def infer_node(
    node: Node, opdef: OpDef | None, types: Types, findings: list[Diagnostic]
) -> None:
    """Add the types of a node's outputs to ``types``, or what does not fit to ``findings``.

    Nothing happens if the operator is not installed or the type of an input is not known.
    """
    if opdef is None:
        return
    inputs: dict[str, list[ValueType]] = {}
    for binding in node.inputs:
        found = types.get(binding.source)
        if found is not None:
            inputs.setdefault(binding.port, []).append(found)
        elif not (binding.delay_steps and any(
            not other.delay_steps for other in node.inputs if other.port == binding.port
        )):
            return
    context = InferContext(node, opdef, inputs, findings)
    try:
        _check_ports(context)
        timing = _input_timing(context)
        shapes = opdef.infer(context)
        _check_feature_parameters(context)
    except InferenceStopped:
        return
    for port, shape in zip(opdef.outputs, shapes, strict=True):
        value_type = ValueType(port.dtype, tuple(shape), opdef.output_timing(timing))
        name = node.value(port.name)
        declared = types.get(name)
        if declared is not None and not _compatible(declared, value_type):
            context.report(
                "type.declared", f"output '{port.name}'", f"declared {declared}", str(value_type)
            )
        types[name] = value_type


def _compatible(declared: ValueType, inferred: ValueType) -> bool:
    return (
        declared.dtype is inferred.dtype
        and declared.timing is inferred.timing
        and len(declared.shape) == len(inferred.shape)
        and all(
            a == b or isinstance(a, str) or isinstance(b, str)
            for a, b in zip(declared.shape, inferred.shape, strict=True)
        )
    )


def _check_ports(context: InferContext) -> None:
    opdef = context.opdef
    complete = True
    for port in opdef.inputs:
        given = context.inputs.get(port.name, ())
        if not given or (port.arity is Arity.ONE and len(given) > 1):
            context.report(
                "op.port", f"input '{port.name}'", f"{len(given)} bindings", port.arity.value
            )
            complete = False
    for name in context.inputs:
        if opdef.input(name) is None:
            allowed = ", ".join(f"'{port.name}'" for port in opdef.inputs)
            context.report("op.port", f"input '{name}'", "an unknown port", allowed)
            complete = False
    if context.node.outputs != opdef.output_names:
        context.report(
            "op.port", "outputs", ", ".join(context.node.outputs), ", ".join(opdef.output_names)
        )
        complete = False
    for port in opdef.inputs:
        for found in context.inputs.get(port.name, ()):
            if found.dtype is not port.dtype:
                context.report(
                    "type.dtype", f"input '{port.name}'", found.dtype.label, port.dtype.label
                )
                complete = False
        if port.arity is Arity.SUM:
            given = context.inputs.get(port.name, ())
            for other in given[1:]:
                if not _same_shape(other.shape, given[0].shape):
                    context.report(
                        "type.shape",
                        f"input '{port.name}'",
                        f"{format_shape(given[0].shape)} and {format_shape(other.shape)}",
                        "equal shapes on a port that adds",
                    )
                    complete = False
    for name in context.node.attributes:
        if not opdef.has_attribute(name):
            known = ", ".join(f"'{a.name}'" for a in opdef.attributes) or "none"
            context.report("op.attribute", f"attribute '{name}'", "an unknown attribute", known)
            complete = False
    for attribute in opdef.attributes:
        if attribute.name in context.node.attributes:
            value = context.node.attributes[attribute.name]
            if (problem := attribute.problem(value)) is not None:
                context.report("op.attribute", f"attribute '{attribute.name}'", *problem)
                complete = False
        elif attribute.required:
            context.report(
                "op.attribute", f"attribute '{attribute.name}'", "nothing", attribute.doc
            )
            complete = False
    for name, tensor in context.node.parameters.items():
        parameter = opdef.parameter(name)
        if parameter is None:
            known = ", ".join(f"'{p.name}'" for p in opdef.parameters) or "none"
            context.report("op.parameter", f"parameter '{name}'", "an unknown parameter", known)
            complete = False
        elif tensor.dtype not in parameter.dtypes and not (
            tensor.quantization is not None and parameter.dtypes[0].is_float
        ):
            allowed = ", ".join(dtype.label for dtype in parameter.dtypes)
            context.report("type.dtype", f"parameter '{name}'", tensor.dtype.label, allowed)
            complete = False
    for parameter in opdef.parameters:
        if parameter.required and parameter.name not in context.node.parameters:
            context.report(
                "op.parameter", f"parameter '{parameter.name}'", "nothing", parameter.doc
            )
            complete = False
    if not complete:
        raise InferenceStopped


def _same_shape(a: tuple[Dim, ...], b: tuple[Dim, ...]) -> bool:
    return len(a) == len(b) and all(
        x == y or isinstance(x, str) or isinstance(y, str) for x, y in zip(a, b, strict=True)
    )


def _input_timing(context: InferContext) -> Timing:
    required = context.opdef.input_timing()
    timings = {found.timing for given in context.inputs.values() for found in given}
    if required is None and len(timings) == 1:
        return timings.pop()
    if required is not None and timings <= {required}:
        return required
    found = ", ".join(
        f"'{name}' {value_type.timing.label}"
        for name, given in context.inputs.items()
        for value_type in given
    )
    context.fail(
        "type.timing", "inputs", found, required.label if required else "the same timing for all"
    )


def _check_feature_parameters(context: InferContext) -> None:
    for name, tensor in context.node.parameters.items():
        parameter = context.opdef.parameter(name)
        if parameter is None or parameter.shape != "feature" or not tensor.shape:
            continue
        feature = context.shape(context.opdef.inputs[0].name)
        trailing = feature[len(feature) - len(tensor.shape) :] if tensor.shape else ()
        if len(tensor.shape) > len(feature) or any(
            have not in (1, want) and not isinstance(want, str)
            for have, want in zip(tensor.shape, trailing, strict=True)
        ):
            context.report(
                "type.shape",
                f"parameter '{name}'",
                format_shape(tensor.shape),
                f"a shape that broadcasts against the trailing axes of {format_shape(feature)}",
            )


def _check_delayed(graph: Graph, types: Types, findings: list[Diagnostic]) -> None:
    """Delayed edges, whose source may have come after the node they arrive at."""
    for node in graph.nodes.values():
        for binding in node.inputs:
            found = types.get(binding.source)
            if not binding.delay_steps or found is None:
                continue
            where = f"node '{node.name}' ({node.op}), input '{binding.port}'"
            if not found.is_per_step:
                findings.append(
                    Diagnostic(
                        "graph.delay",
                        where,
                        f"a delay of {binding.delay_steps} steps on static value '{binding.source}'",
                        "no delay",
                        source=node.source,
                    )
                )
            undelayed = (b for b in node.inputs if b.port == binding.port and not b.delay_steps)
            first = next(undelayed, None)
            expected = types.get(first.source) if first else None
            if expected is not None and not _same_shape(found.shape, expected.shape):
                findings.append(
                    Diagnostic(
                        "type.shape",
                        where,
                        f"{format_shape(found.shape)} from '{binding.source}'",
                        format_shape(expected.shape),
                        source=node.source,
                    )
                )


def _check_late(
    graph: Graph,
    order: list[Node],
    resolve: Callable[[str], OpDef | None],
    findings: list[Diagnostic],
) -> None:
    """What a decoder says is known when the presentation has ended: too late to be encoded."""
    late: set[str] = set()
    for node in order:
        opdef = resolve(node.op)
        if opdef is None:
            continue
        after = next((b.source for b in node.inputs if b.source in late), None)
        if after is not None and opdef.flow is Flow.ENCODE:
            findings.append(
                Diagnostic(
                    "type.timing",
                    f"node '{node.name}' ({node.op}), inputs",
                    f"value '{after}', which a decoder gives when the presentation has ended",
                    "values known before the presentation",
                    source=node.source,
                )
            )
        if opdef.flow is Flow.DECODE or after is not None:
            late.update(node.values())
