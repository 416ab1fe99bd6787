"""What a localizer has to be given, as it says itself."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

Needs = Literal["views", "object masks", "cached maps", "an encoder in training"]


def needs_of(localizer: Any) -> Needs:
    """Return what a localizer is called with, or waits for: its attribute ``needs``.

    A localizer that does not say needs the views alone; a ``functools.partial`` waits for the
    encoder that is being trained.
    """
    if isinstance(localizer, partial):
        return "an encoder in training"
    needs: Needs = getattr(localizer, "needs", "views")
    return needs


def check_sees_filtered(localizer: Any) -> None:
    """Refuse a localizer that shows an encoder in training views which it is not trained on.

    Raises:
        ValueError: if it has no filter of its own.
    """
    if isinstance(localizer, partial) or needs_of(localizer) != "an encoder in training":
        return
    if getattr(localizer, "view_filter", None) is None:
        raise ValueError(
            f"localizer={localizer!r} has no view_filter, and its encoder is trained on filtered "
            "views: give it the same view_filter, or torch.nn.Identity() if the encoder filters by "
            "itself."
        )
