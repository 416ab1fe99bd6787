"""A folder of pictures, typed where settings are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salmask_plugin.lab.errors import UserError


def folder_as_data(overrides: Sequence[str]) -> list[str]:
    """Return the settings with a folder that is no ``key=value`` as the data set.

    Raises:
        UserError: for two folders, for a folder beside ``data=``, or for what is neither a setting
            nor a folder.
    """
    folders = [text for text in overrides if is_path(text)]
    if not folders:
        return list(overrides)
    settings = [text for text in overrides if text not in folders]
    given = [text for text in settings if text.startswith(("data=", "data.root="))]
    missing = [text for text in folders if not Path(text).expanduser().is_dir()]
    if missing:
        raise UserError(
            f"'{missing[0]}' is not a setting, which is key=value, nor a folder that is there."
        )
    if len(folders) > 1 or given:
        raise UserError(
            f"the pictures are named twice: {', '.join([*folders, *given])}. One folder stands for "
            "data=folder data.root=FOLDER."
        )
    return ["data=folder", f"data.root={folders[0]}", *settings]


def is_path(text: str) -> bool:
    """Whether what was typed among settings can only be a path: no ``key=value``, no ``~key``."""
    return "=" not in text and not (text.startswith("~") and not text.startswith("~/"))
