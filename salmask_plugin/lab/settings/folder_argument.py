"""A folder of pictures, typed where settings are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salmask_plugin.lab.errors import UserError


def folder_as_data(overrides: Sequence[str]) -> list[str]:
    """Return the settings with a folder that is no ``key=value`` as the data set.

    What is neither stays as it is: it is refused where settings are read.

    Raises:
        UserError: for two folders, for a folder beside ``data=``, or for a path that leads nowhere.
    """
    folders = [text for text in overrides if is_path(text)]
    if not folders:
        return list(overrides)
    settings = [text for text in overrides if text not in folders]
    given = [text for text in settings if text.startswith(("data=", "data.root="))]
    if len(folders) > 1 or given:
        raise UserError(
            f"the pictures are named twice: {', '.join([*folders, *given])}. One folder stands for "
            "data=folder data.root=FOLDER."
        )
    if not Path(folders[0]).expanduser().is_dir():
        raise UserError(f"'{folders[0]}' is no folder of pictures; settings are key=value.")
    return ["data=folder", f"data.root={folders[0]}", *settings]


def is_path(text: str) -> bool:
    """Whether what was typed among settings is a path: it has a slash, or is there."""
    if "=" in text or (text.startswith("~") and not text.startswith("~/")):
        return False
    return "/" in text or Path(text).exists()
