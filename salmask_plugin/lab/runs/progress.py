"""What a training has run, counted where it ran, and what ended it before its plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results.record import Status

LIMITS = ("limit_train_batches", "overfit_batches")
"""Settings of Lightning's trainer that shorten every epoch."""
SHORTENING = (*LIMITS, "limit_val_batches", "fast_dev_run", "max_steps", "max_time")
"""All that make less of a training or its test."""


@dataclass(frozen=True)
class Progress:
    """How far a training has come, earlier processes of the same run included.

    Attributes:
        epochs: begun and ended; the last may have been cut short.
        steps: of the encoder's optimizer.
        images: trained on, over all processes; an image counts once per epoch it was in.
        status: "finished" if all planned epochs ran to the end of their batches, else "stopped".
        said: a sentence for whatever made the run shorter than its epochs on all images.
        processes: that trained, on all nodes.
    """

    epochs: int
    steps: int
    images: int
    status: Status
    said: tuple[str, ...]
    processes: int


def check_length(trainer: dict[str, Any]) -> None:
    """Refuse what would end in a record of nothing.

    Args:
        trainer: the node of Lightning's trainer.

    Raises:
        UserError: for settings under which no epoch would run, or no checkpoint be kept.
    """
    if trainer.get("fast_dev_run"):
        raise UserError(
            f"trainer.fast_dev_run={trainer['fast_dev_run']} keeps no checkpoint, so there would "
            "be no run: trainer.limit_train_batches=2 trains on two batches per epoch, and "
            "`salmask plan` times a few steps."
        )
    epochs, steps = trainer["max_epochs"], trainer.get("max_steps", -1)
    if not isinstance(epochs, int) or epochs < 1:
        raise UserError(f"trainer.max_epochs={epochs} must be a whole number of at least 1.")
    if not isinstance(steps, int) or (steps < 1 and steps != -1):
        raise UserError(f"trainer.max_steps={steps} must be at least 1, or -1 for no limit.")
    if trainer.get("limit_train_batches") in (0, 0.0):
        raise UserError("trainer.limit_train_batches=0 leaves nothing to train on.")


def check_schedule_alone(trainer: dict[str, Any]) -> None:
    """Refuse what shortens a training whose length is its schedule's, or its test.

    Args:
        trainer: the node of Lightning's trainer.

    Raises:
        UserError: naming the setting.
    """
    for name in SHORTENING:
        if trainer.get(name) not in (None, False, -1):
            raise UserError(
                f"trainer.{name}={trainer[name]} would leave out a part of the training or the "
                "test that the protocol names: schedule and data have settings of their own."
            )


def progress_of(trainer: pl.Trainer, settings: dict[str, Any], batch_size: int) -> Progress:
    """Return what has run, after ``fit``.

    Args:
        trainer: that has trained.
        settings: its node in the configuration.
        batch_size: images per process and batch.
    """
    loop = trainer.fit_loop
    epochs = loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    batches = loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]
    steps = trainer.global_step if trainer.lightning_module.automatic_optimization else batches
    planned, per_epoch = settings["max_epochs"], int(trainer.num_training_batches)
    said = []
    whole = len(trainer.train_dataloader)  # type: ignore[arg-type]
    if per_epoch < whole:
        given = [f"trainer.{name}={settings[name]}" for name in LIMITS if settings.get(name)]
        said.append(
            f"every epoch had {per_epoch} of its {whole} batches ({', '.join(given) or 'a limit'})"
        )
    finished = epochs == planned and batches == epochs * per_epoch
    if not finished:
        said.append(
            f"ended by {_reason(trainer, settings)} after {steps} steps, in epoch {epochs} of "
            f"{planned}"
        )
    return Progress(
        epochs,
        steps,
        batches * batch_size * trainer.world_size,
        "finished" if finished else "stopped",
        tuple(said),
        trainer.world_size,
    )


def _reason(trainer: pl.Trainer, settings: dict[str, Any]) -> str:
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return f"trainer.max_steps={trainer.max_steps}"
    if settings.get("max_time"):
        return f"trainer.max_time={settings['max_time']}"
    return "the trainer"
