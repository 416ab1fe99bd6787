"""``salmask embed``: what an encoder says of a folder of pictures, labels or none."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.cli.next_step import say_next
from salmask_plugin.lab.embed.embed import embed, said


def run(options: argparse.Namespace) -> None:
    """Write features and pictures, and say where they are."""
    embedded = embed(
        Path(options.folder),
        Path(options.images),
        Path(options.out),
        architecture=options.architecture,
        part=options.part,
        view_size=options.view_size,
        projection=options.projection,
        workers=options.workers,
    )
    print("\n".join(said(embedded)))
    say_next("export", options.folder, "exported", why="the encoder for other libraries")
