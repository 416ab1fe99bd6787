"""What the hosts' adapters ask of a recipe: that it is whole, and what a checkpoint says of it."""

from __future__ import annotations

from typing import Any

from salmask_plugin.checks import whole_number
from salmask_plugin.filters import HighPassFilter
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.negatives import NegativeEncoding
from salmask_plugin.warm_up import SaliencyWarmUp


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


def check_draws(*, query_index: Any, seed: Any, warm_up: Any) -> int:
    """Return the seed; raise ValueError where these do not say how a step is masked.

    Args:
        query_index: 0 or 1.
        seed: of the masks, at least 0.
        warm_up: a SaliencyWarmUp, or None.
    """
    if isinstance(query_index, bool) or query_index not in (0, 1):
        raise ValueError(f"query_index={query_index!r:.80} must be 0 or 1.")
    _check_kind(warm_up, "warm_up", SaliencyWarmUp)
    return whole_number(seed, "seed", at_least=0)


def check_encoding(encoding: Any, masking: SaliencyMasking | None) -> NegativeEncoding:
    """Return what is encoded of the hard negatives, all of them for None.

    Raises:
        ValueError: if it is no NegativeEncoding, or something is to be left out of hard negatives
            that nobody makes.
    """
    _check_kind(encoding, "negative_encoding", NegativeEncoding)
    if encoding is not None and (masking is None or masking.negative is None):
        raise ValueError(
            "negative_encoding needs hard negatives: masking.negative says how they are made, and "
            "there is none."
        )
    return encoding or NegativeEncoding()


def recorded_kernel(masking: SaliencyMasking | None) -> list[float] | str | None:
    """(taps, sigma) of the view filter for checkpoints, None without; another kind's name."""
    view_filter = None if masking is None else masking.view_filter
    if isinstance(view_filter, HighPassFilter):
        return [view_filter.kernel_size, view_filter.sigma]
    return None if view_filter is None else type(view_filter).__name__


def _check_kind(value: Any, argument: str, kind: type) -> None:
    if value is None or isinstance(value, kind):
        return
    given = f"{value.__name__}, a class," if isinstance(value, type) else f"{value!r:.80}"
    raise ValueError(f"{argument}={given} must be {kind.__name__}(...), or None.")
