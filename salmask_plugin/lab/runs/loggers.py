"""Where the numbers of a training go."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.metrics_log import MetricsLog
from salmask_plugin.lab.settings.settings import Settings


def build_logger(settings: Settings, folder: Path) -> Logger:
    """Return the logger of the chosen kind, writing below the run's folder."""
    kind = settings["logger"]
    if kind == "csv":
        return MetricsLog(folder / "metrics")
    if kind == "tensorboard":
        return TensorBoardLogger(folder, name="metrics", version="")
    if kind == "wandb":
        return WandbLogger(save_dir=folder, name=folder.name)
    raise UserError(f"logger={kind!r} must be csv, tensorboard or wandb.")
