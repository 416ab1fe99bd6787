"""What a fill says of itself: that its places are not seen, or show another image."""

from __future__ import annotations

from typing import Any

from salmask_plugin.mixtures import kinds_of


def is_unseen(masking: Any) -> bool:
    """Say whether a masking's places are to be hidden from the encoder; None hides nothing."""
    return bool(getattr(getattr(masking, "fill", None), "unseen", False))


def draws_per_channel(sampler: Any) -> bool:
    """Say whether a sampler of ours, or one of a mixture's, draws each channel's cells apart."""
    return any(getattr(kind, "per_channel", False) for kind in kinds_of(sampler))


def check_special(query: Any, negative: Any, branch: str, num_negatives: int) -> None:
    """Raise ValueError where a fill cannot serve.

    Args:
        query: masking of the views that ``branch`` names, or None.
        negative: masking of the hard negatives, or None.
        branch: which views are masked.
        num_negatives: hard negatives per image.
    """
    if is_unseen(negative) or (is_unseen(query) and branch != "query"):
        raise ValueError(
            "the fill 'not seen' is the query's alone: keys and hard negatives are encoded whole. "
            f"branch={branch!r} must be 'query', and negative needs another fill."
        )
    if is_unseen(query) and draws_per_channel(query.sampler):
        raise ValueError(
            "the fill 'not seen' hides places in all channels, and query.sampler draws cells per "
            "channel: choose another sampler, such as GridMask(per_channel=False)."
        )
    across = getattr(getattr(negative, "fill", None), "across_images", False)
    if across and num_negatives > 1:
        raise ValueError(
            f"num_negatives={num_negatives} must be 1 where hard negatives show another image: an "
            "image's own copies stand beside it."
        )
