"""Short names of the settings that people type most."""

from __future__ import annotations

import re
from collections.abc import Sequence

_RUN = {
    "epochs": "trainer.max_epochs",
    "batch_size": "loader.batch_size",
    "workers": "loader.workers",
    "devices": "trainer.devices",
    "lr": "method.learning_rate",
}
SHORT_NAMES: dict[str, dict[str, str]] = {
    "run": _RUN,
    "transfer": {"batch_size": "loader.batch_size", "workers": "loader.workers"},
    "detect": {"workers": "loader.workers", "devices": "trainer.devices"},
    "depth": {"workers": "loader.workers", "devices": "trainer.devices"},
}
"""File of ``configs/`` -> short name -> the setting it stands for."""
_NAME = re.compile(r"(?P<sign>\+{0,2})(?P<name>\w+)=")


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
