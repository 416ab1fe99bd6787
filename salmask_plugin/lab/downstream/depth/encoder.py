"""The maps of a pretrained ResNet that a depth decoder looks at."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torchvision.models import ResNet

from salmask_plugin.encoders.backbone import PretrainedBackbone

STRIDE = 32
"""Of the last map; the sides of pictures must be multiples."""


class ResNetMaps(nn.Module):
    """Pictures (B, C, H, W) -> five maps with strides 2, 4, 8, 16 and 32.

    Args:
        network: a ResNet of torchvision with the standard stem; its classifier is not used.

    Attributes:
        channels: of the five maps, (64, 256, 512, 1024, 2048) for ResNet-50.
    """

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network = network
        self.network.fc = nn.Identity()
        with torch.no_grad():
            stem = network.conv1
            probe = torch.zeros(1, stem.in_channels, 2 * STRIDE, 2 * STRIDE)
            training = network.training
            maps = self.eval()(probe.to(stem.weight.device))
            self.train(training)
        self.channels = tuple(int(found.shape[1]) for found in maps)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps, the finest first."""
        net = self.network
        maps = [net.relu(net.bn1(net.conv1(images)))]
        maps.append(net.layer1(net.maxpool(maps[-1])))
        for stage in (net.layer2, net.layer3, net.layer4):
            maps.append(stage(maps[-1]))
        return maps


def depth_resnet(backbone: PretrainedBackbone) -> ResNet:
    """Return the backbone's network.

    Raises:
        ValueError: if it is no ResNet of torchvision with the standard stem: its maps would not
            have the strides that the decoder joins.
    """
    network = backbone.network
    if not isinstance(network, ResNet):
        raise ValueError(
            f"Depth needs a ResNet of torchvision; {backbone.source} holds {backbone.architecture}."
        )
    if network.conv1.stride != (2, 2) or not isinstance(network.maxpool, nn.MaxPool2d):
        raise ValueError(
            "Depth needs the standard stem, a convolution with stride 2 and max pooling; "
            f"{backbone.source} holds {backbone.architecture}, with a stem for small images."
        )
    return network


def untrained_like(network: ResNet, in_channels: int) -> ResNet:
    """Return a ResNet of the same shape for other pictures, initialised as torchvision does.

    Args:
        network: gives the shape; nothing of its weights is kept.
        in_channels: of the pictures.
    """
    fresh = copy.deepcopy(network).requires_grad_(True)
    old = fresh.conv1
    fresh.conv1 = nn.Conv2d(
        in_channels,
        old.out_channels,
        kernel_size=old.kernel_size,
        stride=old.stride,
        padding=old.padding,
        bias=False,
    )
    for module in fresh.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return fresh.train()
