"""Where the views of a run are made: by the loader's workers, or on the device."""

from __future__ import annotations

from typing import Literal, get_args

from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.settings.settings import Settings

Input = Literal["host", "device"]


def check_input(settings: Settings, *, masks: bool) -> Input:
    """Return where views are made.

    Args:
        settings: of the run.
        masks: whether object masks have to go through the views.

    Raises:
        UserError: if it is unknown, or cannot work with the other settings.
    """
    loader = settings.loader
    chosen: Input = loader.input
    if chosen not in get_args(Input):
        raise UserError(f"loader.input={chosen!r} must be one of {', '.join(get_args(Input))}.")
    if chosen == "host" and loader.decode_size is not None:
        raise UserError(
            f"loader.decode_size={loader.decode_size} belongs to loader.input=device; on the "
            "host, crops are cut from the full picture."
        )
    if chosen == "device" and masks:
        raise UserError(
            "loader.input=device carries no object masks, which localizer=given needs: use "
            "loader.input=host."
        )
    if chosen == "device" and not loader.keep and loader.decode_size is None:
        raise UserError(
            "loader.keep=false needs loader.decode_size, the side in pixels of the square that "
            "every picture is resized to."
        )
    return chosen


def made_on_the_device(settings: Settings) -> str:
    """Say how views are made where ``loader.input=device``."""
    side = settings.loader.decode_size
    source = "pictures as they are" if side is None else f"pictures resized to {side}x{side} px"
    return f"loader.input is device: views are made there, from {source}"
