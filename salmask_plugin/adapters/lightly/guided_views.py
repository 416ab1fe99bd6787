"""lightly's two views, cut where the picture's saliency speaks for them."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from salmask_plugin.adapters.lightly.placements import PlacedViews
from salmask_plugin.crops import GuidedCrops


class GuidedViews(PlacedViews):
    """The views of a transform of lightly, each cut from the candidate that a rule prefers.

    Sizes of boxes, flips and colours are drawn as the transform draws them, places of candidates
    from torch's global generator: so a sample that is made under seeded generators is the same in
    any worker and after a resume. Both boxes are chosen before the rest of either view is drawn.
    With one candidate the views are :class:`PlacedViews`', bit for bit.

    Args:
        transform: as of :class:`PlacedViews`.
        crops: how a box is chosen.

    Raises:
        ValueError: if a view is not of that kind.
    """

    def __init__(self, transform: Any, crops: GuidedCrops) -> None:
        super().__init__(transform)
        self.crops = crops

    def __call__(
        self, image: Image.Image, saliency: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the two views, and their placements: two float32 (5,).

        Args:
            image: the whole picture.
            saliency: its map (h, w): a stored one, or its object mask in [0, 1]; None where
                ``crops`` ask for none.

        Raises:
            ValueError: if there is no map and ``crops`` ask for one.
        """
        if self.crops.candidates == 1:
            return super().__call__(image)
        if saliency is None and self.crops.is_anywhere:
            saliency = torch.ones(1, 1)
        if not isinstance(saliency, Tensor) or saliency.ndim != 2:
            kind = f"a {type(saliency).__name__}"
            found = tuple(saliency.shape) if isinstance(saliency, Tensor) else kind
            raise ValueError(
                "guided crops need the whole picture's map, a tensor (h, w), beside the picture; "
                f"saliency is {found}."
            )
        boxes = self._candidates(image)
        size = torch.tensor(image.size)
        corner, extent = boxes[..., :2], boxes[..., 2:]
        shares = torch.cat([corner / size, (corner + extent) / size], dim=-1)
        chosen = self.crops.places(saliency[None], shares[None])[0]
        made = [
            self.view(number, image, boxes[number, place].tolist())
            for number, place in enumerate(chosen.tolist())
        ]
        return [view for view, _ in made], [placement for _, placement in made]

    def _candidates(self, image: Image.Image) -> Tensor:
        """(2, K, 4) left, top, width, height in whole pixels; the transform's own come first."""
        drawn = torch.tensor([self.box(number, image) for number in range(2)])
        places = torch.rand(2, self.crops.candidates - 1, 2)
        extent = drawn[:, None, 2:].expand(places.shape)
        room = torch.tensor(image.size) - extent
        corners = (places * (room + 1)).floor().long().minimum(room)
        return torch.cat([drawn[:, None], torch.cat([corners, extent], dim=-1)], dim=1)
