"""Whether a result can be written, asked before the hours that it takes."""

from __future__ import annotations

import secrets
from pathlib import Path

from salmask_plugin.lab.errors import UserError


def check_writable(folder: Path) -> None:
    """Raise UserError unless a file can be made in a folder; none is left there.

    Args:
        folder: of a result. Where it is not there yet, the folder that it will be made in is tried.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    probe = place / f".{secrets.token_hex(4)}.tmp"
    try:
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder} cannot be written, and results go there: {error}.") from error
