"""How the camera moved between two frames, from the frames alone."""

from __future__ import annotations

import torch
from kornia.geometry.conversions import axis_angle_to_rotation_matrix
from torch import Tensor, nn
from torchvision.models import ResNet

from salmask_plugin.lab.downstream.depth.encoder import ResNetMaps, untrained_like

SCALE = 0.01
"""Of the head's output: training begins with nearly no motion."""


class PoseNetwork(nn.Module):
    """Two frames in the order of time -> rotation and translation from the first to the second.

    Args:
        like: the ResNet whose shape the encoder has; its weights are drawn anew.
        channels: of the head's four convolutions.

    References:
        Godard et al. 2019, https://arxiv.org/abs/1806.01260, section 4 and supplementary section B.
    """

    def __init__(self, like: ResNet, channels: int = 256) -> None:
        super().__init__()
        self.encoder = ResNetMaps(untrained_like(like, in_channels=6))
        self.head = nn.Sequential(
            nn.Conv2d(self.encoder.channels[-1], channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 6, 1),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return (B, 6): axis-angle in radians and translation, for frames (B, 3, H, W)."""
        maps = self.encoder(torch.cat([first, second], 1))
        motion: Tensor = SCALE * self.head(maps[-1]).mean((2, 3))
        return motion


def motion_matrix(motion: Tensor, *, inverse: bool = False) -> Tensor:
    """Return the rigid transforms (B, 4, 4): rotate, then translate; or what undoes that.

    Args:
        motion: (B, 6) axis-angle in radians and translation.
        inverse: of the transform.
    """
    rotation = axis_angle_to_rotation_matrix(motion[:, :3])
    shift = motion[:, 3:, None]
    if inverse:
        rotation = rotation.transpose(1, 2)
        shift = -rotation @ shift
    last = motion.new_tensor([0, 0, 0, 1]).expand(len(motion), 1, 4)
    return torch.cat([torch.cat([rotation, shift], 2), last], 1)
