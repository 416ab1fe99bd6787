"""``salmask preview``: the masks on the user's own images, before any training."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.cli.next_step import say_next
from salmask_plugin.lab.measures.preview import preview


def run(options: argparse.Namespace) -> None:
    """Write one gallery per recipe and say where they are."""
    folder = Path(options.folder)
    for path in preview(
        folder, options.overrides, config_dir=options.config_dir, trust=options.trust
    ):
        print(path)
    say_next("pretrain", folder, "masking=mean", "localizer=efficientnet_lite0")
