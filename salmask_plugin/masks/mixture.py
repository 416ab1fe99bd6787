"""Choose one of several mask kinds per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from salmask_plugin.masks.cells import uniform
from salmask_plugin.masks.channels import for_channels
from salmask_plugin.mixtures import check_kinds, choose
from salmask_plugin.types import CellMask, MaskSampler, Saliency


@dataclass(frozen=True)
class MaskMixture:
    """Draw each image's mask from one of ``samplers``, chosen with probability ``weights``.

    Coarser masks are enlarged by repetition to the finest lattice among them, and to all channels
    of the views if any kind draws them apart.

    Args:
        samplers: the mask kinds.
        weights: their probabilities, in the same order; they must sum to 1.

    References:
        The high-pass recipe of Chin et al. mixes focal, grid and per-channel masks with
        0.20 / 0.24 / 0.56 (released code; the paper gives no numbers).
    """

    samplers: Sequence[MaskSampler]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        samplers, weights = check_kinds("sampler", self.samplers, self.weights)
        object.__setattr__(self, "samplers", samplers)
        object.__setattr__(self, "weights", weights)

    def for_channels(self, channels: int) -> MaskSampler:
        """Return the mixture for views of that many channels."""
        return replace(self, samplers=[for_channels(part, channels) for part in self.samplers])

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1|C, h', w') bool on the finest lattice."""
        draw = uniform((len(saliency), 1, 1, 1), saliency.device, generator)
        masks = [sampler(saliency, generator) for sampler in self.samplers]
        height = max(mask.shape[-2] for mask in masks)
        width = max(mask.shape[-1] for mask in masks)
        return choose(draw, self.weights, [enlarge(mask, height, width) for mask in masks])


def enlarge(mask: CellMask, height: int, width: int) -> CellMask:
    """Repeat cells until the mask is (B, C, height, width), whole multiples of its own size."""
    down, right = height // mask.shape[-2], width // mask.shape[-1]
    if (down * mask.shape[-2], right * mask.shape[-1]) != (height, width):
        raise ValueError(
            f"a mask of {tuple(mask.shape[-2:])} cells does not divide a lattice of "
            f"{(height, width)}; a mixture needs lattices that are multiples of one another."
        )
    if (down, right) == (1, 1):
        return mask
    return mask.repeat_interleave(down, -2).repeat_interleave(right, -1)
