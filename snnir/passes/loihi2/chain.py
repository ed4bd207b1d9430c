"""A conventional network as a chain of linear layers with ReLUs between them.

That is what sigma-delta neurons of Loihi 2 carry out. Everything that a layer can be is brought
into two forms, both exact: ``ann.Dense``, and ``ann.Conv2D`` with symmetric padding. Average
pooling becomes a depthwise convolution. Where the padding is asymmetric the kernel is enlarged by
zeros at one end: with taps that see only what the padding has, nothing changes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.errors import CapabilityError, Diagnostic, raise_errors
from snnir.infer import infer
from snnir.ir.graph import Graph, Node
from snnir.ir.model import Model
from snnir.ir.tensor import Tensor
from snnir.ir.traversal import consumers, topological_order
from snnir.ops.dims import WindowRule
from snnir.ops.linear import window_rule
from snnir.passes import weights
from snnir.passes.lowering import HEADS

Array = npt.NDArray[Any]

WINDOWED: Final = frozenset({"Conv2D", "DepthwiseConv2D", "AveragePool2D", "GlobalAveragePool2D"})
LAYOUT: Final = frozenset({"Flatten", "Reshape", "Permute", "ZeroPad2D"})

WAYS_OUT: Final = {
    "MaxPool2D": "Train with AveragePool2D, or with strided convolutions.",
    "GlobalMaxPool2D": "Train with GlobalAveragePool2D.",
    "Add": "Skip connections do not go through NetX: train without them.",
    "Subtract": "Train without it: NetX has chains of layers only.",
    "Multiply": "Train without it: NetX has chains of layers only.",
    "Concat": "Concatenation does not go through NetX: train one wider layer instead.",
    "Conv1D": "Reshape the data to height 1 and use Conv2D.",
    "ConvTranspose2D": "Train without it: NetX's loader has no transposed convolution.",
    "PReLU": "Train with ReLU.",
}
"""What to do about operators that Loihi 2's tools do not take, by name."""

DEFAULT_WAY_OUT: Final = "Use Dense, Conv2D, DepthwiseConv2D, AveragePool2D, Flatten and ReLU."


@dataclass(frozen=True)
class ChainLayer:
    """A linear layer and what follows it.

    Attributes:
        node: ``ann.Dense`` or ``ann.Conv2D`` (padding ``"explicit"``, symmetric), in the layout
            of the original: channels last.
        before: Nodes of the original between the layer before and this one that only move
            elements, in their order.
        name: Name for the neurons: that of the activation, or of the layer.
        source: Layer of the model that was converted.
        pools: Whether the layer is average pooling: any constant weight will do.
        rectified: Whether a ReLU follows.
    """

    node: Node
    before: tuple[Node, ...]
    name: str
    source: str
    pools: bool
    rectified: bool


@dataclass
class Chain:
    """A network as a chain.

    Attributes:
        before: Nodes that the host evaluates before the first layer.
        layers: The layers.
        after: Nodes that the host evaluates on the answer.
        entry: The value that the first layer takes.
        exit: The value that the last layer gives.
    """

    before: list[Node] = field(default_factory=list)
    layers: list[ChainLayer] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)
    entry: str = ""
    exit: str = ""


def find_chain(model: Model) -> Chain:
    """The chain of a canonical model of domain ``ann``.

    Raises:
        CapabilityError: With every node that does not fit, and the way out.
    """
    return _Search(model).run()


class _Search:
    def __init__(self, model: Model) -> None:
        self.graph: Graph = model.graph
        self.types = infer(model)
        self.order, _ = topological_order(model.graph)
        self.uses = consumers(model.graph)
        self.findings: list[Diagnostic] = []
        self.head = _before_the_first_weights(self.order)
        self.tail = _after_the_last_weights(self.order) - self.head

    def run(self) -> Chain:
        self._refuse()
        raise_errors(self.findings, CapabilityError)
        chain = Chain()
        moves: list[Node] = []
        for node in self.order:
            if node.name in self.head:
                chain.before.append(node)
            elif node.name in self.tail:
                chain.after.append(node)
            elif node.operator in LAYOUT:
                moves.append(node)
            elif node.operator == "ReLU":
                chain.layers[-1] = dataclasses.replace(
                    chain.layers[-1], name=node.name, rectified=True
                )
            else:
                if not chain.layers:
                    chain.entry = node.inputs[0].source
                elif not (chain.layers[-1].rectified or chain.layers[-1].pools):
                    self._report(node, "two layers without a ReLU between them", "Join the two.")
                chain.layers.append(self._layer(node, moves))
                moves = []
                chain.exit = node.values()[0]
        raise_errors(self.findings, CapabilityError)
        return chain

    # What fits ---------------------------------------------------------------------------

    def _refuse(self) -> None:
        if len(self.graph.inputs) != 1 or len(self.graph.outputs) != 1:
            self.findings.append(
                Diagnostic(
                    "loihi2.unsupported",
                    "graph",
                    f"{len(self.graph.inputs)} inputs and {len(self.graph.outputs)} outputs",
                    "one input and one output",
                )
            )
        if len(self.head) == len(self.order):
            self._report(None, "no layer with weights", DEFAULT_WAY_OUT)
        for node in self.order:
            if node.name in self.tail | self.head:
                continue
            users = self.uses.get(node.values()[0], [])
            if node.domain != "ann":
                self._report(node, "not of domain 'ann'", "Lower the original network instead.")
            elif node.operator == "ReLU":
                self._check_relu(node)
            elif node.operator not in WINDOWED | LAYOUT | {"Dense"}:
                way_out = WAYS_OUT.get(node.operator, DEFAULT_WAY_OUT)
                self._report(node, "sigma-delta layers cannot carry it out", way_out)
            elif node.operator == "Dense" and len(self.types[node.values()[0]].shape) != 1:
                self._report(node, "applied along one axis of several", "Flatten before it.")
            elif node.operator == "AveragePool2D":
                self._check_pool(node)
            if len(users) > 1:
                names = ", ".join(f"'{user.name}'" for user, _ in users)
                self._report(node, f"it branches to {names}", WAYS_OUT["Add"])

    def _check_relu(self, node: Node) -> None:
        for name, neutral in (("max_value", None), ("negative_slope", 0.0), ("threshold", 0.0)):
            value = node.attributes.get(name)
            if value is not None and value != neutral:
                self._report(node, f"{name} = {value}", "Train with plain ReLU.")

    def _check_pool(self, node: Node) -> None:
        shape = self._image(node.inputs[0].source)
        axes = _rule(node, shape).on(shape[:2])
        padded = any(axis.begin or axis.end or axis.reach for axis in axes)
        if padded and not node.attributes.get("count_include_pad", False):
            self._report(
                node,
                "a mean over fewer elements at the edges",
                "Use padding 'valid' with a pool size that divides the image.",
            )

    def _report(self, node: Node | None, found: str, hint: str) -> None:
        where = "graph" if node is None else f"node '{node.name}' ({node.op})"
        source = "" if node is None else node.source
        self.findings.append(
            Diagnostic(
                "loihi2.unsupported",
                where,
                found,
                "a chain of linear layers and average pooling with a plain ReLU after each",
                hint or DEFAULT_WAY_OUT,
                source,
            )
        )

    # Two forms ---------------------------------------------------------------------------

    def _layer(self, node: Node, moves: list[Node]) -> ChainLayer:
        pads = [n for n in moves if n.operator == "ZeroPad2D"]
        if node.operator == "Dense":
            if pads:
                self._report(pads[0], "zeros before a Dense", "Pad the weights instead.")
            converted = node
        else:
            if moves and moves != pads:
                self._report(node, "a convolution behind a change of layout", DEFAULT_WAY_OUT)
                return ChainLayer(node, (), node.name, node.source, False, False)
            start = pads[0] if pads else node
            converted = symmetric(node, self._image(start.inputs[0].source), pads)
        pools = node.operator in ("AveragePool2D", "GlobalAveragePool2D")
        before = tuple(n for n in moves if n not in pads)
        return ChainLayer(converted, before, node.name, node.source, pools, False)

    def _image(self, value: str) -> tuple[int, ...]:
        return tuple(int(length) for length in self.types[value].shape)


def _rule(node: Node, shape: Sequence[int]) -> WindowRule:
    """How the windows of a node on images of a shape lie."""
    defaults = {
        "strides": (1, 1),
        "dilations": (1, 1),
        "padding": "valid",
        "pads": None,
        "ceil_mode": False,
    }

    def get(name: str) -> Any:
        return node.attributes.get(name, defaults[name])

    if node.operator == "GlobalAveragePool2D":
        return WindowRule((shape[0], shape[1]), (1, 1), (1, 1), "valid", None)
    if node.operator == "AveragePool2D":
        size: Any = node.attributes["pool_size"]
        strides: Any = node.attributes.get("strides") or size
        return WindowRule(
            tuple(size), tuple(strides), (1, 1), get("padding"), get("pads"), get("ceil_mode")
        )
    return window_rule(get, node.parameters["weight"].shape[:2])


def symmetric(node: Node, shape: Sequence[int], pads: Sequence[Node] = ()) -> Node:
    """A node on images as ``ann.Conv2D`` with padding that is equal at both ends. Exact.

    Args:
        node: Conv2D, DepthwiseConv2D, AveragePool2D or GlobalAveragePool2D; pooling without
            padding, or with padding that counts.
        shape: Height, width and channels of the image that arrives at it.
        pads: ``ZeroPad2D`` before it; ``shape`` is without them.
    """
    rule = _rule(node, shape)
    if "weight" in node.parameters:
        kernel = weights.weight(node)
        if node.operator == "DepthwiseConv2D":
            kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    else:
        kernel = np.full((*rule.sizes, 1, shape[2]), 1 / math.prod(rule.sizes), np.float32)
    groups = node.attributes.get("groups", 1) if node.operator == "Conv2D" else shape[2]
    added = np.zeros(4, np.int64)
    for pad in pads:
        added += np.asarray(pad.attributes["pads"])
    symmetric_pads: list[int] = []
    dilations: list[int] = []
    for axis in range(2):
        before, after = (int(n) for n in added[2 * axis : 2 * axis + 2])
        windows = rule.along(axis, shape[axis] + before + after)
        begin, end = windows.begin + before, windows.end + after
        kernel, dilation = _centred(kernel, axis, windows.dilation, begin, end)
        symmetric_pads += [max(begin, end)] * 2
        dilations.append(dilation)
    parameters = {"weight": Tensor.from_array(kernel.astype(np.float32))}
    if "bias" in node.parameters:
        parameters["bias"] = node.parameters["bias"]
    return Node(
        node.name,
        "ann.Conv2D",
        list(node.inputs),
        ("y",),
        {
            "strides": tuple(rule.strides),
            "dilations": tuple(dilations),
            "padding": "explicit",
            "pads": tuple(symmetric_pads),
            "groups": groups,
        },
        parameters,
        (),
        node.source,
    )


def _centred(kernel: Array, axis: int, dilation: int, begin: int, end: int) -> tuple[Array, int]:
    """The kernel with zero taps that make up for symmetric padding, and its dilation.

    With ``max(begin, end)`` zeros at both ends of the input, the window of an output element
    starts ``max(begin, end) - begin`` elements earlier, and may end as much later.
    """
    extra = abs(begin - end)
    if not extra:
        return kernel, dilation
    if extra % dilation:
        spread = np.zeros(
            [
                (n - 1) * dilation + 1 if number == axis else n
                for number, n in enumerate(kernel.shape)
            ],
            kernel.dtype,
        )
        spread[(slice(None),) * axis + (slice(None, None, dilation),)] = kernel
        kernel, dilation = spread, 1
    taps = [(0, 0)] * kernel.ndim
    taps[axis] = (extra // dilation, 0) if begin < end else (0, extra // dilation)
    return np.pad(kernel, taps), dilation


def _before_the_first_weights(order: list[Node]) -> set[str]:
    """Nodes that no weights come before: the host's work."""
    later: set[str] = set()
    head: set[str] = set()
    for node in order:
        if node.operator in weights.WEIGHTED or any(b.source in later for b in node.inputs):
            later.update(node.values())
        else:
            head.add(node.name)
    return head


def _after_the_last_weights(order: list[Node]) -> set[str]:
    """Activations and changes of layout that follow the last layer: the host's work."""
    tail: set[str] = set()
    for node in reversed(order):
        if node.operator not in HEADS | LAYOUT:
            break
        tail.add(node.name)
    return tail
