"""A folder that gets all the files of an export or none of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".export.part"
"""Folder inside the export's, in which its files are made."""
MOVING = "moving.json"
"""Beside them: the names that go into the export's folder. It is there once all are whole."""


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a place to write into; what is there moves into ``folder`` when all of it is whole.

    Args:
        folder: made if it is not there; what an export that was killed has left in it is removed.

    Raises:
        OSError: if the disk refuses. The folder is as it was.
    """
    made, part = not folder.exists(), folder / PART
    try:
        clear_unfinished(folder)
        part.mkdir(parents=True)
        yield part
        names = sorted(path.name for path in part.iterdir())
        (part / f"{MOVING}.tmp").write_text(json.dumps(names))
        (part / f"{MOVING}.tmp").replace(part / MOVING)
        for name in names:
            (part / name).replace(folder / name)
        shutil.rmtree(part)
    except BaseException as error:
        if folder.is_dir():
            clear_unfinished(folder)
            if made and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            # A folder inside another says the same of its own place, which is gone.
            reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise OSError(f"{folder} cannot be written: {reason}") from reason
        raise


def clear_unfinished(folder: Path) -> None:
    """Remove from a folder what an export that did not come to its end has left there."""
    part = folder / PART
    if not part.is_dir():
        return
    if (part / MOVING).is_file():
        for name in _names_in(part / MOVING):
            _remove(folder / name)  # some of them had arrived
    shutil.rmtree(part)


def _names_in(path: Path) -> list[str]:
    """The names in a file that may be anyone's; one that leads elsewhere is none of ours."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} was not written by an export: {error}.") from error
    if not isinstance(names, list) or not all(map(_is_name, names)):
        raise ValueError(f"{path} was not written by an export: {names!r:.200}.")
    return names


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", "..") and name == Path(name).name


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
