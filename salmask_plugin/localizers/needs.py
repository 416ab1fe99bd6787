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
