"""``salmask export``: a backbone in other libraries' formats, with a model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.lab.export.export import export
from salmask_plugin.lab.results.terminal import filled


def run(options: argparse.Namespace) -> None:
    """Write the formats and the card, and say where they are."""
    exported = export(
        Path(options.folder),
        Path(options.out),
        formats=options.format.split(","),
        architecture=options.architecture,
        part=options.part,
        view_size=options.view_size,
        filter_outside=options.filter_outside,
        license=options.license,
    )
    for name, file in exported.files.items():
        print(f"{name}: {file}")
    print(filled(f"Encoder: {exported.encoder}", "  "))
    print(f"Model card: {exported.card}")
