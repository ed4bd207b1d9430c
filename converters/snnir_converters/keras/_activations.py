"""Activation functions: those with a counterpart in the ``ann`` domain."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from snnir_converters.keras._json import Json, LayerConfig, unwrapped
from snnir_converters.keras._network import Layer

_SIMPLE: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "relu": ("ann.ReLU", {}),
    "relu6": ("ann.ReLU", {"max_value": 6.0}),
    "leaky_relu": ("ann.LeakyReLU", {"negative_slope": 0.2}),
    "elu": ("ann.ELU", {"alpha": 1.0}),
    "silu": ("ann.SiLU", {}),
    "swish": ("ann.SiLU", {}),
    "gelu": ("ann.GELU", {"approximate": False}),
    "sigmoid": ("ann.Sigmoid", {}),
    "tanh": ("ann.Tanh", {}),
    "softmax": ("ann.Softmax", {}),
}

_MODULES: Final = ("builtins", "keras", "keras_core", "tf_keras", "tensorflow")

LINEAR: Final = "linear"
NAMES: Final = (LINEAR, *_SIMPLE, "hard_sigmoid")
"""The functions that can be carried over."""

LAYERS: Final = ("ReLU", "LeakyReLU", "ELU", "Softmax")
"""Layers that may stand where a function is expected."""


class Activation(NamedTuple):
    """What an ``activation`` argument says.

    Attributes:
        name: Name of the function, or what is there instead of one.
        layer: The layer that stands in its place.
    """

    name: str
    layer: Layer | None = None

    @property
    def is_known(self) -> bool:
        """Whether it can be carried over."""
        return self.layer is not None or self.name in NAMES


def parse(value: Json, owner: Layer) -> Activation:
    """What an ``activation`` argument says: a name, a function or a layer."""
    value = unwrapped(value)
    if value is None:
        return Activation(LINEAR)
    if isinstance(value, str):
        return Activation(value)
    if isinstance(value, dict):
        class_name, config = value.get("class_name"), value.get("config")
        if isinstance(config, str):
            module = value.get("module") or "builtins"
            own = isinstance(module, str) and module.split(".")[0] in _MODULES
            return Activation(config if own else f"{module}.{config}")
        if class_name in LAYERS and isinstance(config, dict):
            inner = LayerConfig(config, f"{owner.where}, activation {class_name}")
            layer = Layer("activation", owner.path, str(class_name), inner)
            return Activation(str(class_name), layer)
        return Activation(str(class_name))
    return Activation(type(value).__name__)


def operator(name: str, major: int) -> tuple[str, dict[str, Any]]:
    """The operator of a function, with its attributes.

    Args:
        name: The function; not ``linear``.
        major: Major version of Keras: Keras 2 has another ``hard_sigmoid``.
    """
    if name == "hard_sigmoid":
        slope = 0.2 if major < 3 else 1 / 6
        return "ann.HardSigmoid", {"slope": slope, "offset": 0.5}
    op, attributes = _SIMPLE[name]
    return op, dict(attributes)
