"""``salmask evaluate``: the evaluations of a pretrained run, and its gallery."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.lab.probes.evaluate import evaluate_run


def run(options: argparse.Namespace) -> None:
    """Evaluate a run's folder."""
    evaluate_run(
        Path(options.folder),
        options.overrides,
        only_missing=options.only_missing,
        trust=options.trust,
    )
