"""What a NetX file says, layer by layer, as ``lava.lib.dl.netx`` 0.6.0 reads it.

Variants that mean the same are taken alike: a number or a list of one, a string of any kind,
weights that are flat or have an axis of time of length 1. What the loader skips in silence is an
error if it changes the network, and otherwise a finding.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from snnir import limits
from snnir.errors import Diagnostic, FormatError, UnsupportedFeature
from snnir_converters._hdf5 import MAX_BYTES, Dataset, Group, open_hdf5

Array = npt.NDArray[Any]
Kind = Literal["input", "dense", "dense_rec", "conv", "flatten"]
NeuronKind = Literal["CUBA", "Delta", "SigmaDelta", "Sigma"]

KINDS: Final[tuple[Kind, ...]] = ("input", "dense", "dense_rec", "conv", "flatten")
MAX_LAYERS: Final = 1 << 12
MAX_NEURONS: Final = 1 << 26

NEVER: Final = 1 << 17
"""A threshold that a potential cannot exceed; all above it are the same."""

MAX_SIGMA_DELTA: Final = (1 << 19) - 1
"""Largest threshold of sigma-delta neurons: it is shifted left by 12 bits of 32."""

MAX_INT8: Final = 127
"""Largest stride, padding, dilation, kernel or number of groups: Lava keeps them in 8 bits."""

MIN_STEP_MS: Final = 1e-6
MAX_STEP_MS: Final = 1e6

MAX_DELAY: Final = 62
"""NetX clips longer delays to this."""

_LAYER_FIELDS: Final[dict[Kind, frozenset[str]]] = {
    "input": frozenset({"shape", "neuron", "weight", "bias"}),
    "dense": frozenset({"shape", "neuron", "weight", "bias", "delay", "inFeatures", "outFeatures"}),
    "dense_rec": frozenset(
        {"shape", "neuron", "weight", "weight_rec", "bias", "delay", "inFeatures", "outFeatures"}
    ),
    "conv": frozenset(
        {"shape", "neuron", "weight", "bias", "stride", "padding", "dilation", "groups"}
        | {"kernelSize", "inChannels", "outChannels"}
    ),
    "flatten": frozenset({"shape"}),
}
"""What the loader uses, and what only repeats it."""

_HARMLESS: Final[dict[str, float | None]] = {
    "refDelay": 1,
    "gradedSpike": 0,
    "wgtExp": 0,
    "theta": None,
    "scaleRho": None,
    "tauRho": None,
}
"""Fields of a neuron that the loader does not use: the value with which they change nothing, or
None if they are for training only."""

_NEURON_FIELDS: Final = {
    "CUBA": frozenset({"type", "vThMant", "iDecay", "vDecay"}),
    "SDNN": frozenset({"type", "vThMant", "sigma_output", "activation"}),
}


@dataclass(frozen=True)
class Neuron:
    """Neurons of a layer.

    Attributes:
        kind: What they are.
        threshold: In the unit of the weights; at most :data:`NEVER`.
        current_decay: Of the current, in units of 1/4096 per step.
        voltage_decay: Of the potential.
    """

    kind: NeuronKind
    threshold: int = 0
    current_decay: int = 0
    voltage_decay: int = 0


@dataclass(frozen=True)
class Layer:
    """A layer of a file; axes are in the file's order: channels, height, width.

    Attributes:
        index: Its number.
        kind: Its type.
        shape: Of its neurons.
        neuron: What they are; None in an ``input`` without, and in ``flatten``.
        weight: Integers: (out, in), or (out, in per group, height, width).
        recurrent: Weights from the layer itself, (out, out).
        bias: One for each neuron, or one for each channel.
        delay: Steps: a number, or one for each synapse (out, in).
        stride: Along height and width.
        padding: Along height and width, on both sides.
        dilation: Along height and width.
        groups: Of channels.
    """

    index: int
    kind: Kind
    shape: tuple[int, ...] = ()
    neuron: Neuron | None = None
    weight: Array | None = None
    recurrent: Array | None = None
    bias: Array | None = None
    delay: Array | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class NetXFile:
    """What is in a file.

    Attributes:
        layers: In their order.
        step_ms: Length of a step in milliseconds, if the file says.
        steps: Presentation length, if the file says.
        findings: What was changed, or is not used.
    """

    layers: tuple[Layer, ...]
    step_ms: float | None
    steps: int | None
    findings: tuple[Diagnostic, ...]


def is_netx(path: str | os.PathLike[str]) -> bool:
    """Whether a file is HDF5 and has what a NetX file starts with.

    Raises:
        SnnirError: If it is no HDF5.
    """
    with open_hdf5(path, extra="netx") as root:
        first = root.get("layer/0/type")
        return isinstance(first, Dataset) and first.is_text


def read_file(
    source: str | os.PathLike[str] | bytes, *, max_bytes: int = MAX_BYTES, name: str = ""
) -> NetXFile:
    """Read a NetX file.

    Raises:
        MissingDependency: If h5py is not installed.
        FileError: If the file cannot be read.
        FormatError: If it is not NetX, damaged, or does not say what is needed.
        UnsupportedFeature: If it holds layers or neurons that cannot be carried over.
    """
    with open_hdf5(source, name=name, max_bytes=max_bytes, extra="netx") as root:
        return _Reader(root).read()


class _Problem(Exception):
    """A field cannot be used; its finding has been reported."""


class _Reader:
    def __init__(self, root: Group) -> None:
        self._root = root
        self._findings: list[Diagnostic] = []

    def read(self) -> NetXFile:
        """All layers.

        Raises:
            FormatError: With everything that is wrong.
            UnsupportedFeature: Likewise, if something of it is merely not supported.
        """
        layers = self._layers()
        try:
            step_ms, steps = self._times()
        except _Problem:
            step_ms = steps = None
        errors = [finding for finding in self._findings if finding.severity == "error"]
        if errors:
            unsupported = any(f.code in ("netx.layer", "netx.neuron") for f in errors)
            raise (UnsupportedFeature if unsupported else FormatError)(errors)
        return NetXFile(tuple(layers), step_ms, steps, tuple(self._findings))

    def _layers(self) -> list[Layer]:
        group = self._root.get("layer")
        names = group.names() if isinstance(group, Group) else []
        if not isinstance(group, Group) or not names:
            raise FormatError(
                Diagnostic(
                    "netx.not-netx", "group 'layer'", "no layer", "layers '0', '1' and so on"
                )
            )
        if len(names) > MAX_LAYERS:
            self._report("netx.value", "group 'layer'", f"{len(names)}", f"{MAX_LAYERS} layers")
            return []
        layers: list[Layer] = []
        for index in range(len(names)):
            try:
                member = group.get(str(index))
                if not isinstance(member, Group):
                    allowed = f"groups '0' to '{len(names) - 1}'"
                    self._report("netx.missing", "group 'layer'", f"no group '{index}'", allowed)
                    continue
                layers.append(_LayerReader(index, member, self._findings).read())
            except FormatError as error:
                self._findings += error.diagnostics
            except _Problem:
                pass
        return layers

    def _times(self) -> tuple[float | None, int | None]:
        """What SLAYER notes, and the loader does not use: step in milliseconds, and steps."""
        group = self._root.get("simulation")
        if not isinstance(group, Group):
            return None, None
        fields = _Fields("group 'simulation'", self._findings)
        step, steps = (fields.optional_number(group, name) for name in ("Ts", "tSample"))
        if step is not None and not MIN_STEP_MS <= step <= MAX_STEP_MS:
            fields.report(
                "netx.ignored", "'Ts'", f"{step:g}", f"{MIN_STEP_MS:g} to {MAX_STEP_MS:g}"
            )
            step = None
        if steps is not None and not (1 <= steps < limits.MAX_STEPS and steps == int(steps)):
            allowed = f"a whole number from 1 to {limits.MAX_STEPS - 1}"
            fields.report("netx.ignored", "'tSample'", f"{steps:g}", allowed)
            steps = None
        return step, None if steps is None else int(steps)

    def _report(self, code: str, where: str, found: str, allowed: str, hint: str = "") -> None:
        self._findings.append(Diagnostic(code, where, found, allowed, hint))


class _Fields:
    """Reads datasets of one place in a file."""

    def __init__(self, where: str, findings: list[Diagnostic]) -> None:
        self._where = where
        self._findings = findings

    def report(self, code: str, item: str, found: str, allowed: str, hint: str = "") -> None:
        """Add a finding."""
        where = f"{self._where}, {item}" if item else self._where
        self._findings.append(Diagnostic(code, where, found, allowed, hint))

    def fail(self, code: str, item: str, found: str, allowed: str, hint: str = "") -> _Problem:
        """Add a finding; what is returned is to be raised."""
        self.report(code, item, found, allowed, hint)
        return _Problem()

    def array(self, group: Group, name: str) -> Array:
        """The finite numbers of a dataset."""
        try:
            found = group.get(name)
            if not isinstance(found, Dataset):
                kind = "nothing" if found is None else "a group"
                raise self.fail("netx.missing", f"'{name}'", kind, "a dataset")
            values = found.read()
        except FormatError as error:
            self._findings += error.diagnostics
            raise _Problem from error
        if values.dtype.kind not in "biuf":
            raise self.fail("netx.value", f"'{name}'", f"{values.dtype}", "numbers")
        if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
            raise self.fail("netx.value", f"'{name}'", "NaN or infinity", "finite numbers")
        if values.size and np.abs(values.astype(np.float64)).max() >= 1 << 31:
            raise self.fail("netx.value", f"'{name}'", "numbers beyond 32 bits", "smaller ones")
        return values

    def truncated(self, group: Group, name: str) -> Array:
        """Integers, as the loader makes them of any numbers: without their fractions."""
        values = self.array(group, name)
        integers = np.trunc(values).astype(np.int64) if values.size else values.astype(np.int64)
        changed = int(np.count_nonzero(integers != values))
        if changed:
            found = f"{changed} of {values.size} numbers with a fraction"
            self.report("netx.fraction", f"'{name}'", found, "whole numbers")
        return integers

    def integers(self, group: Group, name: str) -> Array:
        """Whole numbers."""
        values = self.array(group, name)
        if np.any(values != np.trunc(values)):
            raise self.fail("netx.value", f"'{name}'", "fractions", "whole numbers")
        return values.astype(np.int64)

    def number(self, group: Group, name: str, low: int, high: int) -> int:
        """One whole number of a range."""
        values = self.integers(group, name)
        if values.size != 1:
            shape = list(values.shape)
            raise self.fail("netx.value", f"'{name}'", f"an array of shape {shape}", "one number")
        value = int(values.reshape(-1)[0])
        if not low <= value <= high:
            raise self.fail("netx.value", f"'{name}'", f"{value}", f"{low} to {high}")
        return value

    def optional_number(self, group: Group, name: str) -> float | None:
        """One number, or None."""
        if group.get(name) is None:
            return None
        values = self.array(group, name)
        return float(values.reshape(-1)[0]) if values.size == 1 else None


class _LayerReader(_Fields):
    def __init__(self, index: int, group: Group, findings: list[Diagnostic]) -> None:
        super().__init__(f"layer {index}", findings)
        self._index = index
        self._group = group
        self._names = group.names()

    def read(self) -> Layer:
        """The layer; what does not fit is reported."""
        kind = self._text(self._group, "type")
        if kind not in KINDS:
            allowed = ", ".join(KINDS)
            raise self.fail("netx.layer", "'type'", f"'{kind[:80]}'", allowed)
        self._where = f"layer {self._index} ({kind})"
        self._report_unused(kind, self._names, _LAYER_FIELDS[kind] | {"type"}, "")
        if kind == "flatten":
            return Layer(self._index, kind)
        before = len(self._findings)
        shape = self._try(self._shape)
        neuron = self._try(self._neuron, kind)
        rest: dict[str, Any] = {}
        if kind == "input":
            self._check_transform()
        elif shape is not None:
            if kind != "conv":
                shape = (math.prod(shape),)
            synapses = self._conv if kind == "conv" else self._dense
            rest = self._try(synapses, shape) or {}
            if kind == "dense_rec":
                rest["recurrent"] = self._try(self._recurrent, shape[0])
            if "bias" in self._names:
                rest["bias"] = self._try(self._bias, shape)
        if shape is None or any(f.severity == "error" for f in self._findings[before:]):
            raise _Problem
        return Layer(self._index, kind, shape, neuron, **rest)

    def _try(self, read: Any, *arguments: Any) -> Any:
        """What ``read`` returns, or None if a field cannot be used."""
        try:
            return read(*arguments)
        except _Problem:
            return None
        except FormatError as error:
            self._findings += error.diagnostics
            return None

    def _text(self, group: Group, name: str) -> str:
        return group.dataset(name).text()

    def _shape(self) -> tuple[int, ...]:
        values = self.integers(self._group, "shape").reshape(-1)
        shape = tuple(map(int, values))
        sizes = 1 <= len(shape) <= 3 and all(size >= 1 for size in shape)
        if not sizes or math.prod(shape) > MAX_NEURONS:
            allowed = f"1 to 3 sizes above 0, at most {MAX_NEURONS} in all"
            raise self.fail("netx.value", "'shape'", f"{list(shape)[:8]}", allowed)
        return shape

    # Neurons ---------------------------------------------------------------------------------

    def _neuron(self, kind: Kind) -> Neuron | None:
        group = self._group.get("neuron")
        if group is None:
            if kind == "input":
                return None
            if kind != "conv":
                self.report(
                    "netx.default", "", "no neuron", "neurons", "The network has integrators here."
                )
                return Neuron("CUBA", NEVER, 0, 4096)
        if not isinstance(group, Group):
            found = "nothing" if group is None else "a dataset"
            raise self.fail("netx.missing", "'neuron'", found, "a group")
        label = self._text(group, "type")
        if label in ("LOIHI", "CUBA"):
            return self._cuba(group)
        if label == "SDNN":
            return self._sigma_delta(group, kind)
        allowed = "LOIHI, CUBA, SDNN"
        raise self.fail("netx.neuron", "neuron, 'type'", f"'{label[:80]}'", allowed)

    def _cuba(self, group: Group) -> Neuron:
        names = self._neuron_names(group, "CUBA")
        given = [
            self._try(self._threshold, group),
            self._try(self.number, group, "iDecay", 0, 4096),
            self._try(self.number, group, "vDecay", 0, 4096),
        ]
        if None in given:
            raise _Problem
        for name in sorted(names & set(_HARMLESS)):
            neutral, value = _HARMLESS[name], self.optional_number(group, name)
            if neutral is not None and value != neutral:
                self.report(
                    "netx.ignored", f"neuron, '{name}'", f"{value}", f"{neutral:g}", _UNUSED
                )
        return Neuron("CUBA", *given)

    def _threshold(self, group: Group) -> int:
        return min(self.number(group, "vThMant", 0, (1 << 31) - 1), NEVER)

    def _sigma_delta(self, group: Group, kind: Kind) -> Neuron:
        names = self._neuron_names(group, "SDNN")
        if "activation" in names:
            label = self._text(group, "activation")
            if label.lower() != "relu":
                raise self.fail("netx.neuron", "neuron, 'activation'", f"'{label[:80]}'", "'relu'")
        if kind == "input":
            return Neuron("Delta", self.number(group, "vThMant", 0, MAX_SIGMA_DELTA))
        if "sigma_output" in names:
            return Neuron("Sigma")
        return Neuron("SigmaDelta", self.number(group, "vThMant", 0, MAX_SIGMA_DELTA))

    def _neuron_names(self, group: Group, kind: str) -> set[str]:
        names = set(group.names())
        self._report_unused(kind, names, _NEURON_FIELDS[kind] | set(_HARMLESS), "neuron, ")
        if "messageBits" in names:
            raise self.fail(
                "netx.neuron", "neuron, 'messageBits'", "messageBits", "none: NetX fails on it"
            )
        return names

    def _report_unused(
        self, kind: str, names: Sequence[str] | set[str], known: frozenset[str] | set[str], at: str
    ) -> None:
        for name in sorted(set(names) - known - {"messageBits"}):
            self.report("netx.ignored", f"{at}'{name[:80]}'", "a field", "fields of NetX", _UNUSED)

    # Synapses --------------------------------------------------------------------------------

    def _check_transform(self) -> None:
        """An input layer's weight and bias are for whoever feeds the network."""
        for name in ("weight", "bias"):
            if name in self._names:
                value = self._try(self.optional_number, self._group, name)
                self.report(
                    "netx.ignored",
                    f"'{name}'",
                    f"{value}",
                    "none",
                    "Apply it to what is fed (weight * x + bias): the loader does not.",
                )

    def _dense(self, shape: tuple[int, ...]) -> dict[str, Any]:
        fields = {"weight": self._matrix("weight", shape[0])}
        if "delay" in self._names:
            fields["delay"] = self._delay(fields["weight"].shape)
        return fields

    def _recurrent(self, size: int) -> Array:
        matrix = self._matrix("weight_rec", size)
        if matrix.shape != (size, size):
            found = f"{list(matrix.shape)}"
            raise self.fail("netx.shape", "'weight_rec'", found, f"[{size}, {size}]")
        if "delay" in self._names:
            raise self.fail(
                "netx.layer",
                "'delay'",
                "delays in a recurrent layer",
                "none",
                "NetX drops the exponent of its weights; delay the layer before instead.",
            )
        return matrix

    def _matrix(self, name: str, rows: int) -> Array:
        if isinstance(self._group.get(name), Group):
            raise self.fail("netx.layer", f"'{name}'", "complex weights", "a matrix of numbers")
        weight = self.truncated(self._group, name)
        if weight.ndim == 1 and weight.size and weight.size % rows == 0:
            weight = weight.reshape(rows, -1)
        if weight.ndim != 2 or weight.shape[0] != rows or not weight.size:
            allowed = f"[{rows}, inputs], or flat"
            raise self.fail("netx.shape", f"'{name}'", f"{list(weight.shape)}", allowed)
        return weight

    def _delay(self, shape: tuple[int, ...]) -> Array:
        delay = self.integers(self._group, "delay")
        out, inputs = shape
        if delay.size == 1 and (delay.ndim == 0 or (out, inputs) == (1, 1)):
            delay = delay.reshape(())
        elif delay.shape == (out,):
            delay = np.broadcast_to(delay[:, np.newaxis], shape)
        elif delay.shape == (inputs,):
            delay = np.broadcast_to(delay, shape)
        elif delay.shape != shape:
            allowed = f"[{out}, {inputs}], [{out}] or [{inputs}]"
            raise self.fail("netx.shape", "'delay'", f"{list(delay.shape)}", allowed)
        if delay.min() < 0:
            raise self.fail("netx.value", "'delay'", f"{delay.min()}", f"0 to {MAX_DELAY}")
        if delay.max() > MAX_DELAY:
            self.report("netx.clipped", "'delay'", f"up to {delay.max()} steps", f"{MAX_DELAY}")
            delay = np.minimum(delay, MAX_DELAY)
        return delay

    def _conv(self, shape: tuple[int, ...]) -> dict[str, Any]:
        if len(shape) != 3:
            raise self.fail("netx.shape", "'shape'", f"{list(shape)}", "channels, height, width")
        weight = self.truncated(self._group, "weight")
        if weight.ndim == 5 and weight.shape[4] == 1:
            weight = weight[..., 0]
        if weight.ndim != 4 or not weight.size or weight.shape[0] != shape[0]:
            allowed = f"[{shape[0]}, channels in a group, height, width]"
            raise self.fail("netx.shape", "'weight'", f"{list(weight.shape)}", allowed)
        groups = self.number(self._group, "groups", 1, MAX_INT8)
        return {
            "weight": weight,
            "stride": self._pair("stride", 1),
            "padding": self._pair("padding", 0),
            "dilation": self._pair("dilation", 1),
            "groups": groups,
        }

    def _pair(self, name: str, low: int) -> tuple[int, int]:
        values = self.integers(self._group, name).reshape(-1)
        if values.size not in (1, 2) or values.min() < low or values.max() > MAX_INT8:
            found = f"{values.tolist()[:4]}"
            raise self.fail(
                "netx.value", f"'{name}'", found, f"one or two numbers, {low} to {MAX_INT8}"
            )
        return int(values[0]), int(values[-1])

    def _bias(self, shape: tuple[int, ...]) -> Array:
        bias = self.truncated(self._group, "bias")
        if bias.size == 1:
            return bias.reshape(())
        if bias.shape == shape[:1]:
            return bias
        # For each neuron the loader takes the order of its own shape: width, height, channels.
        if len(shape) == 3 and bias.shape == shape[::-1]:
            return bias.transpose(2, 1, 0)
        allowed = f"{list(shape[:1])}" + (f" or {list(shape[::-1])}" if len(shape) == 3 else "")
        raise self.fail("netx.shape", "'bias'", f"{list(bias.shape)}", allowed)


_UNUSED: Final = "NetX does not use it, and neither does the network."
