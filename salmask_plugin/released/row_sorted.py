"""Defect B1 of the released code: each row of the saliency map is sorted."""

from __future__ import annotations

from dataclasses import dataclass

from salmask_plugin.localizers.needs import Needs, needs_of
from salmask_plugin.types import Images, Localizer, Saliency


@dataclass(frozen=True)
class RowSortedLocalizer:
    """Sort every row of a localizer's maps, smallest value first.

    The released code tests cell (i, j) with the j-th smallest value of row i. How many cells of a
    row are foreground stays right; where they are does not: they lie at the right border.

    Args:
        localizer: makes the maps.

    References:
        https://github.com/joycenerd/Saliency-Guided-Masking-for-ConvNets/tree/c6e62b8; defect B1 in
        docs/paper_vs_code.md.
    """

    localizer: Localizer

    @property
    def needs(self) -> Needs:
        """What the localizer inside needs."""
        return needs_of(self.localizer)

    @property
    def trained_on(self) -> str:
        """Of the localizer inside."""
        return str(getattr(self.localizer, "trained_on", "unknown"))

    def __call__(self, images: Images) -> Saliency:
        """Return the maps (B, h, w), each row in ascending order."""
        return self.rearranged(self.localizer(images))

    def rearranged(self, maps: Saliency) -> Saliency:
        """Return maps (B, h, w) that are already there, each row in ascending order."""
        return maps.sort(dim=-1).values
