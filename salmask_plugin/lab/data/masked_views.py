"""lightly's two views, and the object's mask in each of them."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from salmask_plugin.adapters.lightly.placements import PlacedViews
from salmask_plugin.lab.data.augment import TwoViews
from salmask_plugin.lab.data.two_view import mask_to_tensor


class MaskedViews:
    """The views that a transform of lightly makes, bit for bit, and the mask as each shows it.

    Nothing further is drawn: a run with masks and one without see the same views.

    Args:
        transform: of two views, each a crop, then a mirroring or none, then colours: lightly's
            ``MoCoV2Transform`` and ``SimCLRTransform``.

    Raises:
        ValueError: if a view is not of that kind, such as one that is rotated.
    """

    def __init__(self, transform: Any) -> None:
        self._views = PlacedViews(transform)

    def __call__(self, image: Image.Image, mask: Image.Image) -> tuple[list[Tensor], list[Tensor]]:
        """Return the two views, and their masks: (1, h, w) in [0, 1], by nearest neighbour."""
        views, placements = self._views(image)
        whole = mask_to_tensor(mask)
        pairs = zip(views, placements, strict=True)
        return views, [_seen(whole, placement, view) for view, placement in pairs]


def with_masks(transform: Any) -> Any:
    """Return a transform that takes (picture, mask), with the settings of one that takes pictures.

    Raises:
        ValueError: if it is neither lightly's nor one that carries masks itself.
    """
    return transform if isinstance(transform, TwoViews) else MaskedViews(transform)


def _seen(whole: Tensor, placement: Tensor, view: Tensor) -> Tensor:
    height, width = whole.shape[-2:]
    left, top, right, bottom, mirrored = placement.tolist()
    x0, x1 = round(left * width), round(right * width)
    y0, y1 = round(top * height), round(bottom * height)
    seen: Tensor = F.resized_crop(
        whole, y0, x0, y1 - y0, x1 - x0, list(view.shape[-2:]), InterpolationMode.NEAREST
    )
    return (seen.flip(-1) if mirrored else seen).float() / 255
