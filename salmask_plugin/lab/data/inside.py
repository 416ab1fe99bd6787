"""Whether the pictures that a list names are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def check_files(folder: Path, wanted: Sequence[str]) -> None:
    """Check that every picture of a split exists, before anything is trained.

    Folders are listed once each: a question per file is slow on a file server.

    Args:
        folder: of the split.
        wanted: names relative to it, sub-folders included.

    Raises:
        ValueError: naming the first that is missing and how many are.
    """
    places = [folder / name for name in wanted]
    there = {
        parent: {entry.name for entry in parent.iterdir()} if parent.is_dir() else set()
        for parent in {place.parent for place in places}
    }
    missing = [
        name
        for name, place in zip(wanted, places, strict=True)
        if place.name not in there[place.parent]
    ]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(wanted)} images are missing in '{folder}', such as "
            f"'{missing[0]}'."
        )
