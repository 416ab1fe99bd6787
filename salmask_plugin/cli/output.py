"""What a command prints is for a reader; one that goes away does not end the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

_KEPT = "\n\t\u00ad\u200c\u200d"
"""Breaks, and signs without a shape that scripts need."""


class _Lasting:
    """A text stream that is dropped at its first error instead of raising it.

    What a reader gets on standard output is text and nothing that acts; on the other stream are
    progress bars, which move the cursor.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self.dropped = False

    def write(self, text: str) -> int:
        plain = printable(text) if self._name == "stdout" else text
        self._try(lambda: self._stream.write(plain))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Any) -> None:
        if self.dropped:
            return
        try:
            action()
        except OSError as error:
            self.dropped = True
            self._to_nowhere()
            # A closed pipe is how `| head` says that it has enough.
            if not isinstance(error, BrokenPipeError) and self._name == "stdout":
                print(f"salmask: the output is cut off: {error}.", file=sys.stderr, flush=True)

    def _to_nowhere(self) -> None:
        """Let what is still in buffers, here and in child processes, go without an error."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def printable(words: object) -> str:
    r"""Return a text with what has no shape escaped: names in it come from anyone's files.

    Signs that a terminal obeys become ``\x1b``, bytes that are no UTF-8 ``\udcff``.
    """
    text = str(words)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        sign if sign in _KEPT or sign.isprintable() else sign.encode("unicode_escape").decode()
        for sign in text
    )


@contextmanager
def lasting_output() -> Iterator[None]:
    """Go on where standard output or errors cannot be written any more.

    ``| head -1`` closes its end, a terminal is closed, the disk of a log is full: files, records
    and exit codes stay what they are.
    """
    before = sys.stdout, sys.stderr
    if None in before:  # started without them
        yield
        return
    out, err = _Lasting(before[0], "stdout"), _Lasting(before[1], "stderr")
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
