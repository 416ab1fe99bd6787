"""Depth from a backbone: trained, resumed where it stopped, tested."""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only

from salmask_plugin.adapters.lightly.evaluation import DEPTH_LOSSES, DepthModule
from salmask_plugin.cli.build import build
from salmask_plugin.cli.checkpoints import (
    AtomicCheckpointIO,
    checkpoint_callback,
    newest_checkpoint,
)
from salmask_plugin.cli.depth.loaders import DepthData, share_of_batch
from salmask_plugin.cli.depth.testing import TestRound
from salmask_plugin.cli.detection.progress import RoundHistory
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.quiet import expected_warnings
from salmask_plugin.cli.runs import CHECKPOINTS
from salmask_plugin.data import DepthSplits
from salmask_plugin.evaluation import PretrainedBackbone, fingerprint
from salmask_plugin.evaluation.depth import DepthSchedule, DepthTest, Monodepth, depth_errors
from salmask_plugin.results import Evaluation

PICTURE = "depth.png"
KEPT = 2
say = rank_zero_only(print)


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the backbone is touched.

    Attributes:
        splits: the data set.
        schedule: of the training.
        test: how depths are compared.
        model: the node of the networks.
        trainer: the node of Lightning's trainer.
        seed: of everything that is drawn.
        workers: of each loader.
    """

    splits: DepthSplits
    schedule: DepthSchedule
    test: DepthTest
    model: dict[str, Any]
    trainer: dict[str, Any]
    seed: int
    workers: int


def plan_of(node: dict[str, Any], *, trainer: dict[str, Any], seed: int, workers: int) -> Plan:
    """Read the data and check what can be checked.

    Args:
        node: a choice of ``configs/depth``.
        trainer: the node of Lightning's trainer.
        seed: of the run.
        workers: of each loader.

    Raises:
        UserError: if settings and data do not fit each other.
        ValueError: whatever the data refuse.
    """
    if node["data"].get("root", "") is None:
        raise UserError("the depth data have no folder yet: give its data.root=FOLDER.")
    schedule: DepthSchedule = build(node["schedule"])
    test: DepthTest = build(node["test"])
    splits: DepthSplits = build(node["data"])
    if len(splits.train) < schedule.batch_size:
        raise UserError(
            f"schedule.batch_size={schedule.batch_size} is larger than the {len(splits.train)} "
            f"triplets of {splits.name}: an epoch would have no step."
        )
    if isinstance(trainer["devices"], int):
        share_of_batch(schedule.batch_size, trainer["devices"] * trainer["num_nodes"])
    truth = splits.test.depth(0)
    # Wrong calibration puts the truth outside the picture: say it before the training.
    depth_errors(truth.clip(1), truth, crop=test.crop)
    return Plan(splits, schedule, test, node["model"], trainer, seed, workers)


def model_of(plan: Plan, backbone: PretrainedBackbone) -> Monodepth:
    """Return new networks around a copy of the backbone's, initialised from the seed alone.

    Raises:
        ValueError: if the backbone is no ResNet with the standard stem, or an argument of the model
            is out of range.
    """
    pl.seed_everything(plan.seed, verbose=False)
    own = replace(backbone, network=copy.deepcopy(backbone.network).cpu())
    model: Monodepth = build(plan.model, backbone=own)
    return model


def train_and_test(plan: Plan, backbone: PretrainedBackbone, folder: Path) -> Evaluation:
    """Train depth around a copy of the backbone's network, and return the seven numbers.

    Checkpoints, logs and the picture go into ``folder``; a checkpoint there is where training goes
    on.

    Raises:
        ValueError: if the backbone is none that has the five maps.
        RuntimeError: if the loss is not finite, or a frozen encoder changed.
    """
    model = model_of(plan, backbone)
    before = fingerprint(model.encoder)
    for note in plan.splits.notes:
        say(f"{plan.splits.name}: {note}.")
    module = DepthModule(model, plan.schedule, plan.seed)
    data = DepthData(
        plan.splits,
        model.size,
        batch_size=plan.schedule.batch_size,
        seed=plan.seed,
        workers=plan.workers,
    )
    tested = TestRound(plan.splits, plan.test)
    with expected_warnings():
        steps = len(plan.splits.train) // plan.schedule.batch_size
        history = RoundHistory(steps, plan.schedule.epochs, DEPTH_LOSSES)
        trainer = _trainer(plan, folder, [history, tested])
        resumed = newest_checkpoint(folder / CHECKPOINTS)
        if resumed is not None:
            say(f"Resuming from {resumed}.", flush=True)
        # Said once by Lightning; a frozen encoder is meant to be in eval mode.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        trainer.fit(
            module, train_dataloaders=None, datamodule=data, ckpt_path=resumed, weights_only=True
        )
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.validate(module, datamodule=data, verbose=False)
    if model.freeze_backbone and fingerprint(model.encoder) != before:
        raise RuntimeError("freeze_backbone=true, but the encoder's weights or statistics changed.")
    metrics = tested.metrics()
    if trainer.is_global_zero:
        title = f"{plan.splits.name}, {plan.schedule.epochs} epochs, {backbone.source}"
        tested.write_picture(folder / PICTURE, title=title)
    curves = {name: tuple(values) for name, values in history.values.items()}
    return Evaluation(metrics, _protocol(plan, backbone, model), curves, history.seconds)


def _trainer(plan: Plan, folder: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    bar = sys.stderr.isatty()
    checkpoints = checkpoint_callback(folder / CHECKPOINTS, keep=KEPT, every_n_epochs=1)
    trainer: pl.Trainer = build(
        {**plan.trainer, "max_epochs": plan.schedule.epochs},
        callbacks=[*callbacks, checkpoints, *([TQDMProgressBar(leave=False)] if bar else [])],
        plugins=[AtomicCheckpointIO()],
        logger=CSVLogger(folder, name="metrics", version=""),
        default_root_dir=str(folder),
        use_distributed_sampler=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        # Tested once, after training: the last epoch's weights count.
        check_val_every_n_epoch=plan.schedule.epochs + 1,
    )
    return trainer


def _protocol(plan: Plan, backbone: PretrainedBackbone, model: Monodepth) -> dict[str, Any]:
    schedule = plan.schedule
    return {
        "depth": "Monodepth2's protocol, monocular",
        "architecture": backbone.architecture,
        "data": plan.splits.name,
        "data_notes": "; ".join(plan.splits.notes) or "none",
        "train_triplets": len(plan.splits.train),
        "test_images": len(plan.splits.test),
        "encoder": "frozen, with its BatchNorm" if model.freeze_backbone else "fine-tuned",
        "pose_encoder": "the same ResNet, from random weights",
        "view_filter": "none" if backbone.view_filter is None else str(backbone.view_filter),
        "normalization": plan.model["normalization"],
        "resolution": f"{model.size[1]}x{model.size[0]}",
        "epochs": schedule.epochs,
        "batch_size": schedule.batch_size,
        "learning_rate": schedule.learning_rate,
        "decay_every": schedule.decay_every,
        "scale": "median of each image" if plan.test.median_scaling else "none",
        "crop": plan.test.crop,
        "depth_range": "0.001 to 80 m",
        "unit": "mean of per-image values; rmse in metres, sq_rel in metres",
    }
