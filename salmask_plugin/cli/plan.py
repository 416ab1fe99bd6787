"""``salmask plan``: what a run will cost, from a few timed steps, before it starts."""

from __future__ import annotations

import argparse

from salmask_plugin.lab.runs.plan import plan


def run(options: argparse.Namespace) -> None:
    """Time a few real steps, loader included, and extrapolate."""
    plan(options.overrides, config_dir=options.config_dir, trust=options.trust)
