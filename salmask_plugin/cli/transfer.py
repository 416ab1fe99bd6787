"""``salmask transfer``: evaluate any checkpoint on any data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.lab.probes.transfer import transfer


def run(options: argparse.Namespace) -> None:
    """Evaluate the checkpoint and say where its record is."""
    record = transfer(
        Path(options.folder),
        options.overrides,
        only_missing=options.only_missing,
        config_dir=options.config_dir,
        trust=options.trust,
    )
    print(f"Written: {record}")
