"""A neighbouring frame as it would look from the middle one."""

from __future__ import annotations

import torch
from kornia.geometry.camera import PinholeCamera
from kornia.geometry.depth import DepthWarper
from torch import Tensor


def seen_from_middle(neighbour: Tensor, depth: Tensor, motion: Tensor, cameras: Tensor) -> Tensor:
    """Look up each pixel of the middle frame in the neighbour, bilinearly; (B, C, H, W).

    Beyond the neighbour's border its outermost pixels repeat.

    Args:
        neighbour: (B, C, H, W).
        depth: (B, 1, H, W) of the middle frame.
        motion: (B, 4, 4) from the middle frame's camera to the neighbour's.
        cameras: (B, 3, 3) in pixels, the first pixel's middle being (0, 0).
    """
    height, width = neighbour.shape[-2:]
    unit = torch.eye(4, dtype=motion.dtype, device=motion.device).expand_as(motion)
    matrix = unit.clone()
    matrix[:, :3, :3] = cameras
    sides = [torch.full((len(motion),), side, device=motion.device) for side in (height, width)]
    # kornia's "source" is the camera that the depth belongs to.
    warper = DepthWarper(
        PinholeCamera(matrix, motion, *sides), height, width, padding_mode="border"
    )
    warped: Tensor = warper.compute_projection_matrix(PinholeCamera(matrix, unit, *sides))(
        depth, neighbour
    )
    return warped
