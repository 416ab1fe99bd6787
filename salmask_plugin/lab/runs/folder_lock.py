"""One command at a time in a run's folder."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from salmask_plugin.file_names import refuse_link_out
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.trace import trace_kept
from salmask_plugin.lab.runs.writable import check_writable

LOCK_NAME = ".lock"
RECORD_LOCK = ".record.lock"
"""Beside a record, held by whoever changes it for as long as that takes: several commands may."""
RECORD_PATIENCE = 60.0
"""Seconds; a change takes far less than one."""
PATIENCE = 20.0
"""Seconds: loader workers of a command that was killed hold its lock until they notice."""


def is_first_process() -> bool:
    """Lightning knows the rank from the launcher's variables, whichever it is."""
    return not getattr(rank_zero_only, "rank", 0)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder, for all processes of this command; it is made where it is missing.

    An error that nobody has foreseen leaves its trace there.

    The system gives it free when the process ends, however it ends. A file that merely lies there,
    whoever left it and on which machine, holds nothing.

    Raises:
        UserError: if nothing can be written there; if another command holds the folder: both would
            write the same files; if a folder in it is a link that leads out of it; or if the lock
            is no plain file.
    """
    if not is_first_process():
        with trace_kept(folder):
            yield
        return
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_links(folder)
    _refuse_strange(folder / LOCK_NAME)
    # Where the system has no locks, the library's own way is a file whose presence is the lock,
    # and a process that died on another machine would hold the folder for good.
    lock = FileLock(folder / LOCK_NAME, fallback_to_soft=False)
    try:
        _acquire(lock, folder)
    except OSError as error:
        # Some shared file systems have no locks, and a full disk is better told by what needs it.
        print(f"{folder} cannot be locked against other commands: {error}.", flush=True)
    try:
        with trace_kept(folder):
            yield
    finally:
        lock.release()


def in_use(folder: Path) -> bool:
    """Whether another command holds the folder now, as far as the file system tells."""
    path = folder / LOCK_NAME
    if not path.exists():
        return False
    _refuse_strange(path)
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _refuse_links(folder: Path) -> None:
    """A run's folder may come from somebody else; what is written or deleted in it stays in it.

    Links to files do no harm: files are written beside and then take the link's place.
    """
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() and entry.is_dir():
            try:
                refuse_link_out(folder, entry)
            except ValueError as error:
                raise UserError(str(error)) from error


@contextmanager
def changing_record(folder: Path) -> Iterator[None]:
    """Keep a folder's record from other commands between its reading and its writing.

    A result that has taken hours is not given up for a lock: where none is to be had, that is said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / RECORD_LOCK)
    try:
        lock.acquire(timeout=RECORD_PATIENCE)
    except (OSError, Timeout) as error:
        print(f"The record in {folder} is changed without its lock: {error}.", flush=True)
    try:
        yield
    finally:
        lock.release()


def _refuse_strange(path: Path) -> None:
    """Locking opens the file and may empty it: what another name leads to is not touched."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    shared = found.st_nlink > 1 and found.st_size > 0
    if not stat.S_ISREG(found.st_mode) or shared:
        raise UserError(
            f"{path} is a link or no plain file, and so no lock of ours. Delete it if no other "
            "command runs in that folder."
        )


def _acquire(lock: BaseFileLock, folder: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{folder} is in use; waiting {PATIENCE:g} s for the other command.", flush=True)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout as error:
            raise UserError(
                f"{folder} is in use by another command, and both would write the same files. "
                "Wait for its end, or choose another name=... or out=... ."
            ) from error
