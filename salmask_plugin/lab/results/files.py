"""Files that may come from anybody: read if they are files, and only so much of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class RefusedFileError(OSError):
    """A path is no regular file, or the file is too large; ``strerror`` says which."""


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    A pipe is not waited for, a device not read, whatever a link leads to.

    Args:
        path: of the file.
        most: bytes that are read at most.

    Raises:
        RefusedFileError: if it is no regular file, or holds more.
        OSError: if it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)  # not inherited by other programs
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise RefusedFileError(0, "it is no regular file", str(path))
        if found.st_size > most:
            raise RefusedFileError(
                0, f"it has {found.st_size:,} bytes, {most:,} are read at most", str(path)
            )
        return file.read(most)
