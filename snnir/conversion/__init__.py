"""From a trained network to a spiking network, in one call."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from snnir.conversion import methods
from snnir.conversion.calibration import calibration_of
from snnir.conversion.measure import Reporter
from snnir.conversion.methods import METHODS
from snnir.conversion.pipeline import convert_model, prepared_source
from snnir.conversion.report import ConversionReport
from snnir.conversion.settings import Decoder, Encoder, MethodName, Settings
from snnir.conversion.sources import describe, is_spiking, read, read_foreign
from snnir.ir.model import Model
from snnir.runtime.backend import Inputs

__all__ = [
    "METHODS",
    "ConversionReport",
    "Settings",
    "convert",
    "convert_model",
    "is_spiking",
    "prepared_source",
    "read",
    "read_foreign",
]


def convert(
    source: Any,
    *,
    calibration: Inputs,
    labels: npt.ArrayLike | None = None,
    method: MethodName = "auto",
    steps: int | None = None,
    bits: int | None = None,
    target_drop: float | None = None,
    percentile: float | None = None,
    per_channel: bool | None = None,
    encoder: Encoder | None = None,
    decoder: Decoder | None = None,
    seed: int | None = None,
    input_scale: npt.ArrayLike | None = None,
    input_offset: npt.ArrayLike | None = None,
    input_dtype: str | None = None,
    labels_of: str | None = None,
    progress: Reporter | None = None,
) -> tuple[Model, ConversionReport]:
    """Make a spiking network of a trained network.

    Args:
        source: A file (Keras `.keras` or `.h5`, or a model of domain ``ann``), a ``Model``, or a
            live ``keras.Model``.
        calibration: Samples for each input by name, or the array of the only input; as the
            spiking network will be fed, so before ``input_scale``. A few hundred are enough.
        labels: Class of each sample, to measure accuracy.
        method: ``"calibrated"``, ``"data-norm"``, ``"spike-norm"``, ``"few-spike"`` or
            ``"auto"``: ``calibrated``, or ``few-spike`` where an activation needs it.
        steps: Presentation length, for rate coding; 32 by default.
        bits: Steps of a phase, for ``few-spike``, 1 to 16; 8 by default.
        target_drop: Instead of ``steps`` or ``bits``: the smallest that loses at most so many
            percentage points on the labelled samples.
        percentile: For ``data-norm``: percentile instead of maximum.
        per_channel: For methods chosen by name, but not ``calibrated``: a threshold for each
            channel (the default) instead of each layer.
        encoder: How static inputs drive the network: ``"constant"`` (the default),
            ``"poisson"``, ``"rate"`` or ``"latency"``; ``"few-spike"`` for that method.
        decoder: What the answer is taken from: ``"potential"`` (the default) or
            ``"spike-count"``.
        seed: Seed of the Poisson encoder; refused with any other.
        input_scale: Preprocessing that goes into the file: the network sees
            ``float32(x) * input_scale + input_offset``. One number, or one for each channel.
        input_offset: See ``input_scale``.
        input_dtype: Element type that is fed, e.g. ``"uint8"`` for raw images.
        labels_of: Name of the output that the labels belong to; needed if there are several.
        progress: Is told what is being done, how much is done, and how much there is.

    Returns:
        The spiking network, with stored examples, and what was measured.

    Raises:
        SnnirError: If the source cannot be read or converted, or the calibration data does not
            fit it: with all that is wrong.

    Warns:
        SnnirWarning: If the data is doubtful, e.g. of the wrong scale.
    """
    settings = Settings(
        method, steps, bits, target_drop, percentile, per_channel, encoder, decoder, seed
    )
    methods.candidates(settings)
    model = prepared_source(read(source), input_scale, input_offset, input_dtype)
    samples = calibration_of(model, calibration, labels, labels_of)
    return convert_model(model, samples, settings, source=describe(source), progress=progress)
