"""``salmask report``: every record below a folder as one table, Markdown and HTML."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.cli.own_settings import own_settings
from salmask_plugin.lab.results.escaping import shown
from salmask_plugin.lab.study.report_folder import report_folder


def run(options: argparse.Namespace) -> None:
    """Write the report of a folder; ``baseline=``, ``title=`` and ``out=`` are its settings."""
    folder = Path(options.folder)
    defaults = {"baseline": "none", "title": f"Runs in {folder.name}", "out": ""}
    settings = own_settings("report", options.overrides, defaults)
    written = report_folder(
        folder,
        title=settings["title"],
        baseline=settings["baseline"],
        out=Path(settings["out"]).expanduser() if settings["out"] else None,
    )
    print(written.table)
    print(f"\nReport: {shown(str(written.html))}\n        {shown(str(written.markdown))}")
