"""``salmask detect``: detection on the backbone of a run or of any checkpoint (Tables 2 and 10)."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.lab.downstream.command import train_from_checkpoint
from salmask_plugin.lab.downstream.detection.training import DETECTION


def run(options: argparse.Namespace) -> None:
    """Train and test a detector; write the result beside its picture, and into a run's record."""
    train_from_checkpoint(
        DETECTION,
        Path(options.folder),
        options.overrides,
        config_dir=options.config_dir,
        trust=options.trust,
    )
