"""Pictures of a result, drawn once the result itself is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from salmask_plugin.lab.results.store import write_atomically

Draw = Callable[[], object]
"""Draws a picture and writes its file."""
LONGEST = 300
"""Characters of an error that a warning shows."""


class LatePictures:
    """Pictures that wait for their result: what took hours is not lost for want of a drawing."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Path, Draw]] = []

    def add(self, path: Path, draw: Draw) -> None:
        """Remember a picture.

        Args:
            path: of its file.
            draw: makes the file.
        """
        self._waiting.append((path, draw))

    def draw(self) -> list[Path]:
        """Draw what waits, and return the files that are there now."""
        waiting, self._waiting = self._waiting, []
        return [path for path, draw in waiting if is_drawn(path, draw)]


def is_drawn(path: Path | str, draw: Draw) -> bool:
    """Draw a picture of what is written already; one that fails is a warning that names its file.

    Args:
        path: of its file, or what it is called.
        draw: makes it.

    Returns:
        Whether it is there.
    """
    try:
        draw()
    except Exception as error:  # of the disk, of a data set's file that has gone, of matplotlib
        words = " ".join(f"{type(error).__name__}: {error}".split())
        warnings.warn(f"{path} could not be drawn ({words:.{LONGEST}}).", stacklevel=2)
        return False
    return True


def files_written(path: Path, made: Mapping[str, Callable[[], bytes]]) -> dict[str, Path]:
    """Write files of one name beside each other, each before the next is made.

    Args:
        path: without a suffix.
        made: suffix -> what makes the content; one called "png" may fail, see :func:`is_drawn`.

    Returns:
        Suffix -> file that is there.
    """
    there = {}
    for suffix, make in made.items():
        file = path.with_name(f"{path.name}.{suffix}")

        def write(file: Path = file, make: Callable[[], bytes] = make) -> None:
            write_atomically(file, make())

        if suffix != "png":
            write()
            there[suffix] = file
        elif is_drawn(file, write):
            there[suffix] = file
    return there
