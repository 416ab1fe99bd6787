"""How many processes the settings of a trainer ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def asked_processes(trainer: Mapping[str, Any]) -> int | None:
    """Return how many processes the settings ask for on all nodes.

    Args:
        trainer: the node of Lightning's trainer. Its ``devices`` are read as Lightning does: a
            number, also as a text, or a list of devices, also as a text with commas.

    Returns:
        Their number; None where the machine decides, or Lightning refuses them.
    """
    devices = trainer["devices"]
    if isinstance(devices, str) and "," in devices:
        devices = [part for part in devices.split(",") if part.strip()]
    if isinstance(devices, str) and devices.strip().isdecimal():
        devices = int(devices)
    if isinstance(devices, list):
        devices = len(devices)
    if not isinstance(devices, int) or devices < 1:
        return None
    return devices * int(trainer["num_nodes"])
