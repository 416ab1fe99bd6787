"""``salmask cache``: the saliency of every training image, once."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.lab.cache.making import make_cache


def run(options: argparse.Namespace) -> None:
    """Make the maps that are missing, and say how they are used."""
    store = make_cache(
        Path(options.folder),
        options.overrides,
        grid=options.grid,
        size=options.size,
        verify=options.verify,
        agreement=options.agreement,
        config_dir=options.config_dir,
        trust=options.trust,
    )
    print(f"Complete. Train with: localizer=cached localizer.folder={store.folder}")
