"""A training in rounds that goes on where its folder stands, and one test at the end."""

from __future__ import annotations

import copy
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import nn

from salmask_plugin.encoders import PretrainedBackbone, fingerprint
from salmask_plugin.lab.downstream.folders import say
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.checkpoints import (
    AtomicCheckpointIO,
    checkpoint_callback,
    newest_checkpoint,
    remove_superseded,
    resume_point,
)
from salmask_plugin.lab.runs.data_of_run import keep_identity
from salmask_plugin.lab.runs.expected_warnings import expected_warnings
from salmask_plugin.lab.runs.folder import CHECKPOINTS
from salmask_plugin.lab.runs.history import History
from salmask_plugin.lab.runs.launcher import check_processes
from salmask_plugin.lab.runs.metrics_log import MetricsLog
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.runs.refusals import refused_in_words
from salmask_plugin.lab.runs.stopping import stops_in_words

KEPT = 2
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Plan:
    """What is known of every training before the backbone is touched.

    Attributes:
        model: the node of the network.
        trainer: the node of Lightning's trainer.
        seed: of everything that is drawn.
        workers: of each loader.
    """

    model: dict[str, Any]
    trainer: dict[str, Any]
    seed: int
    workers: int


def network_around(backbone: PretrainedBackbone, plan: Plan, kind: type[N], **known: Any) -> N:
    """Return the plan's network on a copy of the backbone's, initialised from the seed alone.

    Args:
        backbone: stays as it is.
        plan: names the network and the seed.
        kind: of the network.
        known: further arguments of the network.

    Raises:
        ValueError: if the backbone does not fit, or an argument is out of range.
        UserError: if the plan's network is of another kind.
    """
    pl.seed_everything(plan.seed, verbose=False)
    own = replace(backbone, network=copy.deepcopy(backbone.network).cpu())
    return build(plan.model, kind, backbone=own, **known)


def train_rounds(
    plan: Plan,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    folder: Path,
    *,
    history: History,
    rounds: int,
    identity: dict[str, Any],
    tested: pl.Callback,
    frozen: nn.Module | None,
    notes: Sequence[str] = (),
    **trainer: Any,
) -> pl.Trainer:
    """Train all rounds, then test once; checkpoints and logs go into ``folder``.

    Args:
        plan: says how.
        module: what is trained.
        data: its loaders.
        folder: a checkpoint there is where training goes on.
        history: of the rounds.
        rounds: how many there are.
        identity: of the data, see :func:`~salmask_plugin.lab.data.split_identity`.
        tested: sees the test.
        frozen: what must come out as it went in; None where everything learns.
        notes: on the data, said before training.
        trainer: further arguments of Lightning's.

    Returns:
        The trainer, after the test.

    Raises:
        UserError: if the folder's training began on other data.
        RunStopped: as in pretraining, if it cannot go on.
        RuntimeError: if the loss is not finite, or what is frozen changed.
    """
    keep_identity(folder, identity)
    before = None if frozen is None else fingerprint(frozen)
    for note in notes:
        say(note)
    with expected_warnings(), refused_in_words():
        made = _trainer(plan, folder, [history, tested], rounds, trainer)
        check_processes(made.num_devices * made.num_nodes, plan.trainer)
        resumed = resume_point(folder / CHECKPOINTS, keep=KEPT)
        # Said once by Lightning; a frozen backbone is meant to be in eval mode.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        with stops_in_words(folder / CHECKPOINTS, made):
            made.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
            if made.is_global_zero:
                remove_superseded(newest_checkpoint(folder / CHECKPOINTS), keep=KEPT)
            made.validate(module, datamodule=data, verbose=False)
    if frozen is not None and fingerprint(frozen) != before:
        raise RuntimeError(
            "freeze_backbone=true, but the backbone's weights or statistics changed."
        )
    return made


def share_of_batch(batch_size: int, world_size: int, *, unit: str) -> int:
    """Return how much of a step's batch one process takes.

    Args:
        batch_size: of all processes.
        world_size: number of processes.
        unit: what the batch counts, "images".

    Raises:
        UserError: if the processes cannot share the batch equally.
    """
    if batch_size % world_size:
        raise UserError(
            f"schedule.batch_size={batch_size} counts the {unit} of all processes and must be a "
            f"multiple of their number, {world_size}."
        )
    return batch_size // world_size


def _trainer(
    plan: Plan, folder: Path, callbacks: list[pl.Callback], rounds: int, more: dict[str, Any]
) -> pl.Trainer:
    bar = sys.stderr.isatty()
    checkpoints = checkpoint_callback(folder / CHECKPOINTS, keep=KEPT, every_n_epochs=1)
    return build(
        {**plan.trainer, "max_epochs": rounds, **more},
        pl.Trainer,
        callbacks=[*callbacks, checkpoints, *([TQDMProgressBar(leave=False)] if bar else [])],
        plugins=[AtomicCheckpointIO()],
        logger=MetricsLog(folder / "metrics"),
        default_root_dir=os.devnull,  # as in pretraining: no checkpoints of Lightning's own
        use_distributed_sampler=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        # Tested once, after training: the last round's weights count.
        check_val_every_n_epoch=rounds + 1,
    )
