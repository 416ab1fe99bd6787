"""The decoder of Monodepth2: five maps of an encoder -> disparities at four resolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALES = 4
CHANNELS = (16, 32, 64, 128, 256)


class DepthDecoder(nn.Module):
    """Convolve, enlarge, join with the encoder's map, convolve; five times.

    Convolutions are 3x3 with reflected borders, followed by an ELU; maps are enlarged by repeating
    pixels.

    Args:
        encoder_channels: of the five maps, the finest first.
        channels: of the decoder at strides 1, 2, 4, 8 and 16.

    References:
        Godard et al. 2019, https://arxiv.org/abs/1806.01260, supplementary section B.
    """

    def __init__(self, encoder_channels: Sequence[int], channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        if len(encoder_channels) != 5 or len(channels) != 5 or min(channels) < 1:
            raise ValueError(f"channels={list(channels)} must be five numbers of at least 1.")
        before, after, heads = [], [], []
        incoming = encoder_channels[-1]
        for level in reversed(range(5)):
            width = channels[level]
            joined = encoder_channels[level - 1] if level else 0
            before.append(_convolution(incoming, width))
            after.append(_convolution(width + joined, width))
            incoming = width
            if level < SCALES:
                heads.append(nn.Conv2d(width, 1, 3, padding=1, padding_mode="reflect"))
        self.before = nn.ModuleList(before)
        self.after = nn.ModuleList(after)
        self.heads = nn.ModuleList(heads)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return sigmoid disparities (B, 1, H / 2**s, W / 2**s) for s = 0, 1, 2, 3."""
        disparities = []
        x = maps[-1]
        for place, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            level = 4 - place
            x = F.interpolate(before(x), scale_factor=2, mode="nearest")
            x = after(torch.cat([x, maps[level - 1]], 1) if level else x)
            if level < SCALES:
                disparities.append(torch.sigmoid(self.heads[place - 1](x)))
        return disparities[::-1]


def depth_of(disparity: Tensor, min_depth: float = 0.1, max_depth: float = 100.0) -> Tensor:
    """Return the depth of a sigmoid disparity: 0 is ``max_depth``, 1 is ``min_depth``.

    The inverse depth runs linearly between the two.
    """
    near, far = 1 / min_depth, 1 / max_depth
    return 1 / (far + (near - far) * disparity)


def _convolution(incoming: int, width: int) -> nn.Sequential:
    layer = nn.Conv2d(incoming, width, 3, padding=1, padding_mode="reflect")
    return nn.Sequential(layer, nn.ELU(inplace=True))
