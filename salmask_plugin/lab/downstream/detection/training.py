"""One detector from a backbone: trained, resumed where it stopped, tested."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.downstream.detection import C4Detector, Schedule
from salmask_plugin.lab.downstream.detection.data_module import DetectionData
from salmask_plugin.lab.downstream.detection.figure import write_picture
from salmask_plugin.lab.downstream.detection.identity import identity_of
from salmask_plugin.lab.downstream.detection.instances import InstanceSplits
from salmask_plugin.lab.downstream.detection.module import LOSSES, DetectionModule
from salmask_plugin.lab.downstream.detection.testing import TestRound, metrics_of
from salmask_plugin.lab.downstream.kind import Downstream
from salmask_plugin.lab.downstream.training import (
    Plan,
    network_around,
    share_of_batch,
    train_rounds,
)
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import Evaluation
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.runs.history import History
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.settings.processes import asked_processes

PICTURE = "detections.png"


@dataclass(frozen=True)
class DetectionPlan(Plan):
    """Everything that is known before the backbone is touched.

    Attributes:
        splits: the data set.
        schedule: of the training.
    """

    splits: InstanceSplits
    schedule: Schedule


def plan_of(
    node: dict[str, Any], *, trainer: dict[str, Any], seed: int, workers: int
) -> DetectionPlan:
    """Read the annotations and check what can be checked.

    Raises:
        UserError: if settings and data do not fit each other.
        ValueError: whatever the data refuse.
    """
    schedule = build(node["schedule"], Schedule)
    splits = build(node["data"], InstanceSplits)
    if node["model"]["masks"] and not splits.has_outlines:
        raise UserError(
            f"model.masks=true needs outlines; {splits.name} has objects with boxes alone."
        )
    if node["model"]["masks"]:
        for images in (splits.train, splits.val):
            for found in images.instances:
                found.checked_outlines()
    if all(found.ignored.all() for found in splits.val.instances):
        raise UserError(
            f"the {len(splits.val)} test images of {splits.name} have no object that counts: there "
            "would be no average precision."
        )
    processes = asked_processes(trainer)
    if processes is not None:
        share_of_batch(schedule.batch_size, processes, unit="images")
    return DetectionPlan(node["model"], trainer, seed, workers, splits, schedule)


def detector_of(plan: DetectionPlan, backbone: PretrainedBackbone) -> C4Detector:
    """Return a new detector on a copy of the backbone's network, initialised from the seed alone.

    Raises:
        ValueError: if the backbone has no C4 map, or an argument of the model is out of range.
    """
    return network_around(backbone, plan, C4Detector, num_classes=len(plan.splits.classes))


def train_and_test(
    plan: DetectionPlan, backbone: PretrainedBackbone, folder: Path, pictures: LatePictures
) -> Evaluation:
    """Train a detector on a copy of the backbone's network, and return the benchmark's numbers.

    Checkpoints and logs go into ``folder``; a checkpoint there is where training goes on. The
    picture is added to ``pictures``, which are drawn once the result is written.

    Raises:
        ValueError: if the backbone is none that has a C4 map.
        UserError: if what is in the folder began on other data.
        RuntimeError: if the loss is not finite, or a frozen backbone changed.
    """
    detector = detector_of(plan, backbone)
    data = DetectionData(
        plan.splits,
        plan.schedule,
        masks=detector.roi_heads.has_mask(),
        seed=plan.seed,
        workers=plan.workers,
    )
    history = History(("train_loss", *LOSSES), round_steps=plan.schedule.round_steps)
    tested = TestRound(data, precise=plan.schedule.precise_batches > 0, seed=plan.seed)
    trainer = train_rounds(
        plan,
        DetectionModule(detector, plan.schedule, plan.seed),
        data,
        folder,
        history=history,
        identity=identity_of(plan.splits),
        rounds=plan.schedule.rounds,
        tested=tested,
        frozen=nn.ModuleList(detector.pretrained_parts()) if detector.freeze_backbone else None,
        notes=[f"{plan.splits.name}: {note}." for note in plan.splits.notes],
        sync_batchnorm=_synchronised(plan.trainer),
    )
    metrics, words = metrics_of(tested.found, plan.splits, masks=detector.roi_heads.has_mask())
    if trainer.is_global_zero:
        title = f"{plan.splits.name}, {plan.schedule.steps} steps, {backbone.source}"
        picture = folder / PICTURE
        draw = partial(write_picture, picture, tested.found, plan.splits, title=title)
        pictures.add(picture, draw)
    protocol = _protocol(plan, backbone, detector, trainer, tested.batches)
    return Evaluation(metrics, {**protocol, "metric": words}, history.curves, history.seconds)


def _synchronised(trainer: dict[str, Any]) -> bool:
    """Whether BatchNorm sees all processes' images: wherever torch can, which is on GPUs."""
    several = asked_processes(trainer) != 1
    return several and trainer["accelerator"] != "cpu" and torch.cuda.is_available()


def _protocol(
    plan: DetectionPlan,
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


DETECTION = Downstream(
    name="detection",
    root="detect",
    network="a detector",
    part="backbone",
    keys=frozenset({"data", "model", "schedule"}),
    read=plan_of,
    build=detector_of,
    train_and_test=train_and_test,
    digits=2,
)
