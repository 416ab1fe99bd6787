"""Checkpoints that a crash cannot destroy: proven before they take their place, and when read."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import CheckpointIO

from salmask_plugin.encoders.checkpoint_files import (
    behind,
    checkpoints_in,
    damage,
    newest_checkpoint,
    read_checkpoint,
)
from salmask_plugin.lab.results.store import flush_to_disk
from salmask_plugin.lab.runs.folder_lock import is_first_process
from salmask_plugin.losses.finite import first_not_finite

__all__ = [
    "AtomicCheckpointIO",
    "checkpoint_callback",
    "newest_checkpoint",
    "read_checkpoint",
    "remove_leftovers",
    "remove_superseded",
    "resume_point",
]

PART = ".part"
"""Ends the name of a checkpoint that is still being written."""


class AtomicCheckpointIO(CheckpointIO):
    """Write a temporary sibling, flush it to the disk, read it back, then let it take the place.

    Lightning's own writer makes its temporary file in the system's folder for such files; moving it
    to another file system copies, and a crash in that copy destroys the old checkpoint as well.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write ``checkpoint`` to ``path``; on any error the old file stays.

        Raises:
            FloatingPointError: if a weight or buffer is NaN or infinite: a run that goes on from
                there cannot recover.
            KeyboardInterrupt: if that ended the writing.
            OSError: if the file cannot be written, or reads back otherwise.
        """
        if storage_options is not None:
            raise ValueError(f"storage_options={storage_options!r} is not supported.")
        _check_finite(checkpoint.get("state_dict", {}))
        target = Path(path)
        try:
            _write(checkpoint, target)
        except (OSError, RuntimeError) as error:
            # torch's writer ends in a RuntimeError about the file's position, whatever came first.
            if behind(error, KeyboardInterrupt) is not None:
                raise KeyboardInterrupt from error
            reason = behind(error, OSError) or error
            raise OSError(f"{target} cannot be written: {reason}") from error

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint without unpickling code, whatever ``weights_only`` says.

        Raises:
            ValueError: if its bytes are not those that were written.
        """
        return read_checkpoint(Path(path), map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint that is no longer kept."""
        Path(path).unlink(missing_ok=True)


class NewestCheckpoints(ModelCheckpoint):
    """Lightning's callback, which saves the last epoch whichever it is.

    It may be resumed with another number of checkpoints to keep.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save every so many epochs, and where training ends: a run is what its last epoch left."""
        super().on_train_epoch_end(trainer, pl_module)
        steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
        last = trainer.current_epoch + 1 == trainer.max_epochs or steps or trainer.should_stop
        if last and not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Know as many of the old checkpoints as are kept now; Lightning fails with more."""
        super().load_state_dict(state_dict)
        newest = sorted(self.best_k_models.items(), key=lambda item: float(item[1]))
        self.best_k_models = dict(newest[-self.save_top_k :])
        if len(self.best_k_models) == self.save_top_k:
            self.kth_best_model_path, self.kth_value = next(iter(self.best_k_models.items()))


def checkpoint_callback(folder: Path, *, keep: int, every_n_epochs: int) -> ModelCheckpoint:
    """Keep the ``keep`` newest checkpoints; an old one goes only after the new one is proven."""
    if keep < 1 or every_n_epochs < 1:
        raise ValueError(
            f"checkpoints.keep={keep} and checkpoints.every_n_epochs={every_n_epochs} "
            "must be at least 1."
        )
    return NewestCheckpoints(
        dirpath=folder,
        filename="epoch-{epoch:04d}",
        auto_insert_metric_name=False,
        monitor="epoch",
        mode="max",
        save_top_k=keep,
        every_n_epochs=every_n_epochs,
        save_on_train_epoch_end=True,
        # A damaged file of the same epoch is written anew, not left under the better name.
        enable_version_counter=False,
    )


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writes left behind in a folder that no run is writing to."""
    for path in folder.glob(f".epoch-*{PART}"):
        path.unlink(missing_ok=True)


def remove_superseded(newest: Path | None, *, keep: int) -> None:
    """Delete older checkpoints that Lightning has left: nobody else would.

    These are what a kill between a save and the removal after it leaves, and the one that a run was
    resumed from, which Lightning never removes.

    Args:
        newest: the checkpoint that a run goes on from or has ended with; None removes nothing.
            Later ones, which are damaged, stay until they are written anew.
        keep: how many stay, ``newest`` among them.
    """
    if newest is not None:
        there = checkpoints_in(newest.parent)
        for path in there[: there.index(newest) + 1][:-keep]:
            path.unlink(missing_ok=True)


def resume_point(folder: Path, *, keep: int) -> Path | None:
    """Clear a run's folder of what a kill has left, and return and name where the run goes on.

    Args:
        folder: of its checkpoints.
        keep: how many stay.
    """
    resumed = newest_checkpoint(folder)
    if is_first_process():
        remove_leftovers(folder)
        remove_superseded(resumed, keep=keep)
        if resumed is not None:
            print(f"Resuming from {resumed}.", flush=True)
    return resumed


def _write(checkpoint: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile, whose files nobody else may read, however the user's umask is.
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART}")
    try:
        with part.open("xb") as file:
            torch.save(checkpoint, file)
            file.flush()
            flush_to_disk(file.fileno(), part)
        trouble = damage(part)
        if trouble is not None:
            raise OSError(f"what was read back differs ({trouble})")
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _check_finite(state: Mapping[str, Any]) -> None:
    name = first_not_finite(state)
    if name is not None:
        raise FloatingPointError(
            f"{name!r} is not finite at the end of this epoch, so no checkpoint is written: "
            "the last step has overflowed or the run has diverged."
        )


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system has such a notion."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        # The file is whole and in its place: no reason to stop a run.
        warnings.warn(
            f"{folder} cannot be flushed to the disk ({error}): after a power cut the newest "
            "checkpoint may be missing.",
            stacklevel=2,
        )
