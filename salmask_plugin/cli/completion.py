"""``salmask --print-completion``: a script by which a shell completes commands and flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

SHELLS = ("bash", "zsh")
FILES = {"bash": "_shtab_compgen_files", "zsh": "_files"}
"""What completes a path, by shell: shtab's names."""


def complete_paths(parser: argparse.ArgumentParser) -> None:
    """Let a shell complete paths where something without a flag is typed."""
    for action in parser._actions:
        if not action.option_strings:
            action.complete = FILES  # type: ignore[attr-defined]


class PrintCompletion(argparse.Action):
    """Print the script of a shell, and end."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any) -> None:
        super().__init__(option_strings, dest, choices=SHELLS, **keywords)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None
    ) -> None:
        """Print it; without shtab say how that is installed."""
        try:
            import shtab
        except ImportError:
            parser.error("--print-completion needs shtab: pip install shtab")
        print(shtab.complete(parser, values))
        parser.exit()
