"""``salmask depth``: depth on the encoder of a run or of any checkpoint (Table 11)."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.lab.downstream.command import train_from_checkpoint
from salmask_plugin.lab.downstream.depth.training import DEPTH


def run(options: argparse.Namespace) -> None:
    """Train and test depth; write the result beside its picture, and into a run's record."""
    train_from_checkpoint(
        DEPTH,
        Path(options.folder),
        options.overrides,
        config_dir=options.config_dir,
        trust=options.trust,
    )
