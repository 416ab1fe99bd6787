"""Checkpoints that a crash cannot destroy: written beside their target, verified when read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import CheckpointIO

from salmask_plugin.evaluation.sources import newest_checkpoint as newest_checkpoint


class AtomicCheckpointIO(CheckpointIO):
    """Write a temporary sibling, flush it to the disk, then let it take the target's place.

    Lightning's own writer makes its temporary file in the system's folder for such files; moving it
    to another file system copies, and a crash in that copy destroys the old checkpoint as well.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write ``checkpoint`` to ``path``; on any error the old file stays."""
        if storage_options is not None:
            raise ValueError(f"storage_options={storage_options!r} is not supported.")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint without unpickling code, whatever ``weights_only`` says."""
        checkpoint: dict[str, Any] = torch.load(
            path, map_location=map_location or "cpu", weights_only=True
        )
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint that is no longer kept."""
        Path(path).unlink(missing_ok=True)


def checkpoint_callback(folder: Path, *, keep: int, every_n_epochs: int) -> ModelCheckpoint:
    """Keep the ``keep`` newest checkpoints; an old one goes only after the new one is written."""
    if keep < 1 or every_n_epochs < 1:
        raise ValueError(
            f"checkpoints.keep={keep} and checkpoints.every_n_epochs={every_n_epochs} "
            "must be at least 1."
        )
    return ModelCheckpoint(
        dirpath=folder,
        filename="epoch-{epoch:04d}",
        auto_insert_metric_name=False,
        monitor="epoch",
        mode="max",
        save_top_k=keep,
        every_n_epochs=every_n_epochs,
        save_on_train_epoch_end=True,
    )


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system has such a notion."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
