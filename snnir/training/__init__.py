"""Training spiking networks. Learning rules are plugins: entry point group ``snnir.trainers``."""

from snnir.training.data import Samples
from snnir.training.report import Epoch, TrainReport, write_log, write_plot
from snnir.training.run import Watch, train
from snnir.training.settings import TrainSettings
from snnir.training.trainer import Score, Session, Trainer, find_trainer

__all__ = [
    "Epoch",
    "Samples",
    "Score",
    "Session",
    "TrainReport",
    "TrainSettings",
    "Trainer",
    "Watch",
    "find_trainer",
    "train",
    "write_log",
    "write_plot",
]
