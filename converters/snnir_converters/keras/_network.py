"""From a configuration to layers and the calls that connect them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from snnir.errors import Diagnostic, UnsupportedVersion
from snnir_converters.keras._json import (
    Json,
    LayerConfig,
    fail,
    integer,
    mapping,
    sequence,
    show,
    string,
)

MAX_NESTING: Final = 32
"""Models within models."""

MAX_LAYERS: Final = 1 << 16
"""Layers in a configuration."""

MODELS: Final = ("Sequential", "Functional", "Model")
"""Classes of models whose configuration says everything."""


ARITHMETIC: Final = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide")
"""Operations that can be carried over."""


class Reference(NamedTuple):
    """An output of a call of a layer."""

    layer: str
    call: int
    output: int


Argument = Reference | float
"""What a layer is called on: a value, or (operations only) a number."""


@dataclass(eq=False)
class Call:
    """One call of a layer.

    Attributes:
        layer: The layer.
        index: How often the layer was called before, in this network.
        arguments: What it is called on, in order.
        problem: What is special about the call, if that cannot be carried over.
    """

    layer: Layer
    index: int
    arguments: list[Argument]
    problem: str = ""


@dataclass(eq=False)
class Layer:
    """A layer of a configuration.

    Attributes:
        name: Its name.
        path: Its name after those of the models around it, separated by ``/``.
        class_name: Its class.
        config: Its arguments.
        custom: The module or registered name, if the class is not one of Keras itself.
        operation: Whether it is an operation (``keras.ops``) rather than a layer.
        network: What is inside, if it is a model.
        shared: Identity given by Keras, where the same layer is part of several models.
        built: Input shape that the layer was built for, batch included, if that is recorded.
        stored: The layer's variables, once they have been found: shapes and how to read them.
        tensors: What has been made of the variables; the same objects at every call.
    """

    name: str
    path: str
    class_name: str
    config: LayerConfig
    custom: str = ""
    operation: bool = False
    network: Network | None = None
    shared: int | None = None
    built: Json = None
    stored: list[Any] | None = None
    tensors: dict[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The layer, in words."""
        return f"layer '{self.path}' ({self.class_name})"


@dataclass(eq=False)
class Network:
    """The inside of a model.

    Attributes:
        layers: All layers and operations, in Keras's order.
        calls: All calls by layer name, each list in the order of the calls.
        inputs: Names of the input layers, in the order in which values arrive.
        outputs: The outputs, each with the name that Keras returns it under, if it has one.
    """

    layers: list[Layer]
    calls: dict[str, list[Call]]
    inputs: list[str]
    outputs: list[tuple[str, Reference]]


class NetworkReader:
    """Reads the configuration of a model and of all models in it."""

    def __init__(self, version: tuple[int, ...]) -> None:
        """Start.

        Args:
            version: Of the Keras that wrote the configuration.
        """
        self.version = version
        self.major = version[0]
        self._count = 0
        self._shared: dict[tuple[int, str, str], Layer] = {}

    def read(self, entry: Json) -> Layer:
        """The outermost model.

        Raises:
            FormatError: If the configuration is malformed.
        """
        return self._layer(mapping(entry, "the configuration"), "", 0)

    def _layer(self, entry: dict[str, Json], prefix: str, depth: int) -> Layer:
        self._count += 1
        if self._count > MAX_LAYERS:
            fail("the configuration", "more layers", f"{MAX_LAYERS} layers", "keras.limit")
        class_name = string(entry.get("class_name"), f"{prefix or 'the model'}, class")
        raw = entry.get("config")
        if class_name in MODELS and isinstance(raw, list):  # Keras before 2.2.3
            raw = {"layers": raw}
        values = mapping(raw, f"{class_name} in '{prefix or '/'}', configuration")
        name = string(
            entry.get("name") or values.get("name") or class_name.lower(), f"{class_name}, name"
        )
        path = f"{prefix}/{name}" if prefix else name
        shared = entry.get("shared_object_id")
        layer = Layer(
            name,
            path if depth else name,
            class_name,
            LayerConfig(values, f"layer '{path}' ({class_name})"),
            _custom(entry, class_name),
            _is_operation(entry, class_name, values),
            shared=shared if isinstance(shared, int) else None,
        )
        build = entry.get("build_config")
        if isinstance(build, dict):
            layer.built = build.get("input_shape")
        if layer.shared is not None:
            known = self._shared.setdefault((layer.shared, class_name, name), layer)
            if known is not layer:
                return known
        if class_name in MODELS and not layer.custom and "layers" in values:
            if depth >= MAX_NESTING:
                fail(layer.where, "a deeper model", f"{MAX_NESTING} models", "keras.limit")
            inner = path if depth else ""
            if class_name == "Sequential":
                layer.network = self._sequential(layer, inner, depth)
            else:
                layer.network = self._functional(layer, inner, depth)
        return layer

    def _sequential(self, model: Layer, prefix: str, depth: int) -> Network:
        entries = sequence(model.config.values["layers"], f"{model.where}, layers")
        layers = [
            self._layer(mapping(entry, f"{model.where}, a layer"), prefix, depth + 1)
            for entry in entries
        ]
        if not layers:
            fail(model.where, "no layers", "at least one", "keras.config")
        if layers[0].class_name != "InputLayer":
            layers.insert(0, _implied_input(model, layers, prefix))
        _check_names(model, layers)
        calls: dict[str, list[Call]] = {}
        before: list[Argument] = []
        for layer in layers:
            calls[layer.name] = [Call(layer, 0, before)]
            before = [Reference(layer.name, 0, 0)]
        last = Reference(layers[-1].name, 0, 0)
        return Network(layers, calls, [layers[0].name], [("", last)])

    def _functional(self, model: Layer, prefix: str, depth: int) -> Network:
        values = model.config.values
        entries = [
            mapping(entry, f"{model.where}, a layer")
            for entry in sequence(values["layers"], f"{model.where}, layers")
        ]
        layers = [self._layer(entry, prefix, depth + 1) for entry in entries]
        _check_names(model, layers)
        by_name = {layer.name: layer for layer in layers}
        calls: dict[str, list[Call]] = {}
        for layer, entry in zip(layers, entries, strict=True):
            nodes = sequence(entry.get("inbound_nodes", []), f"{layer.where}, inbound nodes")
            made = [_NodeReader(layer, self.major).read(node, i) for i, node in enumerate(nodes)]
            if layer.class_name == "InputLayer":
                made = [Call(layer, 0, [])]
            calls[layer.name] = made
        inputs = _references(values.get("input_layers"), f"{model.where}, inputs")
        outputs = _references(values.get("output_layers"), f"{model.where}, outputs")
        network = Network(layers, calls, [], [])
        for _, (name, node, _) in inputs:
            if name not in by_name or by_name[name].class_name != "InputLayer" or node != 0:
                fail(f"{model.where}, inputs", f"'{name}'", "an input layer of this model")
            network.inputs.append(name)
        if len(set(network.inputs)) != len(network.inputs):
            fail(f"{model.where}, inputs", "an input twice", "each input once")
        for key, reference in outputs:
            where = f"{model.where}, outputs"
            network.outputs.append((key, self._resolved(network, reference, where, True)))
        for made in calls.values():
            for call in made:
                where = f"{call.layer.where}, call {call.index}"
                call.arguments = [
                    self._resolved(network, argument, where, False)
                    if isinstance(argument, Reference)
                    else argument
                    for argument in call.arguments
                ]
        return network

    def _resolved(
        self, network: Network, reference: Reference, where: str, is_output: bool
    ) -> Reference:
        """The reference with the number of the call in this file.

        Keras numbers the calls of a layer from 0, except those of some models, which count the
        model's own construction as the first: in Keras 2 all models that start with an input
        layer; in Keras 3 functional models, among a model's outputs only.
        """
        made = network.calls.get(reference.layer)
        if made is None:
            fail(where, f"'{reference.layer}'", "a layer of this model")
        call = reference.call
        if len(made) == 1:
            # Keras before 3.2 numbered calls that are not part of the model, too.
            call = 0
        elif made and not is_output and self.version[:2] == (3, 2):
            # It wrote 0 for all calls of a layer, and cannot load such files itself.
            found = f"Keras {'.'.join(map(str, self.version))}, and {len(made)} calls of a layer"
            allowed = "a version that says which call is meant"
            hint = f"Save the network with Keras 3.3 or newer; the layer is '{reference.layer}'."
            raise UnsupportedVersion(Diagnostic("keras.version", where, found, allowed, hint))
        elif (inner := made[0].layer.network if made else None) is not None:
            if self.major >= 3:
                call -= is_output and made[0].layer.class_name != "Sequential"
            else:
                call -= inner.layers[0].class_name == "InputLayer"
        if not 0 <= call < len(made) or reference.output < 0:
            fail(where, f"call {reference.call} of '{reference.layer}'", f"{len(made)} calls")
        return Reference(reference.layer, call, reference.output)


def _check_names(model: Layer, layers: list[Layer]) -> None:
    seen: set[str] = set()
    for layer in layers:
        if layer.name in seen:
            fail(model.where, f"two layers '{layer.name}'", "unique names")
        seen.add(layer.name)


def _implied_input(model: Layer, layers: list[Layer], prefix: str) -> Layer:
    """The input layer of a sequential model that was saved without one."""
    shape = None
    first = inner = layers[0]
    while shape is None:
        for config in (inner.config, model.config):
            for key in ("batch_input_shape", "batch_shape", "build_input_shape"):
                shape = config.get(key) if shape is None else shape
        shape = inner.built if shape is None else shape
        if inner.network is None:
            break
        inner = inner.network.layers[0]
    shape = model.built if shape is None else shape
    taken = {layer.name for layer in layers}
    name = "input"
    while name in taken:
        name += "_"
    values = {"name": name, "batch_shape": shape, "dtype": first.config.get("dtype", "float32")}
    path = f"{prefix}/{name}" if prefix else name
    return Layer(name, path, "InputLayer", LayerConfig(values, f"the input of {model.where}"))


# Classes -------------------------------------------------------------------------------------

MODULES: Final = ("keras", "keras_core", "tf_keras", "tensorflow.keras", "tensorflow.python.keras")


def _custom(entry: dict[str, Json], class_name: str) -> str:
    """Where a class comes from that is not one of Keras's own."""
    module, registered = entry.get("module"), entry.get("registered_name")
    if isinstance(registered, str) and registered != class_name:
        return registered
    if isinstance(module, str) and not any(f"{module}.".startswith(f"{m}.") for m in MODULES):
        return f"{module}.{class_name}"
    return class_name if ">" in class_name else ""


def _is_operation(entry: dict[str, Json], class_name: str, values: dict[str, Json]) -> bool:
    module = entry.get("module")
    if isinstance(module, str):
        return ".ops" in module
    # Legacy files name no module, and layers and operations may have the same name.
    return class_name in ARITHMETIC and not any(key in values for key in ("trainable", "dtype"))


# Calls ---------------------------------------------------------------------------------------


def _is_harmless(value: Json) -> bool:
    """Whether an argument of a call says nothing: ``training=False``, ``mask=None``."""
    return value is None or value is False


class _NodeReader:
    """Reads what a layer is called on, in the ways of Keras 2 and 3."""

    def __init__(self, layer: Layer, major: int) -> None:
        self.layer = layer
        self.major = major
        self.problem = ""

    def read(self, node: Json, index: int) -> Call:
        self.problem = ""
        where = f"{self.layer.where}, call {index}"
        arguments: list[Argument] = []
        if isinstance(node, dict) and "args" in node:
            args = sequence(node["args"], where)
            keywords = mapping(node.get("kwargs") or {}, where)
            if not args and (name := next((n for n in ("inputs", "x") if n in keywords), "")):
                keywords = dict(keywords)
                args = [keywords.pop(name)]
            self._keywords(keywords)
            if len(args) > 1 and not self.layer.operation:
                extra = [a for a in args[1:] if not _is_harmless(a)]
                self.problem = self.problem or (f"{len(args)} arguments" if extra else "")
                args = args[:1]
            for argument in args:
                self._flatten3(argument, arguments, where)
        else:
            self._flatten2(node, arguments, where)
        if not any(isinstance(argument, Reference) for argument in arguments):
            self.problem = self.problem or "no value"
        return Call(self.layer, index, arguments, self.problem)

    def _keywords(self, keywords: dict[str, Json]) -> None:
        for key, value in keywords.items():
            if not _is_harmless(value):
                self.problem = self.problem or f"argument {key}={show(value, 40)}"

    def _flatten3(self, value: Json, into: list[Argument], where: str) -> None:
        """Keras 3: tensors are objects with a history, in lists, tuples or dictionaries."""
        if isinstance(value, dict):
            kind = value.get("class_name")
            if kind == "__keras_tensor__":
                inner = mapping(value.get("config"), where)
                into.append(_reference(inner.get("keras_history"), where))
            elif kind == "__tuple__":
                for entry in sequence(value, where):
                    self._flatten3(entry, into, where)
            elif "class_name" in value:
                self.problem = self.problem or f"argument {show(value, 40)}"
            else:
                for key in sorted(value):
                    self._flatten3(value[key], into, where)
        elif isinstance(value, (list, tuple)):
            for entry in value:
                self._flatten3(entry, into, where)
        elif self.layer.operation and isinstance(value, (int, float)):
            into.append(float(value) if abs(value) < 1e300 else float("nan"))
        elif value is not None:
            self.problem = self.problem or f"argument {show(value, 40)}"

    def _flatten2(self, value: Json, into: list[Argument], where: str) -> None:
        """Keras 2: tensors are lists ``[layer, call, output, keywords]``, nested as the call's."""
        if isinstance(value, dict):
            for key in sorted(value):
                self._flatten2(value[key], into, where)
            return
        entries = sequence(value, where)
        if _is_reference(entries, (3, 4)):
            into.append(_reference(entries[:3], where))
            if len(entries) == 4:
                self._keywords(mapping(entries[3] or {}, where))
        else:
            for entry in entries:
                self._flatten2(entry, into, where)


def _is_reference(value: Json, lengths: tuple[int, ...] = (3,)) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) in lengths
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _reference(value: Json, where: str) -> Reference:
    entries = sequence(value, where)
    if len(entries) != 3:
        fail(where, show(value), "a layer's name, a call and an output")
    return Reference(
        string(entries[0], where), integer(entries[1], where), integer(entries[2], where)
    )


def _references(value: Json, where: str, key: str = "") -> list[tuple[str, Reference]]:
    """All references in a structure, in Keras's order, with their keys in a dictionary."""
    if _is_reference(value):
        return [(key, _reference(value, where))]
    if isinstance(value, dict) and "class_name" not in value:
        return [r for name in sorted(value) for r in _references(value[name], where, name)]
    return [r for entry in sequence(value, where) for r in _references(entry, where, key)]
