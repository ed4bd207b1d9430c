"""Training spiking networks. Learning rules are plugins: entry point group ``snnir.trainers``."""

from snnir.training.data import Events, Samples, SpikeEvents
from snnir.training.report import Epoch, TrainReport, write_log, write_plot
from snnir.training.run import Watch, train
from snnir.training.settings import TrainSettings
from snnir.training.trainer import Score, Session, Trainer, find_trainer

__all__ = [
    "Epoch",
    "Events",
    "Samples",
    "Score",
    "Session",
    "SpikeEvents",
    "TrainReport",
    "TrainSettings",
    "Trainer",
    "Watch",
    "find_trainer",
    "train",
    "write_log",
    "write_plot",
]
