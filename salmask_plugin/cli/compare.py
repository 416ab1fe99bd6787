"""``salmask compare``: rows x seeds -> finished runs -> one table and one report."""

from __future__ import annotations

import argparse

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.study.compare import run_comparison


def run(options: argparse.Namespace) -> None:
    """Run what is not finished yet, print the table, and name the runs that failed."""
    compared = run_comparison(options.overrides, config_dir=options.config_dir, trust=options.trust)
    written = compared.report
    print("\n" + written.table)
    print(f"\nReport: {written.html}\n        {written.markdown}")
    if compared.failed:
        raise UserError(
            f"{len(compared.failed)} of {compared.runs} runs failed: {', '.join(compared.failed)}. "
            "The others are in the report; the same command runs the failed ones again."
        )
