"""From layers and calls to a graph of the ``ann`` domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from snnir.errors import Diagnostic, FormatError, ModelError, UnsupportedFeature
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Model
from snnir.ir.types import Dim, DType
from snnir_converters.keras._handler import LayerCall, Naming, Refused
from snnir_converters.keras._json import Json, fail, sequence, show
from snnir_converters.keras._layers import HANDLERS, check_layer, variables_of
from snnir_converters.keras._network import Call, Layer, Network, Reference
from snnir_converters.keras._operations import OPERATIONS, check_operation
from snnir_converters.keras._weights import as_float32

MAX_CALLS: Final = 1 << 17
"""Calls of layers, those in models that are called several times counted each time."""

MAX_LENGTH: Final = 1 << 31
"""Length of an axis of an input."""

_INPUT_TYPES: Final = {
    "float32": DType.FLOAT32,
    "float16": DType.FLOAT32,
    "bfloat16": DType.FLOAT32,
    "float64": DType.FLOAT32,
    "uint8": DType.UINT8,
    "int8": DType.INT8,
    "int16": DType.INT16,
    "int32": DType.INT32,
    "int64": DType.INT64,
}

_PRECISIONS: Final = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")
_LAYOUTS: Final = {3: "HWC"}


# Checks --------------------------------------------------------------------------------------


def check_network(model: Layer) -> list[Diagnostic]:
    """Everything in a model that cannot be carried over, as far as its configuration tells.

    Returns:
        Errors, and a warning where layers compute in another precision than float32.
    """
    findings: list[Diagnostic] = []
    others: dict[str, list[str]] = {}
    seen: set[Layer] = set()
    pending = [model]
    while pending:
        layer = pending.pop()
        if layer in seen:
            continue
        seen.add(layer)
        if layer.network is not None:
            _check_dtype(layer, findings, others)
            findings += _check_calls(layer.network)
            pending += reversed(layer.network.layers)
        elif not layer.operation:
            found = check_layer(layer)
            findings += found
            if not found and layer.class_name != "InputLayer":
                _check_dtype(layer, findings, others)
    for policy, paths in others.items():
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        where = f"layers {', '.join(paths[:5])}{more}"
        findings.append(Diagnostic("keras.precision", where, policy, "float32"))
    return findings


def _check_calls(network: Network) -> list[Diagnostic]:
    findings = []
    for layer in network.layers:
        calls = network.calls[layer.name]
        if layer.operation:
            findings += check_operation(layer, calls)
            continue
        if layer.class_name == "InputLayer" or (check_layer(layer) and layer.network is None):
            continue
        for call in calls:
            if call.problem:
                where = f"{layer.where}, call {call.index}"
                allowed = "a call on values"
                findings.append(
                    Diagnostic("keras.call", where, call.problem, allowed, "", layer.path)
                )
    return findings


def _policy(value: Json) -> str:
    """The name of a dtype or of a policy, whatever form it has."""
    if isinstance(value, dict):
        config = value.get("config")
        config = config if isinstance(config, dict) else value
        if "mode" in config:
            return f"{config['mode']}_from_{config.get('source_name')}"[:80]
        value = config.get("name")
    return value if isinstance(value, str) else show(value)


def _check_dtype(layer: Layer, findings: list[Diagnostic], others: dict[str, list[str]]) -> None:
    value = layer.config.get("dtype")
    policy = "float32" if value is None else _policy(value)
    if policy in _PRECISIONS:
        others.setdefault(policy, []).append(layer.path)
    elif policy != "float32":
        findings.append(
            Diagnostic(
                "keras.argument",
                f"{layer.where}, argument 'dtype'",
                show(policy),
                "float32, or one of " + ", ".join(_PRECISIONS),
                "Save the network before it is quantised.",
                layer.path,
            )
        )


# Building ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Imported:
    """What an import made.

    Attributes:
        model: The model.
        outputs: The first output of each call of a layer or model. The key is the layer's name
            after those of the models around it, each with ``.1`` at its second call, and so on.
    """

    model: Model
    outputs: dict[str, str]


class NetworkBuilder:
    """Builds the graph of a model whose layers have been checked."""

    def __init__(self, version: tuple[int, ...], metadata: Mapping[str, str]) -> None:
        self.builder = GraphBuilder("main", metadata=metadata)
        self.naming = Naming(set())
        self.version = version
        self.refused: list[Diagnostic] = []
        self.outputs: dict[str, str] = {}
        self._inputs: list[Value | None] = []
        self._calls = 0

    def declare_inputs(self, model: Layer) -> None:
        """Declare the inputs of the outermost model.

        Raises:
            FormatError: If one has no shape.
            UnsupportedFeature: If one has elements of a type that cannot be fed.
        """
        network = model.network
        if network is None:
            fail(model.where, "no layers", "a model with layers")
        by_name = {layer.name: layer for layer in network.layers}
        self._inputs += [self._input(by_name[name]) for name in network.inputs]

    def build(self, model: Layer) -> Imported:
        """The graph of the outermost model, whose inputs have been declared.

        Raises:
            FormatError: If the configuration contradicts itself or the weights.
            UnsupportedFeature: If something cannot be carried over.
        """
        network = model.network
        if network is None:
            fail(model.where, "no layers", "a model with layers")
        values = self._run(network, self._inputs, model, "")
        if self.refused:
            raise UnsupportedFeature(dict.fromkeys(self.refused))
        taken: set[str] = set()
        naming = Naming(taken)
        for (key, reference), value in zip(network.outputs, values, strict=True):
            if value is not None:
                self.builder.output(naming.unique(key or reference.layer), value)
        return Imported(self.builder.build(), self.outputs)

    def _input(self, layer: Layer) -> Value:
        config, where = layer.config, layer.where
        entry = config.get("batch_shape")
        entry = config.get("batch_input_shape") if entry is None else entry
        if entry is None and config.get("shape") is not None:
            entry = [None, *sequence(config.get("shape"), where)]
        if entry is None:
            raise FormatError(
                Diagnostic(
                    "keras.config",
                    where,
                    "no shape",
                    "the shape of an input",
                    "Call the model once, or give it an Input layer, and save it again.",
                    layer.path,
                )
            )
        shape: list[Dim] = []
        for axis, length in enumerate(sequence(entry, where)[1:]):
            if length is None:
                shape.append(f"{layer.name}.{axis}")
            elif isinstance(length, int) and 1 <= length <= MAX_LENGTH:
                shape.append(length)
            else:
                fail(where, f"length {show(length)}", f"None, or 1 to {MAX_LENGTH}")
        policy = _policy(config.get("dtype") or "float32")
        dtype = _INPUT_TYPES.get(policy)
        if dtype is None:
            found = Diagnostic(
                "keras.argument",
                f"{where}, argument 'dtype'",
                show(policy),
                "one of " + ", ".join(_INPUT_TYPES),
                source=layer.path,
            )
            raise UnsupportedFeature(found)
        value = self.builder.input(
            self.naming.unique(layer.name),
            shape,
            dtype=dtype,
            scale=None if dtype.is_float else 1.0,
            layout=_LAYOUTS.get(len(shape), ""),
        )
        self.outputs[layer.name] = value.name
        return value

    def _run(
        self, network: Network, inputs: list[Value | None], owner: Layer, scope: str
    ) -> list[Value | None]:
        """The outputs of a model, given its inputs; None for what could not be carried over."""
        if len(inputs) != len(network.inputs):
            fail(owner.where, f"a call on {len(inputs)} values", f"{len(network.inputs)} inputs")
        values: dict[Reference, Value | None] = {}
        for name, value in zip(network.inputs, inputs, strict=True):
            values[Reference(name, 0, 0)] = value
        for call in _order(network, owner):
            name = call.layer.name
            if Reference(name, call.index, 0) in values:
                continue
            for number, value in enumerate(self._call(call, values, scope)):
                values[Reference(name, call.index, number)] = value
        wanted = []
        for _, reference in network.outputs:
            if reference not in values:
                fail(owner.where, f"output {reference.output} of '{reference.layer}'", "an output")
            wanted.append(values[reference])
        return wanted

    def _call(
        self, call: Call, values: Mapping[Reference, Value | None], scope: str
    ) -> list[Value | None]:
        layer = call.layer
        self._calls += 1
        if self._calls > MAX_CALLS:
            fail(layer.where, "more calls of layers", f"{MAX_CALLS} calls", "keras.limit")
        arguments: list[Value | None] = []
        constants: list[float | None] = []
        for argument in call.arguments:
            if isinstance(argument, Reference):
                if argument not in values:
                    found = f"output {argument.output} of '{argument.layer}'"
                    fail(layer.where, found, "an output that the layer has")
                arguments.append(values[argument])
                constants.append(None)
            else:
                constants.append(argument)
        name = f"{scope}{layer.name}.{call.index}" if call.index else f"{scope}{layer.name}"
        if layer.network is not None:
            found_values = self._run(layer.network, arguments, layer, f"{name}/")
        elif layer.class_name == "InputLayer":
            fail(layer.where, "an input that is none of the model's", "one of the model's inputs")
        elif None in arguments:
            return [None]
        else:
            known = [value for value in arguments if value is not None]
            found_values = [self._translate(layer, known, constants, name)]
        if found_values and found_values[0] is not None:
            self.outputs[name] = found_values[0].name
        return found_values

    def _translate(
        self, layer: Layer, inputs: list[Value], constants: list[float | None], name: str
    ) -> Value | None:
        translation = LayerCall(
            layer,
            inputs,
            self.builder,
            self.naming,
            self.version,
            name,
            _read,
            variables_of(layer),
            constants,
        )
        handler = HANDLERS.get(layer.class_name)
        try:
            if not inputs:
                translation.malformed("no input", "an input")
            if layer.operation or handler is None:
                return OPERATIONS[layer.class_name](translation)
            return handler.build(translation)
        except Refused as refused:
            self.refused.append(refused.finding)
            return None
        except ModelError as error:
            # What does not fit its neighbours: a configuration that Keras would not load either.
            raise FormatError(
                dataclasses.replace(finding, source=layer.path) for finding in error.diagnostics
            ) from error


def _read(stored: Any, where: str) -> Any:
    return as_float32(stored.read(), where)


def _order(network: Network, owner: Layer) -> list[Call]:
    """All calls that the outputs need, each after those that it needs."""
    done: set[tuple[str, int]] = set()
    active: set[tuple[str, int]] = set()
    order: list[Call] = []
    pending = [(reference.layer, reference.call) for _, reference in reversed(network.outputs)]
    while pending:
        key = pending[-1]
        if key in done:
            pending.pop()
            continue
        call = network.calls[key[0]][key[1]]
        if key in active:
            pending.pop()
            active.discard(key)
            done.add(key)
            order.append(call)
            continue
        active.add(key)
        for argument in reversed(call.arguments):
            if isinstance(argument, Reference):
                needed = (argument.layer, argument.call)
                if needed in active:
                    fail(owner.where, f"'{argument.layer}' depends on itself", "no cycle")
                if needed not in done:
                    pending.append(needed)
    return order
