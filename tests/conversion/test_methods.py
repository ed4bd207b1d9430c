"""Options belong to methods, and what a method cannot do names the method that can."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.conversion.methods import AUTO, METHODS, candidates
from snnir.conversion.settings import DECODERS, ENCODERS, METHOD_NAMES, Settings
from snnir.errors import ConversionError, UnsupportedFeature
from snnir.passes.rate import LayerReport
from tests.conversion.nets import refused, spots, spotter

IMAGES, LABELS = spots(120)
PIXELS = IMAGES / np.float32(255)


def test_every_name_has_its_method() -> None:
    assert {"auto", *METHODS} == set(METHOD_NAMES)
    assert all(name in METHODS for name in AUTO)
    for method in METHODS.values():
        assert 1 <= method.default <= method.most
        assert set(method.encoders) <= set(ENCODERS) and set(method.decoders) <= set(DECODERS)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"percentile": 99.0}, ["'percentile'", "with method data-norm"]),
        ({"method": "spike-norm", "percentile": 99.0}, ["with method data-norm"]),
        ({"method": "calibrated", "per_channel": False}, ["data-norm, spike-norm or few-spike"]),
        ({"method": "calibrated", "bits": 4}, ["'bits'", "with method few-spike"]),
        ({"method": "calibrated", "encoder": "few-spike"}, ["Use method few-spike"]),
        ({"method": "few-spike", "steps": 4}, ["'steps'", "with method calibrated, data-norm or"]),
        (
            {"method": "few-spike", "encoder": "poisson"},
            ["'constant' or 'few-spike'", "calibrated, data-norm or"],
        ),
        ({"method": "few-spike", "decoder": "spike-count"}, ["'potential'"]),
        ({"method": "few-spike", "seed": 1}, ["'seed'"]),
        ({"method": "magic"}, ["'magic'", "spike-norm"]),
        ({"steps": 0}, ["'steps'"]),
        ({"steps": True}, ["'steps'"]),
        ({"steps": 2.5}, ["'steps'"]),
        ({"bits": "8"}, ["'bits'", "1 to 16"]),
        ({"bits": 20}, ["'bits'", "1 to 16"]),
        ({"bits": 20, "method": "few-spike"}, ["'bits'", "1 to 16"]),
        ({"seed": 5}, ["encoder 'constant'", "with encoder 'poisson'"]),
        ({"seed": 5, "encoder": "rate"}, ["encoder 'rate'", "with encoder 'poisson'"]),
        ({"per_channel": False}, ["'auto'", "data-norm, spike-norm or few-spike"]),
        ({"per_channel": True}, ["'auto'"]),
        ({"percentile": 101.0, "method": "data-norm"}, ["0 to 100"]),
        ({"percentile": float("nan"), "method": "data-norm"}, ["0 to 100"]),
        ({"target_drop": -1.0}, ["'target_drop'"]),
        ({"target_drop": 1.0, "steps": 8}, ["one of them"]),
        ({"encoder": "morse"}, ["'morse'"]),
        ({"seed": -1}, ["'seed'"]),
        ({"steps": 0, "seed": -1, "target_drop": 300.0}, ["'steps'", "'seed'", "'target_drop'"]),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], texts: list[str]) -> None:
    with pytest.raises(ConversionError, match=r"convert\.option") as caught:
        snnir.convert(spotter(), calibration=PIXELS, **options)
    for text in texts:
        assert text in str(caught.value)


def test_options_choose_among_the_methods_of_auto() -> None:
    assert [method.name for method in candidates(Settings())] == list(AUTO)
    assert [method.name for method in candidates(Settings(bits=4))] == ["few-spike"]
    assert [method.name for method in candidates(Settings(steps=4))] == ["calibrated"]


@pytest.mark.parametrize("activation", ["ELU", "GELU", "HardSigmoid", "SiLU", "Sigmoid", "Tanh"])
def test_the_remedy_names_the_method_that_can(activation: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        snnir.convert(spotter(hidden=activation), calibration=PIXELS, method="calibrated")
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.source) == ("convert.method", "active")
    assert finding.remedy == "Use method 'few-spike', which carries this network."


def refusals(model: Any, data: Any = PIXELS, **options: Any) -> dict[str, Any]:
    """What a method refuses of a network, by place."""
    with pytest.raises(UnsupportedFeature) as caught:
        snnir.convert(model, calibration=data, **options)
    return {finding.where: finding for finding in caught.value.diagnostics}


def test_steps_where_only_another_method_can() -> None:
    """Steps speak for rate coding, the network against it: both are said."""
    (finding,) = refusals(spotter(hidden="Tanh"), steps=16).values()
    assert "Use method 'few-spike'" in finding.remedy
    assert "it takes bits, not steps" in finding.remedy


@pytest.mark.parametrize("method", ["auto", "calibrated", "data-norm"])
def test_what_another_method_carries_in_part(method: Any) -> None:
    found = refusals(refused(), method=method)
    assert list(found) == ["node 'tanh'", "node 'silu'", "node 'attention'"]
    for name in ("tanh", "silu"):
        remedy = found[f"node '{name}'"].remedy
        assert remedy.endswith("Method 'few-spike' carries it, but not the rest of the network.")
    assert "Method" not in found["node 'attention'"].remedy
    assert list(refusals(refused(), method="few-spike")) == ["node 'attention'"]


def test_a_method_is_named_that_really_can() -> None:
    """The remedy is not a list of operators: what it names converts the network."""
    b = snnir.GraphBuilder()
    x = b.input("x", [4])
    gate = b.ann.Multiply([x, b.ann.Dense(x, weight=np.eye(4, dtype=np.float32))], name="gate")
    hidden = b.ann.ReLU(b.ann.Dense(gate, weight=np.eye(4, dtype=np.float32)))
    b.output("y", b.ann.Dense(hidden, weight=np.eye(4, dtype=np.float32)))
    data = np.random.default_rng(0).uniform(0, 1, (120, 4)).astype(np.float32)
    for name in METHODS:
        try:
            snnir.convert(b.build(), calibration=data, method=name)  # type: ignore[arg-type]
        except UnsupportedFeature as error:
            (finding,) = error.diagnostics
            assert finding.remedy == "Use method 'few-spike', which carries this network."
    snnir.convert(b.build(), calibration=data, method="few-spike")


@pytest.mark.parametrize("method", ["calibrated", "data-norm", "spike-norm"])
@pytest.mark.parametrize("encoder", METHODS["calibrated"].encoders)
def test_every_method_with_every_encoder(method: Any, encoder: Any) -> None:
    options = {"seed": 3} if encoder == "poisson" else {}
    model, report = snnir.convert(
        spotter(),
        calibration=PIXELS,
        labels=LABELS,
        method=method,
        encoder=encoder,
        steps=48,
        **options,
    )
    (final,) = report.final
    assert final.spiking is not None and final.spiking >= 0.95
    assert report.reason == "" and report.options["encoder"] == encoder
    assert ("image.encoder" in {layer.node for layer in report.layers}) == (encoder != "constant")
    assert snnir.verify(model).passed and snnir.verify(model, "layerwise").passed


def test_options_reach_the_method() -> None:
    whole, parts = (
        snnir.convert(
            spotter(), calibration=PIXELS, method="data-norm", per_channel=per_channel, steps=4
        )[0]
        for per_channel in (False, True)
    )
    a, b = (
        model.graph.nodes["active"].parameters["threshold"].values() for model in (whole, parts)
    )
    assert a.max() == b.max()
    low, _ = snnir.convert(
        spotter(), calibration=PIXELS, method="data-norm", percentile=50.0, steps=4
    )
    assert low.graph.nodes["active"].parameters["threshold"].values().max() < a.max()


def test_the_parts_of_a_layer_are_reported_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method may make several groups of neurons of one activation."""

    def lower(model: Any, calibration: Any, settings: Any, steps: int, progress: Any) -> Any:
        b = snnir.GraphBuilder(steps=steps)
        x = b.snn.ConstantCurrent(b.input("image", [6, 6, 1]))
        parts = [b.snn.IF(x, threshold=t, name=f"active.part{t}") for t in (1, 2)]
        flat = b.snn.Flatten(b.snn.Add(parts))
        b.output("quarter", b.snn.MeanPotential(b.snn.Dense(flat, weight=np.ones((36, 4)))))
        report = LayerReport("active", "layer", 72, (1.0, 1.5, 2.0), 0.25, 0.5)
        return b.build(), [report]

    method = dataclasses.replace(METHODS["calibrated"], lower=lower)
    monkeypatch.setitem(METHODS, "calibrated", method)  # type: ignore[arg-type]
    model, report = snnir.convert(spotter(), calibration=PIXELS, steps=4)
    (layer,) = report.layers
    assert (layer.node, layer.neurons, layer.error) == ("active", 72, 0.25)
    found = snnir.run(model, PIXELS, record=["active.part1", "active.part2"]).recorded
    assert layer.spikes == pytest.approx(sum(a.sum() for a in found.values()) / len(PIXELS))
    assert layer.rate == pytest.approx(np.mean([a.mean() for a in found.values()]))


def test_few_spikes_where_an_activation_needs_them() -> None:
    pytest.importorskip("snnir.passes.few_spike")
    model, report = snnir.convert(spotter(hidden="Tanh"), calibration=PIXELS, labels=LABELS)
    assert report.method == "few-spike" and report.reason.startswith("auto: calibrated does not")
    assert [entry.steps for entry in report.accuracy] == [model.time.steps]
    assert report.final[0].spiking == 1.0
    assert snnir.verify(model).passed
    _, report = snnir.convert(
        spotter(), calibration=PIXELS, labels=LABELS, method="few-spike", target_drop=0.0
    )
    assert report.final[0].drop is not None and report.final[0].drop <= 0


def test_numbers_of_numpy_will_do() -> None:
    steps, percentile = np.int64(4), np.float32(99)
    model, report = snnir.convert(
        spotter(), calibration=PIXELS, method="data-norm", steps=steps, percentile=percentile
    )
    assert json.dumps(report.to_json())
    assert model.metadata["snnir.convert"] == "method=data-norm steps=4 percentile=99.0"
