"""Weights and biases that make up for what the layers before have lost.

For each linear layer, ridge regression on the calibration samples: the input is what the
spiking network delivers on average, the target is the original pre-activation, and the penalty
keeps the weights near the trained ones. How strong it is decides the error on held-out samples.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.ir.graph import Node
from snnir.ops.kernels import windows
from snnir.ops.linear import window_rule
from snnir.ops.registry import find
from snnir.passes import weights
from snnir.passes.rate.signals import apply

Array = npt.NDArray[Any]

PENALTIES: Final = (1e-3, 1e-2, 1e-1, 1.0)
"""Strengths that are tried, relative to the mean square of an input."""

MAX_ROWS: Final = 1 << 16
MAX_INPUTS: Final = 4096
HELD_OUT: Final = 4
"""Every fourth sample is held out to choose the strength."""


def recalibrate(node: Node, estimate: Array, target: Array, *, refit: bool) -> Node:
    """The linear node with weights and bias that bring its output nearer to the target.

    Args:
        node: A node with weights that are meant for the original input.
        estimate: What arrives instead, (samples, ...).
        target: The original output, (samples, ...).
        refit: Whether the weights may change, or only the bias.
    """
    old = weights.weight(node)
    best = old
    residual = target - apply(node, [estimate])
    if refit and node.operator != "ConvTranspose2D" and len(estimate) >= 2 * HELD_OUT:
        best = _refit(node, estimate, residual)
    moved = weights.with_weights(node, best, weights.bias(node))
    rest = target - apply(moved, [estimate])
    shift = rest.reshape(-1, rest.shape[-1]).mean(0)
    return weights.with_weights(node, best, weights.bias(node) + shift)


def _refit(node: Node, estimate: Array, residual: Array) -> Array:
    old = weights.weight(node)
    held_out = np.arange(len(estimate)) % HELD_OUT == HELD_OUT - 1
    patches = _patches(node, estimate)
    if patches.shape[-1] > MAX_INPUTS:
        return old
    groups, inputs = patches.shape[-2], patches.shape[-1]
    goals = residual.reshape(len(residual), -1, groups, residual.shape[-1] // groups)
    patches = patches.reshape(len(patches), -1, groups, inputs)
    change = np.zeros((groups, inputs, goals.shape[-1]))
    every = slice(None, None, max(patches.shape[0] * patches.shape[1] // MAX_ROWS, 1))
    for group in range(groups):
        x, y = (
            patches[:, every, group].astype(np.float64),
            goals[:, every, group].astype(np.float64),
        )
        change[group] = _solve(x, y, held_out)
    return old + _as_weight(node, change)


def _solve(x: Array, y: Array, held_out: Array) -> Array:
    """The change of the weights that fits the residuals, or none if none helps."""

    def moments(chosen: Array) -> tuple[Array, Array]:
        a = x[chosen].reshape(-1, x.shape[-1])
        b = y[chosen].reshape(-1, y.shape[-1])
        a, b = a - a.mean(0), b - b.mean(0)
        return a.T @ a, a.T @ b

    gram, cross = moments(~held_out)
    x_test = x[held_out].reshape(-1, x.shape[-1])
    y_test = y[held_out].reshape(-1, y.shape[-1])
    x_test, y_test = x_test - x_test.mean(0), y_test - y_test.mean(0)
    error, best = float(np.square(y_test).sum()), None
    unit = np.eye(len(gram)) * max(float(np.trace(gram)) / len(gram), 1e-30)
    for penalty in PENALTIES:
        change = np.linalg.solve(gram + penalty * unit, cross)
        found = float(np.square(y_test - x_test @ change).sum())
        if found < error:
            error, best = found, penalty
    if best is None:
        return np.zeros((x.shape[-1], y.shape[-1]))
    gram, cross = moments(np.ones(len(x), bool))
    unit = np.eye(len(gram)) * max(float(np.trace(gram)) / len(gram), 1e-30)
    change = np.linalg.solve(gram + best * unit, cross)
    return change


def _patches(node: Node, x: Array) -> Array:
    """Inputs of each output element: (samples, positions..., groups, inputs of a group)."""
    if node.operator == "Dense":
        return x[..., None, :]
    opdef = find(node.op)
    defaults = {a.name: a.default for a in opdef.all_attributes} if opdef else {}
    get = {**defaults, **node.attributes}.get
    axes = window_rule(get, node.parameters["weight"].shape[:-2]).on(x.shape[1:-1])
    spatial = len(axes)
    view = windows(x, axes)
    groups = (
        weights.input_channels(node)
        if node.operator == "DepthwiseConv2D"
        else int(
            node.attributes.get("groups", 1)  # type: ignore[arg-type]
        )
    )
    view = view.reshape(*view.shape[:-1], groups, view.shape[-1] // groups)
    view = np.moveaxis(view, -2, 1 + spatial)
    return np.ascontiguousarray(view).reshape(*view.shape[: 2 + spatial], -1)


def _as_weight(node: Node, change: Array) -> Array:
    """(groups, inputs, outputs of a group) in the layout of the node's weights."""
    shape = node.parameters["weight"].shape
    laid_out: Array
    if node.operator == "Dense":
        laid_out = change[0]
    elif node.operator == "DepthwiseConv2D":
        laid_out = np.moveaxis(change, 0, 1).reshape(shape)
    else:
        by_group = change.reshape(len(change), *shape[:-1], -1)
        laid_out = np.concatenate(list(by_group), axis=-1)
    return laid_out.astype(np.float32)
