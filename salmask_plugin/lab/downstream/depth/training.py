"""Depth from a backbone: trained, resumed where it stopped, tested."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from salmask_plugin.encoders import PretrainedBackbone
from salmask_plugin.lab.downstream.depth import DepthSchedule, DepthTest, Monodepth, depth_errors
from salmask_plugin.lab.downstream.depth.data_module import DepthData
from salmask_plugin.lab.downstream.depth.module import DEPTH_LOSSES, DepthModule
from salmask_plugin.lab.downstream.depth.splits import DepthSplits, identity_of
from salmask_plugin.lab.downstream.depth.testing import TestRound
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

PICTURE = "depth.png"


@dataclass(frozen=True)
class DepthPlan(Plan):
    """Everything that is known before the backbone is touched.

    Attributes:
        splits: the data set.
        schedule: of the training.
        test: how depths are compared.
    """

    splits: DepthSplits
    schedule: DepthSchedule
    test: DepthTest


def plan_of(node: dict[str, Any], *, trainer: dict[str, Any], seed: int, workers: int) -> DepthPlan:
    """Read the data's lists and check what can be checked.

    Raises:
        UserError: if settings and data do not fit each other.
        ValueError: whatever the data refuse.
    """
    schedule = build(node["schedule"], DepthSchedule)
    test = build(node["test"], DepthTest)
    splits = build(node["data"], DepthSplits)
    if len(splits.train) < schedule.batch_size:
        raise UserError(
            f"schedule.batch_size={schedule.batch_size} is larger than the {len(splits.train)} "
            f"triplets of {splits.name}: an epoch would have no step."
        )
    processes = asked_processes(trainer)
    if processes is not None:
        share_of_batch(schedule.batch_size, processes, unit="triplets")
    truth = splits.test.depth(0)
    # Wrong calibration puts the truth outside the picture: say it before the training.
    depth_errors(truth.clip(1), truth, crop=test.crop)
    return DepthPlan(node["model"], trainer, seed, workers, splits, schedule, test)


def model_of(plan: DepthPlan, backbone: PretrainedBackbone) -> Monodepth:
    """Return new networks around a copy of the backbone's, initialised from the seed alone.

    Raises:
        ValueError: if the backbone is no ResNet with the standard stem, or an argument of the model
            is out of range.
    """
    return network_around(backbone, plan, Monodepth)


def train_and_test(
    plan: DepthPlan, backbone: PretrainedBackbone, folder: Path, pictures: LatePictures
) -> Evaluation:
    """Train depth around a copy of the backbone's network, and return the seven numbers.

    Checkpoints and logs go into ``folder``; a checkpoint there is where training goes on. The
    picture is added to ``pictures``, which are drawn once the result is written.

    Raises:
        ValueError: if the backbone is none that has the five maps.
        UserError: if what is in the folder began on other data.
        RuntimeError: if the loss is not finite, or a frozen encoder changed.
    """
    model = model_of(plan, backbone)
    data = DepthData(
        plan.splits,
        model.size,
        batch_size=plan.schedule.batch_size,
        seed=plan.seed,
        workers=plan.workers,
    )
    steps = len(plan.splits.train) // plan.schedule.batch_size
    history = History(("train_loss", *DEPTH_LOSSES), round_steps=steps)
    tested = TestRound(plan.splits, plan.test)
    trainer = train_rounds(
        plan,
        DepthModule(model, plan.schedule, plan.seed),
        data,
        folder,
        history=history,
        identity=identity_of(plan.splits),
        rounds=plan.schedule.epochs,
        tested=tested,
        frozen=model.encoder if model.freeze_backbone else None,
        notes=[f"{plan.splits.name}: {note}." for note in plan.splits.notes],
    )
    metrics = tested.metrics()
    if trainer.is_global_zero:
        title = f"{plan.splits.name}, {plan.schedule.epochs} epochs, {backbone.source}"
        picture = folder / PICTURE
        pictures.add(picture, partial(tested.write_picture, picture, title=title))
    protocol = _protocol(plan, backbone, model)
    return Evaluation(metrics, protocol, history.curves, history.seconds)


def _protocol(plan: DepthPlan, backbone: PretrainedBackbone, model: Monodepth) -> dict[str, Any]:
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


DEPTH = Downstream(
    name="depth",
    root="depth",
    network="depth",
    part="encoder",
    keys=frozenset({"data", "model", "schedule", "test"}),
    read=plan_of,
    build=model_of,
    train_and_test=train_and_test,
    digits=3,
)
