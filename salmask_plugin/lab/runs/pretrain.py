"""``salmask pretrain``: one encoder, resumed where it stopped."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from salmask_plugin.adapters.lightly.views import bind_encoder
from salmask_plugin.encoders.checkpoint_files import checkpoints_in
from salmask_plugin.lab.errors import RunStopped, UserError
from salmask_plugin.lab.results.store import RECORD_NAME, read_record, write_record
from salmask_plugin.lab.results.terminal import filled_lines
from salmask_plugin.lab.runs.band_channels import views_said
from salmask_plugin.lab.runs.build import PretrainData, build_parts, build_splits
from salmask_plugin.lab.runs.checkpoints import (
    AtomicCheckpointIO,
    checkpoint_callback,
    newest_checkpoint,
    remove_superseded,
    resume_point,
)
from salmask_plugin.lab.runs.data_of_run import keep_data
from salmask_plugin.lab.runs.expected_warnings import expected_warnings
from salmask_plugin.lab.runs.folder import CHECKPOINTS, keep_settings
from salmask_plugin.lab.runs.history import History
from salmask_plugin.lab.runs.launcher import check_processes, of_a_comparison
from salmask_plugin.lab.runs.metrics_log import MetricsLog
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.runs.progress import progress_of
from salmask_plugin.lab.runs.recording import record_of
from salmask_plugin.lab.runs.refusals import refused_in_words
from salmask_plugin.lab.runs.stopping import stops_in_words
from salmask_plugin.lab.runs.unreadable import UnreadableFiles, remedy_named
from salmask_plugin.lab.settings.explain import explain, in_sentences
from salmask_plugin.lab.settings.settings import Settings

say = rank_zero_only(print)
"""Print once, whatever the number of processes."""
AGAIN = f"without {RECORD_NAME} the same command trains it again"


def pretrain(settings: Settings, folder: Path) -> None:
    """Train one encoder into ``folder``; do nothing where it is already trained.

    Raises:
        UserError: if the folder holds a run with other settings, or one that began on other data.
        RunStopped: if the training cannot go on; it says where the same command will.
        ValueError: for data or settings that cannot work, before training starts.
    """
    settings = keep_settings(folder, settings)
    if (folder / RECORD_NAME).is_file() and (ended := _ended(folder)):
        say(ended)
        return
    # Asked for in any case: what the record's notes are read from may be gone in some hours.
    whole = explain(settings)
    # A comparison has said what all its rows depart in.
    said = in_sentences(settings) if of_a_comparison() else whole
    say(filled_lines([*said, *views_said(settings)]), flush=True)
    with remedy_named(settings.data):
        splits = build_splits(settings)
        keep_data(folder, splits)
    if splits.unlabelled:
        say(f"{len(splits.train):,} pictures without labels: `salmask embed` shows the encoder.")
    parts = build_parts(settings, splits=splits)
    history = History()
    unreadable = UnreadableFiles(splits)
    trainer = _trainer(settings, folder, [history, unreadable])
    check_processes(trainer.num_devices * trainer.num_nodes, settings.trainer)
    keep = settings.checkpoints.keep
    resumed = resume_point(folder / CHECKPOINTS, keep=keep)
    with (
        expected_warnings(),
        remedy_named(settings.data),
        refused_in_words(),
        stops_in_words(folder / CHECKPOINTS, trainer),
    ):
        trainer.fit(
            parts.module, datamodule=PretrainData(parts.data), ckpt_path=resumed, weights_only=True
        )
    if trainer.is_global_zero:
        remove_superseded(newest_checkpoint(folder / CHECKPOINTS), keep=keep)
        ran = progress_of(trainer, settings.trainer, settings.loader.batch_size)
        if not ran.steps:
            raise RunStopped(f"nothing was trained: {'; '.join(ran.said)}.")
        # A localizer that waits for the run's encoder says what it was trained on once it has it.
        bound = bind_encoder(parts.masking, parts.module.get_submodule("backbone"))
        record = record_of(
            settings,
            splits,
            bound,
            history,
            ran=ran,
            crops=parts.crops,
            unreadable=unreadable.names,
        )
        write_record(folder, record)
        if unreadable.names:
            print(
                f"Unreadable and passed over: {len(unreadable.names)} files, named in the record."
            )
        for sentence in ran.said:
            print(f"Less than all its epochs on all images: {sentence}.")
        print(f"Pretrained: {folder}")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _ended(folder: Path) -> str | None:
    """Say how the run in a folder has ended, if it has."""
    record = read_record(folder)
    if record.status == "stopped":
        why = [warning for warning in record.warnings if warning.startswith("ended by")]
        return f"{folder} has ended: {'; '.join(why)}."
    if record.status != "finished":
        return None
    gone = "" if checkpoints_in(folder / CHECKPOINTS) else f", but has no checkpoint left: {AGAIN}"
    return f"{folder} is already pretrained{gone}."


def _trainer(settings: Settings, folder: Path, collecting: list[pl.Callback]) -> pl.Trainer:
    bar = sys.stderr.isatty()
    callbacks = [
        *collecting,
        checkpoint_callback(folder / CHECKPOINTS, **asdict(settings.checkpoints)),
    ]
    if bar:
        callbacks.append(TQDMProgressBar(leave=False))
    with expected_warnings():
        return build(
            settings.trainer,
            pl.Trainer,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=_logger(settings, folder),
            # Lightning looks for checkpoints of its own there; ours alone are gone on from.
            default_root_dir=os.devnull,
            use_distributed_sampler=False,
            enable_progress_bar=bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )


def _logger(settings: Settings, folder: Path) -> Logger:
    """Return the logger of the chosen kind, writing below the run's folder."""
    kind = settings["logger"]
    if kind == "csv":
        return MetricsLog(folder / "metrics")
    if kind == "tensorboard":
        return TensorBoardLogger(folder, name="metrics", version="")
    if kind == "wandb":
        return WandbLogger(save_dir=folder, name=folder.name)
    raise UserError(f"logger={kind!r} must be csv, tensorboard or wandb.")
