"""What a checkpoint says of its masking, and whether a run may go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def remember(
    checkpoint: dict[str, Any], settings: Mapping[str, Any], batches: int, trained_on: str
) -> None:
    """Put into a checkpoint what :func:`batches_seen` asks for, and leave nothing but plain values.

    Where a part of a method has a constant learning rate (SimSiam's predictor), solo-learn replaces
    the scheduler's ``get_lr``, whose state then holds a function: torch would not load the file
    again, neither for solo-learn's linear evaluation nor for a resume. The live scheduler keeps it.

    Args:
        checkpoint: Lightning's, complete.
        settings: of the masking, as plain values.
        batches: that the run has seen.
        trained_on: what the localizer has learned from.
    """
    for state in checkpoint.get("lr_schedulers", ()):
        state.pop("get_lr", None)
    checkpoint["salmask"] = {
        "settings": dict(settings),
        "batches_seen": batches,
        "localizer_trained_on": trained_on,
    }


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
