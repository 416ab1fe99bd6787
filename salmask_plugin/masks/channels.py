"""How many channels there are to draw apart: the views', which a saliency map does not tell."""

from __future__ import annotations

from collections.abc import Callable

from salmask_plugin.types import MaskSampler


def for_channels(sampler: MaskSampler, channels: int) -> MaskSampler:
    """Return ``sampler`` for views of that many channels.

    A sampler that draws channels apart says so by a method ``for_channels(channels)``, which
    returns the sampler to call; any other is returned as it is.
    """
    own: Callable[[int], MaskSampler] | None = getattr(sampler, "for_channels", None)
    return sampler if own is None else own(channels)
