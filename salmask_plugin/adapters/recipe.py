"""What the hosts' adapters ask of a recipe: that it is whole, and what a checkpoint says of it."""

from __future__ import annotations

from typing import Any

from salmask_plugin.filters import HighPassFilter
from salmask_plugin.masking import SaliencyMasking


def check_masking(masking: Any) -> None:
    """Raise ValueError unless it is a recipe, a SaliencyMasking, and of one part at least."""
    if not isinstance(masking, SaliencyMasking):
        given = masking.__name__ if isinstance(masking, type) else type(masking).__name__
        raise ValueError(
            f"masking={given}(...) must be a SaliencyMasking, such as SaliencyMasking(localizer, "
            "query=Masking(GridMask(), MeanFill()))."
        )
    if masking.query is None and masking.negative is None and masking.view_filter is None:
        raise ValueError(
            "masking=SaliencyMasking(...) does nothing: give it query=Masking(GridMask(), "
            "MeanFill()), negative=... or view_filter=...; the baseline is masking=None."
        )


def recorded_kernel(masking: SaliencyMasking | None) -> list[float] | str | None:
    """(taps, sigma) of the view filter for checkpoints, None without; another kind's name."""
    view_filter = None if masking is None else masking.view_filter
    if isinstance(view_filter, HighPassFilter):
        return [view_filter.kernel_size, view_filter.sigma]
    return None if view_filter is None else type(view_filter).__name__
