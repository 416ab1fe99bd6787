"""Where a view is cut from its picture: of several boxes the one that saliency speaks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from salmask_plugin.checks import check_choice, number, whole_number
from salmask_plugin.localizers.area import coverage
from salmask_plugin.localizers.cached import CachedLocalizer
from salmask_plugin.localizers.given import GivenLocalizer
from salmask_plugin.localizers.uniform import UniformLocalizer
from salmask_plugin.masks import foreground
from salmask_plugin.types import Saliency, check_part

Rule = Literal["most", "apart"]


@dataclass(frozen=True)
class GuidedCrops:
    """Of K boxes a view the one that a rule prefers; a choice of its own beside the masks.

    The first candidate is the box that the host draws. The others have its size and lie anywhere in
    the picture: so the views' scales and ratios are the host's, whatever is chosen, and saliency
    decides their places alone.

    - ``rule="most"``: each view takes the candidate with the most foreground. The two views come
      closer to one another than the host's.
    - ``rule="apart"``: of the pairs of candidates in which both views have enough foreground, the
      one that overlaps least; where no pair has enough, the one whose poorer view has the most.

    Among equals the first is taken, so a picture without foreground keeps the host's boxes. They
    are chosen before there are views: only localizers that know the whole picture can be asked.
    :class:`UniformLocalizer` is none: everything is foreground, and ``"apart"`` takes the pair that
    overlaps least, wherever the object is.

    Args:
        localizer: a :class:`CachedLocalizer` or a :class:`GivenLocalizer`; of ``"apart"`` a
            :class:`UniformLocalizer` too.
        candidates: K >= 1; 1 leaves the host's boxes as they are, bit for bit.
        rule: "most" or "apart".
        enough: of "apart": foreground per area of a view, in units of the whole picture's, in
            (0, 1]; at 1 a view has to show the object as densely as the picture does.
        tolerance: of the foreground of cached maps (Eq. 1); 0: the cells above the map's mean. Of
            given masks the foreground is the object.

    Raises:
        ValueError: if a value is out of its range, the localizer sees views alone, or ``"most"``
            has no saliency to go by.

    References:
        The idea: Peng et al., ContrastiveCrop, CVPR 2022, https://arxiv.org/abs/2202.03278. Theirs
        draws a box's centre inside the object's bounding box.
    """

    localizer: CachedLocalizer | GivenLocalizer | UniformLocalizer
    candidates: int = 8
    rule: Rule = "most"
    enough: float = 1.0
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        check_part(self.localizer, "localizer")
        if not isinstance(self.localizer, CachedLocalizer | GivenLocalizer | UniformLocalizer):
            raise ValueError(
                f"localizer={type(self.localizer).__name__}(...) is asked about views, and a crop "
                "is chosen before there is one: CachedLocalizer (maps made by `salmask cache`) and "
                "GivenLocalizer (object masks) know the whole picture."
            )
        object.__setattr__(self, "candidates", whole_number(self.candidates, "candidates"))
        check_choice(self.rule, "rule", Rule)
        if self.rule == "most" and self.is_anywhere:
            raise ValueError(
                "rule='most' prefers foreground, and by UniformLocalizer everything is: take "
                "rule='apart' or another localizer."
            )
        object.__setattr__(self, "enough", number(self.enough, "enough", above=0, at_most=1))
        object.__setattr__(self, "tolerance", number(self.tolerance, "tolerance"))

    @property
    def takes_object_masks(self) -> bool:
        """Whether the pictures' object masks are asked, rather than a cache."""
        return isinstance(self.localizer, GivenLocalizer)

    @property
    def is_anywhere(self) -> bool:
        """Whether no saliency is asked, so that a picture needs no map."""
        return isinstance(self.localizer, UniformLocalizer)

    def maps_of(self, indices: Tensor) -> Saliency:
        """Return the maps (B, h, w) of whole pictures that need no object masks.

        Args:
            indices: int64 (B,) of the pictures in the data set.
        """
        if isinstance(self.localizer, CachedLocalizer):
            return self.localizer.whole(indices)
        return torch.ones((len(indices), 1, 1), device=indices.device)

    @torch.no_grad()
    def choose(self, maps: Saliency, boxes: Tensor) -> Tensor:
        """Return the box of each view: (B, 2, 4).

        Args:
            maps: (B, h, w) of the whole pictures: stored maps, or object masks in [0, 1].
            boxes: (B, 2, K, 4) of the two views, x0, y0, x1, y1 in shares of the picture's sides.
        """
        return taken(boxes, self.places(maps, boxes))

    @torch.no_grad()
    def places(self, maps: Saliency, boxes: Tensor) -> Tensor:
        """Return which candidate each view takes: int64 (B, 2). Arguments as of :meth:`choose`."""
        seen = maps > 0.5 if self.takes_object_masks else foreground(maps, self.tolerance)
        shares = foreground_shares(seen, boxes)
        if self.rule == "most":
            return _first_of_the_best(shares)
        poorer = torch.minimum(shares[:, 0, :, None], shares[:, 1, None, :])
        wanted = self.enough * seen.to(shares.dtype).mean((1, 2))[:, None, None]
        # Above 1 where both have enough; below it, by the poorer one's foreground.
        good = (poorer >= wanted * (1 - 1e-9)) & (poorer > 0)
        value = torch.where(good, 2 - overlaps(boxes[:, 0], boxes[:, 1]), poorer / 2)
        best = _first_of_the_best(value.flatten(1))
        count = boxes.shape[2]
        return torch.stack((best // count, best % count), -1)


def _first_of_the_best(values: Tensor) -> Tensor:
    """Return the first place along the last axis whose value is the largest, but for rounding."""
    best = values >= values.amax(-1, keepdim=True) * (1 - 1e-9)
    return best.to(torch.int64).argmax(-1)


def taken(boxes: Tensor, places: Tensor) -> Tensor:
    """Return the box at each view's place, (B, 2, 4), out of (B, 2, K, 4) in any unit.

    Args:
        boxes: the candidates.
        places: (B, 2) of :meth:`GuidedCrops.places`.
    """
    return boxes.gather(2, places[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]


def foreground_shares(seen: Tensor, boxes: Tensor) -> Tensor:
    """Return which share of each box is foreground, exact for cells that a box cuts: (B, ..., K).

    Args:
        seen: (B, h, w) bool, the foreground of whole pictures.
        boxes: (B, ..., K, 4) x0, y0, x1, y1 in shares of the picture's sides.
    """
    # float64, so that a box of foreground alone is full, and autocast and TF32 keep out.
    wide = torch.float32 if boxes.device.type == "mps" else torch.float64
    flat = boxes.reshape(-1, 4).to(wide)
    rows = coverage(flat[:, 1], flat[:, 3], seen.shape[1], 1).view(len(seen), -1, seen.shape[1])
    columns = coverage(flat[:, 0], flat[:, 2], seen.shape[2], 1).view(len(seen), -1, seen.shape[2])
    return ((rows @ seen.to(wide)) * columns).sum(-1).view(boxes.shape[:-1])


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return intersection over union of every box with every other: (B, K, L), in [0, 1].

    Args:
        first: (B, K, 4).
        second: (B, L, 4).
    """
    wide = torch.float32 if first.device.type == "mps" else torch.float64
    one, other = first.to(wide)[:, :, None], second.to(wide)[:, None]
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., 2:], other[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    areas = (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1)
    return both / (areas - both)
