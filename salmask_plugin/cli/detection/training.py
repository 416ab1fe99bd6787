"""One detector from a backbone: trained, resumed where it stopped, tested."""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

from salmask_plugin.cli.build import build
from salmask_plugin.cli.checkpoints import (
    AtomicCheckpointIO,
    checkpoint_callback,
    newest_checkpoint,
)
from salmask_plugin.cli.detection.loaders import DetectionData, share_of_batch
from salmask_plugin.cli.detection.module import DetectionModule
from salmask_plugin.cli.detection.pictures import write_picture
from salmask_plugin.cli.detection.progress import RoundHistory
from salmask_plugin.cli.detection.testing import TestRound, metrics_of
from salmask_plugin.cli.errors import UserError
from salmask_plugin.cli.quiet import expected_warnings
from salmask_plugin.cli.runs import CHECKPOINTS
from salmask_plugin.data import InstanceSplits
from salmask_plugin.evaluation import PretrainedBackbone, fingerprint
from salmask_plugin.evaluation.detection import C4Detector, Schedule
from salmask_plugin.results import Evaluation

PICTURE = "detections.png"
KEPT = 2
say = rank_zero_only(print)


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the backbone is touched.

    Attributes:
        splits: the data set.
        schedule: of the training.
        model: the node of the detector.
        trainer: the node of Lightning's trainer.
        seed: of everything that is drawn.
        workers: of each loader.
    """

    splits: InstanceSplits
    schedule: Schedule
    model: dict[str, Any]
    trainer: dict[str, Any]
    seed: int
    workers: int


def plan_of(node: dict[str, Any], *, trainer: dict[str, Any], seed: int, workers: int) -> Plan:
    """Read the data and check what can be checked.

    Args:
        node: a choice of ``configs/detection``.
        trainer: the node of Lightning's trainer.
        seed: of the run.
        workers: of each loader.

    Raises:
        UserError: if settings and data do not fit each other.
        ValueError: whatever the data refuse.
    """
    if node["data"].get("root", "") is None:
        raise UserError("the detector's data have no folder yet: give its data.root=FOLDER.")
    schedule: Schedule = build(node["schedule"])
    splits: InstanceSplits = build(node["data"])
    if node["model"]["masks"] and not splits.has_outlines:
        raise UserError(f"model.masks=true needs outlines; {splits.name} has boxes alone.")
    if isinstance(trainer["devices"], int):
        share_of_batch(schedule, trainer["devices"] * trainer["num_nodes"])
    return Plan(splits, schedule, node["model"], trainer, seed, workers)


def detector_of(plan: Plan, backbone: PretrainedBackbone) -> C4Detector:
    """Return a new detector on a copy of the backbone's network, initialised from the seed alone.

    Raises:
        ValueError: if the backbone has no C4 map, or an argument of the model is out of range.
    """
    pl.seed_everything(plan.seed, verbose=False)
    own = replace(backbone, network=copy.deepcopy(backbone.network).cpu())
    detector: C4Detector = build(plan.model, backbone=own, num_classes=len(plan.splits.classes))
    return detector


def train_and_test(plan: Plan, backbone: PretrainedBackbone, folder: Path) -> Evaluation:
    """Train a detector on a copy of the backbone's network, and return the benchmark's numbers.

    Checkpoints, logs and the picture go into ``folder``; a checkpoint there is where training goes
    on.

    Raises:
        ValueError: if the backbone is none that has a C4 map.
        RuntimeError: if the loss is not finite, or a frozen backbone changed.
    """
    detector = detector_of(plan, backbone)
    pretrained = nn.ModuleList(detector.pretrained_parts())
    before = fingerprint(pretrained)
    for note in plan.splits.notes:
        say(f"{plan.splits.name}: {note}.")
    module = DetectionModule(detector, plan.schedule, plan.seed)
    data = DetectionData(
        plan.splits,
        plan.schedule,
        masks=detector.roi_heads.has_mask(),
        seed=plan.seed,
        workers=plan.workers,
    )
    history = RoundHistory(plan.schedule.round_steps, plan.schedule.rounds)
    tested = TestRound(data, precise=plan.schedule.precise_batches > 0, seed=plan.seed)
    with expected_warnings():
        trainer = _trainer(plan, folder, [history, tested])
        resumed = newest_checkpoint(folder / CHECKPOINTS)
        if resumed is not None:
            say(f"Resuming from {resumed}.", flush=True)
        # Said once by Lightning; a frozen backbone is meant to be in eval mode.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        trainer.fit(
            module, train_dataloaders=None, datamodule=data, ckpt_path=resumed, weights_only=True
        )
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.validate(module, datamodule=data, verbose=False)
    after = fingerprint(pretrained)
    if detector.freeze_backbone and after != before:
        raise RuntimeError(
            "freeze_backbone=true, but the backbone's weights or statistics changed."
        )
    metrics, words = metrics_of(tested.found, plan.splits, masks=detector.roi_heads.has_mask())
    if trainer.is_global_zero:
        title = f"{plan.splits.name}, {plan.schedule.steps} steps, {backbone.source}"
        write_picture(folder / PICTURE, tested.found, plan.splits, title=title)
    curves = {name: tuple(values) for name, values in history.values.items()}
    protocol = _protocol(plan, backbone, detector, trainer, tested.batches)
    return Evaluation(metrics, {**protocol, "metric": words}, curves, history.seconds)


def _trainer(plan: Plan, folder: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    bar = sys.stderr.isatty()
    checkpoints = checkpoint_callback(folder / CHECKPOINTS, keep=KEPT, every_n_epochs=1)
    known = {
        **plan.trainer,
        "max_epochs": plan.schedule.rounds,
        "sync_batchnorm": _synchronised(plan.trainer),
    }
    trainer: pl.Trainer = build(
        known,
        callbacks=[*callbacks, checkpoints, *([TQDMProgressBar(leave=False)] if bar else [])],
        plugins=[AtomicCheckpointIO()],
        logger=CSVLogger(folder, name="metrics", version=""),
        default_root_dir=str(folder),
        use_distributed_sampler=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        # Tested once, after training.
        check_val_every_n_epoch=plan.schedule.rounds + 1,
    )
    return trainer


def _synchronised(trainer: dict[str, Any]) -> bool:
    """Whether BatchNorm sees all processes' images: wherever torch can, which is on GPUs."""
    several = trainer["devices"] != 1 or trainer["num_nodes"] > 1
    return several and trainer["accelerator"] != "cpu" and torch.cuda.is_available()


def _protocol(
    plan: Plan,
    backbone: PretrainedBackbone,
    detector: C4Detector,
    trainer: pl.Trainer,
    precise: int,
) -> dict[str, Any]:
    schedule, model = plan.schedule, plan.model
    sides = model["short_sides"]
    frozen = detector.freeze_backbone
    kind = "Mask" if detector.roi_heads.has_mask() else "Faster"
    return {
        "detector": f"{kind} R-CNN C4, torchvision",
        "architecture": backbone.architecture,
        "data": plan.splits.name,
        "train_images": len(plan.splits.train),
        "test_images": len(plan.splits.val),
        "classes": len(plan.splits.classes),
        "backbone": "frozen, with its BatchNorm" if frozen else "fine-tuned",
        "view_filter": "none" if backbone.view_filter is None else str(backbone.view_filter),
        "steps": schedule.steps,
        "milestones": " ".join(map(str, schedule.milestones)),
        "warmup_steps": schedule.warmup_steps,
        "batch_size": schedule.batch_size,
        "learning_rate": schedule.learning_rate,
        "weight_decay": schedule.weight_decay,
        "short_sides": f"{sides[0]} to {sides[-1]} in training, {sides[-1]} in the test",
        "long_side": model["long_side"],
        "regions_per_image": model["regions_per_image"],
        "proposals_test": model["proposals_test"][1],
        "batch_norm": (
            "over all processes"
            if _synchronised(plan.trainer)
            else f"per process of {schedule.batch_size // trainer.world_size} images"
        ),
        "precise_batch_norm": precise,
        "unit": "percent",
    }
