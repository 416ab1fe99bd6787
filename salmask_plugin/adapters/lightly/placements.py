"""lightly's two views, and where each of them lies in its image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightly.transforms.gaussian_blur import GaussianBlur
from lightly.transforms.solarize import RandomSolarization
from lightly.transforms.torchvision_v2_compatibility import ToTensor
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

STAY = (
    v2.ColorJitter,
    v2.GaussianBlur,
    v2.Normalize,
    v2.RandomGrayscale,
    v2.RandomSolarize,
    v2.ToDtype,
    v2.ToImage,
    v2.ToPureTensor,
    GaussianBlur,
    RandomSolarization,
    ToTensor,
)
"""Operations that leave every pixel where it is."""


class PlacedViews:
    """The views that a transform of lightly makes, bit for bit, and their placements.

    The transform's own operations run in its own order on the same draws; nothing further is drawn.
    So a run with placements and one without see the same views.

    Args:
        transform: of two views (its ``transforms``), each a crop, then a mirroring or none, then
            colours: lightly's ``MoCoV2Transform`` and ``SimCLRTransform``.

    Raises:
        ValueError: if a view is not of that kind, such as one that is rotated.
    """

    def __init__(self, transform: Any) -> None:
        views = getattr(transform, "transforms", ())
        if not isinstance(views, (list, tuple)) or len(views) != 2:
            raise ValueError(
                f"{type(transform).__name__} is no transform of lightly that makes two views, such "
                "as MoCoV2Transform."
            )
        self._views = [_operations(view) for view in views]

    def __call__(self, image: Image.Image) -> tuple[list[Tensor], list[Tensor]]:
        """Return the two views, and their placements: two float32 (5,).

        A placement is x0, y0, x1, y1 in shares of the image's width and height, and 1 where the
        view is mirrored, else 0.
        """
        placed = [self.view(number, image) for number in range(2)]
        return [view for view, _ in placed], [placement for _, placement in placed]

    def box(self, number: int, image: Image.Image) -> tuple[int, int, int, int]:
        """Draw the box of one view: left, top, width, height in pixels."""
        crops = (part for part in self._views[number] if isinstance(part, v2.RandomResizedCrop))
        drawn = next(crops).make_params([image])
        return drawn["left"], drawn["top"], drawn["width"], drawn["height"]

    def view(
        self, number: int, image: Image.Image, box: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return one view and its placement, cut from ``box`` or from one that is drawn."""
        return _placed(self._views[number], image, box)


def _placed(
    operations: Sequence[Any], image: Image.Image, given: Sequence[int] | None
) -> tuple[Tensor, Tensor]:
    width, height = image.size
    box = (0.0, 0.0, 1.0, 1.0)
    flipped = False
    view: Any = image
    for operation in operations:
        before = view
        if isinstance(operation, v2.RandomResizedCrop):
            if given is None:
                crop = operation.make_params([view])
            else:
                crop = dict(zip(("left", "top", "width", "height"), given, strict=True))
            view = operation.transform(view, crop)
            left, top = crop["left"], crop["top"]
            right, bottom = left + crop["width"], top + crop["height"]
            box = (left / width, top / height, right / width, bottom / height)
        else:
            view = operation(view)
        if isinstance(operation, v2.RandomHorizontalFlip):
            # Without a flip torchvision hands its input back.
            flipped = view is not before
    return view, torch.tensor((*box, float(flipped)), dtype=torch.float32)


def _operations(view: Any) -> list[Any]:
    """Return a view's operations: one crop, mirrorings after it, and others that move nothing.

    Raises:
        ValueError: if it has others.
    """
    compose = getattr(view, "transform", view)
    if not isinstance(compose, v2.Compose):
        raise ValueError(f"{type(view).__name__} is no view transform of lightly.")
    operations = list(compose.transforms)
    moving = [type(operation) for operation in operations if not _stays(operation)]
    if moving not in (
        [v2.RandomResizedCrop],
        [v2.RandomResizedCrop, v2.RandomHorizontalFlip],
    ):
        raise ValueError(
            "cached maps and object masks follow views made by one RandomResizedCrop and at most "
            "one RandomHorizontalFlip after it; here pixels move by "
            f"{', '.join(kind.__name__ for kind in moving) or 'nothing'}. Use another localizer, "
            "or views without rotation and vertical flip."
        )
    return operations


def _stays(operation: Any) -> bool:
    if isinstance(operation, (v2.RandomApply, v2.Compose)):
        return all(_stays(inner) for inner in operation.transforms)
    # lightly lists flips and rotations that it never does: they draw, so they must run.
    never = getattr(operation, "p", getattr(operation, "prob", None)) == 0
    return isinstance(operation, STAY) or never
