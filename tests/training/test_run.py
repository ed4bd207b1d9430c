"""The training run, with a trainer whose weights depend on all that it was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.data import SpikeData, from_dense
from snnir.errors import FileError, FormatError, RunError, SnnirError, SnnirWarning
from snnir.ir.model import Model
from snnir.training import Epoch, TrainSettings, Watch, checkpoint, train
from tests.training.toy import CLASSES, SIZE, STEPS, ToyTrainer, network, samples

Toy = Callable[..., ToyTrainer]


def weights(model: Model) -> Any:
    return model.graph.nodes["w"].parameters["weight"].numpy()


def codes(error: SnnirError) -> set[str]:
    return {finding.code for finding in error.diagnostics}


def test_trained_weights_come_back_with_their_provenance(toy: Toy) -> None:
    toy()
    model = network()
    x, y = samples()
    trained, report = train(model, x, y, epochs=3, seed=7)
    assert np.any(weights(trained)) and not np.any(weights(model))
    assert [epoch.epoch for epoch in report.history] == [1, 2, 3]
    assert report.returned == 3
    metadata = trained.metadata
    assert metadata["training.method"] == "eventprop"
    assert metadata["training.seed"] == "7"
    assert metadata["training.model.digest"] == snnir.digest(model)
    assert json.loads(metadata["training.versions"]) == {"toy": "1"}
    assert json.loads(metadata["training.settings"]) == {
        "epochs": 3,
        "method": "eventprop",
        "seed": 7,
    }
    assert len(metadata["training.data.sha256"]) == 64


@pytest.mark.parametrize("change", ["seed", "data", "labels", "rate", "shuffle"])
def test_all_that_weights_depend_on_reaches_the_trainer(toy: Toy, change: str) -> None:
    toy()
    x, y = samples()
    before = weights(train(network(), x, y, epochs=2)[0])
    assert np.array_equal(before, weights(train(network(), x, y, epochs=2)[0]))
    options: dict[str, Any] = {"epochs": 2}
    if change == "seed":
        options["seed"] = 1
    elif change == "data":
        x = x[::-1].copy()
    elif change == "labels":
        y = (y + 1) % CLASSES
    elif change == "rate":
        options["schedule"] = "exponential:0.5"
    else:
        options["shuffle"] = False
    assert not np.array_equal(before, weights(train(network(), x, y, **options)[0]))


@pytest.mark.parametrize("fails_in", [1, 2, 3])
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    toy: Toy, tmp_path: Path, fails_in: int
) -> None:
    x, y = samples()
    options: dict[str, Any] = {"epochs": 4, "validation": (x[:4], y[:4]), "schedule": "cosine"}

    def augment(data: SpikeData, rng: np.random.Generator) -> SpikeData:
        return data.shuffled(rng)

    def losses(epoch: int) -> float:
        return abs(epoch - 1.5)

    toy(losses=losses)
    wanted, report = train(network(), x, y, augment=augment, **options)
    toy(losses=losses, fails_in=fails_in)
    with pytest.raises(KeyboardInterrupt):
        train(network(), x, y, augment=augment, checkpoints=tmp_path, **options)
    toy(losses=losses)
    found, again = train(
        network(), x, y, augment=augment, checkpoints=tmp_path, resume=True, **options
    )
    assert again.resumed_from == fails_in
    assert np.array_equal(weights(found), weights(wanted))
    assert again.returned == report.returned == 2

    def results(history: list[Epoch]) -> list[Any]:
        return [(epoch.epoch, epoch.loss, epoch.validation_loss) for epoch in history]

    assert results(again.history) == results(report.history)


def test_a_run_can_be_made_longer(toy: Toy, tmp_path: Path) -> None:
    toy()
    x, y = samples()
    train(network(), x, y, epochs=2, checkpoints=tmp_path)
    longer, _ = train(network(), x, y, epochs=4, checkpoints=tmp_path, resume=True)
    assert np.array_equal(weights(longer), weights(train(network(), x, y, epochs=4)[0]))


def test_only_the_last_checkpoints_are_kept(toy: Toy, tmp_path: Path) -> None:
    toy()
    train(network(), *samples(), epochs=5, checkpoints=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch_0004.npz", "epoch_0005.npz"]


def test_a_checkpoint_of_another_run_is_refused(toy: Toy, tmp_path: Path) -> None:
    trainer = toy()
    x, y = samples()
    train(network(), x, y, epochs=1, checkpoints=tmp_path)
    with pytest.raises(FormatError) as caught:
        train(network(), x, (y + 1) % CLASSES, epochs=2, seed=3, checkpoints=tmp_path, resume=True)
    assert codes(caught.value) == {"train.checkpoint"}
    assert len(caught.value.diagnostics) == 2  # data, settings
    assert trainer.opened == 1


def test_checkpoints_of_an_earlier_run_are_never_lost(toy: Toy, tmp_path: Path) -> None:
    trainer = toy()
    x, y = samples()
    train(network(), x, y, epochs=3, checkpoints=tmp_path)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for options in ({"seed": 1}, {"epochs": 2, "resume": True}):
        with pytest.raises(FormatError) as caught:
            train(network(), x, y, checkpoints=tmp_path, **options)
        assert codes(caught.value) == {"train.checkpoint"}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert trainer.opened == 1


def test_checkpoints_need_a_folder_that_can_be_written(toy: Toy, tmp_path: Path) -> None:
    trainer = toy()
    (tmp_path / "file").write_text("precious")
    for folder in (tmp_path / "file", tmp_path / "file/inside"):
        with pytest.raises(FileError, match="unwritable"):
            train(network(), *samples(), checkpoints=folder)
    with pytest.raises(RunError, match="resume"):
        train(network(), *samples(), resume=True)
    assert trainer.opened == 0


def test_a_full_disk_costs_only_the_epoch(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy()
    x, y = samples()
    write, wanted = checkpoint.arrays.npz_writer, train(network(), x, y, epochs=4)[0]

    def full(members: Any) -> Any:
        def fill(file: Any) -> None:
            write(members)(file)
            if json.loads(members["meta"].tobytes())["epochs"] == 3:
                raise OSError(28, "No space left on device")

        return fill

    monkeypatch.setattr(checkpoint.arrays, "npz_writer", full)
    with pytest.raises(FileError, match="no space left"):
        train(network(), x, y, epochs=4, checkpoints=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch_0001.npz", "epoch_0002.npz"]
    monkeypatch.setattr(checkpoint.arrays, "npz_writer", write)
    found, report = train(network(), x, y, epochs=4, checkpoints=tmp_path, resume=True)
    assert report.resumed_from == 2
    assert np.array_equal(weights(found), weights(wanted))


def test_the_augmentation_is_part_of_the_run(toy: Toy, tmp_path: Path) -> None:
    toy()

    def moved(data: SpikeData, rng: np.random.Generator) -> SpikeData:
        return data.shuffled(rng)

    options: dict[str, Any] = {"epochs": 1, "checkpoints": tmp_path}
    trained, _ = train(network(), *samples(), augment=moved, **options)
    assert trained.metadata["training.augmentation"].endswith("moved")
    with pytest.raises(FormatError, match="augmentation"):
        train(network(), *samples(), resume=True, **options)


def test_the_best_epoch_is_kept_whether_it_is_asked_for_or_not(toy: Toy, tmp_path: Path) -> None:
    x, y = samples()
    toy(losses=lambda epoch: epoch + 1.0)
    options: dict[str, Any] = {"validation": (x, y), "checkpoints": tmp_path}
    train(network(), x, y, epochs=2, keep_best=False, **options)
    found, report = train(network(), x, y, epochs=3, resume=True, **options)
    assert report.returned == 1
    assert np.array_equal(weights(found), weights(train(network(), x, y, epochs=1)[0]))


@pytest.mark.parametrize("cut", [0, 10, 400])
def test_a_damaged_checkpoint_is_refused(toy: Toy, tmp_path: Path, cut: int) -> None:
    toy()
    train(network(), *samples(), epochs=1, checkpoints=tmp_path)
    path = tmp_path / "epoch_0001.npz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError) as caught:
        train(network(), *samples(), epochs=2, checkpoints=tmp_path, resume=True)
    assert codes(caught.value) == {"train.checkpoint"}


def test_training_stops_when_nothing_gets_better(toy: Toy) -> None:
    losses = [3.0, 1.0, 2.0, 2.0, 2.0, 0.5]
    toy(losses=lambda epoch: losses[epoch])
    x, y = samples()
    model, report = train(network(), x, y, epochs=6, patience=2, validation=(x, y))
    assert (len(report.history), report.stopped_early, report.returned) == (4, True, 2)
    assert np.array_equal(weights(model), weights(train(network(), x, y, epochs=2)[0]))


def test_the_last_epoch_is_returned_on_request(toy: Toy) -> None:
    toy(losses=lambda epoch: epoch + 1.0)
    x, y = samples()
    _, report = train(network(), x, y, epochs=3, validation=(x, y), keep_best=False)
    assert report.returned == 3


def test_the_last_samples_can_be_kept_for_validation(toy: Toy) -> None:
    toy()
    _, report = train(
        network(), *samples(10), epochs=1, settings=TrainSettings(validation_split=0.2)
    )
    assert report.provenance["training.samples"] == "8"
    assert report.history[0].validation_loss is not None


def test_weights_that_are_no_numbers_end_the_run(toy: Toy, tmp_path: Path) -> None:
    toy(losses=lambda epoch: 1e7 if epoch == 1 else 1.0)
    with pytest.raises(RunError) as caught:
        train(network(), *samples(), epochs=3, checkpoints=tmp_path)
    assert codes(caught.value) == {"train.diverged"}
    assert [p.name for p in tmp_path.iterdir()] == ["epoch_0001.npz"]


def test_weights_that_do_not_change_are_said(toy: Toy, tmp_path: Path) -> None:
    toy(learns=False)
    options: dict[str, Any] = {"checkpoints": tmp_path, "resume": True}
    with pytest.warns(SnnirWarning, match=r"train\.unchanged.*'w'"):
        _, report = train(network(), *samples(), epochs=2, **options)
    assert [finding.code for finding in report.findings] == ["train.unchanged"]
    toy(learns=True)
    assert train(network(), *samples(), epochs=2)[1].findings == []


def test_stored_examples_are_left_out_with_a_warning(toy: Toy) -> None:
    toy()
    model = network()
    x, y = samples()
    model.examples["one"] = snnir.make_example(model, x[:1])
    with pytest.warns(SnnirWarning, match=r"train\.examples"):
        trained, _ = train(model, x, y, epochs=1)
    assert not trained.examples and model.examples


def test_a_watch_sees_batches_and_epochs(toy: Toy) -> None:
    toy()
    seen: list[Any] = []
    watch = Watch(
        lambda done, total: seen.append((done, total)),
        lambda history: seen.append([epoch.epoch for epoch in history]),
    )
    train(network(), *samples(2), epochs=2, watch=watch)
    assert seen == [(1, 2), (2, 2), [1], (1, 2), (2, 2), [1, 2]]


# Data ------------------------------------------------------------------------------------------


def test_forms_of_data_are_equal(toy: Toy) -> None:
    toy()
    x, y = samples()
    first = weights(train(network(), x, y, epochs=1)[0])
    spikes = from_dense(x, y, empty="allow")
    for data, labels in ((spikes, None), ({"spikes": spikes}, y), (x.astype(bool), y)):
        assert np.array_equal(weights(train(network(), data, labels, epochs=1)[0]), first)


def test_values_are_encoded(toy: Toy) -> None:
    toy()
    x = np.random.default_rng(0).random((6, SIZE)).astype(np.float32)
    y = np.arange(6) % CLASSES
    model = network("LatencyEncoder")
    encoded = snnir.run(model, x, record=["encoder"])["encoder"]
    assert np.array_equal(weights(train(model, x, y, epochs=1)[0])[0] > 0, np.ones(CLASSES, bool))
    assert encoded.sum() > 0
    with pytest.raises(RunError, match="encoder"):
        train(model, from_dense(encoded, y, empty="allow"), epochs=1)


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        (np.zeros((4, STEPS + 1, SIZE)), np.zeros(4, int)),
        (np.zeros((4, STEPS, SIZE + 1)), np.zeros(4, int)),
        (np.full((4, STEPS, SIZE), 0.5), np.zeros(4, int)),
        (np.zeros((4, SIZE)), np.zeros(4, int)),
        (np.zeros((0, STEPS, SIZE)), np.zeros(0, int)),
        (np.zeros((4, STEPS, SIZE)), np.zeros(5, int)),
        (np.zeros((4, STEPS, SIZE)), np.full(4, CLASSES)),
        (np.zeros((4, STEPS, SIZE)), np.full(4, -1)),
        (np.zeros((4, STEPS, SIZE)), np.zeros(4)),
        (np.zeros((4, STEPS, SIZE)), None),
        ({"other": np.zeros((4, STEPS, SIZE))}, np.zeros(4, int)),
        (from_dense(np.ones((4, STEPS + 2, SIZE)), np.zeros(4, int)), None),
        (from_dense(np.ones((4, STEPS, SIZE)), np.zeros(4, int), dt=2e-3), None),
    ],
)
def test_data_that_does_not_fit_is_refused_before_anything_is_compiled(
    toy: Toy, data: Any, labels: Any
) -> None:
    trainer = toy()
    with pytest.raises(RunError) as caught:
        train(network(), data, labels, epochs=1)
    assert codes(caught.value) == {"train.data"}
    assert trainer.opened == 0


def test_wanted_values_of_every_step(toy: Toy) -> None:
    toy()
    x, _ = samples(4)
    wanted = np.zeros((4, STEPS, CLASSES), np.float32)
    train(network(), x, wanted, epochs=1, loss="mean_square_error")
    for bad in (wanted[:, 1:], wanted[..., 0], wanted + np.nan):
        with pytest.raises(RunError, match="labels"):
            train(network(), x, bad, epochs=1, loss="mean_square_error")


def test_augmented_samples_have_to_fit(toy: Toy) -> None:
    toy()
    x, y = samples()
    more, _ = train(network(), x, y, epochs=1, augment=lambda data, rng: data[[0, 0, 1]])
    assert np.any(weights(more))
    with pytest.raises(RunError, match="augmentation"):
        train(network(), x, y, epochs=1, augment=lambda data, rng: data[:0])
