"""What an audit looks at, and whether the data allow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.errors import UserError


@dataclass(frozen=True)
class Asked:
    """What is looked at.

    Attributes:
        images: at most so many.
        split: of the data set.
        object_share: views are left out whose object is a smaller or larger share of them.
    """

    images: int
    split: Literal["train", "val"]
    object_share: tuple[float, float]

    def check(self, splits: ImageSplits) -> None:
        """Raise UserError unless the data have masks and the numbers can be."""
        if not splits.has_masks:
            raise UserError(
                f"data {splits.name} has no object masks; use data=tiny_imagenet data.boxes=true, "
                "data=coco, data=generated, or data.masks=FOLDER for those of your own pictures."
            )
        low, high = self.object_share
        if not 0 <= low < high <= 1:
            raise UserError(f"--object-share {low} {high} must satisfy 0 <= LOW < HIGH <= 1.")
        if self.images < 1:
            raise UserError(f"--images {self.images} must be at least 1.")
