"""Names of files that came with a data set, and the folder that they must stay in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath


def path_below(folder: Path, name: str, where: str) -> Path:
    """Return folder/name.

    Args:
        folder: what the name is relative to.
        name: from a list or an annotation; sub-folders are fine.
        where: which list or annotation, for the message.

    Raises:
        ValueError: if the name is empty or absolute, or climbs out of the folder.
    """
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    if absolute or ".." in parts or "\0" in name or not PurePosixPath(name).name:
        raise ValueError(f"{where}: {name!r} must be a file below '{folder}'.")
    return folder / name


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
