"""Whether somebody has said which pictures a run is about."""

from __future__ import annotations

from collections.abc import Sequence

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.folder_argument import is_path

SAYS_IT = ("data=", "experiment=")


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
