"""torchvision's ResNets without their classifier, as encoders."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn
from torchvision import models

Stem = Literal["standard", "cifar"]
DEPTHS = {18: models.resnet18, 34: models.resnet34, 50: models.resnet50, 101: models.resnet101}


def resnet(depth: int = 50, stem: Stem = "standard") -> tuple[nn.Module, int]:
    """Return a randomly initialised ResNet and the number of its features.

    Args:
        depth: 18, 34, 50 or 101.
        stem: "standard" is torchvision's; "cifar" a 3x3 first convolution with stride 1 and no
            max-pool, the custom for images of about 32 px. Results differ by several points, so
            records carry it.

    Returns:
        images (B, 3, H, W) -> features (B, D), and D (512 or 2048).

    Raises:
        ValueError: if depth or stem is none of these.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth={depth} must be one of {sorted(DEPTHS)}.")
    if stem not in get_args(Stem):
        raise ValueError(f"stem={stem!r} must be one of {get_args(Stem)}.")
    network = DEPTHS[depth](weights=None)
    features = network.fc.in_features
    network.fc = nn.Identity()
    if stem == "cifar":
        network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network, features
