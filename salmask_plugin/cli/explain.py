"""``salmask explain``: the resolved recipe in plain words, and every departure from the paper."""

from __future__ import annotations

import argparse

from salmask_plugin.lab.results.terminal import filled_lines
from salmask_plugin.lab.settings.explain import explain_settings


def run(options: argparse.Namespace) -> None:
    """Print the explanation and the resolved settings."""
    lines = explain_settings(
        options.overrides,
        everything=options.all,
        config_dir=options.config_dir,
        trust=options.trust,
    )
    print("\n".join(lines) if options.all else filled_lines(lines))
    if not options.all:
        print("\nAll settings: salmask explain --all ...")
