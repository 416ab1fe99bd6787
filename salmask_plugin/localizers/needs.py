"""What a localizer has to be given, as it says itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from salmask_plugin.types import Saliency

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


def innermost(localizer: Any) -> Any:
    """Return the localizer that makes the maps: this one, or the one that it asks.

    One that rearranges another's maps has a method ``rearranged`` and the other as ``localizer``.
    """
    while hasattr(localizer, "rearranged"):
        localizer = localizer.localizer
    return localizer


def with_innermost(localizer: Any, change: Callable[[Any], Any]) -> Any:
    """Return the localizer with ``change(innermost)`` in the place of the innermost one."""
    if localizer is innermost(localizer):
        return change(localizer)
    return replace(localizer, localizer=with_innermost(localizer.localizer, change))


def rearranged(localizer: Any, maps: Saliency) -> Saliency:
    """Return what a localizer makes of maps (B, h, w) that its innermost one has made already."""
    if localizer is innermost(localizer):
        return maps
    found: Saliency = localizer.rearranged(rearranged(localizer.localizer, maps))
    return found


def check_sees_filtered(localizer: Any) -> None:
    """Refuse a localizer that shows an encoder in training views which it is not trained on.

    Raises:
        ValueError: if it has no filter of its own.
    """
    localizer = innermost(localizer)
    if isinstance(localizer, partial) or needs_of(localizer) != "an encoder in training":
        return
    if getattr(localizer, "view_filter", None) is None:
        raise ValueError(
            f"localizer={localizer!r} has no view_filter, and its encoder is trained on filtered "
            "views: give it the same view_filter, or torch.nn.Identity() if the encoder filters by "
            "itself."
        )
