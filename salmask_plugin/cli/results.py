"""``salmask results``: the kept records of all studies as one page, and how records are kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from salmask_plugin.cli.own_settings import own_settings
from salmask_plugin.lab.study.kept_records import write_evidence


def run(options: argparse.Namespace) -> None:
    """Keep records if asked to, then write the page and its figures."""
    settings = own_settings("results", options.overrides, {"keep": "", "study": ""})
    write_evidence(
        Path(options.folder),
        keep=Path(settings["keep"]).expanduser() if settings["keep"] else None,
        study=settings["study"] or None,
    )
