"""Whether maps, masks and generators fit the images they are used on."""

from __future__ import annotations

from typing import Any

import torch

from salmask_plugin.types import Images, PixelMask, Saliency

FEATURES = "SCDALocalizer(network) makes such maps of the features of a FrozenNetwork"


def check_generator(generator: torch.Generator | None, images: Images) -> None:
    """Raise ValueError unless it is a generator, or None, that draws where the images are."""
    device = images.device
    if generator is not None and not hasattr(generator, "device"):
        raise ValueError(
            f"generator={generator!r:.80} must be a torch.Generator or None: "
            "step_generator(seed, rank, step, device=views.device) makes one."
        )
    if generator is None or generator.device.type == device.type or device.type == "meta":
        return
    raise ValueError(
        f"generator is on {generator.device}, the views are on {device}: "
        "step_generator(seed, rank, step, device=views.device) makes one that fits."
    )


def check_one_each(saliency: Saliency, images: Images, argument: str) -> None:
    """Raise ValueError unless there is one map per image: a single one would serve all unseen."""
    is_array = isinstance(saliency, torch.Tensor)
    if is_array and saliency.ndim == 3 and len(saliency) == len(images):
        return
    found = f"has shape {tuple(saliency.shape)}" if is_array else f"is a {type(saliency).__name__}"
    remedy = "" if is_array and saliency.ndim == 3 else f"; {FEATURES}"
    raise ValueError(
        f"{argument} {found}; for {len(images)} images it must be ({len(images)}, h, w){remedy}."
    )


def check_mask(mask: PixelMask, images: Images) -> None:
    """Raise ValueError unless there is one mask per image, of one channel or of the image's."""
    count, channels, height, width = images.shape
    if tuple(mask.shape) not in ((count, 1, height, width), (count, channels, height, width)):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; for images {tuple(images.shape)} it must be "
            f"(B, 1, H, W) or (B, C, H, W)."
        )


def check_masking(argument: str, part: Any) -> None:
    """Raise ValueError unless it says where and what, as a Masking does, or is None."""
    if part is None or (hasattr(part, "sampler") and hasattr(part, "fill")):
        return
    given = part.__name__ if isinstance(part, type) else type(part).__name__
    raise ValueError(
        f"{argument}={given}(...) must be None or a Masking, which joins a sampler and a fill, "
        "such as Masking(GridMask(), MeanFill())."
    )
