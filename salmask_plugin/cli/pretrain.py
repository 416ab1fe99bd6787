"""``salmask pretrain``: one encoder, resumed where it stopped."""

from __future__ import annotations

import argparse

from salmask_plugin.cli.next_step import say_next
from salmask_plugin.lab.study.one_run import fetched_again, run_one, unlabelled_pictures


def run(options: argparse.Namespace) -> None:
    """Pretrain (or resume), write the record, and evaluate if asked to."""
    folder = run_one(
        options.overrides,
        evaluated=options.evaluate,
        config_dir=options.config_dir,
        trust=options.trust,
    )
    if (photos := unlabelled_pictures(folder)) is not None:
        say_next("embed", folder, photos, f"{folder}-embedded", why="what the encoder finds alike")
    elif options.evaluate:
        say_next("export", folder, f"{folder}-exported", why="the encoder for other libraries")
    else:
        say_next("evaluate", *fetched_again(folder), folder, why="kNN and linear accuracy")
