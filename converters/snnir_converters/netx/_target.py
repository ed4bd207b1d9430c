"""From a chain of layers to a NetX file that ``lava.lib.dl.netx`` 0.6.0 loads as it is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.errors import Diagnostic
from snnir.infer import Types, infer
from snnir.ir.graph import Node
from snnir.ir.model import Model
from snnir.ops.registry import Resolver
from snnir.ops.schema import OpDef
from snnir.passes.lowering import late_starts
from snnir_converters.netx._chain import Chain, ChipLayer, find_chain
from snnir_converters.netx._file import MAX_INT8, NEVER
from snnir_converters.netx._weights import ALL_NEGATIVE, LOADABLE, UnloadableWeights, load_weights

Array = npt.NDArray[Any]

BIAS_EXP: Final = 6
"""Bits by which NetX shifts biases of CUBA neurons."""

SPIKE_EXP: Final = 6
"""Fraction bits of messages that NetX assumes."""

FLAT_HINT: Final = "Scale the layer: weights, biases and threshold share one unit."


@dataclass
class Emission:
    """What is to be written, and what does not fit.

    Attributes:
        chain: The layers, if they are a chain.
        content: Datasets by their path in the file.
        findings: All findings; if one is an error, ``content`` is not complete.
    """

    chain: Chain | None = None
    content: dict[str, npt.ArrayLike | bytes] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity != "error" for finding in self.findings)


def describe(model: Model) -> Emission:
    """The file of a model."""
    emission = Emission()
    emission.findings += [f for f in check(model) if f.severity == "error"]
    if not emission.fits:
        return emission
    chain = emission.chain = find_chain(model.graph, emission.findings)
    if chain is None:
        return emission
    emission.findings += late_starts(
        node for node in model.graph.nodes.values() if node.name not in chain.host
    )
    _report_host(model, chain, emission.findings)
    writer = _Writer(model, emission)
    entry = writer.types[chain.entry]
    if not all(isinstance(size, int) for size in entry.shape):
        found = ", ".join(map(str, entry.shape))
        emission.findings.append(
            Diagnostic("netx.unsupported", f"value '{chain.entry}'", f"[{found}]", "known lengths")
        )
    for number, layer in enumerate(chain.layers):
        writer.add(layer, first=not number, last=layer is chain.layers[-1])
    emission.content["simulation/Ts"] = model.time.dt * 1e3
    emission.content["simulation/tSample"] = model.time.steps
    return emission


def _report_host(model: Model, chain: Chain, findings: list[Diagnostic]) -> None:
    graph = model.graph
    if chain.host:
        names = ", ".join(f"'{name}'" for name in chain.host[:8])
        more = f" and {len(chain.host) - 8} more" if len(chain.host) > 8 else ""
        findings.append(Diagnostic("netx.host", "graph", names + more, "layers of the chip"))
    prepared = [e.name for e in graph.inputs if e.scale is not None or e.offset is not None]
    labelled = [output.name for output in graph.outputs if output.labels]
    for name in prepared:
        findings.append(Diagnostic("netx.host", f"input '{name}'", "scale or offset", "none"))
    for name in labelled:
        findings.append(Diagnostic("netx.host", f"output '{name}'", "labels", "none"))


class _Writer:
    def __init__(self, model: Model, emission: Emission) -> None:
        self.types: Types = infer(model)
        self._findings = emission.findings
        self._content = emission.content
        self._resolve = Resolver(model.opsets)
        self._index = 0

    def add(self, layer: ChipLayer, *, first: bool, last: bool) -> None:
        """Write a layer, with what has to be before it."""
        neuron, synapse = layer.neuron, layer.synapse
        if synapse is None:
            self._add_input_neurons(neuron, last)
            return
        if neuron.operator == "Delta":
            self._report("netx.unsupported", neuron, "behind a synapse", "as the first layer")
        if first and synapse.operator == "Conv2D":
            shape = self._shape(synapse.inputs[0].source)
            self._put({"type": _text("input"), "shape": _file_shape(shape)})
        if layer.flattens:
            self._put({"type": _text("flatten")})
        datasets = self._conv(synapse) if synapse.operator == "Conv2D" else self._dense(layer)
        datasets["shape"] = _file_shape(self._shape(layer.value))
        datasets.update(self._bias(neuron))
        datasets.update(self._neuron(neuron, last))
        self._put(datasets)

    def _put(self, datasets: Mapping[str, Any]) -> None:
        for name, value in datasets.items():
            self._content[f"layer/{self._index}/{name}"] = value
        self._index += 1

    def _shape(self, value: str) -> tuple[int, ...]:
        return tuple(size for size in self.types[value].shape if isinstance(size, int))

    def _report(self, code: str, node: Node, found: str, allowed: str, hint: str = "") -> None:
        where = f"node '{node.name}' ({node.op})"
        self._findings.append(Diagnostic(code, where, found, allowed, hint, node.source))

    # Neurons ---------------------------------------------------------------------------------

    def _add_input_neurons(self, neuron: Node, last: bool) -> None:
        if neuron.operator not in ("CubaLIF", "Delta"):
            self._report("netx.unsupported", neuron, "driven by the host", "CubaLIF or Delta")
        if self._bias(neuron):
            found = "a bias of neurons that the host drives"
            self._report("netx.unsupported", neuron, found, "none: add it to what is fed")
        self._put(
            {
                "type": _text("input"),
                "shape": _file_shape(self._shape(neuron.values()[0])),
                **self._neuron(neuron, last),
            }
        )

    def _neuron(self, neuron: Node, last: bool) -> dict[str, Any]:
        kind = neuron.operator
        if kind in ("CubaLIF", "CubaLI"):
            if kind == "CubaLI" and not last:
                found = "neurons that never fire"
                self._report("netx.unsupported", neuron, found, "them in the last layer only")
            threshold = NEVER if kind == "CubaLI" else self._scalar(neuron, "threshold")
            return {
                "neuron/type": _text("CUBA"),
                "neuron/vThMant": threshold,
                "neuron/iDecay": self._scalar(neuron, "i_decay"),
                "neuron/vDecay": self._scalar(neuron, "v_decay"),
            }
        fields: dict[str, Any] = {"neuron/type": _text("SDNN")}
        if kind == "Sigma":
            return {**fields, "neuron/sigma_output": True}
        spike_exp = self._attribute(neuron, "spike_exp")
        if spike_exp != SPIKE_EXP:
            self._report("netx.unsupported", neuron, f"spike_exp {spike_exp}", f"{SPIKE_EXP}")
        return {**fields, "neuron/vThMant": self._scalar(neuron, "threshold")}

    def _bias(self, neuron: Node) -> dict[str, Any]:
        """The bias, in the unit that NetX gives it; nothing if it is 0."""
        if "bias" not in neuron.parameters or self._opdef(neuron).parameter("bias") is None:
            return {}
        bias = neuron.parameters["bias"].numpy().astype(np.int64)
        if neuron.operator.startswith("Cuba"):
            shift = self._attribute(neuron, "bias_exp") - BIAS_EXP
            if shift < 0 and np.any(bias & ((1 << -shift) - 1)):
                self._report(
                    "netx.range",
                    neuron,
                    f"biases that are no multiples of {1 << -shift}, with bias_exp "
                    f"{shift + BIAS_EXP}",
                    f"bias_exp {BIAS_EXP}",
                    "NetX knows no other bias_exp: a bias is in the unit of the weights. "
                    + FLAT_HINT,
                )
            bias = bias << shift if shift > 0 else bias >> -shift
            low, high = int(bias.min(initial=0)), int(bias.max(initial=0))
            if low < -4096 or high > 4095:
                found = f"biases from {low} to {high} with bias_exp {BIAS_EXP}"
                self._report("netx.range", neuron, found, "-4096 to 4095", FLAT_HINT)
        if not bias.any():
            return {}
        shape = self._shape(neuron.values()[0])
        if len(shape) == 3 and bias.size == shape[2] and bias.shape[-1:] == shape[2:]:
            return {"bias": bias.reshape(-1).astype(np.int32)}
        full = np.broadcast_to(bias, shape)
        if len(shape) == 3:
            if np.all(full == full[:1, :1]):
                return {"bias": full[0, 0].astype(np.int32)}
            # Lava broadcasts a list for channels, and takes an array in its own order.
            full = full.transpose(1, 0, 2)
        return {"bias": full.astype(np.int32)}

    def _scalar(self, node: Node, name: str) -> int:
        """A parameter that a population has one of."""
        tensor = node.parameters.get(name)
        if tensor is None:
            parameter = self._opdef(node).parameter(name)
            return int(parameter.default or 0) if parameter else 0
        values = np.unique(tensor.numpy())
        if len(values) != 1:
            found = f"{len(values)} different values of '{name}'"
            self._report("netx.unsupported", node, found, "one for all neurons of a layer")
        return int(values[0]) if len(values) else 0

    # Synapses --------------------------------------------------------------------------------

    def _dense(self, layer: ChipLayer) -> dict[str, Any]:
        nodes = [node for node in (layer.synapse, layer.recurrent) if node is not None]
        matrices = [self._matrix(node) for node in nodes]
        datasets: dict[str, Any] = {"type": _text("dense" if len(nodes) == 1 else "dense_rec")}
        if not any(matrix is None for matrix in matrices):
            files = [matrix for matrix in matrices if matrix is not None]
            self._check_loaded(nodes[0], files)
            for name, matrix in zip(("weight", "weight_rec"), files, strict=False):
                datasets[name] = matrix.astype(np.int32)
        for node in nodes:
            delay = node.parameters.get("delay")
            if delay is not None and delay.numpy().any():
                if len(nodes) > 1:
                    found = "delays next to recurrent connections"
                    hint = "NetX drops the exponent of their weights; delay another layer instead."
                    self._report("netx.unsupported", node, found, "none", hint)
                shape = node.parameters["weight"].shape
                full = np.broadcast_to(delay.numpy(), shape)
                datasets["delay"] = np.ascontiguousarray(full.T, np.int32)
        return datasets

    def _matrix(self, node: Node) -> Array | None:
        """Weights as integers without an exponent, (out, in); None if there are none."""
        weight: Array = node.parameters["weight"].numpy().astype(np.int64).T
        exponent = self._attribute(node, "weight_exp")
        if exponent >= 0:
            return np.left_shift(weight, exponent)
        if np.any(weight & ((1 << -exponent) - 1)):
            found = f"weights that are no multiples of {1 << -exponent}, with weight_exp {exponent}"
            self._report("netx.weights", node, found, "whole numbers of units", FLAT_HINT)
            return None
        return np.right_shift(weight, -exponent)

    def _check_loaded(self, node: Node, files: list[Array]) -> None:
        """Report weights that NetX would not load as they are."""
        low, high = (int(f([f(matrix) for matrix in files])) for f in (np.min, np.max))
        try:
            loaded = load_weights(files)
        except UnloadableWeights as error:
            self._report("netx.weights", node, str(error), LOADABLE)
            return
        if loaded.changed:
            found = f"{loaded.changed} weights, among {low} to {high}, that NetX changes"
            hint = ALL_NEGATIVE if high <= 0 else ""
            self._report("netx.weights", node, found, LOADABLE, hint)

    def _conv(self, node: Node) -> dict[str, Any]:
        weight = node.parameters["weight"].numpy()
        sizes = {
            "stride": self._attribute(node, "strides"),
            "padding": self._attribute(node, "pads"),
            "dilation": self._attribute(node, "dilations"),
        }
        groups: int = self._attribute(node, "groups")
        for name, value in {**sizes, "kernel": weight.shape[:2], "groups": (groups,)}.items():
            if max(value) > MAX_INT8:
                found = f"{name} {', '.join(map(str, value))}"
                self._report("netx.range", node, found, f"at most {MAX_INT8}")
        return {
            "type": _text("conv"),
            "weight": np.ascontiguousarray(weight.transpose(3, 2, 0, 1), np.int32),
            **{name: np.array(value, np.int64) for name, value in sizes.items()},
            "groups": groups,
        }

    def _attribute(self, node: Node, name: str) -> Any:
        value = node.attributes.get(name)
        return self._opdef(node).attribute(name).default if value is None else value

    def _opdef(self, node: Node) -> OpDef:
        opdef = self._resolve(node.op)
        if opdef is None:
            raise KeyError(node.op)
        return opdef


def _text(label: str) -> Array:
    return np.array([label.encode()], "S10")


def _file_shape(shape: tuple[int, ...]) -> Array:
    """Channels first."""
    return np.array((shape[-1], *shape[:-1]) if len(shape) == 3 else shape, np.int64)
