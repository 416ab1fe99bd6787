"""Any function from images to masks as localizer: text-guided, classical, hand-made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salmask_plugin.checks import check_flag, height_and_width, numbers
from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD
from salmask_plugin.localizers.given import GivenLocalizer
from salmask_plugin.types import Images, Saliency, check_images

_MASKS = (torch.bool, torch.uint8)


@dataclass(frozen=True)
class MaskFunctionLocalizer:
    """Ask a function where the objects of the views are, and average its masks to the grid.

    The function sees the views of every step, crops and colours included, without gradient. What it
    says may depend on the image alone. A slow one is better asked once for every whole picture:
    ``salmask cache`` stores its maps, under the function's name: after a change of its code they
    are made anew in another folder.

    Set ``tolerance=0`` in the samplers where its masks are sharp: see :class:`GivenLocalizer`.

    Args:
        function: images (B, C, H, W) -> masks (B, H', W') or (B, 1, H', W'), larger = object: bool,
            floating point or uint8. Labels of segments are no masks: say which are the object.
        grid: (h, w) cells of the maps.
        trained_on: what the function learned from, in words, for records.
        one_by_one: the function takes one image (C, H, W) at a time and returns (H', W') or
            (1, H', W'), as a tensor, an array or a PIL image: what lightly's ``DetConTransform``
            takes as ``mask_fn``.
        mean: of the host's normalisation, which is undone first: the function sees values from 0 to
            1. None: it sees the views as they are.
        std: of the host's normalisation.
    """

    function: Callable[..., Any]
    grid: tuple[int, int] = (7, 7)
    trained_on: str = "unknown: a function's masks"
    one_by_one: bool = False
    mean: tuple[float, ...] | None = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"function={self.function!r} must be callable: images -> masks.")
        check_flag(self.one_by_one, "one_by_one")
        object.__setattr__(self, "grid", height_and_width(self.grid, "grid"))
        if self.mean is not None:
            mean, std = numbers(self.mean, "mean"), numbers(self.std, "std", above=0)
            if len(mean) != len(std):
                raise ValueError(f"mean={mean} and std={std} must be as long as each other.")
            object.__setattr__(self, "mean", mean)
            object.__setattr__(self, "std", std)

    @torch.no_grad()
    def __call__(self, images: Images) -> Saliency:
        """Return the maps of views (B, C, H, W): float32, (B, h, w).

        Raises:
            ValueError: if the images are no views or have other channels than ``mean``, or the
                function returned no masks, one per image.
        """
        check_images(images)
        shown = self._plain(images)
        if self.one_by_one:
            found = torch.stack([_as_tensor(self.function(image)) for image in shown])
        else:
            found = _as_tensor(self.function(shown))
        masks = found[:, 0] if found.ndim == 4 and found.shape[1] == 1 else found
        if masks.ndim != 3 or len(masks) != len(images):
            wanted = "(H, W) for each image" if self.one_by_one else f"({len(images)}, H, W)"
            raise ValueError(f"function returned masks {tuple(found.shape)}, not {wanted}.")
        if not (masks.is_floating_point() or masks.dtype in _MASKS):
            raise ValueError(
                f"function returned {masks.dtype}, which may be labels of segments; return bool, "
                "such as labels == 3, or floating point, larger = object."
            )
        return GivenLocalizer(self.grid)(masks.to(images.device))

    def __repr__(self) -> str:
        return (
            f"MaskFunctionLocalizer({_name_of(self.function)}, grid={self.grid}, "
            f"trained_on={self.trained_on!r}, one_by_one={self.one_by_one}, mean={self.mean}, "
            f"std={self.std})"
        )

    def _plain(self, images: Images) -> Images:
        if self.mean is None:
            return images
        if images.shape[1] != len(self.mean):
            raise ValueError(
                f"the views have {images.shape[1]} channels, mean={self.mean} is of "
                f"{len(self.mean)}; give mean and std of your normalisation, or mean=None."
            )
        # Numbers of the host, not tensors: making those on the device would wait for it.
        planes = zip(images.unbind(1), self.mean, self.std, strict=True)
        return torch.stack([plane * std + mean for plane, mean, std in planes], 1).clamp(0, 1)


def _name_of(function: Callable[..., Any]) -> str:
    """How a function is called, the same in every process: a repr may hold an address."""
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{_name_of(function.func)}({', '.join([*given, '...'])})"
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _as_tensor(found: Any) -> Tensor:
    return found if isinstance(found, Tensor) else torch.from_numpy(np.array(found))
