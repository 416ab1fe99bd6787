"""Where an error that nobody has foreseen leaves its trace: in the folder that was worked in."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from salmask_plugin.lab.errors import RunStopped, UserError
from salmask_plugin.lab.results.privacy import without_secrets
from salmask_plugin.lab.results.store import write_atomically
from salmask_plugin.lab.runs.launcher import rank

TRACE_NAME = "error.txt"
FORESEEN = (UserError, RunStopped, ValueError, ImportError, OSError)
"""Errors that end in a sentence of their own."""
NOTE = "Its trace is "
"""Begins the note that the error gets."""


@contextmanager
def trace_kept(folder: Path) -> Iterator[None]:
    """Write the trace of an error that nobody has foreseen into a folder, and note it on the error.

    Of an error inside of another's, the innermost folder has it. Further processes of a run have
    files of their own. What looks like a credential is removed, as it is from records.

    Args:
        folder: that the work goes to.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, FORESEEN) and trace_of(error) is None:
            error.add_note(_keep(folder, error))
        raise


def trace_of(error: BaseException) -> str | None:
    """Return the sentence that says where the trace of an error is; None where there is none."""
    notes = getattr(error, "__notes__", [])
    return next((note for note in notes if note.startswith(NOTE)), None)


def _keep(folder: Path, error: Exception) -> str:
    number = rank()
    path = folder / (f"error-rank{number}.txt" if number else TRACE_NAME)
    lines = "".join(traceback.format_exception(error)).splitlines()
    text = "\n".join(without_secrets(line) for line in lines) + "\n"
    try:
        write_atomically(path, text.encode(errors="backslashreplace"))
    except OSError as trouble:
        return f"{NOTE}lost: {path} cannot be written ({trouble})"
    return f"{NOTE}in {path}"
