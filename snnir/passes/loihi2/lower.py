"""From a model of domain ``ann`` or ``snn`` to ``loihi2``: which way, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from snnir.check import check
from snnir.errors import (
    CapabilityError,
    Diagnostic,
    ModelError,
    UnsupportedFeature,
    raise_errors,
)
from snnir.infer import infer
from snnir.ir.model import Model
from snnir.passes.canonicalise import canonicalise
from snnir.passes.loihi2.hard_reset import lower_hard_reset
from snnir.passes.loihi2.rates import activations_of, is_rate_coded
from snnir.passes.loihi2.report import Loihi2Report, LoweredLayer
from snnir.passes.loihi2.sigma_delta import lower_chain
from snnir.passes.loihi2.spiking import lower_spiking
from snnir.passes.quantise import (
    Choice,
    QuantiseOptions,
    QuantiseReport,
    Rounding,
    Scale,
    quantise,
)
from snnir.runtime.backend import check_inputs, find_backend, named_inputs

Array = npt.NDArray[Any]

APPROXIMATIONS: Final = ("hard-reset", "early-bias")


@dataclass(frozen=True)
class Loihi2Options:
    """How a network is brought to Loihi 2.

    Attributes:
        bits: Bits of a weight, 2 to 8.
        scale: How units are chosen; see :class:`snnir.passes.quantise.QuantiseOptions`.
        rounding: How weights are rounded, likewise. Only spiking networks that are carried over
            neuron by neuron have ``"compensated"``.
        approximate: What may be approximated. ``"hard-reset"``: activations (or neurons that
            subtract their threshold) become spiking neurons with a reset to 0. ``"early-bias"``:
            biases of spiking neurons start before the input arrives.
        steps: Presentation length of ``"hard-reset"``, where the model has none.
    """

    bits: int = 8
    scale: Choice = "auto"
    rounding: Rounding = "auto"
    approximate: tuple[str, ...] = ()
    steps: int = 64


def lower_to_loihi2(
    model: Model,
    calibration: Mapping[str, npt.ArrayLike] | None = None,
    options: Loihi2Options = Loihi2Options(),
) -> tuple[Model, Loihi2Report]:
    """The network in the integers of Loihi 2, ready for :mod:`snnir.runtime` and NetX.

    Networks of ReLUs (domain ``ann``), and rate-coded networks made of them, become sigma-delta
    neurons; trained spiking networks with a reset to 0 are carried over neuron by neuron. Nothing
    is approximated but by rounding, unless ``options.approximate`` allows it.

    Args:
        model: The network; it is not modified.
        calibration: Samples for each input by name. Networks of ReLUs need them.
        options: How.

    Returns:
        The network, and what the lowering did to each layer.

    Raises:
        ModelError: If the model is not valid.
        CapabilityError: With every node that cannot be carried over, and the way out.
        UnsupportedFeature: If an option is not known, or calibration data is missing.
        RunError: If the calibration data does not fit.
    """
    unknown = sorted(set(options.approximate) - set(APPROXIMATIONS))
    if unknown or not 2 <= options.bits <= 8:
        found = ", ".join(map(repr, unknown)) or f"{options.bits} bits"
        allowed = " or ".join(map(repr, APPROXIMATIONS)) if unknown else "2 to 8 bits"
        raise UnsupportedFeature(Diagnostic("quantise.option", "loihi2 options", found, allowed))
    raise_errors(check(model), ModelError)
    arrays = None if calibration is None else named_inputs(model.graph, calibration)
    if arrays is not None:
        check_inputs(model.graph, arrays, None, model.time.steps)
    spiking = any(node.domain == "snn" for node in model.graph.nodes.values())
    rates = spiking and is_rate_coded(model)
    if spiking and not rates:
        return _direct(model, arrays, options)
    if arrays is None:
        raise UnsupportedFeature(
            Diagnostic(
                "quantise.option",
                "calibration",
                "nothing",
                "samples, to find the range of the activations",
            )
        )
    if options.rounding == "compensated":
        raise UnsupportedFeature(
            Diagnostic(
                "quantise.option",
                "option 'rounding'",
                "'compensated' for a network of ReLUs or rates",
                "'nearest' or 'auto'",
                "Their lowering rounds to nearest and corrects biases on the calibration samples.",
            )
        )
    ann = canonicalise(activations_of(model) if rates else model)
    if "hard-reset" in options.approximate:
        scale: Scale = "mse"
        if options.scale != "auto" and options.scale != "output":
            scale = options.scale
        steps = model.time.steps if rates else options.steps
        lowered, layers = lower_hard_reset(ann, arrays, options.bits, scale, steps)
        return _reported(model, lowered, "hard-reset", scale, "nearest", layers, arrays, options)
    lowered, layers, used = lower_chain(ann, arrays, options.bits, options.scale)
    return _reported(model, lowered, "sigma-delta", used, "nearest", layers, arrays, options)


def _direct(
    model: Model, arrays: Mapping[str, Array] | None, options: Loihi2Options
) -> tuple[Model, Loihi2Report]:
    for entry in model.graph.inputs:
        fed = np.asarray(0 if arrays is None else arrays[entry.name])
        if entry.type.is_per_step and not np.array_equal(fed, np.rint(fed)):
            raise CapabilityError(
                Diagnostic(
                    "loihi2.unsupported",
                    f"input '{entry.name}'",
                    "numbers that are no integers",
                    "spikes, or graded spikes that are integers",
                    "Encode the input in spikes.",
                )
            )
    quantised, report = quantise(
        model, arrays, QuantiseOptions(options.bits, options.scale, options.rounding)
    )
    lowered, _ = lower_spiking(quantised, options.bits, options.approximate)
    layers = _layers(model, report)
    return _reported(
        model, lowered, "direct", report.scale, report.rounding, layers, arrays, options
    )


def _layers(model: Model, report: QuantiseReport) -> list[LoweredLayer]:
    types = infer(model)
    return [
        LoweredLayer(
            node=layer.node,
            source=layer.source,
            neurons=int(
                np.prod(
                    [int(dim) for dim in types[model.graph.nodes[layer.node].values()[0]].shape]
                )
            ),
            unit=layer.unit,
            levels=(1 << (report.bits - 1)) - 1,
            clipped=layer.clipped,
            rounding=layer.rounding,
            headroom=layer.headroom,
            error=math.nan,
        )
        for layer in report.layers
    ]


def _reported(
    model: Model,
    lowered: Model,
    route: str,
    scale: str,
    rounding: str,
    layers: list[LoweredLayer],
    arrays: Mapping[str, Array] | None,
    options: Loihi2Options,
) -> tuple[Model, Loihi2Report]:
    raise_errors(check(lowered), CapabilityError)
    lowered.metadata["snnir.loihi2"] = (
        f"route={route} bits={options.bits} scale={scale} rounding={rounding}"
    )
    samples = 0 if arrays is None else len(next(iter(arrays.values())))
    report = Loihi2Report(
        route=route,
        bits=options.bits,
        scale=scale,
        rounding=rounding,
        exact=not options.approximate and not is_rate_coded(model),
        steps=lowered.time.steps,
        samples=samples,
        layers=tuple(layers),
        agreement=None if arrays is None else _agreement(model, lowered, arrays),
    )
    return lowered, report


def _agreement(model: Model, lowered: Model, arrays: Mapping[str, Array]) -> float:
    """Part of the samples whose first output has its largest element in the same place."""
    name = model.graph.outputs[0].name
    backend = find_backend("layerwise")
    ours = backend.prepare(lowered).run(padded(lowered, arrays))[name]
    theirs = backend.prepare(model).run(arrays)[name]
    return float(
        (ours.reshape(len(ours), -1).argmax(1) == theirs.reshape(len(theirs), -1).argmax(1)).mean()
    )


def padded(model: Model, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs with as many empty steps at the end as a lowered model's lag asks for."""
    found: dict[str, Array] = {}
    for entry in model.graph.inputs:
        array = np.asarray(arrays[entry.name])
        if entry.type.is_per_step:
            missing = model.time.steps - array.shape[1]
            array = np.pad(array, [(0, 0), (0, max(missing, 0))] + [(0, 0)] * (array.ndim - 2))
        found[entry.name] = array
    return found
