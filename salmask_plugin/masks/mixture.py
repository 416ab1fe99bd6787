"""Choose one of several mask kinds per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from salmask_plugin.masks.cells import uniform
from salmask_plugin.masks.channels import for_channels
from salmask_plugin.types import CellMask, MaskSampler, Saliency, check_part


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
        for name in ("samplers", "weights"):
            if not isinstance(getattr(self, name), Sequence):
                raise ValueError(
                    f"{name}={getattr(self, name)!r:.80} must be a list, one per kind."
                )
        object.__setattr__(self, "samplers", tuple(self.samplers))
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        for index, sampler in enumerate(self.samplers):
            check_part(sampler, "sampler", f"samplers[{index}]")
        if not self.samplers or len(self.samplers) != len(self.weights):
            raise ValueError(
                f"weights={self.weights} must have one entry per sampler; "
                f"there are {len(self.samplers)} samplers."
            )
        if min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-6:
            raise ValueError(f"weights={self.weights} must be non-negative and sum to 1.")

    def for_channels(self, channels: int) -> MaskSampler:
        """Return the mixture for views of that many channels."""
        return replace(self, samplers=[for_channels(part, channels) for part in self.samplers])

    def __call__(self, saliency: Saliency, generator: torch.Generator | None = None) -> CellMask:
        """Draw masks for maps (B, h, w): (B, 1|C, h', w') bool on the finest lattice."""
        draw = uniform((len(saliency), 1, 1, 1), saliency.device, generator)
        masks = [sampler(saliency, generator) for sampler in self.samplers]
        height = max(mask.shape[-2] for mask in masks)
        width = max(mask.shape[-1] for mask in masks)
        *boundaries, _ = accumulate(self.weights)
        chosen = enlarge(masks[-1], height, width)
        for mask, boundary in zip(reversed(masks[:-1]), reversed(boundaries), strict=True):
            chosen = torch.where(draw < boundary, enlarge(mask, height, width), chosen)
        return chosen


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
