"""``salmask compare``: rows x seeds -> finished runs -> one table and one report."""

from __future__ import annotations

import argparse

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.study.compare import run_comparison


def run(options: argparse.Namespace) -> None:
    """Run what is not finished yet, print the table, and name the runs that failed."""
    compared = run_comparison(options.overrides, config_dir=options.config_dir, trust=options.trust)
    if compared.report is not None:
        print("\n" + compared.report.table)
        print(f"\nReport: {compared.report.html}\n        {compared.report.markdown}")
    if compared.going:
        print(
            f"{len(compared.going)} of {compared.runs} runs are in the queue or run. The same "
            "command collects what is finished and submits only what has ended without a result."
        )
    if compared.failed:
        raise UserError(
            f"{len(compared.failed)} of {compared.runs} runs failed: {', '.join(compared.failed)}. "
            "The others are in the report; the same command runs the failed ones again."
        )
