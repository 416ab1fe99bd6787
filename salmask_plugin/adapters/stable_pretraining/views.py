"""Where stable-pretraining keeps the two views of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def views_of(batch: Any) -> list[dict[str, Any]]:
    """Return the two views' own dictionaries: what is written to them, the module sees.

    ``MultiViewTransform`` of a list gives ``{"views": [view, view]}``; of a dict it gives the named
    views themselves, taken here in their order. A view is a dict with its pixels at ``"image"``.

    Raises:
        TypeError: if the batch is no dict.
        ValueError: if it does not hold two views.
    """
    if not isinstance(batch, Mapping):
        raise TypeError(
            f"batch is a {type(batch).__name__}; stable-pretraining's batches are dicts."
        )
    held = batch.get("views", batch)
    every = list(held.values()) if isinstance(held, Mapping) else list(held)
    views = [view for view in every if isinstance(view, dict) and "image" in view]
    if len(views) != 2:
        raise ValueError(
            f"batch with keys {sorted(map(str, batch))} holds {len(views)} views; masking needs "
            "two, as stable_pretraining's MultiViewTransform makes them."
        )
    return views
