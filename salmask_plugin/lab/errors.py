"""The errors that reach the user as one line."""

from __future__ import annotations

from collections.abc import Sequence


def first_of(texts: Sequence[str], shown: int) -> str:
    """Return the first texts in a row, and how many more there are."""
    rest = len(texts) - shown
    return "; ".join([*texts[:shown], *([f"and {rest} more"] if rest > 0 else [])])


class UserError(Exception):
    """Something in the input is wrong; the message says what and what to do."""


class RunStopped(Exception):  # noqa: N818 - what happened to the run, not to the program
    """A run could not go on; the message says why, where, and what is left of it.

    Args:
        message: for the user.
        code: the command's exit code.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
