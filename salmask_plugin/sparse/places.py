"""Which places of a map are visible, at every resolution that an encoder has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from salmask_plugin.sparse.axes import MAPS, Axes
from salmask_plugin.types import PixelMask

AXES = "salmask_axes_of_places"
"""Attribute of a tensor that has places: which of its axes they are."""
MARK = "salmask_shows_visible_places_only"
"""Attribute of a map whose hidden places are known to be zero."""


SEEN = "salmask_visible_places"
"""Attribute of a map whose visible places do not follow from its size: a padded one."""


class VisiblePlaces:
    """The visible places of one batch of views.

    A place of a smaller map is visible where any of the pixels that it stands for is: what is
    visible is never lost, and a place with both kinds is computed from the visible ones. Nothing is
    read back from the device.

    Args:
        hidden: (B, 1, H, W) bool, True = not seen.

    Attributes:
        batch: B.
    """

    def __init__(self, hidden: PixelMask) -> None:
        self.batch = len(hidden)
        self._full = (~hidden).float()
        self._visible: dict[tuple[Any, ...], Tensor] = {}
        self._sizes = {tuple(hidden.shape[-2:])}

    def axes(self, value: Any) -> Axes | None:
        """Return the axes of places, or None where there are none: weights, what is pooled.

        They are what was noted. Who lost the note is known by the batch and the size of its map.
        """
        if not isinstance(value, Tensor) or isinstance(value, nn.Parameter):
            return None
        noted = getattr(value, AXES, None)
        if noted is not None and noted[0] is self:
            axes: Axes = noted[1]
            return axes
        size = tuple(value.shape[2:])
        known = value.ndim == 4 and len(value) == self.batch and size in self._sizes
        return MAPS if known and size != (1, 1) else None

    def note(self, found: Any, axes: Axes) -> Any:
        """Note the axes of places of a result, unless it has but one place, and return it."""
        if isinstance(found, Tensor):
            size = found.shape[axes[0]], found.shape[axes[1]]
            if size != (1, 1):
                setattr(found, AXES, (self, axes))
                if axes == MAPS and found.ndim == 4:
                    self._sizes.add(size)
        return found

    def visible(self, maps: Tensor) -> Tensor:
        """Return 1 for visible and 0 for hidden places, (B, 1, h, w) in the maps' dtype."""
        own = getattr(maps, SEEN, None)
        if own is not None and own[0] is self:
            seen: Tensor = own[1].to(maps.dtype)
            return seen
        size = maps.shape[-2:]
        key = (*size, maps.dtype)
        if key not in self._visible:
            found = self._full
            if size != found.shape[-2:]:
                found = functional.adaptive_max_pool2d(found, list(size))
            self._visible[key] = found.to(maps.dtype)
        return self._visible[key]

    def floor(self, maps: Tensor) -> Tensor:
        """Return 0 for visible places, the dtype's lowest number for hidden ones, (B, 1, h, w)."""
        return (1 - self.visible(maps)) * torch.finfo(maps.dtype).min

    def show(self, maps: Tensor, visible: Tensor) -> Tensor:
        """Note which places of the maps are visible, 1 or 0 (B, 1, h, w), and return them."""
        setattr(maps, SEEN, (self, visible))
        return maps

    def check_images(self, maps: Any) -> None:
        """Raise ValueError if maps (N, C, h, w) are of other images than the mask."""
        are_maps = isinstance(maps, Tensor) and maps.ndim == 4
        if are_maps and not isinstance(maps, nn.Parameter) and len(maps) != self.batch:
            raise ValueError(
                f"the mask is of {self.batch} images, and the encoder is called on "
                f"{len(maps)}: inside, call it on the batch that the mask is of."
            )

    def shown(self, maps: Tensor) -> Tensor:
        """Return the maps (B, C, h, w) with zeros in hidden places."""
        return maps if self.is_clean(maps) else maps * self.visible(maps)

    def hide(self, maps: Tensor) -> Tensor:
        """Write zeros into the hidden places of maps that nobody else has, and return them."""
        return self.mark(maps.mul_(self.visible(maps)))

    def mark(self, maps: Tensor) -> Tensor:
        """Note that the maps' hidden places are zero, and return them."""
        if not maps.is_inference():
            setattr(maps, MARK, (self, maps._version))
        return maps

    def is_clean(self, maps: Tensor) -> bool:
        """Whether the maps were marked, and not written to since."""
        mark = getattr(maps, MARK, None)
        return mark is not None and mark[0] is self and mark[1] == maps._version

    def in_groups(self, like: Tensor) -> Tensor:
        """Return the visible places of B images whose groups lie side by side as channels.

        Args:
            like: (B / G, G C, h, w): image i G + g is the g-th stretch of C channels of row i.

        Returns:
            (B / G, G C, h, w), or (B, 1, h, w) for one group.
        """
        groups = self.batch // len(like)
        seen = self.visible(like)
        if groups == 1:
            return seen
        height, width = seen.shape[-2:]
        split = seen.view(len(like), groups, 1, height, width)
        channels = like.shape[1] // groups
        return split.expand(-1, -1, channels, -1, -1).reshape(like.shape)

    def counts(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers of hidden and of visible places per channel of ``like``.

        Args:
            like: (B / G, G C, h, w) as in :meth:`in_groups`.

        Returns:
            Two (G C,) int64 tensors; of one number each for one group.
        """
        groups = self.batch // len(like)
        key = (*like.shape[-2:], "counts", groups)
        if key not in self._visible:
            seen = self.visible(like).view(len(like), groups, -1)
            visible = (seen > 0).sum((0, 2))
            self._visible[key] = torch.stack((seen.shape[0] * seen.shape[2] - visible, visible))
        hidden, visible = self._visible[key].unbind()
        if groups > 1:
            repeats = like.shape[1] // groups
            hidden, visible = (part.repeat_interleave(repeats) for part in (hidden, visible))
        return hidden, visible
