"""``salmask pretrain``: one encoder, resumed where it stopped."""

from __future__ import annotations

import argparse

from salmask_plugin.lab.study.one_run import run_one


def run(options: argparse.Namespace) -> None:
    """Pretrain (or resume), write the record, and evaluate if asked to."""
    run_one(
        options.overrides,
        evaluated=options.evaluate,
        config_dir=options.config_dir,
        trust=options.trust,
    )
