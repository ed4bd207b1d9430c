"""From the layers of a NetX file to a graph of domain ``loihi2``."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import Diagnostic, FormatError
from snnir.ir.builder import GraphBuilder, Value
from snnir.ir.model import Model
from snnir_converters.netx._file import MAX_SIGMA_DELTA, NEVER, Layer, NetXFile, Neuron
from snnir_converters.netx._weights import ALL_NEGATIVE, LOADABLE, UnloadableWeights, load_weights

Array = npt.NDArray[Any]

CHW: Final = (2, 0, 1)
"""Axes of height, width, channels in the order of a file."""

DEFAULT_STEP_MS: Final = 1.0

BIAS_RANGES: Final = {
    "CUBA": (-4096, 4095),
    "SigmaDelta": (-MAX_SIGMA_DELTA, MAX_SIGMA_DELTA),
}
"""Smallest and largest bias by kind of neuron."""


def build_model(
    file: NetXFile, metadata: dict[str, str], input_shape: tuple[int, ...] | None = None
) -> Model:
    """The network of a file, as Lava runs it.

    Args:
        file: The file.
        metadata: Of the model.
        input_shape: Height, width and channels, for a file that does not say.

    Raises:
        FormatError: With everything that does not fit together.
    """
    dt = (file.step_ms or DEFAULT_STEP_MS) * 1e-3
    build = _Build(GraphBuilder("netx", dt=dt, steps=file.steps or 1, metadata=metadata))
    build.findings += file.findings
    build.layers(file.layers, input_shape)
    errors = [finding for finding in build.findings if finding.severity == "error"]
    if errors or build.value is None:
        raise FormatError(errors)
    build.builder.output("output", build.value)
    model = build.builder.build()
    model.findings = tuple(build.findings)
    return model


class _Build:
    """A graph under construction, layer by layer."""

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder
        self.findings: list[Diagnostic] = []
        self.value: Value | None = None
        """What the latest neurons send."""
        self._operators = builder.domain("loihi2")
        self._shape: tuple[int, ...] = ()
        self._neurons = 0
        self._flattened = False
        self._recurrent: dict[str, Any] = {}

    def layers(self, layers: tuple[Layer, ...], input_shape: tuple[int, ...] | None) -> None:
        """Add all of them."""
        self._shape = input_shape or ()
        last = max((layer.index for layer in layers if layer.neuron), default=-1)
        if last < 0:
            self._report("netx.not-netx", None, "no neurons", "layers with neurons")
        for layer in layers:
            if layer.kind == "input":
                self._input(layer)
            elif layer.kind == "flatten":
                self._flatten(layer)
            else:
                self._connected(layer)
            if layer.neuron and layer.neuron.threshold == NEVER and layer.index < last:
                found = "neurons that never fire"
                self._report("netx.neuron", layer, found, "them in the last layer only")

    def _report(
        self, code: str, layer: Layer | None, found: str, allowed: str, hint: str = ""
    ) -> None:
        where = f"layer {layer.index} ({layer.kind})" if layer else "layers"
        self.findings.append(Diagnostic(code, where, found, allowed, hint))

    def _input(self, layer: Layer) -> None:
        if layer.index or self._neurons:
            self._report("netx.layer", layer, "a later layer", "an input as layer 0")
        shape = layer.shape
        self._shape = (*shape[1:], shape[0]) if len(shape) == 3 else shape
        if layer.neuron is not None:
            self._add_neurons(layer, [self._fed()])

    def _fed(self) -> Value:
        layout = "HWC" if len(self._shape) == 3 else ""
        return self.builder.input(
            "input", self._shape, timing="per_step", dtype="int32", layout=layout
        )

    def _flatten(self, layer: Layer) -> None:
        if self._neurons and len(self._shape) != 3:
            found = f"{len(self._shape)} axes"
            self._report("netx.shape", layer, found, "channels, height and width before it")
        else:
            self._flattened = True

    def _connected(self, layer: Layer) -> None:
        """A layer with synapses."""
        name = f"layer{self._neurons + 1}"
        before = self._shape
        # The loader keeps a flatten for the next dense layer, whatever comes before that.
        flattens = self._flattened and layer.kind != "conv"
        if flattens or (layer.kind != "conv" and not self._neurons):
            # What comes from outside is expected in the order that it then has.
            self._shape = (math.prod(before),) if before else (_inputs(layer),)
        if not self._fits(layer):
            self._shape = _channels_last(layer.shape)
            self._neurons += 1
            self._flattened = self._flattened and not flattens
            return
        source = self.value if self._neurons else self._fed()
        if source is None:
            return
        if flattens and self._neurons:
            moved = self._operators.Permute(source, axes=CHW, name=f"{name}/permute")
            source = self._operators.Flatten(moved, name=f"{name}/flatten")
        self._flattened = self._flattened and not flattens
        add = self._conv if layer.kind == "conv" else self._dense
        currents = add(layer, source.delayed(1), name)
        self._shape = _channels_last(layer.shape)
        self._add_neurons(layer, currents)

    def _fits(self, layer: Layer) -> bool:
        """Whether a layer takes what the one before it sends."""
        if layer.weight is None:
            return False
        found = list(self._shape)
        if layer.kind != "conv":
            if found != [_inputs(layer)]:
                hint = "Put a layer of type flatten in between." if len(found) == 3 else ""
                self._report("netx.shape", layer, f"{found} inputs", f"[{_inputs(layer)}]", hint)
            return found == [_inputs(layer)]
        if len(found) != 3:
            allowed = "height, width, channels"
            hint = "" if found else "Give option input_shape: the file does not say."
            self._report("netx.shape", layer, f"inputs of shape {found}", allowed, hint)
            return False
        filters, inputs, *kernel = layer.weight.shape
        if found[2] != inputs * layer.groups or filters % layer.groups:
            allowed = f"{layer.groups} groups of {inputs}"
            self._report("netx.shape", layer, f"{found[2]} channels", allowed)
            return False
        sizes = [
            (size + 2 * pad - dilation * (taps - 1) - 1) // stride + 1
            for size, pad, dilation, taps, stride in zip(
                found[:2], layer.padding, layer.dilation, kernel, layer.stride, strict=True
            )
        ]
        if (filters, *sizes) != layer.shape:
            self._report("netx.shape", layer, f"shape {list(layer.shape)}", f"{[filters, *sizes]}")
            return False
        return True

    def _dense(self, layer: Layer, source: Value, name: str) -> list[Value]:
        matrices = [matrix for matrix in (layer.weight, layer.recurrent) if matrix is not None]
        try:
            loaded = load_weights(matrices)
        except UnloadableWeights as error:
            allowed = "weights of 8 bits that NetX loads"
            self._report("netx.weights", layer, str(error), allowed)
            return []
        if loaded.changed:
            found = f"{loaded.changed} weights that the loader changes"
            self._report("netx.clipped", layer, found, LOADABLE, ALL_NEGATIVE)
        exponent = {"weight_exp": loaded.exponent or None}
        bits = {"num_weight_bits": loaded.bits if loaded.bits != 8 else None}
        weights = [narrow(matrix.T) for matrix in loaded.matrices]
        currents = [
            self._operators.Dense(
                source,
                weight=weights[0],
                delay=_delay(layer),
                name=f"{name}/synapse",
                **exponent,
                **bits,
            )
        ]
        if layer.recurrent is not None:
            self._recurrent = {"weight": weights[1], **exponent, **bits}
        return currents

    def _conv(self, layer: Layer, source: Value, name: str) -> list[Value]:
        if layer.weight is None:
            return []
        low, high = int(layer.weight.min()), int(layer.weight.max())
        if low < -256 or high > 255:
            found = f"weights from {low} to {high}"
            self._report("netx.weights", layer, found, "8 bits", "Lava does not clip them here.")
            return []
        return [
            self._operators.Conv2D(
                source,
                weight=narrow(layer.weight.transpose(2, 3, 1, 0)),
                strides=_unless(layer.stride, 1),
                dilations=_unless(layer.dilation, 1),
                pads=_unless(layer.padding, 0),
                groups=layer.groups if layer.groups != 1 else None,
                name=f"{name}/synapse",
            )
        ]

    def _add_neurons(self, layer: Layer, currents: list[Value]) -> None:
        self._neurons += 1
        name = f"layer{self._neurons}"
        neuron = layer.neuron
        if neuron is None or not currents:
            return
        bias = self._bias(layer)
        self.value = _neurons(self._operators, neuron, currents, bias, f"{name}/neuron")
        if layer.recurrent is not None:
            self._connect_back(name, self.value)

    def _connect_back(self, name: str, sent: Value) -> None:
        """Add a layer's recurrent connection."""
        dense = f"{name}/recurrent"
        self._operators.Dense(sent.delayed(1), name=dense, **self._recurrent)
        current = Value(f"{dense}:a_out")
        self.builder.connect(current, f"{name}/neuron", "a_in", delay_steps=0)
        # Without this, the type of each node of the cycle would follow from that of another.
        self.builder.graph.nodes[dense].output_types = (self.builder.types[current.name],)

    def _bias(self, layer: Layer) -> Array | None:
        if layer.bias is None or not layer.bias.any():
            return None
        bias = layer.bias.transpose(1, 2, 0) if layer.bias.ndim == 3 else layer.bias
        kind = layer.neuron.kind if layer.neuron is not None else "CUBA"
        if kind == "Sigma":
            self._report("netx.value", layer, "a bias of summing neurons", "none: NetX fails on it")
            return None
        lowest, highest = BIAS_RANGES[kind]
        low, high = int(bias.min()), int(bias.max())
        if low < lowest or high > highest:
            found = f"biases from {low} to {high}"
            self._report("netx.value", layer, found, f"{lowest} to {highest}")
            return None
        return narrow(bias)


def _neurons(
    operators: Any, neuron: Neuron, currents: list[Value], bias: Array | None, name: str
) -> Value:
    """The neurons of a layer, and what they send."""
    sent: Value
    if neuron.kind == "CUBA":
        decays = {"i_decay": neuron.current_decay, "v_decay": neuron.voltage_decay}
        if neuron.threshold == NEVER:
            sent = operators.CubaLI(currents, bias=bias, name=name, **decays)
        else:
            sent = operators.CubaLIF(
                currents, bias=bias, threshold=neuron.threshold, name=name, **decays
            )
        return sent
    threshold = neuron.threshold or None
    if neuron.kind == "Delta":
        sent = operators.Delta(currents, threshold=threshold, name=name)
    elif neuron.kind == "SigmaDelta":
        sent = operators.SigmaDelta(currents, threshold=threshold, bias=bias, name=name)
    else:
        sent = operators.Sigma(currents, name=name)
    return sent


def narrow(array: Array) -> Array:
    """The same integers in the smallest type, in C order."""
    for kind in (np.int8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if not array.size or (limits.min <= array.min() and array.max() <= limits.max):
            return np.array(array, kind, order="C")
    return np.array(array, np.int64, order="C")


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _inputs(layer: Layer) -> int:
    return 0 if layer.weight is None else int(layer.weight.shape[1])


def _unless(pair: tuple[int, int], default: int) -> tuple[int, int] | None:
    return None if pair == (default, default) else pair


def _delay(layer: Layer) -> Array | None:
    """A layer's delays, (in, out), without axes along which they are equal."""
    if layer.delay is None or not layer.delay.any():
        return None
    delay = np.asarray(layer.delay).T
    if delay.ndim == 2 and (delay == delay[:1]).all():
        delay = delay[:1]
    if delay.ndim == 2 and (delay == delay[:, :1]).all():
        delay = delay[:, :1]
    return narrow(delay.reshape(()) if delay.size == 1 else delay)
