"""The picture files below folders, each folder read once, whatever links lead where."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".npy", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class FoldersOnce:
    """Which folders a data set's images came from so far.

    Links are followed, but an image that is read a second time through one would count twice, with
    another label or in the other split.

    Args:
        root: the data set's folder, which no link below it may lead back to.
    """

    def __init__(self, root: Path) -> None:
        whole = root.resolve()
        self._above = {whole, *whole.parents}
        self._seen: dict[Path, Path] = {}
        self._linked: dict[Path, list[tuple[Path, Path]]] = {}

    def enter(self, folder: Path) -> None:
        """Note that a folder's images are read now.

        Raises:
            ValueError: if they have been read before, or the folder is one that holds the data set.
        """
        real = folder.resolve()
        if real in self._above:
            raise ValueError(f"'{folder}' is a link back to '{real}', which it lies in.")
        if real in self._seen:
            raise ValueError(
                f"'{folder}' and '{self._seen[real]}' are one folder, linked: its images would "
                "be read twice."
            )
        self._seen[real] = folder
        for link, picture in self._linked.get(real, ()):
            _refuse_linked(link, picture)

    def follow(self, link: Path) -> None:
        """Note that a link to a picture is read now.

        Raises:
            ValueError: if the picture lies in a folder that is read, before or later.
        """
        picture = Path(os.path.realpath(link))
        if not (_is_picture(picture.name) and picture.is_file()):
            return
        if picture.parent in self._seen:
            _refuse_linked(link, picture)
        self._linked.setdefault(picture.parent, []).append((link, picture))


def images_below(folder: Path, once: FoldersOnce) -> Iterator[Path]:
    """Yield the picture files at any depth, by suffix; hidden files and folders are left out.

    Raises:
        ValueError: if a folder cannot be read, or was read before, or a link leads to a picture
            that is read anyway.
    """
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        once.enter(Path(place))
        folders[:] = sorted(name for name in folders if name[0] != ".")
        pictures = [name for name in names if _is_picture(name)]
        links = _links_in(place) if pictures else set()
        for name in pictures:
            yield Path(place) / name
            if name in links:  # after it, so that who asks for one picture is told of no other
                once.follow(Path(place) / name)


def has_images(folder: Path) -> bool:
    """Whether there is a picture file at any depth."""
    return next(images_below(folder, FoldersOnce(folder.parent)), None) is not None


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; hidden ones are left out."""
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )


def some_of(names: Sequence[str], shown: int = 5) -> str:
    """Return the first names in quotes, and how many more there are."""
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + rest


def _is_picture(name: str) -> bool:
    return name[0] != "." and name.lower().endswith(SUFFIXES)


def _links_in(folder: str) -> set[str]:
    """Names of the links in a folder, by one listing: a question per file is slow on a server."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_symlink()}


def _refuse_linked(link: Path, picture: Path) -> NoReturn:
    raise ValueError(f"'{link}' is a link to '{picture}', which would be read twice.")


def _refuse(error: OSError) -> None:
    raise ValueError(f"'{error.filename}' cannot be read: {error.strerror}.") from error


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
