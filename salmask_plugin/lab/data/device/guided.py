"""Boxes of a batch's views chosen by saliency, on the batch's device."""

from __future__ import annotations

import torch
from torch import Tensor

from salmask_plugin.crops import GuidedCrops, taken
from salmask_plugin.lab.data.device.draws import generator_of_epoch

PLACES_STREAM = 1
"""Tells the candidates' draws from those of the views, which stay as they are."""


class GuidedBoxes:
    """Move the views' boxes to where the rule wants them.

    The places of the candidates come from (seed, epoch, index), as the views' other choices do, and
    leave these as they are. Everything happens on the device, and the host waits for nothing.

    Args:
        crops: how a box is chosen.
        seed: the run's seed.
        count: images of the data set.
        masks: object masks of all pictures, uint8 (N, H, W), where ``crops`` asks for them.

    Raises:
        ValueError: if ``crops`` asks for masks and there are none.
    """

    def __init__(
        self, crops: GuidedCrops, *, seed: int, count: int, masks: Tensor | None = None
    ) -> None:
        if crops.takes_object_masks and masks is None:
            raise ValueError("crops by object masks need masks.")
        self.crops = crops
        self.seed = seed
        self.count = count
        self._masks = masks
        self._epoch = -1
        self._places = torch.empty(0)

    def __call__(self, box: Tensor, sizes: Tensor, indices: Tensor, epoch: int) -> Tensor:
        """Return the chosen boxes, shaped as ``box``.

        Args:
            box: (2 B, 4) left, top, width, height in whole pixels; the first view of all images,
                then the second.
            sizes: (B, 2) width and height of the pictures in the same pixels, float.
            indices: int64 (B,) of the images.
            epoch: finished before this one.
        """
        if self.crops.candidates == 1:
            return box
        first = box.view(2, -1, 1, 4).transpose(0, 1)
        places = self._of_epoch(epoch, box.device)[indices]
        extent = first[..., 2:]
        room = sizes[:, None, None] - extent
        # As the first candidate's place is drawn: any whole pixel that leaves room.
        corners = (places * (room + 1)).floor().minimum(room)
        others = torch.cat([corners, extent.expand_as(corners)], dim=-1)
        candidates = torch.cat([first, others], dim=2)
        corner, whole = candidates[..., :2], sizes[:, None, None]
        shares = torch.cat([corner / whole, (corner + candidates[..., 2:]) / whole], dim=-1)
        found = taken(candidates, self.crops.places(self._maps(indices), shares))
        return found.transpose(0, 1).reshape(-1, 4)

    def _maps(self, indices: Tensor) -> Tensor:
        if self._masks is None:
            return self.crops.maps_of(indices)
        if self._masks.device != indices.device:
            self._masks = self._masks.to(indices.device)
        return self._masks[indices].float() / 255

    def _of_epoch(self, epoch: int, device: torch.device) -> Tensor:
        if epoch != self._epoch or self._places.device != device:
            generator = generator_of_epoch(self.seed, epoch, PLACES_STREAM)
            shape = (self.count, 2, self.crops.candidates - 1, 2)
            self._places = torch.rand(shape, generator=generator).to(device)
            self._epoch = epoch
        return self._places
