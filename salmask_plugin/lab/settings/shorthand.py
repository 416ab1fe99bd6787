"""What may be typed in place of ``key=value``: a folder of pictures, and short names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from salmask_plugin.lab.errors import UserError

_RUN = {
    "epochs": "trainer.max_epochs",
    "batch_size": "loader.batch_size",
    "workers": "loader.workers",
    "devices": "trainer.devices",
    "in_channels": "backbone.in_channels",
    "lr": "method.learning_rate",
}
SHORT_NAMES: dict[str, dict[str, str]] = {
    "run": _RUN,
    "transfer": {
        "batch_size": "loader.batch_size",
        "workers": "loader.workers",
        "in_channels": "data.channels",
    },
    "detect": {"workers": "loader.workers", "devices": "trainer.devices"},
    "depth": {"workers": "loader.workers", "devices": "trainer.devices"},
}
"""File of ``configs/`` -> short name -> the setting it stands for."""
_NAME = re.compile(r"(?P<sign>\+{0,2})(?P<name>\w+)=")
SAYS_IT = ("data=", "experiment=")
"""Beginnings of settings that name the pictures."""


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
    """Whether what was typed among settings can only be a path.

    It is no ``key=value`` and no ``~key``; a folder ``photos/lr=0.1`` that is there is none either.
    """
    before, equals, _ = text.partition("=")
    if equals:
        return "/" in before and Path(text).expanduser().is_dir()
    return not text.startswith("~") or text.startswith("~/")


def check_data_is_named(overrides: Sequence[str], *, config_dir: str | None = None) -> None:
    """Raise UserError if no data set is named: nobody wants days of training on drawn pictures.

    Args:
        overrides: as typed. An experiment has its data set.
        config_dir: configurations of the user's own, which may name one.
    """
    if config_dir is None and not any(_names_data(text) for text in overrides):
        raise UserError(
            "no data set is named: a folder of pictures (`salmask pretrain my_photos`), "
            "data=cifar10 data.root=FOLDER, ... (`salmask pretrain --help`), or data=generated "
            "for drawn ones."
        )


def _names_data(text: str) -> bool:
    return text.lstrip("+").startswith(SAYS_IT) or is_path(text)


def in_full(overrides: Sequence[str], root: str) -> list[str]:
    """Return the overrides with the settings that short names stand for.

    Args:
        overrides: as typed: ``epochs=10``.
        root: file of ``configs/``.
    """
    return [_in_full(text, SHORT_NAMES.get(root, {})) for text in overrides]


def _in_full(text: str, names: dict[str, str]) -> str:
    found = _NAME.match(text)
    if found is None or found["name"] not in names:
        return text
    return f"{found['sign']}{names[found['name']]}={text[found.end() :]}"
