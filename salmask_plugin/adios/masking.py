"""Where soft masks meet pixels, and which of the N masks a step uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from salmask_plugin.module_modes import kept_modes
from salmask_plugin.types import Images


def occlude(images: Images, masks: Tensor) -> Images:
    """Return ``images * (1 - mask)``: occluded pixels go to zero in normalised space.

    Zero is the mean colour of the data set, not black. The result has the images' dtype.

    Args:
        images: (B, C, H, W), normalised.
        masks: (B, H, W) in [0, 1], one soft mask per image; 1 = occluded.

    Raises:
        ValueError: if the masks are not (B, H, W) of the images.

    References:
        Shi et al., ICML 2022, Eq. 1 (https://arxiv.org/abs/2201.13100).
    """
    if masks.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(
            f"masks {tuple(masks.shape)} must be (B, H, W) of images {tuple(images.shape)}."
        )
    return (images * (1 - masks[:, None])).to(images.dtype)


def all_slots(masks: Tensor) -> list[Tensor]:
    """Return N choices: choice n takes mask n of every image (full ADIOS).

    Args:
        masks: (B, N, H, W).

    Returns:
        N tensors (B,) int64.
    """
    batch, slots = masks.shape[:2]
    return [torch.full((batch,), slot, device=masks.device) for slot in range(slots)]


def random_slots(masks: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
    """Return one choice: a uniformly drawn mask for every image on its own (ADIOS-s).

    Args:
        masks: (B, N, H, W).
        generator: on the masks' device.

    Returns:
        A list with one tensor (B,) int64.
    """
    batch, slots = masks.shape[:2]
    return [torch.randint(slots, (batch,), generator=generator, device=masks.device)]


def select_masks(masks: Tensor, choice: Tensor) -> Tensor:
    """Return mask ``choice[b]`` of image b: (B, N, H, W) and (B,) -> (B, H, W)."""
    return masks[torch.arange(len(masks), device=masks.device), choice]


def mask_areas(masks: Tensor) -> Tensor:
    """Return the share of the image each mask covers: (B, N, H, W) -> (B, N) in [0, 1]."""
    return masks.mean(dim=(2, 3))


@torch.no_grad()
def soft_masks(occluder: nn.Module, images: Images) -> Tensor:
    """Return the masks of normalised images for a picture: (B, N, H, W) float32 on the CPU.

    ``.numpy()`` of the result is what the gallery draws. The mode of each of its modules is
    restored; its normalisation layers keep no statistics, so the masks are those of training.
    """
    with kept_modes(occluder):
        masks: Tensor = occluder.eval()(images)
    return masks.float().cpu()
