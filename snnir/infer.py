"""Type and shape inference: which value has which type, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from snnir.errors import Diagnostic, raise_errors
from snnir.ir.graph import AttributeValue, Binding, Graph, Node
from snnir.ir.model import Model
from snnir.ir.traversal import find_cycles, topological_order
from snnir.ir.types import Dim, Shape, Timing, ValueType, format_shape, shape_problem
from snnir.ops.registry import BUILTIN_DOMAINS
from snnir.ops.schema import START_STEP, Arity, Flow, InferContext, InferenceStopped, OpDef
from snnir.opsets import Resolve, usable_operators

Types = dict[str, ValueType]
Result = TypeVar("Result")


def infer(model: Model) -> Types:
    """Type of every value of a model, by name.

    Symbolic lengths stay symbolic. Values behind an operator that is not installed have their
    declared types, or are left out if they have none.

    Raises:
        ModelError: If types, ports, attributes or parameters do not fit; with all findings.
    """
    findings: list[Diagnostic] = []
    types = infer_types(model.graph, usable_operators(model), findings)
    raise_errors(findings)
    return types


def infer_types(
    graph: Graph,
    resolve: Resolve,
    findings: list[Diagnostic],
    input_types: Mapping[str, ValueType] | None = None,
    inferred: set[str] | None = None,
) -> Types:
    """Types of all values that can be inferred; what does not fit is appended to ``findings``.

    Args:
        graph: The graph. Its edges need not be sound: what hangs on an unknown value or on a
            cycle without delay is left out.
        resolve: Gives the definition of an operator, or None if it is not installed.
        findings: Takes the diagnostics.
        input_types: Types that replace those of graph inputs (e.g. with symbols bound).
        inferred: Takes the names of the nodes whose ports, attributes and shapes all fit.
    """
    types: Types = {entry.name: entry.value_type for entry in graph.inputs}
    if input_types:
        types.update(input_types)
    for node in graph.nodes.values():
        if node.output_types:
            types.update(zip(node.values(), node.output_types, strict=False))
            if len(node.output_types) != len(node.outputs):
                findings.append(_wrong_declaration(node))
    declared = set(types)
    skippable = {
        node.name: _skippable_ports(node, resolve(node.op))
        for node in graph.nodes.values()
        if any(binding.delay_steps for binding in node.inputs)
    }

    def type_depends_on(node: Node, binding: Binding) -> bool:
        return not binding.delay_steps or binding.port not in skippable[node.name]

    def open_type_depends_on(node: Node, binding: Binding) -> bool:
        return binding.source not in declared and type_depends_on(node, binding)

    order, left = topological_order(graph, type_depends_on)
    if left:
        # On or behind a cycle all of whose edges decide a type: declared types break it.
        order, left = topological_order(graph, open_type_depends_on)
    skipped: list[tuple[Node, Binding]] = []
    for node in (*order, *left):
        ports = skippable.get(node.name, frozenset())
        fits = infer_node(node, resolve(node.op), types, findings, ports, skipped)
        if fits and inferred is not None:
            inferred.add(node.name)
    if left:
        _report_open(graph, left, open_type_depends_on, findings)
    _check_delayed(graph, types, findings)
    _check_skipped(skipped, types, findings)
    _check_late(graph, order, resolve, findings)
    return types


def _skippable_ports(node: Node, opdef: OpDef | None) -> frozenset[str]:
    """Ports that add and have a binding without delay: that one decides the type."""
    if opdef is None:
        return frozenset()
    undelayed = {binding.port for binding in node.inputs if not binding.delay_steps}
    return frozenset(
        port.name for port in opdef.inputs if port.arity is Arity.SUM and port.name in undelayed
    )


def _wrong_declaration(node: Node) -> Diagnostic:
    return Diagnostic(
        "type.declared",
        f"node '{node.name}' ({node.op}), output types",
        f"{len(node.output_types)} types",
        f"none, or one for each of {len(node.outputs)} outputs",
        source=node.source,
    )


def _report_open(
    graph: Graph,
    left: list[Node],
    depends: Callable[[Node, Binding], bool],
    findings: list[Diagnostic],
) -> None:
    """Cycles whose types are open; those without any delay are reported as such elsewhere."""
    _, undelayed = topological_order(graph)
    stuck = {node.name for node in undelayed}
    by_name = {node.name: node for node in left}
    for cycle in find_cycles(left, depends):
        if stuck.isdisjoint(cycle):
            node = by_name[cycle[0]]
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
    node: Node,
    opdef: OpDef | None,
    types: Types,
    findings: list[Diagnostic],
    skippable: Collection[str] = (),
    skipped: list[tuple[Node, Binding]] | None = None,
) -> bool:
    """Add the types of a node's outputs to ``types``, or what does not fit to ``findings``.

    Nothing happens if the operator is not installed. If the type of an input is not known, only
    names of ports, attributes and parameters are checked.

    Args:
        node: The node.
        opdef: Its definition.
        types: Types of the values that are known.
        findings: Takes the diagnostics.
        skippable: Ports whose delayed edges may come from a value of unknown type.
        skipped: Takes such edges.

    Returns:
        Whether the types were inferred and everything fits.
    """
    if opdef is None:
        return False
    before = len(findings)
    inputs: dict[str, list[ValueType]] = {}
    counts: dict[str, int] = {}
    known = True
    for binding in node.inputs:
        port = binding.port
        counts[port] = counts.get(port, 0) + 1
        found = types.get(binding.source)
        if found is not None:
            inputs.setdefault(port, []).append(found)
        elif not binding.delay_steps or port not in skippable:
            known = False
        elif skipped is not None:
            skipped.append((node, binding))
    context = InferContext(node, opdef, inputs, findings)
    _check_ports(context, counts)
    _check_attributes(context)
    _check_parameters(context)
    if not known:
        return False
    timing = _input_timing(context)
    if timing is not None:
        _check_start(context, timing)
    _check_inputs(context)
    if timing is None or len(findings) > before:
        return False
    try:
        shapes = _infer_shapes(context)
    except InferenceStopped:
        return False
    _check_feature_parameters(context, shapes)
    for output, shape in zip(opdef.outputs, shapes, strict=True):
        value_type = ValueType(output.dtype, tuple(shape), opdef.output_timing(timing))
        name = node.value(output.name)
        declared = types.get(name)
        if declared is not None and not _compatible(declared, value_type):
            context.report(
                "type.declared", f"output '{output.name}'", f"declared {declared}", str(value_type)
            )
        if (problem := shape_problem(shape)) is not None:
            context.report("type.shape", f"output '{output.name}'", *problem)
        types[name] = value_type
    return len(findings) == before


def _infer_shapes(context: InferContext) -> Sequence[Shape]:
    opdef = context.opdef

    def infer(context: InferContext) -> Sequence[Shape]:
        shapes = opdef.infer(context)
        if len(shapes) != len(opdef.outputs):
            raise ValueError(f"{len(shapes)} shapes for {len(opdef.outputs)} outputs")
        return shapes

    return call_operator(context, "infer", infer)


def call_operator(
    context: InferContext, name: str, function: Callable[[InferContext], Result]
) -> Result:
    """Call a function of an operator; if a plugin's fails that is a finding, too.

    Raises:
        InferenceStopped: If the function, or its failure, says that nothing more can be known.
    """
    try:
        return function(context)
    except InferenceStopped:
        raise
    except Exception as error:
        if context.opdef.domain in BUILTIN_DOMAINS:
            raise
        context.fail(
            "plugin.broken",
            name,
            f"{type(error).__name__}: {error}",
            "an operator that reports what does not fit",
            "Report this to the author of the operator.",
        )


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


def _check_ports(context: InferContext, counts: Mapping[str, int]) -> None:
    opdef = context.opdef
    for port in opdef.inputs:
        count = counts.get(port.name, 0)
        if not count or (port.arity is Arity.ONE and count > 1):
            context.report("op.port", f"input '{port.name}'", f"{count} bindings", port.arity.value)
    for name in counts:
        if opdef.input(name) is None:
            allowed = ", ".join(f"'{port.name}'" for port in opdef.inputs)
            context.report("op.port", f"input '{name}'", "an unknown port", allowed)
    if context.node.outputs != opdef.output_names:
        context.report(
            "op.port", "outputs", ", ".join(context.node.outputs), ", ".join(opdef.output_names)
        )


def _check_inputs(context: InferContext) -> None:
    for port in context.opdef.inputs:
        given = context.inputs.get(port.name, [])
        for found in given:
            if found.dtype is not port.dtype:
                context.report(
                    "type.dtype", f"input '{port.name}'", found.dtype.label, port.dtype.label
                )
        if port.arity is Arity.SUM:
            for other in given[1:]:
                if not _same_shape(other.shape, given[0].shape):
                    context.report(
                        "type.shape",
                        f"input '{port.name}'",
                        f"{format_shape(given[0].shape)} and {format_shape(other.shape)}",
                        "equal shapes on a port that adds",
                    )


def _check_attributes(context: InferContext) -> None:
    opdef = context.opdef
    for name in context.node.attributes:
        if not opdef.has_attribute(name):
            known = ", ".join(f"'{a.name}'" for a in opdef.all_attributes)
            context.report("op.attribute", f"attribute '{name}'", "an unknown attribute", known)
    for attribute in opdef.all_attributes:
        if attribute.name in context.node.attributes:
            value = context.node.attributes[attribute.name]
            problem = _too_big(value) or attribute.problem(value)
            if problem is not None:
                context.report("op.attribute", f"attribute '{attribute.name}'", *problem)
        elif attribute.required:
            context.report(
                "op.attribute", f"attribute '{attribute.name}'", "nothing", attribute.doc
            )


def _check_start(context: InferContext, timing: Timing) -> None:
    """Only what has a part in the steps of a presentation can start late."""
    start = context.attribute(START_STEP.name)
    static = {timing, context.opdef.output_timing(timing)} == {Timing.STATIC}
    if static and start and START_STEP.problem(start) is None:
        context.report(
            "op.attribute",
            f"attribute '{START_STEP.name}'",
            f"{start}, on a node whose inputs and outputs are static",
            "0",
        )


def _check_parameters(context: InferContext) -> None:
    opdef = context.opdef
    for name, tensor in context.node.parameters.items():
        parameter = opdef.parameter(name)
        if parameter is None:
            known = ", ".join(f"'{p.name}'" for p in opdef.parameters) or "none"
            context.report("op.parameter", f"parameter '{name}'", "an unknown parameter", known)
        elif tensor.dtype not in parameter.dtypes and not (
            tensor.quantization is not None and parameter.dtypes[0].is_float
        ):
            allowed = ", ".join(dtype.label for dtype in parameter.dtypes)
            context.report("type.dtype", f"parameter '{name}'", tensor.dtype.label, allowed)
    for parameter in opdef.parameters:
        if parameter.required and parameter.name not in context.node.parameters:
            context.report(
                "op.parameter", f"parameter '{parameter.name}'", "nothing", parameter.doc
            )


def _too_big(value: AttributeValue) -> tuple[str, str] | None:
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int) and not -(1 << 63) <= number < 1 << 63:
            return f"a number of {number.bit_length()} bits", "an integer of 64 bits"
    return None


def _same_shape(a: tuple[Dim, ...], b: tuple[Dim, ...]) -> bool:
    return len(a) == len(b) and all(
        x == y or isinstance(x, str) or isinstance(y, str) for x, y in zip(a, b, strict=True)
    )


def _input_timing(context: InferContext) -> Timing | None:
    required = context.opdef.input_timing()
    timings = {found.timing for given in context.inputs.values() for found in given}
    if required is None and len(timings) == 1:
        return timings.pop()
    if required is not None and timings <= {required}:
        return required
    if timings:
        found = ", ".join(
            f"'{name}' {' and '.join(sorted({value_type.timing.label for value_type in given}))}"
            for name, given in context.inputs.items()
        )
        allowed = required.label if required else "the same timing for all"
        context.report("type.timing", "inputs", found, allowed)
    return None


def _check_feature_parameters(context: InferContext, shapes: Sequence[Shape]) -> None:
    ports = context.opdef.inputs
    feature = context.shape(ports[0].name) if ports else tuple(shapes[0])
    merged: list[int] = [1] * len(feature)
    for name, tensor in context.node.parameters.items():
        parameter, shape = context.opdef.parameter(name), tensor.shape
        if parameter is None or parameter.shape != "feature" or not shape:
            continue
        start = len(feature) - len(shape)
        fits = start >= 0
        for axis, have in enumerate(shape, start) if fits else ():
            want = feature[axis]
            # A symbol stands for any length, but for the same one in all parameters.
            limit = merged[axis] if isinstance(want, str) and merged[axis] != 1 else want
            if have != 1 and not isinstance(limit, str) and have != limit:
                fits = False
            elif have != 1:
                merged[axis] = have
        if not fits:
            context.report(
                "type.shape",
                f"parameter '{name}'",
                format_shape(shape),
                f"a shape that broadcasts against the trailing axes of {format_shape(feature)}",
            )


def _check_delayed(graph: Graph, types: Types, findings: list[Diagnostic]) -> None:
    """Only what changes over time can be delayed."""
    for node in graph.nodes.values():
        for binding in node.inputs:
            if binding.delay_steps:
                check_delay(node, binding, types, findings)


def check_delay(node: Node, binding: Binding, types: Types, findings: list[Diagnostic]) -> None:
    """Check that what a delayed edge carries changes over time."""
    found = types.get(binding.source)
    if found is not None and not found.is_per_step:
        findings.append(
            Diagnostic(
                "graph.delay",
                f"node '{node.name}' ({node.op}), input '{binding.port}'",
                f"a delay of {binding.delay_steps} steps on static value '{binding.source}'",
                "no delay",
                source=node.source,
            )
        )


def _check_skipped(
    skipped: list[tuple[Node, Binding]], types: Types, findings: list[Diagnostic]
) -> None:
    """Delayed edges whose source came after the node they arrive at."""
    expected: dict[tuple[str, str], ValueType] = {}
    for node in {node.name: node for node, _ in skipped}.values():
        for binding in node.inputs:
            if not binding.delay_steps and binding.source in types:
                expected.setdefault((node.name, binding.port), types[binding.source])
    for node, binding in skipped:
        found, want = types.get(binding.source), expected.get((node.name, binding.port))
        if found is None or want is None:
            continue
        where = f"node '{node.name}' ({node.op}), input '{binding.port}'"
        if found.dtype is not want.dtype:
            findings.append(
                Diagnostic(
                    "type.dtype", where, found.dtype.label, want.dtype.label, source=node.source
                )
            )
        if not _same_shape(found.shape, want.shape):
            findings.append(
                Diagnostic(
                    "type.shape",
                    where,
                    f"{format_shape(found.shape)} from '{binding.source}'",
                    format_shape(want.shape),
                    source=node.source,
                )
            )


def _check_late(
    graph: Graph,
    order: list[Node],
    resolve: Resolve,
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
