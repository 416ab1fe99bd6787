"""The augmentations of MoCo v2 and SimCLR, with object masks carried along, and evaluation's crops.

Torchvision's operations in lightly's order; use lightly's own transforms where no mask travels.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from salmask_plugin.lab.data.two_view import mask_to_tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Recipe = Literal["moco_v2", "simclr"]


class TwoViews:
    """Two random views of a picture, and of its mask: crop, flip, colour, grey, blur, normalise.

    Args:
        size: side of the square views in pixels.
        min_scale: smallest share of the picture's area that a crop shows, in (0, 1].
        jitter: (brightness, contrast, saturation, hue) of the colour jitter.
        jitter_probability: how often colours are jittered.
        grey_probability: how often colours are dropped.
        blur_probability: how often the view is blurred, sigma in 0.1 to 2 pixels of the view.

    Raises:
        ValueError: if size or min_scale is out of range.

    References:
        He et al. (MoCo), https://arxiv.org/abs/2003.04297; Chen et al. (SimCLR),
        https://arxiv.org/abs/2002.05709. The defaults are those of lightly's ``MoCoV2Transform``.
    """

    def __init__(
        self,
        size: int,
        min_scale: float = 0.2,
        jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
        jitter_probability: float = 0.8,
        grey_probability: float = 0.2,
        blur_probability: float = 0.5,
    ) -> None:
        _check_size("size", size)
        if not 0 < min_scale <= 1:
            raise ValueError(f"min_scale={min_scale} must be above 0 and at most 1.")
        self._view = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(min_scale, 1.0)),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(*jitter)], p=jitter_probability),
                v2.RandomGrayscale(grey_probability),
                v2.RandomApply([_PictureBlur((0.1, 2.0))], p=blur_probability),
                *_to_normalised(),
            ]
        )

    def __call__(
        self, image: Image.Image, mask: Image.Image | None = None
    ) -> list[Tensor] | tuple[list[Tensor], list[Tensor]]:
        """Return two views (3, size, size), and with a mask also its two views in [0, 1].

        A mask goes through the crop and the flip of its own view, by nearest neighbour.
        """
        if mask is None:
            return [self._view(image) for _ in range(2)]
        whole = tv_tensors.Mask(mask_to_tensor(mask))
        pairs = [self._view(image, whole) for _ in range(2)]
        return [view for view, _ in pairs], [
            seen.as_subclass(torch.Tensor).float() / 255 for _, seen in pairs
        ]


def two_views(size: int, recipe: Recipe = "moco_v2") -> TwoViews:
    """Return the views of MoCo v2, or those of SimCLR (smaller crops, twice the colour jitter).

    Raises:
        ValueError: if the recipe is unknown.
    """
    if recipe == "moco_v2":
        return TwoViews(size)
    if recipe == "simclr":
        return TwoViews(size, min_scale=0.08, jitter=(0.8, 0.8, 0.8, 0.2))
    raise ValueError(f"recipe={recipe!r} must be one of {get_args(Recipe)}.")


def evaluation_transform(view_size: int) -> v2.Compose:
    """Resize the shorter side to 256/224 of the view, crop its centre, normalise.

    Args:
        view_size: side of the view in pixels.
    """
    _check_size("view_size", view_size)
    return v2.Compose(
        [v2.Resize(round(view_size * 256 / 224)), v2.CenterCrop(view_size), *_to_normalised()]
    )


def linear_train_transform(view_size: int) -> v2.Compose:
    """Crop at random (8 to 100 % of the area), flip, normalise: the training of a linear probe.

    Args:
        view_size: side of the view in pixels.
    """
    _check_size("view_size", view_size)
    return v2.Compose(
        [v2.RandomResizedCrop(view_size), v2.RandomHorizontalFlip(), *_to_normalised()]
    )


class _PictureBlur(v2.Transform):
    """PIL's Gaussian blur, lightly's choice, with a drawn sigma; masks pass through."""

    def __init__(self, sigmas: tuple[float, float]) -> None:
        super().__init__()
        self.sigmas = sigmas

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        low, high = self.sigmas
        return {"sigma": torch.empty(1).uniform_(low, high).item()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, Image.Image):
            return inpt.filter(ImageFilter.GaussianBlur(params["sigma"]))
        return inpt


def _to_normalised() -> tuple[v2.Transform, ...]:
    return (
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        v2.ToPureTensor(),
    )


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name}={size} must be at least 1 pixel.")
