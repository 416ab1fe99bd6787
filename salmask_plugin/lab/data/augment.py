"""The augmentations of MoCo v2 and SimCLR under one name each, and evaluation's crops."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from salmask_plugin.lab.data.channels import RGB, Channels

Recipe = Literal["moco_v2", "simclr"]


class TwoViews:
    """Two random views of a picture, as lightly makes them: crop, flip, colour, grey, blur.

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
        # Imported here: the data sets need no lightly, which takes seconds.
        from lightly.transforms.moco_transform import MoCoV2Transform

        brightness, contrast, saturation, hue = jitter
        self.transforms = MoCoV2Transform(
            input_size=size,
            cj_prob=jitter_probability,
            cj_bright=brightness,
            cj_contrast=contrast,
            cj_sat=saturation,
            cj_hue=hue,
            min_scale=min_scale,
            random_gray_scale=grey_probability,
            gaussian_blur=blur_probability,
        ).transforms

    def __call__(self, image: Image.Image) -> list[Tensor]:
        """Return two views (3, size, size)."""
        return [view(image) for view in self.transforms]


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


def evaluation_transform(view_size: int, channels: Channels = RGB) -> v2.Compose:
    """Resize the shorter side to 256/224 of the view, crop its centre, normalise.

    Args:
        view_size: side of the view in pixels.
        channels: of the pictures.
    """
    _check_size("view_size", view_size)
    return v2.Compose(
        [
            v2.Resize(round(view_size * 256 / 224)),
            v2.CenterCrop(view_size),
            *to_normalised(channels),
        ]
    )


def linear_train_transform(view_size: int) -> v2.Compose:
    """Crop at random (8 to 100 % of the area), flip, normalise: the training of a linear probe.

    Args:
        view_size: side of the view in pixels.
    """
    return random_crop(view_size, RGB)


def random_crop(view_size: int, channels: Channels) -> v2.Compose:
    """Return :func:`linear_train_transform` for pictures of these channels."""
    _check_size("view_size", view_size)
    return v2.Compose(
        [v2.RandomResizedCrop(view_size), v2.RandomHorizontalFlip(), *to_normalised(channels)]
    )


def to_normalised(channels: Channels) -> tuple[v2.Transform, ...]:
    """Return what turns a picture into a normalised float32 tensor."""
    return (
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(channels.mean, channels.std),
        v2.ToPureTensor(),
    )


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise ValueError(f"{name}={size} must be at least 1 pixel.")
