"""``key=value`` of commands that have settings of their own and compose none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from salmask_plugin.lab.errors import UserError


def own_settings(command: str, given: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the settings, the given ones over the defaults.

    Raises:
        UserError: naming what is no ``key=value`` of the command, with what is.
    """
    settings = dict(defaults)
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or key not in settings:
            raise UserError(f"'{text}' is not a setting of {command}: {', '.join(settings)}.")
        settings[key] = value
    return settings
