"""The last line of a command: what one would type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from salmask_plugin.lab.results.terminal import terminal_width
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
    line = " ".join(["Next: salmask", command, *(shlex.quote(str(word)) for word in words)])
    explained = f"{line}    # {why}" if why else line
    # What is to be pasted stays in one line, however long its paths are.
    whole = not why or len(explained) <= terminal_width()
    print(f"\n{explained}" if whole else f"\n# {why}:\n{line}")
