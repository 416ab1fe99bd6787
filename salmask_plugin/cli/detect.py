"""``salmask detect``: detection on the backbone of a run or of any checkpoint (Tables 2 and 10)."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.cli.config import compose_settings
from salmask_plugin.cli.detection.training import PICTURE, detector_of, plan_of, train_and_test
from salmask_plugin.cli.downstream import say, train_once
from salmask_plugin.evaluation import load_backbone


def run(options: argparse.Namespace) -> None:
    """Train and test a detector; write the result beside its picture, and into a run's record.

    Raises:
        UserError: for settings that cannot work, or a folder with another detector.
        ValueError: for data or a checkpoint that cannot work, before training starts.
    """
    settings = compose_settings(
        options.overrides, root="detect", config_dir=options.config_dir, trust=options.trust
    )
    source = Path(options.folder)
    backbone = load_backbone(source, architecture=settings["architecture"])
    say(f"Backbone: {backbone}", flush=True)
    plan = plan_of(
        settings["detection"],
        trainer=settings["trainer"],
        seed=settings["seed"],
        workers=settings["loader"]["workers"],
    )
    detector_of(plan, backbone)  # what cannot be built should leave no folder behind
    train_once(
        "detection",
        settings,
        source,
        backbone,
        lambda folder: train_and_test(plan, backbone, folder),
        picture=PICTURE,
        digits=2,
    )
