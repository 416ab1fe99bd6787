"""A pretrained encoder with a depth decoder, and the pose network beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from salmask_plugin.checks import check_choice
from salmask_plugin.encoders.backbone import PretrainedBackbone
from salmask_plugin.lab.downstream.depth.decoder import CHANNELS, DepthDecoder, depth_of
from salmask_plugin.lab.downstream.depth.encoder import STRIDE, ResNetMaps, depth_resnet
from salmask_plugin.lab.downstream.depth.pose import PoseNetwork, motion_matrix
from salmask_plugin.precision import autocast_off, in_float

Normalization = Literal["imagenet", "monodepth2"]
STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "monodepth2": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
}


class Monodepth(nn.Module):
    """Self-supervised depth from one picture, on a given encoder.

    Args:
        backbone: the pretrained encoder; a ResNet with the standard stem. Its filter, if it has
            one, is applied after the normalisation.
        freeze_backbone: the encoder keeps weights and BatchNorm statistics; decoder and pose
            network are trained.
        normalization: of the encoder's pictures: "imagenet", as it was pretrained, or "monodepth2",
            mean 0.45 and deviation 0.225. The pose network always has the latter.
        height: of the pictures in pixels, a multiple of 32 from 64 on.
        width: the same.
        min_depth: of a disparity of 1; scale is unknown, so this is a unit, not metres.
        max_depth: of a disparity of 0.
        decoder_channels: at strides 1, 2, 4, 8 and 16.
        pose_channels: of the pose network's head.

    Raises:
        ValueError: if an argument is out of range or the network has another stem.

    References:
        Godard et al. 2019, https://arxiv.org/abs/1806.01260.
    """

    encoder_mean: Tensor
    encoder_std: Tensor
    pose_mean: Tensor
    pose_std: Tensor

    def __init__(
        self,
        backbone: PretrainedBackbone,
        freeze_backbone: bool = True,
        normalization: Normalization = "imagenet",
        height: int = 192,
        width: int = 640,
        min_depth: float = 0.1,
        max_depth: float = 100.0,
        decoder_channels: Sequence[int] = CHANNELS,
        pose_channels: int = 256,
    ) -> None:
        super().__init__()
        check_choice(normalization, "normalization", Normalization)
        for name, side in (("height", height), ("width", width)):
            # The decoder reflects borders, so that its first map needs two pixels.
            if side < 2 * STRIDE or side % STRIDE:
                raise ValueError(
                    f"{name}={side} must be a multiple of {STRIDE}, {2 * STRIDE} at least."
                )
        if not 0 < min_depth < max_depth:
            raise ValueError(
                f"min_depth={min_depth} must be above 0 and below max_depth={max_depth}."
            )
        if pose_channels < 1:
            raise ValueError(f"pose_channels={pose_channels} must be at least 1.")
        network = depth_resnet(backbone)
        # Before the encoder is frozen: its shape is copied.
        self.pose = PoseNetwork(network, pose_channels)
        self.encoder = ResNetMaps(network)
        self.decoder = DepthDecoder(self.encoder.channels, decoder_channels)
        self.view_filter = nn.Identity() if backbone.view_filter is None else backbone.view_filter
        self.size = (height, width)
        self.range = (min_depth, max_depth)
        self.freeze_backbone = freeze_backbone
        for place, name in (("encoder", normalization), ("pose", "monodepth2")):
            for word, values in zip(("mean", "std"), STATISTICS[name], strict=True):
                column = torch.tensor(values)[:, None, None]
                self.register_buffer(f"{place}_{word}", column, persistent=False)
        if freeze_backbone:
            self.encoder.requires_grad_(False)
        self.train(self.training)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return sigmoid disparities, (B, 1, H / 2**s, W / 2**s), of pictures (B, 3, H, W)."""
        images = self.view_filter((images - self.encoder_mean) / self.encoder_std)
        if self.freeze_backbone:
            with torch.no_grad():
                maps = self.encoder(images)
        else:
            maps = self.encoder(images)
        disparities: list[Tensor] = self.decoder(maps)
        return disparities

    def inverse_depth(self, images: Tensor) -> Tensor:
        """Return one over the depth, up to a scale, (B, H, W), of pictures (B, 3, H, W) in 0..1."""
        return 1 / depth_of(self(images)[0], *self.range)[:, 0]

    def motions(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, 4, 4) from the middle frame's camera to the one before and the one after.

        The network sees both pairs in the order of time; the first is inverted.

        Args:
            frames: (B, 3, 3, H, W) in 0..1.
        """
        before, middle, after = ((frames - self.pose_mean) / self.pose_std).unbind(1)
        first, second = self.pose(before, middle), self.pose(middle, after)
        with autocast_off(frames.device):
            return motion_matrix(in_float(first), inverse=True), motion_matrix(in_float(second))

    def train(self, mode: bool = True) -> Monodepth:
        """Switch modes; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.freeze_backbone:
            self.encoder.eval()
        return self
