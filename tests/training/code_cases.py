"""The smallest situation for each code of training."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import snnir
from snnir.errors import CapabilityError, Diagnostic, FormatError, RunError
from snnir.training import TrainSettings, run, train
from snnir_converters.mlgenn._training import _explained
from tests.converters.mlgenn import nets
from tests.situations import Situations
from tests.training.toy import ToyTrainer, network, samples

CASES = Situations()
raises = CASES.raises


@contextmanager
def toy(trainer: ToyTrainer | None = None) -> Iterator[None]:
    """A trainer that needs nothing, for every method."""
    kept, run.find_trainer = run.find_trainer, lambda method: trainer or ToyTrainer()  # type: ignore[assignment]
    try:
        yield
    finally:
        run.find_trainer = kept


@raises("train.setting", RunError)
def _(folder: Path) -> None:
    train(network(), *samples(), epochs=0)


@raises("train.data", RunError)
def _(folder: Path) -> None:
    with toy():
        train(network(), samples()[0], np.zeros(3))


@raises("train.examples", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    model = network()
    x, y = samples()
    model.examples["one"] = snnir.make_example(model, x[:1])
    with toy(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(model, x, y, epochs=1)[1].findings


@raises("train.checkpoint", FormatError)
def _(folder: Path) -> None:
    with toy():
        train(network(), *samples(), epochs=1, checkpoints=folder)
        train(network(), *samples(), epochs=2, seed=1, checkpoints=folder, resume=True)


@raises("train.diverged", RunError)
def _(folder: Path) -> None:
    with toy(ToyTrainer(losses=lambda epoch: 1e7)):
        train(network(), *samples(), epochs=1)


@raises("train.unchanged", None)
def _(folder: Path) -> Iterable[Diagnostic]:
    with toy(ToyTrainer(learns=False)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(network(), *samples(), epochs=1)[1].findings


@raises("train.unsupported", CapabilityError)
def _(folder: Path) -> None:
    model = nets.feed_forward()
    train(model, *nets.spikes(model), settings=TrainSettings("eprop"))


@raises("train.nothing", CapabilityError)
def _(folder: Path) -> None:
    b = snnir.GraphBuilder("net", steps=nets.STEPS)
    potential = b.snn.LeakyIntegrator(b.input("spikes", [nets.INPUTS], timing="per_step"))
    b.output("class", b.snn.SumPotential(potential))
    model = b.build()
    train(model, *nets.spikes(model))


@raises("train.failed", RunError)
def _(folder: Path) -> None:
    with _explained("training"):
        raise RuntimeError("out of luck")
