"""Cached maps in a batch: looked up by the loader's workers, or from placements in the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate

from salmask_plugin.localizers import CachedLocalizer
from salmask_plugin.localizers.needs import innermost, rearranged
from salmask_plugin.types import Localizer, Saliency


@dataclass(frozen=True)
class MapsOfViews:
    """Collate samples with placements into (views, labels, [map, map], indices).

    It runs in the loader's workers, one lookup per batch and view, so the training step waits for
    nothing. Maps are float32 (B, h, w).

    Args:
        cached: the maps of the whole images.
    """

    cached: CachedLocalizer

    def __call__(self, samples: list[Any]) -> list[Any]:
        """Return the batch of samples (views, label, placements, index)."""
        views, labels, placements, indices = default_collate(samples)
        return [views, labels, [look_up(self.cached, indices, at) for at in placements], indices]


def cached_localizer(localizer: object) -> CachedLocalizer | None:
    """Return the cached localizer that this one is, or asks; None where it is another kind."""
    inner = innermost(localizer)
    return inner if isinstance(inner, CachedLocalizer) else None


def look_up(cached: CachedLocalizer, indices: Tensor, placements: Tensor) -> Saliency:
    """Return the maps of views from their placements (B, 5): x0, y0, x1, y1, flipped."""
    return cached(indices, placements[:, :4], placements[:, 4] > 0.5)


def maps_of_batch(localizer: Localizer, batch: Sequence[Any]) -> tuple[Saliency, Saliency]:
    """Return the maps of a batch' two views, in the batch' order.

    Args:
        localizer: a :class:`CachedLocalizer`, or one that rearranges its maps.
        batch: (views, labels, maps, indices) or (views, labels, placements, indices): two float
            tensors (B, h, w) or (B, 5).

    Raises:
        TypeError: if the batch holds neither.
        ValueError: if the maps have another grid than the localizer's.
    """
    cached = cached_localizer(localizer)
    assert cached is not None
    given = batch[2] if len(batch) == 4 else None
    if (
        not isinstance(given, list | tuple)
        or len(given) != 2
        or not all(isinstance(part, Tensor) and part.ndim in (2, 3) for part in given)
    ):
        raise TypeError(
            "CachedLocalizer needs batches (views, labels, maps, indices) with maps a list of two "
            "tensors (B, h, w), as MapsOfViews collates them, or placements (B, 5) in their "
            f"place; the batch has {len(batch)} elements."
        )
    maps = [part if part.ndim == 3 else look_up(cached, batch[3], part) for part in given]
    for part in maps:
        if part.shape[1:] != cached.grid:
            raise ValueError(
                f"the batch' maps are {tuple(part.shape[1:])} cells; the localizer's grid is "
                f"{cached.grid}."
            )
    query, key = (rearranged(localizer, part) for part in maps)
    return query, key
