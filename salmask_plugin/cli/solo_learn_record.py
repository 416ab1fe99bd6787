"""``python -m salmask_plugin.cli.solo_learn_record``: a record of a run of solo-learn's scripts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.results import write_record
from salmask_plugin.lab.runs.solo_learn_records import record_run


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one record from the command line."""
    parser = argparse.ArgumentParser(prog="python -m salmask_plugin.cli.solo_learn_record")
    parser.add_argument("--pretrain", type=Path, required=True, help="run folder of main_pretrain")
    parser.add_argument("--linear", type=Path, help="run folder of main_linear")
    parser.add_argument("--to", type=Path, required=True, help="folder of the record")
    options = parser.parse_args(arguments)
    try:
        path = write_record(options.to, record_run(options.pretrain, options.linear))
    except (UserError, ValueError, FileNotFoundError, ImportError) as error:
        parser.exit(2, f"salmask: {error}\n")
    print(f"salmask: record written to {path}")


if __name__ == "__main__":
    main()
