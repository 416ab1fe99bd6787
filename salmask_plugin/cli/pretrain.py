"""``salmask pretrain``: one encoder, resumed where it stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from salmask_plugin.adapters.lightly.views import bind_encoder
from salmask_plugin.cli import evaluate
from salmask_plugin.cli.build import (
    PretrainData,
    build,
    build_data,
    build_logger,
    build_masking,
    build_module,
    build_splits,
)
from salmask_plugin.cli.checkpoints import (
    AtomicCheckpointIO,
    checkpoint_callback,
    newest_checkpoint,
    remove_superseded,
    resume_point,
)
from salmask_plugin.cli.config import Settings, compose_settings
from salmask_plugin.cli.explain import explain
from salmask_plugin.cli.folder_lock import alone_in
from salmask_plugin.cli.history import History
from salmask_plugin.cli.passed_over import PassedOver
from salmask_plugin.cli.protocol import record_of
from salmask_plugin.cli.quiet import expected_warnings
from salmask_plugin.cli.refusals import check_trainer, refused_in_words
from salmask_plugin.cli.runs import CHECKPOINTS, keep_settings, run_folder
from salmask_plugin.cli.stopping import stops_in_words
from salmask_plugin.cli.tasks import check_tasks
from salmask_plugin.results.store import RECORD_NAME, read_record, write_record

say = rank_zero_only(print)
"""Print once, whatever the number of processes."""


def run(options: argparse.Namespace) -> None:
    """Pretrain (or resume), write the record, and evaluate if asked to."""
    settings = compose_settings(
        options.overrides, config_dir=options.config_dir, trust=options.trust
    )
    folder = run_folder(settings)
    check_trainer(settings)
    if options.evaluate:
        check_tasks(settings)
    with alone_in(folder):
        pretrain(settings, folder)
        if options.evaluate:
            evaluate.evaluate(settings, folder, only_missing=True)


def pretrain(settings: Settings, folder: Path) -> None:
    """Train one encoder into ``folder``; do nothing where it is already trained.

    Raises:
        UserError: if the folder holds a run with other settings.
        RunStopped: if the training cannot go on; it says where the same command will.
        ValueError: for data or settings that cannot work, before training starts.
    """
    keep_settings(folder, settings)
    if (folder / RECORD_NAME).is_file() and read_record(folder).status == "finished":
        say(f"{folder} is already pretrained.")
        return
    say("\n".join(explain(settings)), flush=True)
    masking = build_masking(settings)
    splits = build_splits(settings)
    data = build_data(settings, splits, masking)
    module = build_module(settings, splits, masking)
    history = History()
    passed_over = PassedOver(splits)
    trainer = _trainer(settings, folder, [history, passed_over])
    keep = settings["checkpoints"]["keep"]
    resumed = resume_point(folder / CHECKPOINTS, keep=keep)
    with expected_warnings(), refused_in_words(), stops_in_words(folder / CHECKPOINTS):
        trainer.fit(module, datamodule=PretrainData(data), ckpt_path=resumed, weights_only=True)
    if trainer.is_global_zero:
        remove_superseded(newest_checkpoint(folder / CHECKPOINTS), keep=keep)
        images = len(splits.train) * settings["trainer"]["max_epochs"]
        # A localizer that waits for the run's encoder says what it was trained on once it has it.
        bound = bind_encoder(masking, module.get_submodule("backbone"))
        record = record_of(
            settings, splits, bound, history, images_per_run=images, unreadable=passed_over.names
        )
        write_record(folder, record)
        if passed_over.names:
            print(
                f"Unreadable and passed over: {len(passed_over.names)} files, named in the record."
            )
        print(f"Pretrained: {folder}")


def _trainer(settings: Settings, folder: Path, collecting: list[pl.Callback]) -> pl.Trainer:
    bar = sys.stderr.isatty()
    callbacks = [
        *collecting,
        checkpoint_callback(folder / CHECKPOINTS, **settings["checkpoints"]),
    ]
    if bar:
        callbacks.append(TQDMProgressBar(leave=False))
    with expected_warnings():
        trainer: pl.Trainer = build(
            settings["trainer"],
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=build_logger(settings, folder),
            default_root_dir=str(folder),
            use_distributed_sampler=False,
            enable_progress_bar=bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
    return trainer
