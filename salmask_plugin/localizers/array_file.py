"""One array in a .npy file: mapped for reading, written by rows, checked before it is trusted."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HEADER = 128
"""Bytes before the data of a .npy file."""


def mapped(path: Path, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Return the array of a file, memory-mapped and read-only.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is another array, or damaged.
    """
    if not _sound(path, shape, dtype):
        raise ValueError(
            f"{path} is no array {dtype} {shape}, which its manifest says: it is damaged; "
            "`salmask cache` with the same settings mends it."
        )
    return np.memmap(path, dtype, "r", HEADER, shape)


def _sound(path: Path, shape: tuple[int, ...], dtype: str) -> bool:
    """Whether a file has the header and the size of this array."""
    with path.open("rb") as stream:
        head = stream.read(HEADER)
    return head == _header(shape, dtype) and path.stat().st_size == HEADER + _size(shape, dtype)


def mend(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Make a file of this array's header and size; what data it has stays in its place."""
    if path.is_file() and _sound(path, shape, dtype):
        return
    path.touch()
    with path.open("r+b") as stream:
        stream.write(_header(shape, dtype))
        stream.truncate(HEADER + _size(shape, dtype))
        to_disk(stream)


def _header(shape: tuple[int, ...], dtype: str) -> bytes:
    """The .npy format's, version 1.0, written here: parsing a damaged one can raise anything."""
    text = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00v\x00" + text.encode().ljust(HEADER - 11) + b"\n"


def _size(shape: tuple[int, ...], dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def write_rows(path: Path, rows: npt.NDArray[Any], start: int) -> None:
    """Write rows from row ``start`` on, and wait until they are on the disk.

    Plain writes: on a full disk they raise OSError, where a memory map would kill the process.
    """
    with path.open("r+b") as stream:
        stream.seek(HEADER + start * rows[0].nbytes)
        stream.write(rows.tobytes())
        to_disk(stream)


def to_disk(stream: Any) -> None:
    """Wait until what was written to an open file is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def replace_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.unlink(missing_ok=True)  # what a kill has left, or a link
    with temporary.open("x") as stream:
        stream.write(text)
        to_disk(stream)
    temporary.replace(path)
