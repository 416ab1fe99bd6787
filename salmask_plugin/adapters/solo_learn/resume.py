"""What a checkpoint says of its masking, and whether a run may go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def batches_seen(checkpoint: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """Return the training batches a checkpoint has seen, if it was trained with these settings.

    Args:
        checkpoint: with the entry "salmask": the settings, the batches, the localizer's data.
        settings: of the run that wants to go on, as plain values.

    Raises:
        ValueError: if the checkpoint was trained with other masking, or with none.
    """
    saved = checkpoint.get("salmask")
    if saved is None:
        raise ValueError("The checkpoint was trained without salmask; it cannot be resumed.")
    changed = [key for key in settings if saved["settings"].get(key) != settings[key]]
    if changed:
        raise ValueError(
            "The checkpoint was trained with other masking; these settings differ: "
            + ", ".join(
                f"salmask.{key} ({saved['settings'].get(key)!r} there, {settings[key]!r} here)"
                for key in changed
            )
        )
    return int(saved["batches_seen"])
