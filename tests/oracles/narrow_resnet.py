"""A ResNet of torchvision with the standard stem and hardly any channels."""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from salmask_plugin.encoders import PretrainedBackbone, fingerprint

CHANNELS = (8, 8, 16, 32, 64)


def narrow_backbone(view_filter=None):
    """Return it as if it came out of a checkpoint: one block per stage, 64 features."""
    torch.manual_seed(0)
    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.conv1 = nn.Conv2d(3, CHANNELS[0], 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(CHANNELS[0])
    network.inplanes = CHANNELS[0]
    for place, channels in enumerate(CHANNELS[1:], 1):
        stage = network._make_layer(BasicBlock, channels, 1, stride=1 if place == 1 else 2)
        setattr(network, f"layer{place}", stage)
    network.fc = nn.Identity()
    network.eval()
    return PretrainedBackbone(
        network, "narrow", CHANNELS[-1], view_filter, fingerprint(network), "a test's file"
    )
