"""Which stored array is which variable of which layer.

`.keras` files (``model.weights.h5``): a model's layers lie in a group ``layers``, each in one
named after its class in snake case; the second of a class gets ``_1``, and so on, counted over
the layers of that model in its order (an operation is no layer, and a sequential model's input
layer does not count). A layer's variables are ``vars/0``, ``vars/1``, ...: the trainable ones,
then the others. A layer that is part of two models is stored where the walk (depth first) meets
it first; the other place is counted but not written. So wrote every Keras from 2.15 to 3.15. Keras
2.12 to 2.14 called the group ``_layer_checkpoint_dependencies``; 2.12 and 2.13 counted a layer
that has variables twice.

Legacy `.h5` files: a group for each layer of the outermost model, with the names of its
variables in an attribute: the trainable ones of the layer and all inside it, then the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FormatError
from snnir_converters._hdf5 import Dataset, Group
from snnir_converters.keras._handler import Variable
from snnir_converters.keras._layers import variables_of
from snnir_converters.keras._network import Layer, Network

Array = npt.NDArray[Any]

GROUP: Final = "layers"
OLD_GROUP: Final = "_layer_checkpoint_dependencies"


class Stored(Protocol):
    """A variable that can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, known without reading it."""

    def read(self) -> Array:
        """Its value."""


class LiveArray:
    """A variable of a model that is in memory."""

    def __init__(self, value: Array) -> None:
        self._value = value
        self.shape: tuple[int, ...] = tuple(value.shape)

    def read(self) -> Array:
        """A copy of its value: the model may go on training."""
        return self._value.copy()


def as_float32(array: Array, where: str) -> npt.NDArray[np.float32]:
    """The numbers of a variable as float32; the two bytes of a bfloat16 become one.

    Raises:
        FormatError: If the elements are not floating-point numbers.
    """
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:
        bits = array.view(np.uint16).astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32).reshape(array.shape)
    if array.dtype.name == "bfloat16":
        return np.asarray(array.astype(np.float32))
    if array.dtype.kind != "f":
        raise FormatError(
            Diagnostic("keras.weights", where, f"elements of {array.dtype}", "floats")
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def snake_case(class_name: str) -> str:
    """The name that Keras derives from a class, e.g. ``conv2d_transpose``."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# .keras --------------------------------------------------------------------------------------


def find_in_archive(root: Group, model: Layer, version: tuple[int, ...], source: str) -> None:
    """Find the variables of all layers of a model in its ``model.weights.h5``.

    Args:
        root: The root group of that file.
        model: The outermost model.
        version: Of the Keras that wrote it.
        source: What to call the file in messages.

    Raises:
        FormatError: If variables are missing, or there are others than the layers have.
    """
    old = root.get(GROUP) is None and root.get(OLD_GROUP) is not None
    finder = _ArchiveFinder(OLD_GROUP if old else GROUP, old and version < (2, 14), source)
    finder.walk(root, model)


class _ArchiveFinder:
    def __init__(self, group: str, counts_twice: bool, source: str) -> None:
        self.group = group
        self.counts_twice = counts_twice
        self.source = source
        self.seen: set[Layer] = set()

    def walk(self, place: Group | None, model: Layer) -> None:
        """Find the variables of all layers in a model, given the model's own group."""
        network = model.network
        if network is None:
            return
        holder = place.get(self.group) if place is not None else None
        used: dict[str, int] = {}
        for layer in network.layers:
            if layer.operation or (
                model.class_name == "Sequential" and layer.class_name == "InputLayer"
            ):
                continue
            kind = snake_case(layer.class_name)
            number = used.get(kind, 0)
            has_variables = any(True for _ in _leaf_variables(layer))
            used[kind] = number + (2 if self.counts_twice and has_variables else 1)
            if layer in self.seen:
                continue
            self.seen.add(layer)
            name = f"{kind}_{number}" if number else kind
            found = holder.get(name) if isinstance(holder, Group) else None
            group = found if isinstance(found, Group) else None
            if layer.network is not None:
                self.walk(group, layer)
            else:
                self._take(group, layer, f"{self.group}/{name}")

    def _take(self, group: Group | None, layer: Layer, place: str) -> None:
        wanted = variables_of(layer)
        found = group.get("vars") if group is not None else None
        names: list[str] = []
        if isinstance(found, Group):
            recorded = found.attribute("name")
            if isinstance(recorded, str) and recorded != layer.name:
                _misfit(layer, f"variables of '{recorded}' in '{place}'", f"'{layer.name}'")
            names = found.names()
        elif wanted and (same := self._same(layer)) is not None:
            layer.stored, layer.tensors = same.stored, same.tensors
            return
        if sorted(names) != sorted(map(str, range(len(wanted)))):
            _misfit(
                layer,
                f"{len(names)} variables in '{place}' of {self.source}",
                f"{len(wanted)}: {', '.join(v.name for v in wanted) or 'none'}",
            )
        if isinstance(found, Group):
            layer.stored = [found.dataset(str(number)) for number in range(len(wanted))]
        else:
            layer.stored = []

    def _same(self, layer: Layer) -> Layer | None:
        """The layer that this one is: it was stored before, as part of another model.

        The configuration says so in words alone, but a layer that is stored nowhere cannot be
        another one.
        """
        alike = [
            other
            for other in self.seen
            if other is not layer
            and other.stored
            and (other.class_name, other.name) == (layer.class_name, layer.name)
            and _anonymous(other.config.values) == _anonymous(layer.config.values)
        ]
        return alike[0] if len(alike) == 1 else None


def _anonymous(value: Any) -> Any:
    """A configuration without the numbers that Keras gives to objects."""
    if isinstance(value, dict):
        return {k: _anonymous(v) for k, v in value.items() if k != "shared_object_id"}
    return [_anonymous(entry) for entry in value] if isinstance(value, list) else value


def _misfit(layer: Layer, found: str, allowed: str) -> None:
    raise FormatError(Diagnostic("keras.weights", layer.where, found, allowed, source=layer.path))


# Legacy .h5 ----------------------------------------------------------------------------------


def find_in_legacy(root: Group, model: Layer) -> None:
    """Find the variables of all layers of a model in a legacy `.h5` file.

    Args:
        root: The root group of the file.
        model: The outermost model.

    Raises:
        FormatError: If variables are missing, or there are others than the layers have.
    """
    network = model.network
    weights = root.group("model_weights")
    known = set(strings(weights, "layer_names"))
    for layer in network.layers if network else ():
        if layer.operation:
            continue
        wanted = list(_leaf_variables(layer))
        if layer.name not in known and not wanted:
            _give(layer, [], [])
            continue
        group = weights.group(layer.name)
        names = strings(group, "weight_names")
        orders = [_trainable_first(layer), _keras3_order(layer)]
        datasets = [group.dataset(name) for name in names]
        last = [name.rstrip("/").rsplit("/", 1)[-1].split(":")[0] for name in names]
        fitting = [order for order in orders if _named_alike(order, last)]
        if not fitting:
            allowed = ", ".join(v.name for _, v in orders[0]) or "none"
            _misfit(layer, f"variables {', '.join(last) or 'none'}"[:200], allowed[:200])
        _give(layer, fitting[0], datasets)


def strings(group: Group, name: str) -> list[str]:
    """A list of names in an attribute, which Keras splits if it is long.

    Raises:
        FormatError: If it is not there, or not a list of strings.
    """
    parts = [group.attribute(name)]
    if parts[0] is None:
        parts = []
        while (part := group.attribute(f"{name}{len(parts)}")) is not None:
            parts.append(part)
    found: list[str] = []
    for part in parts:
        if isinstance(part, list):
            found += part
        elif isinstance(part, str) or part is None or part.size:
            where = f"'{group.path}', attribute '{name}'"
            raise FormatError(Diagnostic("keras.weights", where, "no list", "a list of names"))
    return found


Owned = tuple[Layer, Variable]


def _leaf_variables(layer: Layer) -> Iterator[Owned]:
    """All variables of a layer and of those inside it, layer by layer; of a shared one once."""
    seen: set[Layer] = set()
    pending = [layer]
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.network is not None:
            pending += reversed(current.network.layers)
        else:
            for variable in variables_of(current):
                yield current, variable


def _trains(layer: Layer) -> bool:
    return layer.config.get("trainable", True) is not False


def _trainable_first(layer: Layer) -> list[Owned]:
    """The order of Keras 2: a frozen layer's variables keep theirs, at the end."""
    trained, others = _halves(layer)
    return trained + others


def _halves(layer: Layer) -> tuple[list[Owned], list[Owned]]:
    trained: list[Owned] = []
    others: list[Owned] = []
    if layer.network is None:
        for variable in variables_of(layer):
            (trained if variable.trainable else others).append((layer, variable))
    else:
        for inner in _inner_layers(layer.network):
            inner_trained, inner_others = _halves(inner)
            trained += inner_trained
            others += inner_others
    trained, others = _once(trained), _once(others)
    return (trained, others) if _trains(layer) else ([], trained + others)


def _once(owned: list[Owned]) -> list[Owned]:
    return list(dict.fromkeys(owned))


def _inner_layers(network: Network) -> Sequence[Layer]:
    return [layer for layer in network.layers if not layer.operation]


def _keras3_order(layer: Layer) -> list[Owned]:
    """The order of Keras 3: all variables layer by layer, those that train first."""
    everything = [*_leaf_variables(layer)]
    if not _trains(layer):
        return everything
    frozen = {owner for owner, _ in everything if not _trains(owner)}

    def trains(owned: Owned) -> bool:
        return owned[1].trainable and owned[0] not in frozen

    return [o for o in everything if trains(o)] + [o for o in everything if not trains(o)]


def _named_alike(order: list[Owned], names: list[str]) -> bool:
    return len(order) == len(names) and all(
        name in variable.names for (_, variable), name in zip(order, names, strict=True)
    )


def _give(layer: Layer, order: list[Owned], found: Sequence[Dataset]) -> None:
    """Hand the stored variables to the layers that they belong to, each in its own order."""
    given = {
        (owner, variable): entry for (owner, variable), entry in zip(order, found, strict=True)
    }
    pending = [layer]
    seen: set[Layer] = set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.network is not None:
            pending += current.network.layers
        elif current.stored is None:
            current.stored = [given[current, variable] for variable in variables_of(current)]


# Live models ---------------------------------------------------------------------------------


def find_in_live(layers: Sequence[Any], model: Layer) -> None:
    """Take the variables of all layers from a model that is in memory.

    Args:
        layers: The layers of the live model.
        model: The outermost model's configuration.

    Raises:
        FormatError: If the configuration and the live layers do not agree.
    """
    by_name = {str(layer.name): layer for layer in layers}
    for layer in model.network.layers if model.network else ():
        if layer.operation or layer.stored is not None:
            continue
        live = by_name.get(layer.name)
        if layer.network is not None and live is not None:
            find_in_live(live.layers, layer)
            continue
        wanted = variables_of(layer)
        arrays = [np.asarray(array) for array in live.get_weights()] if live is not None else []
        if len(arrays) != len(wanted):
            allowed = ", ".join(v.name for v in wanted) or "none"
            _misfit(layer, f"{len(arrays)} variables", f"{len(wanted)}: {allowed}")
        layer.stored = [LiveArray(array) for array in arrays]
