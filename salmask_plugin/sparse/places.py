"""Which places of a map are visible, at every resolution that an encoder has."""

from __future__ import annotations

from collections.abc import Iterable
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
"""Attribute of a map whose visible places do not follow from its size, as a padded one's: which
they are, and which of its places are the map's own."""


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
        own = self._own(maps)
        if own is not None:
            return own[0].to(maps.dtype)
        size = maps.shape[-2:]
        key = (*size, maps.dtype)
        if key not in self._visible:
            found = self._full
            if size != found.shape[-2:]:
                found = functional.adaptive_max_pool2d(found, list(size))
            self._visible[key] = found.to(maps.dtype)
        return self._visible[key]

    def inside(self, maps: Tensor) -> Tensor:
        """Return 1 for the map's own places and 0 for constant ones padded to it, (B, 1, h, w)."""
        own = self._own(maps)
        return torch.ones_like(self.visible(maps)) if own is None else own[1].to(maps.dtype)

    def floor(self, visible: Tensor) -> Tensor:
        """Return 0 for visible places, the dtype's lowest number for hidden ones, (B, 1, h, w)."""
        return (1 - visible) * torch.finfo(visible.dtype).min

    def show(self, maps: Tensor, visible: Tensor, inside: Tensor) -> Tensor:
        """Note what :meth:`visible` and :meth:`inside` are to return, and return the maps."""
        setattr(maps, SEEN, (self, visible, inside))
        return maps

    def show_as(self, given: Iterable[Tensor], found: Iterable[Tensor]) -> None:
        """Note it of what was made of such maps, place by place."""
        own = next((own for maps in given if (own := self._own(maps)) is not None), None)
        if own is not None:
            for maps in found:
                if maps.ndim == 4 and maps.shape[-2:] == own[0].shape[-2:]:
                    self.show(maps, *own)

    def _own(self, maps: Tensor) -> tuple[Tensor, Tensor] | None:
        own = getattr(maps, SEEN, None)
        return own[1:] if own is not None and own[0] is self else None

    def check_images(self, maps: Any) -> None:
        """Raise ValueError if maps (N, C, h, w) are of other images than the mask."""
        if not isinstance(maps, Tensor) or maps.ndim != 4 or isinstance(maps, nn.Parameter):
            return
        size, found = tuple(self._full.shape[-2:]), tuple(maps.shape[-2:])
        if len(maps) != self.batch or found not in (size, (1, 1)):  # 1x1: pooled, as by a squeeze
            raise ValueError(
                f"the mask is of {self.batch} images of {size[0]}x{size[1]} px, and the encoder is "
                f"called on {len(maps)} of {found[0]}x{found[1]}: inside, call it on "
                "the batch that the mask is of."
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
        own = self._own(like) is not None
        found = None if own else self._visible.get(key)
        if found is None:
            seen = self.visible(like).view(len(like), groups, -1)
            visible = (seen > 0).sum((0, 2))
            found = torch.stack((seen.shape[0] * seen.shape[2] - visible, visible))
            if not own:
                self._visible[key] = found
        hidden, visible = found.unbind()
        if groups > 1:
            repeats = like.shape[1] // groups
            hidden, visible = (part.repeat_interleave(repeats) for part in (hidden, visible))
        return hidden, visible
