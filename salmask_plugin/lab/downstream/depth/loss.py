"""Monodepth2's loss: the best explanation of each pixel by its neighbours, and smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from kornia.filters import box_blur
from kornia.losses import inverse_depth_smoothness_loss
from torch import Tensor

from salmask_plugin.lab.downstream.depth.decoder import depth_of
from salmask_plugin.lab.downstream.depth.warp import seen_from_middle

SSIM_SHARE = 0.85
C1, C2 = 0.01**2, 0.03**2
SMOOTHNESS = 1e-3
TIE_BREAK = 1e-5
"""Standard deviation of the noise on the errors without motion: equal errors are no decision."""


class DepthLoss(NamedTuple):
    """What one step minimises, and its parts.

    Attributes:
        total: scalar.
        photometric: scalar, the mean over pixels and scales.
        smoothness: scalar, weighted as in the total.
        moving: share of the pixels that a warped neighbour explains better than an unmoved one.
    """

    total: Tensor
    photometric: Tensor
    smoothness: Tensor
    moving: Tensor


def photometric_error(first: Tensor, second: Tensor) -> Tensor:
    """Return 0.85 (1 - SSIM) / 2 + 0.15 times the absolute difference per pixel, (B, 1, H, W).

    SSIM's window is the mean over 3x3 pixels with reflected borders; kornia's and others' are
    Gaussian.

    Args:
        first: (B, C, H, W) in [0, 1].
        second: the same.
    """
    mean_1, mean_2 = _local_mean(first), _local_mean(second)
    variance_1 = _local_mean(first**2) - mean_1**2
    variance_2 = _local_mean(second**2) - mean_2**2
    covariance = _local_mean(first * second) - mean_1 * mean_2
    above = (2 * mean_1 * mean_2 + C1) * (2 * covariance + C2)
    below = (mean_1**2 + mean_2**2 + C1) * (variance_1 + variance_2 + C2)
    unlike = ((1 - above / below) / 2).clamp(0, 1)
    error = SSIM_SHARE * unlike + (1 - SSIM_SHARE) * (first - second).abs()
    return error.mean(1, keepdim=True)


def depth_loss(
    disparities: Sequence[Tensor],
    frames: Tensor,
    motions: Sequence[Tensor],
    cameras: Tensor,
    *,
    min_depth: float = 0.1,
    max_depth: float = 100.0,
    generator: torch.Generator | None = None,
) -> DepthLoss:
    """Return the loss of the disparities at all scales, each compared at full resolution.

    Per pixel the smallest of four errors counts: of the two neighbours as they would look from the
    middle frame, and of the two as they are. The latter teach nothing: they take out pixels that
    do not move in the picture.

    Args:
        disparities: sigmoid outputs (B, 1, H / 2**s, W / 2**s), s = 0, 1, ...
        frames: (B, 3, 3, H, W) in [0, 1]: before, middle, after.
        motions: two of (B, 4, 4), from the middle camera to the one before and the one after.
        cameras: (B, 3, 3) in pixels.
        min_depth: of a disparity of 1.
        max_depth: of a disparity of 0.
        generator: of the noise that breaks ties, on the CPU.

    References:
        Godard et al. 2019, https://arxiv.org/abs/1806.01260, equations 1 to 5.
    """
    before, middle, after = frames.unbind(1)
    neighbours = (before, after)
    unmoved = torch.cat([photometric_error(frame, middle) for frame in neighbours], 1)
    photometric, smoothness, moving = [], [], []
    for scale, disparity in enumerate(disparities):
        full = F.interpolate(disparity, middle.shape[-2:], mode="bilinear", align_corners=False)
        depth = depth_of(full, min_depth, max_depth)
        warped = torch.cat(
            [
                photometric_error(seen_from_middle(frame, depth, motion, cameras), middle)
                for frame, motion in zip(neighbours, motions, strict=True)
            ],
            1,
        )
        noise = torch.randn(unmoved.shape, generator=generator).to(unmoved) * TIE_BREAK
        smallest, which = torch.cat([unmoved + noise, warped], 1).min(1)
        photometric.append(smallest.mean())
        moving.append((which >= len(neighbours)).float().mean())
        small = F.interpolate(middle, disparity.shape[-2:], mode="area")
        relative = disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7)
        smoothness.append(SMOOTHNESS / 2**scale * inverse_depth_smoothness_loss(relative, small))
    first, second = torch.stack(photometric).mean(), torch.stack(smoothness).mean()
    return DepthLoss(first + second, first, second, torch.stack(moving).mean())


def _local_mean(x: Tensor) -> Tensor:
    mean: Tensor = box_blur(x, (3, 3), border_type="reflect", separable=False)
    return mean
