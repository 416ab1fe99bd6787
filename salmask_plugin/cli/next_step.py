"""The last line of a command: what one would type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from salmask_plugin.lab.runs.launcher import of_a_comparison, rank


def say_next(command: str, *words: str | Path, why: str = "") -> None:
    """Print a command that goes on from here; nothing in a row of a comparison.

    Args:
        command: of ``salmask``.
        words: its arguments, quoted where a shell needs it.
        why: what it is for.
    """
    if of_a_comparison() or rank():
        return
    line = " ".join(["salmask", command, *(shlex.quote(str(word)) for word in words)])
    print(f"\nNext: {line}" + (f"    # {why}" if why else ""))
