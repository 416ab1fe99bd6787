"""Detection and depth from a checkpoint: their kinds differ, their course does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from salmask_plugin.encoders import load_backbone
from salmask_plugin.lab.downstream.folders import say, train_once
from salmask_plugin.lab.downstream.kind import Downstream
from salmask_plugin.lab.results.late_pictures import LatePictures
from salmask_plugin.lab.runs.launcher import check_world
from salmask_plugin.lab.runs.progress import check_schedule_alone
from salmask_plugin.lab.runs.refusals import check_trainer
from salmask_plugin.lab.settings.allowed_targets import Trust
from salmask_plugin.lab.settings.compose import compose_settings


def train_from_checkpoint(
    kind: Downstream[Any],
    source: Path,
    overrides: Sequence[str] = (),
    *,
    config_dir: str | None = None,
    trust: Trust = False,
) -> None:
    """Train and test; write the result beside its picture, and into a run's record.

    Raises:
        UserError: for settings that cannot work, or a folder with other work.
        ValueError: for data or a checkpoint that cannot work, before training starts.
    """
    settings = compose_settings(overrides, root=kind.root, config_dir=config_dir, trust=trust)
    check_schedule_alone(settings.trainer)
    check_world(settings.trainer)
    check_trainer(settings)
    backbone = load_backbone(source, architecture=settings["architecture"], part=settings["part"])
    say(f"{kind.part.capitalize()}: {backbone}", flush=True)
    plan = kind.plan(settings[kind.name], settings.trainer, settings)
    kind.build(plan, backbone)  # what cannot be built should leave no folder behind
    pictures = LatePictures()
    train_once(
        kind.name,
        settings,
        source,
        backbone,
        lambda folder: kind.train_and_test(plan, backbone, folder, pictures),
        pictures=pictures,
        digits=kind.digits,
    )
